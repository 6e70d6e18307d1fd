"""Each update rule's counterpart in other programs, and the form that each library implements."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optilab.optimize import RULES
from optilab.optimize.rules import Adam, AdamW, NAdam
from optilab.verify.references import (
    BARZILAI_BORWEIN,
    FORMULA,
    NEWTON,
    SHAMPOO,
    DelayedByOneStep,
    Reference,
    in_optax,
    in_pytorch_optimizer,
    in_torch,
    scipy_minimize,
)

NO_SUCH_RULE = "not in this library"
IN_SINGLE = "it computes the fraction of the newest square in single precision"


@dataclass(frozen=True)
class Other:
    """The form that a library implements instead: in words, and how to make it from the rule."""

    text: str
    make: Callable[[Any], Any]


def form(**settings: Any) -> Other:
    """The same rule with other settings."""
    return Other(shown(settings), lambda rule: replace(rule, **settings))


_NUMBERS = ("initial_accumulator", "lr_decay", "largest_norm", "l1", "interval", "largest_side")
"""Those that choose a form."""


def shown(settings: Mapping[str, Any]) -> str:
    """The settings that choose a form: texts, switches, and numbers that are 0 where a library has no such option."""
    chosen = {
        key: value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value:g}"
        for key, value in settings.items()
        if isinstance(value, str | bool) or key in _NUMBERS
    }
    return ", ".join(f"{key} {value}" for key, value in chosen.items())


@dataclass(frozen=True)
class Case:
    """A rule with the settings of the comparison, and its counterpart in each library that has one.

    `plain`: the reference for forms that neither torch nor optax has. `others`: by library, the form that it
    implements instead. `absent`: why torch or optax has none.
    """

    name: str
    settings: dict[str, Any]
    torch: Reference | None = None
    optax: Reference | None = None
    others: Mapping[str, Other] = field(default_factory=dict)
    pytorch_optimizer: Reference | None = None
    plain: Reference | None = None
    absent: str = NO_SUCH_RULE

    @property
    def rule(self) -> Any:
        kind: Any = RULES[self.name]
        return kind(**self.settings)

    @property
    def references(self) -> dict[str, Reference | None]:
        """By library, in the order of the table."""
        return {library: getattr(self, library) for library in ("torch", "optax", "pytorch_optimizer", "plain")}


_SMALL = {"lr": 3e-4}
_ADAM = {"lr": 0.02, "eps": 1e-3}  # an eps that is large enough for its place to be seen
_RMSPROP = {"lr": 0.01, "eps": 1e-3, "decay": 0.95}
_LARS = {"lr": 1.0, "trust": 0.01, "weight_decay": 0.1}
_SOPHIA = {**_ADAM, "gamma": 0.05, "weight_decay": 0.1, "interval": 3}
_ADAMW = AdamW(lr=0.01, weight_decay=0.1)
_MUON = {"lr": 0.02, "eps": 1e-30, "weight_decay": 0.1, "matrices": "all", "others": _ADAMW}
_NADAM = NAdam(lr=0.01, eps=1e-30, form="constant")
_ADAFACTOR = {"lr": 0.005, "eps": 1e-3}

_ADAGRAD_IN_TORCH = in_torch("Adagrad({w, lr=lr, eps=eps, }initial_accumulator_value=0.1)")
_ADAGRAD_IN_OPTAX = in_optax("adagrad{(lr, initial_accumulator, eps)}")
_RMSPROP_IN_TORCH = in_torch("RMSprop({w, lr=lr, eps=eps, }alpha=0.95)")
_ADAM_IN_TORCH = in_torch("Adam({w, lr=lr, eps=eps})")
_ADAM_IN_OPTAX = in_optax("adam{(lr, eps=eps)}")
_NADAM_IN_TORCH = in_torch("NAdam({w, lr=lr, eps=eps, }momentum_decay=0.004)")
_NADAM_IN_OPTAX = in_optax("nadam{(lr, eps=eps)}")
_RADAM_IN_TORCH = in_torch("RAdam({w, lr=lr, eps=eps})")
_RADAM_IN_OPTAX = in_optax("radam{(lr, eps=eps)}")
_ADAN_IN_OPTAX = in_optax("adan{(lr, eps=eps, eps_root=0.0, weight_decay=weight_decay)}")
_AMSGRAD_IN_TORCH = in_torch("Adam({w, lr=lr, eps=eps, }amsgrad=True)")
_AMSGRAD_IN_OPTAX = in_optax("amsgrad{(lr, eps=eps)}")
_ADAMAX_IN_TORCH = in_torch("Adamax({w, lr=lr, eps=eps})")
_ADAMAX_IN_OPTAX = in_optax("adamax{(lr, eps=eps)}")
_YOGI_IN_OPTAX = in_optax("yogi{(lr, eps=eps)}")
_LARS_IN_OPTAX = in_optax("lars{(lr, weight_decay, trust_coefficient=trust)}")
_LAMB_IN_OPTAX = in_optax("lamb{(lr, eps=eps, weight_decay=weight_decay)}")
_SOPHIA_IN_OPTAX = in_optax(
    "contrib.sophia{(lr, b1=beta1, b2=beta2, eps=eps, gamma=gamma, weight_decay=weight_decay, "
    "update_interval=interval, hessian_diagonal_fn=exact_diagonal())}"
)
_MUON_IN_TORCH = in_torch(
    "Muon(w[:2], lr=lr, momentum=0.95, weight_decay=0.1, eps=eps), AdamW(w[2:], lr=0.01, weight_decay=0.1)",
    printed="Muon, AdamW for the bias",
)
_MUON_IN_OPTAX = in_optax(
    "contrib.muon{(lr, eps=eps, weight_decay=weight_decay, adam_learning_rate=0.01)}", transposed=True
)
_MUON_OF_OPTAX = Other(
    "form corrected, precision full, NAdam for the bias",
    lambda rule: replace(
        rule, form="corrected", precision="full", nesterov=True, adjust="original", others=_NADAM
    ),
)
_PRODIGY_IN_OPTAX = in_optax("contrib.prodigy{(lr, weight_decay=weight_decay)}")

CASES = (
    Case("sgd", _SMALL, in_torch("SGD({w, lr=lr})"), in_optax("sgd{(lr)}")),
    Case(
        "momentum",
        {**_SMALL, "form": "classic"},
        in_torch("SGD({w, lr=lr, }momentum=0.9)"),
        in_optax("sgd({lr, }momentum{=beta})"),
    ),
    Case(
        "momentum",
        {**_SMALL, "form": "ema"},
        in_torch("SGD(w, lr=0.1*lr, momentum=0.9)", printed="SGD(lr=(1-beta)*lr, momentum=0.9)"),
        in_optax("chain(ema({beta, }debias=False), scale{(-lr)})"),
    ),
    Case(
        "nesterov",
        {**_SMALL, "form": "classic"},
        in_torch("SGD({w, lr=lr, }momentum=0.9, nesterov=True)"),
        in_optax("sgd({lr, beta, }nesterov{=True})"),
    ),
    Case(
        "nesterov",
        {**_SMALL, "form": "ema"},
        in_torch(
            "SGD(w, lr=0.1*lr, momentum=0.9, nesterov=True)",
            printed="SGD(lr=(1-beta)*lr, momentum=0.9, nesterov=True)",
        ),
        in_optax("sgd(0.1*lr, beta, nesterov=True)", printed="sgd((1-beta)*lr, nesterov)"),
    ),
    Case(
        "qhm",
        {**_SMALL, "beta": 0.9},
        optax=in_optax("chain(mixture(nu, beta), scale(-lr))", printed="sgd and ema, mixed"),
    ),
    Case(
        "adagrad",
        {**_ADAM, "initial_accumulator": 0.1, "eps_placement": "outside"},
        _ADAGRAD_IN_TORCH,
        _ADAGRAD_IN_OPTAX,
        {"optax": form(eps_placement="inside")},
    ),
    Case(
        "adagrad",
        {**_ADAM, "initial_accumulator": 0.1, "eps_placement": "inside"},
        _ADAGRAD_IN_TORCH,
        _ADAGRAD_IN_OPTAX,
        {"torch": form(eps_placement="outside")},
    ),
    Case(
        "adagrad",
        {"lr": 1.0, "eps": 1e-3, "eps_placement": "outside", "lr_decay": 0.1},
        in_torch("Adagrad({w, lr=lr, eps=eps, }lr_decay=0.1)"),
        in_optax("adagrad({lambda t, lr=lr: }lr/(1 + 0.1*t){, 0.0, eps})"),
        {"optax": form(eps_placement="inside")},
    ),
    Case(
        "rmsprop",
        {**_RMSPROP, "eps_placement": "inside"},
        _RMSPROP_IN_TORCH,
        in_optax("rmsprop{(lr, decay, eps)}"),
        {"torch": form(eps_placement="outside")},
    ),
    Case(
        "rmsprop",
        {**_RMSPROP, "eps_placement": "outside"},
        _RMSPROP_IN_TORCH,
        in_optax("rmsprop({lr, decay, eps, }eps_in_sqrt=False)"),
    ),
    Case(
        "rmsprop",
        {**_RMSPROP, "eps_placement": "inside", "initial_accumulator": 1.0},
        _RMSPROP_IN_TORCH,
        in_optax("rmsprop({lr, decay, eps, }initial_scale=1)"),
        {"torch": form(eps_placement="outside", initial_accumulator=0.0)},
    ),
    Case(
        "rmsprop",
        {**_RMSPROP, "eps_placement": "outside", "centered": True, "momentum": 0.5},
        in_torch("RMSprop({w, lr=lr, eps=eps, }alpha=0.95, centered=True, momentum=0.5)"),
        in_optax("rmsprop({lr, decay, eps, eps_in_sqrt=False, }centered{=True}, momentum{=momentum})"),
    ),
    Case(
        "adadelta",
        {"lr": 1.0, "eps": 1e-3},
        in_torch("Adadelta({w, lr=lr, eps=eps, }rho=0.9)"),
        in_optax("adadelta{(lr, rho, eps)}"),
    ),
    Case("adam", {**_ADAM, "eps_placement": "outside"}, _ADAM_IN_TORCH, _ADAM_IN_OPTAX),
    Case(
        "adam",
        {**_ADAM, "eps_placement": "inside"},
        _ADAM_IN_TORCH,
        in_optax("adam({lr, }eps=0{.0}, eps_root{=eps})"),
        {"torch": form(eps_placement="outside")},
    ),
    Case(
        "adam",
        {**_ADAM, "eps_placement": "added"},
        _ADAM_IN_TORCH,
        in_optax("chain(scale_by_adam(eps=0{.0}), {stateless(added(}+eps{))}, scale{(-lr)})"),
        {"torch": form(eps_placement="outside")},
    ),
    Case(
        "adam",
        {**_ADAM, "eps_placement": "uncorrected"},
        in_torch("Adam({w, lr=lr, }eps=eps/sqrt(1-beta2^t))"),
        _ADAM_IN_OPTAX,
        {"optax": form(eps_placement="outside")},
    ),
    Case(
        "adamw",
        {**_ADAM, "weight_decay": 0.1},
        in_torch("AdamW({w, lr=lr, eps=eps, }weight_decay=0.1)"),
        in_optax("adamw{(lr, eps=eps, weight_decay=weight_decay)}"),
    ),
    Case(
        "nadam",
        {**_ADAM, "form": "schedule"},
        _NADAM_IN_TORCH,
        _NADAM_IN_OPTAX,
        {"optax": form(form="constant")},
    ),
    Case(
        "nadam",
        {**_ADAM, "form": "constant"},
        _NADAM_IN_TORCH,
        _NADAM_IN_OPTAX,
        {"torch": form(form="schedule")},
    ),
    Case(
        "radam",
        {**_ADAM, "eps_placement": "uncorrected"},
        _RADAM_IN_TORCH,
        _RADAM_IN_OPTAX,
        {"optax": form(eps_placement="outside")},
    ),
    Case(
        "radam",
        {**_ADAM, "eps_placement": "outside"},
        _RADAM_IN_TORCH,
        _RADAM_IN_OPTAX,
        {"torch": form(eps_placement="uncorrected")},
    ),
    Case(
        "ademamix",
        {**_ADAM, "beta3": 0.99, "weight_decay": 0.1},
        optax=in_optax("contrib.ademamix{(lr, b3=beta3, eps=eps, weight_decay=weight_decay)}"),
    ),
    *(
        Case(
            "adan",
            {**_ADAM, "weight_decay": 0.1, "form": own},
            optax=_ADAN_IN_OPTAX,
            others={"optax": form(form="optax")},
            plain=FORMULA,
        )
        for own in ("paper", "no-prox")
    ),
    Case("adan", {**_ADAM, "weight_decay": 0.1, "form": "optax"}, optax=_ADAN_IN_OPTAX),
    Case(
        "amsgrad",
        {**_ADAM, "largest": "raw"},
        _AMSGRAD_IN_TORCH,
        _AMSGRAD_IN_OPTAX,
        {"optax": form(largest="corrected")},
    ),
    Case(
        "amsgrad",
        {**_ADAM, "largest": "corrected"},
        _AMSGRAD_IN_TORCH,
        _AMSGRAD_IN_OPTAX,
        {"torch": form(largest="raw")},
    ),
    Case(
        "amsgrad",
        {**_ADAM, "largest": "raw", "eps_placement": "uncorrected"},
        in_torch("Adam({w, lr=lr, }eps=eps/sqrt(1-beta2^t), amsgrad=True)"),
        _AMSGRAD_IN_OPTAX,
        {"optax": form(largest="corrected", eps_placement="outside")},
    ),
    Case(
        "amsgrad",
        {**_ADAM, "largest": "paper"},
        in_torch(
            "Adam(w, lr=lr*(1-beta1^t)/sqrt(1-beta2^t), eps=eps/sqrt(1-beta2^t), amsgrad=True)",
            printed="Adam(lr and eps without corrections, amsgrad=True)",
        ),
        _AMSGRAD_IN_OPTAX,
        {"optax": form(largest="corrected")},
    ),
    Case("adamax", {**_ADAM, "eps_placement": "inside"}, _ADAMAX_IN_TORCH, _ADAMAX_IN_OPTAX),
    Case(
        "adamax",
        {**_ADAM, "eps_placement": "outside"},
        _ADAMAX_IN_TORCH,
        _ADAMAX_IN_OPTAX,
        dict.fromkeys(("torch", "optax"), form(eps_placement="inside")),
        plain=FORMULA,
    ),
    Case("adabelief", _ADAM, optax=in_optax("adabelief{(lr, eps=eps, eps_root=eps)}")),
    Case("yogi", _ADAM, optax=_YOGI_IN_OPTAX),
    Case(
        "yogi",
        {**_ADAM, "accumulators": "second", "eps_placement": "uncorrected"},
        optax=_YOGI_IN_OPTAX,
        others={"optax": form(accumulators="both", eps_placement="outside")},
        plain=FORMULA,
    ),
    Case(
        "yogi",
        {**_ADAM, "bias_correction": False},
        optax=_YOGI_IN_OPTAX,
        others={"optax": form(bias_correction=True)},
        plain=FORMULA,
    ),
    Case("adopt", {**_ADAM, "clip": True}, optax=in_optax("contrib.adopt{(lr, eps=eps)}")),
    Case("adopt", {**_ADAM, "clip": False}, optax=in_optax("contrib.adopt({lr, eps=eps, }use_clipping=False)")),
    Case(
        "laprop",
        _ADAM,
        optax=in_optax(
            "chain(scale_by_rms({beta2, eps, eps_in_sqrt=False, }bias_correction{=True}), ema{(beta1)}, scale{(-lr)})"
        ),
    ),
    Case("signsgd", {"lr": 0.003}, optax=in_optax("sign_sgd{(lr)}")),
    Case("signum", {"lr": 0.003}, optax=in_optax("chain(ema({beta, }debias=False), sign_sgd{(lr)})")),
    Case("lion", {"lr": 0.003, "weight_decay": 0.1}, optax=in_optax("lion{(lr, weight_decay=weight_decay)}")),
    Case(
        "rprop",
        {"lr": 0.02},
        in_torch("Rprop({w, lr=lr})"),
        in_optax("rprop{(lr)}"),
        {"optax": Other("every step one gradient later", DelayedByOneStep)},
    ),
    Case(
        "schedule-free-sgd",
        {**_SMALL, "weight_decay": 0.1},
        optax=in_optax("contrib.schedule_free_sgd{(lr, weight_decay=weight_decay)}"),
    ),
    Case(
        "schedule-free-adamw",
        {**_ADAM, "weight_decay": 0.1},
        optax=in_optax("contrib.schedule_free_adamw{(lr, eps=eps, weight_decay=weight_decay)}"),
    ),
    Case(
        "lookahead",
        {"base": Adam(lr=0.02)},
        optax=in_optax("lookahead{(adam(base.lr), sync_period, slow_step_size)}"),
    ),
    Case(
        "lars",
        {**_LARS, "denominator": "sum"},
        optax=_LARS_IN_OPTAX,
        others={"optax": form(denominator="norm")},
        pytorch_optimizer=in_pytorch_optimizer(
            "LARS({w, lr=lr, }momentum=0.9, weight_decay=0.1, trust_coefficient=0.01)"
        ),
    ),
    Case("lars", {**_LARS, "denominator": "norm"}, optax=_LARS_IN_OPTAX),
    Case("lamb", {**_ADAM, "weight_decay": 0.1, "bias_correction": True}, optax=_LAMB_IN_OPTAX),
    Case(
        "lamb",
        {**_ADAM, "eps": 1e-30, "weight_decay": 0.1, "bias_correction": False, "largest_norm": 3.0},
        optax=_LAMB_IN_OPTAX,
        others={"optax": form(bias_correction=True, largest_norm=0.0)},
        pytorch_optimizer=in_pytorch_optimizer(
            "with_constants(Lamb, clamp=3.0)"
            "(w, lr=lr, eps=eps, weight_decay=0.1, weight_decouple=False, adam_debias=True)",
            printed="Lamb(weight_decay=0.1, weight_decouple=False, adam_debias=True, clamp=3.0)",
        ),
    ),
    Case(
        "sam",
        {"base": Adam(lr=0.02, eps=1e-3), "radius": 0.1},
        optax=in_optax(
            "contrib.sam(adam{(base.lr, eps=base.eps), chain(contrib.normalize(), sgd(radius))})", updates=2
        ),
    ),
    Case(
        "ftrl",
        {"lr": 0.02, "l1": 0.0},
        in_torch("Adagrad({w, lr=lr, eps=0.0})"),
        in_optax("adagrad({lr, }0{.0}, eps=0{.0})"),
    ),
    Case(
        "ftrl",
        {"lr": 1.0, "beta": 0.1, "l1": 0.5, "l2": 0.1},
        pytorch_optimizer=in_pytorch_optimizer("FTRL({w, lr=lr, }beta=0.1, lambda_1=0.5, lambda_2=0.1)"),
    ),
    Case(
        "sophia",
        {**_SOPHIA, "renewal": "before", "bias_correction": False},
        optax=_SOPHIA_IN_OPTAX,
        others={"optax": form(renewal="after", bias_correction=True)},
        pytorch_optimizer=in_pytorch_optimizer(
            "SophiaH(w, lr=lr/gamma, p=gamma, eps=eps/gamma, weight_decay=weight_decay*gamma, update_period=interval)",
            printed="SophiaH(p=0.05, weight_decay=0.005000000000000001, step(hessian=exact))",
        ),
    ),
    Case("sophia", {**_SOPHIA, "renewal": "after", "bias_correction": True}, optax=_SOPHIA_IN_OPTAX),
    Case(
        "muon",
        {**_MUON, "form": "ema", "precision": "bfloat16"},
        _MUON_IN_TORCH,
        _MUON_IN_OPTAX,
        {"optax": _MUON_OF_OPTAX},
    ),
    Case(
        "muon",
        {**_MUON, "form": "ema", "precision": "bfloat16", "nesterov": False, "adjust": "rms"},
        in_torch(
            "Muon(w[:2], lr=lr, momentum=0.95, weight_decay=0.1, eps=eps, nesterov=False, "
            'adjust_lr_fn="match_rms_adamw"), AdamW(w[2:], lr=0.01, weight_decay=0.1)',
            printed="Muon(adjust_lr_fn=match_rms_adamw, nesterov=False)",
        ),
        _MUON_IN_OPTAX,
        {"optax": _MUON_OF_OPTAX},
    ),
    Case(
        "muon",
        {**_MUON, "form": "corrected", "precision": "full", "others": _NADAM},
        _MUON_IN_TORCH,
        _MUON_IN_OPTAX,
        {
            "torch": Other(
                "form ema, precision bfloat16",
                lambda rule: replace(rule, form="ema", precision="bfloat16", others=_ADAMW),
            )
        },
    ),
    Case(
        "adafactor",
        {**_ADAFACTOR, "weight_decay": 0.1, "step_size": "bounded", "eps_placement": "clamped"},
        in_torch("Adafactor({w, lr=lr, eps=(eps, 1e-3), }weight_decay=0.1)"),
        absent=IN_SINGLE,
    ),
    Case(
        "adafactor",
        {**_ADAFACTOR, "step_size": "constant", "eps_placement": "added"},
        in_torch("Adafactor{(w, lr=lr, eps=(eps, 1e-3))}"),
        others={"torch": form(step_size="bounded", eps_placement="clamped")},
        pytorch_optimizer=in_pytorch_optimizer(
            "AdaFactor({w, lr=lr, betas=(None, 0.999), }relative_step=False{, eps1=eps, eps2=1e-3, foreach=False})"
        ),
        absent=IN_SINGLE,
    ),
    Case(
        "shampoo",
        {"lr": 0.02, "eps": 0.1, "interval": 1},
        pytorch_optimizer=in_pytorch_optimizer("Shampoo({w, lr=lr, }matrix_eps=0.1)"),
    ),
    Case("shampoo", {"lr": 0.02, "eps": 0.1, "interval": 7, "largest_side": 4}, plain=SHAMPOO),
    *(
        Case(
            "soap",
            {**_ADAM, "weight_decay": 0.1, "interval": 3, "largest_side": longest},
            pytorch_optimizer=in_pytorch_optimizer(
                "SOAP({w, lr=lr, eps=eps, }weight_decay=0.1, precondition_frequency=3, "
                f"max_precondition_dim={longest})"
            ),
        )
        for longest in (1024, 4)
    ),
    Case(
        "prodigy",
        {"lr": 0.5, "weight_decay": 0.1, "bias_correction": False},
        optax=_PRODIGY_IN_OPTAX,
        others={"optax": form(bias_correction=True)},
        plain=FORMULA,
    ),
    Case("prodigy", {"lr": 0.5, "weight_decay": 0.1, "bias_correction": True}, optax=_PRODIGY_IN_OPTAX),
    *(Case("barzilai-borwein", {"form": size}, plain=BARZILAI_BORWEIN) for size in ("long", "short")),
    Case("polyak", {"lr": 0.001}, optax=in_optax("polyak_sgd{(lr)}")),
    Case("newton", {}, plain=NEWTON),
    Case("damped-newton", {"damping": 2.0}, plain=NEWTON),
    Case("l-bfgs", {}, plain=scipy_minimize("L-BFGS-B", ftol=0.0), absent="it has another line search"),
    Case("conjugate-gradient", {}, plain=scipy_minimize("CG")),
)
"""Every rule in every form."""
