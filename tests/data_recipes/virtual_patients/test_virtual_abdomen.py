"""The virtual abdomens: organs where they belong, in the densities they have, on any grid."""

import functools

import numpy as np
import pytest
from scipy import ndimage

from data_recipes.virtual_patients import abdomen as virtual_abdomen
from data_recipes.virtual_patients.abdomen import abdomen_case, abdomen_organs
from data_recipes.virtual_patients.ct import (
    AIR,
    CLIP,
    Scanner,
    acquire_ct,
    body_field,
    capsule,
    curve,
    ellipsoid,
    empty_table,
    noise_level,
    soft_min,
)
from data_recipes.virtual_patients.organs import HU, Organ
from ssl3d_lite.errors import InputError

EDGE = 96
PATIENTS = range(3)

case = functools.cache(abdomen_case)
organs = functools.cache(abdomen_organs)


def millilitres(where: np.ndarray, affine: np.ndarray) -> float:
    return where.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000


def places(where: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """World positions of voxels, (n, 3) mm."""
    return np.argwhere(where) @ affine[:3, :3].T + affine[:3, 3]


def centre(index: int, *kinds: Organ) -> np.ndarray:
    there, affine = organs(0, index, EDGE)
    return places(np.isin(there, kinds), affine).mean(0)


# ---- cases ---------------------------------------------------------------------------------------


def test_a_case_depends_on_seed_index_and_edge_alone():
    once = abdomen_case(3, 1, 48)
    abdomen_case(0, 0, 48)
    again = abdomen_case(3, 1, 48)
    for a, b in zip(once, again):
        assert a.tobytes() == b.tobytes()
    for other in (abdomen_case(3, 2, 48), abdomen_case(2, 1, 48)):
        assert other[0].tobytes() != once[0].tobytes()
        assert other[1].tobytes() != once[1].tobytes()


def test_slabs_do_not_show(monkeypatch):
    whole, affine = abdomen_organs(0, 2, 64)
    monkeypatch.setattr(virtual_abdomen, "SLAB", 64 * 64 * 10)
    parts, same = abdomen_organs(0, 2, 64)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(same, affine)


@pytest.mark.parametrize("edge", [48, 64, 96])
def test_grids_are_those_of_the_decathlon_or_coarser(edge):
    for index in PATIENTS:
        image, label, affine = case(0, index, edge)
        assert image.dtype == np.int16
        assert label.dtype == np.uint8
        assert image.shape == label.shape == (edge, edge, image.shape[2])
        x, y, z = np.diag(affine)[:3]
        np.testing.assert_array_equal(affine[:3, :3], np.diag([x, y, z]))
        assert x == y < 0  # LPS voxels in a RAS world, as in the Decathlon's CTs
        assert 320 <= -x * edge <= 430
        assert z >= -x
        assert z == -x or z in (1.25, 2.5, 3, 5)
        assert 200 <= z * image.shape[2] <= 260


def test_the_full_grid_shows_the_same_patient():
    image, label, affine = abdomen_case(0, 1)
    assert image.shape[:2] == (512, 512)
    assert affine[2, 2] == 3  # as drawn for this one
    coarse, coarse_label, coarse_affine = case(0, 1, EDGE)
    assert affine[0, 0] * 512 == pytest.approx(coarse_affine[0, 0] * EDGE)
    for k, tolerance in ((1, 0.05), (2, 0.12)):
        fine = millilitres(label == k, affine)
        assert millilitres(coarse_label == k, coarse_affine) == pytest.approx(fine, rel=tolerance)
        difference = places(label == k, affine).mean(0) - places(
            coarse_label == k, coarse_affine
        ).mean(0)
        assert abs(difference).max() < 1.0  # mm
    assert abs(image.mean(dtype=float) - coarse.mean(dtype=float)) < 10


@pytest.mark.parametrize("edge", [0, 16, 47])
def test_a_grid_too_coarse_for_a_tumour_is_refused(edge):
    for function in (abdomen_case, abdomen_organs):
        with pytest.raises(InputError, match=f"^edge must be at least 48 voxels, not {edge}$"):
            function(0, 0, edge)


# ---- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(5))
def test_labels_are_the_pancreas_and_a_tumour_in_it(index):
    for edge in (64, EDGE):
        image, label, affine = case(0, index, edge)
        there, same = organs(0, index, edge)
        np.testing.assert_array_equal(affine, same)
        np.testing.assert_array_equal(label == 1, np.isin(there, (Organ.PANCREAS, Organ.DUCT)))
        np.testing.assert_array_equal(label == 2, there == Organ.TUMOUR)
        assert np.unique(label).tolist() == [0, 1, 2]
        assert image[label > 0].min() > -300  # no air, whatever lies beside
        touching = np.ones((3, 3, 3))
        assert ndimage.label(label == 2, touching)[1] == 1
        assert ndimage.label(label > 0, touching)[1] == 1
        assert (ndimage.binary_dilation(label == 2) & (label == 1)).any()


def test_pancreases_and_tumours_have_the_sizes_of_real_ones():
    sizes = []
    for index in range(10):
        there, affine = organs(0, index, 48)
        tumour = there == Organ.TUMOUR
        gland = tumour | np.isin(there, (Organ.PANCREAS, Organ.DUCT))
        sizes.append((millilitres(gland, affine), millilitres(tumour, affine)))
    gland, tumour = np.transpose(sizes)
    assert gland.min() > 45
    assert gland.max() < 125
    assert gland.max() > 1.3 * gland.min()
    assert tumour.min() > 1
    assert tumour.max() < 50
    assert tumour.max() > 3 * tumour.min()


def test_three_of_five_tumours_lie_in_the_head_and_one_of_four_is_a_cyst():
    patients = [
        virtual_abdomen.draw_patient(*np.random.default_rng([0, index]).spawn(2))
        for index in range(300)
    ]
    tumours = [patient.tumour for patient in patients]
    assert np.mean([t.station < 0.3 for t in tumours]) == pytest.approx(0.6, abs=0.09)
    assert np.mean([t.cystic for t in tumours]) == pytest.approx(0.25, abs=0.08)
    for patient, tumour in zip(patients, tumours):
        assert 7 < tumour.radii.min() < tumour.radii.max() < 26
        assert not (tumour.cystic and tumour.duct)
        if tumour.cystic:
            assert 5 <= tumour.hu <= 25
        else:
            assert 30 <= patient.hu[Organ.PANCREAS] - tumour.hu <= 60


@pytest.mark.parametrize("index", range(5))
def test_a_tumour_is_darker_than_the_pancreas(index):
    image, _, _ = case(0, index, EDGE)
    there, _ = organs(0, index, EDGE)
    tumour, gland = (
        ndimage.binary_erosion(there == organ) for organ in (Organ.TUMOUR, Organ.PANCREAS)
    )
    assert tumour.sum() > 5
    assert np.median(image[tumour]) < np.median(image[gland]) - 15


# ---- anatomy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", PATIENTS)
def test_organs_lie_where_they_belong(index):
    liver, spleen = centre(index, Organ.LIVER), centre(index, Organ.SPLEEN)
    spine, aorta = centre(index, Organ.MARROW, Organ.DISC), centre(index, Organ.AORTA)
    cava, pancreas = centre(index, Organ.CAVA), centre(index, Organ.PANCREAS)
    stomach = centre(index, Organ.STOMACH)
    assert liver[0] > 30  # on the right, which is +x
    assert spleen[0] < -60
    assert spine[1] + 15 < min(liver[1], pancreas[1], stomach[1])
    assert aorta[0] < 0 < cava[0]
    assert spine[1] + 15 < aorta[1] < pancreas[1]
    assert spine[1] + 15 < cava[1]
    assert spleen[0] < pancreas[0] < liver[0]
    assert liver[2] > pancreas[2]
    lungs, gut = centre(index, Organ.LUNG), centre(index, Organ.BOWEL)
    assert lungs[2] > liver[2] > gut[2]
    assert centre(index, Organ.HEART)[0] < 0


@pytest.mark.parametrize("index", PATIENTS)
def test_there_are_two_kidneys_the_right_one_lower(index):
    there, affine = organs(0, index, EDGE)
    kidneys = places(np.isin(there, (Organ.CORTEX, Organ.MEDULLA)), affine)
    right, left = kidneys[kidneys[:, 0] > 0], kidneys[kidneys[:, 0] < 0]
    assert right[:, 2].mean() < left[:, 2].mean()
    for kidney in (right, left):
        assert 60 < len(kidney) * abs(np.linalg.det(affine[:3, :3])) / 1000 < 260  # ml
        assert 35 < abs(kidney[:, 0].mean()) < 85


@pytest.mark.parametrize("index", PATIENTS)
def test_the_pancreas_reaches_from_the_duodenum_to_the_spleen(index):
    there, affine = organs(0, index, EDGE)
    voxel = np.abs(np.diag(affine)[:3])
    gland = np.isin(there, (Organ.PANCREAS, Organ.DUCT, Organ.TUMOUR))
    x, _, z = places(gland, affine).T
    head, tail = x > np.percentile(x, 75), x < np.percentile(x, 10)
    assert x[head].min() > x[tail].max() + 60
    assert z[head].mean() < z[tail].mean() - 15
    for end, other, reach in ((head, Organ.DUODENUM, 16), (tail, Organ.SPLEEN, 30)):
        distance = ndimage.distance_transform_edt(there != other, sampling=voxel)[gland]
        assert distance[end].min() < reach  # mm


@pytest.mark.parametrize("index", PATIENTS)
def test_gas_in_the_stomach_lies_over_its_fluid(index):
    there, _ = organs(0, index, EDGE)
    fluid, gas = there == Organ.CHYME, there == Organ.GAS
    above = fluid[:, 1:] & gas[:, :-1]  # j runs to the back
    below = fluid[:, :-1] & gas[:, 1:]
    assert above.sum() > 10
    assert len(np.unique(np.argwhere(above)[:, 1])) == 1  # one level
    assert not below.any()


def test_thin_and_stout_patients_both_come():
    depths = []
    for index in range(10):
        there, affine = organs(0, index, 48)
        depths.append(millilitres(there == Organ.SUBCUTANEOUS_FAT, affine) / 1000)  # litres
    assert max(depths) > 2 * min(depths)


# ---- densities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(2))
def test_organs_have_the_densities_of_the_portal_venous_phase(index):
    image, _, _ = case(0, index, 128)
    there, _ = organs(0, index, 128)
    for organ, slack in (
        (Organ.SUBCUTANEOUS_FAT, 3),
        (Organ.MUSCLE, 4),
        (Organ.LIVER, 5),
        (Organ.SPLEEN, 4),
        (Organ.MEDULLA, 8),
        (Organ.AORTA, 4),
        (Organ.CAVA, 4),
        (Organ.PANCREAS, 6),
        (Organ.HEART, 4),
        (Organ.CHYME, 8),
        (Organ.LUNG, 15),
    ):
        inside = ndimage.binary_erosion(there == organ, iterations=2)
        assert inside.sum() > 20, organ.name
        low, high = HU[organ]
        assert low - slack < np.median(image[inside]) < high + slack, organ.name
    assert np.median(image[there == Organ.BONE]) > 300
    assert np.median(image[ndimage.binary_erosion(there == Organ.MARROW)]) > 120
    assert np.median(image[ndimage.binary_erosion(there == Organ.GAS)]) < -850


@pytest.mark.parametrize("index", PATIENTS)
def test_around_the_patient_is_air_and_behind_him_a_table(index):
    image, _, affine = case(0, index, EDGE)
    there, _ = organs(0, index, EDGE)
    assert image.min() == CLIP
    corners = image[:6, :6]
    assert np.median(corners) < -990
    assert corners.max() < -900
    table, body = there == Organ.TABLE, (there > 0) & (there != Organ.TABLE)
    assert places(table, affine)[:, 1].max() < places(body, affine)[:, 1].mean()
    body[1:-1, 1:-1] = False
    assert not body.any()  # the field of view holds all of it


@pytest.mark.parametrize("index", PATIENTS)
def test_noise_is_that_of_a_scan(index):
    image, _, _ = case(0, index, EDGE)
    there, _ = organs(0, index, EDGE)
    spleen = image[ndimage.binary_erosion(there == Organ.SPLEEN, iterations=2)]
    assert 7 < spleen.std() < 22


# ---- the scanner and the solids ------------------------------------------------------------------


def test_noise_keeps_its_strength_and_correlates_within_a_slice():
    scanner = Scanner(400.0, 2.5, noise=12.0, sharpness=0.5, table=5.0)
    flat = np.full((24, 80, 80), 100, np.float32)
    image = acquire_ct(np.random.default_rng(0), flat, scanner, (0.8, 0.8, 2.5), slab=10)
    assert image.mean() == pytest.approx(100, abs=0.3)
    assert image.std() == pytest.approx(12, rel=0.02)
    noise = image - 100.0
    assert np.mean(noise[:, :, 1:] * noise[:, :, :-1]) > 0.5 * 144
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.05 * 144
    assert noise_level(12, 2.5) == 12
    assert noise_level(12, 1.25) == pytest.approx(12 * np.sqrt(2))
    assert noise_level(9, 5.0) == 8  # bounds
    assert noise_level(15, 1.25) == 20


def test_slices_overlap_and_values_are_clipped():
    hu = np.full((5, 8, 8), 5000, np.float32)
    hu[:2] = -2000
    scanner = Scanner(400.0, 2.5, noise=0.0, sharpness=0.01, table=5.0)
    image = acquire_ct(np.random.default_rng(0), hu, scanner, (50, 50, 2.5), slab=5)
    assert image[:, 4, 4].tolist() == [CLIP, -740, 3071, 3071, 3071]


def test_depths_are_distances_to_the_surface():
    points = np.random.default_rng(0).uniform(-20, 20, (3, 500)).astype(np.float32)
    radius = np.linalg.norm(points - np.reshape([1, 2, 3], (3, 1)), axis=0)
    np.testing.assert_allclose(ellipsoid(points, (1, 2, 3), (9, 9, 9)), 9 - radius, atol=1e-3)
    axis = np.array([[12.0], [0], [0]], np.float32)
    np.testing.assert_allclose(ellipsoid(axis, (0, 0, 0), (12, 5, 7)), 0, atol=1e-5)

    rod = capsule(points, (-5, 0, 0, 4), (5, 0, 0, 4))
    beyond = points - np.clip(points[:1], -5, 5) * np.array([[1], [0], [0]])
    np.testing.assert_allclose(rod, 4 - np.linalg.norm(beyond, axis=0), atol=1e-4)
    ends = np.array([[-5.0, 5], [0, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(capsule(ends, (-5, 0, 0, 4), (5, 0, 0, 2)), [4, 2])


def test_a_soft_minimum_rounds_only_where_two_surfaces_meet():
    a, b = np.mgrid[-9:10, -9:10].astype(np.float32)
    soft = soft_min(a, b, 2.0)
    assert np.all(soft <= np.minimum(a, b))
    apart = abs(a - b) >= 4
    np.testing.assert_array_equal(soft[apart], np.minimum(a, b)[apart])
    np.testing.assert_array_equal(soft[a == b], a[a == b] - 0.5)


def test_a_curve_passes_through_its_ends_in_even_steps():
    fine = curve(((0, 0, 0, 5), (30, 0, 0, 8), (60, 0, 0, 5)), step=6.0)
    np.testing.assert_allclose(fine[[0, 5, 10]], [[0, 0, 0, 5], [30, 0, 0, 8], [60, 0, 0, 5]])
    np.testing.assert_allclose(np.diff(fine[:, 0]), 6.0)


def test_a_field_of_a_whole_body_does_not_depend_on_the_grid():
    x, y, z = np.linspace(-230, 230, 24), np.linspace(-200, 240, 20), np.linspace(-140, 150, 12)
    whole = body_field((x, y, z), np.random.default_rng(5), 40.0)
    part = body_field((x[::3], y[4:9], z[::-1]), np.random.default_rng(5), 40.0)
    assert whole.shape == (12, 20, 24)
    np.testing.assert_allclose(part, whole[::-1, 4:9, ::3], atol=1e-5)


def test_a_table_is_a_hollow_board_in_air():
    x, y = np.arange(-100, 101, 1.0), np.arange(50, -80, -1.0)
    hu, table = empty_table(x, y, top=-40.0, blend=1.0)
    assert hu.shape == table.shape == (130, 201)
    assert y[table[:, 100]].tolist() == list(range(-41, -56, -1))
    assert y[table[:, 0]].max() > -40 + 100**2 / 1300 - 2
    np.testing.assert_array_equal(hu[y > -39, 100], AIR)
    assert hu[y == -41, 100] > 0 > -900 > hu[y == -48, 100]
