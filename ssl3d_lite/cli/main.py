"""The ``ssl3d`` command: a thin skin over the functions that a notebook calls.

Each command's settings are the function's own frozen dataclass, read from the command line by
tyro. Heavy libraries are imported by the command that needs them: ``ssl3d --help`` needs none.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ssl3d_lite.errors import DivergedError, InputError, unknown
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
    if arguments is None:  # the command, in a process of its own
        end_on_ctrl_c()
        if not _is_first_process():
            end_with_parent()
    try:
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
    if not arguments or arguments[0] in ("-h", "--help"):
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
    lines = [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    return (
        "usage: ssl3d COMMAND [settings]      (ssl3d COMMAND --help says which)\n\n"
        "Self-supervised learning on 3D medical images.\n\n" + "\n".join(lines)
    )


def _parse(
    settings: Any,
    command: str,
    arguments: list[str],
    default: Any = None,
    description: str | None = None,
) -> Any:
    """Settings (a dataclass) from the command line; a misspelt one names the nearest.

    Raises:
        InputError: a value that the settings refuse, which is told in the settings' own words.
    """
    from contextlib import redirect_stderr
    from io import StringIO

    import tyro

    said = StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(
                settings,
                prog=f"ssl3d {command}",
                args=arguments,
                default=default,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as left:
        if refused := _input_error_behind(left):  # tyro would put it in a box of five lines
            raise refused from None
        sys.stderr.write(said.getvalue())
        raise


def _input_error_behind(error: BaseException | None) -> InputError | None:
    while error is not None and not isinstance(error, InputError):
        error = error.__context__
    return error


def _early(arguments: list[str], **wanted: str | None) -> "argparse.Namespace":
    """Values (with these defaults) that say which other settings there are."""
    import argparse

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in wanted.items():
        parser.add_argument(f"--{name}", default=default)
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
    print(f"\n{(out / 'table.md').read_text()}")
    print(f"Report: {out / 'report.html'}  All scores: {out / 'results.csv'}")


def _prepare(arguments: list[str]) -> int:
    from ssl3d_lite.data.registry import load_recipe, load_recipes

    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: ssl3d prepare RECIPE --out COHORT [settings]\n\nrecipes:")
        working, broken = load_recipes()
        print("\n".join(f"  {name:<20} {recipe.about.title}" for name, recipe in working.items()))
        for reason in broken.values():
            print(f"  {reason}")
        return 0
    settings_class, run = load_recipe(arguments[0])
    does, own = (
        " ".join((settings_class.__doc__ or "").split()),
        getattr(settings_class, "own", None),
    )
    defaults = (
        ", ".join(f"{name} {value}" for name, value in vars(own).items() if value) if own else ""
    )
    description = settings_class.about.text(does, defaults)
    command = f"prepare {arguments[0]}"
    summary = run(_parse(settings_class, command, arguments[1:], description=description))
    print(summary)
    return summary.exit_code


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
    if "--labels" in arguments or (arguments[:1] and arguments[0].endswith((".nii", ".nii.gz"))):
        from ssl3d_lite.show.napari.window import ScanWindow, scan_window

        scan_window(_parse(ScanWindow, "show", arguments))
        return
    from ssl3d_lite.show.cohort_page import CohortPage, write_cohort_page

    print(f"page: {write_cohort_page(_parse(CohortPage, 'show', arguments))}")


def _pretrain(arguments: list[str]) -> None:
    from pathlib import Path

    from ssl3d_lite.data.cohort import MANIFEST, Cohort

    from .commands import pretrain_command, pretrain_settings

    first = _early(arguments, task="cpc", preset="quick", cohort=None, network="unet")
    there = first.cohort and (Path(first.cohort) / MANIFEST).exists()  # if not, that is said later
    dims = Cohort.open(first.cohort).spatial_dims if there else 3
    kind, default = pretrain_settings(first.task, first.preset, dims, first.network)
    pretrain_command(_parse(kind, "pretrain", arguments, default))


def _finetune(arguments: list[str]) -> None:
    from .commands import FinetuneCommand, finetune_command

    finetune_command(_parse(FinetuneCommand, "finetune", arguments))


def _probe(arguments: list[str]) -> None:
    from .commands import ProbeCommand, probe_command

    probe_command(_parse(ProbeCommand, "probe", arguments))


def _predict(arguments: list[str]) -> int:
    from .commands import PredictCommand, predict_command

    return predict_command(_parse(PredictCommand, "predict", arguments))


def _study(arguments: list[str]) -> None:
    from ssl3d_lite.study.settings import read_study, shipped_studies

    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: ssl3d study STUDY [--scale smoke|class|full] [settings]\n\nstudies:")
        print("\n".join(f"  {name:<16} {read_study(name).title}" for name in shipped_studies()))
        print("\nOr a TOML file of your own. ssl3d study STUDY --help says all settings.")
        return
    from ssl3d_lite.study.command import StudySettings, study_from

    _say_results(study_from(_parse(StudySettings, "study", arguments)))


def _course(arguments: list[str]) -> int | None:
    actions = {
        "build": "make the students' and the lecturer's folder",
        "grade": "run and grade what was handed in, each in a jail of its own",
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<10} {summary}" for name, summary in actions.items()]
        print("usage: ssl3d course ACTION [settings]\n\nactions:\n" + "\n".join(lines))
        return None
    action, rest = arguments[0], arguments[1:]
    if action not in actions:
        raise unknown("action", action, actions)
    if action == "build":
        from ssl3d_lite.course.build import BuildSettings, build_course

        print(f"course: {build_course(_parse(BuildSettings, 'course build', rest))}")
        return 0
    from ssl3d_lite.course.grade import GradeSettings, grade_submissions

    records = grade_submissions(_parse(GradeSettings, "course grade", rest))
    return int(any(record.failed for record in records))


def _bench(arguments: list[str]) -> None:
    from ssl3d_lite.bench.command import BenchSettings, bench

    settings = _parse(BenchSettings, "bench", arguments)
    from ssl3d_lite.bench.report import write_bench_report
    from ssl3d_lite.bench.result import (
        BENCH,
        bench_remarks,
        hours_table,
        is_bench,
        peak_table,
        stage_table,
    )
    from ssl3d_lite.html import as_text
    from ssl3d_lite.outputs import claimed

    with claimed(settings.out, "bench", is_bench):
        result = bench(settings)
        write_bench_report(result, settings.out)
    for table in (peak_table, stage_table, hours_table):
        print("\n" + as_text(table(result)))
    print("\n" + "\n".join(f"- {line}" for line in bench_remarks(result)))
    print(f"\nReport: {settings.out / 'report.html'}  All numbers: {settings.out / BENCH}")


COMMANDS: dict[str, tuple[Callable[[list[str]], int | None], str]] = {
    "tour": (_tour, "the whole path in minutes: pretrain, probe, fine-tune, report"),
    "prepare": (_prepare, "turn raw scans into a cohort"),
    "data": (_data, "list the data sets that are known, prepared and missing"),
    "verify": (_verify, "check a cohort: files, values, and leakage between splits"),
    "show": (_show, "see a cohort as a page of pictures and values, or a scan in napari"),
    "pretrain": (_pretrain, "train an encoder on a proxy task, without labels"),
    "finetune": (_finetune, "train a network with few labels, to segment or to grade"),
    "probe": (_probe, "score a frozen encoder's features with a linear probe"),
    "study": (_study, "put the paper's claims to the test: arms, labels, seeds, verdicts"),
    "course": (_course, "assignments that grade themselves: build a course, grade submissions"),
    "bench": (_bench, "how fast this machine does every stage, beside the least it could take"),
    "predict": (_predict, "segment raw scans or a cohort's, as NIfTI in their own space; or grade"),
}


if __name__ == "__main__":
    sys.exit(main())
