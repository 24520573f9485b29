"""What is left when a process is ended by Ctrl-C: nothing that was not to last."""

import os
import signal
import subprocess
import sys

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
