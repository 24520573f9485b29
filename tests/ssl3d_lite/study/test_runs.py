"""Studies of a few steps on made-up scans: all of the machinery, none of the meaning."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import product

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers import make_cohort, make_graded

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.files import write_json
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.outputs import LOCK, MARK
from ssl3d_lite.study import Study, load_results, run_study, shipped_studies
from ssl3d_lite.study import launch as launching
from ssl3d_lite.study.data import DataFolders, StudyData
from ssl3d_lite.study.encoders import copy_for_benchmark, encoder_of
from ssl3d_lite.study.examples import OrdinalExamples, find_examples
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.illustrations import example_section
from ssl3d_lite.study.jobs import Job, Run, plan
from ssl3d_lite.study.keys import run_key
from ssl3d_lite.study.launch import Launch, RemoteJob
from ssl3d_lite.study.ledger import LOOKS
from ssl3d_lite.study.limits import limits
from ssl3d_lite.study.running import results_of, run_experiment
from ssl3d_lite.study.settings import Machine
from ssl3d_lite.study.tables import table_text

SMALL = Study(
    name="small",
    scale="smoke",
    title="Small",
    arms=("cpc", "scratch", "random", "random@group"),
    labels=("2", "50%"),
    cohort={},
    seeds=2,
    protocols=("finetune", "frozen", "probe", "probe+place", "neighbours", "convergence"),
    encoder={"filters": [4, 8]},
    pretrain={"steps": 10},
    tasks={
        "cpc": {"patch": 8, "stride": 4, "jitter": 4},
        "2d-cpc": {"patch": 8, "stride": 4, "jitter": 4},
    },
    finetune={"steps": 20, "validate_every": 10},
    milestones=(10, 20),
    probe={"draws": 2, "voxels": 200},
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    make_cohort(folder, 15, (16, 24, 16))
    return folder


@pytest.fixture(scope="module")
def small(scans, tmp_path_factory):
    """One study that is run once, and looked at by many tests."""
    out = tmp_path_factory.mktemp("small")
    return run_study(SMALL, out, cohort=scans), out


def table(out):
    """results.csv without what another run of the same may have otherwise."""
    with open(out / "results.csv", newline="") as file:
        rows = [dict(row, seconds="") for row in csv.DictReader(file)]
    return sorted(tuple(row.items()) for row in rows)


def experiment(study, folders, out):
    return Experiment(study, StudyData(folders, "cpu"), out, Machine())


# ---- the plan ----------------------------------------------------------------------------------


def test_every_run_has_a_row_and_a_milestone_one_more(small):
    results, _ = small
    counted = Counter((row["arm"], row["protocol"]) for row in results.rows)
    four = 4  # two seeds, two numbers of labels
    assert counted == {
        ("cpc", "proxy"): 2,
        ("cpc", "finetune"): four,
        ("cpc", "convergence"): 2 * four,
        ("cpc", "frozen"): four,
        ("cpc", "probe"): four,
        ("cpc", "probe+place"): four,
        ("cpc", "neighbours"): 2,
        ("scratch", "finetune"): four,
        ("scratch", "convergence"): 2 * four,
        ("random", "frozen"): four,
        ("random", "probe"): four,
        ("random", "probe+place"): four,
        ("random", "neighbours"): 2,
        ("random@group", "frozen"): four,
        ("random@group", "probe"): four,
        ("random@group", "probe+place"): four,
        ("random@group", "neighbours"): 2,
        ("place", "finetune"): four,
        ("place", "frozen"): four,
        ("place", "convergence"): 2 * four,
        ("place", "probe"): four,
        ("place", "probe+place"): four,
        ("place", "neighbours"): 2,
    }
    assert all(row["score"] is not None for row in results.rows)


def test_a_row_says_what_it_is(small):
    results, _ = small
    (row, _) = results.of("finetune", "cpc", ("50%",))
    assert (row["scans"], row["steps"], row["measure"]) == (4, 20, "dice")  # of 9 to train with
    assert row["score"] == pytest.approx(
        np.mean([row[f"dice {region}"] for region in ("front", "back", "whole")])
    )
    assert row["best_step"] in (10, 20)
    proxy = next(r for r in results.rows if r["protocol"] == "proxy")
    assert (proxy["task"], proxy["labels"], proxy["measure"]) == ("cpc", "", "accuracy")
    assert proxy["chance"] == pytest.approx(1 / 8)  # 4 scans, whose targets lie in two rows


def test_facts_are_the_cohorts(small, scans):
    results, _ = small
    assert results.facts["cohort"] == "made up"
    assert (results.facts["train"], results.facts["validation"], results.facts["test"]) == (9, 3, 3)


def test_a_search_scores_validation_cases_and_touches_no_test_case(
    scans, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("ssl3d_lite.study.ledger.MIN_SEEDS", 1)
    given = ("finetune", "probe", "neighbours")
    study = replace(SMALL, arms=("scratch", "random"), labels=("2",), seeds=1, milestones=())
    study = replace(study, protocols=given, scored="validation")
    results = run_study(study, tmp_path, cohort=scans)
    cohort = Cohort.open(scans)
    split = cohort.split()
    scored = {case for row in results.rows for case in row["case_scores"]}
    assert scored == {cohort.cases[case].patient for case in split.validation}
    assert scored.isdisjoint(cohort.cases[case].patient for case in split.test)
    assert "no verdict" in capsys.readouterr().out
    assert "search for settings, scored on validation cases" in table_text(results)
    assert "No result can be quoted" in limits(results, [])[0]
    assert not (tmp_path / LOOKS).exists()
    with_test = experiment(replace(study, scored="test"), DataFolders(scans), tmp_path)
    keys = {run_key(with_test, run) for runs in plan(study).values() for run in runs}
    assert keys.isdisjoint(row["run"] for row in results.rows)  # neither stands for the other


def test_a_folder_of_raw_scans_is_studied_in_one_command(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    for number in range(6):
        label = np.zeros((12, 16 + number, 12), np.uint8)
        label[2:8, 4:10, 3:9] = 1
        for kind, values in (("raw", label + random.normal(0, 0.1, label.shape)), ("maps", label)):
            (tmp_path / kind).mkdir(exist_ok=True)
            scan = nib.Nifti1Image(values.astype(np.float32), np.eye(4))
            nib.save(scan, tmp_path / kind / f"p{number}.nii.gz")
    (tmp_path / "own.toml").write_text(
        'title = "Own"\narms = ["scratch"]\nlabels = ["1"]\nseeds = 1\nprotocols = ["finetune"]\n'
        '[cohort]\nrecipe = "virtual-hippocampus"\ncases = 20\n[pretrain]\nsteps = 10\n'
        "[finetune]\nsteps = 10\n[encoder]\nfilters = [4, 8]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["study", "own.toml", "--raw", "raw", "--maps", "maps", "--device", "cpu"]) == 0
    results = load_results("studies/own-class")
    assert {row["cohort"] for row in results.rows} == {"raw"}
    cohort = Cohort.open("studies/own-class/cohort")
    assert (len(cohort), cohort.cases[0].shape) == (6, (16, 24, 16))
    assert main(["study", "own.toml", "--raw", "raw"]) == 2
    assert "both --raw and --maps" in capsys.readouterr().err
    assert main(["study", "own.toml", *("--raw", "r", "--maps", "m", "--cohort", "c")]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_results_can_be_read_without_scans_or_encoders(small, tmp_path):
    results, out = small
    for name in ("study.json", "results.csv", "patients.csv"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    assert load_results(tmp_path) == results
    for protocol, arm in product(("probe", "finetune", "convergence"), ("cpc", "place")):
        for row in results.of(protocol, arm):
            assert np.mean(list(row["case_scores"].values())) == pytest.approx(row["score"])
    (tmp_path / "patients.csv").unlink()
    assert [r["score"] for r in load_results(tmp_path).rows] == [r["score"] for r in results.rows]
    with pytest.raises(InputError, match="no finished study in"):
        load_results(tmp_path / "elsewhere")


def test_nothing_is_left_but_encoders_and_rows(small):
    _, out = small
    assert {path.name for path in out.iterdir()} == {
        *(
            "results.csv",
            "patients.csv",
            "study.json",
            "encoders",
            "examples",
            "films",
            "runs",
            "rows",
            MARK,
            LOCK,
        )
    }
    assert not list((out / "runs").iterdir())
    assert not list((out / "rows").iterdir())
    assert len(list((out / "encoders").iterdir())) == 2  # cpc's, of two seeds


# ---- place alone -------------------------------------------------------------------------------


def test_place_alone_has_the_labels_that_every_arm_has(small, scans):
    results, _ = small
    cohort = Cohort.open(scans)
    split = cohort.split()
    for labels, steps in product(SMALL.labels, (10, 20)):
        given = [cohort.subset(split.train, labels, seed) for seed in (0, 1)]
        floor = [evaluate_place(cohort, each, split.test).score for each in given]
        assert results.scores("finetune", "place", labels) == floor
        assert results.scores("frozen", "place", labels) == floor
        assert results.scores("convergence", "place", labels, steps) == floor
        four = [cohort.subset(split.train, labels, draw) for draw in range(4)]
        each = [evaluate_place(cohort, draw, split.test).score for draw in four]
        floor = [np.mean(each[:2]), np.mean(each[2:])]
        for protocol in ("probe", "probe+place"):
            assert results.scores(protocol, "place", labels) == pytest.approx(floor)
    (row, _) = results.of("neighbours", "place", ("1",))
    one = [cohort.subset(split.train, 1, draw) for draw in (0, 1)]
    floor = [evaluate_place(cohort, each, split.test, hausdorff=True, every=2) for each in one]
    assert row["score"] == pytest.approx(np.mean([each.score for each in floor]))
    assert row["hd95"] == pytest.approx(np.mean([each.hd95 for each in floor]))


def test_place_stands_in_every_table_and_runs_that_do_not_beat_it_are_counted(small):
    results, _ = small
    text = table_text(results)
    for section in text.split("## ")[1:]:
        named = section.splitlines()[0]
        if named.endswith("mean Dice"):
            assert "| place |" in section, named
            assert "A run that does not end above it has failed." in section
    floor = results.scores("finetune", "place", "2")
    below = sum(a <= b for a, b in zip(results.scores("finetune", "cpc", "2"), floor, strict=True))
    assert results.below_place("finetune", "cpc", "2") == below
    assert results.below_place("finetune", "place", "2") == 0
    assert "HD95" in text
    assert "case_scores" not in text


def test_both_probes_are_made_in_one_run_and_fail_with_it(small):
    results, _ = small
    (first, *_), (second, *_) = (results.of(p, "cpc") for p in ("probe", "probe+place"))
    assert first["run"] == second["run"]
    assert first["score"] != second["score"]
    assert results.failed("probe+place") == results.failed("probe")


def test_slices_have_a_floor_of_their_own():
    jobs = plan(replace(SMALL, arms=("cpc", "2d-cpc"), seeds=1))
    assert [job.arm.name for job in jobs] == ["place", "2d-place", "cpc", "2d-cpc"]
    with pytest.raises(InputError, match="place alone has no network"):
        replace(SMALL, arms=("place@group",))
    with pytest.raises(InputError, match="'warm' is for scratch alone"):
        replace(SMALL, arms=("cpc@warm",))


# ---- equal terms -------------------------------------------------------------------------------


def test_fault_15_every_arm_has_the_same_steps_labels_decoder_and_order(scans, tmp_path):
    """The original fine-tuned for 150 epochs from scratch and for 400 after pretraining."""
    arms = ("cpc", "rotation", "scratch", "scratch@warm", "collapsed", "oracle")
    study = replace(SMALL, arms=arms, encoder_lr_scale=0.1)
    laid_out = experiment(study, DataFolders(scans), tmp_path)
    cohort = Cohort.open(scans)
    jobs = [Job(arm, 0, 1) for arm in study.parsed_arms()]
    settings = [laid_out.finetuning(Run(job, "finetune", "2")) for job in jobs]
    alike = {replace(each, freeze_encoder_steps=0, encoder_lr_scale=1.0) for each in settings}
    assert len(alike) == 1
    # a quarter: the warm-up
    assert [each.freeze_encoder_steps for each in settings] == [5, 5, 0, 5, 5, 5]
    assert [each.encoder_lr_scale for each in settings] == [0.1, 0.1, 1, 0.1, 0.1, 0.1]
    assert {laid_out.pretraining(job).steps for job in jobs if job.arm.tasks} == {10}
    assert laid_out.oracle_training(jobs[-1]).steps == 10
    decoders = [
        make_network(encoder_of(laid_out, job)[0], cohort, job.seed).decoder.ups[0].weight.detach()
        for job in (jobs[0], jobs[2])
    ]
    assert torch.equal(*decoders)


def test_the_frozen_reading_never_trains_the_encoder(scans, tmp_path):
    laid_out = experiment(SMALL, DataFolders(scans), tmp_path)
    settings = laid_out.finetuning(Run(Job(SMALL.parsed_arms()[0], 0, 0), "frozen", "2"))
    assert settings.freeze_encoder_steps == settings.steps


def test_fault_14_pretraining_sees_no_held_out_scan_and_the_test_set_stands_still(scans, tmp_path):
    cohort = Cohort.open(scans)
    data = StudyData(DataFolders(scans), "cpu")
    (arm, *_) = SMALL.parsed_arms()
    for fold in range(5):
        split, corpus = cohort.split(fold), data.corpus(arm, fold)
        assert not set(corpus.seen) & {*split.test, *split.validation}
        assert set(corpus.unseen) == set(split.validation)


def test_twins_of_another_norm_and_a_corpus_without_labels(scans, tmp_path):
    make_cohort(tmp_path / "corpus", 20, (16, 24, 16), channels=2, unlabelled=20)
    study = replace(SMALL, arms=("cpc@group", "cpc@own"), corpus={"recipe": "none"})
    laid_out = experiment(study, DataFolders(scans, tmp_path / "corpus"), tmp_path)
    away, own = study.parsed_arms()
    corpus = laid_out.data.corpus(away, 0)
    assert (len(corpus.seen), len(corpus.unseen)) == (18, 2)  # one in ten to try puzzles on
    assert laid_out.data.corpus(own, 0).cohort.folder == scans
    encoder, _ = encoder_of(laid_out, Job(away, 0, 0))
    assert (encoder.settings.norm, encoder.settings.in_channels) == ("group", 2)
    assert copy_for_benchmark(laid_out, encoder, away).settings.in_channels == 1


def test_channels_are_read_by_name_or_in_turn(scans, tmp_path):
    make_cohort(tmp_path / "corpus", 20, (16, 24, 16), channels=2, unlabelled=20)
    study = replace(SMALL, arms=("cpc", "cpc@unnamed"), corpus={"recipe": "none"})
    laid_out = experiment(study, DataFolders(scans, tmp_path / "corpus"), tmp_path)
    one, other = jobs = [Job(arm, 0, 0) for arm in study.parsed_arms()]
    benchmark = laid_out.data.benchmark(one.arm)
    turned = tuple(reversed(laid_out.data.corpus(one.arm, 0).cohort.channels))
    laid_out.data.benchmark = lambda arm: replace(benchmark, channels=turned)
    encoder, _ = encoder_of(laid_out, one)
    by_name, in_turn = (
        copy_for_benchmark(laid_out, encoder, job.arm).state_dict()[encoder.input_weights[0]]
        for job in jobs
    )
    assert torch.equal(in_turn, encoder.state_dict()[encoder.input_weights[0]])
    assert torch.equal(by_name, in_turn.flip(1))
    assert run_key(laid_out, Run(one, "probe", "2")) != run_key(laid_out, Run(other, "probe", "2"))


def test_of_arms_that_are_the_same_one_is_run_and_that_is_said(scans, tmp_path, capsys):
    arms = ("random", "random@residual", "random@instance@residual", "random@batch")
    study = replace(SMALL, arms=arms, seeds=1, labels=("2",), protocols=("probe",), milestones=())
    results = run_study(study, tmp_path, cohort=scans)
    said = capsys.readouterr().out
    for arm in arms[1:3]:
        assert f"{arm} is the same as random here" in said
        assert not results.of("probe", arm)
    assert "random@batch is" not in said
    assert [len(results.of("probe", arm)) for arm in ("random", "random@batch")] == [1, 1]


def test_a_transferred_decoder_is_part_of_a_runs_key(scans, tmp_path):
    """Beside the same encoder moved alone, with which it may have all settings in common."""
    tasks = {"masked": {"decoder": "unet"}}
    study = replace(SMALL, arms=("masked", "masked@network"), tasks=tasks, warm_up=0)
    laid_out = experiment(study, DataFolders(scans), tmp_path)
    one, other = (Job(arm, 0, 0) for arm in study.parsed_arms())
    assert run_key(laid_out, Run(one, "finetune", "2")) != run_key(
        laid_out, Run(other, "finetune", "2")
    )


# ---- going on ----------------------------------------------------------------------------------


def test_a_finished_study_is_not_run_again(small, scans, monkeypatch):
    results, out = small
    before = table(out)
    monkeypatch.setattr("ssl3d_lite.study.launch.run_job", None)
    again = run_study(SMALL, out, cohort=scans)
    assert again.rows == results.rows
    assert table(out) == before


def test_rows_of_a_changed_setting_are_kept_and_never_mixed_in(small, scans, tmp_path):
    _, first = small
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.csv").write_bytes((first / "results.csv").read_bytes())
    other = replace(
        SMALL, arms=("scratch", "random"), finetune=SMALL.finetune | {"learning_rate": 0.01}
    )
    results = run_study(other, out, cohort=scans)
    by_protocol = Counter(row["protocol"] for row in results.rows)
    both = {"probe": 8, "probe+place": 8, "neighbours": 4}  # an arm's, and place alone's
    assert by_protocol == {"finetune": 8, "convergence": 16, "frozen": 8, **both}
    old = {row[0][1] for row in table(first)}
    new = {row["run"] for row in results.rows}
    assert {r["run"] for r in results.rows if r["protocol"] == "probe"} <= old  # no rate in these
    assert len(new - old) == 8
    kept = Counter(row["run"] in old for row in results.rows)[True]
    assert kept == 10 + 26  # those of the random encoder's frozen features, and of place alone
    assert results.facts["other rows"] == len(table(first)) - kept
    assert {row[0][1] for row in table(out)} == old | new


def test_more_seeds_cost_only_those_that_are_new(small, scans, tmp_path):
    _, first = small
    laid_out = experiment(SMALL, DataFolders(scans), tmp_path)
    more = experiment(replace(SMALL, seeds=3), DataFolders(scans), tmp_path)
    keys = {run_key(laid_out, run) for runs in plan(laid_out.study).values() for run in runs}
    more_keys = {run_key(more, run) for runs in plan(more.study).values() for run in runs}
    assert keys < more_keys
    assert len(more_keys) == len(keys) * 3 / 2
    assert keys == {row[0][1] for row in table(first)}


def test_a_key_knows_the_cohort_and_not_the_machine(scans, tmp_path):
    run = Run(Job(SMALL.parsed_arms()[0], 0, 0), "finetune", "2")
    key = run_key(experiment(SMALL, DataFolders(scans), tmp_path), run)
    data = StudyData(DataFolders(scans), "cpu")
    shared = Experiment(SMALL, data, tmp_path / "b", Machine("cpu", devices=2))
    assert run_key(shared, run) == key
    rounded = Experiment(SMALL, data, tmp_path, Machine(precision="bf16-mixed"))
    assert run_key(rounded, run) != key  # bfloat16 gives other numbers
    make_cohort(tmp_path / "other", 16, (16, 24, 16))
    assert run_key(experiment(SMALL, DataFolders(tmp_path / "other"), tmp_path), run) != key


def test_a_study_says_why_it_runs_again_on_a_cohort_that_changed(tmp_path, capsys):
    make_cohort(tmp_path / "c", 15, (16, 24, 16))
    tiny = replace(SMALL, arms=("random",), seeds=1, labels=("2",), protocols=("probe",))
    first = run_study(tiny, tmp_path / "s", cohort=tmp_path / "c")
    run_study(tiny, tmp_path / "s", cohort=tmp_path / "c")
    assert "changed since" not in capsys.readouterr().out
    cohort = Cohort.open(tmp_path / "c")
    assert {row["fingerprint"] for row in first.rows} == {cohort.fingerprint}
    mended = replace(cohort.cases[0], sha256={"label": "mended"})
    replace(cohort, cases=(mended, *cohort.cases[1:])).save()
    again = run_study(tiny, tmp_path / "s", cohort=tmp_path / "c")
    assert f"made up changed since it was studied in {tmp_path / 's'}" in capsys.readouterr().out
    assert {row["run"] for row in again.rows}.isdisjoint(row["run"] for row in first.rows)


SCRIPT = """
import sys
from pathlib import Path
import torch
sys.path[:0] = {paths!r}
torch.set_num_threads(1)
from ssl3d_lite.study import run_study
from test_runs import SMALL
run_study(SMALL, Path(sys.argv[1]), cohort=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_study_killed_at_random_moments_ends_with_the_same_numbers(small, scans, tmp_path):
    _, unbroken = small
    here = os.path.dirname(__file__)
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(paths=[here, os.path.join(here, "..", "..")]))
    command = [sys.executable, str(script), str(tmp_path / "out"), str(scans)]
    moments = np.random.default_rng(0).uniform(0.3, 4, 4)
    for moment in moments:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        lock = tmp_path / "out" / LOCK
        while not lock.exists() and process.poll() is None:
            time.sleep(0.05)  # libraries are being imported: to kill that shows nothing
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert same_numbers(table(tmp_path / "out"), table(unbroken))


