"""A study's results in a notebook: the same tables, figures and verdicts as in its report."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ssl3d_lite.errors import unknown

from . import tables
from .claims import Claim, claims
from .limits import limits
from .protocols import load_protocol
from .published import beside_paper, published_tables
from .results import Results
from .sentences import each_arm, overall, stated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_PROTOCOLS = ("finetune", "probe", "probe+place", "neighbours")


def show_results(results: Results) -> None:
    """Show all that a study says: scores, curves, verdicts, the paper's numbers, and the limits.

    Example::

        results = load_results("notebooks/results/hippocampus")
        show_results(results)
    """
    found = claims(results)
    parts = (
        _scores(results),
        _curves(results),
        _verdicts(results, found),
        _beside_the_paper(results),
        ["### What this study can say, and what it cannot", tables.items(limits(results, found))],
    )
    for part in parts:
        _display(part)


def show_claim(results: Results, name: str) -> None:
    """Show the verdict on one claim, such as "3D beats 2D", and what it says of each arm.

    Raises:
        InputError: the study tests no claim of that name; the nearest is named.
    """
    by_name = {claim.name: claim for claim in claims(results)}
    if name not in by_name:
        raise unknown("claim", name, by_name)
    claim = by_name[name]
    _display([overall(results, claim), tables.items(each_arm(results, claim))])


def _display(parts: "Iterator[str | Figure | None] | list[str]") -> None:
    """Show markdown and figures, one below the other."""
    from IPython.display import Markdown, display

    for part in parts:
        if part is not None:
            display(Markdown(part) if isinstance(part, str) else part)


def _scores(results: Results) -> Iterator[str]:
    yield "### Scores"
    yield tables.items(tables.study_facts(results))
    yield "**Proxy tasks**, on scans that no training saw"
    yield tables.as_markdown(tables.proxy_table(results))
    for protocol in SHOWN_PROTOCOLS:
        if tables.shown(results, protocol):
            yield f"**{load_protocol(protocol).title}: {results.quantity}**"
            yield tables.as_markdown(tables.score_table(results, protocol))
    if tables.shown(results, "finetune"):
        yield f"**{tables.part_title(results)}**"
        yield tables.as_markdown(tables.part_table(results))


def _curves(results: Results) -> "Iterator[str | Figure]":
    from .pictures import label_curves, step_curves  # matplotlib is loaded where it draws

    for protocol in SHOWN_PROTOCOLS:
        if len(results.labels_of(protocol)) > 1 and tables.shown(results, protocol):
            title = load_protocol(protocol).title
            yield f"### {title}: the score over the number of labelled scans"
            yield label_curves(results, protocol)
    if results.milestones and tables.shown(results, "convergence"):
        yield "### The score over the steps of fine-tuning"
        yield step_curves(results)


def _verdicts(results: Results, found: list[Claim]) -> "Iterator[str | Figure | None]":
    from .pictures import effects

    yield "### Verdicts"
    yield tables.items([overall(results, claim) for claim in found])
    for claim in found:
        if not claim.untested:
            yield "**{}:**{}".format(*stated(claim).split(":", 1))
            yield tables.items(each_arm(results, claim))
    yield effects(results, found)


def _beside_the_paper(results: Results) -> Iterator[str]:
    for block in published_tables(results.study.published):
        yield f"### Beside the paper: {block.title}"
        yield tables.beside_note(results, block)
        yield tables.as_markdown(beside_paper(results, block))
