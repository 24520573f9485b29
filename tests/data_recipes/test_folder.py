"""Your own scans: which files are a case, whose they are, and the way back to their voxels."""

import os
import shutil
import unicodedata
from itertools import count, permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers import content, write_prediction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_recipes import folder as recipe
from data_recipes.folder import Folder, case_name, find_scans, prepare
from data_recipes.label_values import find_values
from data_recipes.preparing import engine
from data_recipes.preparing.one_frame import one_frame
from data_recipes.preparing.virtual_note import NOTE
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.segmentation import score
from ssl3d_lite.files import write_json
from ssl3d_lite.machine.parallel import Workforce
from ssl3d_lite.show.cohort_page import page_parts

SHAPE = (5, 6, 7)
ONE = ("image",)


def scan(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 2, shape).astype(np.float32)


def blocks(*values: float) -> np.ndarray:
    """A label map of background, and a slice of each of ``values``."""
    whole = all(isinstance(value, int) for value in values)
    label = np.zeros(SHAPE, np.int16 if whole else np.float32)
    for place, value in enumerate(values):
        label[place] = value
    return label


def ids(raw: Path, labels: Path | None = None, channels: tuple[str, ...] = ONE) -> list[str]:
    return [case.id for case in find_scans(raw, labels, channels)]


def reasons(summary) -> dict[str, str]:
    assert all("\n" not in rejected["reason"] for rejected in summary.rejected)
    return {rejected["case"]: rejected["reason"] for rejected in summary.rejected}


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    return folder


@pytest.fixture
def run(raw, out):
    def run(**settings):
        return prepare(Folder(**{"raw": raw, "out": out, "workers": 1} | settings))

    return run


@pytest.fixture
def six(raw, labels, save):
    """Six scans with labels 1 and 4, in a folder of their own."""
    for number in range(6):
        save(raw / f"p{number}.nii.gz", scan(number))
        save(labels / f"p{number}.nii.gz", blocks(1, 4))
    return raw


# ---- which files are a case --------------------------------------------------------------------


def test_scans_become_a_cohort(raw, out, run, save):
    save(raw / "ben.nii", scan(1))
    save(raw / "ann.nii.gz", scan(0))
    save(raw / "CAT.NII.GZ", scan(2))
    summary = run(intensity="unit")
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (3, 3, ())
    assert summary.notes == ("no folds: no case has a label, so all are for pretraining",)
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.licence, cohort.channels) == ("raw", "not stated", ONE)
    assert (cohort.label_values, cohort.label_names, cohort.regions) == ((0,), ("0",), {})
    assert [(case.id, case.patient) for case in cohort.cases] == [
        ("CAT", "CAT"),
        ("ann", "ann"),
        ("ben", "ben"),
    ]
    assert cohort.cases[0].source.files == {"image": "CAT.NII.GZ"}
    for position, seed in enumerate((2, 0, 1)):
        image, label = cohort[position]
        low, high = scan(seed).min(), scan(seed).max()
        np.testing.assert_array_equal(image[0], ((scan(seed) - low) / (high - low)).astype("f2"))
        assert label is None


def test_names_and_licence(raw, out, run, save):
    save(raw / "ann.nii", scan())
    run(name="Mine", licence="CC0")
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.licence) == ("Mine", "CC0")


def test_the_names_of_nested_scans(raw, save):
    for path in ("ann/mr/first.nii", "ann/mr/second.nii.gz", "ben.nii"):
        save(raw / path, scan())
    assert ids(raw) == ["ann_mr_first", "ann_mr_second", "ben"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ann.nii.gz", "ann"),
        ("ann.NII", "ann"),
        ("ann/t1.nii.gz", "ann_t1"),
        ("ann\\t1.nii", "ann_t1"),
        ("ann/t1/", "ann_t1"),
        ("/ann", "ann"),
        ("ann.nii.gz.nii.gz", "ann.nii.gz"),
        ("ann.nii/1", "ann.nii_1"),
        ("a.b.c", "a.b.c"),
    ],
)
def test_what_a_file_is_called(path, name):
    assert case_name(path) == name


@pytest.mark.parametrize("twins", [("a/b.nii", "a_b.nii"), ("a.nii", "a.nii.gz")])
def test_two_files_of_one_name(raw, out, run, save, twins):
    first, second = (save(raw / name, scan()) for name in twins)
    with pytest.raises(InputError) as error:
        run()
    assert "have one name; rename one" in str(error.value)
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)
    assert not out.exists()


@pytest.mark.parametrize("channels", [("t2", "flair", "adc"), ("adc", "t2", "flair")])
def test_channels_come_in_the_order_asked_for(raw, out, run, save, channels):
    """Each channel is 0 but for one voxel, whose place tells which it is."""
    for place, channel in enumerate(("adc", "flair", "t2")):
        image = np.zeros(SHAPE, np.float32)
        image[place, 3, 4] = 9
        save(raw / f"ann_{channel}.nii.gz", image)
    run(channels=channels, intensity="unit")
    cohort = Cohort.open(out)
    assert [case.id for case in cohort.cases] == ["ann"]
    assert cohort.channels == channels
    assert list(cohort.cases[0].source.files) == list(channels)
    places = {"adc": 0, "flair": 1, "t2": 2}
    for image, channel in zip(cohort[0][0], channels):
        assert np.argwhere(image).tolist() == [[places[channel], 3, 4]]


@pytest.mark.parametrize("pattern", ["ann_{}", "ann-{}", "ann.{}", "ann/{}"])
def test_how_a_channel_may_be_set_apart(raw, save, pattern):
    paths = {c: save(raw / f"{pattern.format(c)}.nii", scan()) for c in ("t1", "flair")}
    (case,) = find_scans(raw, None, ("t1", "flair"))
    assert (case.id, case.images, case.fault) == ("ann", paths, "")


def test_nnunets_names(raw, out, run, save):
    images, labels = raw / "imagesTr", raw / "labelsTr"
    for number in range(3):
        for channel in (0, 1):
            save(images / f"liver_{number:03}_{channel:04}.nii.gz", scan(10 * number + channel))
        save(labels / f"liver_{number:03}.nii.gz", blocks(1))
    save(images / "liver_003_0000.nii.gz", scan(9))
    summary = run(raw=images, labels=labels, channels=("0000", "0001"))
    assert reasons(summary) == {"liver_003": "0001 missing; there is liver_003_0000.nii.gz"}
    cohort = Cohort.open(out)
    assert [case.id for case in cohort.cases] == ["liver_000", "liver_001", "liver_002"]
    assert cohort.cases[1].source.files == {
        "0000": "imagesTr/liver_001_0000.nii.gz",
        "0001": "imagesTr/liver_001_0001.nii.gz",
        "label": "labelsTr/liver_001.nii.gz",
    }
    assert cohort[0][0].shape == (2, *SHAPE)


def test_one_channel_of_nnunet(raw, save):
    save(raw / "liver_000_0000.nii.gz", scan())
    assert ids(raw, None, ("0000",)) == ["liver_000"]
    assert ids(raw) == ["liver_000_0000"]


def test_a_file_of_no_channel(raw, run, save):
    for channel in ("t1", "t2"):
        save(raw / f"ann_{channel}.nii", scan(len(channel)))
    for name in ("ann_seg", "bent1", "t1"):
        save(raw / f"{name}.nii", scan())
    summary = run(channels=("t1", "t2"))
    assert summary.prepared == 1
    assert reasons(summary) == {
        name: f"{raw / name}.nii ends in none of the channels t1, t2"
        for name in ("ann_seg", "bent1", "t1")
    }


def test_a_fourth_axis_is_refused(raw, run, save):
    save(raw / "ann.nii", scan())
    path = save(raw / "ben.nii", np.stack([scan(), scan(1)], axis=3))
    assert reasons(run()) == {"ben": f"{path} holds 2 channels, not 1"}


