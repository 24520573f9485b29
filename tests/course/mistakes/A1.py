"""Typical mistakes in assignment 1, each of which should cost its own part and no other."""

from functools import partial
from textwrap import dedent

from course.mistakes import mistake_in, right_answers

mistake = partial(mistake_in, 1)
RIGHT = right_answers(1)


# ---- part 1: what is right in the functions beside the wrong one ---------------------------------

TO_MM = RIGHT["to_mm"]
TO_VOXEL = RIGHT["to_voxel"]
MILLILITRES = RIGHT["millilitres"]


def turn_to_ras(order: str, shift: str = "turned.shape[axis] - 1", copy: str = "copy()") -> str:
    return f"""
        def turn_to_ras(volume, affine):
            order = np.abs(affine[:3, :3]).argmax(0){order}
            turned, columns = np.transpose(volume, order), affine[:, order].copy()
            new = affine.{copy}
            new[:, :3] = columns
            for axis in range(3):
                if new[axis, axis] < 0:
                    turned = np.flip(turned, axis)
                    new[:, 3] += ({shift}) * new[:, axis]
                    new[:, axis] *= -1
            return turned, new
    """


def robust_window(body: str) -> str:
    return "def robust_window(image, low=0.5, high=99.5):\n" + indented(body)


def covering_corners(
    starts: str, corners: str = "product(*axes)", refuse: str = "or stride > patch"
) -> str:
    check = f"""
        if min(space) < patch {refuse}:
            raise InputError("cannot be covered")
    """
    body = f"""
        axes = []
        for edge in space:
            starts = {starts}
            axes.append(starts)
        return torch.tensor(list({corners}))
    """
    return "def covering_corners(space, patch, stride):\n" + indented(check, body)


CUT = RIGHT["cut_patches"]


def reassemble(
    add: str = "total[(slice(None), *box)] += weight * values",
    count: str = "counted[box] += weight",
    result: str = "total / counted",
) -> str:
    return f"""
        def reassemble(patches, corners, space, weight=None):
            edge = patches.shape[-1]
            weight = torch.ones(patches.shape[2:]) if weight is None else weight
            total, counted = torch.zeros(patches.shape[1], *space), torch.zeros(*space)
            for values, corner in zip(patches, corners.tolist()):
                box = tuple(slice(c, c + edge) for c in corner)
                {add}
                {count}
            return {result}
    """


def mean_dice(classes: str = "range(1, classes)", absent: str = "1.0", score: str = "") -> str:
    score = score or "2 * int((found & there).sum()) / voxels"
    return f"""
        def mean_dice(predictions, labels, classes):
            scores = []
            for prediction, label in zip(predictions, labels):
                for number in {classes}:
                    found, there = prediction == number, label == number
                    voxels = int(found.sum() + there.sum())
                    scores.append({score} if voxels else {absent})
            return sum(scores) / len(scores)
    """


def indented(*blocks: str) -> str:
    """Statements as the body of a function."""
    lines = "\n".join(dedent(block).strip("\n") for block in blocks).splitlines()
    return "\n".join("    " + line for line in lines if line.strip())


COVERING = """list(range(0, edge - patch + 1, stride))
            if starts[-1] + patch < edge:
                starts.append(edge - patch)"""

