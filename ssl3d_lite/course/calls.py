"""Calls from one process to another: values go there and come back, gradients too, never code.

Tests run in one process and the student's code in another. To a test, a student's function, class
or network looks as if it were its own: a ``RemoteCallable``, ``RemoteObject`` or ``RemoteModule``.
What a test hands over by reference (an encoder that counts its calls) is called back in the same
way. As in one process, arguments that are changed in place change here, generators move on, the
global random state is shared, and ``backward`` goes through.

No library does this. rpyc and Pyro give the other side references to all there is,
``torch.distributed`` pickles, and none lets gradients through between processes that do not trust
each other.
"""

import builtins
import functools
import itertools
import random
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ssl3d_lite.errors import InputError

from .wire import (
    Reader,
    Writer,
    numpy_state,
    receive_message,
    send_message,
    set_numpy_state,
)

_MOST_TEXT = 300  # characters of an error's text
CELL = "<ipython-input"  # how IPython names the files of cells


class Endpoint:
    """One end of the connection between two processes.

    Args:
        connection: a ``multiprocessing.connection.Connection``.
        serves: further requests by name, beside calls: message, reader → value.
        open: whether the other side may read and set attributes, and run methods. Only functions
            and modules that were handed over can be called otherwise.
    """

    def __init__(
        self,
        connection: Any,
        serves: dict[str, Callable[..., Any]] | None = None,
        *,
        open: bool = False,
    ) -> None:
        self.connection, self.open, self.serves = connection, open, serves or {}
        self.exported: dict[int, Any] = {}
        self._handles: dict[int, int] = {}
        self._proxies: dict[int, Any] = {}
        self._graphs: dict[int, tuple[list, list, list]] = {}
        self._gone: list[int] = []
        self._collected: list[dict[int, torch.Tensor]] = []
        self._numbers = itertools.count(1)
        self._random: dict[str, Any] = {}
        # the way back always leads here, so that it passes all calls, whatever else it leads to
        self._root = torch.zeros((), requires_grad=True)

    # ---- asking ----------------------------------------------------------------------------

    def ask(self, do: str, told: Any = None, **message: Any) -> Any:
        """Ask the other side for something that is no call, and return the answer's value."""
        writer = Writer(functools.partial(self._refer, []))
        message |= {"do": do, "told": writer(told)}
        reply, buffers = self._exchange(message, writer.buffers)
        reader = Reader(buffers, self._resolve)
        if "error" in reply:
            raise rebuilt(reply["error"])
        return reader(reply["value"])

    def call(
        self,
        handle: int,
        name: str | None,
        args: tuple,
        kwargs: dict,
        module: "RemoteModule | None" = None,
    ) -> Any:
        """Call an object of the other side, or a method of it."""
        modules: list[nn.Module] = []
        writer = Writer(functools.partial(self._refer, modules))
        message = {"do": "call", "on": handle, "name": name, "grad": torch.is_grad_enabled()}
        message |= {"told": writer([list(args), kwargs]), "random": self._random_news(writer)}
        leaves: list[torch.Tensor] = list(writer.differentiable)
        local: list[torch.Tensor] = [p for m in modules for p in m.parameters()]
        if module is not None:
            message["module"] = module._news(writer)
            leaves += module._mirrored_parameters()
            local += module._local_parameters()
        message["gone"], self._gone = self._gone, []
        reply, buffers = self._exchange(message, writer.buffers)
        local = [p for p in {id(p): p for p in local}.values() if p.requires_grad]
        link = functools.partial(self._link, self._graph(reply, leaves, local), leaves + local)
        reader = Reader(buffers, self._resolve, writer.mutable, link)
        self._take_random(reader(reply.get("random")))
        for place, value in reader(reply.get("changed")) or ():
            _change(writer.mutable[place], value)
        if "error" in reply:
            raise rebuilt(reply["error"])
        return reader(reply["value"])

    def _exchange(self, message: dict, buffers: list[bytes]) -> tuple[dict, list[bytes]]:
        """Send a request, and serve those of the other side until the answer comes."""
        send_message(self.connection, message, buffers)
        while True:
            message, buffers = receive_message(self.connection)
            if "reply" in message:
                return message, buffers
            self._serve(message, buffers)

    # ---- serving ---------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer requests until the other side ends.

        Raises:
            WireError: what arrived is no request.
        """
        while True:
            try:
                message, buffers = receive_message(self.connection)
            except EOFError:
                return
            except KeyboardInterrupt:  # the interruption of what has just ended
                continue
            if "reply" not in message:  # nobody waits any more for that one
                self._serve(message, buffers)

    def _serve(self, message: dict, buffers: list[bytes]) -> None:
        own = {"call": self._answer_call, "backward": self._answer_backward}
        if self.open:
            own |= {"get": self._answer_get, "set": self._answer_set}
        try:
            answer = own.get(message["do"]) or self._extra(message["do"])
            reply, written = answer(message, buffers)
        except (EOFError, BrokenPipeError):
            raise
        except BaseException as fault:
            reply, written = {"error": described(fault)}, []
        send_message(self.connection, {"reply": True, **reply}, written)

    def _extra(self, do: str) -> Callable:
        if do not in self.serves:
            raise AttributeError("this can be called, and nothing else")
        run = self.serves[do]

        def answer(message: dict, buffers: list[bytes]) -> tuple[dict, list[bytes]]:
            value = run(Reader(buffers, self._resolve)(message.get("told")))
            return self._written(value)

        return answer

    def _written(self, value: Any) -> tuple[dict, list[bytes]]:
        writer = Writer(functools.partial(self._refer, []))
        return {"value": writer(value)}, writer.buffers

    def _answer_get(self, message: dict, buffers: list[bytes]) -> tuple[dict, list[bytes]]:
        with torch.no_grad():
            return self._written(getattr(self.exported[message["on"]], message["told"]))

    def _answer_set(self, message: dict, buffers: list[bytes]) -> tuple[dict, list[bytes]]:
        name, value = Reader(buffers, self._resolve)(message["told"])
        setattr(self.exported[message["on"]], name, value)
        return self._written(None)

    def _answer_call(self, message: dict, buffers: list[bytes]) -> tuple[dict, list[bytes]]:
        inputs: dict[int, torch.Tensor] = {}

        def link(number: int, tensor: torch.Tensor) -> torch.Tensor:
            inputs[number] = tensor.requires_grad_()
            return inputs[number].clone()  # one may write into it, as into any result

        for number in message.get("gone", ()):
            self._graphs.pop(number, None)
        reader = Reader(buffers, self._resolve, (), link)
        args, kwargs = reader(message["told"])
        target = self.exported[message["on"]]
        named = self._take_news(target, message.get("module"), reader)
        self._take_random(reader(message.get("random")), all=True)
        method = self._method(target, message.get("name"))
        kept = {place: _kept(value) for place, value in reader.mutable.items()}
        reply: dict[str, Any] = {}
        mutable = [reader.mutable[place] for place in sorted(reader.mutable)]
        writer = Writer(functools.partial(self._refer, []), mutable)
        try:
            with torch.set_grad_enabled(bool(message["grad"])):
                value = method(*args, **kwargs)
            reply["value"] = writer(value)
        except (EOFError, BrokenPipeError):
            raise
        except BaseException as fault:
            reply["error"] = described(fault)
        fresh = Writer(self._unknown)  # what was changed is told as new
        fresh.buffers = writer.buffers
        changed = [
            [p, _new(reader.mutable[p])]
            for p, was in kept.items()
            if _differs(was, reader.mutable[p])
        ]
        reply["changed"] = fresh(changed) if changed else None
        reply["random"] = self._random_news(fresh)
        if writer.differentiable:
            leaves = [inputs[n] for n in sorted(inputs)] + named
            own = (
                [p for p in target.parameters() if p.requires_grad]
                if not self.open and isinstance(target, nn.Module)
                else []
            )
            reply["graph"] = next(self._numbers)
            self._graphs[reply["graph"]] = (list(writer.differentiable), leaves, own)
        return reply, writer.buffers

    def _method(self, target: Any, name: str | None) -> Callable:
        if name is None:
            return target
        if not self.open:
            raise AttributeError("this can be called, and nothing else")
        return getattr(target, name)

    # ---- gradients -------------------------------------------------------------------------

    def _graph(self, reply: dict, leaves: list, local: list) -> "_Graph | None":
        if reply.get("graph") is None:
            return None
        graph = _Graph(self, reply["graph"], len(leaves), [id(each) for each in local])
        weakref.finalize(graph, self._gone.append, graph.name).atexit = False
        return graph

    def _link(
        self,
        graph: "_Graph | None",
        leaves: list[torch.Tensor],
        number: int,
        tensor: torch.Tensor,
    ) -> torch.Tensor:
        """Put a tensor that came back into the graph of this process."""
        if graph is None or not tensor.is_floating_point():
            return tensor
        return _Across.apply(graph, number, tensor, *leaves, self._root)

    def backward(self, graph: "_Graph", number: int, gradient: torch.Tensor) -> list:
        """Gradients of the leaves of a call, from the gradient of one of its results."""
        self._collected.append({})
        try:
            found = self.ask("backward", [graph.name, number, gradient.detach()])
        finally:
            local = self._collected.pop()
        remote = [found[n] if n < len(found) else None for n in range(graph.leaves)]
        return [*remote, *(local.get(each) for each in graph.local)]

    def _answer_backward(self, message: dict, buffers: list[bytes]) -> tuple[dict, list[bytes]]:
        graph, number, gradient = Reader(buffers, self._resolve)(message["told"])
        outputs, leaves, own = self._graphs[graph]
        grads = torch.autograd.grad(
            outputs[number],
            [*leaves, *own, self._root],
            gradient,
            retain_graph=True,
            allow_unused=True,
        )
        if self._collected:
            for parameter, grad in zip(own, grads[len(leaves) :]):
                if grad is not None:
                    sums = self._collected[-1]
                    sums[id(parameter)] = sums.get(id(parameter), 0) + grad
        with torch.no_grad():
            return self._written(list(grads[: len(leaves)]))

    # ---- references ------------------------------------------------------------------------

    def _unknown(self, value: Any) -> Any:
        return None

    def _refer(self, modules: list[nn.Module], value: Any) -> Any:
        """How something that is no value is named for the other side."""
        mine = getattr(value, "__dict__", {}).get("_remote")
        if mine is not None and mine[0] is self:
            return ["reference", "yours", mine[1]]
        handle = self._handles.get(id(value))
        new = handle is None or self.exported[handle] is not value
        if new:
            handle = next(self._numbers)
            self.exported[handle], self._handles[id(value)] = value, handle
        if isinstance(value, nn.Module):
            modules.append(value)
            if type(value) is nn.ModuleList and not self.open:
                return ["reference", "list", [self._refer(modules, each) for each in value]]
            told = _state(value) if self.open and new else None
            writer = Writer(self._unknown)
            return [
                "reference",
                "mine",
                handle,
                "module",
                writer(told),
                list(map(bytes.hex, writer.buffers)),
            ]
        return ["reference", "mine", handle, "callable" if callable(value) else "object", None, []]

    def _resolve(self, named: tuple) -> Any:
        """What a reference of the other side stands for."""
        whose, handle, *rest = named
        if whose == "yours":
            return self.exported[handle]
        if whose == "list":
            return nn.ModuleList(self._resolve(each[1:]) for each in handle)
        if handle not in self._proxies:
            kind, state, data = rest
            state = Reader([bytes.fromhex(each) for each in data], self._unknown)(state)
            made = {"module": RemoteModule, "callable": RemoteCallable}.get(kind, RemoteObject)
            self._proxies[handle] = made(self, handle, state or ())
        return self._proxies[handle]

    # ---- states that both sides share ------------------------------------------------------

    def _random_news(self, writer: Writer) -> Any:
        """The global random states, where they differ from what the other side knows."""
        now = _random_state()
        news = {name: state for name, state in now.items() if self._random.get(name) != state}
        self._random = now
        return writer(news) if news else None

    def _take_random(self, news: dict[str, Any] | None, all: bool = False) -> None:
        """Set the global random states as the other side has them; ``all`` of them, whatever
        happened here since."""
        if news:
            self._random |= news
        if news or all:
            _set_random_state(self._random if all else news or {})
            self._random = _random_state()

    def _take_news(self, target: Any, news: Any, reader: Reader) -> list[torch.Tensor]:
        """Bring a module to the state that the other side has of it; returns its parameters."""
        if news is None or not isinstance(target, nn.Module):
            return []
        training, names, state = reader(news)
        if target.training != training:
            target.train(training)
        with torch.no_grad():
            for name, value in state.items():
                _find(target, name).copy_(value)
        return [_find(target, name) for name in names]


# ---- the other side's things -------------------------------------------------------------------


class RemoteObject:
    """Something of the other side's that is no value. It is equal to itself alone."""

    def __init__(self, peer: Endpoint, handle: int, state: Any = ()) -> None:
        self._remote = (peer, handle)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        peer, handle = self._remote
        return peer.ask("get", name, on=handle)


