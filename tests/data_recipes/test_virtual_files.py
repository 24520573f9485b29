"""Virtual patients as raw files: in the layouts of the real sets, once and for all."""

import functools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers import content

from data_recipes.preparing.virtual_note import NOTE
from data_recipes.virtual_files import write_abdomens, write_fundus, write_heads, write_hippocampus
from data_recipes.virtual_patients.brain import glioma_grade, head_case, hippocampus_case
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce

ONE = Workforce(workers=1)
LOW = 3  # a head with a glioma of low grade

head = functools.cache(head_case)
crop = functools.cache(hippocampus_case)


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    write_hippocampus(folder, cases=3, work=ONE)
    return folder


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder, cases=4, edge=32, work=ONE)
    return folder


def test_the_crops_are_a_task_of_the_decathlon(crops):
    dataset = json.loads((crops / "dataset.json").read_text())
    assert dataset["name"] == "VirtualHippocampus"
    assert dataset["modality"] == {"0": "MRI"}
    assert dataset["labels"] == {"0": "background", "1": "Anterior", "2": "Posterior"}
    assert dataset["tensorImageSize"] == "3D"
    assert (dataset["numTraining"], dataset["numTest"], dataset["test"]) == (3, 0, [])
    assert {"description", "reference", "licence", "release"} <= dataset.keys()
    assert len(dataset["training"]) == 3
    for index, pair in enumerate(dataset["training"]):
        image, label = (nib.load(crops / pair[kind]) for kind in ("image", "label"))
        for file, values in zip((image, label), crop(0, index)):
            np.testing.assert_array_equal(np.asanyarray(file.dataobj), values)
            np.testing.assert_array_equal(file.affine, crop(0, index)[2])
            assert file.header.get_xyzt_units()[0] == "mm"


def test_the_heads_are_files_of_brats(heads):
    found = sorted(path.relative_to(heads).as_posix() for path in heads.rglob("*.nii.gz"))
    names = [f"{glioma_grade(i)}/Brats18_VIRTUAL_{i + 1:04d}_1" for i in range(4)]
    kinds = ("t1", "t1ce", "t2", "flair", "seg")
    assert found == sorted(f"{n}/{n.split('/')[1]}_{kind}.nii.gz" for n in names for kind in kinds)
    images, label, affine = head(0, LOW, 32)
    for kind, values in {**images, "seg": label}.items():
        file = nib.load(
            heads / "LGG/Brats18_VIRTUAL_0004_1" / f"Brats18_VIRTUAL_0004_1_{kind}.nii.gz"
        )
        assert file.get_data_dtype() == values.dtype
        np.testing.assert_array_equal(np.asanyarray(file.dataobj), values)
        np.testing.assert_array_equal(file.affine, affine)


