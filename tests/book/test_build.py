"""The book is made: some pages quickly, all of them slowly, and looked at in a browser."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers import content
from lxml import html
from playwright.sync_api import Browser, Page

from ssl3d_lite.book import build
from ssl3d_lite.cli.main import main
from ssl3d_lite.errors import InputError

for needed in ("sphinx", "myst_nb", "furo", "ziamath"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[2]
SOME = ["docs/course.md", "notebooks/06_cpc.ipynb"]
AXE = ROOT / "node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("small") / "site"
    assert main(["book", "build", str(out), "--only", *SOME]) == 0
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "site"
    assert main(["book", "build", str(out)]) == 0
    return out


def links(page: Path) -> Iterator[str]:
    """What a page of the site links to and shows."""
    tree = html.fromstring(page.read_bytes())
    for name in ("href", "src"):
        yield from map(str, tree.xpath(f"//*/@{name}"))


def nothing_is_broken_or_fetched(site: Path) -> None:
    for page in site.rglob("*.html"):
        if "files" in page.relative_to(site).parts:  # pages of their own, tested elsewhere
            continue
        tree = html.fromstring(page.read_bytes())
        assert not tree.xpath("//script[starts-with(@src, 'http')]"), page
        assert not tree.xpath("//link[@rel='stylesheet'][starts-with(@href, 'http')]"), page
        assert not tree.xpath("//img[starts-with(@src, 'http')]"), page
        for target in links(page):
            parts = urlsplit(target)
            if parts.scheme or not parts.path:
                continue
            there = page.parent / unquote(parts.path)
            assert there.exists(), f"{page.relative_to(site)}: {target}"


def test_some_pages(small):
    assert {p.relative_to(small).as_posix() for p in small.rglob("*.html")} == {
        *("index.html", "run.html", "docs/course.html", "notebooks/06_cpc.html"),
        *("search.html", "genindex.html"),
        *(f"files/notebooks/live/{p.stem}.html" for p in ROOT.glob("notebooks/live/06_*.json")),
        *("files/notebooks/06_cpc.slides.html", "files/docs/play.html"),
    }
    nothing_is_broken_or_fetched(small)
    page = (small / "notebooks/06_cpc.html").read_text()
    assert "<math" in page
    assert 'class="drawn"' in page
    assert "\\mathcal" not in page
    sources = {p.relative_to(small).as_posix() for p in small.rglob("*.ipynb")}
    assert sources == {"files/notebooks/06_cpc.ipynb"}, "to be loaded"
    assert (small / "files/notebooks/06_cpc.py").exists()
    assert not [p for p in small.rglob("*") if p.suffix in (".md", ".doctree")]
    assert 'alt="85 pieces of a scan in 3D' in page


def test_the_same_command_renews_the_book_and_makes_the_same(small):
    before = content(small)
    (small / "notes.txt").write_text("mine")
    assert main(["book", "build", str(small), "--only", *SOME]) == 0
    assert (small / "notes.txt").read_text() == "mine"
    (small / "notes.txt").unlink()
    assert content(small) == before


def test_what_sphinx_warns_of_is_told_in_a_line(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text("# A\n\n[b](#there-is-none)\n")
    with pytest.raises(InputError, match=r"^Sphinx says of the book: index\.md.*there-is-none"):
        build.run_sphinx(tmp_path / "pages", tmp_path / "site")


@pytest.mark.slow
def test_the_whole_book(whole):
    nothing_is_broken_or_fetched(whole)
    made = {path.stem for path in whole.glob("notebooks/*.html")}
    assert made == {path.stem for path in ROOT.glob("notebooks/[0-9]*_*.ipynb")}
    assert "pretrain(" in (whole / "reference/front_door.html").read_text().replace("</span>", "")
    assert (whole / "searchindex.js").exists()


# ---- in a browser ------------------------------------------------------------------------------


def opened(browser: Browser, path: Path, width: int, scheme: str = "light") -> tuple[Page, list]:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda asked: heard.append(asked.url) if "http" in asked.url[:4] else None)
    page.goto(path.as_uri())
    return page, heard


def pages_of(site: Path) -> list[Path]:
    """Pages to be looked at: all but those of code, which are alike."""
    every = sorted(p.relative_to(site) for p in site.rglob("*.html"))
    return [site / path for path in every if path.parts[0] not in ("files", "code")]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_picture_makes_room_for_the_view_itself(browser, small, width):
    page, heard = opened(browser, small / "notebooks/06_cpc.html", width)
    link = page.locator("a.live").first
    picture = page.locator("img.movable").first
    frames = page.locator("iframe.moving")
    assert frames.count() == 0, "nothing is opened before it is asked for"
    picture.click()
    canvas = page.frame_locator("iframe.moving").locator("canvas").first
    canvas.wait_for()
    drawn = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    assert canvas.evaluate(drawn) > 20
    assert not picture.is_visible()
    assert not link.is_visible()
    inside = page.frames[1]
    page.wait_for_function(  # the frame is as high as what is in it
        "Math.abs(document.querySelector('iframe.moving').clientHeight - 480) > 2"
    )
    high = inside.evaluate("document.documentElement.scrollHeight")
    assert frames.first.evaluate("frame => frame.clientHeight") == high
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Back to the picture").click()
    assert frames.count() == 0
    assert picture.is_visible()
    assert heard == []
    page.close()


def test_without_a_script_the_view_opens_in_its_own_window(browser, small):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((small / "notebooks/06_cpc.html").as_uri())
    with context.expect_page() as opening:
        page.locator("a.live").first.click()
    assert "/files/notebooks/live/06_cpc-" in opening.value.url
    context.close()


def test_code_is_as_wide_as_its_frame(browser, small):
    page, _ = opened(browser, small / "notebooks/06_cpc.html", 1280)
    asked = "all => all.map(e => e.scrollWidth - e.clientWidth)"
    over = page.locator(".cell_input pre").evaluate_all(asked)
    assert len(over) > 10
    assert max(over) <= 0
    page.close()


LINES = """cells => cells.map((cell) => {
    const text = document.createRange();
    text.selectNodeContents(document.createTreeWalker(cell, NodeFilter.SHOW_TEXT).nextNode());
    return text.getClientRects().length;
})"""


@pytest.mark.slow
def test_tables_of_results_can_be_read_on_a_phone(browser, whole):
    page, _ = opened(browser, whole / "docs/results.html", 390)
    table = page.locator(".table-wrapper.wide").first
    lines = page.locator(".table-wrapper.wide td.number").evaluate_all(LINES)
    assert set(lines) == {1}, "no number is broken"
    first = table.locator("tbody td").first
    before = first.bounding_box()
    assert table.evaluate("each => (each.scrollLeft = 200, each.scrollLeft)") > 100
    assert abs(first.bounding_box()["x"] - before["x"]) < 5, "the row's name stays in sight"
    page.close()


@pytest.mark.slow
def test_the_reference_says_what_a_view_takes(whole):
    page = html.fromstring((whole / "reference/show.html").read_bytes())
    (said,) = page.xpath("//dt[@id='ssl3d_lite.show.Slices']")
    assert "spacing" in said.text_content()
    assert "kwargs" not in page.text_content()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_opens_from_disk_and_fits(browser, whole, width):
    for path in pages_of(whole):
        page, heard = opened(browser, path, width)
        name = path.relative_to(whole)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert heard == [], name
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser, whole, scheme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run npm install, which needs node")
    for path in pages_of(whole)[:: 1 if scheme == "light" else 4]:  # colours alone differ
        page, _ = opened(browser, path, 1280, scheme)
        page.add_script_tag(path=AXE)
        ask = "axe.run({ iframes: false, preload: false }).then((said) => said.violations)"
        found = page.evaluate(ask)
        grave = [
            f"{each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert grave == [], path.relative_to(whole)
        page.close()


@pytest.mark.slow
def test_the_search_works_from_disk(browser, whole):
    page, heard = opened(browser, whole / "index.html", 1280)
    page.get_by_role("searchbox").or_(page.get_by_placeholder("Search")).first.fill("jigsaw")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    assert any("04_jigsaw.html" in each for each in found)
    assert heard == []
    page.close()
