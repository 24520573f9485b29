"""``ssl3d play`` trains a small network for each puzzle, and writes the page of the game."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.models.encoders import Encoder, make_encoder
from ssl3d_lite.settings import CheckedSettings, Ge, Positional, PositiveFloat, PositiveInt, Seed
from ssl3d_lite.show.browser.game import Game, GameRound, Measured, measure_answers
from ssl3d_lite.tasks import ProxyTask, make_task
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

from .heads import HEAD_EDGE, game_heads, smooth_noise, with_images
from .marked import make_marked
from .plan import ABOUT, FILTERS, PLAN, TEXT, TITLE, UNFAIR, UNFAIR_AFTER, PlannedRound


@dataclass(frozen=True)
class PlaySettings(CheckedSettings):
    """Write one HTML file in which a person solves the puzzles that a network solves, beside the
    network and chance. It opens from disk, and fetches nothing. The networks are trained now, on
    virtual heads, which takes two cores about a minute."""

    out: Positional[Path]
    """File of the page; its name ends in .html."""
    cases: Annotated[int, Ge(15)] = 40
    """Number of virtual heads. A fifth each is for validation and for questions."""
    questions: PositiveInt = 3
    """Number of questions in each round; of the jigsaw there is one."""
    effort: PositiveFloat = 1.0
    """Number of training steps, as a multiple of the usual. Little makes a weak opponent."""
    seed: Seed = 0
    """Number that heads, networks and questions are drawn from."""


def play(out: str | Path, **settings: Any) -> Path:
    """Write the page of the game, and return its path.

    Args:
        settings: fields of :class:`PlaySettings`: ``cases``, ``questions``, ``effort``, ``seed``.

    Raises:
        InputError: a wrong setting; or a file is there that is no such page, as it was written.

    Example::

        play("play.html", effort=0.5)
    """
    return write_game(PlaySettings(Path(out), **settings))


def write_game(settings: PlaySettings) -> Path:
    """Train the networks, and write the page that ``settings`` describe."""
    Game.check_path(settings.out)  # before minutes of work
    with tempfile.TemporaryDirectory() as temporary:
        cohort = game_heads(Path(temporary) / "heads", settings.cases, settings.seed)
        rounds = list(_rounds(cohort, settings))
        trained = len(cohort.split().pretrain)
    about = ABOUT.format(edge=HEAD_EDGE, cases=settings.cases, trained=trained)
    return Game(rounds, settings.seed, about).save(settings.out, TITLE, TEXT)


def _rounds(cohort: Cohort, settings: PlaySettings) -> Iterator[GameRound]:
    unseen = cohort.images(cohort.split().test)
    for planned in PLAN:
        encoder = make_encoder(cohort, settings.seed, filters=FILTERS, norm=planned.norm)
        task = make_task(planned.task, encoder, settings.seed, **planned.settings)
        steps = _train(task, encoder, cohort, planned, settings)
        count = min(settings.questions, planned.questions or settings.questions)
        yield GameRound(
            *(task, encoder, unseen, planned.title, planned.before, ""),
            questions=count,
            trained=_told(cohort, steps),
        )
    yield _unfair(cohort, unseen, settings)


def _unfair(cohort: Cohort, unseen: Tensor, settings: PlaySettings) -> GameRound:
    """A network that has learnt from marked volumes, every second of them noise."""
    images = cohort.images(range(len(cohort)))
    noise, heads = smooth_noise(images, settings.seed), cohort.split().pretrain[::2]
    mixed = noise.clone()
    mixed[list(heads)] = images[list(heads)]
    encoder = make_encoder(cohort, settings.seed, filters=FILTERS, norm=UNFAIR.norm)
    task = make_marked(encoder.settings, settings.seed, **UNFAIR.settings)
    steps = _train(task, encoder, with_images(cohort, mixed), UNFAIR, settings)
    asked = noise[list(cohort.split().test)].clone()
    fair = make_task("rotation", encoder, settings.seed, **UNFAIR.settings)
    fair.load_state_dict(task.state_dict())
    by_mark = measure_answers(task, encoder, asked)
    without = measure_answers(fair, encoder, unseen)
    after = UNFAIR_AFTER.format(
        noise=_percent(by_mark), heads=_percent(without), chance=f"{by_mark.chance:.0%}"
    )
    asked[0] = unseen[0]  # a head first: the player shall find out by and by
    asked[-1] = unseen[-1]  # the example, which is shown upright
    return GameRound(
        *(task, encoder, asked, UNFAIR.title, UNFAIR.before, after, settings.questions),
        trained=_told(cohort, steps),
    )


def _train(
    task: ProxyTask,
    encoder: Encoder,
    cohort: Cohort,
    planned: PlannedRound,
    settings: PlaySettings,
) -> int:
    """Train a round's network, and return the number of steps."""
    steps = max(1, round(settings.effort * planned.steps))
    training = TrainSettings(
        steps=steps,
        batch=planned.batch,
        learning_rate=planned.learning_rate,
        seed=settings.seed,
        device="cpu",
    )
    pretrain(task, encoder, cohort, cohort.split().pretrain, training)
    return steps


def _told(cohort: Cohort, steps: int) -> str:
    seen = len(cohort.split().pretrain)
    return f"It was trained for {steps} steps on {seen} other volumes, without labels."


def _percent(measured: Measured) -> str:
    return f"{measured.right / measured.asked:.0%} of {measured.asked} questions"
