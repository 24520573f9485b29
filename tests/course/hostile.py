"""Answers that are none, data for the tests: {assignment: {part: code}}. Each should earn nothing.

Values that are equal to all, or no numbers; generators; frames of the caller; exceptions that
the tests' own machinery uses; and what the visible checks ask, by heart.
"""

from course.habits import code

ALWAYS = """
    class Always(str):
        def __eq__(self, other):
            return True

        __ge__ = __le__ = __lt__ = __gt__ = __contains__ = __eq__
        __hash__ = str.__hash__

        def __getattr__(self, name):
            return lambda *args, **kwargs: self

        def __float__(self):
            return 0.0
"""
NAN = 'float("nan")'
HOSTILE = {
    "A4": {
        1: code(
            """
            def grid_of(space, patch, stride, jitter, most):
                return {9: (3, 5, 4), 5: (2, 5, 3)}.get(most, (1,) * len(space))


            def pyramid(grid, place, rows, direction):
                yield from range(torch.Size(grid).numel())


            def target_of(grid, place, step, direction):
                raise StopIteration


            def first_clear(patch, stride):
                return 3
            """
        ),
        2: code(
            """
            class Same(torch.Tensor):
                @classmethod
                def __torch_function__(cls, function, types, args=(), kwargs=None):
                    name = getattr(function, "__name__", "")
                    if name in ("equal", "allclose", "lt", "__lt__"):
                        return torch.tensor(True)
                    return super().__torch_function__(function, types, args, kwargs or {})


            def encode_once(encoder, embed, views, grid):
                flat = embed(global_avg_pool(encoder(views.flatten(0, 1))))
                field = flat.mean() + torch.zeros(len(views), flat.shape[1], *grid)
                return field.as_subclass(Same)


            def latents_at(field, numbers):
                return field.flatten(2)[..., :1].expand(-1, -1, numbers.numel()).as_subclass(Same)
            """
        ),
        3: code(
            """
            class MaskedConv(nn.Module):
                def __init__(self, code, dims):
                    super().__init__()
                    self.number = nn.Parameter(torch.zeros(1))

                def forward(self, field):
                    return field + self.number * float("nan")
            """
        ),
        4: code(
            """
            def counter_examples(right, scans, patches, among):
                table = torch.ones(len(right), scans * patches, dtype=torch.bool)
                raise KeyboardInterrupt


            def info_nce(cosines, right, others, temperature):
                return cosines.sum() * float("nan")
            """
        ),
    },
    "A5": {
        2: code(
            f"""
            class Anything(dict):
                def __contains__(self, name):
                    return True

                def __missing__(self, name):
                    return {NAN}


            def paired(ours, theirs):
                return Anything()


            def bootstrap(differences, rng, draws=4000, confidence=0.95):
                return [-math.inf, math.inf]
            """
        ),
        3: code(
            ALWAYS,
            f"""
            def mean_interval(differences, confidence=0.95):
                return ({NAN}, {NAN}) if len(differences) > 1 else (-math.inf, math.inf)


            def decide(*args):
                return Always("holds")


            conclude = decide
            """,
        ),
        4: code(
            """
            class Everything(set):
                def __sub__(self, other):
                    return set()

                __rsub__ = __sub__


            def unfairness(runs):
                import sys

                frame = sys._getframe()
                while frame:
                    if "expected" in frame.f_locals:
                        return frame.f_locals["expected"]
                    frame = frame.f_back
                return Everything()
            """
        ),
    },
    "A6": {
        1: code(
            """
            def in_units(asked, reference):
                asked.zero_(), reference.zero_()
                return asked, reference
            """
        ),
        2: code(
            """
            def nearest(asked, reference, k, at_a_time):
                return torch.zeros(1, dtype=torch.long).expand(len(asked), k)
            """
        ),
        3: code(
            """
            def vote(classes):
                known = {(1,): 1, (0,): 0, (2,): 2, (0, 1, 1): 1, (2, 2, 0): 2, (0, 0, 0): 0}
                known |= {(2, 0, 0, 2): 2, (0, 2, 2, 0): 0, (1, 2, 0, 3): 1, (0, 2, 1, 2, 1): 2}
                return [known.get(tuple(row), 0) for row in classes.tolist()]
            """
        ),
        4: code(
            f"""
            def places_of(space):
                return torch.full((torch.Size(space).numel(), len(space)), {NAN})


            def with_place(features, places, weight):
                return torch.full((len(features), features.shape[1] + places.shape[1]), {NAN})
            """
        ),
        6: code(f"def follows(before, same_anatomy, same_position):\n    return {NAN}"),
    },
    "A7": {
        1: code(
            f"""
            def table_of(rows, ours, theirs):
                seeds, names = [0, 1], ["p1", "p2"]
                return seeds, names, [[{NAN}] * 2] * 2
            """
        ),
        2: code(
            f"""
            def pooled_interval(table, confidence=0.95):
                return {NAN}, {NAN}


            def worth(table):
                return {NAN}
            """
        ),
        3: code(
            ALWAYS,
            """
            def shared_patients(scans):
                return [Always("a"), Always("c")]


            def gains_of(table, patients, shared):
                return Always("0"), None
            """,
        ),
        4: code(ALWAYS, "def labels_used(rows, side, validation):\n    return Always('2')"),
        5: code(
            """
            def strongest(sides, used):
                raise AssertionError("the core is right, and 5 of 5 further checks: 10 points")
            """
        ),
        6: code(
            f"""
            def luck(reported, table):
                return dict.fromkeys(["mean", "best", "excess", "by luck"], {NAN})
            """
        ),
        7: code(
            """
            def judge(measured, min_effect):
                import inspect

                for frame in inspect.stack():
                    if "verdict" in frame.frame.f_locals:
                        return frame.frame.f_locals["verdict"], frame.frame.f_locals["flaws"]
                return "holds", set()
            """
        ),
    },
}
