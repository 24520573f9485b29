"""``ssl3d book build`` makes the book: a static site that opens from disk and fetches nothing.

Pages are gathered (pages.py), the reference is made (reference.py), Sphinx makes HTML of both, and
the site is put where it is wanted. A warning of Sphinx's stops the build.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json
from ssl3d_lite.outputs import MARK, check_folder, claimed
from ssl3d_lite.settings import CheckedSettings, Positional

from .links import way
from .needed import need_book
from .pages import Book, contents, live_pages, want_all
from .reference import reference_pages
from .sources import find_text, texts_folder

_COMMAND = "book build"
_HERE = Path(__file__).parent
_PERCENT = re.compile(r"^(reading sources|writing output)\.\.\. .*?\[ *(\d+)%\]")
_HALVES = ("reading sources", "writing output")
_TITLE = re.compile(r"^# (.+)$", re.M)


@dataclass(frozen=True)
class BookSettings(CheckedSettings):
    """Make the book: a site of notebooks, pages and docstrings that opens from disk, by
    OUT/index.html, and fetches nothing. The same command renews it."""

    out: Positional[Path]
    """Folder for the site."""
    repository: str = ""
    """Web address of the repository on GitHub. Notebooks then have badges that open them on Colab
    and Binder."""
    only: tuple[str, ...] = ()
    """Pages to make, as docs/start.md, to see one quickly; links to others become plain words. By
    default all."""


def build_book(settings: BookSettings, helps: Mapping[str, str]) -> Path:
    """Make the site, and return its first page.

    Args:
        helps: command → what its ``--help`` says, for the reference.

    Raises:
        InputError: the folder holds other things; a link leads nowhere; Sphinx warns or is missing.
    """
    check_folder(settings.out, _COMMAND)
    need_book()
    with claimed(settings.out, _COMMAND) as own, tempfile.TemporaryDirectory() as temporary:
        stage, site = Path(temporary) / "pages", Path(temporary) / "site"
        book = Book(texts_folder(), stage, settings.only, notebook_line(settings.repository))
        gather(book, helps, settings.repository)
        run_sphinx(stage, site)
        for name, path in book.files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, site / name)
        made = {p.relative_to(site).as_posix(): p for p in sorted(site.rglob("*")) if p.is_file()}
        made.pop(".buildinfo", None)
        made = {name: path for name, path in made.items() if not name.startswith("_sources/")}
        earlier = read_json(settings.out / MARK, "mark").get("files", [])
        own.reserve(made)
        for name, path in made.items():
            (settings.out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, settings.out / name)
        for name in set(earlier) - made.keys():  # pages that there no longer are
            (settings.out / name).unlink(missing_ok=True)
    return settings.out / "index.html"


# ---- pages -------------------------------------------------------------------------------------


def gather(book: Book, helps: Mapping[str, str], repository: str = "") -> None:
    """Write all that Sphinx reads.

    Raises:
        InputError: a link leads nowhere.
    """
    book.made = {"run.md": run_page(repository)}
    if book.only:
        for name in book.only:
            book.want(name, "Notebooks" if name.endswith(".ipynb") else "Start")
    else:
        want_all(book)
        book.made |= live_pages(book) | reference_pages(helps)
    book.gather()
    for name, text in book.made.items():
        book.write(name, text if name.startswith(("live/", "reference/")) else book.led(text, name))
    index = book.led(_index(book), "index.md")
    book.gather()  # what the made ones link to
    chapters = book.pages | {name: _chapter(name) for name in book.made}
    book.write("index.md", f"{index}\n{contents(chapters, _titles(book))}")


def _chapter(name: str) -> str:
    folder = name.partition("/")[0]
    return {"live": "Live", "reference": "Reference"}.get(folder, "Start")


def _index(book: Book) -> str:
    """The first page: how the README begins, and what there is."""
    readme = find_text("README.md", book.texts)
    if readme is None:
        raise InputError("the book needs README.md, which is not there")
    live = [f"[{_title(text)}]({name})" for name, text in book.made.items() if "live/" in name]
    lines = [f"- [{title}]({name})" for name, title in _titles(book).items()]
    parts = {
        "pitch": _pitch(readme.read_text(encoding="utf-8")),
        "live": ", ".join(live) or "the views of the notebooks",
        "notebooks": "\n".join(lines),
    }
    text = _shipped("index.md")
    for mark, part in parts.items():
        text = text.replace(f"{{{mark}}}", part)
    return text


def _pitch(readme: str) -> str:
    """How the README begins, but for a last line that leads on to what the book leaves out."""
    pitch = readme.partition("\n## ")[0].rstrip()
    return pitch.rpartition("\n\n")[0] if pitch.endswith(":") else pitch


def _shipped(name: str) -> str:
    return (_HERE / "pages" / name).read_text(encoding="utf-8")


def _title(text: str) -> str:
    found = _TITLE.search(text)
    return found[1] if found else ""


def _titles(book: Book) -> dict[str, str]:
    """Notebook → its title with its number, as "06 CPC: what comes next in the scan?"."""
    titles = {}
    for name in book.pages:
        if name.endswith(".ipynb"):
            cells = json.loads((book.stage / name).read_text(encoding="utf-8"))["cells"]
            first = next(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
            titles[name] = f"{Path(name).name[:2]} {_title(first)}"
    return titles


# ---- badges ------------------------------------------------------------------------------------


def notebook_line(repository: str) -> Callable[[str], str]:
    """Notebook's name → a line with links that load it, or open it elsewhere."""
    places = _places(repository)

    def line(name: str) -> str:
        here = f'<a class="badge" href="{way("run.html", name)}">Run it yourself</a>'
        stem = way(f"files/{name}", name).removesuffix(".ipynb")
        files = [
            f'<a class="badge" href="{stem}{suffix}" download>Download {suffix}</a>'
            for suffix in (".ipynb", ".py")
        ]
        files.append(f'<a class="badge" href="{stem}.slides.html">Slides</a>')
        there = (
            f'<a class="badge" href="{address.format(name)}">Open in {place}</a>'
            for place, address in places.items()
        )
        return "".join([here, *files, *there])

    return line


