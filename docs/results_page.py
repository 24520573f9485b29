"""Fills docs/results.md and notebooks/results/README.md with what the stored studies say: no number
on these pages is typed by hand.

    python docs/results_page.py

Between the markers ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` stands what is made from
the rows in notebooks/results. The pictures of the claims lie beside the page.
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

from matplotlib.figure import Figure

from ssl3d_lite.show.figures.curves import forest
from ssl3d_lite.study import Results, load_results
from ssl3d_lite.study.claims import Claim, Finding, claims
from ssl3d_lite.study.ledger import PATIENTS, STUDY
from ssl3d_lite.study.pictures import effect
from ssl3d_lite.study.sentences import brief
from ssl3d_lite.study.settings import ClaimName
from ssl3d_lite.study.tables import as_markdown, proxy_table, score_table

DOCS = Path(__file__).parent
STORED = DOCS.parent / "notebooks" / "results"
TRIES = STORED / "tries"
SHIPPED = DOCS.parent / "ssl3d_lite" / "study" / "shipped"
PAGES = DOCS / "results.md", STORED / "README.md"
CLAIMS: tuple[str, ...] = get_args(ClaimName)
VERDICTS = "holds", "does not hold", "undecided", "cannot tell"
COLUMNS = ["study", "arm", "verdict", "difference (95 %)", "against", "failed", "could find"]
OF_VERDICTS = "verdict", "could find"
BLOCK = re.compile(r"<!-- (?P<name>[^:>]+): begin -->\n.*?<!-- (?P=name): end -->", re.DOTALL)


@cache
def stored() -> dict[str, Path]:
    """The stored studies by their folder's name below notebooks/results. Those of earlier versions,
    which kept no patients' scores, are left out: they can tell nothing. So are tries."""
    folders = sorted(path.parent for path in STORED.rglob(STUDY))
    kept = (each for each in folders if (each / PATIENTS).exists() and each.parent != TRIES)
    return {str(folder.relative_to(STORED)): folder for folder in kept}


def studies() -> dict[str, Path]:
    """Those that were scored on test cases: a search for settings claims nothing."""
    return {
        name: folder for name, folder in stored().items() if not results_of(folder).study.is_search
    }


@cache
def results_of(folder: Path) -> Results:
    return load_results(folder)


@cache
def claims_of(folder: Path) -> tuple[Claim, ...]:
    return tuple(claims(results_of(folder)))


def found(claim: str) -> Iterator[tuple[str, Path, Finding]]:
    """Each study and arm that puts a claim to the test: the study's name, its folder, what came
    out. What two studies have in common, the same runs compared, is told of the first alone."""
    told = set()
    for name, folder in studies().items():
        for each in claims_of(folder):
            if each.name == claim:
                for finding in each.findings:
                    compared = finding.comparison
                    if not compared or not compared.differences:
                        continue
                    same = finding.arm, tuple(sorted(compared.differences.items()))
                    if same not in told:
                        told.add(same)
                        yield name, folder, finding


# ---- what stands between the markers ------------------------------------------------------------


def planned(claim: str) -> list[tuple[str, Path, Finding]]:
    """What was found of the claims that a study planned."""
    return [
        (name, folder, finding)
        for name, folder, finding in found(claim)
        if is_planned(folder, claim, finding)
    ]


def is_planned(folder: Path, claim: str, finding: Finding) -> bool:
    """Whether a study's plan claims it: what it does not is only shown."""
    return results_of(folder).is_judged(claim, finding.arm)


def verdict_counts() -> str:
    """A claim and kind of scans a row: for how many arms and studies it holds, does not, or cannot
    be told."""
    rows = []
    for claim, scans in product(CLAIMS, ("real", "virtual")):
        verdicts = [
            finding.verdict for _, folder, finding in planned(claim) if scans_of(folder) == scans
        ]
        if verdicts:
            counts = [str(verdicts.count(verdict)) for verdict in VERDICTS]
            rows.append([claim, scans, *counts, str(len(verdicts))])
    return as_markdown((["claim", "scans", *VERDICTS, "arms and studies"], rows))


def scans_of(folder: Path) -> str:
    """The kind of scans that a study's networks are scored on: "real" or "virtual"."""
    return "virtual" if results_of(folder).facts["cohort"].startswith("Virtual") else "real"


def claim_table(claim: str) -> str:
    """A study and arm a row: verdict, difference, failures, and the gain that could be found.

    What no plan claims is folded below, without what only a verdict needs.
    """
    judged = [claim_row(*each) for each in sorted(planned(claim), key=order_on_page)]
    shown = [
        claim_row(name, folder, finding)
        for name, folder, finding in found(claim)
        if not is_planned(folder, claim, finding)
    ]
    if not judged and not shown:
        return "No stored study puts this to the test."
    parts = [as_markdown((COLUMNS, judged))] if judged else []
    if shown:
        kept = [number for number, name in enumerate(COLUMNS) if name not in OF_VERDICTS]
        rows = [[row[number] for number in kept] for row in shown]
        folded = as_markdown(([COLUMNS[number] for number in kept], rows))
        text = f"<details><summary>Not planned, so without a verdict: {len(shown)}</summary>"
        parts += [text, folded, "</details>"]
    return "\n\n".join(parts)


