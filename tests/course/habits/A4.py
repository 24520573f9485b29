"""Assignment 4, answered by other habits."""

from course.habits import code

ANSWERS = [
    {
        1: code(
            """
            def grid_of(space, patch, stride, jitter, most):
                counts = []
                for edge in space:
                    room = edge - jitter
                    if room < patch:
                        raise InputError("no patch fits")
                    counts.append(min(most, 1 + (room - patch) // stride))
                return tuple(counts)
            """,
            """
            def numbered(grid):
                return torch.arange(torch.Size(grid).numel()).view(*grid)
            """,
            """
            def pyramid(grid, place, rows, direction):
                axis, backwards = direction
                found = []
                for m in range(rows + 1):
                    row = place[axis] + (m if backwards else -m)
                    if not 0 <= row < grid[axis]:
                        break
                    box = [slice(max(0, p - m), p + m + 1) for p in place]
                    box[axis] = slice(row, row + 1)
                    found += numbered(grid)[tuple(box)].flatten().tolist()
                return found
            """,
            """
            def target_of(grid, place, step, direction):
                axis, backwards = direction
                cell = list(place)
                cell[axis] += step * (-1 if backwards else 1)
                if cell[axis] < 0 or cell[axis] >= grid[axis]:
                    return None
                return int(numbered(grid)[tuple(cell)])
            """,
            """
            def first_clear(patch, stride):
                steps = 1
                while steps * stride < patch:
                    steps += 1
                return steps
            """,
        ),
        2: code(
            """
            def encode_once(encoder, embed, views, grid):
                scans, patches = views.shape[:2]
                flat = views.reshape(scans * patches, *views.shape[2:])
                flat = embed(pooled(encoder(flat)))
                field = flat.reshape(scans, patches, -1).permute(0, 2, 1)
                return field.reshape(scans, flat.shape[-1], *grid)
            """,
            """
            def latents_at(field, numbers):
                flat = field.reshape(field.shape[0], field.shape[1], -1)
                return flat[..., numbers].movedim(1, -1)
            """,
        ),
        3: code(
            """
            class MaskedConv(nn.Module):
                def __init__(self, code, dims):
                    super().__init__()
                    kind = nn.Conv2d if dims == 2 else nn.Conv3d
                    self.conv = kind(code, code, kernel_size=3, padding=1)
                    seen = torch.ones((3,) * dims)
                    seen[1:] = 0
                    seen[(1,) * dims] = 1
                    self.register_buffer("seen", seen)

                def forward(self, field):
                    weight = self.conv.weight * self.seen
                    run = F.conv2d if field.dim() == 4 else F.conv3d
                    return torch.relu(run(field, weight, self.conv.bias, padding=1)) + field
            """
        ),
        4: code(
            """
            def counter_examples(right, scans, patches, among):
                table = torch.zeros(len(right), scans * patches, dtype=torch.bool)
                for row, answer in enumerate(right.tolist()):
                    first = answer // patches * patches
                    table[row] = among != "same scan"
                    table[row, first : first + patches] = among != "other scans"
                    table[row, answer] = False
                return table
            """,
            """
            def info_nce(cosines, right, others, temperature):
                losses = []
                for row, answer, wrong in zip(cosines / temperature, right, others):
                    all_of_it = torch.cat([row[answer][None], row[wrong]])
                    losses.append(all_of_it.logsumexp(0) - row[answer])
                return sum(losses) / len(losses)
            """,
        ),
    },
    {
        4: code(
            """
            def counter_examples(right, scans, patches, among):
                scan = torch.arange(scans).repeat_interleave(patches)
                same = scan[None] == (right // patches)[:, None]
                if among == "same scan":
                    found = same
                elif among == "other scans":
                    found = torch.logical_not(same)
                else:
                    found = same | ~same
                found = found.clone()
                found[torch.arange(len(right)), right] = False
                return found
            """,
            """
            def info_nce(cosines, right, others, temperature):
                logits = cosines / temperature
                keep = others.clone()
                keep[torch.arange(len(right)), right] = True
                logits = torch.where(keep, logits, torch.full_like(logits, -1e9))
                return F.cross_entropy(logits, right)
            """,
        ),
    },
    {  # type hints, recursion, einsum, a helper class, float64
        1: code(
            """
            from typing import Iterator, Optional, Sequence
            """,
            """
            def grid_of(space: Sequence[int], patch: int, stride: int, jitter: int, most) -> list:
                def count(edge: int, begin: int = 0) -> int:
                    return 0 if begin + patch > edge else 1 + count(edge, begin + stride)

                if (found := [min(count(edge - jitter), most) for edge in space]) and all(found):
                    return found
                raise InputError(f"{patch} does not fit {space}")
            """,
            """
            def cells_of(grid: Sequence[int]) -> Iterator[tuple[int, ...]]:
                if not grid:
                    yield ()
                    return
                for first in range(grid[0]):
                    for rest in cells_of(grid[1:]):
                        yield (first, *rest)
            """,
            """
            def pyramid(grid, place, rows, direction):
                axis, backwards = direction
                cells = np.array(list(cells_of(grid)))
                before = (place[axis] - cells[:, axis]) * (-1 if backwards else 1)
                aside = np.abs(np.delete(cells, axis, 1) - np.delete(place, axis)).max(1)
                return np.flatnonzero((0 <= before) & (before <= rows) & (aside <= before))
            """,
            """
            def target_of(grid, place, step, direction) -> Optional[int]:
                axis, backwards = direction
                wanted = [p + (step, -step)[backwards] * (a == axis) for a, p in enumerate(place)]
                cells = list(cells_of(grid))
                return cells.index(tuple(wanted)) if tuple(wanted) in cells else None
            """,
            """
            def first_clear(patch, stride, rows=1):
                return rows if rows * stride >= patch else first_clear(patch, stride, rows + 1)
            """,
        ),
        2: code(
            """
            import matplotlib.pyplot as plt


            class Field:
                def __init__(self, scans, grid):
                    self.scans, self.grid = scans, tuple(grid)

                def __call__(self, latents):
                    rows = latents.reshape(self.scans, -1, latents.shape[1])
                    return torch.einsum("spc->scp", rows).reshape(self.scans, -1, *self.grid)
            """,
            """
            def encode_once(encoder, embed, views, grid):
                scans, patches, *rest = views.shape
                latents = embed(global_avg_pool(encoder(views.reshape(-1, *rest))))
                figure, axis = plt.subplots()
                axis.imshow(latents.detach())
                plt.close(figure)
                return Field(scans, grid)(latents)
            """,
            """
            def latents_at(field, numbers):
                flat = torch.einsum("sck->skc", field.reshape(*field.shape[:2], -1))
                one_by_one = [flat[:, int(number)] for number in numbers.flatten()]
                return torch.stack(one_by_one, 1).reshape(len(flat), *numbers.shape, -1)
            """,
        ),
        3: code(
            """
            class MaskedConv(torch.nn.Module):
                def __init__(self, code: int, dims: int) -> None:
                    super().__init__()
                    side, here = 3 ** (dims - 1), torch.nn.Linear(code, code)
                    self.here, self.dims = here, dims
                    self.above = torch.nn.ModuleList(
                        torch.nn.Linear(code, code, bias=False) for _ in range(side)
                    )

                def forward(self, field):
                    last = field.movedim(1, -1)
                    seen, padded = self.here(last), F.pad(last, (0, 0) + (1, 1) * self.dims)
                    shifts = torch.cartesian_prod(*[torch.arange(3)] * (self.dims - 1))
                    for one, shift in zip(self.above, shifts.reshape(len(shifts), -1).tolist()):
                        box = [slice(None), slice(0, last.shape[1])]
                        box += [slice(s, s + n) for s, n in zip(shift, last.shape[2:])]
                        seen = seen + one(padded[tuple(box)])
                    return field + seen.clamp(min=0).movedim(-1, 1)
            """
        ),
        4: code(
            """
            def counter_examples(right, scans, patches, among):
                rows = []
                for answer in right.tolist():
                    home, row = answer // patches, []
                    for latent in range(scans * patches):
                        same = latent // patches == home
                        kinds = {"same scan": same, "other scans": not same, "all": True}
                        row.append(kinds[among] and latent != answer)
                    rows.append(row)
                return torch.tensor(rows)
            """,
            """
            def info_nce(cosines, right, others, temperature):
                def loss(row, answer, wrong):
                    logits = row.double() / temperature
                    return F.softplus((logits[wrong] - logits[answer]).logsumexp(0))

                losses = [loss(*each) for each in zip(cosines, right.tolist(), others)]
                return torch.stack(losses).mean()
            """,
        ),
    },
]
