"""Scans in a report: which test scans are shown, and in which order."""

import re

import numpy as np
import pytest
from helpers import make_cohort

from ssl3d_lite.study.examples import Examples
from ssl3d_lite.study.illustrations import STRIP, _strips


@pytest.mark.parametrize("count", [STRIP - 3, STRIP, 2 * STRIP + 3])
def test_a_strip_shows_some_scans_and_a_line_opens_to_all(tmp_path, count):
    cohort = make_cohort(tmp_path, count, shape=(8, 8, 8))
    maps = np.zeros((count, 8, 8, 8), np.uint8)
    cpc = np.random.default_rng(0).random(count)
    dice = {"scratch": np.full(count, 0.5), "cpc": cpc}
    found = Examples(cohort, np.arange(count), {"scratch": maps, "cpc": maps}, dice)
    strip, *opens = _strips(found)
    assert f"{min(count, STRIP)} of {count} test scans, from where cpc is furthest behind" in strip
    if count <= STRIP:
        assert opens == []
        return
    (line,) = opens
    assert f"<b>All {count} test scans:</b> in the same order." in line
    shown = [tuple(map(int, each)) for each in re.findall(r">Test scans (\d+) to (\d+)\.<", line)]
    assert shown == [(1, 8), (9, 16), (17, 19)]
    assert line.count("<img") == 3
