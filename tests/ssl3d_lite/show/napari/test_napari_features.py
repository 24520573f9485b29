"""Features in napari: layers without a display, and a real window in a process of its own."""

import shutil

import numpy as np
import pytest
from helpers import make_cohort

pytest.importorskip("napari", reason="napari is not installed: pip install -e .[napari]")

from napari.components import ViewerModel

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.feature_maps import features
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show import add_features, open_features
from ssl3d_lite.show.napari import display
from ssl3d_lite.show.napari.features import PatientGrid

CASES = [0, 2, 3]
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import napari
import numpy as np
from helpers import make_cohort
from PIL import Image
from ssl3d_lite.evaluation.feature_maps import features
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show import add_features
folder = Path(sys.argv[1])
viewer = napari.Viewer()  # the display ends with its last client, so nothing else tries it first
cohort = make_cohort(folder / "cohort", 4)
maps = features(make_encoder(cohort, seed=0, filters=(4, 8)), cohort, [0, 1, 2])
add_features(viewer, maps, cohort, [0, 1, 2])
colour = {{}}
for dims in (2, 3):
    viewer.dims.ndisplay = dims
    picture = viewer.screenshot(canvas_only=True, flash=False)
    Image.fromarray(picture).save(folder / f"{{dims}}d.png")
    colour[dims] = np.ptp(picture[..., :3].astype(int), axis=2)
    share = (colour[dims] > 30).mean()
    assert share > {{2: 0.3, 3: 0.02}}[dims], (dims, share)
viewer.close()
"""


@pytest.fixture(scope="module")
def shown(cohort):
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    maps = features(encoder, cohort, CASES)
    viewer = ViewerModel()
    return viewer, add_features(viewer, maps, cohort, CASES), maps


def test_patients_stand_side_by_side():
    grid = PatientGrid([(2, 3, 4), (2, 2, 2), (1, 3, 4)])
    volumes = [np.full(shape, n + 1) for n, shape in enumerate(grid.shapes)]
    whole = grid.mosaic(volumes)
    assert whole.shape == (2, 8, 10)
    for place in np.ndindex(whole.shape):
        found = grid.find(place)
        assert whole[place] == (0 if found is None else found[0] + 1)
    assert grid.find((0.4, 0.4, 5.4)) == (0, (0, 0, 0))  # the first is on top
    assert grid.mosaic([v.repeat(2, 0) for v in volumes], 2).shape == (4, 16, 20)


def test_colours_lie_over_their_patients(shown):
    viewer, layers, maps = shown
    names = ["scan", "colours", "likeness", "best matches", "labelled"]
    assert [layer.name for layer in viewer.layers] == names
    for n in range(3):
        x, y, z = layers.grid.corner(n)
        colours = viewer.layers["colours"].data[x : x + 12, y : y + 16, z : z + 12]
        assert np.array_equal(colours, maps.colours(n))
    scan, cells = (viewer.layers[name] for name in ("scan", "colours"))
    assert np.allclose(scan.data_to_world((0.5, 2.5, 4.5)), cells.data_to_world((0, 1, 2)))


def test_a_voxel_that_is_pointed_at_lights_up_in_all(shown):
    viewer, layers, maps = shown
    cell = (5, 6, 7)
    at = layers.grid.corner(1) + cell
    layers.point_at(viewer.layers["colours"].data_to_world(at))
    likeness = viewer.layers["likeness"].data
    assert likeness[tuple(at)] == 1
    rows = [maps.standardised(n).reshape(12, -1) for n in range(3)]
    query = rows[1][:, np.ravel_multi_index(cell, (12, 16, 12))]
    for place, n in zip(viewer.layers["best matches"].data, (0, 2), strict=True):
        nearest = np.square(rows[n] - query[:, None]).sum(0).argmin()
        best = layers.grid.corner(n) + np.unravel_index(nearest, (12, 16, 12))
        assert np.array_equal(place, [cell[0], *best[1:]])  # in the plane that is shown
    for n in range(3):
        x, y, z = layers.grid.corner(n)
        lit = likeness[x : x + 12, y : y + 16, z : z + 12] > 0
        assert 0 < lit.mean() <= 0.05
    before = likeness.copy()
    layers.point_at((-1e3, 0, 0))  # nobody is there
    assert np.array_equal(viewer.layers["likeness"].data, before)


def test_in_3d_what_is_labelled_has_its_colours(shown):
    viewer, layers, _ = shown
    assert not viewer.layers["labelled"].visible
    viewer.dims.ndisplay = 3
    assert [layer.name for layer in viewer.layers if layer.visible] == ["labelled"]
    corners, _, *_ = viewer.layers["labelled"].data
    colours = viewer.layers["labelled"].vertex_colors[:, :3]
    cell = np.clip((corners[7] // 2).astype(int), 0, layers.grid.shape - 1)
    shade = colours[7] * 255 / layers.colour_cells[tuple(cell)]  # as the light falls
    assert np.allclose(shade, shade[0])
    assert 0.5 <= shade[0] <= 1.001
    viewer.dims.ndisplay = 2
    assert viewer.layers["colours"].visible


def test_without_labels_there_is_no_surface(tmp_path):
    scans = make_cohort(tmp_path, 3, unlabelled=3)
    viewer, encoder = ViewerModel(), make_encoder(scans, filters=(4, 8))
    layers = add_features(viewer, features(encoder, scans, [0, 1]), scans, [0, 1])
    assert layers.labelled is None
    viewer.dims.ndisplay = 3
    assert viewer.layers["scan"].visible


def test_without_a_window_the_browser_is_named(cohort, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(
        InputError, match=r"see features in the browser: ssl3d_lite\.show\.Features"
    ):
        open_features(make_encoder(cohort, filters=(4, 8)), cohort, [0, 1])


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_real_window_is_in_colour_in_2d_and_3d(tmp_path):
    from pathlib import Path

    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parents[3])))
    assert display.run_under_xvfb([str(script), str(tmp_path)], tmp_path) == ""
