"""The game in a real browser: a scripted person plays every round, and torch says the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import Markup
from playwright.sync_api import Browser, Locator, Page

from ssl3d_lite.game.heads import smooth_noise
from ssl3d_lite.html import is_page_of, write_html
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.browser.game import Game, GameRound
from ssl3d_lite.show.browser.saved_page import _script
from ssl3d_lite.tasks import make_task

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules/axe-core/axe.min.js"
PLAY = ROOT / "docs/play.html"
STATE = re.compile(r'startPage\(view, document\.getElementById\("view"\), (.*)\);</script>')
KINDS = {  # every way of computing that game_network.js has: norms, strides, blocks, odd edges
    "rpl": ({"norm": "group"}, {"patch": 6, "jitter": 1}),
    "rotation": ({"norm": "batch", "filters": (4, 8, 8)}, {"crop_size": 18}),
    "masked": (
        {"norm": "instance", "stride": 1, "filters": (4, 8)},
        {"crop_size": 22, "block_size": 5, "decoder_channels": 4},
    ),
    "cpc": (
        {"norm": "none", "block": "plain"},
        {
            **{"patch": 8, "stride": 4, "jitter": 2, "prediction_steps": (2,)},
            **{"embedding_dim": 8, "hidden": 8, "directions": ("-0",)},
        },
    ),
    "jigsaw": ({"norm": "batch"}, {"patch": 6, "jitter": 1, "permutations": 10}),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A game of untrained networks, a question a round."""
    scans = smooth_noise(torch.empty(2, 1, 24, 24, 24))
    rounds = []
    for name, (shape, settings) in KINDS.items():
        encoder = make_encoder(EncoderSettings(**{"filters": (4, 8)} | shape), seed=2)
        for number, module in enumerate(encoder.modules()):
            if isinstance(module, torch.nn.BatchNorm3d):  # as training leaves it
                torch.nn.init.constant_(module.running_mean, 0.1 * number)
                torch.nn.init.constant_(module.running_var, 1 + 0.1 * number)
        task = make_task(name, encoder, seed=2, **settings)
        told = f"Round {name}", f"Before {name}.", f"After {name}."
        rounds.append(GameRound(task, encoder, scans, *told, questions=1))
    path = tmp_path_factory.mktemp("game") / "game.html"
    return Game(rounds, about="Virtual <scans>.").save(path, "Play", "A text.")


def opened(
    browser: Browser, path: Path, width: int = 1280, scheme: str = "light", touch: bool = False
) -> tuple[Page, list[str]]:
    page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch
    )
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(error.stack or str(error)))
    page.on("request", lambda asked: heard.append(asked.url) if asked.url[:4] == "http" else None)
    page.goto(path.as_uri())
    page.locator(".ssl3d-game form").wait_for()
    return page, heard


def state_of(path: Path) -> dict[str, Any]:
    return json.loads(STATE.search(path.read_text())[1])["values"]


def answer_right(page: Page, question: dict[str, Any]) -> None:
    """Give the right answer as a person does, by a pointer."""
    radios = page.locator(".options:not(.small) .option")
    if radios.count():
        radios.locator(f'input[value="{question["correct"]}"]').check(force=True)
    else:
        put_in_place(page, question["orders"][question["correct"]], page.locator(".piece"))
    page.get_by_role("button", name="That is my answer").click()


def put_in_place(page: Page, order: list[int], pieces: Locator, count: int = 4) -> None:
    """Put a few pieces where they belong, by touching the piece and then its place."""
    for view in range(count):
        numbers = pieces.evaluate_all("all => all.map(b => b.ariaLabel.match(/piece (\\d+)/)[1])")
        shown = numbers.index(str(view + 1))
        x, rest = divmod(order[view], 9)
        y, z = divmod(rest, 3)
        wanted = (2 - z) * 9 + (2 - y) * 3 + x  # layers from the top, rows from the front
        if shown != wanted:
            pieces.nth(shown).click()
            pieces.nth(wanted).click()
        else:  # away, and back: what was never moved counts for nothing
            for there in ((wanted, (wanted + 1) % 27), ((wanted + 1) % 27, wanted)):
                pieces.nth(there[0]).click()
                pieces.nth(there[1]).click()