def test_channels_on_different_grids(raw, run, save):
    save(raw / "ann_a.nii", scan())
    save(raw / "ann_b.nii", scan(), np.diag([1, 1, 2, 1]))
    save(raw / "ben_a.nii", scan())
    save(raw / "ben_b.nii", scan(1))
    assert reasons(run(channels=("a", "b"))) == {
        "ann": f"{raw / 'ann_b.nii'} lies 6.00 voxels beside ann_a.nii: affines differ"
    }


@pytest.mark.parametrize("name", ["", "notes.txt", "ann.nii.txt", "._ann.nii.gz"])
def test_nothing_there(raw, out, run, name):
    if name:
        (raw / name).write_bytes(b"nothing")
    with pytest.raises(InputError) as error:
        run()
    assert str(error.value) == f"no NIfTI file (.nii, .nii.gz) and no DICOM file below {raw}"
    assert not out.exists()


def test_no_folder_there(raw, out, run):
    with pytest.raises(InputError, match=r"no NIfTI file .* below .*none"):
        run(raw=raw / "none")
    assert not out.exists()


def test_the_litter_of_macos_is_no_scan(raw, labels, run, save):
    save(raw / "ann.nii.gz", scan())
    save(labels / "ann.nii.gz", blocks(1))
    for folder in (raw, raw / "__MACOSX", labels):
        folder.mkdir(exist_ok=True)
        (folder / "._ann.nii.gz").write_bytes(b"\x00\x05\x16\x07" * 1000)
    (raw / ".DS_Store").write_bytes(bytes(6148))
    summary = run(labels=labels)
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (1, 0, ())


def test_links_to_files(raw, out, tmp_path, run, save):
    save(tmp_path / "store/x.nii.gz", scan())
    (raw / "ann.nii.gz").symlink_to(tmp_path / "store/x.nii.gz")
    (raw / "gone.nii.gz").symlink_to(tmp_path / "store/gone.nii.gz")
    summary = run()
    assert summary.prepared == 1
    assert Cohort.open(out).cases[0].source.files == {"image": "ann.nii.gz"}
    (lost,) = summary.rejected  # a data manager's link to what it has not fetched
    assert lost["reason"] == f"{raw / 'gone.nii.gz'} cannot be read: No such file or directory"


def test_a_link_to_the_raw_folder(raw, out, tmp_path, run, save):
    save(raw / "ann.nii.gz", scan())
    (tmp_path / "link").symlink_to(raw)
    assert run(raw=tmp_path / "link").prepared == 1
    assert run().skipped == 1


def test_links_to_folders(raw, tmp_path, save):
    save(tmp_path / "store/x.nii.gz", scan())
    save(raw / "ann.nii.gz", scan(1))
    (raw / "ben").symlink_to(tmp_path / "store")
    assert ids(raw) == ["ann", "ben_x"]


def test_hidden_folders_hold_no_scans(raw, save):
    """DataLad keeps every scan in ``.git/annex`` and links to it."""
    store = save(raw / ".git/annex/objects/x.nii.gz", scan())
    (raw / "ann.nii.gz").symlink_to(store)
    assert ids(raw) == ["ann"]


def test_a_channel_that_ends_like_another(raw, save):
    for channel in ("t1", "post_t1"):
        save(raw / f"ann_{channel}.nii", scan())
    assert ids(raw, None, ("post_t1", "t1")) == ["ann"]
    assert ids(raw, None, ("t1", "post_t1")) == ["ann"]


def test_a_bad_scan_harms_no_other(raw, run, save):
    save(raw / "ann.nii.gz", scan())
    save(raw / "ben.nii.gz", np.ones(SHAPE, np.float32))
    (raw / "cat.nii.gz").write_bytes((raw / "ann.nii.gz").read_bytes()[:-50])
    save(raw / "-dan.nii.gz", scan(3))
    summary = run()
    assert summary.prepared == 1
    assert reasons(summary).keys() == {"ben", "cat", "-dan"}
    assert reasons(summary)["ben"] == f"{raw / 'ben.nii.gz'} holds nothing but the value 1"
    assert reasons(summary)["cat"].startswith(f"{raw / 'cat.nii.gz'} is damaged")
    assert reasons(summary)["-dan"] == "'-dan' cannot name a file; rename the raw scan"


# ---- label maps --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "image", "label"),
    [
        ("raw/labels", "ann.nii.gz", "labels/ann.nii.gz"),
        ("labels", "raw/ann.nii.gz", "labels/ann.nii.gz"),
        ("far/away", "raw/ann.nii.gz", "far/away/ann.nii.gz"),
    ],
    ids=["inside", "beside", "outside"],
)
def test_where_label_maps_may_lie(tmp_path, raw, out, run, save, place, image, label):
    folder = tmp_path / place
    for number, name in enumerate(("ann", "ben", "cat")):
        save(raw / f"{name}.nii.gz", scan(number))
        save(folder / f"{name}.nii.gz", blocks(1 + number))
    summary = run(labels=folder)
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (3, 0, ())
    cohort = Cohort.open(out)
    assert cohort.cases[0].source.files == {"image": image, "label": label}
    assert cohort.label_values == (0, 1, 2, 3)
    for number in range(3):
        np.testing.assert_array_equal(cohort[number][1], blocks(1 + number))
    assert sorted(case.fold for case in cohort.cases) == [0, 1, 2]
    assert str(tmp_path) not in (out / "cohort.json").read_text()


def test_labels_lie_as_their_scans_do(raw, labels, save):
    save(raw / "a/x.nii", scan())
    save(raw / "b/x.nii.gz", scan())
    maps = [save(labels / "a/x.nii.gz", blocks(1)), save(labels / "b/x.nii", blocks(1))]
    assert [case.label for case in find_scans(raw, labels, ONE)] == maps


def test_a_label_without_a_scan_and_a_scan_without_a_label(six, labels, out, run, save):
    save(six / "q.nii.gz", scan(7))
    save(labels / "r.nii.gz", blocks(1))
    summary = run(labels=labels)
    assert (summary.prepared, summary.unlabelled, summary.exit_code) == (7, 1, 1)
    assert reasons(summary) == {"r": f"{labels / 'r.nii.gz'} has no scan"}
    cohort = Cohort.open(out)
    assert cohort.cases[-1].id == "q"
    assert (cohort.cases[-1].labelled, cohort.cases[-1].fold) == (False, None)
    assert cohort[6][1] is None
    assert not (out / "labels/q.npy").exists()
    assert {case.fold for case in cohort.cases[:-1]} == set(range(5))


def test_a_label_folder_that_is_not_there(six, out, run, tmp_path):
    with pytest.raises(InputError) as error:
        run(labels=tmp_path / "none")
    assert str(error.value) == f"no folder {tmp_path / 'none'}"
    assert not out.exists()


def test_values_are_found_and_named_by_themselves(raw, labels, out, run, save):
    for name, values in {"ann": (7,), "ben": (2, 200), "cat": ()}.items():
        save(raw / f"{name}.nii", scan(len(values)))
        save(labels / f"{name}.nii", blocks(*values).astype(np.float32))
    run(labels=labels)
    cohort = Cohort.open(out)
    assert cohort.label_values == (0, 2, 7, 200)
    assert cohort.label_names == ("0", "2", "7", "200")
    assert cohort.regions == {"2": (2,), "7": (7,), "200": (200,)}
    assert cohort.region_classes == {"2": (1,), "7": (2,), "200": (3,)}
    assert [np.unique(cohort[i][1]).tolist() for i in range(3)] == [[0, 2], [0, 1, 3], [0]]
    assert all(case.labelled for case in cohort.cases)  # an empty map is one


def test_names_for_the_values_that_are_found(six, labels, out, run):
    run(labels=labels, label_names=("background", "organ", "tumour"))
    cohort = Cohort.open(out)
    assert cohort.label_values == (0, 1, 4)
    assert cohort.label_names == ("background", "organ", "tumour")
    assert cohort.regions == {"organ": (1,), "tumour": (4,)}


