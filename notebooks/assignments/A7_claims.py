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
# # Assignment 7: is this claim true?
#
# **You will show that you can:** read a stored study; measure what may be wrong with it, so that a
# suspicion becomes a number; take away what is wrong and look at what is left; and say of a claim
# that it holds, that it does not hold, or that nobody can tell from these rows.
#
# **Time:** three to four hours. **Read first:** notebooks 12 (weak baselines) and 13 (leakage).
# Assignment 5 has the words *paired*, *interval* and *verdict*. **Points:** 100, in eight parts.
# The last one is read by a person.
#
# | part | what you write | points |
# |---|---|---|
# | 1 | from rows to a table of differences | 12 |
# | 2 | what so many values are worth | 12 |
# | 3 | patients on both sides | 10 |
# | 4 | labels that nobody counted | 8 |
# | 5 | the strongest baseline | 10 |
# | 6 | the luck of the best seed | 10 |
# | 7 | a verdict | 13 |
# | 8 | your eight studies, judged | 25 |
#
# **How it works.** Write your code where it says `YOUR CODE HERE` and take out the line that raises
# `NotImplementedError`. The cell behind each part checks it and says what is wrong. The grader
# runs the same checks and some more, with other studies, so do not write for the examples. Keep
# names and arguments as they are. Changes to the check cells are undone before grading. The parts
# do not depend on each other: a part that you cannot solve costs its own points and no others.
# Before you hand in: *Kernel → Restart and run all*. That goes on past checks that fail. The grader
# gives your notebook five minutes, a cell 75 seconds, and all cells that you added half of the time
# together.
#
# What must be right everywhere: a function never changes what it is given.

# %%
# %matplotlib inline

# %%
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import integrate, stats

import ssl3d_lite as ssl3d
from ssl3d_lite.study.flawed import write_flawed_studies
from ssl3d_lite.study.statistics import multi_reader

# %% [markdown]
# Eight research groups have sent you their results. Each one claims that pretraining by CPC gains
# Dice over training from scratch, **with two labelled scans**. Some of them are right. Some made a
# mistake, and a mistake often does more for a score than a good idea does.
#
# Which groups you get depends on your name: write your user name of the course here, so that you
# and your lecturer look at the same studies. Others have others, in another order.

# %%
NAME = "your user name"

# %% [markdown]
# A study is a folder in the house's format, as `ssl3d study` leaves it, and two more files:
#
# | file | what is in it |
# |---|---|
# | `results.csv` | a row a run: arm, labels, seed, score … |
# | `patients.csv` | the score of each test patient in each run |
# | `study.json` | the study's settings, and facts of its data |
# | `scans.csv` | every scan, its patient, and the side on which it stands |
# | `claim.json` | what the group says: arm, against whom, with how many labels, and the gain |
#
# `load_results` reads the first three. Each of its `rows` is a dictionary; with `case_scores`, a
# test patient's score by the patient's name.

# %% tags=["show"]
folders = write_flawed_studies(NAME, Path("runs/a7") / NAME)
stored = {}
for place in folders:
    with open(place / "scans.csv") as file:
        scans = list(csv.DictReader(file))
    claim = json.loads((place / "claim.json").read_text())
    stored[place.name] = {
        **{"rows": ssl3d.study.load_results(place).rows, "scans": scans, "claim": claim}
    }
    print(
        f"{place.name}: {claim['arm']} gains {claim['gain']:+.3f} ({claim['low']:+.3f} to "
        f"{claim['high']:+.3f}) over {claim['against']} with {claim['labels']} labelled scans"
    )
print("\na row:", {k: v for k, v in stored["A"]["rows"][0].items() if k != "case_scores"})

# %% [markdown]
# **Before you write anything:** which of the eight would you believe? Write it down. All but one
# or two of the intervals lie above zero.
#
# ## Part 1: from rows to a table of differences (12 points)
#
# Everything begins with a table: a row a seed, a column a test patient, and in each cell by how
# much one arm is ahead. With the same seed both arms had the same labelled scans and the same order
# of batches, so what luck they brought is gone in the difference.
#
# Write `table_of`. A *side* is a pair of an arm's name and a number of labels, such as
# `("cpc", "2")`. Only rows of the protocol `"finetune"` count, and only of these two sides. A run
# that failed has the score `None` and is left out. The table has the **seeds that both sides have**,
# and the **patients that all of these runs have**, both sorted. The rows come in no order.
#
# <details><summary>Hint</summary>
#
# First a dictionary a side, `{seed: case_scores}`. Then the seeds are `a.keys() & b.keys()`, and the
# patients `set.intersection(*…)` over all runs of these seeds.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a7-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def table_of(rows, ours, theirs):
    """By how much a side is ahead of another, seed by seed and patient by patient.

    Args:
        rows: dictionaries with protocol, arm, labels, seed, score and case_scores.
        ours, theirs: sides, each a pair of an arm and a number of labels.

    Returns:
        Three lists: the seeds; the patients; and for each seed a list of differences, ours minus
        theirs, one a patient.
    """
    ### BEGIN SOLUTION
    a, b = (
        {
            row["seed"]: row["case_scores"]
            for row in rows
            if (row["arm"], row["labels"]) == side
            and row["protocol"] == "finetune"
            and row["score"] is not None
        }
        for side in (tuple(ours), tuple(theirs))
    )
    seeds = sorted(a.keys() & b.keys())
    patients = sorted(set.intersection(*(set(side[seed]) for seed in seeds for side in (a, b))))
    return seeds, patients, [[a[seed][each] - b[seed][each] for each in patients] for seed in seeds]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-1-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.study.flawed import flawed_study

checks = Checks()


def run_of(arm, labels, seed, scores, protocol="finetune", failed=False):
    """A row of results: the scores of patients, or none if the run failed."""
    told = {"arm": arm, "labels": labels, "seed": seed, "protocol": protocol}
    if failed:
        return told | {"score": None, "case_scores": {}, "failure": "diverged"}
    return told | {"score": float(np.mean(list(scores.values()))), "case_scores": dict(scores)}


