"""The source of a function or class, as a notebook shows it."""

import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.show import source
from ssl3d_lite.tasks import Rotation, geometry


def test_a_function_is_shown_as_a_block_of_python():
    shown = source(geometry.grid_shape).data
    assert shown.startswith("```python\ndef grid_shape(")
    assert shown.endswith("\n```")


def test_a_method_begins_at_the_margin():
    assert source(Rotation.make_views).data.startswith("```python\ndef make_views(self")


def test_several_stand_one_below_the_other():
    shown = source(geometry.grid_shape, geometry.grid_corners).data
    assert shown.index("def grid_shape") < shown.index("\n\ndef grid_corners")
    assert shown.count("```") == 2


@pytest.mark.parametrize("thing", [len, 3])
def test_what_has_no_source_is_said(thing):
    with pytest.raises(InputError, match="has no Python source"):
        source(thing)
