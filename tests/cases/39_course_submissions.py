"""A lecturer grades what students hand in: the solved notebook, one with an endless loop, one with a syntax
error, a damaged file, a name with "=".

Each gets a row in grades.csv; the solved one has full points, the loop costs its part only and ends by the
time limit, the damaged file is named with what is wrong, no submission stops the others, and no cell of
grades.csv begins with "=" (a spreadsheet would compute it).
"""

import copy
import csv
import json

from common import Stop, check, done, expect, ssl3d


@check
def main(w):
    done("course", "build", w / "course", timeout=600)
    solved = sorted((w / "course/lecturer").rglob("A1.ipynb"))
    base = json.loads(next(p for p in solved if "solved" in str(p)).read_text())

    def put(name, notebook=None, raw=None):
        path = w / "in" / name / "A1.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(raw if raw is not None else json.dumps(notebook).encode())

    def changed(text):
        notebook = copy.deepcopy(base)
        cell = next(
            c
            for c in notebook["cells"]
            if c["metadata"].get("nbgrader", {}).get("grade_id") == "a1-1-solution"
        )
        cell["source"] = text
        return notebook

    put("right", base)
    put("=1+1", changed("def to_mm(voxel, affine):\n    while True: pass\n"))
    put("syntax", changed("def to_mm(:\n"))
    put("damaged", raw=b"<html>login</html>")
    result = ssl3d(
        "course",
        "grade",
        w / "in",
        "--course",
        w / "course/lecturer",
        "--out",
        w / "grades",
        "--seconds",
        60,
        timeout=900,
    )
    path = w / "grades/grades.csv"
    if not path.exists():
        raise Stop(f"no grades: exit {result.rc}, {result.last}")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    text = path.read_text()
    for name in ("right", "1+1", "syntax", "damaged"):
        expect(name in text or result.said(name), f"{name}: no row and nothing said")
    expect(
        not any(str(v).startswith("=") for row in rows for v in row.values()),
        "a cell of grades.csv begins with =",
    )