def same_numbers(a, b):
    """Equal but for the number of threads, which the machine's name tells."""
    return [drop(row) for row in a] == [drop(row) for row in b]


def drop(row):
    return tuple(cell for cell in row if cell[0] != "machine")


# ---- failing -----------------------------------------------------------------------------------


def test_a_training_that_fails_is_a_row_that_says_why_and_the_study_goes_on(scans, tmp_path):
    study = replace(
        SMALL,
        seeds=1,
        arms=("cpc", "scratch"),
        labels=("2",),
        pretrain={"steps": 10, "learning_rate": 1e30, "clip": 0.0},
    )
    results = run_study(study, tmp_path / "out", cohort=scans)
    failed = [row for row in results.rows if row["arm"] == "cpc"]
    made = ["proxy", "finetune", "frozen", "probe", "neighbours"]
    assert [row["protocol"] for row in failed] == made
    assert all("diverged" in row["failure"] and row["score"] is None for row in failed)
    assert all(row["score"] is not None for row in results.rows if row["arm"] == "scratch")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": ("2", "50")}, "50 labelled scans asked for, 9 are there"),
        ({"folds": (0, 7)}, "fold 7 is not in"),
    ],
)
def test_a_cohort_that_cannot_carry_the_study_is_refused_before_any_work(
    scans, tmp_path, changed, said
):
    with pytest.raises(InputError, match=said):
        run_study(replace(SMALL, **changed), tmp_path / "out", cohort=scans)
    assert not (tmp_path / "out" / "encoders").exists()


