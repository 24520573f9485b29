"""Ordinal grades: their code, their loss, and the grade that logits stand for.

Cheng et al. 2008, A Neural Network Approach to Ordinal Regression, arXiv:0704.1028. A grade among
five is four answers: is it above 0, above 1, above 2, above 3? A prediction that is off by one
grade then has one wrong answer, one that is off by three has three.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def ordinal_code(grades: Tensor, count: int) -> Tensor:
    """Integers (batch), from 0 to count-1 → 0 or 1 (batch, count-1): is the grade above k?

    Example::

        ordinal_code(torch.tensor([0, 2, 4]), 5)  # [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    """
    return (grades[:, None] > torch.arange(count - 1, device=grades.device)).float()


def ordinal_loss(logits: Tensor, grades: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits (batch, count-1) and the code of integers (batch)."""
    code = ordinal_code(grades, logits.shape[1] + 1)
    return F.binary_cross_entropy_with_logits(logits, code)


def decode(logits: Tensor) -> Tensor:
    """The grade of each case: (batch, count-1) → integers (batch), from 0 to count-1.

    It is the number of positive logits. So every case has a grade, even where logits contradict
    each other ("not above 0, but above 1").
    """
    return (logits > 0).sum(1)
