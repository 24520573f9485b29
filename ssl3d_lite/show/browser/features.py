"""What an encoder learnt, in the browser: its features in colours, and the same place in others.

A click on a voxel of a patient shows where the other patients are most like it, by an
encoder, by another one beside it, and by place alone. All of it happens in the browser
(``features.js``): cells are sent once, and the kernel is asked for nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import UNKNOWN_UNIT, Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.feature_maps import cell_labels, check_cases, checked_stride
from ssl3d_lite.evaluation.nearest import nearest_rows, with_control
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.show.arrays import air, greys
from ssl3d_lite.show.pieces import COLOURS, CORRECT_COLOUR, WRONG_COLOUR, class_colour
from ssl3d_lite.show.stills.features import features_still

from .browser_module import browser_module
from .feature_cells import (
    PLACE_COLUMN,
    STEPS,
    FeatureColumn,
    encoder_column,
    frames_of,
    place_column,
    stride_for,
    transfer_dice,
)
from .feature_rings import RingJudge, asked_places, mean_of_moved
from .saved_page import BrowserView

MOST_PATIENTS = 4
MOST_AMONG = 12  # patients among whom the nearest are sought, by default
NEAREST = 5  # patients that are shown of them
RANDOM_ABOUT = "the same network, untrained"
PLACE_ABOUT = "sees no scan, knows only where"
FEATURES_NOTE = (
    "Few patients are shown, and random weights paint anatomy too: what counts is where rings lie, "
    "beside random weights and place alone."
)


class Features(BrowserView):
    """Features of two encoders, and of place alone, in two to four patients.

    Hover over a voxel of the first patient, or click to keep it; a click in another one asks from
    there. The other patients, and a crop of the first that can be moved, show how like each voxel
    is, and a ring at the best match. Features that follow the anatomy stay on it when the crop is
    moved; what knows the place alone stays at the same position of the crop.

    Below are the nearest patches over all patients; three planes that cross at the voxel; features
    in colours in 3D; dots, each a cell by its first two principal components, which ask as a voxel
    does; and the patients that are most alike as a whole, beside those of the nearest intensities.

    Attributes:
        patient: which of the patients is asked, from 0.
        voxel: the voxel of it that is asked, [x, y, z]. Set it to ask another.
        plane: "sagittal", "coronal" or "axial".
        opacity: from 0, the scan alone, to 1, the features alone.
        frame: where the crop lies: 0 in the middle, 1 and 2 moved along the scan's diagonal.
    """

    _esm = browser_module(Path(__file__).with_suffix(".js"))
    _css = Path(__file__).with_suffix(".css")

    patient = traitlets.Int(0).tag(sync=True)
    voxel = traitlets.List(traitlets.Int()).tag(sync=True)
    plane = traitlets.Enum(("sagittal", "coronal", "axial"), "sagittal").tag(sync=True)
    opacity = traitlets.Float(0.7, min=0, max=1).tag(sync=True)
    frame = traitlets.Int(len(STEPS) - 1).tag(sync=True)

    # sent once
    _patients: traitlets.List = traitlets.List().tag(sync=True)  # name, shape, spacing, labelled
    _frames: traitlets.List = traitlets.List().tag(sync=True)  # corner, size: in the first patient
    _columns: traitlets.List = traitlets.List().tag(sync=True)  # as _columns_of gives them
    _stride = traitlets.Int().tag(sync=True)
    _classes: traitlets.List = traitlets.List().tag(sync=True)  # name and colour of labels 1, 2, …
    _marks = traitlets.List([CORRECT_COLOUR, WRONG_COLOUR]).tag(sync=True)  # for right, for wrong
    _colours = traitlets.List(list(COLOURS[:MOST_PATIENTS])).tag(sync=True)  # one a patient
    _unit = traitlets.Unicode().tag(sync=True)
    _near: traitlets.List = traitlets.List().tag(sync=True)  # a right ring is: to label, to place
    _conclusion: traitlets.List = traitlets.List().tag(sync=True)  # what is known, then by what
    _numbers: traitlets.List = traitlets.List().tag(sync=True)  # rows of text, for a table
    _others: traitlets.List = traitlets.List().tag(sync=True)  # name, size and extent of pictures
    _neighbours: traitlets.List = traitlets.List().tag(sync=True)  # name, nearest of each patient
    _note = traitlets.Unicode().tag(sync=True)
    _scans = traitlets.Bytes().tag(sync=True)  # one patient after another, (x, y, z)
    _labels = traitlets.Bytes().tag(sync=True)  # the same of those that have labels
    _thumbs = traitlets.Bytes().tag(sync=True)  # a plane of each patient, rows from the top
    _cells = traitlets.Bytes().tag(sync=True)  # column, patient or frame, cell, component

    @takes_cohort
    def __init__(
        self,
        encoder: Encoder,
        cohort: Cohort,
        beside: Encoder | None = None,
        cases: Sequence[int] | None = None,
        *,
        among: Sequence[int] | None = None,
        names: tuple[str, str] | None = None,
        stride: int | None = None,
        exact: bool = True,
    ):
        """
        Args:
            encoder: a trained encoder.
            cohort: 3D scans, prepared as those that it learnt from.
            beside: the encoder that stands beside it; by default a random one of its shape.
            cases: positions of two to four patients; the first is asked. By default four of the
                test set of fold 0, or of all cases where there is none.
            among: positions of further patients, among whom the nearest are sought too; by default
                at most 12 of those that ``cases`` are taken from.
            names: what the two encoders are called.
            stride: edge of a cell, in voxels; by default the smallest, from 2 on, by which a
                patient has at most 32768 cells.
            exact: compute in float64, so that colours are the same on every machine.

        Raises:
            InputError: an encoder cannot read the scans; the scans are pictures; there are fewer
                than two or more than four cases.

        Example::

            show.Features(encoder, cohort, beside=other, cases=[0, 1, 2, 3]).save("features.html")
        """
        chosen = _patients_of(cohort, cases)
        everyone = _everyone(cohort, chosen, among)
        shapes = [cohort.cases[case].shape for case in chosen]
        stride = max(map(stride_for, shapes)) if stride is None else checked_stride(stride, shapes)
        frames = frames_of(shapes[0])
        encoders = _named_encoders(encoder, beside, names)
        both = tqdm(encoders.items(), "features", unit="encoder")
        others = everyone[len(chosen) :]
        columns = [
            encoder_column(name, each, cohort, chosen, frames, stride, exact, others)
            for name, each in both
        ] + [place_column(shapes, frames, stride)]
        labels = [_label(cohort, case) for case in chosen]
        scans = [_greys(cohort, case) for case in chosen]
        spacings = [cohort.cases[case].spacing.tolist() for case in chosen]
        judge = RingJudge(shapes, spacings, labels, frames, stride)
        abouts = ("", RANDOM_ABOUT if beside is None else "", PLACE_ABOUT)
        places = asked_places(labels[0], scans[0])
        crops = [judge.in_crops(column.cells, places) for column in columns]
        rows = _columns_of(columns, abouts, judge, places, crops)
        self._judged = judge, [column.cells for column in columns], places
        on_cells = [cell_labels(cohort, case, stride) for case in chosen]
        dice = [transfer_dice(column.cells, on_cells) for column in columns]
        unit = "" if cohort.unit == UNKNOWN_UNIT else cohort.unit
        super().__init__(
            voxel=_first_voxel(labels[0], shapes[0]),
            _patients=[
                _patient(cohort, case, label) for case, label in zip(chosen, labels, strict=True)
            ],
            _frames=[{"corner": list(f.corner), "size": list(f.size)} for f in frames],
            _columns=rows,
            _stride=stride,
            _classes=_named_colours(cohort, labels),
            _unit=unit,
            _near=[judge.near.label, judge.near.place],
            _conclusion=conclusion_of(rows, len(chosen)),
            _numbers=numbers_of(columns, dice, crops, cohort),
            _note=FEATURES_NOTE,
            _others=[_about_thumb(cohort, case) for case in everyone],
            _neighbours=_neighbours(columns, cohort, everyone, len(chosen)),
            _thumbs=b"".join(_thumb(cohort, case).tobytes() for case in everyone),
            _scans=b"".join(scan.tobytes() for scan in scans),
            _labels=b"".join(label.tobytes() for label in labels if label is not None),
            _cells=b"".join(cells.tobytes() for column in columns for cells in column.cells),
        )

    def telling_voxel(self) -> list[int]:
        """The labelled voxel of the first patient at which the first row is right most often and
        the others least, in the crop as it lies and in the other patients; of several the one that
        is nearest to the middle of its label. It is the example that shows the difference best, and
        not a typical one."""
        judge, rows, places = self._judged
        if judge.labels[0] is None:
            return list(self.voxel)
        labels = judge.labels[0][tuple(places.T)]
        middles = {label: places[labels == label].mean(0) for label in set(labels.tolist())}
        told = []
        for place, label in zip(places[:, None], labels.tolist(), strict=True):
            right = [judge.in_patients(cells, place) for cells in rows]
            moved = [judge.in_crops(cells, place)[self.frame] for cells in rows]
            both = [a + b for a, b in zip(right, moved) if a is not None and b is not None]
            if len(both) < len(rows):
                continue  # outside the crop, or no other patient has its label
            own, *others = both
            off = float(np.linalg.norm(place - middles[label]))
            told.append((own - max(others), own, -off, place[0].tolist()))
        return max(told)[-1] if told else list(self.voxel)

    def figure(self) -> Figure:
        return features_still(self.get_state())

    @traitlets.validate("voxel")
    def _inside(self, proposal: dict) -> list[int]:
        voxel, shape = proposal["value"], self._patients[self.patient]["shape"]
        if len(voxel) != len(shape) or not all(0 <= v < n for v, n in zip(voxel, shape)):
            size = " × ".join(map(str, shape))
            raise InputError(f"voxel {voxel} is not in the patient's {size} voxels")
        return voxel

    @traitlets.validate("patient")
    def _among_patients(self, proposal: dict) -> int:
        patient, count = proposal["value"], len(self._patients)
        if not 0 <= patient < count:
            raise InputError(f"patient {patient} is not among the {count}, from 0")
        return patient

    @traitlets.validate("frame")
    def _among_frames(self, proposal: dict) -> int:
        frame, count = proposal["value"], len(self._frames)
        if not 0 <= frame < count:
            raise InputError(
                f"frame {frame} is not among the {count} positions of the crop, from 0"
            )
        return frame

    def __repr__(self) -> str:  # ipywidgets' own would hold every byte
        names = ", ".join(column["name"] for column in self._columns)
        return f"Features of {len(self._patients)} patients: {names}"


def _patients_of(cohort: Cohort, cases: Sequence[int] | None) -> list[int]:
    if cohort.spatial_dims != 3:
        raise InputError(f"{cohort.name} is {cohort.spatial_dims}D; Features shows 3D scans")
    chosen = check_cases(cohort, _unseen(cohort)[:MOST_PATIENTS] if cases is None else cases)
    if len(set(chosen)) < len(chosen):
        raise InputError(
            f"cases are {chosen}, but each patient is shown once; leave out the second"
        )
    if not 2 <= len(chosen) <= MOST_PATIENTS:
        raise InputError(f"{len(chosen)} cases are chosen; Features shows 2 to {MOST_PATIENTS}")
    return chosen


def _unseen(cohort: Cohort) -> Sequence[int]:
    """The test set of fold 0; all cases where there is none."""
    folds = {case.fold for case in cohort.cases if case.fold is not None}
    return cohort.split().test if len(folds) > 2 else range(len(cohort))


def _everyone(cohort: Cohort, chosen: Sequence[int], among: Sequence[int] | None) -> list[int]:
    """The patients that are shown, then the others among whom the nearest are sought."""
    if among is None:
        return list(dict.fromkeys((*chosen, *_unseen(cohort))))[: max(MOST_AMONG, len(chosen))]
    none = isinstance(among, Sequence) and not among
    return list(dict.fromkeys((*chosen, *(() if none else check_cases(cohort, among)))))


def _named_encoders(
    encoder: Encoder, beside: Encoder | None, names: tuple[str, str] | None
) -> dict[str, Encoder]:
    """Name → encoder, the random one of the same shape where there is no other."""
    if names is None:
        names = ("the encoder", "random weights" if beside is None else "the other")
    texts = isinstance(names, (tuple, list)) and all(
        isinstance(n, str) and n.strip() for n in names
    )
    if not texts or len(names) != 2 or len({*names, PLACE_COLUMN}) != 3:
        raise InputError(
            f"names are {names!r}, but must be two texts that differ, one for each encoder, and "
            f"neither of them {PLACE_COLUMN!r}"
        )
    other = encoder.random(0) if beside is None else beside
    return dict(zip(names, (encoder, other), strict=True))


# ---- what is sent ------------------------------------------------------------------------------


def _greys(cohort: Cohort, case: int) -> np.ndarray:
    """The first channel, uint8 (*space): 0 is air, and nothing else."""
    image = cohort.images([case])[0, 0].cpu().numpy()
    nothing = air(image)
    shades = np.maximum(greys(image, nothing), 1)
    shades[nothing] = 0
    return shades


def _label(cohort: Cohort, case: int) -> np.ndarray | None:
    return cell_labels(cohort, case, 1)  # single voxels


def _patient(cohort: Cohort, case: int, label: np.ndarray | None) -> dict[str, Any]:
    about = cohort.cases[case]
    return {
        "name": about.id,
        "shape": list(about.shape),
        "spacing": about.spacing.tolist(),
        "labelled": label is not None,
    }


def _columns_of(
    columns: Sequence[FeatureColumn],
    abouts: Sequence[str],
    judge: RingJudge,
    places: np.ndarray,
    crops: Sequence[Sequence[float | None]],
) -> list[dict[str, Any]]:
    return [
        {
            "name": column.name,
            "about": about,
            "components": column.cells[0].shape[1],
            "palette": column.palette.tolist(),
            "right": [judge.in_patients(column.cells, places), mean_of_moved(shares)],
            "still": shares[0],
        }
        for column, about, shares in zip(columns, abouts, crops, strict=True)
    ]


def _named_colours(cohort: Cohort, labels: Sequence[np.ndarray | None]) -> list[dict[str, str]]:
    if all(label is None for label in labels):
        return []
    names = cohort.label_names[1:]
    return [
        {"name": name, "colour": class_colour(number, name)} for number, name in enumerate(names, 1)
    ]


def _first_voxel(label: np.ndarray | None, shape: Sequence[int]) -> list[int]:
    """The voxel that is nearest to the middle of the largest label; without labels the middle."""
    middle = np.array(shape) // 2
    if label is not None and label.any():
        inside = np.argwhere(label == np.bincount(label[label > 0]).argmax())
        middle = inside[np.square(inside - inside.mean(0)).sum(1).argmin()]
    return middle.tolist()


def _neighbours(
    columns: Sequence[FeatureColumn], cohort: Cohort, everyone: Sequence[int], asked: int
) -> list[dict[str, Any]]:
    """For each encoder, and for the control, the patients nearest to each of the first; nothing
    where there are so few that all are near."""
    if len(everyone) < NEAREST:
        return []
    vectors = {each.name: each.embeddings for each in columns if each.embeddings is not None}
    return [
        {"name": name, "nearest": [nearest_rows(rows, row, NEAREST) for row in range(asked)]}
        for name, rows in with_control(vectors, cohort, everyone).items()
    ]


def _thumb(cohort: Cohort, case: int) -> np.ndarray:
    """The middle sagittal plane as a picture, uint8 (row, column), the top row first."""
    shades = _greys(cohort, case)
    return np.ascontiguousarray(shades[len(shades) // 2].T[::-1])


def _about_thumb(cohort: Cohort, case: int) -> dict[str, Any]:
    about = cohort.cases[case]
    size = about.shape[1:]
    return {"name": about.id, "size": list(size), "extent": (about.spacing[1:] * size).tolist()}


# ---- what is said ------------------------------------------------------------------------------


def conclusion_of(columns: Sequence[dict[str, Any]], patients: int) -> list[str]:
    """Whether the first row's rings are right more often than the others', and the numbers."""
    own, *rivals = columns
    name = own["name"][0].upper() + own["name"][1:]
    ahead = [each["name"] for each in rivals if _ahead(own["right"], each["right"])]
    if len(ahead) == len(rivals):
        said = f"{name} knows more of the anatomy than {ahead[0]}, and not only the place."
    else:
        behind = " and ".join(each["name"] for each in rivals if each["name"] not in ahead)
        said = f"By these numbers {own['name']} is not clearly ahead of {behind}."
    others = _listed("ABCD"[1:patients])
    found = (
        f"It finds {{}} of A's labelled places in the same part of {others} ({{}}).",
        "When the crop of A is moved, its ring stays on the place for {} on average ({}).",
    )
    told = [
        sentence.format(
            _percent(share), ", ".join(f"{r['name']} {_percent(r['right'][n])}" for r in rivals)
        )
        for n, (sentence, share) in enumerate(zip(found, own["right"], strict=True))
        if share is not None
    ]
    return [said, " ".join(told)] if told else []


def _ahead(own: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """Whether every share that is known is larger, as far as the per cent that are shown tell."""
    pairs = [(a, b) for a, b in zip(own, other, strict=True) if a is not None and b is not None]
    return all(round(100 * a) > round(100 * b) for a, b in pairs)


def _listed(letters: str) -> str:
    return " and ".join(filter(None, (", ".join(letters[:-1]), letters[-1])))


def numbers_of(
    columns: Sequence[FeatureColumn],
    dice: Sequence[float | None],
    crops: Sequence[Sequence[float | None]],
    cohort: Cohort,
) -> list[list[str]]:
    """Rows of text: what is told, then a cell for each column; ``crops`` are the shares of right
    rings in each crop."""
    rows = [
        ["variance in three colours", *(_percent(column.share) for column in columns)],
        ["labels carried from the first patient, Dice", *(_two_digits(each) for each in dice)],
        [
            "follows the anatomy when the crop is moved (0 place, 0.5 chance, 1 anatomy)",
            *(_two_digits(c.shift.score if c.shift else 0.0) for c in columns),
        ],
        [
            "right rings in the crop: not moved, then moved either way",
            *(", ".join(map(_percent, shares)) for shares in crops),
        ],
    ]
    known = next(column.shift for column in columns if column.shift)
    off = [column.shift.distance if column.shift else known.place_distance for column in columns]
    unit = "" if cohort.unit == UNKNOWN_UNIT else f", {cohort.unit}"
    told = f"best match in a moved crop is off by{unit} (chance {known.chance_distance:.1f})"
    return [*rows, [told, *(f"{each:.1f}" for each in off)]]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _two_digits(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}"
