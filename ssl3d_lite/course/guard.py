"""What runs beside a student's code, in the same kernel, so that tests test what they should.

It puts back what a student's code replaced, by accident or not: functions of the library, of torch
and of Python, names and data that given cells define. It makes cheating harder, not impossible: in
one process everything can be reached.
"""

import builtins
import importlib
import math
import random
import sys
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

SIGNED = "application/x-ssl3d-signed"
MODULES = ("numpy", "torch", "torch.nn", "torch.nn.functional", "torch.linalg", "torch.testing")
CLASSES = (("torch", "Tensor"), ("torch.nn", "Module"))
OURS = "ssl3d_lite"
MOST = 50_000_000  # elements of an array that are worth a copy

_functions: dict[tuple[Any, str], Any] = {}  # (module or class, name) → what it was
_members: dict[type, set[str]] = {}  # class → names in it
_names: dict[str, tuple[Any, Any]] = {}  # name in the notebook → (object, copy of its content)
_shell: dict[str, Any] = {}


def begin(modules: Iterable[str] = ()) -> None:
    """Remember how things were before any student's code ran."""
    for name in (*MODULES, *modules):
        _watch(importlib.import_module(name))
    for module in (builtins, math, random):
        _watch(module)
    for module, name in CLASSES:
        _watch(getattr(importlib.import_module(module), name))
    _functions.pop((builtins, "input"))  # the kernel's own, another one in each cell
    _watch_ours()
    _watch_shell()


def keep(space: dict[str, Any], names: Iterable[str]) -> None:
    """Remember what the given cell that has just run calls ``names``."""
    _watch_ours()
    for name in names:
        if name in space:
            _names[name] = (space[name], _content(space[name]))


def put_back(space: dict[str, Any]) -> list[str]:
    """Everything as it was; returns what was not."""
    changed = []
    for (owner, name), value in list(_functions.items()):
        now = vars(owner).get(name)
        if now is value:
            continue
        if _same_library(owner, name, now):
            _functions[owner, name] = now  # torch wraps functions of its own when parts are loaded
        else:
            setattr(owner, name, value)
            changed.append(f"{getattr(owner, '__name__', owner)}.{name}")
    for kind, known in _members.items():  # a method that hides an inherited one
        for name in set(vars(kind)) - known:
            if any(name in vars(base) for base in kind.__mro__[1:]):
                delattr(kind, name)
                changed.append(f"{kind.__name__}.{name}")
    for name, (value, content) in _names.items():
        if space.get(name) is not value:
            space[name] = value
            changed.append(f"{name}()" if callable(value) else name)
        if content is not None and not _same(value, content):
            value[...] = content
            changed.append(f"the values of {name}")
    return changed + _restore_shell()


def sign(word: str) -> None:
    """Show that a cell has come to its end."""
    from IPython.display import publish_display_data

    publish_display_data({SIGNED: word})


def report(changed: list[str]) -> None:
    """Tell the grader what was put back."""
    from IPython.display import publish_display_data

    publish_display_data({SIGNED: "changed", "text/plain": "\n".join(changed[:20])})


# ---- what is remembered ------------------------------------------------------------------------


def _watch(owner: Any) -> None:
    if isinstance(owner, type):
        _members.setdefault(owner, set(vars(owner)))
    for name, value in vars(owner).items():
        if callable(value) or isinstance(value, classmethod | staticmethod | property):
            _functions.setdefault((owner, name), value)


def _watch_ours() -> None:
    """Modules of the library, as they are loaded, and the classes that they define."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == OURS and module is not None and (module, "") not in _functions:
            _functions[module, ""] = None  # seen
            _watch(module)
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    _watch(value)


def _same_library(owner: Any, name: str, value: Any) -> bool:
    root = getattr(owner, "__module__", None) or owner.__name__
    module = getattr(value, "__module__", None) or ""
    same = module.partition(".")[0] == root.partition(".")[0]
    return same and getattr(value, "__name__", None) == name


def _content(value: Any) -> Any:
    """A copy of an array's values; None for anything else, and for what is very large."""
    numpy, torch = sys.modules["numpy"], sys.modules["torch"]
    if isinstance(value, torch.Tensor) and not value.requires_grad and value.numel() <= MOST:
        return value.clone()
    if isinstance(value, numpy.ndarray) and value.size <= MOST and value.dtype != object:
        return value.copy()
    return None


def _same(value: Any, content: Any) -> bool:
    if value.shape != content.shape or value.dtype != content.dtype:
        return True  # what a given cell itself reshaped is let be
    different = value != content
    return not bool((different & ~((value != value) & (content != content))).any())  # NaN is NaN


# ---- IPython -----------------------------------------------------------------------------------

HOOKS = ("ast_transformers", "input_transformers_post", "input_transformers_cleanup")


def _watch_shell() -> None:
    shell = _ipython()
    if shell is None:
        return
    for kind in type(shell).__mro__[:3]:
        _watch(kind)
    _shell["own"] = set(vars(shell))
    for hook in HOOKS:
        _shell[hook] = copy(getattr(shell, hook, []))
    _shell["events"] = {name: list(calls) for name, calls in shell.events.callbacks.items()}


def _restore_shell() -> list[str]:
    shell, changed = _ipython(), []
    if shell is None or not _shell:
        return []
    for name in set(vars(shell)) - _shell["own"]:
        if isinstance(getattr(type(shell), name, None), Callable):
            delattr(shell, name)
            changed.append(f"get_ipython().{name}")
    for hook in HOOKS:
        if list(getattr(shell, hook, [])) != list(_shell[hook]):
            setattr(shell, hook, copy(_shell[hook]))
            changed.append(f"get_ipython().{hook}")
    return changed


def _ipython() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
