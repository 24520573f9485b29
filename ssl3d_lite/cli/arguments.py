"""Settings from the command line: the fields of a settings class are its flags.

A field ``learning_rate`` is the flag ``--learning-rate``, its type says what may follow, and the
text under it is its help. Settings within settings are flags too: ``--training.steps``, or plain
``--steps`` where the field is marked ``FLAT``. ``Positional`` and ``HIDDEN`` are the other marks;
and a flag of another name, as ``Annotated[int, "--edge"]``, where two plain ones would be the same.

argparse takes the words apart. It speaks of a mistake in several lines, and of a wrong type in
words of Python; so all that can be wrong is told here, in one line each. This is done by hand since
the libraries that make flags of dataclasses (tyro, cyclopts, jsonargparse) draw a box of several
lines for a mistake, and begin their help with a usage line where a person wants an example.
"""

import argparse
import ast
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from pathlib import Path
from shutil import get_terminal_size
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.settings import FLAT, HIDDEN, POSITIONAL

_LONG_DASH = re.compile("[\u2010-\u2015\u2212]")  # what web pages and word processors make of --
_LISTED = "ssl3d {} --help lists all"
_NUMBER = re.compile(r"-\.?\d")


@dataclass(frozen=True)
class Flag:
    """What the command line may say about one field."""

    path: tuple[str, ...]  # names of the fields that lead to it
    name: str  # "--learning-rate"; of a positional one "COHORT"
    kind: Any  # type of a value, or of each of several
    count: int | None  # values that it takes; None: any number
    several: bool  # whether its value is a tuple
    optional: bool  # whether it may be None
    default: Any  # MISSING: it has to be given
    group: str  # under what it stands in the help
    text: str

    @property
    def is_switch(self) -> bool:
        return self.kind is bool and isinstance(self.default, bool)

    @property
    def is_positional(self) -> bool:
        return not self.name.startswith("-")

    @property
    def values(self) -> str:
        """What follows the flag, as in "INT INT INT"."""
        if self.is_switch or self.is_positional:
            return ""
        if get_origin(self.kind) is Literal:
            one = "{" + ",".join(map(str, get_args(self.kind))) + "}"
        elif self.kind is bool:
            one = "{True,False}"
        else:
            names = {int: "INT", float: "NUMBER", Path: "PATH"}
            one = names.get(self.kind, "TEXT")
        return f" {one} ..." if self.count is None else f" {one}" * self.count


def read_settings(
    kind: type, command: str, arguments: Sequence[str], about: str, example: str, **defaults: Any
) -> Any:
    """Settings of class ``kind`` as the command line gives them; ``--help`` prints and leaves.

    Args:
        command: as "course build".
        about: what the command does.
        example: a whole command that works.
        defaults: fields that have others than the class.

    Raises:
        InputError: whatever is wrong with the arguments, in one line.
    """
    flags = list(flags_of(kind, defaults))
    if any(each in ("-h", "--help") for each in arguments):
        print(help_text(flags, about, example))
        sys.exit(0)
    given = _taken_apart(flags, command, arguments)
    lacking = [f.name for f in flags if f.default is MISSING and f.path not in given]
    if lacking:
        raise InputError(f"{command} needs {' and '.join(lacking)}, as in: {example}")
    values = {f.path: _value(f, given[f.path]) for f in flags if f.path in given}
    nested = {each.name: _default_of(each, defaults) for each in fields(kind)}
    return kind(**{**defaults, **_merged(values, nested.__getitem__)})


# ---- which flags there are ---------------------------------------------------------------------


def flags_of(
    kind: type, defaults: Mapping[str, Any], path: tuple[str, ...] = (), prefix: str = "--"
) -> Iterator[Flag]:
    """The flags of a settings class: its own fields first, then those that it inherits."""
    hints, texts = get_type_hints(kind, include_extras=True), _texts(kind)
    for each in sorted(fields(kind), key=lambda each: kind.__mro__.index(_bringer(kind, each))):
        default = _default_of(each, defaults)
        hint, marks = _unmarked(hints[each.name])
        here, name = (*path, each.name), each.name.replace("_", "-")
        inner = type(default) if is_dataclass(default) else hint
        if HIDDEN in marks:
            continue
        if isinstance(inner, type) and is_dataclass(inner):
            deeper = prefix if FLAT in marks else f"{prefix}{name}."
            given = {} if default is MISSING else vars(default)
            yield from flags_of(inner, given, here, deeper)
            continue
        name = each.name.upper() if POSITIONAL in marks else prefix + name
        name = next((mark for mark in marks if str(mark).startswith("--")), name)
        if default is True:
            name = f"{prefix}no-{name.removeprefix(prefix)}"
        group = "needed" if default is MISSING else _group(kind, each, bool(path))
        yield Flag(here, name, *_shape(hint), default, group, texts.get(each.name, ""))


