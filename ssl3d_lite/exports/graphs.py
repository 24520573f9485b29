"""A network as a graph that needs no code of ours: ONNX, TorchScript, torch.export.

A graph is traced on one scan: its channels and voxels are those of that scan, and the number of
scans in a batch is free. What it gives is compared with the network before anything is written.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError

MAX_DIFFERENCE = 1e-4  # relative to the largest value that the network gives
GraphKind = Literal["onnx", "torchscript", "pt2"]
GRAPH_FILES: dict[str, str] = {"onnx": "model.onnx", "torchscript": "model.ts", "pt2": "model.pt2"}


class Outputs(nn.Module):
    """A network whose outputs are a tuple: logits alone, or an encoder's levels."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, scan: Tensor) -> tuple[Tensor, ...]:
        found = self.network(scan)
        return (found,) if isinstance(found, Tensor) else tuple(found)


def graph_of(
    network: nn.Module, kind: GraphKind, shape: Sequence[int]
) -> tuple[bytes, float | None]:
    """A graph's file, and by how much its outputs differ at most from the network's.

    Args:
        network: in evaluation mode, on the CPU.
        shape: (channel, *space) of a scan.

    Returns:
        The bytes, and the largest difference; None where nothing here can run the graph.

    Raises:
        InputError: a library is missing; or the graph gives something else than the network.
    """
    makers = {"onnx": _onnx, "torchscript": _torchscript, "pt2": _exported}
    module, generator = Outputs(network).eval(), torch.Generator().manual_seed(0)
    traced, tried = (torch.randn(n, *shape, generator=generator) for n in (2, 3))
    with _without_chatter(), torch.no_grad():
        data, run = makers[kind](module, traced)
        wanted = module(tried)
        found = None if run is None else run(tried)
    return data, None if found is None else _difference(wanted, found, kind)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep back what torch says of TorchScript's age, of the fixed shape, and of operators of
    torchvision, which no network here has."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _difference(wanted: Sequence[Tensor], found: Sequence[Tensor], kind: str) -> float:
    pairs = list(zip(wanted, found, strict=True))
    largest = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
    scale = max(1.0, *(float(ours.abs().max()) for ours in wanted))
    if not largest <= MAX_DIFFERENCE * scale:
        raise InputError(
            f"{kind} gives other values than the network, by {largest:.2g} at most, so nothing was "
            "written; another version of torch may do better"
        )
    return largest


GraphRunner = Callable[[Tensor], Sequence[Tensor]]


def _torchscript(module: nn.Module, scan: Tensor) -> tuple[bytes, GraphRunner | None]:
    buffer = BytesIO()
    torch.jit.save(torch.jit.trace(module, scan, check_trace=False), buffer)
    return buffer.getvalue(), torch.jit.load(BytesIO(buffer.getvalue()))


def _exported(module: nn.Module, scan: Tensor) -> tuple[bytes, GraphRunner | None]:
    buffer = BytesIO()
    free = {"scan": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(module, (scan,), dynamic_shapes=free), buffer)
    return buffer.getvalue(), torch.export.load(BytesIO(buffer.getvalue())).module()


def _onnx(module: nn.Module, scan: Tensor) -> tuple[bytes, GraphRunner | None]:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError("ONNX needs two packages more: pip install onnx onnxscript") from None
    free = {"scan": {0: torch.export.Dim("batch")}}
    program: Any = torch.onnx.export(
        module, (scan,), dynamo=True, input_names=["scan"], dynamic_shapes=free, verbose=False
    )
    data = program.model_proto.SerializeToString()
    try:
        import onnxruntime
    except ImportError:
        return data, None
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(scan: Tensor) -> list[Tensor]:
        return [torch.from_numpy(each) for each in session.run(None, {"scan": scan.numpy()})]

    return data, run
