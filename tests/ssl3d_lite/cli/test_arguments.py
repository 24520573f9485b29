"""The command line: a mistake is one line that says what to do; help begins with an example."""

import shlex
from dataclasses import MISSING, dataclass
from datetime import date
from pathlib import Path

import pytest
from helpers import make_cohort

from ssl3d_lite.cli.arguments import flags_of, help_text, read_settings
from ssl3d_lite.cli.commands import PretrainCommand, pretrain_defaults
from ssl3d_lite.cli.main import ACTIONS, COMMANDS, main, recipe_example
from ssl3d_lite.data.registry import load_recipes
from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks import TASKS

FINETUNE = "finetune --cohort x --out y --encoder random"
FOLDER = "prepare folder --raw x --out y"
MISTAKES = {
    f"{FINETUNE} --precision fp16": "unknown --precision 'fp16' (known: 32-true, auto, bf16-mixed)",
    f"{FINETUNE} --stesp 5": "finetune has no setting --stesp; did you mean --steps? "
    "(ssl3d finetune --help lists all)",
    f"{FINETUNE} -steps 5": "finetune has no setting -steps; did you mean --steps? "
    "(ssl3d finetune --help lists all)",
    f"{FINETUNE} --xyz": "finetune has no setting --xyz (ssl3d finetune --help lists all)",
    f"{FINETUNE} --steps": "--steps needs a value",
    f"{FINETUNE} --filters": "--filters needs values",
    f"{FINETUNE} --filters 4,8": "--filters takes values with spaces between them, but got: 4,8",
    f"{FINETUNE} --steps 1e3": "--steps is '1e3', but must be a whole number; write 1000",
    f"{FINETUNE} --steps 100.0": "--steps is '100.0', but must be a whole number; write 100",
    f"{FINETUNE} --steps ten": "--steps is 'ten', but must be a whole number",
    f"{FINETUNE} --steps -5": "steps is -5, but must be above 0",
    f"{FINETUNE} --steps 3 --steps=4": "--steps is given twice; keep one of them",
    f"{FINETUNE} --learning-rate 0,001": "--learning-rate is '0,001', but must be a number; "
    "write 0.001",
    f"{FINETUNE} --learning-rate nan": "learning_rate is nan, but must be a finite number",
    f"{FINETUNE} --labels 5 %": "'%' belongs to no setting of finetune; a value with spaces needs "
    "quotes (ssl3d finetune --help lists all)",
    f"{FINETUNE} --patch 1 2 3 4": "patch is (1, 2, 3, 4), but takes 3 entries at most",
    f"{FINETUNE} --labels ''": "--labels is empty; give it a value, or leave it out",
    f"{FINETUNE} --labels=": "--labels is empty; give it a value, or leave it out",
    f"{FINETUNE} –steps 5": "–steps begins with a long dash, as web pages have it; type --steps",
    f"{FINETUNE} —steps=5": "—steps=5 begins with a long dash, as web pages have it; "
    "type --steps=5",
    f"{FINETUNE} --device gpu": "unknown --device 'gpu'; did you mean 'cpu'? "
    "(known: auto, cpu, cuda, mps)",
    "finetune --cohort x": "finetune needs --out and --encoder, as in: "
    "ssl3d finetune --cohort cohorts/a --encoder runs/cpc --out runs/few",
    "show": "show needs COHORT, as in: ssl3d show cohorts/a --out a.html",
    "show a b": "'b' belongs to no setting of show; a value with spaces needs quotes "
    "(ssl3d show --help lists all)",
    f"{FOLDER} --size 64": "--size takes 3 values, as --size 64 64 64, but got: 64",
    f"{FOLDER} --size 64x64x64": "--size takes 3 values, as --size 64 64 64, but got: 64x64x64",
    f"{FOLDER} --size 64 64 64.5": "--size is '64.5', but must be a whole number",
    f"{FOLDER} --spacing 1": "--spacing takes 3 values, as --spacing 1.5 1.5 1.5, but got: 1",
    f"{FOLDER} --crop yes": "unknown --crop 'yes' (known: False, True)",
    "prepare --out x folder": "RECIPE comes before the settings, as in: "
    "ssl3d prepare folder --raw scans --labels maps --out cohorts/a",
    "prepare fodler": "unknown recipe 'fodler'; did you mean 'folder'? (known: "
    + ", ".join(sorted(load_recipes()[0]))
    + ")",
    "course grde": "unknown action 'grde'; did you mean 'grade'? (known: build, collect, grade)",
    "course build": "course build needs OUT, as in: ssl3d course build course --assignments A1 A2",
    "study tour --scale smok": "unknown --scale 'smok'; did you mean 'smoke'? "
    "(known: class, full, smoke)",
    "study nowhere.toml": "study nowhere.toml cannot be read: [Errno 2] No such file or directory: "
    "'nowhere.toml'",
    "pretrain --task": "--task needs a value",
    "pretrain --task cpc": "pretrain needs --cohort and --out, as in: "
    "ssl3d pretrain --task cpc --cohort cohorts/a --out runs/cpc",
    "pretrain --task rotation --temperature 1": "pretrain has no setting --temperature "
    "(ssl3d pretrain --help lists all)",
    "bench --seconds 0": "seconds is 0.0, but must be above 0",
    "data nowhere": "no folder nowhere",
    "Finetune": "unknown command 'Finetune'; did you mean 'finetune'? (known: "
    + ", ".join(sorted(COMMANDS))
    + ")",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(mistake)) == 2
    assert capsys.readouterr().err == f"ssl3d: {MISTAKES[mistake]}\n"
    assert not list(tmp_path.iterdir())


