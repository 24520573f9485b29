"""Where the pieces of a puzzle lie: where they were cut, as the network gets them, or apart.

All places are matrices: piece voxel → voxel of the scan, (piece, D+1, D+1).
"""

from collections.abc import Sequence

import numpy as np

from ssl3d_lite.show.pieces import Piece, box_corners


def lie_turned(pieces: Sequence[Piece]) -> bool:
    """Whether pieces were turned or warped, or lie in one place."""
    centres = np.array([piece.centre for piece in pieces])
    together = len(centres) > 1 and np.abs(centres - centres.mean(0)).max() < 1
    eye = np.eye(centres.shape[1])
    return bool(together) or any(not np.allclose(p.matrix[:-1, :-1], eye) for p in pieces)


def homes(pieces: Sequence[Piece]) -> np.ndarray:
    """Where the pieces were cut."""
    return np.stack([piece.matrix for piece in pieces])


def row(pieces: Sequence[Piece], space: Sequence[int]) -> np.ndarray:
    """In a row to the right of a scan of ``space`` voxels, as the network gets them."""
    size = np.array(pieces[0].image.shape[1:])
    matrices = np.repeat(np.eye(len(size) + 1)[None], len(pieces), 0)
    middle = np.mean([piece.centre for piece in pieces], 0)
    matrices[:, :-1, -1] = np.rint(middle - (size - 1) / 2)
    gap = 2 + size[0] // 4  # room for the letters of their sides
    matrices[:, 0, -1] = space[0] + gap + (size[0] + gap) * np.arange(len(pieces))
    return matrices


def shuffled(pieces: Sequence[Piece]) -> np.ndarray:
    """Pieces of a grid, each in the cell in which the network gets it."""
    places, middles = homes(pieces), np.array([piece.centre for piece in pieces])
    cells = np.argsort([piece.home or 0 for piece in pieces])  # cell v holds view v; and the piece
    places[:, :-1, -1] += np.rint(middles[cells] - middles)  # that was cut there tells where it is
    return places


def moved_apart(places: np.ndarray, size: Sequence[int], apart: float) -> np.ndarray:
    """The same, by whole voxels ``1 + apart`` times as far from the middle of all."""
    places = places.copy()
    middles = np.stack([box_corners(matrix, size).mean(0) for matrix in places])
    places[:, :-1, -1] += np.rint(apart * (middles - middles.mean(0)))
    return places
