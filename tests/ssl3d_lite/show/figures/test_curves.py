import pytest

from ssl3d_lite import show
from ssl3d_lite.show.figures.curves import CONTROL_GREYS, VERDICT_COLOURS


def test_curves_show_the_numbers_they_were_given():
    history = [{"step": s, "loss": 1 / s, "accuracy": s / 40, "chance": 0.1} for s in (10, 20, 30)]
    held_out = {"run": {"accuracy": 0.6, "chance": 0.1}}
    figure = show.learning_curves({"run": history}, held_out)
    loss, accuracy = figure.axes
    assert loss.lines[0].get_ydata() == pytest.approx([0.1, 0.05, 1 / 30])
    assert accuracy.lines[0].get_ydata() == pytest.approx([0.25, 0.5, 0.75])
    assert accuracy.lines[1].get_ydata() == pytest.approx([0.6])


def test_label_efficiency_draws_means_and_every_run():
    figure = show.label_efficiency({"arm": {2: [0.1, 0.3], 5: [0.5]}})
    mean, *runs = figure.axes[0].lines
    assert mean.get_ydata() == pytest.approx([0.2, 0.5])
    assert [y for run in runs for y in run.get_ydata()] == [0.1, 0.3, 0.5]


def test_bands_reach_from_the_lowest_to_the_highest_of_each_curve():
    curve = {2: [0.1, 0.3], 5: [0.5, 0.7, 0.9]}
    figure = show.bands({"cpc": {"ours": curve}, "rpl": {}}, {"scratch": {2: [0.2]}}, "x", "y")
    first, second = figure.axes
    control, ours = first.lines
    assert ours.get_ydata() == pytest.approx([0.2, 0.7])
    assert control.get_color() in CONTROL_GREYS
    band = first.collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.1, 0.9))
    assert len(second.lines) == 1, "controls stand in every panel"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "scratch"]


def test_a_curve_of_one_point_is_seen():
    row = {"step": 10, "loss": 0.7, "accuracy": 0.2, "chance": 0.1}
    loss, accuracy = show.learning_curves({"run": [row]}).axes
    for axes in (loss, accuracy):
        assert axes.lines[0].get_marker() == "o"
    long = [row | {"step": s} for s in (10, 20, 30)]
    assert show.learning_curves({"run": long}).axes[0].lines[0].get_marker() == "None"
    curve = {2: [0.1, 0.3], 5: [0.5]}
    figure = show.bands(
        {"cpc": {"ours": curve}}, {"scratch": {2: [0.2]}}, "x", "y", floors={"f": {2: [0]}}
    )
    assert [line.get_marker() for line in figure.axes[0].lines] == ["o"] * 3


def test_where_all_curves_have_one_place_each_is_a_row_of_dots():
    """As on the way of a short fine-tuning: one milestone."""
    ours = {"ours": {20: [0.2, 0.6]}, "theirs": {20: [0.5]}}
    figure = show.bands({"cpc": ours}, {"scratch": {20: [0.3]}}, "step", "Dice")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "theirs", "scratch"]
    dots = {
        int(line.get_ydata()[0]): float(line.get_xdata()[0])
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert dots == {0: pytest.approx(0.4), 1: 0.5, 2: 0.3}
    assert figure.get_supxlabel() == "Dice (step: 20)"


def test_a_forest_shows_means_intervals_and_pairs_and_controls_last():
    effects = [
        show.Effect("scratch", 0.0, None, [0.0], "undecided"),
        show.Effect("cpc", 0.1, (0.05, 9.0), [0.05, 0.15], "holds"),
    ]
    figure = show.forest({"faster": effects}, 0.02, ["scratch"])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cpc", "scratch"]
    drawn = [line for line in axes.lines if line.get_color() == VERDICT_COLOURS["holds"]]
    pairs, interval, arrow, mean = drawn
    assert pairs.get_xdata().tolist() == [0.05, 0.15]
    right = axes.get_xlim()[1]
    assert interval.get_xdata() == pytest.approx([0.05, right]), "it ends at the axes"
    assert (arrow.get_marker(), mean.get_xdata()) == (">", [0.1])


def test_the_legend_of_intervals_that_no_plan_judges_has_no_verdicts():
    effects = [show.Effect("cpc", 0.1, (0.05, 0.15), [0.05, 0.15], "holds")]
    named = {
        readings: [
            text.get_text()
            for text in show.forest({"a": effects}, 0.02, readings=readings).legends[0].get_texts()
        ]
        for readings in (False, True)
    }
    assert named[False] == [*VERDICT_COLOURS, "worth having"]
    assert named[True] == ["above 0", "no gain of 0.02", "includes 0", "worth having"]


def test_two_floors_are_told_apart():
    curve = {1: [0.70, 0.72], 5: [0.80, 0.82]}
    floors = {"f": {1: [0.6], 5: [0.65]}, "g": {1: [0.5], 5: [0.55]}}
    (axes,) = show.bands({"a": {"x": curve}}, {}, "x", "y", floors=floors).axes
    assert len({line.get_linestyle() for line in axes.lines[-2:]}) == 2


def test_the_shade_below_a_floor_ends_where_the_axis_does_in_every_panel():
    curve = {1: [0.70, 0.72], 5: [0.80, 0.82]}
    figure = show.bands(
        {"a": {"x": curve}, "b": {"x": curve}}, {}, "x", "y", floors={"f": {1: [0.6], 5: [0.65]}}
    )
    panels = figure.axes
    bottoms = {axes.get_ylim()[0] for axes in panels}
    (bottom,) = bottoms
    assert 0.5 < bottom < 0.6, "the axis goes down to the floor, not to 0"
    for axes in panels:
        shades = axes.collections[-1].get_paths()[0].vertices
        assert shades[:, 1].min() == bottom


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_legend_is_no_wider_than_its_figure(count):
    curve = {1: [0.1], 5: [0.3]}
    panels = {f"panel {n}": {"pretrained": curve} for n in range(count)}
    controls = {f"random@none@plain@{n}": curve for n in range(6)}
    figure = show.bands(panels, controls, "labels", "Dice", floors={"place": curve})
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert legend.y0 >= max(axes.get_window_extent().y1 for axes in figure.axes)
