"""Names of settings and columns that files of earlier versions still have, and what they are now.

This is the one place that knows them. A file is never rewritten: its names are changed as it is
read.
"""

from collections.abc import Mapping
from typing import Any

NEW_NAMES = {
    # a study: its settings, and the columns of its results
    "readings": "protocols",
    "reading": "protocol",
    "worthwhile": "min_effect",
    "fault": "failure",
    # training
    "recompute": "activation_checkpointing",
    "layout": "memory_format",
    "encoder_rate": "encoder_lr_scale",
    "frozen_steps": "freeze_encoder_steps",
    # the scores in a history
    "explained": "r2",
    "spread": "embedding_std",
}
NEW_NAMES_OF_TASKS = {  # one old name was used for several things
    "cpc": {"most": "max_patches", "ahead": "prediction_steps", "code": "embedding_dim"},
    "rotation": {"edge": "crop_size", "turns_per_scan": "rotations_per_scan"},
    "exemplar": {"edge": "crop_size", "turn": "rotation", "code": "embedding_dim"},
    "collapsed": {"edge": "crop_size", "turn": "rotation", "code": "embedding_dim"},
    "random": {"edge": "crop_size", "turns_per_scan": "rotations_per_scan"},
    "masked": {
        "edge": "crop_size",
        "block_edge": "block_size",
        "share": "mask_ratio",
        "code": "decoder_channels",
    },
    "tissue": {"edge": "crop_size", "code": "decoder_channels"},
}


def renamed(table: Mapping[str, Any], task: str = "") -> dict[str, Any]:
    """The same table with new names for old ones, in the tables inside it too.

    Args:
        task: the proxy task whose settings these are. A table that bears a task's name holds the
            settings of that task; so does a name that begins with it, as in "cpc most".

    Example::

        renamed({"tasks": {"cpc": {"most": 4}}})  # {"tasks": {"cpc": {"max_patches": 4}}}
    """
    return {_new_name(name, task): _renamed_value(name, value) for name, value in table.items()}


def renamed_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A U-Net's weights, by their names of today: its decoder was once no module of its own, and
    its last convolution stood alone."""
    new = {"ups.": "decoder.ups.", "blocks.": "decoder.blocks."}
    if "last.weight" in weights and weights["last.weight"].ndim > 2:  # not a classifier's
        new |= {"last.weight": "last.conv.weight", "last.bias": "last.conv.bias"}
    found = {}
    for name, weight in weights.items():
        old = next((each for each in new if name.startswith(each)), "")
        found[new.get(old, "") + name.removeprefix(old)] = weight
    return found


def _new_name(name: str, task: str) -> str:
    begin, space, rest = name.partition(" ")
    if space and begin in NEW_NAMES_OF_TASKS:
        return f"{begin} {_new_name(rest, begin)}"
    return NEW_NAMES_OF_TASKS.get(task, {}).get(name) or NEW_NAMES.get(name, name)


def _renamed_value(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return renamed(value, name.removeprefix("2d-"))
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        return [renamed(each) for each in value]
    return value
