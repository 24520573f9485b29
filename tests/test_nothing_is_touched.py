"""Nothing that the program did not write is touched: every command, in every folder of a user's.

The commands are read from the command line's own table, so that a new one fails until it is here.
"""

import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers import content, make_cohort, make_graded

from data_recipes.folder import Folder
from data_recipes.folder import prepare as prepare_folder
from ssl3d_lite.cli.main import COMMANDS, main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort as make_by_recipe
from ssl3d_lite.data.registry import recipes
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.prediction import predict
from ssl3d_lite.files import write_json
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.outputs import LOCK, MARK, OwnFolder, claimed
from ssl3d_lite.study.command import study
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain

FOREIGN = {  # a project as people have it: names that a command uses itself, and others
    "notes.txt": "mine",
    "settings.json": '{"editor.fontSize": 12}',
    "resume.pt": "no weights",
    "cohort.json": '{"name": "another program\'s"}',
    "study.json": "[]",
    "results.csv": "mouse,weight\n1,20\n",
    "bench.json": '{"mine": 1}',
    "grades.csv": "student,mark\nann,1.0\n",
    "report.html": "<h1>mine</h1>",
    "records/consent.csv": "mine",
    "records/p00.json": '{"case": 1}',
    "images/case_000.npy": "mine",
    "labels/case_000.npy": "mine",
    "case_000.nii.gz": "corrected by hand",
    "rows/a.json": "[1]",
    "feedback/ann/A1.html": "mine",
    "notes/.draft.part": "mine",
    "notes/.draft.docx.123.part": "mine",
    "raw/p00.nii.gz": "a scan",
}
QUICK = ["--steps", "1", "--filters", "4", "8", "--device", "cpu"]
WRITING = {  # command → what follows it; {w} is a folder that holds all that it reads
    "tour": [["--cases", "5"]],
    "prepare": [
        ["folder", "--raw", "{w}/scans", "--workers", "1"],
        ["slices", "--cohort", "{w}/cohort"],
        *(
            [name, "--cases", "5", "--workers", "1"]
            for name in recipes()
            if name.startswith("virtual")
        ),
    ],
    "pretrain": [["--cohort", "{w}/cohort", "--task", "rotation", *QUICK]],
    "finetune": [["--cohort", "{w}/cohort", "--encoder", "random", *QUICK]],
    "features": [
        ["--cohort", "{w}/cohort", "--encoder", "random", "--filters", "4", "8", "--device", "cpu"]
    ],
    "export": [["{w}/model", "--to", "torchscript"]],
    "study": [["tour", "--cohort", "{w}/cohort", "--seeds", "1", "--device", "cpu"]],
    "bench": [["--cohort", "{w}/cohort", "--seconds", "0.1", "--device", "cpu"]],
    "predict": [["--cohort", "{w}/cohort", "--model", "{w}/model", "--device", "cpu"]],
}
WRITES_A_FILE = {"show": ["{w}/cohort"]}
BY_PLACE = {
    "course": "test_a_course_touches_nothing",
    "play": "test_a_game_touches_nothing",
    "notebooks": "test_notebooks_and_a_book_touch_nothing",
    "book": "test_notebooks_and_a_book_touch_nothing",
}
READS_ONLY = {"data", "verify", "probe"}
CALLS = [
    pytest.param(command, words, id=f"{command} {words[0]}" if command == "prepare" else command)
    for command, every in WRITING.items()
    for words in every
]


def test_every_command_is_here():
    assert {*WRITING, *WRITES_A_FILE, *BY_PLACE, *READS_ONLY} == set(COMMANDS)
    assert all(name in globals() for name in BY_PLACE.values())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cohort, raw scans, and a network."""
    folder = tmp_path_factory.mktemp("world")
    made = make_cohort(folder / "cohort", 15, (16, 16, 16))
    finetune(network_for(made), made, out=folder / "model", steps=1, device="cpu")
    (folder / "scans").mkdir()
    for number in range(5):
        scan = np.random.default_rng(number).normal(size=(8, 8, 8)).astype(np.float32)
        nib.save(nib.Nifti1Image(scan, np.eye(4)), folder / f"scans/p{number:02d}.nii")
    return folder


def network_for(cohort):
    return make_network(make_encoder(cohort, seed=0, filters=(4, 8)), cohort, seed=0)


@pytest.fixture
def project(tmp_path):
    """A user's folder."""
    return fill(tmp_path / "project")


