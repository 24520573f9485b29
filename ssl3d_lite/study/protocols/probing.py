"""probe: a linear classifier of the frozen encoder's features, fitted on few labels.

probe+place is the same with each voxel's place among its inputs. Both are made in one run, as the
features are read once.
"""

from itertools import chain
from typing import Any

from ssl3d_lite.evaluation.features import recalibrated
from ssl3d_lite.evaluation.linear_probe import FEATURES, WITH_PLACE, probes_by_protocol
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.study.encoders import copy_for_benchmark
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import Run
from ssl3d_lite.study.ledger import ResultRow, mean_columns
from ssl3d_lite.tasks import ProxyTask

from .base import Protocol

CALIBRATION = 16  # scans whose statistics the BatchNorm of a frozen encoder takes


def probe_protocol(
    experiment: Experiment, run: Run, encoder: Encoder, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """Both linear probes of the frozen encoder: the mean over the seed's draws of labels."""
    return on_rank_zero(_probe_rows, experiment, run, encoder)


def _probe_rows(experiment: Experiment, run: Run, encoder: Encoder) -> list[ResultRow]:
    cohort, test = experiment.data.benchmark(run.job.arm), _test(experiment, run)
    draws = draws_of(experiment, run)
    voxels = experiment.probing(run.job.seed)["voxels"]
    ready = ready_to_read(experiment, run, encoder)
    found = probes_by_protocol(ready, cohort, draws, test, voxels)
    scans = {"scans": len(cohort.scans(draws[0]))}
    return [{"protocol": name} | mean_columns(each, cohort) | scans for name, each in found.items()]


def probed_floor(experiment: Experiment, run: Run) -> list[ResultRow]:
    """Place alone by the draws of labels that the probes have: the same for both of them."""
    cohort, test = experiment.data.benchmark(run.job.arm), _test(experiment, run)
    draws = draws_of(experiment, run)
    found = on_rank_zero(lambda: [evaluate_place(cohort, draw, test) for draw in draws])
    row = mean_columns(found, cohort) | {"scans": len(cohort.scans(draws[0]))}
    names = [FEATURES] if cohort.ordinal else [FEATURES, WITH_PLACE]
    return [{"protocol": name} | row for name in names]


def _test(experiment: Experiment, run: Run) -> tuple[int, ...]:
    return experiment.split(run.job).test


def draws_of(experiment: Experiment, run: Run) -> list[tuple[int, ...]]:
    """The labelled cases of each of a seed's draws."""
    cohort, job = experiment.data.benchmark(run.job.arm), run.job
    train = experiment.split(job).train
    return [cohort.subset(train, run.labels, n) for n in experiment.probing(job.seed)["draws"]]


def ready_to_read(experiment: Experiment, run: Run, encoder: Encoder) -> Encoder:
    """A copy for the benchmark's channels, whose BatchNorm has the statistics of its scans."""
    cohort, job = experiment.data.benchmark(run.job.arm), run.job
    split = experiment.split(job)
    some = list(cohort.scans(split.pretrain).values())[:CALIBRATION]
    copy = copy_for_benchmark(experiment, encoder, job.arm)
    return recalibrated(copy, cohort, list(chain(*some)))


def _depends(experiment: Experiment, run: Run) -> dict[str, Any]:
    return {"probe": experiment.probing(run.job.seed) | {"voxels drawn": "by class"}}


PROBE = Protocol(
    "Linear probe of the frozen encoder",
    probe_protocol,
    _depends,
    probed_floor,
    not_for=("scratch",),
)
PROBE_WITH_PLACE = Protocol(
    "Linear probe of the frozen encoder, with the place among its inputs", None, _depends
)
