"""Quizzes: read strictly, whole and fair, at the end of a page, and as a file for Moodle."""

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Page

from ssl3d_lite.book.quiz import (
    Quiz,
    QuizOption,
    QuizQuestion,
    all_quizzes,
    headings_of,
    quiz_markdown,
    quiz_of,
    read_quiz,
)
from ssl3d_lite.book.quiz_moodle import moodle_xml
from ssl3d_lite.book.sources import notebook_names, texts_folder
from ssl3d_lite.cli.main import main
from ssl3d_lite.errors import InputError

ROOT = Path(__file__).parents[2]
QUIZZES = all_quizzes(texts_folder())
QUESTIONS = [(quiz, question) for quiz in QUIZZES for question in quiz.questions]
every_quiz = pytest.mark.parametrize("quiz", QUIZZES, ids=lambda quiz: quiz.number)

SMALL = """
[[question]]
id = "a-b"
section = "1. One"
text = "What?"
[[question.right]]
text = "this"
why = "so"
[[question.wrong]]
text = "that"
why = "not so"
"""


# ---- how a file is read ------------------------------------------------------------------------


def read(folder: Path, text: str) -> tuple[QuizQuestion, ...]:
    path = folder / "00_x.toml"
    path.write_text(text)
    return read_quiz(path, ["1. One", "2. Two"])


def test_a_file_is_read(tmp_path):
    this, that = QuizOption("this", "so"), QuizOption("that", "not so")
    expected = QuizQuestion("a-b", "1. One", "What?", (this,), (that,))
    assert read(tmp_path, SMALL) == (expected,)
    assert sorted(expected.options(), key=str) == [(that, False), (this, True)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[question]]", "[[question]", "quiz .*00_x.toml cannot be read: "),
        ("[[question]]", "[[questions]]", "unknown name in 00_x.toml: 'questions'; did you mean"),
        ('why = "so"', "", "00_x.toml, question 1, right option 1: why is missing"),
        ('why = "so"', 'why = " "', "question 1, right option 1: why is '', but"),
        ('why = "so"', 'wyh = "so"', "question 1, right option 1: 'wyh'; did you mean 'why'"),
        ('text = "What?"', "text = 3", "question 1: text is 3, but must be a text"),
        ('"a-b"', '"A b"', "question 1: id is 'A b', but must be as 'uniform-guess'"),
        ("1. One", "3. Three", r"no section '3. Three' \(it has: 1. One; 2. Two\)"),
        ("[[question.right]]", "[[question.wrong]]", "one right option or more, and one wrong"),
        ("[[question.right]]", "[question.right]", "right must be a list of tables"),
        ('"that"', '"this"', "question 1: two options are the same"),
        ('"not so"', '"see [x](y.md)"', "question 1: links to y.md, but Moodle reads it too"),
        (SMALL, SMALL + SMALL, "question 2: 'a-b' is the id of another question"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path, old, new, said):
    with pytest.raises(InputError, match=said) as reason:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert "\n" not in str(reason.value)


def test_headings_are_those_of_prose(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "```\n# no\n```\n", "## 1. One"]},
        {"cell_type": "code", "source": "# no heading"},
    ]
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": cells}))
    assert headings_of(tmp_path / "x.ipynb") == ["Title", "1. One"]


def test_options_have_an_order_of_their_own(tmp_path):
    (question,) = read(tmp_path, SMALL)
    turned = QuizQuestion("a-b", "1. One", "What?", question.wrong, question.right)
    assert [o for o, _ in question.options()] == [o for o, _ in turned.options()]


# ---- the questions -----------------------------------------------------------------------------


def test_every_notebook_has_a_quiz_of_ten():
    texts = texts_folder()
    found = {name: quiz_of(name, texts) for name in notebook_names(texts)}
    counts = {name: len(quiz.questions) if quiz else 0 for name, quiz in found.items()}
    assert set(counts.values()) == {10}, counts
    stems = {Path(name).stem for name in counts}
    assert {path.stem for path in ROOT.glob("notebooks/quiz/*.toml")} == stems


@every_quiz
def test_a_question_has_three_options_or_more(quiz):
    for question in quiz.questions:
        assert 3 <= len(question.options()) <= 5, question.id


