"""Checks of a user's loop and network, by the measurements of `optilab.watch`: bugs, not settings.

They come before the checks of a network, because a loop with a bug says little about its network. All see nothing in
a training of optilab's, whose loop is known, but for what a user's network may do wrong in it. A further check needs a
function here, and what it has to know in `diagnose/loop_evidence.py`, which `optilab.loop` fills.
"""

from itertools import pairwise, takewhile

from optilab.diagnose.check import Observation, check
from optilab.diagnose.evidence import Evidence
from optilab.words import plural


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


@check(
    "non-finite-data",
    fix="remove the samples that are not finite, or replace their values: x = torch.nan_to_num(x)",
)
def non_finite_data(evidence: Evidence) -> Observation | None:
    """A sampled batch has inputs or targets that are not finite."""
    if not (count := evidence.loop.non_finite):
        return None
    text = f"{count} of {evidence.loop.samples} sampled batches have inputs or targets that are not finite"
    return Observation(text, {"batches": count}, certain=True)


MAX_FIRST_STD = 1e4
"""Standard deviation of the first outputs of a layer."""
MIN_FINITE_LOSSES, MAX_LOSS_BEFORE = 4, 2.0
"""Losses before one that is not finite, and the last of them over the first: a rate that is too high lets the loss grow
before it overflows, or overflows at once."""


@check(
    "loss-not-finite",
    fix="look for what the loss divides by, for logarithms and roots of numbers that may be zero or negative, and for "
    "inputs and targets that are not finite",
)
def loss_not_finite(evidence: Evidence) -> Observation | None:
    """The first loss is not finite, while the outputs of all layers, or of those before the first one whose outputs are
    not finite, have a standard deviation below {MAX_FIRST_STD:g}; or a loss after {MIN_FINITE_LOSSES} or more is not,
    and the last one was at most {MAX_LOSS_BEFORE:g} times the first."""
    if evidence.loop.non_finite:  # which explains it
        return None
    first, before = evidence.start.get("first_loss"), evidence.start.get("loss_before")
    if (
        first is not None
        and evidence.start.get("finite_losses", 0) >= MIN_FINITE_LOSSES
        and before <= MAX_LOSS_BEFORE * first
    ):
        text = f"the loss is not finite after one of {before:.3g}"
        return Observation(text, {"loss_before": before}, certain=True)
    deviations: list[float | None] = evidence.start.get("first_std") or []
    if evidence.loop.steps is None or evidence.start.get("first_loss", 0.0) is not None:
        return None
    before_it = [std for std in takewhile(lambda std: std is not None, deviations) if std is not None]
    if not before_it or max(before_it) >= MAX_FIRST_STD:
        return None
    layers = "all layers" if len(before_it) == len(deviations) else f"the first {plural(len(before_it), 'layer')}"
    text = f"the first loss is not finite, and the outputs of {layers} are"
    return Observation(text, {"largest_std": max(before_it)}, certain=True)


@check(
    "optimizer-of-another-model",
    fix="make the optimizer from this model, after it is built and moved: torch.optim.Adam(model.parameters())",
)
def optimizer_of_another_model(evidence: Evidence) -> Observation | None:
    """The optimizer holds no parameter of the model."""
    if evidence.loop.held != 0:
        return None
    text = f"the optimizer holds none of the model's {evidence.loop.trained} trained parameters"
    return Observation(text, {"held": 0}, certain=True)


MAX_LOSSES = 5
"""Losses without a backward pass or any step of the optimizer."""
MAX_ACCUMULATED = 64
"""Losses without a step: gradients may be accumulated over several batches on purpose."""
MAX_LOSSES_PER_STEP = 8
"""Losses per step of the optimizer, of a network that knows nothing; more are accumulated on purpose, too."""
NO_STEP = (
    "no-optimizer-step",
    "call optimizer.zero_grad(), loss.backward() and optimizer.step() in this order for each batch, of the watched "
    "optimizer; make model and optimizer once, before the loop",
)


