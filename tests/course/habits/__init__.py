"""Right answers by other habits than the model's, data for the tests: one module an assignment.

Each has a list ANSWERS. An item is one student's, {part: code}; other parts are answered by the
model. Loops instead of indexing, NumPy instead of torch, lists and float64 where the text allows
them.
"""

from textwrap import dedent

from course.mistakes import changed, right_answers

__all__ = ["changed", "code", "right_answers"]


def code(*functions: str) -> str:
    """A solution cell that holds ``functions``, which may be indented."""
    return "\n\n\n".join(dedent(each).strip() for each in functions) + "\n"
