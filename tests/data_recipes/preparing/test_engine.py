"""The engine: nothing lost, nothing half-written, one bad case harms no other."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import content, small_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from data_recipes.msd import Msd
from data_recipes.msd import prepare as prepare_msd
from data_recipes.preparing.engine import Prepared, RawCase, locked_folders, prepare_cohort
from data_recipes.preparing.folds import assign_folds
from data_recipes.preparing.settings import FoldSettings
from ssl3d_lite.data.case import Case, Source
from ssl3d_lite.data.cohort import Cohort, CohortDescription
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below

# ---- a recipe in five lines: a raw scan is a text file with one number -------------------------


def make(raw: RawCase, voxel: float = 2.0) -> Prepared:
    text = raw.images["x"].read_text()
    if not text.isdigit():
        raise InputError(f"{raw.images['x']} holds no number")
    image = np.full((1, 2, 2, 2), int(text), np.float16)
    label = np.full((2, 2, 2), 1, np.uint8) if raw.label else None
    affine = np.diag([voxel, 1, 1, 1])
    return Prepared(image, label, affine, [[0, 2]] * 3, (2, 2, 2), np.eye(4), lost=int(text == "3"))


def raw_cases(folder: Path, number: int = 6, labelled: bool = True) -> list[RawCase]:
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for i in range(number):
        path = folder / f"{i}.txt"
        path.write_text(str(i))
        cases.append(RawCase(f"case{i}", f"patient{i}", {"x": path}, path if labelled else None))
    return cases


def description(folder: Path, **recipe) -> CohortDescription:
    return CohortDescription(
        name="numbers",
        licence="CC0",
        citation="nobody",
        channels=("x",),
        label_values=(0, 1),
        label_names=("background", "one"),
        regions={"one": (1,)},
        recipe={"name": "numbers"} | recipe,
        folder=folder,
    )


def run(out: Path, cases: list[RawCase], raw: Path, function=make, recipe=(), **options):
    settings = FoldSettings(workers=1, **options)
    return prepare_cohort(description(out, **dict(recipe)), cases, raw, function, settings)


# ---- what comes out ----------------------------------------------------------------------------


def test_a_cohort_comes_out(raw, out):
    cases = raw_cases(raw)
    cases[5] = replace(cases[5], label=None)
    summary = run(out, cases, raw)
    cohort = Cohort.open(out)
    assert [case.id for case in cohort.cases] == [f"case{i}" for i in range(6)]
    assert cohort.spacing == (2, 1, 1)
    assert cohort.recipe == {"name": "numbers", "folds": 5, "seed": 0, "version": 2}
    image, label = cohort[4]
    assert (image == 4).all()
    assert (label == 1).all()
    assert cohort[5][1] is None
    assert cohort.cases[0].source.files == {"x": "0.txt", "label": "0.txt"}
    assert set(cohort.cases[0].source.sha256) == {"x", "label"}
    assert (summary.prepared, summary.skipped, summary.unlabelled) == (6, 0, 1)
    assert summary.lost == {"case3": 1}
    assert summary.exit_code == 0
    assert sorted(p.name for p in out.glob("[!.]*")) == ["cohort.json", "images", "labels"]
    assert "case3: 1 labelled voxels outside the frame" in str(summary)
    assert "6 prepared, 0 there already, 1 unlabelled, 0 rejected" in str(summary)


def test_spacing_is_the_mean_where_cases_differ(raw, out):
    def wider_each_time(case: RawCase) -> Prepared:
        return make(case, voxel=1.0 + int(case.id[-1]))

    run(out, raw_cases(raw, 3), raw, wider_each_time)
    assert Cohort.open(out).spacing == (2, 1, 1)


def test_the_order_of_cases_does_not_matter(raw, out, tmp_path):
    cases = raw_cases(raw)
    run(out, cases, raw)
    run(tmp_path / "other", cases[::-1], raw)
    assert content(out) == content(tmp_path / "other")


def test_recipes_start_without_torch_and_monai():
    heavy = "{'torch', 'monai', 'sklearn', 'pooch', 'matplotlib'} & set(sys.modules)"
    code = f"import sys, data_recipes.msd, data_recipes.brats; sys.exit(str({heavy}) != 'set()')"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- once more, and after an interruption ------------------------------------------------------


def test_a_second_run_does_nothing(raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    before = content(out)
    made = {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")}

    def never(case):
        raise AssertionError

    summary = run(out, cases, raw, never)
    assert (summary.prepared, summary.skipped) == (0, 6)
    assert content(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")} == made


def _by_an_earlier_version(out: Path) -> None:
    path = out / "cohort.json"
    manifest = json.loads(path.read_text())
    del manifest["recipe"]["version"]
    path.write_text(json.dumps(manifest))


def test_what_an_earlier_version_made_otherwise_is_made_anew_and_said(raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    before = content(out)
    _by_an_earlier_version(out)
    assert len(Cohort.open(out)) == 6  # it can still be read
    summary = run(out, cases, raw)
    assert (summary.prepared, summary.skipped) == (6, 0)
    (note,) = summary.notes
    assert note.startswith("made anew, as an earlier version had made other arrays: 6 cases")
    assert content(out) == before
    assert run(out, cases, raw).skipped == 6


@pytest.mark.parametrize("after", [0, 1, 4, 5])
def test_an_interrupted_run_goes_on(raw, out, tmp_path, after):
    cases = raw_cases(raw)
    run(tmp_path / "whole", cases, raw)
    seen = []

    def interrupted(case):
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(case.id)
        return make(case)

    with pytest.raises(KeyboardInterrupt):
        run(out, cases, raw, interrupted)
    assert not (out / "cohort.json").exists()
    summary = run(out, cases, raw)
    assert (summary.prepared, summary.skipped) == (6 - after, after)
    assert summary.lost == {"case3": 1}
    assert content(out) == content(tmp_path / "whole")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw, out: (raw / "2.txt").write_text("7"),
        lambda raw, out: (out / "images/case2.npy").unlink(),
        lambda raw, out: (out / "labels/case2.npy").unlink(),
        lambda raw, out: _cut(out / "images/case2.npy"),
        lambda raw, out: (out / "labels/case2.npy").write_bytes(b""),
    ],
    ids=["other source", "no image", "no label", "image cut short", "label empty"],
)
def test_only_what_is_not_whole_is_made_again(raw, out, spoil):
    cases = raw_cases(raw)
    run(out, cases, raw)
    spoil(raw, out)
    summary = run(out, cases, raw)
    assert (summary.prepared, summary.skipped) == (1, 5)
    image, label = Cohort.open(out)[2]
    assert (image == int((raw / "2.txt").read_text())).all()
    assert (label == 1).all()


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_an_array_that_somebody_changed_is_made_again_and_said(kind, raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    before = content(out)
    path = out / kind / "case2.npy"
    np.save(path, np.load(path) * 0)  # of the same shape
    summary = run(out, cases, raw)
    assert (summary.prepared, summary.skipped) == (1, 5)
    assert "made anew, as their files, patients or grades have changed: 1 cases" in str(summary)
    assert content(out) == before


def test_a_label_that_is_gone_goes(raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    cases[2] = replace(cases[2], label=None)
    summary = run(out, cases, raw)
    assert (summary.prepared, summary.unlabelled) == (1, 1)
    assert not (out / "labels/case2.npy").exists()


def test_another_patient_is_noticed(raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    cases[2] = replace(cases[2], patient="patient1")
    run(out, cases, raw)
    cohort = Cohort.open(out)
    assert cohort.cases[1].fold == cohort.cases[2].fold


def test_a_record_emptied_by_a_power_cut_is_not_believed(raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    (out / "cohort.json").unlink()
    (out / "records").mkdir()
    (out / "records/case1.json").write_text("")
    (out / "records/case2.json").write_text("[]")
    assert run(out, cases, raw).prepared == 6


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_and_nothing_is_touched(raw, out, finished):
    cases = raw_cases(raw)

    def stops(case):
        if case.id == "case3" and not finished:
            raise KeyboardInterrupt
        return make(case)

    try:
        run(out, cases, raw, stops, {"size": (4, 4)})
    except KeyboardInterrupt:
        assert not finished
    before = content(out)
    with pytest.raises(InputError, match=r"was prepared with size = \[4, 4\], not \[8, 4\]"):
        run(out, cases, raw, recipe={"size": (8, 4)})
    with pytest.raises(InputError, match="was prepared with folds = 5, not 4"):
        run(out, cases, raw, recipe={"size": (4, 4)}, folds=4)
    assert content(out) == before


def test_leftovers_of_a_killed_run_are_removed(raw, out):
    run(out, raw_cases(raw), raw)
    (out / "images/.case1.npy.4711.ssl3d-part").write_bytes(b"half")
    run(out, raw_cases(raw), raw)
    assert not list(out.rglob("*.ssl3d-part"))


PREPARE = """
import sys
from pathlib import Path
from data_recipes.msd import Msd, prepare
prepare(Msd(out=Path(sys.argv[2]), raw=Path(sys.argv[1]), workers=2))
"""


@pytest.mark.parametrize(
    ("share", "workers_too"),
    [(0.0, True), (0.3, False), (0.7, True), (1.0, False)],
)
def test_killed_at_any_moment_the_same_command_ends_the_same(
    make_task, tmp_path, share, workers_too
):
    raw, out, whole = make_task(tmp_path / "raw", cases=60), tmp_path / "out", tmp_path / "whole"
    prepare_msd(Msd(out=whole, raw=raw, workers=1))
    command = [sys.executable, "-W", "ignore", "-c", PREPARE, str(raw), str(out)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("labels/*.npy"))) < share * 60:
        time.sleep(0.001)
    if workers_too:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    summary = prepare_msd(Msd(out=out, raw=raw, workers=1))
    assert summary.prepared + summary.skipped == 60
    assert content(out) == content(whole)
    with suppress(ProcessLookupError):  # idle workers wait for a while before they go
        os.killpg(process.pid, signal.SIGKILL)


# ---- bad cases ---------------------------------------------------------------------------------


def test_a_bad_case_is_rejected_and_the_others_go_on(raw, out):
    cases = raw_cases(raw)
    (raw / "2.txt").write_text("two")
    (raw / "4.txt").unlink()
    cases[0] = replace(cases[0], images={})
    summary = run(out, cases, raw)
    reasons = {r["case"]: r["reason"] for r in summary.rejected}
    assert reasons == {
        "case0": "x missing; there is no image",
        "case2": f"{raw / '2.txt'} holds no number",
        "case4": f"{raw / '4.txt'} cannot be read: No such file or directory",
    }
    assert summary.exit_code == 1
    assert f"case2 rejected: {raw / '2.txt'} holds no number" in str(summary)
    cohort = Cohort.open(out)
    assert [case.id for case in cohort.cases] == ["case1", "case3", "case5"]
    assert cohort.rejected == summary.rejected


def fail(raw: RawCase) -> Prepared:
    """Fails in a way of its own for each case but the last."""
    number = int(raw.images["x"].read_text())
    if number == 0:
        return make(raw, voxel=[][number])
    if number == 1:
        np.empty((2**20, 2**20, 2**10))
    if number == 2:
        raise OSError(5, "Input/output error", str(raw.images["x"]))
    if number == 3:
        return fail(raw)
    if number == 4:
        os._exit(137)  # as the system does to who takes the most memory
    return make(raw)


FAILURES = {
    "case0": "unexpected IndexError: list index out of range (SSL3D_TRACEBACK=1 shows where)",
    "case1": "memory ran out: Unable to allocate 8.00 PiB for an array with shape (1048576, "
    "1048576, 1024) and data type float64",
    "case2": "unexpected OSError: [Errno 5] Input/output error: '{raw}/2.txt' "
    "(SSL3D_TRACEBACK=1 shows where)",
    "case3": "unexpected RecursionError: maximum recursion depth exceeded "
    "(SSL3D_TRACEBACK=1 shows where)",
    "case4": "its worker process was killed whenever it was at work on it: most likely memory ran "
    "out",
}


def test_a_case_that_fails_in_any_way_is_rejected_and_the_others_go_on(raw, out):
    cases = raw_cases(raw)
    settings = FoldSettings(workers=2)
    summary = prepare_cohort(description(out), cases, raw, fail, settings)
    reasons = {r["case"]: r["reason"] for r in summary.rejected}
    reasons["case3"] = reasons["case3"].replace(" while calling a Python object", "")
    assert reasons == {name: text.format(raw=raw) for name, text in FAILURES.items()}
    assert (summary.prepared, summary.exit_code) == (1, 1)
    assert [case.id for case in Cohort.open(out).cases] == ["case5"]


def test_where_an_unexpected_error_comes_from_is_shown_on_demand(raw, out, monkeypatch, capfd):
    monkeypatch.setenv("SSL3D_TRACEBACK", "1")
    cases = raw_cases(raw)
    with pytest.raises(InputError, match="none of 1 cases can be prepared; unexpected IndexError"):
        run(out, cases[:1], raw, fail)
    assert "return make(raw, voxel=[][number])" in capfd.readouterr().err


def test_a_name_that_is_too_long_in_bytes_is_its_cases_fault(raw, out):
    cases = raw_cases(raw)
    cases[0] = replace(cases[0], id="医" * 70)
    assert run(out, cases, raw).rejected == (
        {
            "case": "医" * 70,
            "reason": "its name takes 210 bytes, where a file's may take 200; rename the raw scan",
        },
    )


def test_a_folder_that_may_not_be_opened_is_named(raw, out, monkeypatch):
    """As root may open all, the walk over folders is told that it may not."""
    cases = raw_cases(raw)
    (raw / "locked").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    summary = run(out, [*cases, *locked_folders(raw, None)], raw)
    assert summary.rejected == (
        {
            "case": f"{raw}/locked/",
            "reason": "this folder cannot be opened, so its files are missing; ask for the right "
            "to read it",
        },
    )
    assert summary.prepared == 6
    with pytest.raises(InputError, match=f"^{raw}/locked cannot be opened: Permission denied$"):
        list(files_below(raw / "locked"))


def test_pipes_are_no_files_and_dangling_links_are(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    os.symlink("/nowhere", tmp_path / "dangling.nii")
    (tmp_path / "deeper").mkdir()
    os.symlink("..", tmp_path / "deeper/loop")
    assert [path.name for path in files_below(tmp_path)] == ["dangling.nii"]


def test_a_repaired_case_is_taken_in(raw, out):
    cases = raw_cases(raw)
    (raw / "2.txt").write_text("two")
    run(out, cases, raw)
    (raw / "2.txt").write_text("2")
    summary = run(out, cases, raw)
    assert (summary.prepared, summary.skipped, summary.rejected) == (1, 5, ())


@pytest.mark.parametrize("name", ["../a", "a/b", "a\\b", ".a", "", "a\0b", "a:b", "a" * 300])
def test_an_id_that_cannot_be_a_file(raw, out, name):
    cases = raw_cases(raw)
    cases[1] = replace(cases[1], id=name)
    summary = run(out, cases, raw)
    assert [r["reason"] for r in summary.rejected] == [
        f"{name!r} cannot name a file; rename the raw scan"
    ]
    assert len(content(out)) == 1 + 2 * 5


def test_a_source_outside_the_raw_folder(raw, out, tmp_path):
    cases = raw_cases(raw)
    (tmp_path / "1.txt").write_text("1")
    cases[1] = replace(cases[1], images={"x": tmp_path / "1.txt"})
    (rejected,) = run(out, cases, raw).rejected
    assert rejected["reason"] == f"{tmp_path / '1.txt'} lies outside {raw}"


def test_two_cases_of_one_id(raw, out):
    cases = raw_cases(raw)
    cases[1] = replace(cases[1], id="case0")
    with pytest.raises(InputError, match=r"2 cases have the id 'case0': .*0\.txt, .*1\.txt"):
        run(out, cases, raw)
    assert not out.exists()


def test_no_case_at_all(raw, out):
    with pytest.raises(InputError, match="none of 0 cases can be prepared"):
        run(out, [], raw)
    assert not out.exists()


def test_no_case_that_is_fit(raw, out):
    cases = raw_cases(raw, 2)
    for case in cases:
        case.images["x"].write_text("no number")
    with pytest.raises(InputError, match=r"none of 2 cases can be prepared; .*0\.txt holds no num"):
        run(out, cases, raw)
    assert content(out) == {}


# ---- a full disk -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(make_task, tmp_path, workers):
    raw = make_task(tmp_path / "raw", cases=40, shape=(24, 24, 24))
    disk, out = tmp_path / "disk", tmp_path / "disk/cohort"
    with small_disk(disk, "800k"):
        settings = Msd(out=out, raw=raw, workers=workers)
        with pytest.raises(InputError) as error:
            prepare_msd(settings)
        assert str(error.value).startswith(f"cannot write to {out}: No space left on device; ")
        assert "the same command goes on from there" in str(error.value)
        assert not (out / "cohort.json").exists()
        assert all(path.stat().st_size for path in out.rglob("*.npy"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        summary = prepare_msd(settings)
        assert summary.skipped > 0
        prepare_msd(replace(settings, out=tmp_path / "whole"))
        assert content(out) == content(tmp_path / "whole")


def test_a_file_that_may_not_grow_is_no_fault_of_the_case(raw, out):
    cases = raw_cases(raw)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(InputError, match=f"cannot write to {out}: File too large"):
            run(out, cases, raw)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not out.exists()


def test_a_folder_that_may_not_be_written(raw, out):
    out.write_text("a file")
    with pytest.raises(InputError, match=f"{out} is a file; give another folder"):
        run(out, raw_cases(raw), raw)


def test_a_disk_that_fills_up_with_the_manifest(raw, out, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cases = raw_cases(raw)
    with monkeypatch.context() as patch:
        patch.setattr(Cohort, "save", full)
        with pytest.raises(InputError, match="No space left on device; 6 of 6 cases are done"):
            run(out, cases, raw)
    assert run(out, cases, raw).skipped == 6


MEMORY = """
import sys
from pathlib import Path
from process_memory import process_memory
from data_recipes.msd import Msd, prepare
for repetition in range(12):
    prepare(Msd(out=Path(sys.argv[2]) / str(repetition), raw=Path(sys.argv[1]), workers=1))
    peak = process_memory("VmHWM")
    early = peak if repetition == 1 else early if repetition else 0