def test_a_size_that_no_machine_can_hold_is_refused_before_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    size = "100000 100000 100000"
    assert main(shlex.split(f"{FOLDER} --size {size}")) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "ssl3d: size (100000, 100000, 100000) makes a volume of 100000 x 100000 x 100000 voxels, "
        "which takes 6.00PB of memory a channel, where "
    )
    assert said.endswith("B are free; take fewer or larger voxels\n")


def test_the_cohort_that_was_meant_is_named(tmp_path, capsys):
    make_cohort(tmp_path / "cohorts/brain", 3)
    (tmp_path / "file").touch()
    for given, said in {
        "cohorts/brian": f"no cohort in {tmp_path}/cohorts/brian: cohort.json is missing; did you "
        f"mean {tmp_path}/cohorts/brain?",
        "cohorts": f"no cohort in {tmp_path}/cohorts: cohort.json is missing; did you mean "
        f"{tmp_path}/cohorts/brain?",
        "nowhere": f"no cohort in {tmp_path}/nowhere: cohort.json is missing",
        "file": f"{tmp_path}/file is a file, where a cohort's folder is wanted",
    }.items():
        assert main(["verify", str(tmp_path / given)]) == 2
        assert capsys.readouterr().err == f"ssl3d: {said}\n"


# ---- what is read --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Example:
    """Of somebody who has types that our settings have not."""

    day: date
    place: Path = Path(".")
    sizes: tuple[int, ...] = (1, 2)
    smooth: bool = True
    edge: int | None = 5


def read(line: str) -> _Example:
    return read_settings(_Example, "example", shlex.split(line), "", "ssl3d example")


