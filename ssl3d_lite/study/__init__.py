"""The study: arms × labels × seeds, with equal budgets, and what it says of the paper's claims."""

from .running import load_results, run_study
from .settings import Study, read_study, shipped_studies

__all__ = ["Study", "load_results", "read_study", "run_study", "shipped_studies"]
