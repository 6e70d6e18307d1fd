"""Causes in a training loop of the user's own, from what `optilab.watch` saw of it: bugs, not settings.

Each has its thresholds above it. All are silent for a training of optilab's, whose loop is known. To add one: a
function here, its name in a tuple at the end, and what it needs to know in `_facts` of `optilab/watch/watch.py`.
"""

import math
from itertools import pairwise

from optilab.diagnose.cause import Symptom, cause
from optilab.diagnose.evidence import Evidence


@cause(
    "non-finite-data",
    measures="sampled batches whose inputs or targets have a number that is not finite",
    threshold="1 or more",
    normal="0",
    remedy="remove or replace them: `x = torch.nan_to_num(x)`",
    advice="remove the samples that are not finite, or replace their values: x = torch.nan_to_num(x)",
    silent="batches that are not sampled; targets that are not given",
)
def non_finite_data(e: Evidence) -> Symptom | None:
    if not (count := e.loop.get("non_finite", 0)):
        return None
    text = f"{count} of {e.loop['samples']} sampled batches have inputs or targets that are not finite"
    return Symptom(text, {"batches": count}, (), harm=True)


@cause(
    "labels-out-of-range",
    measures="lowest and highest label, and outputs of the network, with a cross-entropy loss of your own",
    threshold="below 0, or not below the number of outputs",
    normal="0 to outputs - 1",
    remedy="one output per class, labels from 0",
    advice="give the last layer one output per class, and number the classes from 0: y = y - y.min()",
    silent="no targets; PyTorch's own losses refuse such labels, so those that they let pass are their `ignore_index`",
)
def labels_out_of_range(e: Evidence) -> Symptom | None:
    labels, outputs = e.loop.get("labels"), e.loop.get("outputs")
    if not labels or not outputs or (labels[0] >= 0 and labels[1] < outputs):
        return None
    text = f"labels from {labels[0]} to {labels[1]}, and {outputs} outputs"
    return Symptom(text, {"labels": labels, "outputs": outputs}, (), harm=True)


@cause(
    "batch-as-time",
    measures="samples and time steps of recurrent layers and attention, by `batch_first`, and outputs of the network",
    threshold="one output per time step, where there is one answer per sample; or inputs whose neighbors are in an "
    "order along samples, by 5 standard deviations, and in none along time steps, within 2",
    normal="one output per sample; an order along time steps",
    remedy="`nn.LSTM(..., batch_first=True)`",
    advice="build the layer with batch_first=True where its inputs are (batch, time, features)",
    silent="there is an output for each time step and inputs have an order along both axes, or along none; a batch has "
    "one sample, or its samples and time steps have the same number",
)
def batch_as_time(e: Evidence) -> Symptom | None:
    found = e.loop.get("crossed", {})
    for name, (samples, times) in found.items():
        text = f"{name} takes the {times} samples of a batch for time steps, and {samples} time steps for samples"
        return Symptom(text, {"layers": [*found]}, (), harm=True)
    return None


FUTURE = 1e-4
"""Gradient of an output by later inputs of its sequence over that by all inputs; 0 in a causal network."""
OF_OTHERS = 10.0
"""That gradient over the one by any other sequence of the batch, through which a batch norm lets every input act."""


@cause(
    "no-causal-mask",
    measures="gradient of an output by later inputs of its sequence, over that by all inputs, where the targets are "
    "the next inputs",
    threshold=f"above {FUTURE:g}, and {OF_OTHERS:g} times that by another sequence of the batch",
    normal="0",
    remedy="`is_causal=True` in `F.scaled_dot_product_attention`, or a mask",
    advice="let each position see earlier ones only: F.scaled_dot_product_attention(..., is_causal=True), or "
    "mask=nn.Transformer.generate_square_subsequent_mask(steps); recurrent layers with bidirectional=False",
    silent="targets are not given, or some are not the next inputs; the network has no `nn.Embedding` of its inputs",
)
def no_causal_mask(e: Evidence) -> Symptom | None:
    seen = e.loop.get("future") or {"later": 0.0, "others": 0.0}
    if seen["later"] <= max(FUTURE, OF_OTHERS * seen["others"]):
        return None
    text = (
        f"outputs depend on later inputs, which are their targets: {seen['later']:.2g} of the gradient is by them"
    )
    return Symptom(text, seen, (), harm=True)


