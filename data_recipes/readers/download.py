"""Fetch an archive once: over a connection that may break, with a checksum, and unpack it safely.

The transfer is ours, because pooch starts over when a connection breaks or the program is killed,
and an archive here can be 27 GB.
"""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

import pooch
import requests
from tqdm.auto import tqdm

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import PART

ATTEMPTS = 5  # at one transfer, before the user is asked to try again
BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
TIMEOUT = 60  # seconds without a byte
CHUNK = 2**16  # bytes; what is lost when a connection breaks


def fetch(url: str, md5: str, folder: Path) -> Path:
    """Download a tar archive and unpack it as ``folder``, unless that is there; return ``folder``.

    A transfer that broke off is continued, now or by the next call.

    Raises:
        InputError: no connection; a wrong checksum; an archive that is none or would write outside
            ``folder``; a full disk. ``folder`` is there whole or not at all.
    """
    if folder.exists():
        return folder
    part = folder.with_name(f".{folder.name}.tar{PART}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        if pooch.file_hash(part, alg="md5") != md5:
            part.unlink()
            raise InputError(f"{url}: the checksum is wrong, so the file was removed; try again")
        _unpack(part, folder)
    except requests.RequestException as reason:
        hint = "; the same command goes on from there" if part.exists() else ""
        raise InputError(f"{url} cannot be downloaded: {reason}{hint}") from None
    except tarfile.TarError as reason:
        raise InputError(f"{url} cannot be unpacked: {' '.join(str(reason).split())}") from None
    except OSError as reason:
        raise InputError(f"cannot write to {folder.parent}: {reason.strerror or reason}") from None
    part.unlink()
    return folder


def _download(url: str, part: Path) -> None:
    for left in reversed(range(ATTEMPTS)):
        try:
            _continue(url, part)
            break
        except BROKEN:
            if not left:
                raise


def _continue(url: str, part: Path) -> None:
    """Append to ``part`` what is missing of ``url``; start over if the server cannot do that."""
    done = part.stat().st_size if part.exists() else 0
    wanted = {"Range": f"bytes={done}-"} if done else {}
    with requests.get(url, headers=wanted, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is left to send: the checksum will tell
        response.raise_for_status()
        continues = response.status_code == requests.codes.partial_content
        done = done if continues else 0
        total = done + int(response.headers.get("Content-Length", 0))
        with (
            open(part, "ab" if continues else "wb") as file,
            tqdm(
                total=total, initial=done, desc=url.rpartition("/")[2], unit="B", unit_scale=True
            ) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _unpack(archive: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.unpacking{PART}")
    shutil.rmtree(aside, ignore_errors=True)  # left by a run that was killed
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(aside, filter=_stay_inside)
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _stay_inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Refuse what would leave the folder; tarfile itself would take an absolute path for inside."""
    if PurePosixPath(member.name).is_absolute():
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, folder)
