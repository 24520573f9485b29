"""verify: every fault that is planted in a cohort is found and named, and a sound one has none."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_recipes.folder import Folder
from data_recipes.folder import prepare as prepare_folder
from data_recipes.msd import Msd, prepare
from data_recipes.slices import SliceSettings
from data_recipes.slices import prepare as prepare_slices
from data_recipes.virtual import VirtualBrain
from data_recipes.virtual import prepare as prepare_virtual
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.place import place_remarks
from ssl3d_lite.data.verify import Verify, intensity_bounds, verify
from ssl3d_lite.errors import InputError


@pytest.fixture
def raw(make_task, tmp_path) -> Path:
    return make_task(tmp_path / "raw" / "Blocks", cases=6, unlabelled=2)


@pytest.fixture
def cohort(raw, tmp_path) -> Cohort:
    prepare(Msd(out=tmp_path / "cohort", raw=raw, workers=1))
    return Cohort.open(tmp_path / "cohort")


def faults(cohort: Cohort, **settings) -> tuple[str, ...]:
    return verify(Verify(cohort=cohort.folder, workers=1, **settings)).faults


def changed(cohort: Cohort, index: int, **fields) -> Cohort:
    """The cohort with another case at ``index``, saved."""
    cases = list(cohort.cases)
    cases[index] = replace(cases[index], **fields)
    other = replace(cohort, cases=tuple(cases))
    other.save()
    return other


def test_a_sound_cohort_has_no_fault(cohort, raw):
    verdict = verify(Verify(cohort=cohort.folder, raw=raw, workers=2))
    floor = tuple(place_remarks(cohort))
    assert (verdict.faults, verdict.notes, verdict.exit_code) == ((), floor, 0)
    assert str(verdict) == "\n".join([*floor, f"{cohort.folder}: 8 cases of Blocks, no fault"])


def test_slices_are_sound_too(cohort, tmp_path):
    prepare_slices(SliceSettings(cohort.folder, tmp_path / "2d"))
    flat = Cohort.open(tmp_path / "2d")
    assert all(set(c.sha256) == {"image", "label"} for c in flat.cases if c.labelled)
    assert faults(flat) == ()


def test_slices_beside_the_brain_are_no_copies_of_each_other(tmp_path):
    prepare_virtual(VirtualBrain(out=tmp_path / "3d", cases=4, edge=32, workers=1))
    prepare_slices(SliceSettings(tmp_path / "3d", tmp_path / "2d"))
    flat = Cohort.open(tmp_path / "2d")
    empty = [case for case, (image, _) in zip(flat.cases, flat, strict=True) if not image.any()]
    assert len({case.patient for case in empty}) > 1
    assert faults(flat) == ()


def test_no_cohort():
    with pytest.raises(InputError, match="no cohort in nowhere"):
        verify(Verify(cohort=Path("nowhere")))


# ---- arrays ------------------------------------------------------------------------------------


def spoil(cohort: Cohort, kind: str, change) -> Cohort:
    """Change an array, and its checksum with it: only its content can give it away."""
    path = array_path(cohort.folder, kind, "scan_002")
    array = np.load(path)
    sums = cohort.cases[2].sha256 | {kind[:-1]: write_array(path, change(array))}
    return changed(cohort, 2, sha256=sums)


def with_value(value, dtype=None):
    def change(array):
        array = array.astype(dtype or array.dtype)
        array[(0,) * array.ndim] = value
        return array

    return change


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("images", with_value(np.nan), "scan_002: MRI has NaN or infinite voxels"),
        ("images", with_value(np.inf), "scan_002: MRI has NaN or infinite voxels"),
        ("images", with_value(50), "to 50, where (-28.4, 28.4) are the bounds"),
        ("images", np.zeros_like, "scan_002: MRI holds nothing but the value 0"),
        ("images", with_value(0, np.float32), "scan_002: its image is float32, not float16"),
        ("labels", with_value(3), "scan_002: its label map holds class 3, where there are 3"),
        ("labels", with_value(0, np.int16), "scan_002: its label map is int16, not uint8"),
    ],
)
def test_a_spoilt_array(cohort, kind, change, said):
    (fault,) = faults(spoil(cohort, kind, change))
    assert said in fault


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_one_flipped_bit(cohort, kind):
    path = array_path(cohort.folder, kind, "scan_002")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert faults(cohort) == (f"{path} has changed since it was prepared; prepare it again",)


def test_arrays_that_are_gone_cut_short_or_of_another_shape(cohort):
    array_path(cohort.folder, "images", "scan_000").unlink()
    array_path(cohort.folder, "labels", "scan_001").write_bytes(b"")
    write_array(array_path(cohort.folder, "images", "scan_002"), np.zeros((1, 2, 2, 2), np.float16))
    found = faults(cohort)
    assert len(found) == 3
    assert "scan_000.npy cannot be read" in found[0]
    assert "scan_001.npy cannot be read" in found[1]
    assert "has shape (1, 2, 2, 2), the manifest says (1, 12, 14, 10)" in found[2]


def test_a_stray_array(cohort):
    stray = array_path(cohort.folder, "labels", "scan_006")  # which is unlabelled
    write_array(stray, np.zeros((12, 14, 10), np.uint8))
    assert faults(cohort) == (f"{stray} belongs to no case of the manifest",)


def test_a_cohort_of_a_former_version_is_said_to_have_no_checksums(cohort):
    old = replace(cohort, cases=tuple(replace(case, sha256={}) for case in cohort.cases))
    old.save()
    verdict = verify(Verify(cohort=cohort.folder, workers=1))
    assert verdict.faults == ()
    said = "8 cases have no checksums: prepare them again to have them checked"
    assert verdict.notes == (said, *place_remarks(cohort))


# ---- raw files ---------------------------------------------------------------------------------


def test_raw_files_that_are_gone_or_others(cohort, raw):
    (raw / "imagesTr/scan_000.nii.gz").unlink()
    with open(raw / "labelsTr/scan_001.nii.gz", "ab") as file:
        file.write(b"more")
    assert faults(cohort) == ()
    assert faults(cohort, raw=raw) == (
        f"scan_000: its raw file {raw / 'imagesTr/scan_000.nii.gz'} is missing",
        f"scan_001: its raw file {raw / 'labelsTr/scan_001.nii.gz'} is another than it was made "
        "from",
    )


def test_scans_and_labels_from_folders_of_their_own(save, tmp_path):
    """Their common folder is found from either."""
    rng = np.random.default_rng(0)
    for name in "abc":
        save(tmp_path / "raw/scans" / f"{name}.nii", rng.normal(size=(6, 6, 6)).astype(np.float32))
        save(tmp_path / "raw/maps" / f"{name}.nii", np.ones((6, 6, 6), np.uint8))
    scans, maps = tmp_path / "raw/scans", tmp_path / "raw/maps"
    prepare_folder(Folder(raw=scans, labels=maps, out=tmp_path / "out", workers=1))
    cohort = Cohort.open(tmp_path / "out")
    for raw in (scans, maps, tmp_path / "raw"):
        assert faults(cohort, raw=raw) == ()
    (maps / "b.nii").unlink()
    assert faults(cohort, raw=scans) == (f"b: its raw file {maps / 'b.nii'} is missing",)


def test_a_folder_that_is_gone_is_not_taken_for_the_one_above_it(raw, cohort):
    """Raw files are also looked for beside the folder that is named."""
    raw.rename(raw.parent / "moved")
    with pytest.raises(InputError, match=f"^no folder {raw} of raw files; say with --raw where"):
        faults(cohort, raw=raw)


def test_a_folder_without_any_raw_file_is_one_line(cohort, tmp_path):
    place = tmp_path / "a/b/c/d/e"
    place.mkdir(parents=True)
    with pytest.raises(InputError, match=f"no raw file of Blocks lies in {place}, such as"):
        faults(cohort, raw=place)


# ---- the manifest ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "fields", "said"),
    [
        (0, {"id": "scan_001"}, "scan_001 stands in the manifest 2 times"),
        (0, {"id": "../scan_000"}, "'../scan_000' cannot name a file"),
        (0, {"affine": np.zeros((4, 4)).tolist()}, "scan_000 has an affine that places no voxels"),
        (0, {"shape": (12, 14)}, "scan_000 has shape (12, 14) in a 3D cohort"),
        (0, {"grade": 7}, "scan_000 has grade 7, where grades are 0 to 2"),
    ],
)
def test_a_manifest_that_contradicts_itself(cohort, index, fields, said):
    assert said in faults(changed(cohort, index, **fields))


def test_labels_and_regions_that_do_not_match(cohort):
    replace(cohort, label_names=("background", "dim"), regions={"all": (1, 9)}).save()
    found = faults(cohort)
    assert "label values (0, 1, 2) and names ('background', 'dim') do not match" in found
    assert "region all unites (1, 9), of which not all are label values" in found


# ---- leakage -----------------------------------------------------------------------------------


def test_leakage_a_patient_on_two_sides(cohort):
    first = next(case for case in cohort.cases if case.fold == 0)
    other = next(i for i, case in enumerate(cohort.cases) if case.fold == 1)
    leaky = changed(cohort, other, patient=first.patient)
    assert faults(leaky) == (
        f"leakage: patient {first.patient} stands on two sides of a split: "
        f"{leaky.cases[other].id} in fold 1, {first.id} in fold 0",
    )


def test_leakage_pretraining_sees_a_patient_who_is_tested(cohort):
    """Fault 14 of the original: an unlabelled scan of a test patient, free for pretraining."""
    tested = next(case for case in cohort.cases if case.fold == 0)
    free = next(i for i, case in enumerate(cohort.cases) if case.fold is None)
    (fault,) = faults(changed(cohort, free, patient=tested.patient))
    assert f"{tested.id} in fold 0, {cohort.cases[free].id} in no fold" in fault


def test_leakage_one_picture_under_two_names(cohort):
    """A copy cannot be told from its patient's name, only from its voxels."""
    first, other = (
        next(i for i, case in enumerate(cohort.cases) if case.fold == fold) for fold in (0, 1)
    )
    there = array_path(cohort.folder, "images", cohort.cases[other].id)
    there.write_bytes(array_path(cohort.folder, "images", cohort.cases[first].id).read_bytes())
    sums = cohort.cases[other].sha256 | {"image": cohort.cases[first].sha256["image"]}
    (fault,) = faults(changed(cohort, other, sha256=sums))
    assert fault.startswith("leakage: one and the same picture stands on two sides of a split")


