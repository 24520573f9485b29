"""A fine-tuning step beside that of the network that people would take instead: MONAI's UNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.machine.timing import now
from ssl3d_lite.models.blocks import channels_last
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network

_LEAST = 3  # steps of each, but where one takes too long


@dataclass(frozen=True)
class PeerStep:
    """Two networks' steps, taken by turns."""

    name: str
    seconds: float
    """Median of ours."""
    ratio: float
    """Ours over theirs, the median over the turns: below 1 ours is faster."""


def finetuning_peer(cohort: Cohort, cases: Sequence[int], device: str, seconds: float) -> PeerStep:
    """Forward, loss and backward on whole scans, by our network and by MONAI's UNet with as many
    filters, each in its own memory format."""
    from monai.networks.nets import UNet

    encoder = make_encoder(cohort, 0)
    filters, dims = encoder.settings.filters, cohort.spatial_dims
    ours: nn.Module = make_network(encoder, cohort, 0)
    theirs = UNet(
        dims,
        len(cohort.channels),
        len(cohort.label_names),
        channels=filters,
        strides=[2] * (len(filters) - 1),
        num_res_units=2,
    )
    ours.to(memory_format=channels_last(ours))  # type: ignore[call-overload]  # torch's stub
    networks = [each.to(device).train() for each in (ours, theirs)]
    images, labels = cohort.images(cases), cohort.labels(cases).long()
    turns: list[tuple[float, float]] = []
    begin = now(device)
    while not turns or now(device) - begin < seconds or len(turns) <= _LEAST:
        a, b = (_step(each, images, labels, device) for each in networks)
        turns.append((a, b))
        if now(device) - begin > 2 * seconds:
            break
    counted = turns[1:] or turns  # the first warms up
    ratio = median(a / b for a, b in counted)
    return PeerStep("MONAI's UNet with as many filters", median(a for a, _ in counted), ratio)


def _step(network: nn.Module, images: Tensor, labels: Tensor, device: str) -> float:
    start = now(device)
    network.zero_grad()
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    return now(device) - start
