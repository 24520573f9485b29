"""DICOM series below a folder: each is found whole, and whose it is; nothing tells who it is."""

from pathlib import Path

import numpy as np
import pytest
from dicom_files import edit, slices, stored, write_series

from data_recipes.folder import Folder, prepare
from data_recipes.readers.dicom import read_series
from data_recipes.readers.dicom_series import find_series, is_dicom, normal_id
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.machine.parallel import Workforce

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

ALONE = Workforce(workers=1)
RT_STRUCTURES, SCREENSHOT = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


@pytest.fixture
def run(raw, tmp_path):
    def run(**settings):
        return prepare(Folder(**{"raw": raw, "out": tmp_path / "out", "workers": 1} | settings))

    return run


def series(folder: Path, seed: int = 0, change=None, **fields: object) -> Path:
    """A series whose slices have ``fields`` in their headers."""

    def with_fields(k, data):
        for name, value in fields.items():
            setattr(data, name, value)
        if change:
            change(k, data)

    return write_series(folder, stored(seed=seed), seed=seed, change=with_fields)


def patients(out: Path) -> dict[str, str]:
    return {case.id: case.patient for case in Cohort.open(out).cases}


def reasons(summary) -> dict[str, str]:
    assert all("\n" not in row["reason"] for row in summary.rejected)
    return {row["case"]: row["reason"] for row in summary.rejected}


# ---- which files are slices ----------------------------------------------------------------------


def without_preamble(path: Path) -> None:
    data = pydicom.dcmread(path)
    data.preamble = None
    pydicom.dcmwrite(path, data, enforce_file_format=False)


def without_meta(path: Path) -> None:
    """As the standard had files before 1993: nothing goes before the first element."""
    data = pydicom.dcmread(path)
    syntax = data.file_meta.TransferSyntaxUID
    del data.file_meta
    data.preamble = None
    pydicom.dcmwrite(path, data, implicit_vr=syntax.is_implicit_VR, little_endian=True)


