"""What is published in notebooks/results is what its rows say, and nothing is typed by hand."""

import re
from pathlib import Path

import pytest

from ssl3d_lite.study import load_results
from ssl3d_lite.study.tables import table_text

RESULTS = Path(__file__).parents[3] / "notebooks" / "results"
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


def test_every_score_in_the_text_stands_in_a_table():
    tables = " ".join((folder / "table.md").read_text() for folder in FOLDERS)
    text = (RESULTS / "README.md").read_text().replace("−", "-")
    scores = re.findall(r"\d\.\d{3}", text)
    assert len(scores) > 5
    assert not [score for score in scores if score not in tables]
