"""Each rule on a small real run that shows what it looks for, and on one that does not."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from optilab.answer.diagnosis import Diagnosis
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.data.read import Dataset
from optilab.diagnose import CHECKS, Evidence, Setup, Severity, commands, diagnose, verdict
from optilab.diagnose.checks import loop, outputs
from optilab.diagnose.checks.loop import learning_rate_zero
from optilab.diagnose.checks.rates import MIN_LARGEST_PATH, default_rates
from optilab.errors import DivergedError, UsageError
from optilab.optimize.rule import RULES, formula_rule
from optilab.train import engine
from optilab.train.device import configure
from tests.kit.idx import arrays

HEALTHY = ("model.hidden=[32, 32, 32]", "model.activation=tanh", "model.init=xavier", "optimizer.lr=0.1")


def dataset(train=400, seed=0, random_labels=False):
    train_x, train_y, test_x, test_y = arrays(train, 200, seed).values()
    if random_labels:
        train_y = np.random.default_rng(1).permutation(train_y)
    return Dataset("idx", None, train_x, train_y, test_x, test_y, {})


def evidence(*sets, epochs=4, data=None):
    """What a run of a small network records."""
    texts = ["threads=1", "device=cpu", "data.batch_size=40", f"epochs={epochs}", *HEALTHY, *sets]
    config = load(TrainConfig, "sigmoid", [override_from_text(text) for text in texts])
    configure(torch.device("cpu"), 1)
    rows, divergence = [], ""
    try:
        training = engine.Training.start(config, data or dataset(), torch.device("cpu"))
    except UsageError:
        return Evidence(Setup.of(config), [], [])
    records = [engine.initial_diagnostics(training)]
    try:
        for row, _ in itertools.islice(training.run(lambda done, total: None, lambda: False), epochs):
            rows.append(row)
            records += [training.diagnostics] if training.diagnostics else []
    except DivergedError as error:
        divergence = str(error)
    return Evidence(Setup.of(config), rows, records, divergence)


def changed(seen, **keys):
    """The setup of the same training with other keys of its config."""
    return Setup.of(seen.setup.config.model_copy(update=keys))


DEEP_SIGMOID = ["model.hidden=[32, 32, 32, 32, 32, 32]", "model.activation=sigmoid", "model.init=default"]
SHOWN = {
    "one-class": [],
    "inputs-out-of-scale": ["data.normalize.scale=1e7"],
    "symmetric-init": ["model.init={name: normal, mean: 0.1, std: 1e-6}"],
    "weight-decay-too-strong": ["weight_decay=2"],
    "dropout-too-strong": ["model.dropout=0.95"],
    "batch-norm-small-batch": ["model.hidden=[32, 32, 32, 32, 32, 32]", "model.norm=batch", "data.batch_size=2"],
    "weights-too-large": ["model.init={name: normal, std: 30}"],
    "dead-units": ["model.activation=relu", "model.bias_init={name: constant, value: -100}"],
    "eps-dominates": ["optimizer={name: adam, lr: 0.001, eps: 100}"],
    "learning-rate-decayed": ["optimizer.lr=0.01", "schedule={name: step, every: 1, gamma: 0.001}"],
    "learning-rate-too-high": ["optimizer.lr=1e30", "model.activation=relu"],
    "vanishing-gradient": DEEP_SIGMOID,
    "learning-rate-too-low": ["optimizer.lr=1e-7"],
    "too-few-images": ["data.images=10", "optimizer={name: adam, lr: 0.01}"],
    "overfitting": ["model.activation=relu", "model.init=kaiming", "optimizer={name: adam, lr: 0.01}"],
    "labels-unrelated": ["model.activation=relu", "model.init=kaiming", "optimizer={name: adam, lr: 0.001}"],
}
EPOCHS = {"too-few-images": 25, "batch-norm-small-batch": 1, "labels-unrelated": 8}
NO_SETTING = {"one-class", "labels-unrelated"}  # the dataset is to blame


def test_every_rule_is_tested():
    """Those of loops are tested with loops of plain PyTorch (tests/loop)."""
    of_loops = {check.name for check in CHECKS if check.run.__module__ in (loop.__name__, outputs.__name__)} | {
        "vanishing-through-time"
    }
    assert SHOWN.keys() | of_loops == {check.name for check in CHECKS}
    assert not SHOWN.keys() & of_loops


def shown(rule):
    if rule == "one-class":
        data = dataset()
        train, test = np.full_like(data.train_labels, 3), np.full_like(data.test_labels, 3)
        return evidence(data=replace(data, train_labels=train, test_labels=test))
    if rule == "overfitting":
        seen = evidence(epochs=6)
        late = [
            row | {"train_acc": 0.99, "val_acc": 0.6, "val_loss": 1 + 0.4 * n} for n, row in enumerate(seen.rows)
        ]
        return replace(seen, rows=late)
    data = dataset(600, random_labels=True) if rule == "labels-unrelated" else None
    return evidence(*SHOWN[rule], epochs=EPOCHS.get(rule, 4), data=data)


@pytest.mark.parametrize("rule", SHOWN)
def test_a_run_that_shows_it(rule):
    finding = next((finding for finding in diagnose(shown(rule)) if finding.name == rule), None)
    assert finding is not None
    assert finding.severity >= Severity.WARNING
    assert finding.evidence
    assert any(letter.isdigit() for letter in finding.threshold + finding.text)
    assert bool(finding.remedies) != (rule in NO_SETTING)
    assert bool(finding.advice) >= (rule in NO_SETTING)
    # Every remedy is a command that the schema accepts.
    offered = [*map(str, commands(finding, "sigmoid.yaml"))]
    if rule.startswith("learning-rate-too"):
        assert offered.pop() == "optilab lr sigmoid.yaml"
    for command in offered:
        assert command.startswith("optilab train --config sigmoid.yaml --set ")
    for sets in finding.remedies:
        load(TrainConfig, "sigmoid", [override_from_text(text) for text in (*SHOWN[rule], *sets)])


def test_neither_cause_of_a_rate_proposes_what_the_other_blames():
    """`learning-rate-too-low` does not change a remedy for a rate that is too high back: it proposes a range test."""
    slow = shown("learning-rate-too-low")

    def finding(rule, rate, divergence=""):
        optimizer = replace(slow.setup.config.optimizer, lr=float(rate))
        e = replace(slow, setup=changed(slow, optimizer=optimizer), divergence=divergence)
        return next(finding for finding in diagnose(e) if finding.name == rule)

    def rates(finding):
        return [
            float(text.partition("lr=")[2]) for (text,) in finding.remedies if text.startswith("optimizer.lr=")
        ]

    seen = 0
    for rate in 10 ** np.arange(-6, 3, 0.25):
        for proposed in rates(finding("learning-rate-too-high", rate, "diverged at epoch 2: loss is nan")):
            low, seen = finding("learning-rate-too-low", proposed), seen + 1
            assert not rates(low), (rate, proposed)
            assert str(commands(low, "it.yaml")[0]) == "optilab lr it.yaml"
    assert seen > 10
    assert rates(finding("learning-rate-too-low", 1e-5))


def test_a_rate_without_a_derivation_is_not_named():
    """Where the gradient is lost before training, and where the present rate is near the usual one."""
    lost = evidence("model.activation=relu", "model.init={name: normal, std: 0.03}", "optimizer.lr=1e-6")
    near = replace(evidence("optimizer.lr=0.1"), divergence="diverged at epoch 2: loss is nan")
    for seen, rule in ((lost, "learning-rate-too-low"), (near, "learning-rate-too-high")):
        finding = next(finding for finding in diagnose(seen) if finding.name == rule)
        assert not any(".lr=" in text for sets in finding.remedies for text in sets)
        assert str(commands(finding, "it.yaml")[0]) == "optilab lr it.yaml"
        assert commands(replace(finding, remedies=(), code=()), "it.yaml") == commands(finding, "it.yaml")[:1]
        assert commands(replace(finding, remedies=(), code=(), severity=Severity.INFO), "it.yaml") == []


def test_the_usual_rate_of_a_typed_formula():
    """That of the rule it repeats; none where the length of a step is the rate, which has no default."""
    start = {"epoch": 0, "sample_gradients": [1.0, 1.0], "first_weights": [1.0, 1.0], "input_rms": 0.3}

    def usual(rule):
        return default_rates(Evidence(Setup(config=SimpleNamespace(optimizer=rule)), [], [start]))

    momentum = formula_rule("V <- beta*V + g; w <- w - lr*V")(lr=1.0, beta=0.9)
    assert usual(momentum) == usual(RULES["momentum"]()) == {"optimizer.lr": pytest.approx(0.01)}
    assert usual(RULES["momentum"](form="ema")) == usual(RULES["qhm"]()) == {"optimizer.lr": pytest.approx(0.1)}
    assert (
        usual(formula_rule("w <- w - lr*sign(g)")(lr=30.0)) == usual(formula_rule("w <- w + lr*g")(lr=1.0)) == {}
    )
    assert usual(RULES["signsgd"]()) == {"optimizer.lr": RULES["signsgd"]().lr}


def test_steps_are_those_that_were_made():
    """Also where an epoch is shorter than a probe run, layers were not recorded, or the last batch is left out."""
    rows, start = [{"epoch": 1}, {"epoch": 2}], {"epoch": 0, "train_images": 95}
    ten = Setup(batch_size=10)
    assert Evidence(ten, rows[:1], [start], probe_run=True).steps == 60
    assert Evidence(ten, rows, [start]).steps == 20
    assert Evidence(replace(ten, drop_last=True), rows, [start]).steps == 18
    texts = ("data.images=95", "data.batch_size=10", "data.drop_last=true", "epochs=2")
    assert load(TrainConfig, "sigmoid", [override_from_text(text) for text in texts]).steps == 18


@pytest.fixture(scope="module")
def healthy():
    return evidence(epochs=8)


def test_a_run_that_shows_none_of_them(healthy):
    assert healthy.skill > 0.55
    assert diagnose(healthy) == []
    assert verdict.sentence(healthy, []).startswith("healthy: validation accuracy")


def test_few_steps_of_batch_norm_are_named(healthy):
    for norm, images, named in (("batch", 60, True), ("batch", 6000, False), ("none", 60, False)):
        start = healthy.diagnostics[0] | {"train_images": images}
        setup = replace(healthy.setup, norm=norm, batch_size=4)
        seen = Evidence(setup, [healthy.rows[0] | both(0.1)] * 4, [start, *healthy.diagnostics[1:]])
        text = "60 steps are too few for the running averages of batch norm, which validation uses: train longer"
        assert (text in verdict.sentence(seen, [])) is named


def test_a_note_has_no_remedy(healthy):
    """An oddity of a network that has learned is a note: nothing to try, nothing that contradicts the verdict."""
    odd = replace(healthy, setup=replace(healthy.setup, dropouts={"model.dropout": 0.9}))
    (note,) = diagnose(odd)
    assert (note.name, note.severity, note.remedies) == ("dropout-too-strong", Severity.INFO, ())
    assert not verdict.has_fault([note])


def like(seen, *rows, start=None, layers=None, probe_run=False, **config):
    """Evidence of epochs with these numbers, everything else as in the last epoch of `seen`.

    `layers` changes quantities of every layer: functions of its index and the value.
    """
    record = seen.diagnostics[-1]
    measured = [
        layer | {name: of(n, layer[name]) for name, of in (layers or {}).items()}
        for n, layer in enumerate(record["layers"])
    ]
    numbers = range(1, len(rows) + 1)
    epochs = [{**seen.rows[-1], "epoch": n, **row} for n, row in zip(numbers, rows, strict=True)]
    records = [seen.diagnostics[0] | (start or {}), *(record | {"epoch": n, "layers": measured} for n in numbers)]
    return Evidence(changed(seen, **config), epochs, records, probe_run=probe_run)


def both(accuracy, loss=2.0):
    return {"train_acc": accuracy, "val_acc": accuracy, "train_loss": loss, "val_loss": loss}


def accuracies(*pairs):
    return [{"train_acc": train, "val_acc": validation} for train, validation in pairs]


def shrunk(seen, training):
    """Weight decay 1, and weights of a hundredth of their initial norm."""
    rows = [row | {"train_acc": training} for row in seen.rows]
    first = [100 * norm for norm in seen.diagnostics[0]["first_weights"]]
    return like(seen, *rows, start={"first_weights": first}, weight_decay=1.0)


def batches(seen, size, accuracy):
    setup = replace(seen.setup, norm="batch", normed_over=size, batch_size=size)
    return replace(seen, setup=setup, rows=[row | {"val_acc": accuracy} for row in seen.rows])


def grown(seen, layers, loss):
    fold = {"weight_norm": lambda n, value: 6 * value if n < layers else value}
    return like(seen, seen.rows[0] | {"train_loss": loss * math.log(10)}, layers=fold, probe_run=True)


def unrelated(**last):
    seen = shown("labels-unrelated")
    return replace(seen, rows=[*seen.rows[:-1], seen.rows[-1] | last])


def slow_everywhere(seen):
    """As much is learned of the validation images as of the training images."""
    known = {
        "train_loss": 0.98 * seen.chance_loss,
        "val_loss": 0.98 * seen.validation_chance_loss,
        "train_acc": 0.1,
    }
    return replace(seen, rows=[row | known for row in seen.rows])


HIGH, LOW, RELATED = "learning-rate-too-high", "learning-rate-too-low", "labels-unrelated"
LOUD = ("model.init={name: normal, std: 10}", "model.activation=sigmoid", "optimizer.lr=0.01")
DECAYING = "schedule={name: step, every: 4, gamma: 1e-6}"
FALLING = [both(0.3, loss) for loss in np.linspace(2.25, 1.8, 8)]
KILLED = {
    "dead": lambda n, value: 1.0,
    "update_to_weight": lambda n, value: 1e-9,
    "weight_norm": lambda n, value: 1.5 * value,
}
BARELY_MOVED = {"update_to_weight": lambda n, value: 1.5 * MIN_LARGEST_PATH / 800}
LEARNED = accuracies(*[(0.99, 0.8)] * 8)
EDGES = {
    "decay, not learned": ("weight-decay-too-strong", True, lambda h: shrunk(h, 0.6)),
    "decay, learned": ("weight-decay-too-strong", False, lambda h: shrunk(h, 0.95)),
    "a collapse": (HIGH, True, lambda h: like(h, *LEARNED, *accuracies(*[(0.3, 0.5)] * 3))),
    "oscillation": (HIGH, False, lambda h: like(h, *LEARNED, *accuracies(*[(0.99, 0.5)] * 3))),
    "reached and lost": (HIGH, True, lambda h: like(h, *h.rows, *[both(0.1, 2.4)] * 3)),
    "falls": (HIGH, True, lambda h: like(h, *map(both, (0.61, 0.29, 0.19)))),
    "rises in the last epoch": (HIGH, False, lambda h: like(h, *map(both, (0.19, 0.29, 0.61)))),
    "large steps": (HIGH, False, lambda h: like(h, *FALLING, layers={"update_to_weight": lambda n, value: 0.07})),
    "a loud start": (HIGH, False, lambda h: evidence(*LOUD)),
    "killed units": (HIGH, True, lambda h: like(h, *[both(0.1, 2.31)] * 8, layers=KILLED)),
    "units that do not move": (LOW, False, lambda h: like(h, *[both(0.1, 2.31)] * 8, layers=KILLED)),
    "steps before a decay": (LOW, False, lambda h: evidence(DECAYING, epochs=8)),
    "three steps": (LOW, False, lambda h: evidence("data.batch_size=200", epochs=1)),
    "many steps": (LOW, False, lambda h: like(h, *[both(0.1, 2.31)] * 80, layers=BARELY_MOVED)),
    "weights of zero": ("symmetric-init", True, lambda h: evidence("model.init={name: constant, value: 0}")),
    "four images": ("batch-norm-small-batch", True, lambda h: batches(h, 4, 0.2)),
    "four images, learned": ("batch-norm-small-batch", False, lambda h: batches(h, 4, 0.5)),
    "two images, learned": ("batch-norm-small-batch", True, lambda h: batches(h, 2, 0.5)),
    "eight images": ("batch-norm-small-batch", False, lambda h: batches(h, 8, 0.2)),
    "one layer has grown": (HIGH, True, lambda h: grown(h, 1, 1.2)),
    "one layer has grown, below chance": (HIGH, False, lambda h: grown(h, 1, 0.9)),
    "all layers have grown": (HIGH, True, lambda h: grown(h, 4, 1.2)),
    "all layers have grown, below chance": (HIGH, False, lambda h: grown(h, 4, 0.9)),
    "nothing of labels": (RELATED, True, lambda h: unrelated()),
    "labels, in one epoch": (RELATED, False, lambda h: unrelated(val_acc=0.25)),
    "labels, slowly": (RELATED, False, lambda h: slow_everywhere(shown(RELATED))),
}
"""A finding, whether it is made, and of what; the argument is the evidence of a healthy training."""


@pytest.mark.parametrize("edge", EDGES)
def test_a_finding_at_its_edge(edge, healthy):
    rule, expected, seen = EDGES[edge]
    findings = [finding for finding in diagnose(seen(healthy)) if finding.name == rule]
    assert [finding.severity > Severity.INFO for finding in findings][:1] == [True] * expected


@pytest.mark.parametrize(("rates", "idle"), [((0.1, 0.0), False), ((0.1, 0.0, 0.0), True)])
def test_a_schedule_may_end_at_zero(rates, idle):
    records = [{"epoch": n, "lr": rate, "layers": []} for n, rate in enumerate(rates, 1)]
    assert bool(learning_rate_zero(Evidence(Setup(), [], records))) is idle


@pytest.mark.parametrize(("nats", "knows"), [(152, True), (20, True), (5, False), (-50, False)])
def test_a_loss_below_guessing_is_knowledge_where_the_accuracy_is_chance(healthy, nats, knows):
    start = healthy.diagnostics[0] | {"validation_images": 10_000, "chance": 0.1}
    entropy = start["validation_entropy"]
    row = healthy.rows[-1] | {"val_loss": entropy - nats / 10_000, "val_acc": 0.1003, "train_loss": entropy}
    seen = Evidence(healthy.setup, [row], [start, *healthy.diagnostics[1:]])
    assert seen.beats_chance is knows
    text, learns = verdict.learning(seen)
    assert learns is knows
    near = Evidence(healthy.setup, [row | {"val_acc": 0.1 + 4 * 0.003 + 0.5 / 10_000}], seen.diagnostics)
    assert verdict.learning(near)[1] is near.beats_chance is knows
    assert ("the validation loss is below the chance level" in text) is knows
    order = "below" if nats > 0 else "above"
    assert f"{abs(nats)} nats {order} the chance level" in verdict.loss_against_chance(seen)


def test_without_validation_samples_no_accuracy_beats_chance():
    rows = [{"epoch": 1, "train_loss": 1.0, "val_acc": 0.5}]
    assert verdict.learning(Evidence(Setup(), rows, []))[1] is False


def test_a_network_that_knows_nothing_has_a_next_step_without_a_finding(healthy):
    """In a probe run, and after epochs; one that learns, and has had too few epochs to see how fast, has none."""
    blank = {"train_loss": math.log(10), "train_acc": 0.1, "val_loss": math.log(10), "val_acc": 0.1}
    tries = ["optilab lr it.yaml --set model.act=relu", "optilab remedy it.yaml --set model.act=relu"]
    start = healthy.diagnostics[0] | {
        "validation_images": 10_000,
        "chance": 0.1,
        "validation_entropy": math.log(10),
    }
    for epochs, probe_run, verdict_text in (
        (1, True, "but nothing is learned in them"),
        (6, False, "no cause found: "),
    ):
        rows = [{"epoch": number + 1, **blank} for number in range(epochs)]
        seen = Evidence(healthy.setup, rows, [start, *healthy.diagnostics[1:]], probe_run=probe_run)
        assert verdict_text in verdict.sentence(seen, [])
        assert ("the training loss did not fall" in verdict.sentence(seen, [])) is not probe_run
        assert [*map(str, verdict.next_steps(seen, [], "it.yaml", {"model.act": "relu"}))] == tries
        view = Diagnosis("it.yaml", seen, [], "it.yaml", {"model.act": "relu"})
        for lines in (view.blocks(), view.brief()):
            assert f"  try: {tries[0]}" in map(str, lines)
    setup = replace(healthy.setup, train=70, batch_size=10)
    short = Evidence(setup, [{"epoch": 1, **blank}], [{**start, "train_images": 70}, *healthy.diagnostics[1:]])
    assert "only 7 steps in all: train longer" in verdict.sentence(short, [])
    assert [*map(str, verdict.next_steps(short, [], "it.yaml", {"model.act": "relu"}))] == [
        "optilab train it.yaml --set model.act=relu --epochs 9"
    ]
    rows = [{"epoch": 1, **blank, "train_loss": 2.28}, {"epoch": 2, **blank, "train_loss": 2.19, "val_acc": 0.289}]
    young = Evidence(healthy.setup, rows, [start, *healthy.diagnostics[1:]])
    assert verdict.sentence(young, []).startswith("no sign of trouble yet: ")
    assert verdict.next_steps(young, [], "it.yaml") == []
    assert verdict.learning(young) == ("better than chance: validation accuracy 28.9%, chance 10.0%", True)


@pytest.mark.parametrize(
    ("first", "loss", "knows", "rules"),
    [  # first loss and training loss over that of guessing, in a probe run and in a whole training
        (1.0, 1.04, False, ([], ["learning-rate-too-high"])),
        (1.0, 3.0, False, (["learning-rate-too-high"], ["learning-rate-too-high"])),
        (9.0, 3.0, False, (["weights-too-large"], ["weights-too-large", "learning-rate-too-high"])),
        (9.0, 3.0, True, ([], ["weights-too-large", "learning-rate-too-high"])),
    ],
)
def test_a_probe_run_does_not_blame_a_loss_that_may_fall(healthy, first, loss, knows, rules):
    start = healthy.diagnostics[0]
    entropy = start["prior_entropy"]
    start = start | {"first_loss": first * entropy, "train_images": 4000}
    accuracy = start["chance"] + 0.2 * knows
    row = healthy.rows[0] | {"train_loss": loss * entropy, "val_loss": loss * entropy, "val_acc": accuracy}
    for probe_run, expected in zip((True, False), rules, strict=True):
        seen = Evidence(healthy.setup, [row], [start, healthy.diagnostics[1]], probe_run=probe_run)
        assert seen.beats_chance is knows
        assert [finding.name for finding in diagnose(seen)] == expected


def test_the_rate_of_a_wrapped_rule_is_the_one_to_change():
    low = diagnose(evidence("optimizer={name: sam, base: {name: sgd, lr: 1e-7}}"))[0]
    assert low.name == "learning-rate-too-low"
    assert low.remedies[0][0].startswith("optimizer.base.lr=")
    decayed = diagnose(
        evidence("optimizer={name: sam, base: {name: adamw, lr: 0.01, weight_decay: 80}}", epochs=8)
    )
    assert ("weight-decay-too-strong", "optimizer.base.weight_decay=0") in [
        (f.name, f.remedies[0][0]) for f in decayed
    ]


@pytest.mark.parametrize(
    ("optimizer", "first"),
    [
        # too high in one of two rates: that one changes, to the default of its optimizer
        ("{name: muon, lr: 0.02, others: {name: adamw, lr: 1}}", ("optimizer.others.lr=0.001",)),
        ("{name: muon, lr: 5}", ("optimizer.lr=0.02",)),
        ("{name: lookahead, base: {name: adam, lr: 3}}", ("optimizer.base.lr=0.001",)),
        # no usual rate is far below these: `optilab lr` finds one
        ("{name: muon, lr: 0.02}", ("clip_norm=1",)),
    ],
)
def test_the_remedy_of_a_rate_that_is_too_high_reaches_the_rate_that_is(optimizer, first):
    seen = replace(evidence(f"optimizer={optimizer}", epochs=1), divergence="diverged at epoch 1")
    finding = next(finding for finding in diagnose(seen) if finding.name == "learning-rate-too-high")
    assert finding.remedies[0] == first


@pytest.mark.parametrize("lr", [3, 300])
def test_a_rate_that_was_far_too_high_gets_one_that_learns_at_once(lr):
    """Of gradient descent: the rate at which the first step has the usual size, however high it was."""
    seen = evidence(f"optimizer.lr={lr}", epochs=4)
    (remedy,) = diagnose(seen)[0].remedies[0]
    better = evidence(remedy, epochs=4)
    assert 0.02 < float(remedy.removeprefix("optimizer.lr=")) < 0.5
    assert better.loss < 0.8 * better.chance_loss < 0.8 * min(seen.loss, 9.0)


@pytest.mark.parametrize("probe_run", [False, True])
def test_validation_labels_of_other_names_are_labels_and_not_overfitting(probe_run):
    data = dataset(600)
    shifted = replace(data, test_labels=(data.test_labels + 1) % 10)
    seen = evidence("model.hidden=[64]", "optimizer={name: adam, lr: 0.003}", epochs=12, data=shifted)
    if probe_run:
        seen = replace(
            seen, rows=seen.rows[-1:], diagnostics=[seen.diagnostics[0], seen.diagnostics[-1]], probe_run=True
        )
    finding = diagnose(seen)[0]
    assert (finding.name, finding.severity.name) == ("labels-unrelated", "CRITICAL")
    assert "the validation labels have other names" in finding.text


def test_two_causes_are_both_named_with_one_command_for_both():
    seen = evidence("data.normalize.scale=25500000", "optimizer.lr=1e-7")
    findings = diagnose(seen)
    assert [finding.name for finding in findings[:2]] == ["inputs-out-of-scale", "learning-rate-too-low"]
    assert verdict.sentence(seen, findings) == "critical: inputs-out-of-scale and learning-rate-too-low"
    # The default rate: gradients of such inputs are no measure.
    sets = "--set 'data.normalize={scale: 255}' --set optimizer.lr=0.01"
    assert str(verdict.both(findings, "net.yaml")) == f"optilab train --config net.yaml {sets}"
    assert verdict.both(findings[:1], "net.yaml") is None
    assert verdict.both([findings[1], findings[1]], "net.yaml") is None  # of the same key


def test_no_remedy_is_what_the_training_has_already():
    (finding,) = [f for f in diagnose(evidence(*DEEP_SIGMOID)) if f.name == "vanishing-gradient"]
    assert ("model.norm=batch",) in finding.remedies
    small = diagnose(evidence("model.hidden=[32, 32, 32, 32, 32]", "model.init={name: normal, std: 0.01}"))
    remedies_of_tanh = next(f for f in small if f.name == "vanishing-gradient").remedies
    assert ("model.activation=tanh",) not in remedies_of_tanh


def test_a_batch_norm_over_one_image_is_refused_and_diagnosed():
    finding = diagnose(evidence("model.norm=batch", "data.batch_size=1"))[0]
    assert (finding.name, finding.severity) == ("batch-norm-small-batch", Severity.CRITICAL)


@pytest.mark.parametrize(
    "sets",
    [
        ["model.norm=batch"],
        ["model.norm={name: layer, position: after}"],
        ["model.norm=standardize"],
        ["model.skip=[[1, 3]]"],
        ["model.dropout=0.3"],
        ["model.gradient_norm=[1, 2]"],
        ["stages=[{layers: 1, epochs: 2}, {layers: 3}]"],
        ["optimizer={name: adam, eps_placement: added}"],
        *[[f"model.activation={name}"] for name in ("softsign", "prelu", "gelu", "softplus", "identity", "mish")],
    ],
    ids=" ".join,
)
def test_looking_changes_no_bit(sets):
    rows = {probes: evidence(*sets, f"probes={probes}", epochs=3) for probes in (0, 1, 3, 10)}
    plain = [[value.hex() for value in row.values() if isinstance(value, float)] for row in rows[0].rows]
    assert rows[0].epochs == []
    for probes in (1, 3, 10):
        seen = [[value.hex() for value in row.values() if isinstance(value, float)] for row in rows[probes].rows]
        assert seen == plain
        layers = rows[probes].epochs[-1]["layers"]
        assert len(layers) == 4
        assert all(layer["weight_norm"] > 0 for layer in layers)


def test_measured_norms_are_those_of_autograd():
    """One probed batch next to the same batch by hand."""
    seen = evidence("probes=1", "data.batch_size=400", epochs=1).epochs[0]["layers"]
    config = load(TrainConfig, "sigmoid", [override_from_text(text) for text in HEALTHY])
    data = dataset()
    training = engine.Training.start(config, data, torch.device("cpu"))
    images = torch.tensor(data.train_images.reshape(400, -1)).float() / 255
    loss = torch.nn.functional.cross_entropy(training.model(images), torch.tensor(data.train_labels).long())
    loss.backward()
    linears = [module for module in training.model.modules() if isinstance(module, torch.nn.Linear)]
    for layer, linear in zip(seen, linears, strict=True):
        assert layer["gradient_norm"] == pytest.approx(float(linear.weight.grad.norm()), rel=1e-4)
        assert layer["weight_norm"] == pytest.approx(float(linear.weight.detach().norm()), rel=1e-6)
        assert layer["update_to_weight"] == pytest.approx(0.1 * layer["gradient_to_weight"], rel=1e-3)
