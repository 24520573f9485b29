"""README, CONTRIBUTING and the pages of docs/ say what is true: links, commands, code, versions."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout, suppress
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import yaml

from ssl3d_lite.cli.main import COMMANDS, main
from ssl3d_lite.data.registry import recipes
from ssl3d_lite.study.settings import read_study, shipped_studies

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_COMMANDS = [*PAGES, ROOT / "notebooks/results/README.md"]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


# ---- README ------------------------------------------------------------------------------------


def test_readme_is_short_and_without_tables():
    text = README.read_text()
    assert len(text.split()) <= 700
    assert not re.search(r"^\|", text, re.M)


def run_block(code: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_readmes_python_runs_as_it_stands(tmp_path):
    (code,) = blocks(README, "python")
    done = run_block(code, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "puzzle.png").stat().st_size > 1000
    assert "Dice" in done.stdout


# ---- links -------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", page.read_text())
    for target in map("".join, targets):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_readme_links_every_page():
    text = README.read_text()
    there = (ROOT / "docs").glob("*.md")
    missing = [page.name for page in there if f"docs/{page.name}" not in text]
    assert not missing


# ---- code in the pages -------------------------------------------------------------------------


@every_page
def test_python_in_the_pages_is_python(page):
    for code in blocks(page, "python"):
        ast.parse(code)


def test_the_task_in_the_pages_trains(tmp_path):
    code, *_ = blocks(ROOT / "docs/own_task.md", "python")
    done = run_block(f"{code}\nprint(history[-1]['chance'])", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "0.25"


def test_the_study_in_the_pages_is_one(tmp_path):
    (text,) = blocks(ROOT / "docs/studies.md", "toml")
    (tmp_path / "mine.toml").write_text(text)
    assert read_study(tmp_path / "mine.toml", "smoke").seeds == 2


# ---- commands ----------------------------------------------------------------------------------


def commands(page: Path) -> list[str]:
    """Every ``ssl3d …`` of a page, in a block of code or within a line."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^(?: {4})?(ssl3d [^\n]*)$", text, re.M)
    return [*lines, *re.findall(r"`(ssl3d [^`\n]*)`", text)]


@cache
def help_of(*arguments: str) -> str:
    said = StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        assert main([*arguments, "--help"]) == 0
    return said.getvalue()


def asked_for(words: list[str]) -> list[str]:
    """The words of a command that decide which flags it has; words in capitals are examples'."""
    command, *rest = words
    first = rest[0] if rest and not rest[0].startswith("-") else ""
    if command == "prepare":
        return ["prepare", *([first.replace("RECIPE", "msd")] if first else [])]
    if command == "study":
        name = "hippocampus" if first.isupper() or first.endswith(".toml") else first
        assert not first or name in shipped_studies(), f"no study {first}"
        return ["study", *([name] if name else [])]
    if command in ("course", "book"):
        return [command, first]
    if command == "pretrain" and "--task" in rest:
        task = rest[rest.index("--task") + 1]
        return ["pretrain", "--task", "cpc" if task.isupper() else task]
    return [command]


def flags_in(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith("--")]


def has_flag(help_text: str, flag: str) -> bool:
    return re.search(rf"(?<![\w-]){flag}(?![\w-])", help_text) is not None


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_in_the_pages_exist(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        if words[0] in ("--help", "COMMAND"):
            continue
        assert words[0] in COMMANDS, line
        text = help_of(*asked_for(words))
        missing = [f for f in flags_in(words) if f != "--help" and not has_flag(text, f)]
        assert not missing, f"{line}: {missing}"


def test_flags_in_the_pages_exist(monkeypatch):
    """A flag that stands alone in the text is one of some command."""
    monkeypatch.setenv("COLUMNS", "200")
    actions = [["course", "build"], ["course", "grade"], ["study", "hippocampus"]]
    actions += [["book", "build"]]
    actions += [["prepare", name] for name in recipes()] + [[name] for name in COMMANDS]
    known = " ".join(help_of(*action) for action in actions)
    for page in PAGES:
        for span in re.findall(r"`(--[^`\n]+)`", page.read_text()):
            missing = [flag for flag in flags_in(span.split()) if not has_flag(known, flag)]
            assert not missing, f"{name_of(page)}: {span}"


def test_the_pages_name_every_command_recipe_and_study():
    text = " ".join(page.read_text() for page in PAGES)
    assert not [name for name in COMMANDS if f"ssl3d {name}" not in text]
    assert not [name for name in recipes() if f"`{name}`" not in text]
    assert not [name for name in shipped_studies() if f"`{name}`" not in text]


@every_page
def test_extras_in_the_pages_exist(page):
    """The package is on no index: an extra can be installed from the folder alone."""
    text = page.read_text()
    assert "ssl3d-lite[" not in text
    for extras in re.findall(r"-e \"\.\[([^\]]*)\]\"", text):
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


# ---- architecture, citation --------------------------------------------------------------------


def test_the_architecture_names_every_room_and_no_file_that_is_not_there():
    text = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"`((?:ssl3d_lite|data_recipes|tests|notebooks|docs)/[\w./]*)`", text)
    assert len(named) > 80
    assert not [path for path in named if not (ROOT / path).exists()]
    rooms = {path.parent.name for path in (ROOT / "ssl3d_lite").glob("*/__init__.py")}
    assert not [room for room in sorted(rooms) if f"\n## {room}\n" not in text]


def test_the_architecture_names_every_file_or_the_folder_within_a_room_that_it_lies_in():
    text = (ROOT / "docs/architecture.md").read_text()
    named = set(re.findall(r"`((?:ssl3d_lite|data_recipes)/[\w./]*)`", text))
    rooms = {f"{path.relative_to(ROOT)}/" for path in (ROOT / "ssl3d_lite").iterdir()}
    folders = tuple(each for each in named - rooms - {"data_recipes/"} if each.endswith("/"))
    files = [
        path.relative_to(ROOT).as_posix()
        for package in ("ssl3d_lite", "data_recipes")
        for path in (ROOT / package).rglob("[!_]*.py")
    ]
    assert len(files) > 250
    assert not [
        each for each in sorted(files) if each not in named and not each.startswith(folders)
    ]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
