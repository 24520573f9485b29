"""Play against the network: a person and a network answer the same questions, in the browser.

Python decides what is asked and sends questions and weights. ``game.js`` runs the network: what it
answers is computed before the player's eyes, and so is what it looked at.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from scipy.stats import binomtest
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.show.context import pyramid_above
from ssl3d_lite.show.stills.game import game_still
from ssl3d_lite.tasks import ProxyTask
from ssl3d_lite.tasks.geometry import quarter_turns

from .browser_module import browser_module
from .game_network import check_playable, in_half_precision, network_state
from .game_questions import GameQuestion, block_of, game_questions, in_greys, option_scores
from .saved_page import BrowserView

MEASURED = 96  # questions by which a network's share of right answers is told
_MEASURED_SEED = 1_000_003  # they are others than those that are asked


@dataclass(frozen=True)
class GameRound:
    """One round of the game: a task, the encoder that was trained on it, and unseen scans."""

    task: ProxyTask
    encoder: Encoder
    volumes: Tensor
    """(scan, 1, *space): scans that the network has not seen."""
    title: str = ""
    before: str = ""
    """What the player is told before the first question."""
    after: str = ""
    """What the player is told after the last one."""
    questions: int = 3
    trained: str = ""
    """How the network was trained, in a sentence."""


@dataclass(frozen=True)
class Measured:
    """How many questions about unseen scans a network answered rightly."""

    right: int
    asked: int
    chance: float
    """Share that guessing would have right."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of right answers (Wilson's), as if questions about one scan
        were independent."""
        found = binomtest(self.right, self.asked).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    @property
    def has_learnt(self) -> bool:
        """Whether the network is better than guessing."""
        return self.interval[0] > self.chance


def measure_answers(
    task: ProxyTask, encoder: Encoder, volumes: Tensor, count: int = 96
) -> Measured:
    """Ask a network ``count`` questions such as the game's, about ``volumes``."""
    asked = list(game_questions(task, volumes, count, _MEASURED_SEED))
    right = sum(int(option_scores(task, encoder, q).argmax()) == q.correct for q in asked)
    return Measured(right, count, float(np.mean([q.chance for q in asked])))


class Game(BrowserView):
    """A game of proxy tasks, for a person and the networks that were trained on them.

    Args:
        rounds: in the order in which they are played. Encoders are U-Nets of one channel in 3D;
            tasks are rpl, rotation, masked, cpc and jigsaw.
        seed: number that the questions are drawn from.

    Raises:
        InputError: no round; or a task, an encoder or scans that the game cannot have.

    Example::

        task = make_task("rotation", encoder)
        pretrain(task, encoder, cohort, steps=150)
        Game([GameRound(task, encoder, cohort.images(cohort.split().test))])
    """

    _esm = browser_module(Path(__file__).with_suffix(".js"))
    _css = Path(__file__).with_suffix(".css")

    _rounds: Any = traitlets.List().tag(sync=True)
    _id = traitlets.Unicode().tag(sync=True)  # the same questions and networks have the same
    _about = traitlets.Unicode().tag(sync=True)  # whose scans these are

    def __init__(self, rounds: Sequence[GameRound], seed: int = 0, about: str = ""):
        if not rounds:
            raise InputError("a game needs at least one round")
        states = [_round_state(each, seed) for each in rounds]
        game = hashlib.sha256(repr(states).encode()).hexdigest()[:8]
        super().__init__(_rounds=states, _id=game, _about=about)

    def figure(self) -> Figure:
        return game_still(self._rounds)

    def __repr__(self) -> str:  # ipywidgets' own would hold every byte
        return f"Game of {len(self._rounds)} rounds"


# ---- what is sent ------------------------------------------------------------------------------


