"""Settings: every value is checked where it is given, and refused in one line."""

import pickle
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import (
    CheckedSettings,
    Count,
    Interval,
    Len,
    MultipleOf,
    NonNegativeFloat,
    OpenFraction,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    Shape,
)


@dataclass(frozen=True)
class Inner(CheckedSettings):
    steps: PositiveInt = 1


@dataclass(frozen=True)
class Example(CheckedSettings):
    number: PositiveInt = 3
    count: Count = 0
    rate: PositiveFloat = 0.1
    decay: NonNegativeFloat = 0.0
    chance: Probability = 0.5
    share: OpenFraction = 0.5
    seed: Seed = 0
    shape: Shape | None = None
    kind: Literal["nce", "triplet"] = "nce"
    axis: Literal[0, 1, 2] = 0
    flag: bool = False
    text: str = ""
    path: Path = Path(".")
    every: Annotated[int, MultipleOf(10)] = 10
    angle: Annotated[float, Interval(ge=-180, lt=180)] = 0.0
    names: Annotated[tuple[str, ...], Len(1, 3)] = ("a",)
    table: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    title: ClassVar[str] = "no setting"


def refusal(**wrong: Any) -> str:
    with pytest.raises(InputError) as refused:
        Example(**wrong)
    said = str(refused.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("number", 0, "must be above 0"),
        ("number", -3, "must be above 0"),
        ("number", 2.5, "must be a whole number"),
        ("number", 2.0, "must be a whole number"),
        ("number", True, "must be a whole number"),
        ("number", "3", "must be a whole number"),
        ("number", None, "must be a whole number"),
        ("count", -1, "must be 0 or more"),
        ("rate", 0, "must be above 0"),
        ("rate", "fast", "must be a number"),
        ("rate", float("nan"), "must be a finite number"),
        ("rate", float("inf"), "must be a finite number"),
        ("decay", -1, "must be 0 or more"),
        ("chance", 7, "must be 1 or less"),
        ("chance", -0.1, "must be 0 or more"),
        ("share", 1, "must be below 1"),
        ("share", 0, "must be above 0"),
        ("seed", -1, "must be 0 or more"),
        ("seed", 2**32, "must be below 4.29497e+09"),
        ("shape", (8,), "needs 2 or more entries"),
        ("shape", (8, 8, 8, 8), "takes 3 entries at most"),
        ("shape", (8, 0, 8), "each entry must be above 0"),
        ("shape", 8, "must be a list of values"),
        ("axis", 3, "must be one of 0, 1 or 2"),
        ("kind", 3, "must be one of 'nce' or 'triplet'"),
        ("flag", 1, "must be True or False"),
        ("text", 5, "must be a text"),
        ("path", 5, "must be a path"),
        ("every", 15, "must be a multiple of 10"),
        ("angle", 180, "must be below 180"),
        ("names", (), "needs 1 or more entries"),
        ("names", ("a", 2), "each entry must be a text"),
        ("table", 5, "must be a table of names and values"),
    ],
)
def test_a_wrong_kind_or_range_is_one_line_with_the_value_and_the_rule(name, value, rule):
    given_value = tuple(value) if isinstance(value, list) else value
    assert refusal(**{name: value}) == f"{name} is {given_value!r}, but {rule}"


def test_a_misspelt_choice_names_the_nearest_and_all():
    said = "unknown kind 'triple'; did you mean 'triplet'? (known: nce, triplet)"
    assert refusal(kind="triple") == said


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("number", np.int64(5), 5),
        ("number", torch.tensor(5), 5),
        ("rate", np.float32(0.5), 0.5),
        ("rate", 1, 1.0),
        ("shape", [8, 8, 8], (8, 8, 8)),
        ("shape", np.int64([8, 8]).tolist(), (8, 8)),
        ("shape", None, None),
        ("path", "a/b", Path("a/b")),
        ("flag", np.bool_(True), True),
        ("names", ["a", "b"], ("a", "b")),
    ],
)
def test_what_means_the_same_is_given_the_fields_type(name, value, kept):
    found = getattr(Example(**{name: value}), name)
    assert found == kept
    assert type(found) is type(kept)


def test_a_replaced_value_is_checked_too():
    with pytest.raises(InputError, match="rate is -1, but must be above 0"):
        replace(Example(), rate=-1)


def test_settings_within_settings_check_themselves():
    with pytest.raises(InputError, match="steps is 0"):
        Example(inner=Inner(steps=0))
    assert Example(inner=Inner(2)).inner.steps == 2


def test_rules_about_several_fields_come_after_the_types():
    @dataclass(frozen=True)
    class Part(CheckedSettings):
        first: Probability = 0.0
        last: Probability = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.first < self.last:
                raise InputError("first must lie before last")

    with pytest.raises(InputError, match="first is 2, but must be 1 or less"):
        Part(first=2)
    with pytest.raises(InputError, match="first must lie before last"):
        Part(first=0.5, last=0.5)


def test_inherited_fields_are_checked():
    @dataclass(frozen=True)
    class More(Example):
        other: PositiveInt = 1

    with pytest.raises(InputError, match="number is 0"):
        More(number=0)
    with pytest.raises(InputError, match="other is 0"):
        More(other=0)


def test_settings_are_plain_data():
    made = Example(shape=[8, 9])
    assert pickle.loads(pickle.dumps(made)) == made
    assert Example(**asdict(made) | {"inner": made.inner}) == made
    assert len({Inner(1), Inner(1), Inner(2)}) == 2


@settings(deadline=None)
@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(1e-300, 1e300))
def test_every_value_in_range_is_kept_as_it_is(number, chance, rate):
    made = Example(number=number, chance=chance, rate=rate)
    assert (made.number, made.chance, made.rate) == (number, chance, rate)
