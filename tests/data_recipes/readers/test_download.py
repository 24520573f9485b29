"""Downloads, from a real server on this machine that does what servers do on bad days."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data_recipes.readers.download import ATTEMPTS, CHUNK, fetch
from ssl3d_lite.errors import InputError


class Server(ThreadingHTTPServer):
    """Serves ``content`` at any path, and writes down which bytes were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.content = b""
        self.knows_ranges = True
        self.status = 200  # any other: an error page
        self.cut_after: list[int] = []  # bytes after which to hang up, one number a request
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/Task.tar"

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.server.status != 200:
            return self.send_error(self.server.status)
        if not self.server.knows_ranges:
            start = 0
        body = self.server.content[start:]
        if start and not body:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut_after:
            body = body[: self.server.cut_after.pop(0)]
        self.wfile.write(body)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        server.content = archive({"Task/readme": b"hello", "Task/big": noise(400_000)})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def noise(length: int) -> bytes:
    return np.random.default_rng(0).bytes(length)


def archive(files: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in others:
            tar.addfile(member)
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_archive_is_fetched_once(server, tmp_path):
    folder = fetch(server.url, server.md5, tmp_path / "cache" / "Task")
    assert (folder / "Task/readme").read_bytes() == b"hello"
    assert (folder / "Task/big").read_bytes() == noise(400_000)
    assert names(tmp_path / "cache") == ["Task"]  # the archive has served
    fetch(server.url, server.md5, folder)
    assert server.asked == [None]


def test_a_broken_connection_is_continued(server, tmp_path):
    server.cut_after = [2 * CHUNK, CHUNK + 7]
    folder = fetch(server.url, server.md5, tmp_path / "Task")
    assert server.asked == [None, f"bytes={2 * CHUNK}-", f"bytes={3 * CHUNK}-"]
    assert (folder / "Task/big").read_bytes() == noise(400_000)


def test_a_connection_that_keeps_breaking_is_continued_by_the_next_call(server, tmp_path):
    server.cut_after = [CHUNK] * ATTEMPTS
    with pytest.raises(InputError, match="the same command goes on from there"):
        fetch(server.url, server.md5, tmp_path / "Task")
    assert names(tmp_path) == [".Task.tar.ssl3d-part"]
    fetch(server.url, server.md5, tmp_path / "Task")
    assert server.asked[-1] == f"bytes={CHUNK * ATTEMPTS}-"
    assert names(tmp_path) == ["Task"]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.knows_ranges = False
    server.cut_after = [CHUNK]
    folder = fetch(server.url, server.md5, tmp_path / "Task")
    assert server.asked == [None, f"bytes={CHUNK}-"]
    assert (folder / "Task/big").read_bytes() == noise(400_000)


def test_killed_between_the_last_byte_and_the_checksum(server, tmp_path):
    (tmp_path / ".Task.tar.ssl3d-part").write_bytes(server.content)
    fetch(server.url, server.md5, tmp_path / "Task")
    assert server.asked == [f"bytes={len(server.content)}-"]
    assert names(tmp_path) == ["Task"]


def test_a_wrong_checksum(server, tmp_path):
    with pytest.raises(InputError, match="the checksum is wrong, so the file was removed"):
        fetch(server.url, "0" * 32, tmp_path / "Task")
    assert names(tmp_path) == []


def test_a_part_of_another_file_is_found_out_and_removed(server, tmp_path):
    (tmp_path / ".Task.tar.ssl3d-part").write_bytes(bytes(1000))
    with pytest.raises(InputError, match="the checksum is wrong"):
        fetch(server.url, server.md5, tmp_path / "Task")
    fetch(server.url, server.md5, tmp_path / "Task")
    assert names(tmp_path) == ["Task"]


def test_an_error_page(server, tmp_path):
    server.status = 404
    with pytest.raises(InputError, match="cannot be downloaded: 404") as error:
        fetch(server.url, server.md5, tmp_path / "Task")
    assert "\n" not in str(error.value)
    assert names(tmp_path) == []


def test_no_server(tmp_path):
    with pytest.raises(InputError, match="cannot be downloaded"):
        fetch("http://127.0.0.1:9/Task.tar", "0" * 32, tmp_path / "Task")


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def device(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.CHRTYPE
    return member


@pytest.mark.parametrize(
    "content",
    [
        archive({"Task/a": b"fine", "../evil": b""}),
        archive({"Task/a": b"fine", "Task/../../evil": b""}),
        archive({"Task/a": b"fine", "/tmp/evil": b""}),
        archive({"Task/a": b"fine"}, link("Task/out", "../../evil")),
        archive({"Task/a": b"fine"}, link("Task/out", "/etc/passwd")),
        archive({"Task/a": b"fine"}, link("Task/out", "../evil", tarfile.LNKTYPE)),
        archive({"Task/a": b"fine"}, device("Task/null")),
        b"no archive at all" * 100,
        archive({"Task/a": noise(9000)})[:5000],
    ],
    ids=["up", "below", "absolute", "link", "far link", "hard link", "device", "no tar", "cut"],
)
def test_an_archive_that_cannot_be_trusted(server, tmp_path, content):
    server.content = content
    with pytest.raises(InputError, match="cannot be unpacked") as error:
        fetch(server.url, server.md5, tmp_path / "cache" / "Task")
    assert "\n" not in str(error.value)
    assert "Task" not in names(tmp_path / "cache")
    assert not any(path.name.endswith(".unpacking") for path in (tmp_path / "cache").iterdir())
    assert names(tmp_path) == ["cache"]
    assert not Path("/tmp/evil").exists()


def test_what_a_killed_unpacking_left_is_removed(server, tmp_path):
    (tmp_path / ".Task.unpacking.ssl3d-part" / "half").mkdir(parents=True)
    folder = fetch(server.url, server.md5, tmp_path / "Task")
    assert names(tmp_path) == ["Task"]
    assert names(folder) == ["Task"]


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="cannot write to"):
        fetch(server.url, server.md5, tmp_path / "cache" / "Task")
