# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,nbgrader,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 5: a fair study
#
# **You will show that you can:** split scans so that nothing leaks; compare two arms by paired
# differences and say what they allow to be said; tell a fair study from an unfair one; lay out a
# study of your own; read its results; and defend one claim from them, whichever way it falls.
#
# **Time:** three to four hours, some minutes of which the study runs. **Read first:** notebooks 11
# (fine-tuning) and 13 (shortcuts and leakage). **Points:** 100, in seven parts. The last one is
# read by a person.
#
# | part | what you write | points |
# |---|---|---|
# | 1 | a split by patients | 12 |
# | 2 | paired differences, and a bootstrap of them | 14 |
# | 3 | an interval over seeds and patients, and a verdict | 10 |
# | 4 | a judge of unfair studies | 14 |
# | 5 | your own study, and your claim | 10 |
# | 6 | what its results.csv says | 10 |
# | 7 | your claim, defended | 30 |
#
# **How it works.** Write your code where it says `YOUR CODE HERE` and take out the line that raises
# `NotImplementedError`. The cell behind each part checks it and says what is wrong. The grader
# runs the same checks and some more, with other numbers, sizes and seeds, so do not write for the
# examples. Keep names and arguments as they are. Changes to the check cells are undone before
# grading. The parts do not depend on each other: a part that you cannot solve costs its own points
# and no others. Before you hand in: *Kernel → Restart and run all*.
# That goes on past checks that fail. The grader gives your notebook five minutes at the scale
# `smoke`, a cell 75 seconds, and all cells that you added half of the time together. So take long
# experiments out, or put them behind `if scale() != "smoke":`.
#
# What must be right everywhere: a function never changes what it is given.

# %%
# %matplotlib inline

# %%
import csv
import io
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from scipy import stats

from ssl3d_lite import show
from ssl3d_lite.data.cohort import Split
from ssl3d_lite.data.opening import open_cohort, scale
from ssl3d_lite.study import read_study, run_study

cohort = open_cohort("hippocampus", cases={"smoke": 20, "class": 60, "full": 200}[scale()])

# %% [markdown]
# ## Part 1: a split by patients (12 points)
#
# Two scans of one patient are more alike than scans of two. If one is trained on and the other
# tested on, the score tells how well the patient is remembered. So **patients** are split, and
# their scans follow. Pretraining needs no labels, but it learns what scans look like, so it must
# not see a test scan either. And what is chosen by validation scans has seen those: they are kept
# apart as well.
#
# Write `split_patients`. Scans have a `patient` and are `labelled` or not; the cases of a cohort
# are such.
#
# - The patients with **at least one labelled scan** are dealt by chance to `folds` folds, so that
#   the numbers of patients in two folds differ by one at most.
# - The patients of fold `fold` are tested on. Those of the next fold are for validation; after the
#   last fold comes fold 0. All others are for training.
# - `test`, `validation` and `train` hold the **labelled** scans of these patients.
# - `pretrain` holds **every** scan, labelled or not, of every patient who is neither tested on nor
#   for validation. So it has the training scans, their patients' scans without labels, and all
#   scans of patients who have no label at all.
#
# An unlabelled scan of a patient who is tested on stands nowhere. Where a patient comes to depends
# on the names of the patients and on the seed alone: not on the order of the scans, not on which
# fold is asked for, and not on any global random state. So over all folds, every patient is tested
# on once.
#
# **Think before you write:** five patients out of ten have two scans. You deal *scans* to five
# folds. How likely is it that all pairs stay together?
#
# <details><summary>Hint: the same names, the same deal</summary>
#
# A `set` of names has no order that you could rely on: it differs from one start of Python to the
# next. Sort the names, then shuffle them with `np.random.default_rng(seed)`.
#
# </details>
#
# <details><summary>Hint: even folds</summary>
#
# Deal like cards: the shuffled patient number $i$ comes to fold $i \bmod F$.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a5-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_patients(scans, fold, folds, seed):
    """Say which scans are trained on, chosen by, tested on and pretrained on.

    Args:
        scans: a list; each has ``.patient``, a name, and ``.labelled``, true or false.
        fold: the fold that is tested on, 0 to folds - 1.
        folds: how many there are, at least 3.
        seed: an integer, the only source of chance.

    Returns:
        ``Split(train=…, validation=…, test=…, pretrain=…)``: tuples of positions in ``scans``.
    """
    ### BEGIN SOLUTION
    patients = sorted({scan.patient for scan in scans if scan.labelled})
    dealt = np.random.default_rng(seed).permutation(patients)
    fold_of = {str(patient): number % folds for number, patient in enumerate(dealt)}
    after = (fold + 1) % folds

    def labelled(wanted):
        return tuple(
            n for n, s in enumerate(scans) if s.labelled and wanted(fold_of.get(s.patient))
        )

    return Split(
        train=labelled(lambda f: f not in (fold, after)),
        validation=labelled(lambda f: f == after),
        test=labelled(lambda f: f == fold),
        pretrain=tuple(
            n for n, s in enumerate(scans) if fold_of.get(s.patient) not in (fold, after)
        ),
    )
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a5-1-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
import random
from dataclasses import dataclass

import numpy as np
import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()

SIDES = ("train", "validation", "test", "pretrain")


@dataclass(frozen=True)
class Scan:
    patient: str
    labelled: bool


def some_scans(patients, most, seed, bare=0):
    """Patients with one to `most` scans, of which some have no label; `bare` have none at all."""
    rng, scans = np.random.default_rng(seed), []
    for number in range(patients + bare):
        for visit in range(rng.integers(1, most + 1)):
            labelled = number < patients and (visit == 0 or rng.random() < 0.5)
            scans.append(Scan(f"patient {number:02}", bool(labelled)))
    return [scans[n] for n in rng.permutation(len(scans))]


def sides_of(scans, fold, folds, seed):
    split = split_patients(scans, fold, folds, seed)
    sides = {side: list(getattr(split, side)) for side in SIDES}
    for side, cases in sides.items():
        assert len(set(cases)) == len(cases), f"{side} names a scan twice: {sorted(cases)}"
    return sides


@checks
def check_sides(scans, fold, folds, seed):
    what = f"fold {fold} of {folds}, seed {seed}"
    sides = sides_of(scans, fold, folds, seed)
    who = {side: {scans[n].patient for n in cases} for side, cases in sides.items()}
    for one, other in (
        ("test", "train"),
        ("test", "pretrain"),
        ("validation", "train"),
        ("validation", "pretrain"),
        ("test", "validation"),
    ):
        both = sorted(who[one] & who[other])
        assert not both, f"{what}: {both[0]} stands in {one} and in {other}: that leaks"
    for side in SIDES[:3]:
        blank = [n for n in sides[side] if not scans[n].labelled]
        assert not blank, f"{what}: scan {blank[:1]} has no label, so it cannot be in {side}"
        every = {n for n, s in enumerate(scans) if s.labelled and s.patient in who[side]}
        lost = sorted(every - set(sides[side]))
        assert not lost, (
            f"{what}: scan {lost[0]} has a label, and its patient is in {side}, but it is not"
        )
    named = {s.patient for s in scans if s.labelled}
    nowhere = sorted(named - who["train"] - who["validation"] - who["test"])
    assert not nowhere, f"{what}: {nowhere[:1]} has labels, but stands on no side"
    held_out = who["test"] | who["validation"]
    free = {n for n, s in enumerate(scans) if s.patient not in held_out}
    lost = sorted(free - set(sides["pretrain"]))
    assert not lost, (
        f"{what}: scan {lost[0]} of {scans[lost[0]].patient} "
        f"({'labelled' if scans[lost[0]].labelled else 'without a label'}) "
        "could be pretrained on without any leak, and is not"
    )
    return who


@checks
def check_split(patients, most, folds, seed, bare=0):
    scans = some_scans(patients, most, seed, bare)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    found = [check_sides(scans, fold, folds, seed) for fold in range(folds)]
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[2], (
        "a global random state has changed: draw from a generator of your own"
    )
    assert (np.random.get_state()[1] == before[1]).all(), (
        "NumPy's global random state has changed: draw from np.random.default_rng(seed)"
    )
    tested = [patient for who in found for patient in sorted(who["test"])]
    twice = sorted({p for p in tested if tested.count(p) > 1})
    assert not twice, f"{folds} folds: {twice[0]} is tested on in more than one"
    assert len(tested) == patients, f"{folds} folds: {patients - len(tested)} are never tested on"
    counts = [len(who["test"]) for who in found]
    assert max(counts) - min(counts) <= 1, f"folds of {counts} patients: they should be even"
    for fold in range(folds):
        after = (fold + 1) % folds
        assert found[fold]["validation"] == found[after]["test"], (
            f"with fold {fold} to test on, fold {after} should be for validation"
        )
    turned = scans[::-1]
    again = check_sides(turned, 0, folds, seed)
    assert again["test"] == found[0]["test"], (
        "the same scans in another order, the same seed: other patients are tested on"
    )
    return found[0]["test"]


@checks
def check_seeds(*seeds):
    drawn = [check_split(patients=10, most=1, folds=5, seed=seed) for seed in seeds]
    assert any(each != drawn[0] for each in drawn), (
        "four seeds should not all test the same patients"
    )


for seed in range(3):
    check_split(patients=11, most=3, folds=4, seed=seed, bare=2)
    check_split(patients=10, most=1, folds=5, seed=seed)
check_seeds(3, 4, 5, 6)
### BEGIN HIDDEN TESTS
with checks.core():
    for seed in range(10, 16):
        check_split(patients=20, most=1, folds=5, seed=seed)
with checks.further("patients with several scans, some of them without labels"):
    for seed in range(10, 16):
        check_split(patients=23, most=4, folds=5, seed=seed, bare=3)
        check_split(patients=40, most=2, folds=10, seed=seed, bare=1)
with checks.further("as many folds as patients"):
    for seed in range(10, 16):
        check_split(patients=3, most=2, folds=3, seed=seed)
