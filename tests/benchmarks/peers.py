"""How fast the views and the training step are beside those of MONAI, TorchIO and plain NumPy.

    python tests/benchmarks/peers.py [--edge 96] [--batch 8] [--rounds 7] [--device cpu]
                                     [--threads 2] [--json FILE] [--only views|step]

One process, the same volumes for all, by turns: ours, peer, ours, peer, … Printed are the medians
of the times and of the ratios peer / ours, with the lowest and highest ratio: above 1, ours is
faster. The first turn of each pair warms up and does not count. On a machine with other work use
--threads 1: threads wait for one another, and for those that others hold up, far longer than the
arithmetic takes.

Views: from a batch of volumes in memory to a batch of views, with all that is random drawn anew.
Peers go from scan to scan, as they do in a data set. Their transforms are made once, are those that
come nearest to what ours does, and give views of the same shape; where a peer has a faster and a
slower way to the same thing, it takes the faster. Two of three run on the CPU alone: on a GPU they
are timed without the way to it. On a CPU, NumPy and SciPy keep to one thread.

Step: forward, cross-entropy, backward and AdamW of a U-Net on ``--step-batch`` of the volumes. The
networks differ in depth and operations, so a step's time is also given for each operation.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from math import pi
from pathlib import Path
from statistics import median

import by_hand
import torch
import torch.nn.functional as F
from monai import transforms as mt
from monai.data import set_track_meta
from monai.networks.nets import BasicUNet
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ssl3d_lite.machine.device import choose_precision, machine_name
from ssl3d_lite.machine.timing import now
from ssl3d_lite.models.blocks import channels_last
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.tasks import ProxyTask, make_task

PACKAGES = ("torch", "monai", "torchio", "SimpleITK", "numpy", "scipy")
FILTERS = (16, 32, 64, 128)
WARM_UP = 1  # besides the turn that compares shapes or counts operations
PER_CELL = ("rpl", "jigsaw")  # whose patches are moved within the cells of a grid

Make = Callable[[], object]
Scans = Callable[[Tensor], Tensor]  # one scan (channel, *space) → its views (view, channel, *size)


@dataclass
class Row:
    """One line of the table."""

    what: str
    peer: str
    ours_ms: float
    peer_ms: float
    ratios: list[float]  # sorted
    gflop: tuple[float, float] | None = None  # ours, peer; of a step

    def __str__(self) -> str:
        line = (
            f"{self.what:9} {self.peer:34} {self.ours_ms:9.1f} {self.peer_ms:9.1f}   "
            f"{spread(self.ratios)}"
        )
        if self.gflop:
            ours, peer = self.gflop
            each = [ratio * ours / peer for ratio in self.ratios]
            line += f"   {ours:.0f} and {peer:.0f} GFLOP, per operation {spread(each)}"
        return line


def spread(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"


def by_turns(ours: Make, peer: Make, rounds: int, device: str) -> tuple[float, float, list[float]]:
    """Median milliseconds of both, and the ratios peer / ours, sorted."""
    times = []
    for _ in range(rounds + WARM_UP):
        pair = []
        for work in (ours, peer):
            start = now(device)
            work()
            pair.append(1e3 * (now(device) - start))
        times.append(pair)
    times = times[WARM_UP:]
    ratios = sorted(theirs / own for own, theirs in times)
    return median(t[0] for t in times), median(t[1] for t in times), ratios


def smooth_volumes(batch: int, edge: int, device: str) -> Tensor:
    """Random volumes with values from 0 to 1 that change over some 8 voxels."""
    coarse = torch.rand(batch, 1, *[max(2, edge // 8)] * 3)
    return F.interpolate(coarse, size=(edge,) * 3, mode="trilinear").to(device)


# ---- views -------------------------------------------------------------------------------------


def puzzles(edge: int) -> dict[str, dict]:
    """The settings of each task, made to use as much of a volume as it can."""
    third = {"patch": edge // 3 - 3, "jitter": 3}
    return {
        "rotation": {"crop_size": edge, "rotations_per_scan": 1},
        "rpl": third | {"queries_per_scan": 1},
        "jigsaw": third,
        "cpc": {},  # up to 125 patches of 16³, half overlapping
        "exemplar": {"crop_size": edge, "flip": 1, "rotation": 1, "contrast": 1, "zoom": 1},
    }


def our_views(task: ProxyTask, volumes: Tensor, generator: torch.Generator) -> Tensor:
    return task.make_views(volumes, task.sample_params(volumes, generator)).views


def views_by_hand(task: ProxyTask, volumes: Tensor, generator: torch.Generator) -> object:
    params = task.sample_params(volumes, generator)
    return by_hand.views(
        task, volumes.numpy(), {name: each.numpy() for name, each in params.items()}
    )


def scan_by_scan(make: Scans, volumes: Tensor) -> Tensor:
    return torch.stack([make(volume) for volume in volumes])


def for_one_axis(axis: int, of_axis: object, otherwise: object) -> list:
    """A setting for each of three axes that is another for one of them."""
    return [of_axis if n == axis else otherwise for n in range(3)]


def cpc_extent(task: ProxyTask, volumes: Tensor) -> list[int]:
    """How many voxels an axis the grid of patches takes."""
    s = task.settings
    return [s.patch + (n - 1) * s.stride for n in task.grid(volumes.shape[2:])]


def cell_boxes(edge: int) -> list[list[tuple[int, int]]]:
    """First and last+1 voxel along each axis of the 27 cells of a cube."""
    ends = [(n * (edge // 3), (n + 1) * (edge // 3)) for n in range(3)]
    return [[x, y, z] for x in ends for y in ends for z in ends]


def shown_cells(task: ProxyTask) -> Iterator[list[int]]:
    """Which cells to show of each scan, in order: of rpl the centre and another."""
    while True:
        if task.name == "rpl":
            yield [13, int(torch.randint(26, ()) + 14) % 27]
        else:
            yield task.permutations[int(torch.randint(len(task.permutations), ()))].tolist()


# "The same views" below: any that ours may make, each as likely.

# MONAI: tensors without meta data, which its own loops over patches would copy each time; but
# for exemplar, where lazy resampling needs them and is faster with them than without.


def monai_rotation(task: ProxyTask, edge: int) -> Scans:
    """Rotate90: the ten turns are ten transforms, of which one is picked. The same views."""
    turns = [mt.Rotate90(quarters, plane) for plane, quarters in task.turns]
    return lambda scan: turns[int(torch.randint(len(turns), ()))](scan)[None]


def monai_cells(task: ProxyTask, edge: int) -> Scans:
    """SpatialCrop to a cell, RandSpatialCrop in it, NormalizeIntensity. The same views."""
    cells = [
        mt.SpatialCrop(roi_start=[a for a, _ in box], roi_end=[b for _, b in box])
        for box in cell_boxes(edge)
    ]
    piece = mt.Compose(
        [
            mt.RandSpatialCrop([task.settings.patch] * 3, random_size=False),
            mt.NormalizeIntensity(channel_wise=True),
        ]
    )
    shown = shown_cells(task)
    return lambda scan: torch.stack([piece(cells[cell](scan)) for cell in next(shown)])


def monai_grid(task: ProxyTask, extent: list[int]) -> Scans:
    """RandSpatialCrop to what the grid takes, GridPatch with half overlap. The same views."""
    s = task.settings
    return mt.Compose(
        [
            mt.RandSpatialCrop(extent, random_size=False),
            mt.GridPatch([s.patch] * 3, overlap=1 - s.stride / s.patch),
        ]
    )


def monai_exemplar(task: ProxyTask, edge: int) -> Scans:
    """RandFlip, RandAffine, RandScaleIntensity, RandShiftIntensity: the same distortions.

    Flips and affine map are resampled in one go (lazy), as ours. The zoom is drawn for each axis.
    """
    affine = [
        mt.RandAffine(
            prob=1,
            rotate_range=for_one_axis(axis, (-pi, pi), (0, 0)),
            scale_range=[(-0.2, 0.2)] * 3,
            padding_mode="border",
        )
        for axis in range(3)
    ]
    distort = mt.Compose(
        [
            *(mt.RandFlip(prob=1, spatial_axis=axis) for axis in range(3)),
            mt.OneOf(affine),
            mt.RandScaleIntensity(factors=(-0.3, 0.4), prob=1),
            mt.RandShiftIntensity(offsets=0.3, prob=1),
        ],
        lazy=True,
    )

    def views(scan: Tensor) -> Tensor:
        set_track_meta(True)
        copy = distort(scan)
        set_track_meta(False)
        return torch.stack([scan, copy.as_tensor()])

    return views


def monai_views(task: ProxyTask, volumes: Tensor) -> Scans:
    set_track_meta(False)
    edge = volumes.shape[-1]
    if task.name == "cpc":
        return monai_grid(task, cpc_extent(task, volumes))
    if task.name in PER_CELL:
        return monai_cells(task, edge)
    return {"rotation": monai_rotation, "exemplar": monai_exemplar}[task.name](task, edge)


# TorchIO: on the CPU alone. It has no quarter turns.


def torchio_cells(task: ProxyTask, edge: int) -> Scans:
    """Crop to a cell, UniformSampler for a place in it, ZNormalization. The same views."""
    import torchio as tio

    # TorchIO's Crop takes how much to cut off at both ends of each axis
    cells = [tio.Crop([n for a, b in box for n in (a, edge - b)]) for box in cell_boxes(edge)]
    place, norm = tio.UniformSampler(task.settings.patch), tio.ZNormalization()
    shown = shown_cells(task)

    def views(scan: Tensor) -> Tensor:
        subject = tio.Subject(scan=tio.ScalarImage(tensor=scan))
        pieces = [norm(next(place(cells[cell](subject), 1))) for cell in next(shown)]
        return torch.stack([piece.scan.data for piece in pieces])

    return views


def torchio_grid(task: ProxyTask, extent: list[int]) -> Scans:
    """UniformSampler for where the grid starts, GridSampler with half overlap. The same views."""
    import torchio as tio

    s, part = task.settings, tio.UniformSampler(extent)

    def views(scan: Tensor) -> Tensor:
        subject = next(part(tio.Subject(scan=tio.ScalarImage(tensor=scan)), 1))
        grid = tio.GridSampler(subject, s.patch, s.patch - s.stride)  # belongs to one scan
        return torch.stack([patch.scan.data for patch in grid()])

    return views


def torchio_exemplar(task: ProxyTask, edge: int) -> Scans:
    """RandomFlip, RandomAffine, RandomGamma: nearly the same distortions.

    Beyond the border is 0, for TorchIO cannot repeat the border's voxels; contrast is a gamma, for
    it has no random brightness.
    """
    import torchio as tio

    affine = [
        tio.RandomAffine(
            scales=(0.8, 1.2),
            degrees=[n for pair in for_one_axis(axis, (-180, 180), (0, 0)) for n in pair],
            isotropic=True,
            default_pad_value=0,
        )
        for axis in range(3)
    ]
    distort = tio.Compose(
        [
            tio.RandomFlip((0, 1, 2), flip_probability=1),
            tio.OneOf(affine),
            tio.RandomGamma(),
        ]
    )
    return lambda scan: torch.stack([scan, distort(scan)])


def torchio_views(task: ProxyTask, volumes: Tensor) -> Scans | None:
    if task.name == "cpc":
        return torchio_grid(task, cpc_extent(task, volumes))
    if task.name in PER_CELL:
        return torchio_cells(task, volumes.shape[-1])
    return torchio_exemplar(task, volumes.shape[-1]) if task.name == "exemplar" else None


def peers_of(task: ProxyTask, volumes: Tensor) -> Iterator[tuple[str, Make]]:
    """Name, and what makes a batch of views."""
    on_cpu, generator = volumes.cpu(), torch.Generator().manual_seed(1)
    mark = "" if volumes.device.type == "cpu" else ", on the CPU"
    name = "NumPy and SciPy by hand"
    yield name + mark, partial(views_by_hand, task, on_cpu, generator)
    yield "MONAI", partial(scan_by_scan, monai_views(task, volumes), volumes)
    if find_spec("torchio") and (make := torchio_views(task, on_cpu)):
        name = "TorchIO" + (", gamma for contrast" if task.name == "exemplar" else "")
        yield name + mark, partial(scan_by_scan, make, on_cpu)


def compare_views(volumes: Tensor, rounds: int) -> Iterator[Row]:
    for name, settings in puzzles(volumes.shape[-1]).items():
        task = make_task(name, EncoderSettings(), **settings)
        ours = partial(our_views, task, volumes, torch.Generator().manual_seed(0))
        for peer, theirs in peers_of(task, volumes):
            shapes = tuple(ours().shape), tuple(theirs().shape)
            if shapes[0] != shapes[1]:
                raise RuntimeError(f"{name}: our views are {shapes[0]}, {peer}'s {shapes[1]}")
            yield Row(name, peer, *by_turns(ours, theirs, rounds, volumes.device.type))


# ---- the step ----------------------------------------------------------------------------------


def our_net() -> nn.Module:
    encoder = make_encoder(EncoderSettings(filters=FILTERS), 0)
    return make_unet(encoder, classes=2, seed=0)


def peer_nets() -> dict[str, tuple[nn.Module, bool]]:
    """MONAI's U-Nets with channels and norm of ours, and nnU-Net's; and whether channels come last
    in memory.

    BasicUNet is the same network with a fifth level, which it always has. UNet halves with the
    first convolution already, and has residual blocks of two convolutions.
    """
    basic = {"features": (*FILTERS, 2 * FILTERS[-1], FILTERS[0]), "norm": "batch"}
    shape = {"channels": FILTERS, "strides": (2, 2, 2), "num_res_units": 2, "norm": "batch"}
    return {
        "MONAI BasicUNet": (BasicUNet(3, 1, 2, **basic), False),
        "MONAI BasicUNet, channels last": (BasicUNet(3, 1, 2, **basic), True),
        "MONAI UNet": (MonaiUNet(3, 1, 2, **shape), False),
        "MONAI UNet, channels last": (MonaiUNet(3, 1, 2, **shape), True),
        **nnunet_nets(),
    }


def nnunet_nets() -> dict[str, tuple[nn.Module, bool]]:
    """nnU-Net's plain U-Net with the same channels, as its plans make it: strides in place of
    pooling, instance norm. Nothing where its package is not installed."""
    if find_spec("dynamic_network_architectures") is None:
        return {}
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    levels = len(FILTERS)
    net = partial(
        PlainConvUNet,
        1,
        levels,
        FILTERS,
        nn.Conv3d,
        3,
        [1, *[2] * (levels - 1)],
        2,
        2,
        2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return {"nnU-Net": (net(), False), "nnU-Net, channels last": (net(), True)}


def step_of(net: nn.Module, volumes: Tensor, last: bool) -> Make:
    """A training step, in the precision that training chooses on this device."""
    device = volumes.device.type
    half = choose_precision("auto", device) == "bf16-mixed"
    net = net.to(device).train()
    if last:
        net = net.to(memory_format=channels_last(net))
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    target = (volumes[:, 0] > 0.5).long()

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(net(volumes), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def gflop(step: Make) -> float:
    """Operations of a step, in thousands of millions."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def compare_steps(volumes: Tensor, rounds: int) -> Iterator[Row]:
    ours = step_of(our_net(), volumes, last=True)  # as training lays it out
    own = gflop(ours)
    for peer, (net, last) in peer_nets().items():
        theirs = step_of(net, volumes, last)
        counts = own, gflop(theirs)
        times = by_turns(ours, theirs, rounds, volumes.device.type)
        yield Row("step", peer, *times, gflop=counts)


