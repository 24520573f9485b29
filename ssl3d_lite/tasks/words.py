"""Names of a scan's sides, and of what tasks use as labels: turns, and places about a centre."""

from itertools import product

from .geometry import quarter_turns

SIDES = {  # spatial dims → the two sides of each axis
    2: (("left", "right"), ("down", "up")),
    3: (("L", "R"), ("P", "A"), ("I", "S")),
}
_QUARTERS = ("not turned", "a quarter turn", "a half turn", "three quarters of a turn")
_SAID = {  # the axes' sides in the order in which they are said, the uppermost first
    2: ((1, ("below", "above")), (0, ("left", "right"))),
    3: ((2, ("below", "above")), (1, ("behind", "in front")), (0, ("left", "right"))),
}


def turn_names(dims: int) -> list[str]:
    """Names of the rotation task's turns, in the order of its labels.

    In 3D they name the axis that stays, by its two ends: "a quarter turn about L–R".
    """
    names = []
    for (a, b), quarters in quarter_turns(dims):
        about = f" about {'–'.join(SIDES[3][3 - a - b])}" if dims == 3 else ""
        names.append(_QUARTERS[quarters] + (about if quarters else ""))
    return names


def place_names(dims: int) -> list[str]:
    """Names of the places about the centre, in the order of the relative location task's labels.

    In 3D they are letters: "LAS" lies left, anterior and superior of the centre. An axis along
    which the place is in the middle has no letter. :func:`place_words` says it in words.
    """
    along = [(low, "", high) for low, high in SIDES[dims]]
    names = ((" " if dims == 2 else "").join(filter(None, place)) for place in product(*along))
    return [name for name in names if name]


def place_words(dims: int) -> list[str]:
    """The places about the centre in words, in the same order: "above right"."""
    words = []
    for place in product((-1, 0, 1), repeat=dims):
        said = [sides[place[axis] > 0] for axis, sides in _SAID[dims] if place[axis]]
        words.append(" ".join(said))
    return [word for word in words if word]
