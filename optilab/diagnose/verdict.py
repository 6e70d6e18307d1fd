"""Findings of the checks, with remedies, and a verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from optilab.config.keys import is_within
from optilab.config.load import load
from optilab.config.section import dump, handling_user_code
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.config.user_network import UserNetwork
from optilab.diagnose.check import Check, Observation, Sets
from optilab.diagnose.checks import CHECKS, loop, weights
from optilab.diagnose.evidence import EQUAL_CLASSES, FIRST_STEPS, MIN_FALL, MIN_SKILL, PROBE_BATCHES, Evidence
from optilab.errors import ConfigError
from optilab.numbers import percent, points, thousands
from optilab.proposals import Call
from optilab.words import plural

NO_CHANGES: Mapping[str, Any] = {}

STRUCTURAL = ("constant-outputs", "targets-out-of-reach", "labels-out-of-range", "targets-out-of-scale")
"""Causes that no change of weights, steps or labels removes."""
PROVED = ("constant-outputs", "targets-out-of-reach", "labels-out-of-range", "one-class", "symmetric-init")
"""Causes in a loop that shapes, ranges and equal numbers prove, as they do its bugs; the others are warnings there."""
FOLLOWERS = ("weights-too-large", "dead-units", "learning-rate-too-high", "vanishing-gradient")
"""Consequences of gradients that add up from step to step, or of outputs that cannot reach their targets: notes next to
`gradients-not-zeroed`, `non-finite-data` and STRUCTURAL. A high loss of the initial weights, which no step has changed
yet, follows from the data alone."""


class Severity(IntEnum):
    """The weight of a finding; a note (`INFO`) has no remedy."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One cause: `text` has its number, `evidence` all of them, `remedies` are `key=value` settings, best first."""

    name: str
    severity: Severity
    text: str
    threshold: str
    normal: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedies: tuple[Sets, ...] = ()
    advice: str = ""
    code: tuple[str, ...] = ()
    """The line of PyTorch of each remedy, which is empty for a setting."""

    @property
    def remedy(self) -> str:
        """The first remedy; empty for a note."""
        return next(iter(self.code), "") or self.advice or " ".join(next(iter(self.remedies), ()))


def diagnose(evidence: Evidence) -> list[Finding]:
    """The findings, the most severe first."""
    results = dict[str, tuple[Check, Observation]]()
    for check in CHECKS:
        if check.name not in results and (result := check(evidence)) is not None:
            results[check.name] = check, result
    others = any(not (result.only_alone or result.informational) for _, result in results.values())
    alone = next((name for name, (_, result) in results.items() if result.only_alone and not others), "")
    named = [(entry, result) for entry, result in results.values() if not result.only_alone or entry.name == alone]
    explained = results.keys() & {"gradients-not-zeroed", "non-finite-data"}
    explained |= {name for name in STRUCTURAL if name in results and results[name][1].certain}
    follows = {*FOLLOWERS} if explained else set()
    if "non-finite-data" not in results and weights.first_loss_is_high(evidence):
        follows -= {"weights-too-large"}
    findings = [_finding(evidence, check, result, check.name in follows) for check, result in named]
    return sorted(findings, key=lambda finding: -finding.severity)


def _finding(evidence: Evidence, check: Check, result: Observation, follows: bool) -> Finding:
    """The finding of a result; `follows`: another finding explains it."""
    proved = not evidence.setup.loop or check.run.__module__ == loop.__name__ or check.name in PROVED
    measured = proved or bool(evidence.divergence) or not evidence.is_objective
    harmless = result.informational or follows or not (result.certain or (measured and not evidence.learned))
    critical = proved and not evidence.beats_chance
    severity = Severity.INFO if harmless else Severity.CRITICAL if critical else Severity.WARNING
    remedies = () if harmless else tuple(sets for sets in result.changes if _changes(evidence, sets))
    advice = "" if harmless and not result.informational else result.fix or ("" if result.changes else check.fix)
    code = tuple(in_pytorch(sets) if _in_code(evidence, sets) else "" for sets in remedies)
    return Finding(
        check.name, severity, result.text, result.bound, result.normal, result.numbers, remedies, advice, code
    )


