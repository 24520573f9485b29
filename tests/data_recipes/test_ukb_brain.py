"""UK Biobank's brains: archives are read where they lie, and nothing of them is unpacked."""

import gzip
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers import content

from data_recipes import ukb_brain
from data_recipes.ukb_brain import (
    CHANNEL_OF_FIELD,
    MASK,
    MEMBERS,
    UkbBrain,
    find_visits,
    prepare,
    read_member,
)
from data_recipes.virtual_files import write_ukb_brains
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce

SHAPE = (16, 18, 20)
BRAIN = (slice(3, 13), slice(4, 15), slice(5, 18))
EXACT = {"crop": False, "size": SHAPE, "fit": "pad"}  # voxels as they are


def nifti(values: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    return gzip.compress(image.to_bytes(), mtime=0)


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def mask() -> np.ndarray:
    brain = np.zeros(SHAPE, np.uint8)
    brain[BRAIN] = 1
    return brain


def scan(seed: int) -> np.ndarray:
    """Values above 0 everywhere: also where there is no brain."""
    return np.random.default_rng(seed).integers(50, 1000, SHAPE).astype(np.int16)


def t1_members(seed: int) -> dict[str, bytes]:
    return {MEMBERS["t1"]: nifti(scan(seed)), MASK: nifti(mask())}


def write_visit(raw: Path, who: int = 1000001, visit: str = "2_0", seed: int = 0) -> list[Path]:
    """The two archives of a visit: the T1 from ``seed``, the FLAIR from the next."""
    flair = {MEMBERS["t2-flair"]: nifti(scan(seed + 1))}
    return [
        write_zip(raw / f"{who}_20252_{visit}.zip", t1_members(seed)),
        write_zip(raw / f"{who}_20253_{visit}.zip", flair),
    ]


def small(raw: Path, out: Path, **settings) -> UkbBrain:
    return UkbBrain(raw=raw, out=out, workers=1, **{"size": (16, 16, 16)} | settings)


def reason(raw: Path, out: Path) -> str:
    """Why the first participant is rejected, while the other one is prepared."""
    write_visit(raw, 1000009, seed=50)
    summary = prepare(small(raw, out))
    assert (summary.prepared, len(summary.rejected), summary.exit_code) == (1, 1, 1)
    assert summary.rejected[0]["case"] == "1000001_2_0"
    assert "\n" not in summary.rejected[0]["reason"]
    return summary.rejected[0]["reason"]


@pytest.fixture(scope="module")
def virtual(tmp_path_factory) -> Path:
    """Two participants, the first of whom came twice."""
    folder = tmp_path_factory.mktemp("virtual")
    write_ukb_brains(folder, 2, edge=32, work=Workforce(workers=1))
    return folder


# ---- which archives are a case -----------------------------------------------------------------


def test_visits_of_a_participant_are_one_patients(raw):
    write_visit(raw / "a", 1000001, "2_0")
    write_visit(raw / "b/deeper", 1000001, "3_0")
    write_visit(raw, 1000002, "2_1")
    cases = sorted(find_visits(raw), key=lambda case: case.id)
    assert [(case.id, case.patient) for case in cases] == [
        ("1000001_2_0", "1000001"),
        ("1000001_3_0", "1000001"),
        ("1000002_2_1", "1000002"),
    ]
    assert cases[1].images == {
        "t1": raw / "b/deeper/1000001_20252_3_0.zip",
        "t2-flair": raw / "b/deeper/1000001_20253_3_0.zip",
    }
    assert all(case.label is None and case.grade is None for case in cases)


@pytest.mark.parametrize(
    "name",
    [
        "1000001_20227_2_0.zip",  # resting-state functional MRI
        "1000001_20250_2_0.zip",  # diffusion
        "1000001_20252_2.zip",
        "1000001_20252_2_0.zip.part",
        "1000001_20252_2_0.tar",
        "copy of 1000001_20252_2_0.zip",
        "._1000001_20252_2_0.zip",
        "1000001_20252_2_0 (1).zip",
        "code.zip",
    ],
)
def test_other_archives_are_ignored(raw, name):
    raw.mkdir()
    (raw / name).write_bytes(b"PK")
    with pytest.raises(InputError) as error:
        find_visits(raw)
    assert str(error.value) == (
        f"no UK Biobank archives below {raw}, such as 1000001_20252_2_0.zip"
    )
    write_visit(raw)
    (case,) = find_visits(raw)
    assert (case.id, list(case.images)) == ("1000001_2_0", ["t1", "t2-flair"])


def test_no_archives_at_all(raw, out):
    with pytest.raises(InputError, match="no UK Biobank archives below"):
        prepare(small(raw, out))
    assert not out.exists()


def test_an_archive_there_twice(raw, out):
    write_visit(raw / "a")
    write_visit(raw / "b")
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    first, second = (raw / part / "1000001_20252_2_0.zip" for part in "ab")
    assert str(error.value) == f"{second} and {first} are one and the same; remove one"
    assert not out.exists()


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (1, "t2-flair missing; there is 1000001_20252_2_0.zip"),
        (0, "t1 missing; there is 1000001_20253_2_0.zip"),
    ],
)
def test_an_archive_is_missing(raw, out, gone, said):
    write_visit(raw)[gone].unlink()
    assert reason(raw, out) == said


