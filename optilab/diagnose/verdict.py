"""Why a network does not learn, and what to change: the causes in their order, findings, and a verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from optilab.call import Call
from optilab.config.load import load
from optilab.config.section import dump, handling_user_code
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.diagnose import before_training, during_training, in_loop
from optilab.diagnose.cause import FALLING, MIN_SKILL, Cause, Sets, learned
from optilab.diagnose.evidence import EQUAL_CLASSES, FIRST_STEPS, TRIAL_BATCHES, Evidence, Setup
from optilab.diagnose.remedies import remedies
from optilab.errors import ConfigError
from optilab.words import percent, plural

NO_CHANGES: Mapping[str, Any] = {}

CAUSES: tuple[Cause, ...] = (
    *in_loop.DATA_AND_LOOP,
    before_training.one_class,
    during_training.labels_unrelated,
    before_training.inputs_out_of_scale,
    during_training.weight_decay_too_strong,
    before_training.symmetric_init,
    before_training.dropout_too_strong,
    before_training.batch_norm_small_batch,
    before_training.weights_too_large,
    before_training.dead_units,
    during_training.eps_dominates,
    during_training.learning_rate_decayed,
    during_training.too_few_images,
    *in_loop.THEN,
    during_training.learning_rate_too_high,
    during_training.vanishing_gradient,
    during_training.learning_rate_too_low,
    during_training.overfitting,
    *in_loop.NOTES,
)
"""In the order of causes: where two findings weigh the same, the earlier one explains the later. How often they are
right is measured on labeled trainings (tests/diagnosis; docs/measured.md)."""
FOLLOWERS = (
    before_training.weights_too_large,
    before_training.dead_units,
    during_training.learning_rate_too_high,
    during_training.vanishing_gradient,
)
"""What gradients that add up from step to step do to a network: notes next to their cause. The loss of the initial
weights, which no step has changed yet, is none of it."""


class Severity(IntEnum):
    """How much a finding matters; what is only `INFO` has no remedy."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Finding:
    """One cause: `text` has its number, `evidence` all of them, `remedies` are `key=value` settings, best first."""

    rule: str
    severity: Severity
    text: str
    threshold: str
    normal: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedies: tuple[Sets, ...] = ()
    advice: str = ""
    code: tuple[str, ...] = ()
    """For each remedy the line of PyTorch, where it stands in code of the user's own; empty where it is a setting."""

    @property
    def name(self) -> str:
        return self.rule

    @property
    def remedy(self) -> str:
        """What to try first; empty for a note."""
        code = self.code or [""] * len(self.remedies)
        texts = [line or " ".join(sets) for line, sets in zip(code, self.remedies, strict=True)]
        return next(iter([*filter(None, self.code[:1]), *filter(None, [self.advice]), *texts]), "")


def diagnose(e: Evidence) -> list[Finding]:
    """The findings, the most severe first."""
    findings: list[Finding] = []
    survives = learned(e)
    found = [(cause, seen) for cause in CAUSES if (seen := cause(e)) is not None]
    others = any(not seen.last and not seen.note for _, seen in found)
    adding = any(cause is in_loop.gradients_not_zeroed for cause, _ in found)
    for cause, seen in found:
        if seen.last and others:
            continue
        follows = adding and cause in FOLLOWERS and not (cause is FOLLOWERS[0] and before_training.loud(e))
        harmless = seen.note or follows or (survives and not seen.harm)
        severity = Severity.INFO if harmless else Severity.WARNING if e.knows else Severity.CRITICAL
        remedies = () if harmless else tuple(sets for sets in seen.remedies if _changes(e, sets))
        findings.append(
            Finding(
                cause.name,
                severity,
                seen.text,
                seen.threshold or cause.threshold,
                seen.normal or cause.normal,
                seen.numbers,
                remedies,
                "" if harmless else seen.advice or cause.advice,
                tuple(in_pytorch(sets) if _in_code(e, sets) else "" for sets in remedies),
            )
        )
    return sorted(findings, key=lambda finding: -min(finding.severity, Severity.WARNING))


