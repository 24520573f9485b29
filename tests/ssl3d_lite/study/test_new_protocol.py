"""A new protocol is one new file and one line in the list: a study runs it and reports it."""

from dataclasses import replace

import pytest
from helpers import make_cohort

from ssl3d_lite.errors import InputError
from ssl3d_lite.study import Study, protocols, run_study
from ssl3d_lite.study.report import write_report
from ssl3d_lite.study.tables import table_text

NEW_FILE = '''
"""size: how many weights the encoder has, in thousands. It shows how little a protocol needs."""

from ssl3d_lite.study.protocols.base import Protocol


def count_weights(experiment, run, encoder, tasks):
    weights = sum(weight.numel() for weight in encoder.parameters())
    return [{"measure": "thousands", "score": weights / 1000, "scans": int(run.labels)}]


SIZE = Protocol("Thousands of weights", count_weights, lambda experiment, run: {"size": 1})
'''

STUDY = Study(
    name="sizes",
    scale="smoke",
    title="Sizes",
    arms=("random", "scratch"),
    labels=("2",),
    cohort={},
    seeds=1,
    encoder={"filters": [4, 8]},
    pretrain={"steps": 10},
    protocols=("probe",),
)


def test_one_file_and_one_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="unknown protocol 'size'"):
        replace(STUDY, protocols=("size",))
    (tmp_path / "weight_count.py").write_text(NEW_FILE)
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    monkeypatch.setitem(protocols.PROTOCOLS, "size", "weight_count:SIZE")  # the one line

    make_cohort(tmp_path / "scans", 15, (16, 24, 16))
    study = replace(STUDY, protocols=("size",))
    results = run_study(study, tmp_path / "out", cohort=tmp_path / "scans")
    # 3x3x3 kernels 1-4-4 and 4-8-8, and scale and shift of two norms a level
    weights = 27 * (1 * 4 + 4 * 4 + 4 * 8 + 8 * 8) + 2 * 2 * (4 + 8)
    weights += 27 * (1 * 4) + 4 * 8  # the shortcuts; that of the first level strides
    assert {(row["arm"], row["protocol"], row["score"]) for row in results.rows} == {
        ("random", "size", weights / 1000),
        ("scratch", "size", weights / 1000),
    }
    assert "## Thousands of weights" in table_text(results)
    write_report(results, tmp_path / "report.html")
    assert "Thousands of weights" in (tmp_path / "report.html").read_text()
