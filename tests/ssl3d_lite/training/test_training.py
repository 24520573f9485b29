import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_cohort, small_disk
from torch import nn

from ssl3d_lite.cli.main import main
from ssl3d_lite.errors import DivergedError, InputError
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training import batches
from ssl3d_lite.training.batches import cases_of_step, step_generator
from ssl3d_lite.training.checkpoint import load_encoder, load_network
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.hooks import Hook
from ssl3d_lite.training.loop import clip_gradient
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import (
    FinetuneSettings,
    PretrainSettings,
    TrainSettings,
    machine_settings,
)

SMALL = EncoderSettings(filters=(4, 8))


def pretrained(cohort, out=None, seed=0, **settings):
    encoder = make_encoder(SMALL, seed)
    task = make_task("rotation", encoder.settings, seed=seed, crop_size=12)
    training = TrainSettings(**{"steps": 20, "checkpoint_every": 10, "seed": seed} | settings)
    return encoder, pretrain(task, encoder, cohort, cohort.split().pretrain, training, out)


def finetuned(cohort, out=None, encoder=None, **settings):
    network = make_unet(encoder or make_encoder(SMALL, 0), 3, 0)
    training = FinetuneSettings(**{"steps": 20, "checkpoint_every": 10} | settings)
    split = cohort.split()
    hooks = eval_hooks(network, cohort, training, validation=split.validation)
    return network, finetune(network, cohort, split.train[:4], training, out, hooks=hooks)


OWN = {
    "rotation": {"crop_size": 12},
    "random": {"crop_size": 12},
    "rpl": {"patch": 4},
    "jigsaw": {"patch": 4},
}


def tasks_of(*names):
    return [make_task(name, SMALL, **OWN.get(name, {})) for name in names]


def by_turns(cohort, out=None, tasks=None, **settings):
    encoder = make_encoder(SMALL, 0)
    tasks = tasks or tasks_of("exemplar", "masked")
    training = TrainSettings(**{"steps": 20, "checkpoint_every": 10} | settings)
    return encoder, pretrain(tasks, encoder, cohort, cohort.split().pretrain, training, out)


def same(a: nn.Module, b: nn.Module) -> bool:
    b = b.state_dict()
    return all(torch.equal(weight, b[name]) for name, weight in a.state_dict().items())


