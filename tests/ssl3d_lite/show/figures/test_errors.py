"""Mistakes over the scan: which voxel has which colour, and which cases are shown."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ssl3d_lite import show
from ssl3d_lite.show.arrays import fullest_plane
from ssl3d_lite.show.mistakes import KINDS, mistakes
from ssl3d_lite.study.examples import Examples

TRUTH = np.array([0, 0, 1, 1, 1, 2])
GIVEN = np.array([0, 1, 1, 0, 2, 2])
NAMES = ["", "too much", "right", "missed", "wrong class", "right"]


def scan_of(line: np.ndarray) -> np.ndarray:
    """A scan of 6 × 4 × 3 voxels that is the same along all axes but the first."""
    return np.broadcast_to(line[:, None, None], (6, 4, 3)).copy()


def colours(axes) -> list[str]:
    """What each voxel of a plane's first row is coloured as, from the picture laid over."""
    overlay = axes.images[-1]
    pixels = overlay.cmap(overlay.norm(overlay.get_array()))[0]
    named = {tuple(np.round(to_rgb(colour), 3)): name for name, colour in KINDS.items()}
    return [named[tuple(np.round(p[:3], 3))] if p[3] else "" for p in pixels]


def test_every_kind_of_mistake_has_its_number():
    assert mistakes(TRUTH, GIVEN).tolist() == [0, 2, 0, 1, 3, 0]


def test_a_row_shows_scan_truth_answers_and_mistakes():
    image, truth, given = (scan_of(each) for each in (TRUTH * 1.0, TRUTH, GIVEN))
    told = {"scratch\nDice 0.50": given, "cpc": truth}
    figure = show.compared(image, truth, told, ("", "a", "b"))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        *("scan", "truth", "scratch\nDice 0.50", "cpc"),
        *("mistakes of\nscratch", "mistakes of\ncpc"),
    ]
    assert [[text.get_text() for text in each.get_texts()] for each in figure.legends] == [
        ["a", "b"],
        list(KINDS),
    ]
    assert colours(figure.axes[4]) == NAMES
    assert colours(figure.axes[5]) == ["", "", "right", "right", "right", "right"]


def test_the_plane_is_the_one_with_most_of_the_label():
    truth = np.zeros((4, 4, 5), int)
    truth[1, 1, 3] = truth[2, 1:3, 4] = 1
    assert fullest_plane(truth) == 4
    assert fullest_plane(np.zeros((4, 4, 5))) == 2
    assert fullest_plane(np.ones((4, 4))) == 0


def test_a_strip_has_a_row_an_arm_and_a_column_a_case():
    image, truth, given = (scan_of(each) for each in (TRUTH * 1.0, TRUTH, GIVEN))
    rows = {"scratch": [given, truth], "cpc": [truth, truth]}
    figure = show.strip([image] * 2, [truth] * 2, rows, ["-0.50", "+0.00"])
    assert [axes.get_title() for axes in figure.axes] == ["-0.50", "+0.00", "", ""]
    assert colours(figure.axes[0]) == NAMES
    assert colours(figure.axes[2])[1] == ""


def test_a_strip_has_the_geometry_of_all_figures():
    image, truth = scan_of(TRUTH * 1.0), scan_of(TRUTH)
    rows = {"scratch": [truth] * 2, "cpc": [truth] * 2}
    figure = show.strip([image] * 2, [truth] * 2, rows, ["", ""], spacing=(1, 2, 5), wide=3)
    there = [axes for axes in figure.axes if axes.images]
    assert len(there) == 4
    assert len(figure.axes) == 6, "room for a third case"
    assert {axes.get_aspect() for axes in there} == {2}
    for number, axes in enumerate(there):
        letters = {text.get_text() for text in axes.texts}
        assert set("LRPA") <= letters
        assert ("10 mm" in letters) == (number == 0)


@pytest.mark.parametrize(("count", "wanted"), [(3, [2, 1, 0]), (2, [2, 0]), (9, [2, 3, 1, 4, 0])])
def test_cases_are_ranked_from_the_worst_difference_to_the_best(count, wanted):
    scratch, cpc = np.array([0.1, 0.5, 0.9, 0.7, 0.4]), np.array([0.8, 0.6, 0.5, 0.61, 0.7])
    found = Examples(None, np.arange(5), {}, {"scratch": scratch, "cpc": cpc})
    assert found.ranked(count) == wanted
    assert found.middle == 3  # 0.61 is the median of cpc
