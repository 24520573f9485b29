"""Typical mistakes, data for the tests: one module an assignment, each with a list MISTAKES. Most
cost their whole part; SLIPS are those that leave its core right, and so cost some of the points."""

import ast
from dataclasses import dataclass
from textwrap import dedent, indent

from ssl3d_lite.course.sources import assignment_files, grade_id_of, read_assignment, without_marks


@dataclass(frozen=True)
class Mistake:
    name: str
    """off by one crop"""
    part: str
    """a1-2: what loses its points, and nothing else does."""
    code: str
    """What the student wrote in the part's solution cell, the whole cell."""


def mistake_in(assignment: int, name: str, part: int, *functions: str) -> Mistake:
    """A mistake whose cell holds ``functions``, which may be indented."""
    code = "\n\n".join(dedent(each).strip() for each in functions)
    return Mistake(name, f"a{assignment}-{part}", code)


def right_answers(assignment: int) -> dict[str, str]:
    """Function or class → its code in the assignment's own solution, indented."""
    found = {}
    for cell in read_assignment(assignment_files()[f"A{assignment}"]).notebook.cells:
        if (grade_id_of(cell) or "").endswith("-solution"):
            code = without_marks(cell.source)
            for node in ast.parse(code).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    found[node.name] = indent(ast.get_source_segment(code, node), " " * 4)
    return found


def changed(code: str, *changes: tuple[str, str]) -> str:
    """The right answer with some of its text replaced."""
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return code
