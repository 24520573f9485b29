"""The encoders of a study's jobs: random, pretrained, or trained with all labels (the oracle)."""

from copy import deepcopy

import torch
from torch import nn

from ssl3d_lite.machine.device import choose_device
from ssl3d_lite.models.compatibility import for_channels
from ssl3d_lite.models.encoders import Encoder, adapt_channels, make_encoder
from ssl3d_lite.models.modes import device_of
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.unet import UNetDecoder, find_unet_decoder
from ssl3d_lite.tasks import ProxyTask, make_task
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain

from .arms import Arm
from .experiment import Experiment
from .films import pretraining_film
from .jobs import Job, Run
from .keys import encoder_folder


def encoder_of(experiment: Experiment, job: Job) -> tuple[Encoder, list[ProxyTask]]:
    """A job's encoder, trained if its arm is; and its proxy tasks with their heads."""
    arm, data = job.arm, experiment.data
    encoder = make_encoder(experiment.start(job), job.seed)
    tasks = make_tasks(experiment, job)
    if tasks:
        corpus, training = data.corpus(arm, job.fold), experiment.pretraining(job)
        out = encoder_folder(experiment, job)
        own = corpus.cohort is data.benchmark(arm)  # another cohort has folds of its own
        fold = job.fold if own else None
        film = pretraining_film(experiment, job, encoder, tasks)
        watch = None if film is None else film.watch
        history = pretrain(
            tasks, encoder, corpus.cohort, corpus.seen, training, out, fold=fold, callback=watch
        )
        if film is not None:
            film.finish(history)
    elif arm.source == "oracle":
        cohort, cases = data.benchmark(arm), experiment.split(job).train
        network = make_network(encoder, cohort, job.seed)
        settings = experiment.oracle_training(job)
        out = encoder_folder(experiment, job)
        finetune(network, cohort, cases, settings, out, fold=job.fold)
        encoder = network.encoder
    return encoder.to(choose_device(experiment.machine.device)), tasks


def make_tasks(experiment: Experiment, job: Job) -> list[ProxyTask]:
    """A job's proxy tasks, their heads as they start."""
    shape = experiment.start(job)
    return [
        make_task(name, shape, job.seed, **own)
        for name, own in experiment.task_settings(job.arm).items()
    ]


def copy_for_benchmark(experiment: Experiment, encoder: Encoder, arm: Arm) -> Encoder:
    """A copy of an encoder that reads the benchmark's channels: by name, if not said otherwise."""
    benchmark = experiment.data.benchmark(arm)
    if arm.unnamed:
        return adapt_channels(encoder, len(benchmark.channels)).to(device_of(encoder))
    adapted = for_channels(encoder, benchmark)
    return deepcopy(encoder) if adapted is encoder else adapted.to(device_of(encoder))


def pretrained_decoder(arm: Arm, tasks: list[ProxyTask]) -> UNetDecoder | None:
    """The decoder that is transferred with an arm's encoder; None if the encoder is moved alone."""
    return find_unet_decoder(nn.ModuleList(tasks)) if arm.whole_network else None


def dry_run(experiment: Experiment) -> None:
    """Build every arm and make one puzzle of each of its tasks, so that settings which cannot work
    are refused before anything is trained."""
    for arm in experiment.study.parsed_arms():
        job = Job(arm, experiment.study.folds[0], 0)
        benchmark = experiment.data.benchmark(arm)
        encoder = make_encoder(experiment.encoder_settings(arm, benchmark), 0)
        make_network(encoder, benchmark, 0, pretrained_decoder(arm, make_tasks(experiment, job)))
        encoder.check(torch.zeros(1, len(benchmark.channels), *benchmark.shape))
        for protocol in ("finetune", "frozen"):
            experiment.finetuning(Run(job, protocol))
        _try_puzzles(experiment, job)


def _try_puzzles(experiment: Experiment, job: Job) -> None:
    """Raise InputError unless a job's puzzles can be made from its scans, and be encoded."""
    tasks = make_tasks(experiment, job)
    if not tasks:
        return
    corpus, shape = experiment.data.corpus(job.arm, job.fold), experiment.start(job)
    count = min(2, experiment.pretraining(job).batch, len(corpus.seen))
    volumes = torch.zeros(count, shape.in_channels, *corpus.cohort.shape)
    for task in tasks:
        params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        views = task.make_views(volumes, params).views
        make_encoder(shape, 0).check(views.flatten(0, 1))