def _places(repository: str) -> dict[str, str]:
    """Colab and Binder → the address at which they open a notebook of the repository."""
    if not repository:
        return {}
    parts = urlsplit(repository)
    path = parts.path.strip("/").removesuffix(".git")
    if parts.scheme != "https" or parts.netloc != "github.com" or path.count("/") != 1:
        raise InputError(
            f"repository is {repository!r}, but must be as https://github.com/OWNER/NAME: Colab "
            "and Binder find notebooks there"
        )
    return {
        "Colab": f"https://colab.research.google.com/github/{path}/blob/main/{{}}",
        "Binder": f"https://mybinder.org/v2/gh/{path}/HEAD?labpath={{}}",
    }


def run_page(repository: str) -> str:
    """How to run a notebook (Markdown): its commands name the repository, if it is known."""
    text = _shipped("run.md").replace("{badges}", _badge_line(repository))
    return text.replace("<this repository>", repository or "<this repository>")


def _badge_line(repository: str) -> str:
    first = "notebooks/00_start_here.ipynb"
    links = (f"[{place}]({url.format(first)})" for place, url in _places(repository).items())
    return f"The first notebook on {' and on '.join(links)}." if repository else ""


# ---- Sphinx ------------------------------------------------------------------------------------


def run_sphinx(stage: Path, site: Path) -> None:
    """Make HTML of the pages, in a process of its own: Sphinx keeps much in global variables.

    Raises:
        InputError: Sphinx warns of something; has the first line of it.
    """
    trees, warned = stage.with_name("trees"), stage.with_name("warnings.txt")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-c", str(_HERE / "site")]
    command += ["-d", str(trees), "-w", str(warned), "-N", str(stage), str(site)]
    paths = [str(_HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": "0",  # the same pages from the same texts
        "MPLBACKEND": "Agg",
    }
    log = stage.with_name("log.txt")
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
        tqdm(total=100 * len(_HALVES), desc="Sphinx", unit="%") as bar,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if found := _PERCENT.match(line):
                bar.n = 100 * _HALVES.index(found[1]) + int(found[2])
                bar.refresh()
    said = warned.read_text(encoding="utf-8") if warned.exists() else ""
    said = said or (log.read_text(encoding="utf-8") if process.returncode else "")
    lines = [line.replace(f"{stage}/", "") for line in said.splitlines() if line.strip()]
    if lines:
        line = lines[0] if process.returncode == 0 else lines[-1]
        more = f" (and {len(lines) - 1} lines more)" if len(lines) > 1 else ""
        raise InputError(f"Sphinx says of the book: {line}{more}")
    if process.returncode:
        raise InputError(f"Sphinx ended with code {process.returncode}")
