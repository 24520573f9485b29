"""The ``ssl3d`` command: a thin skin over the functions that a notebook calls.

Each command's settings are the function's own frozen dataclass. Heavy libraries are imported by the
command that needs them: ``ssl3d --help`` needs none.
"""

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from ssl3d_lite.errors import DivergedError, InputError, in_one_line, unknown
from ssl3d_lite.interrupts import (
    STOPPED,
    end_on_ctrl_c,
    end_with_parent,
    is_stopping,
    leave_stopped,
    say_stopped,
)

if TYPE_CHECKING:
    import argparse

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_DISK_OR_PATH = (  # errors that the program can do nothing about
    *(*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT),
)


def main(arguments: list[str] | None = None) -> int:
    """Run ``ssl3d``. Exit code: 0 all is done, 1 some cases are faulty, 2 it was stopped."""
    try:
        if arguments is None:  # the command, in a process of its own
            end_on_ctrl_c()
            if not _is_first_process():
                end_with_parent()
        for stream in (sys.stdout, sys.stderr):  # a terminal that has no umlauts shows their codes
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or is_stopping():
            code = STOPPED
        elif isinstance(error, BrokenPipeError):  # such as head, which has seen enough
            code = 0
        elif line := _line_about(error):
            _tell(f"ssl3d: {line}")
            code = 2
        elif isinstance(error, Exception):  # every process says it: it may have struck one alone
            print(f"ssl3d: {in_one_line(error)}", file=sys.stderr)
            code = 2
        else:
            raise
        _forget_output()
    if code == STOPPED or is_stopping():
        say_stopped()
        code = STOPPED
    if is_stopping():
        leave_stopped()
    return code


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"ssl3d-lite {version('ssl3d-lite')}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown("command", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]][0](arguments[1:]) or 0


def _line_about(error: BaseException) -> str | None:
    """What to tell of an error that is no fault of the program; None if it is one."""
    if isinstance(error, InputError | DivergedError):
        return str(error)
    if "ssl3d_lite.machine.collectives" in sys.modules:
        from ssl3d_lite.machine.collectives import LOST, is_loss

        if is_loss(error):
            return LOST
    if not isinstance(error, OSError):
        return None
    if error.args and isinstance(error.args[0], list):  # shutil's: one a file
        return f"{error.args[0][0][-1]}; make room, or choose another place"
    if error.errno not in _OF_DISK_OR_PATH:
        return None
    where = f" ({error.filename})" if error.filename else ""
    full = error.errno in _FULL
    what = "make room; then the same command continues" if full else "choose another place"
    return f"{error.strerror}{where}; {what}"


def _forget_output() -> None:
    """What could not be written to the terminal or pipe shall not be tried again at the end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_first_process() -> bool:
    """Whether this is the first, or the only, of the processes that share a training."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _tell(line: str) -> None:
    """Say what is wrong; where several processes share a training, the first for all."""
    if _is_first_process():
        print(line, file=sys.stderr)


def overview() -> str:
    lines = [f"  {name:<10} {summary}" for name, (_, summary, _) in COMMANDS.items()]
    return (
        "example: ssl3d tour\n\nSelf-supervised learning on 3D medical images.\n\n"
        "ssl3d COMMAND [settings], where COMMAND is:\n" + "\n".join(lines) + "\n\n"
        "ssl3d COMMAND --help says what each does, and its settings."
    )


def _parse(kind: Any, command: str, arguments: list[str], **defaults: Any) -> Any:
    """Settings of class ``kind`` from the command line of one of ``COMMANDS``.

    Raises:
        InputError: a mistake in the arguments.
    """
    from .arguments import read_settings

    about = " ".join((kind.__doc__ or "").split())
    example = ACTIONS.get(command) or COMMANDS[command][2]
    return read_settings(kind, command, arguments, about, example, **defaults)


def _early(arguments: list[str], **wanted: str | None) -> "argparse.Namespace":
    """Values (with these defaults) that say which other settings there are."""
    import argparse

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in wanted.items():
        parser.add_argument(f"--{name}", nargs="?", const=default, default=default)
    return parser.parse_known_args(arguments)[0]


# ---- commands ----------------------------------------------------------------------------------


