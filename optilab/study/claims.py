"""Claims judged: what a result is, next to what it was expected to be.

A claim without a confidence has to hold for every training that it is about; one with a tolerance (`== 0.85 +- 0.01`)
is about the mean over their seeds. One with a confidence is about the mean of all seeds, of which these are a sample:
it holds, or fails, where the interval of the difference to the bound lies on one side; where the seeds are too few
for that, nobody can tell, which is a failure of its own kind.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf, log2
from typing import TYPE_CHECKING, Any, Literal

from optilab.config.claims import BEST, HEALTHY, Claim
from optilab.config.optimize import OptimizeConfig
from optilab.config.training import TrainConfig
from optilab.diagnose import diagnose, of_run, unrecorded, verdict
from optilab.errors import UsageError, shown, unknown
from optilab.runs import Record, Row, Study
from optilab.runs.metrics import TESTED
from optilab.study.groups import (
    CONFIRMATION,
    STAGE,
    Group,
    Measure,
    axes_of,
    confirming,
    groups,
    values_of,
)
from optilab.study.judge import judge, level_after, summarize
from optilab.study.plan import StudyPlan
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.study.network_race import RaceResult


@dataclass(frozen=True)
class ClaimResult:
    """One claim about one result."""

    claim: str
    of: str
    """Whose result it is: a rule, or a group of trainings by its label."""
    measured: float | str | None
    """Over several seeds the mean, or without a confidence the value that is furthest from the claim."""
    result: Literal["holds", "fails", "cannot tell"]
    why: str = ""
    """The interval, the number of seeds, or why there is no value."""

    @property
    def holds(self) -> bool:
        return self.result == "holds"

    def document(self) -> dict[str, Any]:
        return asdict(self)


# --- before the work ---------------------------------------------------------------------------------------


def require_judgeable(
    claims: Iterable[Claim],
    labels: Sequence[str] | None,
    trainings: Sequence[TrainConfig] = (),
    sample: int | None = None,
    epochs: int | None = None,
    unit: str = "seeds",
) -> None:
    """UsageError for claims that no result can meet or fail, all of them at once.

    `labels` are the names that a claim can be about, None where they follow from outcomes; `trainings` what is trained,
    `sample` the number of trainings whose mean a claim with a confidence is about, or of repeats (`unit`), `epochs`
    those of a path.
    """
    problems = [
        f"the claim {shown(f'{claim.of}: {claim.text}' if claim.of else claim.text)} can never be judged: {reason}"
        for claim in claims
        if (reason := _never(claim, labels, trainings, sample, epochs, unit))
    ]
    if problems:
        raise UsageError("\n".join(problems))


def require_judgeable_by(plan: StudyPlan) -> None:
    """`require_judgeable` of a study that is about to run."""
    labels = plan.labels if any(claim.of for claim in plan.claims) else None
    require_judgeable(plan.claims, labels, [trial.config for trial in plan.trials], plan.sample, None, plan.unit)


def _never(
    claim: Claim,
    labels: Sequence[str] | None,
    trainings: Sequence[TrainConfig],
    sample: int | None,
    epochs: int | None,
    unit: str,
) -> str:
    """Why a claim can never be judged; empty where it can be."""
    if labels is not None and claim.of is not None and claim.of not in labels:
        return unknown("name", claim.of, labels)
    if labels is not None and claim.of == BEST and len(labels) == 2:
        return f"there is only one group, {labels[0]}"
    last = max((config.epochs for config in trainings), default=epochs)
    if last is not None and isinstance(claim.at, int) and claim.at > last:
        return f"there are {plural(last, 'epoch')}"
    if trainings and claim.metric in TESTED and not any(config.data.holdout for config in trainings):
        return "the test set is evaluated only where images are held out (data.holdout)"
    if (
        trainings
        and claim.metric in ("grad_ratio", "diagnosis")
        and not any(config.probes for config in trainings)
    ):
        return "gradients are measured only with probes above 0"
    if sample == 1 and (claim.confidence is not None or claim.metric == "verdict"):
        return f"a {'confidence' if claim.confidence is not None else 'verdict'} needs several {unit}, got 1"
    return ""


# --- trainings ---------------------------------------------------------------------------------------------


def of_study(claims: Iterable[Claim], study: Study) -> list[ClaimResult]:
    """The claims about a study of any command. UsageError for a name that it does not have, DataError for a trial that
    cannot be read."""
    from optilab.study.network_race import read

    command = study.manifest["command"]
    ended = Counter(str(row["status"]) for row in study.trials())
    if study.state != "done" or ended["failed"]:
        failed = f", {ended['failed']} of {ended.total()} trials failed" if ended["failed"] else ""
        why = f"the study is {study.state}{failed}; its command with --name {study.name} trains what is missing"
        return [ClaimResult(claim.text, claim.of or "", None, "cannot tell", why) for claim in claims]
    records = study.completed()  # those that successive halving has stopped were not meant to end
    if command in ("race", "remedy") and (found := read(study)) is not None:
        return list(of_network_race(claims, found))
    if command == "remedy":
        return _of_groups(claims, _remedies(study, records), looks=study.earlier_looks)
    if again := confirming(study):
        records = [record for record in records if record.name in again]
        return of_trainings(claims, records, looks=study.earlier_confirmations)
    rows = [row for row in study.trials() if row.get(STAGE) != CONFIRMATION]
    chosen = {row["trial"] for row in rows}
    records = [record for record in records if record.name in chosen]
    return of_trainings(claims, records, _points(rows), study.earlier_looks)


def _points(rows: Sequence[Row]) -> int:
    """The settings that a study tried, those included that successive halving left."""
    keys = axes_of(rows)
    return len({tuple(row[key] for key in keys) for row in rows})


def _remedies(study: Study, records: Sequence[Record]) -> Sequence[Group]:
    """The trainings of a study of remedies, by remedy."""
    names = {str(row["trial"]): str(row["remedy"]) for row in study.trials()}
    members: dict[str, dict[int, Record]] = {}
    for record in records:
        if record.name in names:
            members.setdefault(names[record.name], {})[record.manifest["seed"]] = record
    return [Group(name, {}, dict(sorted(seeds.items()))) for name, seeds in members.items()]


def of_trainings(
    claims: Iterable[Claim], records: Sequence[Record], points: int = 0, looks: int = 0
) -> list[ClaimResult]:
    """Every claim about every group of trainings that it names. UsageError for a name that no group has.

    `points`: settings that the best was chosen from, where they are more than the groups. `looks`: how often they were
    judged before, with other trainings of their study.
    """
    return _of_groups(claims, groups(records).groups if records else (), points, looks)


def of_training(claims: Iterable[Claim], record: Record, settings: Mapping[str, Any]) -> list[ClaimResult]:
    """The same of a single one, by its `groups.settings`."""
    return _of_groups(claims, [Group(settings["name"], {}, {settings["seed"]: record})])


def _of_groups(
    claims: Iterable[Claim], found: Sequence[Group], points: int = 0, looks: int = 0
) -> list[ClaimResult]:
    count = max(points, len(found))
    for claim in claims:
        _require_measured(claim, [record for group in found for record in group.runs.values()])
    judged = [
        _of_group(claim, group, len(found), count, looks) for claim in claims for group in _meant(claim, found)
    ]
    nothing = "no training has a result"
    return judged or [ClaimResult(claim.text, claim.of or "", None, "cannot tell", nothing) for claim in claims]


def _require_measured(claim: Claim, records: Sequence[Record]) -> None:
    """UsageError for an epoch after the last one of the trainings, and for a test set that was not evaluated."""
    last = max((record.manifest.get("config", {}).get("epochs") or inf for record in records), default=inf)
    if isinstance(claim.at, int) and claim.at > last:
        raise UsageError(f"{claim.text}: there is no epoch {claim.at}, the last is {last}", "--expect")
    if claim.metric in TESTED and records and not any(claim.metric in record.manifest for record in records):
        raise UsageError(f"{claim.metric} needs held-out images (data.holdout)", "--expect")


def _meant(claim: Claim, found: Sequence[Group]) -> Sequence[Group]:
    if claim.of is None or not found:
        return found
    if claim.of == BEST:
        values = [list(_values(claim, group)[0].values()) for group in found]
        ranked = [i for i, own in enumerate(values) if own and not isinstance(own[0], str)]
        sign = 1 if Measure(claim.metric).higher else -1
        return [found[max(ranked, key=lambda i: sign * summarize(values[i]).mean)]] if ranked else []
    named = {group.label: group for group in found}
    if claim.of not in named:
        raise UsageError(unknown("group", claim.of, [*named, BEST]), "--expect")
    return [named[claim.of]]


def _of_group(claim: Claim, group: Group, of_groups: int, points: int, looks: int) -> ClaimResult:
    values, absent = _values(claim, group)
    config = next(iter(group.runs.values())).manifest.get("config", {})
    of = group.label if of_groups > 1 else config.get("name", group.label)
    if absent:
        return ClaimResult(claim.text, of, None, "cannot tell", next(iter(absent.values())))
    if claim.confidence is not None:
        return _of_mean(claim, of, values, best_of=points if claim.of == BEST else 1, looks=looks)
    return _of_each(claim, of, values)


def _of_each(claim: Claim, of: str, values: Mapping[int, Any]) -> ClaimResult:
    """A claim that every value has to meet, or with a tolerance their mean."""
    import numpy as np

    seeds = len(values)
    if claim.within is not None:
        mean = float(np.mean(list(values.values())))
        why = f"mean of {seeds} seeds" if seeds > 1 else ""
        return ClaimResult(claim.text, of, mean, "holds" if claim.admits(mean) else "fails", why)
    admitted = [claim.admits(value) for value in values.values()]
    wrong = [value for value, fine in zip(values.values(), admitted, strict=True) if not fine]
    measured = max(wrong or values.values(), key=claim.distance)
    why = f"met by {sum(admitted)} of {seeds} seeds" if seeds > 1 else ""
    return ClaimResult(claim.text, of, measured, "fails" if wrong else "holds", why)


def _of_value(
    claim: Claim,
    of: str,
    value: float | str | None,
    why: str = "",
    without: Literal["fails", "cannot tell"] = "cannot tell",
) -> ClaimResult:
    """A claim about one value; where there is none, the result is `without`, and `why` says why."""
    if value is None:
        return ClaimResult(claim.text, of, None, without, why)
    return ClaimResult(claim.text, of, value, "holds" if claim.admits(value) else "fails")


def _of_mean(
    claim: Claim, of: str, values: Mapping[int, Any], unit: str = "seed", best_of: int = 1, looks: int = 0
) -> ClaimResult:
    """A claim about the mean of all seeds. That of the best group allows for its choice by these numbers.

    The best of k groups is judged as each of them would have been, so that by luck not one of them in 20 (at 0.95)
    passes: with 1/k of the error (Bonferroni). One that was judged before: see `level_after`.
    """
    import numpy as np

    assert claim.confidence is not None
    bound, count = float(claim.bound), len(values)
    mean = float(np.mean(list(values.values())))
    level = level_after(looks, (1 - claim.confidence) / best_of)
    row = judge({"mean": values, "bound": dict.fromkeys(values, bound)}, claim.rises, "bound", level).rows[0]
    limits = Measure(claim.metric).limits
    contrast = row.difference
    assert contrast is not None
    constant = contrast.interval is None and count > 1
    if contrast.interval is None:
        interval = plural(count, unit) + ", all equal" * constant
    else:
        low, high = (min(limits[1], max(limits[0], bound + end)) for end in contrast.interval)
        choice = f" of the best of {best_of}" if best_of > 1 else ""
        choice += f" at look {looks + 1}" if looks else ""
        interval = f"{count} {unit}s, {claim.confidence:.4g} interval{choice} {low:.4g} to {high:.4g}"
    if row.verdict == "cannot tell":
        advice = f"; {plural(contrast.more, f'further {unit}')} would tell" if contrast.more else ""
        made = "train" if unit == "seed" else "race"
        if constant and contrast.difference:  # the sign-flip test of n equal ones has p = 2^(1 - n)
            advice = f"; {1 + ceil(-log2(level))} equal ones would tell"
        advice = advice or (f"; more {unit}s would tell: {made} with --{unit}s 5" if count < 5 else "")
        return ClaimResult(claim.text, of, mean, "cannot tell", interval + advice)
    return ClaimResult(claim.text, of, mean, "holds" if row.verdict == "better" else "fails", interval)


def _values(claim: Claim, group: Group) -> tuple[Mapping[int, Any], Mapping[int, str]]:
    """The values by seed, and why a seed has none."""
    if claim.metric == "status":
        return {seed: record.state for seed, record in group.runs.items()}, {}
    if claim.metric == "epochs":
        return {seed: float(len(record.rows())) for seed, record in group.runs.items()}, {}
    if claim.metric == "grad_ratio":
        ratios = {seed: of_run(record).measured_ratio for seed, record in group.runs.items()}
        missing = "fewer than two layers with measured gradients in the last epochs (probes)"
        absent = {seed: f"{group.runs[seed].name}: {missing}" for seed, value in ratios.items() if value is None}
        return {seed: value for seed, value in ratios.items() if value is not None}, absent
    if claim.metric == "diagnosis":
        lost = {seed: why for seed, record in group.runs.items() if (why := unrecorded(record))}
        return {seed: _diagnosis(record) for seed, record in group.runs.items() if seed not in lost}, lost
    (taken,) = values_of([group], Measure(claim.metric, claim.at), claim.text)
    return taken.values, taken.absent


def _diagnosis(record: Record) -> str:
    """`healthy`, or the verdict that says why not."""
    findings = diagnose(evidence := of_run(record))
    return HEALTHY if verdict.healthy(evidence, findings) else verdict.sentence(evidence, findings)


# --- paths -------------------------------------------------------------------------------------------------


def of_paths(
    claims: Iterable[Claim], config: OptimizeConfig, rows: Sequence[Row], statuses: Mapping[str, str]
) -> list[ClaimResult]:
    """The claims about the paths of a config, from the rows of metrics.csv and the status of each rule."""
    by_rule: dict[str, list[Row]] = {}
    for row in rows:
        by_rule.setdefault(str(row["algo"]), []).append(row)
    return [
        _of_path(claim, label, _facts(config, by_rule[label], claim.at), statuses.get(label, ""))
        for claim in claims
        for label in _named(claim, list(by_rule))
    ]


def _named(claim: Claim, labels: Sequence[str]) -> Sequence[str]:
    if claim.of is None:
        return labels
    if claim.of not in labels:
        raise UsageError(unknown("optimizer", claim.of, labels), "--expect")
    return [claim.of]


def _of_path(claim: Claim, label: str, facts: Row | str, status: str) -> ClaimResult:
    if isinstance(facts, str):
        return ClaimResult(claim.text, label, None, "cannot tell", facts)
    value = status if claim.metric == "status" else facts.get(claim.metric)
    if claim.metric == "epochs":  # a path that never converged fails a claim on when it did
        return _of_value(claim, label, value, "|grad f| never went below the tolerance", "fails")
    why = "the function has no known minimum" if claim.metric == "distance" else f"no {claim.metric}"
    return _of_value(claim, label, value, why)


def _facts(config: OptimizeConfig, rows: Sequence[Row], at: str | int) -> Row | str:
    """What is measured of a path at an epoch, or why there is nothing."""
    import numpy as np

    if isinstance(at, int) and at >= len(rows):
        return f"the path has {plural(len(rows) - 1, 'epoch')}"
    row = rows[at] if isinstance(at, int) else rows[-1]
    point = [row[f"w{i + 1}"] for i in range(len(config.function.start))]
    distances = [float(np.linalg.norm(np.subtract(point, minimum))) for minimum in config.function.minima]
    below = (own["epoch"] for own in rows if own["gradient_norm"] < config.tolerance)
    return {**row, "distance": min(distances, default=None), "epochs": next(below, None)}


# --- a race ------------------------------------------------------------------------------------------------


def of_race(claims: Iterable[Claim], standings: Iterable[Any]) -> Iterator[ClaimResult]:
    """The claims about the rules of a race, from its standings."""
    rows = {row.rule: row for row in standings}
    for claim in claims:
        for name in _named(claim, list(rows)):
            yield _of_value(claim, name, getattr(rows[name], claim.metric))


def of_network_race(claims: Iterable[Claim], found: "RaceResult") -> Iterator[ClaimResult]:
    """The claims about the rules of a race on trainings: of RULE on every training, or of NETWORK/RULE."""
    several = len(found.networks) > 1
    places = {
        f"{table.network}/{row.key}" if several else row.key: (table, row)
        for table in found.networks
        for row in (table.comparison.rows if table.comparison else ())
    }
    for claim in claims:
        everywhere = [place for place, (_, row) in places.items() if row.key == claim.of]
        if not places:
            yield ClaimResult(
                claim.text, claim.of or "", None, "cannot tell", "no optimizer has a judged training"
            )
        for place in everywhere or _named(claim, list(places)):
            table, row = places[place]
            if claim.metric == "verdict":
                verdict = row.verdict if table.has_verdicts else None
                yield _of_value(claim, place, verdict, "a verdict needs several repeats")
            elif claim.confidence is not None:
                yield _of_mean(claim, place, row.values, "repeat", looks=found.looks)
            else:
                yield _of_each(claim, place, table.raced[row.key].accuracy.values)


# --- a learning rate ---------------------------------------------------------------------------------------


def of_rate(claims: Iterable[Claim], rate: float | None, of: str) -> list[ClaimResult]:
    """The claims about the rate that is recommended for the training `of`; None where its network does not move."""
    facts = {"rate": rate, "status": "unmoved" if rate is None else "found"}
    return [_of_value(claim, of, facts[claim.metric], "the network does not move", "fails") for claim in claims]
