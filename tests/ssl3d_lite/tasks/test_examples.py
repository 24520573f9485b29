"""The examples in the docstrings of this room run, and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import ssl3d_lite.tasks
from ssl3d_lite.tasks import TASKS

MODULES = [m.name for m in pkgutil.iter_modules(ssl3d_lite.tasks.__path__, "ssl3d_lite.tasks.")]


@pytest.mark.parametrize("name", ["ssl3d_lite.tasks", *MODULES])
def test_examples_run(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert not failed


@pytest.mark.parametrize("name", TASKS)
def test_each_task_has_an_example(name):
    assert ">>> task = make_task(" in (TASKS[name].__doc__ or "")
