"""A wheel in an empty environment gives notebooks, slides, game and book as the repository does."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from helpers import content

from ssl3d_lite.html import is_page_of

ROOT = Path(__file__).parents[2]

pytest.importorskip("hatchling")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a repository in which somebody's scans lie, in notebooks/cohorts."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "repository"
    for name in ("ssl3d_lite", "data_recipes", "docs", "notebooks"):
        ignored = shutil.ignore_patterns("__pycache__", "cohorts")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for path in (*ROOT.glob("*.*"), ROOT / ".gitignore", ROOT / "LICENSE"):
        if path.is_file():
            shutil.copy(path, copy / path.name)
    (copy / "notebooks/cohorts/ann").mkdir(parents=True)
    (copy / "notebooks/cohorts/ann/scan.npy").write_text("a patient")
    make = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*make, "-w", str(folder), str(copy)], check=True)
    shutil.rmtree(copy)
    (made,) = folder.glob("*.whl")
    return made


def empty_environment(place: Path) -> Path:
    """One that has this one's libraries, since torch is not installed again, and not its ssl3d."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(ours) + "\n")
    return place


@pytest.fixture(scope="module")
def command(wheel) -> Path:
    """``ssl3d`` of an environment with the wheel, this one's libraries, and not its ssl3d."""
    place = empty_environment(wheel.parent / "environment")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, "--prefix", str(place), "--ignore-installed", str(wheel)], check=True)
    for script in place.glob("bin/ssl3d"):  # pip wrote this interpreter's name into it
        lines = script.read_text().splitlines()
        script.write_text("\n".join([f"#!{place / 'bin/python'}", *lines[1:]]) + "\n")
    return place / "bin/ssl3d"


def run(command: Path, *arguments: str) -> str:
    """What it says, with another clock, seed and folder than here."""
    own = {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7", "PYTHONPATH": "", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [str(command), *arguments],
        cwd=command.parent,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_wheel_that_runs(command):
    python = command.with_name("python")
    where = run(python, "-c", "import ssl3d_lite; print(ssl3d_lite.__file__)")
    assert where.startswith(str(command.parents[1]))


def test_nobodys_scans_and_no_assignments_are_in_its_texts(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert not [name for name in names if "cohorts/" in name or "texts/notebooks/ass" in name]
    assert not [name for name in names if name.endswith("texts/notebooks/live.py")]
    assert "ssl3d_lite/book/texts/docs/start.md" in names
    assert "ssl3d_lite/book/texts/notebooks/quiz/00_start_here.toml" in names
    assert "ssl3d_lite/course/assignments/A1_volumes.py" in names
    assert [name for name in names if name.startswith("ssl3d_lite/book/texts/notebooks/live/06_")]


def test_it_gives_the_notebooks_of_the_repository(command, tmp_path):
    from ssl3d_lite.cli.main import main

    run(command, "notebooks", str(tmp_path / "theirs"), "--slides")
    assert main(["notebooks", str(tmp_path / "ours"), "--slides"]) == 0
    ours = content(tmp_path / "ours")
    assert [name for name in ours if "slides/00_" in str(name)]
    assert content(tmp_path / "theirs") == ours


def test_it_writes_the_game(command, tmp_path):
    page = tmp_path / "play.html"
    run(command, "play", str(page), "--cases", "15", "--questions", "1", "--effort", "0.01")
    assert is_page_of(page, "ssl3d view Game")


def test_its_book_is_byte_for_byte_the_repositorys(command, tmp_path):
    from ssl3d_lite.cli.main import main

    for needed in ("sphinx", "myst_nb", "furo", "ziamath"):
        pytest.importorskip(needed)
    run(command, "book", "build", str(tmp_path / "theirs"))
    assert main(["book", "build", str(tmp_path / "ours")]) == 0
    theirs, ours = content(tmp_path / "theirs"), content(tmp_path / "ours")
    assert sorted(theirs) == sorted(ours)
    assert [name for name in ours if theirs[name] != ours[name]] == []


# ---- elsewhere ---------------------------------------------------------------------------------


def test_colabs_cell_installs_it(tmp_path):
    """As far as can be tested here: the libraries are there, and the repository is on this disk."""
    from ssl3d_lite.book.build import run_page

    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git repository to clone")
    page = run_page("https://github.com/ann/scans").partition("## On Colab")[2]
    lines = re.findall(r"^    (.*)$", page.partition("## On Binder")[0], re.M)
    assert [line.split()[0] for line in lines] == ["!git", "%pip", "%cd"]
    clone, install, move = (line[1:] for line in lines)
    assert "https://github.com/ann/scans" in clone
    python = empty_environment(tmp_path / "environment") / "bin/python"
    told = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_IGNORE_INSTALLED": "1"}
    told |= {"PIP_NO_BUILD_ISOLATION": "0", "PYTHONPATH": ""}  # 0 says: no isolation
    use = "import ssl3d_lite; print(ssl3d_lite.__file__); ssl3d_lite.scale()"
    script = [clone.replace("https://github.com/ann/scans", str(ROOT)), f"{python} -m {install}"]
    script += [move, "ls 00_start_here.ipynb results", f"{python} -c '{use}'"]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=os.environ | told,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "environment") in done.stdout


def test_binder_installs_what_pyproject_names():
    lines = (ROOT / ".binder/requirements.txt").read_text().splitlines()
    extra = re.fullmatch(r"-e \.\[(\w+)\]", lines[-1])
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert extra is not None
    assert extra[1] in project["optional-dependencies"]
    runtime = (ROOT / ".binder/runtime.txt").read_text().strip().removeprefix("python-")
    assert runtime in project["requires-python"], "the lowest that is supported"
