"""Photographs: what is read and what is refused, where the retina lies, and what is made of it."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_recipes.aptos import Aptos
from data_recipes.aptos import prepare as prepare_aptos
from data_recipes.preparing.engine import Prepared, RawCase
from data_recipes.preparing.photographs import (
    COLOUR_CHANNELS,
    Photographs,
    circle,
    prepare_photograph,
    read_photograph,
)
from ssl3d_lite.errors import InputError

ORIENTATION = 0x0112  # the EXIF tag
WINDOW = "window:0,255"


def retina(
    width: int = 120,
    height: int = 100,
    column: float = 60,
    row: float = 50,
    radius: float = 40,
) -> np.ndarray:
    """A disc on black (row, column, 3): red is 20 + 2 columns, green 20 + 2 rows, blue their mean;
    no more than 255 of each.

    Pixel (r, c) covers [r, r + 1) and [c, c + 1), and belongs to the disc if its middle does.
    """
    rows, columns = np.indices((height, width))
    inside = np.hypot(columns + 0.5 - column, rows + 0.5 - row) <= radius
    colours = np.stack([20 + 2 * columns, 20 + 2 * rows, 20 + columns + rows], axis=2)
    return (colours.clip(max=255) * inside[..., None]).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def read(path: Path) -> np.ndarray:
    picture = read_photograph(path)
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def refusal(path: Path) -> str:
    """What is said of a file that is refused, without the file's name: it must come first."""
    with pytest.raises(InputError) as error:
        read_photograph(path)
    return after_name(path, error.value)


def after_name(path: Path, error: InputError) -> str:
    text = str(error)
    assert text.startswith(f"{path} ")
    assert "\n" not in text
    return text.removeprefix(f"{path} ")


def outcome(function: Callable[[Path], Any], path: Path) -> Any:
    """What comes of a file that may be refused: the result, or what is said of it."""
    try:
        return function(path)
    except InputError as error:
        return after_name(path, error)


def prepare(path: Path, edge: int = 64, intensity: str = WINDOW) -> Prepared:
    how = Photographs(edge=edge, intensity=intensity)
    return prepare_photograph(RawCase("a", "a", dict.fromkeys(COLOUR_CHANNELS, path)), how)


def within(edge: int) -> np.ndarray:
    """(x, y): which prepared pixels' middles lie in the circle that fills the square."""
    offsets = np.arange(edge) + 0.5 - edge / 2
    return np.add.outer(offsets**2, offsets**2) <= (edge / 2) ** 2


def raw_positions(made: Prepared) -> np.ndarray:
    """(column or row, x, y): the raw pixel that each prepared one was made from, by the affine."""
    grid = np.indices(made.image.shape[1:]).reshape(2, -1)
    found = made.affine @ np.vstack([grid, np.ones(grid.shape[1])])
    return found[:2].reshape(2, *made.image.shape[1:])


