"""Ordinal grades: their code, their loss, and the grade that logits name (Cheng et al. 2008)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def ordinal_code(grades: Tensor, count: int) -> Tensor:
    """Integers (batch), from 0 to count-1 → 0 or 1 (batch, count-1): is the grade above k?"""
    return (grades[:, None] > torch.arange(count - 1, device=grades.device)).float()


def ordinal_loss(logits: Tensor, grades: Tensor) -> Tensor:
    """Binary cross-entropy of every output: logits (batch, count-1), integers (batch)."""
    code = ordinal_code(grades, logits.shape[1] + 1)
    return F.binary_cross_entropy_with_logits(logits, code)


def decode(logits: Tensor) -> Tensor:
    """The grade of each case: (batch, count-1) → integers (batch), from 0 to count-1.

    It is the number of outputs that are on. So there is one even where outputs contradict each
    other ("not above 0, but above 1"): no case is without an answer.
    """
    return (logits > 0).sum(1)
