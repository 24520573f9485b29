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
]
