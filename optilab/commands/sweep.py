"""`optilab sweep`: one training over axes of settings and several seeds, on every core."""

from typing import Annotated, ClassVar

from annotated_doc import Doc

from optilab.annotations import ConfigKey, Flag
from optilab.answer.planned import PlannedStudy
from optilab.answer.results import LabStudy
from optilab.answer.sweeps import EndedSweep
from optilab.config.study import SweepConfig
from optilab.request import studies
from optilab.request.options import (
    Config,
    LearningRate,
    Optimizer,
    Seed,
    StudyOptions,
)
from optilab.request.request import Conflicts, Place


class Sweep(StudyOptions, SweepConfig):
    """Train one network over axes of settings: several seeds per setting, in parallel, one thread per run.

    The table compares the settings over their seeds. Each trial is a run directory, bit-identical to `optilab train
    --threads 1` of its config. The same command with the same --name, or --resume, continues a stopped study.
    """

    READS = "train"
    STUDY_KEYS = SweepConfig
    CONFLICTS: ClassVar[Conflicts] = (("zip", "samples"),)
    EXAMPLES = (
        "optilab sweep sigmoid.yaml --over optimizer.lr=1e-3:10:9:log --over model.init=default,unit-gain --seeds 3 "
        "--epochs 10",
        "optilab sweep relu.yaml --over optimizer=sgd,adam --over optimizer.lr=1e-4:1:5:log --epochs 5 --dry-run",
        "optilab sweep relu.yaml --over optimizer.lr=1e-4:1:log --samples 30 --halving 3 --epochs 9",
        "optilab sweep relu.yaml --over optimizer.lr=1e-3:1:9:log --seeds 3 --confirm 3 --epochs 5",
        "optilab sweep relu.yaml --over optimizer.lr=0.1,1 --seeds 5 --epochs 5 --expect "
        "'best: val_acc > 0.8 confidence 0.95'",
        "optilab sweep relu.yaml --over optimizer=sgd,adam --over optimizer.lr=1e-4:1:log --samples 32 --search tpe",
        "optilab sweep --resume 20261124-231207-sigmoid-sweep-91c07d4e",
    )

    config: Config = None
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each run")] = None
    optimizer: Optimizer = None
    lr: LearningRate = None
    seed: Seed = None
    fail_fast: Annotated[bool, Doc("Stop at the first trial that fails")] = False

    def run(self, place: Place) -> "LabStudy | PlannedStudy":
        tree, name = studies.tree_and_name("sweep", self, self.config, place)
        from optilab.study.sweep import spec_of

        return studies.run_or_plan(self, place, tree, name, spec_of, "sweep", EndedSweep)


COMMAND = Sweep
