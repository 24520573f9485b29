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


SLIPS = {
    "a1-1 the volume of a voxel read off the diagonal",
    "a1-1 a volume with a sign",
    "a1-1 one voxel at a time only",
    "a1-2 a permutation in place of its inverse",
    "a1-3 NaN where there is no contrast",
    "a1-3 whole numbers of 16 bits overflow",
    "a1-4 3D only",
    "a1-4 gaps are not refused",
    "a1-5 divided by the count, not by the weights",
    "a1-5 0 where nothing is known",
    "a1-5 weighted in place",
    "a1-5 3D only",
    "a1-6 an absent class counts 0",
    "a1-6 an absent class is skipped",
    "a1-6 classes counted in the label",
    "a2-1 negative quarters do nothing",
    "a2-2 too many copies are not refused",
    "a2-3 3D only",
    "a2-4 3D only",
    "a2-4 patches may leave their cells",
    "a2-5 jitter never reaches its end",
    "a2-5 no jitter",
    "a2-5 jitter from the global state",
    "a2-5 all patches of a scan moved alike",
    "a2-5 the same place may be asked about twice",
    "a2-5 13 is the centre in 2D, too",
    "a3-1 the mean distance in place of the smallest",
    "a3-1 the nearest candidate is taken",
    "a3-1 far from the last one alone",
    "a3-1 at random, without a search",
    "a3-1 always the same pool",
    "a3-1 more orders than there are",
    "a3-3 NaN for a piece of one value",
    "a3-3 normalised in place",
    "a3-3 3D only",
    "a3-4 borders along the first axis alone",
    "a3-4 the last axis is forgotten",
    "a3-4 three pieces an axis, whatever is asked",
    "a3-5 noise compared with scans, not with chance",
    "a3-5 any score above the mean of guessing counts",
    "a3-5 success on scans hides what noise says",
    "a3-5 a level of its own",
    "a4-1 no jitter left free",
    "a4-1 one patch too few",
    "a4-1 a large scan gets a large grid",
    "a4-1 a target past the end, from the far side of the grid",
    "a4-1 a target that is always forwards",
    "a4-1 a target that overlaps its context",
    "a4-1 a target that touches its context",
    "a4-1 a target one row too far",
    "a4-2 numbers looked up among the codes",
    "a4-2 a list of numbers only",
    "a4-3 a mask that stays on the CPU",
    "a4-3 2D only",
    "a4-4 exp overflows",
    "a4-4 the largest of the whole batch taken out",
}
"""Part and name of mistakes that leave the core of their part right."""