def test_values_may_stand_in_any_order(six, labels, out, run):
    run(labels=labels, label_values=(0, 4, 1, 9))
    cohort = Cohort.open(out)
    assert cohort.label_values == (0, 4, 1, 9)
    assert cohort[0][1][:3, 0, 0].tolist() == [2, 1, 0]


def test_a_value_that_was_not_given(six, labels, run, save):
    save(labels / "p1.nii.gz", blocks(1, 2, 3, 4))
    assert reasons(run(labels=labels, label_values=(0, 1, 4))) == {
        "p1": f"{labels / 'p1.nii.gz'} holds 2, 3, where labels are 0, 1, 4"
    }


def test_a_fractional_label_map(six, labels, out, run, save):
    """It gives no values of its own, and is refused."""
    save(labels / "p1.nii.gz", blocks(9.0, 1.5))
    assert reasons(run(labels=labels)) == {
        "p1": f"{labels / 'p1.nii.gz'} holds 1.5, where labels are whole numbers; is it a map of "
        "probabilities, or was it resampled with interpolation?"
    }
    assert Cohort.open(out).label_values == (0, 1, 4)


def test_a_label_map_that_is_an_image(six, labels, out, run, save):
    """A CT is whole numbers too, but more of them than there are organs."""
    image = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
    save(labels / "p1.nii.gz", image)
    assert reasons(run(labels=labels)) == {
        "p1": f"{labels / 'p1.nii.gz'} holds 210 values, of which 207 are in no other map: is it "
        "an image? If not, give all values with --label-values"
    }
    assert Cohort.open(out).label_values == (0, 1, 4)


@pytest.mark.parametrize("number", [100, 105, 255])
def test_how_many_values_a_label_map_may_have(tmp_path, save, number):
    label = (np.arange(8**3) % number).reshape(8, 8, 8).astype(np.int16)
    maps = [save(tmp_path / f"{name}.nii", label) for name in "ab"]
    maps.append(save(tmp_path / "c.nii", label.clip(0, 60)))
    for some in (maps, maps[:1]):
        assert find_values(some, Workforce(workers=1)) == (tuple(range(number)), {})


def test_all_256_values_are_one_too_many(raw, labels, run, save):
    save(raw / "ann.nii", scan(shape=(8, 8, 8)))
    save(labels / "ann.nii", (np.arange(8**3) % 256).reshape(8, 8, 8).astype(np.int16))
    with pytest.raises(InputError, match="256 label values: at most 255 are wanted"):
        run(labels=labels)


@pytest.mark.parametrize("value", [255, 1, 0.99998])
def test_masks_of_one_class(six, labels, out, run, save, value):
    for number in range(6):
        save(labels / f"p{number}.nii.gz", blocks(value))
    run(labels=labels)
    cohort = Cohort.open(out)
    assert cohort.label_values == (0, round(value))
    np.testing.assert_array_equal(cohort[3][1], blocks(1))


def test_a_class_that_is_white_in_some_masks_only(six, labels, out, run, save):
    for number in range(6):
        save(labels / f"p{number}.nii.gz", blocks(255 if number in (2, 4) else 1))
    with pytest.raises(InputError) as error:
        run(labels=labels)
    assert str(error.value) == (
        f"{labels / 'p2.nii.gz'} holds 255 alone, {labels / 'p0.nii.gz'} holds 1: is one class "
        "written in two ways (2 maps, 4 maps)? Write it in one. If 255 is a class of its own, give "
        "all values with --label-values"
    )
    assert not out.exists()
    assert run(labels=labels, label_values=(0, 1, 255)).rejected == ()


def test_255_beside_other_classes_is_one_of_them(six, labels, out, run, save):
    save(labels / "p0.nii.gz", blocks(1, 4, 255))
    save(labels / "p1.nii.gz", blocks())
    run(labels=labels)
    assert Cohort.open(out).label_values == (0, 1, 4, 255)


def test_maps_that_are_all_empty(six, labels, out, run, save):
    for number in range(6):
        save(labels / f"p{number}.nii.gz", blocks())
    with pytest.raises(InputError) as error:
        run(labels=labels)
    assert str(error.value) == (
        f"the 6 label maps in {labels} are empty: they hold nothing but 0, the background; export "
        "them again, or leave --labels out"
    )
    assert not out.exists()


def test_a_label_map_that_cannot_be_read(six, labels, out, run):
    path = labels / "p1.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    summary = run(labels=labels)
    assert reasons(summary).keys() == {"p1"}
    assert reasons(summary)["p1"].startswith(f"{path} is damaged")
    assert Cohort.open(out).label_values == (0, 1, 4)


def test_a_label_map_on_another_grid(six, labels, run, save):
    save(labels / "p1.nii.gz", blocks(1), np.diag([1, 1, 2, 1]))
    save(labels / "p2.nii.gz", blocks(1)[1:])
    assert reasons(run(labels=labels)) == {
        "p1": f"{labels / 'p1.nii.gz'} lies 6.00 voxels beside p1.nii.gz: affines differ",
        "p2": f"{labels / 'p2.nii.gz'} has shape (4, 6, 7), but p2.nii.gz has (5, 6, 7)",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_values": (0, 1, 4), "label_names": ("background", "organ")},
        {"label_names": ("background", "organ")},
        {"label_names": ("background", "organ", "organ")},
        {"label_values": (0, 1, 1, 4)},
    ],
)
def test_values_and_names_that_do_not_fit(six, labels, out, run, wrong):
    with pytest.raises(InputError, match="one name each, none twice"):
        run(labels=labels, **wrong)
    assert not out.exists()


def test_two_label_maps_of_one_name(raw, labels, run, save):
    save(raw / "ann.nii.gz", scan())
    save(labels / "ann.nii", blocks(1))
    save(labels / "ann.nii.gz", blocks(2))
    with pytest.raises(InputError, match="one name"):
        run(labels=labels)


@pytest.mark.parametrize("value", [-1, 256, 1002])
def test_values_beyond_a_byte_are_written_back_or_refused(raw, labels, out, run, save, value):
    """FreeSurfer numbers the cortex from 1001 on."""
    save(raw / "ann.nii.gz", scan())
    save(labels / "ann.nii.gz", blocks(value))
    try:
        run(labels=labels)
    except InputError:
        return
    cohort = Cohort.open(out)
    write_prediction(out / "back.nii", cohort[0][1], cohort.cases[0], cohort.label_values)
    np.testing.assert_array_equal(np.asarray(nib.load(out / "back.nii").dataobj), blocks(value))


def test_more_classes_than_a_byte_holds(raw, labels, run, save):
    for number in range(3):
        label = (np.arange(np.prod(SHAPE)) % 99 + 99 * number).reshape(SHAPE).astype(np.int16)
        save(raw / f"{number}.nii", scan(number))
        save(labels / f"{number}.nii", label)
    assert reasons(run(labels=labels)) == {
        "2": f"{labels / '2.nii'} holds 256, 257, 258, 259, 260, ..., where label values go from 0 "
        "to 255; give its classes other numbers"
    }


# ---- label maps among the scans, and other formats ---------------------------------------------


def left_out(summary) -> dict[str, str]:
    return {file["case"]: file["reason"] for file in summary.left_out}


MAP_NAMES = (
    "labelsTr/ann.nii.gz",
    "labels/ann.nii",
    "ann/mask.nii.gz",
    "ann/seg/x.NII.GZ",
    "ann_seg.nii.gz",
    "ann-seg.nii.gz",
    "ann.label.nii.gz",
    "ann_brain_mask.nii.gz",
    "segmentation-0.nii",
    "ann_t1_gt.nii.gz",
    "sub-01/anat/sub-01_dseg.nii.gz",
    "ann_roi2.nii.gz",
)


