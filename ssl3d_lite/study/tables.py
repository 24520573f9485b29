"""A study's tables, and all of them with the verdicts as one markdown text, ``table.md``.

Every number is made from the rows; none is typed.
"""

from collections import Counter, defaultdict

import numpy as np

from ssl3d_lite.html import Table

from .arms import PLACE, UNTRAINED
from .baselines import Where, best_random, contrast, from_scratch
from .claims import claims
from .ledger import ResultRow
from .protocols import load_protocol
from .published import PublishedTable, beside_paper, published_tables
from .results import Results
from .sentences import brief, each_arm, many, overall, stated
from .verdicts import SEARCH

SPREAD = "Mean ± standard deviation over pairs of seed and fold; in brackets, how many."
FLOOR = (
    "place looks at no scan: it is the mean label map of the same labelled scans, or the commonest "
    "grade. A run that does not end above it has failed."
)
DISTANCE = (
    "HD95: how far the outlines lie apart, 95 of 100 points; the mean over regions and scans. "
    "Lower is better."
)


# ---- scores ------------------------------------------------------------------------------------


def score_table(results: Results, protocol: str, column: str = "score") -> Table:
    """An arm a row, a number of labels a column; of convergence, at the fewest labels, a number of
    steps a column.

    Args:
        column: of the rows, that is shown; beside a score stands how many runs have failed.
    """
    columns: dict[str, tuple[str, int | None]]
    if protocol == "convergence":
        fewest = results.labels_of(protocol)[0]
        columns = {f"{n} steps": (fewest, n) for n in results.milestones}
    else:
        columns = {results.amount(n): (n, None) for n in results.labels_of(protocol)}
    rows = [
        [
            arm,
            *(
                mean_and_deviation(
                    results.scores(protocol, arm, labels, steps, column),
                    len(results.failed(protocol, arm, labels)),
                    results.below_place(protocol, arm, labels, steps) if column == "score" else 0,
                )
                for labels, steps in columns.values()
            ),
        ]
        for arm in shown(results, protocol)
    ]
    return ["arm", *columns], rows


def distance_table(results: Results, protocol: str) -> Table:
    """The same of the distance HD95, where a protocol has it; else without rows."""
    if not any(row.get("hd95") is not None for row in results.rows if row["protocol"] == protocol):
        return ["arm"], []
    return score_table(results, protocol, "hd95")


def shown(results: Results, protocol: str) -> list[str]:
    """The arms that have a row of the protocol, failed or not."""
    return [
        arm.name
        for arm in results.arms
        if results.of(protocol, arm.name) or results.failed(protocol, arm.name)
    ]


def mean_and_deviation(scores: list[float], failed: int = 0, below: int = 0) -> str:
    """Mean ± standard deviation (how many). Failed runs are said: those without a score, and those
    that are not above place alone."""
    lost = ", ".join(
        f"{count} {how}" for count, how in ((failed, "failed"), (below, "not above place")) if count
    )
    if not scores:
        return lost or "–"
    deviation = f"{np.std(scores, ddof=1):.3f}" if len(scores) > 1 else "–"
    return f"{np.mean(scores):.3f} ± {deviation} ({len(scores)})" + (f", {lost}" if lost else "")


def gain_table(results: Results, protocol: str) -> Table:
    """Paired differences in the same layout: to scratch, or where the encoder is frozen, to the
    best random one. Of convergence, they are averaged over the numbers of labels."""
    if protocol == "convergence":
        every = results.labels_of(protocol)
        columns = {f"{n} steps": Where(protocol, every, (n,)) for n in results.milestones}
    else:
        columns = {results.amount(n): Where(protocol, (n,)) for n in results.labels_of(protocol)}
    choice = from_scratch if protocol in ("finetune", "convergence") else best_random
    rows = []
    for arm in results.arms:
        if arm.source not in UNTRAINED and arm.name in shown(results, protocol):
            found = [contrast(results, where, arm, choice) for where in columns.values()]
            baselines = dict.fromkeys(c.against for c in found if c and c.differences)
            if baselines:
                rows.append([arm.name, ", ".join(baselines), *map(brief, found)])
    return ["arm", "against", *columns], rows


def score_note(results: Results, protocol: str) -> str:
    """What a table of scores shows."""
    late = protocol == "convergence"
    first = f"With {results.labelled(results.labels_of(protocol)[0])}. " if late else ""
    floor = any(results.of(protocol, arm.name) for arm in results.arms if arm.source == PLACE)
    return first + SPREAD + (f" {FLOOR}" if floor else "")


def gain_note(protocol: str) -> str:
    """What a table of paired differences shows."""
    note = (
        "Mean of the paired differences, of pairs in which both learnt; in brackets, its 95 % "
        "interval, over seeds and patients where the patients' scores are stored, else over seeds "
        "alone. No verdict by itself."
    )
    return note + (" Averaged over all numbers of labels." if protocol == "convergence" else "")


def part_title(results: Results) -> str:
    what = "By region" if results.measure == "dice" else "Accuracy, and share of each grade found"
    return f"{what}, with {results.labelled(results.labels_of('finetune')[-1])}"


def part_table(results: Results) -> Table:
    """Fine-tuning with the most labels: a region a column; or accuracy, and recall of a grade."""
    most = results.labels_of("finetune")[-1]
    names = [part.removeprefix(f"{results.measure} ") for part in results.parts]
    rows = []
    for arm in shown(results, "finetune"):
        failed = len(results.failed("finetune", arm, most))
        scores = (results.scores("finetune", arm, most, None, part) for part in results.parts)
        rows.append([arm, *(mean_and_deviation(found, failed) for found in scores)])
    return ["arm", *names], rows


