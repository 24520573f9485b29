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
    "encoder_rate": "encoder_lr_scale",
}
_BOX = {"edge": "crop_size"}
_DECODER = {"code": "decoder_channels"}
TASK_SETTINGS = {  # old names that mean something else elsewhere: a recipe has an edge too
    "cpc": {"most": "max_patches", "ahead": "prediction_steps", "code": "embedding_dim"},
    "rotation": _BOX | {"turns_per_scan": "rotations_per_scan"},
    "random": _BOX | {"turns_per_scan": "rotations_per_scan"},
    "exemplar": _BOX | {"code": "embedding_dim", "turn": "rotation"},
    "collapsed": _BOX | {"code": "embedding_dim", "turn": "rotation"},
    "masked": _BOX | _DECODER | {"block_edge": "block_size", "share": "mask_ratio"},
    "tissue": _BOX | _DECODER,
}


def renamed(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same table with new names for old ones, in the tables inside it too.

    In a table named ``tasks``, tables of a task (``cpc``, or ``2d-cpc`` for slices) have its own.
    """
    result = {}
    for name, value in table.items():
        if name == "tasks" and isinstance(value, Mapping):
            value = {task: _task_settings(task, settings) for task, settings in value.items()}
        inner = renamed(value) if isinstance(value, Mapping) else value
        result[NEW_NAMES.get(name, name)] = inner
    return result


def _task_settings(task: str, settings: Any) -> Any:
    known = TASK_SETTINGS.get(task.removeprefix("2d-"), {})
    if not isinstance(settings, Mapping):
        return settings
    return {known.get(name, name): value for name, value in settings.items()}