with checks.further("what chance decides"):
    often = [check_split(patients=6, most=1, folds=3, seed=seed) for seed in range(20, 60)]
    for number in range(6):
        times = sum(f"patient {number:02}" in tested for tested in often)
        assert 3 <= times <= 27, f"of 40 seeds, one patient is tested on with {times}, not some 13"
### END HIDDEN TESTS
checks.end(points=12)

# %% [markdown]
# A cohort's cases can be given to it as they are. The library has its own check for leaks, by
# patients and by checksums, and a split by scans does not pass it. To see that, let us say that
# every two scans in a row are one patient's:

# %% tags=["show"]
from dataclasses import replace

from ssl3d_lite.errors import InputError
from ssl3d_lite.study.leakage import check_leakage

twins = replace(
    cohort, cases=tuple(replace(c, patient=f"p{n // 2:02}") for n, c in enumerate(cohort.cases))
)
by_scan = [replace(case, patient=case.id) for case in twins.cases]
for name, cases in (("by patients", twins.cases), ("by scans", by_scan)):
    try:
        check_leakage(twins, split_patients(list(cases), 0, 5, seed=0))
        print(f"split {name}: nothing leaks")
    except InputError as reason:
        print(f"split {name}: {reason}")

# %%
# from here on the library's own: folds were dealt when the cohort was made
split = cohort.split(fold=0)

# %% [markdown]
# ## Part 2: paired differences, and a bootstrap of them (14 points)
#
# Scores scatter from seed to seed: other scans have labels, the decoder starts elsewhere. In a
# paired study both arms share that luck: with seed $s$ they have the same labelled scans, the same
# start and the same order of batches. So look at the differences,
#
# $$d_s = a_s - b_s,$$
#
# in which the common luck is gone. Write `paired`. Results are rows, dictionaries such as
# `{"labels": "2", "seed": 0, "fold": 0, "score": 0.61}` (a real row has more entries). Scores of
# two arms are compared at the same number of `labels`, the same `seed` and the same `fold`; nothing
# else makes a pair, least of all the order of the rows. Where a seed and fold have pairs at several
# numbers of labels, their differences are averaged. What only one side has is left out; a run that
# failed has the score `None`, and is none.
#
# Then `bootstrap`, the percentile interval of the mean difference. From the $n$ differences draw
# $n$, *with* replacement, and take their mean; do so `draws` times. Of these means, the interval
# leaves out $(1 - \text{confidence})/2$ on each side. It is an interval of the **mean difference**:
# not of single differences, and not of either arm.
#
# **Think before you write:** of three differences, how often does a draw consist of the smallest
# one alone? Is that more or less than 2.5 %? So what are the ends of the 95 % interval?
#
# <details><summary>Hint</summary>
#
# `rng.choice(values, (draws, len(values)))` is all draws at once, and `np.quantile` cuts.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a5-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def paired(ours, theirs):
    """Differences of two arms, pair by pair.

    Args:
        ours, theirs: lists of rows with "labels", "seed", "fold" and "score".

    Returns:
        {(seed, fold): difference}, positive where ours is ahead.
    """

    ### BEGIN SOLUTION
    def scores(rows):
        return {
            (row["labels"], row["seed"], row["fold"]): row["score"]
            for row in rows
            if row["score"] is not None
        }

    a, b, found = scores(ours), scores(theirs), defaultdict(list)
    for labels, seed, fold in a.keys() & b.keys():
        found[seed, fold].append(a[labels, seed, fold] - b[labels, seed, fold])
    return {unit: float(np.mean(several)) for unit, several in found.items()}
    ### END SOLUTION