def play_through(page: Page, state: dict[str, Any], answer: Callable) -> str:
    """Play to the end, and return the line of the result."""
    for each in state["_rounds"]:
        for question in each["questions"]:
            answer(page, question)
            page.locator(".verdict").wait_for()
            page.locator(".verdict button").click()
    return page.get_by_label("result as text").input_value()


def test_the_networks_answers_are_those_of_torch(browser, small):
    page, heard = opened(browser, small)
    page.wait_for_function("document.querySelector('.ssl3d-game').dataset.difference")
    root = page.locator(".ssl3d-game")
    assert root.get_attribute("data-solved") == "5"
    assert float(root.get_attribute("data-difference")) < 1e-4
    for each in state_of(small)["_rounds"]:  # and torch's differ from option to option
        assert len(set(each["questions"][0]["scores"])) == each["questions"][0]["options"]
    assert heard == []
    page.close()


def test_a_person_who_knows_all_answers_gets_full_score(browser, small):
    page, heard = opened(browser, small)
    state = state_of(small)
    line = play_through(page, state, answer_right)
    assert line.startswith("Play against the network: you 5/5, network ")
    assert line.endswith(f"| game {state['_id']}")
    assert page.get_by_role("row", name="all").get_by_role("cell").first.inner_text() == "5"
    page.get_by_role("button", name="Play again").click()
    assert page.get_by_text("Question 1 of 5").is_visible()
    assert heard == []
    page.close()


def test_what_is_told_after_an_answer(browser, small):
    page, _ = opened(browser, small)
    first = state_of(small)["_rounds"][0]
    question = first["questions"][0]
    wrong = (question["correct"] + 1) % 26
    page.locator(f'.places input[value="{wrong}"]').check(force=True)
    assert page.locator("form .now").inner_text() == first["answers"][wrong]
    page.get_by_role("button", name="That is my answer").click()
    rows = page.locator(".verdict tr")
    assert rows.nth(0).inner_text().split("\t")[1] == first["answers"][question["correct"]]
    assert "✗ wrong" in rows.nth(1).inner_text()
    network = max(range(26), key=question["scores"].__getitem__)
    assert first["answers"][network] in rows.nth(2).inner_text()
    assert rows.nth(3).inner_text().strip() == "Chance\tright 1 time in 26"
    assert page.get_by_text("After rpl.").is_visible()
    said = page.get_by_role("status").inner_text().split("\n")
    assert [line for line in said if line][1:] == [
        *("you", "0 of 1", "network", f"{int(network == question['correct'])} of 1"),
        *("chance", "0.04 of 1"),
    ]
    page.close()


def test_what_it_looked_at_is_computed_for_every_puzzle(browser, small):
    page, heard = opened(browser, small)
    for each in state_of(small)["_rounds"]:
        page.get_by_role("button", name="guess for me").click()
        page.get_by_text("What it looked at").click()
        page.locator("details[data-done]").wait_for()
        told = page.locator(".looking .now").inner_text()
        tried = int(re.search(r"at a time: (\d+)\.", told)[1])
        assert tried > 1, each["kind"]
        orange = page.locator(".looking canvas").evaluate_all(
            "all => all.some(c => { const d = c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data;"
            " for (let n = 0; n < d.length; n += 4) if (d[n] > d[n + 2] + 40) return true;"
            " return false; })"
        )
        assert orange, each["kind"]
        page.locator(".verdict > button").click()
    assert heard == []
    page.close()


