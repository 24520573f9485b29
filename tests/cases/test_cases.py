"""Every case beside this file, as a test: a script that treats the command line as a user would.

Run one by hand with ``python tests/cases/NN_name.py``: it prints ``ok``, or ``FAULT:`` and what it
saw. Cases that take long are marked slow.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("[0-9][0-9]_*.py"))
FAST = {
    "02",
    "03",
    "06",
    "08",
    "09",
    "10",
    "11",
    "14",
    "15",
    "30",
    "31",
    "34",
    "35",
    "36",
    "42",
    "48",
}
NOT_HERE = ("no real scans", "no ordinary user")  # a case says so, where it cannot be tried


def marks(script: Path) -> list[pytest.MarkDecorator]:
    return [] if script.name[:2] in FAST else [pytest.mark.slow]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "script", [pytest.param(script, id=script.stem, marks=marks(script)) for script in SCRIPTS]
)
def test_case(script: Path) -> None:
    home = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{home}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=880
    )
    verdict = (done.stdout.strip().splitlines() or [f"no verdict: {done.stderr[-300:]}"])[-1]
    if any(reason in verdict for reason in NOT_HERE):
        pytest.skip(verdict)
    assert verdict == "ok"
