"""One JupyterLab for all browser tests. They skip where there is no Chromium."""

from collections.abc import Iterator

import pytest
from browser.lab import BROWSERS, Lab, Server, find_browser
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if find_browser() is None:
        pytest.skip(f"no browser on PATH: install one of {', '.join(BROWSERS)}")
    server = Server(tmp_path_factory.mktemp("lab"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


# While playwright runs, its event loop counts as running in this thread, and later tests may want
# one of their own: so it is stopped after each file.
@pytest.fixture(scope="module")
def lab(lab_server: Server) -> Iterator[Lab]:
    with sync_playwright() as playwright:
        lab = Lab(lab_server, playwright, find_browser())
        yield lab
        lab.close()
