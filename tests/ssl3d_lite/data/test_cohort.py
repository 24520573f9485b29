import hashlib
import inspect
import json
import time
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import make_cohort, make_graded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ssl3d_lite
from ssl3d_lite.data.case import write_array
from ssl3d_lite.data.cohort import MANIFEST, UNLABELLED, Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import checksum


def test_a_saved_cohort_opens_as_it_was(tmp_path):
    made = make_cohort(tmp_path, 4)
    assert Cohort.open(tmp_path) == made


def test_arrays_are_memory_mapped_and_read_only(tmp_path):
    image, label = make_cohort(tmp_path, 2)[1]
    assert isinstance(image, np.memmap)
    assert isinstance(label, np.memmap)
    assert image.shape == (1, 24, 32, 24)
    assert label.shape == (24, 32, 24)
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0, 0] = 1


def test_batches_from_disk_and_from_the_device_are_equal(tmp_path):
    on_disk = make_cohort(tmp_path, 6, unlabelled=2)
    resident = on_disk.to("cpu")
    assert torch.equal(on_disk.images([4, 0]), resident.images([4, 0]))
    assert torch.equal(on_disk.labels([4, 0]), resident.labels([4, 0]))
    assert on_disk.images([4, 0]).dtype == torch.float32
    assert (on_disk.labels([5]) == UNLABELLED).all()


def test_opening_a_thousand_cases_takes_under_a_second_and_no_array_memory(tmp_path):
    one = make_cohort(tmp_path, 1, shape=(64, 64, 64))
    many = tuple(replace(one.cases[0], id=f"case_{i:04d}") for i in range(1000))
    replace(one, cases=many).save()  # no arrays at all: opening must not look for them
    start = time.perf_counter()
    assert len(Cohort.open(tmp_path)) == 1000
    assert time.perf_counter() - start < 1
    tracemalloc.start()
    Cohort.open(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6, "a manifest of 1000 cases; one of its volumes alone has 0.5 MB"


def test_split_is_fixed_grouped_by_patient_and_covers_all(tmp_path):
    cohort = make_cohort(tmp_path, 40, shape=(4, 4, 4), patients=20, unlabelled=5)
    for fold in range(5):
        split = cohort.split(fold)
        sides = (split.train, split.validation, split.test)
        assert sorted(i for side in sides for i in side) == [
            i for i, case in enumerate(cohort.cases) if case.labelled
        ]
        patients = [{cohort.cases[i].patient for i in side} for side in sides]
        assert not patients[0] & patients[1]
        assert not patients[0] & patients[2]
        assert not patients[1] & patients[2]


def test_fault_14_pretraining_sees_no_validation_and_no_test_case(tmp_path):
    cohort = make_cohort(tmp_path, 40, shape=(4, 4, 4), unlabelled=5)
    split = cohort.split(2)
    assert not set(split.pretrain) & {*split.test, *split.validation}
    assert set(split.pretrain) == {*split.train, *range(35, 40)}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), percents=st.lists(st.floats(1, 100), min_size=2, max_size=5))
def test_fault_14_label_fractions_are_nested_and_the_test_set_never_moves(cohort, seed, percents):
    before = cohort.split()
    drawn = [cohort.subset(before.train, f"{f}%", seed) for f in sorted(percents)]
    for small, large in pairwise(drawn):
        assert large[: len(small)] == small
        assert set(large) <= set(before.train)
    assert cohort.split() == before


def test_subsets_differ_by_seed_and_are_the_same_again(cohort):
    train = cohort.split().train
    assert cohort.subset(train, 4, 0) == cohort.subset(train, 4, 0)
    assert len({cohort.subset(train, 4, seed) for seed in range(10)}) > 1
    assert cohort.subset(train, len(train), 3) != train
    assert sorted(cohort.subset(train, "100%", 3)) == sorted(train)


def test_a_subset_takes_a_patients_scans_together(tmp_path):
    cohort = make_cohort(tmp_path, 30, shape=(4, 4, 4), patients=15)
    chosen = cohort.subset(cohort.split().train, 4, 1)
    assert len({cohort.cases[i].patient for i in chosen}) == 2


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (0, "0 labelled"),
        ("0", "0 labelled"),
        (99, "99 labelled"),
        ("0%", "above 0%"),
        ("101%", "100% at most"),
        ("five", r'labels \'five\': give a number of scans \(12\) or a share \("5%"\)'),
        (1.0, r'labels 1.0: give a number of scans \(12\) or a share \("5%"\)'),
        (0.05, r'labels 0.05: give a number of scans \(12\) or a share \("5%"\)'),
        (True, "labels True: give a number"),
    ],
)
def test_labels_that_are_not_there_or_could_mean_two_things_are_refused(cohort, labels, said):
    with pytest.raises(InputError, match=said):
        cohort.subset(cohort.split().train, labels)


def test_one_scan_and_all_scans_cannot_be_confused(cohort):
    train = cohort.split().train
    assert len(cohort.subset(train, 1)) == len(cohort.subset(train, "1")) == 1
    assert len(cohort.subset(train, "100%")) == len(train)
    assert cohort.subset(train, np.int64(2)) == cohort.subset(train, 2)


def test_regions_in_classes(tmp_path):
    made = replace(make_cohort(tmp_path, 1), label_values=(0, 2, 4), regions={"all": (4, 2)})
    assert made.region_classes == {"all": (2, 1)}


