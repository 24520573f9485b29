"""Random encoders of several kinds, and which is the best."""

import pytest
import torch

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.random_encoders import best_kinds, kinds_of_random_encoder
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings


class Report:
    def __init__(self, score):
        self.score = score


def test_plain_and_residual_with_every_norm_and_none():
    kinds = kinds_of_random_encoder(EncoderSettings(2, 3, (4, 8), norm="instance"))
    assert [kind.name for kind in kinds] == [
        f"random, {block}, {norm}"
        for block in ("plain", "residual")
        for norm in ("batch norm", "group norm", "instance norm", "no norm")
    ]
    assert {(k.settings.in_channels, k.settings.filters) for k in kinds} == {(2, (4, 8))}


def test_a_kind_that_cannot_read_the_scans_is_left_out():
    """Of a deepest level of one voxel instance norm leaves nothing."""
    settings = EncoderSettings(filters=(4, 8, 8))
    for space, count in (((4, 4, 4), 6), ((4, 4, 8), 8), ((8, 8, 8), 8), ((4, 4, 3), 0)):
        kinds = kinds_of_random_encoder(settings, [(8, 8, 8), space])
        assert len(kinds) == count
        assert all(kind.settings.norm != "instance" for kind in kinds) == (count < 8)


def test_a_densenet_has_its_norms_alone():
    kinds = kinds_of_random_encoder(EncoderSettings(3, 2, network="densenet121"))
    assert [k.name for k in kinds] == [f"random, {n} norm" for n in ("batch", "group", "instance")]
    with pytest.raises(InputError, match="densenet121 needs a norm"):
        EncoderSettings(3, 2, network="densenet121", norm="none")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("block", ["plain", "residual"])
def test_no_norm_is_batch_norm_as_it_starts(block, stride):
    shape = EncoderSettings(filters=(4, 8), block=block, norm="batch", stride=stride)
    normed = make_encoder(shape, 3).eval()
    bare = make_encoder(shape, 3, norm="none").eval()
    volumes = torch.randn(2, 1, 8, 8, 8)
    for a, b in zip(normed(volumes), bare(volumes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_each_reading_has_its_own_best_kind():
    kinds = kinds_of_random_encoder(EncoderSettings(filters=(4, 8)))
    scores = {kind.settings: {"a": [n, n + 1], "b": [5 - n]} for n, kind in enumerate(kinds)}
    seen = []

    def read(encoder):
        seen.append(encoder.settings)
        return {k: [Report(v) for v in each] for k, each in scores[encoder.settings].items()}

    best, tried = best_kinds(kinds, read, seed=0)
    assert best == {"a": kinds[-1], "b": kinds[0]}
    assert seen == [kind.settings for kind in kinds]
    assert tried[kinds[1].name] == {"a": 1.5, "b": 4}
