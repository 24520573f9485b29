"""A piece bears one badge, in one colour, in every view: figures, Slices, Puzzle3D, napari."""

import pytest
from matplotlib.colors import to_hex

from ssl3d_lite.show.browser.puzzle3d import Puzzle3D
from ssl3d_lite.show.browser.slices import puzzle_slices
from ssl3d_lite.show.figures.puzzle import puzzle
from ssl3d_lite.show.figures.shuffled import shuffled_pieces
from ssl3d_lite.show.pieces import CORRECT_COLOUR, WRONG_COLOUR, badge, pieces_of

from .test_pieces import posed

GRIDS_AND_OTHERS = ["jigsaw", "rpl", "rotation"]


def in_figure(volumes, batch):
    """Badges and colours of the boxes in the scan, which are those of the views below."""
    above, below = puzzle(volumes, batch, max_views=99).subfigs
    axes = above.axes[0]
    boxes = [to_hex(patch.get_edgecolor()).upper() for patch in axes.patches]
    texts = [text.get_text() for text in axes.texts]  # copies in one place have one: "0, 1"
    written = [each for text in texts if text[0].isdigit() for each in text.split(", ")]
    written = [each for each in written if each.isdigit()]  # not the scale bar's
    titles = [axes.get_title().split()[1] for axes in below.axes]
    frames = [to_hex(axes.spines["left"].get_edgecolor()).upper() for axes in below.axes]
    assert (sorted(written), boxes) == (sorted(titles), frames)
    return list(zip(titles, boxes, strict=True))


def in_shuffled(volumes, batch):
    found = set()
    for number, axes in enumerate(shuffled_pieces(volumes, batch).axes):
        if number % 3 == 0:  # as it is shown
            for text, frame in zip(axes.texts, axes.patches, strict=False):
                found.add((text.get_text(), to_hex(frame.get_edgecolor()).upper()))
    return found


def in_slices(volumes, batch):
    return [(box["badge"], box["colour"]) for box in puzzle_slices(volumes, batch)._boxes]


def in_puzzle3d(volumes, batch):
    return [(each["badge"], each["colour"]) for each in Puzzle3D(volumes, batch)._scene["pieces"]]


def in_napari(volumes, batch):
    components = pytest.importorskip("napari.components")
    from ssl3d_lite.show.napari.puzzle import add_puzzle

    shown = add_puzzle(components.ViewerModel(), volumes, batch)
    badges = [caption.split(":")[0].strip() for caption in shown.captions]
    return list(zip(badges, shown.box_colours, strict=True))


@pytest.mark.parametrize("name", GRIDS_AND_OTHERS)
@pytest.mark.parametrize("view", [in_slices, in_puzzle3d, in_napari])
def test_every_view_gives_a_piece_the_same_badge_and_colour(name, view):
    _, volumes, _, batch = posed(name, 3)
    expected = [(badge(piece), piece.colour) for piece in pieces_of(batch)]
    assert view(volumes, batch) == expected


@pytest.mark.parametrize("name", GRIDS_AND_OTHERS)
def test_figures_give_a_piece_the_same_badge_and_colour(name):
    _, volumes, _, batch = posed(name, 3)
    pieces = pieces_of(batch)
    drawn = in_figure(volumes, batch)
    assert set(drawn) <= {(badge(piece), piece.colour) for piece in pieces}
    assert len(drawn) == (9 if batch.placement.grid else len(pieces)), "of a grid its middle"
    if batch.placement.grid:
        assert in_shuffled(volumes, batch) == {(badge(p), p.colour) for p in pieces}


def test_copies_in_one_place_have_one_text_with_all_their_badges():
    _, volumes, _, batch = posed("rotation", 3)
    drawn = puzzle(volumes, batch).subfigs[0].axes + puzzle_slices(volumes, batch).figure().axes
    texts = [text.get_text() for axes in drawn for text in axes.texts]
    badges = ", ".join(badge(piece) for piece in pieces_of(batch))
    assert badges == "0, 1"
    assert texts.count(badges) == 6, "in three planes of the figure and of the view's still"
    assert "0" not in texts
    assert "1" not in texts


def test_right_and_wrong_have_the_same_colours_in_the_browser():
    from ssl3d_lite.show.browser import live

    code = str(live.Live._esm)
    assert f'const RIGHT_COLOUR = "{CORRECT_COLOUR}";' in code
    assert f'const WRONG_COLOUR = "{WRONG_COLOUR}";' in code
    assert "✓ right" in code
    assert "✗ wrong" in code
    css = live.Live._css
    text = css.read_text() if hasattr(css, "read_text") else str(css)
    assert "var(--right)" in text
    for colour in (CORRECT_COLOUR, WRONG_COLOUR, "#0072b2; }"):
        assert f"solid {colour.lower()}" not in text