def test_a_corpus_for_a_study_that_has_none_is_refused(scans, tmp_path):
    with pytest.raises(InputError, match="takes no corpus"):
        run_study(SMALL, tmp_path / "out", cohort=scans, corpus=scans)


def test_a_leaking_cohort_is_refused(scans, tmp_path):
    cohort = make_cohort(tmp_path / "leaky", 15, (16, 24, 16))
    cases = list(cohort.cases)
    cases[2] = replace(cases[2], patient=cases[0].patient)
    replace(cohort, cases=tuple(cases)).save()
    with pytest.raises(InputError, match="leakage: case_000"):
        run_study(SMALL, tmp_path / "out", cohort=tmp_path / "leaky")


# ---- slices and grades -------------------------------------------------------------------------


def test_2d_arms_have_the_same_labels_in_slices(scans, tmp_path):
    study = replace(
        SMALL,
        arms=("2d-cpc", "2d-scratch", "scratch"),
        seeds=1,
        labels=("2",),
        protocols=("finetune",),
    )
    results = run_study(study, tmp_path, cohort=scans)
    flat, solid = Cohort.open(tmp_path / "slices"), Cohort.open(scans)
    assert {row["arm"]: row["scans"] for row in results.rows if row["protocol"] == "finetune"} == {
        **{"2d-cpc": 2, "2d-scratch": 2, "scratch": 2, "place": 2, "2d-place": 2}
    }
    few = flat.subset(flat.split().train, 2, seed=0)
    assert set(flat.scans(few)) == {
        solid.cases[i].id for i in solid.subset(solid.split().train, 2, seed=0)
    }


