"""Restores what a student's code replaced, so that tests test what they should.

It runs beside the student's code, in the same kernel. Before each test it restores functions of the
library, of torch and of Python, and the names and data that given cells define, whether they were
replaced by accident or not. It makes cheating harder, not impossible: within one process
everything can be reached. No library does this: mocking tools (``unittest.mock``) undo changes
that they made themselves, and here somebody else makes them.
"""

import builtins
import importlib
import math
import random
import sys
from collections.abc import Iterable
from copy import copy
from typing import Any

SIGNED = "application/x-ssl3d-signed"
_MODULES = ("numpy", "torch", "torch.nn", "torch.nn.functional", "torch.linalg", "torch.testing")
_CLASSES = (("torch", "Tensor"), ("torch.nn", "Module"))
_OURS = "ssl3d_lite"
_MAX_ELEMENTS = 50_000_000  # elements; of larger arrays no copy is kept

_functions: dict[tuple[Any, str], Any] = {}  # (module or class, name) → what it was
_members: dict[type, set[str]] = {}  # class → names in it
_names: dict[str, tuple[Any, Any]] = {}  # name in the notebook → (object, copy of its content)
_shell: dict[str, Any] = {}


def remember(modules: Iterable[str] = ()) -> None:
    """Remember the state of things before any student's code has run."""
    for name in (*_MODULES, *modules):
        _watch(importlib.import_module(name))
    for module in (builtins, math, random):
        _watch(module)
    for home, name in _CLASSES:
        _watch(getattr(importlib.import_module(home), name))
    _functions.pop((builtins, "input"))  # the kernel's own, another one in each cell
    _watch_ours()
    _watch_shell()


def keep_given(space: dict[str, Any], names: Iterable[str]) -> None:
    """Remember the objects that the given cell that has just run calls ``names``."""
    _watch_ours()
    for name in names:
        if name in space:
            _names[name] = (space[name], _content(space[name]))


def restore(space: dict[str, Any]) -> list[str]:
    """Restore everything; returns the names of what had been changed."""
    return [
        *_restore_functions(),
        *_remove_new_methods(),
        *_restore_names(space),
        *_restore_shell(),
    ]


def sign(token: str) -> None:
    """Show the grader that a cell has come to its end, by a token that only it knows."""
    from IPython.display import publish_display_data

    publish_display_data({SIGNED: token})


def report(changed: list[str]) -> None:
    """Show the grader the names of what was restored."""
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
        if (
            name.partition(".")[0] == _OURS
            and module is not None
            and (module, "") not in _functions
        ):
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
    if (
        isinstance(value, torch.Tensor)
        and not value.requires_grad
        and value.numel() <= _MAX_ELEMENTS
    ):
        return value.clone()
    if isinstance(value, numpy.ndarray) and value.size <= _MAX_ELEMENTS and value.dtype != object:
        return value.copy()
    return None


def _same(value: Any, content: Any) -> bool:
    if value.shape != content.shape or value.dtype != content.dtype:
        return True  # a given cell may reshape its own data
    different = value != content
    return not bool((different & ~((value != value) & (content != content))).any())  # NaN is NaN


# ---- what is restored --------------------------------------------------------------------------


def _restore_functions() -> list[str]:
    changed = []
    for (owner, name), value in list(_functions.items()):
        now = vars(owner).get(name)
        if now is value:
            continue
        if _same_library(owner, name, now):
            _functions[owner, name] = now  # torch wraps its own functions when it loads parts
        else:
            setattr(owner, name, value)
            changed.append(f"{getattr(owner, '__name__', owner)}.{name}")
    return changed


def _remove_new_methods() -> list[str]:
    """Methods that were added to a class and hide inherited ones."""
    changed = []
    for kind, known in _members.items():
        for name in set(vars(kind)) - known:
            if any(name in vars(base) for base in kind.__mro__[1:]):
                delattr(kind, name)
                changed.append(f"{kind.__name__}.{name}")
    return changed


def _restore_names(space: dict[str, Any]) -> list[str]:
    """Names of given cells in the notebook's namespace, and the values of their arrays."""
    changed = []
    for name, (value, content) in _names.items():
        if space.get(name) is not value:
            space[name] = value
            changed.append(f"{name}()" if callable(value) else name)
        if content is not None and not _same(value, content):
            value[...] = content
            changed.append(f"the values of {name}")
    return changed


# ---- IPython -----------------------------------------------------------------------------------

_HOOKS = ("ast_transformers", "input_transformers_post", "input_transformers_cleanup")


def _watch_shell() -> None:
    shell = _ipython()
    if shell is None:
        return
    for kind in type(shell).__mro__[:3]:
        _watch(kind)
    _shell["own"] = set(vars(shell))
    for hook in _HOOKS:
        _shell[hook] = copy(getattr(shell, hook, []))
    _shell["events"] = {name: list(calls) for name, calls in shell.events.callbacks.items()}


def _restore_shell() -> list[str]:
    shell, changed = _ipython(), []
    if shell is None or not _shell:
        return []
    for name in set(vars(shell)) - _shell["own"]:
        if callable(getattr(type(shell), name, None)):
            delattr(shell, name)
            changed.append(f"get_ipython().{name}")
    for hook in _HOOKS:
        if list(getattr(shell, hook, [])) != list(_shell[hook]):
            setattr(shell, hook, copy(_shell[hook]))
            changed.append(f"get_ipython().{hook}")
    return changed


def _ipython() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
