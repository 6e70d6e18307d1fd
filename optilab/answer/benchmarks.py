"""The answer of a benchmark, as tables and sentences for the terminal, the pages and `--json`.

All verdicts are those of `judge.judge`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from optilab.answer.answer import Answer
from optilab.answer.charts.races import benchmark_chart
from optilab.answer.comparison_tables import best_clauses, judged_values, more_advice, purpose_of_more
from optilab.judge.comparison import looked_before
from optilab.judge.groups import Group, Grouping, groups
from optilab.judge.judge import alpha, confidence_of
from optilab.numbers import Units, brief, digits
from optilab.proposals import Call
from optilab.runs import Study, resume_command
from optilab.show.blocks import Block, Hint, NextStep, Sentence, Verbatim, Verdict
from optilab.show.chart import Chart
from optilab.show.table import Column, Table, interval_columns
from optilab.study.benchmark import JUDGED, BenchmarkResult, BenchmarkTable, Raced
from optilab.study.tuning_space import search_notes, untuned
from optilab.words import listed, plural, some

_UNITS = Units(is_fraction=True)
_VERDICT = "cannot tell: the interval of the difference contains 0, or a better rate may lie beyond those tried"


def notes(result: BenchmarkResult) -> list[str]:
    """Sentences that explain the numbers of a benchmark, and their limits."""
    again = min(result.budget, result.finalists)
    lines = [
        f"tuned on {plural(result.budget, 'setting')} of one space, one seed each"
        f"{f', the best {again} from a second one' if again > 1 else ''}, by the accuracy on held-out images; "
        f"evaluated on the test set, from {plural(result.seeds, 'new seed')}"
    ]
    if result.repeats > 1:
        lines.append(
            "verdicts hold for all rows of a table at once; the intervals include the randomness of tuning"
        )
    raced = {rule: on_network for table in result.networks for rule, on_network in table.raced.items()}
    for rule, last in raced.items():
        lines += untuned(
            rule,
            last.optimizer.get("name"),
            last.optimizer,
            {k for chosen in last.settings.values() for k in chosen},
        )
    if result.looks:
        lines.append(looked_before(result.looks))
    boundary_notes = [
        f"{f'{table.network}, ' * (len(result.networks) > 1)}{rule}: {note}"
        for table in result.networks
        for rule, raced_rule in table.raced.items()
        for note in raced_rule.boundary_notes.values()
    ]
    if boundary_notes:
        lines.append(f"a better rate may lie beyond those that were tried: {some(boundary_notes, 4)}")
    lines += [
        f"not equal: {plural(n, 'trial')} of {rule} failed; the command tries {'it' if n == 1 else 'them'} again"
        for rule, n in failed(result).items()
    ]
    if result.overall is None and len(result.networks) > 1:
        lines.append("no table over all networks: one has no result on some of them")
    return lines


def failed(result: BenchmarkResult) -> Counter[str]:
    """The trials that failed, by rule."""
    count = Counter[str]()
    for table in result.networks:
        count.update({rule: raced.failed for rule, raced in table.raced.items()})
    return +count


def _network(result: BenchmarkResult) -> Column:
    """The first column of a table of several networks; of a single one it is a value alone."""
    return Column("network", "network", left=True, only="" if len(result.networks) > 1 else "values")


def columns(result: BenchmarkResult, sample: str = "repeats") -> list[Column]:
    """The columns of a table whose sample is `sample`; without verdicts where there is one repeat."""
    judged = sample == "networks" or result.repeats > 1
    all_columns = [
        Column("rule", "optimizer", left=True),
        Column("n", "n", detail=2, plain=sample, about=f"the number of {sample} that were evaluated"),
        Column(
            "mean", "test_acc", _UNITS.value, about=f"the mean over the {sample}; higher is better", early=True
        ),
        *interval_columns("", _UNITS.interval, detail=4, about="the 95% interval of that mean by Student's t"),
        Column("difference", "against the best", _UNITS.difference, about="in percentage points"),
        *interval_columns(
            "difference_",
            _UNITS.differences,
            heading=f"{confidence_of(alpha(result.looks))} of difference",
            about="these intervals hold together",
        ),
        Column("verdict", "verdict", left=True, only="" if judged else "values", about=_VERDICT, early=judged),
        Column("settings", "settings", left=True, detail=1, about="those that tuning chose"),
    ]
    return [column for column in all_columns if judged or column.only != "text"]


def rows(table: BenchmarkTable) -> list[dict[str, Any]]:
    """The values of a table, best first; verdicts are None where there are none."""
    values = []
    for judged in table.judgment.ranked if table.judgment else ():
        row = {"rule": judged.key, **judged_values(judged)}
        if not table.has_verdicts:
            row["verdict"] = None
        if table.network:
            row["settings"] = _chosen(table.raced[judged.key])
        values.append(row)
    return values


def _brief(value: Any) -> str:
    return brief(digits(value))


def _chosen(raced: Raced) -> str:
    """The settings of each repeat."""
    texts = [
        "  ".join(f"{key} {_brief(value)}" for key, value in chosen.items()) for chosen in raced.settings.values()
    ]
    return " | ".join(texts) or "every setting diverged"


def settings_table(result: BenchmarkResult) -> Table:
    """The settings that tuning chose, a row for each network, optimizer and repeat."""
    chosen = [
        {"network": table.network, "rule": judged.key, "repeat": repeat, **settings}
        for table in result.networks
        for judged in (table.judgment.ranked if table.judgment else ())
        for repeat, settings in table.raced[judged.key].settings.items()
    ]
    places = [
        _network(result),
        Column("rule", "optimizer", left=True),
        Column("repeat", "repeat", only="" if result.repeats > 1 else "values"),
    ]
    known = {column.key for column in places}
    texts = {key: isinstance(value, str) for row in chosen for key, value in row.items() if key not in known}
    return Table([*places, *(Column(key, key, _brief, left=left) for key, left in texts.items())], chosen)


def verdict_of(table: BenchmarkTable, result: BenchmarkResult) -> Verdict:
    """The best mean of a table, and what limits it: how many more repeats or networks would say more, and the option
    that tries more rates. What is the best has been decided by `judge.judge`.
    """
    judgment = table.judgment
    if judgment is None:
        return Verdict("no result")
    learned = any(each.better_than_chance for each in ([table] if table.network else result.networks))
    claim, rest = best_clauses(judgment, JUDGED, JUDGED.metric)
    if not table.has_verdicts:
        rest += "; one repeat gives no verdict, because the repeats are the sample: use at least three"
    elif learned and judgment.improvable:
        rest += f"; a better rate of {listed(judgment.improvable)} may lie beyond those that were tried"
        rest += f", and a budget of {2 * result.budget} settings tries more"
    rest += more_advice(judgment, table.sample) if learned else "; no row is better than chance"
    return Verdict(claim, rest)


def _heading(table: BenchmarkTable, result: BenchmarkResult) -> str:
    """The network and the epochs of its trainings."""
    if not table.network:
        return f"over all {len(result.networks)} networks, mean test accuracy"
    trained = (record for raced in table.raced.values() for record in raced.runs.values())
    epochs = next((record.manifest.get("config", {}).get("epochs") for record in trained), None)
    return f"{table.network}   {plural(epochs, 'epoch')}" if epochs else table.network


def _verdicts(table: BenchmarkTable, result: BenchmarkResult) -> dict[str, Any]:
    """A table without the intervals of its text, whose ends are values themselves."""
    rules = []
    for row in rows(table):
        values = {key: value for key, value in row.items() if not key.endswith("interval")}
        rules.append(values | (_outcomes(table.raced[row["rule"]]) if table.network else {}))
    silent = table.judgment is not None and not table.has_verdicts
    return {"verdict": None if silent else verdict_of(table, result).text, "rules": rules}


def _outcomes(raced: Raced) -> dict[str, Any]:
    """The settings per repeat, and by seed the accuracies and the runs."""
    return {
        "settings": [*raced.settings.values()],
        "test_acc": {str(seed): value for seed, value in raced.accuracy.values.items()},
        "worst": {str(seed): why for seed, why in raced.accuracy.imputed.items()},
        "runs": {str(seed): str(record.path) for seed, record in raced.runs.items()},
    }


@dataclass(frozen=True, repr=False)
class BenchmarkView(Answer):
    """The result of a benchmark, as its study has it."""

    schema_version: ClassVar[int] = 3
    result: BenchmarkResult
    study: Study

    @property
    def may_be_best(self) -> list[str]:
        """The entrants that no verdict excludes from being the best."""
        judged = rows(self.result.overall) if self.result.overall else self.rows
        return list(dict.fromkeys(row["rule"] for row in judged if row["verdict"] != "worse"))

    def short(self) -> Iterable[str]:
        return map(Verbatim, self.may_be_best)

    @property
    def headline(self) -> str:
        return self.verdict

    @property
    def question(self) -> str:
        return "Which optimizer is the best after the same tuning?"

    @property
    def verdict(self) -> str:
        """The verdict over all networks, or where there is none, those of each."""
        result = self.result
        if result.overall is not None:
            return verdict_of(result.overall, result).text
        verdicts = {table.network: verdict_of(table, result).text for table in result.networks}
        return "; ".join(f"{name}: {text}" if len(verdicts) > 1 else text for name, text in verdicts.items())

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"network": table.network, **row} for table in self.result.networks for row in rows(table)]

    def table(self) -> Table:
        """One table of all networks."""
        shown, settings = [_network(self.result), *columns(self.result)], settings_table(self.result)
        return Table(shown, self.rows, middle="mean", look="verdict", apart={"settings": settings})

    def blocks(self) -> Iterator[Block]:
        """A table of each network, one over all of them, what holds, and what follows."""
        result = self.result
        counts = [plural(len(result.rules), "optimizer"), plural(len(result.networks), "network")]
        yield Sentence(f"{self.study.name}: {', '.join([*counts, plural(result.repeats, 'repeat')])}", "bold")
        alone = result.overall or (result.networks[0] if len(result.networks) == 1 else None)
        for table in [*result.networks, *([result.overall] if result.overall else [])]:
            yield ""
            yield Sentence(_heading(table, result), "bold")
            if table.judgment is None:
                yield "no optimizer has an evaluated training"
                continue
            yield Table(columns(result, table.sample), rows(table), middle="mean", look="verdict")
            verdict = verdict_of(table, result)
            yield verdict if table is alone else Sentence(f"verdict: {verdict.text}", "bold")
        yield ""
        yield from notes(result)
        yield from search_notes(self.study.manifest.get("search_space", {}))
        if step := self.next_step:
            yield step
        yield Hint(self.study.path)

    def details(self) -> Iterator[Block]:
        """The trainings that were judged, best first."""
        from optilab.answer.comparison_page import failed, of_groups

        evaluated = self.evaluated
        names = [
            self._name_on(table, row.key)
            for table in self.result.networks
            for row in (table.judgment.ranked if table.judgment else ())
        ]
        chosen = sorted(evaluated.groups, key=lambda group: names.index(group.label))
        yield from failed([self.study])
        yield from of_groups(chosen, evaluated, [self.study])

    @property
    def evaluated(self) -> Grouping:
        """The trainings that were judged: a group for each optimizer on each network, in the order and the colors of
        the chart."""
        chosen = [
            Group(self._name_on(table, rule), {}, dict(raced.runs), raced.repeat_of)
            for table in self.result.networks
            if table.judgment
            for rule in self.result.rules
            if (raced := table.raced[rule]).runs  # none where every setting diverged
        ]
        trainings = [run for group in chosen for run in group.runs.values()]
        return replace(groups(trainings), groups=tuple(chosen))

    def _name_on(self, table: BenchmarkTable, rule: str) -> str:
        """The name of an optimizer, with that of the network where there are several."""
        return f"{table.network}: {rule}" if len(self.result.networks) > 1 else rule

    def document(self) -> dict[str, Any]:
        result, step = self.result, self.next_step
        return {
            "next_step": step and step.document(),
            "sample": "repeats",
            "failed": dict(failed(result)),
            "networks": [{"network": table.network, **_verdicts(table, result)} for table in result.networks],
            "overall": result.overall and _verdicts(result.overall, result),
            "search_space": self.study.manifest.get("search_space", {}),
        }

    def chart(self) -> Chart:
        """The curves of evaluation and tuning."""
        return benchmark_chart(self.result)

    @property
    def next_step(self) -> NextStep | None:
        """The command that follows: more rates, repeats for a verdict, more repeats, or the limits of the best."""
        result = self.result
        judged = [table for table in ([result.overall] if result.overall else result.networks) if table.judgment]
        judgments = [table.judgment for table in judged if table.judgment]
        ranked = (
            table.raced[row.key] for table in result.networks if table.judgment for row in table.judgment.ranked
        )
        best = next((record for raced in ranked for record in raced.runs.values()), None)
        if best is None:
            return None
        diagnose = Call("diagnose", [best.path])
        again = partial(resume_command, self.study.path, "benchmark")
        if not any(table.better_than_chance for table in result.networks):
            return NextStep("says why nothing is learned", diagnose)
        if all(len(judgment.possible_best) < 2 for judgment in judgments):
            return NextStep("says what limits the best", diagnose)
        if any(judgment.improvable for judgment in judgments):
            return NextStep("tries more rates", again(budget=2 * result.budget))
        if not any(table.has_verdicts for table in judged):
            return NextStep("tunes and trains all in 3 repeats, which give a verdict", again(repeats=3))
        if closest := judgments[0].affordable:
            effect = f"tunes and trains all in {plural(closest.more, 'more repeat')}"
            purpose = purpose_of_more(judgments[0])
            return NextStep(f"{effect}, to {purpose}", again(repeats=result.repeats + closest.more))
        return NextStep("says what limits the best", diagnose)
