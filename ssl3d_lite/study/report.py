"""A study as one HTML page that needs nothing else: verdicts first, then what they rest on.

Every number and every sentence is made from the study's rows; none is typed.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ssl3d_lite.files import atomic_write
from ssl3d_lite.html import (
    Table,
    as_html,
    bullets,
    details,
    escape,
    heading,
    note,
    paragraph,
    picture,
    write_html,
)

from .arms import PLACE
from .claims import Claim, claims
from .limits import limits
from .pictures import effects, label_curves, step_curves
from .protocols import COMES_WITH, load_protocol
from .published import beside_paper, published_tables
from .results import Results
from .sentences import each_arm, many, overall, stated
from .tables import (
    DISTANCE,
    SPREAD,
    beside_note,
    distance_table,
    failure_table,
    gain_note,
    gain_table,
    part_table,
    part_title,
    proxy_table,
    score_note,
    score_table,
    shown,
    study_facts,
    table_text,
)


def write_table(results: Results, path: Path) -> None:
    """Write all tables and verdicts as markdown."""
    atomic_write(path, lambda file: file.write(table_text(results).encode()))


def write_report(
    results: Results,
    path: Path,
    first: Sequence[str] = (),
    scans: Sequence[str] = (),
    sections: Sequence[str] = (),
) -> None:
    """Write the study as one HTML page, figures and all.

    Args:
        first: HTML that stands before the verdicts: a scan, so that one sees what is spoken of.
        scans: HTML of more scans, which stand behind the verdicts.
        sections: HTML of more sections, which stand behind the scores.
    """
    study, judged = results.study, claims(results)
    parts = [
        heading(study.title, 1),
        *([paragraph(study.question)] if study.question else []),
        note(completeness(results)),
        *first,
        heading("What holds, and what does not"),
        note("Each sentence opens to what was found for every arm."),
        *verdicts(results, judged),
        *differences(results, judged),
        *scans,
        *(part for protocol in study.protocols for part in protocol_section(results, protocol)),
        *region_section(results),
        *sections,
        *published_section(results),
        heading("What this does not show"),
        bullets(limits(results, judged)),
        *proxy_section(results),
        *failure_section(results),
        heading("Data, machine, time"),
        bullets(provenance(results)),
    ]
    write_html(path, f"ssl3d study: {study.title}", parts)


def completeness(results: Results) -> str:
    """How much of the study the page speaks of."""
    cohort = results.facts.get("cohort", "a cohort that is not named")
    missing = [arm.name for arm in results.arms if not any_score(results, arm.name)]
    without = f" Without a score so far: {', '.join(missing)}." if missing else ""
    return (
        f"Scale {results.study.scale}, on {cohort}; {many(len(results.arms), 'arm')}, "
        f"{many(results.study.seeds, 'seed')}, {many(len(results.study.folds), 'fold')}."
        f"{without}"
    )


def any_score(results: Results, arm: str) -> bool:
    return any(results.of(protocol, arm) for protocol in results.study.protocols)


def verdicts(results: Results, judged: list[Claim]) -> list[str]:
    """Each claim in a sentence, which opens to one an arm."""
    parts: list[str] = []
    for claim in judged:
        if claim.untested:
            parts.append(paragraph(overall(results, claim)))
            continue
        name, said = overall(results, claim).split(":", 1)
        parts.append(details(name, said, [note(stated(claim)), bullets(each_arm(results, claim))]))
    return parts


def differences(results: Results, judged: list[Claim]) -> list[str]:
    """All verdicts in one figure."""
    figure = effects(results, judged)
    if figure is None:
        return []
    caption = (
        "The mean of the paired differences with its 95 % interval, of pairs in which both arms "
        "learnt; below each, the single pairs. Blue: the claim holds, after correction for the "
        f"number of claims and looks. Orange: a gain of {results.study.min_effect:g} (dashed) can "
        "be ruled out. Grey: undecided. Light grey: this experiment cannot tell, the plan does "
        "not claim it, or a control. Grey names are controls; an interval that ends in an arrow "
        "goes on."
    )
    return [picture(figure, caption)]


# ---- what they rest on -------------------------------------------------------------------------


def protocol_section(results: Results, protocol: str) -> list[str]:
    """One protocol: its curves, scores and paired differences."""
    if not shown(results, protocol):
        return []
    parts: list[str] = [heading(load_protocol(protocol).title)]
    late = protocol == "convergence"
    curve = late or len(results.labels_of(protocol)) > 1  # one number of labels is no curve
    if curve and any(results.of(protocol, arm.name) for arm in results.arms):
        figure = step_curves(results) if late else label_curves(results, protocol)
        caption = (
            f"{results.quantity[0].upper()}{results.quantity[1:]} on test cases. Lines join means "
            "over pairs of seed and fold; bands reach from the lowest to the highest. Controls are "
            "grey, and the first of them has a band."
        )
        if any(arm.source == PLACE and results.of(protocol, arm.name) for arm in results.arms):
            caption += (
                " What lies in the shade is not above place alone, the dotted line, which looks at "
                "no scan."
            )
        parts.append(picture(figure, escape(caption)))
    parts += [numbers(score_table(results, protocol)), note(score_note(results, protocol))]
    if (distances := distance_table(results, protocol))[1]:
        parts += [numbers(distances), note(DISTANCE)]
    if (gains := gain_table(results, protocol))[1]:
        parts += [numbers(gains), note(gain_note(protocol))]
    return parts


def numbers(table: Table) -> str:
    """A table, a little smaller, whose cells break at most before an interval or a failure."""
    header, rows = table
    whole = [
        [row[0], *(re.sub(r"(?<!,) (?!\([+-])", "\u00a0", cell) for cell in row[1:])]
        for row in rows
    ]
    return as_html((header, whole), small=True)


def region_section(results: Results) -> list[str]:
    if not results.parts or not shown(results, "finetune"):
        return []
    return [
        heading(part_title(results)),
        numbers(part_table(results)),
        note(SPREAD),
    ]


def published_section(results: Results) -> list[str]:
    """The paper's numbers, and ours below each."""
    return [
        part
        for block in published_tables(results.study.published)
        for part in (
            heading(f"Beside the paper: {block.title}"),
            numbers(beside_paper(results, block)),
            note(beside_note(results, block)),
        )
    ]


