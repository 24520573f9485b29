"""The study: arms × labels × seeds, with equal budgets, and what it says of the paper's claims.

``ssl3d.study("hippocampus")`` runs a study and writes its report; the names below are its parts.
"""

import sys
from types import ModuleType
from typing import Any

from .jobs import plan
from .notebook import show_claim, show_results
from .results import Results, load_results, load_stored
from .running import run_study
from .settings import Study, read_study, shipped_studies

__all__ = [
    "Results",
    "Study",
    "load_results",
    "load_stored",
    "plan",
    "read_study",
    "run_study",
    "shipped_studies",
    "show_claim",
    "show_results",
]


class _CallableModule(ModuleType):
    """A package that can be called.

    ``ssl3d.study`` is this package, since ``ssl3d.study.load_results`` should work. But it should
    be a function too, as ``ssl3d.pretrain`` and the command ``ssl3d study`` are. Python looks
    ``__call__`` up in the class of an object, so the module gets a class that has one.
    """

    def __call__(self, *args: Any, **changes: Any) -> Results:
        from .command import study  # the report needs matplotlib: not on import

        return study(*args, **changes)


sys.modules[__name__].__class__ = _CallableModule