def test_copies_are_dealt_to_one_fold_when_a_cohort_is_made(raw, tmp_path):
    """Among the labelled scans, and between a labelled and an unlabelled one."""
    copied = (raw / "imagesTr/scan_000.nii.gz").read_bytes()
    (raw / "imagesTr/scan_003.nii.gz").write_bytes(copied)
    (raw / "imagesTs/scan_006.nii.gz").write_bytes(copied)
    summary = prepare(Msd(out=tmp_path / "out", raw=raw, workers=1))
    named = "2 scans are copies of others, voxel for voxel: scan_000 and scan_003 and scan_006"
    assert named in summary.notes
    cohort = Cohort.open(tmp_path / "out")
    fold = {case.id: case.fold for case in cohort.cases}
    assert fold["scan_000"] == fold["scan_003"] == fold["scan_006"] is not None
    assert fold["scan_007"] is None
    assert faults(cohort) == ()
    assert named in verify(Verify(tmp_path / "out", workers=1)).notes


# ---- bounds and the command ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "bounds"),
    [
        ({"intensity": "unit"}, (0, 1)),
        ({"intensity": "window:-100,240"}, (0, 1)),
        ({"intensity": "zscore"}, (-28.4, 28.4)),
        ({"cohort": {"intensity": "unit"}}, (0, 1)),
        ({}, None),
    ],
)
def test_bounds_follow_from_the_recipe(cohort, recipe, bounds):
    assert intensity_bounds(replace(cohort, recipe=recipe)) == bounds


