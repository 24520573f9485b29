"""Quizzes: questions about a notebook, with a reason for every option, be it right or wrong.

The quiz of ``notebooks/06_cpc.ipynb`` is ``notebooks/quiz/06_cpc.toml``::

    [[question]]
    id = "uniform-guess"
    section = "3. The maths"  # a heading of the notebook; the answer stands below it
    text = "What is the InfoNCE loss of a network that calls all $N$ patches equally likely?"

    [[question.right]]
    text = '$\\ln N$'
    why = "The right one gets the probability $1/N$, and the loss is minus its logarithm."

    [[question.wrong]]
    text = "0"
    why = "That is the loss of a network that is always right, and sure of it."

Texts are Markdown, with formulas between dollars and without links: they are read in Moodle too.
A question has one right option or several. Options come in an order that only their texts decide.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, Len, check_names
from ssl3d_lite.study.settings import build_settings

from .links import targets
from .sources import find_text, notebook_names

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_FENCED = re.compile(r"^```.*?^```", re.M | re.S)
_BEST_NUMBER = "give it one right option or more, and one wrong option or more"


@dataclass(frozen=True)
class QuizOption(CheckedSettings):
    """What may be chosen, and why it is right or wrong."""

    text: Annotated[str, Len(1)]
    why: Annotated[str, Len(1)]


@dataclass(frozen=True)
class QuizQuestion(CheckedSettings):
    """A question.

    Attributes:
        id: words with hyphens, of its own within a quiz.
        section: the heading of the notebook below which the answer stands.
    """

    id: str
    section: str
    text: Annotated[str, Len(1)]
    right: tuple[QuizOption, ...]
    wrong: tuple[QuizOption, ...]

    def options(self) -> list[tuple[QuizOption, bool]]:
        """All options, and whether each is right, in an order that gives nothing away."""
        every = [(o, True) for o in self.right] + [(o, False) for o in self.wrong]
        return sorted(every, key=lambda each: _sum(f"{self.id}: {each[0].text}"))


@dataclass(frozen=True)
class Quiz:
    """The questions about a notebook, which is called ``number`` and ``title``."""

    number: str
    title: str
    questions: tuple[QuizQuestion, ...]


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# ---- reading -----------------------------------------------------------------------------------


def all_quizzes(texts: Path) -> list[Quiz]:
    """The quizzes of all notebooks that have one, by their numbers.

    Args:
        texts: as :func:`~ssl3d_lite.book.sources.texts_folder` gives it.
    """
    found = (quiz_of(name, texts) for name in notebook_names(texts))
    return [quiz for quiz in found if quiz]


def quiz_of(notebook: str, texts: Path) -> Quiz | None:
    """The quiz of a notebook, as ``notebooks/06_cpc.ipynb``; None if it has none.

    Raises:
        InputError: the file is not as it has to be; says which question, and what to do.
    """
    stem = Path(notebook).stem
    path = find_text(f"notebooks/quiz/{stem}.toml", texts)
    if path is None:
        return None
    title, *sections = headings_of(texts / notebook)
    return Quiz(stem[:2], title, read_quiz(path, sections))


def headings_of(notebook: Path) -> list[str]:
    """The headings of a notebook, its title first."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return [head for text in prose for head in _HEADING.findall(_FENCED.sub("", text))]


def read_quiz(path: Path, sections: list[str]) -> tuple[QuizQuestion, ...]:
    """The questions of a file.

    Args:
        sections: headings that a question may name.

    Raises:
        InputError: as :func:`quiz_of`.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as reason:
        raise InputError(f"quiz {path} cannot be read: {reason}") from None
    check_names(record, ["question"], f"name in {path.name}:")
    tables = _tables(record, "question", path.name)
    places = [f"{path.name}, question {number}" for number in range(1, len(tables) + 1)]
    questions = [_question(table, where) for table, where in zip(tables, places)]
    seen: dict[str, str] = {}
    for question, where in zip(questions, places):
        _check(question, sections, where)
        if question.id in seen:
            raise InputError(f"{where}: {question.id!r} is the id of another question")
        seen[question.id] = where
    return tuple(questions)


def _tables(record: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    tables = record.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
        raise InputError(f"{where}: {name} must be a list of tables, each below [[…{name}]]")
    return tables


def _question(table: Mapping[str, Any], where: str) -> QuizQuestion:
    options = {}
    for kind in ("right", "wrong"):
        options[kind] = tuple(
            build_settings(QuizOption, _stripped(each), f"{where}, {kind} option {number}")
            for number, each in enumerate(_tables(table, kind, where), start=1)
        )
    return build_settings(QuizQuestion, {**_stripped(table), **options}, where)


def _stripped(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v.strip() if isinstance(v, str) else v for name, v in table.items()}


def _check(question: QuizQuestion, sections: list[str], where: str) -> None:
    """Raise InputError for what the types of fields do not say."""
    if not _ID.fullmatch(question.id):
        raise InputError(f"{where}: id is {question.id!r}, but must be as 'uniform-guess'")
    if question.section not in sections:
        raise InputError(
            f"{where}: the notebook has no section {question.section!r} "
            f"(it has: {'; '.join(sections)})"
        )
    options = question.options()
    if not question.right or not question.wrong:
        raise InputError(f"{where}: {_BEST_NUMBER}")
    if len({option.text for option, _ in options}) < len(options):
        raise InputError(f"{where}: two options are the same")
    parts = [question.text, *(part for option, _ in options for part in (option.text, option.why))]
    for target in (target for part in parts for target in targets(part)):
        raise InputError(f"{where}: links to {target}, but Moodle reads it too: say it in words")


# ---- in the page -------------------------------------------------------------------------------


def quiz_markdown(quiz: Quiz) -> str:
    """The quiz as Markdown, for the end of its notebook's page.

    As it stands, the answers are folded. ``site/static/quiz.js`` makes options of it that one can
    choose.
    """
    return "\n\n".join(
        [
            "## Quiz",
            f"{len(quiz.questions)} questions about this notebook. Some have more than one right "
            "option. Each option, right or wrong, has its reason.",
            *(_as_markdown(q, number) for number, q in enumerate(quiz.questions, start=1)),
        ]
    )


def _as_markdown(question: QuizQuestion, number: int) -> str:
    letters = [*zip("ABCDEFGH", question.options())]
    right = "".join(letter for letter, (_, is_right) in letters if is_right)
    whys = (
        f"- **{letter} is {'right' if is_right else 'wrong'}.** {_indented(option.why, 2)}"
        for letter, (option, is_right) in letters
    )
    section = question.section
    return "\n\n".join(
        [
            f'<div class="quiz" data-right="{right}">',
            f"**{number}.** {question.text}",
            "\n".join(f"1. {_indented(option.text, 3)}" for _, (option, _) in letters),
            "<details><summary>Answer</summary>",
            "\n".join(whys),
            f"Read again: [{section}](#{_anchor(section)})",
            "</details>\n</div>",
        ]
    )


def _indented(text: str, by: int) -> str:
    """A text whose later lines belong to the same item of a list."""
    return text.replace("\n", "\n" + " " * by)


def _anchor(heading: str) -> str:
    """What MyST, as GitHub, calls a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
