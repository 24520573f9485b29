"""A proxy task is arithmetic on torch: importing one brings in nothing heavier."""

import subprocess
import sys

HEAVY = {
    *("lightning", "lightning_fabric", "torch._dynamo", "monai", "pydantic", "scipy", "sklearn"),
    *("matplotlib", "pandas", "nibabel", "nilearn", "napari", "IPython"),
}
CODE = f"""
import resource, sys

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

import torch
before, own = set(sys.modules), cpu()
import ssl3d_lite.tasks
print(cpu() - own)
print(sorted((set(sys.modules) - before) & {HEAVY!r}))
"""


def test_importing_the_tasks_costs_what_torch_costs():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 0.4, "seconds of CPU beyond torch's own"


def test_collectives_need_torch_alone():
    code = (
        "import sys, torch; before = set(sys.modules); import ssl3d_lite.machine.collectives; "
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    found = set(eval(done.stdout)) - set(sys.stdlib_module_names)
    assert found <= {"ssl3d_lite", "torch", "lazy_loader"}, done.stderr  # the last is tiny