def right_table(rows, ours, theirs):
    """From the rows, the slow way."""
    kept = [r for r in rows if r["protocol"] == "finetune" and r["score"] is not None]
    a, b = ([r for r in kept if (r["arm"], r["labels"]) == side] for side in (ours, theirs))
    seeds = sorted({r["seed"] for r in a} & {r["seed"] for r in b})
    a, b = ([r for r in side if r["seed"] in seeds] for side in (a, b))
    patients = sorted(set(a[0]["case_scores"]).intersection(*(r["case_scores"] for r in [*a, *b])))
    find = [{r["seed"]: r["case_scores"] for r in side} for side in (a, b)]
    return seeds, patients, [[find[0][s][p] - find[1][s][p] for p in patients] for s in seeds]


@checks
def check_table(rows, ours, theirs, what):
    kept = copy.deepcopy(rows)
    found = table_of(rows, ours, theirs)
    assert rows == kept, f"{what}: the rows that you were given have been changed"
    assert len(found) == 3, f"{what}: return three lists: seeds, patients, differences"
    seeds, patients, table = right_table(rows, ours, theirs)
    assert list(found[0]) == seeds, (
        f"{what}: both sides have the seeds {seeds}, and you say {list(found[0])}"
    )
    assert list(found[1]) == patients, (
        f"{what}: all runs have the patients {patients}, and you say {list(found[1])}"
    )
    mine = np.asarray(found[2], float)
    assert mine.shape == (len(seeds), len(patients)), (
        f"{what}: the table has {len(seeds)} rows, of seeds, and {len(patients)} columns, of "
        f"patients, but the shape of yours is {mine.shape}"
    )
    assert not np.allclose(mine, -np.asarray(table)) or np.allclose(table, 0), (
        f"{what}: the signs are turned round: positive where ours is ahead"
    )
    for seed, row, right in zip(seeds, mine, table):
        for patient, value, wanted in zip(patients, row, right):
            assert abs(value - wanted) < 1e-9, (
                f"{what}: seed {seed}, patient {patient}: the difference is {wanted:+.4f}, and you "
                f"say {value:+.4f}"
            )


small = [
    run_of("cpc", "2", 1, {"p2": 0.5, "p1": 0.7}),
    run_of("scratch", "2", 0, {"p1": 0.4, "p2": 0.3}),
    run_of("cpc", "2", 0, {"p1": 0.6, "p2": 0.9}),
    run_of("scratch", "2", 1, {"p1": 0.65, "p2": 0.6}),
    run_of("cpc", "5", 0, {"p1": 0.1, "p2": 0.1}),
    run_of("cpc", "2", 0, {"p1": 0.2, "p2": 0.2}, protocol="convergence"),
]
check_table(small, ("cpc", "2"), ("scratch", "2"), "two seeds, two patients")
more = [
    *small,
    run_of("scratch", "2", 2, {"p1": 0.4, "p2": 0.4}),
    run_of("cpc", "2", 3, {}, failed=True),
    run_of("scratch", "2", 3, {"p1": 0.4, "p2": 0.4}),
    run_of("cpc", "2", 4, {"p1": 0.4, "p2": 0.5, "p0": 0.9}),
    run_of("scratch", "2", 4, {"p1": 0.4, "p2": 0.4}),
]
check_table(more, ("cpc", "2"), ("scratch", "2"), "a failed run, a seed and a patient of one side")
check_table(small, ("cpc", "5"), ("scratch", "2"), "sides with other numbers of labels")
### BEGIN HIDDEN TESTS


def both_sides(*labels):
    for ours, theirs in labels:
        yield ("cpc", ours), ("scratch", theirs), f"cpc {ours} against scratch {theirs}"


rng = np.random.default_rng(7)
odd = [
    run_of(arm, "10%", seed, {f"p{n}": float(rng.random()) for n in rng.permutation(12)[:9]})
    for arm in ("masked", "scratch")
    for seed in (3, 11, 20)
]
names = [f"p{n}" for n in range(4)]
whole = [
    run_of(arm, "10%", seed, dict(zip(names, rng.random(4).tolist())))
    for seed in (20, 3, 11)
    for arm in ("masked", "scratch")
]
asked = ("masked", "10%"), ("scratch", "10%")
with checks.core():
    check_table(whole, *asked, "three seeds, four patients")
    check_table(whole, *asked[::-1], "sides changed")
with checks.further("whole studies"):
    for flaw, seed in (("none", 101), ("leakage", 102), ("hidden labels", 103)):
        rows = flawed_study(flaw, seed).rows
        for each in both_sides(("2", "2"), ("2", "20")):
            check_table(rows, *each)
with checks.further("another protocol"):
    probes = [run_of(row["arm"], "10%", row["seed"], {"p0": 0.5}, "probe") for row in whole]
    check_table([*whole, *probes], *asked, "probes beside fine-tuning")
with checks.further("runs that lack some patients"):
    check_table(odd, *asked, "nine of twelve patients")
with checks.further("runs that failed, and seeds of one side"):
    failed = [run_of("masked", "10%", 30, {}, failed=True), run_of("scratch", "10%", 30, {"p0": 1})]
    lone = [run_of("scratch", "10%", 40, dict.fromkeys(names, 0.5))]
    check_table([*failed, *whole, *lone], *asked, "a failed run and a lone seed")
### END HIDDEN TESTS
checks.end(points=12)

