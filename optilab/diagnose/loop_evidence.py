"""What a watch has shown of a loop, as the checks of loops read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Entered:
    """The tensor that enters the loss, and the targets that the loss gets, over all sampled batches."""

    kind: str = ""
    """squared, absolute, counts, classes, likelihood, binary, binary logits, or logarithm (of probabilities)."""
    last: str = ""
    """The operation that made the tensor, as PyTorch's graph names it: Sigmoid, Addmm."""
    axis: int | None = None
    """The axis of a softmax."""
    shape: list[int] = field(default_factory=list)
    """Of the first batch."""
    batches: int = 0
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    """The largest deviation of an output over a batch; 0 where all samples have equal outputs."""
    dead: float | None = None
    """Fraction of outputs that are 0 for all samples, in the batch where it is smallest."""
    first_rms: float | None = None
    """Root mean square, in the first batch and in the last."""
    rms: float | None = None
    target_low: float | None = None
    target_high: float | None = None
    target_mean: float | None = None
    target_std: float | None = None
    target_rms: float | None = None
    first_error: float | None = None
    """Root mean square of outputs minus targets, in the first batch and in the last."""
    error: float | None = None
    excess: float | None = None
    """Mean square of the part of the targets that the last operation cannot reach."""
    whole: float | None = None
    """Fraction of targets that are whole numbers."""
    outside: float | None = None
    """Fraction of targets below 0 or above 1."""
    sum_error: float | None = None
    """Mean distance of the sum of a sample's targets from 1."""


@dataclass
class Columns:
    """The inputs of a table, column by column, over all sampled batches; rounded to three digits."""

    count: int = 0
    constant: int = 0
    """Columns with one value alone."""
    largest: float = 0.0
    """The largest root mean square of a column, and its number from 0."""
    at: int = 0
    smallest: float = 0.0
    """The smallest standard deviation of a column that is not constant."""
    widest: float = 0.0
    """The largest standard deviation."""


@dataclass
class LoopEvidence:
    """What a watch has noted of a loop; the defaults are those of a training by optilab, whose loop is known.

    A batch is sampled where its step is probed. A user's network in a training by optilab has `loss_path`,
    `no_gradient` and `crossed`.
    """

    # --- steps of the optimizers ---
    steps: int | None = None
    """Losses that the loop reported; None for a training by optilab."""
    updates: int = 0
    """Steps of all optimizers."""
    optimizers: int = 1
    last_update: int | None = None
    """The number of the loss of the last update."""
    first_updates: int = 0
    """Updates in the first steps, which are looked at."""
    wiped: int = 0
    """First updates whose gradients were zeroed after the backward pass."""
    no_backward: int = 0
    """First updates without a backward pass before."""
    backward: bool = True
    """Some parameter had a gradient in the first update, or the first loss has a graph."""
    kept_gradients: int = 0
    """Checked gradients that still contain those of the step before."""
    checked_gradients: int = 0

    # --- parameters ---
    trained: int = 0
    """Parameters that require a gradient."""
    held: int | None = None
    """Those of them that an optimizer holds; None where it is not known."""
    unheld: list[str] = field(default_factory=list)
    """Names of parameters that have gradients, and that no optimizer holds."""
    no_gradient: list[str] = field(default_factory=list)
    """Layers that were called and are trained, and have no gradient."""
    cut: bool = False
    """The loss was computed from no parameter of an optimizer."""

    # --- batches ---
    samples: int = 0
    """Sampled batches."""
    batch_size: int = 0
    eval_steps: int = 0
    """Sampled batches in eval mode."""
    non_finite: int = 0
    """Sampled batches with inputs or targets that are not finite."""
    same_batches: int = 0
    """Pairs of consecutive sampled batches with equal inputs."""
    batch_pairs: int = 0
    """Pairs that were compared."""
    input_std: list[float | None] = field(default_factory=list)
    """Standard deviations of the inputs of the first batches."""
    validation_std: list[float | None] = field(default_factory=list)
    """The same of the first passes without gradients."""
    next_inputs: int | None = None
    """The axis along which targets are the next inputs."""
    future: dict[str, float] = field(default_factory=dict)
    """Fractions of an output's gradient: `later` by later inputs, `others` by other sequences."""
    crossed: dict[str, list[int]] = field(default_factory=dict)
    """Layers over sequences that take samples for time steps: the lengths that each takes for samples and steps."""
    has_modes: list[str] = field(default_factory=list)
    """Kinds of layers that act otherwise in eval mode."""
    validations: int = 0
    """Passes without gradients."""
    train_validations: int = 0
    """Those of them in train mode."""

    # --- outputs, targets and loss ---
    loss_path: list[str] = field(default_factory=list)
    """The operations that made the loss, the last one first."""
    negative: int = 0
    """Losses below 0: of rewards, or of densities."""
    lowest_loss: float = 0.0
    """The lowest mean loss of an epoch."""
    loss_over_mean: int = 1
    """Values that the loss adds up; 1 for their mean."""
    output_shape: list[int] = field(default_factory=list)
    target_shape: list[int] = field(default_factory=list)
    outputs: int = 0
    """Classes of the outputs."""
    pairs: bool = False
    """The loss compares every output with every target."""
    task: str = ""
    """classification, binary or regression; empty where no target is known."""
    labelled: int = 0
    """Sampled batches of two labels or more."""
    single_class: int = 0
    """Those of them with one class."""
    single_by_chance: float = 0.0
    """The number of such batches if batches were drawn at random."""
    classes_seen: int = 0
    reference: str = "guessing"
    """The source of the chance-level loss."""

    entered: Entered | None = None
    columns: Columns | None = None
    linear: bool = False
    """No operation between the inputs and the outputs is nonlinear."""
    first_step: float | None = None
    """The largest |dw|/|w| of a layer in the first step."""

    # --- the watch itself ---
    short: bool = False
    """No more steps than a probe run has."""
    epoch_steps: float = 0.0
    """Steps of an epoch; 0 where no epoch was marked."""
    compiled: bool = False
    error: str = ""
    """The reason why the watch stopped."""

    @classmethod
    def of(cls, noted: Mapping[str, Any]) -> "LoopEvidence":
        """The fields that were stored; the others have their defaults."""
        known = {field.name: noted[field.name] for field in fields(cls) if field.name in noted}
        for name, kind in (("entered", Entered), ("columns", Columns)):
            if isinstance(part := known.get(name), Mapping):
                known[name] = kind(**{f.name: part[f.name] for f in fields(kind) if f.name in part})
        return cls(**known)