def bootstrap(differences, rng, draws=4000, confidence=0.95):
    """Percentile bootstrap interval of the mean.

    Args:
        differences: a list of numbers.
        rng: a NumPy generator, the only source of chance.

    Returns:
        Its low and its high end.
    """
    ### BEGIN SOLUTION
    values = np.asarray(differences, float)
    means = rng.choice(values, (draws, len(values))).mean(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a5-2-tests", "locked": true, "points": 14, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np
from scipy import stats

from ssl3d_lite.course.checks import Checks

checks = Checks()


def rows_of(scores, labels="2", fold=0):
    """{seed: score} as rows."""
    return [{"labels": labels, "seed": s, "fold": fold, "score": x} for s, x in scores.items()]


@checks
def check_paired(ours, theirs, expected, what):
    kept = copy.deepcopy((ours, theirs))
    found = paired(ours, theirs)
    assert (ours, theirs) == kept, "the rows that you were given have been changed"
    for unit in [*expected, *found]:
        assert unit in found, (
            f"{what}: seed {unit[0]} of fold {unit[1]} has a pair, but you have none"
        )
        assert unit in expected, f"{what}: {unit} has no pair of scores, but you found one"
        assert np.isclose(found[unit], expected[unit]), (
            f"{what}: the difference of seed {unit[0]}, fold {unit[1]} is {expected[unit]:+.4f}, "
            f"but you say {found[unit]:+.4f}"
        )


@checks
def check_bootstrap(values, expected, tolerance, what, seed=0, **settings):
    low, high = map(float, bootstrap(list(values), np.random.default_rng(seed), **settings))
    for end, found, wanted in (("low", low, expected[0]), ("high", high, expected[1])):
        assert abs(found - wanted) <= tolerance, (
            f"{what}: the {end} end should be near {wanted:.4f}, but is {found:.4f}"
        )


@checks
def check_chance(values, seed):
    before = np.random.get_state()[1].copy()
    one = [float(end) for end in bootstrap(values, np.random.default_rng(seed))]
    assert (np.random.get_state()[1] == before).all(), (
        "NumPy's global random state has changed: draw from rng alone"
    )
    np.random.rand(3)  # others draw in between
    again = [float(end) for end in bootstrap(values, np.random.default_rng(seed))]
    assert one == again, "the same seed should give the same interval, and does not"
    rng = np.random.default_rng(seed)
    several = {tuple(map(float, bootstrap(values, rng))) for _ in range(5)}
    assert len(several) > 1, "five bootstraps of one generator are all alike: draw from rng"


check_paired(
    rows_of({0: 0.6, 1: 0.5, 2: 0.7}),
    rows_of({2: 0.6, 0: 0.55, 1: 0.5}),
    {(0, 0): 0.05, (1, 0): 0.0, (2, 0): 0.1},
    "rows in another order",
)
check_paired(
    rows_of({0: 0.6, 1: None, 2: 0.7, 3: 0.2}),
    rows_of({0: 0.5, 1: 0.5, 2: 0.9, 4: 0.1}),
    {(0, 0): 0.1, (2, 0): -0.2},
    "seed 1 failed, 3 and 4 have one side",
)
check_paired(
    rows_of({0: 0.6, 1: 0.5}) + rows_of({0: 0.8, 1: 0.9}, labels="5"),
    rows_of({0: 0.5, 1: 0.4}) + rows_of({0: 0.8}, labels="5"),
    {(0, 0): 0.05, (1, 0): 0.1},
    "two numbers of labels",
)
check_bootstrap([0.02, 0.08], (0.02, 0.08), 1e-9, "two differences")
check_bootstrap([0.0, 1.0, 5.0], (0.0, 5.0), 1e-9, "three differences, 95 %")
check_bootstrap([0.0, 1.0, 5.0], (1 / 3, 11 / 3), 1e-9, "0, 1 and 5, 80 %", confidence=0.8)
many = np.random.default_rng(1).normal(0.05, 0.1, 400)
half = stats.norm.ppf(0.975) * many.std() / 20
check_bootstrap(many, (many.mean() - half, many.mean() + half), 0.15 * half, "400 differences")
check_chance(many[:30].tolist(), seed=2)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(31)


def some_rows(labels_of, folds):
    """Both sides in another order, and the differences that they should give."""
    ours, theirs, expected = [], [], {}
    for fold in range(folds):
        for seed in range(4):
            differences = []
            for labels in labels_of(seed):
                a, b = rng.random(2).tolist()
                ours += rows_of({seed: a}, labels, fold)
                theirs += rows_of({seed: b}, labels, fold)
                differences.append(a - b)
            expected[seed, fold] = float(np.mean(differences))
    for rows in (ours, theirs):
        rng.shuffle(rows)
    return ours, theirs, expected


with checks.core():
    ours, theirs, expected = some_rows(lambda seed: ("2",), folds=1)
    check_paired(ours, theirs, expected, "four seeds")
    check_paired(theirs, ours, {unit: -d for unit, d in expected.items()}, "sides changed")
with checks.further("several folds and numbers of labels"):
    ours, theirs, expected = some_rows(lambda seed: ("2", "10%", "100%")[: 1 + seed % 3], folds=3)
    check_paired(ours, theirs, expected, "several folds")
with checks.further("rows without a pair"):
    check_paired(rows_of({0: 0.5}), rows_of({9: 0.5}), {}, "no pair at all")
with checks.further("intervals of many differences"):
    for n, confidence in ((100, 0.5), (900, 0.9), (250, 0.99)):
        values = rng.normal(-0.3, 2, n)
        half = stats.norm.ppf((1 + confidence) / 2) * values.std() / n**0.5
        check_bootstrap(
            values,
            (values.mean() - half, values.mean() + half),
            0.2 * half,
            f"{n} differences, {confidence:.0%}",
            seed=n,
            draws=6000,
            confidence=confidence,
        )
with checks.further("intervals of few differences"):
    check_bootstrap([-0.3, 0.1, 0.2], (-0.3, 0.2), 1e-9, "three differences", draws=3000)
    check_bootstrap([0.25], (0.25, 0.25), 1e-9, "one difference")
with checks.further("chance comes from rng"):
    check_chance(rng.normal(0, 1, 40).tolist(), seed=32)
### END HIDDEN TESTS
checks.end(points=14)

# %% [markdown]
# What does pairing buy? Twelve seeds whose luck is large and shared, and a true gain of 0.03. On
# the left both arms' scores, on the right their differences. **Predict before you run:** which of
# the two intervals is narrower: that of the paired differences, or that which takes the arms apart?

# %% tags=["show"]
rng = np.random.default_rng(0)
luck = rng.normal(0.5, 0.1, 12)
a, b = luck + rng.normal(0.03, 0.02, 12), luck + rng.normal(0, 0.02, 12)
found = list(paired(rows_of(dict(enumerate(a))), rows_of(dict(enumerate(b)))).values())
apart = [rng.choice(a, 12).mean() - rng.choice(b, 12).mean() for _ in range(4000)]
intervals = {"paired": bootstrap(found, rng), "taken apart": np.quantile(apart, [0.025, 0.975])}
figure = Figure(figsize=(7, 2.6), layout="constrained")
left, right = figure.subplots(1, 2)
for x, y in zip(a, b):
    left.plot([0, 1], [y, x], "o-", color=show.GREY, markersize=4, linewidth=1)
left.set_xticks([0, 1], ["theirs", "ours"])
left.set(ylabel="score", xlim=(-0.3, 1.3))
for row, (low, high) in enumerate(intervals.values()):
    right.plot([low, high], [row, row], color=show.COLOURS[row], linewidth=4)
right.plot(found, [-0.5] * 12, "o", color=show.GREY, markersize=4)
right.axvline(0, color="black", linewidth=1)
right.set_yticks([-0.5, 0, 1], ["differences", *intervals])
right.set(xlabel="mean difference, 95 %", ylim=(-1, 1.5))
show.tidy(left, right)
display(figure)

# %% [markdown]
# *What to look at:* nearly every line on the left goes up, though the two clouds of dots overlap.
# The pairs see that; who takes the arms apart does not.

# %%
# from here on the library's own
from ssl3d_lite.study.comparison import paired

# %% [markdown]
# ## Part 3: an interval over seeds and patients, and a verdict (10 points)
#
# You have seen what the bootstrap makes of three seeds: their range. **Student's $t$** is wider
# where seeds are few. But both speak of *these* test patients, and other patients might have been
# tested. Radiology has the same problem, readers who read patients. With seeds as the readers, let
# $d_{sp}$ be the difference of seed $s$ on patient $p$, of $S$ seeds and $P$ patients, with the
# means $\bar d_s$, $\bar d_p$ and $\bar d$ over patients, over seeds and over both. From the mean
# squares
#
# $$M_S = \frac{P}{S-1} \sum_s (\bar d_s - \bar d)^2, \quad
# M_P = \frac{S}{P-1} \sum_p (\bar d_p - \bar d)^2, \quad
# M_E = \frac{\sum_{s,p} (d_{sp} - \bar d_s - \bar d_p + \bar d)^2}{(S-1)(P-1)}$$
#
# and from what patients bring beyond the rest, $B = \max(M_P - M_E,\, 0)$, the interval is
#
# $$\bar d \pm t_{(1 + c)/2,\; f} \sqrt{\frac{M_S + B}{S P}}, \qquad
# f = (S - 1) \left(\frac{M_S + B}{M_S}\right)^2,$$
#
# with the confidence $c$; but where $B > 0$, $f$ is never more than $P - 1$ (Hillis 2007, made
# cautious). Write it as `mean_interval`. You need no care for $M_S = 0$. Of fewer than two seeds,
# or two patients, nothing is known: the interval is then $(-\infty, \infty)$.
#
# Then a verdict, in two steps. Let the claim be that the true mean difference is above zero, and
# $w > 0$ the smallest gain worth having. `decide(low, high, worthwhile)` is what an **interval
# alone** says, from its two ends and $w$. In this order, the answer is
#
# - `"holds"`: the whole interval is above zero;
# - `"does not hold"`: a gain of $w$ can be ruled out, as the whole interval is below $w$;
# - `"undecided"`: anything else.
#
# `conclude` is what the **study** says. In a study, a run that does not beat **place alone**, the
# mean label map of the same labelled scans, has *failed*; the interval is that of the pairs in which
# both arms learnt. The function is given
#
# - `seeds`, the number of paired seeds;
# - `ahead`, by how much scratch with the most labels is ahead of place alone;
# - `low` and `high`, the interval's ends;
# - `overall`, the mean difference over *all* pairs, failed ones too;
# - `min_effect`, which is $w$.
#
# With fewer than six seeds, or scratch less than $2w$ ahead of place alone, the answer is
# `"cannot tell"`: where nothing is learnt, nothing can differ. Else it asks `decide`. But leaving
# out failures must not decide anything. So an interval that `overall` lies outside of is first
# stretched until it reaches `overall`: nothing holds unless `overall` is above zero too, and nothing
# is ruled out unless `overall` is below $w$ too.
#
# **Think before you write:** an interval from −0.01 to 0.15. Most of it is above zero, and so is
# the mean. May you say that it holds? That it does not? And why is `overall` asked?
#
# <details><summary>Hint</summary>
#
# `scipy.stats.t.ppf(p, df)` is the quantile. `values.mean(1, keepdims=True)` keeps an axis, so that
# means can be taken away from `values`. For the infinite ends, `math.inf`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a5-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_interval(differences, confidence=0.95):
    """The mean's interval, from ``differences``, an array (seed, patient): its low and high end."""
    ### BEGIN SOLUTION
    values = np.asarray(differences, float)
    seeds, patients = values.shape
    if seeds < 2 or patients < 2:
        return -math.inf, math.inf
    mean, row, column = values.mean(), values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    by_seed = patients * ((row - mean) ** 2).sum() / (seeds - 1)
    by_patient = seeds * ((column - mean) ** 2).sum() / (patients - 1)
    rest = ((values - row - column + mean) ** 2).sum() / (seeds - 1) / (patients - 1)
    beyond = max(by_patient - rest, 0.0)
    error = math.sqrt((by_seed + beyond) / (seeds * patients))
    df = (seeds - 1) * ((by_seed + beyond) / by_seed) ** 2
    if beyond > 0:
        df = min(df, patients - 1)
    half = stats.t.ppf((1 + confidence) / 2, df) * error
    return float(mean - half), float(mean + half)
    ### END SOLUTION


def decide(low, high, worthwhile):
    """What an interval alone says: "holds", "does not hold" or "undecided"."""
    ### BEGIN SOLUTION
    if low > 0:
        return "holds"
    if high < worthwhile:
        return "does not hold"
    return "undecided"
    ### END SOLUTION


def conclude(seeds, ahead, low, high, overall, min_effect):
    """What a study says: "cannot tell", or what the interval does, stretched to ``overall``."""
    ### BEGIN SOLUTION
    if seeds < 6 or ahead < 2 * min_effect:
        return "cannot tell"
    return decide(min(low, overall), max(high, overall), min_effect)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a5-3-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import math

import numpy as np

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.study.statistics import multi_reader

checks = Checks()


@checks
def check_interval(values, **confidence):
    values = np.asarray(values, float)
    kept = values.copy()
    low, high = map(float, mean_interval(values, **confidence))
    assert (values == kept).all(), "the differences that you were given have been changed"
    wanted = multi_reader(values).interval(**confidence)
    what = f"{values.shape[0]} seeds, {values.shape[1]} patients {confidence or ''}"
    for end, found, right in (("low", low, wanted[0]), ("high", high, wanted[1])):
        assert math.isclose(found, right, rel_tol=1e-6, abs_tol=1e-9), (
            f"{what}: the {end} end is {right:.4f}, but you say {found:.4f}"
        )


def made_up(seeds, patients, by_seed, by_patient, rest, mean=0.03, seed=0):
    """Differences (seed, patient) with standard deviations from seed to seed, and so on."""
    rng = np.random.default_rng(seed)
    values = mean + rng.normal(0, rest, (seeds, patients))
    return values + rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, by_patient, (1, patients))


@checks
def check_decision(expected, low, high, worthwhile=0.02):
    found = decide(low, high, worthwhile)
    assert found == expected, (
        f"an interval from {low} to {high}, where {worthwhile} is worth having: alone it says "
        f"{expected!r}, but you say {found!r}"
    )


@checks
def check_conclusion(expected, seeds=6, ahead=0.2, low=-0.01, high=0.15, overall=None, w=0.02):
    overall = (low + high) / 2 if overall is None else overall
    found = conclude(seeds, ahead, low, high, overall, w)
    assert found == expected, (
        f"{seeds} seeds, scratch {ahead} ahead of place alone, an interval from {low} to {high}, "
        f"{overall:+.3f} over all pairs, where {w} is worth having: the study says {expected!r}, "
        f"but you say {found!r}"
    )


nothing_known = (-math.inf, math.inf)


@checks
def check_one_seed(differences):
    ends = tuple(map(float, mean_interval(differences)))
    assert ends == nothing_known, "one seed tells nothing of the others"


check_interval([[0.02, 0.05, 0.01], [0.03, 0.04, 0.02]])
check_interval(made_up(6, 20, 0.01, 0.04, 0.03))
check_interval(made_up(6, 20, 0.03, 0.0, 0.03), confidence=0.8)
check_one_seed([[0.09, 0.1]])
check_decision("undecided", -0.01, 0.15)
check_decision("holds", 0.01, 0.08)
check_decision("does not hold", -0.03, 0.01)
check_conclusion("undecided")
check_conclusion("holds", low=0.01, high=0.08)
check_conclusion("does not hold", low=-0.03, high=0.01)
check_conclusion("cannot tell", seeds=3, low=0.01, high=0.08)
check_conclusion("cannot tell", ahead=0.01, low=0.01, high=0.08)
check_conclusion("undecided", low=0.01, high=0.08, overall=-0.02)
### BEGIN HIDDEN TESTS


def check_intervals(*cases):
    for shape, parts in cases:
        for seed, level in ((1, 0.95), (2, 0.5), (3, 0.99)):
            check_interval(made_up(*shape, *parts, mean=seed - 2, seed=seed), confidence=level)


