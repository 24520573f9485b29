"""How well a proxy task is solved on cases that were not trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.modes import device_of, evaluating
from ssl3d_lite.tasks import ProxyTask


@takes_cohort
def proxy_score(
    task: ProxyTask,
    encoder: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    batch: int = 2,
    seed: int = 0,
) -> dict[str, float]:
    """Mean of the task's scores on ``cases``, which it should not have been trained on.

    They are read ``batch`` at a time, as in training; what is left over is not read.
    """
    if not cases:
        raise InputError("there is no case to score the proxy task on")
    batch = min(batch, len(cases))
    generator = torch.Generator().manual_seed(seed)
    device = device_of(encoder)
    rows = []
    with evaluating(encoder, task), torch.inference_mode():
        for start in range(0, len(cases) - batch + 1, batch):
            volumes = cohort.images(cases[start : start + batch]).to(device)
            puzzle = task.make_views(volumes, task.sample_params(volumes, generator))
            prediction = task(encoder, puzzle)
            rows.append({"loss": task.loss(prediction, puzzle), **task.score(prediction, puzzle)})
    return {name: float(np.mean([float(row[name]) for row in rows])) for name in rows[0]}
