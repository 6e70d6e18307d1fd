"""`optilab race`: which optimizer is the best after the same tuning, on test functions or, with --on, on trainings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab import runs
from optilab.commands import studies
from optilab.commands.answer import Answer
from optilab.commands.options import (
    OUT,
    PICTURES,
    QUIET,
    FormatOptions,
    OutputOptions,
    PictureOptions,
    StudyOptions,
)
from optilab.commands.request import Place, Request, options
from optilab.commands.results import EndedStudy, LabStudy
from optilab.commands.studies import PlannedStudy
from optilab.config.presets import algorithms, rules_named
from optilab.config.study import (
    ALGOS,
    FINALISTS,
    FUNCTIONS,
    NETWORK_ALGOS,
    FunctionRaceConfig,
    RaceConfig,
    TrainingRules,
    Trainings,
)
from optilab.config.tree import Tree
from optilab.errors import UsageError, chosen_names, shown
from optilab.marks import ConfigKey, Flag
from optilab.optimize import OBJECTIVES, Objective, Rule
from optilab.runs.provenance import provenance
from optilab.show import terminal
from optilab.show.blocks import Block, Hint, Sentence, Verdict
from optilab.show.table import Table
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.show.chart import Chart
    from optilab.study.claims import ClaimResult
    from optilab.study.function_race import Race
    from optilab.study.network_race import RaceResult, RaceSpec

EXAMPLES = (
    "optilab race --algo sgd,momentum,adam --function rosenbrock,beale,himmelblau --budget 20 --starts 10",
    "optilab race --budget 50 --starts 20 --out race.png --out race.html",
    "optilab race --settings",
    "optilab race --on sigmoid.yaml,relu.yaml --algo sgd,momentum,adam --budget 10 --epochs 5 --seeds 5 --dry-run",
)


class RaceOptions(FormatOptions, PictureOptions, OutputOptions):
    """What both kinds of races have."""

    WRITES: ClassVar[Mapping[str, Sequence[str]]] = {"plot": PICTURES, "report": (".html", ".htm")}

    out: Annotated[list[str] | None, OUT, Doc("Write a .png, .svg, .pdf or .html file")] = None
    quiet: Annotated[
        bool,
        QUIET,
        Doc("Print what may be the best; with --on, the directory"),
    ] = False

    @property
    def report(self) -> str | None:
        return self.file_of("report")

    def save(self, answer: Answer) -> None:
        """Write the picture and the page that were asked for."""
        self.draw(answer.chart)
        if self.report:
            answer.report(self.report)
            self.saved.append(self.report)


class TrainingRace(StudyOptions, RaceOptions, RaceConfig):
    """Compare rules on trainings."""

    HEADING = "On networks, with --on"
    STUDY = RaceConfig
    CONFLICTS = (("on", "file"), ("on", "resume"))

    on: Trainings | None = None  # type: ignore[assignment]
    algos: TrainingRules | None = None  # type: ignore[assignment]
    config: None = None
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each run")] = None
    fail_fast: Annotated[bool, Doc("Stop at the first trial that fails")] = False
    dry_run: Annotated[bool, Doc("With --on: print the plan and its cost; train nothing")] = False

    def run(self, place: Place) -> "LabStudy | PlannedStudy":
        from optilab.study import network_race as races
        from optilab.study.claims import judge_claims, of_network_race

        tree, name = self._source(place)
        asked = studies.placed(tree, races.resolve, studies.asked(self, tree), self.changes)
        if tuned := next((change for change in self.changes if change.key.startswith("optimizer.")), None):
            raise UsageError("a race tunes the optimizers that --algo names", tuned.where)
        plan = races.plan(asked)
        name = runs.chosen_name(name, f"{asked.name}-race")
        if self.dry_run:
            return studies.dry_run(plan, name, self, place)
        ran = studies.run(plan, name, self, place)
        study = runs.read_study(ran.path)
        result = races.read(study)
        assert result is not None
        answer = NetworkRaceAnswer(
            study, ran, plan, result, judged=judge_claims(asked.expect, of_network_race(result))
        )
        self.save(answer)
        return answer

    def _source(self, place: Place) -> tuple[Tree, str | None]:
        """The trainings of `on`, or the study that is repeated or continued."""
        from optilab.study.search_space import ON_NETWORKS

        if self.on is None:
            return studies.source("race --on", self, None, place)
        started = {"algos": algorithms(NETWORK_ALGOS), "finalists": FINALISTS} | dict.fromkeys(ON_NETWORKS, True)
        on = self.model_dump(mode="json", include={"on"})["on"]
        return Tree.of(started | {"on": on}, ""), self.name


class FunctionRace(RaceOptions, FunctionRaceConfig):
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
    def of(cls, given: Mapping[str, Any], typed: bool = False) -> Request:  # type: ignore[override]
        """A race on trainings where one of these says so."""
        if given.get("config") is not None:
            raise UsageError(f"expected optimizers, got the config {shown(given['config'])} (--on)")
        trains = any(given.get(name) is not None for name in ("on", "file", "resume"))
        race, other = (TrainingRace, cls) if trains else (cls, TrainingRace)
        if wrong := [
            option.flag if typed else name
            for name, option in options(other).items()
            if name in given.keys() - options(race).keys()
        ]:
            verb = "apply" if wrong[1:] else "applies"
            raise UsageError(
                f"{listed(wrong)} {verb} only {'without' if trains else 'with'} {'--on' if typed else 'on'}"
            )
        return TrainingRace.of(given, typed) if trains else super().of(given, typed)

    def run(self, place: Place) -> "LabRace":
        asked = FunctionRaceConfig.model_validate(
            {name: getattr(self, name) for name in FunctionRaceConfig.model_fields}
        )
        answer = found_on_functions(asked, self, place)
        self.save(answer)
        return answer


# --- on test functions --------------------------------------------------------------------------------------


def found_on_functions(asked: FunctionRaceConfig, request: FunctionRace, place: Place) -> "LabRace":
    """The race that `asked` describes. UsageError for names that do not exist, and for what cannot race."""
    algos = ",".join(asked.algos or ALGOS.split(","))
    names = ",".join(asked.functions or FUNCTIONS.split(","))
    if re.search(r"[\^*+/()]", names):
        raise UsageError(f"expected names of functions, got {shown(names)}", request.flag("functions"))
    rules = rules_named(request.flag("algos"), algos)
    chosen = chosen_names(request.flag("functions"), names, "function", OBJECTIVES)
    if len(rules) < 2:
        text = f"expected at least two different optimizers, got {rules[0].name}"
        raise UsageError(text, request.flag("algos"))
    tests = [OBJECTIVES[name]() for name in chosen]
    from optilab.study import function_race as study
    from optilab.study.claims import judge_claims, of_race, require_judgeable
    from optilab.study.function_race import standings
    from optilab.study.tuning import RaceSettings

    conditions = RaceSettings(
        asked.budget, asked.starts, asked.repeats, asked.gradients, asked.accuracy, asked.seed
    )
    study.check(rules, tests)
    require_judgeable(asked.expect, [rule.name for rule in rules])
    tunings = len(rules) * len(tests) * asked.repeats
    if not (place.silent or place.library):
        most = plural(tunings * asked.budget * 2 * asked.starts * asked.gradients, "gradient evaluation")
        counts = f"{plural(len(rules), 'optimizer')} on {plural(len(tests), 'function')}"
        terminal.note(f"{counts}   {conditions}; at most {most} in all")
    with studies.StepProgress(tunings, place.silent) as progress:
        race = study.run(rules, tests, conditions, lambda done: progress.step(f"tuning {done} of {tunings}"))
    judged = judge_claims(asked.expect, of_race(standings(race)))
    return LabRace(race, rules, tests, place.argv, request.settings, judged)


@dataclass(frozen=True, repr=False)
class LabRace(Answer):
    """What a race on test functions found."""

    race: "Race"
    rules: Sequence[Rule]
    functions: Sequence[Objective]
    argv: Sequence[str]
    """The command that finds the same."""
    settings: bool = False
    """Whether the tuned settings of every function are shown."""
    judged: "Sequence[ClaimResult]" = ()

    @property
    def may_be_best(self) -> list[str]:
        """The rules that no verdict excludes, lowest cost first."""
        return self.race.comparison.possible_best

    @property
    def headline(self) -> str:
        from optilab.commands import race_tables as tables

        return tables.heading(self.race)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per rule, lowest cost first: rule, cost, ratio to the lowest, its interval, p, solved, verdict."""
        from optilab.commands import race_tables as tables

        keys = [column.key for column in tables.COLUMNS if column.only != "text"]
        return [{key: row[key] for key in keys} for row in tables.standing_rows(self.race, self.rules)]

    def blocks(self) -> Iterable[Block]:
        """The standings, what they measure, and the tuned settings."""
        from optilab.commands import race_tables as tables

        race, rules, functions = self.race, self.rules, self.functions
        table = tables.standing_rows(race, rules)
        yield Sentence(tables.heading(race), "bold")
        yield ""
        yield self.table()
        yield ""
        yield from tables.race_notes(race, rules, functions)
        yield ""
        claim, *limits = tables.race_verdict(race)
        yield Verdict(claim, "".join(f"; {limit}" for limit in limits))
        yield ""
        yield tables.settings_of(race, [row["rule"] for row in table], self.settings)
        if not self.settings:
            yield Hint("add --settings to see them for each function")
        if step := tables.next_race(race):
            yield step

    def details(self) -> Iterable[Block]:
        from optilab.commands import race_tables as tables

        return tables.race_details(self.race, self.functions, self.rules, provenance(self.argv, ["numpy"]))

    @property
    def question(self) -> str:
        return f"Which of {plural(len(self.rules), 'optimizer')} is the best after the same tuning?"

    def table(self) -> Table:
        """The standings."""
        from optilab.commands import race_tables as tables

        sentences = [
            *tables.race_verdict(self.race),
            *tables.race_notes(self.race, self.rules, self.functions),
        ]
        return Table(tables.COLUMNS, tables.standing_rows(self.race, self.rules), sentences)

    def document(self) -> Mapping[str, Any]:
        from optilab.commands import race_tables as tables
        from optilab.study import function_race as study

        step = tables.next_race(self.race)
        return {**study.document(self.race, self.rules, self.functions), "next_step": step and step.document()}

    def short(self) -> Iterable[str]:
        return self.may_be_best

    def chart(self) -> "Chart":
        """The performance profile, and the cost after more and more tuning."""
        from optilab.commands.charts.races import race_chart

        return race_chart(self.race)


# --- on trainings -------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class NetworkRaceAnswer(EndedStudy):
    """A race on trainings, or of remedies with their own rates, at its end."""

    schema_version: ClassVar[int] = 2
    spec: "RaceSpec"
    result: "RaceResult"

    def document(self) -> Mapping[str, Any]:
        from optilab.commands import race_tables as tables

        asked = self.spec.race.model_dump(mode="json", exclude={"on"})
        return {"run": str(self.ran.path), "asked": asked, **tables.document(self.result, self.entry)}


COMMAND = FunctionRace