# ---- what is made of them ----------------------------------------------------------------------


def test_the_mask_leaves_nothing_but_brain(raw, out):
    write_visit(raw)
    assert (scan(0) > 0).all()
    assert (scan(1) > 0).all()
    prepare(small(raw, out, **EXACT))
    cohort = Cohort.open(out)
    image, label = cohort[0]
    assert label is None
    outside = mask() == 0
    for channel, values in zip(image, (scan(0), scan(1))):
        assert (channel[outside] == 0).all()
        brain = values[BRAIN].astype(float)
        low, high = np.percentile(brain, (0.5, 99.5))
        typical = brain.clip(low, high)
        wanted = brain.clip(2 * low - high, 2 * high - low)  # as far beyond as these lie apart
        wanted = (wanted - typical.mean()) / typical.std()
        np.testing.assert_allclose(channel[BRAIN], wanted, atol=2e-3)
        assert np.count_nonzero(channel[BRAIN]) > 0.99 * wanted.size


def test_channels_keep_their_order(raw, out):
    """One ramp runs along x, the other along y, and each stays in its channel."""
    along = [(np.indices(SHAPE)[axis] + 1).astype(np.int16) for axis in (0, 1)]
    t1 = {MASK: nifti(np.ones(SHAPE, np.uint8)), MEMBERS["t1"]: nifti(along[0])}
    write_zip(raw / "1000001_20252_2_0.zip", t1)
    write_zip(raw / "1000001_20253_2_0.zip", {MEMBERS["t2-flair"]: nifti(along[1])})
    prepare(small(raw, out, **EXACT, intensity="unit"))
    cohort = Cohort.open(out)
    assert cohort.channels == tuple(CHANNEL_OF_FIELD.values()) == ("t1", "t2-flair")
    for channel, ramp, axis in zip(cohort[0][0], along, (0, 1)):
        wanted = ((ramp - 1) / np.float32(SHAPE[axis] - 1)).astype(np.float16)
        np.testing.assert_array_equal(channel, wanted)
    assert cohort.cases[0].source.files == {
        "t1": "1000001_20252_2_0.zip",
        "t2-flair": "1000001_20253_2_0.zip",
    }


def test_the_brain_fills_the_frame(raw, out):
    write_visit(raw)
    prepare(small(raw, out))
    cohort = Cohort.open(out)
    (case,) = cohort.cases
    assert case.crop[2] == [5, 18]  # of BRAIN, the longest side runs edge to edge
    assert cohort.shape == (16, 16, 16)
    assert cohort.spacing == pytest.approx([13 / 16] * 3)
    assert case.source.shape == SHAPE
    assert (case.labelled, case.fold, case.lost) == (False, None, 0)


def test_the_papers_way(raw, out):
    """Of a brain as large as the wanted size nothing is interpolated, so 0 and 1 are met."""
    write_visit(raw)
    size = tuple(s.stop - s.start for s in BRAIN)
    prepare(small(raw, out, preset="paper", size=size))
    cohort = Cohort.open(out)
    assert {name: cohort.recipe[name] for name in ("crop", "size", "fit", "intensity")} == {
        "crop": True,
        "size": list(size),
        "fit": "stretch",
        "intensity": "unit",
    }
    assert cohort.cases[0].crop == [[s.start, s.stop] for s in BRAIN]
    for channel, values in zip(cohort[0][0], (scan(0)[BRAIN], scan(1)[BRAIN])):
        wanted = (values - values.min()) / np.float32(values.max() - values.min())
        np.testing.assert_array_equal(channel, wanted.astype(np.float16))
        assert (channel.min(), channel.max()) == (0, 1)


def test_what_is_not_given():
    how = UkbBrain(raw=Path(), out=Path()).preparation()
    assert (how.crop, how.size, how.fit, how.intensity) == (
        True,
        (128, 128, 128),
        "resize",
        "zscore-brain",
    )
    how = UkbBrain(raw=Path(), out=Path(), preset="paper").preparation()
    assert (how.crop, how.size, how.fit, how.intensity) == (
        True,
        (128, 128, 128),
        "stretch",
        "unit",
    )


