"""The tour: the shipped study, run through its command's settings on scans of a few voxels."""

import json

import numpy as np
import pytest
import torch
from helpers import Page, make_cohort

import ssl3d_lite as ssl3d
from data_recipes.slices import SliceSettings
from data_recipes.slices import prepare as prepare_slices
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort as make_virtual
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.features import recalibrated
from ssl3d_lite.evaluation.linear_probe import linear_probes
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.study import read_study
from ssl3d_lite.study.command import TourSettings, tour
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.presets import preset
from ssl3d_lite.training.pretraining import pretrain

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
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return make_cohort(folder, 15, shape=(32, 32, 32))


@pytest.fixture(scope="module")
def toured(cohort, tmp_path_factory):
    settings = TourSettings(cohort=cohort.folder, out=tmp_path_factory.mktemp("tour"), **SMALL)
    return settings, tour(settings)


def test_every_arm_has_every_score(toured):
    _, results = toured
    for arm in ("rotation", "random", "random@instance", "random@none", "oracle"):
        for labels in ("1", "3"):
            assert len(results.scores("probe", arm, labels)) == 2
    for arm in ("rotation", "scratch"):
        assert len(results.scores("finetune", arm, "2")) == 2
    (row, _) = results.of("probe", "rotation", ("3",))
    singles = [float(score) for score in row["draw_scores"].split()]
    assert len(singles) == 2
    assert row["score"] == np.mean(singles)


def test_the_scores_are_those_of_the_same_steps_by_hand(toured, cohort):
    """What a notebook would do step by step with seed 1 gives the tour's figures."""
    _, results = toured
    split = cohort.split()
    shape = EncoderSettings(1, 3, (4, 8), norm="batch")
    encoder = make_encoder(shape, 1)
    task = make_task("rotation", shape, 1)
    quick = preset("quick", "rotation").training | {"steps": 10}
    pretrain(task, encoder, cohort, split.pretrain, seed=1, **quick)
    probed = recalibrated(encoder, cohort, split.pretrain[:16])
    draws = [cohort.subset(split.train, 3, draw) for draw in (0, 1)]
    scores = [each.mean_dice for each in linear_probes(probed, cohort, draws, split.test)]
    row = results.of("probe", "rotation", ("3",))[1]
    assert [float(score) for score in row["draw_scores"].split()] == pytest.approx(scores)
    network = make_network(encoder, cohort, 1)
    finetune(network, cohort, cohort.subset(split.train, 2, 1), steps=10, batch=2, seed=1)
    score = evaluate(network, cohort, split.test, hausdorff=False).mean_dice
    assert results.scores("finetune", "rotation", "2")[1] == pytest.approx(score)


def test_two_seeds_decide_nothing(toured):
    settings, _ = toured
    text = (settings.out / "table.md").read_text()
    assert "it has 2 of the 6 paired seeds that a verdict needs" in text
    assert "it holds for" not in text
    assert "95 % interval" in text


def test_the_same_tour_again_trains_nothing_and_finds_the_same(toured, monkeypatch):
    settings, results = toured
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("a step was made"))
    assert tour(settings) == results


def test_the_report_shows_the_puzzle_the_learning_and_an_example(toured):
    settings, _ = toured
    page = Page()
    page.feed((settings.out / "report.html").read_text())
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    text = " ".join(page.text)
    for title in ("What rotation shows the network", "Pretraining on rotation"):
        assert title in text
    order = (
        *(
            "the middle of the scores of rotation",
            "In mean Dice with 2 labelled scans, rotation against scratch: ",
        ),
        *("What holds, and what does not", "Scan by scan", "3 of 3 test scans"),
    )
    places = [text.index(each) for each in order]
    assert places == sorted(places), "pictures, one sentence with its interval, then verdicts"
    assert "paired seeds" in text[places[1] : places[2]]
    assert "All seeds of the probe have the same draws of labels" in text


