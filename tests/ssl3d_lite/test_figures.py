import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ssl3d_lite.show import figures
from ssl3d_lite.tasks import make_task


def pixels(figure: Figure) -> np.ndarray:
    """The figure as it would be saved: (row, column, RGBA)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_box_corners_are_voxel_borders_in_the_scan():
    matrix = torch.eye(4)
    matrix[:3, 3] = torch.tensor([2.0, 3, 4])
    corners = figures.box_corners(matrix, (2, 2, 2))
    assert corners.min(0).tolist() == [1.5, 2.5, 3.5]
    assert corners.max(0).tolist() == [3.5, 4.5, 5.5]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("task", "settings"),
    [("rotation", {"edge": 12}), ("cpc", {"patch": 8, "stride": 4, "jitter": 4})],
)
def test_any_puzzle_is_drawn_from_views_and_placement(task, settings, dims):
    volumes = torch.randn(2, 1, *(24, 32, 24)[:dims])
    made = make_task(task, 4, dims, **settings)
    batch = made.pose(volumes, made.draw(volumes, torch.Generator().manual_seed(0)))
    figure = figures.puzzle(volumes, batch, scan=1)
    assert len(np.unique(pixels(figure))) > 50
    outlines = [patch for axes in figure.axes for patch in axes.patches]
    assert outlines, "the views are outlined in the scan"


def test_a_class_is_drawn_where_it_is():
    image = np.zeros((8, 8, 8))
    answer = np.zeros((8, 8, 8), np.uint8)
    answer[2, 3, 4] = 1
    figure = figures.segmentations(image, {"truth": answer}, ("background", "organ"))
    overlays = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert len(overlays) == 3
    sagittal, coronal, axial = (np.asarray(o.get_array()) for o in overlays)
    assert np.argwhere(sagittal).tolist() == [[4, 3]], "drawn upright: superior up"
    assert np.argwhere(coronal).tolist() == [[4, 2]]
    assert np.argwhere(axial).tolist() == [[3, 2]]


def test_curves_show_the_numbers_they_were_given():
    history = [{"step": s, "loss": 1 / s, "accuracy": s / 40, "chance": 0.1} for s in (10, 20, 30)]
    held_out = {"run": {"accuracy": 0.6, "chance": 0.1}}
    figure = figures.learning_curves({"run": history}, held_out)
    loss, accuracy = figure.axes
    assert loss.lines[0].get_ydata() == pytest.approx([0.1, 0.05, 1 / 30])
    assert accuracy.lines[0].get_ydata() == pytest.approx([0.25, 0.5, 0.75])
    assert accuracy.lines[1].get_ydata() == pytest.approx([0.6])


def test_label_efficiency_draws_means_and_every_run():
    figure = figures.label_efficiency({"arm": {2: [0.1, 0.3], 5: [0.5]}})
    mean, *runs = figure.axes[0].lines
    assert mean.get_ydata() == pytest.approx([0.2, 0.5])
    assert [y for run in runs for y in run.get_ydata()] == [0.1, 0.3, 0.5]