def _changes(evidence: Evidence, sets: Sets) -> bool:
    """True if these settings differ from the training's."""
    if evidence.setup.config is None or _in_code(evidence, sets):
        return True
    tree = dump(evidence.setup.config)
    try:
        with handling_user_code("recorded"):
            return dump(load(TrainConfig, tree, [override_from_text(text) for text in sets])) != tree
    except ConfigError:
        return True


OF_ANY_NETWORK = ("model.init", "model.bias_init")
"""Settings of the network that a user's has, too."""


def _in_code(evidence: Evidence, sets: Sets) -> bool:
    """True if a remedy changes a user's code: the loop, or the network."""
    keys = [text.partition("=")[0] for text in sets]
    of_network = any(key.startswith("model.") and key not in OF_ANY_NETWORK for key in keys)
    return evidence.setup.config is None or (isinstance(evidence.setup.config.model, UserNetwork) and of_network)


def commands(finding: Finding, config: str, changes: Mapping[str, Any] = NO_CHANGES) -> list[Call | str]:
    """The remedies as commands, or as lines of PyTorch; `config` is the value of their --config, `changes` the keys
    that were set besides. For a learning rate there is a range test, too: first where no remedy names a rate."""
    pairs = zip(finding.code, finding.remedies, strict=True)
    proposals = [line or _train(sets, config, changes) for line, sets in pairs]
    rates = finding.severity > Severity.INFO and finding.name in (
        "learning-rate-too-high",
        "learning-rate-too-low",
    )
    if rates and not (finding.code and all(finding.code)):
        rated = any(".lr=" in text for sets in finding.remedies for text in sets)
        proposals.insert(len(proposals) if rated else 0, _on("lr", config, changes))
    return proposals


def next_steps(
    evidence: Evidence, findings: Sequence[Finding], config: str, changes: Mapping[str, Any] = NO_CHANGES
) -> list[Call]:
    """The commands for a network that does not learn and has no finding; none for a user's loop. After too few steps it
    is a longer training alone."""
    puzzling = (
        not evidence.beats_chance
        if evidence.probe_run
        else bool(evidence.rows) and not evidence.learned and not still_learning(evidence)
    )
    if has_fault(findings) or not puzzling or evidence.setup.loop or not evidence.setup.rates:
        return []
    if _needs_steps(evidence):
        epochs = PROBE_BATCHES // evidence.steps_per_epoch + 1
        return [_on("train", config, changes, epochs=epochs)]
    return [_on("lr", config, changes), _on("remedy", config, changes)]


def _on(command: str, config: str, changes: Mapping[str, Any], **options: Any) -> Call:
    return Call(command, [config], {"set": changes, **options})


def both(findings: Sequence[Finding], config: str, changes: Mapping[str, Any] = NO_CHANGES) -> Call | None:
    """The first remedies of the first two findings at once: of two causes, neither may help by itself. None where there
    is one finding, both remedies change the same key, or one is a line of code."""
    if len(findings) < 2 or not all(finding.remedies and not any(finding.code[:1]) for finding in findings[:2]):
        return None
    sets = [finding.remedies[0] for finding in findings[:2]]
    first, second = map(_values, sets)
    independent = _without_keys(first, second) == first and _without_keys(second, first) == second
    return _train((*sets[0], *sets[1]), config, changes) if independent else None


def _train(sets: Sequence[str], config: str, changes: Mapping[str, Any]) -> Call:
    values = _values(sets)
    return Call("train", options={"config": config, "set": {**_without_keys(changes, values), **values}})


def _values(sets: Sequence[str]) -> dict[str, Any]:
    """The values that a remedy sets, by key."""
    return {change.key: change.value for change in (override_from_text(text) for text in sets)}