# %% [markdown]
# ## Part 2: what so many values are worth (12 points)
#
# Ten seeds and 24 patients are 240 differences. A group that takes them for 240 **independent**
# values reports
#
# $$\bar d \pm t_{(1+c)/2,\;n-1}\,\frac{s}{\sqrt n},$$
#
# with $n$ values, their mean $\bar d$, and their deviation $s$ as that of a sample ($s^2$ is divided
# by $n - 1$). But a patient with a clear scan is easy for all ten seeds. Asking ten networks about
# one patient does not make ten patients. The interval over seeds *and* patients of Assignment 5
# knows that; the library has it as `multi_reader(table)`, with `.interval()` and
# `.standard_error`.
#
# Write `pooled_interval`, the formula above: then you can tell who has used it. And write `worth`:
# **how many independent values would give the standard error that the table really has?** With one
# value's deviation $s$ and $m$ independent values it would be $s/\sqrt m$. Solve for $m$, with the
# library's standard error.
#
# **Think before you write:** patients differ, seeds do not. What is the worth of 10 seeds × 24
# patients then, about?
#
# <details><summary>Hint</summary>
#
# `np.asarray(table).ravel()`; `stats.t.ppf(p, df)`; `std(ddof=1)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a7-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pooled_interval(table, confidence=0.95):
    """The mean's interval as if all cells were independent: its low and its high end.

    Args:
        table: differences, a list of seeds, each a list of patients.
    """
    ### BEGIN SOLUTION
    values = np.asarray(table, float).ravel()
    number = len(values)
    half = stats.t.ppf((1 + confidence) / 2, number - 1) * values.std(ddof=1) / number**0.5
    return float(values.mean() - half), float(values.mean() + half)
    ### END SOLUTION


def worth(table):
    """How many independent values the table is worth, a number that need not be whole."""
    ### BEGIN SOLUTION
    values = np.asarray(table, float)
    return float(values.var(ddof=1) / multi_reader(values).standard_error ** 2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-2-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
import numpy as np
from scipy import stats

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.study.statistics import multi_reader

checks = Checks()


def made_up(seeds, patients, by_seed, by_patient, rest, mean=0.02, seed=0):
    """A table with deviations from seed to seed, from patient to patient, and of the rest."""
    rng = np.random.default_rng(seed)
    values = mean + rng.normal(0, rest, (seeds, patients))
    values += rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, by_patient, (1, patients))
    return values.tolist()


@checks
def check_pooled(table, **confidence):
    values = np.asarray(table)
    low, high = pooled_interval(table, **confidence)
    level = confidence.get("confidence", 0.95)
    flat = values.ravel()
    right = stats.t.interval(level, len(flat) - 1, flat.mean(), stats.sem(flat))
    for end, mine, wanted in (("low", low, right[0]), ("high", high, right[1])):
        assert abs(mine - wanted) < 1e-6, (
            f"{values.shape[0]} seeds × {values.shape[1]} patients, {level:.0%}: with {flat.size} "
            f"values the {end} end is {wanted:.5f}, and you say {mine:.5f}"
        )


@checks
def check_worth(table):
    values = np.asarray(table)
    found = float(worth(table))
    error = multi_reader(values).standard_error
    right = values.var(ddof=1) / error**2
    assert abs(found - right) < 1e-4 * right, (
        f"{values.shape[0]} seeds × {values.shape[1]} patients: a single value has the deviation "
        f"{values.std(ddof=1):.4f}, the mean the standard error {error:.4f}, so the table is worth "
        f"{right:.2f} values, and you say {found:.2f}"
    )


check_pooled([[0.1, 0.2], [0.3, 0.2]])
check_pooled(made_up(6, 12, 0.01, 0.05, 0.02), confidence=0.8)
check_worth([[0.1, 0.2, 0.3], [0.3, 0.2, 0.5]])
check_worth(made_up(10, 24, 0.0, 0.05, 0.01))
### BEGIN HIDDEN TESTS
TABLES = [
    made_up(*shape, *parts, mean=0.3 * number - 0.2, seed=40 + number)
    for number, (shape, parts) in enumerate(
        (((2, 3), (0.1, 0.1, 0.1)), ((10, 24), (0.03, 0.06, 0.03)), ((4, 30), (0.2, 0.0, 0.01)))
    )
]
with checks.core():
    for each in TABLES:
        check_pooled(each)
with checks.further("another confidence"):
    for each in TABLES:
        check_pooled(each, confidence=0.5)
        check_pooled(each, confidence=0.99)
with checks.further("what a table is worth"):
    for each in TABLES:
        check_worth(each)
### END HIDDEN TESTS
checks.end(points=12)

# %% [markdown]
# ## Part 3: patients on both sides (10 points)
#
# Scans have names, and so do patients. A group that deals *scans* to the sides has patients on two
# of them, and a network may then remember a tested patient. `scans.csv` says for each scan the
# patient and the `side`: `test`, or one that was **seen** in some way: `train`, `validation` (by
# which checkpoints may be chosen) or `pretrain`.
#
# Write `shared_patients`: the sorted names of all who are tested on and were seen as well, each
# once. Then `gains_of`: the mean difference over the shared patients, and that over all others. If
# the gain lives in the shared patients alone, you have found more than a fault of form. Where there
# are none of a kind, the mean is `None`.
#
# **Think before you write:** a patient is pretrained on, without any label. Does that matter?


# %% nbgrader={"grade": false, "grade_id": "a7-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shared_patients(scans):
    """Names of the patients who are tested on and were seen before, sorted.

    Args:
        scans: dictionaries with scan, patient and side.
    """
    ### BEGIN SOLUTION
    tested = {scan["patient"] for scan in scans if scan["side"] == "test"}
    seen = {scan["patient"] for scan in scans if scan["side"] != "test"}
    return sorted(tested & seen)
    ### END SOLUTION


def gains_of(table, patients, shared):
    """The mean difference over shared patients, and over all others.

    Args:
        table: differences, a list of seeds, each a list of patients.
        patients: names of the table's columns.
        shared: names of some patients; there may be others among them.

    Returns:
        A pair of numbers; ``None`` for a kind that has no patient.
    """
    ### BEGIN SOLUTION
    values, among = np.asarray(table, float), np.isin(patients, list(shared))
    parts = values[:, among], values[:, ~among]
    return tuple(float(part.mean()) if part.size else None for part in parts)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-3-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.study.flawed import flawed_study

checks = Checks()


def scans_of(*sides):
    """Scans from pairs of a patient and a side."""
    return [
        {"scan": f"scan_{n:02}", "patient": patient, "side": side}
        for n, (patient, side) in enumerate(sides)
    ]