with checks.core():
    check_intervals(
        *(((12, 30), (0.1, 0.1, 0.1)), ((8, 40), (0.05, 0.1, 0.1)), ((30, 20), (0.1, 0.05, 0.2)))
    )
with checks.further("parts that come out below 0"):
    check_intervals(
        *(((2, 2), (0.1, 0.1, 0.1)), ((6, 12), (0.02, 0.2, 0.01)), ((12, 6), (0.001, 0.3, 0.05))),
        *(((4, 40), (0.2, 0.0, 0.05)), ((30, 7), (0.05, 0.05, 0.3))),
    )
with checks.further("one patient"):
    one_patient = tuple(map(float, mean_interval(np.zeros((5, 1)))))
    assert one_patient == nothing_known, "one patient tells nothing of the others"
with checks.further("what holds"):
    check_decision("holds", 0.001, 0.01)  # though it is small
    check_decision("holds", 0.03, 0.08)
    check_conclusion("holds", low=0.001, high=0.01)
    check_conclusion("holds", seeds=12, ahead=0.04, low=0.03, high=0.08)
with checks.further("what does not hold"):
    for low, high, w, expected in (
        (-0.03, 0.01, 0.005, "undecided"),
        (-0.2, 0.04, 0.05, "does not hold"),
        (-0.2, 0.06, 0.05, "undecided"),
        (-0.2, -0.01, 0.05, "does not hold"),
    ):
        check_decision(expected, low, high, w)
        check_conclusion(expected, low=low, high=high, w=w)
with checks.further("an interval and a mean that disagree, and no interval"):
    check_conclusion("undecided", low=-0.03, high=0.01, overall=0.04)
    check_conclusion("undecided", low=0.001, high=0.01, overall=-0.001, w=0.005)
    check_decision("undecided", -math.inf, math.inf)
    check_conclusion("undecided", low=-math.inf, high=math.inf, overall=0.0)
with checks.further("what cannot be told"):
    check_conclusion("cannot tell", seeds=5, low=-0.2, high=-0.01, w=0.05)
    check_conclusion("cannot tell", ahead=0.09, low=-0.2, high=-0.01, w=0.05)
    check_conclusion("cannot tell", ahead=-0.3)
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# How often does a 95 % interval hold the truth? Made-up studies of six seeds, with few and many
# test patients who differ. **Predict before you run:** which methods see the patients?

# %% tags=["show"]
rng, counts = np.random.default_rng(0), (6, 12, 25, 50)
covered = {"bootstrap of seeds": [], "Student's t of seeds": [], "seeds and patients": []}
for n in counts:
    held = dict.fromkeys(covered, 0)
    for study in range(400):
        values = made_up(6, n, 0.02, 0.06, 0.04, seed=study)
        seeds = values.mean(1)
        drawn = rng.choice(seeds, (300, 6)).mean(1)
        ends = (
            np.quantile(drawn, [0.025, 0.975]),
            stats.t.interval(0.95, 5, seeds.mean(), stats.sem(seeds)),
            mean_interval(values),
        )
        for name, (low, high) in zip(covered, ends):
            held[name] += low <= 0.03 <= high
    for name in covered:
        covered[name].append(held[name] / 400)
figure = Figure(figsize=(5, 2.8), layout="constrained")
axes = figure.subplots()
for colour, (name, shares) in zip(show.COLOURS, covered.items()):
    axes.plot(counts, shares, "o-", color=colour, label=name)
axes.axhline(0.95, color="black", linestyle="--", linewidth=1)
axes.set_xscale("log")
axes.set_xticks(counts, [str(n) for n in counts])
axes.minorticks_off()
axes.set(xlabel="test patients", ylabel="share that holds the truth", ylim=(0.4, 1))
axes.legend(frameon=False)
show.tidy(axes)
display(figure)

# %% [markdown]
# *What to look at:* how wrong is a 95 % interval that takes the test patients as given? More seeds
# would not mend it: they only make sure of *these* patients. A study's verdict also shares its 2.5
# % among all of its comparisons (Holm's correction) and all looks at more seeds: docs/verdicts.md.

# %%
# from here on the library's own
from ssl3d_lite.study.statistics import interval, verdict

# %% [markdown]
# ## Part 4: a judge of unfair studies (14 points)
#
# In the code of the paper, a network from scratch is trained for 150 epochs and a pretrained one
# for 400, with one seed, and pretraining sees every scan of the test. No table of scores tells.
# Write a judge that does: `unfairness` reads the list of a study's runs and returns the set of all
# that is wrong with it. A run is a dictionary:
#
# | entry | what it says |
# |---|---|
# | `arm` | where the encoder comes from: `"scratch"`, `"random@none"`, `"cpc"` …; `"place"`: none |
# | `protocol` | what was done with it: `"finetune"` or `"probe"` |
# | `seed` | an integer |
# | `pretrain_steps` | 0 where nothing was pretrained |
# | `steps` | of fine-tuning; 0 for a probe, and for place alone |
# | `pretrained_on`, `labelled`, `tested_on` | tuples of scans, each named `"PATIENT/VISIT"` |
# | `chosen_on` | by what the checkpoint was chosen: `"validation"`, `"test"`, or `"last"` |
#
# Fine-tuning and probing are two protocols. **Compare runs within a protocol, never across.** These
# are the words to report, for each protocol that has runs:
#
# | word | reported if |
# |---|---|
# | `"steps"` | two *fine-tuned* runs differ in `steps`, or two *pretrained* ones in `pretrain_steps` |
# | `"seeds"` | the arms do not all have the same seeds, or an arm has a seed twice |
# | `"few seeds"` | fewer than 6 seeds are there that **all** arms have |
# | `"controls"` | one of the protocol's controls is missing |
# | `"labels"` | two runs with the same seed have other labelled scans, in whatever order |
# | `"test scans"` | two runs are tested on other scans, in whatever order |
# | `"chosen on test"` | a checkpoint was chosen on the test scans |
# | `"hidden labels"` | a checkpoint was chosen on validation scans: their labels are not counted |
# | `"leakage"` | a **patient** is tested on, and was pretrained on or labelled |
#
# Both protocols have the controls `"place"`, the floor, and `"collapsed"`. Fine-tuning also has
# `"scratch"`, and a probe at least two kinds of random encoder: arms `"random"` or `"random@…"`, as
# one kind alone may be a weak one. Leakage alone looks at all runs together: a patient whom any run
# is tested on must not stand in what any run was pretrained on or had labels of, not even by
# another visit.
#
# Several may be wrong at once, and then all are reported. A fair study gives the empty set: a judge
# that cries at everything is of no use either. **Think before you write:** scratch and random have
# `pretrain_steps` 0. Is that unfair?
#
# <details><summary>Hint</summary>
#
# Put the runs of each protocol into a list of their own first. Then most lines of the table are one
# line of Python about a set: how many different values are there? Sets can be in a set if they are
# a `frozenset`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a5-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unfairness(runs):
    """Everything that makes a study's comparisons unfair: a set of words of the table above."""
    ### BEGIN SOLUTION
    by_protocol, found = defaultdict(list), set()
    for run in runs:
        by_protocol[run["protocol"]].append(run)
    for protocol, own in by_protocol.items():
        pretrained = {run["pretrain_steps"] for run in own} - {0}
        if len({run["steps"] for run in own} - {0}) > 1 or len(pretrained) > 1:
            found.add("steps")
        seeds, drawn = defaultdict(list), defaultdict(set)
        for run in own:
            seeds[run["arm"]].append(run["seed"])
            drawn[run["seed"]].add(frozenset(run["labelled"]))
        if len({tuple(sorted(each)) for each in seeds.values()}) > 1 or any(
            len(set(each)) < len(each) for each in seeds.values()
        ):
            found.add("seeds")
        if len(set.intersection(*map(set, seeds.values()))) < 6:
            found.add("few seeds")
        kinds = [arm for arm in seeds if arm.split("@")[0] == "random"]
        own_control = "scratch" in seeds if protocol == "finetune" else len(kinds) > 1
        if not own_control or not {"place", "collapsed"} <= set(seeds):
            found.add("controls")
        if any(len(several) > 1 for several in drawn.values()):
            found.add("labels")
        if len({frozenset(run["tested_on"]) for run in own}) > 1:
            found.add("test scans")
        if any(run["chosen_on"] == "test" for run in own):
            found.add("chosen on test")
        if any(run["chosen_on"] == "validation" for run in own):
            found.add("hidden labels")

    def patients(*names):
        return {scan.split("/")[0] for run in runs for name in names for scan in run[name]}

    if patients("tested_on") & patients("pretrained_on", "labelled"):
        found.add("leakage")
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a5-4-tests", "locked": true, "points": 14, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np

from ssl3d_lite.course.checks import Checks

checks = Checks()


def fair_runs(tasks=("cpc",), seeds=range(6), number=2, pretrain=100, steps=50, patients=12):
    """A fair study's runs."""
    untrained = ("place", "scratch", "random", "random@none")
    arms = {"finetune": ("scratch",), "probe": ("random", "random@none")}
    arms = {name: ("place", *tasks, *own, "collapsed") for name, own in arms.items()}
    names = [f"p{n:02}/1" for n in range(patients)]
    return [
        {
            "arm": arm,
            "protocol": protocol,
            "seed": seed,
            "pretrain_steps": 0 if arm in untrained else pretrain,
            "steps": steps if protocol == "finetune" and arm != "place" else 0,
            "pretrained_on": () if arm in untrained else tuple(names[4:]),
            "labelled": tuple(names[4 + (seed + k) % (patients - 4)] for k in range(number)),
            "tested_on": tuple(names[:4]),
            "chosen_on": "last",
        }
        for seed in seeds
        for protocol in arms
        for arm in arms[protocol]
    ]


def changed(runs, changes, **where):
    """The runs, those that ``where`` tells with ``changes``."""
    return [
        {**run, **changes} if all(run[k] == v for k, v in where.items()) else run for run in runs
    ]


def without(runs, **where):
    return [run for run in runs if not all(run[k] == v for k, v in where.items())]


