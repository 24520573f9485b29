import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ssl3d_lite import show
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.arrays import air
from ssl3d_lite.show.context import ASKED_COLOUR, CONTEXT_COLOUR, START_COLOUR
from ssl3d_lite.show.pieces import (
    HIDDEN_COLOUR,
    air_in,
    badge,
    home_cells,
    pieces_of,
    scan_colour,
)
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.exemplar import choose


def pixels(figure: Figure) -> np.ndarray:
    """The figure as it would be saved: (row, column, RGBA)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("rotation", {"crop_size": 12}),
        ("cpc", {"patch": 8, "stride": 4, "jitter": 4}),
        ("rpl", {"patch": 4}),
        ("rpl", {"patch": 4, "queries_per_scan": 1}),
        ("jigsaw", {"patch": 4}),
        ("exemplar", {"crop_size": 16}),
        ("masked", {}),
        ("tissue", {}),
    ],
)
def test_any_puzzle_is_drawn_from_views_and_placement(task, settings, dims):
    volumes = torch.randn(2, 1, *(24, 32, 24)[:dims])
    made = make_task(task, EncoderSettings(filters=(4, 8), spatial_dims=dims), **settings)
    batch = made.make_views(volumes, made.sample_params(volumes, torch.Generator().manual_seed(0)))
    figure = show.puzzle(volumes, batch, scan=1)
    assert len(np.unique(pixels(figure))) > 50
    outlines = [patch for axes in figure.axes for patch in axes.patches]
    assert outlines, "the views are outlined in the scan"


def titles(task: str, **settings):
    """A batch, and what stands over its figure: the headline, then over each view."""
    volumes = torch.randn(2, 1, 24, 32, 24)
    made = make_task(task, EncoderSettings(filters=(4, 8)), **settings)
    batch = made.make_views(volumes, made.sample_params(volumes, torch.Generator().manual_seed(0)))
    figure = show.puzzle(volumes, batch)
    shown = [axes.get_title().replace("\n", " ") for axes in figure.subfigs[1].axes]
    return batch, [figure.get_suptitle(), *shown]


def test_every_label_stands_over_its_own_view():
    batch, shown = titles("rotation", crop_size=12)
    words = [batch.answers[label] for label in batch.target[0]]
    assert shown == [batch.question, *(f"view {v} {a}" for v, a in enumerate(words))]
    batch, shown = titles("rpl", patch=4, queries_per_scan=3)
    asked = [f"view {v} {batch.answers[a]}" for v, a in enumerate(batch.target[0], start=1)]
    assert shown == [batch.question, "view 0", *asked], "the centre is only compared with"
    batch, shown = titles("jigsaw", patch=4)
    headline = f"{batch.question}  Answer: order {int(batch.target[0])} of 100"
    homes = home_cells(batch)
    assert shown == [headline, *(f"piece {homes[v]}" for v in range(9, 18))]
    batch, shown = titles("exemplar", crop_size=16)
    assert shown == [batch.question, "view 0", "view 1"]
    batch, shown = titles("masked", crop_size=16)
    assert shown[0] == batch.question


# ---- planes ------------------------------------------------------------------------------------


def magnifications(figure):
    """Pixels a mm (or voxel) across and up, of each axes with a scan's plane."""
    pixels(figure)
    found = []
    for axes in figure.axes:
        if {"S", "A"} & {text.get_text() for text in axes.texts}:  # it has the letters of a plane
            box = axes.get_window_extent()
            (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
            found.append((box.width / (right - left), box.height / (high - low)))
    return np.array(found)


@pytest.mark.parametrize("spacing", [None, (1.0, 2.0, 3.0)])
def test_planes_have_one_magnification_and_their_letters(spacing):
    volumes, batch = posed("rpl", (24, 40, 30), patch=4)
    label = np.zeros((24, 40, 30), np.uint8)
    label[8:12, 9:20, 10:15] = 1
    cpc = posed("cpc", (24, 40, 30), patch=8, stride=4, jitter=0)
    figures = {
        "puzzle": (show.puzzle(volumes, batch, spacing=spacing), (0, 1, 2)),
        "segmentations": (
            show.segmentations(volumes[0, 0].numpy(), {"a": label}, ("", "x"), spacing=spacing),
            (0, 0, 1, 1, 2, 2),
        ),
        "pyramid": (show.pyramid(*cpc, spacing=spacing), (0, 2)),
        "a question": (show.puzzle(*cpc, spacing=spacing), (0, 2)),
    }
    edges = np.array(spacing or (1, 1, 1))
    for name, (figure, planes) in figures.items():
        scale = magnifications(figure)
        assert len(scale) == len(planes), name
        a_mm = scale / [np.delete(edges, axis) for axis in planes]
        np.testing.assert_allclose(a_mm, a_mm[0, 0], rtol=0.02, err_msg=name)
        bars = [
            line for axes in figure.axes for line in axes.lines if line.get_gid() == "scale bar"
        ]
        assert len(bars) == 1, name
        length = np.ptp(bars[0].get_xdata()) * edges[1 if planes[0] == 0 else 0]
        assert length == pytest.approx(10), name
        unit = "10 voxels" if spacing is None else "10 mm"
        assert unit in [text.get_text() for axes in figure.axes for text in axes.texts], name
        letters = [{t.get_text() for t in a.texts} & set("LRPAIS") for a in figure.axes]
        assert [each for each in letters if each] == [
            {0: set("PAIS"), 1: set("LRIS"), 2: set("LRPA")}[axis] for axis in planes
        ]


def test_air_is_black_where_scores_made_it_grey():
    far = np.linalg.norm(np.indices((16,) * 3) - 7.5, axis=0)
    tissue = np.random.default_rng(0).normal(0, 1, (16,) * 3)
    head = np.where(far < 6, tissue, 0)
    axes = Figure().subplots()
    show.draw_plane(axes, head, 2, 8)
    drawn = axes.images[0]
    pixels, inside = np.asarray(drawn.get_array()).T, far[:, :, 8] < 6
    assert (pixels[~inside] == drawn.norm.vmin).all(), "black"
    np.testing.assert_array_equal(pixels[inside], head[:, :, 8][inside])
    show.draw_plane(axes, np.where(far < 6, tissue, 9), 2, 8)  # a border that is white
    pixels = np.asarray(axes.images[1].get_array()).T
    assert (pixels[~inside] == axes.images[1].norm.vmax).all()


def test_a_pieces_air_is_that_of_its_scan():
    far = np.linalg.norm(np.indices((36,) * 3) - 17.5, axis=0)
    head = torch.randn(2, 1, 36, 36, 36, generator=torch.Generator().manual_seed(0))
    head = head * torch.from_numpy(far < 14)
    task = make_task("rpl", EncoderSettings(filters=(4, 8)), patch=8)
    batch = task.make_views(head, task.sample_params(head, torch.Generator().manual_seed(0)))
    nothing, mixed = air(head[0, 0].numpy()), 0
    drawn = show.puzzle(head, batch, max_views=27).subfigs[1].axes
    for axes, piece in zip(drawn, pieces_of(batch), strict=True):
        pixels = np.asarray(axes.images[0].get_array())
        clear = air_in(nothing, piece)[:, :, 4].T
        assert (pixels[clear] == axes.images[0].norm.vmin).all(), "black"
        if clear.any() and not clear.all():
            mixed += 1
            np.testing.assert_array_equal(pixels[~clear], piece.image[0, :, :, 4].T[~clear])
    assert mixed, "a piece that is partly air"


@pytest.mark.parametrize("depth", [2, 10, 40])
def test_up_is_written_above_down_however_thin_a_plane_is(depth):
    image = np.random.default_rng(0).random((40, 40, depth))
    figure = show.segmentations(image, {"a": np.ones(image.shape, int)}, ("", "x"))
    figure.draw_without_rendering()
    for axes in figure.axes[:4]:  # sagittal and coronal
        at = {text.get_text(): text.get_window_extent() for text in axes.texts}
        assert at["S"].y0 > at["I"].y1
        if "10 voxels" in at:
            assert not at["10 voxels"].overlaps(at["P"])


def test_each_view_has_a_colour_of_its_own_and_its_badge():
    volumes, batch = posed("rpl", patch=4, queries_per_scan=26)
    figure = show.puzzle(volumes, batch, max_views=27)
    above, below = figure.subfigs
    boxes = above.axes[0].patches
    assert len({patch.get_edgecolor() for patch in boxes}) == len(boxes) == 27
    texts = {text.get_text() for text in above.axes[0].texts} - set("PAIS") - {"10 voxels"}
    badges = [each for text in texts for each in text.split(", ")]
    assert sorted(badges) == sorted(badge(piece) for piece in pieces_of(batch))
    frames = [axes.spines["left"].get_edgecolor() for axes in below.axes]
    assert frames == [patch.get_edgecolor() for patch in boxes]


def test_cpcs_question_is_drawn_with_its_context_and_a_question_mark():
    volumes, batch = posed("cpc", patch=8, stride=4, jitter=0)
    figure = show.puzzle(volumes, batch)
    for axes in figure.subfigs[0].axes:
        assert "?" in [text.get_text() for text in axes.texts]
        faces = {patch.get_facecolor()[:3] for patch in axes.patches}
        assert {to_rgb(c) for c in (CONTEXT_COLOUR, START_COLOUR, ASKED_COLOUR)} <= faces
    told = [axes.get_title() for axes in figure.subfigs[1].axes]
    assert sum("?" in title for title in told) == sum("tip" in title for title in told) == 1


def test_hidden_blocks_are_seen_and_the_truth_stands_beside():
    volumes, batch = posed("masked", crop_size=16, block_size=4)
    below = show.puzzle(volumes, batch).subfigs[1]
    network, truth = below.subfigs
    assert (network.get_suptitle(), truth.get_suptitle()) == ("as the network sees it", "truth")
    hidden = ~batch.target[0, 0, 0].isnan().numpy()
    for axis, axes in enumerate(network.axes):
        overlay = axes.images[1]
        plane = np.take(hidden, 8, axis).T
        np.testing.assert_array_equal(np.asarray(overlay.get_array()) == 1, plane)
        assert overlay.cmap(1 / 1)[:3] == to_rgb(HIDDEN_COLOUR)
    assert all(len(axes.images) == 1 for axes in truth.axes)


def test_a_class_is_drawn_where_it_is():
    image = np.zeros((8, 8, 8))
    label = np.zeros((8, 8, 8), np.uint8)
    label[2, 3, 4] = 1
    figure = show.segmentations(image, {"label": label}, ("background", "organ"))
    overlays = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert len(overlays) == 3
    sagittal, coronal, axial = (np.asarray(o.get_array()) for o in overlays)
    assert np.argwhere(sagittal).tolist() == [[4, 3]], "drawn upright: superior up"
    assert np.argwhere(coronal).tolist() == [[4, 2]]
    assert np.argwhere(axial).tolist() == [[3, 2]]


# ---- one task each -----------------------------------------------------------------------------


def posed(task, shape=(24, 32, 24), volumes=None, scans=2, seed=0, **settings):
    """A batch of a task, and the volumes it was made from."""
    if volumes is None:
        volumes = torch.randn(scans, 1, *shape, generator=torch.Generator().manual_seed(seed))
    encoder = EncoderSettings(volumes.shape[1], volumes.ndim - 2, filters=(4, 8))
    made = make_task(task, encoder, **settings)
    params = made.sample_params(volumes, torch.Generator().manual_seed(seed))
    return volumes, made.make_views(volumes, params)


def shown(axes, number=0):
    return np.asarray(axes.images[number].get_array())


def test_a_photograph_is_drawn_in_colour_and_other_channels_in_grey():
    photograph = torch.rand(1, 3, 30, 24)
    volumes, batch = posed("rotation", volumes=photograph, crop_size=12)
    whole, first, *_ = show.puzzle(volumes, batch).axes
    np.testing.assert_array_equal(shown(whole), photograph[0].numpy().T)
    np.testing.assert_array_equal(shown(first), batch.views[0, 0].numpy().T)
    volumes, batch = posed("rotation", volumes=torch.rand(1, 4, 30, 24), crop_size=12)
    assert shown(show.puzzle(volumes, batch).axes[0]).shape == (24, 30)


@pytest.mark.parametrize("shape", [(24, 30), (24, 30, 21)])
def test_a_puzzle_is_shown_shuffled_and_put_back(shape):
    volumes, batch = posed("jigsaw", shape, patch=4)
    homes, dims = home_cells(batch, 1), len(shape)
    figure = show.shuffled_pieces(volumes, batch, 1)
    rows = np.array(figure.axes).reshape(-1, 3)
    assert len(rows) == (3 if dims == 3 else 1)
    for layer, row in zip((2, 1, 0), rows, strict=False):
        own = [c for c in range(3**dims) if dims == 2 or c % 3 == layer]
        places = [own, [homes.index(c) for c in own]]  # the views in this layer, cell by cell
        for axes, views in zip(row, places, strict=False):
            assert [int(text.get_text()) for text in axes.texts[:9]] == [
                homes[v] for v in sorted(views)
            ]
            for image, text, frame in zip(axes.images, axes.texts, axes.patches, strict=False):
                view = homes.index(int(text.get_text()))
                piece = batch.views[1, view, 0].numpy()
                np.testing.assert_array_equal(
                    image.get_array(), (piece[..., 2] if dims == 3 else piece).T
                )
                column, line = (
                    round(image.get_extent()[0] / 4.6),
                    round(image.get_extent()[2] / 4.6),
                )
                cell = np.ravel_multi_index((column, line, layer)[:dims], (3,) * dims)
                assert cell == (view if axes is row[0] else homes[view])
                assert frame.get_edgecolor()[:3] == to_rgb(scan_colour(homes[view] % 3))
        badges = {text.get_text() for text in row[2].texts} - set("LRPA") - {"10 voxels"}
        assert badges == set(map(str, own if dims == 3 else range(9)))


def test_one_layer_of_a_puzzle_and_layers_that_are_not():
    volumes, batch = posed("jigsaw", patch=4)
    one, every = show.shuffled_pieces(volumes, batch, plane=1), show.shuffled_pieces(volumes, batch)
    assert [t.get_text() for t in one.axes[1].texts] == [t.get_text() for t in every.axes[4].texts]
    with pytest.raises(InputError, match="plane is 3, but the grid has the layers 0 to 2"):
        show.shuffled_pieces(volumes, batch, plane=3)
    with pytest.raises(InputError, match="form no grid"):
        show.shuffled_pieces(*posed("rotation", crop_size=12))


def test_the_letters_of_a_turned_view_are_true():
    """Volumes that grow along one axis of the scan: a view grows towards that axis' letter."""
    for axis, (low, high) in enumerate(("LR", "PA", "IS")):
        ramp = torch.arange(12.0).view(1, 1, *(12 if a == axis else 1 for a in range(3)))
        volumes = ramp.expand(1, 1, 12, 12, 12)
        _, batch = posed("rotation", volumes=volumes, crop_size=12, rotations_per_scan=10)
        figure = show.turns(volumes, batch)
        seen = 0
        for axes in figure.axes:
            if not axes.images:
                continue
            right, top = (text.get_text() for text in axes.texts[:2])
            for letter, growth in zip((right, top), np.gradient(shown(axes))[::-1], strict=True):
                assert letter in "LRPAIS"
                wanted = high if growth[0, 0] > 0 else low if growth[0, 0] < 0 else None
                assert (letter == wanted) if wanted else letter not in (low, high)
                seen += wanted is not None
        assert seen == 11 * 2, "each of 11 columns has the axis in two planes"


def test_turned_views_are_named_by_their_turn():
    volumes, batch = posed("rotation", crop_size=12, rotations_per_scan=10)
    titles = [axes.get_title() for axes in show.turns(volumes, batch).axes if axes.get_title()]
    assert titles[0] == "in the scan"
    names = [name.replace(" about ", " about\n") for name in show.turn_names(3)]
    for view, title in enumerate(titles[1:]):
        label = int(batch.target[0, view])
        assert title == f"view {view}\n{names[label]}"


def test_a_box_stands_beside_its_turned_copies_as_it_lies_in_the_scan():
    volumes, batch = posed("rotation", (20, 30), crop_size=12, rotations_per_scan=4)
    scan, *views = show.turns(volumes, batch, 1).axes
    upright = batch.target[1].tolist().index(0)
    np.testing.assert_array_equal(shown(scan), shown(views[upright]))


def test_triplets_name_the_counter_example_and_tell_right_from_wrong():
    volumes, batch = posed("exemplar", (24, 30), scans=4, crop_size=12)
    points = torch.nn.functional.normalize(torch.randn(4, 2, 8), dim=-1)
    rows = np.array(show.triplets(volumes, batch, points).axes).reshape(4, 3)
    flat, owner = points.flatten(0, 1), torch.arange(4).repeat_interleave(2)
    away = torch.cdist(points[:, 0], flat)
    number = torch.arange(8.0).expand(4, 8)  # its "distance" to a view is the view's number
    picked = choose(number, owner != torch.arange(4)[:, None], batch.target[:, 0, 1], "random")
    for scan, (own, copy, other) in enumerate(rows):
        view = int(picked[scan])
        near, far = away[scan, 2 * scan + 1], away[scan, view]
        assert own.get_title() == f"scan {scan}"
        word = "✓ nearer" if near < far else "✗ not nearer"
        assert copy.get_title() == f"its copy, distorted\ndistance {near:.2f}, {word}"
        assert other.get_title() == f"counter-example: scan {view // 2}\ndistance {far:.2f}"
        np.testing.assert_array_equal(shown(other), batch.views[view // 2, view % 2, 0].T)
    with pytest.raises(InputError, match="of the task exemplar"):
        show.triplets(*posed("rotation", crop_size=12))


def test_a_volume_of_a_triplet_is_drawn_in_three_planes():
    volumes, batch = posed("exemplar", crop_size=16)
    first = show.triplets(volumes, batch).axes[0]
    for axis, image in enumerate(first.images):
        plane = np.take(batch.views[0, 0, 0].numpy(), 8, axis)
        np.testing.assert_array_equal(image.get_array(), plane.T)


@pytest.mark.parametrize("direction", ["+1", "-1"])
def test_the_pyramid_is_what_the_context_sees(direction):
    """Context cells are those whose latents change the prediction at the current patch."""
    own = {"patch": 4, "stride": 2, "jitter": 0, "directions": (direction,)}
    volumes, batch = posed("cpc", (10, 12), **own)
    grid = batch.placement.grid
    (axes, *_) = show.pyramid(volumes, batch, row=2, rows_ahead=2).axes
    cells = axes.patches[: np.prod(grid)]
    colours = np.array([patch.get_facecolor()[:3] for patch in cells]).reshape(*grid, 3)
    task = make_task("cpc", EncoderSettings(spatial_dims=2, filters=(4, 8)), context="gru", **own)
    field = torch.randn(1, 64, *grid, requires_grad=True)
    turned = field if direction[0] == "+" else field.flip(3)
    task.context(turned.movedim(3, 2))[0, :, 2, grid[0] // 2].sum().backward()
    seen = field.grad[0].abs().sum(0) > 0
    blue = [to_rgb(START_COLOUR), to_rgb(CONTEXT_COLOUR)]
    drawn = [[tuple(colour) in blue for colour in row] for row in colours]
    assert drawn == seen.tolist()
    along = range(grid[1]) if direction[0] == "+" else range(grid[1])[::-1]
    assert tuple(colours[grid[0] // 2, along[2]]) == to_rgb(START_COLOUR)
    assert tuple(colours[grid[0] // 2, along[4]]) == to_rgb(ASKED_COLOUR)
    assert (colours == to_rgb(ASKED_COLOUR)).all(-1).sum() == 1


def test_the_pyramids_patches_are_those_that_the_network_gets():
    volumes, batch = posed("cpc", patch=8, stride=4, jitter=0)
    figure = show.pyramid(volumes, batch, scan=1, row=0, rows_ahead=3)
    sagittal, axial, current, target = figure.axes
    middle = (2, 0, 2), (2, 3, 2)
    for axes, cell in zip((current, target), middle, strict=True):
        view = np.ravel_multi_index(cell, batch.placement.grid)
        np.testing.assert_array_equal(shown(axes), batch.views[1, view, 0, 4].numpy().T)
    assert (sagittal.get_title(), axial.get_title()) == ("sagittal", "axial")


def test_rows_that_a_grid_does_not_have_are_one_clear_line():
    volumes, batch = posed("cpc", patch=8, stride=4, jitter=0)
    rows = batch.placement.grid[1]
    with pytest.raises(InputError, match=f"row 1 and {rows} ahead .* has {rows} rows"):
        show.pyramid(volumes, batch, row=1, rows_ahead=rows)
    with pytest.raises(InputError, match="of the task cpc"):
        show.pyramid(*posed("jigsaw", patch=4))


def test_confusion_shows_shares_of_each_row():
    figure = show.confusion([0, 0, 0, 0, 2], torch.tensor([0, 0, 0, 1, 1]), title="turns")
    axes = figure.axes[0]
    shares = shown(axes)
    np.testing.assert_array_equal(shares[0], [0.75, 0.25, 0])
    assert np.isnan(shares[1]).all(), "never asked"
    np.testing.assert_array_equal(shares[2], [0, 1, 0])
    assert axes.get_title() == "turns: 3 of 5 correct"
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "75", (1, 0): "25", (1, 2): "100"}


def test_confusion_says_when_there_is_but_one_prediction():
    (axes, *_) = show.confusion([0, 1, 2], [1, 1, 1], ["a", "b", "c"]).axes
    assert axes.get_title() == "1 of 3 correct, the prediction is always “b”"


@pytest.mark.parametrize(
    ("labels", "predictions", "names", "said"),
    [
        ([0, 1], [0], None, "2 labels and 1 predictions"),
        ([], [], None, "0 labels"),
        ([0, 2], [0, 0], ["a", "b"], "class 2 has no name"),
    ],
)
def test_predictions_that_cannot_be_compared_are_one_clear_line(labels, predictions, names, said):
    with pytest.raises(InputError, match=said):
        show.confusion(labels, predictions, names)


def test_labels_have_their_names_in_the_order_of_the_tasks():
    assert len(show.turn_names(3)) == 10
    assert show.turn_names(2) == [
        *("not turned", "a quarter turn", "a half turn", "three quarters of a turn")
    ]
    assert show.turn_names(3)[4] == "a quarter turn about P–A"
    names = show.place_names(3)
    assert (len(names), len(set(names))) == (26, 26)
    assert (names[0], names[12], names[13], names[25]) == ("LPI", "I", "S", "RAS")
    assert show.place_names(2)[:3] == ["left down", "left", "left up"]