@pytest.mark.parametrize("name", MAP_NAMES)
@pytest.mark.parametrize("values", [(1,), (255,), (0.99998,), (1, 2, 5), ()])
def test_a_label_map_among_the_scans_is_no_scan(raw, out, run, save, name, values):
    save(raw / "ann.nii", scan())
    save(raw / name, blocks(*values))
    summary = run()
    assert (summary.prepared, summary.exit_code) == (1, 0)
    reason = "is a label map or a mask by its name and values, and no scan"
    assert left_out(summary) == {name: reason}
    assert f"{name} {reason}: left out" in str(summary)
    assert "1 files left out" in str(summary)
    assert any("--labels" in note for note in summary.notes)
    assert Cohort.open(out).rejected == ({"case": name, "reason": reason},)


def test_soft_and_one_hot_maps_among_the_scans_are_no_scans(raw, run, save):
    save(raw / "ann.nii", scan())
    save(raw / "ann_probseg.nii", scan(1) - 1)
    save(raw / "ann_seg.nii", np.stack([blocks(0, 1), blocks(1, 0)], axis=3))
    assert list(left_out(run())) == ["ann_probseg.nii", "ann_seg.nii"]


def test_neither_a_name_nor_values_alone_make_a_label_map(raw, run, save):
    save(raw / "labels/ann.nii", scan())
    save(raw / "ben.nii", blocks(1))
    save(raw / "segmented_ann.nii", scan(2))
    save(raw / "mask_study/seg001/t1.nii", 1000 * scan(3))
    summary = run()
    assert (summary.prepared, summary.left_out) == (4, ())


def test_a_mask_that_is_asked_for_as_a_channel(raw, out, run, save):
    for name in ("ann", "ben"):
        save(raw / f"{name}_t1.nii", scan(len(name)))
        save(raw / f"{name}_mask.nii", blocks(1))
        save(raw / f"{name}_seg.nii", blocks(2))
    summary = run(channels=("t1", "mask"))
    assert list(left_out(summary)) == ["ann_seg.nii", "ben_seg.nii"]
    assert Cohort.open(out).channels == ("t1", "mask")


@pytest.mark.parametrize("given", ["link", "target"])
def test_the_label_folder_by_whatever_path(tmp_path, raw, out, run, save, given):
    for number in range(3):
        save(raw / f"p{number}.nii.gz", scan(number))
        save(tmp_path / f"disk/maps/p{number}.nii.gz", blocks(1))
    (raw / "maps").symlink_to(tmp_path / "disk/maps")
    folder = {"link": raw / "maps", "target": tmp_path / "disk/maps"}[given]
    summary = run(labels=folder)
    assert (summary.prepared, summary.unlabelled, summary.left_out) == (3, 0, ())
    assert [case.id for case in Cohort.open(out).cases] == ["p0", "p1", "p2"]


def test_label_files_that_are_linked_one_by_one(tmp_path, raw, labels, run, save):
    for number in range(3):
        save(raw / f"p{number}.nii.gz", scan(number))
        save(tmp_path / f"store/{number}.nii.gz", blocks(1))
        for place in (labels / f"p{number}.nii.gz", raw / f"x{number}.nii.gz"):
            place.symlink_to(tmp_path / f"store/{number}.nii.gz")
    assert (run(labels=labels).prepared, run(labels=labels).left_out) == (3, ())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ann.mgz", "with FreeSurfer's mri_convert"),
        ("ann.MGH", "with FreeSurfer's mri_convert"),
        ("ann.nrrd", "is of a format that is not read; convert it to NIfTI (.nii.gz)"),
        ("ann.mha", "is of a format that is not read; convert it to NIfTI (.nii.gz)"),
        ("ann.mhd", "is of a format that is not read; convert it to NIfTI (.nii.gz)"),
        ("ann.hdr", "convert it to NIfTI (.nii.gz), one file a scan"),
        ("ann.img.gz", "convert it to NIfTI (.nii.gz), one file a scan"),
        ("ann.nii.zip", "is an archive, which is not opened; unpack it"),
        ("ann.nii.bz2", "is an archive, which is not opened; unpack it"),
        ("sub/all.tar.gz", "is an archive, which is not opened; unpack it"),
    ],
)
def test_other_formats_are_named(raw, out, run, save, name, said):
    (raw / name).parent.mkdir(exist_ok=True)
    (raw / name).write_bytes(b"nothing")
    with pytest.raises(InputError) as error:
        run()
    assert str(raw / name) in str(error.value)
    assert said in str(error.value)
    save(raw / "ben.nii", scan())
    summary = run()
    assert summary.exit_code == 0
    assert list(left_out(summary)) == [name]
    assert said in left_out(summary)[name]


def test_other_files_need_no_word(raw, run, save):
    save(raw / "ann.nii", scan())
    for name in ("notes.txt", "ann.json", "ann.bval", "table.csv", "ann.mat", "._ann.mgz"):
        (raw / name).write_bytes(b"nothing")
    assert run().left_out == ()


def test_a_file_of_no_bytes_is_rejected(raw, run, save):
    save(raw / "ann.nii", scan())
    (raw / "ben.nii.gz").write_bytes(b"")
    assert reasons(run()) == {"ben": f"{raw / 'ben.nii.gz'} is no readable NIfTI file: it is empty"}


@pytest.mark.parametrize(
    ("scans", "maps", "said"),
    [
        (["c0_0000", "c1_0000"], ["c0", "c1"], "with --channels 0000 they meet"),
        (["c0_0000", "c0_0001"], ["c0"], "with --channels 0000 0001 they meet"),
        (["a/t1", "a/t2"], ["a"], "but a_t1 is one; with --channels t1 t2 they meet"),
        (["p0", "p1"], ["p0_seg", "p1_seg"], "p0_seg.nii has no scan; if it belongs to p0, name"),
        (["p0", "p1"], ["p0_0000", "p1_0000"], "if it belongs to p0, name it so"),
        (["patient_01", "patient_02"], ["Patient_01"], "if it belongs to patient_01, name it so"),
        (["ann"], ["x1"], "x1.nii has no scan"),
        (["ann"], [], "holds no label map (.nii, .nii.gz)"),
    ],
)
def test_no_label_map_meets_a_scan(raw, labels, out, run, save, scans, maps, said):
    for name in scans:
        save(raw / f"{name}.nii", scan(len(name)))
    for name in maps:
        save(labels / f"{name}.nii", blocks(1))
    with pytest.raises(InputError) as error:
        run(labels=labels)
    assert str(error.value).startswith(f"no label map has the name of a scan below {raw}: ")
    assert said in str(error.value)
    assert not out.exists()


def test_a_label_that_is_named_a_little_otherwise(six, labels, run, save):
    (labels / "p3.nii.gz").rename(labels / "p3_seg.nii.gz")
    summary = run(labels=labels)
    assert reasons(summary) == {
        "p3_seg": f"{labels / 'p3_seg.nii.gz'} has no scan; if it belongs to p3, name it so"
    }
    assert "no label map: p3; they serve for pretraining" in summary.notes


def test_nnunets_numbers_are_noticed(raw, run, save):
    for name in ("c0_0000", "c0_0001", "c1_0000", "c1_0001"):
        save(raw / f"imagesTr/{name}.nii", scan(len(name)))
    (raw / "dataset.json").write_text("{}")
    notes = run().notes
    assert (
        "names end in _0000, as nnU-Net numbers channels: with --channels 0000 0001 the files of "
        "one scan are joined" in notes
    )
    described = f"{raw / 'dataset.json'} describes scans and labels: ssl3d prepare msd reads it"
    assert described in notes


# ---- settings ----------------------------------------------------------------------------------


def test_what_is_not_given(six, out, run):
    run()
    recipe = Cohort.open(out).recipe
    assert recipe == {
        "name": "folder",
        "crop": False,
        "spacing": None,
        "size": None,
        "fit": "pad",
        "intensity": "zscore",
        "folds": 5,
        "seed": 0,
        "shift": None,
        "version": 2,
    }
    assert Cohort.open(out).shape == SHAPE