@checks
def check_shared(scans, what):
    kept = copy.deepcopy(scans)
    found = list(shared_patients(scans))
    assert scans == kept, f"{what}: the scans that you were given have been changed"
    tested = {s["patient"] for s in scans if s["side"] == "test"}
    right = sorted(tested & {s["patient"] for s in scans if s["side"] != "test"})
    for each in right:
        where = sorted({s["side"] for s in scans if s["patient"] == each})
        assert each in found, f"{what}: {each} stands in {' and in '.join(where)}: that is shared"
    for each in found:
        assert each in right, f"{what}: {each} is not tested on, or was not seen"
    assert found == right, f"{what}: the names are {right}, each once and sorted, not {found}"


@checks
def check_gains(table, patients, shared, what):
    kept = copy.deepcopy(table)
    found = tuple(gains_of(table, patients, shared))
    assert table == kept, f"{what}: the table that you were given has been changed"
    for kind, mine, wanted in zip(("shared", "other"), found, (True, False)):
        cells = [row[n] for row in table for n, p in enumerate(patients) if (p in shared) == wanted]
        if not cells:
            assert mine is None, f"{what}: there are no {kind} patients, so the mean is None"
            continue
        assert mine is not None and abs(mine - np.mean(cells)) < 1e-9, (
            f"{what}: over the {kind} patients the mean is {np.mean(cells):+.4f}, you say {mine}"
        )


check_shared(scans_of(("a", "test"), ("b", "train"), ("b", "train"), ("a", "test")), "no leak")
check_shared(
    scans_of(("c", "test"), ("b", "train"), ("c", "train"), ("a", "pretrain"), ("a", "test")),
    "one patient is trained on, one pretrained on",
)
check_gains([[0.1, 0.2, 0.6], [0.1, 0.0, 0.4]], ["a", "b", "c"], ["c"], "one of three is shared")
check_gains([[0.1, 0.2], [0.1, 0.0]], ["a", "b"], [], "nobody is shared")
### BEGIN HIDDEN TESTS
with checks.core():
    for number in range(5):
        drawn = np.random.default_rng(number).integers(0, 9, 12)
        sides = zip(drawn, ("train", "test", "pretrain", "test") * 3)
        check_shared(scans_of(*((f"p{n}", side) for n, side in sides)), "twelve scans")
with checks.further("patients that one chose by"):
    check_shared(
        scans_of(
            *(("z", "test"), ("y", "validation"), ("y", "test"), ("z", "validation")),
            ("z", "test"),
        ),
        "two patients are chosen by",
    )
with checks.further("names that look alike"):
    check_shared(scans_of(("p1", "test"), ("p11", "train"), ("P1", "train")), "three names")
with checks.further("nobody is tested on"):
    check_shared(scans_of(("a", "train"), ("a", "pretrain")), "two sides, no test")
with checks.further("everybody is shared"):
    check_gains([[0.3], [0.5]], ["a"], ["a", "b"], "one patient")
with checks.further("whole studies"):
    for flaw, seed in (("leakage", 201), ("leakage", 202), ("none", 203)):
        study = flawed_study(flaw, seed)
        check_shared(study.scans, f"study {seed}")
        names, rng = list(study.rows[0]["case_scores"]), np.random.default_rng(seed)
        made = rng.normal(0, 0.1, (7, len(names))).tolist()
        tested = {s["patient"] for s in study.scans if s["side"] == "test"}
        seen = {s["patient"] for s in study.scans if s["side"] != "test"}
        check_gains(made, names, sorted(tested & seen), f"study {seed}")
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# ## Part 4: labels that nobody counted (8 points)
#
# "With two labelled scans" is what the groups say. A checkpoint that was **chosen by validation
# scans** has used their labels too: somebody had to draw them. A row says how many scans it was
# trained on (`scans`), and `best_step` is the step whose weights were chosen by validation; it is
# `None` where the last weights were taken.
#
# Write `labels_used`: of a side, how many labelled scans its runs have used in truth. That are the
# scans trained on, and the validation scans **if any** of its runs chose by them. Only rows of the
# protocol `"finetune"` count.
#
# **Think before you write:** step 0 is a step.