@cause(
    "optimizer-of-another-model",
    measures="parameters of the model that the optimizer holds",
    threshold="0",
    normal="all that are trained",
    remedy="`torch.optim.Adam(model.parameters())`, made after the model",
    advice="make the optimizer from this model, after it is built and moved: torch.optim.Adam(model.parameters())",
    silent="no optimizer was given",
)
def optimizer_of_another_model(e: Evidence) -> Symptom | None:
    if e.loop.get("held", 1) > 0:
        return None
    text = f"the optimizer holds none of the model's {e.loop['trained']} trained parameters"
    return Symptom(text, {"held": 0}, (), harm=True)


@cause(
    "parameters-not-in-optimizer",
    measures="parameters with a gradient that the optimizer does not hold",
    threshold="1 or more",
    normal="0",
    remedy="`optimizer.add_param_group({'params': ...})`",
    advice="build the optimizer from model.parameters() after the last layer is added; lists of layers need "
    "nn.ModuleList; freeze with requires_grad_(False) what is not to be trained",
    silent="frozen parameters, and those without a gradient",
)
def parameters_not_in_optimizer(e: Evidence) -> Symptom | None:
    unheld = e.loop.get("unheld", [])
    if not unheld or not e.loop.get("held", 0):
        return None
    text = f"{len(unheld)} parameters have gradients but are in no optimizer: {_some(unheld)}"
    return Symptom(text, {"parameters": unheld}, (), harm=True)


NO_STEP = 5
"""Losses without any step of the optimizer; gradients may be accumulated over several batches on purpose."""
ACCUMULATED = 64
"""The same where batches of a gradient are still being added up."""
SELDOM = 8
"""Losses per step of the optimizer, of a network that knows nothing; more are accumulated on purpose, too."""


@cause(
    "no-optimizer-step",
    measures="losses without any step of the optimizer, or since its last one; losses per step",
    threshold=f"{ACCUMULATED} or more, {NO_STEP} without a backward pass; {SELDOM} where nothing is learned",
    normal="1 per step",
    remedy="`loss.backward(); optimizer.step()`",
    advice="call loss.backward() and then optimizer.step() for each batch, of the watched optimizer; make model and "
    "optimizer once, before the loop",
    silent="gradients are accumulated over fewer batches, or the network learns",
)
def no_optimizer_step(e: Evidence) -> Symptom | None:
    steps, updates = e.loop.get("steps", 0), e.loop.get("updates", 0)
    numbers = {"steps": steps, "updates": updates}
    if (since := steps - e.loop.get("last_update", steps)) >= ACCUMULATED:
        return Symptom(f"no step of the optimizer since loss {steps - since} of {steps}", numbers, (), harm=True)
    if updates and steps >= SELDOM * updates and not (e.trial or e.knows):
        return Symptom(f"{steps} losses, and {updates} steps of the optimizer", numbers, (), last=True)
    if updates or steps < (ACCUMULATED if e.loop.get("backward", True) else NO_STEP):
        return None
    return Symptom(f"{steps} losses, and no step of the optimizer", numbers, ())


@cause(
    "no-gradient-in-step",
    measures="the first steps of the optimizer before which gradients were zeroed, or no backward pass was made",
    threshold="all, 2 or more",
    normal="0",
    remedy="`optimizer.zero_grad()`, `loss.backward()`, `optimizer.step()`, in this order",
    advice="call optimizer.zero_grad(), loss.backward() and optimizer.step() in this order for each batch",
    silent="no layer of the optimizer's is trained",
)
def no_gradient_in_step(e: Evidence) -> Symptom | None:
    wiped, absent, steps = (e.loop.get(key, 0) for key in ("wiped", "no_backward", "first_updates"))
    if wiped + absent < max(2, steps) or not e.loop.get("held", 0):
        return None
    why = "gradients were zeroed after the backward pass" if wiped else "there was no backward pass"
    text = f"before the first {steps} steps of the optimizer {why}"
    return Symptom(text, {"wiped": wiped, "no_backward": absent, "steps": steps}, (), harm=True)


