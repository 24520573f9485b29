"""The virtual patients: files as the real data sets have them, anatomy and disease in place."""

import functools

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from data_recipes.virtual_patients.anatomy import (
    CONTRASTS,
    HIPPOCAMPUS,
    Glioma,
    acquire,
    brats_labels,
    diseased_signal,
    glioma_seats,
    grow_glioma,
    healthy_signal,
    region_map,
    sample,
    smooth_field,
    template,
    vessels,
    warp_template,
)
from data_recipes.virtual_patients.brain import (
    BRAIN_CENTRE,
    MODALITIES,
    glioma_grade,
    head_case,
    head_grid,
    hippocampus_case,
)

HIGH, LOW = 0, 3  # a case with a glioma of high grade, and one of low grade
EDGE = 80
VOXEL = 192 / EDGE  # mm: fine enough for a rim of 3 mm

head = functools.cache(head_case)
crop = functools.cache(hippocampus_case)


def world(axes) -> np.ndarray:
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def anatomy(index: int, edge: int) -> np.ndarray:
    """The template points that a head without a tumour shows."""
    rng = np.random.default_rng([0, index]).spawn(3)[0]
    return warp_template(rng, head_grid(edge)[0], BRAIN_CENTRE, size=0.9)


def no_field(rng, spacing):
    return np.float32(0)


# ---- fields and warps ----------------------------------------------------------------------------


def test_a_field_has_mean_0_and_variance_1_wherever_its_nodes_are():
    axes = (np.linspace(-40, 40, 7),) * 3  # three points a node
    draws = [smooth_field(axes, np.random.default_rng(i), 40.0) for i in range(1000)]
    assert np.abs(np.mean(draws, axis=0)).max() < 5 / np.sqrt(1000)
    assert np.abs(np.var(draws, axis=0) - 1).max() < 5 * np.sqrt(2 / 1000)


def test_a_coarse_grid_shows_the_field_of_a_fine_one():
    fine = tuple(np.arange(-20.0, 20.0) for _ in range(3))
    coarse = tuple(axis[::4] for axis in fine)
    both = [smooth_field(axes, np.random.default_rng(1), 7.0) for axes in (fine, coarse)]
    np.testing.assert_array_equal(both[0][::4, ::4, ::4], both[1])


def test_neighbours_in_a_field_resemble_each_other():
    axes = (np.arange(60.0), np.arange(3.0), np.arange(3.0))
    steps = [np.diff(smooth_field(axes, np.random.default_rng(i), 20.0), axis=0) for i in range(50)]
    assert np.std(steps) < 0.1


def test_a_warp_does_not_fold():
    axes = tuple(np.arange(-60.0, 60.0, 2.0) for _ in range(3))
    for seed in range(5):
        points = warp_template(np.random.default_rng(seed), axes, np.zeros(3), size=0.9)
        jacobian = np.stack(np.gradient(points, 2.0, axis=(1, 2, 3)), axis=-1)
        volume = np.linalg.det(np.moveaxis(jacobian, 0, -2))
        assert volume.min() > 0.2
        assert np.isclose(volume.mean(), 0.9**-3, rtol=0.25)


def test_sampling_at_its_voxels_gives_the_template_back():
    values = template("t1")
    corner = np.array([-98, -134, -72], np.float32)[:, None]
    voxels = np.random.default_rng(0).integers(0, np.array(values.shape)[:, None], (3, 1000))
    np.testing.assert_array_equal(sample(values, voxels + corner), values[tuple(voxels)])
    assert sample(values, corner - 5) == 0


# ---- signal --------------------------------------------------------------------------------------


def test_the_tone_curve_meets_the_tissues_exactly():
    signal = healthy_signal(np.array([0, 0.3, 0.6, 0.84], np.float32), 2.0, 1.0, 0.5)
    np.testing.assert_allclose(signal, [2, 2, 1, 0.5], rtol=1e-6)


def test_a_scanner_without_noise_only_scales_and_bends():
    signal, bias = np.float32([1, 2, 3]), np.float32([0, 1, -1])
    image = acquire(np.random.default_rng(0), signal, bias, noise=0, scale=10)
    np.testing.assert_allclose(image, 10 * signal * np.exp(0.08 * bias), rtol=1e-6)


