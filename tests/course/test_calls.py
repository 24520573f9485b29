"""Calls between two real processes: what comes back is what one process would have given."""

import dataclasses
import math
import random
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ssl3d_lite.course.calls import Endpoint, RemoteError
from ssl3d_lite.course.checks import largest_tensor
from ssl3d_lite.course.wire import Reader, WireError, Writer, receive_message
from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks import Placement, ProxyBatch

ROOT = Path(__file__).parents[2]
THEIRS = """
import random
import numpy as np
import torch
from torch import nn
from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks import Placement, ProxyBatch

def same(value):
    return value

def kinds(*values, **more):
    return [type(value).__name__ for value in values] + sorted(more)

def spoil(tensor, array, rows, table):
    tensor[0] = 7
    array += 1
    rows[0]["score"] = 9
    rows.append(5)
    table["new"] = 1

def part_of(tensor):
    return tensor[1:, ::2]

def draw(generator=None, rng=None):
    return (torch.rand(2, generator=generator), rng.random(2) if rng is not None else None)

def global_draw():
    return torch.rand(1), np.random.rand(), random.random()

def fail(kind):
    class Own(KeyError):
        pass
    raise {"input": InputError("no patch fits"), "own": Own("it"), "exit": SystemExit(3),
           "deep": None}[kind] or same

def deep(n):
    return deep(n + 1)

def batch(views):
    return ProxyBatch(views, torch.zeros(2, 1, dtype=torch.long), Placement(torch.eye(3), (3, 3)))

def apply(encoder, embed, x):
    return embed(encoder(x)[-1]) * 2

def table(a, b):
    return (a[:, None] - b[None]).abs().sum(2).argmin(1)

class Net(nn.Module):
    def __init__(self, width, bias=True):
        super().__init__()
        self.first = nn.Linear(width, width, bias=bias)
        self.second = nn.Sequential(nn.Linear(width, 1))
        self.width = width

    def forward(self, x):
        return self.second(self.first(x).relu()) if self.training else x

    def loss(self, x, times=1.0):
        return self(x).square().mean() * times
"""


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The other process has THEIRS in it."""
    ours, theirs = Pipe()
    place = tmp_path_factory.mktemp("student")
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl3d_lite.course.student", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        env={"PYTHONPATH": str(ROOT), "HOME": str(place), "IPYTHONDIR": str(place)},
        cwd=place,
    )
    theirs.close()
    peer = Endpoint(ours)
    assert peer.ask("run", THEIRS)["failed"] is None
    yield peer
    ours.close()
    assert process.wait(20) == 0


@pytest.fixture
def names(peer):
    found = peer.ask(
        "names",
        [
            *(
                line.split()[1].partition("(")[0]
                for line in THEIRS.split("\n")
                if line.startswith(("def ", "class "))
            ),
            "nowhere",
        ],
    )
    assert "nowhere" not in found
    return found


@dataclasses.dataclass(frozen=True)
class Scan:
    patient: str


def alike(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(7), b.nan_to_num(7))
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


VALUES = [
    *(None, True, 3, -2.5, math.inf, math.nan, "é", b"\0x", [], (), {}, set(), [1, (2, [3])]),
    *({(0, "2"): [1.5], 3: None}, {1, 2}, frozenset("a"), range(1, 9, 2), torch.Size((2, 3))),
    *(torch.arange(6).view(2, 3).T, torch.tensor(math.nan), torch.zeros(0, 3), torch.float64),
    *(torch.rand(2) > 0.5, torch.rand(3).bfloat16(), torch.rand(2, dtype=torch.complex64)),
    *(np.arange(6.0).reshape(2, 3)[:, ::-1], np.array(["ab", "c"]), np.float32(0.5), np.int64(3)),
    *(np.zeros((0, 2), np.int16), np.array(3.0)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back_as_they_went(names, value):
    assert alike(names["same"](value), value)


def test_values_arrive_as_what_they_were(names):
    given = (1, 2.0, "a", torch.zeros(1), np.zeros(1), [1], (1,), {}, Scan("p1"), torch.Generator())
    found = names["kinds"](*given, np.random.default_rng(0), nn.Identity(), more=len)
    kinds = ["int", "float", "str", "Tensor", "ndarray", "list", "tuple", "dict", "Scan"]
    assert found == [*kinds, "Generator", "Generator", "RemoteModule", "more"]


def test_the_library_s_records_are_themselves(names):
    views = torch.rand(2, 1, 1, 4)
    found = names["batch"](views)
    assert type(found) is ProxyBatch
    assert type(found.placement) is Placement
    assert torch.equal(found.views, views)
    assert tuple(found.placement.grid) == (3, 3)


def test_what_is_changed_there_is_changed_here(names):
    tensor, array = torch.zeros(3), np.arange(3)
    rows, table = [{"score": 1}], {"old": [1]}
    names["spoil"](tensor, array, rows, table)
    assert tensor.tolist() == [7, 0, 0]
    assert array.tolist() == [1, 2, 3]
    assert rows == [{"score": 9}, 5]
    assert table == {"old": [1], "new": 1}


def test_a_view_is_a_view(names):
    whole = torch.arange(12.0).view(3, 4)
    part = names["part_of"](whole)
    assert torch.equal(part, whole[1:, ::2])
    part.zero_()
    assert whole.tolist() == [[0, 1, 2, 3], [0, 5, 0, 7], [0, 9, 0, 11]]


def test_generators_move_on(names):
    ours, theirs = (torch.Generator().manual_seed(3) for _ in range(2))
    rng, other = (np.random.default_rng(3) for _ in range(2))
    for _ in range(2):
        a, b = names["draw"](ours, rng)
        assert torch.equal(a, torch.rand(2, generator=theirs))
        assert (b == other.random(2)).all()
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_global_random_states_are_shared(names):
    def draws():
        return torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002

    def seed():
        torch.manual_seed(1), np.random.seed(1), random.seed(1)  # noqa: NPY002

    seed()
    expected = [draws() for _ in range(4)]
    seed()
    found = [names["global_draw"](), draws(), names["global_draw"](), draws()]
    assert found == expected


def test_exceptions_are_of_their_kind(names):
    with pytest.raises(InputError, match="no patch fits"):
        names["fail"]("input")
    with pytest.raises(KeyError) as fault:
        names["fail"]("own")
    assert fault.value.kind == "Own"
    assert "line 2" not in fault.value.where
    with pytest.raises(RemoteError) as fault:
        names["fail"]("exit")
    assert fault.value.kind == "SystemExit"
    with pytest.raises(RecursionError, match="maximum recursion depth"):
        names["deep"](0)


def test_a_network_of_theirs_is_trained_and_loaded_as_one_of_ours(names):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 1))

        def loss(self, x):
            return self.second(self.first(x).relu()).square().mean()

    mine, theirs = Net(), names["Net"](3)
    assert theirs.width == 3
    theirs.load_state_dict(mine.state_dict())
    for _ in range(3):
        found = []
        for net in (mine, theirs):
            x = torch.arange(6.0).view(2, 3).requires_grad_()
            optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
            optimiser.zero_grad()
            loss = net.loss(x)
            loss.backward()
            optimiser.step()
            found.append([loss.detach(), x.grad, *(p.detach().clone() for p in net.parameters())])
        for a, b in zip(*found, strict=True):
            assert torch.allclose(a, b)
    assert theirs.eval()(torch.ones(1, 3)).tolist() == [[1, 1, 1]]
    with torch.no_grad():
        assert not theirs.loss(torch.ones(1, 3)).requires_grad


def test_what_is_handed_over_is_called_back_and_learns(names):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = nn.Linear(2, 2), 0

        def forward(self, x):
            self.calls += 1
            return [x, self.inner(x)]

    encoder, embed = Counting(), nn.Linear(2, 1)
    x = torch.ones(3, 2)
    leaves = [*encoder.parameters(), *embed.parameters()]
    right = torch.autograd.grad((embed(encoder(x)[-1]) * 2).sum(), leaves)
    encoder.calls = 0
    out = names["apply"](encoder, embed, x)
    assert encoder.calls == 1
    for a, b in zip(torch.autograd.grad(out.sum(), leaves, retain_graph=True), right, strict=True):
        assert torch.allclose(a, b)
    out.sum().backward()
    assert all(torch.allclose(p.grad, b) for p, b in zip(leaves, right, strict=True))


def test_a_part_of_theirs_may_be_replaced_by_one_of_ours(names):
    class Times(nn.Module):
        def forward(self, x):
            return 3 * x

    net = names["Net"](2)
    net.second = Times()
    net.first = nn.Identity()
    assert net(torch.ones(1, 2)).tolist() == [[3, 3]]
    assert list(net.parameters()) == []


def test_a_network_moves_to_another_device(names):
    net = names["Net"](2).to("meta")
    assert net(torch.empty(5, 2, device="meta")).shape == (5, 1)


# ---- what must not come in ---------------------------------------------------------------------


def read(told, buffers=()):
    def refuse(named):
        raise WireError("no references here")

    return Reader(list(buffers), refuse)(told)


@pytest.mark.parametrize(
    "told",
    [
        *(["pickle", 0], [], [1], ["list"], ["dict", 0, [[["list", 0, []], 1]]], ["same", 4]),
        *(["array", 0, 0, "O", [1]], ["array", 0, 0, "<f8", [99]], ["array", 0, 7, "<f8", [1]]),
        *(["array", 0, 0, "V8", [1]], ["tensor", 0, 0, "float32", [-3]], ["tensor", 0, 0, "x", []]),
        *(["record", "os", "system", {}], ["record", "ssl3d_lite.errors", "InputError", {}]),
        *(["record", "ssl3d_lite.course.build", "build_course", {}], ["record", "", "a b", {}]),
        *(["reference", "yours", 1], ["view", 0, [9], [1], 0], ["init__", 1], ["_noted", 1, 2]),
        *({"a": 1}, ["meta", "float32", [10**30]], ["dtype", "__class__"]),
    ],
)
def test_nothing_else_is_read(told):
    with pytest.raises(WireError):
        read(told, [b"12345678"])


def test_code_cannot_be_told():
    refused = Writer(lambda value: "referred to")
    assert refused([len, type, random]) == ["list", 0, ["referred to"] * 3]


@pytest.mark.parametrize("sent", [b"", b"{", b"[1, 2]", b"[1e9, {}]", b"[" * 100_000, b"[0, 3]"])
def test_no_message_is_one_error(sent):
    ours, theirs = Pipe()
    theirs.send_bytes(sent)
    theirs.close()
    with pytest.raises((WireError, EOFError)):
        receive_message(ours)


def test_a_message_may_not_be_endless():
    ours, theirs = Pipe()
    theirs.send_bytes(b"x" * 1000)
    with pytest.raises(WireError):
        receive_message(ours, most=999)


def test_of_the_tests_process_only_what_was_handed_over_can_be_called():
    ours, theirs = Pipe()
    tests = Endpoint(ours)
    tests.exported[1] = [1]
    nothing = {"grad": False, "told": ["list", 0, []]}
    for message in (
        {"do": "get", "on": 1, "told": "append"},
        {"do": "run", "told": "1"},
        {"do": "call", "on": 1, "name": "clear", **nothing},
        {"do": "call", "on": 2, "name": None, **nothing},
        {"do": "set", "on": 1, "told": ["list", 0, ["a", 1]]},
        {},
    ):
        tests._serve(message, [])
        reply, _ = receive_message(theirs)
        assert "error" in reply
    assert tests.exported == {1: [1]}


def test_the_largest_tensor_is_looked_for_where_it_is_made(names):
    def here(a, b):
        return (a[:, None] - b[None]).abs().sum(2).argmin(1)

    a, b = torch.ones(5, 3), torch.ones(7, 3)
    assert largest_tensor(here, a, b) == largest_tensor(names["table"], a, b) == 5 * 7 * 3
    assert largest_tensor(lambda x: x + 1, a) == 15
    with pytest.raises(RemoteError, match="size of tensor"):
        largest_tensor(names["table"], a, torch.ones(7, 2))