def test_the_keyboard_alone_is_enough(browser, small):
    page, heard = opened(browser, small)
    page.wait_for_function("document.querySelector('.ssl3d-game').dataset.difference")

    def tab_to(css: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches('{css}')"):
                return
        raise AssertionError(f"Tab does not lead to {css}")

    for kind in ("rpl", "rotation", "masked", "cpc"):
        tab_to(".options input")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")  # a form is sent by it
        page.locator(".verdict").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "The answer", kind
        tab_to(".verdict > button")
        page.keyboard.press("Enter")
    for _ in range(3):  # pieces: take one, put it on the next
        tab_to(".piece")
        page.keyboard.press("Enter")
        tab_to(".piece")
        page.keyboard.press("Enter")
    tab_to(".actions .main")
    page.keyboard.press("Enter")
    assert "pieces in place" in page.locator(".verdict tr").nth(1).inner_text()
    assert heard == []
    page.close()


def test_pieces_can_be_dragged(browser, small):
    page, _ = opened(browser, small)
    for _ in range(4):
        page.get_by_role("button", name="guess for me").click()
        page.locator(".verdict > button").click()
    pieces = page.locator(".piece")
    before = [pieces.nth(n).get_attribute("aria-label") for n in (0, 4)]
    pieces.nth(0).drag_to(pieces.nth(4))
    after = [pieces.nth(n).get_attribute("aria-label") for n in (0, 4)]
    number = [re.search(r"piece (\d+)", each)[1] for each in (*before, *after)]
    assert number[:2] == number[2:][::-1]
    assert "put here by you" in after[1]
    assert "put here by you" not in after[0]
    assert page.get_by_role("button", name="That is my answer").is_disabled()  # too few
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_question_fits_and_axe_finds_no_serious_fault(browser, small, width, scheme):
    page, heard = opened(browser, small, width, scheme, touch=width == 390)

    def look(where: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where
        if not AXE.exists():
            return
        page.add_script_tag(path=AXE)
        found = page.evaluate("axe.run({ preload: false }).then((said) => said.violations)")
        grave = [
            f"{each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert grave == [], where

    for each in state_of(small)["_rounds"]:
        look(each["kind"])
        page.get_by_role("button", name="guess for me").click()
        look(f"{each['kind']}, told")
        page.locator(".verdict > button").click()
    look("the result")
    assert heard == []
    page.close()


# ---- the page of the docs ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the docs with the JavaScript and the style of now."""
    state = json.loads(STATE.search(PLAY.read_text())[1])
    path = tmp_path_factory.mktemp("docs") / "play.html"
    parts = [f"<style>{Game._css}</style>", '<div id="view"></div>', _script(str(Game._esm), state)]
    write_html(path, "Play against the network", map(Markup, parts))
    return path


def test_the_page_of_the_docs_is_small_and_as_it_was_written():
    """``ssl3d play docs/play.html`` writes it."""
    assert PLAY.stat().st_size < 3e6
    assert is_page_of(PLAY, "ssl3d view Game")
    rounds = state_of(PLAY)["_rounds"]
    assert [each["kind"] for each in rounds] == [
        *("rpl", "rotation", "masked", "cpc", "jigsaw", "rotation"),
    ]
    assert all(each["measured"]["learnt"] for each in rounds)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["as it is", "with the code of now"])
def test_the_page_of_the_docs_can_be_played(browser, today, which):
    page, heard = opened(browser, PLAY if which == "as it is" else today)
    page.set_default_timeout(300_000)  # the networks are larger, and a busy machine is slow
    page.wait_for_function("document.querySelector('.ssl3d-game').dataset.difference")
    difference = page.locator(".ssl3d-game").get_attribute("data-difference")
    assert float(difference) < 1e-4
    state = state_of(PLAY)
    asked = sum(len(each["questions"]) for each in state["_rounds"])
    line = play_through(page, state, answer_right)
    assert line.startswith(f"Play against the network: you {asked}/{asked}, network ")
    assert heard == []
    page.close()


@pytest.mark.slow
def test_the_page_of_the_docs_opens_in_three_seconds(browser):
    page, _ = opened(browser, PLAY)  # the browser itself has started
    page.goto(PLAY.as_uri())
    page.locator(".ssl3d-game form").wait_for()
    assert int(page.locator(".ssl3d-game").get_attribute("data-milliseconds")) < 3000
    page.close()
