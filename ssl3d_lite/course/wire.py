"""Values as bytes, and back: what the student's process and the tests' process tell each other.

A message is JSON with the raw numbers of arrays beside it. Only kinds of values that are listed
here can be told, and none of them holds code. Whatever the other side sends, reading it builds
fresh plain values or raises ``WireError``: nothing is pickled, and nothing is looked up but our own
dataclasses.

No library does this. safetensors and ``numpy.save(allow_pickle=False)`` hold arrays and no
lists of dictionaries of tuples; MessagePack and JSON turn tuples and sets into lists, and
arguments that were changed in place, or are one array twice, would be told apart by none.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_PLAIN = (type(None), bool, int, float, str)
_LISTS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "size": torch.Size}
_ARRAY_KINDS = "biufcUS"
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
        torch.bfloat16,
    )
}
_OURS = ("ssl3d_lite.", "data_recipes.")
_MOST_DEEP = 60


class WireError(ValueError):
    """What arrived is no message."""


class Writer:
    """Turns values into JSON and buffers.

    Args:
        refer: for what is no value (functions, objects): JSON that names it for the other side.
        known: tensors that the other side has, in its own order; a view of one is told as such.
    """

    def __init__(
        self, refer: Callable[[Any], Any], known: list[Any] | tuple[Any, ...] = ()
    ) -> None:
        self.refer, self.buffers = refer, list[bytes]()
        self.mutable: list[Any] = []
        """What the other side may change in place, in the order of its first place."""
        self.differentiable: list[torch.Tensor] = []
        """Tensors through which gradients flow."""
        self._places: dict[int, int] = {}
        self._storages = {
            each.untyped_storage().data_ptr(): place
            for place, each in enumerate(known)
            if isinstance(each, torch.Tensor) and each.numel() and each.device.type == "cpu"
        }

    def __call__(self, value: Any, deep: int = 0) -> Any:
        if type(value) in _PLAIN:
            return value
        if deep > _MOST_DEEP:
            raise WireError("a value is nested too deeply")
        if id(value) in self._places:
            return ["same", self._places[id(value)]]
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in _ARRAY_KINDS:
            return ["array", self._note(value), self._bytes(value), value.dtype.str, value.shape]
        return self._other(value, deep + 1)

    def _other(self, value: Any, deep: int) -> Any:
        kind = type(value).__name__.lower()
        if isinstance(value, np.generic) and value.dtype.kind in _ARRAY_KINDS:
            return ["number", self._bytes(np.asarray(value)), value.dtype.str]
        if isinstance(value, list | tuple | set | frozenset):
            place = self._note(value) if isinstance(value, list | set) else None
            kind = (
                kind
                if kind in _LISTS
                else next(k for k, t in _LISTS.items() if isinstance(value, t))
            )
            return [kind, place, [self(each, deep) for each in value]]
        if isinstance(value, dict):
            pairs = [[self(k, deep), self(v, deep)] for k, v in list(value.items())]
            return ["dict", self._note(value), pairs]
        if isinstance(value, range):
            return ["range", value.start, value.stop, value.step]
        if isinstance(value, bytes):
            return ["bytes", self._buffer(value)]
        if isinstance(value, torch.dtype):
            return ["dtype", str(value).removeprefix("torch.")]
        if isinstance(value, torch.device):
            return ["device", str(value)]
        if isinstance(value, torch.Generator):
            return ["torch generator", self._note(value), self._bytes(value.get_state().numpy())]
        if isinstance(value, np.random.Generator):
            return ["numpy generator", self._note(value), numpy_state(value)]
        if isinstance(value, _PLAIN):  # subclasses, such as an Enum's
            return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))
        if dataclasses.is_dataclass(value) and not isinstance(value, type | torch.nn.Module):
            return self._record(value, deep)
        return self.refer(value)

    def _record(self, value: Any, deep: int) -> Any:
        kind, name = type(value), type(value).__name__
        ours = kind.__module__.startswith(_OURS)
        fields = {f.name: self(getattr(value, f.name), deep) for f in dataclasses.fields(value)}
        return ["record", kind.__module__ if ours else "", name, fields]

    def _tensor(self, value: torch.Tensor) -> Any:
        dtype, shape = str(value.dtype).removeprefix("torch."), list(value.shape)
        if value.device.type == "meta":
            return ["meta", dtype, shape]
        if dtype not in _DTYPES:
            raise WireError(f"a tensor of {value.dtype} cannot be told")
        plain = value.detach().cpu()
        place = self._storages.get(plain.untyped_storage().data_ptr())
        if place is not None and not value.requires_grad:
            return ["view", place, shape, plain.stride(), plain.storage_offset()]
        noted: Any = self._note(value)
        if value.requires_grad and torch.is_grad_enabled():
            self.differentiable.append(value)
            noted = [noted, len(self.differentiable) - 1]
        return ["tensor", noted, self._bytes(_as_array(plain)), dtype, shape]

    def _note(self, value: Any) -> int:
        self._places[id(value)] = len(self.mutable)
        self.mutable.append(value)
        return len(self.mutable) - 1

    def _bytes(self, array: np.ndarray) -> int:
        return self._buffer(np.ascontiguousarray(array).tobytes())

    def _buffer(self, data: bytes) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1


class Reader:
    """Builds fresh values from JSON and buffers.

    Args:
        buffers: the message's bytes.
        resolve: what a reference of the other side stands for here.
        known: what was sent to the other side before, of which it may return views.
        link: puts a tensor through which gradients flow, and its number, into a graph.
    """

    def __init__(
        self,
        buffers: list[bytes],
        resolve: Callable[[Any], Any],
        known: list[Any] | tuple[Any, ...] = (),
        link: Callable[[int, torch.Tensor], torch.Tensor] = lambda number, tensor: tensor,
    ) -> None:
        self.buffers, self.resolve, self.known, self.link = buffers, resolve, known, link
        self.mutable: dict[int, Any] = {}

    def __call__(self, told: Any) -> Any:
        """
        Raises:
            WireError: this is no value.
        """
        try:
            return self._read(told)
        except WireError:
            raise
        except (ValueError, TypeError, LookupError, RuntimeError, ArithmeticError) as reason:
            raise WireError(f"{type(reason).__name__}: {reason}"[:200]) from None

    def _read(self, told: Any) -> Any:
        if type(told) in _PLAIN:
            return told
        kind, *rest = told
        if type(kind) is not str:
            raise WireError("a value of no kind")
        if kind in _LISTS:
            found = _LISTS[kind](map(self._read, rest[1]))
            return self._noted(rest[0], found)
        return getattr(self, f"_read_{kind.replace(' ', '_')}", self._refused)(*rest)

    def _refused(self, *rest: Any) -> Any:
        raise WireError("an unknown kind of value")

    def _read_dict(self, place: int, pairs: list) -> dict:
        return self._noted(place, {self._read(key): self._read(value) for key, value in pairs})

    def _read_range(self, *ends: int) -> range:
        return range(*ends)

    def _read_same(self, place: int) -> Any:
        return self.mutable[place]

    def _read_bytes(self, buffer: int) -> bytes:
        return self.buffers[buffer]

    def _read_dtype(self, name: str) -> torch.dtype:
        return _DTYPES[name]

    def _read_device(self, name: str) -> torch.device:
        return torch.device(name)

    def _read_number(self, buffer: int, dtype: str) -> Any:
        return self._array(buffer, dtype, ())[()]

    def _read_array(self, place: int, buffer: int, dtype: str, shape: list[int]) -> np.ndarray:
        return self._noted(place, self._array(buffer, dtype, shape))

    def _array(self, buffer: int, dtype: str, shape: Any) -> np.ndarray:
        kind = np.dtype(dtype)
        if kind.kind not in _ARRAY_KINDS:
            raise WireError("an array of objects")
        return np.frombuffer(bytearray(self.buffers[buffer]), kind).reshape(tuple(shape))

    def _read_meta(self, dtype: str, shape: list[int]) -> torch.Tensor:
        return torch.empty(shape, dtype=_DTYPES[dtype], device="meta")

    def _read_tensor(self, noted: Any, buffer: int, dtype: str, shape: list[int]) -> torch.Tensor:
        place, number = noted if isinstance(noted, list) else (noted, None)
        data = bytearray(self.buffers[buffer])
        kind = _DTYPES[dtype]
        flat = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
        tensor = flat.reshape(tuple(shape))
        return self._noted(place, tensor if number is None else self.link(number, tensor))

    def _read_view(self, place: int, shape: list[int], stride: list[int], offset: int) -> Any:
        whole = self.known[place].detach()
        whole = whole if whole.is_contiguous() else whole.contiguous()
        return whole.as_strided(shape, stride, offset + whole.storage_offset())

    def _read_torch_generator(self, place: int, buffer: int) -> torch.Generator:
        generator = torch.Generator()
        generator.set_state(torch.frombuffer(bytearray(self.buffers[buffer]), dtype=torch.uint8))
        return self._noted(place, generator)

    def _read_numpy_generator(self, place: int, state: dict) -> np.random.Generator:
        kind = {"PCG64": np.random.PCG64, "MT19937": np.random.MT19937}[state["bit_generator"]]
        generator = np.random.Generator(kind())
        set_numpy_state(generator, state)
        return self._noted(place, generator)

    def _read_record(self, module: str, name: str, fields: dict[str, Any]) -> Any:
        values = {key: self._read(value) for key, value in fields.items()}
        if not module and str(name).isidentifier():
            return dataclasses.make_dataclass(str(name), list(values), frozen=True)(**values)
        kind = getattr(sys.modules[module], name) if module.startswith(_OURS) else None
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            raise WireError("a record of an unknown kind")
        first = {f.name for f in dataclasses.fields(kind) if f.init}
        return kind(**{key: value for key, value in values.items() if key in first})

    def _read_reference(self, *named: Any) -> Any:
        return self.resolve(named)

    def _noted(self, place: int | None, value: Any) -> Any:
        if place is not None:
            self.mutable[place] = value
        return value


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's numbers; bfloat16, which NumPy does not have, as 16 bits."""
    tensor = tensor.resolve_conj().resolve_neg()
    return (
        tensor.contiguous().view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    ).numpy()