@cause(
    "learning-rate-zero",
    measures="learning rate of the last sampled step",
    threshold="0",
    normal="above 0",
    remedy="a schedule that ends where the training ends",
    advice="let the schedule end where the training ends (T_max, total_steps), and step it once per epoch or once per "
    "batch, as it was planned",
    silent="the rate reaches zero in the last fifth only",
)
def learning_rate_zero(e: Evidence) -> Symptom | None:
    if not e.setup.loop:
        return None
    rates = [record["lr"] for record in e.epochs if record.get("lr") is not None]
    idle = 0
    for rate in reversed(rates):
        if rate > 1e-12:
            break
        idle += 1
    # A schedule that reaches zero with the last step has done its work.
    if idle < 2 or idle < 0.2 * len(rates):
        return None
    text = f"the learning rate has been zero in the last {idle} of {len(rates)} sampled epochs"
    return Symptom(text, {"lr": rates[-1], "epochs": idle}, (), harm=idle >= 0.5 * len(rates))


@cause(
    "gradients-not-zeroed",
    measures="steps whose gradient is the one of the step before plus the new one",
    threshold="all that were checked, 2 or more",
    normal="0",
    remedy="`optimizer.zero_grad()` after each step",
    advice="call optimizer.zero_grad() once per step, before loss.backward()",
    silent="gradients are accumulated on purpose: the first batch after a step begins at zero",
)
def gradients_not_zeroed(e: Evidence) -> Symptom | None:
    kept, checked = e.loop.get("kept_gradients", 0), e.loop.get("checked_gradients", 0)
    if kept < 2 or kept < checked:
        return None
    text = f"in {kept} of {checked} checked steps the gradient still contained that of the step before"
    return Symptom(text, {"kept": kept, "checked": checked}, (), harm=True)


@cause(
    "graph-cut",
    measures="layers that were called and are trained, and get no gradient",
    threshold="1 or more",
    normal="0",
    remedy="no `detach()`, `.data`, `.numpy()`, `torch.no_grad()` between layer and loss",
    advice="between these layers and the loss, remove detach(), .data, numpy(), argmax and torch.no_grad(), or freeze "
    "the layers with requires_grad_(False)",
    silent="frozen layers; no layer has a gradient; the optimizer steps within the backward pass",
)
def graph_cut(e: Evidence) -> Symptom | None:
    cut = e.loop.get("no_gradient", [])
    if not cut:
        return None
    return Symptom(f"no gradient reaches {_some(cut)}", {"layers": cut}, (), harm=True)


DRAWN = 1.1
"""Largest singular value of a frozen layer's weights over that of a random matrix. After a short training some layers
of a network are still below it, but not all."""


@cause(
    "frozen-untrained",
    measures="largest singular value of the weights of all frozen layers, over that of a random matrix with entries of "
    "their size",
    threshold=f"below {DRAWN:g}",
    normal="above 1.3 after a training",
    remedy="load trained weights, or train the layers: `layer.requires_grad_(True)`",
    advice="load trained weights into these layers, or train them: layer.requires_grad_(True), before the optimizer is "
    "made from model.parameters()",
    silent="there is another cause; one frozen layer was trained; fewer than 8 rows or columns; info in a network "
    "that learns",
)
def frozen_untrained(e: Evidence) -> Symptom | None:
    ratios = e.loop.get("frozen", {})
    largest = max(ratios.values(), default=math.inf)
    if largest >= DRAWN:
        return None
    text = f"frozen layers have random weights, with singular values of at most {largest:.2f} times those of a random "
    return Symptom(
        f"{text}matrix: {_some(list(ratios))}", {"ratio": largest, "layers": list(ratios)}, (), last=True
    )


@cause(
    "unused-modules",
    measures="modules with parameters that are never called",
    threshold="1 or more",
    normal="0",
    remedy="none needed",
    silent="always info",
)
def unused_modules(e: Evidence) -> Symptom | None:
    unused = e.loop.get("unused", [])
    if not unused:
        return None
    return Symptom(f"never called: {_some(unused)}", {"modules": unused}, (), note=True)


@cause(
    "softmax-twice",
    measures="operations between the network and a loss that applies softmax or sigmoid itself",
    threshold="a softmax or sigmoid",
    normal="none",
    remedy="logits to `cross_entropy` and `binary_cross_entropy_with_logits`",
    advice="give the loss the logits: remove the softmax, log_softmax or sigmoid at the end of the network, or use a "
    "loss without one",
    silent="an operation without a gradient lies between; `log_softmax` twice is info, as it changes nothing",
)
def softmax_twice(e: Evidence) -> Symptom | None:
    path = e.loop.get("loss_path", [])
    pairs = (
        ("LogSoftmax", ("Softmax", "LogSoftmax", "Sigmoid"), "cross_entropy, which applies softmax"),
        ("BinaryCrossEntropyWithLogits", ("Sigmoid", "Softmax"), "a loss that applies the sigmoid"),
    )
    for applied, again, name in pairs:
        if applied in path and (
            twice := next((op for op in path[path.index(applied) + 1 :] if op in again), None)
        ):
            # log_softmax is its own fixed point: applied twice, it is the same.
            harmless = applied == twice == "LogSoftmax"
            text = f"the network ends in {twice.lower()}, before {name} itself"
            return Symptom(text, {"path": path}, (), harm=not harmless, note=harmless)
    return None


