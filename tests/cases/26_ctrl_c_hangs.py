"""Ctrl-C (SIGINT to all processes of the terminal) while `prepare` works with several processes.

Within 10 seconds the command ends, with exit code 130 or another that is not 0, no process of it is left,
nothing like a traceback is printed by it or its workers, and the same command goes on later. Tried three to
eight times at random moments, for a minute, since it went wrong in some tries only.
"""

import os
import shutil
import signal
import subprocess
import time

import numpy as np
from common import ONE, Cohort, blob, check, environment, expect, program, save, ssl3d


@check
def main(w):
    for i in range(150):
        save(w / f"raw/p{i:03d}.nii", blob((8, 8, 8), seed=i)[0])
    random, hung, traces, zero, left = np.random.default_rng(0), 0, 0, 0, 0
    start = time.time()
    for n in range(8):
        if n > 2 and (time.time() - start > 60 or traces):
            break
        shutil.rmtree(w / "c", ignore_errors=True)
        with open(w / "err", "w") as err:
            process = subprocess.Popen(
                [program(), "prepare", "folder", "--raw", str(w / "raw"), "--workers", "4", "--out", str(w / "c")],
                stdout=err, stderr=err, env=environment(), start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
            end = time.time() + 30
            while (
                len(list(w.glob("c/images/*.npy"))) < 5
                and process.poll() is None
                and time.time() < end
            ):
                time.sleep(0.02)
            time.sleep(random.uniform(0, 0.3))
            if process.poll() is not None:
                continue
            os.killpg(process.pid, signal.SIGINT)
            try:
                zero += (
                    process.wait(20) == 0 and not (w / "c/cohort.json").exists()
                )  # it was through already
                for _ in range(50):  # up to 5 s for the workers to end
                    time.sleep(0.1)
                    os.killpg(process.pid, 0)
                left += 1
                os.killpg(process.pid, signal.SIGKILL)
            except subprocess.TimeoutExpired:
                hung += 1
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            except ProcessLookupError:
                pass
        traces += "Traceback" in (w / "err").read_text()
    expect(not hung, f"hung {hung} times")
    expect(not traces, f"a traceback {traces} times")
    expect(not left, f"workers were left {left} times")
    expect(not zero, f"exit 0 {zero} times")
    result = ssl3d("prepare", "folder", "--raw", w / "raw", *ONE, "--out", w / "c")
    expect(
        result.rc == 0 and len(Cohort(w / "c").cases) == 150,
        f"the same command afterwards: {result.last}",
    )
