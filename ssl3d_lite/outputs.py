"""Where a command may write: nothing is touched that the program did not write.

An output folder is new, empty, or carries the mark of the same command, a small hidden file.
Anything else is refused, with what lies there::

    with claimed(Path("runs/cpc"), "pretrain") as folder:
        ...  # no other process can claim it meanwhile

A file that stands in a folder of the user's own has no mark beside it, so it bears its own: see
:func:`ssl3d_lite.html.write_html`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import PART, atomic_write, checksum, clear_leftovers, write_json

MARK = ".ssl3d.json"  # {"command": …, "files": […]}
LOCK = ".ssl3d.lock"  # held while a command is at work in the folder
SUMS = ".ssl3d.sha256"  # a line a file, as sha256sum writes them
_LITTER = {".ds_store", ".directory", ".localized", "thumbs.db", "desktop.ini", "lost+found"}
_SHOWN = 3  # names of foreign files that are told

Known = Callable[[Path], bool]


# ---- folders -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnFolder:
    """A folder that a command may write to, while no other process does."""

    folder: Path
    command: str

    def reserve(self, names: Iterable[str], own: Iterable[str] = ()) -> None:
        """Say which files will be written, before the first is.

        Args:
            names: relative to the folder.
            own: those that the folder's contents tell to be the command's own, whoever made it.

        Raises:
            InputError: one is there that the command has not written, such as a picture that a
                user keeps in the folder.
        """
        names, mark = list(names), _read_mark(self.folder) or {}
        known = {*own, *mark.get("files", ())}
        foreign = [name for name in names if name not in known and _is_there(self.folder / name)]
        _refuse(self.folder, foreign, f"`ssl3d {self.command}` did not write")
        if known | set(names) != set(mark.get("files", ())):
            files = sorted(known | set(names))
            _write_mark(self.folder, {"command": self.command, "files": files})


@contextmanager
def claimed(
    folder: str | Path, command: str, made_before: Known = lambda folder: False, alone: bool = True
) -> Iterator[OwnFolder]:
    """Make ``folder``, or take it if it is ``command``'s own, and hold it for a while.

    Args:
        command: as it stands after ``ssl3d``; goes into the folder's mark.
        made_before: whether a folder without a mark holds what the command writes. The first
            versions left no mark.
        alone: whether no other process writes there, so that what killed ones left half-written can
            be removed.

    Raises:
        InputError: other things lie there; another process is at work there; it cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, command, made_before)
    is_new = not folder.exists()
    with _said(folder):
        folder.mkdir(parents=True, exist_ok=True)
        let_go = _lock(folder)
    try:
        check_folder(folder, command, made_before)  # another process may have been quicker
        mark = _read_mark(folder)
        if mark is None or mark["command"] != command:
            _write_mark(folder, {"command": command})
        if alone:
            clear_leftovers(folder)
        yield OwnFolder(folder, command)
    finally:
        let_go()
        if is_new and not _contents(folder):
            _remove_empty(folder)


def check_folder(folder: Path, command: str, made_before: Known = lambda folder: False) -> None:
    """Raise InputError unless ``command`` may write to ``folder``; nothing is written."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder} is a link that leads nowhere; give another folder")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give another folder")
    there, mark = _contents(folder), _read_mark(folder)
    if not there or (mark and mark["command"] == command):
        return
    if mark:
        made = f"was made by `ssl3d {mark['command']}`, so `ssl3d {command}` writes nothing there"
        raise InputError(f"{folder} {made}; give another folder")
    if not made_before(folder):
        _refuse(folder, there, f"`ssl3d {command}` did not make")


def check_empty(folder: Path) -> None:
    """Raise InputError unless a folder is new or empty: for what is made once, as a whole."""
    check_folder(folder, "", lambda folder: True)
    _refuse(folder, _contents(folder), "are there already")


def _contents(folder: Path) -> list[str]:
    """Names in a folder, but for what a desktop, a disk or a claim leaves: with no other, it is
    empty."""
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    except OSError as reason:
        raise InputError(
            f"{folder} cannot be read: {reason.strerror}; give another folder"
        ) from None
    foreign = {MARK} if _read_mark(folder) is None else set()  # a file of the user's, so called
    return [n for n in names if n in foreign or not (_is_own(n) or _is_litter(n))]


def _is_own(name: str) -> bool:
    return name in (MARK, LOCK) or (name.startswith(f".{MARK}.") and name.endswith(PART))


def _is_litter(name: str) -> bool:
    return name.lower() in _LITTER or name.startswith(("._", ".nfs"))


def _remove_empty(folder: Path) -> None:
    """Remove a folder in which a command that was stopped has written nothing."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _is_own(path.name):
                path.unlink()
        folder.rmdir()