@checks
def check_judge(runs, expected, what):
    kept = copy.deepcopy(runs)
    found = unfairness(runs)
    assert runs == kept, "the runs that you were given have been changed"
    found, expected = set(found), set(expected)
    missed, wrong = sorted(expected - found), sorted(found - expected)
    assert not missed, f"{what}: {missed[0]!r} should be reported, but you say {sorted(found)}"
    assert not wrong, f"{what}: {wrong[0]!r} is reported, but there is nothing wrong with it"


fair = fair_runs()
check_judge(fair, (), "a fair study")
check_judge(fair[::-1], (), "a fair study, its runs in another order")
check_judge(changed(fair, {"steps": 20}, arm="scratch"), ["steps"], "scratch gets 20 steps, cpc 50")
check_judge(
    changed(fair, {"pretrain_steps": 10}, arm="collapsed"),
    ["steps"],
    "the collapsed control is pretrained for 10 steps, cpc for 100",
)
check_judge(fair_runs(seeds=(0,)), ["few seeds"], "one seed")
check_judge(without(fair, arm="collapsed"), ["controls"], "no collapsed control")
check_judge(without(fair, arm="random@none"), ["controls"], "a probe with one random control")
check_judge(without(fair, arm="place"), ["controls"], "place alone was not scored")
check_judge(
    changed(fair_runs(seeds=range(7)), {"seed": 9}, arm="scratch", seed=6),
    ["seeds"],
    "scratch has the seeds 0 to 5 and 9, the others 0 to 6",
)
check_judge(
    changed(fair, {"labelled": ("p10/1", "p11/1")}, arm="cpc", seed=0),
    ["labels"],
    "with seed 0, cpc has labels of other scans than the rest",
)
check_judge(changed(fair, {"chosen_on": "test"}, arm="cpc"), ["chosen on test"], "best on test")
check_judge(
    changed(fair, {"chosen_on": "validation"}, protocol="finetune"),
    ["hidden labels"],
    "every arm's checkpoint was chosen on validation scans, whose labels nobody counts",
)
check_judge(
    changed(fair, {"pretrained_on": ("p05/1", "p00/2")}, arm="cpc", seed=1),
    ["leakage"],
    "cpc was pretrained on the second visit of a patient who is tested on",
)
check_judge(
    changed(fair, {"tested_on": ("p00/1", "p01/1")}, arm="cpc", protocol="probe"),
    ["test scans"],
    "the probe of cpc is tested on other scans than that of random",
)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(51)
big = fair_runs(("cpc", "jigsaw", "rotation"), range(8), 6, 3000, 400, 40)
rng.shuffle(big)
with checks.core():
    check_judge(big, (), "a large fair study")
    check_judge(changed(big, {"steps": 70}, arm="jigsaw"), ["steps"], "jigsaw gets 70 steps")
    check_judge(without(big, arm="scratch"), ["controls"], "fine-tuning without scratch")
    few = fair_runs(seeds=(3, 9, 4, 1, 5))
    check_judge(few, ["few seeds"], "five seeds")
    both = without(changed(few, {"chosen_on": "test"}, seed=4), arm="collapsed")
    check_judge(both, ["few seeds", "chosen on test", "controls"], "three faults at once")
with checks.further("orders that mean nothing"):
    turned = [{**run, "labelled": run["labelled"][::-1]} for run in big[::2]] + big[1::2]
    check_judge(turned, (), "the same labelled scans in another order")
    moved = changed(big, {"tested_on": big[0]["tested_on"][::-1]}, arm="jigsaw")
    check_judge(moved, (), "the same test scans in another order")
with checks.further("what may differ between protocols"):
    check_judge(without(big, protocol="probe"), (), "fine-tuning alone")
    check_judge(without(big, protocol="finetune"), (), "probes alone")
    check_judge(without(big, protocol="probe", arm="cpc"), (), "an arm that was never probed")
    more = changed(big, {"labelled": ("p20/1", "p21/1"), "tested_on": ("p00/1",)}, protocol="probe")
    check_judge(more, (), "probes have other labels and test scans than fine-tuning")
with checks.further("controls"):
    check_judge(without(big, arm="random"), ["controls"], "one kind of random encoder")
    other = changed(big, {"arm": "random@batch"}, arm="random")
    check_judge(other, (), "random encoders of other kinds")
    floor = without(big, arm="place", protocol="finetune")
    check_judge(floor, ["controls"], "no floor, fine-tuned")
    probe = without(big, arm="collapsed", protocol="probe")
    check_judge(probe, ["controls"], "probe, not collapsed")
with checks.further("seeds"):
    check_judge(without(big, seed=1), (), "seven seeds, not in a row")
    one = without(big, arm="jigsaw", seed=4, protocol="probe")
    check_judge(one, ["seeds"], "one arm lacks a seed in one protocol")
    apart = [{**run, "seed": run["seed"] + 2 * (run["arm"] == "cpc")} for run in fair_runs()]
    check_judge(
        apart, ["seeds", "few seeds", "labels"], "cpc has the seeds 2 to 7, the rest 0 to 5"
    )
with checks.further("runs that stand there twice"):
    check_judge([*big, copy.deepcopy(big[3])], ["seeds"], "one run stands there twice")
    twice = [*big, *(dict(run) for run in big if run["seed"] == 2)]
    check_judge(twice, ["seeds"], "every arm has seed 2 twice")
with checks.further("leakage, and hidden labels"):
    visit = changed(big, {"labelled": ("p01/2", "p30/1")}, seed=3, protocol="finetune")
    check_judge(visit, ["leakage"], "labels of a tested patient's second visit, alike for all")
    seen = changed(big, {"pretrained_on": ("p02/1",)}, arm="collapsed", seed=0, protocol="probe")
    check_judge(seen, ["leakage"], "a control saw a test scan")
    close = fair_runs(patients=120, number=3)
    check_judge(changed(close, {"tested_on": ("p1/1",)}), (), "p1 is not p11")
    one = changed(big, {"chosen_on": "validation"}, arm="cpc", protocol="finetune", seed=2)
    check_judge(one, ["hidden labels"], "one run chose on validation scans")
with checks.further("several faults at once"):
    paper = changed(fair_runs(seeds=(0,)), {"steps": 150}, arm="scratch", protocol="finetune")
    paper = changed(paper, {"pretrained_on": tuple(f"p{n:02}/1" for n in range(12))}, arm="cpc")
    paper = without(changed(paper, {"chosen_on": "test"}, arm="cpc"), arm="collapsed")
    paper = changed(paper, {"chosen_on": "validation"}, arm="scratch")
    wrong = ["steps", "few seeds", "controls", "leakage", "chosen on test", "hidden labels"]
    check_judge(paper, wrong, "several faults at once")
### END HIDDEN TESTS
checks.end(points=14)

# %% [markdown]
# Two studies to judge. The original's way, as runs: one seed, 150 epochs from scratch and 400 after
# pretraining, which sees every scan; no control that learns nothing. And the library's study of
# this cohort, made into runs from its plan. (Whoever sees "few seeds": at which scale has it six?)

# %% tags=["show"]
from ssl3d_lite.data.label_budget import parse_label_budget
from ssl3d_lite.study.jobs import plan
from ssl3d_lite.training.settings import FinetuneSettings

original = fair_runs(("cpc", "jigsaw"), seeds=(0,), pretrain=1000, steps=400)
original = without(without(original, protocol="probe"), arm="collapsed")
original = without(original, arm="place")
original = changed(original, {"steps": 150}, arm="scratch")
everyone = tuple(f"p{n:02}/1" for n in range(12))
original = [{**run, "pretrained_on": everyone if run["pretrain_steps"] else ()} for run in original]
print("the original:", ", ".join(sorted(unfairness(original))))


def runs_of(study):
    """What a study is going to run, with its smallest number of labels."""
    split, made = cohort.split(study.folds[0]), []

    def names(cases):
        return tuple(f"{cohort.cases[n].patient}/{cohort.cases[n].id}" for n in cases)

    for run in (run for runs in plan(study).values() for run in runs):
        if run.labels != study.labels[0] or run.protocol not in ("finetune", "probe"):
            continue
        job, tuned, draws = run.job, run.protocol == "finetune", study.probe.get("draws", 3)
        lots = [job.seed] if tuned else range(job.seed * draws, (job.seed + 1) * draws)
        labelled = {n for lot in lots for n in cohort.subset(split.train, run.labels, lot)}
        floor = job.arm.source == "place"
        chosen = tuned and not floor and study.finetune.get("validate_every")
        made.append(
            {
                "arm": job.arm.name,
                "protocol": run.protocol,
                "seed": job.seed,
                "pretrain_steps": study.pretrain["steps"] if job.arm.tasks else 0,
                "steps": study.finetune.get("steps", FinetuneSettings.steps)
                if tuned and not floor
                else 0,
                "pretrained_on": names(split.pretrain if job.arm.tasks else ()),
                "labelled": names(labelled),
                "tested_on": names(split.test),
                "chosen_on": "validation" if chosen else "last",
            }
        )
    return made


shipped = runs_of(read_study("hippocampus", scale()))
print(f"the library's, {len(shipped)} runs:", ", ".join(unfairness(shipped)) or "fair")

# %% [markdown]
# ## Part 5: your own study, and your claim (10 points)
#
# Now lay out a study, as a text in TOML such as the library ships them. Two of the settings are
# yours to think about: which proxy tasks (`cpc`, `rpl`, `jigsaw`, `rotation`, `exemplar`, `masked`,
# or two by turns: `cpc+masked`), and how many labels. This one shows how such a text looks. It is
# *not* fair: **how many faults do you find** before you have read on?

# %%
EXAMPLE = """
title = "Rotation is great"
arms = ["rotation@group", "scratch", "random"]
labels = ["2"]
seeds = 2

[cohort]
recipe = "virtual-hippocampus"

[encoder]
filters = [4, 8]

[pretrain]
steps = 10

[finetune]
steps = 10
patch = [16, 16, 16]

[class]
seeds = 1
encoder.filters = [16, 32, 64]
pretrain.steps = 100
finetune = { steps = 60, patch = [24, 32, 24], validate_every = 20 }
"""

