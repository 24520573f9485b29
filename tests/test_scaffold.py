"""The files around the code keep in step with it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_names_python_and_the_project_alone():
    """It must not name versions a second time: pyproject.toml is the one place."""
    text = (ROOT / "environment.yml").read_text()
    entries = re.findall(r"^\s*- (.*[^:\n])$", text, re.MULTILINE)
    python = PROJECT["requires-python"]
    assert entries == ["conda-forge", f"python {python}", "pip", "-e .[all]"]
    assert "all" in PROJECT["optional-dependencies"]


def test_all_holds_every_other_extra():
    extras = PROJECT["optional-dependencies"]
    named = re.search(r"\[(.*)\]", extras["all"][0])[1].split(",")
    assert set(named) == extras.keys() - {"all"}


def test_the_slow_torch_is_left_out():
    (torch,) = (d for d in PROJECT["dependencies"] if d.startswith("torch"))
    assert "!=2.9.*" in torch
    assert ">=2.6" in torch


def test_ci_runs_the_readmes_test_command():
    run = (ROOT / ".ci/run").read_text()
    pattern = re.search(r"sed -n 's/(.*?)/\\1/p' README\.md", run)[1]
    shown = subprocess.run(
        ["sed", "-n", f"s/{pattern}/\\1/p", ROOT / "README.md"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == ['python -m pip install -e ".[test]" && pytest']


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("ssl3d_lite", "torch napari IPython monai matplotlib lightning_fabric pydantic"),
        ("ssl3d_lite.tasks", "napari IPython monai matplotlib lightning_fabric pydantic"),
        ("ssl3d_lite.training.pretraining", "napari IPython monai matplotlib"),
        ("ssl3d_lite.data.cohort", "napari IPython monai matplotlib torch"),
        ("ssl3d_lite.show", "napari IPython monai matplotlib"),
    ],
)
def test_importing_stays_light(module, heavy):
    code = f"import sys, {module}; sys.exit(str(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"
