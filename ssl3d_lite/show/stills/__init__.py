"""Still pictures of the views in the browser, for readers who run nothing.

Each function draws what a live view shows as a ``matplotlib.figure.Figure``.
"""