# %% [markdown]
# What stands in `[smoke]`, `[class]` or `[full]` counts at that scale in place of what stands above
# (`[smoke]` may be missing). A setting that does not exist is refused, with the nearest that does.
# All of them are explained in `ssl3d_lite/study/settings.py`; notebook 17 runs a study.
#
# Write yours. And write down, **before you run it**, which claim it is to test: an arm, against
# whom, by which protocol, with how many labels. Who looks at all results first and then picks a
# claim will find one that holds, if there are enough of them.
#
# The check asks the same at all three scales:
#
# - a title, a question, the recipe `virtual-hippocampus`, no corpus;
# - the protocols `finetune`, `probe` and `probe+place`, in which every probe is told the place too;
# - at least **6 seeds** at class and full scale; at smoke scale, where nothing is concluded, 2;
# - at least one proxy task; and for each arm with one, its **twins**: `scratch`, `random` and
#   `collapsed` of the same dimension, norm and network. `cpc@group` has the twin `scratch@group`,
#   and `2d-cpc` has `2d-scratch`;
# - a **second kind of random encoder** of the same dimension, such as `random@none`: one kind alone
#   may be a weak control. Place alone, the floor, is in every study without being named;
# - **equal steps**: none for 2D arms alone;
# - **no hidden labels**: no `validate_every`, so that the last weights count;
# - `min_effect`, written down: a Dice of at least 0.005 and at most 0.1;
# - at smoke scale, a small one: at most 8 arms, 5 seeds, 2 numbers of labels (none above 10), 20
#   steps of pretraining and 20 of fine-tuning, filters up to 16, no DenseNet, no `milestones`;
# - the claim's arm has a proxy task; it is compared with its own twin that has this protocol
#   (fine-tuning: `scratch` or `collapsed`; both probes: `random` or `collapsed`), with a number of
#   labels that the study has.
#
# The grader also builds every arm and draws a puzzle for each.
#
# <details><summary>Hint: how long will it take?</summary>
#
# At class scale, with the default network and `patch = [24, 32, 24]`, 100 steps of fine-tuning take
# some 10 seconds on one core, and 100 of pretraining by CPC about 30. Multiply by arms and seeds.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a5-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
"""MY_STUDY, a text in TOML, and MY_CLAIM, {"arm": …, "against": …, "protocol": …, "labels": …}."""
### BEGIN SOLUTION
MY_STUDY = """
title = "Does CPC help with two labelled scans?"
question = "Does a probe that is told the place read more from CPC's features than from random ones?"
arms = ["cpc", "scratch", "random", "random@batch", "random@none", "collapsed"]
labels = ["2"]
seeds = 2
protocols = ["finetune", "probe", "probe+place"]
min_effect = 0.03

[cohort]
recipe = "virtual-hippocampus"

[encoder]
filters = [4, 8]

[pretrain]
steps = 10

[finetune]
steps = 10
patch = [16, 16, 16]

[tasks.collapsed]
crop_size = 16

[smoke]
probe = { draws = 1, voxels = 500 }

[class]
seeds = 6
encoder.filters = [16, 32, 64]
pretrain.steps = 60
finetune = { steps = 100, patch = [24, 32, 24] }

[full]
seeds = 12
labels = ["2", "5", "20"]
encoder.filters = [32, 64, 128]
pretrain.steps = 600
finetune = { steps = 400, patch = [40, 56, 40] }
"""
MY_CLAIM = {"arm": "cpc", "against": "random@none", "protocol": "probe+place", "labels": "2"}
### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a5-5-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import tempfile
import tomllib
from pathlib import Path

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.data.label_budget import parse_label_budget
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.study import read_study

checks = Checks()

TWINS_OF = {
    "finetune": ("scratch", "collapsed"),
    "probe": ("random", "collapsed"),
    "probe+place": ("random", "collapsed"),
}


def studies_of(text):
    """The study at each scale."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my_study.toml"
        path.write_text(text)
        return {each: read_study(path, each) for each in ("smoke", "class", "full")}


def twin_of(study, arm, source):
    """The name of an arm's twin, or None."""
    kinds = {each.kind: each.name for each in study.parsed_arms()}
    return kinds.get(arm.alike(source))


def random_arms(study, arm):
    """Names of the random encoders of an arm's dimension."""
    arms = study.parsed_arms()
    return [each.name for each in arms if each.source == "random" and each.flat == arm.flat]


@checks
def check_arms(study, what):
    proxies = [arm for arm in study.parsed_arms() if not arm.is_control and arm.source != "tissue"]
    assert proxies, f"{what}: no arm has a proxy task, so nothing is put to the test"
    for arm in proxies:
        for source in ("scratch", "random", "collapsed"):
            assert twin_of(study, arm, source), (
                f"{what}: {arm.name} has no twin from {source!r} of the same dimension, norm and "
                f"network; the arms are {', '.join(study.arms)}"
            )
        assert len(random_arms(study, arm)) > 1, (
            f"{what}: {arm.name} is compared with one kind of random encoder, which may be a weak "
            "one; add random@none or another"
        )


@checks
def check_settings(study, what):
    assert study.title.strip() and study.question.strip(), f"{what}: say what it asks: question"
    assert study.cohort.get("recipe") == "virtual-hippocampus" and not study.corpus, (
        f"{what}: all arms learn from the cohort virtual-hippocampus, without a corpus"
    )
    for protocol in TWINS_OF:
        assert protocol in study.protocols, f"{what}: the protocol {protocol!r} is missing"
    least = 2 if study.scale == "smoke" else 6
    assert study.seeds >= least, (
        f"{what}: {study.seeds} seeds; with fewer than {least} nothing can be told"
    )
    assert not study.finetune.get("validate_every"), (
        f"{what}: checkpoints are chosen by validation scans (finetune.validate_every), and their "
        "labels are not counted"
    )
    for part in ("pretrain", "finetune"):
        own = study.flat.get(part, {})
        assert "steps" not in own, f"{what}: 2D arms have other steps than 3D arms (flat.{part})"
    assert 0.005 <= study.min_effect <= 0.1, (
        f"{what}: min_effect is {study.min_effect}; with that, hardly any result could say "
        "'does not hold', or hardly any other"
    )


@checks
def check_small(study):
    steps = {"pretraining": study.pretrain, "fine-tuning": study.finetune}
    for name, table in steps.items():
        asked = table.get("steps", 100)
        assert asked <= 20, f"smoke: {asked} steps of {name}, but 20 are the most"
    for name, found, most in (
        ("arms", len(study.arms), 8),
        ("seeds", study.seeds, 5),
        ("numbers of labels", len(study.labels), 2),
        (
            "filters",
            max(EncoderSettings(filters=tuple(study.encoder.get("filters", ()))).filters),
            16,
        ),
        ("arms with a DenseNet", sum(arm.network is not None for arm in study.parsed_arms()), 0),
        ("milestones", len(study.milestones), 0),
    ):
        assert found <= most, f"smoke: {found} {name}, but {most} is the most"
    for labels in study.labels:
        assert (parse_label_budget(labels).scans or 0) <= 10, (
            f"smoke: {labels} labels, but there may be 12 training scans"
        )


@checks
def check_claim(claim, study, what):
    arms = {arm.name: arm for arm in study.parsed_arms()}
    assert set(claim) == {"arm", "against", "protocol", "labels"}, (
        f"the claim says arm, against, protocol and labels, not {', '.join(claim)}"
    )
    arm = arms.get(claim["arm"])
    assert arm and not arm.is_control and arm.source != "tissue", (
        f"{what}: the claim is for {claim['arm']!r}, which is no arm with a proxy task"
    )
    assert claim["protocol"] in TWINS_OF, f"{claim['protocol']!r} is no protocol for a claim"
    twins = {twin_of(study, arm, source) for source in TWINS_OF[claim["protocol"]]}
    twins |= set() if claim["protocol"] == "finetune" else set(random_arms(study, arm))
    assert claim["against"] in twins, (
        f"{what}: by the protocol {claim['protocol']!r}, {arm.name} can be compared with "
        f"{' or '.join(sorted(map(str, twins)))}, not with {claim['against']!r}"
    )
    assert claim["labels"] in study.labels, (
        f"{what}: the claim is about {claim['labels']!r} labels, the study has "
        f"{', '.join(study.labels)}"
    )


@checks
def check_study(text, claim):
    studies = studies_of(text)
    record = tomllib.loads(text)
    said = [record, *(record.get(each, {}) for each in studies)]
    assert any("min_effect" in each for each in said), (
        "min_effect is not written down: what would be worth having is decided before the run"
    )
    for each, study in studies.items():
        what = f"scale {each}"
        check_settings(study, what)
        check_arms(study, what)
        check_claim(claim, study, what)
    check_small(studies["smoke"])
    return studies


studies = check_study(MY_STUDY, MY_CLAIM)
### BEGIN HIDDEN TESTS
from ssl3d_lite.study.data import DataFolders, StudyData, check_data
from ssl3d_lite.study.encoders import dry_run
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.settings import Machine


def check_run(study):
    check_data(study, DataFolders(cohort.folder))
    data = StudyData(DataFolders(cohort.folder), "cpu")
    dry_run(Experiment(study, data, Path("runs"), Machine("cpu", precision="32-true")))