def test_the_papers_way(raw, out, run, save):
    image = np.zeros((12, 12, 12), np.float32)
    image[2:10, 3:11, 4:12] = scan(shape=(8, 8, 8))
    save(raw / "ann.nii", image)
    run(preset="paper", size=(8, 8, 8))
    cohort = Cohort.open(out)
    recipe = cohort.recipe
    assert (recipe["crop"], recipe["fit"], recipe["intensity"]) == (True, "stretch", "unit")
    assert cohort.cases[0].crop == [[2, 10], [3, 11], [4, 12]]
    block = scan(shape=(8, 8, 8))
    wanted = (block - block.min()) / (block.max() - block.min())
    np.testing.assert_array_equal(cohort[0][0][0], wanted.astype(np.float16))
    how = Folder(raw=raw, out=out, preset="paper").preparation()
    assert how.size == (128, 128, 128)


def test_what_is_given_goes_before_the_preset(raw, out):
    how = Folder(
        raw=raw, out=out, preset="paper", crop=False, fit="resize", intensity="window:0,9"
    ).preparation()
    assert (how.crop, how.size, how.fit, how.intensity) == (
        False,
        (128, 128, 128),
        "resize",
        "window:0,9",
    )


def test_cases_of_several_shapes(six, labels, out, run, save, tmp_path):
    save(six / "p1.nii.gz", scan(shape=(5, 6, 8)))
    save(six / "p2.nii.gz", scan(shape=(4, 6, 8)))
    said = "the cases have 3 shapes; for training prepare them with --size"
    assert said in run().notes
    with pytest.raises(InputError, match="3 shapes"):
        _ = Cohort.open(out).shape
    summary = run(size=(6, 6, 8), out=tmp_path / "sized")
    assert not any("--size" in note for note in summary.notes)
    assert Cohort.open(tmp_path / "sized").shape == (6, 6, 8)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": (8, 8, 8), "spacing": (1, 1, 1), "fit": "stretch"}, "finds the spacing itself"),
        ({"preset": "paper", "spacing": (1, 1, 1)}, "finds the spacing itself"),
        ({"intensity": "zscor"}, "did you mean 'zscore'"),
        ({"intensity": "window:9,0"}, "is no window"),
        ({"fit": "strech"}, "did you mean 'stretch'"),
        ({"size": (8, 0, 8)}, "above 0"),
        ({"folds": 2}, "folds is 2, but must be 3 or more"),
    ],
)
def test_settings_that_contradict(six, out, run, wrong, said):
    with pytest.raises(InputError, match=said):
        run(**wrong)
    assert not out.exists()


def test_a_channel_named_twice(raw, out, run, save):
    save(raw / "ann_t1.nii", scan())
    with pytest.raises(InputError):
        run(channels=("t1", "t1"))


def test_other_settings_later(six, labels, out, run):
    run(labels=labels)
    before = content(out)
    with pytest.raises(InputError, match="was prepared with intensity = zscore, not unit"):
        run(labels=labels, intensity="unit")
    with pytest.raises(InputError, match=r"was prepared with label_values = \[0, 1, 4\]"):
        run(labels=labels, label_values=(0, 4, 1))
    assert content(out) == before


def test_virtual_scans_stay_virtual(six, labels, out, run):
    identity = {"name": "V", "licence": "ours", "citation": "us", "description": "none is real"}
    note = {"settings": {"set": "virtual-x", "seed": 0}, "numbers": {"cases": 6}}
    write_json(six / NOTE, note | {"identity": identity})
    run(name="Real")
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.licence, cohort.description) == ("V", "ours", "none is real")
    assert cohort.recipe["virtual"] == "virtual-x"


def test_virtual_scans_stay_virtual_with_labels_from_elsewhere(six, labels, out, run):
    note = {"settings": {"set": "virtual-x", "seed": 0}, "numbers": {"cases": 6}}
    write_json(six / NOTE, note | {"identity": {"name": "V"}})
    run(name="Real", labels=labels)
    assert Cohort.open(out).name == "V"


# ---- whose scan it is --------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    def write(*rows: str, header: str = "image,patient") -> Path:
        path = tmp_path / "patients.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return path

    return write


def patients(out: Path) -> dict[str, str]:
    return {case.id: case.patient for case in Cohort.open(out).cases}


def test_a_scan_may_be_spelt_as_file_path_or_id(raw, out, run, save, table):
    for path in ("ann.nii.gz", "sub/ben.nii.gz", "sub/cat.nii", "dan.nii", "eve.nii.gz"):
        save(raw / path, scan(len(path)))
    run(
        table=table(
            'ann.nii.gz,"Doe, Jane"',
            "sub/ben.nii.gz,B",
            "sub_cat,C",
            "dan,D",
            '"eve.nii", E ',
        )
    )
    assert patients(out) == {
        "ann": "Doe, Jane",
        "sub_ben": "B",
        "sub_cat": "C",
        "dan": "D",
        "eve": "E",
    }


def test_two_scans_of_a_patient_share_a_fold(six, labels, out, run, table):
    summary = run(labels=labels, table=table(*(f"p{n},{'AABBCC'[n]}" for n in range(6))))
    folds = [case.fold for case in Cohort.open(out).cases]
    assert folds[::2] == folds[1::2]
    assert sorted(set(folds)) == [0, 1, 2]
    assert summary.notes == ("only 3 folds: no more patients have a label",)


def test_an_unlabelled_scan_goes_with_its_patient(six, labels, out, run, table):
    (labels / "p1.nii.gz").unlink()
    run(labels=labels, table=table(*(f"p{n},{'AABCDE'[n]}" for n in range(6))))
    cases = Cohort.open(out).cases
    assert not cases[1].labelled
    assert cases[1].fold == cases[0].fold is not None


def test_rows_and_scans_that_stand_alone(six, out, run, table):
    path = table("p0,A", "p1,B", "p2,", "p3,C", "q,D", "other/p4.nii.gz,E")
    summary = run(table=path)
    assert (summary.prepared, summary.exit_code) == (3, 1)
    alone = dict.fromkeys(("p2", "p4", "p5"), f"{path} names no patient of it")
    lone = dict.fromkeys(("q", "other_p4"), f"{path} has a row for it, but {six} has no such scan")
    assert reasons(summary) == alone | lone


def test_a_fault_of_the_scan_goes_before_one_of_the_table(six, labels, run, save, table):
    save(labels / "r.nii.gz", blocks(1))
    summary = run(labels=labels, table=table(*(f"p{n},{n}" for n in range(6))))
    assert reasons(summary) == {"r": f"{labels / 'r.nii.gz'} has no scan"}


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("image,subject", ["p0,A"], "has no column patient; its columns: image, subject"),
        ("file,patient", ["p0,A"], "has no column image; its columns: file, patient"),
        ("image,patient", ["p0,A", "p0,B"], "has a second row for 'p0' in line 3"),
        ("image,patient", ["p0,A", ",B"], "has no image in line 3"),
    ],
)
def test_a_table_that_is_refused(six, out, run, table, header, rows, said):
    path = table(*rows, header=header)
    with pytest.raises(InputError) as error:
        run(table=path)
    assert str(error.value).startswith(f"{path} {said}")
    assert not out.exists()


def test_no_table(six, out, run, tmp_path):
    with pytest.raises(InputError) as error:
        run(table=tmp_path / "none.csv")
    assert str(error.value) == f"no none.csv in {tmp_path}"
    assert not out.exists()


def test_another_patient_later(six, labels, out, run, table):
    run(labels=labels, table=table(*(f"p{n},{n}" for n in range(6))))
    summary = run(labels=labels, table=table("p0,1", *(f"p{n},{n}" for n in range(1, 6))))
    assert (summary.prepared, summary.skipped) == (1, 5)
    cases = Cohort.open(out).cases
    assert cases[0].patient == cases[1].patient == "1"
    assert cases[0].fold == cases[1].fold