@pytest.mark.parametrize("which", [slice(None), slice(1), slice(4, None)], ids=str)
@pytest.mark.parametrize("change", [without_preamble, without_meta])
@pytest.mark.parametrize("ending", ["", ".dcm", ".IMA", ".1.2.840.5"])
def test_slices_that_have_lost_their_mark(raw, run, tmp_path, which, change, ending):
    series(raw / "a")
    for path in slices(raw / "a")[which]:
        change(path)
        path.rename(f"{path}{ending}")
    (found,) = find_series(raw, ALONE)
    assert (len(found.paths), found.fault, found.whole_folder) == (6, "", True)
    assert run().prepared == 1
    assert Cohort.open(tmp_path / "out").cases[0].shape == (8, 10, 6)


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x00", b"nothing" * 99, bytes(500), b"\x08\x00\x05\x00AB" + bytes(200)]
)
def test_what_is_no_slice(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert not is_dicom(tmp_path / "a")


def test_a_folder_of_damaged_slices_is_named(raw, run):
    series(raw / "good")
    (raw / "bad").mkdir()
    (raw / "bad/1.dcm").write_bytes(b"")
    assert reasons(run()) == {"bad": f"{raw / 'bad/1.dcm'} is damaged, copy it again"}


def test_a_damaged_slice_is_a_fault_of_all_series_in_its_folder(raw, run):
    series(raw / "good")
    for number in (1, 2):
        series(raw / "two", seed=number, SeriesNumber=number)
    (raw / "two/last.dcm").write_bytes(bytes(300))
    why = f"{raw / 'two/last.dcm'} is damaged, copy it again"
    assert reasons(run()) == {"two_series1": why, "two_series2": why}


def test_a_slice_that_names_no_series(raw, run):
    series(raw / "good")
    path = slices(series(raw / "bad"))[0]
    edit(path, SeriesInstanceUID=None)
    assert reasons(run()) == {"bad": f"{path} is damaged, copy it again"}


# ---- study and series are told apart -------------------------------------------------------------


def test_several_series_in_one_folder(raw, run, tmp_path):
    """As a disc has them, or an export into one folder; each is read whole, from its own files."""
    for number in (3, 7):
        series(raw / "ann", seed=number, SeriesNumber=number, PatientID="1")
    series(raw / "ben", seed=9, PatientID="2")
    summary = run(intensity="window:-1000,3000")
    assert (summary.prepared, summary.rejected) == (3, ())
    assert f"{raw / 'ann'}: several series in one folder, each of them a case" in summary.notes
    cohort = Cohort.open(tmp_path / "out")
    assert [case.id for case in cohort.cases] == ["ann_series3", "ann_series7", "ben"]
    for position, seed in enumerate((3, 7, 9)):
        values = np.sort(stored(seed=seed), axis=None) / 2000
        np.testing.assert_allclose(np.sort(cohort[position][0], axis=None), values, atol=1e-3)
    files = cohort.cases[0].source.files
    assert sorted(files.values()) == sorted(
        f"ann/{path.name}"
        for path in (raw / "ann").iterdir()
        if pydicom.dcmread(path).SeriesNumber == 3
    )
    assert files.keys() == cohort.cases[0].source.sha256.keys()
    assert cohort.cases[2].source.files == {"image": "ben"}
    again = run(intensity="window:-1000,3000")
    assert (again.prepared, again.skipped) == (0, 3)


def test_a_series_that_changes_leaves_its_neighbours_as_they_are(raw, run):
    for number in (3, 7):
        series(raw / "ann", seed=number, SeriesNumber=number)
    run()
    path = next(p for p in raw.rglob("IM*") if pydicom.dcmread(p).SeriesNumber == 7)
    edit(path, RescaleIntercept="-1024")
    again = run()
    assert (again.prepared, again.skipped) == (1, 1)


@pytest.mark.parametrize("number", ["1", None])
def test_series_that_their_numbers_do_not_tell_apart(raw, run, tmp_path, number):
    for seed in (1, 2):
        series(raw / "ann", seed=seed, SeriesNumber=number)
    assert run().prepared == 2
    one, two = patients(tmp_path / "out")
    start = f"ann_series{number or ''}_"
    assert one != two
    assert one.startswith(start)
    assert two.startswith(start)
    assert run().skipped == 2


def test_the_series_of_a_folder_may_be_the_raw_folder_itself(raw, run, tmp_path):
    for number in (1, 2):
        series(raw, seed=number, SeriesNumber=number)
    run()
    assert list(patients(tmp_path / "out")) == ["raw_series1", "raw_series2"]


def test_a_series_that_lies_in_parts_is_refused(raw, run):
    series(raw / "good")
    (raw / "second").mkdir()
    for path in slices(series(raw / "first", seed=1))[3:]:
        path.rename(raw / "second" / path.name)
    why = (
        f"one series lies in 2 folders, in each other slices of it: {raw / 'first'}, "
        f"{raw / 'second'}; put all slices into one"
    )
    assert reasons(run()) == {"first": why, "second": why}


def test_a_copy_of_a_series_is_no_part_of_it(raw, run):
    for path in slices(series(raw / "first")):
        (raw / "second").mkdir(exist_ok=True)
        (raw / "second" / path.name).write_bytes(path.read_bytes())
    summary = run()
    assert (summary.prepared, summary.rejected) == (2, ())


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"SOPClassUID": SCREENSHOT}, "Secondary Capture Image Storage"),
        ({"SOPClassUID": RT_STRUCTURES, "Rows": None}, "RT Structure Set Storage"),
    ],
)
def test_what_is_no_scan_is_left_out_by_name(raw, run, tmp_path, fields, kind):
    def without(k, data):
        for name, value in fields.items():
            if value is None:
                delattr(data, name)

    real = {name: value for name, value in fields.items() if value is not None}
    series(raw / "ann", seed=1)
    series(raw / "ann", seed=2, change=without, **real)
    summary = run()
    assert (summary.prepared, summary.rejected) == (1, ())
    assert f"1 DICOM series are no scans, left out: raw/ann ({kind})" in summary.notes
    assert list(patients(tmp_path / "out")) == ["ann"]


