"""Assignment 2, answered by other habits."""

from course.habits import changed, code, right_answers

RIGHT = right_answers(2)
ANSWERS = [
    {
        1: code(
            """
            def turn(volumes, plane, quarters):
                a, b = 2 + plane[0], 2 + plane[1]
                quarters = quarters % 4
                if quarters == 0:
                    return volumes.clone()
                if quarters == 1:
                    return volumes.transpose(a, b).flip(a)
                if quarters == 2:
                    return volumes.flip(a, b)
                return volumes.flip(a).transpose(a, b)
            """,
            """
            def turn_back(volumes, plane, quarters):
                return turn(volumes, plane, 4 - quarters % 4)
            """,
            """
            def turn_matrix(plane, quarters, edge, dims):
                a, b = plane
                once = torch.eye(dims + 1, dtype=torch.float64)
                once[a, a] = once[b, b] = 0.0
                once[a, b], once[b, a], once[b, dims] = 1.0, -1.0, edge - 1.0
                return torch.linalg.matrix_power(once, quarters % 4)
            """,
        ),
        2: code(
            """
            def deal(scans, copies, choices, generator):
                if copies > choices:
                    raise InputError("more copies than choices")
                pack = torch.randperm(choices, generator=generator).tolist()
                cards, rows = iter(pack * (scans * copies // choices + 1)), []
                for _ in range(scans):
                    rows.append([next(cards) for _ in range(copies)])
                return torch.tensor(rows)
            """
        ),
        3: code(
            changed(
                RIGHT["MyRotation"],
                (
                    "            views = volumes.new_empty",
                    "            # all at once\n            views = volumes.new_zeros",
                ),
            )
        ),
        4: code(
            """
            def offsets(dims):
                steps = torch.cartesian_prod(*[torch.arange(-1, 2)] * dims)
                return steps[steps.abs().sum(1) > 0]
            """,
            """
            def patch_corners(space, patch, jitter, query, shift):
                cells = [edge // 3 for edge in space]
                for cell in cells:
                    if patch + jitter > cell:
                        raise InputError("the patch does not fit into its cell")
                corners = shift.clone()
                for scan in range(query.shape[0]):
                    for place in range(1 + query.shape[1]):
                        step = [0] * len(space)
                        if place:
                            step = offsets(len(space))[query[scan, place - 1]].tolist()
                        for axis, cell in enumerate(cells):
                            first = (1 + step[axis]) * cell + (cell - patch - jitter) // 2
                            corners[scan, place, axis] += first
                return corners
            """,
        ),
    },
    {
        1: code(
            """
            def turn(volumes, plane, quarters):
                return torch.rot90(volumes, quarters, [2 + plane[0], 2 + plane[1]])
            """,
            """
            def turn_back(volumes, plane, quarters):
                return torch.rot90(volumes, quarters, [2 + plane[1], 2 + plane[0]])
            """,
            """
            def turn_matrix(plane, quarters, edge, dims):
                import numpy as np

                m = np.eye(dims + 1)
                a, b = plane
                for _ in range(quarters % 4):
                    once = np.eye(dims + 1)
                    once[[a, b], [a, b]] = 0
                    once[a, b], once[b, a], once[b, -1] = 1, -1, edge - 1
                    m = m @ once
                return torch.from_numpy(m).float()
            """,
        ),
        2: code(
            """
            def deal(scans, copies, choices, generator):
                if choices < copies:
                    raise InputError("too few choices")
                pack, rest = torch.randperm(choices, generator=generator), scans * copies
                return pack.repeat(rest // choices + 1)[:rest].reshape(scans, copies)
            """
        ),
    },
]