MISTAKES = [
    # ---- 1: voxels and millimetres
    mistake(
        "the translation is forgotten",
        1,
        "def to_mm(voxel, affine):\n    return np.asarray(voxel) @ affine[:3, :3].T",
        TO_VOXEL,
        MILLILITRES,
    ),
    mistake(
        "rows and columns of the affine swapped",
        1,
        "def to_mm(voxel, affine):\n    return np.asarray(voxel) @ affine[:3, :3] + affine[:3, 3]",
        TO_VOXEL,
        MILLILITRES,
    ),
    mistake(
        "back without taking the shift off first",
        1,
        TO_MM,
        """
        def to_voxel(place, affine):
            return np.asarray(place) @ np.linalg.inv(affine[:3, :3]).T - affine[:3, 3]
        """,
        MILLILITRES,
    ),
    mistake(
        "the volume of a voxel read off the diagonal",
        1,
        TO_MM,
        TO_VOXEL,
        """
        def millilitres(mask, affine):
            return np.count_nonzero(mask) * np.prod(np.abs(np.diag(affine)[:3])) / 1000
        """,
    ),
    mistake(
        "a volume with a sign",
        1,
        TO_MM,
        TO_VOXEL,
        """
        def millilitres(mask, affine):
            return np.count_nonzero(mask) * np.linalg.det(affine[:3, :3]) / 1000
        """,
    ),
    mistake(
        "one voxel at a time only",
        1,
        "def to_mm(voxel, affine):\n    return (affine @ np.array([*voxel, 1]))[:3]",
        TO_VOXEL,
        MILLILITRES,
    ),
    # ---- 2: RAS
    mistake("a permutation in place of its inverse", 2, turn_to_ras("")),
    mistake("flipped about n instead of n - 1", 2, turn_to_ras(".argsort()", "turned.shape[axis]")),
    mistake("flipped, and the translation left alone", 2, turn_to_ras(".argsort()", "0")),
    mistake("the affine changed in place", 2, turn_to_ras(".argsort()", copy="view()")),
    mistake(
        "the volume turned, and the affine left as it was",
        2,
        """
        def turn_to_ras(volume, affine):
            order = np.abs(affine[:3, :3]).argmax(0).argsort()
            turned = np.transpose(volume, order)
            flips = [a for a in range(3) if affine[a, order[a]] < 0]
            return np.flip(turned, flips), affine
        """,
    ),
    mistake(
        "directions right, the order of the axes forgotten",
        2,
        """
        def turn_to_ras(volume, affine):
            turned, new = volume, affine.copy()
            for axis in range(3):
                if new[axis, axis] < 0:
                    turned = np.flip(turned, axis)
                    new[:, 3] += (turned.shape[axis] - 1) * new[:, axis]
                    new[:, axis] *= -1
            return turned, new
        """,
    ),
    # ---- 3: window
    mistake(
        "one window for all channels",
        3,
        robust_window("""
            bottom, top = np.percentile(image, (low, high))
            return ((image - bottom) / max(top - bottom, 1e-6)).clip(0, 1).astype(np.float32)
        """),
    ),
    mistake(
        "lowest and highest value in place of percentiles",
        3,
        robust_window("""
            windowed = np.zeros(image.shape, np.float32)
            for channel, values in enumerate(image.astype(float)):
                bottom, top = values.min(), values.max()
                if top > bottom:
                    windowed[channel] = (values - bottom) / (top - bottom)
            return windowed
        """),
    ),
    mistake(
        "NaN where there is no contrast",
        3,
        robust_window("""
            windowed = np.zeros(image.shape, np.float32)
            for channel, values in enumerate(image.astype(float)):
                bottom, top = np.percentile(values, (low, high))
                windowed[channel] = ((values - bottom) / (top - bottom)).clip(0, 1)
            return windowed
        """),
    ),
    mistake(
        "not clipped",
        3,
        robust_window("""
            windowed = np.zeros(image.shape, np.float32)
            for channel, values in enumerate(image.astype(float)):
                bottom, top = np.percentile(values, (low, high))
                if top > bottom:
                    windowed[channel] = (values - bottom) / (top - bottom)
            return windowed
        """),
    ),
    mistake(
        "written into the image that was given",
        3,
        robust_window("""
            for values in image:
                bottom, top = np.percentile(values, (low, high))
                values[:] = ((values - bottom) / (top - bottom)).clip(0, 1) if top > bottom else 0
            return image.astype(np.float32)
        """),
    ),
    mistake(
        "whole numbers of 16 bits overflow",
        3,
        robust_window("""
            windowed = np.zeros(image.shape, np.float32)
            for channel, values in enumerate(image):
                bottom, top = np.percentile(values, (low, high)).astype(image.dtype)
                if top > bottom:
                    windowed[channel] = ((values - bottom) / (top - bottom)).clip(0, 1)
            return windowed
        """),
    ),
    # ---- 4: patch grid
    mistake(
        "the rest at the far border is left out",
        4,
        covering_corners("list(range(0, edge - patch + 1, stride))"),
    ),
    mistake(
        "a patch flush with the border, even where one stands there already",
        4,
        covering_corners("[*range(0, edge - patch + 1, stride), edge - patch]"),
    ),
    mistake(
        "the first axis runs fastest",
        4,
        covering_corners(COVERING, "(c[::-1] for c in product(*axes[::-1]))"),
    ),
    mistake("3D only", 4, covering_corners(COVERING, "product(axes[0], axes[1], axes[2])")),
    mistake("gaps are not refused", 4, covering_corners(COVERING, refuse="")),
    # ---- 5: cut and put together
    mistake(
        "the last patch wins",
        5,
        CUT,
        reassemble("total[(slice(None), *box)] = weight * values", "counted[box] = weight"),
    ),
    mistake(
        "summed, never divided",
        5,
        CUT,
        reassemble(result="total.where(counted > 0, torch.nan)"),
    ),
    mistake(
        "divided by the count, not by the weights", 5, CUT, reassemble(count="counted[box] += 1")
    ),
    mistake(
        "0 where nothing is known", 5, CUT, reassemble(result="(total / counted).nan_to_num()")
    ),
    mistake(
        "weighted in place",
        5,
        CUT,
        reassemble("values *= weight; total[(slice(None), *box)] += values"),
    ),
    mistake(
        "a patch one voxel too small",
        5,
        CUT.replace("c + patch", "c + patch - 1"),
        reassemble(),
    ),
    mistake(
        "corners read from the last axis to the first",
        5,
        CUT.replace("for c in corner]", "for c in corner[::-1]]"),
        reassemble(),
    ),
    mistake(
        "3D only",
        5,
        """
        def cut_patches(volume, corners, patch):
            return torch.stack([
                volume[:, x : x + patch, y : y + patch, z : z + patch]
                for x, y, z in corners.tolist()
            ])
        """,
        reassemble(),
    ),
    # ---- 6: Dice
    mistake("the background is averaged in", 6, mean_dice("range(classes)")),
    mistake("an absent class counts 0", 6, mean_dice(absent="0.0")),
    mistake(
        "an absent class is skipped",
        6,
        """
        def mean_dice(predictions, labels, classes):
            scores = []
            for prediction, label in zip(predictions, labels):
                for number in range(1, classes):
                    found, there = prediction == number, label == number
                    voxels = int(found.sum() + there.sum())
                    if voxels:
                        scores.append(2 * int((found & there).sum()) / voxels)
            return sum(scores) / len(scores)
        """,
    ),
    mistake("classes counted in the label", 6, mean_dice("range(1, int(label.max()) + 1)")),
    mistake(
        "Jaccard instead of Dice",
        6,
        mean_dice(score="int((found & there).sum()) / int((found | there).sum())"),
    ),
    mistake(
        "voxels of all cases pooled",
        6,
        """
        def mean_dice(predictions, labels, classes):
            scores = []
            for number in range(1, classes):
                found, there = predictions == number, labels == number
                voxels = int(found.sum() + there.sum())
                scores.append(2 * int((found & there).sum()) / voxels if voxels else 1.0)
            return sum(scores) / len(scores)
        """,
    ),
]
