"""A study's figures: which rows go into which curve."""

import numpy as np
from matplotlib.figure import Figure

from ssl3d_lite.show.figures.curves import Curve, Effect, bands, forest
from ssl3d_lite.training.settings import FinetuneSettings

from .arms import PLACE, Arm
from .claims import Claim
from .comparison import Comparison
from .results import Results


def label_curves(results: Results, protocol: str) -> Figure:
    """Score over the number of labelled scans: a panel a source, controls in each."""
    curves: dict[str, Curve] = {}
    for arm in results.arms:
        places: dict[float, list[float]] = {}
        for labels in results.labels_of(protocol):
            if scores := results.scores(protocol, arm.name, labels):
                places[results.scans(labels)] = scores
        curves[arm.name] = places
    panels, controls, floors = by_source(results, curves)
    controls = strongest_first(results, controls)
    return bands(panels, controls, "labelled scans", results.quantity, log=True, floors=floors)


def strongest_first(results: Results, controls: dict[str, Curve]) -> dict[str, Curve]:
    """Controls with the best of the random encoders before them, if there are any: it decides, and
    the first control is drawn with its band."""
    random = [arm.name for arm in results.arms if arm.source == "random" and arm.name in controls]
    if not random:
        return controls

    def mean(name: str) -> float:
        return float(np.mean([np.mean(scores) for scores in controls[name].values()]))

    best = max(random, key=mean)
    return {best: controls[best], **controls}


def step_curves(results: Results) -> Figure:
    """Score over steps of fine-tuning with the fewest labels, to its end."""
    fewest = results.labels_of("convergence")[0]
    curves: dict[str, Curve] = {}
    for arm in results.arms:
        places: dict[float, list[float]] = {}
        for steps in results.milestones:
            if scores := results.scores("convergence", arm.name, fewest, steps):
                places[steps] = scores
        if places and (scores := results.scores("finetune", arm.name, fewest)):
            places.setdefault(_last_step(results, arm), scores)
        curves[arm.name] = places
    xlabel = f"steps of fine-tuning with {results.labelled(fewest)}"
    panels, controls, floors = by_source(results, curves)
    return bands(panels, controls, xlabel, results.quantity, floors=floors)


def _last_step(results: Results, arm: Arm) -> int:
    given = results.study.finetune | (results.study.flat.get("finetune", {}) if arm.flat else {})
    return given.get("steps", FinetuneSettings.steps)


def by_source(
    results: Results, curves: dict[str, Curve]
) -> tuple[dict[str, dict[str, Curve]], dict[str, Curve], dict[str, Curve]]:
    """Curves as panels, one a source; the controls' apart; and those of place alone."""
    panels: dict[str, dict[str, Curve]] = {}
    controls: dict[str, Curve] = {}
    floors: dict[str, Curve] = {}
    for arm in results.arms:
        if not curves[arm.name]:
            continue
        if arm.source == PLACE:
            floors[arm.name] = curves[arm.name]
        elif arm.is_control:
            controls[arm.name] = curves[arm.name]
        else:
            panels.setdefault(arm.source, {})[role(arm)] = curves[arm.name]
    return panels or {"controls": {}}, controls, floors


def role(arm: Arm) -> str:
    """An arm's name without its source, the same in every panel."""
    parts = (
        "pretrained",
        *(["on slices"] if arm.flat else []),
        *(f"@{each}" for each in arm.variants),
    )
    return " ".join(parts)


def effects(results: Results, claims: list[Claim]) -> Figure | None:
    """The paired differences of every claim that has any, controls in grey below."""
    panels = {
        claim.name: drawn
        for claim in claims
        for drawn in [
            [
                effect(compared)
                for compared in (*(f.comparison for f in claim.findings), *claim.controls)
                if compared and compared.mean is not None
            ]
        ]
        if drawn
    }
    controls = [arm.name for arm in results.arms if arm.is_control]
    return forest(panels, results.study.min_effect, controls) if panels else None


def effect(compared: Comparison) -> Effect:
    assert compared.mean is not None, "there are no differences to draw"
    return Effect(compared.arm, compared.mean, compared.interval, compared.learnt, compared.verdict)