def order_on_page(each: tuple[str, Path, Finding]) -> tuple[bool, int, float]:
    """Real scans first; there what holds first, and of one verdict the largest difference."""
    _, folder, finding = each
    compared = finding.comparison
    mean = compared.mean if compared and compared.mean is not None else 0.0
    return scans_of(folder) == "virtual", VERDICTS.index(finding.verdict), -mean


def claim_row(name: str, folder: Path, finding: Finding) -> list[str]:
    """A cell for each of COLUMNS."""
    compared = finding.comparison
    assert compared is not None, "found() leaves these out"
    failed, least = compared.failures, compared.detectable
    return [
        f"[{name}]({table_of(folder)})",
        finding.arm,
        compared.verdict,
        brief(compared),
        compared.against.partition(" (")[0],  # which of them with how many labels: its own table
        "–" if failed is None else f"{failed.ours} and {failed.theirs} of {failed.pairs}",
        "–" if least is None else f"{least:.3f}",
    ]


def table_of(folder: Path) -> str:
    """A link from the page to a study's tables."""
    return f"../{folder.relative_to(DOCS.parent)}/table.md"


def scores(name: str, protocol: str) -> str:
    """A study's scores in one protocol."""
    return as_markdown(score_table(results_of(stored()[name]), protocol))


def puzzles() -> str:
    """How well each puzzle is solved, an arm and study a row."""
    rows = []
    for name, folder in studies().items():
        header, table = proxy_table(results_of(folder))
        for row in table:
            told = dict(zip(header, row, strict=True))
            study = f"[{name}]({table_of(folder)})"
            rows.append([told["arm"], study, told["score"], told["guessing gives"]])
    order = list(dict.fromkeys(arm for arm, *_ in rows))
    rows.sort(key=lambda row: order.index(row[0]))
    return as_markdown((["arm", "study", "score", "guessing gives"], rows))


def overview() -> str:
    """A stored study a row: its plan, whose first lines have the command, and what it took."""
    rows = []
    for name, folder in stored().items():
        results = results_of(folder)
        study = results.study
        places = (folder, folder.parent, SHIPPED)
        plan = next(path for each in places for path in each.glob(f"{study.name}.toml"))
        seconds = {row["run"]: row["seconds"] for row in results.rows if row.get("seconds")}
        rows.append(
            [
                f"[{name}]({name}/table.md) ([report]({name}/report.html))",
                study.question,
                results.facts["cohort"],
                f"[{plan.name}]({os.path.relpath(plan, STORED)})",
                f"{study.seeds} seeds, {len(results.arms)} arms, {len(results.rows)} rows",
                f"{sum(seconds.values()) / 3600:.1f}",
            ]
        )
    header = ["study", "question", "scans", "plan", "size", "core hours"]
    return as_markdown((header, rows))


def blocks() -> dict[str, str]:
    """What stands between each pair of the pages' markers."""
    made = {f"claim {claim}": claim_table(claim) for claim in CLAIMS}
    made |= {"claims": verdict_counts(), "puzzles": puzzles(), "studies": overview()}
    for name, folder in stored().items():
        for protocol in results_of(folder).study.protocols:
            made[f"scores {name} {protocol}"] = scores(name, protocol)
    return made


def filled(text: str) -> str:
    """The page with every block made anew.

    Raises:
        KeyError: the page has a marker that nothing is made for.
    """
    made = blocks()
    return BLOCK.sub(
        lambda block: (
            f"<!-- {block['name']}: begin -->\n\n{made[block['name']]}\n\n"
            f"<!-- {block['name']}: end -->"
        ),
        text,
    )


# ---- pictures -----------------------------------------------------------------------------------


def claim_picture(claim: str) -> Figure | None:
    """The planned differences of a claim, a study and arm a row, as in its table."""
    effects = [
        effect(finding.comparison)._replace(name=f"{finding.arm}, {name}")
        for name, _, finding in sorted(planned(claim), key=order_on_page)
        if finding.comparison and finding.comparison.mean is not None
    ]
    return forest({claim: effects}, min_effect=0.02, reach=0.2) if effects else None


def main() -> None:
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    for claim in CLAIMS:
        if figure := claim_picture(claim):
            figure.savefig(DOCS / f"results_{claim.replace(' ', '_').lower()}.png", dpi=110)


if __name__ == "__main__":
    main()