def test_a_graded_study_reads_kappa_over_its_folds(tmp_path):
    make_graded(tmp_path / "photos", [i % 3 for i in range(30)], edge=16)
    study = replace(
        SMALL,
        arms=("rotation", "scratch", "random"),
        folds=(0, 1),
        seeds=1,
        labels=("50%",),
        tasks={"rotation": {"crop_size": 16}},
    )
    experiment = run_experiment(study, tmp_path / "out", cohort=tmp_path / "photos")
    results = results_of(experiment)
    scored = [row for row in results.rows if row["protocol"] != "proxy"]
    assert {row["measure"] for row in scored} == {"kappa"}
    found = find_examples(experiment)
    row_of_pictures, difference = example_section(experiment, results, found)
    assert isinstance(found, OrdinalExamples)
    assert list(found.grades) == ["scratch", "rotation"]
    assert found.truths[found.shown].tolist() == [0, 1, 2], "a case of each grade"
    right = {arm: int((grades == found.truths).sum()) for arm, grades in found.grades.items()}
    told = ", ".join(f"{arm} {count}" for arm, count in right.items())
    assert f"Of all {len(found.cases)} test cases right: {told}." in row_of_pictures
    for arm, count in right.items():
        (row,) = [row for row in results.of("finetune", arm) if row["fold"] == 0]
        assert row["kappa accuracy"] == pytest.approx(count / len(found.cases))
    assert "rotation against scratch: " in difference
    assert {row["fold"] for row in scored} == {0, 1}
    assert all(-1 <= row["score"] <= 1 for row in scored)
    for arm, said in (("2d-cpc", "2D already"), ("masked@network", "transfer the encoder alone")):
        with pytest.raises(InputError, match=said):
            run_study(replace(study, arms=(arm,)), tmp_path / "b", cohort=tmp_path / "photos")
        assert not (tmp_path / "b" / "encoders").exists()