@check(*NO_STEP)
def gradients_absent_in_steps(evidence: Evidence) -> Observation | None:
    """Before each of the first steps of the optimizer gradients were zeroed, or there was no backward pass."""
    wiped, absent, steps = evidence.loop.wiped, evidence.loop.no_backward, evidence.loop.first_updates
    if wiped + absent < max(2, steps) or not evidence.loop.held or _loss_is_cut(evidence):
        return None
    reason = "gradients were zeroed after the backward pass" if wiped else "there was no backward pass"
    text = f"before the first {steps} steps of the optimizer {reason}"
    return Observation(text, {"wiped": wiped, "no_backward": absent, "steps": steps}, certain=True)


@check(*NO_STEP)
def no_optimizer_step(evidence: Evidence) -> Observation | None:
    """{MAX_ACCUMULATED} losses, or {MAX_LOSSES} without a backward pass, without a step of the optimizer."""
    steps, updates = evidence.loop.steps or 0, evidence.loop.updates
    numbers = {"steps": steps, "updates": updates}
    last = evidence.loop.last_update
    if last is not None and (since := steps - last) >= MAX_ACCUMULATED:
        return Observation(
            f"no step of the optimizer since loss {steps - since} of {steps}", numbers, certain=True
        )
    if updates or steps < (MAX_ACCUMULATED if evidence.loop.backward else MAX_LOSSES):
        return None
    return Observation(f"{steps} losses, and no step of the optimizer", numbers)


@check(*NO_STEP)
def few_optimizer_steps(evidence: Evidence) -> Observation | None:
    """{MAX_LOSSES_PER_STEP} losses or more for each step of the optimizer, and nothing is learned (without another
    finding)."""
    steps, updates = evidence.loop.steps or 0, evidence.loop.updates
    if not updates or steps < MAX_LOSSES_PER_STEP * updates or evidence.probe_run or evidence.beats_chance:
        return None
    text = f"{steps} losses, and {updates} steps of the optimizer"
    return Observation(text, {"steps": steps, "updates": updates}, only_alone=True)


@check("gradients-not-zeroed", fix="call optimizer.zero_grad() once per step, before loss.backward()")
def gradients_not_zeroed(evidence: Evidence) -> Observation | None:
    """In every checked step the gradient still contains that of the step before."""
    accumulated, checked = evidence.loop.kept_gradients, evidence.loop.checked_gradients
    if accumulated < 2 or accumulated < checked:
        return None
    text = f"in {accumulated} of {checked} checked steps the gradient still contained that of the step before"
    return Observation(text, {"kept": accumulated, "checked": checked}, certain=True)


@check(
    "softmax-twice",
    fix="give the loss the logits: remove the softmax, log_softmax or sigmoid at the end of the network, or use a "
    "loss without one",
)
def softmax_twice(evidence: Evidence) -> Observation | None:
    """The network ends in softmax or sigmoid, and its loss applies it again (log_softmax twice is info)."""
    path = evidence.loop.loss_path
    for applied, again, name in (
        ("LogSoftmax", ("Softmax", "LogSoftmax", "Sigmoid"), "cross_entropy, which applies softmax"),
        ("BinaryCrossEntropyWithLogits", ("Sigmoid", "Softmax"), "a loss that applies the sigmoid"),
    ):
        before = path[path.index(applied) + 1 :] if applied in path else []
        if twice := next((operation for operation in before if operation in again), None):
            harmless = applied == twice  # log_softmax is its own fixed point
            text = f"the network ends in {twice.lower()}, before {name} itself"
            return Observation(text, {"path": path}, certain=not harmless, informational=harmless)
    return None


@check(
    "logits-as-probabilities",
    fix="remove the activation after the last layer: cross_entropy takes its raw outputs; nll_loss takes "
    "log-probabilities, of log_softmax",
)
def logits_as_probabilities(evidence: Evidence) -> Observation | None:
    """nll_loss is given outputs without log_softmax; or a ReLU or tanh stands between the network and a loss of logits
    (info in a network that has learned)."""
    path = [op for op in evidence.loop.loss_path if op not in ("View", "Reshape", "Squeeze", "Transpose")]
    for loss, before in pairwise(path):
        if loss in ("LogSoftmax", "BinaryCrossEntropyWithLogits") and before in ("Relu", "Tanh"):
            return Observation(f"the network ends in {before.lower()}, before a loss of logits", {"path": path})
    no_logarithm = {"NllLoss", "NllLoss2D", "NllLossNd"} & {*path} and not {"LogSoftmax", "Log"} & {*path}
    # Log-probabilities that were made in another way have no negative loss.
    if not no_logarithm or evidence.loop.lowest_loss >= 0:
        return None
    return Observation("nll_loss is given outputs without log_softmax", {"path": path}, certain=True)


