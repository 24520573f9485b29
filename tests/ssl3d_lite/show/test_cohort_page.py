"""The page about a cohort: every number counted, every picture there, nothing taken on trust."""

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import make_cohort, make_graded

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import as_colours
from ssl3d_lite.show.cohort_page import (
    CohortPage,
    cohort_facts,
    fold_table,
    label_table,
    spread_cases,
    write_cohort_page,
)
from ssl3d_lite.show.figures.contact_sheet import (
    contact_sheet,
    grade_counts,
    intensities,
    mean_voxel,
)


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    made = make_cohort(tmp_path / "cohort", 15, (12, 16, 10), channels=2, unlabelled=3)
    return replace(made, description="Blobs & <b>noise</b>.")


def text_of(path: Path) -> str:
    page = re.sub(r"<img [^>]*>|<style>.*?</style>", "", path.read_text(), flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


# ---- the page ----------------------------------------------------------------------------------


def test_the_page_says_what_is_in_the_cohort(cohort):
    rejected = {"case": "case_099", "reason": "t1 & t2 missing"}
    replace(cohort, rejected=(rejected,)).save()
    path = write_cohort_page(CohortPage(cohort=cohort.folder, cases=4))
    assert path == cohort.folder / "cohort.html"
    text = text_of(path)
    assert "15 cases of 15 patients, 12 with a label; 1 raw cases were rejected." in text
    assert "12 × 16 × 10 voxels of 1 × 1 × 1 mm; channels: channel 0, channel 1." in text
    assert text.index("cases, spread evenly") < text.index("15 cases of 15"), "pictures come first"
    assert "t1 & t2 missing" in text
    assert "Blobs & <b>noise</b>." in text
    assert "<b>" not in path.read_text()  # names of a data set are no HTML
    assert path.read_text().count('src="data:image/png;base64,') == 2
    assert "http" not in path.read_text()


def test_a_graded_cohort_has_its_own_page(tmp_path):
    cohort = make_graded(tmp_path / "eyes", [0, 0, 1, 1, 2, 2, 0, 1, 2, 0, None, None])
    text = text_of(write_cohort_page(CohortPage(cohort=cohort.folder, out=tmp_path / "page.html")))
    assert "12 cases of 12 patients, 10 with a label" in text
    assert "8 × 8 pixels, each 1 × 1 of the raw picture's; channels: red, green, blue." in text
    assert "Cases by grade and fold." in text


def test_slices_have_a_page(tmp_path):
    flat = make_cohort(tmp_path / "flat", 7, (8, 12))
    text = text_of(write_cohort_page(CohortPage(cohort=flat.folder)))
    assert "7 cases, spread evenly over the cohort." in text


def test_an_unlabelled_cohort_has_a_page(tmp_path):
    made = make_cohort(tmp_path / "plain", 4, (8, 12, 8), unlabelled=4)
    assert "No case has a label." in text_of(write_cohort_page(CohortPage(cohort=made.folder)))


def test_the_table_of_labels_counts_them(tmp_path):
    made = make_cohort(tmp_path / "cohort", 3, (10, 10, 10))
    affine = np.diag([1.0, 2.0, 5.0, 1.0]).tolist()  # 10 mm³ a voxel
    cases = tuple(replace(case, affine=affine, lost=index) for index, case in enumerate(made.cases))
    made = replace(made, cases=cases)
    for number, name in zip((100, 200, 300), ("case_000", "case_001", "case_002"), strict=True):
        label = np.zeros(1000, np.uint8)
        label[:number] = 1
        write_array(array_path(made.folder, "labels", name), label.reshape(10, 10, 10))
    header, rows = label_table(made, [0, 1, 2])
    assert header[-1] == "median size, ml (smallest–largest)"
    assert rows == [
        ["front", "1", "3 of 3", "2 (1–3)"],
        ["back", "2", "0 of 3", ""],
        ["cut off", "", "", "3 raw voxels"],
    ]


def test_the_table_of_folds_counts_them(cohort):
    _, rows = fold_table(cohort)
    assert rows[0] == ["0", "3", "3", "3"]
    assert rows[-1] == ["none: pretraining only", "3", "3", "0"]
    assert sum(int(row[1]) for row in rows) == len(cohort)


def test_cases_of_many_shapes_are_said(cohort):
    other = replace(cohort.cases[0], shape=(9, 9, 9))
    line = cohort_facts(replace(cohort, cases=(other, *cohort.cases[1:])))[1]
    assert line.startswith("12 × 16 × 10, 9 × 9 × 9 voxels of 1 × 1 × 1 mm on average")


@pytest.mark.parametrize(("most", "places"), [(1, [0]), (3, [0, 7, 14]), (99, list(range(15)))])
def test_cases_are_spread_evenly(cohort, most, places):
    assert spread_cases(cohort, most) == places


def test_graded_cases_are_spread_over_the_grades(tmp_path):
    cohort = make_graded(tmp_path, [2, 0, 0, 0, 0, 1, 0, 0, None])
    shown = [cohort.cases[i].grade for i in spread_cases(cohort, 9)]
    assert shown == [0, 0, 0, 0, 0, 0, 1, 2, None]


# ---- pictures ----------------------------------------------------------------------------------


def test_planes_go_through_the_middle_of_the_label():
    label = np.zeros((9, 9, 9))
    label[2:5, 6, 1:4] = 1
    assert mean_voxel(label) == [3, 6, 2]


def test_a_volume_is_a_strip_of_planes(cohort):
    figure = contact_sheet(cohort, [0, 1, 14])
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 3 * 4  # three planes of one channel, one of the other
    sagittal, coronal, axial, other = (axes.images[0].get_array() for axes in drawn[:4])
    image, label = cohort[0]
    x, y, z = mean_voxel(label)
    assert np.array_equal(sagittal, image[0, x].T.astype(np.float32))
    assert np.array_equal(coronal, image[0, :, y].T.astype(np.float32))
    assert np.array_equal(axial, image[0, :, :, z].T.astype(np.float32))
    assert np.array_equal(other, image[1, :, :, z].T.astype(np.float32))


def test_labels_are_outlined_and_what_has_none_is_not(cohort):
    outlined = contact_sheet(cohort, [0]).axes[0].collections
    assert len(outlined) == len(np.unique(cohort[0][1][mean_voxel(cohort[0][1])[0]])) - 1 > 0
    assert not contact_sheet(cohort, [14]).axes[0].collections


def test_voxels_keep_their_proportions(cohort):
    flat = replace(cohort.cases[0], affine=np.diag([1.0, 1.0, 4.0, 1.0]).tolist())
    figure = contact_sheet(replace(cohort, cases=(flat,)), [0])
    assert [axes.get_aspect() for axes in figure.axes[:3]] == [4, 4, 1]


def test_a_photograph_is_drawn_in_its_colours_and_upright(tmp_path):
    cohort = make_graded(tmp_path, [0, None])
    image = np.zeros((3, 8, 8), np.float16)
    image[0, 7, 7] = 1  # red, at the right end and at the top
    write_array(array_path(tmp_path, "images", "case_000"), image)
    axes = contact_sheet(cohort, [0, 1]).axes[0]
    assert axes.images[0].origin == "lower"
    assert axes.images[0].get_array()[7, 7].tolist() == [1, 0, 0]
    assert axes.get_title() == "case_000\nnone"
    assert contact_sheet(cohort, [0, 1]).axes[1].get_title() == "case_001\nno grade"


def test_colours_scaled_otherwise_are_brought_into_range():
    picture = as_colours(np.random.default_rng(0).normal(0, 1, (3, 20, 20)))
    assert (picture.min(), picture.max()) == (0, 1)


def test_intensities_are_shares_of_voxels(cohort):
    axes = intensities(cohort, [0, 1, 2]).axes[0]
    assert len(axes.lines) == 3 + 1
    assert all(line.get_ydata().sum() == pytest.approx(1) for line in axes.lines)


def test_grades_are_counted_by_fold(tmp_path):
    cohort = make_graded(tmp_path, [0, 0, 1, 1, 2, 2, 0, 1, 2, 0, None])
    heights = [
        [bar.get_height() for bar in bars] for bars in grade_counts(cohort).axes[0].containers
    ]
    assert heights == [[1, 0, 1], [2, 0, 0], [0, 2, 0], [0, 1, 1], [1, 0, 1]]


def test_grades_in_no_fold_are_counted_too(tmp_path):
    cohort = make_graded(tmp_path, [0, 1])
    cases = tuple(replace(case, fold=None) for case in cohort.cases)
    (axes,) = grade_counts(replace(cohort, cases=cases)).axes
    assert [bar.get_height() for bar in axes.containers[0]] == [1, 1, 0]
    assert axes.get_legend().get_texts()[0].get_text() == "no fold"


# ---- the command -------------------------------------------------------------------------------


def test_the_command(cohort, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["show", str(cohort.folder), "--cases", "2", "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"page: {page}\n"
    assert page.stat().st_size > 10_000


def test_a_missing_cohort_is_one_line(capsys):
    assert main(["show", "nowhere"]) == 2
    error = capsys.readouterr().err
    assert "no cohort in nowhere" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("cases", [0, -1, 2.5, "all"])
def test_a_page_shows_a_whole_number_of_cases(cohort, cases):
    with pytest.raises(InputError, match="cases is "):
        CohortPage(cohort=cohort.folder, cases=cases)


def test_a_broken_array_is_named(cohort):
    array_path(cohort.folder, "images", "case_000").write_bytes(b"")
    with pytest.raises(InputError, match=r"case_000\.npy cannot be read"):
        write_cohort_page(CohortPage(cohort=cohort.folder))