def test_healthy_heads_have_no_segmentation(tmp_path):
    write_heads(tmp_path, cases=1, edge=32, tumour=False, modalities=("t2", "t1"), work=ONE)
    name = "healthy/Brats18_VIRTUAL_0001_1/Brats18_VIRTUAL_0001_1"
    assert content(tmp_path).keys() == {NOTE, f"{name}_t1.nii.gz", f"{name}_t2.nii.gz"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(crops, heads, tmp_path):
    write_hippocampus(tmp_path / "crops", cases=3, work=Workforce(workers=2))
    write_heads(tmp_path / "heads", cases=4, edge=32, work=Workforce(workers=2))
    assert content(tmp_path / "crops") == content(crops)
    assert content(tmp_path / "heads") == content(heads)


def test_another_seed_gives_other_images(heads, tmp_path):
    write_heads(tmp_path, cases=1, seed=1, edge=32, work=ONE)
    there, here = content(heads), content(tmp_path)
    assert all(there[name] != here[name] for name in here)
    assert not np.array_equal(crop(1, 0)[0], crop(0, 0)[0])


def test_more_cases_leave_the_first_ones_as_they_were(crops, tmp_path):
    write_hippocampus(tmp_path, cases=1, work=ONE)
    first = content(tmp_path)
    scans = {k: v for k, v in first.items() if k not in ("dataset.json", NOTE)}
    assert len(scans) == 2
    assert scans.items() <= content(crops).items()
    untouched = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nii.gz")}
    write_hippocampus(tmp_path, cases=3, work=ONE)
    assert content(tmp_path) == content(crops)
    assert all(path.stat().st_mtime_ns == time for path, time in untouched.items())


def test_an_interrupted_run_goes_on(heads, crops, tmp_path):
    write_heads(tmp_path / "heads", cases=4, edge=32, work=ONE)
    case = tmp_path / "heads/HGG/Brats18_VIRTUAL_0002_1"
    (case / "Brats18_VIRTUAL_0002_1_t2.nii.gz").unlink()
    (case / ".Brats18_VIRTUAL_0002_1_t2.nii.gz.999999999.ssl3d-part").write_bytes(b"half")
    write_heads(tmp_path / "heads", cases=4, edge=32, work=ONE)
    assert content(tmp_path / "heads") == content(heads)

    write_hippocampus(tmp_path / "crops", cases=3, work=ONE)
    (tmp_path / "crops/dataset.json").unlink()
    (tmp_path / "crops/labelsTr/hippocampus_0003.nii.gz").unlink()
    write_hippocampus(tmp_path / "crops", cases=3, work=ONE)
    assert content(tmp_path / "crops") == content(crops)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another seed"),
        ({"edge": 48}, "another edge"),
        ({"tumour": False}, "another tumour"),
        ({"modalities": ("t1",)}, "another modalities"),
    ],
)
def test_a_set_made_with_other_settings_is_not_mixed_with(heads, change, message):
    before = content(heads)
    with pytest.raises(ValueError, match=message):
        write_heads(heads, **{"cases": 4, "edge": 32, "work": ONE} | change)
    with pytest.raises(ValueError, match="another set"):
        write_hippocampus(heads, cases=4, work=ONE)
    assert content(heads) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cases": 0}, "cases must be at least 1, not 0"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"edge": 31}, "edge must be at least 32 voxels, not 31"),
        ({"modalities": ("t1", "fleir")}, "unknown modality 'fleir'; did you mean 'flair'"),
        ({"modalities": ()}, "no modalities"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, arguments, message):
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match=message):
        write_heads(folder, **{"cases": 1, "edge": 32} | arguments)
    assert not folder.exists()
    for name in arguments.keys() & {"cases", "seed"}:
        with pytest.raises(ValueError, match=message):
            write_hippocampus(folder, **{name: arguments[name]})


def test_a_set_of_eyes_grows_and_its_ungraded_ones_stay(tmp_path):
    write_fundus(tmp_path / "a", 3, unlabelled=2, edge=128, work=ONE)
    before = content(tmp_path / "a/test_images") | content(tmp_path / "a/train_images")
    write_fundus(tmp_path / "a", 5, unlabelled=3, edge=128, work=ONE)
    after = content(tmp_path / "a/test_images") | content(tmp_path / "a/train_images")
    assert len(after) == 8
    assert before.items() <= after.items()
    write_fundus(tmp_path / "b", 5, unlabelled=3, edge=128, work=ONE)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_set_of_abdomens_grows_and_no_label_is_given_away(tmp_path):
    write_abdomens(tmp_path, 1, unlabelled=1, edge=48, work=ONE)
    before = content(tmp_path / "imagesTs")
    write_abdomens(tmp_path, 2, unlabelled=1, edge=48, work=ONE)
    assert content(tmp_path / "imagesTs") == before
    labelled = content(tmp_path / "imagesTr")
    assert len(labelled) == 2
    assert not set(labelled.values()) & set(before.values())


def test_a_smaller_set_than_is_there_is_refused(tmp_path):
    write_fundus(tmp_path, 2, unlabelled=1, edge=128, work=ONE)
    before = content(tmp_path)
    for cases, unlabelled, said in ((1, 1, "a set of 2 cases"), (2, 0, "a set of 1 unlabelled")):
        with pytest.raises(InputError, match=f"is {said}: ask for as many or more"):
            write_fundus(tmp_path, cases, unlabelled, edge=128, work=ONE)
    assert content(tmp_path) == before
