"""Pages of the book, gathered from the repository's texts and laid out for Sphinx.

Nothing is written twice: a page is the README, a page of docs/, a notebook, or a file of code that
one of them links to. Each keeps its name, and its links lead to other pages of the book. A link
that would lead nowhere stops the build.
"""

import json
import posixpath
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError

from . import live
from .links import file_of, is_outside, relinked, way
from .notebooks import downloads
from .quiz import quiz_markdown, quiz_of
from .sources import find_text, notebook_names

_PICTURES = (".png", ".gif", ".jpg", ".svg", ".webp")
_AS_THEY_ARE = (".html", ".csv", ".pdf")  # opened by the browser, in a window of their own
_CODE = {".py": "python", ".toml": "toml", ".json": "json", ".js": "js", ".sbatch": "bash"}
_FRONT = "README.md"  # what it says is on the first page
_FIRST_LIVE = "play.html"  # the course begins with the game
_LEFT_OUT = "tests/"  # a link to a test becomes plain words
_TITLE = re.compile(r"<title>(.*?)</title>", re.S)
_MARK = re.compile(r"^# .*$", re.M)

CHAPTERS: dict[str, tuple[str, ...]] = {  # caption → pages, in the order of the sidebar
    "Start": ("docs/start.md",),
    "Ideas": ("docs/concepts.md", "docs/glossary.md", "docs/verdicts.md", "docs/references.md"),
    "Notebooks": (),  # as many as there are
    "Live": (),  # the pages of docs/ that are clicked
    "How to": (
        *("docs/data.md", "docs/views.md", "docs/own_task.md", "docs/studies.md"),
        *("docs/presets.md", "docs/speed.md", "docs/course.md", "docs/teaching.md"),
        *("ssl3d_lite/course/pages/lecturers.md", "ssl3d_lite/course/pages/students.md"),
    ),
    "Results": ("docs/results.md", "notebooks/results/README.md", "docs/benchmarks.md"),
    "Reference": (),  # made from docstrings and from --help
    "The package": ("docs/architecture.md", "CONTRIBUTING.md", "CHANGELOG.md"),
}


@dataclass
class Book:
    """What is gathered for a book.

    Attributes:
        texts: the folder that names of files are relative to.
        stage: the folder that Sphinx reads.
        pages: page, by its name → chapter; "" for what only links lead to.
        made: pages that are made here, by their names; links may lead to them.
        files: files that the site has as they are, by their places in it.
        onto: notebook's name → a line of Markdown below its title.
        only: pages that links may lead to; empty: all.
    """

    texts: Path
    stage: Path
    only: tuple[str, ...] = ()
    onto: Callable[[str], str] = lambda name: ""
    pages: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    def want(self, name: str, chapter: str = "") -> None:
        """Take a page in, unless it is in already."""
        if name not in self.pages:
            self.waiting.append(name)
            self.pages[name] = chapter

    def write(self, name: str, text: str) -> None:
        """Put a page where Sphinx reads it."""
        path = self.stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def gather(self) -> None:
        """Write all pages that are wanted, and those that they link to.

        Raises:
            InputError: a link leads nowhere.
        """
        while self.waiting:
            name = self.waiting.pop(0)
            if name.endswith(".md"):
                top = "" if self.pages[name] else "---\norphan: true\n---\n\n"
                self.write(name, top + self.led(self._text(name), name))
            elif name.endswith(".ipynb"):
                self.write(name, self._notebook(name))
            else:
                self.write(page_of(name), self._code(name))

    # ---- kinds of page -------------------------------------------------------------------------

    def _text(self, name: str) -> str:
        path = find_text(name, self.texts)
        if path is None:
            raise InputError(f"the book needs {name}, which is not there")
        return path.read_text(encoding="utf-8")

    def _notebook(self, name: str) -> str:
        text = self._text(name)
        for suffix, data in downloads(text, name).items():
            self.put(posixpath.splitext(name)[0] + suffix, data)
        notebook = json.loads(text)
        notebook["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = self.led("".join(cell["source"]), name)
            for output in cell.get("outputs", ()):  # needs a kernel, or says nothing of its own
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            tell_alt_text(cell)
            self._offer_live(cell, name)
        first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
        line, quiz = self.onto(name), quiz_of(name, self.texts)
        if quiz:
            line += '<a class="badge" href="#quiz">Quiz</a>'
            end = {"cell_type": "markdown", "id": "quiz", "metadata": {}}
            notebook["cells"].append({**end, "source": quiz_markdown(quiz)})
        if line:
            first["source"] = _MARK.sub(lambda title: f"{title[0]}\n\n{line}", first["source"], 1)
        return json.dumps(notebook)

    def _offer_live(self, cell: dict[str, Any], name: str) -> None:
        """Offer the live page of the view that a cell shows, if it was kept."""
        if cell["cell_type"] != "code":
            return
        stem, source = posixpath.splitext(name)[0], "".join(cell["source"])
        kept = posixpath.join(
            posixpath.dirname(name), live.FOLDER, live.state_name(posixpath.basename(stem), source)
        )
        if (self.texts / kept).exists():
            place = posixpath.splitext(kept)[0] + ".html"
            page = live.page_of_view(self.texts / kept)
            live.offer(cell, way(self.put(place, page), name))
        elif live.shows_features(source) and (self.texts / live.MICROSCOPE).exists():
            place = self.keep(live.MICROSCOPE, self.texts / live.MICROSCOPE)
            live.offer(cell, way(place, name), live.ANOTHER)

    def _code(self, name: str) -> str:
        """A page of a file of code, or of all files of a folder."""
        path = find_text(name, self.texts)
        assert path is not None  # the link to it was checked
        files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        parts = [f"---\norphan: true\nnosearch: true\n---\n\n# {name}\n"]
        for file in files:
            if path.is_dir():
                parts.append(f"## {file.name}\n")
            language = _CODE.get(file.suffix, "text")
            parts.append(fenced(file.read_text(encoding="utf-8"), language))
        return "\n".join(parts)

    # ---- links ---------------------------------------------------------------------------------

    def led(self, text: str, name: str) -> str:
        """A text with links that lead to pages of the book."""
        return relinked(text, lambda target: self._place(target, name))

    def _place(self, target: str, page: str) -> str | None:
        if is_outside(target):
            return target
        there, anchor = file_of(target, page)
        if there in self.made:
            return target
        if there.startswith(_LEFT_OUT):
            return None
        path = find_text(there, self.texts)
        if path is None:
            raise InputError(f"{page} links to {target}, which is not there")
        tail = f"#{anchor}" if anchor else ""
        suffix = posixpath.splitext(there)[1]
        if there == _FRONT:
            return way("index.md", page) + tail
        if suffix in _PICTURES:
            (self.stage / there).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.stage / there)
            return way(there, page)
        if suffix in _AS_THEY_ARE:
            return f"page:{way(self.keep(there, path), page)}{tail}"
        if self.only and there not in self.only:
            return None
        self.want(there)
        return way(page_of(there), page) + tail

    def put(self, name: str, data: bytes) -> str:
        """Take in a file that is made here; its place in the site, as :meth:`keep` gives it."""
        path = self.stage.with_name("made") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self.keep(name, path)

    def keep(self, name: str, path: Path) -> str:
        """Take in a file as it is; its place in the site, which no page has."""
        self.files[f"files/{name}"] = path
        return f"files/{name}"


