"""Whether a scan that is tested on was seen before, under whatever name.

A split keeps patients apart by their names. But a data set may hold one scan twice, and a corpus to
pretrain on may hold scans of the benchmark: what is the same picture or the same raw file is found
by its checksum.
"""

from collections.abc import Iterator, Sequence

from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import Cohort, Split
from ssl3d_lite.data.provenance import scan_marks
from ssl3d_lite.errors import InputError


def check_leakage(cohort: Cohort, split: Split, corpus: Cohort | None = None) -> None:
    """Raise InputError if a test or validation case stands among those trained on.

    Args:
        corpus: another cohort, all of which is pretrained on.
    """
    held_out = [cohort.cases[i] for i in (*split.test, *split.validation)]
    seen = [cohort.cases[i] for i in sorted({*split.train, *split.pretrain})]
    _compare(held_out, seen, cohort.name, patients=True)
    both = set(split.test) & set(split.validation)
    if both:
        raise InputError(f"leakage: {cohort.cases[min(both)].id} is tested on and chosen by")
    tested, chosen = ([cohort.cases[i] for i in side] for side in (split.test, split.validation))
    _compare(tested, chosen, f"{cohort.name}'s validation cases", patients=True)
    if corpus is not None:
        # another data set's patients may bear the same names by chance
        _compare(held_out, corpus.cases, corpus.name, patients=False)


def _compare(held_out: Sequence[Case], seen: Sequence[Case], where: str, patients: bool) -> None:
    known = {mark: case.id for case in seen for mark in marks(case, patients)}
    for case in held_out:
        for mark in marks(case, patients):
            if mark in known:
                raise InputError(
                    f"leakage: {case.id}, which is held out, is also among the scans of {where} "
                    f"that are trained on or chosen by, as {known[mark]} (same {mark[0]}); prepare "
                    "the cohort without one of them"
                )


def marks(case: Case, patients: bool) -> Iterator[tuple[str, str]]:
    """By what a case is known again."""
    if patients:
        yield "patient", case.patient
    yield from scan_marks(case)