def test_the_bound_of_a_z_score_is_what_a_clipped_scan_can_reach():
    """0.5 % of the voxels, all of one value, the others of another: nothing lies further out."""
    from ssl3d_lite.data.preparation import Intensity

    volume = np.zeros(100_000, np.float32)
    volume[:501] = 1  # just enough for the 99.5 percentile to be theirs
    furthest = Intensity("zscore").normalise(volume, volume).max()
    assert 14 < furthest < 14.2


def test_the_command(cohort, capsys):
    assert main(["verify", str(cohort.folder), "--workers", "1"]) == 0
    assert "8 cases of Blocks, no fault" in capsys.readouterr().out
    array_path(cohort.folder, "images", "scan_000").unlink()
    assert main(["verify", str(cohort.folder), "--workers", "1"]) == 1
    assert "faults: 1" in capsys.readouterr().out
    manifest = cohort.folder / "cohort.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    assert main(["verify", str(cohort.folder)]) == 2
    assert "is not a manifest of format 1" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="a line for a POSIX shell")
def test_the_line_in_the_docs_verifies_in_the_background(cohort, tmp_path):
    page = (Path(__file__).parents[3] / "docs/data.md").read_text()
    (line,) = (
        text.strip() for text in page.splitlines() if text.startswith("    nice ssl3d verify")
    )
    assert line.endswith("&")
    line = line.replace("ssl3d", f"{sys.executable} -m ssl3d_lite.cli").replace(
        "COHORT", str(cohort.folder)
    )
    subprocess.run(["sh", "-c", f"{line} echo started; wait"], cwd=tmp_path, check=True)
    assert "no fault" in (tmp_path / "verified.txt").read_text().splitlines()[-1]