def test_two_rows_for_one_scan_under_two_names(six, run, table):
    rows = [f"p{n},{n}" for n in range(6)]
    with pytest.raises(InputError, match="p0"):
        run(table=table(*rows, "p0.nii.gz,another"))


def test_the_file_of_a_channel_names_its_scan(raw, out, run, save, table):
    for channel in ("t1", "t2"):
        save(raw / f"ann_{channel}.nii.gz", scan(int(channel[1])))
    run(channels=("t1", "t2"), table=table("ann_t1.nii.gz,A", "ann_t2.nii.gz,A"))
    assert patients(out) == {"ann": "A"}


def test_a_path_that_begins_with_a_dot(raw, out, run, save, table):
    """As the Decathlon's dataset.json, find and tar write them."""
    save(raw / "ann.nii.gz", scan())
    run(table=table("./ann.nii.gz,A"))
    assert patients(out) == {"ann": "A"}


@pytest.mark.parametrize("deep", [True, False])
def test_scans_of_a_bids_subject_are_one_patients(raw, labels, out, run, save, deep):
    for subject, session in product(range(1, 6), (1, 2)):
        name = f"sub-{subject:02}_ses-{session}_T1w.nii.gz"
        path = f"sub-{subject:02}/ses-{session}/anat/{name}" if deep else f"set{session}/{name}"
        save(raw / path, scan(10 * subject + session))
        save(labels / path, blocks(1))
    assert run(labels=labels).notes == ()
    cohort = Cohort.open(out)
    assert {case.patient for case in cohort.cases} == {f"sub-{n:02}" for n in range(1, 6)}
    assert len({(case.patient, case.fold) for case in cohort.cases}) == 5


def test_two_time_points_in_two_folds_are_named(raw, labels, out, run, save, table, capsys):
    for number, when in product(range(5), ("t0", "t1")):
        save(raw / f"p{number}_{when}.nii.gz", scan(2 * number + (when == "t1")))
        save(labels / f"p{number}_{when}.nii.gz", blocks(1))
    (note,) = run(labels=labels).notes
    assert note.startswith("names look like several scans of one patient, in different folds: p0_t")
    assert note.endswith("; if they are, say whose they are with --table")
    assert main(["verify", str(out), "--workers", "1"]) == 0
    assert note in capsys.readouterr().out
    rows = [f"p{n}_{when},{n}" for n, when in product(range(5), ("t0", "t1"))]
    (note,) = run(labels=labels, table=table(*rows)).notes
    assert note.startswith("made anew, as their files, patients or grades have changed: 10 cases")


def test_copies_with_other_labels_are_named_however_they_are_saved(six, labels, run, save):
    image = nib.load(six / "p0.nii.gz")
    turned = np.asarray(image.dataobj)[::-1].astype(np.float64)
    save(six / "q.nii", turned, image.affine @ np.diag([-1, 1, 1, 1]))
    save(labels / "q.nii", blocks(1)[::-1], image.affine @ np.diag([-1, 1, 1, 1]))
    notes = run(labels=labels).notes
    assert notes[:2] == (
        "1 scans are copies of others, voxel for voxel: p0 and q",
        "copies of one scan with different labels, keep the right one: p0 and q",
    )


# ---- in which unit -----------------------------------------------------------------------------


def save_in(path: Path, data: np.ndarray, unit: int, edge: float = 2.0, kind=nib.Nifti1Image):
    """Voxels of ``edge`` of a unit, which its code states."""
    image = kind(data, np.diag([edge, edge, edge, 1]))
    image.header["xyzt_units"] = unit
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(
    ("code", "edge"), [(1, 0.002), (2, 2.0), (3, 2000.0), (2 + 8, 2.0), (3 + 16, 2000.0)]
)
def test_metres_and_microns_become_mm(raw, labels, out, run, tmp_path, code, edge, kind):
    """And predictions go back in the file's own."""
    save_in(raw / "p.nii.gz", scan(), code, edge, kind)
    save_in(labels / "p.nii.gz", blocks(1), 2)
    assert run(labels=labels, spacing=(2, 2, 2)).rejected == ()
    cohort = Cohort.open(out)
    assert (cohort.unit, cohort.spacing) == ("mm", (2, 2, 2))
    np.testing.assert_allclose(cohort.cases[0].source.affine, np.diag([2, 2, 2, 1]), rtol=1e-6)
    np.testing.assert_array_equal(cohort[0][1], blocks(1))
    write_prediction(tmp_path / "back.nii.gz", cohort[0][1], cohort.cases[0], (0, 1))
    back, given = nib.load(tmp_path / "back.nii.gz"), nib.load(raw / "p.nii.gz")
    np.testing.assert_allclose(back.affine, given.affine, rtol=1e-6)
    assert int(back.header["xyzt_units"]) == code
    np.testing.assert_array_equal(np.asarray(back.dataobj), blocks(1))


UNSTATED = (
    "do not state the unit of their voxels' size: sizes, --spacing and distances count as the "
    "files do, and are not said to be in mm; if they are, say --unit mm"
)


@pytest.mark.parametrize("code", [0, 8, 5])
def test_an_unknown_unit_gets_no_millimetres(raw, labels, out, run, code):
    for number in range(3):
        save_in(raw / f"p{number}.nii.gz", scan(number), code)
        save_in(labels / f"p{number}.nii.gz", blocks(1), code)
    assert run(labels=labels).notes[0] == f"3 of 3 scans {UNSTATED}"
    cohort = Cohort.open(out)
    assert (cohort.unit, cohort.spacing, cohort.preparation.unit) == ("unknown", (2, 2, 2), None)
    found = score(iter(cohort.labels(range(3))), cohort, range(3), progress=False)
    assert "mm" not in str(found)
    assert str(found).splitlines()[1] == "HD95 1 0.000 (the scans state no unit)"
    assert list(found.rows()[0]) == ["case", "region", "dice", "hd95", "absent"]
    page = " ".join(page_parts(cohort, 3))
    assert "voxels of 2 × 2 × 2 in a unit that the scans do not state;" in page
    assert "median size, (unstated unit)³" in page
    assert " mm" not in page
    assert " ml" not in page


def test_the_unit_as_the_user_says_it(raw, labels, out, run):
    """Nothing is made anew for it, as no array changes."""
    for number in range(3):
        save_in(raw / f"p{number}.nii.gz", scan(number), 0)
        save_in(labels / f"p{number}.nii.gz", blocks(1), 0)
    run(labels=labels)
    summary = run(labels=labels, unit="mm")
    assert (summary.prepared, summary.skipped) == (0, 3)
    assert not any("unit" in note for note in summary.notes)
    cohort = Cohort.open(out)
    assert (cohort.unit, cohort.preparation.unit) == ("mm", "mm")
    found = score(iter(cohort.labels(range(3))), cohort, range(3), progress=False)
    assert str(found).splitlines()[1] == "HD95 1 0.000 mm"
    assert "hd95_mm" in found.rows()[0]


def test_scans_of_which_some_state_their_unit(raw, out, run):
    save_in(raw / "p0.nii.gz", scan(0), 2)
    save_in(raw / "p1.nii.gz", scan(1), 0)
    save_in(raw / "p2.nii.gz", scan(2), 1, 0.002)
    assert run().notes[0] == f"1 of 3 scans (p1) {UNSTATED}"
    cohort = Cohort.open(out)
    assert (cohort.unit, cohort.spacing) == ("unknown", (2, 2, 2))


