"""``course.toml``: what each assignment counts, when it is due, and what handing in late costs."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, Count, Interval, check_names

from .collect import HANDED_IN
from .spreadsheets import number_in, read_sheet

RULES_FILE = "course.toml"
COURSE_TOML = """# Read by `ssl3d course grade`: the course's total, and what handing in late costs.

[weights]            # share of each assignment in the total; one that is not named counts 1
# A5 = 2

[due]                # local time; an assignment that is not named is never late
# A1 = 2027-03-08T23:59:00

[late]
free_days = 0        # late days of each student that cost nothing, over the whole course
percent_a_day = 0    # percent of what was earned, for each further day that has begun
"""


@dataclass(frozen=True)
class LateRules(CheckedSettings):
    """What handing in late costs."""

    free_days: Count = 0
    """Late days of each student that cost nothing, over the whole course."""
    percent_a_day: Annotated[float, Interval(ge=0, le=100)] = 0.0
    """Percent of what was earned, for each further day that has begun."""


@dataclass(frozen=True)
class CourseRules:
    """The whole of course.toml."""

    weights: Mapping[str, float] = field(default_factory=dict)
    due: Mapping[str, datetime] = field(default_factory=dict)
    late: LateRules = LateRules()

    def weight(self, assignment: str) -> float:
        return self.weights.get(assignment, 1.0)


def read_rules(folder: Path, assignments: Sequence[str]) -> CourseRules:
    """Read course.toml of a lecturer folder; without one, all count alike and nothing is late.

    Raises:
        InputError: it is not in order.
    """
    path = folder / RULES_FILE
    if not path.exists():
        return CourseRules()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        check_names(found, ("weights", "due", "late"), "table")
        weights, due, late = (found.get(name, {}) for name in ("weights", "due", "late"))
        for table in (weights, due):
            check_names(table, assignments, "assignment")
        check_names(late, ("free_days", "percent_a_day"), "setting")
        for name, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
                raise InputError(f"the weight of {name} is {weight!r}, but must be 0 or more")
        times = {name: _moment(name, value) for name, value in due.items()}
        return CourseRules(weights, times, LateRules(**late))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, InputError) as reason:
        raise InputError(f"{path}: {reason}") from None


def _moment(name: str, value: Any) -> datetime:
    """The time when an assignment is due; a day alone is meant to its end."""
    if isinstance(value, datetime):
        return value.astimezone().replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime.combine(value, time.max)
    raise InputError(f"{name} is due at {value!r}, but a time is wanted, as 2027-03-08T23:59:00")


# ---- lateness ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HandIn:
    """When a student handed in an assignment."""

    moment: datetime | None
    """None: nobody knows."""
    extra_days: float = 0.0
    said_late: bool = False
    """Whether the learning system calls it late."""


def read_times(submissions: Path) -> dict[tuple[str, str], HandIn]:
    """When each (student, assignment) was handed in: from handed_in.csv, and from the files
    ``timestamp.txt`` that nbgrader puts beside submissions.

    Raises:
        InputError: a time or a number of days cannot be understood.
    """
    found: dict[tuple[str, str], HandIn] = {}
    inner = submissions / "submitted"
    for path in (inner if inner.is_dir() else submissions).glob("*/*/timestamp.txt"):
        text = path.read_text(encoding="utf-8", errors="replace")
        found[path.parts[-3], path.parts[-2]] = HandIn(_time_in(text, path))
    table = submissions / HANDED_IN
    if table.exists():
        sheet = read_sheet(table, ("student", "assignment"))
        for line, row in zip(sheet.lines, sheet.rows, strict=True):
            where = f"{table}, line {line}"
            days = number_in(row.get("extra_days") or "0")
            if days is None:
                raise InputError(f"{where}: {row['extra_days']!r} is no number of days")
            text = row.get("handed_in", "")
            moment = _time_in(text, where) if text.strip() else None
            late = row.get("late", "").strip().casefold() in ("yes", "true", "1", "late")
            found[row["student"], row["assignment"]] = HandIn(moment, days, late)
    return found


def _time_in(text: str, where: object) -> datetime:
    """A time as systems and people write it; with a zone, it becomes local time."""
    import pandas as pd

    try:
        stamp = pd.to_datetime(text.strip())
        if pd.isna(stamp):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"{where}: {text.strip()!r} is no time, as 2027-03-08 23:59") from None
    moment: datetime = stamp.to_pydatetime()
    return moment.astimezone().replace(tzinfo=None) if moment.tzinfo else moment


def late_days(rules: CourseRules, times: Mapping[str, HandIn]) -> dict[str, int]:
    """Late days that count, by assignment, of one student: days that have begun since it was due,
    extra days taken off. Free days go to what was due first."""
    free, counted = rules.late.free_days, {}
    for name in sorted(times, key=lambda each: rules.due.get(each, datetime.max)):
        days = days_after(rules.due.get(name), times[name])
        spent = min(days, free)
        free -= spent
        counted[name] = days - spent
    return counted


def days_after(due: datetime | None, handed_in: HandIn) -> int:
    """Days that have begun since an assignment was due; 0 where a time is not known."""
    if due is None or handed_in.moment is None:
        return 0
    over = handed_in.moment - due - timedelta(days=handed_in.extra_days)
    return max(0, math.ceil(over / timedelta(days=1)))


def after_lateness(points: float, days: int, late: LateRules) -> float:
    """Points that are left of what was earned."""
    return points * max(0.0, 1 - days * late.percent_a_day / 100)
