"""The checks of a part: all of them run, and one line says how many pass.

A notebook's check cell decorates its check functions, calls them, and ends::

    checks = Checks()

    @checks
    def check_sum(values, expected):
        assert total(values) == expected, f"the sum of {values} should be {expected}"

    check_sum((1, 2), 3)
    check_sum((), 0)
    checks.end()    # ✓ 2 of 2, or ✗ 1 of 2: the sum of () should be 0

Hidden tests stand before the last line and say what is worth how much::

    ### BEGIN HIDDEN TESTS
    with checks.core():                    # has to pass, or the part earns nothing
        check_sum(range(7), 21)
    with checks.further("true is 1"):      # each has its share of the other half of the points
        check_sum([True, False], 1)
    ### END HIDDEN TESTS
    checks.end(points=10)
"""

import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from traceback import walk_tb
from typing import Any, NoReturn, ParamSpec, TypeVar

import numpy as np

from ssl3d_lite.errors import InputError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_BLANK = "there is no answer yet"
HIDDEN_FAILED = "a hidden test failed: "
"""How the message of a hidden test begins."""
PARTIAL = "what failed: "
"""What stands before the messages of the checks that failed, where a part earns some points."""


class Checks:
    """Counts the calls of the check functions that it decorates.

    A check that fails does not end the cell: the others run as well. A check that another one
    calls, or that stands in :meth:`core` or :meth:`further`, is a part of it. After :meth:`end`, a
    check that fails raises.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.failures: list[Exception] = []
        self._core: list[Exception | None] = []
        self._further: list[Exception | None] = []
        self._within = False
        self._raises = False

    def __call__(
        self, check: Callable[_Arguments, _Result]
    ) -> Callable[_Arguments, _Result | None]:
        """``check``, counted."""

        @wraps(check)
        def counted(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result | None:
            if self._within:
                return check(*args, **kwargs)
            self._within = True
            try:
                result = check(*args, **kwargs)
            except Exception as failure:  # whatever a student's code ends with
                if _ends_all(failure):
                    raise
                if self._raises:
                    raise _told(failure, check) from None
                self.failures.append(_told(failure, check))
                return None
            finally:
                self._within = False
            self.passed += not self._raises
            return result

        return counted

    @contextmanager
    def core(self) -> Iterator[None]:
        """Tests that have to pass, or the part earns nothing: right values of fresh data, which
        nobody has by heart."""
        with self._caught() as failures:
            yield
        self._core.append(next(iter(failures), None))

    @contextmanager
    def further(self, what: str) -> Iterator[None]:
        """One further check, such as of an edge case. All of them together, and the visible checks
        that fail, share the half of the points that :meth:`core` leaves.

        Args:
            what: what it is about, in the student's terms; the message begins with it.
        """
        with self._caught() as failures:
            yield
        told = [AssertionError(f"{what}: {_words(each)}") for each in failures]
        self._further.append(next(iter(told), None))

    @contextmanager
    def _caught(self) -> Iterator[list[Exception]]:
        """Collect what the tests inside raise, as a sentence: one at most."""
        failures: list[Exception] = []
        self._raises = True
        try:
            yield failures
        except Exception as failure:
            if _ends_all(failure):
                raise
            failures.append(_told(failure))
        finally:
            self._raises = False

    def end(self, points: float | None = None) -> float | None:
        """Say how many checks pass.

        Args:
            points: of the part. Without, it is all or nothing.

        Returns:
            Points, if it is some of them: nbgrader takes the value of a cell's last line for that.

        Raises:
            AssertionError: a visible check fails, and there is no :meth:`core` that passes; or a
                hidden one does. The message says which.
            NotImplementedError: there is no answer yet.
        """
        self._raises = True
        number = self.passed + len(self.failures)
        wrong, failed = ([each for each in group if each] for group in (self._core, self._further))
        if not (self.failures or wrong or failed):
            print(f"✓ {number} of {number}")
            return None
        if points is not None and self._core and not wrong:
            return self._some_of(points, [*self.failures, *failed])
        if self.failures:
            self._refuse(self.failures[0], number)
        raise AssertionError(HIDDEN_FAILED + _words([*wrong, *failed][0]))

    def _some_of(self, points: float, failed: list[Exception]) -> float:
        """Half of the points for the core, and of the other half a share."""
        passed = sum(each is None for each in self._further)
        number = passed + len(failed)
        earned = round(points * (1 + passed / number) / 2, 1)
        what = "; ".join(dict.fromkeys(map(_words, failed)))
        print(
            f"the core is right, and {passed} of {number} further checks: {earned:g} of {points:g} "
            f"points; {PARTIAL}{what}"
        )
        return earned

    def _refuse(self, first: Exception, number: int) -> NoReturn:
        """Raise, for a visible check that has failed, one line with the count."""
        line = f"✗ {self.passed} of {number}: {_words(first)}"
        _draw(first)
        raised: Exception = NotImplementedError() if _is_blank(first) else AssertionError(line)
        # IPython shows this instead of a traceback through code that is not the student's
        raised._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
        raise raised from None


def differing(message: str, yours: Any, expected: Any) -> AssertionError:
    """What a check raises whose result is a picture: ``raise differing(…)``.

    Args:
        message: the one line about it.
        yours, expected: arrays or tensors of one shape (\\*space), 2D or 3D; other shapes are told
            and not drawn.
    """
    failure = AssertionError(message)
    failure.pictures = (np.asarray(yours), np.asarray(expected))  # type: ignore[attr-defined]
    return failure


def largest_tensor(function: Callable[..., Any], *args: Any) -> int:
    """The number of entries of the largest tensor that ``function(*args)`` makes on its way.

    In the grader, the function is in another process, which looks itself: a student who replaces
    this saves no line of the answer.
    """
    if hasattr(function, "_remote"):
        return int(function._remote[0].ask("largest tensor", [function, *args]))
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode

    entries = 0

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal entries
            made = func(*args, **(kwargs or {}))
            for each in made if isinstance(made, tuple | list) else (made,):
                if isinstance(each, Tensor):
                    entries = max(entries, each.numel())
            return made

    with Counting():
        function(*args)
    return entries


# ---- in the words of the task ------------------------------------------------------------------


def _is_blank(failure: Exception) -> bool:
    return isinstance(failure, NotImplementedError)


def _words(failure: Exception) -> str:
    return _BLANK if _is_blank(failure) else str(failure)


def _ends_all(failure: Exception) -> bool:
    """Whether no other check can run: in the grader, where the student's code runs in another
    process, that process was interrupted or is gone."""
    interrupted = getattr(failure, "kind", "") == "KeyboardInterrupt"
    return interrupted or isinstance(failure, EOFError | BrokenPipeError)


def _told(failure: Exception, check: Callable[..., Any] | None = None) -> Exception:
    """An error of the student's code as a sentence; other failures as they are. ``check`` is where
    it was called, if that is known."""
    if isinstance(failure, AssertionError | NotImplementedError):
        return failure
    if hasattr(failure, "where"):  # code of a student in another process
        told = f"your code ended with {failure.kind}: {failure.text}"  # type: ignore[attr-defined]
        return AssertionError(f"{told}; {failure.where}" if failure.where else told)
    own = [
        (frame, line)
        for frame, line in walk_tb(failure.__traceback__)
        if check and frame.f_globals is check.__globals__  # the notebook's, not a library's
    ]
    reason = f"{type(failure).__name__}: {failure}".removesuffix(": ")
    if not (check and own) or own[-1][0].f_code.co_filename == check.__code__.co_filename:
        if isinstance(failure, InputError):  # the library's word about what the student wrote
            return AssertionError(str(failure))
        what = "what your code gave back cannot be used"
        return AssertionError(f"{what} ({reason}); does each way through it end with `return`?")
    frame, number = own[-1]
    code, name = linecache.getline(frame.f_code.co_filename, number).strip(), frame.f_code.co_name
    where = f"line {number} of its cell: `{code}`" if code else f"line {number} of its cell"
    name = "code" if name.startswith("<") else name  # <listcomp>
    return AssertionError(f"your {name} ended with {reason}; {where}")


# ---- yours | expected | where they differ --------------------------------------------------------


def _draw(failure: Exception) -> None:
    """Draw what differs, in a notebook."""
    pictures = getattr(failure, "pictures", None)
    if pictures is None or "ipykernel" not in sys.modules:
        return
    yours, expected = (_bare(each) for each in pictures)
    if yours.shape != expected.shape or expected.ndim not in (2, 3):
        return
    from IPython.display import display
    from matplotlib.figure import Figure

    display(difference_figure(yours, expected, Figure(figsize=(7.5, 2.8), layout="constrained")))


def difference_figure(yours: np.ndarray, expected: np.ndarray, figure: Any) -> Any:
    """Draw *yours | expected | where they differ*: of a volume, the plane with most differences."""
    differ = ~np.isclose(yours, expected, equal_nan=True)
    what = ""
    if expected.ndim == 3:
        index = int(differ.sum((0, 1)).argmax())
        yours, expected, differ = (each[..., index] for each in (yours, expected, differ))
        what = f", plane {index} of the last axis"
    shown = expected[np.isfinite(expected)]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    names = ("yours", "expected", "where they differ")
    for axis, name, image in zip(figure.subplots(1, 3), names, (yours, expected, differ)):
        limits = (0, 1) if image is differ else (low, high)
        colours = "Reds" if image is differ else "gray"
        axis.imshow(image.T, origin="lower", cmap=colours, vmin=limits[0], vmax=limits[1])
        axis.set_title(name, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{differ.mean():.0%} differ{what}", fontsize=9)
    return figure


def _bare(values: np.ndarray) -> np.ndarray:
    """Numbers without axes of length 1, as a channel's is."""
    return np.squeeze(values).astype(float)
