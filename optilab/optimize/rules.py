"""The update rules that are formulas: each is its settings and its text.

Where the literature has several forms of a rule, the form is a field, and `variants` has its part of the text; defaults
are the literature's. The docstrings name the source, and the library of each form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.errors import UsageError
from optilab.optimize.arrays import Array
from optilab.optimize.formula import assignments
from optilab.optimize.rule import Decay, Eps, LearningRate, Rule, State, WeightDecay

MomentumForm = Annotated[Literal["classic", "ema"], Doc("how a gradient enters the velocity")]


@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent (Cauchy 1847): a step against the gradient."""

    name = "sgd"
    text = "w <- w - lr*g"
    lr: LearningRate = 0.01


@dataclass(frozen=True)
class Momentum(Rule):
    """Gradient descent with momentum (Polyak 1964), in two forms.

    classic is the heavy ball (torch.optim.SGD(momentum=beta)); ema a moving average of gradients, without bias
    correction. The two trace the same path when the learning rate of `ema` is 1/(1 - beta) times that of `classic`.
    """

    name = "momentum"
    text = "V <- beta*V + {form};  w <- w - lr*V"
    variants = {"form": {"classic": "g", "ema": "(1-beta)*g"}}
    lr: LearningRate = 0.01
    beta: Decay = 0.9
    form: MomentumForm = "classic"


@dataclass(frozen=True)
class Nesterov(Rule):
    """Nesterov's accelerated gradient (1983; Sutskever et al. 2013), in the form with the gradient at w of
    Bengio, Boulanger-Lewandowski & Pascanu 2012 (arXiv:1212.0901).

    classic: torch.optim.SGD(nesterov=True), optax.sgd; ema: the same with (1 - beta)*g for both g.
    """

    name = "nesterov"
    text = "V <- beta*V + {form};  w <- w - lr*({form} + beta*V)"
    variants = {"form": {"classic": "g", "ema": "(1-beta)*g"}}
    lr: LearningRate = 0.01
    beta: Decay = 0.9
    form: MomentumForm = "classic"


@dataclass(frozen=True)
class QHM(Rule):
    """Quasi-hyperbolic momentum (Ma & Yarats 2019): a weighted mean of the gradient and its moving average.

    nu = 0 is gradient descent, nu = 1 momentum in its `ema` form, nu = beta Nesterov's in its `ema` form.
    """

    name = "qhm"
    text = "V <- beta*V + (1-beta)*g;  w <- w - lr*((1-nu)*g + nu*V)"
    lr: LearningRate = 0.01
    beta: Decay = 0.999
    nu: Annotated[float, Ge(0), Le(1), Doc("weight of the velocity against the plain gradient")] = 0.7


MOMENTS = "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  v = V/(1-beta1^t);  s = S/(1-beta2^t)"
ADAM_RATIOS = {
    "outside": "v/(sqrt(s) + eps)",
    "inside": "v/sqrt(s + eps)",
    "added": "where(s > 0, v/sqrt(s), 0) + eps",
    "uncorrected": "v/(sqrt(s) + eps/sqrt(1-beta2^t))",
}


@dataclass(frozen=True)
class Moments(Rule):
    """Base of the rules with the four settings of Adam."""

    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Eps = 1e-8


