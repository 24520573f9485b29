"""Settings whose values are checked where they are given: in Python, in TOML, on the command line.

A settings class is a frozen dataclass that inherits from :class:`CheckedSettings`. The types of its
fields are the rules, ranges included, and they are read when an object is made::

    @dataclass(frozen=True)
    class Loss(CheckedSettings):
        temperature: PositiveFloat = 0.1
        kind: Literal["nce", "triplet"] = "nce"

    Loss(temperature=0)     # InputError: temperature is 0, but must be above 0
    Loss(kind="ncs")        # InputError: unknown kind 'ncs'; did you mean 'nce'? (known: nce, …)

A rule about several fields at once stays in ``__post_init__``, after ``super().__post_init__()``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge as Ge  # settings classes take these from here
from annotated_types import Gt
from annotated_types import Interval as Interval
from annotated_types import Len as Len
from annotated_types import MultipleOf as MultipleOf

from .errors import InputError, unknown

_Field = TypeVar("_Field")

PositiveInt = Annotated[int, Gt(0)]
Count = Annotated[int, Ge(0)]  # a whole number that may be 0
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Probability = Annotated[float, Interval(ge=0, le=1)]
OpenFraction = Annotated[float, Interval(gt=0, lt=1)]  # neither nothing nor all
Seed = Annotated[int, Interval(ge=0, lt=2**32)]
Shape = Annotated[tuple[PositiveInt, ...], Len(2, 3)]  # voxels along 2 or 3 axes

# what a field is on the command line, if no flag of its own name
POSITIONAL, FLAT, HIDDEN = "positional", "flat", "hidden"
Positional = Annotated[_Field, POSITIONAL]


class CheckedSettings:
    """The base of all settings classes. See the module's text."""

    def __post_init__(self) -> None:
        check_values(self)


def check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise InputError for the first name that is not known; it says the nearest that is."""
    known = list(known)
    for name in given:
        if name not in known:
            raise unknown(what, name, known)


def check_values(settings: Any) -> None:
    """Raise InputError unless every field of settings has a value of its type and range.

    What means the same is given the field's type: a list where a tuple is wanted, a text where a
    path is, a number of numpy where one of Python is.
    """
    kind = type(settings)
    for name in _adapters(kind):  # type: ignore[arg-type]  # a class is hashable
        object.__setattr__(settings, name, checked_value(kind, name, getattr(settings, name)))


def checked_value(kind: type, name: str, value: Any) -> Any:
    """A value of field ``name`` in the field's type; InputError if it is none."""
    return _checked(name, _plain(value), _adapters(kind)[name])  # type: ignore[arg-type]


@cache
def _adapters(kind: type) -> dict[str, Any]:
    """For each field, what checks its values. Settings within settings have checked themselves."""
    from pydantic import ConfigDict, TypeAdapter  # costs as much as all else here: not on import

    rules = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    hints = get_type_hints(kind, include_extras=True)
    return {
        each.name: TypeAdapter(hints[each.name], config=rules)
        for each in fields(kind)
        if not _checks_itself(hints[each.name])
    }


def _checks_itself(hint: Any) -> bool:
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return isinstance(inner, TypeVar) or is_dataclass(inner)


def _plain(value: Any) -> Any:
    """Python's own number for one of numpy or torch, a tuple for a list."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Mapping | str | bytes | bool | int | float | Path) or value is None:
        return value
    single = getattr(value, "ndim", None) == 0
    return value.item() if single else value


def _checked(name: str, value: Any, adapter: Any) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_python(value)
    except ValidationError as reason:
        errors = reason.errors()
    if isinstance(value, str) and any(e["type"] == "is_instance_of" for e in errors):
        try:  # a path as a text
            return adapter.validate_python(Path(value))
        except ValidationError:
            pass
    for error in errors:
        if error["type"] == "literal_error" and isinstance(error["input"], str):
            raise unknown(name, error["input"], _choices(error["ctx"]["expected"]))
    # in a union, the branch that came closest: a range says more than a kind
    error = max(errors, key=lambda e: (e["type"] in _RANGES, len(e["loc"]), "ctx" in e))
    raise InputError(f"{name} is {value!r}, but {_rule(error)}")


def _choices(expected: str) -> list[str]:
    """``"'a', 'b' or 'c'"`` → a, b, c."""
    return [each.strip("'") for each in expected.replace(" or ", ", ").split(", ")]


_RANGES = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "needs {min_length} or more entries",
    "too_long": "takes {max_length} entries at most",
}
_KINDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be True or False",
    "string_type": "must be a text",
    "tuple_type": "must be a list of values",
    "dict_type": "must be a table of names and values",
    "path_type": "must be a path",
    "is_instance_of": "must be a path",
    "none_required": "must be None",
    "literal_error": "must be one of {expected}",
}


def _rule(error: Mapping[str, Any]) -> str:
    rule = {**_RANGES, **_KINDS}.get(error["type"])
    if rule is None:
        return str(error["msg"])
    where = "each entry " if any(isinstance(part, int) for part in error["loc"]) else ""
    return where + rule.format(**error.get("ctx", {}))