def test_virtual_participants_are_prepared_unchanged(virtual, out):
    before = content(virtual)
    summary = prepare(small(virtual, out))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (3, 3, ())
    cohort = Cohort.open(out)
    assert [(case.id, case.patient) for case in cohort.cases] == [
        ("1000001_2_0", "1000001"),
        ("1000001_3_0", "1000001"),
        ("1000002_2_0", "1000002"),
    ]
    assert cohort.name == "VirtualUkbBrain"
    assert cohort.licence.startswith("free to use")
    assert cohort.recipe["virtual"] == "virtual-ukb-brain"
    assert cohort.split().pretrain == (0, 1, 2)
    assert content(virtual) == before


@pytest.mark.parametrize("preset", ["ours", "paper"])
def test_no_voxel_of_a_virtual_head_but_its_brain_remains(virtual, out, preset):
    archive = virtual / "1000002_20252_2_0.zip"
    raw, brain = read_member(archive, MEMBERS["t1"])[0], read_member(archive, MASK)[0] > 0
    assert (raw[~brain] > 0).all()
    prepare(small(virtual, out, preset=preset, crop=False, size=(32, 32, 32)))
    image, _ = Cohort.open(out)[2]
    ras = brain[::-1, ::-1]  # these heads lie in LPS
    assert (image[:, ~ras] == 0).all()
    assert np.count_nonzero(image[0][ras]) > 0.99 * ras.sum()
    if preset == "paper":
        assert (image.min(), image.max()) == (0, 1)


def test_a_second_run_does_nothing(raw, out, monkeypatch):
    write_visit(raw)
    write_visit(raw, 1000002, seed=2)
    prepare(small(raw, out))
    before = content(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")}
    assert len(times) == 2

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(ukb_brain, "read_member", never)
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped) == (0, 2)
    assert content(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")} == times


# ---- archives that cannot be used --------------------------------------------------------------


@pytest.mark.parametrize("member", [MEMBERS["t1"], MASK])
def test_a_scan_that_uk_biobank_found_unusable(raw, out, member):
    """Of such a scan the pipeline leaves only ``T1/unusable/T1.nii.gz``."""
    write_visit(raw)
    members = t1_members(0)
    members[f"T1/unusable/{Path(member).name}"] = members.pop(member)
    archive = write_zip(raw / "1000001_20252_2_0.zip", members)
    assert reason(raw, out) == (
        f"{archive} holds no {member}; UK Biobank marks such scans unusable"
    )


def test_a_flair_on_another_grid(raw, out):
    write_visit(raw)
    moved = nib.affines.from_matvec(np.eye(3), [0, 3, 4])
    write_zip(raw / "1000001_20253_2_0.zip", {MEMBERS["t2-flair"]: nifti(scan(1), moved)})
    assert reason(raw, out) == (
        f"{raw / '1000001_20253_2_0.zip' / MEMBERS['t2-flair']} lies 5.00 voxels beside "
        "T1_unbiased.nii.gz: affines differ"
    )


def test_a_flair_of_another_shape(raw, out):
    write_visit(raw)
    write_zip(raw / "1000001_20253_2_0.zip", {MEMBERS["t2-flair"]: nifti(scan(1)[1:])})
    assert reason(raw, out) == (
        f"{raw / '1000001_20253_2_0.zip' / MEMBERS['t2-flair']} has shape (15, 18, 20), but "
        "T1_unbiased.nii.gz has (16, 18, 20)"
    )


def test_a_mask_on_another_grid(raw, out):
    write_visit(raw)
    members = t1_members(0) | {MASK: nifti(mask(), np.diag([1, 1, 2, 1]))}
    archive = write_zip(raw / "1000001_20252_2_0.zip", members)
    assert reason(raw, out).startswith(
        f"{archive / MASK} lies 19.00 voxels beside T1_unbiased.nii.gz"
    )


def test_a_mask_that_leaves_nothing(raw, out):
    write_visit(raw)
    members = t1_members(0) | {MASK: nifti(0 * mask())}
    archive = write_zip(raw / "1000001_20252_2_0.zip", members)
    assert reason(raw, out) == (
        f"{archive / MEMBERS['t1']}: no voxel is other than 0, so there is no brain to scale by"
    )


def test_a_series_where_a_volume_is_wanted(raw, out):
    write_visit(raw)
    members = t1_members(0) | {MEMBERS["t1"]: nifti(np.stack([scan(0)] * 2, axis=3))}
    archive = write_zip(raw / "1000001_20252_2_0.zip", members)
    assert reason(raw, out) == (
        f"{archive}: {MEMBERS['t1']} has shape (16, 18, 20, 2), where a volume is wanted"
    )


def test_a_member_that_is_no_nifti(raw, out):
    write_visit(raw)
    archive = write_zip(
        raw / "1000001_20252_2_0.zip", t1_members(0) | {MASK: gzip.compress(b"no scan")}
    )
    assert reason(raw, out).startswith(f"{archive}/{MASK} is no readable NIfTI file: ")


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_an_archive_cut_short(raw, out, left):
    archive, _ = write_visit(raw)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(left * len(whole))])
    assert reason(raw, out).startswith(f"{archive} is damaged, fetch it again: ")


