"""Curves and comparisons for notebooks and reports, in one style (matplotlib).

Every function returns a ``matplotlib.figure.Figure`` made without pyplot.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ssl3d_lite.show.pieces import COLOURS
from ssl3d_lite.tasks import measure

GREY = "#888888"
CONTROL_GREYS = ("#444444", "#999999")
DASHES = ("-", "--", ":", "-.")
FLOOR_DASHES = (":", "-.")
MIN_EFFECT_DASHES = (0, (4, 3))  # the line at the smallest difference worth having

Curve = Mapping[float, Sequence[float]]  # a place on the x axis → the scores there


# ---- one run, one arm --------------------------------------------------------------------------


def learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    held_out: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Loss and score of runs of one proxy task over steps, with chance and held-out scores.

    Args:
        histories: a run's name → its history, as ``pretrain`` returns it.
        held_out: a run's name → its scores on cases on which it was not trained.
    """
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    name = measure(next(iter(histories.values()))[0])
    for colour, (run, history) in zip(COLOURS, histories.items(), strict=False):
        steps = [row["step"] for row in history]
        style = {"color": colour, "label": run, **points_of(len(steps))}
        left.plot(steps, [row["loss"] for row in history], **style)
        right.plot(steps, [row[name] for row in history], **style)
        if held_out:
            right.plot(steps[-1], held_out[run][name], "o", color=colour)
    right.axhline(history[0]["chance"], color=GREY, linestyle="--", label="chance")
    seen = [row[name] for history in histories.values() for row in history]
    right.set_ylim(min(0, max(-1, *seen)), min(1, 1.3 * max(*seen, 0.1)))
    left.set(xlabel="step", ylabel="loss")
    right.set(xlabel="step", ylabel=f"{name} (dots: held-out cases)" if held_out else name)
    right.legend(frameon=False, fontsize=9)
    tidy(left, right)
    return figure


def label_efficiency(
    scores: Mapping[str, Mapping[int, Sequence[float]]], ylabel: str = "mean Dice"
) -> Figure:
    """Score over the number of labels: for each arm a line of means, for each run a dot.

    Args:
        scores: arm → number of labels → scores of its runs. The first arm has a plain line; those
            that it is compared with have dashed ones.
        ylabel: name of the score.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, (arm, by_amount) in enumerate(scores.items()):
        colour = COLOURS[index % len(COLOURS)]
        amounts = sorted(by_amount)
        means = [float(np.mean(by_amount[n])) for n in amounts]
        style = {"marker": "osD^vP*"[index % 7], "linestyle": "-" if index == 0 else "--"}
        axes.plot(amounts, means, color=colour, label=arm, **style)
        for n in amounts:
            dots = {"color": colour, "alpha": 0.6, "markersize": 6, "zorder": 3, "mew": 0}
            axes.plot([n] * len(by_amount[n]), by_amount[n], "o", **dots)
    ticks = sorted({n for by_amount in scores.values() for n in by_amount})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set(xlabel="labelled volumes", ylabel=ylabel)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    tidy(axes)
    return figure


# ---- many arms ---------------------------------------------------------------------------------


def bands(
    panels: Mapping[str, Mapping[str, Curve]],
    controls: Mapping[str, Curve],
    xlabel: str,
    ylabel: str,
    log: bool = False,
    floors: Mapping[str, Curve] | None = None,
) -> Figure:
    """Scores over labels or steps in small multiples.

    Each curve is a line of means and a band from the lowest score to the highest.

    Args:
        panels: a panel's title → a curve's name → the curve. The same name has the same colour.
        controls: curves to compare with, in grey in every panel; only the first has a band.
        log: whether the x axis is logarithmic.
        floors: curves that all others must be above, dotted in every panel, the second one with
            dots and dashes; below the first of them there is a shade.

    Where all curves have one place alone, it is a figure of dots: a curve a row, its mean and its
    spread.
    """
    floors = floors or {}
    drawn = (controls, floors, *panels.values())
    places = {x for curves in drawn for curve in curves.values() for x in curve}
    if len(places) == 1:
        return _dots(panels, controls | floors, f"{ylabel} ({xlabel}: {places.pop():g})")
    rows = -(-len(panels) // 4)
    columns = -(-len(panels) // rows)
    size = (2.4 * columns + 0.4, 2.2 * rows + 1.1) if len(panels) > 1 else (5.6, 4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    lines = dict.fromkeys([*names, *controls, *floors])
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for index, (name, curve) in enumerate(controls.items()):
            style = {"color": CONTROL_GREYS[index // 4 % 2], "linestyle": DASHES[index % 4]}
            lines[name] = _band(axes, curve, style, shade=0 if index else 0.15)
        for name, curve in curves.items():
            style = {"color": COLOURS[names.index(name) % len(COLOURS)], "marker": "o"}
            lines[name] = _band(axes, curve, style, shade=0.2)
        for index, (name, curve) in enumerate(floors.items()):
            lines[name] = _floor(axes, curve, FLOOR_DASHES[index % 2])
        axes.set_title(title, fontsize=10)
    for name in list(floors)[:1]:  # when all is drawn, so the axis ends where it would
        _shade_below(list(grid.flat[: len(panels)]), lines[name])
    _style_panels(list(grid.flat), len(panels), columns, sorted(places) if log else None)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel, fontsize=9)
    figure.supxlabel(xlabel, fontsize=10)
    wide = min(len(lines), max(4, round(1.3 * columns)))
    _legend_above(figure, list(lines.values()), list(lines), wide)
    return figure


def _legend_above(figure: Figure, lines: list[Line2D], names: list[str], columns: int) -> None:
    """A legend of so many columns, or of as many as the figure is wide."""
    entry = 0.7 + 0.07 * max(map(len, names))  # inches, of the longest name
    columns = max(1, min(columns, int(figure.get_figwidth() / entry)))
    figure.legend(
        lines, names, loc="outside upper center", ncols=columns, frameon=False, fontsize=9
    )


def _band(axes: Axes, curve: Curve, style: Mapping[str, Any], shade: float) -> Line2D:
    """Draw a curve's means and its spread; return the line."""
    places = sorted(curve)
    style = points_of(len(places)) | dict(style)
    means = [float(np.mean(curve[place])) for place in places]
    lows, highs = ([end(curve[place]) for place in places] for end in (min, max))
    axes.fill_between(places, lows, highs, color=style["color"], alpha=shade, linewidth=0)
    return axes.plot(places, means, linewidth=1.3, markersize=3.5, **style)[0]


