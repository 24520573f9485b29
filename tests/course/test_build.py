"""A course is there whole or not at all, and students get nothing that is not theirs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from helpers import content, make_cohort

from ssl3d_lite.cli.main import main
from ssl3d_lite.course import build as module
from ssl3d_lite.course.build import BuildSettings, build_course, find_leaks, read_course
from ssl3d_lite.course.sources import released, solved
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(
        module, "make_course_cohort", lambda place, cases: make_cohort(place, cases)
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory, sources):
    """Built by the command, with virtual scans."""
    out = tmp_path_factory.mktemp("built") / "course"
    assert main(["course", "build", str(out), "--sources", str(sources), "--cases", "5"]) == 0
    return out


def test_what_is_in_a_course(course):
    def names(folder):
        inside = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return sorted(name for name in inside if not name.startswith(("cohorts/", "notebooks/")))

    assert [path.name for path in sorted(course.iterdir())] == ["lecturer", "student"]
    assert names(course / "student") == [
        *("A1.ipynb", "README.md", "settings/README.md", "settings/cpu.env", "settings/gpu.env"),
        *("settings/jupyterhub_config.py", "settings/jupyterhub_gpu.py"),
        *("settings/slurm.sbatch", "settings/slurm_gpu.sbatch"),
    ]
    assert names(course / "lecturer") == [
        *("README.md", "course.toml", "gradebook.db", "handed_out/A1.ipynb", "nbgrader_config.py"),
        *("release/A1/A1.ipynb", "rubric.md"),
        *("solved/A1.ipynb", "source/A1/A1.ipynb"),
    ]
    assert [path.name for path in course.parent.iterdir()] == ["course"]


def test_students_get_the_notebooks(course):
    assert (course / "student/notebooks/00_start_here.ipynb").exists()
    assert not (course / "lecturer/notebooks").exists()


def test_the_data_are_prepared(course):
    students = Cohort.open(course / "student/cohorts/hippocampus")
    assert (len(students), students.shape) == (5, (40, 56, 40))
    assert len(Cohort.open(course / "lecturer/cohorts/hippocampus")) == 20
    assert not list(course.rglob("*.nii.gz"))


def test_no_file_of_the_students_holds_a_solution_or_a_hidden_test(course, tiny):
    assert list(find_leaks(course / "student", [tiny])) == []
    assert list(find_leaks(course / "lecturer/release", [tiny])) == []
    found = {path.parent.parent.name for path, _ in find_leaks(course / "lecturer/source", [tiny])}
    assert found == {"source"}  # the search finds what is there
    for path in (course / "student").rglob("*"):
        if path.is_file():
            assert b"doubled_values" not in path.read_bytes()
            assert b"hidden_volume" not in path.read_bytes()


@pytest.mark.parametrize("place", ["metadata", "outputs"])
def test_leaks_are_found_in_metadata_and_outputs_too(tmp_path, tiny, place):
    notebook = released(tiny.notebook)
    line = 'same(twice(secret_values), torch.tensor([-6.0, 0.0]), "twice (-3, 0)")'
    if place == "metadata":
        notebook.cells[1].metadata["note"] = {"deep": [line]}
    else:
        output = nbformat.v4.new_output("stream", text=f"before\n{line}\n")
        notebook.cells[1].outputs = [output]
    nbformat.write(notebook, tmp_path / "A1.ipynb")
    assert [found for _, found in find_leaks(tmp_path, [tiny])] == [line]


def test_a_source_whose_text_tells_the_solution_is_not_built(tmp_path, sources, quick):
    mine = tmp_path / "sources"
    mine.mkdir()
    text = (sources / "A1_tiny.py").read_text()
    leaky = text.replace("# ## 1. Twice", "# ## 1. Twice\n#\n# Hint: `doubled_values = x * 2`.")
    (mine / "A1_tiny.py").write_text(leaky)
    with pytest.raises(InputError, match=r"A1\.ipynb would show students: doubled_values = x"):
        build_course(BuildSettings(tmp_path / "out", sources=mine))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sources"]


def test_nbgrader_and_we_release_the_same(course, tiny):
    theirs = nbformat.read(course / "lecturer/release/A1/A1.ipynb", as_version=4)
    ours = nbformat.read(course / "student/A1.ipynb", as_version=4)
    assert [c.source.rstrip("\n") for c in theirs.cells] == [c.source for c in ours.cells]
    assert [c.source for c in ours.cells] == [c.source for c in released(tiny.notebook).cells]
    nbformat.validate(ours)


def test_lecturers_get_the_source_the_solution_and_the_rubric(course, tiny):
    (read,) = read_course(course / "lecturer")
    assert read.parts == tiny.parts
    assert [c.source for c in read.notebook.cells] == [c.source for c in tiny.notebook.cells]
    model = nbformat.read(course / "lecturer/solved/A1.ipynb", as_version=4)
    assert [c.source for c in model.cells] == [c.source for c in solved(tiny.notebook).cells]
    rubric = (course / "lecturer/rubric.md").read_text()
    assert "| 1 | 40 | Each value twice as large; ``x`` stays as it is. | its tests" in rubric
    assert "15 points for the word, 15 for the reason" in rubric
    assert "BEGIN SOLUTION" not in rubric


def test_students_notebooks_are_plain(course):
    code = "import sys, nbformat; nbformat.validate(nbformat.read(sys.argv[1], 4)); "
    code += "assert not any('nbgrader' in name for name in sys.modules)"
    path = str(course / "student/A1.ipynb")
    subprocess.run([sys.executable, "-c", code, path], check=True)
    notebook = json.loads((course / "student/A1.ipynb").read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_settings_can_be_read_by_a_shell(course):
    for name in ("cpu.env", "gpu.env"):
        path = course / "student/settings" / name
        command = f"set -eu; set -a; . {path}; set +a; echo $SSL3D_SCALE $OMP_NUM_THREADS"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == "class"
        assert int(done.stdout.split()[1]) >= 2
    script = course / "student/settings/slurm.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_check_cells_are_folded_and_others_are_not(course):
    notebook = json.loads((course / "student/A1.ipynb").read_text())
    folded = {
        cell["metadata"].get("nbgrader", {}).get("grade_id")
        for cell in notebook["cells"]
        if cell["metadata"].get("jupyter") == {"source_hidden": True}
        and cell["metadata"]["cellView"] == "form"  # Colab's
    }
    assert folded == {"a1-1-tests", "a1-2-tests"}


def test_a_course_is_built_by_a_path_without_an_activated_environment(tmp_path, sources):
    code = (
        "import sys\nfrom pathlib import Path\nfrom ssl3d_lite.course import build\n"
        "from ssl3d_lite.course.sources import read_assignments\n"
        "from ssl3d_lite.course.build import LECTURER, _lecturers_folder\n"
        "build.make_course_cohort = lambda place, cases: None\n"
        "_lecturers_folder(Path(sys.argv[1]), read_assignments(Path(sys.argv[2])))"
    )
    env = {**os.environ, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "out"), str(sources)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/release/A1/A1.ipynb").exists()


def test_what_nbgrader_cannot_do_is_told_with_its_reason(tmp_path, sources, quick, monkeypatch):
    from nbgrader.apps import NbGraderAPI

    failed = {"success": False, "error": "Traceback …\nOSError: no alembic", "log": "[ERROR] no\n"}
    monkeypatch.setattr(NbGraderAPI, "generate_assignment", lambda *_, **__: failed)
    minutes = pytest.fail  # nobody waits for cohorts to be told
    monkeypatch.setattr(module, "make_course_cohort", lambda *_: minutes("a cohort was made"))
    with pytest.raises(
        InputError, match=r"could not release A1: OSError: no alembic; \[ERROR\] no"
    ):
        build_course(BuildSettings(tmp_path / "out", sources=sources, cases=5))


def test_a_course_that_is_there_is_not_overwritten(course, sources, capsys):
    before = content(course)
    assert main(["course", "build", str(course), "--sources", str(sources)]) == 2
    assert (
        f"{course} holds lecturer, student, which are there already; nothing"
        in capsys.readouterr().err
    )
    assert content(course) == before


def test_a_build_that_fails_or_was_killed_leaves_nothing(tmp_path, sources, quick, monkeypatch):
    killed = tmp_path / ".out.4194305.ssl3d-part"  # larger than any process's number
    killed.mkdir()
    monkeypatch.setattr(module, "generate_releases", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_course(BuildSettings(tmp_path / "out", sources=sources, cases=5))
    assert list(tmp_path.iterdir()) == []


def test_a_cohort_of_ones_own(tmp_path, sources, quick):
    make_cohort(tmp_path / "mine", 7)
    (tmp_path / "mine/raw").mkdir()
    build_course(BuildSettings(tmp_path / "out", sources=sources, cohort=tmp_path / "mine"))
    assert len(Cohort.open(tmp_path / "out/student/cohorts/hippocampus")) == 7
    assert not (tmp_path / "out/student/cohorts/hippocampus/raw").exists()
    with pytest.raises(InputError, match="no cohort in"):
        build_course(
            BuildSettings(tmp_path / "other", sources=sources, cohort=tmp_path / "nowhere")
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["biuld", "x"], "unknown action 'biuld'; did you mean 'build'?"),
        (["build", "x", "--assignments", "Z1"], "unknown assignment 'Z1'"),
        (
            ["build", "x", "--sources", "nowhere"],
            "no assignment in nowhere: a script with nbgrader's metadata, as A1_….py",
        ),
        (["grade", "nowhere", "--course", "nowhere"], "no course in nowhere"),
    ],
)
def test_bad_input_is_one_clear_line(capsys, sources, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    if "Z1" in arguments:
        arguments = [*arguments, "--sources", str(sources)]
    assert main(["course", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_misspelt_setting_names_the_nearest(capsys):
    assert main(["course", "grade", "x", "--memroy-gb", "2"]) == 2
    assert "--memory-gb" in capsys.readouterr().err
    assert main(["course"]) == 0
    assert "grade" in capsys.readouterr().out
