"""Pages: whatever a text holds, it is shown and does nothing."""

import base64
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ssl3d_lite.html import (
    as_html,
    as_text,
    bullets,
    details,
    escape,
    heading,
    note,
    paragraph,
    picture,
    write_html,
)

EVIL = '<script>alert("&")</script>'


@pytest.mark.parametrize(
    "part",
    [
        escape(EVIL),
        heading(EVIL),
        paragraph(EVIL),
        note(EVIL),
        bullets([EVIL]),
        details(EVIL, EVIL, []),
        as_html(([EVIL], [[EVIL]])),
    ],
)
def test_no_text_can_write_html(part):
    assert "<script" not in part
    assert "&lt;script&gt;alert(&#34;&amp;&#34;)" in part


def test_parts_go_into_a_page_as_they_are_and_its_title_does_not(tmp_path):
    write_html(tmp_path / "page.html", EVIL, ["<p>one</p>", heading("two", 1)])
    text = (tmp_path / "page.html").read_text()
    assert text.endswith("<body><p>one</p><h1>two</h1></body></html>")
    assert "<title>&lt;script" in text


def test_a_picture_stands_in_the_page_and_its_caption_is_html():
    part = picture(Figure(figsize=(1, 1)), "Fish &amp; <i>chips</i>")
    assert 'src="data:image/png;base64,' in part
    assert "<figcaption>Fish &amp; <i>chips</i></figcaption>" in part
    assert 'alt="Fish &amp; chips"' in part


def test_a_picture_of_few_colours_is_smaller_and_keeps_thin_lines_of_colour():
    figure = Figure(figsize=(3, 3), dpi=100)
    axes = figure.subplots()
    axes.imshow(np.random.default_rng(0).random((99, 99)), cmap="gray")
    axes.axvline(50, color="#D55E00", linewidth=2)
    sizes = []
    for few in (False, True):
        (data,) = re.findall(r"base64,([^\"]+)", picture(figure, "", few_colours=few))
        sizes.append(len(data))
        drawn = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        colours = {colour for _, colour in drawn.getcolors(2**20)}
        assert min(np.abs(np.subtract(each, (0xD5, 0x5E, 0))).max() for each in colours) < 8
    assert len(colours) <= 256
    assert sizes[1] < 0.5 * sizes[0]


def test_a_table_has_a_row_a_line():
    part = as_html((["a", "b"], [["1", "2"], ["3", "4"]]))
    assert part.count("<tr>") == 3
    assert "<th>a</th><th>b</th>" in part
    assert "<td>3</td><td>4</td>" in part
    assert as_text((["a", "b"], [["10", "2"]])) == "a   b\n-----\n10  2"


def test_pages_need_no_matplotlib():
    code = "import sys, ssl3d_lite.html; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