with checks.core():  # a study is fair or is not: nothing here is worth half of the points
    smoke = check_study(MY_STUDY, MY_CLAIM)["smoke"]
    if not any(arm.flat for arm in smoke.parsed_arms()):
        check_run(smoke)
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# ## Part 6: what its results.csv says (10 points)
#
# A study writes a row for each score into `results.csv`, and a row without a score for a run that
# failed. The file is a ledger, so it may hold more than you want: rows of other settings, which you
# tried before; a run that was done again; and scores that fine-tuning had on its way, under the
# protocol `convergence`. Write three functions.
#
# `read_rows(text, runs)` reads the file's text and returns a list of its rows as dictionaries, in
# any order, with all its columns. It keeps
#
# - only rows whose `run`, a checksum of the settings, is among `runs`;
# - only rows with a score: it may be empty, or `nan`;
# - of rows that agree in `arm`, `protocol`, `task`, `labels`, `seed`, `fold` and `steps`, the last
#   that has a score.
#
# `seed` and `fold` become integers and `score` a float; the other columns stay text.
#
# `mean_and_spread(rows, arm, protocol, labels)` returns the mean of these scores, their standard
# deviation (that of a sample, $n - 1$; `None` where there is one score only), and how many they
# are.
#
# `claim_of(rows, arm, against, protocol, labels, min_effect)` makes the statement that a machine
# can read: a dictionary with `arm`, `against`, `protocol` and `labels` as given, `pairs` (how
# many), `mean` (of the paired differences), `low` and `high` (of their interval over seeds; `None`
# with fewer than two pairs) and `verdict`: `"cannot tell"` with fewer than six **seeds** (folds add
# patients, not seeds), else what the library's `verdict` says of the interval (ask `verdict?`). Its
# `paired` and `interval` do the most of the rest. Every number is made from rows; none is typed.
# There is at least one pair.
#
# That is all that can be said from `results.csv`. The scores of single patients lie beside it, in
# `patients.csv`. The library's verdict, which you see at the end, counts them, the failures, the
# floor and all comparisons together. Where it differs from yours, you should know why.
#
# <details><summary>Hint</summary>
#
# `csv.DictReader(io.StringIO(text))` reads; a dictionary by a tuple of the seven columns keeps the
# last. The library's `paired` wants `"protocol"` and `"steps"` in a row too, which they have.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a5-6-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def read_rows(text, runs):
    """The rows of ``results.csv`` that count.

    Args:
        text: what the file holds.
        runs: the checksums of the study's runs.
    """
    ### BEGIN SOLUTION
    kept = {}
    for row in csv.DictReader(io.StringIO(text)):
        score = float(row["score"] or "nan")
        if row["run"] not in runs or not math.isfinite(score):
            continue
        columns = ("arm", "protocol", "task", "labels", "seed", "fold", "steps")
        typed = {"seed": int(row["seed"]), "fold": int(row["fold"]), "score": score}
        kept[tuple(row[name] for name in columns)] = row | typed
    return list(kept.values())
    ### END SOLUTION


def mean_and_spread(rows, arm, protocol, labels):
    """Mean, standard deviation and number of an arm's scores."""
    ### BEGIN SOLUTION
    wanted = (arm, protocol, labels)
    scores = [r["score"] for r in rows if (r["arm"], r["protocol"], r["labels"]) == wanted]
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return float(np.mean(scores)), spread, len(scores)
    ### END SOLUTION


def claim_of(rows, arm, against, protocol, labels, min_effect):
    """A comparison and its verdict as a dictionary."""
    ### BEGIN SOLUTION
    ours, theirs = (
        [r for r in rows if (r["arm"], r["protocol"], r["labels"]) == (name, protocol, labels)]
        for name in (arm, against)
    )
    pairs = paired(ours, theirs)
    found = list(pairs.values())
    low, high = interval(found) or (None, None)
    enough = len({seed for seed, _ in pairs}) >= 6
    return {
        **{"arm": arm, "against": against, "protocol": protocol, "labels": labels},
        **{"pairs": len(found), "mean": float(np.mean(found)), "low": low, "high": high},
        "verdict": verdict(found, min_effect) if enough else "cannot tell",
    }
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a5-6-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.study.statistics import interval as their_interval
from ssl3d_lite.study.statistics import verdict as their_verdict

checks = Checks()

COLUMNS = ("run", "arm", "protocol", "task", "labels", "seed", "fold", "steps", "score", "failure")


def line(arm, protocol, labels, seed, score, run="r1", steps="", failure="", fold=0):
    """A row of results.csv."""
    return f"{run},{arm},{protocol},,{labels},{seed},{fold},{steps},{score},{failure}"


def file_of(*lines):
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


@checks
def check_rows(text, runs, expected, what):
    """``expected``: (arm, protocol, labels, seed, fold, score) of each row that counts."""
    rows = read_rows(text, runs)
    found = [
        tuple(r[n] for n in ("arm", "protocol", "labels", "seed", "fold", "score")) for r in rows
    ]
    for each in found:
        assert each in expected, f"{what}: {each} should not count"
    for each in expected:
        assert each in found, f"{what}: {each} is missing (mind the kinds: seeds are integers)"
    assert len(found) == len(expected), f"{what}: a row is there twice: {sorted(found)}"
    assert all(set(COLUMNS) <= set(row) for row in rows), f"{what}: a row has lost a column"
    return rows


@checks
def check_mean(rows, arm, protocol, labels, scores):
    kept = copy.deepcopy(rows)
    mean, spread, number = mean_and_spread(rows, arm, protocol, labels)
    assert rows == kept, "the rows that you were given have been changed"
    what = f"{arm}, {protocol}, {labels} labels"
    assert number == len(scores), f"{what}: there are {len(scores)} scores, but you say {number}"
    assert np.isclose(mean, np.mean(scores)), (
        f"{what}: the mean is {np.mean(scores):.4f}, not {mean}"
    )
    if len(scores) == 1:
        assert spread is None, f"{what}: one score has no spread, but you say {spread}"
        return
    wanted = np.std(scores, ddof=1)
    assert spread is not None and np.isclose(spread, wanted), (
        f"{what}: the standard deviation of a sample is {wanted:.4f}, not {spread}"
    )


@checks
def check_statement(rows, ask, differences, min_effect, folds=1):
    kept = copy.deepcopy(rows)
    found = claim_of(rows, *ask, min_effect)
    assert rows == kept, "the rows that you were given have been changed"
    low, high = their_interval(differences) or (None, None)
    expected = dict(zip(("arm", "against", "protocol", "labels"), ask))
    expected |= {"pairs": len(differences), "mean": float(np.mean(differences))}
    enough = len(differences) >= 6 * folds
    word = their_verdict(differences, min_effect) if enough else "cannot tell"
    expected |= {"low": low, "high": high, "verdict": word}
    for name, right in expected.items():
        assert name in found, f"the statement lacks {name!r}"
        number = isinstance(right, float) and found[name] is not None
        alike = np.isclose(found[name], right) if number else found[name] == right
        assert alike, (
            f"{ask[0]} against {ask[1]}, differences {np.round(differences, 3).tolist()}, "
            f"{min_effect} worth having: {name} is {right}, but you say {found[name]}"
        )


example = file_of(
    line("cpc", "finetune", "2", 0, 0.60, steps=50),
    line("cpc", "convergence", "2", 0, 0.10, steps=20),
    line("scratch", "finetune", "2", 1, 0.52, steps=50),
    line("cpc", "finetune", "2", 1, "", failure="diverged"),
    line("cpc", "finetune", "2", 2, 0.30, run="old", steps=50),
    line("scratch", "finetune", "2", 0, 0.50, steps=50),
    line("cpc", "finetune", "2", 1, 0.57, steps=50),
    line("cpc", "finetune", "5", 0, 0.90, steps=50),
    line("scratch", "finetune", "2", 2, "nan", steps=50),
    line("cpc", "finetune", "2", 0, 0.64, steps=50),
)
rows = check_rows(
    example,
    {"r1"},
    [
        ("cpc", "convergence", "2", 0, 0, 0.1),
        ("scratch", "finetune", "2", 1, 0, 0.52),
        ("scratch", "finetune", "2", 0, 0, 0.5),
        ("cpc", "finetune", "2", 1, 0, 0.57),
        ("cpc", "finetune", "5", 0, 0, 0.9),
        ("cpc", "finetune", "2", 0, 0, 0.64),
    ],
    "the example",
)
given = [
    dict(zip(COLUMNS, ("r1", arm, protocol, "", labels, seed, 0, "", score, "")))
    for arm, protocol, labels, seed, score in (
        *(("cpc", "finetune", "2", seed, 0.5 + 0.04 * seed) for seed in (2, 0, 1)),
        *(("scratch", "finetune", "2", seed, 0.48 + 0.05 * seed) for seed in (0, 1, 2, 3)),
        *(("cpc", "convergence", "2", seed, 0.1) for seed in (0, 1, 2)),
        *(("cpc", "finetune", "5", seed, 0.9) for seed in (0, 1)),
        *(("scratch", "finetune", "5", seed, 0.7) for seed in (1, 5)),
        *(("cpc", "probe", "2", seed, 0.6 + 0.01 * seed) for seed in range(6)),
        *(("random", "probe", "2", seed, 0.5 + 0.02 * seed) for seed in range(6)),
    )
]
check_mean(given, "cpc", "finetune", "2", [0.58, 0.5, 0.54])
check_mean(given, "scratch", "finetune", "2", [0.48, 0.53, 0.58, 0.63])
check_statement(given, ("cpc", "scratch", "finetune", "2"), [0.02, 0.01, 0.0], 0.05)
check_statement(given, ("scratch", "cpc", "finetune", "2"), [-0.02, -0.01, 0.0], 0.02)
check_statement(given, ("cpc", "scratch", "finetune", "5"), [0.2], 0.02)
check_statement(
    given, ("cpc", "random", "probe", "2"), [0.1 - 0.01 * seed for seed in range(6)], 0.02
)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(61)
planned = [
    (arm, protocol, labels, seed, fold)
    for arm in ("masked", "2d-cpc", "random", "collapsed")
    for protocol in ("probe", "frozen")
    for labels in ("2", "10%")
    for seed in range(6 if labels == "2" else 4)
    for fold in range(2)
]
order = [planned[n] for n in rng.permutation(len(planned))]
scores = {place: round(float(rng.random()), 4) for place in order}
lines = [
    line(*place[:4], score, run=f"k{n % 7}", fold=place[4])
    for n, (place, score) in enumerate(scores.items())
]
others = [line(*place[:4], 0.5, run="k9", fold=place[4]) for place in order[:9]]
failed = [line(*place[:4], "", run="k1", failure="diverged", fold=place[4]) for place in order[:5]]
again = [line(*place[:4], 0.99, run="k1", fold=place[4]) for place in order[:6]]
kept = [(*place, score) for place, score in scores.items()]
runs = [f"k{n}" for n in range(7)]
typed = [
    dict(zip(COLUMNS, ("k", arm, protocol, "", labels, seed, fold, "", score, "")))
    for (arm, protocol, labels, seed, fold), score in scores.items()
]


