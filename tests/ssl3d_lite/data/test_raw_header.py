"""What is laid over a raw scan has both its forms, bit for bit, whichever a viewer believes."""

import json
import struct

import nibabel as nib
import numpy as np
import pytest

from ssl3d_lite.data.raw_header import (
    FORMS,
    image_over_raw,
    mm_of_unit,
    raw_header,
    scanner_header,
)
from ssl3d_lite.errors import InputError

NAMES = ("xyzt_units", *FORMS, *(name for names in FORMS.values() for name in names))
TURNED = nib.affines.from_matvec(
    np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.diag([1.1, 0.9, 2]), [5, -6, 7]
)
ELSEWHERE = nib.affines.from_matvec(np.diag([-1.1, 0.9, 2]), [1, 2, 3])


def both(image):
    image.set_qform(TURNED, 1)
    image.set_sform(ELSEWHERE, 4)
    image.header.set_xyzt_units("mm", "sec")


def qform_alone(image):
    image.set_qform(TURNED, 3)
    image.set_sform(None, 0)


def no_form(image):
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    image.header["pixdim"][1:4] = [1.1, 0.9, 2]


def micrometres(image):
    image.set_qform(TURNED, 1)
    image.header.set_xyzt_units("micron")


def over(raw: nib.Nifti1Image) -> nib.Nifti1Image:
    """A label map laid over ``raw``, by way of JSON and of a file's bytes."""
    record = json.loads(json.dumps(raw_header(raw.header)))
    affine = raw.affine.copy()
    affine[:3] *= mm_of_unit(record["xyzt_units"]) or 1
    image = image_over_raw(np.ones((4, 5, 6), np.uint8), affine.tolist(), record)
    return type(image).from_bytes(image.to_bytes())


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("edit", [both, qform_alone, no_form, micrometres])
def test_both_forms_their_codes_and_the_units_are_kept_to_the_bit(kind, edit):
    image = kind(np.zeros((4, 5, 6), np.float32), ELSEWHERE)
    edit(image)
    raw = kind.from_bytes(image.to_bytes())
    found = over(raw)
    assert type(found) is kind
    for name in NAMES:
        np.testing.assert_array_equal(found.header[name], raw.header[name], err_msg=name)
    np.testing.assert_array_equal(found.header["pixdim"][:4], raw.header["pixdim"][:4])
    np.testing.assert_array_equal(found.affine, raw.affine)
    assert found.get_data_dtype() == np.uint8
    assert found.header.get_slope_inter() == (None, None)


def test_a_time_axis_of_the_raw_file_is_not_kept():
    raw = nib.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), TURNED)
    raw.header.set_zooms((1.1, 0.9, 2, 30))
    assert over(raw).header["pixdim"].tolist()[4:] == [1] * 4


def test_a_form_of_nan_places_nothing_and_the_other_is_kept():
    raw = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), TURNED)
    raw.header["qform_code"], raw.header["quatern_b"] = 1, np.nan
    found = over(raw)
    assert found.header["qform_code"] == 0
    np.testing.assert_allclose(found.affine, raw.affine, atol=1e-6)


def test_a_volume_of_a_scanner_lies_there_by_either_form():
    image = image_over_raw(np.ones((4, 5, 6), np.uint8), TURNED.tolist(), scanner_header(TURNED))
    for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        np.testing.assert_allclose(matrix, TURNED, atol=1e-5)
        assert code == 1
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_cohort_of_before_has_the_affine_alone():
    image = image_over_raw(np.ones((4, 5, 6), np.uint8), TURNED.tolist(), {})
    np.testing.assert_array_equal(image.affine, TURNED)


@pytest.mark.parametrize(
    "damage", [{"sizeof_hdr": 7}, {"srow_x": "a"}, {"pixdim": [1, 2]}, {"qform_code": 10**9}]
)
def test_a_damaged_record_is_one_line(damage):
    raw = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), TURNED)
    with pytest.raises(InputError, match=r"^the record of a raw scan's header is damaged \(.*\);"):
        image_over_raw(
            np.ones((4, 5, 6), np.uint8), TURNED.tolist(), raw_header(raw.header) | damage
        )


def test_a_big_endian_header_is_read(tmp_path):
    from data_recipes.readers.nifti import read_header

    header = nib.Nifti1Header(endianness=">")
    header.set_data_shape((4, 5, 6))
    header.set_data_dtype(np.uint8)
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), TURNED, header)
    nib.save(image, tmp_path / "a.nii")
    assert struct.unpack(">i", (tmp_path / "a.nii").read_bytes()[:4]) == (348,)
    assert read_header(tmp_path / "a.nii") == raw_header(image.header)
