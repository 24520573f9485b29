"""A page about the class: how hard each part was, which mistakes were made how often, and where the
course may be unclear. It names no student."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import StatisticsError, correlation, fmean, median

from markupsafe import Markup

from ssl3d_lite.html import as_html, bullets, escape, heading, meter, note, paragraph, write_html

from .checks import HIDDEN_FAILED, PARTIAL
from .feedback import part_titles
from .records import GradeRecord
from .sources import Assignment, Part

CLASS_PAGE = "class.html"
_BLANK = "there is no answer yet"
_COUNT = re.compile(rf"✗ \d+ of \d+: |^the core is right.*{PARTIAL}")
_VALUE = re.compile(r"\[[^\]]*\]|\([^)]*\d[^)]*\)|[-+]?\d+([.,]\d+)*(e[-+]?\d+)?%?")
_FEW = 5  # students of whom statistics say little
_SHOWN = 4  # mistakes of a part


@dataclass
class PartStatistics:
    """How a class did in one part."""

    part: Part
    title: str
    shares: list[float]
    """Share of the points, one a student."""
    blank: int
    """Students without an answer."""
    hidden: int
    """Students whose visible checks pass, and who lose the part by a hidden test."""
    discrimination: float | None
    """Correlation of its points with those of all other parts; None where that says nothing."""
    mistakes: list[tuple[str, int]] = field(default_factory=list)
    """Message → students, the most frequent first; values in it are left out."""

    @property
    def failed(self) -> int:
        """Students who answered and got no points."""
        return sum(share == 0 for share in self.shares) - self.blank


def statistics_of(records: Iterable[GradeRecord], assignment: Assignment) -> list[PartStatistics]:
    """Statistics of each part, of all submissions that could be run."""
    ran = [r for r in records if r.assignment == assignment.name and not _is_absent(r)]
    titles, found = part_titles(assignment), []
    for part in assignment.parts:
        marked = [record for record in ran if record.points.get(part.name) is not None]
        shares = [(record.points[part.name] or 0) / part.points for record in marked if part.points]
        rest = [_total(record) - (record.points[part.name] or 0) for record in marked]
        said = [record.messages.get(part.name, "") for record in marked]
        wrong = [text for text, share in zip(said, shares) if share < 1 and text != _BLANK]
        mistakes = Counter(kind_of_mistake(text) for text in wrong if text)
        found.append(
            PartStatistics(
                part,
                titles[part.name],
                shares,
                sum(text in (_BLANK, "no answer was found") for text in said),
                sum(HIDDEN_FAILED in text for text in said),
                _correlation(shares, rest),
                mistakes.most_common() if not part.is_open else [],
            )
        )
    return found


def kind_of_mistake(message: str) -> str:
    """A message without the values of one submission, by which mistakes are counted."""
    text = message.partition("; then: ")[0]
    return _VALUE.sub("…", _COUNT.sub("", text.replace(HIDDEN_FAILED, "")))


def _is_absent(record: GradeRecord) -> bool:
    return record.failed or record.status == "missing"


def _total(record: GradeRecord) -> float:
    return sum(got for got in record.points.values() if got)


def _correlation(shares: Sequence[float], rest: Sequence[float]) -> float | None:
    try:
        return correlation(shares, rest) if len(shares) >= _FEW else None
    except StatisticsError:  # all have the same
        return None


def doubts(items: Iterable[PartStatistics]) -> list[str]:
    """Sentences on where text or tests may be at fault, not the students."""
    said = []
    for item in items:
        name, number = f"Part {item.part.number} ({item.title})", len(item.shares)
        if number < _FEW:
            continue
        if item.blank > number / 3:
            said.append(f"{name}: {item.blank} of {number} wrote nothing. Is it clear what to do?")
        if item.mistakes and item.mistakes[0][1] >= max(3, number / 4):
            text, often = item.mistakes[0]
            said.append(f"{name}: {often} of {number} made the same mistake: {text}")
        if item.hidden > number / 4:
            said.append(
                f"{name}: for {item.hidden} of {number} the visible checks pass and a hidden test "
                "does not. Does the text ask for what that test wants?"
            )
        if item.discrimination is not None and item.discrimination < 0:
            said.append(f"{name}: those who do well elsewhere do worse here. Is a test wrong?")
    return said


def write_class_page(
    records: Sequence[GradeRecord], course: Sequence[Assignment], path: Path
) -> None:
    """Write the page, a section for each assignment that was handed in."""
    lines: list[str] = [heading("The class", 1)]
    for assignment in course:
        own = [r for r in records if r.assignment == assignment.name and not _is_absent(r)]
        if own:
            lines += _section(own, assignment)
    lines.append(note(_ABOUT))
    write_html(path, "The class", lines)


_ABOUT = (
    "Submissions that could not be read are left out. Discrimination: the correlation of a part's "
    "points with those of all other parts; near 0 or below, the part does not tell who understood. "
    "In mistakes, … stands for the values of one submission."
)


def _section(own: Sequence[GradeRecord], assignment: Assignment) -> list[str]:
    items, totals = statistics_of(own, assignment), [_total(record) for record in own]
    line = f"{len(own)} submissions; points {min(totals):g} to {max(totals):g}, "
    line += f"median {median(totals):g}, mean {fmean(totals):.1f} of {own[0].max:g}"
    rows = [_row(item) for item in items]
    header = ["Part", "", "Mean", "", "Full", "None", "Blank", "Hidden test", "Discrimination"]
    lines: list[str] = [heading(assignment.title), paragraph(line), as_html((header, rows))]
    found = doubts(items)
    if found:
        lines += [heading("Where it may be unclear", 3), bullets(found)]
    mistakes = [
        [str(item.part.number), f"{often}", text]
        for item in items
        for text, often in item.mistakes[:_SHOWN]
    ]
    if mistakes:
        table = as_html((["Part", "Students", "What the checks said"], mistakes))
        lines += [heading("Mistakes", 3), table]
    return lines


def _row(item: PartStatistics) -> list[str | Markup]:
    title, number = escape(item.title), len(item.shares)
    if not number:
        return [str(item.part.number), title, "to be marked", *[""] * 6]
    mean, full = fmean(item.shares), sum(share == 1 for share in item.shares)
    none = sum(share == 0 for share in item.shares)
    told = "" if item.discrimination is None else f"{item.discrimination:+.2f}"
    counts = [str(each) for each in (full, none, item.blank, item.hidden)]
    return [str(item.part.number), title, f"{mean:.0%}", meter(mean, 1), *counts, told]
