"""Files that are there whole or not at all: written aside, then renamed."""

import csv
import gzip
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError

PART = ".ssl3d-part"  # how a half-written file ends: nobody else's does, so it may be removed


def atomic_write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let ``write`` fill a file beside ``path``, and rename it when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with open(aside, "wb") as file:
            write(file)
        os.replace(aside, path)
    except OSError as error:
        error.filename = str(path)  # a full disk does not say of which file it has no room
        raise
    finally:
        aside.unlink(missing_ok=True)  # a full disk leaves no half file behind


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written below ``folder``, where nobody else writes."""
    for aside in folder.rglob(f".*{PART}"):
        aside.unlink(missing_ok=True)


def files_below(folder: Path) -> Iterator[Path]:
    """All files in ``folder`` and its folders, links followed, in order; none that is hidden.

    Data managers keep files elsewhere and link to them; what begins with a dot is their own, or
    litter of a desktop. Pipes and devices are no files. Folders that cannot be opened are passed
    over: see :func:`locked_below`.

    Raises:
        InputError: ``folder`` itself cannot be opened.
    """
    yield from _walk(folder, [])


def locked_below(folder: Path) -> list[Path]:
    """The folders in ``folder``, at any depth, whose files nobody here may see."""
    locked: list[Path] = []
    for _ in _walk(folder, locked):
        pass
    return locked


def _walk(folder: Path, locked: list[Path]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        if Path(error.filename) != folder:
            locked.append(Path(error.filename))
        elif isinstance(error, PermissionError):
            raise InputError(f"{folder} cannot be opened: {error.strerror}")

    seen = set()
    for place, folders, names in os.walk(folder, onerror=note, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(name for name in folders if name[0] != "." and real not in seen)
        if real not in seen:  # a link that leads back up
            paths = (Path(place) / name for name in sorted(names) if name[0] != ".")
            yield from (path for path in paths if not _is_pipe_or_device(path))
        seen.add(real)


def _is_pipe_or_device(path: Path) -> bool:
    try:
        kind = path.stat().st_mode
    except OSError:  # a link that leads nowhere: whoever opens it will say so
        return False
    return not stat.S_ISREG(kind)


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; of a folder, that of the names and sums of its files."""
    if path.is_dir():
        sums = {file.name: checksum(file) for file in sorted(path.iterdir()) if file.is_file()}
        return hashlib.sha256(json.dumps(sums).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_gzip(path: Path, data: bytes, level: int = 6) -> None:
    """Save ``data`` compressed."""
    compressed = gzip_bytes(data, level)
    atomic_write(path, lambda file: file.write(compressed))


def gzip_bytes(data: bytes, level: int = 6) -> bytes:
    """``data`` compressed. No time stamp goes in: the same data, the same bytes."""
    return gzip.compress(data, compresslevel=level, mtime=0)


def write_json(path: Path, record: Any) -> None:
    """Save ``record`` as JSON, whole or not at all."""
    text = json.dumps(record, indent=1, allow_nan=False)
    atomic_write(path, lambda file: file.write(text.encode()))


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is missing or no JSON; the message calls it ``what``.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {what} in {path.parent}: {path.name} is missing") from None
    except (OSError, ValueError) as reason:
        raise InputError(f"{path} cannot be read as a {what}: {reason}") from None


# ---- tables ------------------------------------------------------------------------------------

_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet would compute


class _Plain(csv.excel):
    lineterminator = "\n"


class _Quoted(_Plain):
    quoting = csv.QUOTE_ALL


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Save a table, whole or not at all. A column that a row does not have stays empty in it.

    A text that a spreadsheet would take for a formula begins with an apostrophe in the file;
    :func:`plain_cell` gives it back as it was.
    """
    data = csv_bytes(rows)
    atomic_write(path, lambda file: file.write(data))


def csv_bytes(rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> bytes:
    """A table as :func:`write_csv` saves it."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = StringIO(newline="")
    for row in [columns, *([row.get(name, "") for name in columns] for row in rows)]:
        cells = [_harmless(cell) for cell in row]
        returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        kind = _Quoted if returns else _Plain  # which leaves them bare
        csv.writer(text, kind, delimiter=delimiter).writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table that :func:`write_csv` saved, or a spreadsheet since then.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        raise InputError(f"{path} cannot be read as a table: {reason}") from None
    for row in rows:
        yield {plain_cell(name): plain_cell(cell or "") for name, cell in row.items() if name}


def plain_cell(text: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from computing it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not _FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
