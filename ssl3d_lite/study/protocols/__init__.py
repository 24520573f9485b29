"""Protocols: each scores one encoder in its own way, and returns rows of results.

A new protocol is one new file in this folder, and one line in ``PROTOCOLS``. The file has a
:class:`Protocol` which says what is known of it before it runs. ``probing.py`` is a short example.
"""

from importlib import import_module

from ssl3d_lite.errors import unknown

from .base import Protocol

__all__ = ["COMES_WITH", "PROTOCOLS", "Protocol", "load_protocol", "protocol_names"]

PROTOCOLS = {  # name → file of this folder and the Protocol in it, which is loaded when it is used
    "finetune": "finetuning:FINETUNE",
    "frozen": "finetuning:FROZEN",
    "probe": "probing:PROBE",
    "probe+place": "probing:PROBE_WITH_PLACE",
    "neighbours": "neighbours:NEIGHBOURS",
    "convergence": "finetuning:CONVERGENCE",
    "proxy": "proxy:PROXY",
}
COMES_WITH = {"convergence": "finetune", "probe+place": "probe"}
"""Protocols whose rows are made by the runs of another, and fail with them."""


def protocol_names() -> list[str]:
    """The protocols that a study may name. "proxy" is none of them: it always runs."""
    return [name for name in PROTOCOLS if name != "proxy"]


def load_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        InputError: no such protocol; names the nearest.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    file, _, found = PROTOCOLS[name].partition(":")
    return getattr(import_module(f"{__name__}.{file}"), found)