def _tour(arguments: list[str]) -> None:
    from ssl3d_lite.study.command import TourSettings

    settings = _parse(TourSettings, "tour", arguments)
    from ssl3d_lite.study.command import tour

    _say_results(tour(settings))


def _say_results(results: Any) -> None:
    """The table of a study, and where the report lies."""
    out = results.folder
    print(f"\n{(out / 'table.md').read_text(encoding='utf-8')}")
    print(f"Report: {out / 'report.html'}  All scores: {out / 'results.csv'}")


def _prepare(arguments: list[str]) -> int:
    from ssl3d_lite.data.registry import load_recipe, load_recipes

    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"example: {COMMANDS['prepare'][2]}\n")
        print("ssl3d prepare RECIPE [settings], where RECIPE is:")
        working, broken = load_recipes()
        print("\n".join(f"  {name:<20} {recipe.about.title}" for name, recipe in working.items()))
        for reason in broken.values():
            print(f"  {reason}")
        print("\nssl3d prepare RECIPE --help says how to get the raw files, and all settings.")
        return 0
    name = _first("prepare", "RECIPE", arguments)
    kind, run = load_recipe(name)
    from .arguments import read_settings

    example = recipe_example(name, kind)
    about = recipe_text(kind)
    summary = run(read_settings(kind, f"prepare {name}", arguments[1:], about, example))
    print(summary)
    return summary.exit_code


def _first(command: str, what: str, arguments: list[str]) -> str:
    """The word after the command, which no setting may precede."""
    if arguments[0].startswith("-"):
        raise InputError(f"{what} comes before the settings, as in: {COMMANDS[command][2]}")
    return arguments[0]


def recipe_example(name: str, kind: Any) -> str:
    """A command that prepares a cohort by the recipe ``name``."""
    from .arguments import flags_of

    places = {"--raw": f"raw/{name}", "--out": f"cohorts/{name}", "--cohort": "cohorts/brats"}
    needed = [flag.name for flag in flags_of(kind, {}) if flag.default is MISSING]
    given = " ".join(f"{each} {places.get(each, 'VALUE')}" for each in needed)
    more = getattr(kind.about, "example", "")
    return " ".join(f"ssl3d prepare {name} {given} {more}".split())


def recipe_text(kind: Any) -> str:
    """What a recipe does, and all that is known of its data set."""
    does, own = " ".join((kind.__doc__ or "").split()), getattr(kind, "own", None)
    given = {name: value for name, value in vars(own).items() if value} if own else {}
    return kind.about.text(does, ", ".join(f"{name} {value}" for name, value in given.items()))


def _data(arguments: list[str]) -> None:
    from ssl3d_lite.data.catalogue import DataListing, list_data

    print(list_data(_parse(DataListing, "data", arguments)))


def _verify(arguments: list[str]) -> int:
    from ssl3d_lite.data.verify import Verify
    from ssl3d_lite.data.verify import verify as run

    verdict = run(_parse(Verify, "verify", arguments))
    print(verdict)
    return verdict.exit_code


def _show(arguments: list[str]) -> None:
    scan = arguments[:1] and arguments[0].endswith((".nii", ".nii.gz"))
    if scan or {"--labels", "--prediction"} & set(arguments):
        from ssl3d_lite.show.napari.window import ScanWindow, scan_window

        scan_window(_parse(ScanWindow, "show SCAN.nii.gz", arguments))
        return
    from ssl3d_lite.show.cohort_page import CohortPage, write_cohort_page

    print(f"page: {write_cohort_page(_parse(CohortPage, 'show', arguments))}")


def _pretrain(arguments: list[str]) -> None:
    from pathlib import Path

    from ssl3d_lite.data.cohort import MANIFEST, Cohort

    from .commands import PretrainCommand, pretrain_command, pretrain_defaults

    first = _early(arguments, task="cpc", preset="quick", cohort=None, network="unet")
    there = first.cohort and (Path(first.cohort) / MANIFEST).exists()  # if not, that is said later
    dims = Cohort.open(first.cohort).spatial_dims if there else 3
    defaults = pretrain_defaults(first.task, first.preset, dims, first.network)
    pretrain_command(_parse(PretrainCommand, "pretrain", arguments, **defaults))


def _finetune(arguments: list[str]) -> None:
    from .commands import FinetuneCommand, finetune_command

    finetune_command(_parse(FinetuneCommand, "finetune", arguments))


