"""What Linux says of this process's memory, for programs that tests run: it imports little."""

import re
from pathlib import Path


def process_memory(which: str) -> int:
    """kB: "VmRSS" is what the process holds now, "VmHWM" the most so far.

    ``resource.getrusage`` would tell the peak of the process that began this one, if it was higher.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+)", status)[1])
