"""The check of claims: measured results next to the expected ones.

Every result that claims can be about is `Results`: it gives what was measured of each of its labels. A claim without a
confidence has to hold for every value of a label; one with a tolerance (`== 0.85 +- 0.01`) is about their mean. One
with a confidence is about the mean of all seeds, of which these are a sample: it holds, or fails, where the interval of
the difference to the bound lies on one side; where the seeds are too few for that, nobody can tell, which is a failure
of its own kind.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf, log2
from statistics import fmean
from typing import Any, Literal

from optilab.config.claims import BEST, HEALTHY, At, Claim
from optilab.config.optimize import OptimizeConfig
from optilab.config.training import TrainConfig
from optilab.diagnose import diagnose, evidence_of, reason_unreadable, verdict
from optilab.errors import UsageError, shown, unknown
from optilab.judge.groups import Group, groups, settings
from optilab.judge.judge import alpha, judge
from optilab.judge.measure import Measure, Missing, values_of
from optilab.runs import Record, Row
from optilab.runs.metrics import TESTED
from optilab.words import plural


@dataclass(frozen=True)
class ClaimResult:
    """One claim about one result."""

    claim: str
    of: str
    """The label of a rule, or of a group of trainings, that the claim is about."""
    measured: float | str | None
    """The mean over several seeds; without a confidence, the value that is furthest from the claim."""
    result: Literal["holds", "fails", "cannot tell"]
    why: str = ""
    """The interval, the number of seeds, or why there is no value."""

    @property
    def holds(self) -> bool:
        return self.result == "holds"

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """The measurement of one label."""

    values: Mapping[int, Any]
    """The value of each seed, or a single value; a claim without a confidence has to hold for all of them."""
    missing: str = ""
    """The reason why a value is missing, so that no claim can be checked."""
    fails: bool = False
    """True if a missing value fails the claim."""
    sample: Mapping[int, float] | None = None
    """The sample of a confidence, where it is not `values`: the means of repeats."""
    unit: str = "seed"
    """The name of a block of the sample."""

    @classmethod
    def of(cls, values: Mapping[int, Any], fails: bool = False) -> "Measured":
        """Values by seed, each of which may be Missing."""
        missing = [value.why for value in values.values() if isinstance(value, Missing)]
        measured = {seed: value for seed, value in values.items() if not isinstance(value, Missing)}
        return cls(measured, missing[0] if missing else "", fails)


@dataclass(frozen=True)
class Results:
    """Results that claims can be about."""

    measured: Callable[[str, At], Mapping[str, Measured]]
    """The values of a metric by label: of an optimizer, of a group, or of NETWORK/OPTIMIZER. UsageError for a metric,
    or an epoch, that the results do not have."""
    nothing: str = ""
    """The reason why no label has a value."""
    points: int = 0
    """Settings that the best group was chosen from; 0 where nothing was chosen."""
    looks: int = 0
    """The number of earlier comparisons of the results, with other trainings of their study."""


# --- judged ------------------------------------------------------------------------------------------------


def judge_claims(claims: Iterable[Claim], results: Results) -> list[ClaimResult]:
    """Every claim about every label that it names. UsageError for a name that the results do not have."""
    judged = list[ClaimResult]()
    for claim in claims:
        try:
            measured = results.measured(claim.metric, claim.at)
        except UsageError as error:
            raise UsageError(str(error), claim.text) from None
        labels = _labels(claim, measured, bool(results.points)) if measured else []
        judged += [_judged(claim, label, measured[label], results) for label in labels] or [
            ClaimResult(claim.text, claim.of or "", None, "cannot tell", results.nothing)
        ]
    return judged


def _labels(claim: Claim, measured: Mapping[str, Measured], are_groups: bool) -> Sequence[str]:
    """The labels that a claim is about; an optimizer of a race is raced on each of its networks."""
    if labels := [label for label in measured if claim.of in (None, label) or label.endswith(f"/{claim.of}")]:
        return labels
    if claim.of != BEST or not are_groups:
        others = [BEST] if are_groups else [label.rpartition("/")[2] for label in measured]
        kind, names = "group" if are_groups else "optimizer", [*dict.fromkeys([*measured, *others])]
        raise UsageError(unknown(kind, str(claim.of), names), "--expect")
    means = {
        label: fmean(group.values.values())
        for label, group in measured.items()
        if group.values and not any(isinstance(value, str) for value in group.values.values())
    }
    choose = max if Measure(claim.metric).higher_is_better else min
    return [choose(means, key=lambda label: means[label])] if means else []


def _judged(claim: Claim, of: str, measured: Measured, results: Results) -> ClaimResult:
    """The result of a claim that every value has to meet, or with a tolerance their mean; with a confidence the
    mean of all seeds.
    """
    if measured.missing or not measured.values:
        return ClaimResult(claim.text, of, None, "fails" if measured.fails else "cannot tell", measured.missing)
    if claim.confidence is not None:
        sample = measured.values if measured.sample is None else measured.sample
        return judge_mean(
            claim, of, sample, measured.unit, results.points if claim.of == BEST else 1, results.looks
        )
    values, count = list(measured.values.values()), len(measured.values)
    if claim.within is not None:
        mean = fmean(values)
        why = f"mean of {count} seeds" if count > 1 else ""
        return ClaimResult(claim.text, of, mean, "holds" if claim.admits(mean) else "fails", why)
    wrong = [value for value in values if not claim.admits(value)]
    why = f"met by {count - len(wrong)} of {count} seeds" if count > 1 else ""
    furthest = max(wrong or values, key=claim.distance)
    return ClaimResult(claim.text, of, furthest, "fails" if wrong else "holds", why)


def judge_mean(
    claim: Claim, of: str, values: Mapping[int, Any], unit: str = "seed", best_of: int = 1, looks: int = 0
) -> ClaimResult:
    """A claim about the mean of all seeds. That of the best group allows for its choice by these numbers.

    The best of k groups is judged as each of them would have been, so that by luck not one of them in 20 (at 0.95)
    passes: with 1/k of the error (Bonferroni). One that was judged before: see `alpha`.
    """
    assert claim.confidence is not None
    bound, count, mean = float(claim.bound), len(values), fmean(values.values())
    level = alpha(looks, (1 - claim.confidence) / best_of)
    row = judge({"mean": values, "bound": dict.fromkeys(values, bound)}, claim.rises, "bound", level).rows[0]
    limits = Measure(claim.metric).limits
    difference = row.difference
    assert difference is not None
    constant = difference.interval is None and count > 1
    why = plural(count, unit) + ", all equal" * constant
    if difference.interval is not None:
        low, high = (min(limits[1], max(limits[0], bound + end)) for end in difference.interval)
        choice = f" of the best of {best_of}" if best_of > 1 else ""
        choice += f" at look {looks + 1}" if looks else ""
        why = f"{count} {unit}s, {claim.confidence:.4g} interval{choice} {low:.4g} to {high:.4g}"
    if row.verdict != "cannot tell":
        return ClaimResult(claim.text, of, mean, "holds" if row.verdict == "better" else "fails", why)
    if constant and difference.difference:  # the sign-flip test of n equal ones has p = 2^(1 - n)
        why += f"; {1 + ceil(-log2(level))} equal ones would tell"
    elif difference.more:
        why += f"; {plural(difference.more, f'further {unit}')} would tell"
    elif count < 5:
        why += f"; more {unit}s would tell: {'train' if unit == 'seed' else 'benchmark'} with --{unit}s 5"
    return ClaimResult(claim.text, of, mean, "cannot tell", why)


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
    last = max((config.epochs for config in trainings), default=epochs)

    def never(claim: Claim) -> str:
        """The reason why a claim can never be checked; empty where it can be."""
        if labels is not None and claim.of is not None and claim.of not in labels:
            return unknown("name", claim.of, labels)
        if labels is not None and claim.of == BEST and len(labels) == 2:
            return f"there is only one group, {labels[0]}"
        if last is not None and isinstance(claim.at, int) and claim.at > last:
            return f"there are {plural(last, 'epoch')}"
        if trainings and claim.metric in TESTED and not any(config.data.holdout for config in trainings):
            return "the test set is evaluated only where images are held out (data.holdout)"
        probed = claim.metric in ("grad_ratio", "diagnosis")
        if trainings and probed and not any(config.probes for config in trainings):
            return "gradients are measured only with probes above 0"
        if sample == 1 and (claim.confidence is not None or claim.metric == "verdict"):
            return f"a {'confidence' if claim.confidence is not None else 'verdict'} needs several {unit}, got 1"
        return ""

    problems = [
        f"the claim {shown(f'{claim.of}: {claim.text}' if claim.of else claim.text)} can never be judged: {reason}"
        for claim in claims
        if (reason := never(claim))
    ]
    if problems:
        raise UsageError("\n".join(problems))


# --- what was measured -------------------------------------------------------------------------------------


def results_of_trainings(records: Sequence[Record], points: int = 0, looks: int = 0) -> Results:
    """Trainings, by group. `points`: settings that the best was chosen from, where they are more than the groups."""
    several = groups(records).groups if records else ()
    return _results_of_groups(several, max(points, len(several), 1), looks)


def results_of_training(record: Record) -> Results:
    """A single training."""
    name = str(record.manifest.get("config", {}).get("name", record.name))
    return _results_of_groups([Group(name, {}, {settings(record)["seed"]: record})])


def _results_of_groups(several: Sequence[Group], points: int = 1, looks: int = 0) -> Results:
    records = [record for group in several for record in group.runs.values()]
    last = max((record.manifest.get("config", {}).get("epochs") or inf for record in records), default=inf)

    def measured(metric: str, at: At) -> Mapping[str, Measured]:
        if isinstance(at, int) and at > last:
            raise UsageError(f"there is no epoch {at}, the last is {last}")
        if metric in TESTED and records and not any(metric in record.manifest for record in records):
            raise UsageError(f"{metric} needs held-out images (data.holdout)")
        return {group.label: _measured_of_group(group, metric, at) for group in several}

    return Results(measured, "no training has a result", points, looks)


def _measured_of_group(group: Group, metric: str, at: At) -> Measured:
    if derive := DERIVED.get(metric):
        return Measured.of({seed: derive(record) for seed, record in group.runs.items()})
    (outcomes,) = values_of([group], Measure(metric, at), "")
    return Measured(outcomes.values, next(iter(outcomes.excluded.values()), ""))


def _gradient_ratio(record: Record) -> float | Missing:
    ratio = evidence_of(record).recorded_ratio
    why = "fewer than two layers with measured gradients in the last epochs (probes)"
    return Missing(f"{record.name}: {why}") if ratio is None else ratio


def _diagnosis(record: Record) -> str | Missing:
    """`healthy`, or the verdict of a network that is not."""
    if why := reason_unreadable(record):
        return Missing(why)
    evidence = evidence_of(record)
    findings = diagnose(evidence)
    return HEALTHY if verdict.healthy(evidence, findings) else verdict.sentence(evidence, findings)


DERIVED: Mapping[str, Callable[[Record], Any]] = {
    "status": lambda record: record.state,
    "epochs": lambda record: float(len(record.rows())),
    "grad_ratio": _gradient_ratio,
    "diagnosis": _diagnosis,
}
"""Quantities of a training that claims can name, besides its metrics."""


def results_of_paths(config: OptimizeConfig, rows: Sequence[Row], statuses: Mapping[str, str]) -> Results:
    """The paths of a config, from the rows of metrics.csv and the status of each rule."""
    paths: dict[str, list[Row]] = {}
    for row in rows:
        paths.setdefault(str(row["algo"]), []).append(row)

    def measured(metric: str, at: At) -> Mapping[str, Measured]:
        facts = {
            name: _measured_of_path(config, path, metric, at, statuses.get(name)) for name, path in paths.items()
        }
        # A path that never converged fails a claim on when it did.
        return {name: Measured.of({0: fact}, fails=metric == "epochs") for name, fact in facts.items()}

    return Results(measured)


def _measured_of_path(config: OptimizeConfig, rows: Sequence[Row], metric: str, at: At, status: str | None) -> Any:
    import numpy as np

    if isinstance(at, int) and at >= len(rows):
        return Missing(f"the path has {plural(len(rows) - 1, 'epoch')}")
    row = rows[at if isinstance(at, int) else -1]
    if metric == "status":
        return status or Missing("no status")
    if metric == "epochs":
        below = (row["epoch"] for row in rows if row["gradient_norm"] < config.tolerance)
        return next(below, Missing("|grad f| never went below the tolerance"))
    if metric == "distance":
        point = [row[f"w{i + 1}"] for i in range(len(config.function.start))]
        distances = [float(np.linalg.norm(np.subtract(point, minimum))) for minimum in config.function.minima]
        return min(distances) if distances else Missing("the function has no known minimum")
    return row.get(metric, Missing(f"no {metric}"))


def results_of_rate(rate: float | None, of: str) -> Results:
    """The rate that is recommended for the training `of`; None where its network does not move."""
    missing = Missing("the network does not move")
    facts = {"rate": missing if rate is None else rate, "status": "unmoved" if rate is None else "found"}
    return Results(lambda metric, at: {of: Measured.of({0: facts[metric]}, fails=True)})
