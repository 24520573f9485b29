"""What a notebook shows of a study's results."""

import shutil
from pathlib import Path

import IPython.display
import pytest
from matplotlib.figure import Figure

from ssl3d_lite.errors import InputError
from ssl3d_lite.study import load_results, load_stored, show_claim, show_results

KEPT = Path(__file__).parents[3] / "notebooks/results/hippocampus"


@pytest.fixture
def shown(monkeypatch) -> list:
    """All that is displayed."""
    things: list = []
    monkeypatch.setattr(IPython.display, "display", things.append)
    return things


def texts_of(shown: list) -> str:
    return "\n\n".join(each.data for each in shown if isinstance(each, IPython.display.Markdown))


def figures_of(shown: list) -> list:
    return [each for each in shown if isinstance(each, Figure)]


@pytest.fixture(scope="module")
def results():
    return load_results(KEPT)


def test_all_parts_are_shown_in_order(results, shown):
    show_results(results)
    text = texts_of(shown)
    titles = [line for line in text.splitlines() if line.startswith("### ")]
    assert titles[0] == "### Scores"
    assert titles[-2:] == ["### Verdicts", "### What this study can say, and what it cannot"]
    # a figure for each kind of curve, and one of the verdicts
    assert len(figures_of(shown)) == len(titles) - 2
    assert "**Linear probe of the frozen encoder: mean Dice**" in text
    assert all(f"| {arm.name} |" in text for arm in results.arms)


def test_one_claim_is_shown_with_each_arm(results, shown):
    show_claim(results, "3D beats 2D")
    assert "3D beats 2D" in texts_of(shown)
    assert "cpc" in texts_of(shown)
    assert not figures_of(shown)


def test_a_claim_that_is_not_tested_names_the_nearest(results):
    with pytest.raises(InputError, match="3D beats 2D"):
        show_claim(results, "3D beat 2D")


def test_a_stored_study_is_found_beside_the_notebook_and_in_the_repository(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert load_stored("few_labels").study.name == "few_labels"
    assert load_stored("few_label") is None
    assert "few_label: no stored study; they lie in notebooks/results" in capsys.readouterr().out
    shutil.copytree(KEPT.parent / "few_labels", "results/few_labels")
    assert load_stored("few_labels").folder == Path("results/few_labels"), "the nearer one"
