"""nnU-Net's default training of a 3D full-resolution network, as a peer of learning_curves.

The network is its own (``pip install dynamic-network-architectures``, of its authors). What stands
around it is rebuilt from nnunetv2 2.8.1, as that needs files and folders of its own: filters of 32
to 256, as its plan for hippocampus has; deep supervision with halved weights, the coarsest left
out; Dice without background, scan by scan, and cross-entropy; SGD with Nesterov's momentum 0.99 and
learning rate 0.01; a clipped gradient; as many scans a step as its planner takes of so few.

What differs: no augmentation, which it computes in processes
of their own; no crops, as its patch is the whole scan here; the learning rate falls to 0 within the
steps of the run, and not within 250 000. Scans are those of the cohort, prepared as for all others;
they are drawn in our order, and predictions are not averaged over mirrored scans.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.training.batches import cases_of_step
from ssl3d_lite.training.settings import TrainSettings

FILTERS = (32, 64, 128, 256)
BATCH = 9  # scans, in its plan for all 260
COVERED, FEWEST = 0.05, 2  # a step sees no more than this share of the scans, but two
LEARNING_RATE, MOMENTUM, DECAY, POWER, CLIP = 0.01, 0.99, 3e-5, 0.9, 12


def is_installed() -> bool:
    return find_spec("dynamic_network_architectures") is not None


class NnUNet(nn.Module):
    """Logits (batch, class, *space); in training a list of them, each of half the size."""

    def __init__(self, channels: int, classes: int, seed: int):
        from dynamic_network_architectures.architectures.unet import PlainConvUNet
        from dynamic_network_architectures.initialization.weight_init import InitWeights_He

        super().__init__()
        levels = len(FILTERS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = PlainConvUNet(
                channels,
                levels,
                FILTERS,
                nn.Conv3d,
                kernel_sizes=3,
                strides=[1, *[2] * (levels - 1)],
                n_conv_per_stage=2,
                num_classes=classes,
                n_conv_per_stage_decoder=2,
                conv_bias=True,
                norm_op=nn.InstanceNorm3d,
                norm_op_kwargs={"eps": 1e-5, "affine": True},
                nonlin=nn.LeakyReLU,
                nonlin_kwargs={"inplace": True},
                deep_supervision=True,
            )
            self.network.apply(InitWeights_He(1e-2))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        self.network.decoder.deep_supervision = self.training
        return self.network(images)


class DeepLoss:
    """Dice and cross-entropy of each output, weighted 1, 1/2, 1/4 …, but for the coarsest."""

    def __init__(self) -> None:
        smooth = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}
        self.one = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, **smooth)

    def __call__(self, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
        parts, weights = [], []
        for number, logits in enumerate(outputs[:-1]):
            maps = interpolate(labels[:, None].float(), logits.shape[2:], mode="nearest-exact")
            weights.append(0.5**number)
            parts.append(weights[-1] * self.one(logits, maps))
        return torch.stack(parts).sum() / sum(weights)


class NnUNetTraining:
    """Step after step of its training."""

    def __init__(self, cohort: Cohort, cases: Sequence[int], seed: int, steps: int):
        self.cohort, self.cases = cohort, cases
        self.network = NnUNet(len(cohort.channels), len(cohort.label_values), seed).train()
        batch = max(min(BATCH, round(COVERED * len(cases))), FEWEST)
        self.settings = TrainSettings(steps=steps, seed=seed, batch=batch)
        self.criterion = DeepLoss()
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            LEARNING_RATE,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=DECAY,
        )

    def step(self, number: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - number / self.settings.steps) ** POWER
        scans = cases_of_step(self.cases, self.settings, number)
        outputs = self.network(self.cohort.images(scans))
        self.optimizer.zero_grad()
        self.criterion(outputs, self.cohort.labels(scans)).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