def _default_of(field: Field, defaults: Mapping[str, Any]) -> Any:
    if field.name in defaults:
        return defaults[field.name]
    return field.default if field.default_factory is MISSING else field.default_factory()


def _unmarked(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _shape(hint: Any) -> tuple[Any, int | None, bool, bool]:
    """The type of a value; how many there are; whether they are several; whether None is one."""
    hint, _ = _unmarked(hint)
    optional = get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)
    if optional:
        rest = [each for each in get_args(hint) if each is not NoneType]
        hint, _ = _unmarked(rest[0]) if len(rest) == 1 else (hint, ())
    if get_origin(hint) is not tuple:
        return hint, 1, False, optional
    first, *more = get_args(hint)
    count = None if more == [...] else 1 + len(more)
    return _unmarked(first)[0], count, True, optional


def _bringer(kind: type, field: Field) -> type:
    """The class among those that ``kind`` inherits from that brought the field in."""
    classes = reversed(kind.__mro__)
    return next(each for each in classes if field.name in inspect.get_annotations(each))


def _group(kind: type, field: Field, nested: bool) -> str:
    """The first words about the class that brought the field in."""
    bringer = _bringer(kind, field)
    if bringer is kind and not nested:
        return "settings"
    said = re.split("[.:;]", bringer.__doc__ or "")[0]
    return "the task's own" if "(" in said else " ".join(said.split())


def _texts(kind: type) -> dict[str, str]:
    """The texts under the fields of a settings class and of those that it inherits from."""
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        except (OSError, TypeError):  # made while the program runs, or built in
            continue
        for field, text in pairwise(getattr(tree, "body", [])):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                texts[ast.unparse(field.target)] = " ".join(ast.literal_eval(text.value).split())
    return texts


# ---- what was given ----------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        flag = re.match(r"argument (\S+): expected one argument", message)
        raise InputError(f"{flag[1]} needs a value" if flag else message)


