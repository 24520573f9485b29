"""Course assignments that grade themselves: built from their sources, graded in a jail.

Everything here but ``jail`` and ``reader`` wants the extra ``course`` (nbgrader).
"""
