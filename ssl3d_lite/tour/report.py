"""A tour's results as a table, as sentences, and as one HTML page that needs nothing else.

Every number and every sentence is made from the tour's rows; none is typed.
"""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ssl3d_lite import show
from ssl3d_lite.html import Table, as_html, bullets, escape, picture, write_html
from ssl3d_lite.machine.device import machine_name
from ssl3d_lite.tasks import measure
from ssl3d_lite.training.settings import TrainSettings

from .tour import Tour, batch_of, pretraining

# ---- tables ------------------------------------------------------------------------------------


def probe_table(found: Tour) -> Table:
    """Mean Dice of the linear probe: an arm a row, a number of labels a column."""
    labels = found.settings.probe_labels
    rows = [
        [
            arm,
            str(len(found.seeds("probe", arm))),
            *(spread(found, "probe", arm, n) for n in labels),
        ]
        for arm in found.arms("probe")
    ]
    return ["frozen encoder", "encoders", *(f"{n} labelled" for n in labels)], rows


def finetune_table(found: Tour) -> Table:
    """Mean Dice after fine-tuning: a pair of twins a row."""
    ours, scratch = paired(found)
    rows = [
        [f"{seed}", f"{a:.3f}", f"{b:.3f}", f"{a - b:+.3f}"]
        for seed, (a, b) in enumerate(zip(ours, scratch, strict=True))
    ]
    means = [f"{np.mean(x):.3f}" for x in (ours, scratch)]
    rows.append(["mean", *means, f"{np.mean(ours) - np.mean(scratch):+.3f}"])
    return ["seed", f"after {found.settings.task}", "from scratch", "difference"], rows


def spread(found: Tour, reading: str, arm: str, labels: int) -> str:
    """Mean, and in brackets the lowest and highest of the single runs."""
    scores = found.scores(reading, arm, labels)
    return f"{np.mean(scores):.3f} ({min(scores):.3f}–{max(scores):.3f})"


def paired(found: Tour) -> tuple[list[float], list[float]]:
    """Fine-tuned scores of both twins, seed by seed."""
    n = found.settings.finetune_labels
    return tuple(found.scores("fine-tuning", arm, n) for arm in (found.settings.task, "scratch"))


# ---- sentences ---------------------------------------------------------------------------------


def findings(found: Tour) -> list[str]:
    """What the numbers show, in plain words, whichever way they fall."""
    return [
        *(proxy_sentence(task, list(runs.values())) for task, runs in found.held_out.items()),
        *(probe_sentence(found, n) for n in found.settings.probe_labels),
        finetune_sentence(found),
    ]


SOLVED = {  # by the task's measure
    "accuracy": "solves {} of the {} puzzles",
    "r2": "explains {} of the variance of what {} hides",
}


def proxy_sentence(task: str, scores: Sequence[dict[str, float]]) -> str:
    """How far a proxy task was learnt: ``scores`` has a row of held-out scores for each seed."""
    name = measure(scores[0])
    reached = ", ".join(f"{s[name]:.0%}" for s in scores)
    ahead = all(s[name] > s["chance"] for s in scores)
    learnt = "it was learnt" if ahead else "it was not learnt, so read the rest with care"
    return (
        "On scans it was not trained on, the network "
        + SOLVED[name].format(reached, task)
        + f" (one figure a seed); guessing gives {scores[0]['chance']:.1%}: {learnt}."
    )


def probe_sentence(found: Tour, labels: int) -> str:
    """Pretrained encoders against the best random one, at one number of labels."""
    task = found.settings.task
    ours = found.seed_means("probe", task, labels)
    controls = {
        arm: score
        for arm in found.arms("probe")
        if arm.startswith("random")
        for score in [max(found.seed_means("probe", arm, labels))]
    }
    best = max(controls, key=controls.get)
    won = sum(score > controls[best] for score in ours)
    count = sum(len(found.seeds("probe", arm)) for arm in controls)
    verdict = {len(ours): "ahead with every seed", 0: "not ahead with any seed"}.get(
        won, f"ahead with {won} of {len(ours)} seeds, so undecided"
    )
    if len(ours) == 1:
        verdict = f"{'' if won else 'not '}ahead, but one seed shows little"
    listed = ", ".join(f"{score:.3f}" for score in ours)
    return (
        f"With {labels} labelled volumes the probe on {task} features reaches {listed} (one figure "
        f"a seed, each the mean of {found.settings.probe_draws} draws of labels), on the best of "
        f"{count} random encoders {controls[best]:.3f} ({best}): {verdict}."
    )


def finetune_sentence(found: Tour) -> str:
    gains = [a - b for a, b in zip(*paired(found), strict=True)]
    listed = ", ".join(f"{gain:+.3f}" for gain in gains)
    if all(gain > 0 for gain in gains):
        verdict = "pretraining is ahead in every pair"
    elif all(gain <= 0 for gain in gains):
        verdict = "pretraining is not ahead in any pair"
    else:
        verdict = "the pairs disagree, so undecided"
    pairs = "One pair is" if len(gains) == 1 else f"{len(gains)} pairs are"
    return (
        f"Fine-tuned on {found.settings.finetune_labels} labelled volumes for "
        f"{found.settings.finetune_steps} steps, pretraining changes mean Dice by {listed} against "
        f"the twin from scratch: {verdict}. {pairs} few; a gain of this kind is shown only by more "
        "seeds."
    )


