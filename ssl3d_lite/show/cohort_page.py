"""What is in a cohort, as one HTML page: pictures, values, shapes, labels, folds and rejects.

It is for a person to see at a glance that the data are right. Every number is counted from the
cohort; none is typed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from tqdm.auto import tqdm
from tyro.conf import Positional

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.html import Table, as_html, bullets, escape, picture, write_html
from ssl3d_lite.show.figures.contact_sheet import contact_sheet, grade_counts, intensities

MOST_READ = 200  # cases whose values are counted


@dataclass(frozen=True)
class Show:
    """Writes one HTML page about a cohort: a contact sheet with the labels outlined, and what
    intensities, shapes, labels and folds it has."""

    cohort: Positional[Path]
    """Prepared cohort."""

    out: Path | None = None
    """The page. Default: cohort.html in the cohort's folder."""

    cases: int = 12
    """Cases on the contact sheet, spread evenly over the cohort."""


def show(settings: Show) -> Path:
    """Write the page, and return its path.

    Raises:
        InputError: no cohort there, or one without a case; an array that cannot be read.
    """
    cohort = Cohort.open(settings.cohort)
    if not len(cohort) or settings.cases < 1:
        raise InputError(f"{settings.cohort} has {len(cohort)} cases, {settings.cases} to be shown")
    shown, read = spread(cohort, settings.cases), spread(cohort, MOST_READ)
    some = "" if len(read) == len(cohort) else f" ({len(read)} of {len(cohort)} cases)"
    parts = [
        f"<h1>{escape(cohort.name)}</h1>",
        f"<p>{escape(cohort.description)}</p>" if cohort.description else "",
        bullets(facts(cohort)),
        "<h2>Cases</h2>",
        picture(contact_sheet(cohort, shown), caption(cohort, len(shown))),
        f"<h2>Intensities{some}</h2>",
        picture(
            intensities(cohort, read),
            "A thin line a case, the thick one their mean. The commonest value, the background's, "
            "is left out. Lines that stand apart are worth a look.",
        ),
        f"<h2>Labels{some}</h2>",
        *labels_section(cohort, read),
        "<h2>Folds</h2>",
        as_html(fold_table(cohort)),
    ]
    if cohort.rejected:
        rows = [[r["case"], r["reason"]] for r in cohort.rejected]
        parts += ["<h2>Rejected</h2>", as_html((["case", "reason"], rows))]
    path = settings.out or settings.cohort / "cohort.html"
    write_html(path, cohort.name, parts)
    return path


def spread(cohort: Cohort, most: int) -> list[int]:
    """At most ``most`` positions, evenly over the cohort; of graded cases, over the grades."""
    order = list(range(len(cohort)))
    if cohort.ordinal:
        last = len(cohort.label_names)
        order.sort(key=lambda i: last if cohort.cases[i].grade is None else cohort.cases[i].grade)
    places = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return [order[place] for place in places]


def facts(cohort: Cohort) -> list[str]:
    """What the manifest says, in lines."""
    labelled = sum(case.labelled for case in cohort.cases)
    patients = len({case.patient for case in cohort.cases})
    shapes = Counter(case.shape for case in cohort.cases)
    listed = ", ".join(f"{' × '.join(map(str, shape))}" for shape, _ in shapes.most_common(3))
    more = f" and {len(shapes) - 3} other shapes" if len(shapes) > 3 else ""
    spacing = " × ".join(f"{length:.3g}" for length in cohort.spacing)
    grid = (
        f"{listed}{more} voxels of {spacing} mm"
        if cohort.unit == "mm"
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
    """How large the labels are, or how many cases have each grade."""
    if not any(case.labelled for case in cohort.cases):
        return ["<p>No case has a label.</p>"]
    if cohort.ordinal:
        return [picture(grade_counts(cohort), "Cases by grade and fold.")]
    note = "Cut off: labelled voxels of the raw scan that lie outside the prepared volume."
    return [as_html(label_table(cohort, read)), f'<p class="note">{note}</p>']


def label_table(cohort: Cohort, read: Sequence[int]) -> Table:
    """A class a row: in how many cases it is, and how large."""
    volumes = []  # (case, class), in voxels times their size
    labelled = [case for case in read if cohort.cases[case].labelled]
    for case in tqdm(labelled, desc="labels", unit="case"):
        label = cohort[case][1]
        lengths = voxel_sizes(np.array(cohort.cases[case].affine))
        counts = np.bincount(label.ravel(), minlength=len(cohort.label_names))
        volumes.append(counts * np.prod(lengths))
    volumes = np.array(volumes).reshape(-1, len(cohort.label_names))
    unit, scale = ("ml", 1000) if cohort.spatial_dims == 3 else (f"{cohort.unit}²", 1)
    rows = []
    classes = zip(cohort.label_names, cohort.label_values, volumes.T, strict=True)
    for name, value, sizes in list(classes)[1:]:  # but the background
        there = sizes[sizes > 0] / scale
        size = ""
        if len(there):
            size = f"{np.median(there):.3g} ({there.min():.3g}–{there.max():.3g})"
        rows.append([name, str(value), f"{len(there)} of {len(labelled)}", size])
    lost = sum(cohort.cases[case].lost for case in labelled)
    rows.append(["cut off", "", "", f"{lost} raw voxels"])
    return ["class", "raw value", "in cases", f"median size, {unit} (smallest–largest)"], rows


def fold_table(cohort: Cohort) -> Table:
    """A fold a row: how many cases, patients and labels."""
    folds = sorted({case.fold for case in cohort.cases}, key=lambda f: (f is None, f))
    rows = []
    for fold in folds:
        cases = [case for case in cohort.cases if case.fold == fold]
        name = "none: pretraining only" if fold is None else str(fold)
        patients = len({case.patient for case in cases})
        rows.append([name, str(len(cases)), str(patients), str(sum(c.labelled for c in cases))])
    return ["fold", "cases", "patients", "with a label"], rows
