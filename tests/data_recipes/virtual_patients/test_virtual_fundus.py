"""The virtual eyes: anatomy in place, lesions as the scale counts them, and no other trace."""

import functools
from collections import Counter

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from data_recipes.preparing.photographs import GRADES
from data_recipes.virtual_patients.eye import (
    VESSEL_STEP,
    Aperture,
    View,
    discs,
    draw_aperture,
    retina_field,
)
from data_recipes.virtual_patients.fundus import APTOS_COUNTS, draw_grade, fundus_case, look
from data_recipes.virtual_patients.retinopathy import (
    FINDINGS,
    LESION_KINDS,
    QUADRANTS,
    Lesion,
    grade_of,
    quadrant_of,
)
from ssl3d_lite.errors import InputError

EDGE = 192
SIDES = ("right", "left")

case = functools.cache(fundus_case)


def set_up(index, edge=EDGE, eye="right"):
    """How case (0, index) looks at its eye: the view, the anatomy and the vessels."""
    return look(0, index, edge, eye)[1:]


def around(view, x, y, inner, outer):
    """The pixels from ``inner`` to ``outer`` mm from a point."""
    columns, rows = view.axes()
    distance = np.hypot(columns - x, rows[:, None] - y)
    return (inner <= distance) & (distance < outer)


def lesions_of(counts):
    """Lesions by (kind, quadrant)."""
    return [Lesion(k, 0, 0, 1, q) for (k, q), n in counts.items() for _ in range(n)]


# ---- one picture ---------------------------------------------------------------------------------


@pytest.mark.parametrize("grade", range(5))
def test_a_case_depends_on_its_arguments_alone(grade):
    picture, lesions = fundus_case(3, 7, grade, 160)
    np.random.default_rng(0).random()
    again, same = fundus_case(3, 7, grade, 160)
    assert picture.tobytes() == again.tobytes()
    assert lesions == same
    for other in (fundus_case(4, 7, grade, 160), fundus_case(3, 8, grade, 160)):
        assert other[0].shape != picture.shape or not np.array_equal(other[0], picture)


@pytest.mark.parametrize("index", range(6))
def test_shape_and_type(index):
    picture, lesions = case(0, index, 0, EDGE)
    view = set_up(index)[0]
    assert picture.dtype == np.uint8
    assert picture.shape == (EDGE, round(EDGE * view.frame.aspect), 3)
    assert lesions == ()


@pytest.mark.parametrize("eye", SIDES)
@pytest.mark.parametrize("index", range(6))
def test_it_is_black_outside_the_round_aperture_and_lit_within(index, eye):
    picture, _ = case(0, index, 0, EDGE, eye)
    view = set_up(index, eye=eye)[0]
    row, column = view.pixel(view.x, view.y)
    rows, columns = np.indices(picture.shape[:2])
    distance = np.hypot(rows - row, columns - column)
    radius = view.frame.diameter * EDGE / 2
    assert not picture[distance > radius + 0.5].any()
    assert (picture[distance < radius - 2].max(axis=1) > 30).all()


def test_frames_differ_as_in_aptos():
    frames = [draw_aperture(np.random.default_rng(i)) for i in range(300)]
    cut = np.mean([f.diameter > 1.05 for f in frames])
    tight = np.mean([f.aspect < 1.1 for f in frames])
    assert 0.25 < cut < 0.45
    assert 0.15 < tight < 0.35
    assert all(abs(f.row) < 0.05 and abs(f.column) < 0.05 for f in frames)


def test_a_given_frame_is_kept():
    frame = Aperture(aspect=1.5, diameter=0.8, row=0.05, column=-0.2)
    picture, _ = fundus_case(0, 1, 0, 200, frame=frame)
    lit_rows, lit_columns = np.nonzero(picture.any(axis=2))
    assert picture.shape == (200, 300, 3)
    for lit, size, shift in ((lit_rows, 200, 10), (lit_columns, 300, -40)):
        assert abs((lit.min() + lit.max()) / 2 - ((size - 1) / 2 + shift)) <= 1
        assert abs(np.ptp(lit) + 1 - 160) <= 2