def test_another_spacing_is_seen_whether_or_not_the_unit_is_known(raw, run, tmp_path):
    records = []
    for name, edge, code in (("a", 1.0, 0), ("b", 3.0, 0), ("c", 1.0, 2)):
        save_in(tmp_path / name / "p.nii.gz", scan(), code, edge)
        run(raw=tmp_path / name, out=tmp_path / f"out{name}", spacing=(edge, edge, edge))
        records.append(Cohort.open(tmp_path / f"out{name}").preparation)
    coarse = records[1].differences(records[0])
    assert coarse == {"spacing": "3 × 3 × 3, not 1 × 1 × 1"}
    assert records[2].differences(records[0]) == {}
    assert records[2].differences(records[1]) == {"spacing": "1 × 1 × 1 mm, not 3 × 3 × 3"}


# ---- once more, and after an interruption ------------------------------------------------------


@pytest.fixture
def hashed(monkeypatch):
    """Names of the raw files that were read for their checksums."""
    names, real = [], engine.checksum

    def checksum(path):
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(engine, "checksum", checksum)
    return names


def times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")}


def test_a_second_run_touches_nothing(six, labels, out, run):
    run(labels=labels)
    before, made, raw = content(out), times(out), content(six)
    assert len(made) == 12
    summary = run(labels=labels)
    assert (summary.prepared, summary.skipped) == (0, 6)
    assert content(out) == before
    assert times(out) == made
    assert content(six) == raw


def test_the_same_bytes_with_any_number_of_workers(six, labels, out, run, tmp_path):
    run(labels=labels)
    run(labels=labels, out=tmp_path / "two", workers=2)
    assert content(tmp_path / "two") == content(out)


def test_a_scan_that_was_changed_is_made_again(six, labels, out, run):
    run(labels=labels, intensity="unit")
    made, path = times(out), six / "p2.nii.gz"
    stamp = path.stat().st_mtime_ns
    image = nib.Nifti1Image(scan(77), np.eye(4))
    nib.save(image, path)
    os.utime(path, ns=(stamp, stamp))
    summary = run(labels=labels, intensity="unit")
    assert (summary.prepared, summary.skipped) == (1, 5)
    remade = {p.relative_to(out).as_posix() for p, time in times(out).items() if made[p] != time}
    assert remade == {"images/p2.npy", "labels/p2.npy"}
    wanted = (scan(77) - scan(77).min()) / (scan(77).max() - scan(77).min())
    np.testing.assert_array_equal(Cohort.open(out)[2][0][0], wanted.astype(np.float16))


def test_a_label_that_was_changed_or_came_later(six, labels, out, run, save):
    (labels / "p3.nii.gz").unlink()
    run(labels=labels)
    save(labels / "p2.nii.gz", blocks(4, 1))
    save(labels / "p3.nii.gz", blocks(4, 4))
    summary = run(labels=labels)
    assert (summary.prepared, summary.skipped, summary.unlabelled) == (2, 4, 0)
    cohort = Cohort.open(out)
    assert cohort[2][1][:2, 0, 0].tolist() == [2, 1]
    assert cohort[3][1][:2, 0, 0].tolist() == [2, 2]


def test_a_scan_that_was_only_touched_is_not_made_again(six, labels, out, run):
    run(labels=labels)
    before, made = content(out), times(out)
    for path in six.iterdir():
        os.utime(path, ns=(1, 1))
    assert run(labels=labels).skipped == 6
    assert content(out) == before
    assert times(out) == made


@pytest.fixture
def killed(six, labels, out, run, monkeypatch):
    """A run that ended before its manifest, with a record of each of its six cases."""

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Cohort, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            run(labels=labels)
    assert len(list((out / "records").iterdir())) == 6
    assert not (out / "cohort.json").exists()
    return out


def test_after_a_kill_nothing_is_read_again(killed, six, labels, run, hashed, tmp_path):
    made = times(killed)
    summary = run(labels=labels)
    assert (summary.prepared, summary.skipped) == (0, 6)
    assert hashed == []
    assert times(killed) == made
    run(labels=labels, out=tmp_path / "whole")
    assert len(hashed) == 12  # so they are counted, and there is no record of the files elsewhere
    assert content(killed) == content(tmp_path / "whole")


def test_after_a_kill_a_touched_scan_is_read_and_kept(killed, six, labels, run, hashed):
    made = times(killed)
    os.utime(six / "p2.nii.gz", ns=(1, 1))
    summary = run(labels=labels)
    assert (summary.prepared, summary.skipped) == (0, 6)
    # its label has the same name
    assert sorted(hashed) == ["p2.nii.gz", "p2.nii.gz", "p2.npy", "p2.npy"]
    assert times(killed) == made


def test_after_a_kill_a_changed_scan_is_made_again(killed, six, labels, run, save):
    save(six / "p2.nii.gz", 5 * scan(88))
    summary = run(labels=labels)
    assert (summary.prepared, summary.skipped) == (1, 5)
    image = Cohort.open(killed)[2][0][0].astype(float)
    assert np.corrcoef(image.ravel(), scan(88).ravel())[0, 1] > 0.999


def test_a_finished_cohort_is_compared_by_what_is_in_the_files(six, labels, run, hashed):
    run(labels=labels)
    hashed.clear()
    run(labels=labels)
    assert len(hashed) == 24  # raw files and arrays


# ---- on the command line -----------------------------------------------------------------------


def test_the_command(six, labels, out, capsys):
    command = ["prepare", "folder", "--raw", str(six), "--labels", str(labels), "--out", str(out)]
    command += ["--size", "6", "6", "8", "--label-names", "none", "a", "b", "--workers", "1"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said == f"{out}: 6 prepared, 0 there already, 0 unlabelled, 0 rejected\n"
    assert Cohort.open(out).shape == (6, 6, 8)
    assert Cohort.open(out).label_names == ("none", "a", "b")
    assert main(command) == 0
    assert "0 prepared, 6 there already" in capsys.readouterr().out


def test_the_command_joins_channels(raw, out, save):
    for channel in ("t1", "flair"):
        save(raw / f"ann_{channel}.nii.gz", scan(len(channel)))
    command = ["prepare", "folder", "--raw", str(raw), "--out", str(out), "--workers", "1"]
    assert main([*command, "--channels", "t1", "flair"]) == 0
    assert Cohort.open(out).channels == ("t1", "flair")


def test_the_command_says_that_a_scan_was_rejected(six, out, capsys):
    (six / "p0.nii.gz").write_bytes(b"nothing")
    command = ["prepare", "folder", "--raw", str(six), "--out", str(out), "--workers", "1"]
    assert main(command) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"p0 rejected: {six / 'p0.nii.gz'} is damaged")
    assert said[-1] == f"{out}: 5 prepared, 0 there already, 5 unlabelled, 1 rejected"


def test_the_command_says_why_it_stopped(raw, out, capsys):
    command = ["prepare", "folder", "--raw", str(raw), "--out", str(out)]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said == f"ssl3d: no NIfTI file (.nii, .nii.gz) and no DICOM file below {raw}\n"
    assert main([*command, "--size", "4"]) == 2
    said = capsys.readouterr().err
    assert said == "ssl3d: --size takes 3 values, as --size 64 64 64, but got: 4\n"


def test_a_name_that_a_mac_took_apart_is_the_one_that_others_wrote(raw, out, save):
    """Labels and table have the umlaut whole; the scan has a letter and its dots."""
    for name in ("Gr\u00f6te", "日本 1", "plain"):
        save(raw / f"{unicodedata.normalize('NFD', name)}.NII.GZ", scan(len(name)))
        save(raw.with_name("maps") / f"{name}.nii.gz", blocks(0, 1))
    command = ["prepare", "folder", "--raw", str(raw), "--labels", str(raw.with_name("maps"))]
    assert main([*command, "--out", str(out), "--workers", "1"]) == 0
    cases = Cohort.open(out).cases
    assert [(case.id, case.labelled) for case in cases] == [
        ("Gr\u00f6te", True),
        ("plain", True),
        ("日本 1", True),
    ]


