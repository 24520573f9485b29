"""The house is as docs/architecture.md says: rooms, arrows, one meaning a name. Read by ``ast``."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ssl3d_lite", "data_recipes")

# From left to right: a room imports only from rooms before it. `course` and `bench` stand side by
# side, and neither knows the other. A course gives out notebooks, so `book` comes before it.
ORDER = (
    ("errors", "files", "outputs", "interrupts", "html", "settings", "old_names"),
    ("machine",),
    ("data",),
    ("models",),
    ("tasks",),
    ("training",),
    ("evaluation",),
    ("exports",),
    ("show",),
    ("study",),
    ("game",),
    ("book",),
    ("course", "bench"),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
BASE = ORDER[0]  # files at the root, which may know one another but no room
RECIPES_KNOW = (*BASE, "machine", "data")

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imported(module: str, tree: ast.AST) -> set[str]:
    """The project's modules that a module imports, in functions and for types too."""
    package = FILES[module].name == "__init__.py"
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            parts = parts[: len(parts) - node.level + package] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            found |= {known(f"{base}.{name.name}") or base for name in node.names}
        elif isinstance(node, ast.Call) and getattr(
            node.func, "id", getattr(node.func, "attr", "")
        ) in (
            "import_module",
            "__import__",
        ):
            found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    named = {known(name) for name in found if name.split(".")[0] in PACKAGES}
    return {name for name in named if name} - {module}


def known(name: str) -> str | None:
    """The file that ``name`` is, or lies in."""
    while name and name not in FILES:
        name = name.rpartition(".")[0]
    return name or None


TREES = {module: ast.parse(path.read_text()) for module, path in FILES.items()}
IMPORTS = {module: imported(module, tree) for module, tree in TREES.items()}
FRONT_DOORS = {"ssl3d_lite", "ssl3d_lite.show"}  # they name what lies behind them, for types alone


def room(module: str) -> str:
    """``ssl3d_lite.show.browser.live`` → show; a recipe's is "data_recipes"."""
    package, _, rest = module.partition(".")
    return package if package == "data_recipes" else rest.partition(".")[0]


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_the_imports_are_seen():
    """A reader that finds nothing would let everything pass."""
    assert "ssl3d_lite.tasks.geometry" in IMPORTS["ssl3d_lite.tasks.cpc"]
    assert "ssl3d_lite.errors" in IMPORTS["data_recipes.brats"]
    assert sum(map(len, IMPORTS.values())) > 300
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_every_room_has_its_place():
    rooms = {room(module) for module in FILES} - {"", "data_recipes"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("module", [m for m in FILES if m not in FRONT_DOORS])
def test_no_arrow_points_up(module):
    here = room(module)
    for other in IMPORTS[module]:
        there = room(other)
        if there == here:
            continue
        assert there, f"{module} comes in by the front door; import the module that has the name"
        if here == "data_recipes":
            assert there in RECIPES_KNOW, f"{module} imports {other}"
        else:
            assert there != "data_recipes", f"{module} imports a recipe ({other})"
            up = FLOOR[there] > FLOOR[here] or (FLOOR[there] == FLOOR[here] and here not in BASE)
            assert not up, f"{module} ({here}) imports {other} ({there}), which is above it"


def test_no_files_form_a_circle():
    graph = {m: seen for m, seen in IMPORTS.items() if m not in FRONT_DOORS}
    # a package's __init__ names its files, and they may name the package's other files
    assert not (found := circle(graph)), " → ".join(found)


def test_no_folders_form_a_circle():
    graph: dict[str, set[str]] = defaultdict(set)
    for module, seen in IMPORTS.items():
        if module in FRONT_DOORS:
            continue
        for other in seen:
            here, there = folder(module), folder(other)
            if here != there and not nested(here, there):
                graph[here].add(there)
    assert not (found := circle(graph)), " → ".join(found)


def folder(module: str) -> str:
    return str(FILES[module].parent.relative_to(ROOT))


def nested(here: str, there: str) -> bool:
    return there.startswith(f"{here}/") or here.startswith(f"{there}/")


# ---- names -------------------------------------------------------------------------------------

PROTOCOL = {"prepare"}  # each recipe's module has this function: the registry calls it


def public_names(tree: ast.Module) -> set[str]:
    """Functions, classes and constants at a module's top that do not begin with an underscore."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def test_a_public_name_means_one_thing():
    places = defaultdict(list)
    for module, tree in TREES.items():
        if "course.settings" in module:  # files that a course's JupyterHub reads
            continue
        for name in public_names(tree) - PROTOCOL:
            places[name].append(module)
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(w)}" for name, w in sorted(twice.items()))


def test_prose_begins_with_its_subject():
    """No comment and no docstring begins with "of": the noun comes first."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                assert not text.lower().startswith("of "), f"{module}: {text.splitlines()[0]}"
        before = ""
        for number, line in enumerate(FILES[module].read_text().splitlines(), start=1):
            own, first = line.strip(), not before.startswith("#")  # a comment may have many lines
            comment = line.partition("  # ")[2]
            if own.startswith("#"):
                comment = own.removeprefix("# ") if first else ""
            before = own
            where = f"{FILES[module].relative_to(ROOT)}:{number}"
            assert not comment.startswith("of "), f"{where}: {comment}"


# What was once called so, and is called in the field's words now (docs/concepts.md has a glossary).
OLD_WORDS = {
    *("draw", "pose", "Draw", "guess", "guesses", "explained"),
    *("joined", "processes", "own_rows", "gathered", "averaged", "once", "same_buffers", "Shared"),
    *("recompute", "Levels", "layout", "rate", "encoder_rate", "frozen_steps", "Look", "kinds"),
    *("Hollow", "Tally", "Silence", "grown", "pooled", "smallest", "few", "graded", "grading"),
    *("reading", "readings", "rival", "kin", "like_noise", "worthwhile", "Bench", "perform"),
    *("rehearse", "Bout", "Price", "Found", "ceilings", "weave", "Woven", "look", "write_aside"),
    *("esc", "ahead", "turns_per_scan", "block_edge", "fault"),
}


def test_names_are_the_fields_words():
    """Functions, methods, classes and fields. Files of earlier versions go through old_names.py."""
    found = [
        f"{module}: {name}"
        for module, tree in TREES.items()
        if not module.startswith("data_recipes") and module != "ssl3d_lite.old_names"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign)
        for name in [getattr(node, "name", None) or getattr(node.target, "id", "")]
        if name in OLD_WORDS
    ]
    assert not found, "\n".join(found)
