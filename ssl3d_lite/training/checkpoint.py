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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.preparation import PreparationRecord
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, clear_leftovers, read_json, write_json
from ssl3d_lite.machine.collectives import on_rank_zero, say
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.encoders import Encoder, load_weights, make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet, UNetDecoder
from ssl3d_lite.old_names import renamed, renamed_weights
from ssl3d_lite.outputs import LOCK, MARK, claimed

RUN_SETTINGS = "settings.json"
HISTORY = "history.csv"
RESUME = "resume.pt"
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
            state = torch.load(folder / RESUME, map_location="cpu", weights_only=True)
            record = json.loads(state["record"])
        return record["kind"] == command
    except Exception:  # whatever broken bytes, or those of another program, raise
        return False


def remove_run(folder: Path) -> None:
    """Remove a run that has served: its own files, by name, and the folder if it is then empty."""
    own = (RUN_SETTINGS, HISTORY, RESUME, *_WEIGHTS.values(), _DECODER, MARK, LOCK)
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
