"""What is in a cohort, as one HTML page: pictures, values, shapes, labels, folds and rejects.

It lets a person see at a glance that the data are right. Every number is counted from the cohort.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import UNKNOWN_UNIT, Cohort
from ssl3d_lite.data.place import place_remarks, spread
from ssl3d_lite.errors import InputError
from ssl3d_lite.html import Table, as_html, bullets, escape, is_page_of, picture, write_html
from ssl3d_lite.outputs import check_file
from ssl3d_lite.settings import CheckedSettings, Positional, PositiveInt

from .figures.contact_sheet import contact_sheet, grade_counts, intensities

UNITS = {"mm": " mm", UNKNOWN_UNIT: " in a unit that the scans do not state"}  # as text has them
MAX_CASES_READ = 200  # cases whose intensities and labels are counted
_MAKER = "ssl3d show"


@dataclass(frozen=True)
class CohortPage(CheckedSettings):
    """Write one HTML page about a cohort: a contact sheet with the labels outlined, and what
    intensities, shapes, labels and folds it has.

    ssl3d show SCAN.nii.gz --labels TRUTH.nii.gz --prediction MAP.nii.gz opens a raw scan in
    napari."""

    cohort: Positional[Path]
    """Prepared cohort."""

    out: Path | None = None
    """File of the page. Default: cohort.html in the cohort's folder."""

    cases: PositiveInt = 12
    """Number of cases on the contact sheet, spread evenly over the cohort."""


def write_cohort_page(settings: CohortPage) -> Path:
    """Write the page, and return its path.

    Raises:
        InputError: there is no cohort, or it has no case, or an array cannot be read; a file is
            there that is no page of a cohort as it was written.
    """
    cohort = Cohort.open(settings.cohort)
    if not len(cohort):
        raise InputError(f"{settings.cohort} has no cases to show")
    path = settings.out or settings.cohort / "cohort.html"
    check_file(path, _is_own, "page of a cohort")
    write_html(path, cohort.name, page_parts(cohort, settings.cases), _MAKER)
    return path


def _is_own(path: Path) -> bool:
    """Whether a file is a page of a cohort, as it was written; the first ones had no seal."""
    data = path.read_bytes()
    unsealed = data.startswith(b"<!doctype html>") and b'name="generator"' not in data
    sections = (b"<h2>Cases</h2>", b"<h2>Intensities", b"<h2>Folds</h2>", b"max-width: 54rem")
    return is_page_of(path, _MAKER) or (unsealed and all(each in data for each in sections))


def page_parts(cohort: Cohort, cases: int) -> list[str]:
    """The page's sections as HTML, with ``cases`` cases on the contact sheet."""
    shown, read = spread_cases(cohort, cases), spread_cases(cohort, MAX_CASES_READ)
    some = "" if len(read) == len(cohort) else f" ({len(read)} of {len(cohort)} cases)"
    parts = [
        f"<h1>{escape(cohort.name)}</h1>",
        f"<p>{escape(cohort.description)}</p>" if cohort.description else "",
        picture(contact_sheet(cohort, shown), caption(cohort, len(shown))),
        "<h2>Cases</h2>",
        bullets(cohort_facts(cohort)),
        f"<h2>Intensities{some}</h2>",
        picture(
            intensities(cohort, read),
            "A thin line is a case, the thick one their mean. The commonest value, the "
            "background's, is left out. A line that lies apart from the others is worth a look.",
        ),
        f"<h2>Labels{some}</h2>",
        *labels_section(cohort, read),
        "<h2>Folds</h2>",
        as_html(fold_table(cohort)),
    ]
    if cohort.rejected:
        rows = [[r["case"], r["reason"]] for r in cohort.rejected]
        parts += ["<h2>Rejected</h2>", as_html((["case", "reason"], rows))]
    return parts


def spread_cases(cohort: Cohort, count: int) -> list[int]:
    """At most ``count`` positions, evenly over the cohort, or over the grades of graded cases."""
    order = list(range(len(cohort)))
    if cohort.ordinal:
        last = len(cohort.label_names)
        order.sort(key=lambda i: last if cohort.cases[i].grade is None else cohort.cases[i].grade)
    return spread(order, count)