# ---- there and back ----------------------------------------------------------------------------

ORIENTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
VALUES = (0, 3, 5, 200)
EDGE = 1e-3  # raw voxels this near to the edge of the frame may be found on either side


@st.composite
def grids(draw):
    """A shape, and an affine with any of the 48 orientations, turned and stretched."""
    shape = draw(st.tuples(*[st.integers(3, 8)] * 3))
    zooms = draw(st.tuples(*[st.sampled_from([0.41, 1.0, 1.37, 3.0])] * 3))
    origin = draw(st.tuples(*[st.sampled_from([0.0, -90.0, 126.3, 0.1])] * 3))
    angles = draw(st.tuples(*[st.sampled_from([0, 0, 7, -31])] * 3))
    return shape, affine_of(draw(st.sampled_from(ORIENTATIONS)), zooms, origin, angles)


def affine_of(orientation, zooms, origin, angles) -> np.ndarray:
    turn = nib.eulerangles.euler2mat(*np.radians(angles))
    return nib.affines.from_matvec(turn @ orientation * zooms, origin)


@st.composite
def frames(draw):
    size = draw(st.none() | st.tuples(*[st.integers(1, 14)] * 3))
    fit = draw(st.sampled_from(["pad", "resize", "stretch"]))
    spacing = None
    if fit == "pad" or size is None:
        spacing = draw(st.none() | st.tuples(*[st.sampled_from([0.4, 1.0, 1.1, 2.9])] * 3))
        fit = "pad"
    return {"crop": draw(st.booleans()), "size": size, "fit": fit, "spacing": spacing}


def there_and_back(folder: Path, shape, affine, how: dict, seed: int) -> bool:
    """Prepare a scan with a label map, write the label back, and compare it with the raw file.

    Returns:
        Whether all voxels of the scan were within a frame at least as fine as they are.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    image[1:, 1:, :-1] = rng.uniform(1, 2, (shape[0] - 1, shape[1] - 1, shape[2] - 1))
    label = rng.choice(VALUES, shape).astype(np.uint8)
    label.flat[:4] = VALUES
    raw, labels, out = folder / "raw", folder / "labels", folder / "out"
    for path, data in ((raw / "a.nii.gz", image), (labels / "a.nii", label)):
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(data, affine), path)
    prepare(Folder(raw=raw, labels=labels, out=out, intensity="unit", workers=1, **how))
    cohort = Cohort.open(out)
    (case,) = cohort.cases
    assert cohort.label_values == VALUES
    write_prediction(folder / "back.nii.gz", cohort[0][1], case, cohort.label_values)

    there, back = nib.load(labels / "a.nii"), nib.load(folder / "back.nii.gz")
    found, wanted = (np.asarray(image.dataobj) for image in (back, there))
    assert found.shape == wanted.shape
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(back.affine, there.affine)
    assert set(np.unique(found)) <= set(VALUES)

    to_frame = np.linalg.inv(case.affine) @ there.affine  # raw voxel → prepared voxel
    place = nib.affines.apply_affine(to_frame, np.moveaxis(np.indices(shape), 0, -1))
    depth = np.minimum(place + 0.5, np.array(case.shape) - 0.5 - place)  # within the frame
    scale = np.abs(to_frame[:3, :3]).max(axis=1)  # prepared voxels a raw one, by axis of the frame
    depth = (depth / scale).min(axis=-1)
    assert (found[depth < -EDGE] == 0).all()
    fine = (scale > 1 - 1e-6).all()
    if fine:
        np.testing.assert_array_equal(found[depth > EDGE], wanted[depth > EDGE])
    return bool(fine and (depth > EDGE).all())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Ever new folders, of which the last ones are removed."""
    parent, number = tmp_path_factory.mktemp("scans"), count()

    def new() -> Path:
        shutil.rmtree(parent)
        folder = parent / str(next(number))
        folder.mkdir(parents=True)
        return folder

    return new


@given(grid=grids(), how=frames(), seed=st.integers(0, 99))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_prediction_lies_on_the_raw_scans_voxels(folders, grid, how, seed):
    there_and_back(folders(), *grid, how, seed)


@pytest.mark.parametrize("number", range(48))
def test_every_orientation_comes_back_whole(folders, number):
    """With the scan's own voxels, and with finer ones that fill a frame from edge to edge."""
    affine = affine_of(ORIENTATIONS[number], (0.9, 1.3, 2.6), (-90.0, 126.3, 7.0), (4, -21, 12))
    codes = {
        nib.aff2axcodes(affine_of(each, (1, 1, 1), (0, 0, 0), (4, -21, 12)))
        for each in ORIENTATIONS
    }
    assert len(codes) == 48
    for how in (
        {},
        {"size": (9, 10, 11)},
        {"size": (9, 10, 11), "fit": "stretch"},
        {"size": (30, 30, 30), "fit": "resize"},
        {"spacing": (0.4, 0.4, 0.4)},
    ):
        assert there_and_back(folders(), (4, 6, 5), affine, how, number) or "spacing" in how


def test_one_frame_holds_every_scan_whichever_way_its_axes_lie(raw, tmp_path):
    """A voxel of 1 × 2 × 3 mm in RAS; the second scan is stored with its axes in another order."""
    first = nib.Nifti1Image(scan(0, (10, 6, 4)), np.diag([1.0, 2, 3, 1]))  # 10 × 12 × 12 mm
    nib.save(first, raw / "a.nii.gz")
    turned = np.array([[0, 1.0, 0, 0], [0, 0, 2.0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(scan(1, (3, 20, 4)), turned), raw / "b.nii.gz")  # 20 × 8 × 9 mm
    (raw / "c.nii.gz").write_bytes(b"no scan")
    paths = sorted(raw.iterdir())
    assert one_frame(paths) == ((1.0, 2.0, 3.0), (24, 8, 8))  # 20, 6 and 4 voxels, by eights
    summary = prepare(Folder(raw=raw, out=tmp_path / "c", one_frame=True))
    cohort = Cohort.open(tmp_path / "c")
    assert {case.shape for case in cohort.cases} == {(24, 8, 8)}
    assert [each["case"] for each in summary.rejected] == ["c"]


def test_one_frame_makes_large_scans_coarser(raw):
    nib.save(nib.Nifti1Image(scan(0, (192, 20, 8)), np.eye(4)), raw / "a.nii")
    assert one_frame([raw / "a.nii"]) == ((3.0, 1.0, 1.0), (64, 24, 8))


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_one_frame_reads_headers_as_scans_are_read(raw, kind):
    """In metres, and by the newer header; so the frame and the scan have the same mm."""
    image = kind(scan(0, (10, 6, 4)), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, raw / "a.nii.gz")
    assert one_frame([raw / "a.nii.gz"]) == ((1.0, 2.0, 3.0), (16, 8, 8))


def test_one_frame_leaves_nothing_to_choose(raw, tmp_path):
    with pytest.raises(InputError, match="leave these and --fit out"):
        Folder(raw=raw, out=tmp_path, one_frame=True, size=(8, 8, 8))
    (raw / "c.nii.gz").write_bytes(b"no scan")
    with pytest.raises(InputError, match="none can be read"):
        one_frame([raw / "c.nii.gz"])


def test_the_cause_is_sought_of_few_lone_label_maps(tmp_path, monkeypatch):
    """Among 20 000 scans it takes a second for each."""
    sought = []
    monkeypatch.setattr(
        recipe, "_likely_cause", lambda name, scans, channels: sought.append(name) or ", look there"
    )
    maps = {f"map{number:02d}": Path(f"map{number:02d}.nii") for number in range(30)}
    alone = recipe._maps_alone(maps, ["scan"], recipe.ONE_CHANNEL)
    assert sought == sorted(maps)[: recipe.CAUSES]
    assert alone["map00"] == "map00.nii has no scan, look there"
    assert alone["map29"] == "map29.nii has no scan"
