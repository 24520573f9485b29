"""Typical mistakes in assignment 2, each of which should cost its own part and no other."""

from functools import partial
from textwrap import dedent, indent

from course.mistakes import changed, mistake_in

mistake = partial(mistake_in, 2)


# ---- part 1 --------------------------------------------------------------------------------------


def turns(
    flip: str = "a",
    back: str = "turn(volumes, plane, -quarters)",
    shift: str = "2",
    rows: str = "once[a, b], once[b, a], once[b, dims] = 1, -1, edge - 1",
    count: str = "quarters % 4",
) -> tuple[str, str]:
    return (
        f"""
        def turn(volumes, plane, quarters):
            a, b = {shift} + plane[0], {shift} + plane[1]
            for _ in range({count}):
                volumes = volumes.transpose(a, b).flip({flip})
            return volumes

        def turn_back(volumes, plane, quarters):
            return {back}
        """,
        f"""
        def turn_matrix(plane, quarters, edge, dims):
            a, b = plane
            once = torch.eye(dims + 1)
            once[a], once[b] = torch.zeros(dims + 1), torch.zeros(dims + 1)
            {rows}
            matrix = torch.eye(dims + 1)
            for _ in range(quarters % 4):
                matrix = matrix @ once
            return matrix
        """,
    )


def deal(body: str, refuse: bool = True) -> str:
    check = 'if copies > choices:\n    raise InputError("too many copies")\n' * refuse
    return "def deal(scans, copies, choices, generator):\n" + indent(check + dedent(body), "    ")


# ---- parts 3 and 5: a class whose other methods are given ----------------------------------------

ROTATION = """
class MyRotation(ProxyTask):
    name = "my-rotation"
    Settings = RotationSettings

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        self.turns = quarter_turns(self.dims)
        self.head = head(encoder.width, settings.hidden, len(self.turns))

    def sample_params(self, volumes, generator):
        scans, size = len(volumes), (self.settings.crop_size,) * self.dims
        order = torch.rand(scans, len(self.turns), generator=generator).argsort(1)
        return {
            "corner": random_corner(volumes.shape[2:], size, (scans, 1), generator),
            "rotation": order[:, : self.settings.rotations_per_scan],
        }

    def make_views(self, volumes, params):
BODY
    def forward(self, encoder, batch):
        return self.head(global_avg_pool(encoder(batch.views.flatten(0, 1))))
"""
POSE_ROTATION = """
size, views, matrices = (self.settings.crop_size,) * self.dims, [], []
for scan in range(len(volumes)):
    cube = cut(volumes[scan : scan + 1], params["corner"][scan : scan + 1], size)[:, 0]
    shift = shift_matrix(params["corner"][scan, 0])
    for number in params["rotation"][scan].tolist():
        plane, quarters = self.turns[number]
        views.append(turn(cube, plane, quarters)[0])
        matrices.append(shift @ turn_matrix(plane, quarters, self.settings.crop_size, self.dims))
views = torch.stack(views).unflatten(0, params["rotation"].shape)
matrix = torch.stack(matrices).unflatten(0, params["rotation"].shape)
return ProxyBatch(views, params["rotation"].to(views.device), Placement(matrix))
"""
LOCATION = """
class MyLocation(ProxyTask):
    name = "my-location"
    Settings = RelativeLocationSettings

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        self.places = 3**self.dims - 1
        self.head = head(2 * encoder.width, settings.hidden, self.places)

    def sample_params(self, volumes, generator):
DRAW
    def make_views(self, volumes, params):
POSE
    def forward(self, encoder, batch):
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        features = features.unflatten(0, batch.views.shape[:2])
        centre, query = features[:, :1], features[:, 1:]
        return self.head(torch.cat([centre.expand_as(query), query], -1)).flatten(0, 1)
"""
DRAW_LOCATION = """
s, scans = self.settings, len(volumes)
order = torch.rand(scans, self.places, generator=generator).argsort(1)
query = order[:, : s.queries_per_scan]
shape = (scans, 1 + query.shape[1], self.dims)
return {"query": query, "shift": torch.randint(s.jitter + 1, shape, generator=generator)}
"""
POSE_LOCATION = """
s, query, centre = self.settings, params["query"], self.places // 2
cell = query + (query >= centre)
cell = torch.cat([torch.full_like(cell[:, :1], centre), cell], 1)
corner = puzzle_corners(volumes.shape[2:], 3, s.patch, s.jitter)[cell] + params["shift"]
views = cut(volumes, corner, (s.patch,) * self.dims)
views = normalised(views) if s.normalise else views
return ProxyBatch(views, query.to(views.device), Placement(shift_matrix(corner)))
"""


def rotation(old: str, new: str) -> str:
    return ROTATION.replace("BODY", indent(changed(POSE_ROTATION, (old, new)), " " * 8))