NO_PROBABILITIES = ("Relu", "LeakyRelu", "Elu", "Tanh", "Addmm", "Convolution")
"""Operations whose results are no probabilities."""


@check(
    "logits-as-probabilities",
    fix="remove the activation after the last layer and use nn.CrossEntropyLoss() (yes or no: nn.BCEWithLogitsLoss()), "
    "or keep the loss and put nn.Softmax(-1) (yes or no: nn.Sigmoid()) in its place",
)
def logarithm_of_no_probabilities(evidence: Evidence) -> Observation | None:
    """A loss takes the logarithm of outputs that a ReLU, a tanh or a linear layer has made."""
    loss = evidence.loop.entered
    if loss is None or loss.kind not in ("logarithm", "binary") or loss.last not in NO_PROBABILITIES:
        return None
    # They were clamped, as probabilities are; another logarithm is another loss.
    if loss.low is None or loss.high is None or loss.low < 0 or loss.high > 1:
        return None
    ends = {"Addmm": "a linear layer", "Convolution": "a convolution"}.get(loss.last, f"{loss.last.lower()}")
    text = f"the loss takes the logarithm of probabilities, and the network ends in {ends}"
    return Observation(text, {"last": loss.last}, certain=True)


@check("shapes-broadcast", fix="make the shapes equal: loss(model(x).squeeze(1), y), or y.unsqueeze(1)")
def shapes_broadcast(evidence: Evidence) -> Observation | None:
    """Outputs (n, 1) and targets (n,) are compared as n x n pairs."""
    output, target, path = evidence.loop.output_shape, evidence.loop.target_shape, evidence.loop.loss_path
    if not target and path[1:2] == ["Expand"] and path[0] in ("MseLoss", "SmoothL1Loss", "HuberLoss"):
        return Observation("the loss expands the outputs to the shape of the targets", {}, certain=True)
    # What the loop has squeezed after the network is compared as it should be.
    unlike = output and sorted((output, target), key=len) == [output[:1], [output[0], 1]] and output[0] > 1
    if not (evidence.loop.pairs or (unlike and "Expand" in path[:4] and not evidence.loop.outputs)):
        return None
    n = output[0] if output else "n"
    shapes = f"outputs {tuple(output)} and targets {tuple(target)}" if output and target else "outputs and targets"
    return Observation(
        f"{shapes} are compared as {n} x {n} pairs", {"output": output, "target": target}, certain=True
    )


@check("batch-as-time", fix="build the layer with batch_first=True where its inputs are (batch, time, features)")
def batch_as_time(evidence: Evidence) -> Observation | None:
    """A recurrent layer, or attention, takes the samples of a batch for time steps: the network has one output for each
    of its time steps."""
    layers = evidence.loop.crossed
    for name, (samples, times) in layers.items():
        text = f"{name} takes the {times} samples of a batch for time steps, and {samples} time steps for samples"
        return Observation(text, {"layers": [*layers]}, certain=True)
    return None


MAX_FUTURE = 1e-4
"""Gradient of an output by later inputs of its sequence over that by all inputs; 0 in a causal network."""
MIN_OVER_OTHERS = 10.0
"""The same over the gradient by any other sequence of the batch; under batch norm every input has one."""


@check(
    "no-causal-mask",
    fix="let each position see earlier ones only: F.scaled_dot_product_attention(..., is_causal=True), or "
    "mask=nn.Transformer.generate_square_subsequent_mask(steps); recurrent layers with bidirectional=False",
)
def no_causal_mask(evidence: Evidence) -> Observation | None:
    """Targets are the next inputs, and more than {MAX_FUTURE} of an output's gradient is by later inputs."""
    gradient = evidence.loop.future or {"later": 0.0, "others": 0.0}
    if gradient["later"] <= max(MAX_FUTURE, MIN_OVER_OTHERS * gradient["others"]):
        return None
    later = f"{gradient['later']:.2g} of the gradient is by them"
    text = f"outputs depend on later inputs, which are their targets: {later}"
    return Observation(text, gradient, bound=f"above {MAX_FUTURE:g}", normal="0", certain=True)


