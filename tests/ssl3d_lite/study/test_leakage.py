"""Leakage planted in a split is caught, under whatever name a scan comes back."""

from dataclasses import replace

import pytest
from helpers import make_cohort

from ssl3d_lite.data.case import Source
from ssl3d_lite.errors import InputError
from ssl3d_lite.study.leakage import check_leakage


@pytest.fixture
def sound(tmp_path):
    """15 scans of 15 patients in 5 folds, each with checksums of its own; three without labels."""
    cohort = make_cohort(tmp_path / "cohort", 15, (8, 8, 8), unlabelled=3)
    cases = [
        replace(
            case,
            sha256={"image": f"image {case.id}", "label": "same"},
            source=Source({}, {"mri": f"raw {case.id}", "label": "same"}, case.shape, case.affine),
        )
        for case in cohort.cases
    ]
    return replace(cohort, cases=tuple(cases))


def planted(cohort, place, **changed):
    cases = list(cohort.cases)
    cases[place] = replace(cases[place], **changed)
    return replace(cohort, cases=tuple(cases))


def test_a_sound_cohort_passes_although_its_empty_labels_are_alike(sound):
    for fold in range(5):
        check_leakage(sound, sound.split(fold), corpus=renamed(sound))


def renamed(cohort):
    """Another data set whose patients happen to bear the same names."""
    cases = [
        replace(
            case,
            sha256={"image": f"other {case.id}"},
            source=replace(case.source, sha256={"mri": f"other {case.id}"}),
        )
        for case in cohort.cases
    ]
    return replace(cohort, name="corpus", cases=tuple(cases))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda test: {"patient": test.patient}, "same patient"),
        (lambda test: {"sha256": test.sha256}, "same picture, voxel for voxel"),
        (lambda test: {"source": test.source}, "same raw file"),
    ],
)
@pytest.mark.parametrize("place", [2, 14], ids=["a training case", "an unlabelled case"])
@pytest.mark.parametrize("held_out", [0, 1], ids=["test", "validation"])
def test_a_held_out_scan_among_those_trained_on_is_caught(sound, what, said, place, held_out):
    leaky = planted(sound, place, **what(sound.cases[held_out]))
    with pytest.raises(InputError, match=said) as refusal:
        check_leakage(leaky, leaky.split(0))
    assert sound.cases[held_out].id in str(refusal.value)
    assert sound.cases[place].id in str(refusal.value)


def test_a_test_scan_by_which_the_checkpoint_is_chosen_is_caught(sound):
    leaky = planted(sound, 1, patient=sound.cases[0].patient)
    with pytest.raises(InputError, match="same patient"):
        check_leakage(leaky, leaky.split(0))


@pytest.mark.parametrize("held_out", [0, 1], ids=["test", "validation"])
def test_fault_14_pretraining_must_not_see_a_held_out_scan_in_another_data_set(sound, held_out):
    """Under another name, and prepared otherwise: its raw file gives it away."""
    corpus = planted(renamed(sound), 7, source=sound.cases[held_out].source)
    with pytest.raises(InputError, match=r"corpus that are trained on.* \(same raw file\)"):
        check_leakage(sound, sound.split(0), corpus)
    check_leakage(sound, sound.split(2), corpus)  # there the scan is one to train on


def test_slices_without_anything_in_them_may_be_alike(sound):
    slices = [
        replace(case, slice_of=case.id, sha256={"image": "black"}, source=case.source)
        for case in sound.cases
    ]
    check_leakage(replace(sound, cases=tuple(slices)), sound.split(0))
