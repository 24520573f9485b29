"""Settings that recipes share, and what a recipe says about its data set.

A recipe's own settings are a frozen dataclass that inherits what it needs from here. The docstring
under a field is its help on the command line.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from ssl3d_lite.machine.parallel import Workforce
from ssl3d_lite.settings import CheckedSettings, Ge, Seed

from .folds import FEWEST_FOLDS


@dataclass(frozen=True)
class About:
    """What ``--help`` and ``ssl3d data`` say about a data set."""

    title: str
    terms: str  # how one gets access, in two or three words
    access: str  # how to get the raw files, step by step
    licence: str
    citation: str
    size: str  # on disk: raw, and prepared
    time: str  # to prepare it, and on what
    example: str = ""  # settings that an example of the command has, beside those that are needed

    def text(self, does: str, defaults: str = "") -> str:
        """For ``--help``: what the recipe does, and all that is known of the data set."""
        facts = {
            "Defaults": defaults,
            "Access": self.access,
            "Licence": self.licence,
            "Size": self.size,
            "Time": self.time,
            "Cite": self.citation,
        }
        lines = [f"{name}: {fact}." for name, fact in facts.items() if fact]
        return "\n\n".join([f"{self.title}.", does, *lines])


@dataclass(frozen=True, kw_only=True)
class Into(CheckedSettings):
    """Where the cohort goes. A recipe names this base last, so that its help begins with it."""

    about: ClassVar[About]

    out: Path
    """Folder for the prepared cohort."""


@dataclass(frozen=True, kw_only=True)
class FromRaw(Into):
    """Where the raw files are, and where the cohort goes."""

    raw: Path
    """Folder that the raw files lie in, at any depth."""


@dataclass(frozen=True, kw_only=True)
class FoldSettings(Workforce):
    """How patients are assigned to folds."""

    folds: Annotated[int, Ge(FEWEST_FOLDS)] = 5
    """Number of folds that patients are assigned to, once and for all."""

    seed: Seed = 0
    """Number that the folds are drawn from."""
