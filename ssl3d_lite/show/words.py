"""A scan's sides, and what tasks answer by number, in words."""

from itertools import product

from ssl3d_lite.tasks.geometry import quarter_turns

SIDES = {  # of a scan, axis by axis
    2: (("left", "right"), ("down", "up")),
    3: (("L", "R"), ("P", "A"), ("I", "S")),
}
AXES = ("left–right", "back–front", "foot–head")


def turn_names(dims: int) -> list[str]:
    """The turns of the rotation task in words, in the order of its answers."""
    names = []
    for (a, b), quarters in quarter_turns(dims):
        about = f" about {AXES[3 - a - b]}" if dims == 3 else ""
        names.append(f"{90 * quarters}°{about}" if quarters else "not turned")
    return names


def place_names(dims: int) -> list[str]:
    """The places about the centre, in the order of the relative location task's answers.

    In 3D by letters, "LAS" lying left, anterior and superior; an axis in the middle has none.
    """
    along = [(low, "", high) for low, high in SIDES[dims]]
    names = ((" " if dims == 2 else "").join(filter(None, place)) for place in product(*along))
    return [name for name in names if name]
