"""What a reader sees who runs nothing: pictures, texts for them, and numbers that are so."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
COMMITTED = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
# not run since pictures are kept; this list may only shrink
WAITING: set[str] = set()
sys.path.insert(0, str(ROOT / "notebooks"))

import sync  # noqa: E402

every_notebook = pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]


def faults_of(notebook: nbformat.NotebookNode) -> list[str]:
    """What a reader could not see or read in the outputs."""
    faults = []
    for output in outputs_of(notebook):
        data = output.get("data", {})
        text = f"{data.get('text/plain', '')}{output.get('text', '')}"
        faults += [f"an address: {text[:80]}"] if re.search(r" at 0x[0-9a-f]+", text) else []
        faults += [f"a dead bar: {text[:80]}"] if re.search(r"\b0%\|", text) else []
        faults += ["a widget"] if sync.WIDGET in data else []
        faults += [
            f"a picture without a text: {text[:80]}"
            for kind in sync.PICTURES & set(data)
            if not output.metadata.get(kind, {}).get("alt")
        ]
        if len(data.get("image/png", "")) * 3 / 4 > 150_000 and sync.WIDGET in data:
            faults.append(f"a large picture: {text[:80]}")
    return faults


# ---- what sync.py keeps ------------------------------------------------------------------------


SMALL = """# %%
# %matplotlib inline
from ipywidgets import IntSlider, VBox
from IPython.display import Image
from tqdm.auto import tqdm
import matplotlib.pyplot as plt
import numpy as np
import ssl3d_lite as ssl3d

scan = np.random.default_rng(0).random((12, 12, 12))
for _ in tqdm(range(3)):
    print("0.25")

# %%
IntSlider(3, description="alone")

# %%
VBox([IntSlider(3, description="turn"), ssl3d.show.Slices(scan, title="A scan of noise")])

# %%
ssl3d.show.Volume3D(scan)

# %%
figure = plt.figure()
figure.suptitle("A title")
figure.gca().set(xlabel="step", ylabel="loss");

