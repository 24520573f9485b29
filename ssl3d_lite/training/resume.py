"""A run in progress: its checkpoint, and whether the run that is asked for is the same.

All of a run's state is one file, ``resume.pt``, so it can never be half of two steps. A folder that
holds another run is refused, and what differs is said. Where only the cohort has changed, or the
encoder that the run began with, it is begun anew.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.provenance import unchanged
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, write_csv
from ssl3d_lite.machine.collectives import on_rank_zero, say
from ssl3d_lite.machine.launch import same_run
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.old_names import renamed

from .checkpoint import HISTORY, RESUME, run_folder
from .settings import machine_settings


@contextmanager
def hold_run(
    record: dict[str, Any], cohort: Cohort, out: str | Path | None
) -> Iterator[Path | None]:
    """Hold the folder ``out`` for a run while it lasts.

    Raises:
        InputError: the processes that share it were asked for different runs; the folder holds
            other things, or another process is at work there; scans changed on the way.
    """
    with (
        same_run(_without_folders(record)),
        run_folder(out, record["kind"]) as folder,
        unchanged(cohort),
    ):
        yield folder


@dataclass
class Progress:
    """How far a run has come, and the best weights so far by its validation cases."""

    step: int = 0  # steps done when the run was started or continued
    saved: int = 0  # steps done at the last checkpoint
    history: list[dict[str, Any]] = field(default_factory=list)
    best: tuple[float, int, dict[str, torch.Tensor]] | None = None  # score, step, weights

    @classmethod
    def restore(
        cls,
        out: Path | None,
        record: dict[str, Any],
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> "Progress":
        """Continue from ``out`` if a run with the same record was there; else begin.

        A run whose cohort, or whose pretrained encoder, has changed since is begun anew, and why
        is said.

        Raises:
            InputError: the folder holds a run with other settings; the message names them.
        """
        if out is None:
            return cls()
        state = on_rank_zero(_read_state, Path(out))  # other machines may not see the folder
        if state is None:
            return cls()
        old, new = renamed(json.loads(state["record"])), json.loads(json.dumps(record))
        if changed := _what_changed(old, new, Path(out)):
            on_rank_zero(_begin_anew, Path(out), changed)
            return cls()
        say(f"{out} is continued from step {state['step']}")
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        return cls(
            state["step"], state["step"], list(map(renamed, state["history"])), state["best"]
        )

    def save(
        self,
        out: Path | None,
        step: int,
        record: dict[str, Any],
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Checkpoint: all of the run's state in one file, so it can never be half of two steps."""
        self.saved = step
        if out is None:
            return
        state = {
            "step": step,
            "record": json.dumps(record),
            "learner": learner.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": self.history,
            "best": self.best,
        }
        on_rank_zero(_write_state, Path(out), state)

    def keep_best(self, score: float, step: int, learner: nn.Module) -> None:
        if self.best is None or score > self.best[0]:
            weights = {n: w.detach().cpu().clone() for n, w in learner.state_dict().items()}
            self.best = (score, step, weights)

    def load_best(self, learner: nn.Module) -> None:
        if self.best is not None:
            learner.load_state_dict(self.best[2])


def _read_state(out: Path) -> dict[str, Any] | None:
    path = out / RESUME
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # unpickling broken bytes raises almost anything
        raise InputError(f"{path} cannot be read: {reason}; delete it to start anew") from None


def _write_state(out: Path, state: dict[str, Any]) -> None:
    buffer = BytesIO()  # torch writes to a full disk without saying that it is full
    torch.save(state, buffer)
    atomic_write(out / RESUME, lambda file: file.write(buffer.getbuffer()))
    write_csv(out / HISTORY, state["history"])


# ---- whether a run is the same -------------------------------------------------------------------


def origins(cohort: Cohort, encoder: Encoder, parts: Collection[str], read: bool) -> dict[str, Any]:
    """What a run's record says of the cohort and of the encoder that it started from.

    Args:
        parts: those of the cohort's fingerprints on which the run depends.
        read: whether the encoder is as it was read from a folder.
    """
    folder = encoder.folder if read else None
    return {
        "cohort": {part: cohort.fingerprints[part] for part in parts},
        "folders": {
            "cohort": cohort.place,
            "encoder": folder and hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
        },
    }


def _without_folders(record: dict[str, Any]) -> dict[str, Any]:
    """A run's record by the names that messages have, settings before what they lead to. Where its
    folders lie is left out: each machine may have its own."""
    flat = _flat(record)
    names = (name for name in flat if not name.startswith("folders."))
    return {name: flat[name] for name in sorted(names, key=lambda name: "." not in name)}


def _what_changed(old: dict[str, Any], new: dict[str, Any], out: Path) -> list[str]:
    """What is new in the cohort and the encoder that a run in ``out`` began with.

    Raises:
        InputError: it is a run with other settings, on another cohort or with other weights.
    """
    flat_old, flat_new = _flat(old), _flat(new)
    if "cohort" not in old:  # an earlier version did not say what was in its cohort
        say(f"{out}: its run does not say what was in the cohort; it is taken to be the same")
        flat_old = {**{k: flat_new[k] for k in flat_new if k[:7] == "cohort."}, **flat_old}
        flat_old |= {"fold": flat_new.get("fold")}
    free = {f"training.{name}" for name in machine_settings()} | {
        "folders.cohort",
        "folders.encoder",
    }
    keys = (flat_old | flat_new).keys() - free
    changed = sorted(k for k in keys if flat_old.get(k) != flat_new.get(k))
    parts = [k.removeprefix("cohort.") for k in changed if k.startswith("cohort.")]
    here, before = new["folders"], old.get("folders", {})
    if parts and here["cohort"] != before.get("cohort"):
        raise InputError(f"{out} holds a run on another cohort; choose another folder")
    found = [f"the cohort's {' and '.join(parts)}"] if parts else []
    explained = {"data", "cohort", *(f"cohort.{part}" for part in parts)} if parts else set()
    if "start" in changed and here["encoder"] and here["encoder"] == before.get("encoder"):
        found.append("the encoder's weights")
        explained.add("start")
    if rest := [k for k in changed if k not in explained]:
        _refuse_run(rest, flat_old, flat_new, out)
    return found


def _refuse_run(changed: list[str], old: dict[str, Any], new: dict[str, Any], out: Path) -> None:
    k = changed[0]
    if changed == ["start"]:  # in a notebook: a cell run again goes on with what it has trained
        raise InputError(
            f"{out} holds a run that began with other weights; to continue it, make the "
            "networks anew from the same seeds; to start another, choose another folder"
        )
    raise InputError(
        f"{out} holds a run with {k} = {old.get(k)}, but {new.get(k)} is asked for; "
        "choose another folder, or delete this one"
    )


def _begin_anew(out: Path, changed: list[str]) -> None:
    """Say why, and remove the scores of the weights that will be replaced."""
    what = " and ".join(changed)
    print(f"{what} changed since {out} was trained: training anew")
    (out / "scores.csv").unlink(missing_ok=True)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    inner = {k: v for k, v in record.items() if isinstance(v, dict)}
    flat = {k: v for k, v in record.items() if k not in inner}
    return flat | {f"{k}.{name}": v for k, d in inner.items() for name, v in d.items()}
