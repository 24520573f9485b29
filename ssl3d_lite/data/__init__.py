"""Prepared scans: the cohort, its splits and labels; where recipes are found; what is sound."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
