"""Somebody's weights, read from a file: every key is accounted for, and no code in it is run.

safetensors holds numbers alone. A ``.pt`` or ``.pth`` file is a pickle, and a pickle is a program:
it is read with ``weights_only=True``, which knows tensors and plain Python values, nothing else.

What wraps the weights is named in the call, or found and said: the entry of a training's checkpoint
that holds them ("state_dict"), and what its keys begin with ("module.", "net.").
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import say

from .encoders import load_weights

_NAMED = 4  # keys that a message names
_CODE = (
    "it holds more than weights, and reading that would run code. Where you trust it: "
    "torch.load(..., weights_only=False), then save the weights alone with safetensors.torch"
)


def load_foreign_weights(
    module: nn.Module,
    path: str | Path,
    *,
    entry: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    known: Collection[str] = (),
    place: str = "",
) -> None:
    """Put the weights of a file into ``module``, and account for every key of either.

    Args:
        path: a safetensors file, or one of ``torch.save``.
        entry: the entry of a checkpoint that holds the weights, such as "state_dict"; by default
            the only one that does.
        prefix: what comes before the module's own keys in the file, such as "module."; by default
            the only one with which all are there.
        ignore: what keys begin with, after ``prefix``, that are left out: a proxy task's heads.
        known: other keys that the file may have, and that are not read: those of the whole network.
        place: where ``module`` lies in the whole network, such as "encoder.".

    Raises:
        InputError: the file cannot be read without running code; a key is missing, is of another
            shape, or is one that nothing accounts for. All are named.

    Example::

        load_foreign_weights(unet, "Genesis_Chest_CT.pt", prefix="module.", ignore=["up_tr"])
    """
    path, wanted = Path(path), module.state_dict()
    weights = _entry_of(read_weights(path), entry, path)
    before = _prefix_of(weights, list(wanted), path) if prefix is None else prefix
    own = {key[len(before) :]: weights[key] for key in weights if key.startswith(before)}
    missing = [key for key in wanted if key not in own]
    if missing:
        raise InputError(f"{path} lacks {_some([before + key for key in missing])}")
    rest = [k for k in weights if not (k.startswith(before) and k.removeprefix(before) in wanted)]
    left = [k for k in rest if k.removeprefix(before).startswith(tuple(ignore))]
    outer = before.removesuffix(place)  # what comes before the keys of the whole network
    unread = [key for key in rest if key.removeprefix(outer) in known]
    strange = sorted(set(rest) - set(left) - set(unread))
    if strange:
        raise InputError(
            f"{path} has keys that are not in the network: {_some(strange)}; if they are "
            "parts to be left out, name what these begin with (ignore=[...])"
        )
    load_weights(module, {key: own[key] for key in wanted})
    if left or unread:
        say(f"{path}: {len(wanted)} weights are read, {len(left + unread)} are not: {_some(rest)}")


def read_weights(path: Path) -> dict[str, Any]:
    """What a file holds, read without running any code in it.

    Raises:
        InputError: there is none, it is damaged, or it holds more than weights.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise InputError(f"{path} is not read: {_CODE}") from None
    except Exception as reason:  # broken bytes raise almost anything; TorchScript a RuntimeError
        script = "TorchScript" in str(reason)
        way = "; open it with torch.jit.load, and give that to foreign_encoder" if script else ""
        why = " ".join(str(reason).split())
        raise InputError(f"{path} cannot be read as weights: {why}{way}") from None
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds a {type(found).__name__}, but must hold weights by name")
    return dict(found)


def _entry_of(found: dict[str, Any], entry: str | None, path: Path) -> dict[str, Tensor]:
    """The weights among what a checkpoint holds."""
    entries = {k: v for k, v in found.items() if isinstance(v, Mapping) and _tensors(v)}
    if entry is None and _tensors(found):
        return _tensors(found)
    if entry is None and len(entries) == 1:
        (entry,) = entries
        say(f"{path}: the weights are its entry {entry!r}")
    if entry not in entries:
        names = ", ".join(map(repr, entries)) or "none"
        which = "no weights" if entry is None and not entries else f"weights in these: {names}"
        raise InputError(f"{path} has {which}; name the one that is meant (entry=...)")
    return _tensors(entries[entry])


def _tensors(entries: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in entries.items() if isinstance(value, Tensor)}


def _prefix_of(weights: Mapping[str, Tensor], wanted: Sequence[str], path: Path) -> str:
    """What comes before ``wanted`` keys in a file that has them all."""
    first = wanted[0]
    ends = [key[: len(key) - len(first)] for key in weights if key.endswith(first)]
    having = [p for p in ends if (not p or p.endswith(".")) and _share(weights, wanted, p) == 1]
    if len(having) == 1:
        if having[0]:
            say(f"{path}: the network's keys begin with {having[0]!r}")
        return having[0]
    if having:
        several = " and ".join(map(repr, having))
        raise InputError(f"{path} has the network twice, after {several}; say which (prefix=...)")
    return max(ends, key=lambda p: _share(weights, wanted, p), default="")


def _share(weights: Mapping[str, Tensor], wanted: Sequence[str], prefix: str) -> float:
    return sum(prefix + key in weights for key in wanted) / len(wanted)


def _some(keys: Sequence[str]) -> str:
    """The first of some keys, and how many more there are."""
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