def png(path: Path, pixels: np.ndarray | None, size: tuple[int, int], bits: int) -> Path:
    """A colour PNG as its standard has it, which Pillow cannot write of 16 bits; or no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, 2, 0, 0, 0))]
    if pixels is not None:
        lines = [b"\0" + line.tobytes() for line in pixels.astype(">u2")]
        parts.append(chunk(b"IDAT", zlib.compress(b"".join(lines))))
    path.write_bytes(b"".join([*parts, chunk(b"IEND", b"")]))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "eye.png"


# ---- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "tiff"])
def test_pixels_are_read_as_they_are(tmp_path, ending):
    path = save(tmp_path / f"eye.{ending}", retina())
    assert np.array_equal(read(path), retina())


@pytest.mark.parametrize("ending", ["jpg", "jpeg"])
def test_a_jpeg(tmp_path, ending):
    path = save(tmp_path / f"eye.{ending}", retina(), quality=100, subsampling=0)
    assert np.abs(read(path) - retina()).max() <= 4


def test_a_palette(path):
    palette = np.random.default_rng(0).integers(0, 256, (200, 3), np.uint8)
    indices = np.random.default_rng(1).integers(0, 200, (30, 40), np.uint8)
    picture = Image.frombytes("P", (40, 30), indices.tobytes())
    picture.putpalette(palette.tobytes())
    picture.save(path)
    assert np.array_equal(read(path), palette[indices])


def test_a_palette_with_transparent_colours(path):
    palette = np.random.default_rng(0).integers(0, 256, (200, 3), np.uint8)
    indices = np.random.default_rng(1).integers(0, 200, (30, 40), np.uint8)
    picture = Image.frombytes("P", (40, 30), indices.tobytes())
    picture.putpalette(palette.tobytes())
    picture.save(path, transparency=bytes([0, 128] + [255] * 198))
    assert np.array_equal(read(path), palette[indices])


def test_transparency_is_left_out(path):
    alpha = np.random.default_rng(0).integers(0, 256, (100, 120, 1), np.uint8)
    save(path, np.concatenate([retina(), alpha], axis=2))
    assert np.array_equal(read(path), retina())


def test_the_colours_of_print(tmp_path):
    path = tmp_path / "eye.jpg"
    Image.fromarray(retina()).convert("CMYK").save(path, quality=100, subsampling=0)
    with Image.open(path) as picture:
        assert picture.mode == "CMYK"
    assert np.abs(read(path) - retina()).max() <= 4


def test_of_sixteen_bits_the_upper_eight(path):
    low = np.random.default_rng(0).integers(0, 256, (100, 120, 3))
    png(path, retina().astype(int) * 256 + low, (120, 100), bits=16)
    assert np.array_equal(read(path), retina())


# where the stored first row and first column lie in the upright picture, by the EXIF standard
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera held so would store a picture."""
    sides = SIDES[orientation]
    flipped = upright[:: -1 if "bottom" in sides else 1, :: -1 if "right" in sides else 1]
    return np.ascontiguousarray(flipped.swapaxes(0, 1) if orientation > 4 else flipped)


def held(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("orientation", SIDES)
def test_pictures_are_turned_upright(tmp_path, orientation):
    upright = retina(120, 90, 70, 50, 35)
    turned = stored(upright, orientation)
    exif = held(orientation)
    path = save(tmp_path / "eye.jpg", turned, exif=exif, quality=100, subsampling=0)
    assert read(path).shape == upright.shape
    assert np.abs(read(path) - upright).max() <= 4
    # and the affine is that of the upright picture
    made = prepare(save(tmp_path / "turned.png", turned, exif=exif))
    plain = prepare(save(tmp_path / "plain.png", upright))
    assert np.array_equal(made.image, plain.image)
    assert np.array_equal(made.affine, plain.affine)
    assert made.raw_shape == plain.raw_shape == (120, 90)


def test_what_else_a_camera_notes_stops_nothing(tmp_path):
    """A width that is a text breaks the standard, and says nothing of the pixels."""
    entries = [
        struct.pack(">HHI4s", 0x0100, 2, 4, b"wide"),
        struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0),
    ]
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + b"".join(entries) + bytes(4)
    turned = stored(retina(), 6)
    path = save(tmp_path / "eye.jpg", turned, exif=exif, quality=100, subsampling=0)
    with Image.open(path) as picture:
        assert dict(picture.getexif()) == {0x0100: "wide", ORIENTATION: 6}
    assert np.abs(read(path) - retina()).max() <= 4


# ---- what is refused ---------------------------------------------------------------------------

DAMAGED = "is damaged or no picture, copy it again: "
GREY = "is grey, where a colour photograph is wanted"
TOO_LARGE = "unpacks to more pixels than a photograph has"


def test_a_missing_file(path):
    assert refusal(path) == "is missing"


@pytest.mark.parametrize(
    "content", [b"", b"id_code,diagnosis\n1,2\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8"]
)
def test_no_picture(path, content):
    path.write_bytes(content)
    assert refusal(path).startswith(DAMAGED)


def test_a_folder(path):
    path.mkdir()
    assert refusal(path).startswith(DAMAGED)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_a_grey_mode(path, mode):
    grey = Image.fromarray(retina()).convert("L")
    (grey.convert("I").convert(mode) if mode == "I;16" else grey.convert(mode)).save(path)
    with Image.open(path) as picture:
        assert picture.mode == mode
    assert refusal(path) == GREY


def test_grey_in_colour(path):
    save(path, np.repeat(retina()[..., :1], 3, axis=2))
    assert refusal(path) == GREY


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_one_coloured_pixel_is_a_colour(path, colour):
    pixels = np.repeat(retina()[..., :1], 3, axis=2)
    pixels[50, 60, colour] ^= 1
    save(path, pixels)
    assert np.array_equal(read(path), pixels)