@cause(
    "activation-before-loss",
    measures="the operation between the network and a loss that applies softmax or sigmoid itself",
    threshold="a ReLU or tanh",
    normal="none",
    remedy="no activation after the last layer",
    advice="remove the activation after the last layer: the loss takes logits of any size and sign",
    silent="another operation lies between, such as a mean or a factor; info in a network that learns",
)
def activation_before_loss(e: Evidence) -> Symptom | None:
    path = [op for op in e.loop.get("loss_path", []) if op not in ("View", "Reshape", "Squeeze", "Transpose")]
    for loss, op in pairwise(path):
        if loss in ("LogSoftmax", "BinaryCrossEntropyWithLogits") and op in ("Relu", "Tanh"):
            return Symptom(f"the network ends in {op.lower()}, before a loss of logits", {"path": path}, ())
    return None


@cause(
    "logits-as-probabilities",
    measures="operations before a loss that expects log-probabilities",
    threshold="no log-softmax",
    normal="log-softmax",
    remedy="`cross_entropy` in the place of `nll_loss`",
    advice="nll_loss expects log-probabilities: use cross_entropy, or end the network in log_softmax",
    silent="no mean loss is negative yet",
)
def logits_as_probabilities(e: Evidence) -> Symptom | None:
    path = e.loop.get("loss_path", [])
    kinds = ("NllLoss", "NllLoss2D", "NllLossNd")
    if not any(kind in path for kind in kinds) or {"LogSoftmax", "Log"} & set(path):
        return None
    if e.loop.get("lowest_loss", 0.0) >= 0:  # log-probabilities that were made in another way
        return None
    return Symptom("nll_loss is given outputs without log_softmax", {"path": path}, (), harm=True)


@cause(
    "shapes-broadcast",
    measures="shapes of outputs and targets of a loss by elements, and whether the loss compares all pairs",
    threshold="(n, 1) and (n,), and the loss compares all pairs",
    normal="equal",
    remedy="`model(x).squeeze(1)`",
    advice="make the shapes equal: loss(model(x).squeeze(1), y), or y.unsqueeze(1)",
    silent="a loss of your own that is neither the mean of squares nor that of absolute values; targets are not given, "
    "and the loss is none of PyTorch's",
)
def shapes_broadcast(e: Evidence) -> Symptom | None:
    output, target, path = e.loop.get("output_shape"), e.loop.get("target_shape"), e.loop.get("loss_path", [])
    # What the loop has squeezed after the network is compared as it should be.
    if output and target and not e.loop.get("outputs"):
        n = output[0]
        pairs = sorted((output, target), key=len) == [[n], [n, 1]]
        if n > 1 and pairs and (e.loop.get("pairs") or "Expand" in path[:4]):
            text = f"outputs {tuple(output)} and targets {tuple(target)} are compared as {n} x {n} pairs"
            return Symptom(text, {"output": output, "target": target}, (), harm=True)
    elif not target and path[1:2] == ["Expand"] and path[0] in ("MseLoss", "SmoothL1Loss", "HuberLoss"):
        return Symptom("the loss expands the outputs to the shape of the targets", {}, (), harm=True)
    return None


@cause(
    "eval-mode-in-training",
    measures="training steps in eval mode, of a network with dropout or batch norm",
    threshold="half or more",
    normal="0",
    remedy="`model.train()` at the start of each epoch",
    advice="call model.train() at the start of each epoch, after the validation",
    silent="the network has neither dropout nor batch norm",
)
def eval_mode_in_training(e: Evidence) -> Symptom | None:
    count, modes = e.loop.get("eval_steps", 0), e.loop.get("has_modes", [])
    if not modes or count < 0.5 * e.loop.get("samples", 0) or not count:
        return None
    text = f"{count} of {e.loop['samples']} sampled steps ran in eval mode, in which {' and '.join(modes)} rest"
    return Symptom(text, {"steps": count}, (), harm=True)


