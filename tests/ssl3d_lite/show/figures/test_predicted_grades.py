"""Pictures with grades in a row: what stands above and below each, and in which colour."""

import numpy as np
from matplotlib.colors import to_hex

from ssl3d_lite import show
from ssl3d_lite.show.pieces import CORRECT_COLOUR, WRONG_COLOUR

NAMES = ("no", "mild", "severe")


def test_each_picture_has_its_grade_and_what_it_was_taken_for():
    images = [np.random.default_rng(n).random((3, 6, 5)) for n in range(3)]
    predicted = {"scratch": [0, 0, 0], "cpc": [0, 2, 2]}
    figure = show.predicted_grades(images, [0, 1, 2], predicted, NAMES)
    assert [axes.get_title() for axes in figure.axes] == list(NAMES)
    told = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert told == [
        ["✓ scratch: no", "✓ cpc: no"],
        ["✗ scratch: no", "✗ cpc: severe"],
        ["✗ scratch: no", "✓ cpc: severe"],
    ]
    for axes in figure.axes:
        for text in axes.texts:
            right = text.get_text().startswith("✓")
            assert to_hex(text.get_color()).upper() == (CORRECT_COLOUR if right else WRONG_COLOUR)
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), images[1].T, rtol=1e-6)


def test_words_below_a_picture_do_not_lie_on_it():
    figure = show.predicted_grades(
        [np.zeros((1, 8, 8))] * 2, [0, 1], {"a": [0, 0], "b": [1, 1]}, NAMES
    )
    figure.draw_without_rendering()
    for axes in figure.axes:
        first, second = (text.get_window_extent() for text in axes.texts)
        assert first.y1 <= axes.get_window_extent().y0
        assert second.y1 <= first.y0
        assert second.y0 >= 0