def test_a_folder_of_localizers_alone(raw, tmp_path, run):
    series(raw / "ann", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with pytest.raises(Exception, match="left out: raw/ann \\(localizer\\)"):
        run()


def test_a_table_of_contents_by_another_name(raw, run):
    series(raw / "ann")
    path = slices(series(raw / "other"))[0]
    edit(path, SOPClassUID="1.2.840.10008.1.3.10", SeriesInstanceUID=None)
    path.rename(raw / "ann/contents")
    for rest in (raw / "other").iterdir():
        rest.unlink()
    assert run().prepared == 1


@pytest.mark.parametrize(
    ("syntax", "said"),
    [
        (pydicom.uid.JPEGLosslessSV1, "JPEG Lossless"),  # no library for it
        (pydicom.uid.JPEG2000Lossless, "decode"),  # a library, and other content
    ],
)
def test_what_cannot_be_unpacked_is_named(raw, run, capfd, syntax, said):
    def change(k, data):
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = pydicom.encaps.encapsulate([data.PixelData])
        data["PixelData"].VR = "OB"

    series(raw / "good")
    series(raw / "packed", seed=1, change=change)
    why = reasons(run())["packed"]
    assert why.startswith(f"{raw / 'packed'} is no regular stack of slices: ")
    assert said in why
    assert "Traceback" not in "".join(capfd.readouterr())


def multiframe(folder: Path, pixels: np.ndarray, **fields: object) -> Path:
    """The same slices in one file, as newer scanners write them (enhanced)."""
    one = [pydicom.dcmread(path) for path in slices(write_series(folder / "aside", pixels))]
    for path in (folder / "aside").iterdir():
        path.unlink()
    (folder / "aside").rmdir()
    for each in one:
        each.Manufacturer, each.StudyDate, each.StudyTime = "x", "20200101", "101010"
        each.SeriesNumber, each.AccessionNumber, each.StudyID = 1, "", "1"
        each.PatientID, each.PatientName = "HOSP7", "Muster^Max"
        each.PatientBirthDate, each.PatientSex, each.ReferringPhysicianName = "19500101", "O", ""
        each.ContentDate, each.ContentTime = "20200101", "101010"
        each.AcquisitionNumber, each.PositionReferenceIndicator = 1, ""
        each.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        one, pydicom.uid.generate_uid(), 1, pydicom.uid.generate_uid(), 1
    )
    data.save_as(folder / "all.dcm", enforce_file_format=True)
    return folder


def test_all_slices_in_one_file(tmp_path):
    pixels = stored()
    wanted, place = read_series(write_series(tmp_path / "plain", pixels))
    data, affine = read_series(multiframe(tmp_path / "one", pixels))
    np.testing.assert_allclose(affine, place, atol=1e-6)
    np.testing.assert_array_equal(data, wanted)


# ---- whose they are ------------------------------------------------------------------------------


def test_two_studies_of_a_patient_are_one_patients(raw, run, tmp_path):
    for name, who in {"a": "HOSP1", "b": "hosp1 ", "c": " HOSP1\0", "d": "HOSP2"}.items():
        series(raw / name, seed=ord(name), PatientID=who)
    run()
    whose = patients(tmp_path / "out")
    assert whose["a"] == whose["b"] == whose["c"] != whose["d"]
    assert all(name.startswith("patient-") and len(name) == 20 for name in whose.values())


@pytest.mark.parametrize(("text", "normal"), [(" A  1\0", "a 1"), ("ß", "ss"), ("", "")])
def test_how_a_patient_id_is_read(text, normal):
    assert normal_id(text) == normal


def test_the_same_patient_in_another_cohort_and_another_year(raw, run, tmp_path):
    series(raw / "a", PatientID="HOSP1", IssuerOfPatientID="north")
    run()
    series(raw / "b", seed=1, PatientID="HOSP1")
    assert run().skipped == 1
    run(out=tmp_path / "again")
    assert patients(tmp_path / "again") == patients(tmp_path / "out")
    assert len(set(patients(tmp_path / "out").values())) == 1


def test_slices_of_two_patients_are_no_scan(raw, run):
    series(raw / "good", PatientID="HOSP2")
    series(raw / "bad", seed=1, change=lambda k, data: setattr(data, "PatientID", f"HOSP{k % 2}"))
    assert reasons(run()) == {
        "bad": f"{raw / 'bad'} is no scan of one person: its slices name 2 patients"
    }


def test_without_patient_id_those_of_a_study_are_one_patients(raw, run, tmp_path):
    study = pydicom.uid.generate_uid()
    for name in "ab":
        series(raw / name, seed=ord(name), StudyInstanceUID=study, PatientID="")
    series(raw / "c", seed=5, PatientID=" ")
    summary = run()
    whose = patients(tmp_path / "out")
    assert whose["a"] == whose["b"] != whose["c"]
    assert summary.notes[0] == (
        "no PatientID in 3 of 3 series: those of one study count as one patient's; if a person "
        "came twice, say so with --table"
    )