# ---- elsewhere ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_jobs_side_by_side_give_the_same_numbers(small, scans, tmp_path):
    """Through submitit's local executor: each job is a process of its own."""
    _, here = small
    half = replace(SMALL, seeds=1)
    results = run_study(half, tmp_path, cohort=scans, launch=Launch("local", jobs=2))
    wanted = {row["run"]: row["score"] for row in results.rows}
    there = [row for row in map(dict, table(here)) if row["run"] in wanted]
    assert len(there) == len(results.rows) == 47
    assert sorted(r["score"] for r in there) == sorted(str(r["score"]) for r in results.rows)


@pytest.mark.slow
def test_a_job_that_is_lost_is_given_again(scans, tmp_path, monkeypatch):
    """Its process is killed the first time, as a cluster does that takes a machine away."""
    only = replace(SMALL, arms=("random",), seeds=1, labels=("2",), protocols=("probe",))
    submitted = launching.submit

    def submit_and_lose(executor, remote_jobs):
        tasks = submitted(executor, remote_jobs)
        if not lost:
            lost.extend(tasks)
            tasks[0].cancel(check=False)
        return tasks

    lost = []
    monkeypatch.setattr(launching, "submit", submit_and_lose)
    results = run_study(only, tmp_path, cohort=scans, launch=Launch("local", jobs=1))
    assert len(lost) == 1
    rows = [(row["arm"], row["protocol"]) for row in results.rows]
    assert rows == [(arm, p) for arm in ("place", "random") for p in ("probe", "probe+place")]