class RemoteCallable(RemoteObject):
    """A function, a class, or an object that can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        peer, handle = self._remote
        return peer.call(handle, None, args, kwargs)


class RemoteModule(nn.Module):
    """A network of the other side's. Its parameters are mirrored here, to be trained and loaded;
    modules that are set on it here are called back from there."""

    def __init__(self, peer: Endpoint, handle: int, state: Any = ()) -> None:
        super().__init__()
        self.__dict__["_remote"] = (peer, handle)
        for name, value, is_parameter, trained in state:
            *path, last = name.split(".")
            home: nn.Module = self
            for step in path:
                if step not in home._modules:
                    home.add_module(step, nn.Module())
                home = home.get_submodule(step)
            if is_parameter:
                home.register_parameter(last, nn.Parameter(value, requires_grad=trained))
            else:
                home.register_buffer(last, value)
        self.__dict__["_mirrored"] = {name: value.clone() for name, value, *_ in state}
        self.__dict__["_live"] = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._invoke(None, *args, **kwargs)

    def _invoke(self, name: str | None, *args: Any, **kwargs: Any) -> Any:
        peer, handle = self._remote
        return peer.call(handle, name, args, kwargs, self if peer.open is False else None)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "_live" not in self.__dict__:
                raise
        peer, handle = self._remote
        found = peer.ask("get", name, on=handle)
        return functools.partial(self._invoke, name) if isinstance(found, RemoteCallable) else found

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "training" or name.startswith("_") or "_live" not in self.__dict__:
            return
        for known in [n for n in self._mirrored if n == name or n.startswith(f"{name}.")]:
            del self._mirrored[known]
        peer, handle = self._remote
        peer.ask("set", [name, value], on=handle)

    def to(self, *args: Any, **kwargs: Any) -> "RemoteModule":
        self._invoke("to", *args, **kwargs)
        return super().to(*args, **kwargs)

    def _news(self, writer: Writer) -> Any:
        """Mode, names of trained parameters, and the values that the other side does not know."""
        changed = {}
        for name, known in self._mirrored.items():
            value = _find(self, name).detach()
            if value.device.type != "meta" and not torch.equal(known, value):
                changed[name] = self._mirrored[name] = value.clone()
        names = [n for n in self._mirrored if _find(self, n).requires_grad]
        return writer([self.training, names, changed])

    def _mirrored_parameters(self) -> list[torch.Tensor]:
        found = [_find(self, name) for name in self._mirrored]
        return [each for each in found if each.requires_grad]

    def _local_parameters(self) -> list[torch.Tensor]:
        mirrored = {id(_find(self, name)) for name in self._mirrored}
        return [p for p in self.parameters() if id(p) not in mirrored]


class _Graph:
    """Names the graph of a call. While a result of the call lives, the other side keeps it."""

    def __init__(self, peer: Endpoint, name: int, leaves: int, local: list[int]) -> None:
        self.peer, self.name, self.leaves, self.local = peer, name, leaves, local


class _Across(torch.autograd.Function):
    """The identity, whose gradient is worked out by the other side."""

    @staticmethod
    def forward(ctx: Any, graph: _Graph, number: int, tensor: torch.Tensor, *leaves: Any) -> Any:
        ctx.graph, ctx.number, ctx.count = graph, number, len(leaves)
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        found = ctx.graph.peer.backward(ctx.graph, ctx.number, gradient)
        return None, None, None, *(found + [None] * ctx.count)[: ctx.count]


def _state(module: nn.Module) -> list[list[Any]]:
    """Name, value, whether it is a parameter, and whether it is trained."""
    trained = {name: p.requires_grad for name, p in module.named_parameters()}
    saved = module.state_dict(keep_vars=False)
    return [
        [name, value.detach().clone(), name in trained, trained.get(name, False)]
        for name, value in saved.items()
        if isinstance(value, torch.Tensor)
    ]


def _find(module: nn.Module, name: str) -> torch.Tensor:
    home, _, last = name.rpartition(".")
    return getattr(module.get_submodule(home), last)


# ---- what was changed in place -----------------------------------------------------------------


def _kept(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, torch.Generator | np.random.Generator):
        return _new(value)
    return type(value)(value)


def _differs(was: Any, now: Any) -> bool:
    if isinstance(now, torch.Tensor):
        return now.device.type != "meta" and _bytes_of(was) != _bytes_of(now.detach())
    if isinstance(now, np.ndarray):
        return was.shape != now.shape or was.tobytes() != now.tobytes()
    if isinstance(now, torch.Generator | np.random.Generator):
        return was != _new(now)
    if isinstance(now, set):
        return was != now
    before, after = (list(each.items()) if isinstance(each, dict) else each for each in (was, now))
    return len(before) != len(after) or not all(map(_alike, before, after))


def _bytes_of(tensor: torch.Tensor) -> tuple[Any, bytes]:
    flat = tensor.resolve_conj().contiguous().flatten()
    return tensor.shape, flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _alike(one: Any, other: Any) -> bool:
    """Whether an element is what it was; what is in it is compared by itself."""
    if type(one) is tuple and type(other) is tuple and len(one) == len(other):
        return all(map(_alike, one, other))
    plain = (type(None), bool, int, float, str, bytes)
    same = type(one) is type(other) and isinstance(one, plain)
    return one is other or (same and (one == other or one != one))


def _new(value: Any) -> Any:
    """The new content of what was changed."""
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    return numpy_state(value) if isinstance(value, np.random.Generator) else value


def _change(mine: Any, new: Any) -> None:
    """Do to one's own argument what the other side did to its copy."""
    if isinstance(mine, torch.Tensor):
        same = mine.shape == new.shape
        mine.data.copy_(new) if same else setattr(mine, "data", new)
    elif isinstance(mine, np.ndarray):
        mine[...] = new
    elif isinstance(mine, torch.Generator):
        mine.set_state(torch.frombuffer(bytearray(new), dtype=torch.uint8))
    elif isinstance(mine, np.random.Generator):
        set_numpy_state(mine, new)
    elif isinstance(mine, list):
        mine[:] = new
    else:
        mine.clear()
        mine.update(new)


