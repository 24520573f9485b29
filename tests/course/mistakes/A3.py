"""Typical mistakes in assignment 3, each of which should cost its own part and no other."""

from functools import partial
from textwrap import indent

from course.mistakes import changed, mistake_in, right_answers

mistake = partial(mistake_in, 3)
RIGHT = right_answers(3)


# ---- the right answers, of which each mistake changes something ----------------------------------

MATRIX = RIGHT["hamming_matrix"]
FAR = """
    def far_orders(pieces, count, generator):
        if not 1 <= count <= factorial(pieces):
            raise InputError("there are not as many orders")
        pool = torch.rand(5000, pieces, generator=generator).argsort(1)
        chosen, nearest = [0], (pool != pool[0]).sum(1)
        while len(chosen) < count:
            chosen.append(int(nearest.argmax()))
            nearest = torch.minimum(nearest, (pool != pool[chosen[-1]]).sum(1))
        return pool[chosen]
"""
SHUFFLE = RIGHT["shuffle"]
UNSHUFFLE = RIGHT["unshuffle"]
NORMALISE = RIGHT["normalise_pieces"]
JIGSAW = """
class MyJigsaw(ProxyTask):
    name = "my-jigsaw"
    Settings = JigsawSettings

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        s, pieces = settings, 3**self.dims
        self.orders = permutation_set(pieces, s.permutations, s.permutation_seed)
        self.head = head(pieces * encoder.width, s.hidden, s.permutations)

    def sample_params(self, volumes, generator):
        s, shape = self.settings, (len(volumes), 3**self.dims, self.dims)
        return {
            "permutation": torch.randint(s.permutations, (len(volumes), 1), generator=generator),
            "shift": torch.randint(s.jitter + 1, shape, generator=generator),
        }

    def make_views(self, volumes, params):
BODY
    def forward(self, encoder, batch):
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        return self.head(features.view(len(batch.views), -1))
"""
POSE = """
s = self.settings
corners = puzzle_corners(volumes.shape[2:], 3, s.patch, s.jitter) + params["shift"]
shown = shuffle(corners, self.orders[params["permutation"][:, 0]])
views = cut(volumes, shown, (s.patch,) * self.dims)
views = normalise_pieces(views) if s.normalise else views
placement = Placement(shift_matrix(shown), grid=(3,) * self.dims)
return ProxyBatch(views, params["permutation"].to(views.device), placement)
"""
SOLVE = RIGHT["solve_by_borders"]
P_VALUE = """
    def p_above_chance(right, asked, chance):
        from scipy.stats import binom, norm

        return float(binom.sf(right - 1, asked, chance))
"""
VERDICT = RIGHT["verdict"]


def jigsaw(*changes: tuple[str, str]) -> str:
    return JIGSAW.replace("BODY", indent(changed(POSE, *changes), " " * 8))