def _read_mark(folder: Path) -> dict[str, Any] | None:
    """The mark of a folder; None if it has none."""
    try:
        mark = json.loads((folder / MARK).read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(mark, dict) and isinstance(mark.get("command"), str)
    return mark if whole and isinstance(mark.get("files", []), list) else None


def _write_mark(folder: Path, mark: dict[str, Any]) -> None:
    with _said(folder):
        write_json(folder / MARK, mark)


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """Say in a line that a folder cannot be written to."""
    try:
        yield
    except OSError as reason:
        raise InputError(
            f"cannot write to {folder}: {reason.strerror or reason}; make room there, or give "
            "another folder"
        ) from None


def _refuse(folder: Path, names: list[str], why: str) -> None:
    """Raise InputError if there are names of files that are not ours."""
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise InputError(
            f"{folder} holds {', '.join(names[:_SHOWN])}{more}, which {why}; nothing there is "
            "touched: give another folder"
        )


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _lock(folder: Path) -> Callable[[], Any]:
    """Keep other processes out of a folder; returns what lets them in again.

    Raises:
        InputError: one is in.
    """
    from filelock import FileLock, Timeout

    # one lock a folder: what this process holds already, it may claim again
    lock = FileLock(str(folder.resolve() / LOCK), is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process is running in {folder}; wait for it, or give another folder"
        ) from None
    except NotImplementedError:  # a file system without locks
        return lambda: None
    return lock.release


# ---- files that a person may correct -------------------------------------------------------------


@dataclass
class Corrigible:
    """Files of a folder that a person may go on with, such as predictions that are corrected.

    The checksum of each is noted before it is written, so whatever has another was written, or
    changed, by somebody else, and is not written over.
    """

    folder: Path
    command: str
    sums: dict[str, set[str]] = field(default_factory=dict)  # name → of all that we have written

    def __post_init__(self) -> None:
        for line in self._noted().splitlines():
            written, _, name = line.partition("  ")
            self.sums.setdefault(name, set()).add(written)

    def _noted(self) -> str:
        path = self.folder / SUMS
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def check(self, names: Iterable[str]) -> None:
        """Raise InputError if one of these files is there and is not as it was written."""
        changed = [name for name in names if not self._as_written(name)]
        _refuse(self.folder, changed, f"`ssl3d {self.command}` did not write, or has been changed")

    def write(self, name: str, data: bytes) -> Path:
        """Write a file, or write it again if it is as it was written."""
        self.check([name])
        written, path = hashlib.sha256(data).hexdigest(), self.folder / name
        if written not in self.sums.get(name, ()):
            self._note(f"{written}  {name}\n")
            self.sums.setdefault(name, set()).add(written)
        atomic_write(path, lambda file: file.write(data))
        return path

    def _note(self, line: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with _said(self.folder), open(self.folder / SUMS, "a+b") as file:
            if file.tell() and not self._noted().endswith("\n"):  # cut off by a kill
                line = f"\n{line}"
            file.write(line.encode())

    def _as_written(self, name: str) -> bool:
        path = self.folder / name
        if not _is_there(path):
            return True
        return path.is_file() and checksum(path) in self.sums.get(name, ())


# ---- single files --------------------------------------------------------------------------------


def check_file(path: Path, is_own: Known, what: str) -> None:
    """Raise InputError unless ``path`` is new, or a file that ``is_own`` knows as ``what``."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a new file")
    if _is_there(path) and not (path.is_file() and is_own(path)):
        raise InputError(
            f"{path} is there already, and it is no {what} as this program wrote it; it is not "
            "touched: give the name of a new file"
        )
