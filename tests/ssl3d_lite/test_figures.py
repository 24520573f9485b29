import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ssl3d_lite.networks import EncoderSettings
from ssl3d_lite.show import figures
from ssl3d_lite.tasks import make_task


def pixels(figure: Figure) -> np.ndarray:
    """The figure as it would be saved: (row, column, RGBA)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("rotation", {"edge": 12}),
        ("cpc", {"patch": 8, "stride": 4, "jitter": 4}),
        ("rpl", {"patch": 4}),
        ("rpl", {"patch": 4, "queries_per_scan": 1}),
        ("jigsaw", {"patch": 4}),
        ("exemplar", {"edge": 16}),
        ("masked", {}),
        ("tissue", {}),
    ],
)
def test_any_puzzle_is_drawn_from_views_and_placement(task, settings, dims):
    volumes = torch.randn(2, 1, *(24, 32, 24)[:dims])
    made = make_task(task, EncoderSettings(filters=(4,), spatial_dims=dims), **settings)
    batch = made.pose(volumes, made.draw(volumes, torch.Generator().manual_seed(0)))
    figure = figures.puzzle(volumes, batch, scan=1)
    assert len(np.unique(pixels(figure))) > 50
    outlines = [patch for axes in figure.axes for patch in axes.patches]
    assert outlines, "the views are outlined in the scan"


def titles(task: str, **settings) -> list[str]:
    volumes = torch.randn(2, 1, 24, 32, 24)
    made = make_task(task, EncoderSettings(filters=(4,)), **settings)
    batch = made.pose(volumes, made.draw(volumes, torch.Generator().manual_seed(0)))
    figure = figures.puzzle(volumes, batch)
    below = figure.subfigs[1]
    shown = [axes.get_title() for axes in below.axes]
    above = below.get_suptitle()
    return batch.target[0].tolist(), [above, *shown]


def test_every_answer_stands_over_its_own_view():
    answers, shown = titles("rotation", edge=12)
    assert shown == ["", *(f"view {v}\nanswer {a}" for v, a in enumerate(answers))]
    answers, shown = titles("rpl", patch=4, queries_per_scan=3)
    asked = [f"view {v}\nanswer {a}" for v, a in enumerate(answers, start=1)]
    assert shown == ["", "view 0", *asked], "the centre is only compared with"
    (answer,), shown = titles("jigsaw", patch=4)
    assert shown == [f"answer {answer}", *(f"view {v}" for v in range(9, 18))]
    _, shown = titles("exemplar", edge=16)
    assert shown == ["", "view 0", "view 1"]


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


def test_bands_reach_from_the_lowest_to_the_highest_of_each_curve():
    curve = {2: [0.1, 0.3], 5: [0.5, 0.7, 0.9]}
    figure = figures.bands({"cpc": {"ours": curve}, "rpl": {}}, {"scratch": {2: [0.2]}}, "x", "y")
    first, second = figure.axes
    control, ours = first.lines
    assert ours.get_ydata() == pytest.approx([0.2, 0.7])
    assert control.get_color() in figures.CONTROL_GREYS
    band = first.collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.1, 0.9))
    assert len(second.lines) == 1, "controls stand in every panel"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "scratch"]


def test_a_forest_shows_means_intervals_and_pairs_and_controls_last():
    effects = [
        figures.Effect("scratch", 0.0, None, [0.0], "undecided"),
        figures.Effect("cpc", 0.1, (0.05, 9.0), [0.05, 0.15], "holds"),
    ]
    figure = figures.forest({"faster": effects}, 0.02, ["scratch"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cpc", "scratch"]
    drawn = [line for line in axes.lines if line.get_color() == figures.VERDICT_COLOURS["holds"]]
    pairs, interval, arrow, mean = drawn
    assert pairs.get_xdata().tolist() == [0.05, 0.15]
    right = axes.get_xlim()[1]
    assert interval.get_xdata() == pytest.approx([0.05, right]), "it ends at the axes"
    assert (arrow.get_marker(), mean.get_xdata()) == (">", [0.1])
