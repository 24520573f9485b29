"""From a cold start to a printed table: what a student waits for.

    python tests/benchmarks/time_to_result.py [--rounds 3] [--device cpu]

Each command is a process of its own, as on the command line. Prints and, with --json, writes the
seconds of each; the median of the rounds, with the lowest and highest.

hippocampus   200 virtual volumes are made, CPC is pretrained on them, and its probe is set beside
              those of random encoders with three kinds of norm: at most 180 s on two cores
tour          `ssl3d tour`: at most 240 s
import        `import ssl3d_lite` after `import torch`: at most 0.5 s
help          `ssl3d --help`: at most 1 s
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

LIMITS = {"hippocampus": 180, "tour": 240, "import": 0.5, "help": 1}
IMPORT = (
    "import time, torch; start = time.perf_counter(); import ssl3d_lite; "
    "print(time.perf_counter() - start)"
)


def ssl3d(*arguments: str) -> str:
    command = [sys.executable, "-m", "ssl3d_lite.cli", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def hippocampus(folder: Path, device: str) -> float:
    start = time.perf_counter()
    cohort, encoder = str(folder / "cohort"), str(folder / "encoder")
    where = ("--device", device)
    ssl3d("prepare", "virtual-hippocampus", "--out", cohort)
    ssl3d("pretrain", "--cohort", cohort, "--out", encoder, "--device", device)
    print(ssl3d("probe", "--cohort", cohort, "--encoder", encoder, *where).splitlines()[-1])
    for norm in ("batch", "group", "instance"):
        shape = ("--encoder", "random", "--norm", norm)
        told = ssl3d("probe", "--cohort", cohort, *shape, *where).splitlines()[-1]
        print(f"random, {norm}: {told}")
    return time.perf_counter() - start


def tour(folder: Path, device: str) -> float:
    start = time.perf_counter()
    ssl3d("tour", "--out", str(folder / "tour"), "--device", device)
    return time.perf_counter() - start


def imports(folder: Path, device: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def helps(folder: Path, device: str) -> float:
    start = time.perf_counter()
    ssl3d("--help")
    return time.perf_counter() - start


WORK: dict[str, Callable[[Path, str], float]] = {
    "hippocampus": hippocampus,
    "tour": tour,
    "import": imports,
    "help": helps,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for name, work in WORK.items():
        seconds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                seconds.append(work(Path(folder), options.device))
        found[name] = {"seconds": sorted(seconds), "limit": LIMITS[name]}
        told = f"{median(seconds):.2f} s ({min(seconds):.2f}–{max(seconds):.2f})"
        print(f"{name}: {told}, wanted ≤ {LIMITS[name]} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