def test_noise_is_rician():
    nothing, noise = np.zeros(200_000, np.float32), 0.1
    image = acquire(np.random.default_rng(0), nothing, nothing, noise, scale=1)
    assert np.isclose(image.mean(), noise * np.sqrt(np.pi / 2), rtol=0.01)  # Rayleigh
    assert np.isclose((image**2).mean(), 2 * noise**2, rtol=0.01)


def test_vessels_lie_in_csf():
    rng = np.random.default_rng(0)
    share = vessels(rng, lambda rng, spacing: rng.standard_normal(50_000), np.full(50_000, 0.3))
    assert 0.02 < share.mean() < 0.06  # ∫ exp(-(r / 0.3)²) over two normals: 0.09 / 2.09
    assert vessels(rng, no_field, np.float32(0.84)) < 1e-4


@pytest.mark.parametrize("name", MODALITIES)
def test_every_tissue_keeps_its_own_signal_within_a_glioma(name):
    contrast = CONTRASTS[name]
    depths = np.float32([[-9, 9, 9, 9], [-9, -9, 9, 9], [-9, -9, -9, 9]])
    healthy, even = np.full(4, contrast.white, np.float32), np.zeros(4, np.float32)
    high = Glioma(*depths, necrotic=True, mottling=even)
    low = Glioma(*depths, necrotic=False, mottling=even)
    oedema = 0.1 * contrast.white + 0.9 * contrast.oedema
    expected = [contrast.white, oedema, contrast.rim, contrast.necrosis]
    np.testing.assert_allclose(diseased_signal(contrast, healthy, high), expected, rtol=1e-5)
    expected[2:] = [contrast.solid] * 2
    np.testing.assert_allclose(diseased_signal(contrast, healthy, low), expected, rtol=1e-5)
    assert brats_labels(high).tolist() == [0, 2, 4, 1]
    assert brats_labels(low).tolist() == [0, 2, 1, 1]


# ---- hippocampus ---------------------------------------------------------------------------------


def test_the_region_is_mirrored_and_of_a_hippocampus_size():
    left, right = (region_map(HIPPOCAMPUS, side) for side in (-1, 1))
    np.testing.assert_array_equal(left, right[::-1])
    assert not (left[98:] > 0).any()  # x = 0 is voxel 98
    assert 3000 < (right > 0.5).sum() < 5000  # mm³


@pytest.mark.parametrize("index", range(6))
def test_a_crop_holds_both_labels_whole(index):
    image, label, affine = crop(0, index)
    assert image.shape == label.shape
    assert image.dtype == np.float32
    assert label.dtype == np.uint8
    assert np.unique(label).tolist() == [0, 1, 2]
    assert min((label == 1).sum(), (label == 2).sum()) > 500
    assert ndimage.label(label > 0)[1] == 1
    for axis in range(3):
        planes = np.flatnonzero((label > 0).any(axis=tuple({0, 1, 2} - {axis})))
        margins = planes[0], label.shape[axis] - 1 - planes[-1]
        assert all(4 <= margin <= 8 for margin in margins)
    front, back = (nib.affines.apply_affine(affine, np.argwhere(label == k)) for k in (1, 2))
    assert front[:, 1].mean() > back[:, 1].mean() + 10
    assert front[:, 2].mean() < back[:, 2].mean()  # the tail curves up


@pytest.mark.parametrize("index", range(4))
def test_sides_alternate_and_are_not_mirrored(index):
    image, label, affine = crop(0, index)
    side = 1 if index % 2 else -1
    np.testing.assert_array_equal(affine[:3, :3], np.eye(3))
    voxels = np.argwhere(label > 0)
    assert np.all(side * nib.affines.apply_affine(affine, voxels)[:, 0] > 8)
    axes = tuple(start + np.arange(n) for start, n in zip(affine[:3, 3], image.shape))
    there = sample(template("t1"), world(axes))
    # of the crop and its mirror image, the crop is more like what the template has there
    like, mirrored = (np.corrcoef(there.ravel(), i.ravel())[0, 1] for i in (image, image[::-1]))
    assert like > mirrored + 0.1


@pytest.mark.parametrize("index", range(4))
def test_the_labels_lie_in_grey_matter(index):
    image, label, _ = crop(0, index)
    white = np.percentile(image, 85)
    assert 0.4 < np.median(image[label > 0]) / white < 0.75
    assert np.median(image[label > 0]) > 2 * np.percentile(image, 2)  # CSF