def location(old: str, new: str) -> str:
    """What is wrong stands in draw or in pose."""
    in_draw = old in DRAW_LOCATION
    drawn = changed(DRAW_LOCATION, (old, new)) if in_draw else DRAW_LOCATION
    pose = POSE_LOCATION if in_draw else changed(POSE_LOCATION, (old, new))
    made = LOCATION.replace("DRAW", indent(drawn, " " * 8))
    return made.replace("POSE", indent(pose, " " * 8))


def places(
    steps: str = "product((-1, 0, 1), repeat=dims) if any(step)",
    cell: str = "torch.tensor(space) // 3",
    start: str = "(1 + step) * cell + (cell - patch - jitter) // 2 + shift",
    order: str = "[torch.zeros_like(step[:, :1]), step]",
    fits: str = "cell.min() < patch + jitter",
) -> tuple[str, str]:
    return (
        f"""
        def offsets(dims):
            return torch.tensor([step for step in {steps}])
        """,
        f"""
        def patch_corners(space, patch, jitter, query, shift):
            cell = {cell}
            if {fits}:
                raise InputError("does not fit")
            step = offsets(len(space))[query]
            step = torch.cat({order}, 1)
            return {start}
        """,
    )


MISTAKES = [
    # ---- 1: turns
    mistake("turned the wrong way round", 1, *turns(flip="b")),
    mistake("mirrored: swapped, not flipped", 1, *turns(flip="()")),
    mistake("turned back by as many quarters", 1, *turns(back="turn(volumes, plane, quarters)")),
    mistake("space axes counted from 1", 1, *turns(shift="1")),
    mistake(
        "the matrix of the way back",
        1,
        *turns(rows="once[b, a], once[a, b], once[a, dims] = 1, -1, edge - 1"),
    ),
    mistake(
        "the matrix shifts by edge, not edge - 1",
        1,
        *turns(rows="once[a, b], once[b, a], once[b, dims] = 1, -1, edge"),
    ),
    mistake(
        "the matrix does not bring the cube back into place",
        1,
        *turns(rows="once[a, b], once[b, a] = 1, -1"),
    ),
    mistake(
        "negative quarters do nothing",
        1,
        *turns(count="quarters", back="turn(volumes, plane, 4 - quarters)"),
    ),
    # ---- 2: draws
    mistake(
        "every copy drawn by itself",
        2,
        deal("return torch.randint(choices, (scans, copies), generator=generator)"),
    ),
    mistake(
        "different within a scan, but even on average only",
        2,
        deal("""
            order = torch.rand(scans, choices, generator=generator).argsort(1)
            return order[:, :copies]
        """),
    ),
    mistake(
        "drawn from the global state",
        2,
        deal("""
            pack = torch.randperm(choices)
            return pack[torch.arange(scans * copies) % choices].view(scans, copies)
        """),
    ),
    mistake(
        "the global state seeded",
        2,
        deal("""
            torch.manual_seed(generator.initial_seed())
            pack = torch.randperm(choices)
            return pack[torch.arange(scans * copies) % choices].view(scans, copies)
        """),
    ),
    mistake(
        "a seed of its own in place of the generator",
        2,
        deal("""
            own = torch.Generator().manual_seed(0)
            pack = torch.randperm(choices, generator=own)
            return pack[torch.arange(scans * copies) % choices].view(scans, copies)
        """),
    ),
    mistake(
        "the generator's seed used again at each call",
        2,
        deal("""
            own = torch.Generator().manual_seed(generator.initial_seed())
            pack = torch.randperm(choices, generator=own)
            return pack[torch.arange(scans * copies) % choices].view(scans, copies)
        """),
    ),
    mistake(
        "the pack shuffled anew each time it is used up",
        2,
        deal("""
            rounds = -(-scans * copies // choices)
            packs = [torch.randperm(choices, generator=generator) for _ in range(rounds)]
            return torch.cat(packs)[: scans * copies].view(scans, copies)
        """),
    ),
    mistake(
        "dealt, but never shuffled",
        2,
        deal("return torch.arange(scans * copies).view(scans, copies) % choices"),
    ),
    mistake(
        "all scans get the same turns",
        2,
        deal("""
            pack = torch.randperm(choices, generator=generator)[:copies]
            return pack.repeat(scans, 1)
        """),
    ),
    mistake(
        "too many copies are not refused",
        2,
        deal(
            """
            pack = torch.randperm(choices, generator=generator)
            return pack[torch.arange(scans * copies) % choices].view(scans, copies)
            """,
            refuse=False,
        ),
    ),
    # ---- 3: rotation
    mistake(
        "matrices multiplied the wrong way round",
        3,
        rotation(
            "shift @ turn_matrix(plane, quarters, self.settings.crop_size, self.dims)",
            "turn_matrix(plane, quarters, self.settings.crop_size, self.dims) @ shift",
        ),
    ),
    mistake(
        "the placement forgets the turn",
        3,
        rotation(
            "shift @ turn_matrix(plane, quarters, self.settings.crop_size, self.dims)", "shift"
        ),
    ),
    mistake(
        "the placement forgets where the cube was cut",
        3,
        rotation("shift @ turn_matrix", "turn_matrix"),
    ),
    mistake(
        "turned back instead of turned",
        3,
        rotation("turn(cube, plane, quarters)", "turn(cube, plane, -quarters)"),
    ),
    mistake(
        "all cubes from the first scan", 3, rotation("volumes[scan : scan + 1]", "volumes[:1]")
    ),
    mistake(
        "always the corner of the first scan",
        3,
        rotation('params["corner"][scan : scan + 1]', 'params["corner"][:1]'),
    ),
    mistake(
        "3D only",
        3,
        rotation("(self.settings.crop_size,) * self.dims", "(self.settings.crop_size,) * 3"),
    ),
    mistake(
        "the answer is the number of quarters",
        3,
        rotation(
            'params["rotation"].to(views.device)',
            "torch.tensor([q for _, q in self.turns])[params['rotation']]",
        ),
    ),
    mistake(
        "new turns drawn while posing",
        3,
        rotation(
            "size, views, matrices",
            'params["rotation"] = torch.rand(len(volumes), len(self.turns)).argsort(1)'
            '[:, : params["rotation"].shape[1]]\nsize, views, matrices',
        ),
    ),
    mistake(
        "a copy turned on from the one before",
        3,
        rotation(
            "views.append(turn(cube, plane, quarters)[0])",
            "cube = turn(cube, plane, quarters)\n        views.append(cube[0])",
        ),
    ),
    # ---- 4: places
    mistake(
        "the centre is a place, too",
        4,
        *places(steps="product((-1, 0, 1), repeat=dims)"),
    ),
    mistake(
        "the first axis runs fastest",
        4,
        *places(steps="(s[::-1] for s in product((-1, 0, 1), repeat=dims)) if any(step)"),
    ),
    mistake("3D only", 4, *places(steps="product((-1, 0, 1), repeat=3) if any(step)")),
    mistake("the play all on one side", 4, *places(start="(1 + step) * cell + shift")),
    mistake(
        "the jitter left out of the play",
        4,
        *places(start="(1 + step) * cell + (cell - patch) // 2 + shift"),
    ),
    mistake(
        "cells as large as patches",
        4,
        *places(start="(1 + step) * (patch + jitter) + (cell - patch - jitter) // 2 + shift"),
    ),
    mistake(
        "all axes as long as the first",
        4,
        *places(cell="torch.tensor([space[0] // 3] * len(space))"),
    ),
    mistake("the centre patch last", 4, *places(order="[step, torch.zeros_like(step[:, :1])]")),
    mistake(
        "no jitter",
        4,
        *places(start="(1 + step) * cell + (cell - patch - jitter) // 2 + 0 * shift"),
    ),
    mistake("patches may leave their cells", 4, *places(fits="cell.min() < patch")),
    # ---- 5: relative location
    mistake(
        "jitter never reaches its end",
        5,
        location("torch.randint(s.jitter + 1,", "torch.randint(max(1, s.jitter),"),
    ),
    mistake(
        "no jitter",
        5,
        location(
            "torch.randint(s.jitter + 1, shape, generator=generator)",
            "torch.zeros(shape, dtype=torch.long)",
        ),
    ),
    mistake(
        "jitter from the global state",
        5,
        location(
            "torch.randint(s.jitter + 1, shape, generator=generator)",
            "torch.randint(s.jitter + 1, shape)",
        ),
    ),
    mistake(
        "all patches of a scan moved alike",
        5,
        location(
            "torch.randint(s.jitter + 1, shape, generator=generator)",
            "torch.randint(s.jitter + 1, (scans, 1, self.dims), generator=generator).expand(shape)",
        ),
    ),
    mistake(
        "the same place may be asked about twice",
        5,
        location(
            "order = torch.rand(scans, self.places, generator=generator).argsort(1)",
            "order = torch.randint(self.places, (scans, self.places), generator=generator)",
        ),
    ),
    mistake(
        "places taken for cells",
        5,
        location("cell = query + (query >= centre)", "cell = query"),
    ),
    mistake(
        "the answer is the cell",
        5,
        location("query.to(views.device)", "cell[:, 1:].to(views.device)"),
    ),
    mistake("13 is the centre in 2D, too", 5, location("self.places // 2", "13")),
    mistake(
        "the centre patch last",
        5,
        location(
            "[torch.full_like(cell[:, :1], centre), cell]",
            "[cell, torch.full_like(cell[:, :1], centre)]",
        ),
    ),
    mistake(
        "patches keep their brightness",
        5,
        location("normalised(views) if s.normalise else views", "views"),
    ),
    mistake(
        "normalised whether wanted or not",
        5,
        location("normalised(views) if s.normalise else views", "normalised(views)"),
    ),
    mistake(
        "all patches of a scan normalised together",
        5,
        location(
            "normalised(views) if s.normalise else views",
            "(views - views.mean()) / views.std() if s.normalise else views",
        ),
    ),
    mistake(
        "the placement without the jitter",
        5,
        location("shift_matrix(corner)", 'shift_matrix(corner - params["shift"])'),
    ),
]