def test_a_missing_cohort_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"cohort\.json is missing"):
        Cohort.open(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 99}', '{"format": 1, "name": "x"}', '{"format": 1, "cases": 3}'],
)
def test_a_broken_manifest_is_one_clear_line(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=r"cohort\.json") as fault:
        Cohort.open(tmp_path)
    assert "\n" not in str(fault.value)


def test_a_manifest_with_an_unknown_field_is_refused(tmp_path):
    make_cohort(tmp_path, 1)
    record = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(record | {"lables": 1}))
    with pytest.raises(InputError, match="lables"):
        Cohort.open(tmp_path)


def test_a_broken_array_is_one_clear_line(tmp_path):
    cohort = make_cohort(tmp_path, 2)
    path = tmp_path / "images" / "case_000.npy"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"case_000\.npy"):
        cohort[0]
    np.save(path, np.zeros((1, 2, 2, 2), np.float16))
    with pytest.raises(InputError, match=r"has shape \(1, 2, 2, 2\), the manifest says"):
        cohort[0]


def test_no_pickle_is_ever_loaded(tmp_path):
    cohort = make_cohort(tmp_path, 1)
    np.save(tmp_path / "images" / "case_000.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"case_000\.npy cannot be read"):
        cohort[0]


def test_cases_of_different_shape_cannot_stand_in_a_batch(tmp_path):
    cohort = make_cohort(tmp_path, 2)
    ragged = replace(cohort, cases=(cohort.cases[0], replace(cohort.cases[1], shape=(2, 2, 2))))
    with pytest.raises(InputError, match="2 shapes"):
        ragged.images([0, 1])


def test_a_split_needs_three_folds(tmp_path):
    cohort = make_cohort(tmp_path, 2)
    with pytest.raises(
        InputError, match="has 2 folds, and a split needs 3: label scans of 3 patients"
    ):
        cohort.split()


def test_an_unknown_fold_is_refused(cohort):
    with pytest.raises(InputError, match="fold 7"):
        cohort.split(7)


# ---- grades in place of maps ---------------------------------------------------------------------


def test_a_graded_case_has_one_class(tmp_path):
    cohort = make_graded(tmp_path, [2, 0, None])
    label = cohort[0][1]
    assert (label.dtype, label.shape, int(label)) == (np.uint8, (), 2)
    assert cohort[2][1] is None
    labels = cohort.labels([2, 0, 1])
    assert (labels.dtype, labels.tolist()) == (torch.uint8, [UNLABELLED, 2, 0])
    assert cohort.images([0, 1]).shape == (2, 3, 8, 8)


def test_grades_survive_the_disk_and_the_device(tmp_path):
    made = make_graded(tmp_path, [2, 0, None, 1])
    cohort = Cohort.open(tmp_path)
    assert cohort == made
    assert (cohort.ordinal, cohort.unit) == (True, "px")
    assert cohort.to("cpu").labels([3, 2]).tolist() == [1, UNLABELLED]


def test_a_manifest_of_before_grades_is_read(tmp_path):
    make_cohort(tmp_path, 3)
    path = tmp_path / "cohort.json"
    record = json.loads(path.read_text())
    for name in ("graded", "unit"):
        del record[name]
    for case in record["cases"]:
        del case["grade"], case["sha256"]
    path.write_text(json.dumps(record))
    cohort = Cohort.open(tmp_path)
    assert (cohort.ordinal, cohort.unit, cohort.cases[0].sha256) == (False, "mm", {})


def test_nothing_is_held_out_of_a_cohort_without_labels(tmp_path):
    cohort = make_cohort(tmp_path, 4, unlabelled=4)
    split = cohort.split()
    assert (split.train, split.validation, split.test) == ((), (), ())
    assert split.pretrain == (0, 1, 2, 3)


def test_an_array_tells_its_checksum(tmp_path):
    path = tmp_path / "a.npy"
    told = write_array(path, np.arange(5))
    assert told == hashlib.sha256(path.read_bytes()).hexdigest() == checksum(path)


# ---- what is taken for a cohort ----------------------------------------------------------------


def marked():
    """The functions of the doors that take a cohort, by name."""
    doors = (ssl3d_lite, ssl3d_lite.evaluation, ssl3d_lite.training, ssl3d_lite.models)
    offered = {name: getattr(door, name) for door in doors for name in door.__all__}
    return {name: each for name, each in offered.items() if wants_cohort(each)}


def wants_cohort(offered):
    if not inspect.isfunction(offered):
        return False
    taken = inspect.signature(offered).parameters.get("cohort")
    return taken is not None and "Cohort" in str(taken.annotation)


@pytest.mark.parametrize("name", sorted(marked()))
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cohorts/mine", "cohort is the path 'cohorts/mine': open it, by Cohort.open"),
        (None, "cohort is None, but must be a cohort, as open_cohort"),
        (3, "cohort is of type int, but must be a cohort"),
    ],
)
def test_whoever_takes_a_cohort_says_in_one_line_that_something_else_is_none(name, given, said):
    function = marked()[name]
    others = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    arguments = {each.name: None for each in others} | {"cohort": given}
    with pytest.raises(InputError) as error:
        function(**arguments)
    assert str(error.value).startswith(said)


def test_an_encoder_is_not_made_for_a_path():
    with pytest.raises(InputError, match="what an encoder is made for is the path 'mine'"):
        ssl3d_lite.make_encoder("mine")