def test_crops_differ_in_frame_place_and_scale():
    crops = [crop(0, index) for index in range(6)]
    assert len({image.shape for image, _, _ in crops}) == 6
    centres = [np.argwhere(label > 0).mean(0) / label.shape for _, label, _ in crops]
    assert np.ptp(centres, axis=0).min() > 0.02
    brightest = [image.max() for image, _, _ in crops]
    assert max(brightest) > 30 * min(brightest)
    assert all((image == np.rint(image)).all() for image, _, _ in crops)


# ---- heads ---------------------------------------------------------------------------------------


def test_brats_own_grid():
    axes, affine = head_grid(None)
    assert [len(axis) for axis in axes] == [240, 240, 155]
    expected = [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(affine, expected)
    assert [axis[1] - axis[0] for axis in axes] == [-1, -1, 1]


@pytest.mark.parametrize("edge", [32, 64, 100])
def test_a_small_grid_is_a_cube_about_the_same_centre(edge):
    axes, affine = head_grid(edge)
    np.testing.assert_allclose(np.abs(np.diag(affine)[:3]), 192 / edge)
    assert nib.aff2axcodes(affine) == ("L", "P", "S")
    centre = nib.affines.apply_affine(affine, [(edge - 1) / 2] * 3)
    np.testing.assert_allclose(centre, [-119.5, 119.5, 77])
    np.testing.assert_allclose([axis.mean() for axis in axes], BRAIN_CENTRE, atol=1e-12)


def test_a_head_is_the_same_on_every_grid():
    volumes = []
    for edge in (None, EDGE, 48):
        images, label, affine = head(0, HIGH, edge, modalities=("t1",))
        voxel = np.prod(nib.affines.voxel_sizes(affine)) / 1000
        volumes.append([voxel * (images["t1"] > 0).sum(), voxel * (label > 0).sum()])
    assert 1000 < volumes[0][0] < 1700  # ml
    np.testing.assert_allclose(volumes[1:], [volumes[0]] * 2, rtol=0.05)


@pytest.mark.parametrize("index", range(4))
def test_the_background_is_zero_and_the_brain_whole(index):
    images, label, _ = head(0, index, EDGE)
    brain = images["t1"] > 0
    for image in images.values():
        assert image.dtype == np.int16
        assert image.min() == 0
        np.testing.assert_array_equal(image > 0, brain)
    assert not label[~brain].any()
    assert ndimage.label(brain)[1] == 1
    for axis in range(3):
        assert not np.take(brain, [0, -1], axis).any()


@pytest.mark.parametrize("index", range(4))
def test_healthy_tissues_have_the_contrast_of_the_modality(index):
    images, label, _ = head(0, index, EDGE, tumour=False)
    assert not label.any()
    points = anatomy(index, EDGE)
    white, grey = (sample(template(name), points) > 0.95 for name in ("white", "grey"))
    deep = sample(template("depth"), points) > 8
    csf = deep & (sample(template("t1"), points) < 0.3)
    means = {name: [image[t].mean() for t in (csf, grey, white)] for name, image in images.items()}
    for name in ("t1", "t1ce"):
        csf, grey, white = means[name]
        assert white > 1.1 * grey > 1.5 * csf
    csf, grey, white = means["t2"]
    assert csf > 1.5 * grey > 1.6 * white
    csf, grey, white = means["flair"]
    assert 1.4 * white > grey > white > 1.5 * csf


@pytest.mark.parametrize("index", range(3))
def test_a_high_grade_glioma_looks_as_its_labels_say(index):
    images, label, _ = head(0, index, EDGE)
    points = anatomy(index, EDGE)
    apart = VOXEL * ndimage.distance_transform_edt(label == 0) > 6  # mm
    white = apart & (sample(template("white"), points) > 0.95)
    grey = apart & (sample(template("grey"), points) > 0.95)

    def mean(name, where):
        return images[name][where].mean()

    necrosis, oedema, rim = (label == k for k in (1, 2, 4))
    assert min(necrosis.sum(), oedema.sum(), rim.sum()) > 100
    assert mean("t1ce", rim) > 1.2 * mean("t1ce", white)
    assert mean("t1", rim) < 0.9 * mean("t1", white)
    assert mean("t1ce", necrosis) < 0.6 * mean("t1ce", rim)
    assert mean("t2", necrosis) > 1.5 * mean("t2", white)
    for tissue in (white, grey, necrosis, rim):
        assert mean("flair", oedema) > 1.1 * mean("flair", tissue)


def test_necrosis_lies_within_the_rim_and_the_rim_within_oedema():
    for index in (0, 1):
        images, label, _ = head(0, index, 128, modalities=("t1",))
        around = ndimage.binary_dilation(label == 1) & (label != 1)
        assert (label[around] == 4).mean() > 0.99
        core = (label == 1) | (label == 4)
        around = ndimage.binary_dilation(core) & ~core & (images["t1"] > 0)
        assert (label[around] == 2).mean() > 0.85  # the rest is cortex and CSF
        depth = ndimage.distance_transform_edt(label > 0)
        assert depth[label == 1].mean() > depth[label == 4].mean() > depth[label == 2].mean()


def test_oedema_prefers_white_matter():
    for index in (0, 1, 2):
        _, label, _ = head(0, index, EDGE)
        points = anatomy(index, EDGE)
        white = sample(template("white"), points)
        core = (label == 1) | (label == 4)
        near = (ndimage.distance_transform_edt(~core) * VOXEL < 10) & ~core
        assert white[near & (label == 2)].mean() > white[near & (label == 0)].mean() + 0.2


def test_a_low_grade_glioma_is_solid():
    images, label, _ = head(0, LOW, EDGE)
    assert np.unique(label).tolist() == [0, 1, 2]
    white = (label == 0) & (sample(template("white"), anatomy(LOW, EDGE)) > 0.95)
    assert images["t1ce"][label == 1].mean() < 0.8 * images["t1ce"][white].mean()
    assert images["flair"][label == 1].mean() > 1.3 * images["flair"][white].mean()
    assert [glioma_grade(index) for index in range(8)].count("LGG") == 2


def test_a_glioma_pushes_tissue_away_and_leaves_the_far_side_alone():
    rng = np.random.default_rng(0)
    points = rng.uniform(-90, 90, (3, 20_000)).astype(np.float32)
    glioma, moved = grow_glioma(np.random.default_rng(1), no_field, points, 0.0, low_grade=False)
    replay = np.random.default_rng(1)
    seat, radius = replay.choice(glioma_seats())[:, None], replay.uniform(14, 26)
    before, after = (np.linalg.norm(p - seat, axis=0) for p in (points, moved))
    far = before > 3 * 1.2 * radius  # whichever way the tumour is stretched
    np.testing.assert_array_equal(moved[:, far], points[:, far])
    near = before < 2 * radius
    assert np.all(after[near] < before[near])  # what is seen there comes from nearer the seat
    np.testing.assert_allclose(  # along the same ray
        ((moved - seat) * before)[:, near], ((points - seat) * after)[:, near], atol=0.05
    )
    assert (before - after)[near].max() > 3  # mm
    assert np.all(glioma.necrosis <= glioma.core)
    assert np.all(glioma.core <= glioma.oedema)


def test_a_tumour_changes_nothing_far_from_it():
    for index in (HIGH, LOW):
        ill, label, _ = head(0, index, EDGE)
        well, none, _ = head(0, index, EDGE, tumour=False)
        assert not none.any()
        away = VOXEL * ndimage.distance_transform_edt(label == 0)  # mm
        for name in MODALITIES:
            np.testing.assert_array_equal(ill[name] > 0, well[name] > 0)  # the skull holds
            changed = ill[name] != well[name]
            brain = well[name] > 0
            assert changed[brain & (away < 8)].mean() > 0.7  # around the lesion tissue has moved
            assert changed[brain & (away > 60)].mean() < 0.01
            assert not changed[away > 100].any()


def test_gliomas_differ_in_place_and_size():
    labels = [head(0, index, 48, modalities=("t1",))[1] for index in range(8)]
    sizes = [(label > 0).sum() for label in labels]
    assert max(sizes) > 2 * min(sizes)
    centres = [ndimage.center_of_mass(label > 0) for label in labels]
    assert np.std(centres, axis=0).min() > 2.5  # voxels of 4 mm
    assert len({centre[0] > 23.5 for centre in centres}) == 2  # both hemispheres


def test_an_image_does_not_depend_on_the_other_modalities():
    every, _, _ = head(0, HIGH, 32)
    alone, _, _ = head(0, HIGH, 32, modalities=("flair",))
    assert list(alone) == ["flair"]
    np.testing.assert_array_equal(alone["flair"], every["flair"])
