import html
import re

import pytest
from helpers import Page
from made_up_study import (
    all_rows,
    lost,
    make_rows,
    make_study,
    place_rows,
    results_of,
    with_patients,
)

from ssl3d_lite.study import pictures, tables
from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.limits import limits
from ssl3d_lite.study.report import hours, protocol_section, write_report, write_table
from ssl3d_lite.study.sentences import SAID, each_arm, overall

ARMS = ("cpc", "2d-cpc", "scratch", "random", "collapsed")


def score(arm, protocol, place, steps, seed, fold):
    return 0.3 + 0.1 * place + 0.013 * seed * len(arm) + 0.001 * steps


def read(path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


@pytest.fixture(scope="module")
def results():
    study = make_study(
        ARMS, ("2", "5"), milestones=(20, 40), published="brats", question="Does it?"
    )
    rows = [*all_rows(study, score), lost("2d-cpc", "<i>it diverged</i>", seed=2)]
    rows = [r for r in rows if r["failure"] or (r["arm"], r["seed"]) != ("2d-cpc", 2)]
    rows += make_rows("cpc", [0.5], protocol="proxy", task="cpc", labels="", chance=0.03)
    return results_of(study, rows)


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "report.html"
    write_report(results, path)
    return read(path)


def test_the_page_needs_no_other_file(page):
    assert len(page.sources) == 6, "all differences, and a figure a protocol"
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)


def test_scans_come_before_verdicts_and_after_them(results, tmp_path):
    shown = {"first": ["<p>A scan.</p>"], "scans": ["<p>More scans.</p>"]}
    write_report(results, tmp_path / "report.html", **shown, sections=["<p>Puzzles.</p>"])
    text = "".join(read(tmp_path / "report.html").text)
    order = ["A scan.", "What holds, and what", "More scans.", "Fine-tuning", "Puzzles."]
    places = [text.index(each) for each in order]
    assert places == sorted(places)


def test_the_page_holds_every_verdict_and_every_table(page, results):
    text = "".join(page.text).replace("\u00a0", " ")
    for claim in claims(results):
        assert overall(results, claim) in text
        assert all(line in text for line in each_arm(results, claim))
    shown = [tables.score_table(results, protocol) for protocol in results.study.protocols]
    shown += [tables.gain_table(results, "finetune"), tables.proxy_table(results)]
    for header, rows in shown:
        assert all(cell in text for row in [header, *rows] for cell in row)
    assert all(line in text for line in limits(results, claims(results)))
    assert "Does it?" in text
    assert "80.83 (+4.45)" in text, "the paper's"
    assert "Virtual: nothing but numbers." in text


def test_every_number_comes_from_rows_settings_or_the_paper(page, results):
    """What the page says beyond table.md, whose cells are tested against the rows, are limits."""
    known = tables.table_text(results) + " ".join(limits(results, claims(results))) + "0.02"
    said = re.findall(r"[+-]?\d+\.\d+", " ".join(page.text).split("What holds", 1)[1])
    assert said
    assert not [number for number in said if number not in known]


def test_names_and_faults_cannot_write_html(results, tmp_path):
    facts = {"cohort": "<script>alert(1)</script>", "description": "<b>x</b>", "licence": "<u>"}
    study = make_study(ARMS, title="<h1>title", question="<em>?</em>")
    evil = results_of(study, [row | {"machine": "<tt>"} for row in results.rows], **facts)
    write_report(evil, tmp_path / "evil.html")
    text = (tmp_path / "evil.html").read_text()
    for tag in ("<script", "<b>x", "<u>", "<em>", "<h1>title", "<tt>", "<i>it diverged"):
        assert tag not in text
    assert html.escape("<i>it diverged</i>") in text, "the failure is shown nevertheless"