class _Once(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        if self.dest in namespace:
            raise InputError(f"{option_string} is given twice; keep one of them")
        setattr(namespace, self.dest, values if isinstance(values, list) else [values])


def _taken_apart(
    flags: Sequence[Flag], command: str, arguments: Sequence[str]
) -> dict[tuple[str, ...], list[str]]:
    """The words that were given, by the path of their field."""
    for each in arguments:
        if _LONG_DASH.match(each):
            right = "--" + _LONG_DASH.sub("-", each).lstrip("-")
            raise InputError(f"{each} begins with a long dash, as web pages have it; type {right}")
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for index, flag in enumerate(flags):
        how: dict[str, Any] = {"action": _Once}
        if flag.is_positional:
            parser.add_argument(str(index), nargs="?", **how)
            continue
        how["nargs"] = 0 if flag.is_switch else "*" if flag.several else None
        parser.add_argument(flag.name, dest=str(index), **how)
    words = [_hyphened(each) for each in arguments]
    found, rest = parser.parse_known_args(words)
    if rest:
        raise _superfluous(rest, flags, command)
    return {flags[int(index)].path: words for index, words in vars(found).items()}


def _hyphened(word: str) -> str:
    """``--learning_rate=0.1`` → ``--learning-rate=0.1``."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _superfluous(rest: Sequence[str], flags: Sequence[Flag], command: str) -> InputError:
    for each in rest:
        name = each.partition("=")[0]
        if name.startswith("-") and not _NUMBER.match(name):
            known = [flag.name for flag in flags if not flag.is_positional]
            names = [flag.removeprefix("--") for flag in known]
            near = get_close_matches(name.strip("-"), names, n=1, cutoff=0.6)
            hint = f"; did you mean --{near[0]}?" if near else ""
            return InputError(f"{command} has no setting {name}{hint} ({_LISTED.format(command)})")
    return InputError(
        f"{rest[0]!r} belongs to no setting of {command}; a value with spaces needs quotes "
        f"({_LISTED.format(command)})"
    )


def _value(flag: Flag, words: Sequence[str]) -> Any:
    """The value of a field that the words after its flag stand for."""
    if flag.is_switch:
        return not flag.default
    if flag.optional and list(words) == ["None"]:
        return None
    if not words:
        raise InputError(f"{flag.name} needs values")
    if any(not word.strip() for word in words):
        raise InputError(f"{flag.name} is empty; give it a value, or leave it out")
    if flag.count is not None and len(words) != flag.count:
        example = {int: " 64", float: " 1.5"}.get(flag.kind, " A") * flag.count
        raise InputError(
            f"{flag.name} takes {flag.count} values, as {flag.name}{example}, but got: "
            f"{' '.join(words)}"
        )
    values = tuple(_single(flag, word) for word in words)
    return values if flag.several else values[0]


def _single(flag: Flag, word: str) -> Any:
    if get_origin(flag.kind) is Literal or flag.kind is bool:
        values = (True, False) if flag.kind is bool else get_args(flag.kind)
        choices = {str(each): each for each in values}
        if word not in choices:
            raise unknown(flag.name, word, choices)
        return choices[word]
    if flag.kind in (int, float):
        return _number(flag, word)
    if flag.kind in (str, Path):
        home = word.startswith("~/")  # shells leave it after an equals sign
        return flag.kind(os.path.expanduser(word) if home else word)
    return _of_any_kind(flag, word)


def _number(flag: Flag, word: str) -> int | float:
    try:
        return flag.kind(word)
    except ValueError:
        what = "a whole number" if flag.kind is int else "a number"
    if flag.several and "," in word:
        raise InputError(f"{flag.name} takes values with spaces between them, but got: {word}")
    try:
        meant = float(word.replace(",", "."))
        meant = int(meant) if meant.is_integer() and flag.kind is int else meant
    except (ValueError, OverflowError):
        meant = None
    hint = f"; write {meant}" if isinstance(meant, flag.kind) else ""
    raise InputError(f"{flag.name} is {word!r}, but must be {what}{hint}")


def _of_any_kind(flag: Flag, word: str) -> Any:
    """A value of a type that none of our own settings has: somebody's recipe."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(flag.kind).validate_strings(word)
    except ValidationError as reason:
        raise InputError(f"{flag.name} is {word!r}: {reason.errors()[0]['msg']}") from None


def _merged(values: Mapping[tuple[str, ...], Any], within: Callable[[str], Any]) -> dict[str, Any]:
    """Values by their fields' paths, as fields of one class: ``within`` gives the settings that
    stand in a field, and those have the values that begin with its name."""
    fields_of = {path[0]: value for path, value in values.items() if len(path) == 1}
    for name in dict.fromkeys(path[0] for path in values if len(path) > 1):
        deeper = {path[1:]: value for path, value in values.items() if path[0] == name}
        settings = within(name)
        fields_of[name] = replace(settings, **_merged(deeper, partial(getattr, settings)))
    return fields_of


# ---- help --------------------------------------------------------------------------------------


def help_text(flags: Sequence[Flag], about: str, example: str) -> str:
    """An example, what the command does, and its settings in groups."""
    width = terminal_width()
    paragraphs = [_filled(each, width) for each in about.split("\n\n")]
    parts = [f"example: {example}", *paragraphs]
    groups = dict.fromkeys(("needed", "settings", *(flag.group for flag in flags)))
    for group in groups:
        lines = [_help_line(flag, width) for flag in flags if flag.group == group]
        if lines:
            parts.append("\n".join([f"{group}:", *lines]))
    return "\n\n".join(parts)


_COLUMN = 26  # where the texts begin


def _help_line(flag: Flag, width: int) -> str:
    left = f"  {flag.name}{flag.values}"
    off = "Turn off: " if flag.default is True and flag.text else ""  # as in --no-normalise
    text = f"{off}{flag.text} {_default(flag)}".strip()
    if not text:
        return left
    first = left.ljust(_COLUMN) if len(left) < _COLUMN - 1 else ""
    indent = " " * _COLUMN
    filled = _filled(text, width, first or indent, indent)
    return filled if first else f"{left}\n{filled}"


def _filled(text: str, width: int, first: str = "", others: str = "") -> str:
    """``text`` in lines of ``width``, with these indents; words with hyphens stay whole."""
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _default(flag: Flag) -> str:
    silent = flag.default in (MISSING, None, (), "") or flag.is_switch
    if silent or "efault" in flag.text:
        return ""
    values = flag.default if isinstance(flag.default, tuple) else (flag.default,)
    return f"(default: {' '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)})"


def terminal_width() -> int:
    """Columns to write in: those of the terminal, and no more than a person reads with ease."""
    return max(40, min(get_terminal_size().columns, 100))
