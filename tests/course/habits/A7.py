"""Assignment 7, answered by other habits."""

from course.habits import code

ANSWERS = [
    {
        1: code(
            """
            def table_of(rows, ours, theirs):
                sides = []
                for arm, labels in (ours, theirs):
                    own = {}
                    for row in rows:
                        if row["arm"] != arm or row["labels"] != labels:
                            continue
                        if row["protocol"] == "finetune" and row["score"] is not None:
                            own[row["seed"]] = row["case_scores"]
                    sides.append(own)
                seeds = [seed for seed in sorted(sides[0]) if seed in sides[1]]
                runs = [side[seed] for side in sides for seed in seeds]
                patients = [p for p in sorted(runs[0]) if all(p in run for run in runs)]
                table = np.array(
                    [[sides[0][s][p] - sides[1][s][p] for p in patients] for s in seeds]
                )
                return seeds, patients, table
            """
        ),
        2: code(
            """
            def pooled_interval(table, confidence=0.95):
                flat = np.array(table).flatten()
                return stats.t.interval(
                    confidence, flat.size - 1, loc=flat.mean(), scale=stats.sem(flat)
                )
            """,
            """
            def worth(table):
                flat = np.array(table).flatten()
                return (flat.std(ddof=1) / multi_reader(np.array(table)).standard_error) ** 2
            """,
        ),
        3: code(
            """
            def shared_patients(scans):
                found = []
                for scan in scans:
                    tested = scan["side"] == "test"
                    others = [s for s in scans if s["patient"] == scan["patient"]]
                    if tested and any(s["side"] != "test" for s in others):
                        if scan["patient"] not in found:
                            found.append(scan["patient"])
                found.sort()
                return found
            """,
            """
            def gains_of(table, patients, shared):
                kinds = [[], []]
                for row in table:
                    for value, patient in zip(row, patients):
                        kinds[patient not in shared].append(value)
                return [np.mean(each) if each else None for each in kinds]
            """,
        ),
        4: code(
            """
            def labels_used(rows, side, validation):
                arm, labels = side
                scans, chosen = 0, False
                for row in rows:
                    if row["arm"] == arm and row["labels"] == labels:
                        if row["protocol"] == "finetune":
                            scans = max(scans, row["scans"])
                            chosen = chosen or row["best_step"] is not None
                return scans + validation if chosen else scans
            """
        ),
        5: code(
            """
            def strongest(sides, used):
                best = None
                for side in sides:
                    scores = [s for s in side["scores"] if s is not None]
                    if side["used"] < used or not scores:
                        continue
                    mean = sum(scores) / len(scores)
                    if best is None or side["used"] < best[0]:
                        best = (side["used"], mean, side["arm"], side["labels"])
                    elif side["used"] == best[0] and mean > best[1]:
                        best = (side["used"], mean, side["arm"], side["labels"])
                return None if best is None else best[2:]
            """
        ),
        6: code(
            """
            def luck(reported, table):
                gains = [sum(row) / len(row) for row in table]
                n = len(gains)
                xs = np.linspace(-9, 9, 40001)
                density = n * stats.norm.pdf(xs) * stats.norm.cdf(xs) ** (n - 1)
                of_best = integrate.trapezoid(xs * density, xs)
                spread = np.std(gains, ddof=1) if n > 1 else 0
                mean = np.mean(gains)
                return {
                    "mean": mean,
                    "best": max(gains),
                    "excess": reported - mean,
                    "by luck": spread * of_best,
                }
            """
        ),
        7: code(
            """
            def judge(measured, min_effect):
                flaws = []
                if measured["excess"] > 0.001:
                    flaws.append("best seed")
                elif measured["width"] < 0.9:
                    flaws.append("pooled")
                if measured["shared"]:
                    flaws.append("leakage")
                if measured["uncounted"]:
                    flaws.append("hidden labels")
                if measured["ahead"] > min_effect:
                    flaws.append("weak baseline")
                low, high = measured["low"], measured["high"]
                if measured["seeds"] < 6 or None in (low, high):
                    verdict = "cannot tell"
                elif low > 0:
                    verdict = "holds"
                elif high < min_effect:
                    verdict = "does not hold"
                else:
                    verdict = "cannot tell"
                return verdict, set(flaws)
            """
        ),
    },
    {  # pandas, type hints, walrus, comprehensions, recursion
        1: code(
            """
            import pandas as pd


            def table_of(rows: list[dict], ours: tuple, theirs: tuple):
                def side(arm: str, labels: str) -> pd.DataFrame:
                    runs = {
                        row["seed"]: row["case_scores"]
                        for row in rows
                        if [row["arm"], row["labels"], row["protocol"]] == [arm, labels, "finetune"]
                        and row["score"] is not None
                    }
                    return pd.DataFrame.from_dict(runs, orient="index").sort_index()

                a, b = side(*ours), side(*theirs)
                seeds = a.index.intersection(b.index)
                a, b = a.loc[seeds].dropna(axis=1), b.loc[seeds].dropna(axis=1)
                names = sorted(set(a.columns) & set(b.columns))
                return list(seeds), names, (a[names] - b[names]).to_numpy()
            """
        ),
        2: code(
            """
            def pooled_interval(table, confidence=0.95):
                flat = [value for row in table for value in row]
                n = len(flat)
                mean = sum(flat) / n
                error = (sum((x - mean) ** 2 for x in flat) / (n - 1) / n) ** 0.5
                return mean + error * np.array(stats.t.interval(confidence, n - 1))
            """,
            """
            def worth(table):
                flat = np.concatenate([np.array(row) for row in table])
                return np.float64(np.cov(flat) / multi_reader(np.array(table)).standard_error ** 2)
            """,
        ),
        4: code(
            """
            def labels_used(rows, side, validation):
                wanted = [*side, "finetune"]
                own = [r for r in rows if [r["arm"], r["labels"], r["protocol"]] == wanted]
                return max(r["scans"] for r in own) + validation * any(
                    r["best_step"] is not None for r in own
                )
            """
        ),
        5: code(
            """
            def strongest(sides, used):
                def mean(side):
                    there = [s for s in side["scores"] if s is not None]
                    return sum(there) / len(there) if there else None

                enough = [s for s in sides if s["used"] >= used and mean(s) is not None]
                if not (order := sorted(enough, key=lambda s: (s["used"], -mean(s)))):
                    return None
                return [order[0]["arm"], order[0]["labels"]]
            """
        ),
        7: code(
            """
            def judge(measured, min_effect):
                m, flaws = measured, []
                if m["excess"] > 0.001:
                    flaws += ["best seed"]
                if m["width"] < 0.9 and "best seed" not in flaws:
                    flaws += ["pooled"]
                names = {"shared": "leakage", "uncounted": "hidden labels"}
                flaws += [word for name, word in names.items() if m[name] > 0]
                flaws += ["weak baseline"] * (m["ahead"] > min_effect)
                if m["seeds"] >= 6 and m["low"] is not None and m["high"] is not None:
                    if m["low"] > 0:
                        return "holds", flaws
                    if m["high"] < min_effect:
                        return "does not hold", flaws
                return "cannot tell", flaws
            """
        ),
    },
]