def cohort_facts(cohort: Cohort) -> list[str]:
    """Lines about the cohort, from its manifest."""
    labelled = sum(case.labelled for case in cohort.cases)
    patients = len({case.patient for case in cohort.cases})
    shapes = Counter(case.shape for case in cohort.cases)
    listed = ", ".join(f"{' × '.join(map(str, shape))}" for shape, _ in shapes.most_common(3))
    more = f" and {len(shapes) - 3} other shapes" if len(shapes) > 3 else ""
    spacing = " × ".join(f"{length:.3g}" for length in cohort.spacing)
    grid = (
        f"{listed}{more} voxels of {spacing}{UNITS[cohort.unit]}"
        if cohort.unit in UNITS
        else f"{listed}{more} pixels, each {spacing} of the raw picture's"
    )
    grid += " on average" if len(shapes) > 1 else ""
    recipe = {name: value for name, value in cohort.recipe.items() if value is not None}
    return [
        f"{len(cohort)} cases of {patients} patients, {labelled} with a label; "
        f"{len(cohort.rejected)} raw cases were rejected.",
        f"{grid}; channels: {', '.join(cohort.channels)}.",
        "Prepared with " + ", ".join(f"{name}={value}" for name, value in recipe.items()) + ".",
        f"Licence: {cohort.licence}",
        *([f"Source: {cohort.citation}"] if cohort.citation else []),
    ]


def caption(cohort: Cohort, shown: int) -> str:
    if cohort.spatial_dims == 2:
        return f"{shown} cases, spread evenly over the cohort."
    return (
        f"{shown} cases, spread evenly over the cohort: planes through the middle of the label, or "
        "of the scan. R is the patient's right. Labels are outlined."
    )


# ---- labels and folds --------------------------------------------------------------------------


def labels_section(cohort: Cohort, read: Sequence[int]) -> list[str]:
    """How large the labels are, or how many cases have each grade; what place alone explains."""
    if not any(case.labelled for case in cohort.cases):
        return ["<p>No case has a label.</p>"]
    floor = [f"<p>{escape(line[0].upper() + line[1:])}.</p>" for line in place_remarks(cohort)]
    if cohort.ordinal:
        return [picture(grade_counts(cohort), "Cases by grade and fold."), *floor]
    note = "Cut off: labelled voxels of the raw scan that lie outside the prepared volume."
    return [as_html(label_table(cohort, read)), f'<p class="note">{note}</p>', *floor]


def label_table(cohort: Cohort, read: Sequence[int]) -> Table:
    """A row for each class: in how many cases it occurs, and how large it is."""
    volumes = []  # (case, class), in voxels times their size
    labelled = [case for case in read if cohort.cases[case].labelled]
    for case in tqdm(labelled, desc="labels", unit="case"):
        label = cohort[case][1]
        counts = np.bincount(label.ravel(), minlength=len(cohort.label_names))
        volumes.append(counts * np.prod(cohort.cases[case].spacing))
    volumes = np.array(volumes).reshape(-1, len(cohort.label_names))
    power = "²³"[cohort.spatial_dims - 2]
    unit, scale = f"{cohort.unit}{power}", 1
    if cohort.unit == UNKNOWN_UNIT:
        unit = f"(unstated unit){power}"
    elif unit == "mm³":
        unit, scale = "ml", 1000
    rows = []
    classes = zip(cohort.label_names, cohort.label_values, volumes.T, strict=True)
    for name, value, sizes in list(classes)[1:]:  # all but the background
        there = sizes[sizes > 0] / scale
        size = ""
        if len(there):
            size = f"{np.median(there):.3g} ({there.min():.3g}–{there.max():.3g})"
        rows.append([name, str(value), f"{len(there)} of {len(labelled)}", size])
    lost = sum(cohort.cases[case].lost for case in labelled)
    rows.append(["cut off", "", "", f"{lost} raw voxels"])
    return ["class", "raw value", "in cases", f"median size, {unit} (smallest–largest)"], rows


def fold_table(cohort: Cohort) -> Table:
    """A row for each fold: how many cases, patients and labels it has."""
    folds = sorted({case.fold for case in cohort.cases}, key=lambda f: (f is None, f))
    rows = []
    for fold in folds:
        cases = [case for case in cohort.cases if case.fold == fold]
        name = "none: pretraining only" if fold is None else str(fold)
        patients = len({case.patient for case in cases})
        rows.append([name, str(len(cases)), str(patients), str(sum(c.labelled for c in cases))])
    return ["fold", "cases", "patients", "with a label"], rows