def test_values_have_the_types_of_their_fields(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    line = "--day 2020-02-29 --place=~/x --sizes 3 -4 --no-smooth --edge None"
    assert read(line) == _Example(date(2020, 2, 29), Path("/home/me/x"), (3, -4), False, None)
    with pytest.raises(InputError, match=r"^--day is 'today': Input"):
        read("--day today")


def test_flags_and_texts_come_from_the_class():
    flags = {flag.name: flag for flag in flags_of(_Example, {})}
    assert list(flags) == ["--day", "--place", "--sizes", "--no-smooth", "--edge"]
    assert flags["--day"].default is MISSING
    assert (flags["--sizes"].values, flags["--no-smooth"].values) == (" INT ...", "")
    assert help_text(list(flags.values()), "It does.", "ssl3d example --day 2020-02-29") == (
        "example: ssl3d example --day 2020-02-29\n\nIt does.\n\nneeded:\n  --day TEXT\n\n"
        "settings:\n  --place PATH            (default: .)\n"
        "  --sizes INT ...         (default: 1 2)\n  --no-smooth\n"
        "  --edge INT              (default: 5)"
    )


@pytest.mark.parametrize("task", [*TASKS, "cpc+masked"])
def test_no_two_settings_have_one_flag(task):
    names = [flag.name for flag in flags_of(PretrainCommand, pretrain_defaults(task))]
    assert len(set(names)) == len(names)


def test_the_strides_of_patches_and_of_the_encoder_are_told_apart():
    line = "--cohort a --out b --stride 4 --encoder-stride 1"
    defaults = pretrain_defaults("cpc")
    found = read_settings(PretrainCommand, "pretrain", line.split(), "", "", **defaults)
    assert (found.options.stride, found.shape.stride) == (4, 1)
    assert pretrain_defaults("cpc", "paper")["shape"].stride == 1


# ---- help ----------------------------------------------------------------------------------------

HELPS = {
    **{name: [name] for name in COMMANDS if name not in ("prepare", "study", "course", "book")},
    **{name: name.split() for name in ACTIONS},
    **{f"prepare {name}": ["prepare", name] for name in load_recipes()[0]},
    **{f"pretrain {name}": ["pretrain", "--task", name] for name in (*TASKS, "cpc+masked")},
    "study": ["study", "tour"],
}


def told(arguments: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", HELPS)
def test_help_begins_with_an_example_and_each_setting_has_a_text(
    command, columns, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(columns))
    said = told(HELPS[command], capsys)
    lines = said.splitlines()
    assert lines[0].startswith("example: ssl3d " + " ".join(HELPS[command][:1]))
    assert max(map(len, lines[1:])) <= min(columns, 100)
    assert not any(strange in said for strange in ("None}", "|", "MISSING", "(default: )", "[["))
    flags = [i for i, line in enumerate(lines) if line.startswith("  ") and line[2] != " "]
    for place in flags:
        text = lines[place][26:] if len(lines[place]) > 26 else lines[place + 1]
        assert text.strip()[:9] not in ("", "(default:"), lines[place]


@pytest.mark.parametrize("what", ["", "prepare", "study", "course", "book"])
def test_what_lists_others_begins_with_an_example_too(what, capsys):
    assert main([what, "--help"] if what else []) == 0
    assert capsys.readouterr().out.startswith("example: ssl3d ")


EXAMPLES = [example for _, _, example in COMMANDS.values()] + list(ACTIONS.values())
EXAMPLES += [recipe_example(name, kind) for name, kind in load_recipes()[0].items()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_can_be_read(example, monkeypatch):
    """It gets as far as the work itself."""
    taken = []

    def stop(kind, command, arguments, about, example, **defaults):
        taken.append(read_settings(kind, command, arguments, about, example, **defaults))
        raise InputError("enough")

    monkeypatch.setattr("ssl3d_lite.cli.arguments.read_settings", stop)
    assert len(f"example: {example}") <= 100
    assert main(shlex.split(example)[1:]) == 2
    assert len(taken) == 1


def test_a_study_file_of_windows_is_read(tmp_path, monkeypatch, capsys):
    """With a byte order mark, and its line ends; not in Latin-1."""
    from ssl3d_lite.study.settings import read_study, shipped_studies

    text = shipped_studies()["tour"].read_text(encoding="utf-8").replace("\n", "\r\n")
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_study(path).title == read_study("tour").title
    path.write_bytes(("# ä\n" + text).encode("latin-1", "replace"))
    with pytest.raises(InputError, match=r"mine.toml cannot be read: 'utf-8' codec"):
        read_study(path)
