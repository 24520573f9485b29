"""``ssl3d notebooks`` gives out the notebooks, with what they read and the pages they link to."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ssl3d_lite.outputs import Corrigible, claimed
from ssl3d_lite.settings import CheckedSettings, Positional

from .links import file_of, is_outside, relinked, targets, way
from .needed import need_book
from .slides import deck
from .sources import notebook_names, texts_folder

_COMMAND = "notebooks"
_STORED = (".csv", ".json", ".toml", ".md")  # what results need; reports are for the book


@dataclass(frozen=True)
class NotebooksSettings(CheckedSettings):
    """Write the notebooks with their outputs to a folder, beside the stored results that they read
    and the pages that they link to. What you have changed there is not written over."""

    out: Positional[Path]
    """Folder for the notebooks."""
    slides: bool = False
    """Whether to write slides too, one page a notebook, in OUT/slides. They open from disk."""


def write_notebooks(settings: NotebooksSettings) -> Path:
    """Write the notebooks, and return their folder.

    Raises:
        InputError: the folder holds other things, or a notebook there has been changed.
    """
    files = dict(given_out())
    if settings.slides:
        files |= dict(tqdm(_decks(), "slides", len(notebook_names(texts_folder())), unit="deck"))
    with claimed(settings.out, _COMMAND):
        folder = Corrigible(settings.out, _COMMAND)
        folder.check(files)
        for name, data in files.items():
            (settings.out / name).parent.mkdir(parents=True, exist_ok=True)
            folder.write(name, data)
    return settings.out


def _decks() -> Iterator[tuple[str, bytes]]:
    """Names and contents of all decks."""
    need_book()
    texts = texts_folder()
    for name in notebook_names(texts):
        alone = _notebook((texts / name).read_bytes(), name, {})
        yield f"slides/{Path(name).stem}.html", deck(alone)


def given_out() -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files. Notebooks lie at the top, and their links lead there."""
    texts = texts_folder()
    places = {name: name.removeprefix("notebooks/") for name in _names(texts)}
    for name, place in places.items():
        data = (texts / name).read_bytes()
        if name.endswith(".ipynb"):
            data = _notebook(data, name, places)
        elif name.endswith(".md"):
            data = _relinked(data.decode(), name, places).encode()
        yield place, data


def downloads(text: str, name: str) -> dict[str, bytes]:
    """A notebook by itself, as somebody loads it from the book: suffix → the file, or its slides.

    Its links become words, as what they lead to is not beside it. The script has its cells, and
    comments between them; it is what jupytext pairs with the notebook.
    """
    import jupytext

    data = _notebook(text.encode(), name, {})
    alone = jupytext.reads(data.decode(), fmt="ipynb")
    alone.metadata = {"jupytext": {"notebook_metadata_filter": "-all"}}
    script = jupytext.writes(alone, fmt="py:percent")
    return {".ipynb": data, ".py": script.encode(), ".slides.html": deck(data)}


def _names(texts: Path) -> list[str]:
    """The notebooks, results, and pages with pictures that these link to."""
    notebooks = notebook_names(texts)
    stored = [p for p in sorted(texts.glob("notebooks/results/**/*")) if p.suffix in _STORED]
    names = dict.fromkeys([*notebooks, *(p.relative_to(texts).as_posix() for p in stored)])
    linked = [_file for name in notebooks for _file in _links_of(texts, name)]
    pages = [name for name in linked if name.startswith("docs/") and name.endswith(".md")]
    pictures = [p for page in pages for p in _links_of(texts, page) if p.endswith(".png")]
    return [*(names | dict.fromkeys([*pages, *pictures]))]


def _links_of(texts: Path, name: str) -> list[str]:
    """The files that a page or a notebook links to."""
    text = (texts / name).read_text(encoding="utf-8")
    cells = json.loads(text)["cells"] if name.endswith(".ipynb") else [{"source": [text]}]
    prose = ["".join(c["source"]) for c in cells if c.get("cell_type", "markdown") == "markdown"]
    found = [file_of(t, name)[0] for each in prose for t in targets(each) if not is_outside(t)]
    return [each for each in found if (texts / each).is_file()]


def _notebook(data: bytes, name: str, places: dict[str, str]) -> bytes:
    notebook = json.loads(data)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = _relinked("".join(cell["source"]), name, places)
            cell["source"] = text.splitlines(keepends=True)
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _relinked(text: str, name: str, places: dict[str, str]) -> str:
    """A text with its links led to where files lie now; what is not given out is named alone."""

    def leads(target: str) -> str | None:
        if is_outside(target):
            return target
        there, anchor = file_of(target, name)
        if there not in places:
            return None
        return way(places[there], places[name]) + (f"#{anchor}" if anchor else "")

    return relinked(text, leads)