def _probe(arguments: list[str]) -> None:
    from .commands import ProbeCommand, probe_command

    probe_command(_parse(ProbeCommand, "probe", arguments))


def _predict(arguments: list[str]) -> int:
    from .commands import PredictCommand, predict_command

    return predict_command(_parse(PredictCommand, "predict", arguments))


def _features(arguments: list[str]) -> int:
    from .commands import FeaturesCommand, features_command

    return features_command(_parse(FeaturesCommand, "features", arguments))


def _export(arguments: list[str]) -> None:
    from .commands import ExportCommand, export_command

    export_command(_parse(ExportCommand, "export", arguments))


def _study(arguments: list[str]) -> None:
    from ssl3d_lite.study.settings import read_study, shipped_studies

    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"example: {COMMANDS['study'][2]}\n\nssl3d study STUDY [settings], where STUDY is:")
        print("\n".join(f"  {name:<16} {read_study(name).title}" for name in shipped_studies()))
        print("\nOr a TOML file of your own. ssl3d study STUDY --help says all settings.")
        return
    from ssl3d_lite.study.command import StudySettings, study_from

    _say_results(study_from(_parse(StudySettings, "study", arguments)))


_COURSE = {
    "build": "make the students' and the lecturer's folder",
    "collect": "take submissions out of a zip of Moodle or Canvas",
    "grade": "run and grade what was handed in, each in a jail of its own",
}
_BOOK = {
    "build": "make a site of notebooks, pages and docstrings that opens from disk",
    "quiz": "write the questions about the notebooks to a file that Moodle imports",
}


