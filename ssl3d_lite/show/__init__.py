"""Everything that is seen: figures, views in the browser, layers in napari, a page about a cohort.

A notebook needs this one import; each name is loaded when it is first used::

    from ssl3d_lite import show

    show.Slices(image, label)           # three planes in the browser
    show.puzzle(volumes, batch)         # a figure of what a proxy task shows the network
    show.Puzzle3D(volumes, batch)       # the same in 3D

So importing it costs nothing: matplotlib, the notebooks' widgets and napari come with the names
that need them. Reports of studies, of the course and of benchmarks draw with the same functions.
Nothing here trains a network or changes what training computes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .browser.live import Live
    from .browser.puzzle3d import Puzzle3D
    from .browser.scan3d import Volume3D
    from .browser.slices import Slices, puzzle_slices
    from .cohort_page import CohortPage, write_cohort_page
    from .figures.confusion import confusion
    from .figures.contact_sheet import contact_sheet, grade_counts, intensities
    from .figures.curves import (
        GREY,
        Effect,
        bands,
        forest,
        label_efficiency,
        learning_curves,
        tidy,
    )
    from .figures.planes import PLANE_NAMES, draw_plane, overlay_classes
    from .figures.puzzle import puzzle
    from .figures.pyramid import pyramid
    from .figures.segmentations import segmentations
    from .figures.shuffled import shuffled_pieces
    from .figures.triplets import triplets
    from .figures.turns import turns
    from .napari.layers import add_scan
    from .napari.open import open_puzzle
    from .napari.puzzle import add_puzzle
    from .napari.review import review
    from .pieces import COLOURS, Piece, pieces_of
    from .source_code import source
    from .words import place_names, turn_names

_HOME = {  # module, within this folder → the names that it gives
    "browser.live": ["Live"],
    "browser.puzzle3d": ["Puzzle3D"],
    "browser.scan3d": ["Volume3D"],
    "browser.slices": ["Slices", "puzzle_slices"],
    "cohort_page": ["CohortPage", "write_cohort_page"],
    "figures.confusion": ["confusion"],
    "figures.contact_sheet": ["contact_sheet", "grade_counts", "intensities"],
    "figures.curves": [
        "Effect",
        "GREY",
        "bands",
        "forest",
        "label_efficiency",
        "learning_curves",
        "tidy",
    ],
    "figures.planes": ["PLANE_NAMES", "draw_plane", "overlay_classes"],
    "figures.puzzle": ["puzzle"],
    "figures.pyramid": ["pyramid"],
    "figures.segmentations": ["segmentations"],
    "figures.shuffled": ["shuffled_pieces"],
    "figures.triplets": ["triplets"],
    "figures.turns": ["turns"],
    "napari.layers": ["add_scan"],
    "napari.open": ["open_puzzle"],
    "napari.puzzle": ["add_puzzle"],
    "napari.review": ["review"],
    "pieces": ["COLOURS", "Piece", "pieces_of"],
    "source_code": ["source"],
    "words": ["place_names", "turn_names"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "COLOURS",
    "GREY",
    "PLANE_NAMES",
    "CohortPage",
    "Effect",
    "Live",
    "Piece",
    "Puzzle3D",
    "Slices",
    "Volume3D",
    "add_puzzle",
    "add_scan",
    "bands",
    "confusion",
    "contact_sheet",
    "draw_plane",
    "forest",
    "grade_counts",
    "intensities",
    "label_efficiency",
    "learning_curves",
    "open_puzzle",
    "overlay_classes",
    "pieces_of",
    "place_names",
    "puzzle",
    "puzzle_slices",
    "pyramid",
    "review",
    "segmentations",
    "shuffled_pieces",
    "source",
    "tidy",
    "triplets",
    "turn_names",
    "turns",
    "write_cohort_page",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used.

    Raises:
        AttributeError: there is no such name; names the nearest.
    """
    if name not in _MODULE_OF:
        from difflib import get_close_matches

        near = get_close_matches(name, _MODULE_OF, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
