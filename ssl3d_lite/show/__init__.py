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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
