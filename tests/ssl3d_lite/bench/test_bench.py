"""The bench: what it counts is counted right, and what is slow is seen where it is slow."""

import json
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from helpers import make_cohort
from torch import nn

from ssl3d_lite.bench import command, peaks, stages, views
from ssl3d_lite.bench.budget import Budget
from ssl3d_lite.bench.command import BenchSettings, bench
from ssl3d_lite.bench.hours import (
    VIRTUAL_SHAPES,
    CostModel,
    StudyShapes,
    Workload,
    fit_cost_model,
    study_work,
    virtual_shape,
)
from ssl3d_lite.bench.peaks import Peaks, copy_rate, measure_peaks
from ssl3d_lite.bench.result import stage_table, view_table
from ssl3d_lite.bench.stages import STEP_PARTS, Stage, make_setup, step_work, training_stages
from ssl3d_lite.bench.traffic import layer_bytes
from ssl3d_lite.bench.views import view_costs
from ssl3d_lite.cli import main as cli
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.timing import repeated_times
from ssl3d_lite.models.operations import operations
from ssl3d_lite.study.data import make
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import plan
from ssl3d_lite.study.settings import Machine, read_study, shipped_studies
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.presets import preset

PEAKS = Peaks("cpu", 100.0, {"32-true": 10.0}, {"32-true": 20.0})


# ---- limits ------------------------------------------------------------------------------------


def test_the_limit_is_the_longer_of_copying_and_computing():
    assert PEAKS.limit(200, 100, "32-true") == (5.0, "computing")  # by the better rate
    assert PEAKS.limit(600, 100, "32-true") == (6.0, "copying")


def test_a_share_is_the_limit_over_what_was_measured():
    assert Stage("views", "cpc", 4.0, 0, 0, 1.0, "copying").share == 0.25


def test_the_clock_tells_the_time():
    taken = repeated_times(lambda: time.sleep(0.01), "cpu", 0.1)
    assert len(taken) >= 3
    assert 0.01 <= taken[0] <= taken[len(taken) // 2] < 0.1


def test_what_is_hopeless_is_tried_once():
    calls = []

    def slow():
        calls.append(1)
        time.sleep(0.05)

    (taken,) = repeated_times(slow, "cpu", 0.01)
    assert taken >= 0.05
    assert len(calls) == 1


def test_a_budget_is_shared_among_what_comes():
    budget = Budget(100, started=time.perf_counter() - 40)
    assert budget.left == pytest.approx(60, abs=1)
    assert budget.part(0.1) == 10
    assert budget.part(0.5, among=3) == pytest.approx(20, abs=1)
    assert Budget(1, started=time.perf_counter() - 2).left == 0


def test_a_precision_that_is_hopeless_is_dropped(monkeypatch):
    tries = {"32-true": 0.001, "bf16-mixed": 0.015}
    monkeypatch.setattr(peaks, "_small_try", lambda device, name: tries[name])
    assert set(measure_peaks("cpu", "32-true", 0.01).matrix) == {"32-true"}
    assert set(measure_peaks("cpu", "bf16-mixed", 0.01).matrix) == {"32-true", "bf16-mixed"}
    tries["bf16-mixed"] = 0.002
    assert set(measure_peaks("cpu", "32-true", 0.01).matrix) == {"32-true", "bf16-mixed"}


def test_copying_counts_what_is_read_and_what_is_written():
    rate = copy_rate("cpu", 0.1)
    assert 1e8 < rate < 1e13


# ---- counting ----------------------------------------------------------------------------------


def test_operations_of_a_convolution():
    volume = torch.zeros(2, 3, 4, 5, 6)
    conv = nn.Conv3d(3, 7, 3, padding=1)
    assert operations(lambda: conv(volume)) == 2 * 27 * 3 * 7 * (2 * 4 * 5 * 6)


def test_bytes_of_layers():
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 2))
    batch = torch.zeros(3, 5)
    numbers = (3 * 5 + 5 * 7 + 7 + 3 * 7) + (3 * 7 + 7 * 2 + 2 + 3 * 2)
    assert layer_bytes(network, lambda: network(batch)) == 4 * numbers
    assert not network[0]._forward_hooks


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), 20, (40, 48, 40))


