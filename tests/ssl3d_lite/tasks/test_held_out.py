"""A short run of every task on real scans: it learns something that holds on scans not seen."""

import pytest

from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task, measure
from ssl3d_lite.training.presets import preset
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

# steps, and the score to be above; each run reaches more, and guessing less
SHORT = {
    "cpc": (60, 0.03),  # chance 2/54
    "rpl": (150, 0.1),  # 1/26
    "jigsaw": (150, 0.05),  # 1/100
    "rotation": (80, 0.3),  # 1/10
    "exemplar": (120, 0.13),  # 1/15
    "masked": (40, 0.1),  # 0: the mean of what is hidden
    "tissue": (40, 0.6),  # the commonest tissue
}


@pytest.mark.parametrize("name", SHORT)
def test_a_short_run_is_above_chance_on_scans_it_has_not_seen(name, hippocampi):
    steps, bound = SHORT[name]
    split = hippocampi.split()
    named = preset("quick", name)
    encoder = make_encoder(EncoderSettings(filters=(8, 16, 32), **named.shape), 0)
    task = make_task(name, encoder.settings)
    quick = named.training | {"steps": steps, "precision": "32-true"}
    pretrain(task, encoder, hippocampi, split.pretrain, TrainSettings(**quick))
    scores = proxy_score(task, encoder, hippocampi, split.validation, quick["batch"])
    assert scores[measure(scores)] > max(bound, scores["chance"])
