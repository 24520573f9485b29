"""The browser views' JavaScript: its own tests and checker, run by Node, and how it is joined."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ssl3d_lite.show.browser import browser_module as joining
from ssl3d_lite.show.browser.browser_module import browser_module

ROOT = Path(__file__).parents[1]
VIEWS = sorted(
    path
    for path in (ROOT / "ssl3d_lite").rglob("*.js")
    if path.read_text(encoding="utf-8").endswith(joining.ENTRY)
)
BIOME = ROOT / "node_modules/.bin/biome"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_biome = pytest.mark.skipif(
    shutil.which("node") is None or not BIOME.exists(),
    reason="biome is not installed: run npm install, which needs node",
)


def succeed(*command: str | Path) -> None:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_node
def test_its_own_tests_pass():
    succeed("node", "--test", *sorted((ROOT / "tests/js").glob("*.test.js")))


@needs_biome
def test_biome_finds_nothing():
    succeed(BIOME, "check", "--error-on-warnings")


# ---- one module for a browser ------------------------------------------------------------------


def test_there_are_five_views():
    assert [path.stem for path in VIEWS] == ["features", "game", "live", "puzzle3d", "slices"]


@pytest.mark.parametrize("path", VIEWS, ids=lambda path: path.stem)
def test_a_joined_view_has_every_line_of_its_modules_once(path):
    joined = browser_module(path).splitlines()
    names = set(re.findall(r'from "\./(\w+\.js)"', path.read_text(encoding="utf-8")))
    for module in (path, *(path.parent / name for name in names)):
        own = re.findall(r"^(?:export )?((?:const|function) \w.*)", module.read_text("utf-8"), re.M)
        assert own
        assert all(joined.count(line) == 1 for line in own), module.name


@needs_node
@pytest.mark.parametrize("path", VIEWS, ids=lambda path: path.stem)
def test_a_joined_view_is_a_module_that_needs_no_other(path, tmp_path):
    (tmp_path / "view.mjs").write_text(browser_module(path), encoding="utf-8")
    script = "import('./view.mjs').then((view) => console.log(typeof view.default.render))"
    done = subprocess.run(["node", "-e", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "function\n", done.stderr


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder / "view.js"


def test_each_module_comes_once_and_after_what_it_needs(tmp_path):
    view = write(
        tmp_path,
        low="export const one = 1;\n",
        high='import { one } from "./low.js";\n\nexport function two() {\n  return one + one;\n}\n',
        view='// A view.\n\nimport {\n  two,\n} from "./high.js";\n'
        'import { one } from "./low.js";\n\n'
        "const render = () => one + two();\n\n" + joining.ENTRY,
    )
    assert browser_module(view) == (
        "const one = 1;\n\n"
        "function two() {\n  return one + one;\n}\n\n"
        "// A view.\n\n\nconst render = () => one + two();\n\n" + joining.ENTRY
    )


RENDER = "function render() {}\n\n" + joining.ENTRY


@pytest.mark.parametrize(
    "tie",
    [
        'import { one as two } from "./low.js";',
        'import * as low from "./low.js";',
        'import one from "./low.js";',
        'import "./low.js";',
        'import { one } from "elsewhere";',
        'import { one } from "./deeper/low.js";',
        'const low = await import("./low.js");',
        "export { render };",
        "export let count = 0;",
        "export default render;",
    ],
)
def test_other_ties_between_modules_are_refused(tmp_path, tie):
    view = write(tmp_path, low="export const one = 1;\n", view=f"{tie}\n\n{RENDER}")
    with pytest.raises(ValueError, match=re.escape(f"because of: {tie}")):
        browser_module(view)


def test_one_name_for_two_things_is_refused(tmp_path):
    ties = "".join(f'import {{ {name} }} from "./{name}.js";\n' for name in ("a", "b"))
    hidden = "const SIZE = 3;\nexport const {} = SIZE;\n"
    view = write(tmp_path, a=hidden.format("a"), b=hidden.format("b"), view=f"{ties}\n{RENDER}")
    with pytest.raises(ValueError, match=r"modules of view\.js have several things called SIZE"):
        browser_module(view)


def test_modules_that_import_each_other_are_refused(tmp_path):
    tie = 'import {{ {0} }} from "./{0}.js";\n'.format
    view = write(tmp_path, a=tie("b"), b=tie("a"), view=tie("a") + RENDER)
    with pytest.raises(ValueError, match=r"a\.js imports itself by way of b\.js"):
        browser_module(view)


def test_a_module_that_is_no_view_is_refused(tmp_path):
    view = write(tmp_path, view="export const one = 1;\n")
    with pytest.raises(ValueError, match=r"view\.js does not end with export default"):
        browser_module(view)
