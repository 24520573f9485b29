"""Assignment 5, answered by other habits."""

from course.habits import code, right_answers

RIGHT = right_answers(5)
ANSWERS = [
    {
        1: code(
            """
            def split_patients(scans, fold, folds, seed):
                names = sorted(set(s.patient for s in scans if s.labelled))
                order = list(range(len(names)))
                np.random.default_rng(seed).shuffle(order)
                where = {}
                for number, position in enumerate(order):
                    where[names[position]] = number % folds
                sides = {"train": [], "validation": [], "test": [], "pretrain": []}
                for n, s in enumerate(scans):
                    f = where.get(s.patient, -1)
                    side = "train"
                    if f == fold:
                        side = "test"
                    elif f == (fold + 1) % folds:
                        side = "validation"
                    if s.labelled:
                        sides[side].append(n)
                    if side == "train":
                        sides["pretrain"].append(n)
                return Split(**{name: tuple(cases) for name, cases in sides.items()})
            """
        ),
        2: code(
            """
            def paired(ours, theirs):
                seen = {}
                for a in ours:
                    for b in theirs:
                        if all(a[k] == b[k] for k in ("labels", "seed", "fold")):
                            if a["score"] is not None and b["score"] is not None:
                                unit = a["seed"], a["fold"]
                                seen.setdefault(unit, []).append(a["score"] - b["score"])
                return {unit: sum(several) / len(several) for unit, several in seen.items()}
            """,
            """
            def bootstrap(differences, rng, draws=4000, confidence=0.95):
                means = rng.choice(differences, (draws, len(differences))).mean(axis=1)
                rest = (1 - confidence) / 2
                return np.quantile(means, [rest, 1 - rest])
            """,
        ),
        3: code(
            """
            def mean_interval(differences, confidence=0.95):
                d = np.array(differences, dtype=np.float64)
                n, m = d.shape
                if min(n, m) < 2:
                    return [-np.inf, np.inf]
                a = d.mean(axis=1).var(ddof=1) * m
                b = d.mean(axis=0).var(ddof=1) * n
                rest = d - d.mean(1)[:, None] - d.mean(0)[None] + d.mean()
                c = np.sum(rest**2) / ((n - 1) * (m - 1))
                more = max(b - c, 0)
                degrees = (n - 1) * ((a + more) / a) ** 2
                if more:
                    degrees = min(degrees, m - 1)
                half = stats.t.ppf(0.5 + confidence / 2, degrees) * np.sqrt((a + more) / (n * m))
                return [d.mean() - half, d.mean() + half]
            """,
            """
            def decide(low, high, worthwhile):
                return "holds" if low > 0 else "does not hold" if high < worthwhile else "undecided"
            """,
            """
            def conclude(seeds, ahead, low, high, overall, min_effect):
                if seeds < 6 or ahead < 2 * min_effect:
                    return "cannot tell"
                said = decide(low, high, min_effect)
                agrees = {"holds": overall > 0, "does not hold": overall < min_effect}
                return said if agrees.get(said) else "undecided"
            """,
        ),
    },
    {
        2: code(
            """
            def paired(ours, theirs):
                def scores(rows):
                    return {(r["labels"], r["seed"], r["fold"]): r["score"] for r in rows
                            if r["score"] is not None}

                a, b, found = scores(ours), scores(theirs), {}
                for key in sorted(set(a) & set(b)):
                    found.setdefault(key[1:], []).append(a[key] - b[key])
                return {unit: float(np.mean(several)) for unit, several in found.items()}
            """,
            """
            def bootstrap(differences, rng, draws=4000, confidence=0.95):
                values = np.array(differences)
                places = rng.integers(len(values), size=(draws, len(values)))
                rest = 100 * (1 - confidence) / 2
                return np.percentile(values[places].mean(1), [rest, 100 - rest]).tolist()
            """,
        ),
        6: code(
            """
            def read_rows(text, runs):
                found = {}
                for row in csv.DictReader(text.splitlines()):
                    try:
                        row["score"] = float(row["score"])
                    except ValueError:
                        continue
                    if row["run"] not in set(runs) or math.isnan(row["score"]):
                        continue
                    if math.isinf(row["score"]):
                        continue
                    names = "arm protocol task labels seed fold steps".split()
                    key = "|".join(row[name] for name in names)
                    row["seed"], row["fold"] = int(row["seed"]), int(row["fold"])
                    found[key] = row
                return [*found.values()]
            """,
            RIGHT["mean_and_spread"],
            RIGHT["claim_of"],
        ),
    },
    {  # arrays as ends, einsum, nested functions, a helper class
        3: code(
            """
            class Squares:
                def __init__(self, d):
                    self.s, self.p = d.shape
                    whole = np.einsum("sp->", d) / d.size
                    rows, columns = np.einsum("sp->s", d) / self.p, np.einsum("sp->p", d) / self.s
                    rest = d - rows[:, None] - columns + whole
                    self.rows = self.p * sum((rows - whole) ** 2) / (self.s - 1)
                    self.columns = self.s * sum((columns - whole) ** 2) / (self.p - 1)
                    self.rest = np.einsum("sp,sp->", rest, rest) / (self.s - 1) / (self.p - 1)
            """,
            """
            def mean_interval(differences, confidence=0.95):
                d = np.array(differences, dtype="float64")
                if 1 in d.shape:
                    return np.array([-np.inf, np.inf])
                m = Squares(d)
                b = m.columns - m.rest if m.columns > m.rest else 0
                f = (m.s - 1) * ((m.rows + b) / m.rows) ** 2
                f = f if b == 0 else min(f, m.p - 1)
                width = stats.t(f).isf((1 - confidence) / 2) * ((m.rows + b) / d.size) ** 0.5
                return d.mean() + width * np.array([-1, 1])
            """,
            RIGHT["decide"],
            """
            def conclude(seeds, ahead, low, high, overall, min_effect):
                verdict = "undecided"
                if seeds < 6 or ahead < 2 * min_effect:
                    verdict = "cannot tell"
                elif low > 0 and overall > 0:
                    verdict = "holds"
                elif high < min_effect and overall < min_effect:
                    verdict = "does not hold"
                return verdict
            """,
        ),
        6: code(
            """
            def read_rows(text, runs):
                import pandas as pd

                table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
                table["score"] = pd.to_numeric(table["score"], errors="coerce")
                table = table[table["run"].isin(list(runs)) & np.isfinite(table["score"])]
                names = ["arm", "protocol", "task", "labels", "seed", "fold", "steps"]
                table = table.drop_duplicates(names, keep="last")
                rows = table.astype({"seed": int, "fold": int}).to_dict("records")
                return rows
            """,
            """
            def mean_and_spread(rows, arm, protocol, labels):
                import statistics

                def asked(row):
                    return [row[name] for name in ("arm", "protocol", "labels")] == [
                        arm,
                        protocol,
                        labels,
                    ]

                scores = [row["score"] for row in filter(asked, rows)]
                spread = statistics.stdev(scores) if len(scores) > 1 else None
                return [statistics.fmean(scores), spread, len(scores)]
            """,
            RIGHT["claim_of"],
        ),
    },
]
