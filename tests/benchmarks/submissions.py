"""How often a submission gets the verdict that it should: right, odd, wrong, empty and hostile ones
of all assignments, through ``ssl3d course grade``.

    python tests/benchmarks/submissions.py [--wrong 14] [--jobs 2]

Right and odd ones have to earn every point. A wrong one loses the points of its part and no others,
or, where it is a slip, some of them; an empty one has none. A hostile one answers nothing: it earns
nothing, or a person is told to look; and nothing outside of its own folder is written, changed,
reached or ended. Prints a table, and a line for each that got something else.
"""

import argparse
import importlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ssl3d_lite.course.sources import Assignment, grade_id_of, read_assignments, released, solved
from ssl3d_lite.files import read_csv

sys.path.insert(0, str(Path(__file__).parents[1]))
from course.mistakes import SLIPS


@dataclass
class Submission:
    kind: str
    what: str
    assignment: Assignment
    notebook: NotebookNode
    lost: tuple[str, ...] = ()
    """Parts that have to be lost; all others have to be full."""
    slip: bool = False
    """Whether half of the lost part's points at least have to be left."""
    file: str = ""
    """Another name than the assignment's."""


# ---- right -------------------------------------------------------------------------------------


def right_ones(assignment: Assignment) -> Iterator[Submission]:
    yield Submission("right", "the model's", assignment, solved(assignment.notebook))
    habits = importlib.import_module(f"course.habits.{assignment.name}").ANSWERS
    for number, student in enumerate(habits, 1):
        answers = {f"{assignment.name.lower()}-{n}-solution": code for n, code in student.items()}
        notebook = solved(assignment.notebook, answers)
        yield Submission("right", f"other habits, {number}", assignment, notebook)


# ---- odd: a right answer in a file that something happened to ----------------------------------


