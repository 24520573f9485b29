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


def renamed(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same table with new names for old ones, in the tables inside it too."""
    return {
        NEW_NAMES.get(name, name): renamed(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
    }