def _changes(e: Evidence, sets: Sets) -> bool:
    """Whether these settings are not those that the training had."""
    if isinstance(e.config, Setup) or _in_code(e, sets):
        return True
    tree = dump(e.config)
    try:
        with handling_user_code("recorded"):
            return dump(load(TrainConfig, tree, [override_from_text("--set", text) for text in sets])) != tree
    except ConfigError:
        return True


OF_ANY_NETWORK = ("model.init", "model.bias_init")
"""Settings of the network that one of the user's own has, too."""


def _in_code(e: Evidence, sets: Sets) -> bool:
    """Whether a remedy changes what stands in code of the user's own: the loop, or the network."""
    keys = [text.partition("=")[0] for text in sets]
    return e.setup.loop or (e.setup.own and any(k.startswith("model.") and k not in OF_ANY_NETWORK for k in keys))


def commands(finding: Finding, config: str, changes: Mapping[str, Any] = NO_CHANGES) -> list[Call | str]:
    """The remedies as commands, or as lines of PyTorch; `config` is the value of their --config, `changes` the keys
    that were set besides. For a learning rate there is a range test, too: first where no remedy names a rate."""
    code = finding.code or [""] * len(finding.remedies)
    found = [line or _train(sets, config, changes) for line, sets in zip(code, finding.remedies, strict=True)]
    rates = finding.severity > Severity.INFO and finding.rule in (
        "learning-rate-too-high",
        "learning-rate-too-low",
    )
    if rates and not (code and all(code)):
        rated = any(".lr=" in text for sets in finding.remedies for text in sets)
        found.insert(len(found) if rated else 0, _on("lr", config, changes))
    return found


def next_steps(
    e: Evidence, findings: Sequence[Finding], config: str, changes: Mapping[str, Any] = NO_CHANGES
) -> list[Call]:
    """The commands for a network that does not learn and has no finding; none for a loop of the user's own."""
    puzzling = not e.knows if e.trial else bool(e.rows) and not learned(e) and not learning_still(e)
    if sick(findings) or not puzzling or e.setup.loop or not e.setup.rates:
        return []
    return [_on("lr", config, changes), _on("remedy", config, changes)]


def _on(command: str, config: str, changes: Mapping[str, Any], **options: Any) -> Call:
    return Call(command, [config], {"set": changes, **options})


def both(findings: Sequence[Finding]) -> Sets:
    """The first remedies of the first two findings at once: of two causes, neither may help by itself. Empty where
    there is one finding, or both remedies change the same key."""
    if len(findings) < 2 or not (findings[0].remedies and findings[1].remedies):
        return ()
    first, second = _values(findings[0].remedies[0]), _values(findings[1].remedies[0])
    apart = _kept(first, second) == first and _kept(second, first) == second
    return (*findings[0].remedies[0], *findings[1].remedies[0]) if apart else ()


def command_of_both(
    findings: Sequence[Finding], config: str, changes: Mapping[str, Any] = NO_CHANGES
) -> Call | None:
    """`both` as a command; None where there is none, and for a loop of the user's own."""
    sets = () if any(any(finding.code[:1]) for finding in findings[:2]) else both(findings)
    return _train(sets, config, changes) if sets else None


def command_of_all(
    findings: Sequence[Finding], config: str, changes: Mapping[str, Any] = NO_CHANGES
) -> Call | None:
    """The command that tries every remedy of the first finding, where `optilab remedy` knows all of them by name."""
    known = {remedy.sets: remedy.name for remedy in remedies().values()}
    names = [known.get(sets, "") for sets in (findings[0].remedies if findings else ())]
    return _on("remedy", config, changes, only=tuple(names)) if len(names) > 1 and all(names) else None