def test_one_seed_one_encoder(cohort):
    first, again, other = (pretrained(cohort, seed=seed)[0] for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_pretrain_returns_the_encoder_alone_in_evaluation_mode(cohort, tmp_path):
    encoder, _ = pretrained(cohort, tmp_path)
    assert not encoder.training
    loaded = load_encoder(tmp_path)
    assert same(encoder, loaded)
    assert not any("head" in name for name in loaded.state_dict())


def test_history_has_a_row_every_ten_steps_with_chance_beside_accuracy(cohort, tmp_path):
    _, history = pretrained(cohort, tmp_path, steps=25)
    assert [row["step"] for row in history] == [10, 20, 25]
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [10, 20, 25]
    assert all(float(row["chance"]) == pytest.approx(0.1) for row in rows)


class Killed(Exception):  # noqa: N818
    """Stands for the end of the process between two steps."""


@pytest.mark.parametrize("at", [3, 10, 17])
@pytest.mark.parametrize("run", [pretrained, finetuned, by_turns])
def test_a_run_stopped_anywhere_ends_with_the_same_weights(cohort, tmp_path, monkeypatch, run, at):
    whole, history = run(cohort)
    steps = iter(range(100))
    original = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        if next(steps) == at:
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(Killed):
        run(cohort, tmp_path)
    monkeypatch.undo()
    resumed, again = run(cohort, tmp_path)
    assert same(whole, resumed), "bit for bit"
    assert history == again


@pytest.mark.slow
def test_a_killed_process_is_continued_by_the_same_command(tmp_path):
    """kill -9 of the real command while it trains; then the same command again."""
    make_cohort(tmp_path / "cohort", 15)
    command = [
        *(sys.executable, "-m", "ssl3d_lite.cli", "pretrain", "--task", "rotation"),
        *("--cohort", str(tmp_path / "cohort"), "--crop-size", "16", "--filters", "4", "8"),
        *("--steps", "60", "--checkpoint-every", "10", "--precision", "32-true"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, **silent)
    out = tmp_path / "killed"
    process = subprocess.Popen([*command, "--out", str(out)], **silent)
    while not (out / "resume.pt").exists():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "encoder.safetensors").exists()
    subprocess.run([*command, "--out", str(out)], check=True, **silent)
    for name in ("encoder.safetensors", "history.csv", "settings.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_is_not_run_again(cohort, tmp_path, monkeypatch):
    first, _ = pretrained(cohort, tmp_path)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("a step was made"))
    again, history = pretrained(cohort, tmp_path)
    assert same(first, again)
    assert len(history) == 2


def test_a_folder_with_another_run_is_refused_and_untouched(cohort, tmp_path):
    pretrained(cohort, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"training\.learning_rate = 0\.001, but 0\.002"):
        pretrained(cohort, tmp_path, learning_rate=2e-3)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


def test_no_checkpoint_can_run_code(cohort, tmp_path):
    pretrained(cohort, tmp_path)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["step"] == 20


def test_a_broken_checkpoint_is_one_clear_line(cohort, tmp_path):
    pretrained(cohort, tmp_path)
    path = tmp_path / "resume.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"resume\.pt cannot be read"):
        pretrained(cohort, tmp_path)


def test_fault_07_a_loss_that_is_no_number_stops_with_a_clear_message(tmp_path):
    cohort = make_cohort(tmp_path / "cohort", 15).to("cpu")
    cohort.resident[0][:, 0, 0, 0, 0] = np.nan
    # NaN from the first volumes on: no checkpoint can be from before
    with pytest.raises(DivergedError, match=r"diverged in the 10 .* below 0\.003"):
        finetuned(cohort, tmp_path / "run")
    assert not (tmp_path / "run" / "network.safetensors").exists()
    assert not (tmp_path / "run" / "resume.pt").exists()


def test_a_full_disk_is_one_clear_line_and_the_last_checkpoint_stays(cohort, tmp_path, capsys):
    make_cohort(tmp_path / "cohort", 15)
    with small_disk(tmp_path / "disk", "300k"):
        arguments = [
            "pretrain",
            "--task",
            "rotation",
            "--crop-size",
            "16",
            "--filters",
            "8",
            "16",
            "32",
        ]
        arguments += ["--cohort", str(tmp_path / "cohort"), "--steps", "10"]
        assert main([*arguments, "--out", str(tmp_path / "disk/run")]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "No space left on device" in error
        assert not (tmp_path / "disk/run").exists(), "nothing half-written"


def test_the_encoder_stands_still_while_frozen_and_then_learns(cohort):
    start = make_encoder(SMALL, 0)
    frozen, _ = finetuned(cohort, freeze_encoder_steps=20)
    thawed, _ = finetuned(cohort, freeze_encoder_steps=10)
    before = dict(start.named_parameters())
    pairs = [(n, p) for n, p in frozen.encoder.named_parameters()]
    assert all(torch.equal(p, before[n]) for n, p in pairs)
    moved = [not torch.equal(p, before[n]) for n, p in thawed.encoder.named_parameters()]
    assert all(moved)
    assert all(p.requires_grad for p in frozen.parameters()), "left as it was found"


@pytest.mark.parametrize("validated", [0, 10])
def test_the_statistics_of_a_frozen_encoder_stand_still_too(cohort, validated):
    """Also after validation, from which a network comes back in training mode."""
    split, shape = cohort.split(), replace(SMALL, norm="batch")
    start = dict(make_encoder(shape, 0).named_buffers())
    assert start, "the encoder has batch norm"
    hooks = []
    settings = FinetuneSettings(steps=20, validate_every=validated, freeze_encoder_steps=20)
    network = make_unet(make_encoder(shape, 0), 3, 0)
    if validated:
        hooks = eval_hooks(network, cohort, settings, validation=split.validation)
    finetune(network, cohort, split.train, settings, hooks=hooks)
    assert all(torch.equal(b, start[n]) for n, b in network.encoder.named_buffers())
    moved = [n for n, b in network.decoder.named_buffers() if "running_mean" in n and b.any()]
    assert moved, "those of the decoder, which learns, are the scans'"
    thawed, _ = finetuned(cohort, encoder=make_encoder(shape, 0), freeze_encoder_steps=10)
    statistics = [(n, b) for n, b in thawed.encoder.named_buffers() if "running" in n]
    assert all(not torch.equal(b, start[n]) for n, b in statistics)


def test_the_encoder_gets_its_share_of_the_learning_rate(cohort):
    """Of the first step of Adam, which is the rate itself times the gradient's sign."""
    start = dict(make_unet(make_encoder(SMALL, 0), 3, 0).named_parameters())
    settings = {"steps": 1, "weight_decay": 0.0, "learning_rate": 0.01}

    def first_step(share):
        network, _ = finetuned(cohort, encoder_lr_scale=share, **settings)
        return {
            n: float((p - start[n]).abs().max().detach()) for n, p in network.named_parameters()
        }

    whole, tenth = first_step(1.0), first_step(0.1)
    for name, moved in tenth.items():
        if name.startswith("last.refine.0"):  # what reads it starts at zero, so it stands still
            assert whole[name] == moved == 0
            continue
        share = 0.1 if name.startswith("encoder.") else 1
        assert whole[name] == pytest.approx(0.01, rel=1e-3)
        assert moved == pytest.approx(0.01 * share, rel=1e-3)


def test_fault_15_the_best_weights_by_validation_are_kept_not_the_last(cohort, tmp_path):
    network, history = finetuned(
        cohort, tmp_path, steps=30, validate_every=10, learning_rate=0.3, clip=0
    )
    scores = [row["validation"] for row in history]
    result = evaluate(network, cohort, cohort.split().validation, hausdorff=False)
    assert result.mean_dice == pytest.approx(max(scores))
    assert same(network, load_network(tmp_path))


def test_fine_tuning_learns_a_handful_of_volumes_by_heart(cohort):
    settings = FinetuneSettings(steps=80, learning_rate=1e-2, batch=2)
    network = make_unet(make_encoder(EncoderSettings(filters=(8, 16)), 0), 3, 0)
    history = finetune(network, cohort, (0, 1), settings)
    assert history[-1]["loss"] < history[0]["loss"] / 2
    result = evaluate(network, cohort, (0, 1), hausdorff=False)
    assert result.by_region["whole"] > 0.85


def test_fine_tuning_on_boxes(cohort):
    _, history = finetuned(cohort, patch=(16, 16, 16))
    assert np.isfinite(history[-1]["loss"])


def test_an_unlabelled_case_cannot_be_fine_tuned_on(tmp_path):
    cohort = make_cohort(tmp_path, 6, unlabelled=1)
    network = make_unet(make_encoder(SMALL, 0), 3, 0)
    with pytest.raises(InputError, match="case_005 has no label"):
        finetune(network, cohort, (4, 5), FinetuneSettings(steps=1))


@pytest.mark.parametrize(
    ("setting", "value"), [("steps", 0), ("batch", -1), ("checkpoint_every", 15)]
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(InputError, match=setting):
        TrainSettings(**{setting: value})


def test_every_round_sees_every_case_once():
    settings = TrainSettings(batch=4, seed=3)
    cases = (2, 3, 5, 7, 11)
    seen = [case for step in range(5) for case in cases_of_step(cases, settings, step)]
    rounds = [seen[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(r) == sorted(cases) for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1
    assert cases_of_step(cases, settings, 2) == seen[8:12], "a step needs no other step"


def test_a_memory_format_changes_nothing_but_the_time(cohort):
    plain, history = pretrained(cohort)
    other, again = pretrained(cohort, memory_format="contiguous")
    assert plain.levels[1].conv1.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert other.levels[1].conv1.weight.is_contiguous()
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    assert [row["step"] for row in again] == [row["step"] for row in history]
    with pytest.raises(InputError, match="did you mean 'contiguous'"):
        TrainSettings(memory_format="contigous")


def test_a_step_costs_the_same_however_many_cases_there_are():
    batches._order.cache_clear()
    settings = TrainSettings(batch=4)
    chosen = [cases_of_step(range(20_000), settings, step) for step in range(100)]
    assert batches._order.cache_info().misses == 1, "one order a round, not one a step"
    assert len({case for step in chosen for case in step}) == 400


def test_steps_and_seeds_draw_apart():
    draws = {
        (seed, step): torch.rand(1, generator=step_generator(seed, step)).item()
        for seed in range(10)
        for step in range(10)
    }
    assert len(set(draws.values())) == 100


def test_the_learning_rate_falls_to_nothing():
    settings = TrainSettings(steps=100, learning_rate=0.01)
    assert settings.lr_at(0) == 0.01
    assert settings.lr_at(50) == pytest.approx(0.01 * 0.5**0.9)
    assert settings.lr_at(100) == 0


def test_clip_cuts_the_gradient_and_returns_its_norm():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradient(layer, 0).item() == 5
    assert torch.equal(layer.weight.grad, torch.tensor([[3.0, 4.0]]))
    assert clip_gradient(layer, 1).item() == 5
    assert layer.weight.grad.norm().item() == pytest.approx(1, rel=1e-5)


# ---- tasks by turns ----------------------------------------------------------------------------


def test_tasks_by_turns_have_a_row_each_and_both_heads_learn(cohort, tmp_path):
    tasks, start = tasks_of("rotation", "masked"), tasks_of("rotation", "masked")
    _, history = by_turns(cohort, tmp_path, tasks)
    rows = [(row["step"], row["task"]) for row in history]
    assert rows == [(10, "rotation"), (10, "masked"), (20, "rotation"), (20, "masked")]
    assert "accuracy" in history[0]
    assert "r2" in history[1]
    assert not any(same(before, after) for before, after in zip(start, tasks, strict=True))
    record = json.loads((tmp_path / "settings.json").read_text())
    assert record["task"] == "rotation+masked"
    assert record["task_settings"]["rotation crop_size"] == 12


def test_at_each_step_one_task_has_its_turn(cohort):
    """Steps 0, 2, 4, … are the first's: after one step the second has not moved."""
    tasks, start = tasks_of("rotation", "masked"), tasks_of("rotation", "masked")
    by_turns(cohort, tasks=tasks, steps=1)
    assert not same(tasks[0], start[0])
    assert same(tasks[1], start[1])


@pytest.fixture
def sound_bfloat16(monkeypatch):
    """Without oneDNN, whose bfloat16 convolutions go wrong on some CPUs: see `choose_precision`."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


@pytest.mark.usefixtures("sound_bfloat16")
@pytest.mark.parametrize("name", sorted(set(TASKS) - {"cpc"}))
def test_every_task_runs_in_mixed_precision(cohort, name):
    """As a GPU would choose it."""
    _, history = by_turns(cohort, tasks=tasks_of(name), steps=2, precision="bf16-mixed")
    assert np.isfinite(history[-1]["loss"])


@pytest.mark.usefixtures("sound_bfloat16")
def test_cpc_runs_in_mixed_precision(cohort):
    task = make_task("cpc", SMALL, patch=8, stride=4, jitter=0)
    _, history = by_turns(cohort, tasks=[task], steps=2, precision="bf16-mixed")
    assert np.isfinite(history[-1]["loss"])


def test_a_task_that_finds_a_fault_stops_the_run_and_keeps_the_checkpoint(cohort, tmp_path):
    class Fussy(TASKS["rotation"]):
        def check_health(self, history):
            return "enough is enough" if len(history) == 2 else None

    task = Fussy(Fussy.Settings(crop_size=12), SMALL)
    with pytest.raises(
        DivergedError, match=r"step 20: enough is enough; the checkpoint of step 10"
    ):
        by_turns(cohort, tmp_path, [task], steps=40)
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 10


def test_a_fine_tuned_networks_encoder_can_be_fine_tuned_again(cohort, tmp_path):
    """Supervised pretraining: fine-tune on some labels, take the encoder to others."""
    network, _ = finetuned(cohort, tmp_path)
    assert same(network.encoder, load_encoder(tmp_path))


def test_an_encoder_of_other_dimensions_is_refused_before_anything_is_drawn(cohort):
    encoder = make_encoder(EncoderSettings(spatial_dims=2, filters=(4, 8)), 0)
    with pytest.raises(InputError, match=r"reads 1 channels in 2D, but made up has 1 in 3D"):
        pretrain(make_task("rpl", encoder.settings), encoder, cohort, (0, 1), TrainSettings())


# ---- watched, stopped, interrupted -------------------------------------------------------------


def watched(cohort, watch, out=None, names=("rotation",), **settings):
    """A run of 40 steps with a checkpoint at the end alone; the encoder, the tasks, the history."""
    encoder, tasks = make_encoder(SMALL, 0), tasks_of(*names)
    training = TrainSettings(**{"steps": 40, "checkpoint_every": 100} | settings)
    cases = cohort.split().pretrain
    history = pretrain(tasks, encoder, cohort, cases, training, out, callback=watch)
    return encoder, nn.ModuleList(tasks), history


@pytest.mark.parametrize("names", [("rotation",), ("exemplar", "masked")])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(cohort, tmp_path, names):
    whole, heads, history = watched(cohort, None, names=names)
    part, part_heads, begun = watched(cohort, lambda rows: rows[-1]["step"] == 20, tmp_path, names)
    assert [row["step"] for row in begun] == [10] * len(names) + [20] * len(names)
    assert not part.training
    assert not same(part, whole)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert (state["step"], state["history"]) == (20, begun)
    weights = nn.ModuleDict({"encoder": part, "tasks": part_heads}).state_dict()
    assert all(torch.equal(weights[name], saved) for name, saved in state["learner"].items())
    assert not (tmp_path / "encoder.safetensors").exists(), "which would look like the end"
    ended, ended_heads, again = watched(cohort, None, tmp_path, names)
    assert same(ended, whole)
    assert same(ended_heads, heads)
    assert again == history
    assert same(load_encoder(tmp_path), whole)


def until(cohort, score, out=None, watch=None, steps=70, names=("rotation",)):
    encoder, tasks = make_encoder(SMALL, 0), tasks_of(*names)
    how = PretrainSettings(steps=steps, until=score)
    history = pretrain(tasks, encoder, cohort, cohort.split().pretrain, how, out, callback=watch)
    return encoder, history


def test_pretraining_ends_when_the_puzzle_is_solved_well_enough(cohort, tmp_path, capsys):
    """Killed on the way or not, and given again or not: the same weights."""
    whole, history = until(cohort, 0.01)
    assert history[-1]["step"] == 50, "the mean of five rows has to reach it"
    assert history[-1]["learning_rate"] == pytest.approx(1e-3 * (1 - 49 / 70) ** 0.9)
    _, begun = until(cohort, 0.01, tmp_path, lambda rows: rows[-1]["step"] == 30)
    assert begun[-1]["step"] == 30
    for _ in range(2):
        encoder, again = until(cohort, 0.01, tmp_path)
        assert again == history
        assert same(encoder, whole)
        assert same(load_encoder(tmp_path), whole)
    record = json.loads((tmp_path / "settings.json").read_text())
    assert (record["training"]["until"], record["steps_done"]) == (0.01, 50)


def test_pretraining_that_does_not_reach_the_score_goes_on_to_the_last_step(cohort, capsys):
    _, history = until(cohort, 0.99, steps=60)
    assert history[-1]["step"] == 60
    assert "the puzzle's score has not come to 0.99 in 60 steps" in capsys.readouterr().out


def test_of_several_tasks_each_has_to_reach_the_score(cohort):
    _, history = until(cohort, 0.01, names=("rotation", "random"), steps=60)
    assert history[-1]["step"] == 50  # a row each, every ten steps


def test_the_learning_rate_may_stay_as_it_is():
    assert TrainSettings(lr_decay=0, steps=9).lr_at(8) == TrainSettings().learning_rate
    assert TrainSettings(steps=10).lr_at(5) == 1e-3 * 0.5**0.9


def test_a_record_names_no_new_setting_at_its_default():
    """So that a run that an earlier version began goes on."""
    record = PretrainSettings().record()
    assert not {"until", "lr_decay"} & record.keys()
    assert PretrainSettings(until=0.5, lr_decay=0).record().items() >= {"until": 0.5}.items()


def test_a_notebooks_cell_run_twice_is_told_to_make_the_networks_anew(cohort, tmp_path):
    encoder, task = make_encoder(SMALL, 0), tasks_of("rotation")
    settings, cases = TrainSettings(steps=20), cohort.split().pretrain
    pretrain(task, encoder, cohort, cases, settings, tmp_path, callback=lambda rows: True)
    with pytest.raises(InputError, match="make the networks anew from the same seeds"):
        pretrain(task, encoder, cohort, cases, settings, tmp_path)


def test_a_watch_that_never_stops_sees_every_row_and_changes_nothing(cohort, tmp_path):
    seen = []

    def watch(rows):
        seen.append([row["step"] for row in rows])
        rows.clear()  # what it is given is its own
        return False

    whole, _, history = watched(cohort, None, tmp_path / "alone", steps=25)
    encoder, _, again = watched(cohort, watch, tmp_path / "watched", steps=25)
    assert seen == [[10], [10, 20], [10, 20, 25]]
    assert again == history
    assert same(encoder, whole)
    for name in ("encoder.safetensors", "history.csv", "settings.json"):
        assert (tmp_path / "watched" / name).read_bytes() == (
            tmp_path / "alone" / name
        ).read_bytes()


def test_a_stop_at_the_last_step_is_the_end(cohort, tmp_path):
    encoder, _, _ = watched(cohort, lambda rows: rows[-1]["step"] == 40, tmp_path)
    assert same(load_encoder(tmp_path), encoder)


@pytest.mark.skipif("TQDM_DISABLE" in os.environ, reason="no bars are wanted")
def test_the_bar_of_a_stopped_run_says_so_and_is_full(cohort, capsys):
    watched(cohort, lambda rows: True)
    last = capsys.readouterr().err.split("\r")[-1]
    assert last.startswith("pretrain rotation, stopped at 10 of 40: 100%")
    assert "10/10" in last


PROGRAM = """
import json, sys
from pathlib import Path
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.machine.collectives import all_reduce_mean, rank
from ssl3d_lite.machine.launch import launch
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training import TrainSettings, pretrain

launch(2, "cpu")
folder, shape = Path(sys.argv[1]), EncoderSettings(filters=(4, 8), norm="group")
task, cohort = make_task("rotation", shape, crop_size=12), Cohort.open(folder / "cohort")
watch = lambda rows: rank() == 0 and rows[-1]["step"] == 20  # the second would never stop
settings = TrainSettings(steps=40, batch=4, devices=2)
encoder = make_encoder(shape, 0)
history = pretrain(task, encoder, cohort, range(8), settings, folder / "run", callback=watch)
(folder / f"{rank()}.json").write_text(json.dumps([row["step"] for row in history]))
all_reduce_mean([0.0], "cpu")  # wait for one another: the second ends as soon as the first does
"""


def test_several_processes_stop_together_as_the_first_decides(tmp_path):
    make_cohort(tmp_path / "cohort", 15)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [json.loads((tmp_path / f"{n}.json").read_text()) for n in (0, 1)] == [[10, 20]] * 2
    assert torch.load(tmp_path / "run/resume.pt", weights_only=True)["step"] == 20


def interrupted_in_a_step(monkeypatch):
    """Ctrl-C, or the stop button of Jupyter, in step 17."""
    steps, original = iter(range(100)), torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        if next(steps) == 17:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)


def interrupted_in_writing(monkeypatch):
    """The same, when half of the second checkpoint is on the disk."""
    files, original = iter(range(100)), os.replace

    def replace(aside, path):
        if next(files) == 3:  # the mark, resume.pt and history.csv of step 10 came before
            os.truncate(aside, os.path.getsize(aside) // 2)
            signal.raise_signal(signal.SIGINT)
        original(aside, path)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("interrupted", [interrupted_in_a_step, interrupted_in_writing])
def test_a_keyboard_interrupt_leaves_the_last_checkpoint(
    cohort, tmp_path, monkeypatch, interrupted
):
    whole, history = pretrained(cohort, steps=30)
    interrupted(monkeypatch)
    # a shell that starts tests in the background has them ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pretrained(cohort, tmp_path, steps=30)
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.undo()
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 10
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["history.csv", "resume.pt"]
    resumed, again = pretrained(cohort, tmp_path, steps=30)
    assert same(resumed, whole)
    assert again == history


# ---- hooks and settings ------------------------------------------------------------------------


def test_a_hook_of_ones_own_sees_every_step_and_row_and_may_stop_the_run(cohort):
    seen = []

    class Spy(Hook):
        def after_row(self, state):
            seen.append(("row", state.step, state.rows[-1]["step"]))
            state.stop = state.step == 20

        def after_step(self, state):
            seen.append(("step", state.step))

        def close(self):
            seen.append("closed")

    network = make_unet(make_encoder(SMALL, 0), 3, 0)
    history = finetune(network, cohort, (0, 1), steps=40, hooks=[Spy()])
    assert [row["step"] for row in history] == [10, 20]
    assert seen[:10] == [("step", n) for n in range(1, 10)] + [("row", 10, 10)]
    assert seen[-2:] == [("step", 20), "closed"]


def test_scores_that_are_asked_for_want_a_hook(cohort):
    network = make_unet(make_encoder(SMALL, 0), 3, 0)
    with pytest.raises(InputError, match=r"validate_every is set, but .*hooks=eval_hooks\("):
        finetune(network, cohort, (0, 1), validate_every=10)
    with pytest.raises(InputError, match="validate_every is set, but there are no validation"):
        eval_hooks(network, cohort, FinetuneSettings(validate_every=10))


def test_a_misspelt_setting_is_answered_with_the_nearest(cohort):
    encoder = make_encoder(SMALL, 0)
    with pytest.raises(InputError, match="did you mean 'steps'"):
        pretrain(tasks_of("rotation"), encoder, cohort, step=3)
    with pytest.raises(InputError, match=r"steps is 2\.5, but must be a whole number"):
        pretrain(tasks_of("rotation"), encoder, cohort, steps=2.5)


def test_what_no_result_depends_on_is_said_by_the_settings():
    assert machine_settings() == {
        *("device", "devices", "machines"),
        *("activation_checkpointing", "memory_format", "checkpoint_every"),
    }


def test_training_does_not_know_how_it_is_scored():
    code = (
        "import sys, ssl3d_lite.training.finetuning; print('ssl3d_lite.evaluation' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ssl3d_lite.evaluation" not in done.stdout.split()
