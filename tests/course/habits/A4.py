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
                while steps * stride <= patch:
                    steps += 1
                return steps
            """,
        ),
        2: code(
            """
            def encode_once(encoder, embed, views, grid):
                scans, patches = views.shape[:2]
                flat = views.reshape(scans * patches, *views.shape[2:])
                flat = embed(global_avg_pool(encoder(flat)))
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
]
