"""Reads a submitted file: JSON in, the cells that count out, in a process of its own with limits.

``python -I reader.py < A1.ipynb``. A file of a student's may be made to eat memory or time while it
is parsed, and an honest one may hold a hundred megabytes of printed lines. Outputs are dropped
here. Nothing but the standard library is imported, so that this starts at once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_SECONDS, _MEMORY = 20, 3 * 2**30
_MOST_KEPT = 5_000_000  # bytes of cells, outputs left out


class UnreadableError(ValueError):
    """A submission cannot be read; the message says why in a few words."""


def read_cells(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook, whatever its metadata are; each source is one text.

    Raises:
        UnreadableError: it is no notebook.
    """
    command = [sys.executable, "-I", str(Path(__file__))]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=3 * _SECONDS)
    except subprocess.TimeoutExpired:
        raise UnreadableError("reading it takes too long") from None
    if done.returncode:
        raise UnreadableError("reading it takes too much memory or time")
    found = json.loads(done.stdout)
    if isinstance(found, str):
        raise UnreadableError(found)
    return found


def parse_cells(data: bytes) -> list[dict[str, Any]]:
    """What ``read_cells`` gives, without limits.

    Raises:
        UnreadableError: it is no notebook.
    """
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as reason:
        raise UnreadableError(f"not a notebook: {_short(reason)}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise UnreadableError("not a notebook: it has no cells")
    read = []
    for cell in cells:
        source = cell.get("source", "") if isinstance(cell, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if isinstance(source, str):
            source = source.encode("utf-8", "replace").decode()  # no half surrogate pairs
            source = source.replace("\r\n", "\n").replace("\r", "\n")
            kept = {name: cell[name] for name in ("cell_type", "id") if name in cell}
            read.append({**kept, "metadata": _mark(cell), "source": source})
    return read


def _mark(cell: dict[str, Any]) -> dict[str, Any]:
    """nbgrader's metadata, if they are in order; those of Colab, VS Code and others are dropped."""
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = mark.get("grade_id") if isinstance(mark, dict) else None
    return {"nbgrader": {"grade_id": grade_id}} if isinstance(grade_id, str) else {}


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= 80 else text[:79] + "…"


def _main() -> None:
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    data = sys.stdin.buffer.read()
    try:
        told = json.dumps(parse_cells(data)).encode()
    except UnreadableError as reason:
        told = json.dumps(str(reason)).encode()
    if len(told) > _MOST_KEPT:
        told = json.dumps(f"{len(told) / 1e6:.0f} MB of cells are too many").encode()
    sys.stdout.buffer.write(told)


if __name__ == "__main__":
    _main()