def fill(folder: Path) -> Path:
    for name, text in FOREIGN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys, *arguments) -> str:
    """The one line with which a command refuses."""
    capsys.readouterr()  # what was said before
    assert main([str(each) for each in arguments]) == 2
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "%|" not in line]
    assert line.startswith("ssl3d: ")
    return line


def words_of(words, world):
    return [word.replace("{w}", str(world)) for word in words]


# ---- folders that are a user's -----------------------------------------------------------------


@pytest.mark.parametrize(("command", "words"), CALLS)
def test_a_project_is_refused_as_it_is(command, words, world, project, tmp_path, capsys):
    (tmp_path / "link").symlink_to(project)
    before = everything(project)
    for out in (project, tmp_path / "link"):
        line = refused(capsys, command, *words_of(words, world), "--out", out)
        assert str(out) in line
        assert f"and {len(list(project.iterdir())) - 3} more" in line
        assert "bench.json, case_000.nii.gz, cohort.json" in line
        assert everything(project) == before
    line = refused(capsys, command, *words_of(words, world), "--out", project / "notes.txt")
    assert f"{project / 'notes.txt'} is a file" in line
    assert everything(project) == before


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(("command", "words"), CALLS)
def test_one_foreign_file_is_enough(command, words, name, world, tmp_path, capsys):
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text(FOREIGN[name])
    line = refused(capsys, command, *words_of(words, world), "--out", out)
    assert f"{out} holds {Path(name).parts[0]}, which" in line
    assert everything(out) == {name: FOREIGN[name].encode()}


@pytest.mark.parametrize(("command", "words"), CALLS)
@pytest.mark.parametrize("target", ["cohort", "model", "scans"])
def test_what_another_command_made_is_refused(command, words, target, world, tmp_path, capsys):
    if (command, target) in {("prepare", "cohort"), ("finetune", "model")}:
        return  # its own; whether its settings are the same, it says itself
    shutil.copytree(world / target, tmp_path / target)
    before = everything(tmp_path / target)
    line = refused(capsys, command, *words_of(words, world), "--out", tmp_path / target)
    assert str(tmp_path / target) in line
    assert everything(tmp_path / target) == before


@pytest.mark.parametrize("name", ["project/raw/p00.nii.gz", "project/report.html", "a.link"])
def test_a_page_writes_over_no_file(name, world, project, tmp_path, capsys):
    (tmp_path / "a.link").symlink_to(project / "notes.txt")
    before = everything(tmp_path)
    line = refused(capsys, "show", world / "cohort", "--out", tmp_path / name)
    assert str(tmp_path / name) in line
    assert everything(tmp_path) == before


