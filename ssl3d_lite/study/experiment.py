"""Which settings each run of a study has.

Everything random in a run comes from its seed, which all arms share: the encoder's start, the scans
that have labels, the decoder's start, the order of batches.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ssl3d_lite.data.cohort import Cohort, Split
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.training.presets import PUBLISHED_TASKS, QUICK_SLICES, preset
from ssl3d_lite.training.settings import FinetuneSettings, PretrainSettings

from .arms import Arm, has_decoder
from .data import StudyData
from .jobs import Job, Run
from .settings import Machine, ProbeSettings, Study, build_settings


@dataclass(frozen=True)
class Experiment:
    """A study laid out to be run: its settings, its cohorts, the folder of its results."""

    study: Study
    data: StudyData
    out: Path
    machine: Machine

    # ---- the encoder and its proxy tasks -------------------------------------------------------

    def encoder_settings(self, arm: Arm, cohort: Cohort) -> EncoderSettings:
        """The shape of an arm's encoder for a cohort's scans."""
        given = dict(self.study.encoder)
        if "filters" in given:
            given["filters"] = tuple(given["filters"])
        if arm.network:  # the file's shape is that of a U-Net
            given = {"network": arm.network, "norm": given.get("norm", EncoderSettings.norm)}
        given |= {"norm": arm.norm} if arm.norm else {}
        given |= {"block": arm.block} if arm.block else {}
        return EncoderSettings(
            in_channels=len(cohort.channels),
            spatial_dims=3 if cohort.spatial_dims == 3 else 2,
            **given,
        )

    def start(self, job: Job) -> EncoderSettings:
        """The shape in which a job's encoder starts: for the scans that it is pretrained on."""
        arm = job.arm
        if arm.tasks:
            return self.encoder_settings(arm, self.data.corpus(arm, job.fold).cohort)
        return self.encoder_settings(arm, self.data.benchmark(arm))

    def task_settings(self, arm: Arm) -> dict[str, dict[str, Any]]:
        """The settings of each of its proxy tasks that differ from their defaults."""
        dims, own = self.data.benchmark(arm).spatial_dims, self.study.tasks
        settings = {
            task: preset(self.preset_of(task), task, dims).tasks[task]
            | own.get(f"2d-{task}" if arm.flat else task, {})
            for task in arm.tasks
        }
        for task in filter(has_decoder, settings if arm.whole_network else ()):
            settings[task] = settings[task] | {"decoder": "unet"}
        return settings

    def preset_of(self, task: str) -> str:
        """The preset of a task: a task that is not in the paper has none of the paper's settings,
        so it gets ours."""
        name = self.study.preset
        return name if task in PUBLISHED_TASKS else "quick"

    # ---- cases ---------------------------------------------------------------------------------

    def split(self, job: Job) -> Split:
        """The benchmark's cases to train on, to validate and to test. While settings are searched
        for, those for validation are scored, and the test cases are not touched."""
        split = self.data.benchmark(job.arm).split(job.fold)
        return replace(split, test=split.validation) if self.study.is_search else split

    # ---- training ------------------------------------------------------------------------------

    def pretraining(self, job: Job) -> PretrainSettings:
        """How a job's encoder is pretrained. The study sets the steps, alike for every arm."""
        arm = job.arm
        dims, task = self.data.benchmark(arm).spatial_dims, arm.tasks[0]
        chosen = preset(self.preset_of(task), task, dims).training
        chosen = chosen | {"epochs": 0} | self._given("pretrain", arm)
        return PretrainSettings(**chosen, seed=job.seed, **asdict(self.machine))

    def finetuning(self, run: Run) -> FinetuneSettings:
        """How a run is fine-tuned: alike for every arm, but for the encoder's warm-up and its
        share of the learning rate, which training from scratch does not have."""
        study, arm = self.study, run.job.arm
        dims = self.data.benchmark(arm).spatial_dims
        given = {"batch": 2 if dims == 3 else QUICK_SLICES} | self._given("finetune", arm)
        settings = FinetuneSettings(**given, seed=run.job.seed, **asdict(self.machine))
        if run.protocol == "frozen":
            return replace(settings, freeze_encoder_steps=settings.steps)
        settings = replace(settings, test_at=study.milestones)  # whether or not they are wanted now
        alone = arm.source == "scratch" and not arm.warm
        if alone or arm.whole_network:  # no random decoder spoils the encoder
            return settings
        frozen = round(study.warm_up * settings.steps)
        return replace(
            settings, freeze_encoder_steps=frozen, encoder_lr_scale=study.encoder_lr_scale
        )

    def oracle_training(self, job: Job) -> FinetuneSettings:
        """How an oracle is trained on all training labels: unless the study says otherwise, in as
        many steps as pretraining has."""
        return replace(
            self.finetuning(Run(job, "finetune")),
            steps=self.study.oracle_steps or self._given("pretrain", job.arm)["steps"],
            freeze_encoder_steps=0,
            encoder_lr_scale=1.0,
            test_at=(),
            validate_every=0,
        )

    def probing(self, seed: int) -> dict[str, Any]:
        """Voxels that a probe takes from a scan; and the draws of labels, by number. Unless the
        study says otherwise, no two seeds share a draw."""
        probe = build_settings(ProbeSettings, self.study.probe, f"probe of {self.study.name}")
        first = 0 if probe.same_draws else seed * probe.draws
        return {"voxels": probe.voxels, "draws": list(range(first, first + probe.draws))}

    def _given(self, which: str, arm: Arm) -> dict[str, Any]:
        table = getattr(self.study, which)
        return table | (self.study.flat.get(which, {}) if arm.flat else {})