def _round_state(each: GameRound, seed: int) -> dict[str, Any]:
    check_playable(each.task, each.encoder)
    task, encoder = in_half_precision(each.task), in_half_precision(each.encoder)
    volumes = each.volumes.cpu()
    measured = measure_answers(task, encoder, volumes)
    questions = list(game_questions(task, volumes, each.questions, seed))
    low, high = measured.interval
    return {
        "kind": task.name,
        "title": each.title or task.name,
        "question": task.question,
        "answers": list(task.answers),
        "before": each.before,
        "after": each.after,
        "trained": each.trained,
        "network": network_state(task, encoder),
        "measured": {
            **{"right": measured.right, "asked": measured.asked, "chance": measured.chance},
            **{"low": low, "high": high, "learnt": measured.has_learnt, "scans": len(volumes)},
        },
        "turns": [[*plane, quarters] for plane, quarters in quarter_turns(3)],
        "example": _example(task, volumes) if task.name == "rotation" else {},
        "questions": [_question_state(task, encoder, question) for question in questions],
    }


def _example(task: ProxyTask, volumes: Tensor) -> dict[str, Any]:
    """The last scan, not turned: what a player has to know, and the network has learnt."""
    volume = volumes[-1:]
    params = task.sample_params(volume, torch.Generator().manual_seed(0))
    params["rotation"] = torch.zeros_like(params["rotation"][:, :1])
    _, (greys, _, _) = in_greys(task.make_views(volume, params))
    return {"size": list(greys.shape[2:]), "greys": greys[0, 0].tobytes()}


def _question_state(task: ProxyTask, encoder: Encoder, question: GameQuestion) -> dict[str, Any]:
    greys, low, step = question.greys
    kept, more = _OWN[task.name](task, question) if task.name in _OWN else (range(len(greys)), {})
    return {
        "size": list(greys.shape[2:]),
        "views": np.ascontiguousarray(greys[list(kept), 0]).tobytes(),
        "low": low,
        "step": step,
        "correct": question.correct,
        "options": len(question.options),
        # what torch says, beside which the page sets what it has computed itself
        "scores": option_scores(task, encoder, question).tolist(),
        **more,
    }


Own = tuple[Sequence[int], dict[str, Any]]  # the views that are sent, and what else


def _own_of_jigsaw(task: ProxyTask, question: GameQuestion) -> Own:
    orders = question.batch.placement.orders
    assert orders is not None
    return range(orders.shape[1]), {"orders": orders.tolist()}


def _own_of_cpc(task: ProxyTask, question: GameQuestion) -> Own:
    """The patches that the network reads, and no other: start, pyramid, and what may be chosen."""
    batch, item = question.batch, question.item
    assert batch.asked_from is not None
    start, right = int(batch.asked_from[item]), int(batch.target[item])
    seen = [start, *pyramid_above(batch, start)]
    corners = batch.placement.matrix[0, :, :3, 3].round().int()
    corners = corners - corners.amin(0)
    axis, backwards = batch.placement.direction or (0, False)
    rows = abs(right - start) // int(np.prod(batch.placement.grid[axis + 1 :]))
    return [*seen, *question.options], {
        "grid": list(batch.placement.grid),
        "axis": axis,
        "backwards": backwards,
        "cells": seen,
        "corners": corners[[*seen, right]].tolist(),
        "step_number": task.settings.prediction_steps.index(rows),
        "rows": rows,
    }


def _own_of_masked(task: ProxyTask, question: GameQuestion) -> Own:
    target, edge = question.batch.target[0, 0], task.settings.block_size
    _, low, step = question.greys
    blocks = [block_of(target, n, edge)[0].double().numpy() for n in question.options]
    fillers = np.rint((np.stack(blocks) - low) / step).astype(np.uint8)
    hidden = ~target[0, ::edge, ::edge, ::edge].isnan()
    return [0], {
        "block": edge,
        "blocks": list(hidden.shape),
        "hidden": hidden.flatten().int().tolist(),
        "asked": question.item,
        "fillers": fillers.tobytes(),
    }


_OWN = {"jigsaw": _own_of_jigsaw, "cpc": _own_of_cpc, "masked": _own_of_masked}
