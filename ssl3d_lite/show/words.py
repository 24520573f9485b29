"""Names of a scan's sides, and of the numbers that tasks use as labels."""

from itertools import product

from ssl3d_lite.tasks.geometry import quarter_turns

SIDES = {  # spatial dims → the two sides of each axis
    2: (("left", "right"), ("down", "up")),
    3: (("L", "R"), ("P", "A"), ("I", "S")),
}
_AXES = ("left–right", "back–front", "foot–head")


def turn_names(dims: int) -> list[str]:
    """Names of the rotation task's turns, in the order of its labels."""
    names = []
    for (a, b), quarters in quarter_turns(dims):
        about = f" about {_AXES[3 - a - b]}" if dims == 3 else ""
        names.append(f"{90 * quarters}°{about}" if quarters else "not turned")
    return names


def place_names(dims: int) -> list[str]:
    """Names of the places about the centre, in the order of the relative location task's labels.

    In 3D they are letters: "LAS" lies left, anterior and superior of the centre. An axis along
    which the place is in the middle has no letter.
    """
    along = [(low, "", high) for low, high in SIDES[dims]]
    names = ((" " if dims == 2 else "").join(filter(None, place)) for place in product(*along))
    return [name for name in names if name]