# ---- the run -----------------------------------------------------------------------------------


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    if find_spec("torchio"):
        import SimpleITK as sitk  # noqa: N813

        # which TorchIO resamples with
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def surroundings(options: argparse.Namespace) -> dict:
    """What the times depend on."""
    return {
        "machine": machine_name(options.device),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": {name: version(name) for name in PACKAGES if find_spec(name)},
        "threads": torch.get_num_threads(),
        "precision": choose_precision("auto", options.device),
        **{name: getattr(options, name) for name in ("device", "edge", "batch", "step_batch")},
        "rounds": options.rounds,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--step-batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("views", "step"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.edge < 48 or options.edge % 8:
        parser.error("--edge has to be a multiple of 8, and 48 at least")
    return options


def main() -> None:
    options = parse()
    set_threads(options.threads)
    torch.manual_seed(0)
    volumes = smooth_volumes(options.batch, options.edge, options.device)
    about = surroundings(options)
    print(f"{options.batch} volumes of {options.edge}³ ({options.step_batch} for a step)")
    print(", ".join(f"{name} {about[name]}" for name in ("machine", "precision", "load")))
    print(", ".join(f"{name} {number}" for name, number in about["versions"].items()))
    if about["load"][0] + options.threads > (os.cpu_count() or 1) + 0.5:
        print("the machine has other work: expect noise, and with several threads mere waiting")
    if not find_spec("torchio"):
        print("torchio is not installed: left out")
    print(f"{'':9} {'peer':34} {'ours, ms':>9} {'peer, ms':>9}   peer / ours (lowest–highest)")
    rows = []
    if options.only != "step":
        for row in compare_views(volumes, options.rounds):
            print(row, flush=True)
            rows.append(row)
    if options.only != "views":
        for row in compare_steps(volumes[: options.step_batch], options.rounds):
            print(row, flush=True)
            rows.append(row)
    if options.json:
        about["rows"] = [asdict(row) for row in rows]
        options.json.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
