"""From a colour photograph of the retina to a square picture of it, the same for every camera.

Cameras show the retina through a round aperture, in frames of many shapes, some of which cut the
circle off. How much black there is about it tells the camera, and so, in most collections, the
clinic and how ill its patients are: a network would learn that first. So the square about the
circle is cut out, brought to one size, and blackened outside the circle.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import ExifTags, Image

from ssl3d_lite.data.preparation import Intensity
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.memory import check_volume
from ssl3d_lite.settings import Ge

from .description import describe
from .engine import Prepared, RawCase, Summary, prepare_cohort
from .settings import FoldSettings, Into

COLOUR_CHANNELS = ("red", "green", "blue")
GRADES = ("no retinopathy", "mild", "moderate", "severe", "proliferative")  # by number, 0 to 4
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
DARK = 16  # brightness, to 255: the surround is darker, compression's noise included
LEAST = 0.1  # share of the picture that the retina fills at the least
EDGE_SHARE = 0.02  # bright share of a row or column of the circle, at least: a caption has less

PictureEdge = Annotated[int, Ge(8)]  # pixels of a square

# by EXIF orientation; Pillow's own exif_transpose rewrites all EXIF, and fails where some is odd
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True)
class Photographs(FoldSettings):
    """How photographs become pictures of one size."""

    edge: PictureEdge = 224
    """Edge in pixels of the prepared square; the paper has 224."""

    intensity: str = "window:0,255"
    """window:0,255 brings brightness to 0 to 1; zscore: mean 0 and deviation 1 in the circle. Each
    colour by itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        Intensity.parse(self.intensity)
        check_volume((self.edge, self.edge), len(COLOUR_CHANNELS), f"edge {self.edge}")


@dataclass(frozen=True, kw_only=True)
class PhotographRecipe(Photographs, Into):
    """Settings of a recipe for photographs."""


def prepare_photographs(
    recipe: Mapping[str, Any],
    name: str,
    cases: Sequence[RawCase],
    raw: Path,
    settings: PhotographRecipe,
    grades: Sequence[str] = GRADES,
    description: str = "",
    notes: Sequence[str] = (),
    left_out: Sequence[dict[str, str]] = (),
) -> Summary:
    """Prepare ``cases`` as an ordinal 2D cohort.

    Args:
        recipe: its name, and those of its own settings that decide what is in the cohort.
        name: of the data set.
        cases: photographs, with a grade or without.
        raw: the folder they lie in.
        settings: the recipe's own.
        grades: names of the grades, by number.
        description: what a reader of scores should know.
        notes, left_out: as :func:`prepare_cohort` has them.

    Raises:
        InputError: as :func:`prepare_cohort`.
    """
    about = describe(
        settings,
        name,
        COLOUR_CHANNELS,
        dict(enumerate(grades)),
        {**recipe, "edge": settings.edge, "intensity": settings.intensity},
        regions={},
        description=description,
        ordinal=True,
        unit="px",
    )
    make = partial(prepare_photograph, how=settings)
    return prepare_cohort(about, cases, raw, make, settings, notes, left_out=left_out)


def read_photograph(path: Path) -> Image.Image:
    """Read a colour photograph, turned upright as its camera says.

    Raises:
        InputError: missing, cut short or no picture; too large to be one; grey.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metadata, and transparency, which is left out
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                one_channel = file.mode in ("1", "L", "LA", "F") or file.mode.startswith("I")
                turn = TURNS.get(file.getexif().get(ExifTags.Base.Orientation, 1))
                picture = file.convert("RGB")
                picture = picture if turn is None else picture.transpose(turn)
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"{path} unpacks to more pixels than a photograph has") from None
    except (OSError, SyntaxError, ValueError) as reason:
        why = " ".join(str(reason).split())
        raise InputError(f"{path} is damaged or no picture, copy it again: {why}") from None
    pixels = np.asarray(picture)
    if one_channel or (_is_grey(pixels) and pixels.max() >= DARK):  # else it is simply dark
        raise InputError(f"{path} is grey, where a colour photograph is wanted")
    return picture


def _is_grey(pixels: np.ndarray) -> bool:
    red, green, blue = np.moveaxis(pixels, 2, 0)
    return np.array_equal(red, green) and np.array_equal(green, blue)


def circle(pixels: np.ndarray) -> tuple[float, float, float]:
    """The aperture in a photograph (row, column, 3): centre column and row, and radius, in pixels.

    Its centre is that of the bright part, whose longer side is the diameter: a frame cuts a circle
    off at one pair of sides, not at both.

    Raises:
        InputError: there is no bright part to speak of.
    """
    bright = pixels.max(axis=2) >= DARK
    if bright.mean() < LEAST:
        raise InputError(f"is dark: the retina fills only {bright.mean():.0%} of it")
    ends = []
    for axis in (0, 1):  # over rows, which leaves columns, and over columns
        inside = np.flatnonzero(bright.mean(axis) > EDGE_SHARE)
        ends.append((inside[0], inside[-1] + 1))
    (left, right), (top, bottom) = ends
    return (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) / 2


def prepare_photograph(case: RawCase, how: Photographs) -> Prepared:
    """Make the picture of one photograph: (colour, x, y), x to the right and y up, as volumes are.

    Its affine leads to the raw picture's (column, row), in pixels.

    Raises:
        InputError: the file cannot be used, and why.
    """
    path = next(iter(case.images.values()))
    picture = read_photograph(path)
    try:
        column, row, radius = circle(np.asarray(picture))
        left, top, side = round(column - radius), round(row - radius), max(1, round(2 * radius))
        square = Image.new("RGB", (side, side))  # black beyond the picture
        square.paste(picture, (-left, -top))  # crop() takes a large square for a bomb
        square = square.resize((how.edge, how.edge), Image.Resampling.BICUBIC)
        image = _scaled(np.asarray(square, np.float32), Intensity.parse(how.intensity))
    except InputError as reason:
        raise InputError(f"{path} {reason}") from None
    scale = side / how.edge
    first = (scale - 1) / 2  # where the first prepared pixel's centre is
    affine = np.array(
        [[scale, 0, left + first], [0, -scale, top + side - 1 - first], [0, 0, 1]], float
    )
    kept = [
        [max(0, start), min(start + side, length)]
        for start, length in zip((left, top), picture.size, strict=True)
    ]
    return Prepared(image, None, affine, kept, raw_shape=picture.size, raw_affine=np.eye(3))


def _scaled(pixels: np.ndarray, intensity: Intensity) -> np.ndarray:
    """Normalised colours of a square (row, column, 3): float16 (3, x, y), 0 outside the circle."""
    middle = (len(pixels) - 1) / 2
    distance = np.hypot(*(np.indices(pixels.shape[:2]) - middle))
    inside = distance <= len(pixels) / 2
    colours = []
    for colour in np.moveaxis(pixels, 2, 0):
        colour = intensity.normalise(colour, reference=colour[inside]) * inside
        colours.append(colour[::-1].T)
    return np.array(colours, np.float16)