@every_quiz
def test_a_notebook_begins_with_its_title(quiz):
    """Links below it, to the quiz too, are put into the first cell of prose."""
    (path,) = ROOT.glob(f"notebooks/{quiz.number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert first.startswith(f"# {quiz.title}\n")


def test_nothing_is_asked_twice():
    for part in ("id", "text"):
        counts = Counter(getattr(question, part).lower() for _, question in QUESTIONS)
        assert [each for each, count in counts.items() if count > 1] == []
    whys = Counter(option.why for _, q in QUESTIONS for option, _ in q.options())
    assert [each for each, count in whys.items() if count > 1] == []


def test_neither_length_nor_place_gives_the_right_option_away():
    single = [q for _, q in QUESTIONS if len(q.right) == 1]
    longest = [len(q.right[0].text) > max(len(o.text) for o in q.wrong) for q in single]
    shortest = [len(q.right[0].text) < min(len(o.text) for o in q.wrong) for q in single]
    assert sum(longest) <= 0.4 * len(single)
    assert sum(shortest) <= 0.4 * len(single)
    of_four = [[right for _, right in q.options()] for q in single if len(q.options()) == 4]
    counts = Counter(order.index(True) for order in of_four)
    for place in range(4):  # a fair coin of four sides strays so far once in thousands of tries
        spread = (len(of_four) * 3 / 16) ** 0.5
        assert abs(counts[place] - len(of_four) / 4) < 4 * spread, counts


@every_quiz
def test_texts_are_plain(quiz):
    """No formula is cut off, and no line is too long to be edited."""
    for question in quiz.questions:
        parts = [question.text, *(p for o, _ in question.options() for p in (o.text, o.why))]
        assert all(part.count("$") % 2 == 0 for part in parts), question.id
        assert all(part.count("`") % 2 == 0 for part in parts), question.id
    for path in (ROOT / "notebooks/quiz").glob(f"{quiz.number}_*.toml"):
        assert max(map(len, path.read_text().splitlines())) <= 110, path.name


# ---- for Moodle --------------------------------------------------------------------------------


def letters(html: str) -> str:
    """All letters and digits of a text, be it Markdown or the HTML that is made of it."""
    return re.sub(r"\W+", "", unescape(re.sub(r"</?[a-z][^<>]*>", "", html)))


def test_moodle_gets_all_of_it_back():
    """The file is read again: questions, options, what each gives, and why."""
    root = ET.fromstring(moodle_xml(QUIZZES))
    categories = root.findall("question[@type='category']/category/text")
    assert len(categories) == len(QUIZZES)
    assert all(each.text.startswith("$course$/top/ssl3d_lite/") for each in categories)
    found = root.findall("question[@type='multichoice']")
    assert len({each.findtext("idnumber") for each in found}) == len(found) == len(QUESTIONS)
    for (quiz, question), told in zip(QUESTIONS, found):
        assert told.findtext("idnumber") == f"{quiz.number}-{question.id}"
        assert told.findtext("single") == str(len(question.right) == 1).lower()
        assert letters(told.findtext("questiontext/text")) == letters(question.text)
        assert letters(question.section) in letters(told.findtext("generalfeedback/text"))
        for answer, (option, _) in zip(told.findall("answer"), question.options(), strict=True):
            assert letters(answer.findtext("text")) == letters(option.text)
            assert letters(answer.findtext("feedback/text")) == letters(option.why)
        shares = [float(answer.get("fraction")) for answer in told.findall("answer")]
        rights = [right for _, right in question.options()]
        assert [share > 0 for share in shares] == rights
        assert sum(share for share in shares if share > 0) == pytest.approx(100, abs=1e-4)
        if len(question.right) > 1:
            assert sum(shares) == pytest.approx(0, abs=1e-4)


def of(text: str, why: str = "so") -> Quiz:
    question = QuizQuestion("x", "1. One", text, (QuizOption("a", why),), (QuizOption("b", "no"),))
    return Quiz("00", "On/off & more", (question,))


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("less: $a < b$", r'<p>less: <span class="math inline">\(a &lt; b\)</span></p>'),
        ("`a[0] & b` is *so*", "<p><code>a[0] &amp; b</code> is <em>so</em></p>"),
        ("<b>no tag</b>", "<p>&lt;b&gt;no tag&lt;/b&gt;</p>"),
        ("end ]]> mark", "<p>end ]]&gt; mark</p>"),
        ("$$x = 1$$", '<div class="math block">\n\\[x = 1\\]\n</div>'),
    ],
)
def test_markdown_becomes_html_with_formulas_for_mathjax(markdown, html):
    root = ET.fromstring(moodle_xml([of(markdown)]))
    assert root.findtext("question/questiontext/text") == html
    assert root.findtext("question/category/text") == "$course$/top/ssl3d_lite/00 On//off & more"


