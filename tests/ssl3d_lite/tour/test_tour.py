import csv
import html
import inspect
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import Page, make_cohort

from data_recipes.slices import Slices
from data_recipes.slices import prepare as prepare_slices
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks import TASKS
from ssl3d_lite.tour import report
from ssl3d_lite.tour.tour import TourSettings, tour, virtual_cohort

SMALL = {
    "task": "rotation",
    "pretrain_steps": 10,
    "finetune_steps": 10,
    "oracle_steps": 10,
    "probe_labels": (1, 3),
    "probe_draws": 2,
    "filters": (4, 8),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def found(folder):
    """A tour over larger made-up volumes, as rotation's cubes have an edge of 32."""
    make_cohort(folder / "cohort", 15, shape=(32, 32, 32))
    return tour(TourSettings(data=folder / "cohort", out=folder / "out", **SMALL))


def test_every_arm_has_every_score(found):
    arms = {arm: len(found.seeds("probe", arm)) for arm in found.arms("probe")}
    assert arms == {
        "rotation": 2,
        "random, batch norm": 2,
        "random, group norm": 2,
        "oracle (all labels)": 1,
    }
    for arm, encoders in arms.items():
        for labels in (1, 3):
            assert len(found.scores("probe", arm, labels)) == 2 * encoders
    assert all(len(scores) == 2 for scores in report.paired(found))


def test_results_csv_holds_the_rows(found, folder):
    with open(folder / "out" / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.rows)
    assert [float(r["dice"]) for r in rows] == [r["dice"] for r in found.rows]
    assert {"front", "back", "whole"} <= rows[0].keys()


def test_twins_have_the_same_labels_decoder_and_budget(found, folder):
    for seed in (0, 1):
        settings = [
            json.loads((folder / f"out/finetune-{arm}-seed{seed}/settings.json").read_text())
            for arm in ("rotation", "scratch")
        ]
        ours, scratch = settings
        assert ours.pop("start") != scratch.pop("start")
        assert ours == scratch


def test_the_same_tour_again_trains_nothing_and_finds_the_same(found, monkeypatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("a step was made"))
    assert tour(found.settings).rows == found.rows


def test_the_report_needs_no_other_file_and_holds_the_tables(found, folder):
    path = folder / "report.html"
    report.write_report(found, path)
    page = Page()
    page.feed(path.read_text())
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    text = " ".join(page.text)
    for header, rows in (report.probe_table(found), report.finetune_table(found)):
        assert all(cell in text for row in [header, *rows] for cell in row)
    assert all(line in text for line in report.findings(found))


def test_names_from_data_sets_cannot_write_html(found, folder):
    evil = replace(found.cohort, name="<script>alert(1)</script>", description="<b>x</b>")
    report.write_report(replace(found, cohort=evil), folder / "evil.html")
    text = (folder / "evil.html").read_text()
    assert "<script" not in text
    assert "<b>x" not in text


def rows_of(found, ours, best, scratch, tuned):
    """The tour's rows with scores of our choosing, to see what is said about them."""
    rows = []
    for labels in (1, 3):
        for seed, score in enumerate(ours):
            rows.append(("probe", "rotation", seed, labels, 0, score))
        rows.append(("probe", "random, batch norm", 0, labels, 0, 0.1))
        rows.append(("probe", "random, group norm", 0, labels, 0, best))
    for seed, (a, b) in enumerate(zip(tuned, scratch, strict=True)):
        rows.append(("fine-tuning", "rotation", seed, 2, seed, a))
        rows.append(("fine-tuning", "scratch", seed, 2, seed, b))
    names = ("reading", "arm", "seed", "labels", "draw", "dice")
    return replace(found, rows=[dict(zip(names, row, strict=True)) for row in rows])


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ((0.6, 0.7), "ahead with every seed"),
        ((0.4, 0.3), "not ahead with any seed"),
        ((0.6, 0.4), "ahead with 1 of 2 seeds, so undecided"),
        ((0.6,), ": ahead, but one seed shows little"),
        ((0.4,), ": not ahead, but one seed shows little"),
    ],
)
def test_the_probes_sentence_follows_the_numbers(found, ours, said):
    made = rows_of(found, ours, 0.5, (0.5, 0.5), (0.5, 0.6))
    sentence = report.probe_sentence(made, 3)
    assert said in sentence
    assert ", ".join(f"{score:.3f}" for score in ours) in sentence
    assert "0.500 (random, group norm)" in sentence


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        ((0.6, 0.7), "ahead in every pair"),
        ((0.4, 0.3), "not ahead in any pair"),
        ((0.6, 0.4), "the pairs disagree, so undecided"),
        ((0.6,), "One pair is few"),
    ],
)
def test_the_fine_tuning_sentence_follows_the_numbers(found, tuned, said):
    made = rows_of(found, (0.5, 0.5), 0.5, (0.5, 0.5)[: len(tuned)], tuned)
    assert said in report.finetune_sentence(made)
    assert f"{np.mean(tuned) - 0.5:+.3f}" in report.finetune_table(made)[1][-1][-1]


