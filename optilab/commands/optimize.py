"""`optilab optimize`: the paths of optimizers on a test function."""

import re
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab import runs
from optilab.annotations import ConfigKey, Flag, claim_doc
from optilab.answer.answer import FILMS
from optilab.answer.trajectories import LabPaths
from optilab.optimize.rule import short_name
from optilab.request.on_functions import (
    Function,
    LearningRate,
    Optimizers,
    Source,
    Start,
    chosen_config,
    write_run,
)
from optilab.request.options import OUT, DetailOptions, FileOptions, SaveOptions, SetOptions
from optilab.request.request import Conflicts, Place
from optilab.study.paths import follow, judge_paths, rows, tune_rules


class Optimize(SetOptions, SaveOptions, DetailOptions, FileOptions):
    """Run optimizers on a test function, in float64: every w of the trajectory, reproducible to the last bit."""

    READS = "optimize"
    EXAMPLES = (
        "optilab optimize adam --epochs 30",
        "optilab optimize sgd,momentum,rmsprop,adam",
        "optilab optimize --algo adam --function rosenbrock --epochs 200 --start -1,1",
        'optilab optimize --algo nesterov --function "0.1*w1^2 + 2*w2^2" --start -5,-2',
        "optilab optimize --algo sgd --set schedule=cosine --set clip_norm=1",
        "optilab optimize --algo momentum --set algo.lr=1.2 --set algo.beta=0.5 --json",
        "optilab optimize adam.yaml --quiet",
        "optilab optimize --algo adam --expect 'distance < 0.2' --expect 'status == moving'",
        "optilab optimize --algo sgd,momentum,adam --out paths.png --out paths.gif",
    )
    CONFLICTS: ClassVar[Conflicts] = (("name", "no_save"),)
    ENDINGS = LabPaths.ENDINGS

    algo: Optimizers = None
    function: Function = None
    config: Source = None
    start: Start = None
    epochs: Annotated[Any, ConfigKey("epochs"), Flag("N"), Doc("Number of steps")] = None
    lr: LearningRate = None
    expect: Annotated[list[str] | None, Flag("CLAIM"), claim_doc("distance < 0.2"), ConfigKey("expect")] = None
    no_save: Annotated[bool, Doc("Write no run directory")] = False
    tune: Annotated[
        int | None, Ge(1), Le(10_000), Doc("Try N random settings of each optimizer first and show the best")
    ] = None
    picture: Annotated[
        bool | None,
        Flag(names=("--picture/--no-picture",)),
        Doc("Draw contours and loss curves in the terminal [on if it is at least 100 columns wide]"),
    ] = None
    out: Annotated[
        list[str] | None,
        OUT,
        Doc("Write the plot (.png, .svg, .pdf), a page (.html), or the steps as a film (.gif); may be repeated"),
    ] = None
    fail_on_divergence: Annotated[bool, Doc("Exit with status 6 if a path diverges [report it, exit 0]")] = False

    def run(self, place: Place) -> "LabPaths":
        """Follow the paths, write what is asked for, and the run; that of a script where it has a name."""
        config, note = chosen_config(self), ""
        if any(file.lower().endswith(FILMS) for file in self.out or ()):
            from optilab.answer.charts.paths import require_plane

            require_plane(config.function)  # before the run is written
        if self.tune:
            config, note = tune_rules(config, self.tune, self.changes)
        paths = follow(config)
        answer = LabPaths(config, paths, note)
        unsaved = self.no_save or (place.library and self.name is None)
        run = None if unsaved else _save(answer, self.name, place)
        answer = replace(
            answer,
            run=run,
            judged=judge_paths(config, paths),
            picture=self.picture,
            fail_on_divergence=self.fail_on_divergence,
        )
        self.save(answer)
        return answer


def _save(answer: "LabPaths", name: str | None, place: Place) -> str:
    """The run directory: one metrics row per optimizer and epoch."""
    config = answer.config
    facts = {
        "formulas": {label: rule.formula for label, rule, _ in answer.rule_paths},
        "results": answer.verdicts,
    }
    files = {"metrics.csv": runs.table_parts(rows(answer.paths))}
    label = re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(short_name(rule) for rule in config.algo))
    return write_run(place, runs.chosen_name(name, label), "optimize", config, config.algo, files, facts)


COMMAND = Optimize
