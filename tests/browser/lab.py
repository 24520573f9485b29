"""A real JupyterLab in a headless Chromium, for tests of what a reader sees and touches.

In a test under ``tests/browser/`` (the fixture ``lab`` is in ``conftest.py``)::

    def test_a_click_moves_the_cross(lab):
        notebook = lab.open([SETUP, "view = Slices(volume)\\nview"])  # runs all cells
        canvas = notebook.locate(".ssl3d-slices canvas").first        # a playwright Locator
        before = notebook.pixels(canvas)                              # (height, width, 3) uint8
        canvas.click(position={"x": 20, "y": 30})
        notebook.until(lambda: (notebook.pixels(canvas) != before).any(), "changed pixels")
        assert notebook.run("print(view.voxel)") == "[4, 9, 12]"      # a later cell's text
        assert notebook.errors == [] and notebook.outside == []

``notebook.page`` is the playwright Page, ``notebook.evaluate("…")`` runs JavaScript,
``notebook.theme("JupyterLab Dark")`` changes the theme, ``notebook.screenshot(path)`` keeps a
picture. A cell that raises makes ``open`` and ``run`` fail with its traceback. Starting takes
about 5 s, opening a notebook about 4 s: share one between tests by a fixture of scope "module".
"""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright

TOKEN = "a-token-for-tests"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
NO_NOISE = ("favicon",)  # what the console may complain about
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # all cells in the page, seen or not; and nothing written while a test looks
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
PANEL = "jupyterapp.shell.currentWidget"  # the notebook, as JupyterLab's own object
RUN_CELL = """async source => {
    const panel = %s, cells = panel.content.model.sharedModel;
    cells.insertCell(cells.cells.length, {cell_type: "code", source});
    panel.content.activeCellIndex = cells.cells.length - 1;
    await jupyterapp.commands.execute("notebook:run-cell");
    return cells.cells.length - 1;
}""" % (PANEL)  # noqa: UP031  (braces are JavaScript's)


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Server:
    """A ``jupyter lab`` of its own: its settings and its files lie in ``folder``."""

    def __init__(self, folder: Path):
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        config = folder / "config"
        (config / "labconfig").mkdir(parents=True)
        (config / "labconfig/default_setting_overrides.json").write_text(json.dumps(OVERRIDES))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "lab.log"
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
        command += ["--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}"]
        command += [f"--ServerApp.root_dir={self.files}", "--LabApp.expose_app_in_browser=True"]
        private = {
            "JUPYTER_CONFIG_DIR": config,
            "JUPYTER_DATA_DIR": folder / "data",
            "JUPYTER_RUNTIME_DIR": folder / "runtime",
            "IPYTHONDIR": folder / "ipython",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | {name: str(path) for name, path in private.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float = 240) -> None:
        """Until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; has the end of its log.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api/status?token={TOKEN}", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f"jupyter lab did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End it and its kernels."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Lab:
    """A server with a browser before it. Notebooks are opened one by one."""

    def __init__(self, server: Server, playwright: Playwright, executable: str):
        self.server = server
        self.browser: Browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        self.notebooks: list[Notebook] = []

    def open(
        self,
        cells: Sequence[str],
        *,
        width: int = 1200,
        height: int = 1000,
        timeout: float = 240,
    ) -> "Notebook":
        """Write a notebook of code cells, open it in a page of its own and run it.

        Args:
            cells: their sources.
            width: of the window, like ``height`` in pixels.
            timeout: seconds that the cells may take.

        Raises:
            AssertionError: a cell raised; the message is its traceback.
        """
        name = f"{next(NUMBER)}.ipynb"
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(made, self.server.files / name)
        page = self.browser.new_page(viewport={"width": width, "height": height})
        notebook = Notebook(page, self.server.url)
        self.notebooks.append(notebook)
        page.set_default_timeout(timeout * 1000)
        page.goto(f"{self.server.url}/lab/tree/{name}?reset&token={TOKEN}")
        page.wait_for_function(f"globalThis.jupyterapp && {PANEL}?.sessionContext?.session?.kernel")
        page.evaluate(f"{PANEL}.sessionContext.ready.then(() => {PANEL}.context.ready)")
        page.evaluate("jupyterapp.shell.collapseLeft()")
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        for index in range(len(cells)):
            notebook.text(index)
        page.set_default_timeout(20_000)
        return notebook

    def close(self) -> None:
        for notebook in self.notebooks:
            notebook.close()
        self.browser.close()


NUMBER = count()


class Notebook:
    """A notebook that is open in JupyterLab.

    Attributes:
        page: playwright's.
        errors: what the browser's console and the page's scripts complained of, so far.
        requests: every address that the page has asked for, so far.
    """

    def __init__(self, page: Page, url: str):
        self.page, self.url = page, url
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        page.on("console", self._listen)

    def _listen(self, message: Any) -> None:
        where = message.location["url"]
        if message.type == "error" and not any(word in where for word in NO_NOISE):
            self.errors.append(f"{message.text} ({where})")

    @property
    def outside(self) -> list[str]:
        """Addresses asked for that are neither the server's nor made by the page itself."""
        own = (self.url, self.url.replace("http:", "ws:"), "data:", "blob:", "about:")
        return [address for address in self.requests if not address.startswith(own)]

    def locate(self, css: str) -> Locator:
        """Elements by CSS selector, within the notebook."""
        return self.page.locator(f".jp-NotebookPanel {css}")

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a JavaScript expression or function gives; promises are waited for."""
        return self.page.evaluate(script, argument)

    def run(self, code: str) -> str:
        """Run ``code`` in a new last cell; what it printed, or the repr of its last line.

        Raises:
            AssertionError: it raised; the message is the traceback.
        """
        return self.text(self.page.evaluate(RUN_CELL, code))

    def text(self, cell: int) -> str:
        """The text that the cell of this number has put out, stripped.

        Raises:
            AssertionError: it raised; the message is the traceback.
        """
        outputs = self.page.evaluate(
            f"n => {PANEL}.content.model.cells.get(n).outputs.toJSON()", cell
        )
        parts = []
        for output in outputs:
            if output["output_type"] == "error":
                raise AssertionError("a cell raised:\n" + "\n".join(output["traceback"]))
            text = output.get("text", output.get("data", {}).get("text/plain", ""))
            parts.append("".join(text))
        return "".join(parts).strip()

    def until(self, true: Callable[[], Any], what: str, seconds: float = 20) -> Any:
        """Ask ``true`` again and again until it is; what it gave.

        Raises:
            AssertionError: it was not in time; says ``what`` was waited for.
        """
        end = time.monotonic() + seconds
        while not (value := true()):
            assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
            self.page.wait_for_timeout(50)
        return value

    def pixels(self, locator: Locator | None = None) -> np.ndarray:
        """How an element, or the whole window, looks: (height, width, 3) uint8. The element is
        scrolled into view."""
        picture = (locator or self.page).screenshot()
        return np.array(Image.open(io.BytesIO(picture)).convert("RGB"))

    def screenshot(self, path: Path | str, locator: Locator | None = None) -> None:
        """Keep a picture of an element, or of the whole window."""
        (locator or self.page).screenshot(path=path)

    def theme(self, name: str) -> None:
        """Change the theme: "JupyterLab Dark" or "JupyterLab Light"."""
        change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(change, name)
        bright = json.dumps("false" if "Dark" in name else "true")
        self.page.wait_for_function(f"document.body.dataset.jpThemeLight === {bright}")
        # shown again while it fades, JupyterLab's splash would be taken away twice: an error
        self.page.wait_for_function("!document.getElementById('jupyterlab-splash')")

    def close(self) -> None:
        """Close the page and end its kernel."""
        if not self.page.is_closed():
            self.page.evaluate(f"{PANEL}.sessionContext.shutdown()")
            self.page.close()
