"""Assignment 1, answered by other habits."""

from course.habits import code

ANSWERS = [
    {
        1: code(
            """
            def with_one(points):
                points = np.asarray(points, dtype=float)
                return np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)
            """,
            """
            def to_mm(voxel, affine):
                return (with_one(voxel) @ np.asarray(affine).T)[..., :3]
            """,
            """
            def to_voxel(place, affine):
                return (with_one(place) @ np.linalg.inv(affine).T)[..., :3]
            """,
            """
            def millilitres(mask, affine):
                i, j, k = np.asarray(affine, float)[:3, :3].T
                return float((np.asarray(mask) != 0).sum()) * abs(np.dot(np.cross(i, j), k)) / 1e3
            """,
        ),
        2: code(
            """
            def turn_to_ras(volume, affine):
                affine = np.array(affine, dtype=float)
                rows = [int(np.argmax(np.abs(affine[:3, j]))) for j in range(3)]
                take = [rows.index(axis) for axis in range(3)]
                change, index = np.zeros((4, 4)), [slice(None)] * 3
                change[3, 3] = 1
                for new, old in enumerate(take):
                    change[old, new] = 1
                    if affine[new, old] < 0:
                        change[old, new] = -1
                        change[old, 3] = volume.shape[old] - 1
                        index[new] = slice(None, None, -1)
                return volume.transpose(take)[tuple(index)].copy(), affine @ change
            """
        ),
        3: code(
            """
            def robust_window(image, low=0.5, high=99.5):
                out = []
                for channel in np.asarray(image):
                    values = channel.astype(np.float64)
                    a, b = np.percentile(values, low), np.percentile(values, high)
                    flat = np.zeros_like(values)
                    out.append(flat if a == b else np.clip((values - a) / (b - a), 0, 1))
                return np.stack(out).astype("float32")
            """
        ),
        4: code(
            """
            def covering_corners(space, patch, stride):
                if stride > patch:
                    raise InputError("the stride leaves gaps")
                if any(n < patch for n in space):
                    raise InputError("a patch is longer than an axis")
                starts = [sorted({*range(0, n - patch + 1, stride), n - patch}) for n in space]
                return torch.cartesian_prod(*map(torch.tensor, starts))
            """
        ),
        5: code(
            """
            def cut_patches(volume, corners, patch):
                out = []
                for corner in corners.tolist():
                    piece = volume
                    for axis, start in enumerate(corner):
                        piece = piece.narrow(axis + 1, start, patch)
                    out.append(piece.clone())
                return torch.stack(out)
            """,
            """
            def reassemble(patches, corners, space, weight=None):
                edge = patches.shape[-1]
                if weight is None:
                    weight = torch.ones((edge,) * len(space))
                weight = weight.double()
                above = torch.zeros((patches.shape[1], *space), dtype=torch.float64)
                below = torch.zeros(tuple(space), dtype=torch.float64)
                for piece, corner in zip(patches.double(), corners.tolist()):
                    box = tuple(slice(c, c + edge) for c in corner)
                    above[(slice(None), *box)] += piece * weight
                    below[box] += weight
                return above / below
            """,
        ),
        6: code(
            """
            def mean_dice(predictions, labels, classes):
                scores = []
                for a, t in zip(predictions.long(), labels.long()):
                    a = torch.nn.functional.one_hot(a.flatten(), classes)[:, 1:].double()
                    t = torch.nn.functional.one_hot(t.flatten(), classes)[:, 1:].double()
                    both, sizes = (a * t).sum(0), a.sum(0) + t.sum(0)
                    scores.append(torch.where(sizes == 0, 1.0, 2 * both / sizes.clamp(min=1)))
                return torch.stack(scores).mean().item()
            """
        ),
    },
    {
        1: code(
            """
            def to_mm(voxel, affine):
                return np.einsum("ij,...j->...i", affine[:3, :3], np.array(voxel)) + affine[:3, 3]
            """,
            """
            def to_voxel(place, affine):
                rest = np.array(place, dtype=float) - affine[:3, 3]
                flat = np.linalg.solve(affine[:3, :3], rest.reshape(-1, 3).T).T
                return flat.reshape(rest.shape)
            """,
            """
            def millilitres(mask, affine):
                return np.sum(mask > 0) * np.abs(np.linalg.det(affine)) * 1e-3
            """,
        ),
        2: code(
            """
            def turn_to_ras(volume, affine):
                order = [int(np.abs(affine[row, :3]).argmax()) for row in range(3)]
                columns = [affine[:3, j].astype(float) for j in order]
                moved, shift = np.transpose(volume, order), affine[:3, 3].astype(float)
                signs = [-1 if columns[axis][axis] < 0 else 1 for axis in range(3)]
                for axis in range(3):
                    if signs[axis] < 0:
                        shift = shift + (moved.shape[axis] - 1) * columns[axis]
                out = np.eye(4)
                out[:3, :3] = np.stack([s * c for s, c in zip(signs, columns)], axis=1)
                out[:3, 3] = shift
                return moved[:: signs[0], :: signs[1], :: signs[2]], out
            """
        ),
        3: code(
            """
            def robust_window(image, low=0.5, high=99.5):
                image = np.asarray(image, dtype=float)
                axes = tuple(range(1, image.ndim))
                ends = np.percentile(image, [low, high], axis=axes, keepdims=True)
                width = ends[1] - ends[0]
                scaled = (image - ends[0]) / np.where(width == 0, np.inf, width)
                return np.clip(scaled, 0, 1).astype(np.float32)
            """
        ),
        4: code(
            """
            def covering_corners(space, patch, stride):
                from math import ceil

                if patch > min(space) or stride > patch:
                    raise InputError("no cover")
                axes = []
                for n in space:
                    count = ceil((n - patch) / stride) + 1
                    axes.append(torch.tensor([min(i * stride, n - patch) for i in range(count)]))
                grid = torch.meshgrid(*axes, indexing="ij")
                return torch.stack([each.reshape(-1) for each in grid], dim=-1)
            """
        ),
        6: code(
            """
            def mean_dice(predictions, labels, classes):
                total, seen = 0.0, 0
                for p, t in zip(predictions.numpy(), labels.numpy()):
                    for c in range(1, classes):
                        size = (p == c).sum() + (t == c).sum()
                        total += 1.0 if size == 0 else 2 * ((p == c) & (t == c)).sum() / size
                        seen += 1
                return np.float64(total / seen)
            """
        ),
    },
]