def proxy_section(results: Results) -> list[str]:
    table = proxy_table(results)
    why = (
        "Scores on scans that no training saw. An arm whose puzzle was not learnt says nothing of "
        "the puzzle; one that solves it well need not have the better features."
    )
    return [heading("Was each puzzle learnt?"), numbers(table), note(why)] if table[1] else []


def failure_section(results: Results) -> list[str]:
    table = failure_table(results)
    why = (
        "A run that broke off is left out of means; what is left may flatter its arm. In pairs it "
        "counts as failed."
    )
    return [heading("Runs that broke off"), as_html(table), note(why)] if table[1] else []


def provenance(results: Results) -> list[str]:
    """Data, machines and hours."""
    known = results.facts
    return [
        *study_facts(results),
        *([f"About the scans: {known['description']}"] if known.get("description") else []),
        *([f"Licence: {known['licence']}"] if known.get("licence") else []),
        *([f"Source: {known['citation']}"] if known.get("citation") else []),
        f"Time: {hours(results)}",
        "All scores: results.csv, beside this page.",
    ]


def hours(results: Results) -> str:
    """What the runs took, by protocol. A run has several rows, each with all of its time."""
    by_run = {row["run"]: row for row in results.rows if row.get("seconds")}
    by_protocol: dict[str, float] = defaultdict(float)
    for row in by_run.values():
        made_by: str = COMES_WITH.get(row["protocol"]) or row["protocol"]
        by_protocol[made_by] += row["seconds"]
    listed = ", ".join(f"{protocol} {taken(seconds)}" for protocol, seconds in by_protocol.items())
    return f"{taken(sum(by_protocol.values()))} in all" + (f" ({listed})" if listed else "")


def taken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