def test_one_id_for_all(raw, run):
    for number in range(4):
        series(raw / f"p{number}", seed=number, PatientID="ANONYMOUS")
    series(raw / "p4", seed=4, PatientID="HOSP4")
    assert run().notes[0] == (
        "4 studies have one and the same PatientID, as after making them anonymous, so they count "
        "as one patient's, in one fold; if they are not, say whose they are with --table"
    )


def test_a_table_goes_before_the_header(raw, run, tmp_path):
    for number in range(3):
        series(raw / f"p{number}", seed=number, PatientID="ANONYMOUS")
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\np0,ann\np1,ben\np2,ann\n")
    run(table=table)
    assert patients(tmp_path / "out") == {"p0": "ann", "p1": "ben", "p2": "ann"}


def test_channels_of_two_patients(raw, run):
    for who in ("ann", "ben"):
        for number, channel in enumerate(("t1", "flair")):
            owner = f"HOSP{number}" if who == "ben" else "HOSP9"
            series(raw / who / channel, seed=number + len(who), PatientID=owner)
    assert reasons(run(channels=("t1", "flair"))) == {"ben": "its channels are of 2 patients"}


# ---- NIfTI files among them ----------------------------------------------------------------------


def test_a_nifti_file_among_series(raw, run, tmp_path, save):
    for number in range(3):
        series(raw / f"p{number}/ct", seed=number, PatientID=f"HOSP{number % 2}")
    save(raw / "p0/ct/made.nii.gz", np.random.default_rng(0).uniform(1, 2, (5, 6, 7)))
    save(raw / "alone.nii", np.random.default_rng(1).uniform(1, 2, (5, 6, 7)))
    assert run().prepared == 5
    whose = patients(tmp_path / "out")
    assert list(whose) == ["alone", "p0_ct", "p0_ct_made", "p1_ct", "p2_ct"]
    assert whose["p0_ct_made"] == whose["p0_ct"] == whose["p2_ct"] != whose["p1_ct"]
    assert whose["alone"] == "alone"


def test_a_subject_of_bids_has_series_and_files(raw, run, tmp_path, save):
    series(raw / "sourcedata/sub-01/ses-1/ct", PatientID="HOSP1")
    series(raw / "sourcedata/sub-02/ct", seed=1)
    for subject in ("01", "02", "03"):
        for session in (1, 2):
            path = raw / f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_T1w.nii.gz"
            save(path, np.random.default_rng(session).uniform(int(subject), 9, (5, 6, 7)))
    run()
    by_patient: dict[str, set[str]] = {}
    for name, who in patients(tmp_path / "out").items():
        by_patient.setdefault(who, set()).add(name.split("sub-")[1][:2])
    assert sorted(by_patient.values(), key=min) == [{"01"}, {"02"}, {"03"}]


# ---- nothing tells who it is ---------------------------------------------------------------------


def test_nothing_of_a_person_is_written_or_said(raw, run, tmp_path, capsys):
    person = {"PatientID": "HOSP0815", "PatientName": "Muster^Maximilian"}
    person |= {"PatientBirthDate": "19330406", "OtherPatientIDs": "X4711"}
    series(raw / "a", **person)
    series(raw / "gap", seed=1, **person)
    slices(raw / "gap")[2].unlink()
    series(raw / "cut", seed=2, **person)
    path = slices(raw / "cut")[2]
    path.write_bytes(path.read_bytes()[:-50])
    series(raw / "odd", seed=3, change=lambda k, data: data.__delattr__("Rows") if k else None)
    for number in range(2):
        series(raw / "mixed", seed=4 + number, **person | {"PatientID": f"HOSP081{number}"})
    said = str(run()) + "".join(capsys.readouterr())
    for path in (tmp_path / "out").rglob("*.json"):
        said += path.read_text()
    for secret in ("HOSP08", "hosp08", "Muster", "Maximilian", "19330406", "X4711"):
        assert secret not in said
    assert "names of cases" not in said  # no folder bears a name


def test_a_folder_that_bears_the_name(raw, run):
    series(raw / "MUSTER_M/ct", PatientID="HOSP1", PatientName="Muster^Max")
    assert run().notes[0].startswith("folders are called by persons' names")


def test_a_folder_that_bears_a_pseudonym(raw, run):
    """As public collections have it: the name is the PatientID, and that is no name."""
    series(raw / "LIDC-0001/ct", PatientID="LIDC-0001", PatientName="LIDC-0001")
    assert not any("persons' names" in note for note in run().notes)