# ---- around them -------------------------------------------------------------------------------


def proxy_table(results: Results) -> Table:
    """How well each arm's puzzles are solved on scans that no training saw."""
    found = defaultdict(list)
    for row in results.rows:
        if row["protocol"] == "proxy" and row["score"] is not None:
            found[row["arm"], row["task"], row["measure"]].append(row)
    rows = []
    for (arm, task, measure), scored in found.items():
        scores = [row["score"] for row in scored]
        chance = float(np.mean([row["chance"] or 0.0 for row in scored]))
        learnt = sum(row["score"] > (row["chance"] or 0.0) for row in scored)
        said = f"{learnt} of {len(scored)}"
        rows.append([arm, task, measure, mean_and_deviation(scores), f"{chance:.3f}", said])
    return ["arm", "puzzle", "measure", "score", "guessing gives", "above that"], rows


def failure_table(results: Results) -> Table:
    """The runs that failed, those of one arm and for one reason together."""
    found = defaultdict(list)
    for row in results.failed():
        found[row["arm"], row["failure"]].append(row)
    rows = [
        [arm, many(len(lost), "run"), seeds_of(lost), failure]
        for (arm, failure), lost in found.items()
    ]
    return ["arm", "lost", "seeds", "why"], rows


def seeds_of(rows: list[ResultRow]) -> str:
    return ", ".join(map(str, sorted({row["seed"] for row in rows})))


def study_facts(results: Results) -> list[str]:
    """What was done, on what, and how much of it is there."""
    study, known = results.study, results.facts
    other = known.get("other rows", 0)
    scored = [row for row in results.rows if not row["failure"]]
    counts = ", ".join(
        f"{known[side]} {words}"
        for side, words in (
            ("train", "to train on"),
            ("validation", "validation"),
            ("test", "test"),
            ("pretrain", "to pretrain on"),
        )
        if known.get(side) is not None
    )
    tuned = ", ".join(map(results.amount, results.labels_of("finetune")))
    tuned = f" (fine-tuning: {tuned})" if study.finetune_labels else ""
    folds = f", folds {', '.join(map(str, study.folds))}" if len(study.folds) > 1 else ""
    return [
        f"Study: {study.title} ({study.name}), scale {study.scale}",
        *([f"No verdicts, as {SEARCH}"] if study.is_search else []),
        f"Cohort: {known.get('cohort', 'not named')}" + (f" ({counts} scans)" if counts else ""),
        *([f"Pretrained on: {known['corpus']}"] if known.get("corpus") else []),
        f"{many(study.seeds, 'seed')}{folds}: {many(results.planned, 'pair')} when complete",
        f"Labelled scans: {', '.join(map(results.amount, results.labels))}" + tuned,
        f"{many(len(scored), 'score')}; {many(len(results.failed()), 'run')} failed"
        + (f"; {many(other, 'row')} of other settings left out" if other else ""),
        f"Machines: {counted(results, 'machine')}",
        f"Versions: {counted(results, 'version')}",
    ]


def counted(results: Results, column: str) -> str:
    """What a column holds, and in how many rows."""
    found = Counter(row.get(column) or "not noted" for row in results.rows)
    return ", ".join(f"{name} ({many(n, 'row')})" for name, n in found.most_common()) or "none yet"


def beside_note(results: Results, block: PublishedTable) -> str:
    """What to know before one compares ours with the paper's."""
    most = results.labelled(results.labels_of("finetune")[-1])
    ours = f", fine-tuned with {most}" if block.column == "region" else ""
    return (
        f"Published: {block.source}; no spread was published. Here: cohort "
        f"{results.facts.get('cohort', 'not named')}, scale {results.study.scale}{ours}. Scans, "
        "networks and numbers of steps differ, so compare what is in brackets: how far "
        "an arm is ahead of training from scratch (here the mean of the pairs)."
    )


# ---- table.md ----------------------------------------------------------------------------------


def table_text(results: Results) -> str:
    """All tables and all verdicts, as markdown."""
    parts = [f"# {results.study.title}", items(study_facts(results))]
    for protocol in results.study.protocols:
        if shown(results, protocol):
            parts += [
                f"## {load_protocol(protocol).title}: {results.quantity}",
                score_note(results, protocol),
            ]
            parts.append(as_markdown(score_table(results, protocol)))
            if (distances := distance_table(results, protocol))[1]:
                parts += [DISTANCE, as_markdown(distances)]
            if (gains := gain_table(results, protocol))[1]:
                parts += [gain_note(protocol), as_markdown(gains)]
    if results.parts and shown(results, "finetune"):
        parts += [f"## {part_title(results)}", SPREAD]
        parts += [as_markdown(part_table(results))]
    for block in published_tables(results.study.published):
        parts += [f"## Beside the paper: {block.title}", beside_note(results, block)]
        parts += [as_markdown(beside_paper(results, block))]
    parts.append("## The claims")
    for claim in claims(results):
        parts.append(f"### {overall(results, claim)}")
        if not claim.untested:
            parts += [stated(claim), items(each_arm(results, claim))]
    for title, table in (
        ("The puzzles", proxy_table(results)),
        ("Failed runs", failure_table(results)),
    ):
        if table[1]:
            parts += [f"## {title}", as_markdown(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_markdown(table: Table) -> str:
    header, rows = table
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(in_cell, line)) + " |" for line in lines)


def in_cell(text: str) -> str:
    """A name or a failure must not end its cell."""
    return " ".join(text.replace("|", "\\|").split())


def items(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
