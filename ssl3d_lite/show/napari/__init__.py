"""napari: a scan and a puzzle as layers, a review of many puzzles, and a plugin.

The import ``import napari`` below this folder means napari itself.
"""
