"""`optilab race`: which optimizer is the best after the same tuning, on test functions."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab import runs
from optilab.answer.answer import SimpleAnswer
from optilab.answer.progress import StepProgress
from optilab.config.presets import rules_named
from optilab.config.section import OneRule
from optilab.config.study import FUNCTIONS, OPTIMIZERS, RaceConfig
from optilab.config.tree import Tree
from optilab.errors import UsageError, chosen_names, shell
from optilab.optimize import OBJECTIVES, Rule
from optilab.request import studies
from optilab.request.on_functions import note_if_code_is_slow, write_run
from optilab.request.options import (
    QUIET,
    RaceOptions,
    SaveOptions,
    TableOptions,
)
from optilab.request.request import Conflicts, Place
from optilab.runs.record import TUNINGS
from optilab.show import terminal
from optilab.show.table import Table
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.answer.races import LabRace

EXAMPLES = (
    "optilab race --algo sgd,momentum,adam --function rosenbrock,beale,himmelblau --budget 20 --starts 10",
    "optilab race --budget 50 --starts 20 --out race.png --out race.html",
    "optilab race --settings",
)


class RunRace(RaceOptions, TableOptions, SaveOptions, RaceConfig):
    """Compare optimizers after tuning each with the same budget, on held-out starting points."""

    STUDY_KEYS = RaceConfig
    EXAMPLES = EXAMPLES
    CONFLICTS: ClassVar[Conflicts] = (
        ("json_", "settings"),
        ("quiet", "settings"),
        ("name", "no_save"),
        ("dry_run", "quiet"),
        ("dry_run", "out"),
    )

    quiet: Annotated[bool, QUIET, Doc("Print what may be the best")] = False
    dry_run: Annotated[bool, Doc("Print the plan and its cost; run nothing")] = False
    settings: Annotated[bool, Doc("Print the tuned settings for each function")] = False
    no_save: Annotated[bool, Doc("Write no run directory")] = False

    def run(self, place: Place) -> "LabRace | SimpleAnswer":
        """Race, write what is asked for, and the run; that of a script where it has a name."""
        if self.name is not None and not self.dry_run:
            runs.require_free(place.folder / self.name)  # before it is tuned for
        answer = race_on_functions(self, place)
        if isinstance(answer, SimpleAnswer):
            return answer
        if not (self.no_save or (place.library and self.name is None)):
            answer = replace(answer, run=_save(answer, self.name, place))
        self.save(answer)
        return answer


def _save(answer: "LabRace", name: str | None, place: Place) -> str:
    """The run directory: a metrics row per optimizer, and all tunings, from which the race is read again."""
    from optilab.runs.tables import json_line

    race = answer.race
    facts = {
        "formulas": {rule.name: rule.formula for rule in answer.rules},
        "results": {row["rule"]: row["verdict"] for row in race.standings},
        "rules": [OneRule().dump(rule) for rule in answer.rules],
        "search_space": race.search_space,
    }
    files: dict[str, Any] = {
        "metrics.csv": runs.table(answer.rows),
        TUNINGS: (json_line(asdict(tuning)) for tuning in race.tunings),
    }
    config = _config(race.conditions, answer.rules, race.functions)
    return write_run(place, runs.chosen_name(name, "race"), "race", config, answer.rules, files, facts)


def _config(conditions: RaceConfig, rules: Sequence[Rule], functions: Sequence[str]) -> RaceConfig:
    """The conditions, with the names of all that took part."""
    keys: dict[str, Any] = {key: getattr(conditions, key) for key in RaceConfig.model_fields}
    dumped = [OneRule().dump(rule) or {} for rule in rules]
    names = [f"{rule['label']}={rule['name']}" if "label" in rule else rule["name"] for rule in dumped]
    return RaceConfig(**{**keys, "algos": names, "functions": list(functions)})


def race_on_functions(request: RunRace, place: Place) -> "LabRace | SimpleAnswer":
    """The race of a request, or its plan. UsageError for names that do not exist, and for what cannot race."""
    rules = rules_named(request.flag("algos"), request.algos or OPTIMIZERS, request.over)
    chosen = chosen_names(request.flag("functions"), request.functions or FUNCTIONS, "function", OBJECTIVES)
    if len(rules) < 2:
        text = f"expected at least two different optimizers, got {rules[0].name}"
        raise UsageError(text, request.flag("algos"))
    tests = [OBJECTIVES[name]() for name in chosen]
    from optilab.answer.races import COLUMNS, LabRace
    from optilab.judge.claims import judge_claims, require_judgeable
    from optilab.study import function_race as study

    tree = Tree(places={("over",): request.flag("over")})
    studies.with_location(tree, study.require_raceable, rules, tests, request.over)
    require_judgeable(request.expect, [rule.name for rule in rules])
    Table(COLUMNS, []).choose(request.columns or (), request.flag("columns"))
    tunings = len(rules) * len(tests) * request.repeats
    most = plural(tunings * request.budget * 2 * request.starts * request.gradients, "gradient evaluation")
    counts = f"{plural(len(rules), 'optimizer')} on {plural(len(tests), 'function')}"
    plan = f"{counts}   {request.sizes}; at most {most} in all"
    if request.dry_run:
        notes = study.space_notes(rules, study.search_space(rules, tests, request.over))
        return SimpleAnswer([plan, *notes], {"plan": plan, "notes": notes})
    if not (place.silent or place.library):
        terminal.note(plan)
    with (
        note_if_code_is_slow(rules, place.silent),
        StepProgress(tunings, place.silent, f"tuning 1 of {tunings}") as progress,
    ):
        race = study.run(rules, tests, request, lambda done: progress.step(f"tuning {done} of {tunings}"))
    judged = judge_claims(request.expect, study.results_of_race(race))
    again = shell(*place.argv[1:]) if request.typed else str(request.call("race"))
    return LabRace(race, rules, tests, again, request.settings, judged)


COMMAND = RunRace