def check_arms(check):
    for arm, against in (("masked", "random"), ("2d-cpc", "collapsed"), ("random", "masked")):
        for protocol, labels in (("probe", "10%"), ("frozen", "2")):
            units = [(s, fold) for s in range(6 if labels == "2" else 4) for fold in range(2)]
            found = [[scores[a, protocol, labels, *u] for u in units] for a in (arm, against)]
            check((arm, against, protocol, labels), *found)


def check_means(ask, ours, theirs):
    check_mean(typed, ask[0], *ask[2:], ours)


def check_statements(ask, ours, theirs):
    check_statement(typed, ask, [a - b for a, b in zip(ours, theirs)], 0.02, folds=2)


def check_gains(gains, min_effect):
    pairs = [
        dict(zip(COLUMNS, ("k", arm, "probe", "", "2", seed, 0, "", score, "")))
        for seed, gain in enumerate(gains)
        for arm, score in (("cpc", 0.4 + 0.1 * seed + gain), ("random", 0.4 + 0.1 * seed))
    ]
    check_statement(pairs, ("cpc", "random", "probe", "2"), gains, min_effect)


with checks.core():
    check_rows(file_of(*lines), runs, kept, "all of this study")
    check_rows(file_of(*others, *lines), runs, kept, "other settings before")
with checks.further("failures, and what was done again"):
    check_rows(file_of(*others, *failed, *lines), runs, kept, "failures before")
    check_rows(file_of(*again, *lines, *failed), runs, kept, "done again; failures after")
with checks.further("nothing of this study"):
    check_rows(file_of(*others), runs, [], "other settings alone")
with checks.further("other steps are other rows"):
    stepped = [line("cpc", "finetune", "2", 0, 0.4, steps=s) for s in (10, 20)]
    check_rows(file_of(*stepped), ["r1"], [("cpc", "finetune", "2", 0, 0, 0.4)] * 2, "two steps")
with checks.further("mean and spread"):
    check_arms(check_means)
with checks.further("one score"):
    alone = typed[0]
    check_mean([alone], alone["arm"], alone["protocol"], alone["labels"], [alone["score"]])
with checks.further("claims with several folds"):
    check_arms(check_statements)
with checks.further("verdicts"):
    check_gains([0.1, 0.12, 0.11, 0.1, 0.11, 0.12], 0.02)
    check_gains([0.01, 0.012, 0.011, 0.01, 0.011, 0.012], 0.02)
    check_gains([0.0, 0.01, -0.01, 0.0, 0.005, 0.0, 0.01], 0.03)
    check_gains([0.0, 0.01, -0.01, 0.0, 0.005, 0.0, 0.01], 0.005)
    check_gains([0.3, -0.2, 0.25, 0.1, -0.1, 0.05], 0.03)
with checks.further("too few pairs"):
    check_gains([0.1, 0.12, 0.11, 0.1, 0.11], 0.02)
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# Now run your study. What is there already is not run again, so the cell may be stopped and started
# anew. Everything it writes lies in `runs/a5`: your `my_study.toml`, and for each scale a folder
# with `results.csv`.

# %% tags=["show"]
folder = Path("runs/a5")
folder.mkdir(parents=True, exist_ok=True)
(folder / "my_study.toml").write_text(MY_STUDY)
study = read_study(folder / "my_study.toml", scale())
results = run_study(study, folder / scale(), cohort=cohort.folder)

# %% [markdown]
# Your functions on your file: an arm a line, the floor first, then the claim that you wrote down,
# and after it the same comparison for the control that learns nothing.

# %% tags=["show"]
text = (folder / scale() / "results.csv").read_text()
rows = read_rows(text, set(results.facts["runs"]))
ask = (MY_CLAIM["protocol"], MY_CLAIM["labels"])
print(f"{ask[0]}, {ask[1]} labelled scans, mean Dice")
for arm in ("place", *study.arms):
    if any((row["arm"], row["protocol"], row["labels"]) == (arm, *ask) for row in rows):
        mean, spread, number = mean_and_spread(rows, arm, *ask)
        print(f"  {arm:14} {mean:.3f} ± {spread or math.nan:.3f} ({number})")
compared = [(MY_CLAIM["arm"], MY_CLAIM["against"])]
if not MY_CLAIM["against"].startswith(("collapsed", "2d-collapsed")):
    controls = [a.name for a in study.parsed_arms() if a.source == "collapsed"]
    compared += [(name, MY_CLAIM["against"]) for name in controls[:1]]
effects = []
for ours, theirs in compared:
    statement = claim_of(rows, ours, theirs, *ask, study.min_effect)
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in statement.items()})
    sides = [results.of(ask[0], name, (ask[1],)) for name in (ours, theirs)]
    singles, ends = list(paired(*sides).values()), (statement["low"], statement["high"])
    effects.append(show.Effect(ours, statement["mean"], ends, singles, statement["verdict"]))
show.forest({f"against {MY_CLAIM['against']}": effects}, study.min_effect)

# %% [markdown]
# *What to look at:* the small dots are single pairs. Does the control gain anything in the same
# comparison? Then that much comes from something else than the puzzle. The library's own tables and
# verdicts, of this and of all other claims, which also count patients, failures and the floor:

# %% tags=["show"]
from ssl3d_lite.study.tables import table_text

display(Markdown(table_text(results)))

# %% [markdown]
# What does your judge of part 4 say of your own study?

# %% tags=["show"]
print(", ".join(unfairness(runs_of(study))) or "fair")

# %% [markdown]
# ## Part 7: your claim, defended (30 points)
#
# Write, in at most 400 words, what your study found of the claim in `MY_CLAIM`. Take the results of
# the largest scale that you ran, and say which it was; a study that runs for ten minutes may well
# be undecided, or unable to tell, and to say so is a full answer. A person reads it. What is asked:
#
# 1. **The claim**, in one sentence that could turn out false, and why you chose it before the run.
# 2. **The evidence**, from your own results: means with their spread, place alone beside them, the
#    mean paired difference with its interval, how many pairs and how many failed, and the library's
#    verdict with its reason. Numbers as printed above.
# 3. **The controls**: what place alone and the random, collapsed and scratch arms rule out, and
#    what they do not.
# 4. **Fairness**: what all arms shared, and what could still be unequal.
# 5. **Its limits**: to which scans, networks, numbers of labels and steps the verdict extends. How
#    many pairs, or what else, would decide it?
# 6. **Against yourself**: the strongest objection to your verdict, and your answer.

# %% [markdown] nbgrader={"grade": true, "grade_id": "a5-7-answer", "locked": false, "points": 30, "schema_version": 3, "solution": true, "task": false}
# *What did your study find of your claim, and how far does it carry?*
#
# ### BEGIN SOLUTION
# For the lecturer. Ask first for the student's results.csv, or read the printed table above: a
# number in the answer that cannot be found there earns nothing. No verdict is better than another.
#
# - **Claim, 4 points.** One arm, one baseline, one protocol, one number of labels, a direction (2). A
#   reason that does not come from the results (1). It is the claim of MY_CLAIM (1).
# - **Evidence, 8 points.** Both means with their spread and number, and place alone (2). Mean of
#   the paired differences with its interval, of what it is one, and number of pairs and failures
#   (3). The verdict with its reason (2); "holds" with fewer than six seeds, below the floor or
#   where the interval reaches below zero, or "shows no effect" for undecided: 0 of these 2. Single
#   seeds are shown or named, also those that point the other way (1).
# - **Controls, 6 points.** Place: what no look at the scan scores; below it nothing was learnt (1).
#   Random: untrained features already carry much, and the kind changes how much (2). Collapsed:
#   training that learns nothing; its gain is what the puzzle does not explain (1). Scratch: answers
#   for fine-tuning only, and has no say in the probe (1). What they leave open is named, such as
#   another proxy task that would do as well (1).
# - **Fairness, 4 points.** Shared: labelled scans by seed, start, order of batches, steps, split
#   (2). Not shared or not checked: time or operations a step, tuning of settings, task settings,
#   the warm-up that pretrained encoders alone have (2, for any two of them).
# - **Limits, 4 points.** Virtual scans are warps of one template (1). Few labels, a small network,
#   few steps: no word about more of them (1). Seeds are not patients: all pairs share one test set,
#   so an interval over seeds leaves out what other test patients would do (1). What would decide
#   it, with a number, such as the gain that the study could have found (1).
# - **Objection, 4 points.** It is about this study and would change the verdict if it were true
#   (2). The answer comes from results or from a run that could be made (2).
#
# Deduct up to 3 points beyond 400 words. "Undecided" or "cannot tell", well argued, earns 30.
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# A split, an interval, a judge, a study and a claim of your own. Compare your judge with what
# `ssl3d_lite/study/leakage.py` and `settings.py` refuse, your interval and `decide` with
# `statistics.py`, and your `conclude` with `verdicts.py` in the same folder.
#
# ## References
#
# Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993. Obuchowski and Rockette,
# Communications in Statistics: Simulation 24, 1995. Hillis, Statistics in Medicine 26, 2007.
# Bouthillier et al., *Accounting for Variance in Machine Learning Benchmarks*, MLSys 2021.
# Varoquaux and Cheplygina, *Machine Learning for Medical Imaging*, npj Digital Medicine 2022. Taleb
# et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.