@pytest.mark.parametrize("edge", [10_000, 60_000])
def test_a_decompression_bomb(path, edge):
    """Of 100 and of 3600 million pixels: Pillow warns of the one and refuses the other."""
    png(path, None, (edge, edge), bits=8)
    assert refusal(path) == TOO_LARGE


@pytest.mark.parametrize(
    ("ending", "options", "spare", "step"),
    [
        ("png", {}, 24, 1),  # the last 24 bytes of a PNG hold checksums and its end, no pixels
        ("jpg", {}, 0, 1),
        ("jpg", {"progressive": True}, 0, 1),
        ("tif", {}, 0, 97),
    ],
    ids=["png", "jpeg", "progressive jpeg", "tiff"],
)
def test_a_picture_cut_short_is_never_taken_for_a_whole_one(tmp_path, ending, options, spare, step):
    path = save(tmp_path / f"eye.{ending}", retina(), **options)
    whole, content = read(path), path.read_bytes()
    for length in range(0, len(content), step):
        path.write_bytes(content[:length])
        if length < len(content) - spare:
            assert refusal(path).startswith(DAMAGED), length
            continue
        found = outcome(read, path)
        assert found.startswith(DAMAGED) if isinstance(found, str) else (found == whole).all()


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_garbled_bytes_are_refused_in_a_line_or_seen_past(tmp_path, ending):
    path = save(tmp_path / f"eye.{ending}", retina())
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        garbled = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            garbled[place] = rng.integers(256)
        path.write_bytes(bytes(garbled))
        refused += isinstance(outcome(read, path), str)
    assert refused > 30


# ---- where the retina lies ---------------------------------------------------------------------


