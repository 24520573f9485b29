"""A classifier of whole scans or pictures: an encoder and one linear layer."""

import torch
from torch import Tensor, nn

from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError

from .encoders import Encoder
from .heads import global_avg_pool


class Classifier(nn.Module):
    """An encoder, and one linear layer on its deepest level: the grade of a whole picture.

    Takes (batch, channel, *space), gives logits (batch, grades-1). Logit k says "the grade is
    above k": see :mod:`ssl3d_lite.models.ordinal`.

    Raises:
        InputError: fewer than 2 grades.
    """

    provenance: Provenance | None = None  # what it was trained on; None: it is as it was drawn

    def __init__(self, encoder: Encoder, grades: int):
        super().__init__()
        if grades < 2:
            raise InputError(f"a classifier tells apart 2 grades or more, not {grades}")
        self.encoder, self.grades = encoder, grades
        self.last = nn.Linear(encoder.width, grades - 1)

    @property
    def head_settings(self) -> dict[str, int]:
        """What is needed besides the encoder to build the network again, as a record holds it."""
        return {"grades": self.grades}

    def forward(self, x: Tensor) -> Tensor:
        return self.last(global_avg_pool(self.encoder(x)))


def make_classifier(encoder: Encoder, grades: int, seed: int = 0) -> Classifier:
    """A classifier whose last layer depends on ``seed`` alone, so that paired runs start alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(encoder, grades)
