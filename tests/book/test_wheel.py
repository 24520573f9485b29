"""A wheel in an empty environment gives notebooks and book, the same as the repository does."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers import content

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


@pytest.fixture(scope="module")
def command(wheel) -> Path:
    """``ssl3d`` of an environment with the wheel, this one's libraries, and not its ssl3d."""
    place = wheel.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, "--prefix", str(place), "--ignore-installed", str(wheel)], check=True)
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(ours) + "\n")
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
    assert "ssl3d_lite/course/assignments/A1_volumes.py" in names
    assert [name for name in names if name.startswith("ssl3d_lite/book/texts/notebooks/live/06_")]


def test_it_gives_the_notebooks_of_the_repository(command, tmp_path):
    from ssl3d_lite.cli.main import main

    run(command, "notebooks", str(tmp_path / "theirs"))
    assert main(["notebooks", str(tmp_path / "ours")]) == 0
    assert content(tmp_path / "theirs") == content(tmp_path / "ours")


def test_its_book_is_byte_for_byte_the_repositorys(command, tmp_path):
    from ssl3d_lite.cli.main import main

    for needed in ("sphinx", "myst_nb", "furo", "ziamath"):
        pytest.importorskip(needed)
    run(command, "book", "build", str(tmp_path / "theirs"))
    assert main(["book", "build", str(tmp_path / "ours")]) == 0
    theirs, ours = content(tmp_path / "theirs"), content(tmp_path / "ours")
    assert sorted(theirs) == sorted(ours)
    assert [name for name in ours if theirs[name] != ours[name]] == []
