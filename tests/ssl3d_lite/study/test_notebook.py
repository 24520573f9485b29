"""What a notebook shows of a study's results."""

from pathlib import Path

import pytest
from IPython.utils.capture import capture_output

from ssl3d_lite.errors import InputError
from ssl3d_lite.study import load_results, show_claim, show_results

KEPT = Path(__file__).parents[3] / "notebooks/results/hippocampus"


def shown_by(call, *arguments) -> tuple[str, int]:
    """The markdown that a call displays, and how many figures."""
    with capture_output() as captured:
        call(*arguments)
    texts = [each.data.get("text/markdown", "") for each in captured.outputs]
    return "\n\n".join(filter(None, texts)), texts.count("")


@pytest.fixture(scope="module")
def results():
    return load_results(KEPT)


def test_all_parts_are_shown_in_order(results):
    text, figures = shown_by(show_results, results)
    titles = [line for line in text.splitlines() if line.startswith("### ")]
    assert titles[0] == "### Scores"
    assert titles[-2:] == ["### Verdicts", "### What this study can say, and what it cannot"]
    assert figures == len(titles) - 2  # a figure for each kind of curve, and one of the verdicts
    assert "**Linear probe of the frozen encoder: mean Dice**" in text
    assert all(f"| {arm.name} |" in text for arm in results.arms)


def test_one_claim_is_shown_with_each_arm(results):
    text, figures = shown_by(show_claim, results, "3D beats 2D")
    assert "3D beats 2D" in text
    assert "cpc" in text
    assert not figures


def test_a_claim_that_is_not_tested_names_the_nearest(results):
    with pytest.raises(InputError, match="3D beats 2D"):
        show_claim(results, "3D beat 2D")
