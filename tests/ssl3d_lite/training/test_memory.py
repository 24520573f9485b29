"""``python tests/ssl3d_lite/training/test_memory.py`` measures more, and larger networks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import posed
from torch import nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine import collectives
from ssl3d_lite.models.checkpointing import set_activation_checkpointing
from ssl3d_lite.models.classifier import make_classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.study.keys import relevant_settings
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training import loop, memory
from ssl3d_lite.training.finetuning import Finetuning, finetune
from ssl3d_lite.training.learner import Learner
from ssl3d_lite.training.memory import step_bytes
from ssl3d_lite.training.pretraining import Pretraining, pretrain
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

SMALL = EncoderSettings(filters=(4, 8))
ONCE = TrainSettings(device="cpu")


def segmenting(edge=16, dims=3, batch=2, **shape):
    """A U-Net of three classes that learns label maps, and a batch for it."""
    network = make_unet(make_encoder(EncoderSettings(1, dims, **shape), 0), 3, 0)
    labels = torch.zeros(batch, *[edge] * dims, dtype=torch.uint8)
    batch = torch.randn(batch, 1, *[edge] * dims), labels
    return Finetuning(network, FinetuneSettings()), batch


def puzzling(name, dims=3, edge=32, network="unet"):
    """An encoder with a task, and a batch of its puzzles."""
    encoder = make_encoder(EncoderSettings(1, dims, network=network), 0)
    own = {"patch": 32} if network != "unet" and name in ("cpc", "rpl", "jigsaw") else {}
    task = make_task(name, encoder.settings, **own)
    return Pretraining(encoder, [task]), (0, posed(task, torch.randn(2, 1, *[edge] * dims)))


# ---- the count ---------------------------------------------------------------------------------


class Straight(Learner):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(100, 50)

    def forward(self, x):
        return self.layer(x).sum(), {}


def test_the_count_of_one_layer_is_what_one_counts_by_hand():
    weights = 50 * 100 + 50
    # at the end of the forward pass: weights, the gradients of the step before, two moments; the
    # batch, the logits
    there = 4 * weights + 1000 * 100 + 1000 * 50
    counted = step_bytes(Straight(), (torch.randn(1000, 100),), ONCE)
    assert counted == pytest.approx(4 * there, rel=1e-3)
    # a small batch takes most in the optimiser's step: weights, gradients, moments, and two
    # numbers for each on the way to its change
    assert step_bytes(Straight(), (torch.randn(1, 100),), ONCE) == pytest.approx(
        4 * 6 * weights, rel=0.02
    )
    frozen = Straight().requires_grad_(False)
    frozen.layer.bias.requires_grad_(True)
    there = weights + 3 * 50 + 1000 * 100 + 1000 * 50
    counted = step_bytes(frozen, (torch.randn(1000, 100),), ONCE)
    assert counted == pytest.approx(4 * there, rel=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_can_be_counted(name, dims):
    learner, batch = puzzling(name, dims, edge=64 if dims == 2 else 48)
    assert step_bytes(learner, batch, ONCE) > 0


@pytest.mark.slow
def test_networks_for_photographs_can_be_counted():
    encoder = make_encoder(EncoderSettings(3, 2, network="densenet121"), 0)
    learner = Finetuning(make_classifier(encoder, 5, 0), FinetuneSettings())
    batch = torch.randn(2, 3, 160, 160), torch.zeros(2, dtype=torch.long)
    whole, again, half = (
        step_bytes(learner, batch, TrainSettings(device="cpu", **more))
        for more in ({}, {"activation_checkpointing": True}, {"precision": "bf16-mixed"})
    )
    least = 5 * 4 * sum(weight.numel() for weight in learner.parameters())
    assert least < again < whole
    assert least < half < whole


@pytest.mark.parametrize("dims", [2, 3])
def test_recomputing_and_half_precision_lower_the_count(dims):
    learner, batch = segmenting(48 if dims == 3 else 160, dims)
    count = {
        (activation_checkpointing, precision): step_bytes(
            learner,
            batch,
            TrainSettings(activation_checkpointing=activation_checkpointing, precision=precision),
        )
        for activation_checkpointing in (False, True)
        for precision in ("32-true", "bf16-mixed")
    }
    assert count[True, "32-true"] < count[False, "32-true"] * 0.75
    assert count[False, "bf16-mixed"] < count[False, "32-true"] * 0.75
    assert count[True, "bf16-mixed"] < count[True, "32-true"]


def test_a_frozen_encoder_is_counted_as_it_learns_in_the_end():
    network = make_unet(make_encoder(SMALL, 0), 3, 0)
    _, batch = segmenting()
    counts = []
    for frozen in (0, 9, 10):
        settings = FinetuneSettings(steps=10, freeze_encoder_steps=frozen, device="cpu")
        counts.append(step_bytes(Finetuning(network, settings), batch, settings))
    assert counts[0] == counts[1] > counts[2]


def test_counting_leaves_no_trace():
    learner, batch = segmenting(48)
    exemplar, views = puzzling("exemplar")  # which has a memory
    for module in (learner, exemplar):
        module.eval()
        before = {name: each.clone() for name, each in module.state_dict().items()}
        random = torch.get_rng_state()
        own = batch if module is learner else views
        assert step_bytes(module, own, ONCE) > 0
        assert torch.equal(torch.get_rng_state(), random)
        after = module.state_dict()
        assert all(torch.equal(each, after[name]) for name, each in before.items())
        assert not any(
            each.training or getattr(each, "activation_checkpointing", 0)
            for each in module.modules()
        )
        assert all(p.grad is None and p.requires_grad for p in module.parameters())


def test_of_several_processes_each_counts_its_own_and_sends_nothing(monkeypatch):
    learner, batch = segmenting()
    counted = step_bytes(learner, batch, ONCE)
    monkeypatch.setattr(collectives.group, "is_initialized", lambda: True)
    monkeypatch.setattr(collectives.group, "get_world_size", lambda: 2)
    monkeypatch.setattr(collectives.group, "all_gather", lambda *_: pytest.fail("it was sent"))
    assert collectives.is_distributed()
    assert step_bytes(learner, batch, ONCE) == counted
    assert collectives.is_distributed()


def test_no_score_of_a_study_depends_on_recomputing():
    assert "activation_checkpointing" not in relevant_settings(
        TrainSettings(device="cpu", activation_checkpointing=True)
    )


class Asking(Straight):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


def test_what_asks_for_values_is_not_counted_and_trains(cohort, monkeypatch):
    assert step_bytes(Asking(), (torch.randn(2, 100),), ONCE) is None
    monkeypatch.setattr(memory, "_count", lambda *_: 1 / 0)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    finetuned(cohort, steps=1)


# ---- beside what is measured -------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
import torch
from helpers import random_cohort
from process_memory import process_memory
from ssl3d_lite import training
from ssl3d_lite.models import EncoderSettings, make_encoder, make_network
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training import loop, memory

def train(edge, **shape):
    encoder, cohort = make_encoder(EncoderSettings(**shape), 0), random_cohort(edge, 4)
    common = {"steps": 2, "device": "cpu", "activation_checkpointing": again == "again"}
    if kind == "unet":
        settings = training.FinetuneSettings(**common)
        training.finetune(make_network(encoder, cohort), cohort, range(4), settings)
    else:
        task = make_task(kind, encoder.settings)
        training.pretrain(task, encoder, cohort, range(4), training.TrainSettings(**common))

def begin(learner, batch_of, device, settings, optimizer):
    here = memory._bytes(memory._state(learner))
    begun.append(memory.step_bytes(learner, batch_of(0, device), settings) - here)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    begun.append(1024 * process_memory("VmRSS"))

kind, edge, again, filters, block = sys.argv[1:]
train(48)  # libraries are loaded, and kernels made, once
begun, loop.check_memory = [], begin
train(int(edge), filters=tuple(map(int, filters.split(","))), block=block)
print(begun[0], 1024 * process_memory("VmHWM") - begun[1])
"""