sys.exit(peak > 1.1 * early)
"""


def test_the_memory_of_a_worker_stays_the_same(make_task, tmp_path):
    raw = make_task(tmp_path / "raw", cases=4, shape=(64, 64, 64))  # a case weighs 1 MB
    command = [sys.executable, "-c", MEMORY, str(raw), str(tmp_path / "out")]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, capture_output=True, env=os.environ | path)


# ---- folds -------------------------------------------------------------------------------------


def case(name: str, patient: str, labelled: bool = True) -> Case:
    return Case(name, patient, (1,), [], [], Source({}, {}, (1,), []), labelled)


@st.composite
def cohorts(draw):
    patients = draw(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    labelled = draw(st.lists(st.booleans(), min_size=len(patients), max_size=len(patients)))
    return [case(f"c{i}", f"p{p}", yes) for i, (p, yes) in enumerate(zip(patients, labelled))]


@settings(deadline=None)  # the first one imports scikit-learn
@given(cases=cohorts(), folds=st.integers(3, 8), seed=st.integers(0, 5))
def test_folds_never_part_a_patient(cases, folds, seed):
    dealt, notes = assign_folds(cases, folds, seed)
    assert [replace(c, fold=None) for c in dealt] == cases
    patients = {c.patient for c in cases if c.labelled}
    if len(patients) < 3:
        assert all(c.fold is None for c in dealt)
        assert notes
        return
    fold_of = {c.patient: c.fold for c in dealt}
    assert all(fold_of[c.patient] == c.fold for c in dealt)
    assert all((c.fold is None) == (c.patient not in patients) for c in dealt)
    sizes = [sum(fold_of[p] == f for p in patients) for f in range(min(folds, len(patients)))]
    assert sum(sizes) == len(patients)
    assert max(sizes) - min(sizes) <= 1
    assert bool(notes) == (len(patients) < folds)


@settings(deadline=None)
@given(
    cases=cohorts(),
    numbers=st.sets(st.integers(0, 39)),
    folds=st.integers(3, 8),
    seed=st.integers(0, 5),
)
def test_what_is_held_out_is_fold_0_with_its_patients_and_no_others(cases, numbers, folds, seed):
    held_out = {f"c{number}" for number in numbers}
    dealt, _ = assign_folds(cases, folds, seed, held_out)
    test = {c.patient for c in cases if c.labelled and c.id in held_out}
    if test and any(c.fold is not None for c in dealt):
        assert all((c.fold == 0) == (c.patient in test) for c in dealt)
        assert len({c.fold for c in dealt} - {None}) >= 3


def test_folds_are_fixed_by_their_seed():
    cases = [case(f"c{i}", f"p{i}") for i in range(20)]
    first, again, other = (assign_folds(cases, 5, seed)[0] for seed in (0, 0, 1))
    assert first == again != other


def test_too_few_labelled_patients_are_said(raw, out):
    assert run(out, raw_cases(raw, 4), raw).notes == (
        "only 4 folds: no more patients have a label",
    )
    summary = run(out.with_name("two"), raw_cases(raw, 2), raw)
    assert summary.notes == (
        "no folds: only 2 patients have a label, and a split needs 3: label more",
    )
    summary = run(out.with_name("none"), raw_cases(raw, 4, labelled=False), raw)
    assert Cohort.open(summary.folder).cases[0].fold is None
    assert "no folds: no case has a label, so all are for pretraining" in str(summary)


def ordinal(grades: list[int], patients: list[str] | None = None) -> list[Case]:
    names = patients or [f"p{i}" for i in range(len(grades))]
    return [
        replace(case(f"c{i}", name), grade=grade)
        for i, (grade, name) in enumerate(zip(grades, names, strict=True))
    ]


def test_each_fold_has_its_share_of_each_grade():
    dealt, notes = assign_folds(ordinal([0] * 50 + [1] * 10 + [2] * 27 + [3] * 5), 5, seed=0)
    assert notes == ()
    for grade, whole in ((0, 50), (1, 10), (2, 27), (3, 5)):
        counts = [sum((c.grade, c.fold) == (grade, fold) for c in dealt) for fold in range(5)]
        assert sum(counts) == whole
        assert max(counts) - min(counts) <= 1


def test_both_eyes_of_a_patient_stay_together_whatever_their_grades():
    cases = ordinal([i % 5 for i in range(60)], [f"p{i // 2}" for i in range(60)])
    dealt, _ = assign_folds(cases, 5, seed=0)
    assert all(left.fold == right.fold for left, right in zip(dealt[::2], dealt[1::2]))
    assert {c.fold for c in dealt} == set(range(5))


def test_a_grade_too_rare_to_be_in_each_fold_is_said():
    dealt, notes = assign_folds(ordinal([0] * 20 + [3] * 2), 5, seed=0)
    assert notes == ("fewer cases than folds have grade 3",)
    assert all(c.fold is not None for c in dealt)


def test_a_patient_named_like_anothers_scan_is_not_taken_for_it():
    cases = [case("a", "b"), case("b", "c"), case("c", "d"), case("d", "a")]
    dealt, notes = assign_folds(cases, 4, seed=0)
    assert sorted(c.fold for c in dealt) == [0, 1, 2, 3]
    assert notes == ()


def test_two_folds_are_refused(raw, out):
    with pytest.raises(InputError, match="folds is 2, but must be 3 or more"):
        run(out, raw_cases(raw), raw, folds=2)


# ---- before and after the work -------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "rule"), [(-1, "must be 0 or more"), (2**32, "must be below")])
def test_a_seed_without_meaning_is_refused_before_any_work(raw, out, seed, rule):
    with pytest.raises(InputError, match=f"seed is {seed}, but {rule}"):
        run(out, raw_cases(raw), raw, seed=seed)
    assert not out.exists()


def test_a_long_path_of_dicom_collections_names_a_file(raw, out):
    cases = raw_cases(raw)
    name = "LIDC-IDRI-0001_" + "_".join(["1.3.6.1.4.1.14519.5.2.1.6279.6001." + "9" * 30] * 2)
    cases[0] = replace(cases[0], id=name)
    assert run(out, cases, raw).rejected == ()


def test_arrays_of_scans_that_are_gone_go_with_them(raw, out, tmp_path):
    cases = raw_cases(raw)
    run(out, cases, raw)
    summary = run(out, cases[:-1], raw)
    assert summary.notes == ("removed, as their raw scans are gone: 1 cases of a former run",)
    run(tmp_path / "fresh", cases[:-1], raw)
    assert content(out) == content(tmp_path / "fresh")


def test_arrays_of_a_scan_that_is_now_rejected_go(raw, out):
    cases = raw_cases(raw)
    run(out, cases, raw)
    (raw / "2.txt").write_text("two")
    summary = run(out, cases, raw)
    assert [r["case"] for r in summary.rejected] == ["case2"]
    assert not list(out.glob("*/case2.npy"))