def test_the_command_writes_what_it_is_asked_for(tmp_path, capsys):
    out = tmp_path / "quiz.xml"
    assert main(["book", "quiz", str(out), "--only", "00"]) == 0
    assert len(ET.parse(out).getroot()) == 11
    assert main(["book", "quiz", str(out)]) == 0  # renewed
    assert len(ET.parse(out).getroot()) == 11 * len(QUIZZES)
    capsys.readouterr()
    assert main(["book", "quiz", str(out), "--only", "99"]) == 2
    assert capsys.readouterr().err.startswith("ssl3d: unknown notebook '99'")
    out.write_bytes(out.read_bytes().replace(b"90 voxels", b"91 voxels").replace(b"Ten", b"10"))
    out.write_bytes(out.read_bytes() + b"mine")
    assert main(["book", "quiz", str(out)]) == 2
    assert "is no quiz as this program wrote it" in capsys.readouterr().err
    assert out.read_bytes().endswith(b"mine")


# ---- in the page -------------------------------------------------------------------------------


def test_without_scripts_answers_are_folded():
    text = quiz_markdown(of("What?\n\nAnd why?", "first\nsecond"))
    letter = text[text.index("data-right=") + 12]
    assert text.startswith("## Quiz\n\n1 questions")
    assert f"- **{letter} is right.** first\n  second" in text
    assert "**1.** What?\n\nAnd why?\n\n1. " in text
    assert "Read again: [1. One](#1-one)" in text


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for needed in ("sphinx", "myst_nb", "furo", "ziamath"):
        pytest.importorskip(needed)
    out = tmp_path_factory.mktemp("quiz") / "site"
    assert main(["book", "build", str(out), "--only", "notebooks/00_start_here.ipynb"]) == 0
    return out / "notebooks/00_start_here.html"


@pytest.fixture(scope="module", params=[1280, 390])
def page(site, request, browser) -> Page:
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.goto(site.as_uri())
    return page


def test_one_is_answered_right_and_one_wrong(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    first, second = page.locator(".quiz").nth(0), page.locator(".quiz").nth(1)
    verdict = first.get_by_role("status")
    score = page.locator(".score")
    assert score.inner_text() == "Answered: 0 of 10. Right at the first try: 0."

    first.get_by_role("button", name="Check").click()
    assert verdict.inner_text() == "Choose an option first."

    first.get_by_role("radio", name="1 in 45").check()  # wrong
    first.get_by_role("button", name="Check").click()
    assert verdict.inner_text().startswith("Not yet: ")
    assert "Those of the other scans are in" in first.locator("li.wrong .why").inner_text()
    assert score.inner_text() == "Answered: 1 of 10. Right at the first try: 0."

    first.get_by_role("radio", name="1 in 135").check()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert verdict.inner_text() == "Right."
    assert first.locator(".wrong").count() == 0
    assert "patches to choose from" in first.locator("li.right .why").inner_text()

    boxes = second.get_by_role("checkbox")
    right = second.get_attribute("data-right")
    assert len(right) == 2
    boxes.nth("ABCD".index(right[0])).check()
    second.get_by_role("button", name="Check").click()
    assert second.get_by_role("status").inner_text().startswith("Not yet: what you chose is right")
    boxes.nth("ABCD".index(right[1])).check()
    second.get_by_role("button", name="Check").click()
    assert second.get_by_role("status").inner_text() == "Right."
    assert score.inner_text() == "Answered: 2 of 10. Right at the first try: 0."


def test_a_group_is_called_as_its_question(page):
    group = page.get_by_role("group", name="In CPC the network has to find")
    assert group.get_by_role("radio").count() == 4


def test_all_formulas_and_links_of_the_quiz_lead_somewhere(page):
    for target in page.locator(".quiz a").evaluate_all("all => all.map(a => a.hash)"):
        assert page.locator(f'[id="{target[1:]}"]').count() == 1, target
    assert page.locator(".quiz .formula svg").count() >= 4
    assert page.locator('a.badge[href="#quiz"]').count() == 1
    assert page.locator("#quiz h2").count() == 1
