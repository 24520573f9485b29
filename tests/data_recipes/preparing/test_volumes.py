"""Geometry: a prepared voxel lies in the world where its affine says, whatever came before."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from unittest.mock import patch

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nibabel.processing import resample_from_to
from scipy import ndimage

from data_recipes.preparing import volumes
from data_recipes.preparing.engine import Prepared, RawCase
from data_recipes.preparing.volumes import (
    Preparation,
    VolumeFrame,
    bounding_box,
    lay_frame,
    prepare_scan,
    prepare_volume,
    random_shift,
)
from ssl3d_lite.data import preparation
from ssl3d_lite.errors import InputError

AS_IT_IS = Preparation(crop=False, spacing=None, size=None, fit="pad", intensity="unit")
CLASSES = tuple(range(20))
ORIENTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


def prepare(
    folder: Path, image: np.ndarray, label: np.ndarray, affine: np.ndarray, how: Preparation
) -> Prepared:
    for name, data in (("image", image), ("label", label)):
        nib.save(nib.Nifti1Image(data, affine), folder / f"{name}.nii")
    case = RawCase("a", "a", {"image": folder / "image.nii"}, folder / "label.nii")
    return prepare_scan(case, how, CLASSES)


def write_back(made: Prepared) -> np.ndarray:
    """Classes on the raw grid, by nothing but the affines.

    Not mode="constant": a voxel whose position comes out at -1e-16 would count as outside.
    """
    prepared = nib.Nifti1Image(made.label, made.affine)
    raw = made.raw_shape, made.raw_affine
    back = resample_from_to(prepared, raw, order=0, mode="grid-constant")
    return np.asarray(back.dataobj)


def inside(made: Prepared) -> np.ndarray:
    """Where the raw grid was kept, by the crop in RAS voxels that the case records."""
    kept = np.zeros(made.raw_shape, bool)
    nib.apply_orientation(kept, nib.io_orientation(made.raw_affine))[
        tuple(slice(*c) for c in made.crop)
    ] = True  # apply_orientation gives a view
    return kept


@st.composite
def raw_grids(draw):
    """A shape, and an affine with any of the 48 orientations, tilted a little or not."""
    shape = draw(st.tuples(*[st.integers(3, 9)] * 3))
    zooms = draw(st.tuples(*[st.sampled_from([0.5, 1.0, 1.37, 3.0])] * 3))
    offset = draw(st.tuples(*[st.sampled_from([0.0, -90.0, 126.3, 0.1])] * 3))
    angle = np.radians(draw(st.sampled_from([0, 0, 7])))
    tilt = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    turn = tilt @ draw(st.sampled_from(ORIENTATIONS)) * zooms
    return shape, nib.affines.from_matvec(turn, offset)


@st.composite
def framed(draw, voxel_sizes):
    return Preparation(
        crop=draw(st.booleans()),
        spacing=draw(voxel_sizes),
        size=draw(st.none() | st.tuples(*[st.integers(1, 12)] * 3)),
        fit="pad",
        intensity="unit",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scans")


@given(grid=raw_grids(), how=framed(st.none()), seed=st.integers(0, 99))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_labels_written_back_lie_where_they_came_from(folder, grid, how, seed):
    shape, affine = grid
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    middle = tuple(slice(1, n) for n in shape)  # an empty border on one side, to crop
    image[middle] = rng.uniform(1, 2, image[middle].shape)
    label = rng.integers(0, 20, shape, np.uint8)
    made = prepare(folder, image, label, affine, how)
    kept = inside(made)
    np.testing.assert_array_equal(write_back(made), np.where(kept, label, 0))
    assert made.lost == np.count_nonzero(label[~kept])
    assert made.image.shape[1:] == made.label.shape
    if how.size:
        assert made.label.shape == how.size


@given(grid=raw_grids(), spacing=st.tuples(*[st.floats(0.4, 4)] * 3), axis=st.integers(0, 2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_resampled_labels_lie_within_half_a_voxel(folder, grid, spacing, axis):
    shape, affine = grid
    ras = nib.io_orientation(affine)[:, 0].astype(int)  # raw axis → RAS axis
    index = np.indices(shape)[axis].astype(np.uint8)  # each voxel is labelled with its index
    how = Preparation(False, spacing, None, "pad", "unit")
    made = prepare(folder, index.astype(np.float32), index, affine, how)
    zoom = nib.affines.voxel_sizes(affine)[axis]
    furthest = 0.5 + 0.5 * spacing[ras[axis]] / zoom  # half a raw and half a prepared voxel
    off = abs(write_back(made).astype(int) - index)[inside(made)]
    # the outermost voxels may have no prepared voxel nearby where the spacing does not fit in
    covered = write_back(made)[inside(made)] > 0
    assert (off[covered] <= furthest + 1e-3).all()


@given(
    grid=raw_grids(),
    axis=st.integers(0, 2),
    fit=st.sampled_from(["pad", "resize", "stretch"]),
    size=st.tuples(*[st.integers(1, 12)] * 3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_prepared_voxel_shows_the_place_its_affine_names(folder, grid, axis, fit, size):
    """A ramp is interpolated exactly, so its value tells where each prepared voxel was taken.

    (But not where it is smoothed: beyond a border the ramp does not go on.)
    """
    shape, affine = grid
    ramp = np.indices(shape)[axis].astype(np.float32)
    spacing = (1.1, 2.3, 0.7) if fit == "pad" else None
    how = Preparation(False, spacing, size, fit, "unit")
    with patch.object(volumes, "COARSE", np.inf):
        made = prepare(folder, ramp, np.zeros(shape, np.uint8), affine, how)
    to_raw = np.linalg.inv(affine) @ made.affine
    place = nib.affines.apply_affine(to_raw, np.moveaxis(np.indices(size), 0, -1))[..., axis]
    last = shape[axis] - 1
    np.testing.assert_allclose(made.image[0] * last, place.clip(0, last), atol=2e-3 * last)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_gives_the_same_volume(folder, orientation):
    rng = np.random.default_rng(0)
    ras = rng.uniform(1, 2, (5, 6, 7)).astype(np.float32)
    target = nib.orientations.io_orientation(nib.affines.from_matvec(orientation))
    turned = nib.apply_orientation(ras, nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), target))  # fmt: skip
    affine = np.eye(4) @ nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), target), ras.shape
    )
    made = prepare(folder, turned, np.zeros(turned.shape, np.uint8), affine, AS_IT_IS)
    wanted = (ras - ras.min()) / (ras.max() - ras.min())
    np.testing.assert_array_equal(made.image[0], wanted.astype(np.float16))
    np.testing.assert_allclose(made.affine, np.eye(4), atol=1e-12)


@given(label=arrays(np.uint8, (5, 6, 7), elements=st.sampled_from([0, 2, 7])), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_fault_05_labels_are_never_interpolated(folder, label, data):
    size = data.draw(st.tuples(*[st.integers(1, 12)] * 3))
    fit = data.draw(st.sampled_from(["resize", "stretch"]))
    image = np.random.default_rng(0).uniform(1, 2, label.shape).astype(np.float32)
    made = prepare(
        folder, image, label, np.diag([1, 2, 1.5, 1]), Preparation(False, None, size, fit, "unit")
    )
    assert set(np.unique(made.label)) <= set(np.unique(label)) | {0}


def test_fault_08_the_crop_keeps_the_last_slice(folder):
    image = np.zeros((6, 7, 8), np.float32)
    image[2:, 3:, 4:] = np.random.default_rng(0).uniform(1, 2, (4, 4, 4))
    how = Preparation(True, None, None, "pad", "unit")
    made = prepare(folder, image, np.zeros(image.shape, np.uint8), np.eye(4), how)
    assert made.crop == [[2, 6], [3, 7], [4, 8]]
    assert made.image.shape == (1, 4, 4, 4)


@given(mask=arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
def test_the_box_holds_all_and_no_more(mask):
    box = bounding_box(mask)
    assert mask[box].sum() == mask.sum()
    if mask.any():
        for axis in range(3):
            ends = np.take(mask[box], [0, -1], axis)
            assert np.moveaxis(ends, axis, 0).any(axis=(1, 2)).all()


def test_the_box_unites_channels(folder):
    first, second = np.zeros((2, 6, 6, 6), np.float32)
    first[1:3, 1:3, 1:3] = np.arange(1, 9).reshape(2, 2, 2)
    second[4:6, 2:4, 1:3] = np.arange(1, 9).reshape(2, 2, 2)
    paths = {}
    for name, data in (("first", first), ("second", second)):
        paths[name] = folder / f"{name}.nii"
        nib.save(nib.Nifti1Image(data, np.eye(4)), paths[name])
    how = Preparation(True, None, None, "pad", "unit")
    assert prepare_scan(RawCase("a", "a", paths), how, ()).crop == [[1, 6], [1, 4], [1, 3]]


def test_the_crop_of_a_ct_is_what_lies_above_the_window(folder):
    image = np.full((6, 6, 6), -1000, np.float32)
    image[1:4, 2:5, 3:6] = np.linspace(-90, 300, 27).reshape(3, 3, 3)
    how = Preparation(True, None, None, "pad", "window:-100,240")
    made = prepare(folder, image, np.zeros(image.shape, np.uint8), np.eye(4), how)
    assert made.crop == [[1, 4], [2, 5], [3, 6]]


WHOLE = (slice(0, 10), slice(0, 20), slice(0, 5))


def test_pad_is_centred_and_repeats_the_edge():
    volume = np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1)
    box = tuple(slice(0, n) for n in volume.shape)

    def show(size, label=False):
        frame = lay_frame(box, (1, 1, 1), Preparation(False, None, (size, 1, 1), "pad", "unit"))
        return frame.sample(volume, label)[:, 0, 0].tolist()

    assert show(5) == [1, 2, 3, 4, 5]
    assert show(8) == [1, 1, 1, 2, 3, 4, 5, 5]
    assert show(8, label=True) == [0, 0, 1, 2, 3, 4, 5, 0]
    assert show(3) == [2, 3, 4]
    assert show(2) == [2, 3]


def test_stretch_fills_the_size_edge_to_edge():
    frame = lay_frame(WHOLE, (1, 1, 3), Preparation(False, None, (5, 40, 5), "stretch", "unit"))
    assert frame == VolumeFrame(origin=(0.5, -0.25, 0.0), scale=(2.0, 0.5, 1.0), size=(5, 40, 5))


def test_resize_keeps_proportions():
    frame = lay_frame(WHOLE, (1, 1, 3), Preparation(False, None, (10, 10, 10), "resize", "unit"))
    assert np.multiply(frame.scale, (1, 1, 3)).tolist() == [2, 2, 2]  # mm
    assert frame.covers((10, 20, 5)) == WHOLE
    assert frame.origin[1] == 0.5  # the longest axis runs edge to edge


def test_spacing_is_kept_and_the_field_too():
    frame = lay_frame(WHOLE, (1, 1, 3), Preparation(False, (2, 2, 2), None, "pad", "unit"))
    assert frame.size == (5, 10, 8)  # 10, 20 and 15 mm
    assert np.multiply(frame.scale, (1, 1, 3)) == pytest.approx([2, 2, 2])


# ---- shifted at random -------------------------------------------------------------------------


def test_a_shift_depends_on_the_name_alone_and_is_even_over_its_range():
    shifts = np.array([random_shift(f"case {number}", 2) for number in range(4000)])
    assert random_shift("case 7", 2) == tuple(shifts[7])
    assert random_shift("case 7", None) == (0, 0, 0)
    for axis in range(3):
        counts = np.bincount(shifts[:, axis] + 2)
        assert len(counts) == 5
        assert counts == pytest.approx(800, rel=0.15)
    assert abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 0.06


@pytest.mark.parametrize("fit", ["pad", "stretch", "resize"])
def test_a_shifted_volume_lies_elsewhere_and_in_its_place_in_the_world(tmp_path, fit):
    generator = np.random.default_rng(0)
    affine = nib.affines.from_matvec(np.diag((-1.0, 1.5, 2.0)), (5, -3, 8))
    image = generator.normal(size=(12, 14, 10)).astype(np.float32)
    label = ndimage.zoom(generator.integers(0, 4, (4, 5, 4)), (3, 2.8, 2.5), order=0)
    how = replace(AS_IT_IS, size=(12, 14, 10), fit=fit)
    plain = prepare(tmp_path, image, label.astype(np.uint8), affine, how)
    moved = prepare(tmp_path, image, label.astype(np.uint8), affine, replace(how, shift=3))
    shift = random_shift("a", 3)
    assert any(shift)
    ends = [(max(0, s), min(n, n + s)) for s, n in zip(shift, how.size, strict=True)]
    here = tuple(slice(first, last) for first, last in ends)
    there = tuple(slice(a - s, b - s) for (a, b), s in zip(ends, shift, strict=True))
    assert np.array_equal(moved.label[there], plain.label[here])
    corner = nib.affines.apply_affine(plain.affine, shift)
    np.testing.assert_allclose(nib.affines.apply_affine(moved.affine, (0, 0, 0)), corner)
    if fit == "pad":  # whole voxels: nothing is interpolated, nor scaled otherwise
        assert np.array_equal(moved.image[(0, *there)], plain.image[(0, *here)])
        kept = inside(moved)
        assert np.array_equal(write_back(moved)[kept], label[kept])
        assert moved.lost == np.count_nonzero(label[~kept])


def test_a_frame_that_is_larger_by_twice_the_shift_cuts_no_label_off(tmp_path):
    label = np.ones((6, 6, 6), np.uint8)
    image = np.random.default_rng(0).normal(size=label.shape).astype(np.float32)
    how = replace(AS_IT_IS, size=(14, 14, 14), shift=4)
    assert prepare(tmp_path, image, label, np.eye(4), how).label.sum() == label.sum()


def test_a_header_that_rounds_is_not_resampled():
    how = Preparation(False, (1, 1, 1), None, "pad", "unit")
    frame = lay_frame(WHOLE, (1.00001, 0.99999, 1.0), how)
    assert frame == VolumeFrame((0, 0, 0), (1, 1, 1), (10, 20, 5))


@given(
    volume=arrays(np.uint8, (4, 5, 3)),
    origin=st.tuples(*[st.integers(-2, 2)] * 3),
    size=st.tuples(*[st.integers(3, 9)] * 3),
    label=st.booleans(),
)
def test_cutting_is_what_sampling_whole_voxels_gives(volume, origin, size, label):
    exact = VolumeFrame(tuple(map(float, origin)), (1.0, 1.0, 1.0), size)
    sampled = VolumeFrame(exact.origin, (1.0, 1.0, 1.0 + 1e-12), size)  # takes the other branch
    np.testing.assert_array_equal(exact.sample(volume, label), sampled.sample(volume, label))


@given(box=st.tuples(*[st.integers(0, 3)] * 3), size=st.integers(2, 6), scale=st.floats(0.3, 1.7))
def test_a_cut_volume_shows_the_same(box, size, scale):
    volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    frame = VolumeFrame((4.3, 4.0, 4.7), (scale,) * 3, (size,) * 3)
    cut = tuple(slice(start, 16) for start in box)
    seen = frame.within(cut).sample(volume[cut])
    np.testing.assert_allclose(seen, frame.sample(volume), atol=1e-5)


def test_what_becomes_coarser_is_smoothed_and_neither_moved_nor_changed_in_brightness():
    ramp = np.indices((64, 8, 8))[0].astype(np.float32)
    frame = VolumeFrame((9.5, 0.0, 0.0), (4.0, 1.0, 1.0), (12, 8, 8))
    assert frame.blur == (1.5, 0, 0)
    np.testing.assert_allclose(frame.sample(ramp)[:, 3, 3], 9.5 + 4 * np.arange(12), atol=1e-4)


def test_noise_does_not_fold_back_into_a_coarser_scan():
    """A Gaussian of deviation s leaves 1 / (2 s sqrt(pi)) of white noise's variance an axis."""
    noise = np.random.default_rng(0).normal(size=(120, 120, 120)).astype(np.float32)
    frame = VolumeFrame((2.0,) * 3, (4.0,) * 3, (30,) * 3)
    assert frame.sample(noise).var() == pytest.approx((1 / (2 * 1.5 * np.pi**0.5)) ** 3, rel=0.1)
    finer = VolumeFrame((2.0,) * 3, (1.0,) * 3, (30,) * 3)
    assert np.array_equal(finer.sample(noise), noise[2:32, 2:32, 2:32])


