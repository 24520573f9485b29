"""What is left when a process is ended by Ctrl-C: nothing that was not to last."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

HANGS = """
import sys, time
from pathlib import Path
from ssl3d_lite.interrupts import end_on_ctrl_c, temporary_folder
end_on_ctrl_c()
with temporary_folder(sys.argv[1], ".room-") as folder:
    Path(folder, "scan.npy").write_text("a patient")
    while True:
        try:
            print("there", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:  # lost in somebody else's code
            pass
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_temporary_folder_is_gone_although_the_interruption_is_lost(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "there\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "\nssl3d: stopped; what was finished is kept: run the same command again\n"
    assert not list(tmp_path.iterdir())


LASTS = """
import signal, sys, time
from ssl3d_lite.interrupts import end_on_ctrl_c, lasting_folder, leave_stopped
if "background" in sys.argv:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
end_on_ctrl_c()
lasting_folder(sys.argv[1], ".home-")
try:
    print("there", flush=True)
    time.sleep(0 if "ends" in sys.argv else 60)
except KeyboardInterrupt:
    leave_stopped()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("how", "sent", "code"),
    [
        ("ends", [], 0),
        ("stopped", [signal.SIGINT], 130),
        ("background", [signal.SIGINT, signal.SIGTERM], 130),
    ],
)
def test_a_lasting_folder_is_gone_with_its_process(tmp_path, how, sent, code):
    command = [sys.executable, "-c", LASTS, str(tmp_path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        for number in sent:
            assert process.poll() is None
            process.send_signal(number)
        assert process.wait(30) == code
    assert not list(tmp_path.iterdir())


WORKS = """
import multiprocessing, time
from ssl3d_lite.interrupts import end_on_ctrl_c, leave_stopped
end_on_ctrl_c()
worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(300,))
worker.start()
print(worker.pid, flush=True)
leave_stopped()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_workers_end_with_the_process_that_started_them():
    with subprocess.Popen([sys.executable, "-c", WORKS], stdout=subprocess.PIPE) as process:
        worker = int(process.stdout.readline())
        assert process.wait(30) == 130
    for _ in range(300):  # it is killed, but the system may take its time to take it away
        if _has_ended(worker):
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} still runs")


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
