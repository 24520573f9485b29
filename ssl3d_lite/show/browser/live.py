"""A training that is watched while it runs: loss, score against chance, and its predictions.

::

    view = Live(task, encoder, cohort.images(split.validation[:2]))
    display(view)
    history = pretrain(task, encoder, cohort, callback=view.watch)

The browser draws (``live.js``); the kernel sends numbers and a few small pictures, every ten steps.

The stop button works while the cell runs. Its message needs a thread of the kernel that is free:
JupyterLab from 4.4 on sends it to a *subshell* of ipykernel from 7 on, and the loop looks for it
after every ten steps. Older ones, and other front ends, deliver it only when the cell has ended.
There use Jupyter's own stop button: it raises KeyboardInterrupt, and the last checkpoint holds.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets
from IPython import get_ipython
from IPython.display import DisplayHandle
from matplotlib.figure import Figure
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.modes import device_of, evaluating
from ssl3d_lite.show.context import asks_for_patches
from ssl3d_lite.show.film import Film, is_frame
from ssl3d_lite.show.pictures import Picture
from ssl3d_lite.show.stills.training import training_still
from ssl3d_lite.tasks import ProxyTask, Row, measure

from .browser_module import browser_module
from .patch_cards import Mark, PatchCard, patch_card
from .predictions import Prediction, Question, questions, read_predictions
from .saved_page import BrowserView

MAX_QUESTIONS = 8
MAX_POINTS = 300  # in a curve; a longer one is thinned


class Live(BrowserView):
    """Shows how a task is learnt, and can stop the training. The module says what that needs.

    The view does not change the training: questions are made with a generator of their own, and
    predictions in evaluation mode. A run ends with the same weights with and without it, bit for
    bit.

    Attributes:
        state: "waiting", "running", "stopped" by the button, or "ended" with the cell that trained.
    """

    _esm = browser_module(Path(__file__).with_suffix(".js"))
    _css = Path(__file__).with_suffix(".css")

    state = traitlets.Unicode("waiting").tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)
    _question = traitlets.Unicode().tag(sync=True)
    _progress = traitlets.Dict().tag(sync=True)
    _questions = traitlets.List().tag(sync=True)
    _guesses = traitlets.List().tag(sync=True)  # predictions; names as live.js knows them
    _right = traitlets.Unicode().tag(sync=True)
    _film = traitlets.List().tag(sync=True)  # rows of frames, at steps that double
    _film_steps = traitlets.List().tag(sync=True)

    def __init__(
        self,
        task: ProxyTask,
        encoder: nn.Module,
        volumes: Tensor,
        *,
        chance: float | None = None,
        names: Sequence[str] = (),
        seed: int = 0,
    ):
        """
        Args:
            task: the task that is trained, or one of those trained by turns.
            encoder: the encoder that is trained.
            volumes: (batch, channel, *space), scans from which the fixed questions are made; best
                such as are not trained on.
            chance: the score that guessing gives; by default what the task says.
            names: names of the task's classes, where labels are numbers; by default the task's
                own words.
            seed: seed of the questions.

        Raises:
            InputError: several tasks are given; show one of them.
        """
        if not isinstance(task, ProxyTask):
            raise InputError("Live shows one task; of several trained by turns give the one to see")
        self._task, self._encoder, self._chance, self._names = task, encoder, chance, names
        params = task.sample_params(volumes, torch.Generator().manual_seed(seed))
        self._batch = task.make_views(volumes, params)
        self._cards: list[PatchCard] = []
        self._displayed = DisplayHandle()
        self._asked_to_stop = threading.Event()
        self._taken = Film(encoder, volumes[0], task=task, seed=seed)
        super().__init__(
            _title=task.name, _question=self._batch.question, _questions=self._ask(volumes, names)
        )
        self.on_msg(self._hear)
        self._show_predictions()
        self._show_film()

    def _ask(self, volumes: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
        """Choose the questions that are shown, and put them into messages."""
        batch = self._batch
        patches = asks_for_patches(batch)
        asked = [] if patches else questions(batch, names)
        count = len(batch.target) if patches else len(asked)
        # evenly from all, so that every scan is there
        self._chosen = np.linspace(0, count - 1, min(MAX_QUESTIONS, count)).astype(int).tolist()
        if patches:
            self._cards = [patch_card(volumes, batch, place) for place in self._chosen]
            return [_question_message(card.question, card.marks) for card in self._cards]
        return [_question_message(asked[place]) for place in self._chosen]

    def watch(self, history: list[Row]) -> bool:
        """Show the history so far and the predictions of now.

        It is meant for ``pretrain(..., callback=view.watch)``.

        Returns:
            True if the stop button was pressed.
        """
        rows = [row for row in history if row.get("task") in (self._task.name, None)]
        if self.state != "running" and get_ipython():
            get_ipython().events.register("post_run_cell", self._end)
        stopped = self._asked_to_stop.is_set()
        self._asked_to_stop.clear()
        with self.hold_sync():  # one message for all
            self.state = "stopped" if stopped else "running"
            if rows:
                self._progress = self._curves(rows)
            self._show_predictions()
            self._step = history[-1]["step"]
            if stopped or is_frame(self._step):
                self._take_frame(self._step)
        self._free_the_line()
        return stopped

    def figure(self) -> Figure:
        return training_still(
            self._title,
            self._question,
            self.state,
            self._progress,
            self._questions,
            self._guesses,
            self._right,
        )

    def _ipython_display_(self) -> None:
        data, about = self._repr_mimebundle_()
        self._displayed.display(data, raw=True, metadata=about)

    def _keep_picture(self) -> None:
        """Let the notebook's picture be that of now; where the view has been displayed."""
        data, about = self._repr_mimebundle_()
        self._displayed.update(data, raw=True, metadata=about)

    def stop(self) -> None:
        """Do what the button does: the run stops after the ten steps it is in."""
        self._asked_to_stop.set()

    def _end(self, result: Any) -> None:
        """The cell has ended, in good order or not: there is nothing to be stopped any more.

        One that was interrupted leaves the weights up to nine steps after the last row. Nobody
        knows how many, so no frame is taken of them.
        """
        get_ipython().events.unregister("post_run_cell", self._end)
        self._asked_to_stop.clear()
        if self.state == "running":
            self.state = "ended"
            if result.success:
                self._take_frame(self._step)
        self._keep_picture()

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        # in a thread of its own while training runs, so no more than this
        if content == "stop" and self.state == "running":
            self.stop()

    def _free_the_line(self) -> None:
        """Let the button's message go to the thread that the browser names.

        ipykernel from 7.4 on sends what comes in on a widget's line to the thread that last spoke
        on it, and that is the one that trains. The browser repeats its message until it is heard.
        """
        if self.comm is not None:
            vars(self.comm).pop("_reply_subshell_id", None)

    def _curves(self, rows: list[Row]) -> dict[str, Any]:
        name = measure(rows[-1])
        chance = rows[-1]["chance"] if self._chance is None else self._chance
        curves = {key: _thinned([row[key] for row in rows]) for key in ("step", "loss", name)}
        return {
            "steps": curves["step"],
            "loss": curves["loss"],
            "score": curves[name],
            "measure": name,
            "chance": float(chance),
            "last": {"step": rows[-1]["step"], "loss": rows[-1]["loss"], "score": rows[-1][name]},
        }

    def _take_frame(self, step: int) -> None:
        self._taken.take(step)
        self._show_film()

    def _show_film(self) -> None:
        reel = self._taken.reel
        ends = (reel.shown, reel.truth)
        self._film = [
            {
                "name": name,
                "frames": [_picture_message(picture) for picture in pictures],
                "shown": _picture_message(ends[0].get(name)),
                "truth": _picture_message(ends[1].get(name)),
            }
            for name, pictures in reel.rows().items()
        ]
        self._film_steps = list(reel.steps)

    def _show_predictions(self) -> None:
        batch = self._batch.to(device_of(self._encoder))
        with (
            torch.random.fork_rng(devices=[]),
            evaluating(self._encoder, self._task),
            torch.inference_mode(),
        ):
            prediction = self._task(self._encoder, batch)
        if asks_for_patches(self._batch):
            marks = self._show_patches(prediction)
        else:
            read = read_predictions(self._batch, prediction, self._names)
            self._guesses = [_prediction_message(read[n]) for n in self._chosen] if read else []
            marks = [each.correct for each in read if each.correct is not None]
        self._right = f"{sum(marks)} of {len(marks)} right" if marks else ""

    def _show_patches(self, prediction: Tensor) -> list[bool]:
        """Show which patches were chosen; say of every question whether its patch was."""
        target = self._batch.target.cpu()
        if prediction.ndim != 2 or len(prediction) != len(target):
            self._guesses = []
            return []
        found = prediction.argmax(1).cpu()
        guesses = [card.answered(int(found[card.asked.number])) for card in self._cards]
        self._guesses = [_prediction_message(*guess) for guess in guesses]
        return (found == target).tolist()


def _question_message(question: Question, marks: Sequence[Mark] = ()) -> dict[str, Any]:
    """A question under the names that live.js reads."""
    asked, label = (_picture_message(each) for each in (question.asked, question.label))
    return {"asked": asked, "truth": label, "words": question.words, "marks": list(marks)}


def _prediction_message(prediction: Prediction, marks: Sequence[Mark] = ()) -> dict[str, Any]:
    """A prediction under the names that live.js reads."""
    picture = _picture_message(prediction.picture)
    told = {"words": prediction.words, "right": prediction.correct, "marks": list(marks)}
    return {"picture": picture} | told


def _picture_message(picture: Picture | None) -> dict[str, Any] | None:
    """A picture as its size and bytes."""
    if picture is None:
        return None
    return {"size": list(picture.shape[:2]), "bytes": picture.tobytes()}


def _thinned(values: Sequence[float]) -> list[float]:
    """At most ``MAX_POINTS`` values, each the mean of as many neighbours (the last of fewer)."""
    each = -(-len(values) // MAX_POINTS)
    return [float(np.mean(values[at : at + each])) for at in range(0, len(values), each)]
