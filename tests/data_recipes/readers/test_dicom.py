"""DICOM: a marked voxel lies where the standard says, and a stack with a fault is refused."""

import importlib
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import (
    COLUMNS,
    POSITION,
    ROWS,
    SLICES,
    SPACING,
    STEP,
    directions,
    ds,
    edit,
    slices,
    stored,
    write_series,
)
from helpers import write_prediction

from data_recipes.folder import Folder, prepare
from data_recipes.readers.dicom import read_series
from data_recipes.readers.dicom_series import find_series
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.raw_scans import predict_images
from ssl3d_lite.machine.parallel import Workforce
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

ALONE = Workforce(workers=1)
LPS_TO_RAS = np.array([-1, -1, 1])
KINDS = ("axial", "sagittal", "coronal", "feet first", "oblique")


def place(kind: str, k: int, r: int, c: int) -> np.ndarray:
    """Of a pixel, RAS, mm, as part 3 of the standard says (C.7.6.2.1.1)."""
    row, column = directions(kind)
    first = POSITION + k * STEP * np.cross(row, column)
    return LPS_TO_RAS * (first + row * SPACING[1] * c + column * SPACING[0] * r)


def at(affine: np.ndarray, place: np.ndarray) -> tuple[int, ...]:
    """The voxel at a place; it must lie there to a hundredth of a millimetre."""
    voxel = nib.affines.apply_affine(np.linalg.inv(affine), place)
    assert np.abs(nib.affines.apply_affine(affine, np.rint(voxel)) - place).max() < 1e-2
    return tuple(np.rint(voxel).astype(int).tolist())


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        read_series(folder)
    message = str(error.value)
    assert "\n" not in message
    return message


# ---- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_every_voxel_lies_where_the_standard_says(tmp_path, kind, modality):
    pixels = stored(signed=modality == "MR")
    data, affine = read_series(write_series(tmp_path / "a", pixels, kind, modality))
    assert data.dtype == np.float32
    assert sorted(data.shape) == sorted(pixels.shape)
    wanted = 2 * pixels.astype(float) - 1000 if modality == "CT" else pixels
    for index, value in np.ndenumerate(wanted):
        assert data[at(affine, place(kind, *index))] == value


def test_a_marked_voxel_worked_out_by_hand(tmp_path):
    """Slice 4, row 7, column 2 of an axial stack: x = -31.5 + 2 · 1.3, y = 12.25 + 7 · 0.7,
    z = 480 + 4 · 2.5, and RAS turns the signs of x and y."""
    pixels = np.zeros((SLICES, ROWS, COLUMNS), np.uint16)
    pixels[4, 7, 2] = 1500
    data, affine = read_series(write_series(tmp_path / "a", pixels))
    assert data.max() == 2000  # HU
    assert data.min() == -1000
    voxel = np.unravel_index(data.argmax(), data.shape)
    world = nib.affines.apply_affine(affine, voxel)
    np.testing.assert_allclose(world, [28.9, -17.15, 490], atol=1e-4)
    assert sorted(nib.affines.voxel_sizes(affine)) == pytest.approx([0.7, 1.3, 2.5])