def count_and_peak(kind, edge, again="", filters="16,32,64,128", block="plain"):
    """Bytes that training takes, as they are counted and as they are measured in a new process."""
    few = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    # what is let go is given back at once, and counts no longer
    back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(edge), again, filters, block],
        capture_output=True,
        text=True,
        env=os.environ | few | back,
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()[-2:]]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures it so")
@pytest.mark.parametrize(
    ("kind", "edge", "again"),
    [("unet", 48, ""), ("unet", 48, "again"), ("cpc", 48, ""), ("rotation", 48, "")],
)
def test_the_count_is_what_a_step_takes(kind, edge, again):
    count, peak = count_and_peak(kind, edge, again)
    assert 0.8 < peak / count < 1.2


# ---- refusing ----------------------------------------------------------------------------------


def finetuned(cohort, out=None, **settings):
    network = make_unet(make_encoder(SMALL, 0), 3, 0)
    training = FinetuneSettings(**{"steps": 20, "checkpoint_every": 10, "batch": 4} | settings)
    return network, finetune(network, cohort, range(4), training, out)


def refusal(monkeypatch, free, run, *arguments, **settings):
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    with pytest.raises(InputError) as refused:
        run(*arguments, **settings)
    monkeypatch.undo()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_step_that_does_not_fit_is_refused_and_what_to_lower_is_named(cohort, monkeypatch):
    said = refusal(monkeypatch, 12_000_000, finetuned, cohort)
    assert re.fullmatch(
        r"a step needs about \d+ MB, but 12 MB are free on cpu: set a batch below 4, "
        r"activation_checkpointing, a patch \(for label maps\), fewer filters, or take a device "
        r"with more memory",
        said,
    ), said
    finetuned(cohort, steps=1)


@pytest.mark.parametrize(
    "settings", [{"batch": 2}, {"activation_checkpointing": True}, {"patch": (12, 16, 12)}]
)
def test_what_is_lowered_fits(cohort, monkeypatch, settings):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 12_000_000)
    finetuned(cohort, steps=1, **settings)