def test_a_flipped_bit_in_the_scan(raw, out):
    archive, _ = write_visit(raw)
    whole = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo(MEMBERS["t1"])
    whole[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 1
    archive.write_bytes(whole)
    said = f"{archive} is damaged, fetch it again: Bad CRC-32 for file {MEMBERS['t1']!r}"
    assert reason(raw, out) == said


def test_no_flipped_bit_leads_to_a_traceback_or_to_other_voxels(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    archive = write_zip(tmp_path / "a.zip", {MEMBERS["t1"]: nifti(values), MASK: b"nothing"})
    whole, refused = archive.read_bytes(), 0
    for place in range(len(whole)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 128]) + whole[place + 1 :])
        try:
            data, _ = read_member(archive, MEMBERS["t1"])
        except InputError as error:
            refused += 1
            assert str(archive) in str(error)  # noqa: PT017  some bytes may have any value
            assert "\n" not in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(data, values)
    assert refused > len(nifti(values))  # each byte of the member is covered by its checksum


def test_an_archive_under_lock(raw, out):
    archive, _ = write_visit(raw)
    whole = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        start = file.start_dir
    whole[6] |= 1  # the flag of an encrypted member, where it stands and in the directory
    whole[start + 8] |= 1
    archive.write_bytes(whole)
    said = reason(raw, out)
    assert said.startswith(str(archive))
    assert "is encrypted, password required" in said


def test_a_member_far_larger_than_a_head(raw, monkeypatch):
    content = gzip.compress(nib.Nifti1Image(scan(0), np.eye(4)).to_bytes(), 0)  # no smaller
    archive, size = write_zip(raw / "a.zip", {MEMBERS["t1"]: content}), len(content)
    monkeypatch.setattr(ukb_brain, "LARGEST_MEMBER", size)
    assert read_member(archive, MEMBERS["t1"])[0].shape == SHAPE
    monkeypatch.setattr(ukb_brain, "LARGEST_MEMBER", size - 1)
    with pytest.raises(InputError) as error:
        read_member(archive, MEMBERS["t1"])
    assert str(error.value) == f"{archive}: {MEMBERS['t1']} unpacks to {size} bytes"


def test_a_size_that_the_archive_lies_about(tmp_path):
    """A member says that it unpacks to a few bytes: no more are read, and they are no scan."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MEMBERS["t1"], bytes(2**20))
        start = file.start_dir
    whole = bytearray(archive.read_bytes())
    whole[start + 24 : start + 28] = (100).to_bytes(4, "little")  # its size unpacked
    archive.write_bytes(whole)
    with pytest.raises(InputError, match="is damaged, fetch it again: Bad CRC-32"):
        read_member(archive, MEMBERS["t1"])


def test_a_member_that_gzip_blows_up(tmp_path, monkeypatch):
    """A thousand bytes of zeros a byte: the limit is on the member, and not on what is in it."""
    archive = write_zip(tmp_path / "a.zip", {MEMBERS["t1"]: nifti(np.zeros((64, 64, 64)))})
    monkeypatch.setattr(ukb_brain, "LARGEST_MEMBER", 2**16)
    with pytest.raises(InputError, match="unpacks to"):
        read_member(archive, MEMBERS["t1"])


@pytest.mark.parametrize("name", ["../../x", "/x", "../../cohort/cohort.json", "C:\\x"])
def test_nothing_is_ever_unpacked(tmp_path, name):
    raw, out = tmp_path / "a/b/raw", tmp_path / "cohort"
    write_visit(raw)
    members = {name: nifti(scan(7))} | t1_members(0) | {f"T1/{name}": b"x"}
    write_zip(raw / "1000001_20252_2_0.zip", members)
    before = content(tmp_path)
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.rejected) == (1, ())
    after = content(tmp_path)
    assert after.keys() - before.keys() == {"cohort/cohort.json", "cohort/images/1000001_2_0.npy"}
    assert {path: after[path] for path in before} == before
    assert not Path("/x").exists()


def test_a_member_under_a_path_outside_is_not_the_scan(raw, out):
    write_visit(raw)
    members = t1_members(0)
    members[f"../{MEMBERS['t1']}"] = members.pop(MEMBERS["t1"])
    archive = write_zip(raw / "1000001_20252_2_0.zip", members)
    assert reason(raw, out).startswith(f"{archive} holds no {MEMBERS['t1']}; ")
