"""Typical mistakes in assignment 5, each of which should cost its own part and no other."""

from functools import partial

from course.mistakes import Mistake, changed, mistake_in, right_answers

mistake = partial(mistake_in, 5)
RIGHT = right_answers(5)


# ---- the right answers, of which each mistake changes something ----------------------------------

SPLIT = """
    def split_patients(scans, fold, folds, seed):
        patients = sorted({scan.patient for scan in scans if scan.labelled})
        dealt = np.random.default_rng(seed).permutation(patients)
        fold_of = {str(patient): number % folds for number, patient in enumerate(dealt)}
        after = (fold + 1) % folds
        train, validation, test, pretrain = [], [], [], []
        for n, scan in enumerate(scans):
            where = fold_of.get(scan.patient)
            if where not in (fold, after):
                pretrain.append(n)
            if scan.labelled:
                side = test if where == fold else validation if where == after else train
                side.append(n)
        return Split(tuple(train), tuple(validation), tuple(test), tuple(pretrain))
"""
PAIRED = RIGHT["paired"]
BOOTSTRAP = RIGHT["bootstrap"]
INTERVAL = RIGHT["mean_interval"]
DECIDE = RIGHT["decide"]
CONCLUDE = RIGHT["conclude"]
JUDGE = """
    def unfairness(runs):
        found = set()
        for protocol in {run["protocol"] for run in runs}:
            own = [run for run in runs if run["protocol"] == protocol]
            if len({run["steps"] for run in own if run["steps"]}) > 1:
                found.add("steps")
            if len({run["pretrain_steps"] for run in own if run["pretrain_steps"]}) > 1:
                found.add("steps")
            arms = sorted({run["arm"] for run in own})
            seeds = [sorted(run["seed"] for run in own if run["arm"] == arm) for arm in arms]
            if any(each != seeds[0] or len(set(each)) < len(each) for each in seeds):
                found.add("seeds")
            if len(set.intersection(*map(set, seeds))) < 6:
                found.add("few seeds")
            needed = {"place", "collapsed"} | ({"scratch"} if protocol == "finetune" else set())
            kinds = [arm for arm in arms if arm.startswith("random")]
            if protocol == "probe" and len(kinds) < 2:
                found.add("controls")
            if needed - set(arms):
                found.add("controls")
            for seed in {run["seed"] for run in own}:
                if len({frozenset(r["labelled"]) for r in own if r["seed"] == seed}) > 1:
                    found.add("labels")
            if len({frozenset(run["tested_on"]) for run in own}) > 1:
                found.add("test scans")
        if any(run["chosen_on"] == "test" for run in runs):
            found.add("chosen on test")
        if any(run["chosen_on"] == "validation" for run in runs):
            found.add("hidden labels")
        tested = {s.split("/")[0] for run in runs for s in run["tested_on"]}
        seen = {s.split("/")[0] for run in runs for s in run["pretrained_on"] + run["labelled"]}
        if tested & seen:
            found.add("leakage")
        return found
"""
STUDY = '''
MY_STUDY = """
title = "Does jigsaw help?"
question = "Does it help with two labelled scans?"
arms = ["jigsaw", "scratch", "random", "random@none", "collapsed"]
labels = ["2", "4"]
seeds = 6
protocols = ["finetune", "probe", "probe+place"]
min_effect = 0.02

[cohort]
recipe = "virtual-hippocampus"

[encoder]
filters = [4, 8]

[pretrain]
steps = 10

[finetune]
steps = 10
patch = [16, 16, 16]

[smoke]
seeds = 2

[class]
pretrain.steps = 100
finetune.steps = 60
"""
MY_CLAIM = {"arm": "jigsaw", "against": "scratch", "protocol": "finetune", "labels": "2"}
'''
ROWS = RIGHT["read_rows"]
MEAN = RIGHT["mean_and_spread"]
CLAIM = """
    def claim_of(rows, arm, against, protocol, labels, min_effect):
        def own(name):
            wanted = (name, protocol, labels)
            return [r for r in rows if (r["arm"], r["protocol"], r["labels"]) == wanted]

        pairs = paired(own(arm), own(against))
        found = list(pairs.values())
        low, high = interval(found) or (None, None)
        seeds = {seed for seed, fold in pairs}
        return {
            **{"arm": arm, "against": against, "protocol": protocol, "labels": labels},
            **{"pairs": len(found), "mean": float(np.mean(found)), "low": low, "high": high},
            "verdict": verdict(found, min_effect) if len(seeds) >= 6 else "cannot tell",
        }
"""