@pytest.mark.parametrize(
    ("task", "scores", "said"),
    [
        ("rpl", {"accuracy": 0.05, "chance": 0.1}, "5% of the rpl puzzles"),
        ("rpl", {"accuracy": 0.05, "chance": 0.1}, "it was not learnt"),
        ("rpl", {"accuracy": 0.5, "chance": 0.1}, "guessing gives 10.0%: it was learnt"),
        ("masked", {"r2": 0.4, "chance": 0.0}, "40% of the variance of what masked hides"),
        ("masked", {"r2": -0.1, "chance": 0.0}, "it was not learnt"),
    ],
)
def test_how_far_a_task_was_learnt_follows_the_numbers(task, scores, said):
    assert said in report.proxy_sentence(task, [{"loss": 1.0, **scores}])


@pytest.mark.parametrize("task", sorted({*TASKS, "cpc+masked"}))
def test_every_task_can_be_toured(task, tmp_path):
    folder = tmp_path / "cohort"
    make_cohort(folder, 15, shape=(32, 48, 32) if "cpc" in task else (33, 33, 33))
    quick = SMALL | {"task": task, "probe_draws": 1, "seeds": 1, "filters": (4, 4, 8)}
    found = tour(TourSettings(data=folder, out=tmp_path / "out", **quick))
    assert list(found.held_out) == task.split("+")
    assert len(found.rows) == 2 * (1 + 4 + 1) + 2
    report.write_report(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert all(f"Pretraining on {name}" in text for name in task.split("+"))
    assert all(line in html.unescape(text) for line in report.findings(found))


def test_a_cohort_of_slices_can_be_toured_and_is_scored_by_scan(tmp_path):
    make_cohort(tmp_path / "3d", 15, shape=(32, 32, 6))
    prepare_slices(Slices(tmp_path / "3d", tmp_path / "2d"))
    found = tour(TourSettings(data=tmp_path / "2d", out=tmp_path / "out", **SMALL))
    assert len(found.scores("probe", "rotation", 3)) == 4
    report.write_report(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "15 scans in 90 slices (9 to train on, 3 validation, 3 test" in text


def test_no_number_is_typed_into_the_report():
    said = re.findall(r'"[^"]*"', inspect.getsource(report.limits))
    assert not [text for text in said if re.search(r"\d\.\d", text)]


def test_too_few_labelled_cases_are_one_clear_line(tmp_path):
    make_cohort(tmp_path, 15, shape=(8, 8, 8))
    with pytest.raises(InputError, match="has 9 labelled scans to train on, but the tour wants 20"):
        tour(TourSettings(data=tmp_path, task="rotation", out=tmp_path / "out"))


def test_the_embedded_default_is_made_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    made = Cohort.open(virtual_cohort(TourSettings(out=tmp_path, cases=6)))
    assert len(made) == 6
    assert made.shape == (40, 56, 40)
    assert "warps of one template" in made.description
