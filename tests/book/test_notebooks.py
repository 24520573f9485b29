"""``ssl3d notebooks`` writes the notebooks, whole, and over nothing that a person has changed."""

import json
from pathlib import Path

import pytest
from helpers import content

from ssl3d_lite.book.links import file_of, is_outside, targets
from ssl3d_lite.cli.main import main

ROOT = Path(__file__).parents[2]
NUMBERED = sorted(path.name for path in ROOT.glob("notebooks/[0-9]*_*.ipynb"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("given") / "notebooks"
    assert main(["notebooks", str(out)]) == 0
    return out


def prose(path: Path) -> str:
    if path.suffix == ".md":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def test_all_notebooks_are_there_with_their_outputs(written):
    assert sorted(path.name for path in written.glob("*.ipynb")) == NUMBERED
    for name in NUMBERED:
        old, new = (json.loads((f / name).read_text()) for f in (ROOT / "notebooks", written))
        outputs = [[c.get("outputs") for c in each["cells"]] for each in (old, new)]
        code = [[c["source"] for c in each["cells"] if "outputs" in c] for each in (old, new)]
        assert outputs[0] == outputs[1]
        assert code[0] == code[1]


def test_what_they_read_is_there(written):
    read = {p.relative_to(ROOT / "notebooks") for p in ROOT.glob("notebooks/results/**/*.csv")}
    assert read
    assert all((written / path).exists() for path in read)
    assert not list(written.rglob("A[0-9]*"))  # assignments, with their solutions


def test_no_link_leads_nowhere(written):
    for path in [*written.rglob("*.ipynb"), *written.rglob("*.md")]:
        name = path.relative_to(written).as_posix()
        for target in targets(prose(path)):
            there = target if is_outside(target) else file_of(target, name)[0]
            assert is_outside(target) or (written / there).exists(), f"{name}: {target}"


def test_what_a_person_changed_is_not_written_over(tmp_path, capsys):
    out = tmp_path / "mine"
    assert main(["notebooks", str(out)]) == 0
    before = content(out)
    assert main(["notebooks", str(out)]) == 0
    assert content(out) == before
    (out / "own.ipynb").write_text("mine")
    (out / NUMBERED[0]).write_text("changed")
    capsys.readouterr()
    assert main(["notebooks", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"holds {NUMBERED[0]}, which `ssl3d notebooks` did not write, or has been" in said
    assert (out / NUMBERED[0]).read_text() == "changed"
    assert (out / "own.ipynb").read_text() == "mine"
