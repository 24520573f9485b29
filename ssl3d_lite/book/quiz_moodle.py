"""``ssl3d book quiz`` writes the quizzes as Moodle XML, which Moodle imports into a question bank.

The file's layout is in ``templates/quiz.xml``. See https://docs.moodle.org/en/Moodle_XML_format.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ssl3d_lite.errors import unknown
from ssl3d_lite.files import atomic_write
from ssl3d_lite.html import TEMPLATES, is_sealed, sealed
from ssl3d_lite.outputs import check_file
from ssl3d_lite.settings import CheckedSettings, Positional

from .quiz import Quiz, QuizQuestion, all_quizzes
from .sources import texts_folder

_MAKER = b"<!-- made by ssl3d book quiz -->"


@dataclass(frozen=True)
class QuizSettings(CheckedSettings):
    """Write the quizzes of the notebooks to a file that Moodle imports (Question bank, Import,
    Moodle XML format): a category for each notebook, and feedback for every option."""

    out: Positional[Path]
    """The file, as quiz.xml."""
    only: tuple[str, ...] = ()
    """Notebooks to take, by their numbers, as 00 06. By default all."""


def write_quizzes(settings: QuizSettings) -> Path:
    """Write the file, and return its path.

    Raises:
        InputError: something else is there; a notebook has no quiz; a quiz is not as it has to be.
    """
    check_file(settings.out, _is_own, "quiz")
    quizzes = {quiz.number: quiz for quiz in all_quizzes(texts_folder())}
    for number in settings.only:
        if number not in quizzes:
            raise unknown("notebook", number, quizzes)
    chosen = [quizzes[number] for number in settings.only or quizzes]
    data = sealed(moodle_xml(chosen).encode())
    atomic_write(settings.out, lambda file: file.write(data))
    return settings.out


def _is_own(path: Path) -> bool:
    return is_sealed(path.read_bytes(), _MAKER)


def moodle_xml(quizzes: list[Quiz]) -> str:
    """Quizzes as a document for Moodle.

    Example:
        >>> moodle_xml([]).splitlines()[0]
        '<?xml version="1.0" encoding="UTF-8"?>'
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    environment.filters |= {"cdata": _cdata, "category": _category}
    page = environment.get_template("quiz.xml")
    return page.render(quizzes=quizzes, html=_as_html(), shares=_shares)


def _cdata(html: str) -> Markup:
    """HTML as it is, in XML. Its end mark cannot stand within, so it is cut in two there."""
    whole = html.strip().replace("]]>", "]]]]><![CDATA[>")
    return Markup(f"<![CDATA[{whole}]]>")


def _as_html() -> Any:
    """Markdown → HTML, with formulas as Moodle's MathJax filter reads them."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(latex: str, options: dict[str, Any]) -> str:
        return str(escape(f"\\[{latex}\\]" if options["display_mode"] else f"\\({latex}\\)"))

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    return reader.use(dollarmath_plugin, renderer=formula).render


def _category(name: str) -> str:
    """A name of one category: Moodle takes a single slash for a step to a category within."""
    return name.replace("/", "//")


def _shares(question: QuizQuestion) -> tuple[str, str]:
    """What a right and a wrong option give, in percent of the question's mark.

    A wrong one takes nothing where one may be chosen. Where several may be, to choose all of them
    gives nothing.
    """
    if len(question.right) == 1:
        return "100", "0"
    return f"{100 / len(question.right):.7g}", f"{-100 / len(question.wrong):.7g}"
