"""The page for lecturers says what notebooks and the course's tests say."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import teaching_page  # noqa: E402


def test_the_page_is_current():
    pytest.importorskip("nbgrader")
    written = (DOCS / "teaching.md").read_text(encoding="utf-8")
    assert written == teaching_page.page(), "run python docs/teaching_page.py"