MIN_SAME = 2
"""Pairs of consecutive sampled batches with equal inputs."""


@check("same-batch", fix="iterate over the loader: for x, y in loader; next(iter(loader)) begins again each time")
def same_batch(evidence: Evidence) -> Observation | None:
    """All consecutive sampled batches have equal inputs (info in a network that has learned, where a step is an
    epoch). Batches of one sample may be equal by chance."""
    same, pairs = evidence.loop.same_batches, evidence.loop.batch_pairs
    if same < MIN_SAME or same < pairs or evidence.loop.batch_size == 1:
        return None
    text = f"the inputs of all {pairs + 1} consecutive batches that were compared are equal"
    # Training on one batch on purpose, all data or a test that a network can learn it, looks the same.
    return Observation(text, {"same": same, "pairs": pairs}, certain=evidence.loop.epoch_steps > 1)


MIN_SORTED, MIN_LABELLED = 0.6, 3
"""Fraction of the sampled batches of eight or more that have one class only, and the least number of such batches."""


@check("batches-sorted-by-class", fix="shuffle the training data: DataLoader(data, batch_size, shuffle=True)")
def batches_sorted_by_class(evidence: Evidence) -> Observation | None:
    """{MIN_SORTED:.0%} of the sampled batches or more have one class only, and not because it is nearly alone."""
    single, counted = evidence.loop.single_class, evidence.loop.labelled
    if counted < MIN_LABELLED or evidence.loop.classes_seen < 2 or single < MIN_SORTED * counted:
        return None
    if evidence.loop.single_by_chance > single / 2:  # one class is that frequent
        return None
    text = f"{single} of {counted} sampled batches have a single class"
    return Observation(
        text, {"single": single, "batches": counted}, bound=f"{MIN_SORTED:.0%}", normal="0", certain=True
    )


def _loss_is_cut(evidence: Evidence) -> bool:
    """No gradient arrives, because the loss that has one was not computed from any parameter."""
    absent, steps = evidence.loop.no_backward, evidence.loop.first_updates
    return evidence.loop.cut and absent >= max(2, steps)


@check(
    "graph-cut",
    fix="between these layers and the loss, remove detach(), .data, item(), numpy(), argmax and torch.no_grad(), or "
    "freeze the layers with requires_grad_(False)",
)
def graph_cut(evidence: Evidence) -> Observation | None:
    """Layers that were called and are trained get no gradient, or the loss depends on no parameter of the optimizer."""
    if _loss_is_cut(evidence):
        text = "no gradient reaches any layer: the loss depends on no parameter of the optimizer"
        return Observation(text, {"no_backward": evidence.loop.no_backward}, certain=True)
    if not (cut := evidence.loop.no_gradient):
        return None
    return Observation(f"no gradient reaches {_shortened(cut)}", {"layers": cut}, certain=True)


@check(
    "parameters-not-in-optimizer",
    fix="build the optimizer from model.parameters() after the last layer is added; lists of layers need "
    "nn.ModuleList; freeze with requires_grad_(False) what is not to be trained",
)
def parameters_not_in_optimizer(evidence: Evidence) -> Observation | None:
    """Parameters have gradients, and no optimizer holds them, those of layers in a list or a dict of Python too."""
    missing = evidence.loop.unheld
    if not missing or not evidence.loop.held:
        return None
    text = f"{len(missing)} parameters have gradients but are in no optimizer: {_shortened(missing)}"
    return Observation(text, {"parameters": missing}, certain=True)


@check("eval-mode-in-training", fix="call model.train() at the start of each epoch, after the validation")
def eval_mode_in_training(evidence: Evidence) -> Observation | None:
    """Half of the sampled steps or more ran in eval mode, in a network with dropout or batch norm."""
    count, samples, modes = evidence.loop.eval_steps, evidence.loop.samples, evidence.loop.has_modes
    if not modes or not count or count < 0.5 * samples:
        return None
    text = f"{count} of {samples} sampled steps ran in eval mode, in which {' and '.join(modes)} rest"
    return Observation(text, {"steps": count}, bound="half or more", normal="0", certain=True)


