"""Assignment 6, answered by other habits."""

from course.habits import code

ANSWERS = [
    {
        1: code(
            """
            def in_units(asked, reference):
                a, r = asked.numpy().astype(float), reference.numpy().astype(float)
                mean, spread = r.mean(0), r.std(0)
                mute = spread <= 1e-5 * np.abs(r).max(0)
                spread = np.where(mute, 1, spread)
                return [torch.tensor(np.where(mute, 0, (x - mean) / spread)) for x in (a, r)]
            """
        ),
        2: code(
            """
            def nearest(asked, reference, k, at_a_time):
                found, begin = [], 0
                own = (reference**2).sum(1)
                while begin < len(asked):
                    part = asked[begin : begin + at_a_time].double()
                    away = own.double() - 2 * part @ reference.double().T
                    found.append(torch.sort(away, dim=1, stable=True).indices[:, :k].clone())
                    begin += at_a_time
                return torch.cat(found)
            """
        ),
        3: code(
            """
            def vote(classes):
                won = []
                for row in classes.tolist():
                    won.append(max(row, key=row.count))  # of equals the first
                return won
            """
        ),
        4: code(
            """
            def places_of(space):
                axes = [torch.arange(n, dtype=torch.float64) + 0.5 for n in space]
                grid = torch.meshgrid(*[2 * a / n - 1 for a, n in zip(axes, space)], indexing="ij")
                return torch.stack(grid, -1).reshape(-1, len(space))
            """,
            """
            def with_place(features, places, weight):
                f, p = features.shape[-1], places.shape[-1]
                left = features * ((1 - weight) / f) ** 0.5
                return torch.hstack([left, places * (weight / p) ** 0.5])
            """,
        ),
        5: code(
            """
            def two_crops(scan, step):
                one = two = scan
                for number, by in enumerate(reversed(step), start=1):
                    edge = scan.shape[-number]
                    one = one.narrow(-number, 0, edge - by)
                    two = two.narrow(-number, by, edge - by)
                return [one, two]
            """,
            """
            def same_anatomy(space, step):
                number = torch.arange(torch.Size(space).numel()).view(*space)
                first, second = two_crops(number, step)
                a, b = first.flatten().numpy(), second.flatten().numpy()
                _, in_first, in_second = np.intersect1d(a, b, return_indices=True)
                return in_first, in_second
            """,
        ),
        6: code(
            """
            def follows(before, same_anatomy, same_position):
                b, a, p = (x.numpy().astype(float) for x in (before, same_anatomy, same_position))
                spread = b.std(axis=0)
                keep = spread > 1e-5 * abs(b).max(axis=0)
                if not keep.any():
                    return float("nan")
                A = (((b - a)[:, keep] / spread[keep]) ** 2).mean()
                P = (((b - p)[:, keep] / spread[keep]) ** 2).mean()
                return P / (P + A) if P + A > 0 else np.nan
            """
        ),
    },
    {
        2: code(
            """
            def nearest(asked, reference, k, at_a_time):
                out = torch.empty(len(asked), k, dtype=torch.long)
                for begin in range(0, len(asked), at_a_time):
                    rows = slice(begin, begin + at_a_time)
                    away = torch.zeros(len(asked[rows]), len(reference))
                    for feature in range(asked.shape[1]):
                        away += (asked[rows, feature, None] - reference[None, :, feature]) ** 2
                    out[rows] = away.argsort(dim=1, stable=True)[:, :k]
                return out
            """
        ),
        3: code(
            """
            def vote(classes):
                counts = torch.nn.functional.one_hot(classes).sum(1)
                mine = counts.gather(1, classes)
                best = (mine == mine.max(1, keepdim=True).values).int()
                return classes[torch.arange(len(classes)), best.argmax(1)]
            """
        ),
    },
    {  # type hints, lists, recursion, einsum, float64
        1: code(
            """
            def in_units(asked: torch.Tensor, reference: torch.Tensor) -> tuple:
                columns = []
                for a, r in zip(asked.double().T, reference.double().T):
                    mean, spread = r.mean(), ((r - r.mean()) ** 2).mean().sqrt()
                    if spread <= 1e-5 * r.abs().max():
                        columns.append((torch.zeros_like(a), torch.zeros_like(r)))
                    else:
                        columns.append(((a - mean) / spread, (r - mean) / spread))
                return tuple(torch.stack(side, 1) for side in zip(*columns))
            """
        ),
        2: code(
            """
            def nearest(asked, reference, k, at_a_time):
                import numpy as np

                if len(asked) > at_a_time:
                    parts = asked[:at_a_time], asked[at_a_time:]
                    return np.concatenate([nearest(p, reference, k, at_a_time) for p in parts])
                a, r = asked.numpy().astype("float64"), reference.numpy().astype("float64")
                away = np.stack([((r - row) ** 2).sum(1) for row in a])
                return np.argsort(away, axis=1, kind="stable")[:, :k]
            """
        ),
        3: code(
            """
            def vote(classes):
                from collections import Counter

                return [Counter(row).most_common(1)[0][0] for row in classes.tolist()]
            """
        ),
        4: code(
            """
            def places_of(space):
                from itertools import product

                cells = product(*map(range, space))
                return [[(2 * i + 1) / n - 1 for i, n in zip(cell, space)] for cell in cells]
            """,
            """
            def with_place(features, places, weight):
                parts = []
                for table, share in ((features, 1 - weight), (places, weight)):
                    root = torch.tensor(share / table.shape[1]).double().sqrt()
                    parts.append(torch.einsum("vf,->vf", table.double(), root))
                return torch.cat(parts, dim=-1)
            """,
        ),
        5: code(
            """
            def two_crops(scan, step):
                first = (..., *(slice(0, n - s) for n, s in zip(scan.shape[-len(step) :], step)))
                second = (..., *(slice(s, None) for s in step))
                return scan.numpy()[first].copy(), scan.numpy()[second].copy()
            """,
            """
            def same_anatomy(space, step):
                from itertools import product

                crop, one, two = [n - s for n, s in zip(space, step)], [], []

                def number(cell):
                    return 0 if not cell else number(cell[:-1]) * crop[len(cell) - 1] + cell[-1]

                for cell in product(*(range(s, n - s) for n, s in zip(space, step))):
                    one.append(number(cell))
                    two.append(number([c - s for c, s in zip(cell, step)]))
                return one, two
            """,
        ),
    },
]
