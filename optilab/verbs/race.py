"""`optilab race`: which optimizer is the best after the same tuning, on test functions or, with --on, on trainings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from annotated_doc import Doc
from platformdirs import user_cache_path

from optilab import runs
from optilab.config.load import load
from optilab.config.marks import ConfigKey, Flag
from optilab.config.presets import algorithms, rules_named
from optilab.config.study import ALGOS, FUNCTIONS, NETWORK_ALGOS, FunctionRaceConfig, RaceConfig, read_names
from optilab.errors import ExitCode, UsageError, chosen_names, shown
from optilab.optimize import OBJECTIVES, Objective, Rule
from optilab.runs.provenance import provenance
from optilab.show import terminal
from optilab.show.page import page_file, write_page
from optilab.show.progress import ProgressLine
from optilab.show.table import Column, Table
from optilab.signals import Interrupted
from optilab.study import function_race as study
from optilab.study import network_race as races
from optilab.study.claims import ClaimResult, of_network_race, of_race, require_judgeable
from optilab.study.comparison import Comparison
from optilab.study.execution import StudyResult
from optilab.study.function_race import ENOUGH_FUNCTIONS, Race, may_be_best, standings
from optilab.study.network_race import NetworkRace, NetworkResult, RacedCandidate, RaceResult
from optilab.study.tuning import UNSOLVED, RaceSettings, extra_knowledge, gradients_per_step
from optilab.verbs import studies
from optilab.verbs.answer import Answer, Part, Sentence
from optilab.verbs.compare import Units, more_advice
from optilab.verbs.options import (
    OUT,
    PICTURES,
    DataOptions,
    FormatOptions,
    OutputOptions,
    PictureOptions,
    SetOptions,
    StudyOptions,
)
from optilab.verbs.results import LabStudy
from optilab.verbs.studies import PlannedStudy
from optilab.verbs.verb import Place, Verb, fields_of
from optilab.words import duration, plural, some

if TYPE_CHECKING:
    from optilab.show.chart import Chart

EXAMPLES = (
    "optilab race --algo sgd,momentum,adam --function rosenbrock,beale,himmelblau --budget 20 --starts 10",
    "optilab race --budget 50 --starts 20 --out race.png --out race.html",
    "optilab race --settings",
    "optilab race --on sigmoid.yaml,relu.yaml --algo sgd,momentum,adam --budget 10 --epochs 5 --seeds 5 --dry-run",
)


class RaceOptions(PictureOptions, OutputOptions):
    """What both kinds of races have."""

    WRITES: ClassVar[Mapping[str, Sequence[str]]] = {"plot": PICTURES, "report": (".html", ".htm")}
    RENAMED: ClassVar[Mapping[str, str]] = {"--report": "--out", "--algos": "--algo", "--functions": "--function"}
    report: ClassVar[str | None] = None

    out: Annotated[list[str] | None, OUT, Doc("Write a plot (.png, .svg, .pdf) or a report (.html)")] = None
    quiet: Annotated[
        bool,
        Flag(names=("--quiet", "-q")),
        Doc("Print only the optimizers that may be the best; with --on, the study directory"),
    ] = False


class FunctionRace(RaceOptions):
    """Compare optimizers after tuning each with the same budget, on held-out starting points or seeds."""

    HEADING = "On test functions"
    KEPT = FunctionRaceConfig
    EXAMPLES = EXAMPLES
    CONFLICTS = (("json", "settings"), ("quiet", "settings"))

    @classmethod
    def of(cls, given: Mapping[str, Any], typed: bool = False) -> Self:
        return super().of(renamed(given, "--" * typed), typed)

    settings: Annotated[bool, Doc("Print the tuned settings of every optimizer on every function")] = False
    cache: Annotated[
        bool,
        Flag(names=("--cache/--no-cache",), shown="cache"),
        Doc("Keep results in the user's cache, and reuse them"),
    ] = True


class TrainingRace(StudyOptions, SetOptions, DataOptions, FormatOptions, RaceOptions):
    """Compare rules on trainings."""

    HEADING = "On trainings, with --on"
    KEPT = RaceConfig
    CONFLICTS = (("on", "file"), ("on", "resume"))

    epochs: Annotated[str | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each training")] = None
    fail_fast: Annotated[bool, Doc("With --on: stop at the first trial that fails")] = False
    dry_run: Annotated[bool, Doc("With --on: print the plan and its estimated cost; train nothing")] = False


def renamed(asked: Any, dashes: str = "") -> Any:
    """What a race on functions is asked, with its former name of the gradient evaluations."""
    if not isinstance(asked, Mapping) or "epochs" not in asked:
        return asked
    if dashes:
        terminal.note("--epochs is now called --gradients in a race on functions; the old name still works")
    return {"gradients" if key == "epochs" else key: value for key, value in asked.items()}


def choose(given: Mapping[str, Any], typed: bool) -> type[FunctionRace | TrainingRace]:
    """The kind of race that is asked for. UsageError for options of the other kind."""

    networks = any(given.get(name) is not None for name in ("on", "file", "resume"))
    meant, other = (TrainingRace, FunctionRace) if networks else (FunctionRace, TrainingRace)
    accepted = {one.name for one in fields_of(meant)}
    if wrong := [one for one in fields_of(other) if one.name in given and one.name not in accepted | {"epochs"}]:
        on, trainings = ("--on", "--on CONFIG") if typed else ("on", "on=[CONFIG, ...]")
        where = f"on test functions, without {on}" if networks else f"on trainings: add {trainings}"
        raise UsageError(
            f"{', '.join(one.flag if typed else one.name for one in wrong)} can only be used in a race {where}"
        )
    return meant


def race(request: FunctionRace | TrainingRace, place: Place) -> "LabRace | LabStudy | PlannedStudy":
    if isinstance(request, TrainingRace):
        return race_on_trainings(request, place)
    return race_on_functions(request, place)


# --- on test functions --------------------------------------------------------------------------------------


def race_on_functions(request: FunctionRace, place: Place) -> "LabRace":
    asked = load(FunctionRaceConfig, None, request.changes(kept=True))
    page = page_file(request.report) if request.report else None
    answer = found_on_functions(asked, request, place)
    request.draw(answer.chart)
    if page:
        write_page(page, answer.page(None))
    return answer


def found_on_functions(asked: FunctionRaceConfig, request: FunctionRace, place: Place) -> "LabRace":
    """The race that `asked` describes. UsageError for names that do not exist, and for what cannot race."""
    conditions = RaceSettings(
        asked.budget, asked.starts, asked.repeats, asked.gradients, asked.accuracy, asked.seed
    )
    rules = rules_named(request.flag("algos"), ",".join(asked.algos or ALGOS.split(",")))
    names = ",".join(asked.functions or FUNCTIONS.split(","))
    tests = [OBJECTIVES[name]() for name in chosen_names(request.flag("functions"), names, "function", OBJECTIVES)]
    study.check(rules, tests)
    if len(rules) < 2:
        raise UsageError(
            f"a race needs at least two different optimizers, got {rules[0].name}", request.flag("algos")
        )
    require_judgeable(asked.expect, [rule.name for rule in rules])
    if not (place.silent or place.library):
        announce(len(rules), len(tests), conditions)
    folder = user_cache_path("optilab") / "races" if request.cache else None
    try:
        found = study.run(rules, tests, conditions, folder, RaceProgress(place.silent))
    except Interrupted:
        if not place.library:
            terminal.note("stopped; the same command resumes the race" if request.cache else "stopped")
        raise
    judged = list(of_race(asked.expect, standings(found)))
    return LabRace(found, rules, tests, place.argv, request.settings, bool(request.plot), judged)


@dataclass(frozen=True, repr=False)
class LabRace(Answer):
    """What a race on test functions found."""

    race: Race
    rules: Sequence[Rule]
    functions: Sequence[Objective]
    argv: Sequence[str]
    """The command that finds the same."""
    settings: bool = False
    """Whether the tuned settings of every function are shown."""
    drawn: bool = False
    judged: Sequence[ClaimResult] = ()

    @property
    def may_be_best(self) -> list[str]:
        """The rules that no verdict excludes, lowest cost first."""
        return may_be_best(standings(self.race))

    @property
    def headline(self) -> str:
        return heading(self.race)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per rule, lowest cost first: rule, cost, ratio to the lowest, its interval, p, solved, verdict."""
        keys = [column.key for column in COLUMNS if column.only != "text"]
        return [{key: row[key] for key in keys} for row in standing_rows(self.race, self.rules)]

    def parts(self) -> Iterable[Part]:
        """The standings, what they measure, and the tuned settings."""
        race, rules, functions = self.race, self.rules, self.functions
        table = standing_rows(race, rules)
        yield Sentence(heading(race), "bold")
        yield ""
        yield self.table()
        yield ""
        for line in race_notes(race, rules, functions):
            yield line
        yield ""
        for line in race_verdict_sentences(race):
            yield line
        yield ""
        headings, values = settings_of(race, [row["rule"] for row in table], self.settings)
        left = (0, 1, 3) if self.settings else (0, 1)
        yield (terminal.grid(headings, values, left=left))
        hints = [] if self.settings else ["add --settings to see them for each function"]
        hints += ["everything: --json", *([] if self.drawn else ["profile and tuning curves: --out race.png"])]
        hints += ["as a report: --out race.html"]
        yield "; ".join(hints)

    def table(self) -> Table:
        """The standings."""
        said = [*race_verdict_sentences(self.race), *race_notes(self.race, self.rules, self.functions)]
        return Table(COLUMNS, standing_rows(self.race, self.rules), said)

    def document(self) -> Mapping[str, Any]:
        return study.document(self.race, self.rules, self.functions)

    def short(self) -> Iterable[str]:
        return self.may_be_best

    def chart(self) -> "Chart":
        """The performance profile, and the cost after more and more tuning."""
        from optilab.verbs.charts.races import race_chart

        return race_chart(self.race)

    def page(self, title: str | None) -> bytes:
        from optilab.verbs.race_page import race_page

        return race_page(self.race, self.rules, self.functions, provenance(self.argv, ["numpy"]), title)