def _train(sets: Sequence[str], config: str, changes: Mapping[str, Any]) -> Call:
    values = _values(sets)
    return Call("train", options={"config": config, "set": {**_kept(changes, values), **values}})


def _values(sets: Sequence[str]) -> dict[str, Any]:
    """The values that a remedy sets, by key."""
    return {change.key: change.value for change in (override_from_text("--set", text) for text in sets)}


def _kept(changes: Mapping[str, Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that a remedy does not set itself."""
    return {
        key: value for key, value in changes.items() if not any(f"{key}.".startswith(f"{one}.") for one in sets)
    }


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
    """A remedy in PyTorch's words."""
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

UNSEEN_IN_A_TRIAL = (
    "a probe run cannot show what takes longer: overfitting, too few images, shuffled "
    "labels, a rate that decays too soon, "
    "a late collapse"
)


def sick(findings: Sequence[Finding]) -> bool:
    """A finding matters: it is more than a note."""
    return any(finding.severity > Severity.INFO for finding in findings)


def healthy(e: Evidence, findings: Sequence[Finding], level: Severity = Severity.WARNING) -> bool:
    """The network has learned, the watch is whole, and no finding is at least `level`. A probe run is too short."""
    seen = bool(e.epochs) and not e.trial and not unwatched(e) and _told(e)
    return seen and learned(e) and all(finding.severity < level for finding in findings)


def unwatched(e: Evidence) -> str:
    """What a watch has missed; empty where it is whole, and for a training of optilab's."""
    if e.loop.get("error"):
        return f"the watch stopped after {plural(e.steps, 'step')}"
    steps = math.ceil(e.loop.get("updates", 0) / e.loop.get("optimizers", math.inf))
    return f"the watch saw {e.steps:,} of {plural(steps, 'step')}" if steps > e.steps else ""


def _told(e: Evidence) -> bool:
    """The chance level is known: what a network has learned can be told."""
    return e.loop.get("reference", "guessing") not in (FIRST_STEPS, EQUAL_CLASSES)


def sentence(e: Evidence, findings: Sequence[Finding]) -> str:
    """The verdict: `healthy`, or what is missing for that."""
    if sick(findings):
        named = [finding.rule for finding in findings if finding.severity > Severity.INFO]
        others = len(named) - 2
        more = f", and {plural(others, 'more finding')}" if others > 0 else ""
        part = f"; {missed}" if (missed := unwatched(e)) else ""
        return f"{findings[0].severity.name.lower()}: {' and '.join(named[:2])}{more}{part}"
    if e.loop and not e.steps:
        return f"nothing was seen: {unseen(e)}"
    if missed := unwatched(e):
        return f"cannot tell: {missed}{f'; {_accuracy(e)}' if e.rows else ''}"
    if e.trial:
        unknown = e.loop.get("reference") == FIRST_STEPS  # what is learned cannot be told
        more = "too few to tell more" if e.knows or unknown else "but nothing is learned in them"
        return f"no sign of trouble in {e.steps} batches, {more}"
    if not e.rows:
        return "no epoch is recorded yet"
    accuracy = _accuracy(e)
    if learned(e):
        lost = "" if e.epochs else "; its layers were not recorded"
        return f"{'healthy' if healthy(e, findings) else 'no sign of trouble'}: {accuracy}{lost}"
    fall = e.fall or 0.0
    fell = f"fell by {fall:.0%}" if fall >= 0.005 else "fell by less than 1%" if fall > 0 else "did not fall"
    course = "" if e.fall is None else f"; the training loss {fell} in the second half of the epochs"
    if e.setup.norm == "batch" and e.steps <= TRIAL_BATCHES:
        course += f"; {e.steps} steps are too few for the running averages of batch norm, which validation uses: "
        course += "train longer"
    elif e.steps < TRIAL_BATCHES and not e.knows:
        course += f"; only {plural(e.steps, 'step')} in all: train longer before you look for a cause"
    lacks = "it has not learned much" if e.skill <= MIN_SKILL else "its loss is not below the chance level"
    verdict = f"{'no sign of trouble yet' if learning_still(e) else 'no cause found'}: "
    return f"{verdict}{f'{lacks}, ' if _told(e) else ''}{accuracy}{course}"


def unseen(e: Evidence) -> str:
    """Why a loop that was watched has no epoch to show."""
    called = "watch.step(loss) was not called; call it after each optimizer.step()"
    return str(e.loop.get("error") or e.divergence or called)


def learning_still(e: Evidence) -> bool:
    """Whether it knows something, and its training loss falls, or too few epochs were made to say that it does not."""
    return e.knows and (e.fall is None or e.fall >= FALLING)


def _accuracy(e: Evidence) -> str:
    """`validation accuracy 84.1% in the last epochs, chance 10.0%`; of a loop what it has."""
    if column := e.measured_accuracy:
        which = {"val_acc": "validation", "train_acc": "training"}[column]
        against = f"chance {percent(e.chance)}"
        text = f"{which} accuracy {percent(e.accuracy)} in the last epochs"
    else:
        which = "validation" if any("val_loss" in row for row in e.rows) else "training"
        against = f"against a chance level of {e.validation_entropy:.3g}"
        text = f"{which} loss {e.validation_loss:.3g} in the last epochs"
    reference = e.loop.get("reference")
    if reference == FIRST_STEPS:
        against = "" if column else f"against {e.validation_entropy:.3g} of {FIRST_STEPS}"
    text += f", {against}" if against else ""
    text += f" for {EQUAL_CLASSES}" if reference == EQUAL_CLASSES else ""
    if not _told(e):
        missing = "from a loss of this kind" if e.loop.get("task") else "without target=y in watch.step"
        text += f"; what it has learned cannot be told {missing}"
    return text


EDGE = (0.85, 1.5)
"""Sharpness over its limit at the edge of stability: the published trainings hover just above it."""
FAR = 0.5
"""Sharpness over its limit below which a larger learning rate is worth a mention."""


def stability(e: Evidence) -> str:
    """The curvature of the loss next to the limit of stability; empty where it was not measured."""
    if (now := e.stability) is None:
        return ""
    what = "preconditioned sharpness" if now.preconditioned else "sharpness"
    numbers = f"{what} {_short(now.sharpness)} against a limit of {_short(now.limit)}"
    if now.share > EDGE[1]:
        return f"{numbers}: above it, steps along the steepest direction grow"
    if now.share >= EDGE[0]:
        return f"{numbers}: training at the edge of stability"
    if now.share > FAR:
        return f"{numbers}: below it"
    if now.sharpness <= 0:
        return f"{numbers}: no direction curves upwards"
    return f"{numbers}: far below; the rate could be {1 / now.share:.2g} times larger before steps grow"


def _short(value: float) -> str:
    """Three digits, or all of a whole number of thousands."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def learning(e: Evidence) -> tuple[str, bool]:
    """(what the network knows of the validation images beyond chance, whether it knows anything).

    An accuracy at chance is not yet ignorance: a loss below the chance level is knowledge that no accuracy shows.
    """
    if e.start.get("classes") == 1:
        return "all images have the same class: there is nothing to learn", False
    best, chance = e.peak()[0], e.chance
    accuracy = f"best accuracy {percent(best)}, chance {percent(chance)}"
    error = math.sqrt(chance * (1 - chance) / e.validation_images)
    nats = f"{abs(e.information):.3g} nats {'below' if e.information > 0 else 'above'} the chance level"
    loss = f"summed over {e.validation_images:,} images, the validation loss is {nats}"
    if best > chance + 4 * error:
        return f"better than chance: {accuracy}", True
    if e.knows:
        return f"has begun to learn: {accuracy}, but {loss}", True
    return f"no better than chance: {accuracy}; {loss}", False
