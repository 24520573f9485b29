"""What a run leaves in its folder, and how it is read back.

::

    settings.json           all that the run depended on, and what the weights were trained on
    encoder.safetensors     after pretraining: the encoder's weights
    decoder.safetensors     and a U-Net decoder's, if the task trained one with it
    network.safetensors     after fine-tuning: the whole network's weights
    history.csv             a row every ten steps
    resume.pt               the state to continue from; read with ``weights_only=True``

No file here can run code when it is read.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.preparation import PreparationRecord
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, clear_leftovers, read_json, write_csv, write_json
from ssl3d_lite.machine.collectives import on_rank_zero, say
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.encoders import Encoder, load_weights, make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet, UNetDecoder
from ssl3d_lite.old_names import renamed, renamed_weights
from ssl3d_lite.outputs import LOCK, MARK, claimed

from .settings import machine_settings

RUN_SETTINGS = "settings.json"
HISTORY = "history.csv"
_RESUME = "resume.pt"
_WEIGHTS = {"pretrain": "encoder.safetensors", "finetune": "network.safetensors"}
_DECODER = "decoder.safetensors"
_NETWORKS: dict[str, type[UNet] | type[Classifier]] = {"classes": UNet, "grades": Classifier}


# ---- the folder --------------------------------------------------------------------------------


@contextmanager
def run_folder(out: str | Path | None, command: str) -> Iterator[Path | None]:
    """Take ``out`` for a run of ``command``, pretrain or finetune, and hold it while it lasts.

    Where several processes share the run, the first holds it, and all hear of it if it cannot.

    Raises:
        InputError: other things lie there, or another process is at work there.
    """
    held = ExitStack()

    def take() -> None:
        if out is not None:
            held.enter_context(claimed(out, command, partial(_was_run, command=command)))

    with held:
        on_rank_zero(take)
        yield None if out is None else Path(out)


def _was_run(folder: Path, command: str) -> bool:
    """Whether a folder without a mark holds a run of this command, finished or not."""
    try:
        if (folder / RUN_SETTINGS).exists():
            record = json.loads((folder / RUN_SETTINGS).read_text())
        else:
            state = torch.load(folder / _RESUME, map_location="cpu", weights_only=True)
            record = json.loads(state["record"])
        return record["kind"] == command
    except Exception:  # whatever broken bytes, or those of another program, raise
        return False


def remove_run(folder: Path) -> None:
    """Remove a run that has served: its own files, by name, and the folder if it is then empty."""
    own = (RUN_SETTINGS, HISTORY, _RESUME, *_WEIGHTS.values(), _DECODER, MARK, LOCK)
    if folder.is_dir():
        clear_leftovers(folder)
        for name in own:
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # something else lies there
            folder.rmdir()


# ---- finished weights --------------------------------------------------------------------------


def save_encoder(
    folder: Path, encoder: Encoder, record: dict[str, Any], decoder: UNetDecoder | None = None
) -> None:
    """Write the encoder, and a decoder that was trained with it: other heads were only for the
    puzzle."""
    if decoder is not None:
        _save_weights(folder / _DECODER, decoder)
    _save_weights(folder / _WEIGHTS["pretrain"], encoder)
    write_json(folder / RUN_SETTINGS, {**record, **_origin(encoder)})


def load_encoder(folder: str | Path) -> Encoder:
    """The pretrained encoder that a run left in ``folder``, in evaluation mode.

    What it was trained on is its ``provenance``; of an encoder of an earlier version that is all
    unknown.

    A fine-tuned network's encoder is one too: fine-tuned on another cohort's labels, it is a
    supervised pretraining.

    Raises:
        InputError: no encoder there, or weights that do not fit its settings.
    """
    folder = Path(folder)
    record = renamed(read_json(folder / RUN_SETTINGS, "pretrained encoder"))
    if _NETWORKS.keys() & record.keys():
        encoder = load_network(folder).encoder
        encoder.folder = folder
        return encoder
    encoder = make_encoder(_encoder_settings(record, folder))
    load_weights(encoder, _read_weights(folder / _WEIGHTS["pretrain"]))
    encoder.provenance, encoder.folder = _read_provenance(record, folder), folder
    return encoder.eval()


def load_model(folder: str | Path) -> Encoder | UNet | Classifier:
    """What a run left in ``folder``: the fine-tuned network, or else the pretrained encoder."""
    record = renamed(read_json(Path(folder) / RUN_SETTINGS, "encoder or network"))
    return load_network(folder) if _NETWORKS.keys() & record.keys() else load_encoder(folder)


def load_decoder(folder: str | Path) -> UNetDecoder:
    """The U-Net decoder that was pretrained with the encoder in ``folder``.

    Raises:
        InputError: there is none.
    """
    folder = Path(folder)
    if not (folder / _DECODER).exists():
        raise InputError(
            f"{folder} holds no pretrained decoder; pretrain with --task masked --decoder unet, or "
            "transfer the encoder alone"
        )
    record = renamed(read_json(folder / RUN_SETTINGS, "pretrained encoder"))
    decoder = UNetDecoder(_encoder_settings(record, folder))
    load_weights(decoder, _read_weights(folder / _DECODER))
    return decoder


def save_network(
    folder: Path, network: UNet | Classifier, record: dict[str, Any], cohort: Cohort
) -> None:
    """Write a fine-tuned network, with what its classes mean."""
    _save_weights(folder / _WEIGHTS["finetune"], network)
    meaning = {"label_values": cohort.label_values, "label_names": cohort.label_names}
    about = {**record, **network.head_settings, **meaning, **_origin(network)}
    write_json(folder / RUN_SETTINGS, about)


def load_network(folder: str | Path) -> UNet | Classifier:
    """The fine-tuned U-Net or classifier that a run left in ``folder``, in evaluation mode."""
    folder = Path(folder)
    record = renamed(read_json(folder / RUN_SETTINGS, "fine-tuned network"))
    learnt = next((name for name in _NETWORKS if name in record), None)
    if learnt is None:
        raise InputError(f"{folder} holds a {record.get('kind')} run, no fine-tuned network")
    encoder: Any = make_encoder(_encoder_settings(record, folder))
    network = _NETWORKS[learnt](encoder, record[learnt])
    load_weights(network, renamed_weights(_read_weights(folder / _WEIGHTS["finetune"])))
    network.provenance = encoder.provenance = _read_provenance(record, folder)
    return network.eval()


def _origin(module: Encoder | UNet | Classifier) -> dict[str, Any]:
    """What settings.json says of where the weights come from."""
    return {"trained_on": module.provenance.to_json()} if module.provenance else {}


def _read_provenance(record: dict[str, Any], folder: Path) -> Provenance:
    """Where weights come from; says so, if their run was one of an earlier version."""
    if "trained_on" in record:
        try:
            return Provenance.from_json(record["trained_on"])
        except (KeyError, TypeError, AttributeError, ValueError) as reason:
            raise InputError(
                f"{folder / RUN_SETTINGS} has been changed: what it says of the scans that were "
                f"trained on cannot be read ({reason}); train again"
            ) from None
    say(
        f"{folder} does not say how the scans were prepared that it was trained on, nor whose they "
        "were (an earlier version wrote it): whether it fits yours is not checked"
    )
    meaning: dict[str, Any] = {
        name: record[name] for name in ("label_values", "label_names") if name in record
    }
    return Provenance(preparation=PreparationRecord.from_json(meaning))


def _encoder_settings(record: dict[str, Any], folder: Path) -> EncoderSettings:
    try:
        # the first versions had no other, and a DenseNet always has its own
        before = {} if record["encoder"].get("network") == "densenet121" else {"stride": 1}
        settings: dict[str, Any] = before | dict(record["encoder"])
        return EncoderSettings(**{**settings, "filters": tuple(settings["filters"])})
    except (KeyError, TypeError, AttributeError) as reason:
        raise InputError(f"{folder / RUN_SETTINGS} describes no encoder: {reason}") from None


def _save_weights(path: Path, module: nn.Module) -> None:
    atomic_write(path, lambda file: file.write(_bytes(module)))


def _bytes(module: nn.Module) -> bytes:
    return save({n: w.detach().cpu().contiguous() for n, w in module.state_dict().items()})


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.exists():
        raise InputError(f"{path} is missing: the run that writes it has not finished")
    try:
        return load_file(path)
    except Exception as reason:  # safetensors raises an exception class of its own for bad files
        raise InputError(f"{path} cannot be read as weights: {reason}") from None


def digest(*modules: nn.Module) -> str:
    """Checksum of weights: a run that starts from others is another run."""
    return hashlib.sha256(b"".join(map(_bytes, modules))).hexdigest()[:16]


# ---- a run in progress -------------------------------------------------------------------------


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
    path = out / _RESUME
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as reason:  # unpickling broken bytes raises almost anything
        raise InputError(f"{path} cannot be read: {reason}; delete it to start anew") from None


def _write_state(out: Path, state: dict[str, Any]) -> None:
    buffer = BytesIO()  # torch writes to a full disk without saying that it is full
    torch.save(state, buffer)
    atomic_write(out / _RESUME, lambda file: file.write(buffer.getbuffer()))
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


def without_folders(record: dict[str, Any]) -> dict[str, Any]:
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
