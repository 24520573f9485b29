"""Bars of progress that are hidden in every process but the first, or when nobody wants them."""

from typing import Any


def hidden_if(condition: bool) -> dict[str, Any]:
    """Arguments that hide a bar of tqdm's where ``condition`` is true.

    Else there are none: tqdm obeys TQDM_DISABLE only where ``disable`` is not given.

    Example::

        tqdm(cases, desc="evaluate", **hidden_if(not progress))
    """
    return {"disable": True} if condition else {}