def test_a_page_is_renewed_unless_somebody_changed_it(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    for _ in range(2):
        assert main(["show", str(world / "cohort"), "--out", str(page), "--cases", "1"]) == 0
    page.write_bytes(page.read_bytes().replace(b"<h2>Cases</h2>", b"<h2>My cases</h2>"))
    assert "no page of a cohort as this program wrote it" in refused(
        capsys, "show", world / "cohort", "--out", page
    )


def test_a_course_touches_nothing(project, tmp_path, capsys):
    """What ``course grade`` refuses is in tests/course/test_grade.py, beside a course."""
    pytest.importorskip("nbgrader")
    before = everything(project)
    assert "which are there already; nothing there is touched" in refused(
        capsys, "course", "build", project
    )
    assert everything(project) == before


def test_a_game_touches_nothing(project, capsys):
    before = everything(project)
    for name in ("report.html", "feedback/ann/A1.html"):
        line = refused(capsys, "play", project / name)
        assert f"{project / name} is there already" in line
    assert everything(project) == before


@pytest.mark.parametrize("command", ["notebooks", "book build"])
def test_notebooks_and_a_book_touch_nothing(command, project, tmp_path, capsys):
    before = everything(project)
    line = refused(capsys, *command.split(), project)
    assert f"{project} holds" in line
    assert f"which `ssl3d {command}` did not make; nothing there is touched" in line
    line = refused(capsys, *command.split(), project / "notes.txt")
    assert f"{project / 'notes.txt'} is a file" in line
    assert everything(project) == before


@pytest.mark.parametrize("name", ["project/notes.txt", "project", "a.link"])
def test_a_quiz_writes_over_no_file(name, project, tmp_path, capsys):
    (tmp_path / "a.link").symlink_to(project / "report.html")
    before = everything(tmp_path)
    line = refused(capsys, "book", "quiz", tmp_path / name)
    assert str(tmp_path / name) in line
    assert everything(tmp_path) == before


# ---- the same rule for the functions ------------------------------------------------------------


def test_the_functions_refuse_too(world, project):
    cohort, before = Cohort.open(world / "cohort"), everything(project)
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    task = make_task("rotation", encoder)
    for call in (
        lambda: pretrain(task, encoder, cohort, out=project, steps=1),
        lambda: finetune(network_for(cohort), cohort, out=project, steps=1),
        lambda: predict(network_for(cohort), cohort, project),
        lambda: study("tour", out=project, cohort=cohort),
        lambda: make_by_recipe("virtual-hippocampus", project, cases=5),
        lambda: make_by_recipe("virtual-hippocampus", project.parent / "c", raw=project, cases=5),
    ):
        with pytest.raises(InputError, match=f"{project} holds"):
            call()
        assert everything(project) == before


# ---- files that a user puts into a folder of ours ----------------------------------------------


def prepared(world, out, **more):
    return prepare_folder(Folder(raw=world / "scans", out=out, workers=1, **more))


def test_what_a_user_keeps_in_a_cohort_survives(world, tmp_path):
    out, scans = tmp_path / "c", tmp_path / "scans"
    shutil.copytree(world / "scans", scans)
    prepare_folder(Folder(raw=scans, out=out, workers=1))
    own = {
        "notes.txt": b"mine",
        "images/mine.npy": b"mine",
        "images/.mine.npy.7.part": b"mine",
        "labels/p00.txt": b"mine",
        "records/x.json": b"{}",
        "records/sub/y.json": b"mine",
    }
    for name, data in own.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(data)
    (scans / "p04.nii").unlink()
    assert prepare_folder(Folder(raw=scans, out=out, workers=1)).skipped == 4
    assert {name: (out / name).read_bytes() for name in own} == own
    assert not (out / "images/p04.npy").exists()


def test_a_new_case_does_not_write_over_a_users_file(world, tmp_path):
    out, scans = tmp_path / "c", tmp_path / "scans"
    shutil.copytree(world / "scans", scans)
    prepare_folder(Folder(raw=scans, out=out, workers=1))
    (out / "images/mine.npy").write_bytes(b"mine")
    shutil.copy(scans / "p00.nii", scans / "mine.nii")
    with pytest.raises(InputError, match=r"holds images/mine\.npy, which `ssl3d prepare` did not"):
        prepare_folder(Folder(raw=scans, out=out, workers=1))
    assert (out / "images/mine.npy").read_bytes() == b"mine"


def test_a_corrected_prediction_is_not_written_over(world, tmp_path):
    cohort, out = Cohort.open(world / "cohort"), tmp_path / "p"
    paths = predict(network_for(cohort), cohort, out)
    assert predict(network_for(cohort), cohort, out) == paths  # as they were written
    image = nib.load(paths[1])
    corrected = np.asarray(image.dataobj).copy()
    corrected[0] = 1
    nib.save(nib.Nifti1Image(corrected, image.affine, image.header), paths[1])
    before = everything(out)
    with pytest.raises(InputError, match=f"holds {paths[1].name}, which .* has been changed"):
        predict(network_for(cohort), cohort, out)
    assert everything(out) == before
    predict(network_for(cohort), cohort, out, cases=cohort.split(1).test)  # the others
    assert paths[1].read_bytes() == before[paths[1].name]


def test_grades_corrected_by_hand_stay(tmp_path):
    cohort, out = make_graded(tmp_path / "g", [0, 1, 2] * 5), tmp_path / "p"
    (path,) = predict(network_for(cohort), cohort, out)
    path.write_text(path.read_text() + "more,1,mine\n")
    with pytest.raises(InputError, match=r"holds grades\.csv, which"):
        predict(network_for(cohort), cohort, out)


def test_a_run_that_has_served_leaves_what_is_not_its_own(world, tmp_path):
    from ssl3d_lite.training.checkpoint import remove_run

    cohort = Cohort.open(world / "cohort")
    for name in ("plain", "noted"):
        finetune(network_for(cohort), cohort, out=tmp_path / name, steps=1)
    (tmp_path / "noted/mine.txt").write_text("mine")
    for name in ("plain", "noted", "never"):
        remove_run(tmp_path / name)
    assert everything(tmp_path) == {"noted/mine.txt": b"mine"}
    assert not (tmp_path / "plain").exists()


# ---- which folders are empty, which are ours --------------------------------------------------


@pytest.mark.parametrize(
    "litter", [".DS_Store", "Thumbs.db", "desktop.ini", "._x", LOCK, f".{MARK}.12.ssl3d-part"]
)
def test_litter_makes_no_folder_full(litter, tmp_path):
    (tmp_path / litter).write_text("")
    with claimed(tmp_path, "predict") as own:
        assert own == OwnFolder(tmp_path, "predict")
    assert (tmp_path / MARK).exists()


@pytest.mark.parametrize("text", ['{"theme": "dark"}', "[1]", ""])
def test_a_users_file_that_is_called_as_the_mark_is_stays(text, tmp_path):
    (tmp_path / MARK).write_text(text)
    said = r"holds \.ssl3d\.json, which `ssl3d predict` did not make"
    with pytest.raises(InputError, match=said), claimed(tmp_path, "predict"):
        pass
    assert everything(tmp_path) == {MARK: text.encode()}


def test_a_folder_in_which_nothing_was_written_is_gone_again(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "new", "predict"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    write_json(tmp_path / "marked" / MARK, {"command": "prepare"})  # killed before its first file
    with claimed(tmp_path / "marked", "predict"):
        (tmp_path / "marked/file").write_text("")
    with pytest.raises(InputError, match="was made by `ssl3d predict`, so `ssl3d prepare`"):
        claimed(tmp_path / "marked", "prepare").__enter__()


def test_a_link_that_leads_nowhere_is_said(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="is a link that leads nowhere"):
        claimed(tmp_path / "link", "predict").__enter__()


def test_folders_of_the_first_versions_are_known_by_what_they_hold(world, tmp_path):
    cohort = Cohort.open(world / "cohort")
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    prepared(world, tmp_path / "c")
    finetune(network_for(cohort), cohort, out=tmp_path / "m", steps=1)
    pretrain(make_task("masked", encoder, seed=0), encoder, cohort, out=tmp_path / "e", steps=1)
    for mark in tmp_path.glob(f"*/{MARK}"):
        mark.unlink()
    before = content(tmp_path)
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    assert prepared(world, tmp_path / "c").skipped == 5
    finetune(network_for(cohort), cohort, out=tmp_path / "m", steps=1)
    pretrain(make_task("masked", encoder, seed=0), encoder, cohort, out=tmp_path / "e", steps=1)
    assert content(tmp_path) == before


def test_two_processes_do_not_write_to_one_folder(tmp_path):
    with claimed(tmp_path / "out", "predict"):
        with claimed(tmp_path / "out", "predict"):  # within the same process it may be nested
            pass
        if child := os.fork():
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            return
        os._exit(7 if refuses_to_share(tmp_path / "out") else 8)


def refuses_to_share(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        FileLock(str(folder / LOCK)).acquire(timeout=0)
    except Timeout:
        return True
    return False
