"""What ``pretrain()`` costs beyond a bare loop of forward, backward and optimiser.

    python tests/benchmarks/loop.py [--task cpc] [--steps 60] [--rounds 5] [--device cpu]

Both train the same network from the same start on the same views. The bare loop is given its
views ready-made; what making them costs is measured apart. By turns; the median of the ratios.
"""

import argparse
import time
from copy import deepcopy

import torch
from torch import Tensor

from ssl3d_lite.networks import EncoderSettings, random_encoder
from ssl3d_lite.precision import choose_precision
from ssl3d_lite.presets import preset
from ssl3d_lite.tasks import ProxyTask, make_task
from ssl3d_lite.training import Pretraining, TrainSettings, cases_of_step, pretrain, step_generator

SHAPE = (40, 56, 40)


class Volumes:
    """As much of a cohort as pretraining asks for: volumes that lie on the device."""

    name = "random"
    channels = ("one",)
    spatial_dims = 3

    def __init__(self, count: int, device: str):
        self.volumes = torch.randn(count, 1, *SHAPE, device=device)

    def __len__(self) -> int:
        return len(self.volumes)

    def images(self, cases: list[int]) -> Tensor:
        return self.volumes[torch.tensor(cases, device=self.volumes.device)]


def wait(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def bare(
    task: ProxyTask, encoder: torch.nn.Module, batches: list, settings: TrainSettings
) -> float:
    """Seconds a step of nothing but forward, backward and optimiser."""
    learner = Pretraining(encoder, [task]).to(settings.device)
    learner.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(learner.parameters(), settings.learning_rate)
    learner.train()
    start = wait(settings.device)
    for batch in batches:
        with torch.autocast(
            settings.device, torch.bfloat16, enabled=settings.precision == "bf16-mixed"
        ):
            loss, _ = learner(0, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (wait(settings.device) - start) / len(batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="cpc")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    quick = preset("quick", options.task).training | {"steps": options.steps}
    precision = choose_precision("auto", options.device)
    settings = TrainSettings(**quick, device=options.device, precision=precision)
    cohort = Volumes(20, options.device)
    encoder = random_encoder(EncoderSettings(filters=(8, 16, 32, 64)), 0)
    task = make_task(options.task, encoder.settings)
    batches, making = [], 0.0
    for step in range(options.steps):
        volumes = cohort.images(cases_of_step(range(20), settings, step))
        start = wait(options.device)
        batches.append(task.pose(volumes, task.draw(volumes, step_generator(0, step))))
        making += wait(options.device) - start
    ratios = []
    for _ in range(options.rounds):
        alone = bare(deepcopy(task), deepcopy(encoder), batches, settings)
        start = wait(options.device)
        pretrain(deepcopy(task), deepcopy(encoder), cohort, range(20), settings)
        ratios.append((wait(options.device) - start) / options.steps / alone)
    ratios.sort()
    print(
        f"{options.task} on {options.device}, {precision}: a bare step {1e3 * alone:.1f} ms; "
        f"pretrain() takes {ratios[len(ratios) // 2]:.3f} of it "
        f"({ratios[0]:.3f}–{ratios[-1]:.3f}), of which {making / options.steps / alone:.3f} is "
        "making the views"
    )


if __name__ == "__main__":
    main()