def announce(rules: int, functions: int, conditions: RaceSettings) -> None:
    """What the race will cost, before it starts."""
    tunings = rules * functions * conditions.repeats
    gradients = tunings * conditions.budget * 2 * conditions.starts * conditions.gradients
    parts = [plural(rules, "optimizer"), plural(functions, "function"), plural(conditions.repeats, "repeat")]
    terminal.note(
        f"{plural(tunings, 'tuning')} ({' x '.join(parts)}) of {plural(conditions.budget, 'setting')} from "
        f"{plural(2 * conditions.starts, 'start')}: at most {plural(gradients, 'gradient evaluation')}"
    )


class RaceProgress:
    """A line that is overwritten on a terminal and in a notebook, with the time left; nothing in a pipe."""

    def __init__(self, silent: bool) -> None:
        self._shown = terminal.err.is_terminal and not silent
        self._line = ProgressLine() if terminal.err.is_jupyter and not silent else None
        self._start = monotonic()

    def __call__(self, done: int, total: int) -> None:
        left = (monotonic() - self._start) / done * (total - done)
        text = f"tuning {done} of {total}, {duration(left)} left "
        if self._shown:
            terminal.err.print(text, end="\r" if done < total else "\n")
        elif self._line is not None and done < total:
            self._line.draw(done / total, text)
        elif self._line is not None:
            self._line.close()


