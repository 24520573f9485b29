"""What is published in notebooks/results is what its rows say, and nothing is typed by hand."""

import re
import sys
from pathlib import Path

import pytest

from ssl3d_lite.study import load_results
from ssl3d_lite.study.tables import table_text

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "docs"))

import results_page  # noqa: E402

RESULTS = ROOT / "notebooks" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.rglob("study.json"))


def test_something_is_published():
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_table_is_made_from_the_rows(folder):
    written = (folder / "table.md").read_text()
    written = written.replace("no reading '", "no protocol '")  # as it was called then
    assert written == table_text(load_results(folder))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_at_least_three_paired_seeds_and_no_run_is_missing(folder):
    results = load_results(folder)
    assert results.study.seeds >= 3
    assert {row["run"] for row in results.rows} == set(results.facts["runs"])


def test_a_run_that_two_studies_made_apart_has_the_same_scores_in_both():
    """Its name says all that it depends on; `warm_up` began as a copy of `best`."""
    score_of, twice = {}, 0
    for name, folder in results_page.stored().items():
        if name == "warm_up":
            continue
        for row in load_results(folder).rows:
            what = tuple(row.get(part) for part in ("run", "protocol", "task", "labels", "steps"))
            twice += what in score_of
            assert score_of.setdefault(what, row["score"]) == row["score"], (name, row["run"])
    assert twice > 400


@pytest.mark.parametrize("page", results_page.PAGES, ids=lambda page: page.name)
def test_the_pages_are_made_from_the_rows(page):
    written = page.read_text(encoding="utf-8")
    assert written == results_page.filled(written), "run python docs/results_page.py"


@pytest.mark.parametrize("page", results_page.PAGES, ids=lambda page: page.name)
def test_no_score_is_typed_by_hand(page):
    by_hand = results_page.BLOCK.sub("", page.read_text(encoding="utf-8"))
    earlier = by_hand.find("## Earlier studies")  # whose tables are not on the page
    tables = " ".join((folder / "table.md").read_text() for folder in FOLDERS)
    assert not re.findall(r"\d\.\d{3}", by_hand[:earlier])
    assert not [n for n in re.findall(r"\d\.\d{3}", by_hand[earlier:]) if n not in tables]


def test_each_picture_of_the_page_is_there():
    page, _ = results_page.PAGES
    for name in re.findall(r"\]\((results_\w+\.png)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / name).is_file()


@pytest.mark.parametrize("claim", results_page.CLAIMS)
def test_a_table_judges_what_was_planned_and_folds_the_rest(claim):
    table, _, folded = results_page.claim_table(claim).partition("<details>")
    planned, found = results_page.planned(claim), list(results_page.found(claim))
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| [")]
    assert sorted(row[2] for row in rows) == sorted(each.verdict for *_, each in planned)
    assert folded.count("\n| [") == len(found) - len(planned)