def test_a_coarser_label_is_the_class_of_most_of_its_voxel():
    label = np.array([1, 0, 0, 2, 2, 0, 0, 0, 3, 1, 2, 3], np.uint8).reshape(12, 1, 1)
    frame = VolumeFrame((1.0, 0.0, 0.0), (3.0, 1.0, 1.0), (4, 1, 1))
    assert frame.sample(label, label=True).ravel().tolist() == [0, 2, 0, 2]  # the centre's of 1 2 3


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.25, 0.25, 0.25), (0.75, 1.5, 0.4)])
def test_resampled_labels_and_images_stay_in_place(folder, spacing):
    """By the centres of mass of label and image, on the mean of several cases."""
    affine, off = np.diag([0.5, 0.5, 0.5, 1]), []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        ball = ((np.indices((24, 24, 24)).T - rng.uniform(9, 15, 3)).T ** 2).sum(0)
        label = (ball < rng.uniform(4, 7) ** 2).astype(np.uint8) * 3
        how = Preparation(False, spacing, None, "pad", "unit")
        made = prepare(folder, label.astype(np.float32), label, affine, how)
        places = [
            nib.affines.apply_affine(made.affine, ndimage.center_of_mass(each))
            for each in (made.label, made.image[0])
        ]
        off.append(places - 0.5 * np.array(ndimage.center_of_mass(label)))
    assert abs(np.mean(off, axis=0)).max() < 0.04  # mm; a raw voxel has 0.5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fit": "strech"}, "did you mean 'stretch'"),
        ({"intensity": "zscor"}, "did you mean 'zscore'"),
        ({"spacing": (1, 0, 1)}, "above 0"),
        ({"spacing": (1, np.nan, 1)}, "finite number"),
        ({"size": (1, 0, 1)}, "above 0"),
        ({"spacing": (1, 1, 1), "size": (4, 4, 4), "fit": "resize"}, "finds the spacing itself"),
    ],
)
def test_settings_that_make_no_sense(wrong, said):
    with pytest.raises(InputError, match=said):
        Preparation(**{**vars(AS_IT_IS), **wrong})


