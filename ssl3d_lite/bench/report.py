"""The page of a bench: tables, and where a minute of pretraining goes."""

from pathlib import Path

from matplotlib.figure import Figure

from ssl3d_lite.files import atomic_write
from ssl3d_lite.html import as_html, bullets, escape, picture, write_html
from ssl3d_lite.show.pieces import COLOURS

from .found import BenchResult, hours_table, layout_table, peak_table, remarks, stage_table

CAPTION = (
    "Where a minute of pretraining goes, by task: making the views, the network's way forward and "
    "back, the optimiser, and the loop around them."
)


def minute_figure(found: BenchResult) -> Figure:
    """A bar a task, a minute long, of its stages."""
    figure = Figure(figsize=(7.5, 0.5 * len(found.tasks) + 1.3), layout="constrained")
    axes = figure.subplots()
    minutes = [found.minute(task) for task in found.tasks]
    left = [0.0] * len(minutes)
    for number, name in enumerate(minutes[0]):
        seconds = [minute[name] for minute in minutes]
        axes.barh(found.tasks, seconds, left=left, color=COLOURS[number], label=name)
        left = [a + b for a, b in zip(left, seconds)]
    axes.set(xlabel="seconds of a minute", xlim=(0, 60))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(minutes[0]), frameon=False)
    return figure


def write_reports(found: BenchResult, out: Path) -> None:
    """``report.html``, and its picture alone as ``minute.png``."""
    figure = minute_figure(found)
    about = f"{found.machine}; {found.threads} threads; {found.precision}; {found.cohort}"
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    write_html(
        out / "report.html",
        "Bench",
        [
            "<h1>How fast, and how fast it could be</h1>",
            f'<p class="note">{escape(about)}; {escape(versions)}</p>',
            bullets(remarks(found)),
            as_html(peak_table(found)),
            "<h2>Every stage beside its limit</h2>",
            as_html(stage_table(found)),
            picture(figure, CAPTION),
            "<h2>Memory format and precision</h2>",
            as_html(layout_table(found)),
            "<h2>The shipped studies on this machine</h2>",
            as_html(hours_table(found)),
        ],
    )
    atomic_write(out / "minute.png", lambda file: figure.savefig(file, format="png", dpi=110))