@pytest.fixture(scope="module")
def resident(cohort):
    return cohort.to("cpu")


@pytest.mark.parametrize("task", stages.TIMED_TASKS)
def test_the_work_of_a_step(resident, task):
    setup = make_setup(task, resident, resident.split().pretrain, "cpu", "32-true")
    assert setup.encoder.settings.norm == preset("quick", task).shape.get("norm", "instance")
    volumes, batch = setup.views(0)
    work = step_work(setup)
    assert set(work) == set(STEP_PARTS)
    moved, counted = work["views"]
    assert counted == 0
    assert batch.views.nbytes < moved <= volumes.nbytes + 2 * batch.views.nbytes
    forward, backward = work["forward"][1], work["backward"][1]
    assert forward > 0
    # a backward pass is twice the forward pass, but the first layer's input needs no gradient
    assert 1.4 * forward < backward <= 2 * forward
    weights = sum(w.numel() for m in (setup.task, setup.encoder) for w in m.parameters())
    assert work["optimiser"] == (32 * weights, 0)


# ---- time --------------------------------------------------------------------------------------


def test_what_is_slow_is_seen_where_it_is_slow(resident, monkeypatch):
    setup = make_setup("masked", resident, resident.split().pretrain, "cpu", "32-true")
    make_views, clip = setup.task.make_views, stages.clip_gradient

    def slow_views(self, *arguments):
        time.sleep(0.05)
        return make_views(*arguments)

    def slow_clip(*arguments):
        time.sleep(0.03)
        return clip(*arguments)

    monkeypatch.setattr(type(setup.task), "make_views", slow_views)
    monkeypatch.setattr(stages, "clip_gradient", slow_clip)
    found = {s.name: s for s in training_stages(setup, PEAKS, 0.1)}
    assert found["views"].seconds >= 0.05
    assert found["optimiser"].seconds >= 0.03
    assert found["step"].seconds >= 0.05 + found["forward"].seconds / 2
    parts = sum(found[name].seconds for name in STEP_PARTS[1:])
    assert found["step"].limit == pytest.approx(parts, rel=0.3)  # the medians of three rounds


def test_a_task_that_is_hopeless_is_left_after_one_step(resident, monkeypatch):
    setup = make_setup("masked", resident, resident.split().pretrain, "cpu", "32-true")
    steps, make_views = [], setup.task.make_views

    def slow_views(self, *arguments):
        steps.append(1)
        return make_views(*arguments)

    monkeypatch.setattr(type(setup.task), "make_views", slow_views)
    monkeypatch.setattr(stages, "real_step", None)  # it is not asked
    found = {s.name: s for s in training_stages(setup, PEAKS, 1e-3)}
    assert len(steps) == 2, "one step, and one whose work is counted"
    assert all(stage.single_try for stage in found.values())
    parts = sum(found[name].seconds for name in STEP_PARTS)
    assert found["step"].seconds == pytest.approx(parts)


