"""Writes teaching.md: what each notebook takes, and what students get wrong.

    python docs/teaching_page.py

Minutes come from the notebooks' heads, words and questions are counted, and the mistakes are those
that the tests of the course hand in (``tests/course/mistakes/``).
"""

import importlib
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import jupytext

from ssl3d_lite.course.build import rubric_lines
from ssl3d_lite.course.sources import read_assignments
from ssl3d_lite.files import atomic_write

HOUSE = Path(__file__).parents[1]
sys.path.insert(0, str(HOUSE / "tests"))

WORDS = 130  # read in a minute, by a reader who thinks and whose first language is another
TEXT = """# Teaching with it

For lecturers. A first lesson may go like this: the class solves the puzzles by hand, then reads a
notebook together, predicts before each "Predict before you run", and opens the folded answers
afterwards. `ssl3d notebooks OUT --slides` writes slides of every notebook; the
[poster](poster.pdf) (A2) has the six puzzles on a page. The assignments, a schedule of six weeks,
and how they are graded are on the [page of the course](course.md).

![The six puzzles, each with its question, picture, loss and chance level](poster.png)

## What a notebook takes

*Machine* is the time on one core at class scale, as the notebook's head says. *Reading* is its
words at {words} a minute; code, pictures and thinking come on top, so take it as a lower end.
*Predict* counts the places where a reader is asked to predict first, and *answers* the folded ones
to be opened afterwards. No class has been timed.

| notebook | machine | reading | predict | answers |
|---|---|---|---|---|
{notebooks}

## What students get wrong

Each of these was handed in by the course's own tests, to see that it costs its own part and no
other. Listen for them in class. They are listed by part; what a part asks stands before.
{mistakes}
"""


def page() -> str:
    return TEXT.format(
        words=WORDS, notebooks="\n".join(notebook_rows()), mistakes="\n".join(mistake_lines())
    )


def notebook_rows() -> Iterator[str]:
    for path in sorted((HOUSE / "notebooks").glob("[0-9][0-9]_*.py")):
        texts = [c.source for c in jupytext.read(path).cells if c.cell_type == "markdown"]
        text = "\n".join(texts)
        title = re.search(r"^# (.+)$", text, re.M)
        time = re.search(r"\*\*Time:\*\* (.+?) on one core", text)
        assert title is not None, path
        assert time is not None, path
        minutes = round(len(text.split()) / WORDS)
        predict = len(re.findall(r"\*\*Predict", text))
        link = f"[{path.stem[:2]} {title[1]}](../notebooks/{path.stem}.ipynb)"
        answers = text.count("<details>")
        yield f"| {link} | {time[1]} | {minutes} minutes | {predict} | {answers} |"


def mistake_lines() -> Iterator[str]:
    """The mistakes below each assignment and each of its parts."""
    for assignment in read_assignments(None, ()):
        rubric = "\n".join(rubric_lines([assignment]))
        asked = dict(re.findall(r"^\| (\d+) \| [\d.]+ \| (.*?) \| ", rubric, re.M))
        mistakes = importlib.import_module(f"course.mistakes.{assignment.name[:2]}").MISTAKES
        yield f"\n### {assignment.title}\n"
        for part, those in groupby(mistakes, key=lambda mistake: mistake.part):
            number = part.partition("-")[2]
            names = "; ".join(mistake.name for mistake in those).replace("*", r"\*")
            what = asked[number].rstrip(".").replace("*", r"\*")
            end = "" if what.endswith("?") else "."
            yield f"- **Part {number}: {what}{end}** {names[0].upper()}{names[1:]}."


if __name__ == "__main__":
    text = page()
    atomic_write(Path(__file__).with_name("teaching.md"), lambda file: file.write(text.encode()))