def test_a_label_beside_its_image(folder):
    image = np.random.default_rng(0).uniform(1, 2, (4, 4, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.eye(4)), folder / "i.nii")
    nib.save(
        nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.diag([1, 1, 2, 1])), folder / "l.nii"
    )
    case = RawCase("a", "a", {"image": folder / "i.nii"}, folder / "l.nii")
    with pytest.raises(InputError, match=r"l\.nii lies 3\.00 voxels beside i\.nii"):
        prepare_scan(case, AS_IT_IS, (0,))


def test_prepared_arrays_have_the_types_of_a_cohort(folder):
    image = np.random.default_rng(0).uniform(1, 2, (4, 5, 6)).astype(np.float32)
    made = prepare(folder, image, np.zeros(image.shape, np.uint8), np.eye(4), AS_IT_IS)
    assert (made.image.dtype, made.label.dtype) == (np.float16, np.uint8)
    assert made.image.flags.c_contiguous


@pytest.mark.parametrize("fit", ["pad", "resize", "stretch"])
@pytest.mark.parametrize("intensity", ["zscore", "zscore-brain", "unit", "window:-1,2"])
def test_a_large_scan_is_sampled_part_by_part_to_the_same_values(fit, intensity, monkeypatch):
    scan = np.random.default_rng(0).normal(0, 1, (41, 37, 29)).astype(np.float32)
    affine = np.diag([-1.0, 1.3, 2.2, 1])
    spacing = (1.7, 1.7, 1.7) if fit == "pad" else None
    how = Preparation(crop=False, spacing=spacing, size=(48, 8, 9), fit=fit, intensity=intensity)
    whole = prepare_volume([scan], None, affine, how, ["scan"])
    monkeypatch.setattr(volumes, "PART_SIZE", 500)
    monkeypatch.setattr(preparation, "PART_SIZE", 500)
    frame = lay_frame(bounding_box(scan != 5), (1, 1.3, 2.2), how)
    assert len(frame.parts(scan.shape)) > 3
    parts = prepare_volume([scan], None, affine, how, ["scan"])
    np.testing.assert_array_equal(parts.image, whole.image)


PEAK = """
import sys
from process_memory import process_memory
from ssl3d_lite.cli.main import main
failed = main(sys.argv[1:])
print(process_memory("VmHWM"))
sys.exit(failed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("intensity", ["zscore", "unit", "window:-150,250"])
def test_a_whole_body_takes_less_than_two_gigabytes(tmp_path, intensity):
    """CT of 512 x 512 x 800 voxels; the peak is 1.73 GB: the file, and its values in 32 bit."""
    slices = np.random.default_rng(0).normal(-700, 80, (64, 64, 800)).astype(np.int16)
    body = slices.repeat(8, 0).repeat(8, 1)
    body[100:300, 150:350, 200:500] += 740
    (tmp_path / "raw").mkdir()
    nib.save(nib.Nifti1Image(body, np.diag([-0.7, -0.7, 0.8, 1])), tmp_path / "raw/ct.nii")
    command = ["prepare", "folder", "--raw", tmp_path / "raw", "--out", tmp_path / "cohort"]
    command += ["--size", 128, 128, 128, "--fit", "stretch", "--intensity", intensity]
    command += ["--workers", 1]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, command)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert int(done.stdout.split()[-1]) * 1024 < 2e9
