"""Code that a person should read is named, however it is written."""

import pytest

from ssl3d_lite.course.flags import find_flags
from ssl3d_lite.course.sources import grade_id_of, read_assignments, without_marks


@pytest.fixture(scope="module")
def assignments():
    return {assignment.name: assignment for assignment in read_assignments()}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(x):\n    return x * 2", []),
        ("import os\nos._exit(0)", ["_exit"]),
        ("torch.equal = lambda *a: True", ["torch.equal = …"]),
        ("import sys\nsys._getframe().f_back.f_locals", ["_getframe", "f_back", "f_locals"]),
        ("here = %pwd\nimport sys\nsys._getframe()", ["_getframe"]),
        ("    %pwd\n  odd\nsys._getframe()", ["_getframe"]),  # what we cannot parse
        ("from gc import get_objects", ["gc"]),
        ("import ipykernel.ipkernel as k", ["ipykernel"]),
        ("print(In[-1])", ["In"]),
        ("def (", []),
        ("self.equal = 3", []),
        ("raise InputError('no')", []),
        ("a = 1\n" * 100_000, ["0.6 MB of code, too much to be looked through"]),
    ],
)
def test_what_reaches_for_the_grader(assignments, code, found):
    assert find_flags(assignments["A1"], [("a1-1", code)]) == found


@pytest.mark.parametrize(
    ("part", "code", "found"),
    [
        ("a1-2", "from data_recipes.preparing.volumes import to_ras", "volumes.to_ras"),
        ("a2-1", "from ssl3d_lite.tasks.geometry import turn", "geometry.turn"),
        ("a2-3", "import ssl3d_lite.tasks.rotation as ready", "tasks.rotation"),
        ("a4-2", "encode_once = cpc.encode_once", "cpc.encode_once"),
        ("a4-2", "library = cpc\nencode_once = library.encode_once", "tasks.cpc"),
        ("a4-3", "class MaskedConv(PyramidConv):\n    pass", "cpc.PyramidConv"),
    ],
)
def test_the_librarys_own_solution(assignments, part, code, found):
    (flag,) = find_flags(assignments[part[:2].upper()], [(part, code)])
    assert flag.endswith(found)


def test_no_solution_is_flagged(assignments):
    for assignment in assignments.values():
        cells = {grade_id_of(cell): cell.source for cell in assignment.notebook.cells}
        sources = [(p.name, without_marks(cells[p.solution])) for p in assignment.machine_parts]
        assert find_flags(assignment, sources) == []