def test_the_example_is_the_scan_in_the_middle_of_the_scores(toured):
    settings, results = toured
    kept = {}
    for row in results.of("finetune", "rotation") + results.of("finetune", "scratch"):
        path = settings.out / "examples" / f"{row['run']}.npz"
        if path.exists():
            with np.load(path) as arrays:
                kept[row["arm"]] = dict(arrays)
                assert arrays["dice"].mean() == pytest.approx(row["score"])
                assert row["seed"] == 0
    assert set(kept) == {"rotation", "scratch"}
    middle = kept["rotation"]["cases"][kept["rotation"]["dice"].argsort()[1]]  # of three
    case = Cohort.open(settings.cohort).cases[middle].id
    assert f"Test case {case}:" in (settings.out / "report.html").read_text()


def test_names_from_data_sets_cannot_write_html(cohort, tmp_path):
    evil = make_cohort(tmp_path / "evil", 15, shape=(32, 32, 32))
    manifest = evil.folder / "cohort.json"
    record = json.loads(manifest.read_text()) | {"name": "<script>x", "description": "<b>x</b>"}
    manifest.write_text(json.dumps(record))
    quick = SMALL | {"seeds": 1, "probe_labels": (1,), "finetune_labels": 1}
    results = tour(TourSettings(cohort=evil.folder, out=tmp_path / "out", **quick))
    text = (results.folder / "report.html").read_text()
    assert "&lt;script&gt;x" in text
    assert "<script" not in text
    assert "<b>x" not in text


def test_two_tasks_by_turns_and_slices_can_be_toured(tmp_path):
    make_cohort(tmp_path / "3d", 15, shape=(32, 32, 6))
    prepare_slices(SliceSettings(tmp_path / "3d", tmp_path / "2d"))
    quick = SMALL | {"task": "rotation+masked", "seeds": 1, "probe_draws": 1}
    results = tour(TourSettings(cohort=tmp_path / "2d", out=tmp_path / "out", **quick))
    assert len(results.scores("finetune", "rotation+masked", "2")) == 1
    text = (tmp_path / "out" / "report.html").read_text()
    assert all(f"Pretraining on {name}" in text for name in ("rotation", "masked"))
    assert "it has 1 of the 6 paired seeds that a verdict needs" in text


def test_too_few_labelled_cases_are_one_clear_line(cohort, tmp_path):
    with pytest.raises(InputError, match="20 labelled scans asked for, 9 are there"):
        tour(TourSettings(cohort=cohort.folder, task="rotation", out=tmp_path / "out"))


def test_a_misspelt_task_is_named_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'cpc'"):
        tour(TourSettings(task="cpd", out=tmp_path))


def test_the_shipped_tour_is_alike_at_every_scale_and_needs_no_download(monkeypatch, tmp_path):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    smoke, full = (read_study("tour", scale) for scale in ("smoke", "full"))
    assert (smoke.arms, smoke.pretrain, smoke.seeds) == (full.arms, full.pretrain, full.seeds)
    made = make_virtual("virtual-hippocampus", tmp_path, cases=6)
    assert Cohort.open(made).shape == (40, 56, 40)


def test_the_package_is_the_function_of_the_same_name(cohort, tmp_path):
    """`ssl3d.study(…)` runs a study, and `ssl3d.study.load_results` reads one."""
    results = ssl3d.study(
        "tour",
        out=tmp_path / "out",
        cohort=cohort,
        arms=("random", "random@group"),
        labels=("1",),
        protocols=("probe",),
        seeds=1,
        encoder={"filters": [4, 8]},
    )
    assert results.folder == tmp_path / "out"
    assert (tmp_path / "out" / "report.html").exists()
    assert ssl3d.study.load_results(tmp_path / "out") == results
    with pytest.raises(InputError, match="did you mean 'seeds'"):
        ssl3d.study("tour", out=tmp_path / "out", cohort=cohort, seds=1)
