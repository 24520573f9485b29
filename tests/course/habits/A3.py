"""Assignment 3, answered by other habits."""

from course.habits import code, right_answers

RIGHT = right_answers(3)
JIGSAW = RIGHT["MyJigsaw"]
ANSWERS = [
    {
        1: code(
            """
            def hamming_matrix(orders):
                rows = [[sum(a != b for a, b in zip(p, q)) for q in orders.tolist()]
                        for p in orders.tolist()]
                return torch.tensor(rows)
            """,
            RIGHT["far_orders"],
        ),
        2: code(
            """
            def shuffle(pieces, orders):
                index = orders.reshape(*orders.shape, *[1] * (pieces.ndim - 2))
                return torch.gather(pieces, 1, index.expand(pieces.shape))
            """,
            """
            def unshuffle(shown, orders):
                back = torch.empty_like(shown)
                for scan in range(len(shown)):
                    back[scan, orders[scan]] = shown[scan]
                return back
            """,
        ),
        3: code(
            """
            def normalise_pieces(views):
                axes = tuple(range(3, views.ndim))
                mean = views.mean(axes, keepdim=True)
                variance = ((views - mean) ** 2).mean(axes, keepdim=True)
                variance = torch.where(variance == 0, torch.ones_like(variance), variance)
                return (views - mean) / variance.sqrt()
            """,
            JIGSAW,
        ),
        4: code(
            """
            def solve_by_borders(views, orders, side):
                dims = views.ndim - 3
                cells = torch.arange(side**dims).view((side,) * dims)
                best = []
                for scan in views:
                    costs = []
                    for order in orders:
                        at, cost = torch.argsort(order), 0.0
                        for axis in range(dims):
                            one = cells.narrow(axis, 0, side - 1).flatten()
                            two = cells.narrow(axis, 1, side - 1).flatten()
                            for a, b in zip(one, two):
                                left = scan[at[a]].select(1 + axis, -1)
                                right = scan[at[b]].select(1 + axis, 0)
                                cost += float((left - right).abs().mean())
                        costs.append(cost)
                    best.append(int(np.argmin(costs)))
                return torch.tensor(best)
            """
        ),
        5: code(
            """
            def p_above_chance(right, asked, chance):
                from math import comb

                ways = (comb(asked, x) * chance**x * (1 - chance) ** (asked - x)
                        for x in range(right, asked + 1))
                return sum(ways)
            """,
            """
            def verdict(right_on_scans, right_on_noise, asked, chance, alpha=0.01):
                def above(right):
                    return p_above_chance(right, asked, chance) < alpha

                if above(right_on_noise):
                    return "shortcut"
                if above(right_on_scans):
                    return "anatomy"
                return "guessing"
            """,
        ),
    },
    {
        2: code(
            """
            def shuffle(pieces, orders):
                return torch.stack([p[o] for p, o in zip(pieces, orders)])
            """,
            """
            def unshuffle(shown, orders):
                return torch.stack([s[torch.argsort(o)] for s, o in zip(shown, orders)])
            """,
        ),
        3: code(
            """
            def normalise_pieces(views):
                values = views.numpy()
                axes = tuple(range(3, values.ndim))
                spread = values.std(axis=axes, keepdims=True)
                spread = np.where(spread == 0, 1, spread)
                return torch.from_numpy((values - values.mean(axis=axes, keepdims=True)) / spread)
            """,
            JIGSAW,
        ),
        5: code(
            """
            def p_above_chance(right, asked, chance):
                from scipy import stats

                if right <= 0:
                    return 1.0
                return stats.binomtest(right, asked, chance, alternative="greater").pvalue
            """,
            RIGHT["verdict"],
        ),
    },
]
