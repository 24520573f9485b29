"""What the benchmarks compute from their measurements."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent / "benchmarks"
sys.path.insert(0, str(FOLDER))  # a script imports the one beside it


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_runs_at_once_counts_once():
    gpu = load("gpu")
    assert gpu.busy([(0, 2), (1, 3), (5, 6)]) == 4
    assert gpu.busy([(0, 10), (2, 3)]) == 10
    assert gpu.idle_share([(5, 6), (0, 2), (1, 3)]) == pytest.approx(2 / 6)


def test_the_page_of_the_presets_is_current():
    """After a change: python tests/benchmarks/presets.py"""
    presets = load("presets")
    figures = json.loads(presets.FIGURES.read_text())
    assert presets.PAGE.read_text() == presets.page(figures)
    assert {(r["preset"], r["dims"], r["task"]) for r in figures["memory"]} == {
        (name, dims, task)
        for name in ("paper", "original")
        for dims in (3, 2)
        for task in presets.PUBLISHED_TASKS
    }


def test_eight_gpus_are_predicted_from_what_one_took():
    """After a change: python tests/benchmarks/eight_gpus.py"""
    eight = load("eight_gpus")
    page = eight.PAGE.read_text()
    assert eight.renewed(page) == page
    assert eight.all_reduce_seconds(1000, 2, 100) == 10  # each sends one half twice
    assert eight.all_reduce_seconds(1000, 1, 100) == 0
    cells = list(eight.predicted({(64, 1): 0.010, (64, 8): 0.020}, 10**9, 64, 1))
    assert cells[:2] == ["8 × 64³", "20 ms"]
    assert cells[3] == "150.0 ms, 0.1 times"  # 10 ms, and 1.75 GB at 12.5 GB/s


def test_what_a_preset_needs_is_counted():
    presets = load("presets")
    (kept,) = (
        row
        for row in json.loads(presets.FIGURES.read_text())["memory"]
        if (row["preset"], row["dims"], row["task"]) == ("original", 2, "rotation")
    )
    found = presets.memory("original", "rotation", 2, presets.WAYS["32-true"])
    assert found == pytest.approx(kept["32-true"], abs=0.1)


def test_a_point_of_growth_is_measured_and_estimated():
    growth = load("growth")
    found = growth.measured("cpu", edge=32, batch=2)
    assert found["seconds"] > 0
    assert found["estimate"] > 8 * 2 * 32**3 * 4  # the first level's features of one layer at least


def test_choosing_and_reading_scans_is_measured():
    found = load("growth").choosing(30)
    assert found["cases"] == 30
    assert min(found["open"], found["choose"], found["read"]) > 0


def test_the_slope_of_a_cost():
    cohorts = load("cohorts")
    sizes = (10, 100, 1000)
    for power in (0, 1, 2):
        assert cohorts.slope(sizes, [3 * n**power for n in sizes]) == pytest.approx(power, abs=1e-9)
    rows = [{"scans": n, **dict.fromkeys(cohorts.ROWS, 1e6 * n)} for n in sizes]
    table = cohorts.table(rows)
    assert table[0] == "| | 10 scans | 100 scans | 1000 scans | slope |"
    assert "| manifest | 10.00 MB | 100.00 MB | 1000.00 MB | 1.00 |" in table


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cohort_prepared_on_dask_killed_twice_is_the_same_byte_for_byte(tmp_path):
    cohorts = load("cohorts")
    raw = cohorts.write_scans(tmp_path / "raw", 60)
    whole = cohorts.prepare_at_once(raw, tmp_path / "whole")
    assert min(whole[role] for role in cohorts.ROLES) > 20e6  # bytes: Python alone has as many
    resumed = cohorts.prepare_with_kills(raw, tmp_path / "resumed", 60)
    first, second = resumed["done_at_kills"]
    assert 0 < first <= second < 60
    assert cohorts.differences(tmp_path / "whole", tmp_path / "resumed") == []
    (tmp_path / "resumed/labels/ball_00007.npy").write_bytes(b"other")
    (tmp_path / "resumed/images/ball_00008.npy").unlink()
    assert cohorts.differences(tmp_path / "whole", tmp_path / "resumed") == [
        "images/ball_00008.npy",
        "labels/ball_00007.npy",
    ]


@pytest.mark.parametrize("script", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_every_script_says_what_it_is_for(script):
    """by_hand is a module of peers."""
    text = (FOLDER / f"{script}.py").read_text()
    assert text.startswith('"""')
    if "def main" not in text:
        return
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_gpu_script_says_that_there_is_none():
    done = subprocess.run([sys.executable, str(FOLDER / "gpu.py")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "gpu.py: this machine has no GPU; to rehearse without one, give --device cpu"
    ]


def test_the_page_of_benchmarks_tells_of_every_script():
    notes = (Path(__file__).parents[1] / "docs/benchmarks.md").read_text()
    for path in FOLDER.glob("*.py"):
        assert path.name in notes, f"{path.name} is not in docs/benchmarks.md"


def test_numbers_of_growth_in_the_docs_are_those_that_are_drawn():
    record = json.loads((Path(__file__).parents[1] / "docs/growth.json").read_text())
    assert {"machine", "torch", "edge", "batch", "processes", "cases"} <= record.keys()


def test_the_verdicts_operating_characteristics_in_short():
    """Where nothing is to be found almost no study claims anything; where much is, most find it;
    where nothing is learnt none can tell."""
    made = load("operating_characteristics")
    studies = 24
    null = made.shares(made.NULLS["failing: 10 % of all runs"], 6, studies)
    assert null.get("any", 0) <= 3 / studies, "of 24 with 5 % each, more than 3 are one in 40"
    found = made.shares(made.World(gain=0.12), 12, studies)
    assert found["holds"] > 0.8
    blind = made.shares(made.World(failing=1.0), 6, 3)
    assert blind == {"cannot tell": 1}
    page = "a <!-- x: begin -->old<!-- x: end --> b"
    assert made.put_between(page, "x", "new") == "a <!-- x: begin -->\nnew\n<!-- x: end --> b"


def test_the_first_moment_at_a_dice_and_never():
    curves = load("learning_curves")
    short = curves.Curve("ours", 0, 20, [1.0, 2.0], [0.4, 0.75])
    long = curves.Curve("ours", 0, 40, [1.0, 2.0, 3.0, 4.0], [0.3, 0.6, 0.7, 0.81])
    assert [short.reaches(mark) for mark in (0.4, 0.7, 0.8)] == [1.0, 2.0, float("inf")]
    row = curves.table([short, long], ["ours"], 1)[2]
    assert row == (  # the quicker of both runs, for each Dice
        "| ours | 2 | 2 | 4 | never | 20 steps: 0.750 (0.750 to 0.750); "
        "40 steps: 0.810 (0.810 to 0.810) |"
    )


def test_nnunets_loss_is_that_of_its_outputs_but_the_coarsest():
    deep = load("nnunet").DeepLoss()
    labels = torch.zeros(1, 8, 8, 8)
    labels[:, :4] = 1

    def logits(edge, sure):
        shares = torch.nn.functional.one_hot(
            labels[:, :: 8 // edge, :: 8 // edge, :: 8 // edge].long()
        )
        return sure * shares.movedim(-1, 1).float()

    right, wrong = [[logits(edge, sure) for edge in (8, 4, 2)] for sure in (50.0, -50.0)]
    assert float(deep(right, labels)) == pytest.approx(0, abs=1e-5)
    assert float(deep([*right[:2], wrong[2]], labels)) == pytest.approx(0, abs=1e-5)
    fine, coarse = (
        float(deep(outputs, labels))
        for outputs in ([wrong[0], *right[1:]], [right[0], wrong[1], right[2]])
    )
    assert fine == pytest.approx(2 / 3 * 51, rel=1e-3)  # cross-entropy 50 and Dice's 1
    assert coarse == pytest.approx(1 / 3 * 51, rel=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_waits_for_a_gpu_runs_on_a_cpu(tmp_path):
    """A GPU is lent for minutes: its script must need nothing but the run."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"SSL3D_GPU": "cpu", "OUT": str(tmp_path), "PATH": path}
    ran = subprocess.run(
        ["bash", FOLDER / "gpu.sh"],
        cwd=FOLDER.parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    there = {path.name for path in tmp_path.iterdir()}
    assert {"log.txt", "tests.xml", "tour", "idle.json", "views.txt"} <= there
    assert (tmp_path / "tour" / "table.md").exists()


def test_the_first_minute_runs_the_readmes_own_lines(tmp_path, monkeypatch):
    first_minute = load("first_minute")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    text = first_minute.first_picture()
    assert "pretrain" not in text
    exec(compile(text.replace("cases=30", "cases=12"), "README", "exec"), {})
    assert (tmp_path / "puzzle.png").read_bytes().startswith(b"\x89PNG")
    commands = first_minute.steps(tmp_path, "https://example.org/cpu")
    assert commands["torch"][-3:] == ["--index-url", "https://example.org/cpu", "torch"]


def test_submissions_of_every_kind_to_every_assignment(tmp_path):
    submissions = load("submissions")
    marks = {"{outside}": "/outside", "{port}": "1", "{unix}": "/outside/socket"}
    found = submissions.all_of_them(14, marks)
    assert len(found) >= 200
    assert {(each.assignment.name, each.kind) for each in found} == {
        (f"A{number}", kind)
        for number in range(1, 8)
        for kind in ("right", "odd", "wrong", "empty", "hostile")
    }
    assert "{outside}" not in "".join(c.source for s in found for c in s.notebook.cells)
    handed_in = submissions.hand_in(found[:3], tmp_path)
    assert len(list(tmp_path.glob("s*/A1.ipynb"))) == len(handed_in) == 3


def test_the_verdict_on_a_submission():
    submissions = load("submissions")
    (assignment, *_) = submissions.read_assignments()
    full = {f"part {p.name[-1]}": str(p.points) for p in assignment.machine_parts}
    row = {**full, "look at": "", "status": "graded"}

    def verdict(kind, lost=(), **changed):
        each = submissions.Submission(kind, "", assignment, assignment.notebook, lost)
        return submissions.verdict(each, row | changed)

    assert verdict("right") == ""
    assert verdict("right", **{"part 2": "0"}) != ""
    assert verdict("wrong", ("a1-2",), **{"part 2": "0"}) == ""
    assert verdict("wrong", ("a1-2",)) != ""
    assert verdict("wrong", ("a1-2",), **{"part 2": "0", "part 1": ""}) != ""
    assert verdict("hostile") != ""
    assert verdict("hostile", **{"look at": "part 1: _getframe"}) == ""
    assert verdict("hostile", **dict.fromkeys(full, "0")) == ""
