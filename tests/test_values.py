"""Every field of every settings class refuses a value of the wrong kind and one out of range."""

import dataclasses
import importlib
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import pytest

import data_recipes
import ssl3d_lite
from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, checked_value

LEFT_OUT = ("ssl3d_lite.course.jail", "__main__", "course.settings")


def settings_classes() -> list[type]:
    """All subclasses of CheckedSettings in the two packages."""
    for package in (ssl3d_lite, data_recipes):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(name in module.name for name in LEFT_OUT):
                importlib.import_module(module.name)
    found: dict[type, None] = {}
    queue = [CheckedSettings]
    while queue:
        for kind in queue.pop().__subclasses__():
            if kind.__module__.split(".")[0] in ("ssl3d_lite", "data_recipes"):
                found[kind] = None
                queue.append(kind)
    return sorted((k for k in found if is_dataclass(k)), key=lambda k: (k.__module__, k.__name__))


def inner(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A hint without its annotations, and the annotations."""
    if get_origin(hint) is Annotated:
        kind, *rules = get_args(hint)
        return kind, tuple(rules)
    return hint, ()


def wrong_kinds(hint: Any) -> list[Any]:
    """Values that no field of this type should take."""
    kind, _ = inner(hint)
    origin = get_origin(kind)
    if origin in (UnionType, typing.Union):
        return [object()]
    if origin is Literal:
        return ["no such word", 3.5]
    if kind is int:
        return [2.5, "a", True, float("nan")]
    if kind is float:
        return ["a", True, float("nan"), float("inf")]
    if kind is bool:
        return ["a", 3]
    if kind in (str, Path):
        return [3]
    return [object()]


def out_of_range(hint: Any) -> list[Any]:
    """Numbers that are out of every sensible range, in the shape that the field has."""
    kind, _ = inner(hint)
    origin, parts = get_origin(kind), [p for p in get_args(kind) if p not in (NoneType, ...)]
    if kind is int:
        return [-(10**12)]
    if kind is float:
        return [-1e12]
    if origin in (UnionType, typing.Union):
        numbers = [part for part in parts if inner(part)[0] in (int, float)]
        tuples = [part for part in parts if get_origin(inner(part)[0]) is tuple]
        return [value for part in numbers + tuples for value in out_of_range(part)]
    if origin is tuple and parts:
        return [(value,) * 3 for value in out_of_range(parts[0])] + [
            (value,) * 3 for value in wrong_kinds(parts[0])
        ]
    return []


# a number that may be anything: a coordinate, a shift
ANYTHING: set[str] = set()


def cases() -> Iterator[Any]:
    for kind in settings_classes():
        hints = get_type_hints(kind, include_extras=True)
        for field in fields(kind):
            hint = hints[field.name]
            if isinstance(inner(hint)[0], TypeVar) or is_dataclass(inner(hint)[0]):
                continue
            name = f"{kind.__module__.partition('.')[2]}.{kind.__name__}.{field.name}"
            values = wrong_kinds(hint)
            if f"{kind.__name__}.{field.name}" not in ANYTHING:
                values += out_of_range(hint)
            yield pytest.param(kind, field.name, values, id=name)


@pytest.mark.parametrize(("kind", "name", "values"), list(cases()))
def test_a_wrong_value_is_refused_where_it_is_given(kind, name, values):
    for value in values:
        with pytest.raises(InputError, match=rf"\b{name}\b"):
            checked_value(kind, name, value)


def test_there_are_settings_to_check():
    names = {kind.__name__ for kind in settings_classes()}
    assert {"TrainSettings", "FinetuneSettings", "CPCSettings", "EncoderSettings"} <= names
    assert len(names) > 30


def test_no_settings_class_is_left_unchecked():
    """A frozen dataclass whose name says that it holds settings inherits the check."""
    checked = set(settings_classes())
    for kind in list(checked):
        module = importlib.import_module(kind.__module__)
        for other in vars(module).values():
            if dataclasses.is_dataclass(other) and str(getattr(other, "__name__", "")).endswith(
                "Settings"
            ):
                assert issubclass(other, CheckedSettings), other


@dataclass(frozen=True)
class _Example(CheckedSettings):
    steps: int = 1


def test_the_check_runs_when_an_object_is_made():
    with pytest.raises(InputError, match=r"steps is 2\.5, but must be a whole number"):
        _Example(steps=2.5)
