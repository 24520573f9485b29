"""From ``pip install`` to the first picture, in a fresh environment: what the first minute is.

    python tests/benchmarks/first_minute.py [--keep FOLDER] [--torch-index URL]

Makes an empty virtual environment, installs this repository with its notebooks into it, and draws
the README's first puzzle there, in a process of its own. Each step is timed, on this machine's
network. pip may use its cache; ``PIP_NO_CACHE_DIR=1`` forbids it, and is the honest first time.
Run it by hand, on a machine that does nothing else.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[2]
INSTALL = "-m pip install"


def first_picture() -> str:
    """The README's own lines, as far as the first picture."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.S)
    assert code is not None
    lines, saved, _ = code[1].partition('.savefig("puzzle.png")')
    assert saved, "the README draws no picture puzzle.png"
    return f"{lines}{saved}\n"


def steps(folder: Path, torch_index: str) -> dict[str, list[str]]:
    """What is done, each with its command."""
    python = str(folder / "environment/bin/python")
    cpu = ["--index-url", torch_index] if torch_index else []
    return {
        "an empty environment": [sys.executable, "-m", "venv", str(folder / "environment")],
        "torch": [python, *INSTALL.split(), "-q", *cpu, "torch"],
        "ssl3d_lite and notebooks": [python, *INSTALL.split(), "-q", f"{ROOT}[notebooks]"],
        "the first picture": [python, "-c", first_picture()],
        "the first picture again": [python, "-c", first_picture()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder for the environment; by default none")
    parser.add_argument("--torch-index", default="", help="address of torch's CPU builds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        total = 0.0
        own = {"PYTHONPATH": "", "MPLBACKEND": "Agg"}
        for name, command in steps(folder, asked.torch_index).items():
            start = perf_counter()
            subprocess.run(command, cwd=folder, env=os.environ | own, check=True)
            seconds = perf_counter() - start
            total += seconds if name != "the first picture again" else 0
            print(f"{name:28} {seconds:6.1f} s", flush=True)
        assert (folder / "puzzle.png").stat().st_size > 10_000
        print(f"{'install to first picture':28} {total:6.1f} s")


if __name__ == "__main__":
    main()
