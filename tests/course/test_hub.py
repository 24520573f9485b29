"""The settings for a JupyterHub, in a real one: two students log in, work, and log in again."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from ssl3d_lite.course import build

TOKEN = "of-the-tests"
CONFIG = Path(build.__file__).parent / "settings/jupyterhub_config.py"


@pytest.fixture
def given_out(tmp_path):
    """What a course gives to students, in small."""
    course = tmp_path / "srv"
    for name in ("A1.ipynb", "README.md", "cohorts/hippocampus/cohort.json"):
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_text(name)
    return course


def hook(course, homes, monkeypatch):
    """The hook of the settings, outside any hub."""
    monkeypatch.setenv("SSL3D_COURSE", str(course))
    monkeypatch.setenv("SSL3D_HOMES", str(homes))
    spawner = types.SimpleNamespace()
    space = {"get_config": lambda: types.SimpleNamespace(Spawner=spawner)}
    exec(compile(CONFIG.read_text(), str(CONFIG), "exec"), space)
    return lambda name: spawner.pre_spawn_hook(
        types.SimpleNamespace(user=types.SimpleNamespace(name=name))
    )


def test_a_second_login_adds_what_is_new_and_keeps_the_work(tmp_path, given_out, monkeypatch):
    log_in = hook(given_out, tmp_path / "homes", monkeypatch)
    log_in("ann")
    mine = tmp_path / "homes/ann/course"
    assert (mine / "cohorts").resolve() == given_out / "cohorts"
    (mine / "A1.ipynb").write_text("my work")
    (mine / "README.md").unlink()
    (given_out / "A2.ipynb").write_text("new")
    log_in("ann")
    log_in("ben")
    assert (mine / "A1.ipynb").read_text() == "my work"
    assert (mine / "A2.ipynb").read_text() == "new"
    assert (mine / "README.md").exists()
    assert (tmp_path / "homes/ben/course/A1.ipynb").read_text() == "A1.ipynb"
    assert (given_out / "A1.ipynb").read_text() == "A1.ipynb"


# ---- a real hub ----------------------------------------------------------------------------------


def lacking():
    """What a hub needs and this machine has not."""
    if importlib.util.find_spec("jupyterhub") is None:
        return "no JupyterHub: pip install jupyterhub"
    if shutil.which("configurable-http-proxy") is None and proxy_of_repository() is None:
        return "no proxy: npm install configurable-http-proxy"
    return ""


def proxy_of_repository():
    place = Path(__file__).parents[2] / "node_modules/.bin/configurable-http-proxy"
    return place if place.exists() else None


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@pytest.mark.slow
@pytest.mark.skipif(bool(lacking()), reason=lacking() or "-")
def test_two_students_of_a_real_hub_find_their_course_twice(tmp_path, given_out):
    ports = [free_port() for _ in range(3)]
    proxy = shutil.which("configurable-http-proxy") or str(proxy_of_repository())
    (tmp_path / "homes").mkdir()
    own = f"""
exec(compile(open({str(CONFIG)!r}).read(), {str(CONFIG)!r}, "exec"))
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}"
c.JupyterHub.hub_port = {ports[1]}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {str(tmp_path / "homes")!r} + "/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 300
c.JupyterHub.load_roles = [{{"name": "admin", "services": ["test"]}}]
c.JupyterHub.services = [{{"name": "test", "api_token": {TOKEN!r}}}]
"""
    (tmp_path / "hub.py").write_text(own)
    env = {**os.environ, "SSL3D_COURSE": str(given_out), "SSL3D_HOMES": str(tmp_path / "homes")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    with open(tmp_path / "log", "wb") as log:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "hub.py"],
            **{"cwd": tmp_path, "env": env, "stdout": log, "stderr": log},
        )
    try:
        answers = _Hub(f"http://127.0.0.1:{ports[1]}/hub/api", hub, tmp_path / "log")
        for student in ("ann", "ben"):
            answers.ask("POST", f"/users/{student}")
        for student in ("ann", "ben", "ann"):
            answers.start(student)
            notebook = tmp_path / f"homes/{student}/course/A1.ipynb"
            assert notebook.read_text() in ("A1.ipynb", f"work of {student}")
            notebook.write_text(f"work of {student}")
            answers.stop(student)
        assert (tmp_path / "homes/ann/course/A1.ipynb").read_text() == "work of ann"
    finally:
        hub.terminate()
        hub.wait(60)


class _Hub:
    """A hub's own interface."""

    def __init__(self, url, process, log):
        self.url, self.process, self.log = url, process, log
        self.until(lambda: self.ask("GET", "/", quiet=True))

    def ask(self, method, path, quiet=False):
        import requests

        head = {"Authorization": f"token {TOKEN}"}
        try:
            answer = requests.request(method, self.url + path, headers=head, timeout=60)
        except requests.ConnectionError:
            if quiet and self.process.poll() is None:
                return None
            raise AssertionError(self.log.read_text()[-2000:]) from None
        assert answer.status_code < 400, f"{answer.text}\n{self.log.read_text()[-2000:]}"
        return answer.json() if answer.text else {}

    def until(self, what, seconds=300):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.5)
        raise AssertionError(self.log.read_text()[-2000:])

    def start(self, student):
        self.ask("POST", f"/users/{student}/server")
        self.until(lambda: self.server(student).get("ready"))

    def stop(self, student):
        self.ask("DELETE", f"/users/{student}/server")
        self.until(lambda: not self.server(student))

    def server(self, student):
        return json.loads(json.dumps(self.ask("GET", f"/users/{student}")))["servers"].get("", {})
