"""What each solved assignment costs: seconds of processor time on one thread, and peak memory.

python tests/course/measure.py          at smoke and class scale, each in a process of its own
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def one(name: str) -> None:
    import torch
    from course.quick import points, with_hidden_tests

    from ssl3d_lite.course.sources import (
        assignment_files,
        read_assignment,
        solved,
    )

    torch.set_num_threads(1)
    assignment = read_assignment(assignment_files()[name])
    begin, failures = time.process_time(), {}
    got = points(
        with_hidden_tests(solved(assignment.notebook), assignment.notebook), failures=failures
    )
    seconds = time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    scale = os.environ["SSL3D_SCALE"]
    print(
        f"{name} {scale}: {seconds:.0f} s, {memory:.1f} GB, {sum(got.values()):g} points", *failures
    )


def main() -> None:
    from ssl3d_lite.course.build import make_course_cohort
    from ssl3d_lite.course.sources import assignment_files

    with tempfile.TemporaryDirectory() as folder:
        make_course_cohort(Path(folder) / "cohorts/hippocampus", 200)
        for scale in ("smoke", "class"):
            for name in assignment_files():
                env = {**os.environ, "SSL3D_SCALE": scale, "OMP_NUM_THREADS": "1"}
                subprocess.run([sys.executable, __file__, name], cwd=folder, env=env, check=True)


if __name__ == "__main__":
    one(sys.argv[1]) if len(sys.argv) > 1 else main()