def tell_alt_text(cell: dict[str, Any]) -> None:
    """Tell MyST-NB the alternative text of a cell's pictures, which it does not look for where
    nbconvert does."""
    told = [output.get("metadata", {}) for output in cell.get("outputs", ())]
    alts = [about["alt"] for each in told for about in each.values() if "alt" in about]
    if alts:
        cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(dict.fromkeys(alts))}}


def page_of(name: str) -> str:
    """The page's name that shows a file: code has one of its own."""
    return name if name.endswith((".md", ".ipynb")) else f"code/{name}.md"


def fenced(text: str, language: str) -> str:
    """Code for Markdown, whatever marks it holds."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


# ---- what a book is made of --------------------------------------------------------------------


def want_all(book: Book) -> None:
    """Take in every page of the repository: those of no chapter are how-tos."""
    for chapter, names in CHAPTERS.items():
        for name in names:
            book.want(name, chapter)
        if chapter == "Notebooks":
            for name in notebook_names(book.texts):
                book.want(name, chapter)
    for path in sorted(book.texts.glob("docs/*.md")):
        book.want(f"docs/{path.name}", "How to")


def live_pages(book: Book) -> dict[str, str]:
    """A page of the book around each page of docs/ that is clicked."""
    made = {}
    for path in sorted(book.texts.glob("docs/*.html"), key=lambda p: (p.name != _FIRST_LIVE, p)):
        title = title_of(path)
        place = way(book.keep(f"docs/{path.name}", path), "live/x.md")
        made[f"live/{path.stem}.md"] = (
            f"# {title}\n\n[Open it in a window of its own](page:{place}).\n\n"
            f'<iframe class="live" src="{place}" title="{title}" loading="lazy"></iframe>\n'
        )
    return made


def title_of(page: Path) -> str:
    """The title of an HTML page."""
    found = _TITLE.search(page.read_text(encoding="utf-8")[:4000])
    return found[1].strip() if found else page.stem


def contents(chapters: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """The tables of contents that make the sidebar.

    Args:
        chapters: page → chapter, "" where only links lead there.
        titles: page → title in the sidebar; others have their own.
    """
    parts = []
    for chapter in CHAPTERS:
        lines = []
        for page in (page for page, where in chapters.items() if where == chapter):
            place = f"/{posixpath.splitext(page)[0]}"
            lines.append(f"{titles[page]} <{place}>" if page in titles else place)
        if lines:
            listed = "\n".join(lines)
            parts.append(
                f"```{{toctree}}\n:hidden:\n:caption: {chapter}\n:titlesonly:\n\n{listed}\n```\n"
            )
    return "\n".join(parts)
