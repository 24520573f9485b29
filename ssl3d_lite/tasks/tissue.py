"""Tissue: the paper's supervised baseline (Taleb et al. 2020, section 4.1), without a human label.

There a network is pretrained to name the tissue of each voxel, by labels that FSL-FAST makes
automatically. At the heart of FAST (Zhang et al. 2001) a mixture of K Gaussians,

    p(x) = Σ_k π_k N(x; μ_k, σ_k²),

is fitted to the intensities x of one scan, and each voxel goes to the Gaussian k that most likely
made it; that part is done here for every scan as it comes. The network then learns these classes
by cross-entropy. FAST's correction of the field and its smoothing are left out: for those, prepare
a cohort with FAST's maps as labels and fine-tune on it.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import DecoderKind, make_dense_head
from ssl3d_lite.settings import CheckedSettings, Interval, PositiveInt

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import box_size, cut, random_box, shift_matrix

TISSUE_BINS = 256  # bins of the histogram that the mixture is fitted to
EM_ROUNDS = 20  # rounds of expectation and maximisation


@dataclass(frozen=True)
class TissueSettings(CheckedSettings):
    crop_size: PositiveInt = 64
    """Edge of the box taken from a scan, voxels; less along an axis that is shorter."""
    classes: Annotated[int, Interval(ge=2, le=TISSUE_BINS)] = 3
    """K: number of tissues; in MRI of the brain fluid, grey and white matter."""
    decoder_channels: PositiveInt = 16
    """Channels of a light decoder."""
    decoder: DecoderKind = "light"
    """"light": so few weights that the encoder must do the work; "unet": the U-Net's own decoder,
    which fine-tuning can then take over with the encoder."""


class Tissue(ProxyTask):
    """Name each voxel's tissue; where the first channel is exactly 0 there is none.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("tissue", encoder, crop_size=8)
        >>> volumes = torch.rand(2, 1, 12, 10, 12)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> batch.target.unique()
        tensor([1, 2, 3])
        >>> task(encoder, batch).shape  # no tissue, or one of three
        torch.Size([2, 1, 8, 8, 8, 4])
    """

    name = "tissue"
    question = "Which tissue is each voxel?"
    Settings = TissueSettings
    settings: TissueSettings

    def __init__(self, settings: TissueSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.answers = ("no tissue", *(f"tissue {n}" for n in range(1, 1 + settings.classes)))
        self.decoder = make_dense_head(
            settings.decoder, encoder, settings.decoder_channels, 1 + settings.classes
        )

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        space, size = self.space_of(volumes), self.settings.crop_size
        return {"corner": random_box(space, size, len(volumes), generator)[1]}

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s, corner = self.settings, params["corner"]
        size = box_size(self.space_of(volumes), s.crop_size)
        tissue = tissues(volumes[:, 0], s.classes)[:, None]  # the whole scan's, then cut
        target = cut(tissue, corner, size)[:, :, 0]
        return self.batch_of(cut(volumes, corner, size), target, Placement(shift_matrix(corner)))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (scan, 1, *space, tissue)."""
        scan = batch.views[:, 0]
        return self.decoder(encoder(scan), scan).movedim(1, -1).unsqueeze(1)

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """Cross-entropy, the mean over all voxels."""
        return F.cross_entropy(prediction.flatten(0, -2), batch.target.flatten())

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """Share of voxels with the correct tissue; always naming the commonest gives "chance"."""
        correct = (prediction.argmax(-1) == batch.target).float().mean()
        counts = F.one_hot(batch.target, prediction.shape[-1]).flatten(0, -2).sum(0)
        return {"accuracy": correct, "chance": counts.max() / batch.target.numel()}


def tissues(volumes: Tensor, classes: int) -> Tensor:
    """The tissue of each voxel, by rising mean intensity: (scan, *space) → integers, 0 where none.

    A mixture of ``classes`` Gaussians is fitted to each scan's histogram by expectation
    maximisation, all scans at once; a voxel belongs to the Gaussian that most likely made it.
    Intensities should be free of outliers, as recipes leave them: the histogram spans them all.
    """
    flat = volumes.flatten(1).float()
    there = flat != 0
    low = flat.masked_fill(~there, torch.inf).amin(1, keepdim=True)
    high = flat.masked_fill(~there, -torch.inf).amax(1, keepdim=True)
    place = (flat - low) / (high - low).clamp(min=1e-6)  # an empty scan has no range: no number
    bins = (place * TISSUE_BINS).nan_to_num(0, 0, 0).long().clamp(0, TISSUE_BINS - 1)
    count = torch.zeros(len(flat), TISSUE_BINS, device=flat.device)
    count = count.scatter_add_(1, bins, there.float())
    class_of_bin = fit_mixture(count, classes)
    return (class_of_bin.gather(1, bins) + 1).mul_(there).view(volumes.shape)


# Written by hand and not with scikit-learn's GaussianMixture: this runs inside each training step,
# where scikit-learn would take one scan at a time, on the CPU, voxel by voxel; here all scans of a
# batch are fitted together, on their device, and to histograms. A test holds it to scikit-learn's.
def fit_mixture(count: Tensor, classes: int) -> Tensor:
    """The class of each bin of histograms, classes in order of their means: (scan, bin)."""
    level = torch.linspace(0, 1, count.shape[1], device=count.device)
    share = (count + 1e-6) / (count + 1e-6).sum(1, keepdim=True)
    # Start from parts of equal range: parts of equal weight would cut a large tissue in two, and
    # a small one would not be found.
    part = (level * classes).long().clamp(max=classes - 1).expand(len(count), -1)
    belongs = F.one_hot(part, classes).float()  # (scan, bin, class)
    for _ in range(EM_ROUNDS):
        # maximisation: weight, mean and variance of each class, from what belongs to it
        weight = belongs * share[..., None]
        total = weight.sum(1, keepdim=True).clamp(min=1e-6)
        mean = (weight * level[:, None]).sum(1, keepdim=True) / total
        variance = (weight * (level[:, None] - mean) ** 2).sum(1, keepdim=True) / total + 1e-4
        # expectation: how much of each bin belongs to each class
        density = total.log() - variance.log() / 2 - (level[:, None] - mean) ** 2 / (2 * variance)
        belongs = density.softmax(-1)
    order = mean[:, 0].argsort(1).argsort(1)  # rank of each class by its mean
    return order.gather(1, belongs.argmax(-1))
