"""Figures of what encoders make of scans: features in colours, nearest patients, nearest places."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.feature_maps import FeatureMaps, check_cases
from ssl3d_lite.evaluation.nearest import nearest_places, nearest_rows, with_control

from .planes import PlaneScale, draw_plane

PANEL = 1.9  # inches
BESIDE = 1.1  # inches, for the names of rows


def feature_colours(
    maps: Mapping[str, FeatureMaps], cohort: Cohort, cases: Sequence[int], axis: int = 0
) -> Figure:
    """Scans, and below them what each encoder makes of the same planes, in colours.

    One colour means one kind of feature within a row, and nothing across rows.

    Args:
        maps: a row's name → features of ``cases``, such as those of a random, a pretrained and an
            oracle encoder.
        cases: positions of the 3D scans in the cohort, a column each.
        axis: the planes lie across this axis, through their middles.

    Example::

        encoders = {"random": random, "pretrained": encoder}
        maps = {name: ssl3d.features(each, cohort, cases) for name, each in encoders.items()}
        show.feature_colours(maps, cohort, cases)
    """
    chosen = check_cases(cohort, cases)
    rows = {"scan": None, **maps}
    figure, grid = _grid(cohort, chosen, len(rows), len(chosen), axis)
    for axes_of_row, (name, found) in zip(grid, rows.items(), strict=True):
        for column, (axes, case) in enumerate(zip(axes_of_row, chosen, strict=True)):
            scan = cohort.images([case])[0, 0].cpu().numpy()
            place = scan.shape[axis] // 2
            if found is None:
                draw_plane(axes, scan, axis, place)
                axes.set_title(cohort.cases[case].id, fontsize=8)
            else:
                draw_plane(axes, np.zeros_like(scan), axis, place)
                _draw_colours(axes, found.colours(column), found.stride, scan.shape, axis, place)
            _scale(cohort, case).finish(axes, axis, bar=found is None and column == 0)
        said = name if found is None else f"{name}\n{found.space.share(3):.0%} of variance"
        _name_row(axes_of_row[0], said)
    return figure


def nearest_patients(
    maps: FeatureMaps, cohort: Cohort, cases: Sequence[int], row: int = 0, count: int = 5
) -> Figure:
    """The scans that are most like one: by an encoder, and by their intensities alone.

    Scans in both rows are framed: those need no anatomy to be found.

    Args:
        maps: features of ``cases``.
        row: which of ``cases`` is asked for, from 0.
        count: number of neighbours.
    """
    chosen = check_cases(cohort, cases)
    told_by = with_control({"features": maps.embeddings}, cohort, chosen)
    found = {f"by {name}": nearest_rows(rows, row, count) for name, rows in told_by.items()}
    both = set.intersection(*map(set, found.values()))
    figure, grid = _grid(cohort, chosen, 2, 1 + len(found["by features"]), 0)
    for axes_of_row, (name, rows) in zip(grid, found.items(), strict=True):
        for axes, other in zip(axes_of_row, (row, *rows), strict=True):
            case = chosen[other]
            scan = cohort.images([case])[0, 0].cpu().numpy()
            draw_plane(axes, scan, 0)
            axes.set_title(cohort.cases[case].id, fontsize=8)
            _scale(cohort, case).finish(axes, 0)
            if other in both:
                axes.set_axis_on()
                axes.set(xticks=(), yticks=())
                for spine in axes.spines.values():
                    spine.set(linewidth=2.5, color="#D55E00")
        _name_row(axes_of_row[0], name)
    return figure


def nearest_patches(
    maps: Mapping[str, FeatureMaps],
    cohort: Cohort,
    cases: Sequence[int],
    voxel: Sequence[int],
    row: int = 0,
    count: int = 6,
    axis: int = 0,
) -> Figure:
    """The places of other scans that are most like a voxel of one, the likest first.

    Args:
        maps: a row's name → features of ``cases``.
        voxel: of the scan ``row``, which stands on the left.
        axis: the planes lie across this axis, each through its own place.
    """
    chosen = check_cases(cohort, cases)
    shapes = [cohort.cases[case].shape for case in chosen]
    shown = min(count, len(chosen) - 1)
    figure, grid = _grid(cohort, chosen, len(maps), 1 + shown, axis)
    for axes_of_row, (name, each) in zip(grid, maps.items(), strict=True):
        matches = nearest_places(each, shapes, row, voxel)[:shown]
        places = [(row, tuple(voxel)), *((match.row, match.voxel) for match in matches)]
        for axes, (other, place) in zip(axes_of_row, places, strict=True):
            case = chosen[other]
            scan = cohort.images([case])[0, 0].cpu().numpy()
            draw_plane(axes, scan, axis, place[axis])
            across, up = (edge for number, edge in enumerate(place) if number != axis)
            ring = Circle((across, up), min(scan.shape) / 14, fill=False, color="#F0E442", lw=2)
            axes.add_patch(ring)
            axes.set_title(cohort.cases[case].id + _label_there(cohort, case, place), fontsize=8)
            _scale(cohort, case).finish(axes, axis)
        _name_row(axes_of_row[0], name)
    return figure


# ---- parts -------------------------------------------------------------------------------------


def _grid(
    cohort: Cohort, cases: Sequence[int], rows: int, columns: int, axis: int
) -> tuple[Figure, np.ndarray]:
    """Axes (row, column) for planes of one magnification."""
    wide, tall = np.max([_scale(cohort, case).extent(axis) for case in cases], 0)
    size = (BESIDE + PANEL * columns, rows * (PANEL * tall / wide + 0.3))
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _scale(cohort: Cohort, case: int) -> PlaneScale:
    about = cohort.cases[case]
    known = about.spacing.tolist() if cohort.unit == "mm" else None
    return PlaneScale(about.shape, known)


def _name_row(axes: Axes, name: str) -> None:
    axes.annotate(
        name,
        (0, 0.5),
        (-8, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=9,
    )


def _draw_colours(
    axes: Axes, colours: np.ndarray, stride: int, shape: Sequence[int], axis: int, place: int
) -> None:
    """Lay colours of cells (*grid, 3) over a plane."""
    plane = np.take(colours, place // stride, axis).swapaxes(0, 1)
    height, width = (edge * stride - 0.5 for edge in plane.shape[:2])
    axes.imshow(plane, origin="lower", interpolation="nearest", extent=(-0.5, width, -0.5, height))
    across, up = (edge for number, edge in enumerate(shape) if number != axis)
    axes.set(xlim=(-0.5, across - 0.5), ylim=(-0.5, up - 0.5))


def _label_there(cohort: Cohort, case: int, place: Sequence[int]) -> str:
    """The name of a voxel's label, in brackets; nothing where none is known."""
    if not cohort.cases[case].labelled:
        return ""
    label = int(cohort.labels([case])[0][tuple(place)])
    return f"\n{cohort.label_names[label]}"
