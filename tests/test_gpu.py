"""What a GPU computes, beside what the CPU computes: skipped where there is none.

    pytest -n0 -m gpu tests/test_gpu.py --junitxml=gpu.xml

The figures that each test compared (differences, bytes) are properties in the XML file. With
SSL3D_GPU=cpu in the environment a CPU stands in for the GPU: a rehearsal, which shows that the
tests run; what only a GPU has (bfloat16 that can be trusted, its allocator) is skipped.
"""

import os
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.distributed as group
from helpers import make_cohort, make_graded, random_cohort
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.prediction import predict_batch
from ssl3d_lite.evaluation.probe import probe
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.machine.device import choose_precision
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.batches import labelled_batch, puzzle_batch, step_generator
from ssl3d_lite.training.finetuning import Finetuning, finetune
from ssl3d_lite.training.hooks import Hook
from ssl3d_lite.training.loop import set_up
from ssl3d_lite.training.memory import step_bytes
from ssl3d_lite.training.pretraining import Pretraining, pretrain
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

DEVICE = os.environ.get("SSL3D_GPU", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="this machine has no CUDA GPU"
    ),
]
on_a_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="only a GPU can show this")
PRECISIONS = ["32-true", pytest.param("bf16-mixed", marks=on_a_gpu)]

SMALL = EncoderSettings(filters=(8, 16, 32))
OWN = {  # puzzles that volumes of 24 × 32 × 24 can be made into, easy enough to learn at once
    "cpc": {"patch": 8, "stride": 4, "jitter": 0},
    "rpl": {"patch": 7, "jitter": 1},
    "jigsaw": {"patch": 7, "jitter": 1, "permutations": 10},
    "rotation": {"crop_size": 16},
    "random": {"crop_size": 16},
}
CONTROLS = ("random", "collapsed")  # which are not to learn


def pretrained(
    cohort, name, device=DEVICE, out=None, callback=None, shape=SMALL, own=None, **settings
):
    """The history of 20 steps on a task, and the encoder's weights on the CPU."""
    encoder = make_encoder(shape, 0)
    task = make_task(name, shape, **(own or OWN.get(name, {})))
    given = {"steps": 20, "batch": 4, "checkpoint_every": 10, "precision": "32-true"} | settings
    training = TrainSettings(**given, device=device)
    history = pretrain(task, encoder, cohort, range(4), training, out, callback=callback)
    return history, {n: w.detach().cpu().float() for n, w in encoder.state_dict().items()}


def segmenting(cohort, device=DEVICE, **settings):
    network = make_network(make_encoder(SMALL, 0), cohort)
    given = {"steps": 20, "batch": 4, "precision": "32-true", "device": device} | settings
    return network, finetune(network, cohort, range(6), FinetuneSettings(**given))


def largest(ours, theirs):
    """The largest difference of two runs' weights."""
    return max(float((w - theirs[n]).abs().max()) for n, w in ours.items())


def losses(history):
    return [row["loss"] for row in history]


# ---- pretraining -------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", TASKS)
def test_a_task_learns_as_on_a_cpu(cohort, name, precision, record_property):
    settings = {"precision": precision, "learning_rate": 2e-3}
    if name == "jigsaw":  # the default norm learns little in 20 steps
        settings["shape"] = replace(SMALL, norm="batch")
    history, weights = pretrained(cohort, name, **settings)
    there, _ = pretrained(cohort, name, "cpu", **settings | {"precision": "32-true"})
    record_property("losses", losses(history))
    record_property("losses on the CPU", losses(there))
    assert all(weight.isfinite().all() for weight in weights.values())
    if name not in CONTROLS:
        assert history[-1]["loss"] < history[0]["loss"]
    tolerance = 0.02 if precision == "32-true" else 0.1  # convolutions round to TF32, or bf16
    assert losses(history) == pytest.approx(losses(there), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", TASKS)
def test_one_seed_gives_one_puzzle_on_any_device(cohort, name, record_property):
    task = make_task(name, SMALL, **OWN.get(name, {}))
    volumes = cohort.images(range(4))
    params = task.sample_params(volumes, step_generator(3, 5))
    here = task.make_views(volumes, params)
    there = task.make_views(volumes.to(DEVICE), params)
    assert there.views.device.type == DEVICE
    record_property("largest difference", float((there.views.cpu() - here.views).abs().max()))
    same_values = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4, equal_nan=True)
    same_values(there.views.cpu(), here.views)
    same_values(there.target.cpu(), here.target)  # what is not asked of a masked volume is NaN
    torch.testing.assert_close(there.placement.matrix.cpu(), here.placement.matrix)


def test_scans_may_lie_on_the_gpu(cohort):
    here, there = (losses(pretrained(each, "cpc")[0]) for each in (cohort, cohort.to(DEVICE)))
    assert here == pytest.approx(there, rel=1e-2)


