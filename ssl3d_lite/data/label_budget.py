"""How many labelled scans there are to learn from: so many, or a share of those that there are."""

from dataclasses import dataclass
from numbers import Integral

from ssl3d_lite.errors import InputError


@dataclass(frozen=True)
class LabelBudget:
    """A number of labelled scans, or a share of them; one of the two is None."""

    scans: int | None = None
    fraction: float | None = None  # in (0, 1]

    def count(self, available: int) -> int:
        """Number of scans, of ``available`` ones: a share is rounded, and is one scan at least.

        Raises:
            InputError: there are fewer scans than are asked for, or none is asked for.
        """
        wanted = self.scans
        if wanted is None:
            assert self.fraction is not None
            wanted = max(1, round(self.fraction * available))
        if not 1 <= wanted <= available:
            raise InputError(
                f"{wanted} labelled scans asked for, {available} are there to train with"
            )
        return wanted


def parse_label_budget(labels: int | str) -> LabelBudget:
    """Read a label budget: 12 and "12" are twelve scans, "5%" is a share.

    Raises:
        InputError: it is neither, a float included: 1.0 could mean one scan or all of them.

    Example::

        parse_label_budget("5%").count(available=40)  # 2 scans
    """
    if isinstance(labels, Integral) and not isinstance(labels, bool):  # numpy's too
        return LabelBudget(scans=int(labels))
    wrong = InputError(f'labels {labels!r}: give a number of scans (12) or a share ("5%")')
    if not isinstance(labels, str):
        raise wrong
    try:
        if not labels.endswith("%"):
            return LabelBudget(scans=int(labels))
        fraction = float(labels[:-1]) / 100
    except ValueError:
        raise wrong from None
    if not 0 < fraction <= 1:
        raise InputError(f"labels {labels!r}: a share lies above 0% and is 100% at most")
    return LabelBudget(fraction=fraction)
