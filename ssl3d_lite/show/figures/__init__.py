"""Figures for notebooks and reports, one kind a file, in one style (matplotlib).

Every function returns a ``matplotlib.figure.Figure`` made without pyplot, so nothing is kept open
and no display is needed. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""