@st.composite
def discs(draw):
    """Diameter, and the room on its left, right, top and bottom."""
    diameter = draw(st.integers(24, 60))
    room = st.integers(0, diameter // 2)
    return diameter, *(draw(room) for _ in range(4))


@given(disc=discs())
def test_a_whole_disc_in_any_frame(disc):
    diameter, left, right, top, bottom = disc
    radius = diameter / 2
    found = (left + radius, top + radius, radius)
    pixels = retina(left + diameter + right, top + diameter + bottom, *found)
    assert circle(pixels) == found


def test_a_disc_in_a_wide_frame():
    assert circle(retina(110, 40, 80, 20, 20)) == (80, 20, 20)


@pytest.mark.parametrize("cut", [2, 10, 20])
def test_a_disc_that_the_frame_cuts_off(cut):
    """At top and bottom, or at both sides."""
    pixels = retina(100, 80 - 2 * cut, 45, 40 - cut, 40)
    assert pixels[[0, -1]].any(axis=(1, 2)).all()
    assert circle(pixels) == (45, 40 - cut, 40)
    assert circle(pixels.swapaxes(0, 1)) == (40 - cut, 45, 40)


def test_a_caption_is_no_retina():
    pixels = retina(400, 300, 190, 150, 140)
    pixels[293:298, 5:12:2] = 255  # 4 strokes of 5 pixels, outside the circle's rows and columns
    assert circle(pixels) == (190, 150, 140)


def test_noise_in_the_surround_is_dark():
    pixels = retina()
    noise = np.random.default_rng(0).integers(0, 13, pixels.shape, np.uint8)
    assert noise.max() == 12
    assert circle(np.where(pixels > 0, pixels, noise)) == (60, 50, 40)


def test_a_disc_of_any_one_colour_is_bright():
    for colour in range(3):
        pixels = np.zeros_like(retina())
        pixels[..., colour] = retina()[..., 0]
        assert circle(pixels) == (60, 50, 40)


@pytest.mark.parametrize(
    ("pixels", "share"),
    [
        (np.random.default_rng(0).integers(0, 13, (100, 120, 3), np.uint8), "0%"),
        (retina(120, 100, 60, 50, 18), "8%"),
    ],
    ids=["dark", "tiny"],
)
def test_hardly_any_retina(path, pixels, share):
    with pytest.raises(InputError, match=f"is dark: the retina fills only {share} of it"):
        circle(pixels)
    with pytest.raises(InputError) as error:
        prepare(save(path, pixels))
    assert after_name(path, error.value) == f"is dark: the retina fills only {share} of it"


def test_a_black_picture_is_dark_and_not_grey(path):
    read_photograph(save(path, np.zeros((100, 120, 3), np.uint8)))
    case = RawCase("a", "a", dict.fromkeys(("red", "green", "blue"), path))
    with pytest.raises(InputError, match="is dark: the retina fills only 0% of it"):
        prepare_photograph(case, Photographs())


# ---- what is made of it ------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [8, 63, 64, 224])
def test_a_square_of_the_edge_asked_for(path, edge):
    made = prepare(save(path, retina()), edge)
    assert made.image.shape == (3, edge, edge)
    assert made.image.dtype == np.float16
    assert made.label is None
    assert made.raw_shape == (120, 100)
    assert np.array_equal(made.raw_affine, np.eye(3))
    assert made.crop == [[20, 100], [10, 90]]
    assert 0 <= made.image.min() < made.image.max() <= 1
    assert (made.image[:, ~within(edge)] == 0).all()
    assert made.image[:, within(edge)].any()


def test_without_scaling_each_pixel_is_the_raw_one(path):
    """x to the right, y up, and the affine is exact."""
    pixels = retina()
    made = prepare(save(path, pixels), edge=80)
    assert made.affine.tolist() == [[1, 0, 20], [0, -1, 89], [0, 0, 1]]
    expected = pixels[10:90, 20:100][::-1].transpose(2, 1, 0) * within(80)
    assert np.array_equal(made.image, np.float16(expected / np.float32(255)))


@pytest.mark.parametrize("edge", [40, 80, 160])
def test_the_corners_of_the_square_are_the_corners_of_the_cut(path, edge):
    """Outer corners, so half a pixel from the outermost pixels' middles."""
    made = prepare(save(path, retina()), edge)
    low, high = -0.5, edge - 0.5
    assert np.allclose(made.affine @ [low, high, 1], [19.5, 9.5, 1], atol=1e-12)  # top left
    assert np.allclose(made.affine @ [high, low, 1], [99.5, 89.5, 1], atol=1e-12)


@st.composite
def frames(draw):
    """Any frame and disc, cut off or not, and an edge that it is not made much smaller for."""
    width, height = draw(st.integers(60, 105)), draw(st.integers(60, 105))
    radius = draw(st.floats(24, 70))
    column, row = (draw(st.floats(0.3, 0.7)) * length for length in (width, height))
    edge = draw(st.integers(int(2 * radius / 1.5) + 2, 160))
    return (width, height, column, row, radius), edge


@given(frame=frames())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_affine_leads_to_the_raw_pixel(path, frame):
    """Colours are ramps that tell a pixel's raw column and row, and scaling leaves ramps alone."""
    (width, height, column, row, radius), edge = frame
    made = prepare(save(path, retina(*frame[0]), compress_level=1), edge)
    assert made.image.shape == (3, edge, edge)
    assert (made.image[:, ~within(edge)] == 0).all()
    assert made.raw_shape == (width, height)

    scale = made.affine[0, 0]
    assert 0 < scale <= 1.5
    place = raw_positions(made)
    reach = 2 * max(scale, 1) + 1  # of the filter: no black comes in
    length = np.array([width, height]).reshape(2, 1, 1)
    deep = np.hypot(place[0] + 0.5 - column, place[1] + 0.5 - row) < radius - 1.5 * reach
    deep &= ((place > reach) & (place < length - 1 - reach)).all(axis=0) & within(edge)
    assert deep.sum() > 20
    told = (made.image[:2].astype(float) * 255 - 20) / 2
    # a colour is rounded to a whole number, so a place to half of one
    assert np.abs(told - place)[:, deep].max() < 0.35

    for (start, stop), size, places in zip(made.crop, (width, height), place):
        assert 0 <= start < stop <= size
        assert start - 0.5 <= places[deep].min() <= places[deep].max() <= stop - 0.5
        ends = places.min() - scale / 2 + 0.5, places.max() + scale / 2 + 0.5
        assert [start, stop] == [max(0, round(ends[0])), min(size, round(ends[1]))]


def test_upright_and_not_mirrored(path):
    """A red dot at the top right, a blue one at the bottom left, a green one at the top left."""
    pixels = retina(160, 140, 80, 70, 60)
    pixels[pixels > 0] = 60
    pixels[70, 80, 0] = 61
    dots = {0: (110, 40), 1: (48, 36), 2: (52, 98)}  # colour → column and row
    for colour, (column, row) in dots.items():
        pixels[row - 1 : row + 2, column - 1 : column + 2, colour] = 255
    made = prepare(save(path, pixels), edge=96)
    found = [np.unravel_index(channel.argmax(), channel.shape) for channel in made.image]
    for colour, (column, row) in dots.items():
        x, y = found[colour]
        assert np.abs(made.affine @ [x, y, 1] - [column, row, 1]).max() <= 1
    low, high = 96 * 0.35, 96 * 0.65
    (red_x, red_y), (green_x, green_y), (blue_x, blue_y) = found
    assert red_x > high
    assert red_y > high
    assert green_x < low
    assert green_y > high
    assert blue_x < low
    assert blue_y < low


@pytest.mark.parametrize("intensity", [WINDOW, "zscore"])
def test_nothing_tells_of_the_frame(tmp_path, intensity):
    """The same retina in three cameras' frames, one of them with noise: one and the same image."""
    eye = retina(80, 80, 40, 40, 40)
    made = []
    for number, (width, height, left, top) in enumerate(
        [(80, 80, 0, 0), (150, 90, 33, 4), (100, 120, 10, 40)]
    ):
        noise = np.random.default_rng(number).integers(0, 13, (height, width, 3), np.uint8)
        pixels = noise if number else np.zeros_like(noise)
        part = pixels[top : top + 80, left : left + 80]
        part[eye > 0] = eye[eye > 0]
        made.append(prepare(save(tmp_path / f"{number}.png", pixels), 80, intensity))
        assert made[-1].crop == [[left, left + 80], [top, top + 80]]
    assert np.array_equal(made[0].image, made[1].image)
    assert np.array_equal(made[0].image, made[2].image)


def test_what_a_frame_cuts_off_is_black(path):
    made = prepare(save(path, retina(100, 40, 50, 20, 40)), edge=80)
    assert made.crop == [[10, 90], [0, 40]]
    assert made.affine.tolist() == [[1, 0, 10], [0, -1, 59], [0, 0, 1]]
    assert (made.image[:, :, :20] == 0).all()
    assert (made.image[:, :, 60:] == 0).all()
    assert (made.image[:, 40, 20:60] > 0).all()


@pytest.mark.parametrize("edge", [40, 97])
def test_zscore_is_of_the_circle_and_of_each_colour(path, edge):
    pixels = retina()
    pixels[..., 1] //= 3
    made = prepare(save(path, pixels), edge, "zscore")
    inside = within(edge)
    assert (made.image[:, ~inside] == 0).all()
    for channel in made.image.astype(float):
        common = channel[inside].clip(*np.percentile(channel[inside], (0.5, 99.5)))
        assert common.mean() == pytest.approx(0, abs=1e-3)
        assert common.std() == pytest.approx(1, abs=1e-3)


def test_a_frame_so_wide_that_its_square_is_a_bomb(path, monkeypatch):
    """It is no bomb itself: 190 x 50 pixels of 10 000. Made, or refused in a line, but no more."""
    save(path, retina(190, 50, 95, 25, 95))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    found = outcome(prepare, path)
    assert isinstance(found, str) or found.crop == [[0, 190], [0, 50]]


# ---- settings that have no meaning -------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"edge": 4}, "edge is 4, but must be 8 or more"),
        ({"edge": 0}, "edge is 0, but"),
        ({"edge": -224}, "edge is -224, but"),
        ({"intensity": "zscor"}, "unknown intensity 'zscor'; did you mean 'zscore'?"),
        ({"intensity": "window:255,0"}, "intensity 'window:255,0' is no window"),
        ({"intensity": ""}, "unknown intensity ''"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path, wrong, message):
    raw, out = tmp_path / "raw", tmp_path / "out"
    (raw / "train_images").mkdir(parents=True)
    save(raw / "train_images/a.png", retina())
    (raw / "train.csv").write_text("id_code,diagnosis\na,0\n")
    with pytest.raises(InputError) as error:
        prepare_aptos(Aptos(raw=raw, out=out, workers=1, **wrong))
    assert str(error.value).startswith(message)
    assert not out.exists()
