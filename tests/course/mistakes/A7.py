"""Typical mistakes in assignment 7, each of which should cost its own part and no other."""

from functools import partial

from course.mistakes import Mistake, changed, mistake_in, right_answers

mistake = partial(mistake_in, 7)
RIGHT = right_answers(7)


# ---- the right answers, of which each mistake changes something ----------------------------------

TABLE = RIGHT["table_of"]
POOLED = RIGHT["pooled_interval"]
WORTH = RIGHT["worth"]
SHARED = RIGHT["shared_patients"]
GAINS = RIGHT["gains_of"]
USED = RIGHT["labels_used"]
STRONGEST = RIGHT["strongest"]
LUCK = RIGHT["luck"]
JUDGE = RIGHT["judge"]


def table(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 1, changed(TABLE, *changes))


def pooled(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 2, changed(POOLED, *changes), WORTH)


def worth(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 2, POOLED, changed(WORTH, *changes))


def shared(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 3, changed(SHARED, *changes), GAINS)


def gains(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 3, SHARED, changed(GAINS, *changes))


def used(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 4, changed(USED, *changes))


def baseline(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 5, changed(STRONGEST, *changes))


def luck(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 6, changed(LUCK, *changes))


def judge(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 7, changed(JUDGE, *changes))


MISTAKES = [
    # ---- 1: the table
    table(
        "the other way round", ("a[seed][each] - b[seed][each]", "b[seed][each] - a[seed][each]")
    ),
    table("all protocols", ('row["protocol"] == "finetune"', "True")),
    table(
        "all numbers of labels", ('(row["arm"], row["labels"]) == side', 'row["arm"] == side[0]')
    ),
    table("failed runs count", ('row["score"] is not None', "True")),
    table("seeds of either side", ("a.keys() & b.keys()", "a.keys() | b.keys()")),
    table(
        "patients of one run",
        ("(set(side[seed]) for seed in seeds for side in (a, b))", "[set(a[seeds[0]])]"),
    ),
    table(
        "patients as they come",
        (
            "sorted(set.intersection(*(set(side[seed]) for seed in seeds for side in (a, b))))",
            "[p for p in a[seeds[0]] if all(p in side[s] for s in seeds for side in (a, b))]",
        ),
    ),
    # ---- 2: worth
    pooled("the deviation divided by n", ("ddof=1", "ddof=0")),
    pooled(
        "a normal quantile",
        ("stats.t.ppf((1 + confidence) / 2, number - 1)", "stats.norm.ppf((1 + confidence) / 2)"),
    ),
    pooled("the quantile of one side", ("(1 + confidence) / 2", "confidence")),
    pooled("an interval of single values", (" / number**0.5", "")),
    pooled(
        "an interval over seeds",
        ("np.asarray(table, float).ravel()", "np.asarray(table, float).mean(1)"),
    ),
    worth("the error is not squared", ("standard_error ** 2", "standard_error")),
    worth(
        "the number of patients",
        ("float(values.var(ddof=1) / multi_reader(values).standard_error ** 2)", "values.shape[1]"),
    ),
    worth("seeds alone", ("multi_reader(values).standard_error", "stats.sem(values.mean(1))")),
    # ---- 3: leakage
    shared("by the names of scans", ('scan["patient"]', 'scan["scan"]')),
    shared("pretraining does not count", ('scan["side"] != "test"', 'scan["side"] == "train"')),
    shared(
        "validation does not count",
        ('scan["side"] != "test"', 'scan["side"] in ("train", "pretrain")'),
    ),
    shared("everyone who is tested on", ("sorted(tested & seen)", "sorted(tested)")),
    mistake(
        "a patient stands there twice",
        3,
        """
        def shared_patients(scans):
            seen = {scan["patient"] for scan in scans if scan["side"] != "test"}
            tested = [scan["patient"] for scan in scans if scan["side"] == "test"]
            return sorted(each for each in tested if each in seen)
        """,
        GAINS,
    ),
    gains(
        "the kinds are exchanged",
        ("values[:, among], values[:, ~among]", "values[:, ~among], values[:, among]"),
    ),
    gains(
        "rows taken for columns",
        (
            "values[:, among], values[:, ~among]",
            "values[among[: len(values)]], values[~among[: len(values)]]",
        ),
    ),
    gains(
        "the mean of nothing",
        ("float(part.mean()) if part.size else None", "float(part.sum() / max(1, part.size))"),
    ),
    # ---- 4: labels
    used("validation is free", ("(validation if chosen else 0)", "0")),
    used("validation always counts", ("(validation if chosen else 0)", "validation")),
    used("step 0 is none", ('row["best_step"] is not None', 'row["best_step"]')),
    used("only if all runs chose", ("any(row", "all(row")),
    used("as the name says", ('max(row["scans"] for row in own)', 'int(side[1].rstrip("%"))')),
    used("probes count", (' and row["protocol"] == "finetune"', "")),
    # ---- 5: the baseline
    baseline("fewer labels are fair", ('side["used"] >= used and ', "")),
    baseline("exactly as many labels", ('side["used"] >= used', 'side["used"] == used')),
    baseline("the best run, not the best mean", ("-np.mean(", "-max(")),
    baseline("the weakest", ("-np.mean(", "np.mean(")),
    baseline("the highest score, whatever the labels", ('(side["used"], -np.mean', "(0, -np.mean")),
    baseline(
        "a failed run scores 0",
        ('[s for s in side["scores"] if s is not None]', '[s or 0.0 for s in side["scores"]]'),
    ),
    baseline(
        "a score of 0 is none",
        ('[s for s in side["scores"] if s is not None]', '[s for s in side["scores"] if s]'),
    ),
    # ---- 6: luck
    luck(
        "the deviation of all cells",
        ("by_seed.std(ddof=1)", "np.asarray(table, float).std(ddof=1)"),
    ),
    luck("the deviation divided by n", ("ddof=1", "ddof=0")),
    luck("one seed has no deviation", (" if number > 1 else 0.0", "")),
    luck("the best cell", ("by_seed.max()", "np.asarray(table, float).max()")),
    luck("the best patient", (".mean(1)", ".mean(0)")),
    luck("the excess over nothing", ("reported - mean", "reported")),
    luck("of S - 1 seeds", ("stats.norm.cdf(x) ** (number - 1)", "stats.norm.cdf(x) ** number")),
    # ---- 7: the verdict
    judge(
        "a flaw refutes",
        (
            "if low > 0:",
            'if flaws:\n            return "does not hold", flaws\n        if low > 0:',
        ),
    ),
    judge("few seeds are enough", ('measured["seeds"] < 6 or ', "")),
    judge(
        "nothing left is a refutation",
        ("or low is None or high is None:", "and low is not None:"),
        (
            "if low > 0:",
            "if low is None:\n            return 'does not hold', flaws\n        if low > 0:",
        ),
    ),
    judge(
        "not above zero, so it does not hold",
        ('"does not hold" if high < min_effect else "cannot tell"', '"does not hold"'),
    ),
    judge("not above w, so it does not hold", ("if low > 0:", "if low > min_effect:")),
    judge("refuted only below zero", ("high < min_effect", "high < 0")),
    judge("rounding is luck", ('measured["excess"] > 0.001', 'measured["excess"] > 0')),
    judge("one best seed is pooled, too", (" and not best", "")),
    judge(
        "any stronger baseline is worth a word",
        ('measured["ahead"] > min_effect', 'measured["ahead"] > 0'),
    ),
    judge(
        "the first flaw alone",
        (
            "{name for name, there in found.items() if there}",
            "{[*(name for name, there in found.items() if there), 'none'][0]} - {'none'}",
        ),
    ),
]