def _dots(
    panels: Mapping[str, Mapping[str, Curve]], controls: Mapping[str, Curve], xlabel: str
) -> Figure:
    """The scores of curves of one point: mean and spread, a curve a row, controls in grey."""
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    rows = [*names, *(name for name in controls if name not in names)]
    lines = -(-len(panels) // 3)
    columns = -(-len(panels) // lines)
    size = (2.6 * columns + 1.6, (0.26 * len(rows) + 0.7) * lines + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for name, curve in [*controls.items(), *curves.items()]:
            colour = GREY if name in controls else COLOURS[names.index(name) % len(COLOURS)]
            for scores in curve.values():
                row = rows.index(name)
                axes.plot([min(scores), max(scores)], [row, row], color=colour, linewidth=1.5)
                axes.plot(np.mean(scores), row, "o", color=colour, markersize=5.5)
        axes.set_title(title, fontsize=10)
        axes.set_yticks(range(len(rows)), rows, fontsize=9)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        tidy(axes)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel(xlabel, fontsize=10)
    return figure


def _floor(axes: Axes, curve: Curve, dashes: str) -> Line2D:
    """Draw a curve that others must be above, its means alone; return the line."""
    places = sorted(curve)
    means = [float(np.mean(curve[place])) for place in places]
    style = {"color": "black", "linestyle": dashes, "linewidth": 1.6}
    return axes.plot(places, means, **style, **points_of(len(places)))[0]


def _shade_below(panels: Sequence[Axes], floor: Line2D) -> None:
    """Shade what lies below a floor's line, in panels that share the y axis."""
    places, means = floor.get_data()
    bottom, _ = panels[0].get_ylim()
    for axes in panels:
        axes.fill_between(places, bottom, means, color="black", alpha=0.06, linewidth=0)
    panels[0].set_ylim(bottom=bottom)


def _style_panels(
    grid: Sequence[Axes], panels: int, columns: int, ticks: Sequence[float] | None
) -> None:
    """Style the first ``panels`` axes and hide the others. Ticks make the x axis logarithmic."""
    for index, axes in enumerate(grid):
        if index >= panels:
            axes.set_axis_off()
            continue
        if ticks:
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
            axes.minorticks_off()
        bottom = index + columns >= panels
        axes.tick_params(labelsize=8, labelbottom=bottom)
        tidy(axes)


class Effect(NamedTuple):
    """A mean difference with its interval and the single differences, for :func:`forest`."""

    name: str
    mean: float
    interval: tuple[float, float] | None
    singles: Sequence[float]
    verdict: str


VERDICT_COLOURS = {
    "holds": COLOURS[0],
    "does not hold": COLOURS[1],
    "undecided": GREY,
    "cannot tell": "lightgrey",
}
READINGS = {  # what the same colours say of an interval that no plan judges
    "holds": "above 0",
    "does not hold": "no gain of {:g}",
    "undecided": "includes 0",
}


def forest(
    panels: Mapping[str, Sequence[Effect]],
    min_effect: float,
    controls: Sequence[str] = (),
    reach: float | None = None,
    readings: bool = False,
) -> Figure:
    """Differences with their intervals, an arm a row.

    Colours tell the verdicts; small dots are the single differences.

    Args:
        panels: a panel's title → the differences that it shows.
        min_effect: the smallest difference worth having, drawn as a dashed line.
        controls: names of effects that are written in grey, at the bottom.
        reach: how far from 0 the axes go; without it, as far as the single differences.
        readings: no plan judges them: the legend says where the intervals lie, and no verdict.
    """
    found = dict.fromkeys(effect.name for effects in panels.values() for effect in effects)
    names = sorted(found, key=lambda name: name in controls)
    rows = -(-len(panels) // 3)
    columns = -(-len(panels) // rows)
    across = 5 if columns > 1 else 3  # entries of the legend in a line
    wide = 2.6 * columns + max(1.8, 0.075 * max(len(name) for name in names))
    tall = (0.24 * len(names) + 0.7) * rows + 0.8
    figure = Figure(figsize=(wide, tall + (0 if across == 5 else 0.25)), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (title, effects) in zip(grid.flat, panels.items(), strict=False):
        _effects(axes, effects, names, min_effect, reach)
        axes.set_title(title, fontsize=10)
    for axes in grid[:, 0]:
        for name, label in zip(names, axes.get_yticklabels(), strict=True):
            label.set_color(GREY if name in controls else "black")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("mean paired difference", fontsize=10)
    words = {name: name for name in VERDICT_COLOURS}
    if readings:
        words = {name: word.format(min_effect) for name, word in READINGS.items()}
    lines = [Line2D([], [], color=VERDICT_COLOURS[name], marker="o") for name in words]
    lines.append(Line2D([], [], color="black", linestyle=MIN_EFFECT_DASHES))
    _legend_above(figure, lines, [*words.values(), "worth having"], across)
    return figure


def _effects(
    axes: Axes,
    effects: Sequence[Effect],
    names: Sequence[str],
    min_effect: float,
    reach: float | None,
) -> None:
    """Draw one panel. An interval that reaches beyond the axes ends in an arrow."""
    axes.axvline(0, color="black", linewidth=1)
    axes.axvline(min_effect, color="black", linewidth=1, linestyle=MIN_EFFECT_DASHES)
    seen = [-min_effect, 2 * min_effect, *(value for e in effects for value in e.singles)]
    margin = 0.25 * (max(seen) - min(seen))
    left, right = (-reach, reach) if reach else (min(seen) - margin, max(seen) + margin)
    axes.set_xlim(left, right)
    for effect in effects:
        row, colour = names.index(effect.name), VERDICT_COLOURS[effect.verdict]
        dots = [row + 0.28] * len(effect.singles)
        axes.plot(effect.singles, dots, ".", color=colour, alpha=0.5, markersize=3.5)
        if effect.interval:
            low, high = effect.interval
            ends = [max(low, left), min(high, right)]
            axes.plot(ends, [row, row], color=colour, linewidth=1.8, solid_capstyle="butt")
            for end, mark, beyond in ((left, "<", low < left), (right, ">", high > right)):
                if beyond:
                    axes.plot(end, row, mark, color=colour, markersize=5, clip_on=False)
        axes.plot(effect.mean, row, "o", color=colour, markersize=5.5, mec="white", mew=0.7)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    tidy(axes)


# ---- style -------------------------------------------------------------------------------------


def points_of(count: int) -> dict[str, Any]:
    """Style of a curve of so many points: one or two are not seen as a line alone."""
    return {"marker": "o"} if count < 3 else {}


def tidy(*many: Axes) -> None:
    """Give axes with scales their style: no box, a faint grid."""
    for axes in many:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
