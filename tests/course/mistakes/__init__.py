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
    "a4-1 a target that may not touch its context",
    "a4-1 a target one row too far",
    "a4-2 numbers looked up among the codes",
    "a4-2 a list of numbers only",
    "a4-3 a mask that stays on the CPU",
    "a4-3 2D only",
    "a4-4 exp overflows",
    "a4-4 the largest of the whole batch taken out",
    "a4-5 a grid too short for a step fails",
    "a4-5 a bound below 0",
    "a4-5 a bound in bits",
    "a4-5 one scan too many",
    "a4-5 scans counted as latents",
    "a5-1 pretrained on unlabelled scans of tested patients",
    "a5-1 pretrained on training scans alone",
    "a5-1 scans without labels to train on",
    "a5-1 always the same seed",
    "a5-2 a failed run counts as 0",
    "a5-2 other numbers of labels overwrite each other",
    "a5-2 folds overwrite each other",
    "a5-2 summed over numbers of labels, not averaged",
    "a5-2 an unseeded bootstrap",
    "a5-2 a seed of its own",
    "a5-2 NumPy's global state",
    "a5-2 single differences, not their means",
    "a5-2 drawn without replacement",
    "a5-2 the standard error in place of an interval",
    "a5-2 5 % left out on each side",
    "a5-2 always 95 %",
    "a5-2 medians",
    "a5-3 a variance below zero",
    "a5-3 at most the patients' degrees of freedom, always",
    "a5-3 one seed has no scatter",
    "a5-3 three seeds are enough",
    "a5-3 the floor is not asked",
    "a5-3 ahead of the floor at all",
    "a5-3 cannot tell only if nothing else is said",
    "a5-3 leaving out failures decides",
    "a5-3 failures count for one side only",
    "a5-3 from the mean alone",
    "a5-3 not shown is refuted",
    "a5-3 refuted only if it harms",
    "a5-3 holds only if it is worth having",
    "a5-3 what is small does not hold",
    "a5-4 unequal pretraining is not seen",
    "a5-4 as many seeds are the same seeds",
    "a5-4 a run that stands there twice is not seen",
    "a5-4 seeds of any arm counted, not of all",
    "a5-4 no floor wanted",
    "a5-4 one kind of random encoder is enough",
    "a5-4 controls of one protocol serve the other",
    "a5-4 labels by their order",
    "a5-4 as many labels are the same labels",
    "a5-4 validation labels are not counted",
    "a5-4 leaks by scan, not by patient",
    "a5-4 unlabelled test scans do no harm",
    "a5-4 other test scans are not seen",
    "a5-6 rows of other settings mixed in",
    "a5-6 failed runs kept",
    "a5-6 scores that are no number kept",
    "a5-6 duplicates kept",
    "a5-6 the first of duplicates counts",
    "a5-6 spread divided by n",
    "a5-6 the standard error in place of the spread",
    "a5-6 scores of all protocols averaged",
    "a5-6 the difference of the means, not the mean of the pairs",
    "a5-6 the interval of the scores, not of the differences",
    "a5-6 pairs by the order of the rows",
    "a5-6 numbers of labels mixed",
    "a5-6 verdict from the mean alone",
    "a5-6 a verdict from three seeds",
    "a5-6 folds counted as seeds",
    "a5-6 a level of its own",
    "a5-6 one pair has an interval",
    "a6-1 a constant feature is divided by zero",
    "a6-1 a constant feature is blown up",
    "a6-1 a constant feature counts where it is asked",
    "a6-2 all distances at once",
    "a6-2 of equals the last one",
    "a6-3 the smallest of tied classes",
    "a6-3 of tied classes the one with the farthest voter",
    "a6-3 the last of tied classes",
    "a6-4 the weight is not rooted",
    "a6-4 sums, not means",
    "a6-4 features always count in full",
    "a6-4 the weights are exchanged",
    "a6-5 x[:-0] is empty",
    "a6-5 the step taken away where it should be added",
    "a6-5 the same position in both",
    "a6-5 numbered in the scan, not in the crop",
    "a6-6 a constant feature is blown up",
    "a6-6 a constant feature is divided by zero",
    "a7-1 all protocols",
    "a7-1 all numbers of labels",
    "a7-1 failed runs count",
    "a7-1 seeds of either side",
    "a7-1 patients of one run",
    "a7-1 patients as they come",
    "a7-2 the error is not squared",
    "a7-2 the number of patients",
    "a7-2 seeds alone",
    "a7-3 validation does not count",
    "a7-3 the kinds are exchanged",
    "a7-3 rows taken for columns",
    "a7-3 the mean of nothing",
    "a7-4 step 0 is none",
    "a7-4 only if all runs chose",
    "a7-4 as the name says",
    "a7-4 probes count",
    "a7-5 a failed run scores 0",
    "a7-5 a score of 0 is none",
    "a7-6 one seed has no deviation",
    "a7-7 nothing left is a refutation",
    "a7-7 not above w, so it does not hold",
    "a7-7 one best seed is pooled, too",
    "a7-7 any stronger baseline is worth a word",
}
"""Part and name of mistakes that leave the core of their part right."""