@pytest.mark.parametrize("rows", [[], make_rows("cpc", [0.5]), [lost("cpc"), lost("scratch")]])
def test_a_study_that_has_hardly_begun_can_be_read(rows, tmp_path):
    results = results_of(make_study(), rows)
    write_report(results, tmp_path / "report.html")
    write_table(results, tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text() == tables.table_text(results)
    assert "nothing to compare yet" in (tmp_path / "report.html").read_text()


def test_limits_speak_of_this_study():
    def said(rows=None, **changes):
        study = make_study(**changes)
        results = results_of(study, rows(study) if rows else make_rows("cpc", [0.5]))
        return " ".join(limits(results, claims(results)))

    def whole(study):
        return with_patients(all_rows(study, score) + place_rows(study))

    assert "The patients' scores were not stored, so no verdict can be given." in said()
    assert "of other seeds and of other patients" in said(whole, seeds=6)
    assert "Folds share" not in said()
    assert "Folds share" in said(folds=(0, 1))
    assert "The scans are virtual" in said()
    assert "tissue is no self-supervision" in said(arms=("tissue",))


def test_how_often_verdicts_were_asked_for_is_said():
    study = make_study(ARMS, ("2", "5"), seeds=6)
    rows = with_patients(all_rows(study, score) + place_rows(study))
    for looks, which in (([6], "look 1 at"), ([8, 6], "look 2 at")):
        results = results_of(study, rows, looks=looks)
        judged = claims(results)
        asked = [f for c in judged for f in c.findings if f.comparison and f.comparison.p]
        (line,) = (each for each in limits(results, judged) if "Holm's" in each)
        counts = [(verdict, sum(f.verdict == verdict for f in asked)) for verdict in SAID]
        found = ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
        assert line.startswith(f"Judged together: {len(asked)} comparisons ({found}). Holm's")
        assert which in line


def test_what_cannot_be_told_is_not_counted_as_told():
    study = make_study(ARMS, ("2", "5"), seeds=6)
    results = results_of(study, with_patients(all_rows(study, score) + place_rows(study, 0.9)))
    (line,) = (each for each in limits(results, claims(results)) if "Holm's" in each)
    assert re.search(r": (\d+) comparisons? \(\1 cannot tell\)\.", line)


def test_the_time_of_a_run_counts_once():
    rows = make_rows("cpc", [0.5, 0.6], run="a", seconds=60.0)
    rows += make_rows("cpc", [0.5], run="a", protocol="convergence", seconds=60.0)
    rows += make_rows("cpc", [0.5], run="b", protocol="probe", seconds=90.0)
    assert hours(results_of(make_study(), rows)) == "2 min in all (finetune 60 s, probe 90 s)"


def test_a_panel_holds_the_arms_of_one_source_and_controls_stand_apart(results):
    curves = {arm.name: {2.0: [0.5]} for arm in results.arms}
    panels, controls, floors = pictures.by_source(results, curves)
    assert {title: list(names) for title, names in panels.items()} == {
        "cpc": ["pretrained", "pretrained on slices"]
    }
    assert list(controls) == ["scratch", "random", "collapsed"]
    assert floors == {}


def test_the_best_random_encoder_has_the_band():
    study = make_study(("cpc", "random", "random@none", "collapsed"), ("2", "5"))
    rows = []
    for labels in ("2", "5"):
        for arm, score in (("cpc", 0.6), ("random", 0.3), ("random@none", 0.5), ("collapsed", 0.2)):
            rows += make_rows(arm, [score, score + 0.1], protocol="probe", labels=labels)
    figure = pictures.label_curves(results_of(study, rows), "probe")
    axes = figure.axes[0]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.55, 0.55])
    shaded = [band.get_paths()[0].vertices[:, 1] for band in axes.collections]
    spans = [(round(float(y.min()), 2), round(float(y.max()), 2)) for y in shaded]
    assert spans.count((0.5, 0.6)) == 1
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["pretrained", "random@none", "random", "collapsed"]


def test_place_alone_is_a_dotted_line_over_a_shade(results):
    rows = [*results.rows]
    for labels, floor in (("2", 0.3), ("5", 0.4)):
        rows += make_rows("place", [floor] * 3, labels=labels, steps=None)
    figure = pictures.label_curves(results_of(results.study, rows), "finetune")
    line = figure.axes[0].lines[-1]
    assert line.get_linestyle() == ":"
    assert line.get_ydata().tolist() == pytest.approx([0.3, 0.4])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-1] == "place"
    for given, told in ((results.rows, False), (rows, True)):
        _, drawn, *_ = protocol_section(results_of(results.study, given), "finetune")
        assert ("the dotted line" in drawn) == told, "a caption speaks of what is drawn"


def test_the_curve_over_steps_ends_where_fine_tuning_ends():
    study = make_study(protocols=("finetune", "convergence"), milestones=(40,))
    rows = make_rows("cpc", [0.7, 0.8]) + make_rows(
        "cpc", [0.4, 0.5], protocol="convergence", steps=40
    )
    (line, *_) = pictures.step_curves(results_of(study, rows)).axes[0].lines
    assert line.get_xdata().tolist() == [40, 100]
    assert line.get_ydata().tolist() == pytest.approx([0.45, 0.75])


def test_the_figures_draw_the_rows(results):
    figure = pictures.label_curves(results, "finetune")
    cpc = figure.axes[0].lines[2]  # after the two controls
    means = [sum(results.scores("finetune", "cpc", n)) / 3 for n in ("2", "5")]
    assert cpc.get_xdata().tolist() == [2, 5]
    assert cpc.get_ydata() == pytest.approx(means)