# %%
plt.close("all")
Image(data=b"\\x89PNG", format="png")
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A notebook as sync.py runs it."""
    source = tmp_path_factory.mktemp("notebook") / "00_small.py"
    head = (
        "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: Python 3\n#     language: python\n"
    )
    source.write_text(f"{head}#     name: python3\n# ---\n\n{SMALL}")
    notebook = sync.notebook_of(source)
    sync.run(notebook, source.parent)
    return notebook


def test_sync_keeps_pictures_with_their_texts_and_drops_what_is_dead(small):
    assert faults_of(small) == []
    pictures = [out for out in outputs_of(small) if "image/png" in out.get("data", {})]
    assert [out.metadata["image/png"]["alt"] for out in pictures] == [
        "A scan in three planes, A scan of noise. Panels: sagittal 6, coronal 6, axial 6."
        " Beside it: turn.",
        "A scan in three planes and in 3D, cut open.",
        "A title. Across: step. Up: loss.",
        'What the cell shows that ends with Image(data=b"\\x89PNG", format="png")',
    ]
    assert [out.text for out in outputs_of(small) if "text" in out] == ["0.25\n0.25\n0.25\n"]


def test_faults_are_noticed():
    data = {"text/plain": "<Live object at 0x7f00>", "image/png": "", sync.WIDGET: {}}
    outputs = [
        nbformat.v4.new_output("display_data", data),
        nbformat.v4.new_output("display_data", {"text/plain": "train:   0%|      | 0/9"}),
    ]
    cell = nbformat.v4.new_code_cell("x", outputs=outputs)
    faults = faults_of(nbformat.v4.new_notebook(cells=[cell]))
    assert [fault.split(":")[0] for fault in faults] == [
        "an address",
        "a widget",
        "a picture without a text",
        "a dead bar",
    ]


@every_notebook
def test_a_reader_who_runs_nothing_sees_all(path):
    faults = faults_of(nbformat.read(path, as_version=4))
    if path.stem[:2] in WAITING:
        assert faults, "it has been run: take it from the list"
    else:
        assert faults == []


# ---- numbers in "what we saw" ------------------------------------------------------------------

ANSWER = re.compile(r"<details>\s*<summary>What we saw.*?</details>", re.S)
# a number with a decimal point, or in per cent; a sign, and a nought before the point, may lack
NUMBER = re.compile(r"(?<![\w.])(\d*\.\d+|\d+(?=\s?%))\s?(%?)")
ANY_NUMBER = re.compile(r"(?<![\w.])(\d*\.?\d+)\s?(%?)")


def unfounded(notebook: nbformat.NotebookNode) -> list[str]:
    """The numbers in answers that no output above has, rounded as they stand."""
    known: list[float] = []
    missing = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                data = output.get("data", {})
                texts = [output.get("text", ""), *(str(data.get(kind, "")) for kind in TEXTS)]
                for number, percent in ANY_NUMBER.findall("\n".join(texts)):
                    known.append(float(number) / (100 if percent else 1))
        for answer in ANSWER.findall(cell.source) if cell.cell_type == "markdown" else ():
            for number, percent in NUMBER.findall(answer):
                digits = len(number.partition(".")[2]) + (2 if percent else 0)
                value, off = float(number) / (100 if percent else 1), 0.5 * 10.0**-digits
                if not any(abs(value - each) <= off * (1 + 1e-9) + 1e-12 for each in known):
                    missing.append(f"{cell.id}: {number}{percent}")
    return missing


TEXTS = ("text/plain", "text/markdown", "text/html")


def answered(text: str, *printed: str) -> nbformat.NotebookNode:
    out = [nbformat.v4.new_output("stream", text=line) for line in printed]
    answer = f"<details><summary>What we saw</summary>\n\n{text}\n\n</details>"
    cells = [nbformat.v4.new_code_cell("x", outputs=out), nbformat.v4.new_markdown_cell(answer)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("text", "printed", "missing"),
    [
        ("It has 0.62, of .616 and 61.6 %.", "Dice 0.616", 0),
        ("It has 62% and −0.62.", "Dice -0.616", 0),
        ("It has 0.63.", "Dice 0.616", 1),
        ("It has 0.6160.", "Dice 0.616", 0),
        ("It has 0.617.", "Dice 0.62", 1),
        ("It has 5.2 %.", "5.2% right", 0),
        ("It has 5.2 %.", "5.2 right", 1),
        ("After 20 steps of notebook 08.", "nothing", 0),
    ],
)
def test_a_number_must_stand_above_as_it_is_rounded(text, printed, missing):
    assert len(unfounded(answered(text, printed))) == missing


def test_what_is_printed_below_an_answer_does_not_count():
    notebook = answered("It has 0.62.", "0.62")
    notebook.cells.reverse()
    assert len(unfounded(notebook)) == 1


@every_notebook
def test_numbers_in_answers_are_those_of_the_committed_run(path):
    assert unfounded(nbformat.read(path, as_version=4)) == []


# ---- links -------------------------------------------------------------------------------------


@every_notebook
def test_links_to_pages_of_the_docs_lead_somewhere(path):
    from test_readme import anchors

    text = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells)
    for target, anchor in re.findall(r"\]\(\.\./(docs/\w+\.md)(?:#([^)\s]*))?\)", text):
        page = ROOT / target
        assert page.exists(), f"{target}: no such page"
        assert not anchor or anchor in anchors(page), f"{target}#{anchor}: no such term"


def test_the_first_notebook_says_of_each_how_long_its_head_says():
    table = (ROOT / "notebooks/00_start_here.py").read_text(encoding="utf-8")
    rows = re.findall(
        r"^# \| \*\*\d\d\*\* \[[^]]+\]\((\S+)\.ipynb\) \|.*\| ([\d.]+) \|$", table, re.M
    )
    heads = {}
    for path in COMMITTED:
        text = path.with_suffix(".py").read_text(encoding="utf-8")
        time = re.search(r"\*\*Time:\*\* (half a|[\d.]+) minutes? on one core", text)
        assert time is not None, path.name
        heads[path.stem] = "0.5" if time[1] == "half a" else time[1]
    assert dict(rows) == heads