def test_a_training_is_not_touched_by_measuring_it(resident):
    setup = make_setup("cpc", resident, resident.split().pretrain, "cpu", "32-true")
    before = [w.clone() for m in (setup.task, setup.encoder) for w in m.state_dict().values()]
    list(training_stages(setup, PEAKS, 0.1))
    after = [w for m in (setup.task, setup.encoder) for w in m.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# ---- hours -------------------------------------------------------------------------------------


def test_a_planted_cost_is_found():
    planted = CostModel(0.02, 3e-11)
    rows = []
    for task, counted in (("a", 1e8), ("b", 1e9), ("c", 5e9)):
        took = planted.seconds(Workload(1, counted))
        rows.append(Stage("forward", task, took, 0, counted, took, "computing"))
        rows.append(Stage("step", task, took, 0, 0, took, "parts"))
    found = fit_cost_model(rows)
    assert found.step == pytest.approx(planted.step)
    assert found.operation == pytest.approx(planted.operation)


RECIPES = {
    "virtual-hippocampus": {"cases": 5},
    "virtual-brain": {"cases": 5, "edge": 32},
    "virtual-ukb-brain": {"cases": 5, "edge": 32},
    "virtual-abdomen": {"cases": 5, "unlabelled": 1, "edge": 48},
    "virtual-fundus": {"cases": 5, "unlabelled": 1, "edge": 32},
}


def test_every_recipe_has_a_shape():
    assert RECIPES.keys() == VIRTUAL_SHAPES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_virtual_shape_is_that_of_the_cohort(tmp_path, recipe):
    from ssl3d_lite.data.cohort import Cohort

    table = {"recipe": recipe, **RECIPES[recipe]}
    made, said = Cohort.open(make(table, tmp_path / "cohort", "test")), virtual_shape(table)
    assert said.shape == made.shape
    assert len(said.channels) == len(made.channels)
    assert said.ordinal == made.ordinal
    labelled = sum(case.labelled for case in made.cases)
    if labelled:  # of a corpus the number counts for nothing
        assert said.scans == labelled
        assert len(said.label_names) == len(made.label_names)


def changed(**changes):
    return read_study(
        "hippocampus",
        "smoke",
        **{"arms": ["scratch"], "labels": ["2"], "protocols": ["finetune"], "seeds": 1}
        | {"milestones": [], "finetune": {"steps": 10, "validate_every": 0}}
        | changes,
    )


def test_the_work_of_a_study_grows_as_its_runs_do():
    one = study_work(changed())
    assert study_work(changed(seeds=3)).operations == pytest.approx(3 * one.operations)
    assert study_work(changed(labels=["2", "5"])).operations == pytest.approx(2 * one.operations)
    longer = study_work(changed(finetune={"steps": 30, "validate_every": 0}))
    assert longer.steps - one.steps == 20
    pretrained = study_work(changed(arms=["cpc"]))
    assert pretrained.steps - one.steps == read_study("hippocampus", "smoke").pretrain["steps"]


def test_what_is_not_trained_costs_no_training():
    """Place alone is in every study, and is a mean of label maps; labels are transferred to
    neighbours by forward passes, as a probe's are, from one scan."""
    one = study_work(changed())
    assert study_work(changed(arms=["place"])) == Workload()
    assert study_work(changed(arms=["place", "scratch"])) == one
    probed = study_work(changed(arms=["random"], protocols=["probe"]))
    transferred = study_work(changed(arms=["random"], protocols=["neighbours"]))
    assert probed.steps - transferred.steps == 1 / 4, "two labelled scans, and one"
    assert 0 < transferred.operations < probed.operations < one.operations


def test_steps_and_evaluations_are_counted():
    study = changed()
    held_out = study.cohort["cases"] / 5
    assert study_work(study).steps == pytest.approx(10 + held_out / 4)
    evaluations = study_work(changed(finetune={"steps": 10, "validate_every": 5})).steps
    assert evaluations == pytest.approx(10 + 3 * held_out / 4)


@pytest.mark.parametrize("scale", ["smoke", "class", "full"])
@pytest.mark.parametrize("name", shipped_studies())
def test_encoders_of_shipped_studies_can_read_their_pieces(name, scale):
    """Else the hours of no study could be told."""
    study = read_study(name, scale)
    experiment = Experiment(study, StudyShapes(study), Path(), Machine("cpu"))
    for job in {job.arm: job for job in plan(study)}.values():
        shape = experiment.start(job)
        for task, own in experiment.task_settings(job.arm).items() if job.arm.tasks else ():
            settings = make_task(task, shape, **own).settings
            edge = getattr(settings, "patch", None) or settings.crop_size
            assert shape.lack([edge] * shape.spatial_dims) == "", (job.arm.name, task)


# ---- all of it ---------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(command, "study_hours", lambda cost: {"a": {"smoke": cost.step}})
    for module in (stages, command):
        monkeypatch.setattr(module, "TIMED_TASKS", ("masked", "cpc"))
    monkeypatch.setattr(command, "view_costs", lambda budget: view_costs(Budget(600), 24, 2))
    measure = command.measure_peaks
    monkeypatch.setattr(command, "measure_peaks", lambda *wanted: measure(*wanted[:2], 0.05))


@pytest.mark.slow
def test_bench_writes_a_table_a_page_and_numbers(cohort, tmp_path, capsys, quick):
    out = tmp_path / "bench"
    arguments = ["bench", "--cohort", str(cohort.folder), "--out", str(out), "--seconds", "30"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) < 40, "one page"
    for name in (
        "step of masked",
        "step of cpc",
        "reading",
        "evaluation",
        "probe",
        "fine-tuning step",
    ):
        assert any(line.strip().startswith(name) for line in printed.splitlines()), name
    assert "× MONAI's UNet" in printed
    record = json.loads((out / "bench.json").read_text())
    assert {s["name"] for s in record["stages"]} >= {"reading", "evaluation", "probe", *STEP_PARTS}
    for stage in record["stages"]:
        assert stage["seconds"] > 0
        assert stage["share"] == pytest.approx(stage["limit"] / stage["seconds"])
    pages = [view for view in record["views"] if view["name"] != "napari"]
    assert [view["name"] for view in pages] == ["Features", "Slices", "wipe", "Puzzle3D", "Live"]
    for view in pages:
        assert 0 < view["megabytes"] < 5
        assert view["seconds"] is None or view["seconds"] > 0
    layers = [view["what"] for view in record["views"] if view["name"] == "napari"]
    if find_spec("napari"):
        assert [each.split(": ")[1] for each in layers] == ["opening", "a new puzzle"]
    for minute in record["minute"].values():
        assert sum(minute.values()) == pytest.approx(60)
    page = (out / "report.html").read_text()
    assert "Where a minute of pretraining goes" in page
    assert "2 patients of 24³, 2 encoders" in page
    assert page.count("<table>") == 5
    assert (out / "minute.png").read_bytes().startswith(b"\x89PNG")


def test_bench_refuses_what_it_cannot_measure(tmp_path, cohort):
    few = make_cohort(tmp_path / "few", 5)
    with pytest.raises(InputError, match="too few cases"):
        bench(BenchSettings(cohort=few.folder))
    with pytest.raises(InputError, match="seconds is 0"):
        BenchSettings(seconds=0)
    with pytest.raises(InputError, match="tpu"):
        BenchSettings(device="tpu")
    with pytest.raises(InputError, match="fp16"):
        BenchSettings(precision="fp16")


def test_the_table_has_a_line_a_stage():
    found = [Stage("views", "cpc", 0.004, 0, 0, 0.001, "copying")]

    class Few:
        stages = found

    header, rows = stage_table(Few)
    assert rows == [["cpc", "views", "4.0 ms", "1.0 ms", "25 %", "copying"]]
    assert len(header) == len(rows[0])


def test_a_view_without_a_browser_has_a_size_alone(monkeypatch):
    monkeypatch.setattr(views.shutil, "which", lambda name: None)
    cost, *_ = view_costs(Budget(600), 24, 2)
    assert cost.seconds is None

    class Few:
        views = (cost,)

    header, rows = view_table(Few)
    assert rows[0][3:] == ["no browser", "100 ms"]
    assert len(header) == len(rows[0])


def test_without_views_there_is_nothing_to_measure(monkeypatch):
    monkeypatch.setattr(views, "find_spec", lambda name: None)
    assert view_costs(Budget(600)) == []


def test_views_are_left_out_when_the_time_is_over():
    assert view_costs(Budget(0)) == []


def test_a_stage_keeps_its_numbers():
    stage = replace(Stage("a", "b", 2.0, 3, 4, 1.0, "copying"), seconds=4.0)
    assert stage.share == 0.25
