"""The page of a bench: tables, and where a minute of pretraining goes."""

from pathlib import Path

from matplotlib.figure import Figure

from ssl3d_lite.files import atomic_write, write_json
from ssl3d_lite.html import as_html, bullets, escape, picture, write_html
from ssl3d_lite.show.pieces import COLOURS

from .result import (
    BENCH,
    BenchResult,
    bench_remarks,
    hours_table,
    page_table,
    peak_table,
    stage_table,
    view_table,
)

_CAPTION = (
    "Where a minute of pretraining goes, by task: making the views, the network's forward and "
    "backward pass, the optimiser, and the loop around them."
)


def minute_figure(result: BenchResult) -> Figure:
    """One bar per task: how a minute of its pretraining is divided among the stages."""
    figure = Figure(figsize=(7.5, 0.5 * len(result.tasks) + 1.3), layout="constrained")
    axes = figure.subplots()
    minutes = [result.minute(task) for task in result.tasks]
    left = [0.0] * len(minutes)
    for number, name in enumerate(minutes[0]):
        seconds = [minute[name] for minute in minutes]
        axes.barh(result.tasks, seconds, left=left, color=COLOURS[number], label=name)
        left = [a + b for a, b in zip(left, seconds)]
    axes.set(xlabel="seconds of a minute", xlim=(0, 60))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(minutes[0]), frameon=False)
    return figure


def write_bench_report(result: BenchResult, out: Path) -> None:
    """Write ``bench.json``, ``report.html``, and its picture alone as ``minute.png``."""
    write_json(out / BENCH, result.record())
    figure = minute_figure(result)
    about = f"{result.machine}; {result.threads} threads; {result.precision}; {result.cohort}"
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    write_html(
        out / "report.html",
        "Bench",
        [
            "<h1>How fast, and how fast it could be</h1>",
            f'<p class="note">{escape(about)}; {escape(versions)}</p>',
            as_html(page_table(result)),
            bullets(bench_remarks(result)),
            "<h2>The machine's best</h2>",
            as_html(peak_table(result)),
            "<h2>Every stage beside its limit</h2>",
            as_html(stage_table(result)),
            picture(figure, _CAPTION),
            "<h2>The shipped studies on this machine</h2>",
            as_html(hours_table(result)),
            "<h2>Views in the browser</h2>",
            as_html(view_table(result)),
        ],
    )
    atomic_write(out / "minute.png", lambda file: figure.savefig(file, format="png", dpi=110))