@pytest.mark.slow
def test_jobs_that_fail_each_time_are_said_with_their_log(scans, tmp_path):
    broken = replace(SMALL, arms=("random",), seeds=1, labels=("2",), protocols=("probe",))
    write_json(tmp_path / "out" / MARK, {"command": "study"})
    (tmp_path / "out" / "rows").write_text("a file where rows should go")
    with pytest.raises(InputError, match=r"failed 2 times, such as place-fold0-seed0: .*log: "):
        run_study(broken, tmp_path / "out", cohort=scans, launch=Launch("local", jobs=1, tries=2))


def test_a_slurm_array_is_asked_for_as_it_was_set(tmp_path, monkeypatch):
    """No cluster is at hand: submitit writes the script that sbatch would be given."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(
        '#!/bin/sh\ncp "$1" {}\necho Submitted batch job 12\n'.format(tmp_path / "asked")
    )
    sbatch.chmod(0o755)
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    how = Launch(
        "slurm", jobs=3, hours=2, partition="gpu", gpus=1, cpus=6, memory_gb=20, slurm=("qos=long",)
    )
    executor = launching.make_executor(how, tmp_path / "logs", "small")
    remote_jobs = [
        RemoteJob(SMALL, DataFolders(tmp_path), tmp_path, Machine(), job, ()) for job in plan(SMALL)
    ]
    tasks = launching.submit(executor, remote_jobs)
    assert [task.job_id for task in tasks] == [f"12_{n}" for n in range(len(remote_jobs))]
    asked = (tmp_path / "asked").read_text()
    for line in (
        f"--array=0-{len(remote_jobs) - 1}%3",
        "--time=120",
        "--partition=gpu",
        "--gpus-per-node=1",
        "--cpus-per-task=6",
        "--mem=20GB",
        "--qos=long",
        "--job-name=ssl3d-small",
    ):
        assert line in asked


def test_a_job_that_reaches_its_time_limit_asks_for_itself_again(tmp_path):
    job = next(iter(plan(SMALL)))
    work = RemoteJob(SMALL, DataFolders(tmp_path), tmp_path, Machine(), job, ())
    assert work.checkpoint().function is work


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jobs": 0}, "jobs is 0"),
        ({"tries": 0}, "tries is 0"),
        ({"launcher": "slurm", "slurm": ("qos",)}, "name=value"),
        ({"partition": "gpu"}, "partition is for the launcher slurm, not here"),
        ({"jobs": 8}, "jobs is for the launcher local or slurm, not here"),
        ({"launcher": "local", "cpus": 4}, "cpus is for the launcher slurm, not local"),
    ],
)
def test_a_launch_that_means_nothing_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        Launch(**settings)


@pytest.mark.skipif(shutil.which("srun") is not None, reason="this machine has Slurm")
def test_without_slurm_that_is_said(scans, tmp_path):
    machine = Machine(precision="32-true")
    with pytest.raises(InputError, match="launcher slurm: Could not"):
        run_study(SMALL, tmp_path, cohort=scans, machine=machine, launch=Launch("slurm"))


def test_a_launcher_and_several_devices_are_refused_together(scans, tmp_path):
    with pytest.raises(InputError, match="leave devices at 1"):
        run_study(SMALL, tmp_path, cohort=scans, machine=Machine(devices=2), launch=Launch("local"))


TOML = """
title = "On the command line"
arms = ["masked", "scratch@group", "random@group"]
labels = ["2", "4"]
seeds = 1
milestones = [10]
cohort = { recipe = "virtual-hippocampus" }
encoder = { filters = [4, 8], norm = "group" }
tasks.masked.crop_size = 16
pretrain = { steps = 10, batch = 2 }
finetune = { steps = 20, validate_every = 10 }
probe = { draws = 1, voxels = 200 }
"""


def on_the_command_line(folder, scans, *more):
    folder.mkdir()
    (folder / "mine.toml").write_text(TOML)
    command = [
        sys.executable,
        "-m",
        "ssl3d_lite.cli",
        "study",
        "mine.toml",
        "--scale",
        "smoke",
        "--out",
        "out",
    ]
    done = subprocess.run(
        [*command, "--cohort", str(scans), "--device", "cpu", *more],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def commanded(scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("commanded") / "alone"
    return on_the_command_line(folder, scans), folder / "out"


def test_one_command_leaves_results_table_and_report(commanded):
    said, out = commanded
    text = (out / "table.md").read_text()
    assert text in said
    assert "On the command line" in text
    assert "<h1>" in (out / "report.html").read_text()
    assert load_results(out).study.arms == ("masked", "scratch@group", "random@group")


@pytest.mark.slow
def test_on_two_devices_a_study_has_the_same_rows_once(commanded, scans, tmp_path):
    _, alone = commanded
    said = on_the_command_line(tmp_path / "two", scans, "--devices", "2")
    assert said.count("Report: ") == 1
    ours, theirs = (sorted(table(out)) for out in (tmp_path / "two" / "out", alone))
    assert [row[0] for row in ours] == [row[0] for row in theirs]  # the same runs
    for a, b in zip(map(dict, ours), map(dict, theirs), strict=True):
        assert float(a["score"]) == pytest.approx(float(b["score"]), abs=0.03), a


def test_the_command_lists_what_is_shipped_and_names_the_nearest(capsys):
    assert main(["study"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in shipped_studies())
    assert main(["study", "brat"]) == 2
    assert "did you mean 'brats'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tasks": {"cpc": {"patch": 64}}}, "need volumes of 72 voxels"),
        (
            {"encoder": {"filters": [4, 8, 16, 32, 64], "norm": "group"}},
            "5 levels need edges of at least 16",
        ),
        (
            {"encoder": {"filters": [4, 8, 16, 32, 64]}},
            "more than one voxel in the deepest level, or instance norm leaves nothing",
        ),
        ({"arms": ("masked@densenet121",)}, "the levels of a U-Net"),
        ({"arms": ("scratch@densenet121",)}, "densenet121"),
    ],
)
def test_an_arm_that_cannot_work_is_refused_before_any_other_is_trained(
    scans, tmp_path, changed, said
):
    study = replace(SMALL, **{"arms": ("random", "cpc"), **changed})
    with pytest.raises(InputError, match=said):
        run_study(study, tmp_path / "out", cohort=scans)
    assert not (tmp_path / "out" / "encoders").exists()


def test_slurm_needs_to_be_told_the_precision(scans, tmp_path):
    with pytest.raises(InputError, match="give --precision"):
        run_study(SMALL, tmp_path, cohort=scans, launch=Launch("slurm"))
