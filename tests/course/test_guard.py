"""What a student's code replaced is restored and reported."""

import importlib.util

import numpy as np
import pytest
import torch

from ssl3d_lite.course import guard as shipped
from ssl3d_lite.course.flags import find_flags
from ssl3d_lite.tasks import geometry


@pytest.fixture
def guard(monkeypatch):
    """A guard of its own, which remembers nothing of other tests."""
    spec = importlib.util.spec_from_file_location("guard_copy", shipped.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.remember()
    return module


def test_nothing_changed_nothing_said(guard):
    space = {"x": torch.tensor([1.0, float("nan")]), "y": np.array(["a"], object), "z": len}
    guard.keep_given(space, ["x", "y", "z", "absent"])
    assert guard.restore(space) == []


def test_functions_of_libraries(guard, monkeypatch):
    right = (torch.equal, torch.nn.functional.relu, geometry.cut, torch.Tensor.sum)
    monkeypatch.setattr(torch, "equal", lambda *_: True)
    monkeypatch.setattr(torch.nn.functional, "relu", None)
    monkeypatch.setattr(geometry, "cut", lambda *_: 1)
    torch.Tensor.sum = lambda _: 15
    assert sorted(guard.restore({})) == [
        *("Tensor.sum", "ssl3d_lite.tasks.geometry.cut", "torch.equal", "torch.nn.functional.relu"),
    ]
    now = (torch.equal, torch.nn.functional.relu, geometry.cut, torch.Tensor.sum)
    assert now == right


def test_what_torch_itself_wraps_is_let_be(guard, monkeypatch):
    def manual_seed(seed):
        return None

    manual_seed.__module__ = "torch._dynamo.disable"
    monkeypatch.setattr(torch, "manual_seed", manual_seed)
    assert guard.restore({}) == []
    assert torch.manual_seed is manual_seed


def test_names_and_data_of_given_cells(guard):
    image, rows, helper = torch.arange(6.0), np.arange(3), lambda: 1
    space = {"image": image, "rows": rows, "helper": helper, "mine": 1}
    guard.keep_given(space, ["image", "rows", "helper"])
    image.mul_(7)
    rows[1] = 9
    space.update(helper=None, mine=2, rows=[])
    changed = guard.restore(space)
    assert changed == ["the values of image", "rows", "the values of rows", "helper()"]
    assert (space["helper"], space["mine"], space["rows"]) == (helper, 2, rows)
    assert image.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows.tolist() == [0, 1, 2]


def test_what_a_later_given_cell_says_counts(guard):
    space = {"size": 3}
    guard.keep_given(space, ["size"])
    space["size"] = 5
    guard.keep_given(space, ["size"])
    assert guard.restore(space) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(x):\n    return x * 2", []),
        ("import os\nos._exit(0)", ["_exit"]),
        ("torch.equal = lambda *a: True", ["torch.equal = …"]),
        ("import sys\nsys._getframe().f_back.f_locals", ["_getframe", "f_back", "f_locals"]),
        ("from ssl3d_lite.tasks.geometry import cut", ["ssl3d_lite.tasks.geometry.cut"]),
        ("from gc import get_objects", ["gc"]),
        ("print(In[-1])", ["In"]),
        ("def (", []),
        ("self.equal = 3", []),
    ],
)
def test_what_to_look_at(code, found):
    assert find_flags([code], []) == found
    assert find_flags([code], [code]) == []