def test_neither_names_nor_numbers_matter(tmp_path):
    pixels = stored()
    first, affine = read_series(write_series(tmp_path / "a", pixels, "oblique", seed=1))
    again, other = read_series(write_series(tmp_path / "b", pixels, "oblique", seed=2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(affine, other)


def test_each_slice_is_rescaled_by_itself(tmp_path):
    def change(k, data):
        data.RescaleSlope, data.RescaleIntercept = str(k + 0.5), str(-k)

    pixels = stored()
    data, affine = read_series(write_series(tmp_path / "a", pixels, change=change))
    for k in range(SLICES):
        assert data[at(affine, place("axial", k, 3, 5))] == (k + 0.5) * pixels[k, 3, 5] - k


def test_a_compressed_series(tmp_path):
    def change(k, data):
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)

    pixels = stored()
    plain, _ = read_series(write_series(tmp_path / "a", pixels))
    packed, _ = read_series(write_series(tmp_path / "b", pixels, change=change))
    np.testing.assert_array_equal(plain, packed)


@pytest.mark.parametrize("kind", KINDS)
def test_simpleitk_reads_the_same(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SWIG
        sitk = pytest.importorskip("SimpleITK")
    folder = write_series(tmp_path / "a", stored(), kind)
    data, affine = read_series(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert image.GetSize() == (COLUMNS, ROWS, SLICES)
    theirs = sitk.GetArrayFromImage(image).transpose(2, 1, 0)  # (x, y, z)
    for index, value in np.ndenumerate(theirs):
        world = LPS_TO_RAS * image.TransformIndexToPhysicalPoint(index)
        assert data[at(affine, world)] == value


def test_how_a_ct_is_to_be_shown_does_not_change_its_values(tmp_path):
    def change(k, data):
        data.PhotometricInterpretation = "MONOCHROME1"  # low values bright

    data, _ = read_series(write_series(tmp_path / "a", stored(), change=change))
    assert (data.min(), data.max()) == (2.0 * stored().min() - 1000, 2.0 * stored().max() - 1000)


# ---- what is refused ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    return write_series(tmp_path / "scan", stored())


@pytest.mark.parametrize("which", [1, 3, 4])
def test_a_slice_is_missing(folder, which):
    slices(folder)[which].unlink()
    assert refusal(folder) == (
        f"{folder} is no regular stack of slices: its slices lie 2.5 to 5 mm apart; one is "
        "missing, if not more"
    )


def test_a_slice_is_out_of_place(folder):
    edit(slices(folder)[2], ImagePositionPatient=ds(np.add(POSITION, [0, 0, 2 * STEP + 0.5])))
    assert "its slices lie 2 to 3 mm apart" in refusal(folder)


def test_a_slice_is_moved_within_its_plane(folder):
    edit(slices(folder)[2], ImagePositionPatient=ds(np.add(POSITION, [5, 0, 2 * STEP])))
    assert "shifted against each other" in refusal(folder)


@pytest.mark.parametrize("shift", [0.5, 0.1])  # a slice; by 2 degrees, highdicom would take it
def test_a_gantry_that_was_tilted(tmp_path, shift):
    def change(k, data):
        data.ImagePositionPatient = ds(np.add(POSITION, [0, k * shift, k * STEP]))

    folder = write_series(tmp_path / "tilted", stored(), change=change)
    assert refusal(folder) == (
        f"{folder} is no regular stack of slices: its slices are shifted against each other, as by "
        "a tilted gantry"
    )


def test_a_slice_there_twice(folder):
    path = slices(folder)[2]
    (folder / "copy").write_bytes(path.read_bytes())
    assert refusal(folder) == (
        f"{folder} is no regular stack of slices: 1 of 7 slices lie where others do: several "
        "acquisitions, or copies"
    )


def test_two_acquisitions_in_one_series(tmp_path):
    uid = pydicom.uid.generate_uid()

    def change(k, data):
        data.SeriesInstanceUID = data.FrameOfReferenceUID = uid

    folder = write_series(tmp_path / "echoes", stored(), change=change)
    write_series(folder, stored(seed=1), seed=1, change=change)
    assert "6 of 12 slices lie where others do" in refusal(folder)


def test_a_folder_without_a_series(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    assert refusal(tmp_path).endswith("0 slices, where a stack is wanted")


@pytest.mark.parametrize("left", [0.15, 0.5, 0.9, 0.99])
def test_a_file_cut_short(folder, left):
    path = slices(folder)[5]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    assert refusal(folder).startswith(f"{folder} is no regular stack of slices: ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Rows": 8, "PixelData": bytes(8 * COLUMNS * 2)}, "same shape"),
        ({"PixelSpacing": ["0.7", "1.4"]}, "same spacing"),
        ({"ImageOrientationPatient": ["0", "1", "0", "1", "0", "0"]}, "same orientation"),
        ({"FrameOfReferenceUID": "1.2.3"}, "frame of reference"),
        ({"PixelData": None}, "no pixel data"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient"),
    ],
)
def test_a_slice_unlike_the_others(folder, changes, said):
    edit(slices(folder)[2], **changes)
    assert said in refusal(folder)


def test_colours(tmp_path):
    def change(k, data):
        data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
        data.PlanarConfiguration, data.BitsAllocated, data.BitsStored, data.HighBit = 0, 8, 8, 7
        data.PixelData = bytes(ROWS * COLUMNS * 3)
        del data.RescaleSlope, data.RescaleIntercept

    folder = write_series(tmp_path / "rgb", stored(), change=change)
    assert refusal(folder).startswith(f"{folder} is no regular stack of slices: ")


def test_litter_beside_the_slices_is_ignored(folder):
    before, affine = read_series(folder)
    (folder / ".DS_Store").write_bytes(bytes(6148))
    (folder / "._IM100").write_bytes(b"\x00\x05\x16\x07" * 100)
    (folder / "notes.txt").write_text("DICM")
    (folder / "empty").write_bytes(b"")
    (folder / "deeper").mkdir()
    after, other = read_series(folder)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(affine, other)


def test_highdicom_is_not_installed(folder, tmp_path, monkeypatch):
    real = importlib.import_module

    def without(name, *arguments):
        if name.split(".")[0] == "highdicom":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", without)
    said = "reading DICOM needs highdicom: pip install -e .[data]"
    assert refusal(folder) == said
    with pytest.raises(InputError) as error:
        prepare(Folder(raw=folder, out=tmp_path / "out", workers=1))
    assert str(error.value) == f"none of 1 cases can be prepared; {said}"


# ---- from folders to a cohort, and back --------------------------------------------------------


def folders(raw: Path) -> list[Path]:
    return [series.folder for series in find_series(raw, ALONE)]


def test_which_folders_hold_slices(tmp_path):
    write_series(tmp_path / "a/ct", stored())
    write_series(tmp_path / "b", stored())
    (tmp_path / "c").mkdir()
    (tmp_path / "c/notes.txt").write_text("DICM")
    (tmp_path / "c/short").write_bytes(b"DICM")
    assert folders(tmp_path) == [tmp_path / "a/ct", tmp_path / "b"]
    assert folders(tmp_path / "b") == [tmp_path / "b"]
    assert folders(tmp_path / "c") == []


@pytest.mark.parametrize("kind", ["axial", "oblique"])
def test_series_and_labels_become_a_cohort_and_go_back(tmp_path, kind):
    raw, labels, out = tmp_path / "raw", tmp_path / "labels", tmp_path / "out"
    labels.mkdir()
    for number in range(3):
        data, affine = read_series(
            write_series(raw / f"p{number}/ct", stored(seed=number), kind, seed=number)
        )
        label = (data > 500).astype(np.uint8) * 4
        nib.save(nib.Nifti1Image(label, affine), labels / f"p{number}_ct.nii.gz")
    write_series(raw / "p3/ct", stored(seed=3), kind)
    slices(write_series(raw / "p4/ct", stored(seed=4), kind))[2].unlink()
    settings = Folder(raw=raw, labels=labels, out=out, intensity="window:-1000,3000", workers=1)
    summary = prepare(settings)
    assert (summary.prepared, summary.unlabelled) == (4, 1)
    (rejected,) = summary.rejected
    assert rejected["case"] == "p4_ct"
    assert rejected["reason"].startswith(f"{raw / 'p4/ct'} is no regular stack")
    cohort = Cohort.open(out)
    assert [case.id for case in cohort.cases] == ["p0_ct", "p1_ct", "p2_ct", "p3_ct"]
    assert cohort.label_values == (0, 4)
    assert cohort.cases[0].source.files == {
        "image": "raw/p0/ct",
        "label": "labels/p0_ct.nii.gz",
    }
    for position in range(3):
        case, (image, label) = cohort.cases[position], cohort[position]
        for index, value in np.ndenumerate(stored(seed=position)):  # HU, once more by hand
            hounsfield = 2.0 * value - 1000
            voxel = at(np.array(case.affine), place(kind, *index))
            assert image[0][voxel] == np.float16((hounsfield + 1000) / 4000)
            assert label[voxel] == (hounsfield > 500)
        write_prediction(tmp_path / "back.nii.gz", label, case, cohort.label_values)
        back, given = (
            nib.load(path) for path in (tmp_path / "back.nii.gz", labels / f"{case.id}.nii.gz")
        )
        np.testing.assert_array_equal(back.affine, given.affine)
        np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(given.dataobj))
    again = prepare(settings)
    assert (again.prepared, again.skipped) == (0, 4)


def test_a_series_that_was_changed_is_made_again(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for number in range(2):
        write_series(raw / f"p{number}", stored(seed=number))
    prepare(Folder(raw=raw, out=out, workers=1))
    edit(slices(raw / "p1")[0], RescaleIntercept="-1024")
    summary = prepare(Folder(raw=raw, out=out, workers=1))
    assert (summary.prepared, summary.skipped) == (1, 1)


def test_several_series_make_one_scan(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_series(raw / "ann/t1", stored(seed=1), modality="MR")
    write_series(raw / "ann/flair", stored(seed=2), modality="MR")
    write_series(raw / "ben/t1", stored(seed=3), modality="MR")
    write_series(raw / "ben/flair", stored(seed=4), "coronal", modality="MR")
    settings = Folder(raw=raw, out=out, channels=("t1", "flair"), intensity="unit", workers=1)
    (rejected,) = prepare(settings).rejected
    assert rejected["case"] == "ben"
    assert "affines differ" in rejected["reason"]
    cohort = Cohort.open(out)
    image, case = cohort[0][0], cohort.cases[0]
    assert case.source.files == {"t1": "ann/t1", "flair": "ann/flair"}
    for channel, seed in zip(image, (1, 2)):
        pixels = stored(seed=seed).astype(np.float32)
        low, high = pixels.min(), pixels.max()
        for index, value in np.ndenumerate(pixels):
            voxel = at(np.array(case.affine), place("axial", *index))
            assert channel[voxel] == np.float16((value - low) / (high - low))


def test_a_label_map_in_the_axes_that_other_software_writes(tmp_path):
    """ITK-SNAP, 3D Slicer, SimpleITK and nnU-Net lay a label over a series as (column, row, slice),
    first slice first; it has the same voxels as the series."""
    pixels, (row, column) = stored(), directions("axial")
    raw, labels = tmp_path / "raw", tmp_path / "labels"
    write_series(raw / "p", pixels)
    labels.mkdir()
    axes = np.column_stack([row * SPACING[1], column * SPACING[0], np.cross(row, column) * STEP])
    affine = nib.affines.from_matvec(LPS_TO_RAS[:, None] * axes, LPS_TO_RAS * POSITION)
    label = (pixels > 700).astype(np.uint8).transpose(2, 1, 0)
    nib.save(nib.Nifti1Image(label, affine), labels / "p.nii.gz")
    prepare(Folder(raw=raw, labels=labels, out=tmp_path / "out", workers=1))
    cohort = Cohort.open(tmp_path / "out")
    for index, value in np.ndenumerate(pixels):
        voxel = at(np.array(cohort.cases[0].affine), place("axial", *index))
        assert cohort[0][1][voxel] == (value > 700)


# ---- what looks like litter and is none ----------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"short", bytes(500)])
def test_a_last_slice_that_has_lost_its_head(folder, content):
    """It must not be passed over: the scan would be one slice short, in silence."""
    (folder / "zz.dcm").write_bytes(content)
    assert refusal(folder) == f"{folder / 'zz.dcm'} is damaged, copy it again"


def test_the_contents_of_a_disc_are_no_scan(folder, tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert folders(tmp_path) == [folder]


def test_one_slice_is_no_volume(folder):
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    assert refusal(folder) == (
        f"{folder} is no regular stack of slices: 1 slices, where a stack is wanted"
    )


def test_a_raw_series_is_segmented_in_the_scanners_coordinates(tmp_path):
    for name in ("ann", "bob"):
        write_series(tmp_path / "raw" / name, stored(), "oblique")
    prepare(Folder(raw=tmp_path / "raw", out=tmp_path / "c", size=(8, 8, 8), workers=1))
    cohort = Cohort.open(tmp_path / "c")
    network = make_network(make_encoder(cohort, filters=(4, 8)), cohort)
    network.provenance = Provenance.of(cohort, ())
    found = predict_images(network, tmp_path / "raw", tmp_path / "p", workers=1)
    assert [path.name for path in found.paths] == ["ann.nii.gz", "bob.nii.gz"]
    data, affine = read_series(tmp_path / "raw/ann")
    answer = nib.load(found.paths[0])
    assert answer.shape == data.shape
    for matrix, code in (answer.get_sform(coded=True), answer.get_qform(coded=True)):
        np.testing.assert_allclose(matrix, affine, atol=1e-3)
        assert code == 1
    assert answer.header.get_xyzt_units()[0] == "mm"
