"""A raw scan and its prediction are read as they lie; what does not lie over it is refused."""

import nibabel as nib
import numpy as np
import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.scan_files import read_scan_files

AFFINE = nib.affines.from_matvec(np.diag([-1.0, 2, 1.5])[:, [1, 0, 2]], [3, -4, 5])
SCAN = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)


@pytest.fixture
def image(save, tmp_path):
    return save(tmp_path / "scan.nii.gz", SCAN, AFFINE)


def test_both_are_turned_to_ras_together(image, save, tmp_path):
    labels = save(tmp_path / "labels.nii.gz", (SCAN > 60).astype(np.uint8), AFFINE)
    files = read_scan_files(image, labels)
    assert nib.aff2axcodes(files.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(files.labels, files.volume > 60)
    assert files.spacing == (1, 2, 1.5)
    at = nib.affines.apply_affine(np.linalg.inv(files.affine) @ AFFINE, [1, 2, 3])
    assert files.volume[tuple(at.round().astype(int))] == SCAN[1, 2, 3]


def test_a_map_in_another_order_of_axes_is_turned(image, save, tmp_path):
    turned = nib.as_closest_canonical(nib.Nifti1Image((SCAN > 60).astype(np.uint8), AFFINE))
    labels = save(tmp_path / "labels.nii.gz", np.asarray(turned.dataobj), turned.affine)
    files = read_scan_files(image, labels)
    np.testing.assert_array_equal(files.labels, files.volume > 60)


def test_channels_come_first(save, tmp_path):
    path = save(tmp_path / "scan.nii.gz", np.stack([SCAN, -SCAN], -1), np.eye(4))
    np.testing.assert_array_equal(read_scan_files(path).volume, [SCAN, -SCAN])


def test_colours_are_no_scan_and_no_labels(image, tmp_path):
    colours = np.zeros(SCAN.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, AFFINE), tmp_path / "colours.nii.gz")
    for given in ((tmp_path / "colours.nii.gz",), (image, tmp_path / "colours.nii.gz")):
        with pytest.raises(InputError, match=r"colours.nii.gz holds colours"):
            read_scan_files(*given)


def test_what_does_not_lie_over_the_scan_is_refused(image, save, tmp_path):
    whole, moved = (SCAN > 60).astype(np.uint8), AFFINE.copy()
    moved[0, 3] += 1
    wrong = {
        "has shape": save(tmp_path / "a.nii.gz", whole[1:], AFFINE),
        "lies 1.00 mm beside scan.nii.gz": save(tmp_path / "b.nii.gz", whole, moved),
        "values that are not whole": save(tmp_path / "c.nii.gz", SCAN / 2, AFFINE),
        "values from -1 to 0": save(tmp_path / "f.nii.gz", -whole.astype(np.int16), AFFINE),
        r"values from 0 to 1e\+12": save(tmp_path / "g.nii.gz", whole * 1e12, AFFINE),
        "complex numbers": save(tmp_path / "h.nii.gz", (whole * 1j).astype(np.complex64), AFFINE),
        "cannot be read": tmp_path / "none.nii.gz",
    }
    for message, path in wrong.items():
        with pytest.raises(InputError, match=message):
            read_scan_files(image, path)
    (tmp_path / "d.nii.gz").write_bytes(image.read_bytes()[:200])
    (tmp_path / "e.nii").write_text("no scan")
    for name in ("d.nii.gz", "e.nii"):
        with pytest.raises(InputError) as error:
            read_scan_files(tmp_path / name)
        assert "\n" not in str(error.value)
        assert name in str(error.value)


def test_the_browsers_view_has_both(image, save, tmp_path):
    pytest.importorskip("anywidget", reason="the notebooks' widgets are not installed")
    from ssl3d_lite.show import scan_slices

    labels = save(tmp_path / "labels.nii.gz", (SCAN > 60).astype(np.uint8), AFFINE)
    view = scan_slices(image, labels)
    files = read_scan_files(image, labels)
    assert view._labels == files.labels.astype(np.uint8).tobytes()
    assert view._spacing == [1, 2, 1.5]
    assert view._title == "scan.nii.gz"