def limits(found: Tour) -> list[str]:
    """What the numbers do not show."""
    cohort, split = found.cohort, found.split
    return [
        f"All scores are of the same {len(cohort.scans(split.test))} test scans of {cohort.name}, "
        "which no training has seen. Another cohort may order the arms otherwise.",
        "The probe speaks of the encoder alone. Its gains shrink or vanish in full fine-tuning, "
        "where skips and decoder can go round the encoder.",
        "A random encoder is the control, not zero: how far it gets depends on its norm and its "
        "start, so the best of several is what pretraining has to beat.",
    ]


# ---- the page ----------------------------------------------------------------------------------


def write_report(found: Tour, path: Path) -> None:
    """Write the tour as one HTML page, pictures and all."""
    parts = [
        f"<h1>What {escape(found.settings.task)} is worth on {escape(found.cohort.name)}</h1>",
        f"<p>{escape(found.cohort.description)}</p>",
        bullets(findings(found)),
        "<h2>What this does not show</h2>",
        bullets(limits(found)),
        *(part for task in found.puzzles for part in task_section(found, task)),
        "<h2>Linear probe of the frozen encoder</h2>",
        probe_section(found),
        "<h2>Fine-tuning beside a twin from scratch</h2>",
        finetune_section(found),
        "<h2>Data, machine, time</h2>",
        provenance(found),
    ]
    title = f"ssl3d tour: {found.settings.task} on {found.cohort.name}"
    write_html(path, title, parts)


def task_section(found: Tour, task: str) -> list[str]:
    """What a proxy task shows the network, and how it was learnt."""
    shown = (
        f"One puzzle of {escape(task)}: the scan with the views outlined, and the views as the "
        "network gets them, drawn from the same batch. " + escape(found.notes[task])
    )
    learnt = (
        "Loss and score, the mean of every ten steps. A dot is the score on the validation cases, "
        "on which nothing was trained."
    )
    return [
        f"<h2>What {escape(task)} shows the network</h2>",
        picture(show.puzzle(*found.puzzles[task]), shown),
        f"<h2>Pretraining on {escape(task)}</h2>",
        picture(show.learning_curves(found.histories[task], found.held_out[task]), learnt),
    ]


def probe_section(found: Tour) -> str:
    scores = {
        arm: {n: found.scores("probe", arm, n) for n in found.settings.probe_labels}
        for arm in found.arms("probe")
    }
    caption = (
        "Mean Dice over the test cases. Lines join means; each dot is one encoder with one draw of "
        "labels. The oracle's encoder was trained with all labels; none should be far above it."
    )
    note = "Mean, and in brackets the lowest and highest run (each encoder, each draw of labels)."
    return (
        picture(show.label_efficiency(scores), caption)
        + as_html(probe_table(found))
        + f'<p class="note">{note}</p>'
    )


def finetune_section(found: Tour) -> str:
    example = found.example
    answers = {name: np.asarray(answer) for name, answer in example["answers"].items()}
    drawn = show.segmentations(
        np.asarray(example["image"], np.float32), answers, found.cohort.label_names
    )
    caption = (
        f"Test case {escape(example['id'])}, the one in the middle of the scores after pretraining "
        "(seed 0): the scan, its label, and both twins' answers."
    )
    note = (
        "A pair has the same labelled volumes, the same start of the decoder, the same order of "
        "cases and the same number of steps."
    )
    return as_html(finetune_table(found)) + f'<p class="note">{note}</p>' + picture(drawn, caption)


def provenance(found: Tour) -> str:
    cohort, split, s = found.cohort, found.split, found.settings
    first = asdict(TrainSettings(**pretraining(found)))
    everything, train, validation, test, pretrain = (
        len(cohort.scans(cases))
        for cases in (range(len(cohort)), split.train, split.validation, split.test, split.pretrain)
    )
    slices = f" in {len(cohort)} slices" if everything < len(cohort) else ""
    minutes = sum(found.seconds.values()) / 60
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found.seconds.items())
    lines = [
        f"{cohort.name}: {everything} scans{slices} ({train} to train on, {validation} validation, "
        f"{test} test, {pretrain - train} more unlabelled for pretraining). Licence: "
        f"{cohort.licence}",
        *([f"Source: {cohort.citation}"] if cohort.citation else []),
        f"U-Net levels of {', '.join(map(str, s.filters))} channels; {first['steps']} steps of "
        f"pretraining with {first['batch']} scans each at a learning rate of "
        f"{first['learning_rate']:g}; {s.finetune_steps} of fine-tuning and {s.oracle_steps} for "
        f"the oracle, {batch_of(found)} scans each.",
        f"{minutes:.1f} minutes in this run ({stages}; what a former run had finished is not "
        f"repeated) on {machine_name()}.",
        f"ssl3d_lite {version('ssl3d-lite')}, torch {torch.__version__}, "
        f"Python {platform.python_version()}. All scores: results.csv, beside this page.",
    ]
    return bullets(lines)