def _action(command: str, actions: dict[str, str], arguments: list[str]) -> str | None:
    """What a command of several actions is to do; None if it was to say which there are."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<10} {summary}" for name, summary in actions.items()]
        print(f"example: {COMMANDS[command][2]}\n")
        print(f"ssl3d {command} ACTION [settings], where ACTION is:")
        print("\n".join(lines) + f"\n\nssl3d {command} ACTION --help says all settings.")
        return None
    action = _first(command, "ACTION", arguments)
    if action not in actions:
        raise unknown("action", action, actions)
    return action


def _course(arguments: list[str]) -> int | None:
    action, rest = _action("course", _COURSE, arguments), arguments[1:]
    if action == "build":
        from ssl3d_lite.course.build import BuildSettings, build_course

        print(f"course: {build_course(_parse(BuildSettings, 'course build', rest))}")
    if action == "collect":
        from ssl3d_lite.course.collect import CollectSettings, collect

        settings = _parse(CollectSettings, "course collect", rest)
        print(f"{len(collect(settings))} students: {settings.out}")
    if action != "grade":
        return 0
    from ssl3d_lite.course.grade import GradeSettings, grade_submissions

    records = grade_submissions(_parse(GradeSettings, "course grade", rest))
    return int(any(record.failed for record in records))


def _notebooks(arguments: list[str]) -> None:
    from ssl3d_lite.book.notebooks import NotebooksSettings, write_notebooks

    out = write_notebooks(_parse(NotebooksSettings, "notebooks", arguments))
    print(f"notebooks: {out}\nopen the first: jupyter lab {out / '00_start_here.ipynb'}")


def _book(arguments: list[str]) -> None:
    action, rest = _action("book", _BOOK, arguments), arguments[1:]
    if action == "quiz":
        from ssl3d_lite.book.quiz_moodle import QuizSettings, write_quizzes

        print(f"quiz: {write_quizzes(_parse(QuizSettings, 'book quiz', rest))}")
    if action != "build":
        return
    from ssl3d_lite.book.build import BookSettings, build_book

    settings = _parse(BookSettings, "book build", rest)
    print(f"book: {build_book(settings, {} if settings.only else every_help())}")


def every_help() -> dict[str, str]:
    """What each command says with ``--help``, for the book."""
    from ssl3d_lite.data.registry import recipes

    calls = [[name] for name in COMMANDS]
    calls += [["course", action] for action in _COURSE] + [["book", action] for action in _BOOK]
    calls += [["show", "SCAN.nii.gz"], ["study", "hippocampus"]]
    calls += [["prepare", name] for name in recipes()]
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "88"  # the same lines on every terminal
    try:
        said = {f"ssl3d {' '.join(words)}": _help_of(words) for words in sorted(calls)}
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return {"ssl3d": overview(), **said}


def _help_of(words: list[str]) -> str:
    from contextlib import redirect_stdout, suppress
    from io import StringIO

    with redirect_stdout(StringIO()) as stream, suppress(SystemExit):
        _run([*words, "--help"])
    return stream.getvalue().rstrip()


def _play(arguments: list[str]) -> None:
    from ssl3d_lite.game.play import PlaySettings, write_game

    print(f"game: {write_game(_parse(PlaySettings, 'play', arguments))}")


def _bench(arguments: list[str]) -> None:
    from ssl3d_lite.bench.command import BenchSettings, write_bench

    print(write_bench(_parse(BenchSettings, "bench", arguments)))


Command = tuple[Callable[[list[str]], int | None], str, str]  # what runs, a summary, an example
COMMANDS: dict[str, Command] = {
    "tour": (
        _tour,
        "the whole path in minutes: pretrain, probe, fine-tune, report",
        "ssl3d tour --task rotation --out tour",
    ),
    "play": (
        _play,
        "a page in which you solve the network's puzzles, beside the network",
        "ssl3d play play.html",
    ),
    "prepare": (
        _prepare,
        "turn raw scans into a cohort",
        "ssl3d prepare folder --raw scans --labels maps --out cohorts/a",
    ),
    "data": (
        _data,
        "list the data sets that are known, prepared and missing",
        "ssl3d data cohorts",
    ),
    "verify": (
        _verify,
        "check a cohort: files, values, and leakage between splits",
        "ssl3d verify cohorts/a --raw scans",
    ),
    "show": (
        _show,
        "see a cohort as a page of pictures and values, or a scan in napari",
        "ssl3d show cohorts/a --out a.html",
    ),
    "pretrain": (
        _pretrain,
        "train an encoder on a proxy task, without labels",
        "ssl3d pretrain --task cpc --cohort cohorts/a --out runs/cpc",
    ),
    "finetune": (
        _finetune,
        "train a network with few labels, to segment or to grade",
        "ssl3d finetune --cohort cohorts/a --encoder runs/cpc --out runs/few",
    ),
    "probe": (
        _probe,
        "score a frozen encoder's features with a linear probe",
        "ssl3d probe --cohort cohorts/a --encoder runs/cpc --labels 5",
    ),
    "predict": (
        _predict,
        "segment raw scans or a cohort's, as NIfTI in their own space; or grade",
        "ssl3d predict --model runs/few --images scans --out predictions",
    ),
    "features": (
        _features,
        "what an encoder makes of scans: colours over the raw scans, embeddings",
        "ssl3d features --encoder runs/cpc --images scans --out features",
    ),
    "export": (
        _export,
        "an encoder or a network for another program: ONNX, MONAI, nnU-Net",
        "ssl3d export runs/few --to monai --out bundle",
    ),
    "study": (
        _study,
        "put the paper's claims to the test: arms, labels, seeds, verdicts",
        "ssl3d study hippocampus --scale class --out studies/a",
    ),
    "course": (
        _course,
        "assignments that grade themselves: build a course, grade submissions",
        "ssl3d course build course",
    ),
    "notebooks": (
        _notebooks,
        "write the notebooks to a folder, with what they read",
        "ssl3d notebooks my_notebooks",
    ),
    "book": (
        _book,
        "a site of notebooks, pages and docstrings; quizzes for Moodle",
        "ssl3d book build site",
    ),
    "bench": (
        _bench,
        "how fast this machine does every stage, beside the least it could take",
        "ssl3d bench --out bench",
    ),
}
ACTIONS = {
    "course build": "ssl3d course build course --assignments A1 A2",
    "book build": "ssl3d book build site",
    "book quiz": "ssl3d book quiz quiz.xml",
    "show SCAN.nii.gz": "ssl3d show scans/ann.nii.gz --prediction predictions/ann.nii.gz",
    "course collect": "ssl3d course collect A1.zip --assignment A1 --out submissions",
    "course grade": "ssl3d course grade submissions --course course/lecturer --out grades",
}


if __name__ == "__main__":
    sys.exit(main())