@dataclass(frozen=True)
class Adam(Moments):
    """Adam (Kingma & Ba 2015, algorithm 1): momentum and RMSProp with bias correction.

    eps_placement: outside the root as in the paper, torch.optim and optax; inside it; added to the ratio as in the
    published exercise, where it shifts every step by lr*eps and does not prevent a division by zero; or uncorrected,
    added to the root of S before its correction, as in Keras ("epsilon hat" of the paper).
    """

    name = "adam"
    text = MOMENTS + ";  w <- w - lr*({eps_placement})"
    variants = {"eps_placement": ADAM_RATIOS}
    eps_placement: Annotated[
        Literal["outside", "inside", "added", "uncorrected"],
        Doc("eps outside the root, inside it, added to the ratio, or to the uncorrected root"),
    ] = "outside"


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): the decay does not pass through the moments.

    The decay is multiplied by lr, as in torch.optim.AdamW and optax.adamw; in the paper only by its schedule.
    """

    name = "adamw"
    text = MOMENTS + ";  w <- w - (lr*({eps_placement}) + lr*weight_decay*w)"
    weight_decay: WeightDecay = 0.01


@dataclass(frozen=True)
class NAdam(Moments):
    """NAdam (Dozat 2016): Adam that looks ahead along its velocity as Nesterov does. Two forms are in use.

    schedule: the momentum m of step t, n of the next one, and P, the product of all so far (torch.optim.NAdam, Keras);
    constant: beta1 for all of them (optax.nadam).

    `schedule` is the form of the author's report of 2015. The paper has m for beta1 in V, too, and multiplies s by
    beta2; no library does.
    """

    name = "nadam"
    text = (
        "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  s = S/(1-beta2^t);  P0 = 1;  {form};  "
        "w <- w - lr*v/(sqrt(s) + eps)"
    )
    variants = {
        "form": {
            "schedule": (
                "m = beta1*(1 - 0.5*0.96^(t*momentum_decay));  n = beta1*(1 - 0.5*0.96^((t+1)*momentum_decay));  "
                "P <- P*m;  v = n*V/(1-P*n) + (1-m)*g/(1-P)"
            ),
            "constant": "P <- P*beta1;  v = beta1*V/(1-P*beta1) + (1-beta1)*g/(1-P)",
        }
    }
    lr: LearningRate = 0.002
    form: Annotated[Literal["schedule", "constant"], Doc("momentum warmed up step by step, or beta1")] = "schedule"
    momentum_decay: Annotated[float, Ge(0), Doc("speed of the momentum's schedule")] = 0.004


@dataclass(frozen=True)
class RAdam(Moments):
    """Rectified Adam (Liu et al. 2020): division by the second moment only once its variance is bounded.

    uncorrected: torch.optim.RAdam; outside: optax.radam. The paper (algorithm 2) has r > 4 and no eps; torch.optim has
    r > 5, optax and the authors' code have r >= 5.
    """

    name = "radam"
    text = (
        MOMENTS + ";  R = 2/(1-beta2) - 1;  r = R - 2*t*beta2^t/(1-beta2^t);  "
        "k = where(r > 5, sqrt((r-4)*(r-2)*R/((R-4)*(R-2)*r)), 0);  "
        "d = where(r > 5, k*v/({eps_placement}), v);  w <- w - lr*d"
    )
    variants = {"eps_placement": {"uncorrected": "(sqrt(S) + eps)/sqrt(1-beta2^t)", "outside": "sqrt(s) + eps"}}
    eps_placement: Annotated[
        Literal["uncorrected", "outside"], Doc("eps added to the root before or after its correction")
    ] = "uncorrected"


@dataclass(frozen=True)
class AdEMAMix(Rule):
    """AdEMAMix (Pagliardini et al. 2024): Adam with a second, much slower average of the gradients, which is not
    corrected for its start.

    alpha and beta3 are constant, as in optax.contrib.ademamix; the paper warms both up in long trainings.
    """

    name = "ademamix"
    text = MOMENTS + ";  M <- beta3*M + (1-beta3)*g;  w <- w - lr*((v + alpha*M)/(sqrt(s) + eps) + weight_decay*w)"
    lr: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    beta3: Decay = 0.9999
    alpha: Annotated[float, Ge(0), Doc("weight of the slow average")] = 5.0
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0


@dataclass(frozen=True)
class Adan(Rule):
    """Adan (Xie et al. 2022): Adam with the average change of the gradient: Nesterov without a second point.

    paper: the paper's algorithm 1 and its code, w <- (w - lr*u)/(1 + lr*weight_decay); no-prox: its code with
    no_prox=True; optax: optax.adan, with another weight of the change.

    Betas are the fractions that are kept, as in all code; the paper's are their complements. The corrections are
    those of its code: algorithm 1 has none, but starts with V = g and S = g^2.
    """

    name = "adan"
    text = (
        "c = where(t > 1, g - p, 0);  p <- g;  k = {form.k};  V <- beta1*V + (1-beta1)*g;  "
        "D <- beta2*D + (1-beta2)*c;  S <- beta3*S + (1-beta3)*(g + k*c)^2;  v = V/(1-beta1^t);  "
        "d = D/(1-beta2^t);  s = S/(1-beta3^t);  u = (v + k*d)/(sqrt(s) + eps);  w <- w - lr*(u + weight_decay*w){form}"
    )
    variants = {
        "form": {"paper": "/(1 + lr*weight_decay)", ...: ""},
        "form.k": {"optax": "1-beta2", ...: "beta2"},
    }
    lr: LearningRate = 0.001
    beta1: Decay = 0.98
    beta2: Decay = 0.92
    beta3: Decay = 0.99
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    form: Annotated[Literal["paper", "no-prox", "optax"], Doc("weight of the change, and kind of the decay")] = (
        "paper"
    )


EpsPlacement = Annotated[Literal["inside", "outside"], Doc("eps inside or outside the root")]


@dataclass(frozen=True)
class Adagrad(Rule):
    """Adagrad (Duchi, Hazan & Singer 2011): the gradient divided by the root of its summed squares.

    outside: torch.optim.Adagrad; inside: optax.adagrad and Keras, with initial_accumulator 0.1 and eps 1e-7.
    """

    name = "adagrad"
    text = "S0 = initial_accumulator;  S <- S + g^2;  w <- w - {lr_decay}*g/{eps_placement}"
    variants = {
        "lr_decay": {0: "lr", ...: "lr/(1 + (t-1)*lr_decay)"},
        "eps_placement": {"inside": "sqrt(S + eps)", "outside": "(sqrt(S) + eps)"},
    }
    lr: LearningRate = 0.01
    eps: Eps = 1e-10
    initial_accumulator: Annotated[float, Ge(0), Doc("where the sum of squares starts")] = 0.0
    eps_placement: EpsPlacement = "outside"
    lr_decay: Annotated[float, Ge(0), Doc("how fast lr itself decreases")] = 0.0


@dataclass(frozen=True)
class RMSProp(Rule):
    """RMSProp (Tieleman & Hinton 2012, lecture 6e): the gradient divided by its recent root mean square.

    inside: Keras, optax; outside: torch.optim.RMSprop. centered: the variance instead of the mean square (Graves
    2013). initial_accumulator: 1 in TensorFlow 1, `initial_scale` in optax. The lecture has no eps; later code chose
    its placement.
    """

    name = "rmsprop"
    text = "{initial_accumulator}S <- decay*S + (1-decay)*g^2;  {centered}{momentum}"
    variants = {
        "initial_accumulator": {0: "", ...: "S0 = initial_accumulator;  "},
        "centered": {False: "", True: "M <- decay*M + (1-decay)*g;  "},
        "centered.square": {False: "S", True: "(S - M^2)"},
        "eps_placement": {"inside": "sqrt({centered.square} + eps)", "outside": "(sqrt({centered.square}) + eps)"},
        "momentum": {
            0: "w <- w - lr*g/{eps_placement}",
            ...: "V <- momentum*V + g/{eps_placement};  w <- w - lr*V",
        },
    }
    lr: LearningRate = 0.001
    decay: Decay = 0.9
    eps: Eps = 1e-8
    eps_placement: EpsPlacement = "inside"
    centered: Annotated[bool, Doc("divide by the standard deviation instead of the root mean square")] = False
    momentum: Annotated[Decay, Doc("fraction of the velocity that is kept at each step; 0 is none")] = 0.0
    initial_accumulator: Annotated[float, Ge(0), Doc("where the mean of squares starts")] = 0.0


@dataclass(frozen=True)
class Adadelta(Rule):
    """Adadelta (Zeiler 2012): RMSProp whose numerator gives the step the units of w.

    The paper has no lr: it is 1. torch.optim.Adadelta and optax.adadelta are this form.
    """

    name = "adadelta"
    text = (
        "S <- rho*S + (1-rho)*g^2;  d = sqrt(D + eps)/sqrt(S + eps)*g;  D <- rho*D + (1-rho)*d^2;  w <- w - lr*d"
    )
    lr: LearningRate = 1.0
    rho: Decay = 0.9
    eps: Eps = 1e-6


@dataclass(frozen=True)
class FTRL(Rule):
    """FTRL-Proximal (McMahan et al. 2013, algorithm 1): Adagrad with a penalty that makes weights exactly zero.

    As in pytorch_optimizer; its lambda_1 is l1. In Keras l2 counts twice, and initial_accumulator is 0.1. Without
    beta, l1, l2 and initial_accumulator it is Adagrad. Each of them draws a start other than 0 to 0: the paper's
    starts there, and its beta is 1.
    """

    name = "ftrl"
    text = (
        "S0 = initial_accumulator;  s = (sqrt(S + g^2) - sqrt(S))/lr;  S <- S + g^2;  Z <- Z + g - s*w;  "
        "b = (beta + sqrt(S))/lr + l2;  w <- where(min(abs(Z) - l1, b) > 0, (sign(Z)*l1 - Z)/b, 0*Z)"
    )
    lr: LearningRate = 0.01
    beta: Annotated[float, Ge(0), Doc("added to the root of the sum of squares")] = 0.0
    l1: Annotated[float, Ge(0), Doc("factor of the penalty |w|: a weight with |Z| up to this is 0")] = 0.0
    l2: Annotated[float, Ge(0), Doc("factor of the penalty w^2/2")] = 0.0
    initial_accumulator: Annotated[float, Ge(0), Doc("where the sum of squares starts")] = 0.0


CorrectedEps = Annotated[
    Literal["outside", "uncorrected"], Doc("eps added to the root after or before its correction")
]
ADAM_ROOTS = {"outside": "sqrt(s) + eps", "uncorrected": "sqrt(s) + eps/sqrt(1-beta2^t)"}


@dataclass(frozen=True)
class AMSGrad(Moments):
    """AMSGrad (Reddi, Kale & Kumar 2018): Adam divided by the largest second moment so far.

    raw: the largest before the correction (torch.optim.Adam(amsgrad=True), Keras); corrected: after it (optax.amsgrad);
    paper: nothing is corrected, and eps is outside. uncorrected: eps as in Adam (Keras).
    """

    name = "amsgrad"
    text = "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  {largest}"
    variants = {
        "largest": {
            "raw": "v = V/(1-beta1^t);  L <- max(L, S);  s = L/(1-beta2^t);  w <- w - lr*v/({eps_placement})",
            "corrected": "v = V/(1-beta1^t);  L <- max(L, S/(1-beta2^t));  s = L;  w <- w - lr*v/({eps_placement})",
            "paper": "v = V;  L <- max(L, S);  s = L;  w <- w - lr*v/(sqrt(s) + eps)",
        },
        "eps_placement": ADAM_ROOTS,
    }
    largest: Annotated[
        Literal["raw", "corrected", "paper"],
        Doc("largest second moment before or after the correction, or without any"),
    ] = "raw"
    eps_placement: CorrectedEps = "outside"


@dataclass(frozen=True)
class Adamax(Moments):
    """Adamax (Kingma & Ba 2015, algorithm 2): Adam with the infinity norm instead of the root mean square.

    inside: torch.optim.Adamax, optax.adamax; outside: Keras, TensorFlow. The paper has no eps.
    """

    name = "adamax"
    text = "V <- beta1*V + (1-beta1)*g;  {eps_placement}"
    variants = {
        "eps_placement": {
            "inside": "S <- max(beta2*S, abs(g) + eps);  v = V/(1-beta1^t);  w <- w - lr*v/S",
            "outside": "S <- max(beta2*S, abs(g));  v = V/(1-beta1^t);  w <- w - lr*v/(S + eps)",
        }
    }
    lr: LearningRate = 0.002
    eps_placement: Annotated[Literal["inside", "outside"], Doc("eps inside the maximum or added to it")] = "inside"


@dataclass(frozen=True)
class AdaBelief(Moments):
    """AdaBelief (Zhuang et al. 2020): large steps where the gradient is as the velocity predicts.

    eps enters twice, as in the paper and in optax.adabelief. V includes g; optax before version 0.2.4 used the V
    before g.
    """

    name = "adabelief"
    text = (
        "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*(g - V)^2 + eps;  "
        "v = V/(1-beta1^t);  s = S/(1-beta2^t);  w <- w - lr*v/(sqrt(s) + eps)"
    )
    eps: Eps = 1e-16


@dataclass(frozen=True)
class Yogi(Moments):
    """Yogi (Zaheer et al. 2018): the second moment changes by a fraction of g^2, whatever its own size.

    The paper (algorithm 2) corrects neither moment for its start, bias_correction False; optax and TensorFlow Addons
    correct both. initial_accumulator is the start of both moments in optax.yogi, and of the second alone in TensorFlow
    Addons, which has eps_placement uncorrected. The paper starts V at 0 and S at the squared gradient of a large
    batch; 1e-6 is its authors' later default.
    """

    name = "yogi"
    text = (
        "{accumulators}S0 = initial_accumulator;  V <- beta1*V + (1-beta1)*g;  "
        "S <- S - (1-beta2)*sign(S - g^2)*g^2;  {bias_correction}"
    )
    variants = {
        "accumulators": {"both": "V0 = initial_accumulator;  ", "second": ""},
        "bias_correction": {
            True: "v = V/(1-beta1^t);  s = S/(1-beta2^t);  w <- w - lr*v/({eps_placement})",
            False: "w <- w - lr*V/(sqrt(S) + eps)",
        },
        "eps_placement": ADAM_ROOTS,
    }
    lr: LearningRate = 0.01
    eps: Eps = 1e-3
    initial_accumulator: Annotated[float, Ge(0), Doc("where the moments start")] = 1e-6
    accumulators: Annotated[Literal["both", "second"], Doc("moments that start there; others start at 0")] = "both"
    eps_placement: CorrectedEps = "outside"
    bias_correction: Annotated[bool, Doc("correct both moments for their start at zero")] = True


@dataclass(frozen=True)
class Adopt(Moments):
    """ADOPT (Taniguchi et al. 2024): the gradient over the root of the second moment before it, averaged.

    The first step moves nothing. Converges with any beta2 (the paper's theorem); Adam does not. As
    optax.contrib.adopt.
    """

    name = "adopt"
    text = (
        "d = where(t > 1, {clip}, 0);  V <- beta1*V + (1-beta1)*d;  "
        "S <- where(t > 1, beta2*S + (1-beta2)*g^2, g^2);  w <- w - lr*V"
    )
    variants = {
        "clip": {
            True: "clip(g/max(sqrt(S), eps), -(t-1)^0.25, (t-1)^0.25)",
            False: "g/max(sqrt(S), eps)",
        }
    }
    beta2: Decay = 0.9999
    eps: Eps = 1e-6
    clip: Annotated[bool, Doc("limit the scaled gradient to (t-1)^(1/4), as the paper's code does")] = True


@dataclass(frozen=True)
class LaProp(Moments):
    """LaProp (Ziyin, Wang & Ueda 2020): Adam with the division first and the averaging after it.

    An old gradient keeps the scale of its step, so any beta1 is stable with any beta2.
    """

    name = "laprop"
    text = (
        "S <- beta2*S + (1-beta2)*g^2;  s = S/(1-beta2^t);  "
        "V <- beta1*V + (1-beta1)*(g/(sqrt(s) + eps));  w <- w - lr*V/(1-beta1^t)"
    )
    lr: LearningRate = 4e-4
    eps: Eps = 1e-15


@dataclass(frozen=True)
class SignSGD(Rule):
    """Sign descent (Bernstein et al. 2018): every coordinate moves by exactly lr."""

    name = "signsgd"
    text = "w <- w - lr*sign(g)"
    lr: LearningRate = 0.001


@dataclass(frozen=True)
class Signum(Rule):
    """Signum (Bernstein et al. 2018): the sign of the moving average of gradients."""

    name = "signum"
    text = "V <- beta*V + (1-beta)*g;  w <- w - lr*sign(V)"
    lr: LearningRate = 0.001
    beta: Decay = 0.9


@dataclass(frozen=True)
class Lion(Rule):
    """Lion (Chen et al. 2023): the sign of one moving average, while a slower one is remembered."""

    name = "lion"
    text = "d = sign(beta1*V + (1-beta1)*g);  V <- beta2*V + (1-beta2)*g;  w <- w - lr*(d + weight_decay*w)"
    lr: LearningRate = 1e-4
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    weight_decay: WeightDecay = 0.0


@dataclass(frozen=True)
class Rprop(Rule):
    """Resilient backpropagation (Riedmiller & Braun 1993): a step size per coordinate that grows while the sign
    of the gradient stays and shrinks when it changes; after a change the coordinate rests for one step.

    The form without backtracking (iRprop-, Igel & Huesken 2000), as torch.optim.Rprop and optax.rprop. `lr` is the
    first step size only.
    """

    name = "rprop"
    text = (
        "D0 = lr;  s = where(g*p > 0, eta_plus, where(g*p < 0, eta_minus, 1));  "
        "D <- clip(s*D, step_min, step_max);  p <- where(g*p < 0, 0, g);  w <- w - D*sign(p)"
    )
    lr: Annotated[float, Gt(0), Doc("first step size of every coordinate")] = 0.01
    eta_minus: Annotated[float, Gt(0), Lt(1), Doc("factor of the step size when the sign changes")] = 0.5
    eta_plus: Annotated[float, Gt(1), Doc("factor of the step size while the sign stays")] = 1.2
    step_min: Annotated[float, Gt(0), Doc("smallest step size")] = 1e-6
    step_max: Annotated[float, Gt(0), Doc("largest step size")] = 50.0


Interpolation = Annotated[float, Gt(0), Lt(1), Doc("where the gradient is taken: 0 at z, 1 at the average")]
_AVERAGE = (
    "z0 = w;  x = (w - (1-beta1)*z)/beta1;  M <- max(M, lr);  Q <- Q + M^2;  c = M^2/Q;  {}"
    "z <- z - lr*({} + weight_decay*w);  x = (1-c)*x + c*z;  w <- beta1*x + (1-beta1)*z"
)


@dataclass(frozen=True)
class ScheduleFreeSGD(Rule):
    """Schedule-free gradient descent (Defazio et al. 2024): an average of all points replaces the schedule.

    The gradient is taken at w, which is the path shown; x, the average, is the result: `averaged(w, state)`. Points
    weigh lr^2 in the average, so 1/t where lr is constant. As optax.contrib.schedule_free_sgd.
    """

    name = "schedule-free-sgd"
    text = _AVERAGE.format("", "g")
    lr: LearningRate = 1.0
    beta1: Interpolation = 0.9
    weight_decay: WeightDecay = 0.0

    def averaged(self, w: Array, state: State) -> Array:
        """The average of all points: the weights to use and to evaluate."""
        return (w - (1 - self.beta1) * state[self.states.index("z")]) / self.beta1


@dataclass(frozen=True)
class ScheduleFreeAdamW(ScheduleFreeSGD):
    """Schedule-free AdamW (Defazio et al. 2024): the average takes the place of Adam's first moment.

    As optax.contrib.schedule_free_adamw.
    """

    name = "schedule-free-adamw"
    text = _AVERAGE.format("S <- beta2*S + (1-beta2)*g^2;  s = S/(1-beta2^t);  ", "g/(sqrt(s) + eps)")
    lr: LearningRate = 0.0025
    beta2: Decay = 0.999
    eps: Eps = 1e-8


@cache
def _names_of_both(around: str, fields_around: frozenset[str], inside: str) -> str:
    """The names that a wrapper's formula and that of its base both use, so that one would overwrite the other."""
    from optilab.optimize.program import compiled

    outside, inner = [statement for statement, _ in assignments(around.replace("{base}", ""))], compiled(inside)
    assigned = {statement.target for statement in outside}
    renewed = {statement.target for statement in outside if statement.arrow == "<-"}
    kept = renewed | {f"{state}0" for state in renewed} | fields_around
    settings, targets = {*inner.settings}, {statement.target for statement in inner.statements}
    shared = assigned & {*inner.states, *settings} | kept & (settings | targets)
    return ", ".join(sorted(shared - {"w", "g"}))


class Wrapper(Rule):
    """A rule around a base rule. It gets the weights of a network in the shape that its base needs."""

    around: ClassVar[str]
    """The formula; `{base}` stands for that of the base rule."""
    base: Rule

    def __post_init__(self) -> None:
        """Raise UsageError if the base uses a name of the formula around it, or does not go where a step leads."""
        if not self.base.text and "function" in self.base.needs:
            raise UsageError(f"{self.base.name} evaluates gradients itself, so {self.name} cannot wrap it")
        if self.base.text and (names := _names_of_both(self.around, frozenset(vars(self)), self.base.formula)):
            raise UsageError(f"{self.name} and {self.base.name} inside it both use the name {names}")

    @property
    def text(self) -> str:  # type: ignore[override]
        """Empty around a rule in code."""
        return self.around if self.base.text else ""

    @cached_property
    def formula(self) -> str:
        return self.around.replace("{base}", self.base.formula)

    @property
    def weights(self) -> Literal["joined", "each", "matrices"]:  # type: ignore[override]
        return self.base.weights

    def for_weights(self, shapes: Sequence[Sequence[int]]) -> list[Rule]:
        """The rule of each weight, with a state per weight, for a rule that works on matrices."""
        return [replace(self, base=part) for part in self.base.for_weights(shapes)]  # type: ignore[attr-defined, type-var]


@dataclass(frozen=True)
class Lookahead(Wrapper):
    """Lookahead (Zhang et al. 2019): after every few steps of another optimizer, go back part of the way.

    The wrapped rule keeps its state, as optax.lookahead does; the path shown is the fast one. The slow point is the
    result: `averaged(w, state)`.
    """

    name = "lookahead"
    around = (
        "slow0 = w;  {base};  slow <- where(t % sync_period > 0, slow, slow + slow_step_size*(w - slow));  "
        "w <- where(t % sync_period > 0, w, slow)"
    )
    base: Annotated[Rule, Doc("the optimizer that is wrapped")] = Adam()
    sync_period: Annotated[int, Ge(1), Doc("steps between two returns")] = 5
    slow_step_size: Annotated[float, Gt(0), Le(1), Doc("part of the way that is kept")] = 0.5

    @property
    def states(self) -> tuple[str, ...]:
        return super().states if self.base.text else ("slow", *self.base.states)

    @property
    def needs(self) -> tuple[str, ...]:
        return super().needs if self.base.text else self.base.needs

    def init(self, w: Array) -> State:
        return super().init(w) if self.base.text else (w, *self.base.init(w))

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        if self.base.text:
            return super().step(w, g, t, state, **quantities)
        slow, (w, inner) = state[0], self.base.step(w, g, t, state[1:], **quantities)  # around a rule in code
        if t % self.sync_period == 0:
            w = slow = slow + self.slow_step_size * (w - slow)
        return w, (slow, *inner)

    def averaged(self, w: Array, state: State) -> Array:
        """The slow point: the weights to use and to evaluate."""
        return state[self.states.index("slow")]


ASCENT = "m = norm(g);  e = where(m > 0, radius*g/m, 0*g)"
"""The step from the point to the worst point nearby, where SAM takes the gradient."""


@dataclass(frozen=True)
class SAM(Wrapper):
    """Sharpness-aware minimization (Foret et al. 2021, arXiv:2010.01412): another optimizer with the gradient of the
    worst point nearby.

    Each step takes two gradients. In a network both are of the same batch, |g| is that of all weights, batch
    statistics are those of the first, and weight decay around the rule is added at w, to the second. As
    optax.contrib.sam; pytorch_optimizer's SAM computes |g| in single precision. Where g is 0, e is 0.
    """

    name = "sam"
    around = ASCENT + ";  g = grad(w + e);  {base}"
    base: Annotated[Rule, Doc("the optimizer that is wrapped")] = SGD()
    radius: Annotated[float, Gt(0), Doc("distance to the point of the gradient; the paper's rho")] = 0.05

    @property
    def needs(self) -> tuple[str, ...]:
        return super().needs if self.base.text else ("grad", *self.base.needs)


@dataclass(frozen=True)
class LARS(Rule):
    """LARS (You, Gitman & Ginsburg 2017, arXiv:1708.03888): the learning rate of each layer is proportional to |w|/|g|.

    sum: the paper, pytorch_optimizer; norm: optax.lars. In a network each weight matrix and each bias has its own r; on
    a function the point has one. pytorch_optimizer leaves biases out: they get r = 1 and no decay. Under a schedule lr
    is that of the step, as there and in torch's SGD; the paper keeps the lr of each gradient inside V, which differs
    while lr changes.
    """

    name = "lars"
    weights = "each"
    text = (
        "u = g + weight_decay*w;  m = norm(w);  D = {denominator};  "
        "r = where(min(m, D) > 0, trust*m/D, 1);  V <- beta*V + r*u;  w <- w - lr*V"
    )
    variants = {"denominator": {"sum": "norm(g) + weight_decay*norm(w)", "norm": "norm(u)"}}
    lr: LearningRate = 1.0
    beta: Decay = 0.9
    trust: Annotated[float, Gt(0), Doc("length of a step before lr and momentum, as a fraction of |w|")] = 0.001
    weight_decay: WeightDecay = 0.0
    denominator: Annotated[Literal["sum", "norm"], Doc("|g| + weight_decay*|w|, or the norm of their sum")] = "sum"


@dataclass(frozen=True)
class LAMB(Moments):
    """LAMB (You et al. 2020, arXiv:1904.00962): AdamW whose steps have the length lr*|w| in each layer.

    In a network each weight matrix and each bias has its own r; on a function the point has one. `bias_correction`
    is on in the paper's algorithm and in optax.lamb. pytorch_optimizer has it off with adam_debias=True, and without
    that divides lr by 1 - beta1^t; it limits |w| to 10 (`largest_norm`) and adds eps to |u|.
    """

    name = "lamb"
    weights = "each"
    text = (
        "V <- beta1*V + (1-beta1)*g;  S <- beta2*S + (1-beta2)*g^2;  {bias_correction};  "
        "u = v/(sqrt(s) + eps) + weight_decay*w;  m = {largest_norm};  D = norm(u);  "
        "r = where(min(m, D) > 0, m/D, 1);  w <- w - lr*r*u"
    )
    variants = {
        "bias_correction": {True: "v = V/(1-beta1^t);  s = S/(1-beta2^t)", False: "v = V;  s = S"},
        "largest_norm": {0: "norm(w)", ...: "where(largest_norm > 0, min(norm(w), largest_norm), norm(w))"},
    }
    eps: Eps = 1e-6
    weight_decay: WeightDecay = 0.0
    bias_correction: Annotated[bool, Doc("correct both moments for their start at zero")] = True
    largest_norm: Annotated[float, Ge(0), Doc("a larger |w| counts as this; 0: no limit")] = 0.0


@dataclass(frozen=True)
class Prodigy(Moments):
    """Prodigy (Mishchenko & Defazio 2023): Adam whose learning rate is D, an estimate of the distance to the minimum.

    bias_correction is off in the paper's algorithm and its code, always on in optax.contrib.prodigy.
    """

    name = "prodigy"
    text = (
        "x0 = w;  x <- x;  D0 = d0;  b = sqrt(beta2);  k = {bias_correction};  h = D*g;  "
        "V <- beta1*V + (1-beta1)*h;  S <- beta2*S + (1-beta2)*h^2;  "
        "r <- b*r + D/d0*k*sum(g*(x - w));  G <- b*G + D/d0*k*g;  m = sum(abs(G));  "
        "D <- max(D, where(m > 0, d_coef*r/m, 0));  w <- w - k*(V/(sqrt(S) + D*eps) + weight_decay*w)"
    )
    variants = {"bias_correction": {True: "lr*D*sqrt(1-beta2^t)/(1-beta1^t)", False: "lr*D"}}
    lr: LearningRate = 1.0
    d0: Annotated[float, Gt(0), Doc("first estimate of the distance; too small is safe")] = 1e-6
    d_coef: Annotated[float, Gt(0), Doc("factor of every estimate")] = 1.0
    weight_decay: WeightDecay = 0.0
    bias_correction: Annotated[bool, Doc("correct both moments for their start at zero")] = False


@dataclass(frozen=True)
class BarzilaiBorwein(Rule):
    """The two-point step size (Barzilai & Borwein 1988): the curvature along the last step s sets the next size a.

    The first step has size lr; where the curvature sum(s*y) is not positive the last size is kept.
    """

    name = "barzilai-borwein"
    text = "y = g - p;  p <- g;  a0 = lr;  a <- where(sum(s*y) > 0, {form}, a);  s <- -a*g;  w <- w + s"
    variants = {"form": {"long": "sum(s*s)/sum(s*y)", "short": "sum(s*y)/sum(y*y)"}}
    lr: Annotated[float, Gt(0), Doc("size of the first step")] = 0.01
    form: Annotated[Literal["long", "short"], Doc("which of the paper's two step sizes")] = "long"


@dataclass(frozen=True)
class Polyak(Rule):
    """Polyak's step size (1987): the exact length if f were linear between w and the minimum.

    lr is the largest factor allowed, as max_learning_rate in optax.polyak_sgd (SPS_max, Loizou et al. 2021). f_min
    must be known.
    """

    name = "polyak"
    text = "q = sum(g^2) + eps;  w <- w - where(q > 0, min((f - f_min)/q, lr), 0)*g"
    lr: Annotated[float, Gt(0), Doc("largest factor of the gradient")] = 1.0
    f_min: Annotated[float, Doc("the function's value at its minimum")] = 0.0
    eps: Eps = 0.0


@dataclass(frozen=True)
class Newton(Rule):
    """Newton's method: the step to the stationary point of the local quadratic model, with the Hessian H at w.

    It converges to saddles and maxima as well as to minima. Where H is singular the shortest solution is taken.
    """

    name = "newton"
    text = "w <- w - lr*solve(H, g)"
    lr: LearningRate = 1.0


@dataclass(frozen=True)
class DampedNewton(Rule):
    """Newton's method with damping (Nocedal & Wright 2006, section 3.4; after Levenberg 1944): always downhill.

    A large damping turns the step towards the gradient and shortens it to g/damping.
    """

    name = "damped-newton"
    text = "m = damping + max(0, -smallest(H));  w <- w - lr*solve(H + m*I, g)"
    lr: LearningRate = 1.0
    damping: Annotated[float, Ge(0), Doc("added to every eigenvalue of the Hessian")] = 1.0


_DIAGONAL = "D <- where((t-1) % interval > 0, D, beta2*D + (1-beta2)*diagonal(w))"
_RATIO = "u = clip({bias_correction}/max(gamma*D, eps), -1, 1)"


@dataclass(frozen=True)
class Sophia(Rule):
    """Sophia (Liu et al. 2023, arXiv:2305.14342, algorithm 3): momentum divided by the Hessian's diagonal, clipped.

    before: the first step renews D and then uses it  (the paper, pytorch_optimizer)
    after: a step uses the D before it, so the first steps by lr in each coordinate  (optax.contrib.sophia)

    Where D is small or negative, a coordinate moves by lr. On a function the diagonal is exact. In training it is
    Sophia-H's estimate (Hutchinson 1990): s*(H*s) with random signs s, from the batch of the step, dropout off. optax
    divides V by 1 - beta1^t (`bias_correction`). pytorch_optimizer's SophiaH has p for lr*p, gamma p, eps*p here.
    """

    name = "sophia"
    text = "V <- beta1*V + (1-beta1)*g;  {renewal};  w <- w - lr*(u + weight_decay*w)"
    variants = {
        "renewal": {"before": f"{_DIAGONAL};  {_RATIO}", "after": f"{_RATIO};  {_DIAGONAL}"},
        "bias_correction": {True: "V/(1-beta1^t)", False: "V"},
    }
    lr: LearningRate = 0.001
    beta1: Decay = 0.96
    beta2: Decay = 0.99
    gamma: Annotated[float, Gt(0), Doc("factor of the diagonal: a smaller one clips more")] = 0.01
    eps: Eps = 1e-12
    weight_decay: WeightDecay = 0.0
    interval: Annotated[int, Ge(1), Doc("steps between two looks at the Hessian")] = 10
    renewal: Annotated[Literal["before", "after"], Doc("the diagonal is renewed before the step, or after")] = (
        "before"
    )
    bias_correction: Annotated[bool, Doc("correct the first moment for its start at zero")] = False