def test_what_is_set_already_is_not_named(cohort, monkeypatch):
    settings = {"batch": 1, "activation_checkpointing": True, "patch": (16, 16, 16)}
    said = refusal(monkeypatch, 1000, finetuned, cohort, **settings)
    assert said.endswith("set a smaller patch, fewer filters, or take a device with more memory")


def test_every_shape_of_batch_is_counted(cohort, monkeypatch):
    """The second of two tasks is the one that does not fit."""
    encoder = make_encoder(SMALL, 0)
    tasks = [make_task("rotation", SMALL, crop_size=8), make_task("masked", SMALL)]

    def run():
        pretrain(tasks, encoder, cohort, range(8), TrainSettings(steps=2, batch=2))

    said = refusal(monkeypatch, 3_000_000, run)
    assert "patch" not in said, "which is fine-tuning's"


def test_a_small_step_is_not_counted(cohort, monkeypatch):
    monkeypatch.setattr(memory, "step_bytes", lambda *_: pytest.fail("it was counted"))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1e13)
    finetuned(cohort, steps=1)


def test_a_run_is_checked_when_it_goes_on_and_not_when_it_has_ended(cohort, tmp_path, monkeypatch):
    finetuned(cohort, tmp_path)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    finetuned(cohort, tmp_path)


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_torchs_own_error_is_put_into_one_line(cohort, tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(loop, "clip_gradient", fails)
    with pytest.raises(InputError, match=r"^memory ran out in a step: set a batch below 4, "):
        finetuned(cohort, tmp_path)


def test_torch_says_so_on_this_machine():
    with (
        pytest.raises(InputError, match="memory ran out in a step"),
        memory.explain_out_of_memory(ONCE),
    ):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="another"), memory.explain_out_of_memory(ONCE):
        raise RuntimeError("another")


# ---- recomputing -------------------------------------------------------------------------------


def one_step(learner, batch, activation_checkpointing):
    """Loss, gradients and buffers after a step."""
    set_activation_checkpointing(learner, activation_checkpointing)
    learner.train().zero_grad()
    torch.manual_seed(0)
    loss, _ = learner(*batch)
    loss.backward()
    gradients = {name: weight.grad for name, weight in learner.named_parameters()}
    return {"loss": loss.detach()} | gradients | dict(learner.named_buffers())


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize("edge", [8, 9])
def test_recomputing_changes_no_number(norm, block, edge):
    made = [segmenting(edge, filters=(4, 8, 8), norm=norm, block=block) for _ in range(2)]
    batch = made[0][1]
    kept, again = (one_step(made[n][0], batch, bool(n)) for n in (0, 1))
    assert all(torch.equal(value, again[name]) for name, value in kept.items())
    counts = [value for name, value in again.items() if name.endswith("num_batches_tracked")]
    assert all(count == 1 for count in counts)
    assert len(counts) == (10 if norm == "batch" else 0)


def test_recomputing_changes_no_number_of_a_densenet():
    batch = None
    steps = []
    for activation_checkpointing in (False, True):
        learner, own = puzzling("rotation", 2, network="densenet121")
        batch = batch or own
        steps.append(one_step(learner, batch, activation_checkpointing))
    kept, again = steps
    assert all(torch.equal(value, again[name]) for name, value in kept.items())


def test_levels_are_computed_again_in_training_alone():
    learner, (images, labels) = segmenting(8, filters=(4, 8))
    passes = []
    # a hook behind it would not see the second pass, which ends as soon as all is there
    learner.network.encoder.levels[0].register_forward_pre_hook(lambda *_: passes.append(1))
    set_activation_checkpointing(learner, True)
    learner(images, labels)[0].backward()
    assert len(passes) == 2
    with torch.no_grad():
        learner(images, labels)
    learner.eval()(images, labels)[0].backward()
    assert len(passes) == 4


def test_a_run_goes_on_with_or_without_recomputing(cohort, tmp_path, monkeypatch):
    whole, history = finetuned(cohort)
    steps, original = iter(range(100)), torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        if next(steps) == 13:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(KeyboardInterrupt):
        finetuned(cohort, tmp_path)
    monkeypatch.undo()
    network, again = finetuned(cohort, tmp_path, activation_checkpointing=True)
    assert again == history
    weights = network.state_dict()
    assert all(torch.equal(each, weights[name]) for name, each in whole.state_dict().items())


if __name__ == "__main__":
    paper = {"filters": "32,64,128,256", "block": "residual"}
    for kind, edge, more in (
        *(("unet", 64, {}), ("unet", 64, {"again": "again"}), ("unet", 64, paper)),
        *(("cpc", 64, {}), ("rotation", 64, {}), ("masked", 64, {})),
        ("masked", 64, {"again": "again"}),
    ):
        count, peak = count_and_peak(kind, edge, **more)
        print(f"{kind} {edge} {more}: {peak / 1e6:.0f} MB, {peak / count:.2f} of the count")
