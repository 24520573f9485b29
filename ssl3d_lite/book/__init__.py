"""Notebooks to be given out, and the book: a static site of notebooks, pages and docstrings.

Start with sources.py, which says where both are read from.
"""