def numpy_state(generator: np.random.Generator) -> dict[str, Any]:
    """A generator's state in JSON's own kinds."""
    return json.loads(json.dumps(generator.bit_generator.state, default=lambda a: a.tolist()))


def set_numpy_state(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """The inverse of ``numpy_state``."""
    generator.bit_generator.state = state


# ---- messages ----------------------------------------------------------------------------------

MOST_BYTES = 100_000_000  # a message may have


def send_message(connection: Any, message: dict[str, Any], buffers: list[bytes]) -> None:
    """Send a message through a ``multiprocessing.connection.Connection``, without its pickling."""
    connection.send_bytes(json.dumps([len(buffers), message]).encode())
    for data in buffers:
        connection.send_bytes(data)


def receive_message(connection: Any, most: int = MOST_BYTES) -> tuple[dict[str, Any], list[bytes]]:
    """
    Raises:
        WireError: what arrived is no message, or longer than ``most`` bytes.
        EOFError: the other side has ended.
    """
    try:
        text = connection.recv_bytes(most)
        count, message = json.loads(text)
        most -= len(text)
        buffers = []
        for _ in range(min(count, 100_000)):
            buffers.append(connection.recv_bytes(most))
            most -= len(buffers[-1])
    except EOFError:
        raise
    except (OSError, ValueError, TypeError, RecursionError) as reason:
        if isinstance(reason, ConnectionResetError):
            raise EOFError from None
        raise WireError(str(reason)[:200]) from None
    if not isinstance(message, dict):
        raise WireError("no message")
    return message, buffers