@cause(
    "train-mode-in-validation",
    measures="forward passes without gradients in train mode, of a network with dropout or batch norm",
    threshold="half or more",
    normal="0",
    remedy="`model.eval()` before the validation",
    advice="call model.eval() before the validation, and model.train() after it",
    silent="the network has neither; the validation computes gradients",
)
def train_mode_in_validation(e: Evidence) -> Symptom | None:
    count, total, modes = (
        e.loop.get("train_validations", 0),
        e.loop.get("validations", 0),
        e.loop.get("has_modes", []),
    )
    if not modes or not total or count < 0.5 * total:
        return None
    active = f"{' and '.join(modes)} {'was' if len(modes) == 1 else 'were'} active"
    text = f"{count} of {total} passes without gradients ran in train mode: {active}"
    return Symptom(text, {"passes": count, "all": total}, (), harm=True)


SCALES = 2.5
"""Larger over smaller standard deviation of the inputs, of a validation pass and a training batch."""


@cause(
    "validation-out-of-scale",
    measures="standard deviation of the inputs, of the first passes without gradients and the first sampled batches",
    threshold=f"a factor of {SCALES:g} or more between any pass and any batch, always in the same direction",
    normal="equal",
    remedy="the same preprocessing: `x = (x - mean)/std` of the training data",
    advice="give the validation the preprocessing of the training: x = (x - mean)/std, with mean and std of the "
    "training data",
    silent="inputs are integers; the validation computes gradients, or calls a part of the model",
)
def validation_out_of_scale(e: Evidence) -> Symptom | None:
    trained, validated = ([*filter(None, e.loop.get(key, []))] for key in ("input_std", "validation_std"))
    if not trained or not validated:
        return None
    smaller, larger = sorted((trained, validated), key=max)
    if min(larger) < SCALES * max(smaller):
        return None
    text = f"inputs have a standard deviation of {trained[0]:.3g} in training, and of {validated[0]:.3g} in validation"
    return Symptom(text, {"validation": validated, "training": trained}, (), harm=True)


SAME = 2
"""Consecutive sampled batches with equal inputs."""


@cause(
    "same-batch",
    measures="consecutive sampled batches with equal inputs, where an epoch has several steps",
    threshold=f"all, {SAME} or more",
    normal="0",
    remedy="`for x, y in loader:` in the place of `next(iter(loader))`",
    advice="iterate over the loader: for x, y in loader; next(iter(loader)) begins again each time",
    silent="a step is an epoch, as with all data in one batch, and the network learns",
)
def same_batch(e: Evidence) -> Symptom | None:
    same, pairs = e.loop.get("same_batches", 0), e.loop.get("batch_pairs", 0)
    if same < SAME or same < pairs:
        return None
    text = f"the inputs of all {pairs + 1} consecutive batches that were compared are equal"
    # Training on one batch on purpose, all data or a test that a network can learn it, looks the same.
    return Symptom(text, {"same": same, "pairs": pairs}, (), harm=e.loop.get("epoch_steps", 0) > 1)


SORTED = 0.6
"""Fraction of the sampled batches that have one class only."""


@cause(
    "batches-sorted-by-class",
    measures="sampled batches of eight or more that have one class only, of several classes in all",
    threshold=f"{SORTED:g} or more",
    normal="0",
    remedy="`DataLoader(..., shuffle=True)`",
    advice="shuffle the training data: DataLoader(data, batch_size, shuffle=True)",
    silent="targets are not given; batches of fewer than eight; one class is nearly alone",
)
def batches_sorted_by_class(e: Evidence) -> Symptom | None:
    single, counted = e.loop.get("single_class", 0), e.loop.get("labelled", 0)
    if counted < 3 or e.loop.get("classes_seen", 0) < 2 or single < SORTED * counted:
        return None
    if e.loop.get("single_by_chance", 0.0) > single / 2:  # one class is that frequent
        return None
    text = f"{single} of {counted} sampled batches have a single class"
    return Symptom(text, {"single": single, "batches": counted}, (), harm=True)


@cause(
    "loss-is-a-sum",
    measures="loss over the mean loss of the same outputs and targets",
    threshold="the number of samples, 8 or more",
    normal="1",
    remedy="`reduction='mean'`",
    advice="use reduction='mean', or divide the loss by len(x): the rate then does not depend on the batch size",
    silent="targets are not given; info in a network that learns",
)
def loss_is_a_sum(e: Evidence) -> Symptom | None:
    times = e.loop.get("loss_over_mean", 1)
    if times < 8:
        return None
    return Symptom(f"the loss is the sum over {times} values, not their mean", {"times": times}, ())


