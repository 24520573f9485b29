"""The harness itself: it must see what goes wrong, or browser tests prove nothing."""

import pytest

SLIDER = """
import ipywidgets
slider, text = ipywidgets.IntSlider(3, 0, 9), ipywidgets.Label("3")
slider.observe(lambda change: setattr(text, "value", str(change.new)), "value")
text.add_class("told")
ipywidgets.VBox([slider, text])
"""


@pytest.fixture(scope="module")
def notebook(lab):
    return lab.open(["number = 6 * 7\nprint(number)", SLIDER])


def test_cells_have_been_run_and_later_ones_can_be(notebook):
    assert notebook.text(0) == "42"
    assert notebook.run("number + 1") == "43"


def test_a_slider_moved_by_key_reaches_the_kernel(notebook):
    told = notebook.locate(".told")
    assert told.inner_text() == "3"
    before = notebook.pixels(told)
    notebook.locate(".noUi-handle").press("ArrowRight")
    notebook.until(lambda: told.inner_text() == "4", "the label")
    assert notebook.pixels(told).shape == before.shape
    assert (notebook.pixels(told) != before).any()
    assert notebook.run("slider.value") == "4"


def test_without_its_callback_nothing_is_told(notebook):
    notebook.run("slider.unobserve_all()")
    notebook.locate(".noUi-handle").press("ArrowRight")
    with pytest.raises(AssertionError, match="in vain for the label"):
        notebook.until(lambda: notebook.locate(".told").inner_text() == "5", "the label", 1)
    assert notebook.run("slider.value") == "5"


def test_a_cell_that_raises_is_noticed(notebook):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        notebook.run("1 / 0")


def test_themes_change(notebook):
    light = notebook.pixels().mean()
    notebook.theme("JupyterLab Dark")
    assert notebook.pixels().mean() < light - 80
    notebook.theme("JupyterLab Light")


def test_errors_and_requests_to_elsewhere_are_noticed(lab):
    notebook = lab.open(["1"])
    assert notebook.errors == []
    assert notebook.outside == []
    notebook.evaluate("fetch('http://elsewhere.invalid/x').catch(() => 0)")
    assert notebook.outside == ["http://elsewhere.invalid/x"]
    notebook.evaluate("setTimeout(() => { throw new Error('broken on purpose') })")
    notebook.until(lambda: any("on purpose" in e for e in notebook.errors), "the error")
    notebook.close()