# %% nbgrader={"grade": false, "grade_id": "a7-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def labels_used(rows, side, validation):
    """How many labelled scans the runs of a side have used.

    Args:
        rows: dictionaries with protocol, arm, labels, scans and best_step.
        side: a pair of an arm and a number of labels, which has one row at least.
        validation: how many validation scans there are.

    Returns:
        A whole number.
    """
    ### BEGIN SOLUTION
    own = [
        row
        for row in rows
        if (row["arm"], row["labels"]) == tuple(side) and row["protocol"] == "finetune"
    ]
    chosen = any(row["best_step"] is not None for row in own)
    return max(row["scans"] for row in own) + (validation if chosen else 0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-4-tests", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
import numpy as np

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.study.flawed import flawed_study

checks = Checks()


def used_row(arm, labels, scans, best_step=None, protocol="finetune"):
    return {
        **{"arm": arm, "labels": labels, "scans": scans, "best_step": best_step},
        **{"protocol": protocol, "seed": 0, "score": 0.5},
    }


@checks
def check_used(rows, side, validation, right, what):
    found = labels_used(rows, side, validation)
    assert found == right, (
        f"{what}: {side[0]} with {side[1]!r} has used the labels of {right} scans, you say {found}"
    )


mixed = [
    used_row("cpc", "2", 2, best_step=30),
    used_row("cpc", "5", 5),
    used_row("scratch", "2", 2),
    used_row("cpc", "2", 2),
    used_row("scratch", "2", 2, best_step=10, protocol="probe"),
    used_row("scratch", "10%", 12, best_step=0),
]
check_used(mixed, ("cpc", "2"), 18, 20, "one of two runs chose by 18 validation scans")
check_used(mixed, ("cpc", "5"), 18, 5, "nobody chose")
check_used(mixed, ("scratch", "2"), 18, 2, "a probe chose, fine-tuning did not")
check_used(mixed, ("scratch", "10%"), 18, 30, "step 0 was chosen; 10 % are 12 scans")
### BEGIN HIDDEN TESTS
with checks.core():
    for flaw, seed, more in (("hidden labels", 301, 25), ("none", 302, 0), ("leakage", 303, 0)):
        rows = flawed_study(flaw, seed).rows
        for labels, scans in (("2", 2), ("5", 5), ("20", 20)):
            check_used(rows, ("cpc", labels), 25, scans + more, f"study {seed}")
            check_used(rows, ("scratch", labels), 25, scans, f"study {seed}")
for what, side, scans, chose in (
    *(
        ("one of two runs chose", ("cpc", "2"), 2, 1),
        ("step 0 was chosen", ("scratch", "10%"), 12, 1),
    ),
    ("a probe chose, fine-tuning did not", ("scratch", "2"), 2, 0),
):
    with checks.further(what):
        for validation in (1, 40):
            check_used(mixed, side, validation, scans + chose * validation, "in the order given")
            check_used(mixed[::-1], side, validation, scans + chose * validation, "another order")
### END HIDDEN TESTS
checks.end(points=8)

# %% [markdown]
# ## Part 5: the strongest baseline (10 points)
#
# Who compares with a weak network gains much. And who used twenty labels must be compared with one
# who had twenty. So: among all sides of the baselines, which is the one to beat?
#
# Write `strongest`. Each of `sides` is a dictionary with `arm`, `labels`, the number `used` of
# labelled scans, and the list of its `scores`, one a run; a run that failed has `None` there and
# does not count. Only sides with a score count. Of these, take
#
# 1. those that used **at least** as many labels as `used` says: fewer would be no fair comparison;
# 2. of those, the ones that used the fewest;
# 3. of those, the one with the highest mean score.
#
# Return the pair of its arm and labels, or `None` if there is none: then the rows cannot answer.
#
# **Think before you write:** picking the best of several baselines by their test scores favours the
# baseline a little. Who should have the benefit of the doubt, the claim or the control?


# %% nbgrader={"grade": false, "grade_id": "a7-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def strongest(sides, used):
    """The baseline to beat with so many labels.

    Args:
        sides: dictionaries with arm, labels, used and scores.
        used: how many labelled scans the claim's own arm has used.

    Returns:
        The pair (arm, labels), or ``None``.
    """
    ### BEGIN SOLUTION
    known = [
        (side["used"], -np.mean([s for s in side["scores"] if s is not None]), side)
        for side in sides
        if side["used"] >= used and any(s is not None for s in side["scores"])
    ]
    if not known:
        return None
    best = min(known, key=lambda each: each[:2])[2]
    return best["arm"], best["labels"]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-5-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np

from ssl3d_lite.course.checks import Checks

checks = Checks()


def one_side(arm, labels, used, *scores):
    return {"arm": arm, "labels": labels, "used": used, "scores": list(scores)}


@checks
def check_strongest(sides, used, right, what):
    kept = copy.deepcopy(sides)
    found = strongest(sides, used)
    assert sides == kept, f"{what}: the sides that you were given have been changed"
    if right is None:
        assert found is None, f"{what}: no baseline has used {used} labels, but you say {found}"
        return
    assert found is not None and tuple(found) == right, (
        f"{what}: with {used} labels used, the one to beat is {right}, and you say {found}"
    )


sides = [
    one_side("scratch@plain", "2", 2, 0.4, 0.5),
    one_side("scratch", "2", 2, 0.6, None, 0.5),
    one_side("scratch", "20", 20, 0.7, 0.8),
    one_side("scratch@plain", "20", 20, 0.9, 0.4),
    one_side("scratch", "5", 5, 0.61),
]
check_strongest(sides, 2, ("scratch", "2"), "a failed run")
check_strongest(sides, 20, ("scratch", "20"), "the best mean, not the best run")
check_strongest(sides, 6, ("scratch", "20"), "at least as many labels")
check_strongest(sides, 21, None, "nobody had so many")
### BEGIN HIDDEN TESTS


def check_drawn(rng, extra):
    """Nine baselines; all their scores are there."""
    many = [
        one_side(f"arm{n}", str(labels), int(labels + more), *rng.random(4).tolist())
        for n, (labels, more) in enumerate(zip(rng.choice([2, 5, 20], 9), rng.choice(extra, 9)))
    ]
    asked = int(rng.integers(1, 20))
    enough = [side for side in many if side["used"] >= asked]
    least = min((side["used"] for side in enough), default=0)
    top = max(
        (s for s in enough if s["used"] == least), key=lambda s: sum(s["scores"]), default=None
    )
    check_strongest(many, asked, top and (top["arm"], top["labels"]), "nine baselines")


rng = np.random.default_rng(5)
with checks.core():
    for _ in range(20):
        check_drawn(rng, [0])
with checks.further("other numbers of labels"):
    for _ in range(20):
        check_drawn(rng, [0, 18])
with checks.further("another order"):
    for shift in range(5):
        turned = sides[shift:] + sides[:shift]
        check_strongest(turned, 3, ("scratch", "5"), "the fewest that are enough")
        check_strongest(turned, 1, ("scratch", "2"), "fewer than anybody used")
zeros = [one_side("a", "2", 2, 0.3, 0.0), one_side("b", "2", 2, 0.2), one_side("c", "2", 2, None)]
with checks.further("a score of 0"):
    check_strongest(zeros, 2, ("b", "2"), "0 is a score")
with checks.further("runs that failed"):
    check_strongest(zeros[2:], 2, None, "all runs failed")
with checks.further("no baseline"):
    check_strongest([], 2, None, "an empty list")
    check_strongest(sides, 21, None, "none that used so many labels")
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# ## Part 6: the luck of the best seed (10 points)
#
# Ten networks were trained and one is reported: the best. Nothing in its row is false. But the best
# of $S$ is ahead of the mean by luck alone. If seeds differ with the deviation $\sigma$, then it is
# ahead by $\sigma\, m_S$ on average, with
#
# $$m_S = S \int_{-\infty}^{\infty} x\, \varphi(x)\, \Phi(x)^{S-1}\, \mathrm{d}x,$$
#
# $\varphi$ the density of the standard normal distribution and $\Phi$ its distribution function.
#
# Write `luck`. Of the reported gain and the table it returns a dictionary:
#
# - `mean`: the mean difference, over all seeds and patients;
# - `best`: that of the best seed, over its patients;
# - `excess`: by how much the report is above `mean`;
# - `by luck`: $\sigma\, m_S$, with $\sigma$ the deviation of the seeds' means as that of a sample
#   ($S - 1$); 0 of a single seed.
#
# **Think before you write:** what is $m_2$? ($1/\sqrt\pi$.) And is $m_{100}$ ten times $m_{10}$?
#
# <details><summary>Hint</summary>
#
# `integrate.quad(function, -10, 10)` gives the integral and its error.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a7-6-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def luck(reported, table):
    """How much of a reported gain is the luck of the best seed.

    Args:
        reported: the gain that a study reports.
        table: differences, a list of seeds, each a list of patients.

    Returns:
        A dictionary: ``mean``, ``best``, ``excess`` and ``by luck``.
    """
    ### BEGIN SOLUTION
    by_seed = np.asarray(table, float).mean(1)
    number, mean = len(by_seed), float(by_seed.mean())
    of_best = integrate.quad(
        lambda x: number * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** (number - 1), -10, 10
    )[0]
    spread = float(by_seed.std(ddof=1)) if number > 1 else 0.0
    told = {"mean": mean, "best": float(by_seed.max()), "excess": reported - mean}
    return told | {"by luck": spread * of_best}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-6-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import copy

import numpy as np

from ssl3d_lite.course.checks import Checks

checks = Checks()

LEADS = {1: 0.0, 2: 0.564190, 3: 0.846284, 6: 1.267206, 10: 1.538753, 30: 2.042761}
"""The mean of the best of so many standard normal values."""


@checks
def check_luck(reported, table, what):
    kept = copy.deepcopy(table)
    found = luck(reported, table)
    assert table == kept, f"{what}: the table that you were given has been changed"
    seeds = [sum(row) / len(row) for row in table]
    number, mean = len(seeds), sum(seeds) / len(seeds)
    spread = (sum((s - mean) ** 2 for s in seeds) / (number - 1)) ** 0.5 if number > 1 else 0.0
    right = {"mean": mean, "best": max(seeds), "excess": reported - mean}
    right["by luck"] = spread * LEADS[number]
    for name, wanted in right.items():
        assert name in found, f"{what}: the dictionary lacks {name!r}"
        assert abs(found[name] - wanted) < 2e-5, (
            f"{what}: {name!r} is {wanted:.5f}, and you say {found[name]:.5f}; the seeds' means are "
            f"{[round(each, 4) for each in seeds][:6]}"
            + (
                f", and the best of {number} leads by {LEADS[number]:.3f} deviations"
                if name == "by luck"
                else ""
            )
        )


def seeds_and_patients(seeds, patients, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.01, 0.02, (seeds, 1)) + rng.normal(0, 0.05, (seeds, patients))
    return values.tolist()


check_luck(0.3, [[0.1, 0.5], [0.0, 0.2]], "two seeds")
check_luck(0.05, seeds_and_patients(10, 20, 0), "ten seeds")
check_luck(0.2, [[0.1, 0.3]], "one seed")
### BEGIN HIDDEN TESTS
with checks.core():
    for seeds, patients in ((3, 1), (6, 40), (10, 7), (30, 12)):
        made = seeds_and_patients(seeds, patients, 60 + seeds)
        check_luck(0.1 * seeds - 0.5, made, f"{seeds} seeds, {patients} patients")
with checks.further("two seeds"):
    check_luck(-0.3, seeds_and_patients(2, 5, 62), "two seeds, 5 patients")
with checks.further("one seed"):
    check_luck(0.1, seeds_and_patients(1, 8, 61), "one seed, 8 patients")
with checks.further("losses"):
    check_luck(-0.2, [[-0.4, -0.6], [-0.1, -0.3], [-0.2, 0.0]], "three seeds")
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# ## Part 7: a verdict (13 points)
#
# You have numbers for each suspicion. Now they decide. Write `judge`. It is given a dictionary
# `measured`, and the smallest gain $w$ worth having:
#
# | entry | what it is |
# |---|---|
# | `seeds` | number of paired seeds |
# | `excess` | by how much the reported gain is above the mean over all seeds (part 6) |
# | `width` | width of the *reported* interval, divided by that over seeds and patients |
# | `shared` | number of patients who are tested on and were seen (part 3) |
# | `uncounted` | labels used (part 4) less labels named in the claim |
# | `ahead` | mean score of the strongest baseline with the labels that are *named*, less that of the claim's own baseline |
# | `low`, `high` | the interval over seeds and patients of **what is left**: all seeds, without shared patients, against the strongest baseline that used as many labels; `None` if nothing is left to compare |
#
# It returns a pair: a verdict and the set of flaws. A flaw is reported if its number shows it:
#
# - `"best seed"`: `excess` is above 0.001 (the reports are rounded);
# - `"pooled"`: `width` is below 0.9, and it is not the best seed that was reported, since one
#   seed's interval has another width anyway;
# - `"leakage"`, `"hidden labels"`: `shared`, or `uncounted`, is above 0;
# - `"weak baseline"`: `ahead` is above $w$.
#
# The verdict speaks of **what is left**, whatever the flaws are: a claim may be true though it was
# badly shown. In this order it is `"cannot tell"` with fewer than six seeds, or if nothing is left;
# `"holds"` if the whole interval is above 0; `"does not hold"` if it is wholly below $w$; and
# `"cannot tell"` otherwise.
#
# **Think before you write:** "does not hold" and "cannot tell": which of them says more?


# %% nbgrader={"grade": false, "grade_id": "a7-7-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def judge(measured, min_effect):
    """Whether a claim is true, and what is wrong with how it was shown.

    Args:
        measured: numbers by the names of the table above.
        min_effect: the smallest gain worth having.

    Returns:
        A verdict, "holds", "does not hold" or "cannot tell"; and a set of flaws.
    """
    ### BEGIN SOLUTION
    best = measured["excess"] > 0.001
    found = {
        "best seed": best,
        "pooled": measured["width"] < 0.9 and not best,
        "leakage": measured["shared"] > 0,
        "hidden labels": measured["uncounted"] > 0,
        "weak baseline": measured["ahead"] > min_effect,
    }
    flaws = {name for name, there in found.items() if there}
    low, high = measured["low"], measured["high"]
    if measured["seeds"] < 6 or low is None or high is None:
        return "cannot tell", flaws
    if low > 0:
        return "holds", flaws
    return "does not hold" if high < min_effect else "cannot tell", flaws
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a7-7-tests", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
import copy

from ssl3d_lite.course.checks import Checks

checks = Checks()

SOUND = {
    **{"seeds": 10, "excess": 0.0, "width": 1.0, "shared": 0, "uncounted": 0, "ahead": -0.05},
    **{"low": 0.02, "high": 0.07},
}


@checks
def check_judge(verdict, flaws, what, min_effect=0.02, **changes):
    measured = SOUND | changes
    kept = copy.deepcopy(measured)
    said, found = judge(measured, min_effect)
    assert measured == kept, f"{what}: the numbers that you were given have been changed"
    found = set(found)
    for each in sorted(set(flaws) - found):
        raise AssertionError(f"{what}: {each!r} should be reported, and you say {sorted(found)}")
    for each in sorted(found - set(flaws)):
        raise AssertionError(f"{what}: {each!r} is reported, but its number does not show it")
    assert said == verdict, (
        f"{what}: {measured['seeds']} seeds, what is left from {measured['low']} to "
        f"{measured['high']}, {min_effect} is worth having: {verdict!r}, and you say {said!r}"
    )


check_judge("holds", [], "a sound study")
check_judge("cannot tell", [], "undecided", low=-0.01, high=0.05)
check_judge("does not hold", ["leakage"], "four patients leak", shared=4, low=-0.03, high=0.01)
check_judge("holds", ["weak baseline"], "a weak baseline, and a true gain", ahead=0.08)
check_judge("does not hold", ["best seed"], "best", excess=0.03, width=0.7, low=-0.03, high=0.01)
check_judge("cannot tell", ["pooled"], "pooled", width=0.3, low=-0.02, high=0.08)
check_judge("cannot tell", ["hidden labels"], "no such baseline", uncounted=18, low=None, high=None)
check_judge("cannot tell", [], "five seeds", seeds=5)
### BEGIN HIDDEN TESTS
from ssl3d_lite.study.flawed import FLAWS, flawed_study
from ssl3d_lite.study.statistics import multi_reader


def scores_of(rows, arm, labels):
    own = {r["seed"]: r for r in rows if (r["arm"], r["labels"]) == (arm, labels)}
    names = sorted(own[0]["case_scores"])
    return names, [[own[seed]["case_scores"][name] for name in names] for seed in sorted(own)]


def minus(ours, theirs, columns):
    return [[a[n] - b[n] for n in columns] for a, b in zip(ours, theirs)]


def numbers_of(study):
    """What can be measured of a study."""
    claim, baselines = study.claim, ("scratch", "scratch@group@plain")
    names, ours = scores_of(study.rows, claim["arm"], claim["labels"])
    every, tested = range(len(names)), [s["patient"] for s in study.scans if s["side"] == "test"]
    seen = {s["patient"] for s in study.scans if s["side"] != "test"} & set(tested)
    chosen = any(r["best_step"] is not None for r in study.rows)
    named = scores_of(study.rows, claim["against"], claim["labels"])[1]
    claimed = multi_reader(minus(ours, named, every))
    ends = claimed.interval()

    def mean(labels):
        return {
            arm: sum(map(sum, scores_of(study.rows, arm, labels)[1])) / len(names) / len(ours)
            for arm in baselines
        }

    labels = "20" if chosen else claim["labels"]
    best = max(baselines, key=mean(labels).get)
    clean = [n for n in every if names[n] not in seen]
    left = minus(ours, scores_of(study.rows, best, labels)[1], clean)
    low, high = multi_reader(left).interval()
    here = mean(claim["labels"])
    return {
        **{"seeds": len(ours), "excess": claim["gain"] - claimed.mean, "shared": len(seen)},
        **{"width": (claim["high"] - claim["low"]) / (ends[1] - ends[0])},
        **{"uncounted": 18 if chosen else 0, "ahead": max(here.values()) - here[claim["against"]]},
        **{"low": low, "high": high},
    }


def check_study(flaw, seed):
    told = [] if flaw in ("none", "undecided") else [flaw]
    check_judge(FLAWS[flaw], told, f"study {seed}", **numbers_of(flawed_study(flaw, seed)))


with checks.core():
    for flaw in FLAWS:
        check_study(flaw, 401)
    check_judge("does not hold", [], "a loss", low=-0.2, high=-0.1)
    check_judge("cannot tell", ["leakage", "pooled"], "two flaws", shared=1, width=0.5, seeds=2)
with checks.further("other studies"):
    for flaw in FLAWS:
        check_study(flaw, 402)
        check_study(flaw, 403)
with checks.further("a small gain that is sure"):
    check_judge("holds", [], "a small gain", low=0.001, high=0.01)
with checks.further("another w"):
    check_judge("cannot tell", [], "w is small", min_effect=0.005, low=-0.03, high=0.01)
    check_judge("does not hold", [], "w is large", min_effect=0.1, low=-0.03, high=0.06)
    check_judge("holds", ["weak baseline"], "w is small", min_effect=0.005, ahead=0.01)
with checks.further("numbers at the limit"):
    check_judge("cannot tell", [], "below nothing, above w", low=-0.2, high=0.02)
    check_judge("holds", [], "rounded", excess=0.0004, width=0.98, ahead=0.0199)
with checks.further("a report that is too modest"):
    check_judge("holds", [], "below what was found", excess=-0.02, width=1.3)
with checks.further("all flaws at once"):
    every = ["best seed", "leakage", "hidden labels", "weak baseline"]
    worst = {"excess": 0.05, "width": 0.2, "shared": 9, "uncounted": 18, "ahead": 0.3}
    check_judge("does not hold", every, "all at once", low=-0.2, high=-0.1, **worst)
### END HIDDEN TESTS
checks.end(points=13)

# %% [markdown]
# All your functions on all your studies. Each line is one study. **Look at the numbers before you
# look at the verdict**: which one shows the flaw, and what would have been said without it?
#
# (If a part of yours is missing, this cell stops. Then print what your other functions say of each
# study; the sentences of part 8 need numbers, wherever they come from.)

# %% tags=["show"]
BASELINES = ("scratch", "scratch@group@plain")


def measure(study):
    """Every number that the verdict rests on."""
    rows, claim = study["rows"], study["claim"]
    ours, named = (claim["arm"], claim["labels"]), (claim["against"], claim["labels"])
    validation = sum(scan["side"] == "validation" for scan in study["scans"])
    seeds, patients, table = table_of(rows, ours, named)
    low, high = multi_reader(table).interval()
    shared = shared_patients(study["scans"])
    used = labels_used(rows, ours, validation)
    scores = defaultdict(list)
    for row in rows:
        if row["arm"] in BASELINES and row["protocol"] == "finetune":
            scores[row["arm"], row["labels"]].append(row["score"])
    sides = [
        {"arm": a, "labels": n, "used": labels_used(rows, (a, n), validation), "scores": found}
        for (a, n), found in scores.items()
    ]
    alike, fair = strongest(sides, int(claim["labels"])), strongest(sides, used)
    gains = gains_of(table, patients, shared)
    ends = (None, None)
    if fair:
        _, names, left = table_of(rows, ours, fair)
        clean = [n for n, name in enumerate(names) if name not in shared]
        ends = multi_reader(np.asarray(left)[:, clean]).interval()
    chance = luck(claim["gain"], table)
    return {
        **{"seeds": len(seeds), "excess": chance["excess"], "by luck": chance["by luck"]},
        "width": (claim["high"] - claim["low"]) / (high - low),
        **{"values": len(seeds) * len(patients), "worth": worth(table)},
        **{"shared": len(shared), "gain shared": gains[0], "gain others": gains[1]},
        **{"uncounted": used - int(claim["labels"]), "beaten": fair},
        "ahead": np.mean(scores[alike]) - np.mean(scores[named]),
        **{"low": ends[0], "high": ends[1]},
    }


for letter, study in stored.items():
    measured = measure(study)
    verdict, flaws = judge(measured, min_effect=0.02)
    print(f"{letter}: {verdict} {sorted(flaws) or ''}")
    for name, value in measured.items():
        print(
            f"     {name:12} {value:.4f}" if isinstance(value, float) else f"     {name:12} {value}"
        )

# %% [markdown]
# The library judges stored studies, too. It takes the claim's arm, the strong baseline, all seeds
# and all patients. **Predict:** which of the flaws can it not see in rows and patients alone?

# %% tags=["show"]
from ssl3d_lite.study.claims import claims

for place in folders:
    (claim,) = (
        c for c in claims(ssl3d.study.load_results(place)) if c.name == "better with few labels"
    )
    found = next(f.comparison for f in claim.findings if f.arm == "cpc")
    print(f"{place.name}: {ssl3d.study.sentences.brief(found)}: {found.verdict}")

# %% [markdown]
# ## Part 8: your eight studies, judged (25 points)
#
# Write, in at most 500 words:
#
# 1. **For each of the eight studies, one or two sentences**: the verdict, and the number that shows
#    it. "Study C: cannot tell. Its 240 values are worth 11; the interval over seeds and patients is
#    −0.02 to 0.08." Two studies may have the same flaw.
# 2. **One flaw that the numbers cannot show.** What could be wrong with a study whose rows, scans
#    and claim are all in order? How would you find out?
# 3. **Against yourself**: the weakest of your verdicts, and what would change it.

# %% [markdown] nbgrader={"grade": true, "grade_id": "a7-8-answer", "locked": false, "points": 25, "schema_version": 3, "solution": true, "task": false}
# *My user name, and my verdicts on A to H:*
#
# ### BEGIN SOLUTION
# For the lecturer. What each student's studies are: `python -c "from ssl3d_lite.study.flawed import
# flaws_of; print(flaws_of('USER NAME'))"`. The key can be made by students, too, so **a verdict
# without its number earns nothing**, and the numbers are those of this student's studies.
#
# - **The studies, 16 points: 2 each.** The verdict (1): none → holds; undecided and pooled → cannot
#   tell; weak baseline, hidden labels, leakage, best seed → does not hold. The number that shows it
#   (1), with what is left: shared patients with the gain among the others; labels used, and the
#   interval against a baseline that had as many; how far the strong baseline is ahead; the excess
#   beside what luck gives; what the values are worth.
# - **What numbers cannot show, 5 points.** A real gap (2), such as settings that were tuned for one
#   arm alone, scans that are copies under other names, studies that were never sent in, the same
#   puzzle with fewer steps for the control. A way to find out that could be followed (3).
# - **Against yourself, 4 points.** The weakest verdict is named by its interval (2). What would
#   change it: more seeds, or more patients; which of the two is said with a reason (2).
#
# Deduct up to 3 points beyond 500 words.
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# A way to read somebody else's table. Compare your measures with what the library does before it
# speaks: `ssl3d_lite/study/leakage.py`, `comparison.py` and `verdicts.py`. Scores here were made
# up, by `flawed.py` in the same folder; real studies are in `notebooks/results`, and the same
# functions read them.
#
# ## References
#
# Varoquaux and Cheplygina, *Machine learning for medical imaging: methodological failures and
# recommendations for the future*, npj Digital Medicine 2022. Kapoor and Narayanan, *Leakage and the
# Reproducibility Crisis in Machine-Learning-Based Science*, Patterns 2023. Hillis, Statistics in
# Medicine 26, 2007. Hurlbert, *Pseudoreplication and the Design of Ecological Field Experiments*,
# Ecological Monographs 54, 1984. Isensee et al., *nnU-Net Revisited*, MICCAI 2024.