@pytest.mark.parametrize("name", ["cpc", "exemplar", "rotation"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(cohort, tmp_path, name, record_property):
    def stop(history):
        return history[-1]["step"] == 10

    history, whole = pretrained(cohort, name)
    _, again = pretrained(cohort, name)
    assert len(pretrained(cohort, name, out=tmp_path, callback=stop)[0]) == 1
    goes_on, continued = pretrained(cohort, name, out=tmp_path)
    # a GPU need not add in the same order twice: the same run again says how far that goes
    record_property("the same run twice", largest(whole, again))
    record_property("whole and continued", largest(whole, continued))
    assert losses(goes_on) == pytest.approx(losses(history), rel=1e-2)
    assert largest(whole, continued) < 0.1  # seen: 0.01 to 0.04; the same run twice 0.01 to 0.02


def test_a_run_that_began_on_a_gpu_goes_on_on_a_cpu(cohort, tmp_path):
    history, _ = pretrained(cohort, "masked")
    pretrained(cohort, "masked", out=tmp_path, callback=lambda rows: True)
    goes_on, _ = pretrained(cohort, "masked", "cpu", out=tmp_path)
    assert losses(goes_on) == pytest.approx(losses(history), rel=2e-2)


@pytest.mark.parametrize(
    "settings", [{"memory_format": "contiguous"}, {"activation_checkpointing": True}]
)
def test_how_the_machine_computes_changes_no_result(cohort, settings, record_property):
    history, weights = pretrained(cohort, "masked")
    other, otherwise = pretrained(cohort, "masked", **settings)
    record_property("largest difference", largest(weights, otherwise))
    assert losses(history) == pytest.approx(losses(other), rel=1e-2)


def test_flat_images_and_densenet_train(tmp_path):
    flat = make_cohort(tmp_path, 6, (64, 64), channels=3)
    for shape in (EncoderSettings(3, 2, (8, 16)), EncoderSettings(3, 2, network="densenet121")):
        for precision in ("32-true", "bf16-mixed")[: 1 if DEVICE == "cpu" else 2]:
            more = {"shape": shape, "own": {"crop_size": 48}, "precision": precision}
            history, _ = pretrained(flat, "rotation", **more)
            assert len(history) == 2


# ---- precision ---------------------------------------------------------------------------------


@on_a_gpu
def test_auto_takes_bfloat16_where_the_gpu_has_it():
    assert choose_precision("auto", DEVICE) == "bf16-mixed"
    assert TrainSettings(device="auto").record()["precision"] == "bf16-mixed"


@on_a_gpu
def test_weights_stay_in_single_precision(cohort):
    network, _ = segmenting(cohort, precision="bf16-mixed")
    assert {each.dtype for each in network.parameters()} == {torch.float32}


# ---- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_finetuning_learns_as_on_a_cpu(cohort, precision, record_property):
    _, history = segmenting(cohort, precision=precision)
    _, there = segmenting(cohort, "cpu")
    record_property("losses", losses(history))
    record_property("losses on the CPU", losses(there))
    assert history[-1]["loss"] < history[0]["loss"]
    assert losses(history) == pytest.approx(losses(there), rel=0.05)


def test_patches_validation_and_a_frozen_encoder_work_on_a_gpu(cohort):
    network = make_network(make_encoder(SMALL, 0), cohort)
    settings = FinetuneSettings(
        steps=20, device=DEVICE, patch=(16, 16, 16), validate_every=10, freeze_encoder_steps=10
    )
    hooks = eval_hooks(network, cohort, settings, validation=cohort.split().validation)
    history = finetune(network, cohort, range(6), settings, hooks=hooks)
    assert all(0 <= row["validation"] <= 1 for row in history)


def test_a_network_predicts_the_same_on_both(cohort, record_property):
    network, _ = segmenting(cohort, steps=60)
    images = cohort.images(range(6, 10))
    for window in (None, (16, 16, 16)):
        there = predict_batch(network.to(DEVICE), images.to(DEVICE), window).cpu()
        here = predict_batch(network.to("cpu"), images, window)
        same = float((here == there).float().mean())
        record_property(f"voxels named the same, window {window}", same)
        assert same > 0.998
        assert here.any()
    cases = cohort.split().test
    scores = [evaluate(network.to(d), cohort, cases, progress=False).score for d in (DEVICE, "cpu")]
    record_property("dice", scores)
    assert scores[0] == pytest.approx(scores[1], abs=0.005)


def test_a_probe_scores_the_same_on_both(cohort, record_property):
    encoder = make_encoder(SMALL, 0)
    pretrain(make_task("masked", SMALL), encoder, cohort, steps=20, device="cpu")
    scores = [probe(encoder.to(d), cohort, 2, draws=1, controls=1).score for d in (DEVICE, "cpu")]
    record_property("dice", scores)
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_grades_are_learnt_and_predicted(tmp_path):
    graded = make_graded(tmp_path, [0, 1, 2] * 5, edge=32)
    network = make_network(make_encoder(EncoderSettings(3, 2, (8, 16)), 0), graded)
    history = finetune(network, graded, steps=20, batch=4, device=DEVICE, precision="32-true")
    assert history[-1]["loss"] < 10
    images = graded.images(range(6))
    there = predict_batch(network.to(DEVICE), images.to(DEVICE)).cpu()
    assert torch.equal(there, predict_batch(network.to("cpu"), images))
    assert -1 <= evaluate(network.to(DEVICE), graded).score <= 1


# ---- memory ------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("edge", [64, 128])
@pytest.mark.parametrize("kind", ["unet", "masked"])
def test_the_count_is_what_a_step_takes(kind, edge, precision, again, record_property):
    shape = EncoderSettings(filters=(16, 32, 64, 128))
    scans, cases = random_cohort(edge, alike=True), range(8)
    common = {"steps": 3, "batch": 2, "device": DEVICE, "precision": precision}
    common["activation_checkpointing"] = again
    encoder, device = make_encoder(shape, 0), torch.device(DEVICE)
    if kind == "unet":
        settings = FinetuneSettings(**common)
        network = make_network(encoder, scans)
        learner = Finetuning(network, settings)
        batch_of = partial(labelled_batch, scans, cases, settings)
        train = partial(finetune, network, scans, cases, settings)
    else:
        settings, task = TrainSettings(**common), make_task(kind, shape, crop_size=edge)
        learner = Pretraining(encoder, [task])
        batch_of = partial(puzzle_batch, [task], scans, cases, settings)
        train = partial(pretrain, task, encoder, scans, cases, settings)
    learner.to(DEVICE)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated() - sum(w.nbytes for w in learner.parameters())
    count = step_bytes(learner, batch_of(0, device), settings)
    torch.cuda.reset_peak_memory_stats()
    train()
    peak = torch.cuda.max_memory_allocated() - before
    record_property("count, MB", count / 1e6)
    record_property("peak, MB", peak / 1e6)
    record_property("peak of count", peak / count)
    assert 0.8 < peak / count < 1.25


def refused(edge, *hooks, **settings):
    scans = random_cohort(edge, alike=True)
    network = make_network(make_encoder(EncoderSettings(filters=(64, 128)), 0), scans)
    with pytest.raises(InputError) as error:
        finetune(network, scans, range(8), device=DEVICE, hooks=hooks, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


@on_a_gpu  # tests/ssl3d_lite/training/test_memory.py shows it on a CPU
def test_a_step_that_is_far_too_large_is_refused_before_it_begins(cohort, record_property):
    said = refused(384, batch=8)
    record_property("said", said)
    assert said.startswith("a step needs about ")
    assert f"free on {DEVICE}: set a batch below 8, activation_checkpointing, a patch" in said
    segmenting(cohort)  # what was refused stands in nobody's way


def test_memory_that_runs_out_is_told_in_one_line(cohort, record_property):
    class Greedy(Hook):
        def after_step(self, state):
            torch.empty(2**50, dtype=torch.uint8, device=DEVICE)

    said = refused(32, Greedy(), batch=2, steps=10)
    record_property("said", said)
    assert said.startswith("memory ran out in a step: set a batch below 2")
    segmenting(cohort)


# ---- a group of one process --------------------------------------------------------------------


# kernels of one voxel have their strides in more than one right way: see machine/launch.py
@pytest.mark.filterwarnings("ignore:Grad strides do not match")
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_group_of_one_process_trains_as_one_alone(cohort, norm, record_property):
    """NCCL's gather, DDP, and batch norm over all processes, with the one GPU that there is."""
    shape = replace(SMALL, norm=norm)
    history, alone = pretrained(cohort, "cpc", shape=shape)
    fabric = Fabric(
        accelerator=DEVICE,
        devices=1,
        strategy=DDPStrategy(find_unused_parameters=True),
        plugins=[LightningEnvironment()],
    )
    fabric.launch()
    try:
        assert group.get_backend() == ("nccl" if DEVICE == "cuda" else "gloo")
        together, weights = pretrained(cohort, "cpc", shape=shape)
        encoder, task = make_encoder(shape, 0), make_task("cpc", shape, **OWN["cpc"])
        settings = TrainSettings(batch=4, device=DEVICE)
        learner = Pretraining(encoder, [task])
        model, optimizer = set_up(fabric, learner, settings)
        for step in range(3):
            batch = puzzle_batch([task], cohort, range(4), settings, step, fabric.device)
            loss, _ = model(*batch)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            assert loss.isfinite()
    finally:
        group.destroy_process_group()
    record_property("largest difference", largest(alone, weights))
    assert losses(together) == pytest.approx(losses(history), rel=1e-2)
