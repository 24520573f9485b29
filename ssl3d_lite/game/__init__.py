"""The first ten minutes of the course: a page in which one plays against networks.

``play.py`` trains them on virtual heads and writes the page. The game itself is a view in the
browser, ``ssl3d_lite/show/browser/game.py``, and can be played against any encoder.
"""
