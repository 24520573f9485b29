"""The JavaScript of a browser view, whose sources are several modules: anywidget takes only one.

``puzzle3d.js`` imports names from modules beside it, and so does Node, which tests these modules
without a browser. For a browser they are joined into one text.
"""

import re
from collections import Counter
from pathlib import Path

IMPORT = re.compile(r'^import \{\s*\w+(?:,\s*\w+)*,?\s*\} from "\./(\w+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|function) \w)", re.MULTILINE)
ENTRY = "export default { render };\n"
TIE = re.compile(r"^\s*(?:import|export)\b.*|.*\bimport\(.*", re.MULTILINE)
NAME = re.compile(r"^(?:const|let|function|class) (\w+)", re.MULTILINE)


def browser_module(path: Path) -> str:
    """A view's module after all that it imports, each once, in one text that imports nothing.

    Raises:
        ValueError: modules import each other in a circle, are tied in another way than by
            ``import { name } from "./module.js"`` and ``export const`` or ``export function``, or
            two of them give one name to different things.
    """
    parts = [EXPORT.sub("", text) for text in _parts(path, ()).values()]
    if not parts[-1].endswith(ENTRY):
        raise ValueError(f"{path.name} does not end with {ENTRY.strip()}")
    joined = "\n".join(parts)
    left = TIE.findall(joined.removesuffix(ENTRY))
    if left:
        tie = left[0].strip()
        raise ValueError(f"{path.name} cannot be joined with its modules because of: {tie}")
    twice = [name for name, count in Counter(NAME.findall(joined)).items() if count > 1]
    if twice:
        raise ValueError(f"modules of {path.name} have several things called {', '.join(twice)}")
    return joined


def _parts(path: Path, importers: tuple[Path, ...]) -> dict[Path, str]:
    """The texts without their imports, each behind those that it needs."""
    if path in importers:
        raise ValueError(f"{path.name} imports itself by way of {importers[-1].name}")
    text = path.read_text(encoding="utf-8")
    parts: dict[Path, str] = {}
    for name in IMPORT.findall(text):
        parts |= _parts(path.parent / name, (*importers, path))
    return parts | {path: IMPORT.sub("", text).lstrip("\n")}