TARGETS = 10.0
"""Root mean square of the targets of a regression, and its inverse."""


@cause(
    "targets-out-of-scale",
    measures="root mean square of the targets of a regression",
    threshold=f"above {TARGETS:g}, and nothing is learned",
    normal="0.1 to 3",
    remedy="standardized targets",
    advice="standardize the targets: y = (y - mean)/std, and undo it for predictions",
    silent="targets are not given; info in a network that learns",
)
def targets_out_of_scale(e: Evidence) -> Symptom | None:
    size = e.loop.get("target_rms")
    if e.loop.get("task") != "regression" or size is None or size <= TARGETS:
        return None
    return Symptom(f"the targets have a root mean square of {size:.3g}", {"target_rms": size}, ())


THROUGH_TIME = 1e-5
"""Gradient by the inputs of the first quarter of the time steps over the largest of any step."""
EARLY = 0.01
"""The same in the first epoch, of a layer whose gradient only training has lost."""


@cause(
    "vanishing-through-time",
    measures="gradient by the inputs of a recurrent layer, first quarter of the time steps over the largest",
    threshold=f"below {THROUGH_TIME:g}",
    normal="above 0.01",
    remedy="`nn.LSTM` or `nn.GRU`, shorter sequences",
    advice="use nn.LSTM or nn.GRU in the place of nn.RNN, shorter sequences, or orthogonal recurrent weights",
    silent="sequences of fewer than eight steps; it was above 0.01 at first, and there is another cause; info in a "
    "network that learns",
)
def vanishing_through_time(e: Evidence) -> Symptom | None:
    found = [
        (ratio, layer)
        for layer in range(1, e.hidden + 2)
        if (ratio := e.now("through_time", layer if layer <= e.hidden else 0)) is not None
    ]
    ratio, layer = min(found, default=(1.0, 0))
    if ratio >= THROUGH_TIME or not math.isfinite(ratio):
        return None
    text = f"in {e.layer(layer)} the gradient of the first time steps is {ratio:.1e} times the largest"
    # What was well at first has been lost in training, by steps that are too large.
    first = e.epochs[0]["layers"][layer - 1].get("through_time") if layer <= len(e.epochs[0]["layers"]) else None
    return Symptom(text, {"ratio": ratio, "layer": layer}, (), last=(first or 0.0) > EARLY)


@cause(
    "loss-without-graph",
    measures="operations that made the loss, as its tensor knows them",
    threshold="0",
    normal="1 or more",
    remedy="`watch.step(loss)`, without `.item()`, `.detach()` and `torch.no_grad()`",
    silent="always info",
)
def loss_without_graph(e: Evidence) -> Symptom | None:
    if not e.loop.get("samples") or e.loop.get("loss_path"):
        return None
    text = "watch.step was given a loss without its operations, so that these cannot be checked; write watch.step(loss)"
    return Symptom(f"{text}, without .item(), .detach() and torch.no_grad()", {"operations": 0}, (), note=True)


@cause(
    "watch-stopped",
    measures="errors of the watch itself",
    threshold="1",
    normal="0",
    remedy="none; the training was not disturbed",
    advice="the training was not disturbed",
    silent="always info",
)
def watch_stopped(e: Evidence) -> Symptom | None:
    error = e.loop.get("error", "")
    return Symptom(f"the watch has stopped watching: {error}", {"error": error}, (), note=True) if error else None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


DATA_AND_LOOP = (
    non_finite_data,
    labels_out_of_range,
    optimizer_of_another_model,
    no_optimizer_step,
    no_gradient_in_step,
    gradients_not_zeroed,
    softmax_twice,
    activation_before_loss,
    logits_as_probabilities,
    shapes_broadcast,
    batch_as_time,
    no_causal_mask,
    same_batch,
    batches_sorted_by_class,
    graph_cut,
    parameters_not_in_optimizer,
    eval_mode_in_training,
    train_mode_in_validation,
    validation_out_of_scale,
    learning_rate_zero,
    targets_out_of_scale,
    frozen_untrained,
)
"""They come before all other causes: a loop with a bug says little about the network."""
THEN = (loss_is_a_sum, vanishing_through_time)
"""They explain a rate that is too high, and a gradient that vanishes."""
NOTES = (unused_modules, loss_without_graph, watch_stopped)
