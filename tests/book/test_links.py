"""Links in Markdown are led elsewhere, and code is left as it is."""

import pytest

from ssl3d_lite.book.links import file_of, is_outside, relinked, targets, way


@pytest.mark.parametrize(
    ("text", "led"),
    [
        ("see [a](b.md).", "see [a](B.MD)."),
        ("![a picture](b.png)", "![a picture](B.PNG)"),
        ("[`code` and [1]](b.md#c)", "[`code` and [1]](B.MD#C)"),
        ('[a](b.md "a title")', '[a](B.MD "a title")'),
        ('<img src="b.png" alt="x">', '<img src="B.PNG" alt="x">'),
        ("[a](b.md) and [c](d.md)", "[a](B.MD) and [c](D.MD)"),
        ("`[a](b.md)` and ``[`a`](b.md)``", "`[a](b.md)` and ``[`a`](b.md)``"),
        ("```\n[a](b.md)\n```\n[c](d.md)", "```\n[a](b.md)\n```\n[c](D.MD)"),
        ("a[0](x) is code only in `a[0](x)`", "a[0](X) is code only in `a[0](x)`"),
    ],
)
def test_targets_are_replaced_and_code_is_not(text, led):
    assert relinked(text, str.upper) == led
    assert relinked(text, lambda target: target) == text


def test_a_link_that_leads_nowhere_becomes_its_words():
    assert relinked("see [`a.py`](a.py), [b](b.md)", lambda t: None) == "see `a.py`, b"


def test_targets_are_found():
    text = 'see [a](b.md#c), ![d](e.png), `[f](g)`, <a href="h.html">i</a>'
    assert list(targets(text)) == ["b.md#c", "e.png", "h.html"]


def test_names_of_files_and_ways_between_them():
    assert file_of("../docs/a.md#b", "notebooks/00.ipynb") == ("docs/a.md", "b")
    assert file_of("b.md", "README.md") == ("b.md", "")
    assert way("docs/a.md", "notebooks/00.ipynb") == "../docs/a.md"
    assert way("docs/a.md", "index.md") == "docs/a.md"
    assert [is_outside(t) for t in ("#a", "https://x.org", "mailto:a", "a.md", "../b:c.md")] == [
        *(True, True, True, False, False)
    ]
