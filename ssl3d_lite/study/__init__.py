"""The study: arms × labels × seeds, with equal budgets, and what it says of the paper's claims."""

from .notebook import plan, show_claim, show_results
from .running import load_results, run_study
from .settings import Study, read_study, shipped_studies

__all__ = [
    "Study",
    "load_results",
    "plan",
    "read_study",
    "run_study",
    "shipped_studies",
    "show_claim",
    "show_results",
]
