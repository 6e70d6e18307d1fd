"""`optilab race`: which optimizer is the best after the same tuning, on test functions."""

from typing import TYPE_CHECKING, Annotated

from annotated_doc import Doc

from optilab.answer.answer import SimpleAnswer
from optilab.answer.progress import StepProgress
from optilab.config.presets import rules_named
from optilab.config.study import FUNCTIONS, OPTIMIZERS, RaceConfig
from optilab.config.tree import Tree
from optilab.errors import UsageError, chosen_names, shell
from optilab.optimize import OBJECTIVES
from optilab.request import studies
from optilab.request.on_functions import note_if_code_is_slow
from optilab.request.options import (
    QUIET,
    RaceOptions,
    TableOptions,
)
from optilab.request.request import Place
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


class RunRace(RaceOptions, TableOptions, RaceConfig):
    """Compare optimizers after tuning each with the same budget, on held-out starting points."""

    STUDY_KEYS = RaceConfig
    EXAMPLES = EXAMPLES
    CONFLICTS = (("json_", "settings"), ("quiet", "settings"))

    quiet: Annotated[bool, QUIET, Doc("Print what may be the best")] = False
    dry_run: Annotated[bool, Doc("Print the plan and its cost; run nothing")] = False
    settings: Annotated[bool, Doc("Print the tuned settings for each function")] = False

    def run(self, place: Place) -> "LabRace | SimpleAnswer":
        answer = race_on_functions(self, place)
        if not self.dry_run:
            self.save(answer)
        return answer


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
        notes = study.plan_notes(rules, tests, request.over)
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