COLUMNS = (
    Column("rule", "", only="values"),
    Column("marked", "optimizer", left=True, only="text"),
    Column("cost", "cost", "{:.1f}".format),
    Column("ratio", "x lowest", "{:.2f}".format),
    Column("interval", "95%", only="text"),
    Column("low", "", only="values"),
    Column("high", "", only="values"),
    Column("p", "", only="values"),
    Column("solved", "solved", "{:.0%}".format),
    Column("verdict", "verdict", left=True),
)
"""For the standings."""


def heading(race: Race) -> str:
    """What raced, and under which conditions."""
    counts = plural(len(race.rules), "optimizer"), plural(len(race.functions), "function")
    return f"{' on '.join(counts)}   {race.conditions}"


def standing_rows(race: Race, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The standings as rows of the table; `marked` has a star where a rule uses more than gradients."""
    marks = {rule.name: "*" * bool(extra_knowledge(rule)) for rule in rules}
    table = []
    for row in standings(race):
        low, high = row.interval or (None, None)
        interval = f"{low:.2f} to {high:.2f}" if row.interval else "-"
        table.append(
            {**asdict(row), "marked": row.rule + marks[row.rule], "interval": interval, "low": low, "high": high}
        )
    return table


def race_notes(race: Race, rules: Sequence[Rule], functions: Sequence[Objective]) -> list[str]:
    """What the numbers are."""
    conditions = race.conditions
    problems, unsolved = plural(race.costs.shape[1], "problem"), UNSOLVED * conditions.gradients
    return [
        f"cost: gradient evaluations until f - f_min falls to {conditions.accuracy:g} of its "
        "initial value near a known minimum inside the search box; "
        f"geometric mean over {problems}, an unsolved problem counts as {unsolved}",
        "x lowest: cost relative to the cheapest optimizer; the 95% intervals and verdicts "
        "hold for all optimizers at once, with the functions as a random sample",
        *(note for rule in rules if (note := _extra(rule, functions))),
    ]


def race_verdict_sentences(race: Race) -> list[str]:
    """The answer of a race on functions, which `study.function_race.standings` has decided, and what limits it.

    Nothing for a single optimizer.
    """
    table = standings(race)
    if not any(row.solved for row in table):
        return ["no optimizer solved any problem: try more --gradients or a larger --accuracy"]
    if len(table) < 2:
        return []
    possible = may_be_best(table)
    if len(possible) == 1:
        lines = [f"{possible[0]} is the best on functions like these"]
    else:
        lines = [f"cannot rule out as the best: {', '.join(possible)}; race on more functions to separate them"]
    if len(race.functions) < ENOUGH_FUNCTIONS:
        lines.append(f"fewer than {ENOUGH_FUNCTIONS} functions can hardly tell optimizers apart")
    return lines


def _extra(rule: Rule, functions: Sequence[Objective]) -> str:
    """What a rule uses besides gradients, and what that is charged; empty for one that uses nothing else."""
    names = {
        "gradient_at": "a second gradient",
        "hessian": "the Hessian",
        "hessian_diagonal": "the Hessian's diagonal",
        "value": "f",
        "f_min": "f_min",
    }
    extra = [names[name] for name in extra_knowledge(rule)]
    prices = sorted({gradients_per_step(rule, function) for function in functions})
    charge = "at no charge" if prices == [1] else f"a step is charged {' or '.join(map(str, prices))} gradients"
    return f"* {rule.name} uses {' and '.join(extra)} besides the gradient; {charge}" if extra else ""


def settings_of(race: Race, order: Sequence[str], every: bool) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: medians and ranges per rule, or the setting of each function and repeat."""
    if every:
        return ["function", "optimizer", "repeat", "tuned settings"], [
            [function, rule, str(tuning.repeat + 1), _text(tuning.settings)]
            for function in race.functions
            for rule in order
            for tuning in race.of(rule, function)
        ]
    table = []
    for rule in order:
        tunings = [tuning for function in race.functions for tuning in race.of(rule, function)]
        for name in tunings[0].settings:
            values = [tuning.settings[name] for tuning in tunings]
            table.append([rule, name, f"{median(values):.4g}", f"{min(values):.4g} to {max(values):.4g}"])
    return ["optimizer", "tuned", "median", "over functions and repeats"], table


def _text(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in settings.items()) or "-"


# --- on trainings -------------------------------------------------------------------------------------------


def race_on_trainings(request: TrainingRace, place: Place) -> "LabStudy | PlannedStudy":
    page = page_file(request.report) if request.report else None
    source = source_of(request, place)
    asked = races.resolve(studies.asked(request, source), request.changes())
    plan = races.plan(asked)
    name = runs.chosen_name(source.name, f"{asked.name}-race")
    if request.dry_run:
        return studies.dry_run(plan, name, request, place)
    ran = studies.run(plan, name, request, place)
    found = races.result(plan, ran.outcomes, ran.path)
    answer = NetworkRaceAnswer(
        runs.read_study(ran.path), plan, found, ran, list(of_network_race(asked.expect, found))
    )
    request.draw(answer.chart)
    if page:
        write_page(page, answer.page(None))
    return answer


def source_of(request: TrainingRace, place: Place) -> studies.StudySource:
    """The trainings of `on`, or the study that is repeated or continued."""
    if (on := request.given.get("on")) is not None:
        listed = read_names(on) if isinstance(on, str) else [on] if isinstance(on, Mapping) else list(on)
        if not listed or "" in listed:
            raise UsageError(
                f"{shown(on)} has an empty name between its commas; expected CONFIG,CONFIG,...", request.flag("on")
            )
        trainings = {"on": [studies.training(config) for config in listed], "algos": algorithms(NETWORK_ALGOS)}
        return studies.StudySource(trainings, request.name)
    return studies.source("race --on", request, None, place)


@dataclass(frozen=True, repr=False)
class NetworkRaceAnswer(LabStudy):
    """A race on trainings, or of remedies with their own rates, at its end."""

    planned: NetworkRace
    found: RaceResult
    ran: StudyResult
    judged: Sequence[ClaimResult] = ()

    @property
    def code(self) -> ExitCode:
        return self.ran.code

    def parts(self) -> Iterable[Part]:
        """A table per training, one over all of them, the settings, and what holds."""
        planned, result = self.planned, self.found
        yield Sentence(planned.shape, "bold")
        for heat in result.networks:
            config = planned.problems[heat.problem]
            yield ""
            yield Sentence(f"{heat.problem}   {config.epochs} epochs", "bold")
            if not heat.candidates:
                yield "no optimizer has a judged training"
                continue
            yield Table(columns(heat, result.kinds[0]), rows(heat))
            yield Sentence(f"verdict: {_verdict(heat, result)}", "bold")
        if result.overall is not None:
            yield ""
            yield Sentence(f"over all {len(result.networks)} networks, mean test accuracy", "bold")
            yield Table(OVERALL, judged_rows(result.overall))
            yield Sentence(f"verdict: {verdict_sentence(result.overall, 'networks')}", "bold")
        yield ""
        yield from notes(result)
        yield str(self.ran.path)

    def document(self) -> Mapping[str, Any]:
        asked = self.planned.asked.model_dump(mode="json", exclude={"on"})
        return {"run": str(self.ran.path), "asked": asked, **document(self.found)}

    def short(self) -> Iterable[str]:
        yield str(self.ran.path)


_UNITS = Units(share=True)


def whole(result: RaceResult) -> tuple[list[Column], list[dict[str, Any]]]:
    """One table of all heats: its columns and rows."""
    table = [{"network": heat.problem, **row} for heat in result.networks for row in rows(heat)]
    return [Column("network", "network", left=True), *columns(None, result.kinds[0])], table


def notes(result: RaceResult) -> list[str]:
    """What the numbers are, and what they do not say."""
    lines = [
        f"tuned on {result.budget} settings of one space, one seed each, by the accuracy on held-out training images; "
        f"judged on the test set, from {result.seeds} new seed{'s' * (result.seeds > 1)}",
        "verdicts hold for all rows of a table at once; "
        + (
            "the luck of tuning is part of the intervals"
            if result.sample == "repeats"
            else "they hold for the settings that were chosen; the luck of tuning is in no interval"
            + (": --repeats N makes it part of them" if result.kinds[0] == "optimizer" else "")
        ),
        "near: percentage of the tried settings whose accuracy is within 1 percentage point "
        "of the best optimizer's; seconds: with several "
        "trainings at once",
    ]
    charged = dict.fromkeys(own.rule for heat in result.networks for own in heat.candidates if own.passes > 1)
    if charged:
        verb = "takes" if len(charged) == 1 else "take"
        lines.append(f"{some([*charged], 6)} {verb} two gradients per step, so each epoch counts as two")
    if result.edges:
        listed = some(result.edges, 4)
        lines.append(f"at an end of the rates that were tried, so that a better one may lie beyond: {listed}")
    lines += [
        f"not equal: {n} trials of {rule} failed; the command tries them again"
        for rule, n in result.failed.items()
    ]
    if result.overall is None and len(result.networks) > 1:
        lines.append("no table over all networks: one has no result on some of them")
    return lines


def columns(heat: NetworkResult | None, kind: str) -> list[Column]:
    to = "the target" if heat is None else f"{100 * heat.target:.1f}%"
    return [
        Column("rule", kind, left=True),
        Column("n", "n", detail=2),
        Column("mean", "test_acc", _UNITS.value),
        Column("interval", "95%", _UNITS.interval, only="text", detail=4),
        Column("low", "", only="values"),
        Column("high", "", only="values"),
        Column("difference", "against the best", _UNITS.difference),
        Column("difference_interval", "95%", _UNITS.differences, only="text"),
        Column("difference_low", "", only="values"),
        Column("difference_high", "", only="values"),
        Column("epochs", f"epochs to {to}", "{:.1f}".format, detail=3),
        Column("seconds", "seconds", "{:.0f}".format, detail=6),
        Column("near", "near", "{:.0%}".format, detail=5),
        Column("verdict", "verdict", left=True),
        Column("settings", "settings", left=True, detail=1),
    ]


OVERALL = (
    Column("rule", "optimizer", left=True),
    Column("mean", "test_acc", _UNITS.value),
    Column("difference", "against the best", _UNITS.difference),
    Column("difference_interval", "95%", _UNITS.differences),
    Column("verdict", "verdict", left=True),
)
"""For the table over all networks."""


def rows(heat: NetworkResult) -> list[dict[str, Any]]:
    """The values of a heat's table, best first."""
    if heat.comparison is None:
        return []
    by_rule = {runner.rule: runner for runner in heat.candidates}
    return [{**row, **_speed(by_rule[row["rule"]])} for row in judged_rows(heat.comparison)]


def judged_rows(comparison: Comparison[str]) -> list[dict[str, Any]]:
    """The outcomes and verdicts of rules as rows, best first."""
    table = []
    for own in comparison.ranked:
        summary, contrast = own.summary, own.difference
        low, high = summary.interval or (None, None)
        row: dict[str, Any] = {"rule": own.key, "n": summary.n, "mean": summary.mean, "low": low, "high": high}
        row["interval"] = summary.interval
        row["verdict"] = own.verdict
        if contrast:
            low, high = contrast.interval or (None, None)
            row |= {"difference": contrast.difference, "difference_interval": contrast.interval}
            row |= {"difference_low": low, "difference_high": high}
        table.append(row)
    return table


def _speed(runner: RacedCandidate) -> dict[str, Any]:
    """Mean epochs and seconds to the target where every seed reached it, and what was chosen."""
    epochs = runner.mean_epochs
    seconds = None if epochs is None else sum(runner.seconds.values.values()) / len(runner.seconds.values)
    chosen = ["  ".join(f"{key} {_short(value)}" for key, value in own.items()) for own in runner.settings]
    settings = " | ".join(chosen) or "every setting diverged"
    return {"epochs": epochs, "seconds": seconds, "near": runner.near, "settings": settings}


def _short(value: float) -> str:
    """Three digits; more for a number that they would make 1."""
    text = f"{value:.3g}"
    return f"{value:.6g}" if float(text) == 1 != value else text


def verdict_sentence(comparison: Comparison[str] | None, sample: str) -> str:
    """The answer of a race on trainings, which `study.comparison.judge` has decided, in one sentence."""
    if comparison is None:
        return "no result"
    possible = comparison.possible_best
    if len(possible) == 1:
        return f"{possible[0]} is the best"
    advice = more_advice(comparison, sample)
    return f"cannot tell which is best: {', '.join(possible)}{advice}"


def answer_of(result: RaceResult) -> str:
    """The verdict over all networks, or where there is none, those of each."""
    if result.overall is not None:
        return verdict_sentence(result.overall, "networks")
    verdicts = {heat.problem: _verdict(heat, result) for heat in result.networks}
    return "; ".join(f"{name}: {text}" if len(verdicts) > 1 else text for name, text in verdicts.items())


def _verdict(heat: NetworkResult, result: RaceResult) -> str:
    return verdict_sentence(heat.comparison, result.sample)


def document(result: RaceResult) -> dict[str, Any]:
    """Everything that was found, as the tree of `--json`."""
    heats = []
    for heat in result.networks:
        own = {row["rule"]: row for row in rows(heat)}
        runners = [
            {
                **{key: value for key, value in own[runner.rule].items() if not key.endswith("interval")},
                "settings": runner.settings,
                "test_acc": {str(seed): value for seed, value in runner.accuracy.values.items()},
                "worst": {str(seed): why for seed, why in runner.accuracy.worst.items()},
                "best_of": runner.best_of,
                "runs": {str(seed): str(record.path) for seed, record in runner.runs.items()},
            }
            for runner in sorted(heat.candidates, key=lambda runner: list(own).index(runner.rule))
        ]
        heats.append(
            {
                "network": heat.problem,
                "target": heat.target,
                "verdict": _verdict(heat, result),
                "rules": runners,
            }
        )
    overall = None
    if result.overall is not None:
        overall = {
            "verdict": verdict_sentence(result.overall, "networks"),
            "rules": [
                {key: value for key, value in row.items() if not key.endswith("interval")}
                for row in judged_rows(result.overall)
            ],
        }
    return {
        "sample": result.sample,
        "failed": dict(result.failed),
        "networks": heats,
        "overall": overall,
    }


VERB = Verb(race, (FunctionRace, TrainingRace), choose)