MISTAKES = [
    # ---- 1: orders
    mistake("places that agree are counted", 1, changed(MATRIX, ("!=", "==")), FAR),
    mistake(
        "differences of the numbers are summed",
        1,
        changed(
            MATRIX, ("orders[:, None] != orders[None]", "(orders[:, None] - orders[None]).abs()")
        ),
        FAR,
    ),
    mistake(
        "the mean distance in place of the smallest",
        1,
        MATRIX,
        changed(
            FAR,
            (
                "torch.minimum(nearest, (pool != pool[chosen[-1]]).sum(1))",
                "nearest + (pool != pool[chosen[-1]]).sum(1)",
            ),
        ),
    ),
    mistake("the nearest candidate is taken", 1, MATRIX, changed(FAR, ("argmax", "argmin"))),
    mistake(
        "far from the last one alone",
        1,
        MATRIX,
        changed(
            FAR,
            (
                "torch.minimum(nearest, (pool != pool[chosen[-1]]).sum(1))",
                "(pool != pool[chosen[-1]]).sum(1)",
            ),
        ),
    ),
    mistake(
        "at random, without a search",
        1,
        MATRIX,
        """
        def far_orders(pieces, count, generator):
            if not 1 <= count <= factorial(pieces):
                raise InputError("there are not as many orders")
            return torch.stack(
                [torch.randperm(pieces, generator=generator) for _ in range(count)]
            )
        """,
    ),
    mistake("a pool from the global state", 1, MATRIX, changed(FAR, (", generator=generator", ""))),
    mistake(
        "always the same pool",
        1,
        MATRIX,
        changed(FAR, ("generator=generator", "generator=torch.Generator().manual_seed(0)")),
    ),
    mistake(
        "more orders than there are",
        1,
        MATRIX,
        changed(FAR, ("not 1 <= count <= factorial(pieces)", "count < 1")),
    ),
    mistake("one order too many", 1, MATRIX, changed(FAR, ("< count:", "<= count:"))),
    mistake(
        "pieces counted from 1",
        1,
        MATRIX,
        changed(FAR, ("return pool[chosen]", "return pool[chosen] + 1")),
    ),
    # ---- 2: shuffling
    mistake(
        "put back by shuffling once more",
        2,
        SHUFFLE,
        changed(UNSHUFFLE, ("orders.argsort(1)", "orders")),
    ),
    mistake(
        "shuffled by the inverse order",
        2,
        changed(SHUFFLE, ("orders]", "orders.argsort(1)]")),
        changed(UNSHUFFLE, ("orders.argsort(1)", "orders")),
    ),
    mistake(
        "the first scan's order for all",
        2,
        "def shuffle(pieces, orders):\n    return pieces[:, orders[0]]",
        "def unshuffle(shown, orders):\n    return shown[:, orders[0].argsort()]",
    ),
    mistake(
        "scans and pieces crossed",
        2,
        "def shuffle(pieces, orders):\n    return pieces[:, orders]",
        UNSHUFFLE,
    ),
    mistake(
        "written into the pieces",
        2,
        """
        def shuffle(pieces, orders):
            for scan, order in enumerate(orders):
                pieces[scan] = pieces[scan, order]
            return pieces
        """,
        UNSHUFFLE,
    ),
    mistake(
        "written over while it is still read",
        2,
        SHUFFLE,
        """
        def unshuffle(shown, orders):
            back = shown
            for scan, order in enumerate(orders.tolist()):
                for place, cell in enumerate(order):
                    back[scan, cell] = shown[scan, place]
            return back
        """,
    ),
    # ---- 3: the puzzle
    mistake(
        "all pieces of a scan normalised together",
        3,
        changed(NORMALISE, ("tuple(range(3, views.ndim))", "tuple(range(1, views.ndim))")),
        jigsaw(),
    ),
    mistake(
        "all channels of a piece normalised together",
        3,
        changed(NORMALISE, ("tuple(range(3, views.ndim))", "tuple(range(2, views.ndim))")),
        jigsaw(),
    ),
    mistake(
        "NaN for a piece of one value",
        3,
        changed(NORMALISE, ("(spread + 1e-5).sqrt()", "spread.sqrt()")),
        jigsaw(),
    ),
    mistake(
        "divided by the variance, not by its root",
        3,
        changed(NORMALISE, ("(spread + 1e-5).sqrt()", "(spread + 1e-5)")),
        jigsaw(),
    ),
    mistake(
        "normalised in place",
        3,
        changed(
            NORMALISE,
            (
                "return (views - mean) / (spread + 1e-5).sqrt()",
                "return views.sub_(mean).div_((spread + 1e-5).sqrt())",
            ),
        ),
        jigsaw(),
    ),
    mistake(
        "never normalised",
        3,
        NORMALISE,
        jigsaw(("normalise_pieces(views) if s.normalise else views", "views")),
    ),
    mistake(
        "no jitter",
        3,
        NORMALISE,
        jigsaw((' + params["shift"]', ' + 0 * params["shift"]')),
    ),
    mistake(
        "jitter by the place, not by the cell",
        3,
        NORMALISE,
        jigsaw(
            (' + params["shift"]', ' + 0 * params["shift"]'),
            ("[:, 0]])", '[:, 0]]) + params["shift"]'),
        ),
    ),
    mistake(
        "shown in the inverse order",
        3,
        NORMALISE,
        jigsaw(
            (
                'self.orders[params["permutation"][:, 0]]',
                'self.orders[params["permutation"][:, 0]].argsort(1)',
            )
        ),
    ),
    mistake(
        "never shuffled",
        3,
        NORMALISE,
        jigsaw(('shuffle(corners, self.orders[params["permutation"][:, 0]])', "corners")),
    ),
    mistake(
        "the placement of the pieces before they were shuffled",
        3,
        NORMALISE,
        jigsaw(("shift_matrix(shown)", "shift_matrix(corners)")),
    ),
    mistake(
        "no grid, so no view can put the pieces back",
        3,
        NORMALISE,
        jigsaw((", grid=(3,) * self.dims", "")),
    ),
    mistake("3D only", 3, NORMALISE, jigsaw(("(s.patch,) * self.dims", "(s.patch,) * 3"))),
    mistake(
        "the answer without its axis",
        3,
        NORMALISE,
        jigsaw(('params["permutation"].to', 'params["permutation"][:, 0].to')),
    ),
    mistake(
        "a new order drawn while posing",
        3,
        NORMALISE,
        jigsaw(
            (
                'shuffle(corners, self.orders[params["permutation"][:, 0]])',
                "shuffle(corners, self.orders[torch.randint(s.permutations, (len(volumes),))])",
            )
        ),
    ),
    # ---- 4: borders
    mistake("put back by the order itself", 4, changed(SOLVE, ("order.argsort()", "order"))),
    mistake("the worst fit is taken", 4, changed(SOLVE, ("argmin(0)", "argmax(0)"))),
    mistake("faces that do not meet", 4, changed(SOLVE, ("select(face, -1)", "select(face, 0)"))),
    mistake(
        "differences with their sign",
        4,
        changed(SOLVE, ("(before - after).abs()", "(before - after)")),
    ),
    mistake("borders along the first axis alone", 4, changed(SOLVE, ("range(dims)", "range(1)"))),
    mistake("the last axis is forgotten", 4, changed(SOLVE, ("range(dims)", "range(dims - 1)"))),
    mistake(
        "one answer for all scans",
        4,
        changed(SOLVE, (".argmin(0)", ".mean(1).argmin().expand(len(views))")),
    ),
    mistake(
        "the first axis taken for the fastest",
        4,
        changed(
            SOLVE,
            ("unflatten(1, (side,) * dims)", "unflatten(1, (side,) * dims).transpose(1, dims)"),
        ),
    ),
    mistake(
        "three pieces an axis, whatever is asked",
        4,
        changed(SOLVE, ("(side,)", "(3,)"), ("side - 1", "2")),
    ),
    # ---- 5: chance
    mistake("more than, not at least", 5, changed(P_VALUE, ("right - 1", "right")), VERDICT),
    mistake(
        "exactly as many, not at least",
        5,
        changed(P_VALUE, ("binom.sf(right - 1, asked, chance)", "binom.pmf(right, asked, chance)")),
        VERDICT,
    ),
    mistake(
        "the normal approximation",
        5,
        changed(
            P_VALUE,
            (
                "binom.sf(right - 1, asked, chance)",
                "norm.sf((right - asked * chance) / (asked * chance * (1 - chance)) ** 0.5)",
            ),
        ),
        VERDICT,
    ),
    mistake(
        "the other tail",
        5,
        changed(P_VALUE, ("binom.sf(right - 1", "binom.cdf(right")),
        VERDICT,
    ),
    mistake(
        "noise compared with scans, not with chance",
        5,
        P_VALUE,
        changed(
            VERDICT,
            (
                "p_above_chance(right_on_noise, asked, chance) < alpha",
                "right_on_noise >= right_on_scans",
            ),
        ),
    ),
    mistake(
        "any score above the mean of guessing counts",
        5,
        P_VALUE,
        """
        def verdict(right_on_scans, right_on_noise, asked, chance, alpha=0.01):
            if right_on_noise > asked * chance:
                return "shortcut"
            return "anatomy" if right_on_scans > asked * chance else "guessing"
        """,
    ),
    mistake(
        "success on scans hides what noise says",
        5,
        P_VALUE,
        """
        def verdict(right_on_scans, right_on_noise, asked, chance, alpha=0.01):
            if p_above_chance(right_on_scans, asked, chance) < alpha:
                return "anatomy"
            noisy = p_above_chance(right_on_noise, asked, chance) < alpha
            return "shortcut" if noisy else "guessing"
        """,
    ),
    mistake("a level of its own", 5, P_VALUE, changed(VERDICT, ("< alpha", "< 0.05"))),
]