def windows_line_ends(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")


def no_metadata(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = NotebookNode(), f"new-{number}"


def colab(notebook: NotebookNode) -> None:
    notebook.metadata = NotebookNode(
        colab={"provenance": [], "gpuType": "T4"}, accelerator="GPU", kernelspec={"name": "python3"}
    )
    for number, cell in enumerate(notebook.cells):
        cell.metadata |= {"id": f"c{number}", "colab": {"base_uri": "https://localhost:8080/"}}


def much_output(notebook: NotebookNode) -> None:
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs = [nbformat.v4.new_output("stream", text="step 0000: loss 0.1234\n" * 10**6)]


def _after_first_tests(notebook: NotebookNode, source: str) -> None:
    places = [n for n, cell in enumerate(notebook.cells) if _is(cell, "-tests")]
    notebook.cells.insert(places[0] + 1, nbformat.v4.new_code_cell(source))


def exits(notebook: NotebookNode) -> None:
    _after_first_tests(notebook, "exit()")


def raises(notebook: NotebookNode) -> None:
    _after_first_tests(notebook, "1 / 0")


def syntax_error_in_a_cell_of_notes(notebook: NotebookNode) -> None:
    _after_first_tests(notebook, "I do not understand this part (")


def installs(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if _is(cell, "-solution"):
            cell.source = "!pip install numpy\n%matplotlib inline\n" + cell.source


def names_of_helpers(notebook: NotebookNode) -> None:
    names = ("cells", "order", "seen", "same", "wanted", "expected", "check", "got", "points")
    source = "\n\n".join(f"def {name}(*args):\n    return 7" for name in names)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(source))


def tests_deleted(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if not _is(cell, "-tests")]


def answers_at_the_end(notebook: NotebookNode) -> None:
    """The answer stands where it stood, and once more at the end, as a copy to play with."""
    copied = [
        cell for cell in notebook.cells if _is(cell, "-solution") and cell.cell_type == "code"
    ]
    notebook.cells += [nbformat.v4.new_code_cell(cell.source) for cell in copied]


def _is(cell: NotebookNode, end: str) -> bool:
    return (grade_id_of(cell) or "").endswith(end)


CHANGES = (
    *(windows_line_ends, no_metadata, colab, much_output, exits, raises, installs),
    *(syntax_error_in_a_cell_of_notes, names_of_helpers, tests_deleted, answers_at_the_end),
)


def odd_ones(assignment: Assignment) -> Iterator[Submission]:
    name = assignment.name
    for file in (f"{name} (1).ipynb", f"{name.lower()}.ipynb"):
        yield Submission("odd", file, assignment, solved(assignment.notebook), file=file)
    for change in CHANGES:
        notebook = solved(assignment.notebook)
        change(notebook)
        yield Submission("odd", change.__name__.replace("_", " "), assignment, notebook)


# ---- wrong -------------------------------------------------------------------------------------


def wrong_ones(assignment: Assignment, most: int) -> Iterator[Submission]:
    """Typical mistakes, spread over the list."""
    all_of_them = importlib.import_module(f"course.mistakes.{assignment.name}").MISTAKES
    every = max(1, len(all_of_them) // most)
    for mistake in all_of_them[::every][:most]:
        notebook = solved(assignment.notebook, {f"{mistake.part}-solution": mistake.code})
        what = f"{mistake.part}: {mistake.name}"
        slip = f"{mistake.part} {mistake.name}" in SLIPS
        yield Submission("wrong", what, assignment, notebook, lost=(mistake.part,), slip=slip)


def empty_ones(assignment: Assignment) -> Iterator[Submission]:
    parts = tuple(part.name for part in assignment.machine_parts)
    yield Submission("empty", "untouched", assignment, released(assignment.notebook), lost=parts)


# ---- hostile -----------------------------------------------------------------------------------

FAKES = {  # they reach for points without an answer
    "libraries patched": """
import numpy, torch
yes = lambda *args, **kwargs: True
numpy.allclose = numpy.array_equal = torch.equal = torch.allclose = yes
numpy.testing.assert_allclose = numpy.testing.assert_array_equal = yes
""",
    "checks replaced": """
import ssl3d_lite.course.checks as theirs
theirs.Checks.__call__ = lambda self, check: (lambda *args, **kwargs: None)
theirs.Checks.end = lambda self: None
""",
    "asserts taken out": """
import ast
class Calm(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
    visit_Raise = visit_Assert
get_ipython().ast_transformers.append(Calm())
""",
    "values of the caller": """
import sys
def caller(*args, **kwargs):
    frame = sys._getframe()
    while frame:
        for name in ("wanted", "expected", "right"):
            if name in frame.f_locals:
                return frame.f_locals[name]
        frame = frame.f_back
""",
    "builtins patched": """
import builtins
builtins.abs = lambda x: 0
builtins.all = builtins.any = builtins.isinstance = lambda *args: True
""",
    "equal to all": """
class Always:
    __eq__ = __le__ = __ge__ = __lt__ = __gt__ = lambda self, other: True
    def __getattr__(self, name):
        return lambda *args, **kwargs: self
""",
}
ATTACKS = {  # they reach outside
    "writes": "open('{outside}/new', 'w').write('here')",
    "appends": "open('{outside}/secret', 'a').write('here')",
    "removes": "import os; os.remove('{outside}/secret')",
    "renames": "import os; os.rename('{outside}/secret', '{outside}/other')",
    "truncates": "import os; os.truncate('{outside}/secret', 0)",
    "modes": "import os; os.chmod('{outside}/secret', 0)",
    "times": "import os; os.utime('{outside}/secret', (1, 1))",
    "attributes": "import os; os.setxattr('{outside}/secret', 'user.mark', b'1')",
    "makes a folder": "import os; os.mkdir('{outside}/folder')",
    "links": "import os; os.symlink('{outside}/secret', 'mine'); open('mine', 'w').write('x')",
    "unlinks its own place": "import shutil; shutil.rmtree('..')",
    "calls by TCP": "import socket; socket.create_connection(('127.0.0.1', {port}), 2).send(b'x')",
    "calls by a socket file": "import socket; socket.socket(socket.AF_UNIX).connect('{unix}')",
    "a program": "import subprocess; subprocess.run(['touch', '{outside}/new'])",
    "a fork": "import os; os.fork() or open('{outside}/new', 'w')",
    "a shell": "get_ipython().system('touch {outside}/new')\n!touch {outside}/new",
    "ends its parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "ends all": "import os, signal; os.kill(-1, signal.SIGKILL)",
    "its parent's variables": "import os; open('/proc/%d/environ' % os.getppid()).read()",
    "memory": "kept = []\nwhile True: kept.append(bytearray(b'x' * 10**8))",
    "a loop": "while True: pass",
    "an end": "import os; os._exit(0)",
    "threads": "import threading\nfor _ in range(10**5): threading.Thread(target=input).start()",
    "a large file": "f = open('large', 'wb')\nwhile True: f.write(bytes(10**8))",
}


def hostile_ones(assignment: Assignment, marks: dict[str, str]) -> Iterator[Submission]:
    tricks = FAKES if assignment.name != "A1" else FAKES | ATTACKS
    parts = tuple(part.name for part in assignment.machine_parts)
    for what, code in tricks.items():
        for mark, text in marks.items():
            code = code.replace(mark, text)
        notebook = released(assignment.notebook)
        first = next(cell for cell in notebook.cells if _is(cell, "-solution"))
        first.source = _tried(code) + first.source
        yield Submission("hostile", what, assignment, notebook, lost=parts)


def _tried(code: str) -> str:
    """It goes on where it was refused, as an attacker would."""
    if "\n!" in code:
        return code + "\n\n"
    lines = "\n".join("    " + line for line in code.strip().splitlines())
    return f"try:\n{lines}\nexcept BaseException:\n    pass\n\n"


class Outside:
    """A folder and two sockets that nothing may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, 0
        folder.mkdir()
        (folder / "secret").write_text("what nobody may change")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "socket"))
        self.unix.listen()
        for each in (self.tcp, self.unix):
            threading.Thread(target=self._answer, args=(each,), daemon=True).start()
        self.before = self._state()
        self.marks = {"{outside}": str(folder), "{unix}": str(folder / "socket")}
        self.marks["{port}"] = str(self.tcp.getsockname()[1])

    def _answer(self, server: socket.socket) -> None:
        while True:
            server.accept()[0].close()
            self.calls += 1

    def _state(self) -> dict[str, object]:
        found: dict[str, object] = {"calls": self.calls}
        for path in sorted(self.folder.iterdir()):
            at = path.lstat()
            found[path.name] = (at.st_mode, at.st_size, at.st_mtime_ns, os.listxattr(path))
        return found

    @property
    def touched(self) -> bool:
        return self._state() != self.before


# ---- graded ------------------------------------------------------------------------------------


def all_of_them(wrong: int, marks: dict[str, str]) -> list[Submission]:
    found: list[Submission] = []
    for each in read_assignments():
        found += [*right_ones(each), *odd_ones(each), *wrong_ones(each, wrong), *empty_ones(each)]
        found += hostile_ones(each, marks)
    return found


def hand_in(submissions: list[Submission], folder: Path) -> dict[tuple[str, str], Submission]:
    """Student and assignment → what was handed in."""
    found = {}
    numbers: Counter[str] = Counter()
    for each in submissions:
        name = each.assignment.name
        numbers[name] += 1
        student = f"s{numbers[name]:03d}"
        (folder / student).mkdir(parents=True, exist_ok=True)
        nbformat.write(each.notebook, folder / student / (each.file or f"{name}.ipynb"))
        found[student, name] = each
    return found


def verdict(each: Submission, row: dict[str, str]) -> str:
    """Empty where it is right; else what is wrong with it."""
    got = {
        part.name: row[f"part {part.name.split('-')[1]}"] for part in each.assignment.machine_parts
    }
    points = {name: float(text or 0) for name, text in got.items()}
    if each.kind == "hostile":
        fine = not any(points.values()) or row["look at"]
        return "" if fine else f"points without an answer: {got}"
    wanted = {p.name: 0 if p.name in each.lost else p.points for p in each.assignment.machine_parts}
    whole = {part.name: part.points for part in each.assignment.machine_parts}
    for name in each.lost if each.slip else ():
        if whole[name] / 2 <= points[name] < whole[name]:
            wanted[name] = points[name]
    return "" if points == wanted else f"{got}, and not {wanted}; {row['status']}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--wrong", type=int, default=14, help="typical mistakes of each assignment")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outside = Outside(folder / "outside")
        handed_in = hand_in(all_of_them(given.wrong, outside.marks), folder / "in")
        ssl3d = (sys.executable, "-m", "ssl3d_lite.cli.main", "course")
        subprocess.run([*ssl3d, "build", str(folder / "course")], check=True)
        begin = time.monotonic()
        command = [*ssl3d, "grade", folder / "in", "--course", folder / "course/lecturer"]
        command += ["--out", folder / "out", "--jobs", given.jobs]
        subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begin
        rows = {(r["student"], r["assignment"]): r for r in read_csv(folder / "out/grades.csv")}
        asked, right = Counter(), Counter()
        for key, each in handed_in.items():
            said = verdict(each, rows[key]) if key in rows else "not graded"
            asked[each.kind] += 1
            right[each.kind] += not said
            if said:
                print(f"{each.assignment.name} {each.kind}, {each.what}: {said}")
        for kind, number in asked.items():
            print(f"{kind:8} {right[kind]:4} of {number}")
        share = right.total() / asked.total()
        print(f"all      {right.total():4} of {asked.total()} ({share:.1%}), in {seconds:.0f} s")
        print(
            "outside, something was touched" if outside.touched else "outside, nothing was touched"
        )


if __name__ == "__main__":
    main()
