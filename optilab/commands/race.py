"""`optilab race`: which optimizer is the best after the same tuning, on test functions or, with --on, on trainings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab.commands import studies
from optilab.commands.answer import SimpleAnswer
from optilab.commands.options import (
    QUIET,
    FileOptions,
    FormatOptions,
    OutputOptions,
    StudyOptions,
    TableOptions,
)
from optilab.commands.paths import note_if_code_is_slow
from optilab.commands.request import Place, Request, options, plain
from optilab.commands.results import EndedStudy, LabStudy
from optilab.commands.studies import PlannedStudy
from optilab.config.presets import rules_named
from optilab.config.study import (
    FINALISTS,
    FUNCTIONS,
    NETWORK_OPTIMIZERS,
    OPTIMIZERS,
    FunctionRaceConfig,
    TrainingRaceConfig,
    TrainingRules,
    Trainings,
)
from optilab.config.tree import Tree
from optilab.errors import UsageError, chosen_names, shell
from optilab.marks import ConfigKey, Flag
from optilab.optimize import OBJECTIVES
from optilab.show import terminal
from optilab.show.table import Table
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.commands.race_tables import LabRace
    from optilab.study.network_race import RaceSpec

EXAMPLES = (
    "optilab race --algo sgd,momentum,adam --function rosenbrock,beale,himmelblau --budget 20 --starts 10",
    "optilab race --budget 50 --starts 20 --out race.png --out race.html",
    "optilab race --settings",
    "optilab race --on sigmoid.yaml,relu.yaml --algo sgd,momentum,adam --budget 10 --epochs 5 --seeds 5 --dry-run",
)


class RaceOptions(FormatOptions, FileOptions, OutputOptions):
    """The options of both kinds of races."""

    quiet: Annotated[
        bool,
        QUIET,
        Doc("Print what may be the best; with --on, the directory"),
    ] = False
    dry_run: Annotated[bool, Doc("Print the plan and its cost; run nothing")] = False


class TrainingRace(StudyOptions, RaceOptions, TrainingRaceConfig):
    """Compare rules on trainings."""

    HEADING = "On networks, with --on"
    STUDY = TrainingRaceConfig
    CONFLICTS = (("on", "study"), ("on", "resume"))

    on: Trainings | None = None  # type: ignore[assignment]
    algos: TrainingRules | None = None  # type: ignore[assignment]
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each run")] = None
    fail_fast: Annotated[bool, Doc("Stop at the first trial that fails")] = False

    def run(self, place: Place) -> "LabStudy | PlannedStudy":
        tree, name = self._tree_and_name(place)
        from optilab.study.network_race import spec_of

        if tuned := next((change for change in self.changes if change.key.startswith("optimizer.")), None):
            raise UsageError("a race tunes the optimizers that --algo names", tuned.where)
        return studies.run_or_plan(self, place, tree, name, spec_of, "race", EndedRace)

    def _tree_and_name(self, place: Place) -> tuple[Tree, str | None]:
        """The trainings of `on`, or the study that is repeated or continued."""
        from optilab.study.tuning_space import NETWORK_KEYS

        if self.on is None:
            return studies.tree_and_name("race --on", self, None, place)
        started = {"algos": [*NETWORK_OPTIMIZERS], "finalists": FINALISTS} | dict.fromkeys(NETWORK_KEYS, True)
        on = self.model_dump(mode="json", include={"on"})["on"]
        return Tree.of(started | {"on": on}, ""), self.name


class FunctionRace(RaceOptions, TableOptions, FunctionRaceConfig):
    """Compare optimizers after tuning each with the same budget, on held-out starting points or seeds."""

    HEADING = "On test functions"
    STUDY = FunctionRaceConfig
    EXAMPLES = EXAMPLES
    CONFLICTS = (("json_", "settings"), ("quiet", "settings"))

    settings: Annotated[bool, Doc("Print the tuned settings for each function")] = False

    @classmethod
    def requests(cls) -> Sequence[type[Request]]:
        return (FunctionRace, TrainingRace)

    @classmethod
    def of(cls, values: Mapping[str, Any], typed: bool = False) -> Request:  # type: ignore[override]
        """A race on trainings where one of these says so."""
        if isinstance(over := plain(values.get("over")), dict):  # a range as a tuple of Python
            spans = {
                key: ":".join(map(str, span)) if isinstance(span, list) else span for key, span in over.items()
            }
            values = {**values, "over": spans}
        trains = any(values.get(name) is not None for name in ("on", "study", "resume"))
        race, other = (TrainingRace, cls) if trains else (cls, TrainingRace)
        if wrong := [
            option.flag if typed else name
            for name, option in options(other).items()
            if name in values.keys() - options(race).keys()
        ]:
            verb = "apply" if wrong[1:] else "applies"
            raise UsageError(
                f"{listed(wrong)} {verb} only {'without' if trains else 'with'} {'--on' if typed else 'on'}"
            )
        return TrainingRace.of(values, typed) if trains else super().of(values, typed)

    def run(self, place: Place) -> "LabRace | SimpleAnswer":
        answer = race_on_functions(self, place)
        if not self.dry_run:
            self.save(answer)
        return answer


# --- on test functions --------------------------------------------------------------------------------------


def race_on_functions(request: FunctionRace, place: Place) -> "LabRace | SimpleAnswer":
    """The race of a request, or its plan. UsageError for names that do not exist, and for what cannot race."""
    rules = rules_named(request.flag("algos"), request.algos or OPTIMIZERS, request.over)
    chosen = chosen_names(request.flag("functions"), request.functions or FUNCTIONS, "function", OBJECTIVES)
    if len(rules) < 2:
        text = f"expected at least two different optimizers, got {rules[0].name}"
        raise UsageError(text, request.flag("algos"))
    tests = [OBJECTIVES[name]() for name in chosen]
    from optilab.commands.race_tables import COLUMNS, LabRace
    from optilab.study import function_race as study
    from optilab.study.claims import judge_claims, require_judgeable, results_of_race

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
        studies.StepProgress(tunings, place.silent, f"tuning 1 of {tunings}") as progress,
    ):
        race = study.run(rules, tests, request, lambda done: progress.step(f"tuning {done} of {tunings}"))
    judged = judge_claims(request.expect, results_of_race(race))
    again = shell(*place.argv[1:]) if request.typed else str(request.call("race"))
    return LabRace(race, rules, tests, again, request.settings, judged)


@dataclass(frozen=True, repr=False)
class EndedRace(EndedStudy):
    """A race on trainings, or of remedies with their own rates, at its end."""

    schema_version: ClassVar[int] = 2
    spec: "RaceSpec"

    def document(self) -> Mapping[str, Any]:
        assert self._view is not None
        config = self.spec.race.model_dump(mode="json", exclude={"on"})
        return {"run": str(self.ran.path), "asked": config, **self._view.document()}


COMMAND = FunctionRace