@check("train-mode-in-validation", fix="call model.eval() before the validation, and model.train() after it")
def train_mode_in_validation(evidence: Evidence) -> Observation | None:
    """Half of the passes without gradients or more ran in train mode, in a network with dropout or batch norm."""
    count, total, modes = evidence.loop.train_validations, evidence.loop.validations, evidence.loop.has_modes
    if not modes or not total or count < 0.5 * total:
        return None
    active = f"{' and '.join(modes)} {'was' if len(modes) == 1 else 'were'} active"
    text = f"{count} of {total} passes without gradients ran in train mode: {active}"
    return Observation(text, {"passes": count, "all": total}, bound="half or more", normal="0", certain=True)


MIN_SCALES = 2.5
"""Larger over smaller standard deviation of the inputs, of a validation pass and a training batch."""


@check(
    "validation-out-of-scale",
    fix="give the validation the preprocessing of the training: x = (x - mean)/std, with mean and std of the "
    "training data",
)
def validation_out_of_scale(evidence: Evidence) -> Observation | None:
    """The standard deviations of the inputs of training and validation differ by a factor of {MIN_SCALES} or more,
    between any of the first passes, always in the same direction."""
    trained, validated = (
        [*filter(None, stds)] for stds in (evidence.loop.input_std, evidence.loop.validation_std)
    )
    smaller, larger = sorted((trained, validated), key=lambda stds: max(stds, default=0.0))
    if not smaller or not larger or min(larger) < MIN_SCALES * max(smaller):
        return None
    text = f"inputs have a standard deviation of {trained[0]:.3g} in training, and of {validated[0]:.3g} in validation"
    numbers = {"validation": validated, "training": trained}
    return Observation(text, numbers, bound=f"a factor of {MIN_SCALES:g}", normal="equal", certain=True)


MIN_IDLE, MIN_CERTAIN_IDLE = 0.2, 0.5
"""Fraction of the sampled epochs, the last ones, whose learning rate is zero."""


@check(
    "learning-rate-zero",
    fix="let the schedule end where the training ends (T_max, total_steps), and step it once per epoch or once per "
    "batch, as it was planned",
)
def learning_rate_zero(evidence: Evidence) -> Observation | None:
    """The learning rate has been zero for the last {MIN_IDLE:.0%} of the sampled epochs or more."""
    rates = evidence.probed_rates
    idle = next((n for n, rate in enumerate(reversed(rates)) if rate > 1e-12), len(rates))
    # A schedule that reaches zero with the last step has done its work.
    if not evidence.setup.loop or idle < 2 or idle < MIN_IDLE * len(rates):
        return None
    text = f"the learning rate has been zero in the last {idle} of {len(rates)} sampled epochs"
    return Observation(text, {"lr": rates[-1], "epochs": idle}, certain=idle >= MIN_CERTAIN_IDLE * len(rates))


MIN_SUM = 8
"""Loss over the mean loss of the same outputs and targets."""


@check(
    "loss-is-a-sum",
    fix="use reduction='mean', or divide the loss by len(x): the rate then does not depend on the batch size",
)
def loss_is_a_sum(evidence: Evidence) -> Observation | None:
    """The loss is the sum over {MIN_SUM} samples or more, not their mean (info in a network that has learned)."""
    if (times := evidence.loop.loss_over_mean) < MIN_SUM:
        return None
    return Observation(f"the loss is the sum over {plural(times, 'value')}, not their mean", {"times": times})


@check("loss-without-graph", fix="write watch.step(loss), without .item(), .detach() and torch.no_grad()")
def loss_without_graph(evidence: Evidence) -> Observation | None:
    """The loss was given without its operations (always info)."""
    if not evidence.loop.samples or evidence.loop.loss_path:
        return None
    text = "watch.step was given a loss without its operations, so that these cannot be checked"
    return Observation(text, {"operations": 0}, informational=True)
