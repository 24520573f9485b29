import os
import subprocess
import sys

import pytest

CODE = """
from tqdm import tqdm
from ssl3d_lite.machine.progress import hidden_if
list(tqdm(range(3), desc="counting", **hidden_if({condition})))
"""


@pytest.mark.parametrize(
    ("condition", "disabled", "shown"),
    [
        (False, None, True),
        (True, None, False),
        (False, "1", False),  # disable=False would be shown all the same
        (True, "1", False),
    ],
)
def test_a_bar_is_hidden_where_it_is_not_wanted(condition, disabled, shown):
    others = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    environment = others | ({"TQDM_DISABLE": disabled} if disabled else {})
    code = CODE.format(condition=condition)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert ("counting" in done.stderr) == shown