def _without_keys(changes: Mapping[str, Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that a remedy does not set itself."""
    return {key: value for key, value in changes.items() if not any(is_within(key, other) for other in sets)}


PYTORCH = {
    "data.normalize": "divide the inputs by 255, or standardize them: x = (x - mean)/std",
    "data.batch_size": "DataLoader(data, batch_size={})",
    "data.images": "train on all samples",
    "model.init=default": "PyTorch's default initial weights: layer.reset_parameters()",
    "model.init=xavier": "initial weights: nn.init.xavier_normal_(layer.weight); nn.init.zeros_(layer.bias)",
    "model.init=kaiming": "initial weights: nn.init.kaiming_normal_(layer.weight); nn.init.zeros_(layer.bias)",
    "model.init=unit-gain": "initial weights by their outputs: nn.init.kaiming_normal_(layer.weight, mode='fan_out'); "
    "nn.init.zeros_(layer.bias)",
    "model.bias_init": "nn.init.zeros_(layer.bias)",
    "model.norm=batch": "a norm after each hidden layer: nn.BatchNorm1d(units), nn.BatchNorm2d(channels)",
    "model.norm=layer": "a norm after each hidden layer: nn.LayerNorm(units)",
    "model.activation=leaky-relu": "another activation between the layers: nn.LeakyReLU()",
    "model.activation=tanh": "another activation between the layers: nn.Tanh()",
    "model.dropout": "nn.Dropout({})",
    "model.input_dropout": "nn.Dropout({}) at the inputs",
    "optimizer.lr": "lr={} in the optimizer",
    "optimizer.eps": "eps={} in the optimizer",
    "optimizer.weight_decay": "weight_decay={} in the optimizer",
    "optimizer": "another optimizer: torch.optim.Adam(model.parameters(), lr=1e-3)",
    "weight_decay": "weight_decay={} in the optimizer",
    "clip_norm": "torch.nn.utils.clip_grad_norm_(model.parameters(), {}) after loss.backward()",
    "schedule": "no scheduler.step(), or a schedule that is as long as the training",
    "plateau": "no ReduceLROnPlateau",
    "early_stopping": "keep the weights of the epoch with the lowest validation loss, and stop there ({})",
}
"""The setting of a remedy, or its key -> the line of a PyTorch loop that it means; braces take its value."""


def in_pytorch(sets: Sets) -> str:
    """A remedy as a line of PyTorch."""
    lines = []
    for text in sets:
        key, _, value = text.partition("=")
        line = (
            PYTORCH.get(text)
            or PYTORCH.get(key)
            or next((t for k, t in PYTORCH.items() if key.startswith(f"{k}.")), text)
        )
        lines.append(line.format(value))
    return "; ".join(dict.fromkeys(lines))


# --- the verdict in words ---


def limits_of_a_probe_run(evidence: Evidence) -> str:
    """A sentence about causes that sixty batches do not show."""
    training = "short training" if evidence.setup.loop else "probe run"
    later = "overfitting, too few images, shuffled labels, a rate that decays too soon, a late collapse"
    return f"a {training} cannot show what takes longer: {later}"


def has_fault(findings: Sequence[Finding]) -> bool:
    """True if a finding is more than a note."""
    return any(finding.severity > Severity.INFO for finding in findings)


def healthy(evidence: Evidence, findings: Sequence[Finding], level: Severity = Severity.WARNING) -> bool:
    """True if the network has learned, the watch is complete, and no finding is at least `level`. A probe run is too
    short.
    """
    complete = (
        bool(evidence.epochs)
        and not evidence.probe_run
        and not missed_steps(evidence)
        and evidence.chance_is_known
    )
    return complete and evidence.learned and all(finding.severity < level for finding in findings)


def missed_steps(evidence: Evidence) -> str:
    """A sentence about steps that a watch has missed; empty where it is complete, and for a training by optilab."""
    if evidence.loop.error:
        return f"the watch stopped after {plural(evidence.steps, 'step')} ({evidence.loop.error})"
    steps = math.ceil(evidence.loop.updates / evidence.loop.optimizers)
    return f"the watch saw {evidence.steps:,} of {plural(steps, 'step')}" if steps > evidence.steps else ""


def sentence(evidence: Evidence, findings: Sequence[Finding], with_accuracy: bool = True) -> str:
    """The verdict: `healthy`, or what is missing for that; without the accuracy where another sentence has it."""
    if has_fault(findings):
        named = [finding.name for finding in findings if finding.severity > Severity.INFO]
        others = len(named) - 2
        more = f", and {plural(others, 'more finding')}" if others > 0 else ""
        part = f"; {missed}" if (missed := missed_steps(evidence)) else ""
        unproved = evidence.setup.loop and findings[0].severity < Severity.CRITICAL and len(named) > 1
        if unproved:  # symptoms of a loop have one cause, as a rule
            return f"cannot tell: {' or '.join(named[:2])}{more}; the remedy that helps tells which{part}"
        return f"{findings[0].severity.name.lower()}: {' and '.join(named[:2])}{more}{part}"
    if evidence.setup.loop and not evidence.steps:
        return f"nothing was seen: {reason_without_epochs(evidence)}"
    if missed := missed_steps(evidence):
        return f"cannot tell: {missed}{f'; {_accuracy(evidence)}' if evidence.rows else ''}"
    if evidence.probe_run:
        unknown = evidence.chance_loss_source == FIRST_STEPS  # skill is unknown, too
        more = (
            "too few for another verdict" if evidence.beats_chance or unknown else "but nothing is learned in them"
        )
        return f"no sign of trouble in {evidence.steps} batches, {more}"
    if not evidence.rows:
        return "no epoch is recorded yet"
    if evidence.is_objective or (evidence.learned and evidence.chance_loss_source == FIRST_STEPS):
        return f"cannot tell: {_accuracy(evidence)}"
    accuracy = f": {_accuracy(evidence)}" if with_accuracy else ""
    if evidence.learned:
        lost = "" if evidence.epochs else "; its layers were not recorded"
        return f"{'healthy' if healthy(evidence, findings) else 'no sign of trouble'}{accuracy}{lost}"
    fall = evidence.late_fall or 0.0
    fell = f"fell by {fall:.0%}" if fall >= 0.005 else "fell by less than 1%" if fall > 0 else "did not fall"
    if fall < MIN_FALL and evidence.late_fall is not None and still_learning(evidence):
        fell = f"{fell}, and the accuracy rose by {points(evidence.late_rise)} percentage points,"
    course = "" if evidence.late_fall is None else f"; the training loss {fell} in the second half of the epochs"
    if _needs_steps(evidence) and evidence.setup.norm == "batch":
        course += f"; {plural(evidence.steps, 'step')} are too few for the running averages of batch norm, which "
        course += "validation uses: train longer"
    elif _needs_steps(evidence):
        course += f"; only {plural(evidence.steps, 'step')} in all: train longer before you look for a cause"
    reasons = []
    if evidence.chance_is_known and evidence.skill > MIN_SKILL:
        reasons.append("its loss is not below the chance level")
    elif evidence.chance_is_known and with_accuracy:
        reasons.append("it has not learned much")
    if with_accuracy:
        reasons.append(_accuracy(evidence))
    verdict = "no sign of trouble yet" if still_learning(evidence) else "no cause found"
    return f"{verdict}{': ' * bool(reasons)}{', '.join(reasons)}{course}"


def _needs_steps(evidence: Evidence) -> bool:
    """True if a training, which has not learned much, is too short for a verdict."""
    if evidence.setup.norm == "batch":
        return not evidence.probe_run and evidence.steps <= PROBE_BATCHES
    return not evidence.probe_run and evidence.steps < PROBE_BATCHES and not evidence.beats_chance


def reason_without_epochs(evidence: Evidence) -> str:
    """The reason why a watched loop has no epoch to show."""
    called = "watch.step(loss) was not called; call it after each optimizer.step()"
    return str(evidence.loop.error or evidence.divergence or called)


def still_learning(evidence: Evidence) -> bool:
    """True if it beats chance, and its training loss falls, its accuracy rises, or it has too few epochs to say that
    they do not."""
    return evidence.beats_chance and (
        evidence.late_fall is None or evidence.late_fall >= MIN_FALL or evidence.late_rise >= MIN_FALL
    )


def _accuracy(evidence: Evidence) -> str:
    """`validation accuracy 84.1% in the last epochs, chance 10.0%`; of a loop what it has."""
    if column := evidence.measured_accuracy:
        split = {"val_acc": "validation", "train_acc": "training"}[column]
        against = f"chance {percent(evidence.chance)}"
        text = f"{split} accuracy {percent(evidence.accuracy)} in the last epochs"
    else:
        split = "validation" if any("val_loss" in row for row in evidence.rows) else "training"
        against = f"against a chance level of {evidence.validation_chance_loss:.3g}"
        text = f"{split} loss {evidence.validation_loss:.3g} in the last epochs"
    reference = evidence.chance_loss_source
    if reference == FIRST_STEPS:
        against = "" if column else f"against {evidence.validation_chance_loss:.3g} of {FIRST_STEPS}"
    text += f", {against}" if against else ""
    text += f" for {EQUAL_CLASSES}" if reference == EQUAL_CLASSES else ""
    if not evidence.chance_is_known:
        own = evidence.loop.task or evidence.is_objective
        missing = "from a loss of this kind" if own else "without target=y in watch.step"
        text += f"; its chance level is not known {missing}"
    return text


EDGE = (0.85, 1.5)
"""Sharpness over its limit at the edge of stability: the published trainings hover just above it."""
MAX_FAR_FRACTION = 0.5
"""Sharpness over its limit below which a larger learning rate is worth a mention."""


def stability(evidence: Evidence) -> str:
    """The curvature of the loss next to the limit of stability; empty where it was not measured."""
    if (now := evidence.stability) is None:
        return ""
    quantity = "preconditioned sharpness" if now.preconditioned else "sharpness"
    if now.limit is None or now.fraction is None:
        return f"{quantity} {thousands(now.sharpness)}; its limit is not known for this optimizer"
    numbers = f"{quantity} {thousands(now.sharpness)} against a limit of {thousands(now.limit)}"
    if now.fraction > EDGE[1]:
        return f"{numbers}: above it, steps along the steepest direction grow"
    if now.fraction >= EDGE[0]:
        return f"{numbers}: training at the edge of stability"
    if now.fraction > MAX_FAR_FRACTION:
        return f"{numbers}: below it"
    if now.sharpness <= 0:
        return f"{numbers}: no direction curves upwards"
    return f"{numbers}: far below; the rate could be {1 / now.fraction:.2g} times larger before steps grow"


def learning(evidence: Evidence) -> tuple[str, bool]:
    """(a sentence about the network's knowledge of the validation images beyond chance, True if it has any).

    An accuracy at chance is not yet ignorance: a loss below the chance level is knowledge that no accuracy shows.
    """
    if evidence.start.get("classes") == 1:
        return "all images have the same class: there is nothing to learn", False
    best, latest = evidence.best_and_latest()
    last = evidence.rows[-1].get("val_acc", latest) if evidence.rows else latest
    at_best = f", at best {percent(best)}" if best > last else ""
    accuracy = f"validation accuracy {percent(last)}{at_best}, chance {percent(evidence.chance)}"
    if evidence.accuracy_beats_chance(best):
        return f"better than chance: {accuracy}", True
    if evidence.beats_chance:
        return f"has begun to learn: {accuracy}, but the validation loss is below the chance level", True
    return f"no better than chance: {accuracy}", False


def loss_against_chance(evidence: Evidence) -> str:
    """A sentence about the validation loss and that of the chance level."""
    order = "below" if evidence.nats_below_chance > 0 else "above"
    nats = f"{abs(evidence.nats_below_chance):.3g} nats {order} the chance level"
    return f"summed over {evidence.validation_samples:,} images, the validation loss is {nats}"