def _random_state() -> dict[str, Any]:
    """The states of torch, NumPy and Python; each can be compared, and told."""
    numpys: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    kind, keys, *rest = numpys
    version, inner, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (str(kind), keys.tobytes(), *map(float, rest)),
        "python": (version, inner, gauss),
    }


def _set_random_state(news: dict[str, Any]) -> None:
    if "torch" in news:
        torch.set_rng_state(torch.frombuffer(bytearray(news["torch"]), dtype=torch.uint8))
    if "numpy" in news:
        kind, keys, place, has, cached = news["numpy"]
        state = (kind, np.frombuffer(keys, np.uint32), int(place), int(has), cached)
        np.random.set_state(state)  # noqa: NPY002
    if "python" in news:
        random.setstate(news["python"])


# ---- exceptions --------------------------------------------------------------------------------


class RemoteError(Exception):
    """An exception of the other side's. It is also of the kind that it was there, as far as that
    kind is Python's or ours."""

    kind = "Exception"
    text = ""
    where = ""
    """The line of the student's cell in which it was raised."""

    def __str__(self) -> str:
        return self.text


def described(fault: BaseException) -> dict[str, Any]:
    """An exception in words: its kinds, its text, and where in a cell it was raised."""
    kinds = [kind.__name__ for kind in type(fault).__mro__ if kind is not object]
    try:
        text = " ".join(str(fault).split())[:_MOST_TEXT]
    except Exception:
        text = ""
    where = ""
    for frame, line in itertools.islice(traceback.walk_tb(fault.__traceback__), 5000):
        if frame.f_code.co_filename.startswith(CELL):
            where = f"line {line} in {frame.f_code.co_name}"
    return {"kinds": kinds, "text": text, "where": where}


def rebuilt(told: Any) -> RemoteError:
    """The exception that was described."""
    kinds = [str(kind)[:80] for kind in told.get("kinds", [])] or ["Exception"]
    bases: tuple[type, ...] = (RemoteError,)
    for kind in kinds:
        base = InputError if kind == "InputError" else getattr(builtins, kind, None)
        if isinstance(base, type) and issubclass(base, Exception) and base is not Exception:
            bases = (RemoteError, base)
            break
    try:
        fault = type(kinds[0], bases, {})()
    except TypeError:  # a kind that wants certain arguments
        fault = type(kinds[0], (RemoteError,), {})()
    fault.kind, fault.text = kinds[0], str(told.get("text", ""))[:_MOST_TEXT]
    fault.where = str(told.get("where", ""))[:80]
    return fault
