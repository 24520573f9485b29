"""Reading: what is fit comes back exactly, what is not is refused in one line with its file."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from data_recipes.readers.nifti import read_images, read_label, read_nifti
from ssl3d_lite.errors import InputError

RAMP = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_values_and_affine_come_back(save, tmp_path):
    affine = nib.affines.from_matvec(np.diag([2, 3, 4]), [5, 6, 7])
    data, found = read_nifti(save(tmp_path / "a.nii.gz", RAMP, affine))
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, RAMP)
    np.testing.assert_array_equal(found, affine)


def test_the_header_rescales_values(tmp_path):
    image = nib.Nifti1Image(RAMP, np.eye(4))
    image.header.set_slope_inter(2, -10)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    data, _ = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(data, stored.get_fdata())


def test_nifti_2(tmp_path):
    nib.save(nib.Nifti2Image(RAMP, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii")[0], RAMP)


@pytest.mark.parametrize("shape", [(2, 3, 4, 1), (2, 3, 4, 1, 1)])
def test_trailing_axes_of_one_are_dropped(save, tmp_path, shape):
    data, _ = read_nifti(save(tmp_path / "a.nii", RAMP.reshape(shape)))
    assert data.shape == (2, 3, 4)


def test_no_file(tmp_path):
    assert refusal(read_nifti, tmp_path / "a.nii") == f"{tmp_path / 'a.nii'} is missing"


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_file_cut_short(save, tmp_path, part):
    whole = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
    content = whole.read_bytes()
    whole.write_bytes(content[: int(part * len(content))])
    message = refusal(read_nifti, whole)
    assert str(whole) in message
    assert "damaged" in message or "no readable" in message


def test_an_uncompressed_file_cut_short(save, tmp_path):
    path = save(tmp_path / "a.nii", RAMP)
    path.write_bytes(path.read_bytes()[:-1])
    assert "damaged" in refusal(read_nifti, path)


def test_a_flipped_bit(save, tmp_path):
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in refusal(read_nifti, path)


@pytest.mark.parametrize("content", [b"no scan", b"\x89PNG\r\n" * 99, bytes(400)])
def test_no_nifti(tmp_path, content):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content))
    assert "no readable NIfTI" in refusal(read_nifti, path)


def test_another_format(tmp_path):
    path = tmp_path / "a.mgz"
    nib.save(nib.MGHImage(RAMP.astype(np.float32), np.eye(4)), path)
    assert "no readable NIfTI" in refusal(read_nifti, path)


@pytest.mark.parametrize("header_byte", range(0, 348, 3))
def test_no_header_byte_leads_to_a_traceback(save, tmp_path, header_byte):
    path = save(tmp_path / "a.nii", RAMP)
    content = bytearray(path.read_bytes())
    for value in (0x00, 0x7F, 0x80, 0xFF):
        path.write_bytes(content[:header_byte] + bytes([value]) + content[header_byte + 1 :])
        try:
            read_nifti(path)
        except InputError as reason:
            assert str(path) in str(reason)  # noqa: PT017  some bytes may have any value


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 2, 2, 1, 3)])
def test_other_than_a_volume(save, tmp_path, shape):
    assert str(shape) in refusal(read_nifti, save(tmp_path / "a.nii", np.ones(shape, np.int16)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_voxels_that_are_no_numbers_are_counted(save, tmp_path, value):
    data = RAMP.astype(float)
    data[0, 0, :3] = value
    assert "has 3 NaN or infinite voxels" in refusal(read_nifti, save(tmp_path / "a.nii", data))


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_an_affine_that_places_no_voxels(tmp_path, bad):
    image = nib.Nifti1Image(RAMP, np.eye(4))
    image.header["srow_x"] = [bad, 0, 0, 0]
    path = tmp_path / "a.nii"
    path.write_bytes(image.to_bytes())
    header = bytearray(path.read_bytes())
    header[280:284] = np.float32(bad).tobytes()  # the first number of srow_x
    path.write_bytes(header)
    assert "affine" in refusal(read_nifti, path)


def test_channels_from_files_and_from_a_fourth_axis_are_alike(save, tmp_path):
    stack = np.stack([RAMP, 2 * RAMP], axis=3)
    together = save(tmp_path / "all.nii", stack)
    apart = [save(tmp_path / f"{i}.nii", stack[..., i]) for i in range(2)]
    np.testing.assert_array_equal(read_images([together] * 2)[0], read_images(apart)[0])
    np.testing.assert_array_equal(read_images(apart)[0], np.moveaxis(stack, 3, 0))


def test_wrong_number_of_channels(save, tmp_path):
    path = save(tmp_path / "a.nii", np.stack([RAMP] * 3, axis=3))
    assert "holds 3 channels, not 2" in refusal(read_images, [path] * 2)
    assert "holds 3 channels, not 1" in refusal(read_images, [path])


def test_channels_on_other_grids(save, tmp_path):
    first = save(tmp_path / "first.nii", RAMP)
    wider = save(tmp_path / "wider.nii", np.concatenate([RAMP, RAMP]))
    assert "(4, 3, 4), but first.nii has (2, 3, 4)" in refusal(read_images, [first, wider])
    moved = save(tmp_path / "moved.nii", RAMP, nib.affines.from_matvec(np.eye(3), [0, 3, 4]))
    assert "moved.nii lies 5.00 voxels beside first.nii" in refusal(read_images, [first, moved])


def test_rounding_in_an_affine_is_no_other_grid(save, tmp_path):
    first = save(tmp_path / "first.nii", RAMP)
    near = save(tmp_path / "near.nii", 2 * RAMP, nib.affines.from_matvec(np.eye(3), [0.01, 0, 0]))
    assert len(read_images([first, near])[0]) == 2


def test_label_values_become_classes(save, tmp_path):
    raw = np.array([0, 1, 2, 4, 4, 0], np.int16).reshape(1, 2, 3)
    classes, _ = read_label(save(tmp_path / "a.nii", raw), (0, 1, 2, 4))
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, [[[0, 1, 2], [3, 3, 0]]])


LIMIT = "where label values go from 0 to 255; give its classes other numbers"
NO_LABEL = "is it a map of probabilities, or was it resampled with interpolation?"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "holds 3, where labels are 0, 1, 2, 4"),
        (255, "holds 255, where labels are 0, 1, 2, 4"),
        (0.5, f"holds 0.5, where labels are whole numbers; {NO_LABEL}"),
        (0.99, f"holds 0.99, where labels are whole numbers; {NO_LABEL}"),
        (-1, f"holds -1, {LIMIT}"),
        (256, f"holds 256, {LIMIT}"),
        (1001, f"holds 1001, {LIMIT}"),
        (2e9, f"holds 2e+09, {LIMIT}"),
    ],
)
def test_values_that_are_no_class_are_named(save, tmp_path, value, said):
    raw = np.zeros((2, 2, 2), np.float32)
    raw[0, 0, 0] = value
    path = save(tmp_path / "a.nii", raw)
    assert refusal(read_label, path, (0, 1, 2, 4)) == f"{path} {said}"


@pytest.mark.parametrize("near", [0.999, 0.99998, 1.0001, 1 + 1e-7])
def test_rounding_is_no_other_value(save, tmp_path, near):
    raw = np.array([0, 1, 2, 4, 4, 0], np.float32).reshape(1, 2, 3) * np.float32(near)
    raw[0, 0, 0] = 1e-4
    if abs(near - 1) < 5e-4:
        classes, _ = read_label(save(tmp_path / "a.nii", raw), (0, 1, 2, 4))
        np.testing.assert_array_equal(classes, [[[0, 1, 2], [3, 3, 0]]])
    one = (raw > 0.5) * np.float32(near)
    np.testing.assert_array_equal(read_label(save(tmp_path / "b.nii", one), (0, 1))[0], raw > 0.5)


def test_a_label_map_that_is_rescaled_by_its_header(tmp_path):
    raw = np.array([0, 32767, 0, 0], np.int16).reshape(1, 2, 2)
    image = nib.Nifti1Image(raw, np.eye(4))
    path = tmp_path / "a.nii"
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([1 / 32767, 0], np.float32).tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(read_label(path, (0, 1))[0], raw > 0)


@pytest.mark.parametrize("type_", [np.uint8, np.int8, np.int16, np.uint16, np.float32, np.float64])
def test_label_maps_of_all_types(save, tmp_path, type_):
    raw = np.arange(8, dtype=type_).reshape(2, 2, 2)
    classes, _ = read_label(save(tmp_path / "a.nii", raw), range(8))
    np.testing.assert_array_equal(classes, raw)


def test_a_label_map_with_a_fourth_axis(save, tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2, 2), np.uint8))
    assert refusal(read_label, path, (0, 1)) == (
        f"{path} has shape (2, 2, 2, 2), where a label map (x, y, z) is wanted; if each class has "
        "a map of its own in it, join them into one of class numbers"
    )
    flat = save(tmp_path / "b.nii", np.ones((2, 2, 2, 1), np.uint8))
    assert read_label(flat, (0, 1))[0].shape == (2, 2, 2)


# ---- voxels that are not one number ------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        (np.complex64, "its voxels are complex numbers; save their magnitude"),
        (np.complex128, "its voxels are complex numbers; save their magnitude"),
        ([(c, "u1") for c in "RGB"], "its voxels are colours (RGB); save one grey value a voxel"),
        ([(c, "u1") for c in "RGBA"], "its voxels are colours (RGB); save one grey value a voxel"),
    ],
)
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_more_than_a_number_a_voxel(tmp_path, type_, said, kind, order):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(type_))
    path = tmp_path / "a.nii"
    nib.save(kind(np.zeros((2, 3, 4), type_), np.eye(4), header), path)
    assert refusal(read_nifti, path) == f"{path} is no readable NIfTI file: {said}"


@pytest.mark.parametrize(("shape", "intent"), [((2, 3, 4, 1, 3), None), ((2, 3, 4, 3), "vector")])
def test_a_vector_image(tmp_path, shape, intent):
    image = nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4))
    if intent:
        image.header.set_intent(intent)
    nib.save(image, tmp_path / "a.nii")
    said = (
        "is a vector image, 3 numbers a voxel, where one is wanted; save each as a file of its own"
    )
    assert refusal(read_nifti, tmp_path / "a.nii") == f"{tmp_path / 'a.nii'} {said}"


@pytest.mark.parametrize("code", [0, 1, 255, 2048, 999])
def test_a_type_that_is_not_known(save, tmp_path, code, capfd):
    path = save(tmp_path / "a.nii", RAMP)
    content = bytearray(path.read_bytes())
    content[70:72] = code.to_bytes(2, "little")
    path.write_bytes(content)
    assert f"its voxels are of type {code}, which cannot be read" in refusal(read_nifti, path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_file(tmp_path, content):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    assert refusal(read_nifti, path) == f"{path} is no readable NIfTI file: it is empty"


def test_an_empty_label_map_is_one(save, tmp_path):
    assert not read_label(save(tmp_path / "a.nii", np.zeros((2, 2, 2))), (0, 1))[0].any()


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_header_that_claims_more_voxels_than_there_are_takes_no_memory(tmp_path, ending):
    content = bytearray(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)).to_bytes())
    content[42:48] = np.full(3, 32767, "<i2").tobytes()
    path = tmp_path / f"scan.{ending}"
    path.write_bytes(gzip.compress(content) if ending == "nii.gz" else content)
    with pytest.raises(InputError) as error:
        read_nifti(path)
    assert str(error.value) == (
        f"{path} is damaged, copy it again: 32767 x 32767 x 32767 voxels take 140724603846652 "
        f"bytes, it holds {len(content)}"
    )