def splitting(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 1, changed(SPLIT, *changes))


def pairing(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 2, changed(PAIRED, *changes), BOOTSTRAP)


def drawing(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 2, PAIRED, changed(BOOTSTRAP, *changes))


def bounding(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 3, changed(INTERVAL, *changes), DECIDE, CONCLUDE)


def deciding(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 3, INTERVAL, changed(DECIDE, *changes), CONCLUDE)


def concluding(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 3, INTERVAL, DECIDE, changed(CONCLUDE, *changes))


def judging(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 4, changed(JUDGE, *changes))


def planning(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 5, changed(STUDY, *changes))


def reading(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 6, changed(ROWS, *changes), MEAN, CLAIM)


def claiming(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 6, ROWS, MEAN, changed(CLAIM, *changes))


MISTAKES = [
    # ---- 1: the split
    mistake(
        "split by scans, not by patients",
        1,
        """
        def split_patients(scans, fold, folds, seed):
            dealt = np.random.default_rng(seed).permutation(len(scans)) % folds
            after = (fold + 1) % folds
            labelled = [n for n, scan in enumerate(scans) if scan.labelled]
            return Split(
                train=tuple(n for n in labelled if dealt[n] not in (fold, after)),
                validation=tuple(n for n in labelled if dealt[n] == after),
                test=tuple(n for n in labelled if dealt[n] == fold),
                pretrain=tuple(n for n in range(len(scans)) if dealt[n] not in (fold, after)),
            )
        """,
    ),
    splitting(
        "pretrained on every scan, as no label is needed",
        ("if where not in (fold, after):", "if True:"),
    ),
    splitting(
        "pretrained on validation scans",
        ("if where not in (fold, after):", "if where != fold:"),
    ),
    splitting(
        "pretrained on unlabelled scans of tested patients",
        ("if where not in (fold, after):", "if where not in (fold, after) or not scan.labelled:"),
    ),
    splitting(
        "pretrained on training scans alone",
        ("if where not in (fold, after):", "if where not in (fold, after) and scan.labelled:"),
    ),
    splitting("scans without labels to train on", ("if scan.labelled:", "if where is not None:")),
    splitting(
        "validated on the test scans",
        ("validation if where == after else train", "train"),
        ("tuple(validation)", "tuple(test)"),
    ),
    splitting("no fold after the last", ("(fold + 1) % folds", "fold + 1")),
    splitting("always the same seed", ("default_rng(seed)", "default_rng(0)")),
    splitting(
        "NumPy's global state",
        ("dealt = np.random.default_rng(seed)", "np.random.seed(seed)\n        dealt = np.random"),
    ),
    splitting("another deal for each fold", ("default_rng(seed)", "default_rng(seed + fold)")),
    splitting(
        "patients in the order of their scans",
        (
            "sorted({scan.patient for scan in scans if scan.labelled})",
            "list(dict.fromkeys(scan.patient for scan in scans if scan.labelled))",
        ),
    ),
    splitting(
        "folds at random, not even",
        (
            "number % folds for number, patient in enumerate(dealt)",
            "np.random.default_rng(seed + n).integers(folds) for n, patient in enumerate(dealt)",
        ),
    ),
    # ---- 2: pairs and bootstrap
    mistake(
        "paired by the order of the rows",
        2,
        """
        def paired(ours, theirs):
            return {
                (a["seed"], a["fold"]): a["score"] - b["score"]
                for a, b in zip(ours, theirs)
                if None not in (a["score"], b["score"])
            }
        """,
        BOOTSTRAP,
    ),
    pairing(
        "a failed run counts as 0",
        ('row["score"]\n', 'row["score"] or 0.0\n'),
        ('if row["score"] is not None', ""),
    ),
    pairing(
        "other numbers of labels overwrite each other",
        ('(row["labels"], row["seed"], row["fold"])', '(0, row["seed"], row["fold"])'),
    ),
    pairing(
        "folds overwrite each other",
        ('row["seed"], row["fold"])', 'row["seed"], 0)'),
    ),
    pairing(
        "the sign the wrong way round",
        (
            "a[labels, seed, fold] - b[labels, seed, fold]",
            "b[labels, seed, fold] - a[labels, seed, fold]",
        ),
    ),
    pairing("summed over numbers of labels, not averaged", ("np.mean(several)", "sum(several)")),
    pairing(
        "against the mean of the other arm, unpaired",
        ("- b[labels, seed, fold]", "- np.mean(list(b.values()))"),
    ),
    drawing("an unseeded bootstrap", ("rng.choice", "np.random.default_rng().choice")),
    drawing("a seed of its own", ("rng.choice", "np.random.default_rng(0).choice")),
    drawing("NumPy's global state", ("rng.choice", "np.random.choice")),
    drawing(
        "single differences, not their means",
        ("(draws, len(values))).mean(1)", "draws)"),
    ),
    drawing(
        "drawn without replacement",
        (
            "rng.choice(values, (draws, len(values)))",
            "rng.permuted(np.tile(values, (draws, 1)), axis=1)",
        ),
    ),
    drawing(
        "the standard error in place of an interval",
        (
            "np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])",
            "means.mean() - means.std(), means.mean() + means.std()",
        ),
    ),
    drawing(
        "5 % left out on each side",
        ("[(1 - confidence) / 2, (1 + confidence) / 2]", "[1 - confidence, confidence]"),
    ),
    drawing(
        "always 95 %",
        ("[(1 - confidence) / 2, (1 + confidence) / 2]", "[0.025, 0.975]"),
    ),
    drawing("medians", (".mean(1)", "\n        means = np.median(means, 1)")),
    # ---- 3: interval and verdict
    bounding("patients taken as given", ("max(by_patient - rest, 0.0)", "0.0")),
    bounding("what patients bring, with the rest in it", ("by_patient - rest", "by_patient")),
    bounding("a variance below zero", ("max(by_patient - rest, 0.0)", "by_patient - rest")),
    bounding("divided by the seeds, not by one less", ("/ (seeds - 1)\n", "/ seeds\n")),
    bounding(
        "seeds and patients changed",
        ("asarray(differences, float)", "asarray(differences, float).T"),
    ),
    bounding(
        "every difference a sample of its own",
        ("(by_seed + beyond) / (seeds * patients)", "values.var(ddof=1) / (seeds * patients)"),
    ),
    bounding("1.96, however few", ("stats.t.ppf((1 + confidence) / 2, df)", "1.96")),
    bounding(
        "the normal's quantile",
        ("stats.t.ppf((1 + confidence) / 2, df)", "stats.norm.ppf((1 + confidence) / 2)"),
    ),
    bounding("the seeds' degrees of freedom alone", (" * ((by_seed + beyond) / by_seed) ** 2", "")),
    bounding("more degrees of freedom than patients give", ("if beyond > 0:", "if False:")),
    bounding("at most the patients' degrees of freedom, always", ("if beyond > 0:", "if True:")),
    bounding("the standard error alone", ("stats.t.ppf((1 + confidence) / 2, df) * ", "")),
    bounding("one-sided", ("(1 + confidence) / 2", "confidence")),
    bounding(
        "one seed has no scatter",
        (
            "return -math.inf, math.inf",
            "return float(values.mean()), float(values.mean())",
        ),
    ),
    concluding("three seeds are enough", ("seeds < 6", "seeds < 3")),
    concluding("the floor is not asked", (" or ahead < 2 * min_effect", "")),
    concluding("ahead of the floor at all", ("ahead < 2 * min_effect", "ahead <= 0")),
    concluding(
        "cannot tell only if nothing else is said",
        ("if seeds < 6 or ahead < 2 * min_effect:", "if seeds < 6 and low <= 0:"),
    ),
    concluding("leaving out failures decides", ("min(low, overall)", "low")),
    concluding("failures count for one side only", ("max(high, overall)", "high")),
    concluding(
        "from the mean alone", ("min(low, overall), max(high, overall)", "overall, overall")
    ),
    deciding("not shown is refuted", ('"undecided"', '"does not hold"')),
    deciding("refuted only if it harms", ("high < worthwhile", "high < 0")),
    deciding("holds only if it is worth having", ("low > 0", "low > worthwhile")),
    mistake(
        "what is small does not hold",
        3,
        INTERVAL,
        """
        def decide(low, high, worthwhile):
            if high < worthwhile:
                return "does not hold"
            return "holds" if low > 0 else "undecided"
        """,
        CONCLUDE,
    ),
    # ---- 4: the judge
    judging(
        "unequal steps of fine-tuning are not seen",
        ('len({run["steps"] for run in own if run["steps"]}) > 1', "False"),
    ),
    judging("no pretraining is called unequal", (' if run["pretrain_steps"]}', "}")),
    judging(
        "unequal pretraining is not seen",
        ('len({run["pretrain_steps"] for run in own if run["pretrain_steps"]}) > 1', "False"),
    ),
    judging(
        "protocols are mixed",
        ('for protocol in {run["protocol"] for run in runs}', 'for protocol in ("finetune",)'),
        ('[run for run in runs if run["protocol"] == protocol]', "runs"),
    ),
    judging("as many seeds are the same seeds", ("each != seeds[0]", "len(each) != len(seeds[0])")),
    judging(
        "a run that stands there twice is not seen",
        ("sorted(run", "sorted({run"),
        ('if run["arm"] == arm)', 'if run["arm"] == arm})'),
    ),
    judging("place alone called unequal", (' if run["steps"]}', "}")),
    judging("three seeds are enough", ("< 6", "< 3")),
    judging("seeds of any arm counted, not of all", ("set.intersection", "set.union")),
    judging("no collapsed control wanted", ('{"place", "collapsed"}', '{"place"}')),
    judging("no floor wanted", ('{"place", "collapsed"}', '{"collapsed"}')),
    judging("one kind of random encoder is enough", ("len(kinds) < 2", "len(kinds) < 1")),
    judging(
        "random@none is called no random encoder", ('arm.startswith("random")', 'arm == "random"')
    ),
    judging(
        "controls of one protocol serve the other",
        ("needed - set(arms)", 'needed - {run["arm"] for run in runs}'),
    ),
    judging("labels by their order", ('frozenset(r["labelled"])', 'tuple(r["labelled"])')),
    judging(
        "as many labels are the same labels", ('frozenset(r["labelled"])', 'len(r["labelled"])')
    ),
    judging("labels should be the same for all seeds", (' if r["seed"] == seed', "")),
    judging("the last checkpoint called unfair", ('== "validation"', '!= "test"')),
    judging("validation labels are not counted", ('run["chosen_on"] == "validation"', "False")),
    judging("best on test is not seen", ('run["chosen_on"] == "test"', "False")),
    judging("leaks by scan, not by patient", ('s.split("/")[0]', "s")),
    judging(
        "unlabelled test scans do no harm",
        ('run["pretrained_on"] + run["labelled"]', 'run["labelled"]'),
    ),
    judging(
        "other test scans are not seen",
        ('len({frozenset(run["tested_on"]) for run in own}) > 1', "False"),
    ),
    judging("stops at the first fault", ('found.add("controls")', 'return found | {"controls"}')),
    # ---- 5: the study
    planning("three seeds", ("seeds = 6", "seeds = 3")),
    planning("one seed at class scale", ("[class]\n", "[class]\nseeds = 1\n")),
    planning("a setting misspelt", ("seeds = 6", "seed = 6")),
    planning("no collapsed control", (', "collapsed"]', "]")),
    planning("no random control", ('"random", "random@none", ', "")),
    planning("one kind of random encoder", ('"random", "random@none"', '"random"')),
    planning("no scratch twin", ('"scratch", "random"', '"random"')),
    planning(
        "controls of another norm alone",
        ('"random", "random@none"', '"random@batch", "random@none"'),
    ),
    planning(
        "2D arm without 2D twins", ('"jigsaw", "scratch"', '"jigsaw", "2d-jigsaw", "scratch"')
    ),
    planning("controls, but no proxy task", ('["jigsaw", "scratch"', '["scratch"')),
    planning("fine-tuning alone", ('["finetune", "probe", "probe+place"]', '["finetune"]')),
    planning("no probe is told the place", (', "probe+place"', "")),
    planning(
        "chosen by hidden labels",
        ("finetune.steps = 60", "finetune = { steps = 60, validate_every = 20 }"),
    ),
    planning("what is worth having is not said", ("min_effect = 0.02\n", "")),
    planning("nothing could be refuted", ("min_effect = 0.02", "min_effect = 0.0")),
    planning("unequal steps for slices", ("[class]", "[flat.finetune]\nsteps = 40\n\n[class]")),
    planning("no question", ("Does it help with two labelled scans?", "")),
    planning("as large as on a cluster", ("[pretrain]\nsteps = 10", "[pretrain]\nsteps = 2000")),
    planning(
        "a claim against another protocol's control",
        ('"scratch", "protocol"', '"random", "protocol"'),
    ),
    planning("a claim for a control", ('{"arm": "jigsaw"', '{"arm": "collapsed"')),
    planning("a claim about labels that were not run", ('"labels": "2"', '"labels": "20"')),
    planning(
        "a patch that the pieces do not fit", ("[class]", "[tasks.jigsaw]\npatch = 30\n\n[class]")
    ),
    # ---- 6: results
    reading("rows of other settings mixed in", ('row["run"] not in runs or ', "")),
    reading("failed runs kept", ('float(row["score"] or "nan")', 'float(row["score"] or 0)')),
    reading(
        "scores that are no number kept",
        ('float(row["score"] or "nan")', 'float(row["score"] or "inf")'),
        ("not math.isfinite(score)", "math.isinf(score)"),
    ),
    reading("duplicates kept", ("tuple(row[name] for name in columns)", "len(kept)")),
    reading(
        "the first of duplicates counts",
        (
            "kept[tuple(row[name] for name in columns)] = row | typed",
            "kept.setdefault(tuple(row[name] for name in columns), row | typed)",
        ),
    ),
    reading("folds overwrite each other", ('"seed", "fold", "steps")', '"seed", "steps")')),
    reading(
        "on its way and at the end taken for one",
        (
            '("arm", "protocol", "task", "labels", "seed", "fold", "steps")',
            '("arm", "labels", "seed", "fold")',
        ),
    ),
    reading("seeds stay text", ('int(row["seed"])', 'row["seed"]')),
    mistake("spread divided by n", 6, ROWS, changed(MEAN, ("ddof=1", "ddof=0")), CLAIM),
    mistake(
        "the standard error in place of the spread",
        6,
        ROWS,
        changed(MEAN, ("ddof=1))", "ddof=1) / len(scores) ** 0.5)")),
        CLAIM,
    ),
    mistake(
        "scores of all protocols averaged",
        6,
        ROWS,
        changed(
            MEAN,
            ("(arm, protocol, labels)\n", "(arm, labels)\n"),
            ('(r["arm"], r["protocol"], r["labels"])', '(r["arm"], r["labels"])'),
        ),
        CLAIM,
    ),
    claiming(
        "the difference of the means, not the mean of the pairs",
        (
            '"mean": float(np.mean(found))',
            '"mean": float(np.mean([r["score"] for r in own(arm)]) '
            '- np.mean([r["score"] for r in own(against)]))',
        ),
    ),
    claiming(
        "the interval of the scores, not of the differences",
        ("interval(found) or", 'interval([r["score"] for r in own(arm)]) or'),
    ),
    claiming(
        "pairs by the order of the rows",
        (
            "list(pairs.values())",
            '[a["score"] - b["score"] for a, b in zip(own(arm), own(against))]',
        ),
    ),
    claiming(
        "numbers of labels mixed",
        ("(name, protocol, labels)", "(name, protocol)"),
        ('(r["arm"], r["protocol"], r["labels"])', '(r["arm"], r["protocol"])'),
    ),
    claiming(
        "verdict from the mean alone",
        ("verdict(found, min_effect) if", '("holds" if np.mean(found) > 0 else "undecided") if'),
    ),
    claiming("a verdict from three seeds", (">= 6", ">= 3")),
    claiming("folds counted as seeds", ("len(seeds)", "len(found)")),
    claiming("a level of its own", ("verdict(found, min_effect)", "verdict(found, 0.02)")),
    claiming("one pair has an interval", ("(None, None)", "(found[0], found[0])")),
]