@pytest.mark.parametrize("index", range(4))
def test_one_eye_is_the_same_at_every_edge(index):
    fine, fine_lesions = case(0, index, 2, 448)
    coarse, lesions = case(0, index, 2, 224)
    rows, columns = 224, min(fine.shape[1] // 2, coarse.shape[1])
    halved = fine[:, : 2 * columns].reshape(rows, 2, columns, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(halved.ravel(), coarse[:, :columns].ravel())[0, 1] > 0.99
    assert [x.kind for x in fine_lesions] == [x.kind for x in lesions]
    np.testing.assert_allclose(
        [(x.row + 0.5, x.radius) for x in fine_lesions],
        [(2 * x.row + 1, 2 * x.radius) for x in lesions],
    )


def test_a_field_belongs_to_the_retina_and_has_variance_1():
    frame = Aperture(1.0, 1.0)
    views = [View(frame, edge, 1, 1.0, 0.0, 6.5) for edge in (81, 27)]
    fine, coarse = (retina_field(np.random.default_rng(1), view, 2.0) for view in views)
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=1e-4)
    small = View(frame, 9, 1, 0.0, 0.0, 6.5)
    draws = np.stack([retina_field(np.random.default_rng(i), small, 1.0) for i in range(500)])
    assert abs(draws.mean()) < 0.05
    assert 0.7 < draws.var() < 1.3


# ---- anatomy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("eye", SIDES)
@pytest.mark.parametrize("index", range(6))
def test_the_disc_is_the_brightest_and_on_the_side_of_the_nose(index, eye):
    picture, _ = case(0, index, 0, EDGE, eye)
    view, anatomy, _ = set_up(index, eye=eye)
    row, column = view.pixel(*anatomy.disc)
    middle = view.pixel(view.x, view.y)[1]
    assert column > middle if eye == "right" else column < middle
    green = ndimage.uniform_filter(picture[..., 1].astype(float), round(0.8 * view.scale))
    inner = around(view, view.x, view.y, 0, view.reach - 0.8)  # the rim may have stray light
    brightest = np.unravel_index(np.where(inner, green, 0).argmax(), green.shape)
    assert np.hypot(brightest[0] - row, brightest[1] - column) < 0.8 * view.scale  # within it


@pytest.mark.parametrize("index", range(8))
def test_disc_and_fovea_are_where_and_as_large_as_in_textbooks(index):
    view, anatomy, _ = set_up(index)
    x, y = anatomy.disc
    assert 4.0 < np.hypot(x, y) < 5.0  # mm: 15 degrees
    assert y < 0  # the fovea lies a little lower
    assert 1 / 8.5 < anatomy.radii[0] / view.reach < 1 / 6.4
    assert view.shows(x, y, 0.5)
    assert view.shows(0, 0, 1.5)


@pytest.mark.parametrize("eye", SIDES)
@pytest.mark.parametrize("index", range(6))
def test_the_macula_is_darker_than_its_surround(index, eye):
    picture, _ = case(0, index, 0, EDGE, eye)
    view = set_up(index, eye=eye)[0]
    pit, surround = around(view, 0, 0, 0.1, 0.4), around(view, 0, 0, 1.4, 2.2)
    assert np.median(picture[pit], axis=0)[1] < 0.85 * np.median(picture[surround], axis=0)[1]


@pytest.mark.parametrize("index", range(12))
def test_no_vessel_crosses_the_fovea(index):
    _, anatomy, vessels = set_up(index)
    assert all(np.hypot(*v.points.T).min() >= anatomy.avascular for v in vessels)


@pytest.mark.parametrize("index", range(12))
def test_four_arcades_of_either_kind_leave_the_disc(index):
    _, anatomy, vessels = set_up(index)
    for vein in (True, False):
        starts = Counter()
        for v in vessels:
            if v.vein == vein and v.radii[0] > 0.03 and len(v.points) > 12:
                near = np.hypot(*(v.points[0] - anatomy.disc)) < 0.6
                out = v.points - anatomy.disc
                starts[quadrant_of(out[-1, 0], out[12, 1])] += near  # up or down first, then out
        assert all(starts[q] >= 1 for q in QUADRANTS)


@pytest.mark.parametrize("index", range(6))
def test_arcades_arch_around_the_macula(index):
    _, _, vessels = set_up(index)
    for vein, least in ((True, 0.022), (False, 0.018)):
        points = np.concatenate([v.points[v.radii > least] for v in vessels if v.vein == vein])
        over = points[np.abs(points[:, 0]) < 1]  # above and below the fovea
        assert over[:, 1].min() < -1.5
        assert over[:, 1].max() > 1.5


@pytest.mark.parametrize("index", range(6))
def test_vessels_taper_bend_and_obey_murray(index):
    _, _, vessels = set_up(index)
    widest = {vein: max(v.radii.max() for v in vessels if v.vein == vein) for vein in (True, False)}
    assert 1.1 < widest[True] / widest[False] < 1.9
    for v in vessels:
        np.testing.assert_allclose(np.hypot(*np.diff(v.points, axis=0).T), VESSEL_STEP)
        assert (np.diff(v.radii) <= 0).all()
    long = [v.points for v in vessels if len(v.points) > 60]
    straight = [np.hypot(*(p[-1] - p[0])) / (VESSEL_STEP * (len(p) - 1)) for p in long]
    assert max(straight) < 0.999
    assert np.median(straight) > 0.75  # sway, not knots


def test_a_branching_keeps_the_cubes_of_the_radii():
    _, _, vessels = set_up(0)
    trunk = max(vessels, key=lambda v: v.radii.max())
    drops = []
    for v in vessels:
        if v is not trunk and v.vein == trunk.vein:
            gap = np.hypot(*(trunk.points - v.points[0]).T)
            i = int(gap.argmin())
            if gap[i] == 0 and 2 < i < len(trunk.points) - 20 and len(v.points) > 20:
                drops.append((trunk.radii[i - 1] ** 3, trunk.radii[i] ** 3 + v.radii[0] ** 3))
    assert len(drops) >= 3
    before, after = np.array(drops).T
    np.testing.assert_allclose(after, before, rtol=0.02)  # a step's taper


def test_a_disc_of_blood_has_its_area_and_depth():
    view = View(Aperture(1.0, 1.0), 101, 1, 0.0, 0.0, 6.5)
    centre = np.zeros(1)
    wide = discs(view, centre, centre, np.array([10 / view.scale]), np.ones(1))
    assert wide.max() == 1
    np.testing.assert_array_equal(wide, wide.T)
    assert abs((wide > 0.3).sum() - np.pi * 100) < 20
    thin = discs(view, centre, centre, np.array([0.2 / view.scale]), np.ones(1))
    assert 0 < thin.max() < 0.5  # it covers only a part of its pixel


def test_two_eyes_of_a_person_share_pigment_and_differ_in_anatomy():
    for index in range(6):
        right, left = (case(0, index, 0, EDGE, eye)[0] for eye in SIDES)
        assert right.shape == left.shape
        tints = [p[p.max(axis=2) > 30].mean(axis=0) for p in (right, left)]
        np.testing.assert_allclose(*tints, rtol=0.2)
        assert set_up(index)[1] != set_up(index, eye="left")[1]
        assert not np.array_equal(right, left[:, ::-1])


# ---- grades --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grade", range(5))
def test_the_lesions_say_the_grade(grade):
    for index in range(16):
        _, lesions = case(1, index, grade, 128, SIDES[index % 2])
        assert grade_of(lesions) == grade


@pytest.mark.parametrize(
    ("counts", "grade"),
    [
        ({}, 0),
        ({("microaneurysm", QUADRANTS[0]): 1}, 1),
        ({("microaneurysm", QUADRANTS[0]): 99}, 1),
        ({("exudate", QUADRANTS[0]): 1}, 2),
        ({("haemorrhage", q): 20 for q in QUADRANTS}, 2),
        ({("haemorrhage", q): 21 for q in QUADRANTS}, 3),
        ({("haemorrhage", q): 99 for q in QUADRANTS[:3]}, 2),
        ({("venous beading", QUADRANTS[0]): 3}, 2),
        ({("venous beading", q): 1 for q in QUADRANTS[:2]}, 3),
        ({("IRMA", QUADRANTS[2]): 1}, 3),
        ({("new vessels", QUADRANTS[1]): 1}, 4),
        ({("preretinal haemorrhage", QUADRANTS[1]): 1}, 4),
        ({("vitreous haemorrhage", QUADRANTS[1]): 1}, 4),
    ],
)
def test_the_scale(counts, grade):
    assert grade_of(lesions_of(counts)) == grade


def test_quadrants():
    corners = [(-1, -1), (1, -1), (-1, 1), (1, 1)]
    assert [quadrant_of(x, y) for x, y in corners] == list(QUADRANTS)


def test_the_table_of_findings_covers_all_grades_and_each_adds_up_to_1():
    for grade in range(len(GRADES)):
        assert np.isclose(sum(f.share for f in FINDINGS if f.grade == grade), 1)


def test_microaneurysms_are_smaller_than_an_eighth_of_a_millimetre_and_alone_in_grade_1():
    for index in range(12):
        view = set_up(index)[0]
        _, lesions = case(0, index, 1, EDGE)
        assert 1 <= len(lesions) <= 6
        assert {x.kind for x in lesions} == {"microaneurysm"}
        assert all(2 * x.radius / view.scale < 0.125 for x in lesions)


def test_every_kind_of_lesion_occurs():
    kinds = {
        x.kind for g in range(5) for i in range(16) for x in case(1, i, g, 128, SIDES[i % 2])[1]
    }
    assert kinds == set(LESION_KINDS.values())


@pytest.mark.parametrize("grade", range(1, 5))
def test_lesions_lie_whole_in_the_aperture_and_the_picture(grade):
    for index in range(4):
        for eye in SIDES:
            picture, lesions = case(0, index, grade, EDGE, eye)
            view = set_up(index, eye=eye)[0]
            row, column = view.pixel(view.x, view.y)
            for x in lesions:
                for at, size in ((x.row, picture.shape[0]), (x.column, picture.shape[1])):
                    assert x.radius <= at <= size - 1 - x.radius
                away = np.hypot(x.row - row, x.column - column)
                assert away + x.radius < view.frame.diameter * EDGE / 2


@pytest.mark.parametrize("grade", range(1, 5))
def test_lesions_are_seen_where_the_list_says(grade):
    for index in range(3):
        healthy = case(0, index, 0, 320)[0].astype(int)
        picture, lesions = case(0, index, grade, 320)
        changed = np.abs(picture - healthy).max(axis=2)
        for x in lesions:
            rows, columns = np.ogrid[: changed.shape[0], : changed.shape[1]]
            within = np.hypot(rows - x.row, columns - x.column) < max(x.radius, 1)
            assert changed[within].max() >= 10, x


@pytest.mark.parametrize("grade", [2, 3, 4])
def test_lesions_have_their_colours(grade):
    for index in range(3):
        healthy = case(0, index, 0, 320)[0].astype(int)
        picture, lesions = case(0, index, grade, 320)
        change = picture.astype(int) - healthy
        for x in lesions:
            row, column = round(x.row), round(x.column)
            green = change[row, column, 1]
            if x.kind in ("microaneurysm", "haemorrhage"):
                assert green < 0
            if x.kind in ("exudate", "cotton-wool spot"):
                assert green > 0


@pytest.mark.parametrize("eye", SIDES)
def test_nothing_but_lesions_tells_the_grade(eye):
    for index in range(3):
        healthy, _ = case(0, index, 0, EDGE, eye)
        for grade in range(1, 5):
            picture, lesions = case(0, index, grade, EDGE, eye)
            assert picture.shape == healthy.shape
            rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
            far = np.ones(picture.shape[:2], bool)
            for x in lesions:
                # the camera's blur ends after 4 pixels
                far &= np.hypot(rows - x.row, columns - x.column) > x.radius + 4
            np.testing.assert_array_equal(picture[far], healthy[far])
            assert far.mean() > 0.2


def test_lesions_keep_apart_and_small_ones_off_thick_vessels():
    view, _, vessels = set_up(2)
    _, lesions = case(0, 2, 3, EDGE)
    red = [x for x in lesions if x.kind in ("microaneurysm", "haemorrhage")]
    places = np.array([(x.row, x.column, x.radius) for x in red])
    apart = np.hypot(*(places[:, None, :2] - places[None, :, :2]).transpose(2, 0, 1))
    reach = places[:, 2] + places[:, 2][:, None]
    assert (apart > reach)[~np.eye(len(red), dtype=bool)].all()
    thick = np.concatenate([v.points[v.radii > 0.02] for v in vessels])
    rows, columns = view.pixel(*thick.T)
    small = places[places[:, 2] < 0.2 * view.scale]
    assert cKDTree(np.stack([rows, columns], 1)).query(small[:, :2])[0].min() > 0.07 * view.scale


# ---- draws and faults ----------------------------------------------------------------------------


def test_grades_are_as_frequent_as_in_aptos():
    grades = [draw_grade(0, index) for index in range(5000)]
    assert grades[:200] == [draw_grade(0, index) for index in range(200)]
    assert grades[:200] != [draw_grade(1, index) for index in range(200)]
    for grade, count in enumerate(APTOS_COUNTS):
        share = count / 3662
        spread = np.sqrt(share * (1 - share) / 5000)
        assert abs(grades.count(grade) / 5000 - share) < 4 * spread


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grade": 5}, "grade must be 0 to 4, not 5"),
        ({"grade": -1}, "grade must be 0 to 4, not -1"),
        ({"edge": 127}, "edge must be at least 128 pixels, not 127"),
        ({"eye": "rihgt"}, "unknown eye 'rihgt'; did you mean 'right'"),
        ({"seed": -1}, "seed and index must be 0 or more, not -1 and 0"),
        ({"index": -2}, "seed and index must be 0 or more, not 0 and -2"),
        ({"frame": Aperture(0.5, 1.0)}, "aspect must be at least 0.95"),
        ({"frame": Aperture(1.0, 2.0)}, "diameter 0.5 to 1.25"),
    ],
)
def test_bad_arguments_are_told_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        fundus_case(**{"seed": 0, "index": 0} | arguments)
    assert "\n" not in str(error.value)
