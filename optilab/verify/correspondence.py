"""Each update rule's counterpart in torch.optim and optax, and the form that each library implements."""

from typing import Any

from optilab.optimize.rules.adam import Adam, Adan
from optilab.optimize.rules.adaptive import Adamax, Yogi
from optilab.optimize.rules.momentum import Prodigy
from optilab.verify.case import NO_SUCH_RULE, Case, Other, form
from optilab.verify.network_cases import layer_cases, matrix_cases
from optilab.verify.references import (
    OneLate,
    barzilai_borwein,
    in_optax,
    in_torch,
    lookahead_path,
    mixture,
    newton,
    printed_formula,
    scipy_minimize,
)

__all__ = ["NO_SUCH_RULE", "cases"]


def _uncorrected_eps(group: dict[str, Any], t: int) -> None:
    group["eps"] = 1e-3 / (1 - 0.999**t) ** 0.5


def _uncorrected(group: dict[str, Any], t: int) -> None:
    """Undo torch's bias correction: by eps for the second moment's root, by lr for both moments."""
    _uncorrected_eps(group, t)
    group["lr"] = 0.02 * (1 - 0.9**t) / (1 - 0.999**t) ** 0.5


def cases() -> tuple[Case, ...]:
    """Every rule in every form. An eps of 1e-3 is large enough for its place to be seen."""
    lr, small, eps = 0.02, 3e-4, 1e-3
    adam = {"lr": lr, "eps": eps}
    adan = {**adam, "weight_decay": 0.1}
    rmsprop = {"lr": 0.01, "eps": eps, "decay": 0.95}
    return (
        Case("sgd", {"lr": small}, in_torch("SGD", lr=small), in_optax("sgd", lambda o, c: o.sgd(small))),
        Case(
            "momentum",
            {"lr": small, "form": "classic"},
            in_torch("SGD", lr=small, momentum=0.9),
            in_optax("sgd(momentum)", lambda o, c: o.sgd(small, 0.9)),
        ),
        Case(
            "momentum",
            {"lr": small, "form": "ema"},
            in_torch("SGD", note="lr=(1-beta)*lr", lr=small * 0.1, momentum=0.9),
            in_optax(
                "chain(ema(debias=False), scale)", lambda o, c: o.chain(o.ema(0.9, debias=False), o.scale(-small))
            ),
        ),
        Case(
            "nesterov",
            {"lr": small, "form": "classic"},
            in_torch("SGD", lr=small, momentum=0.9, nesterov=True),
            in_optax("sgd(nesterov)", lambda o, c: o.sgd(small, 0.9, nesterov=True)),
        ),
        Case(
            "nesterov",
            {"lr": small, "form": "ema"},
            in_torch("SGD", note="lr=(1-beta)*lr", lr=small * 0.1, momentum=0.9, nesterov=True),
            in_optax("sgd((1-beta)*lr, nesterov)", lambda o, c: o.sgd(small * 0.1, 0.9, nesterov=True)),
        ),
        Case(
            "qhm",
            {"lr": small, "beta": 0.9},
            NO_SUCH_RULE,
            in_optax(
                "sgd and ema, mixed",
                lambda o, c: o.chain(mixture(o, 0.7, 0.9), o.scale(-small)),
            ),
        ),
        Case(
            "adagrad",
            {"lr": lr, "eps": eps, "initial_accumulator": 0.1, "eps_placement": "outside"},
            in_torch("Adagrad", lr=lr, eps=eps, initial_accumulator_value=0.1),
            in_optax("adagrad", lambda o, c: o.adagrad(lr, 0.1, eps)),
            other_optax=form({"eps_placement": "inside"}),
        ),
        Case(
            "adagrad",
            {"lr": lr, "eps": eps, "initial_accumulator": 0.1, "eps_placement": "inside"},
            in_torch("Adagrad", lr=lr, eps=eps, initial_accumulator_value=0.1),
            in_optax("adagrad", lambda o, c: o.adagrad(lr, 0.1, eps)),
            other_torch=form({"eps_placement": "outside"}),
        ),
        Case(
            "adagrad",
            {"lr": 1.0, "eps": eps, "eps_placement": "outside", "lr_decay": 0.1},
            in_torch("Adagrad", lr=1.0, eps=eps, lr_decay=0.1),
            in_optax("adagrad(lr/(1 + 0.1*t))", lambda o, c: o.adagrad(lambda t: 1 / (1 + 0.1 * t), 0.0, eps)),
            other_optax=form({"eps_placement": "inside"}),
        ),
        Case(
            "rmsprop",
            {**rmsprop, "eps_placement": "inside"},
            in_torch("RMSprop", lr=0.01, alpha=0.95, eps=eps),
            in_optax("rmsprop", lambda o, c: o.rmsprop(0.01, 0.95, eps)),
            other_torch=form({"eps_placement": "outside"}),
        ),
        Case(
            "rmsprop",
            {**rmsprop, "eps_placement": "outside"},
            in_torch("RMSprop", lr=0.01, alpha=0.95, eps=eps),
            in_optax("rmsprop(eps_in_sqrt=False)", lambda o, c: o.rmsprop(0.01, 0.95, eps, eps_in_sqrt=False)),
        ),
        Case(
            "rmsprop",
            {**rmsprop, "eps_placement": "inside", "initial_accumulator": 1.0},
            in_torch("RMSprop", lr=0.01, alpha=0.95, eps=eps),
            in_optax("rmsprop(initial_scale=1)", lambda o, c: o.rmsprop(0.01, 0.95, eps, initial_scale=1.0)),
            other_torch=form({"eps_placement": "outside", "initial_accumulator": 0.0}),
        ),
        Case(
            "rmsprop",
            {**rmsprop, "eps_placement": "outside", "centered": True, "momentum": 0.5},
            in_torch("RMSprop", lr=0.01, alpha=0.95, eps=eps, centered=True, momentum=0.5),
            in_optax(
                "rmsprop(centered, momentum)",
                lambda o, c: o.rmsprop(0.01, 0.95, eps, eps_in_sqrt=False, centered=True, momentum=0.5),
            ),
        ),
        Case(
            "adadelta",
            {"lr": 1.0, "eps": eps},
            in_torch("Adadelta", lr=1.0, rho=0.9, eps=eps),
            in_optax("adadelta", lambda o, c: o.adadelta(1.0, 0.9, eps)),
        ),
        Case(
            "adam",
            {**adam, "eps_placement": "outside"},
            in_torch("Adam", lr=lr, eps=eps),
            in_optax("adam", lambda o, c: o.adam(lr, eps=eps)),
        ),
        Case(
            "adam",
            {**adam, "eps_placement": "inside"},
            in_torch("Adam", lr=lr, eps=eps),
            in_optax("adam(eps=0, eps_root)", lambda o, c: o.adam(lr, eps=0.0, eps_root=eps)),
            other_torch=form({"eps_placement": "outside"}),
        ),
        Case(
            "adam",
            {**adam, "eps_placement": "added"},
            in_torch("Adam", lr=lr, eps=eps),
            in_optax(
                "chain(scale_by_adam(eps=0), +eps, scale)",
                lambda o, c: o.chain(o.scale_by_adam(eps=0.0), o.stateless(lambda u, _: u + eps), o.scale(-lr)),
            ),
            other_torch=form({"eps_placement": "outside"}),
        ),
        Case(
            "adam",
            {**adam, "eps_placement": "uncorrected"},
            in_torch("Adam", _uncorrected_eps, "eps=eps/sqrt(1-beta2^t)", lr=lr, eps=eps),
            in_optax("adam", lambda o, c: o.adam(lr, eps=eps)),
            other_optax=form({"eps_placement": "outside"}),
        ),
        Case(
            "adamw",
            {**adam, "weight_decay": 0.1},
            in_torch("AdamW", lr=lr, eps=eps, weight_decay=0.1),
            in_optax("adamw", lambda o, c: o.adamw(lr, eps=eps, weight_decay=0.1)),
        ),
        Case(
            "nadam",
            {**adam, "form": "schedule"},
            in_torch("NAdam", lr=lr, eps=eps, momentum_decay=0.004),
            in_optax("nadam", lambda o, c: o.nadam(lr, eps=eps)),
            other_optax=form({"form": "constant"}),
        ),
        Case(
            "nadam",
            {**adam, "form": "constant"},
            in_torch("NAdam", lr=lr, eps=eps, momentum_decay=0.004),
            in_optax("nadam", lambda o, c: o.nadam(lr, eps=eps)),
            other_torch=form({"form": "schedule"}),
        ),
        Case(
            "radam",
            {**adam, "eps_placement": "uncorrected"},
            in_torch("RAdam", lr=lr, eps=eps),
            in_optax("radam", lambda o, c: o.radam(lr, eps=eps)),
            other_optax=form({"eps_placement": "outside"}),
        ),
        Case(
            "radam",
            {**adam, "eps_placement": "outside"},
            in_torch("RAdam", lr=lr, eps=eps),
            in_optax("radam", lambda o, c: o.radam(lr, eps=eps)),
            other_torch=form({"eps_placement": "uncorrected"}),
        ),
        Case(
            "ademamix",
            {**adam, "beta3": 0.99, "weight_decay": 0.1},
            NO_SUCH_RULE,
            in_optax("contrib.ademamix", lambda o, c: c.ademamix(lr, b3=0.99, eps=eps, weight_decay=0.1)),
        ),
        *(
            Case(
                "adan",
                {**adan, "form": own},
                NO_SUCH_RULE,
                in_optax("adan", lambda o, c: o.adan(lr, eps=eps, eps_root=0.0, weight_decay=0.1)),
                other_optax=None if own == "optax" else form({"form": "optax"}),
                plain=None if own == "optax" else printed_formula(Adan(**adan, form=own)),
            )
            for own in ("paper", "no-prox", "optax")
        ),
        Case(
            "amsgrad",
            {**adam, "largest": "raw"},
            in_torch("Adam", lr=lr, eps=eps, amsgrad=True),
            in_optax("amsgrad", lambda o, c: o.amsgrad(lr, eps=eps)),
            other_optax=form({"largest": "corrected"}),
        ),
        Case(
            "amsgrad",
            {**adam, "largest": "corrected"},
            in_torch("Adam", lr=lr, eps=eps, amsgrad=True),
            in_optax("amsgrad", lambda o, c: o.amsgrad(lr, eps=eps)),
            other_torch=form({"largest": "raw"}),
        ),
        Case(
            "amsgrad",
            {**adam, "largest": "raw", "eps_placement": "uncorrected"},
            in_torch("Adam", _uncorrected_eps, "eps=eps/sqrt(1-beta2^t)", lr=lr, eps=eps, amsgrad=True),
            in_optax("amsgrad", lambda o, c: o.amsgrad(lr, eps=eps)),
            other_optax=form({"largest": "corrected", "eps_placement": "outside"}),
        ),
        Case(
            "amsgrad",
            {**adam, "largest": "paper"},
            in_torch("Adam", _uncorrected, "lr and eps without corrections", lr=lr, eps=eps, amsgrad=True),
            in_optax("amsgrad", lambda o, c: o.amsgrad(lr, eps=eps)),
            other_optax=form({"largest": "corrected"}),
        ),
        Case(
            "adamax",
            {**adam, "eps_placement": "inside"},
            in_torch("Adamax", lr=lr, eps=eps),
            in_optax("adamax", lambda o, c: o.adamax(lr, eps=eps)),
        ),
        Case(
            "adamax",
            {**adam, "eps_placement": "outside"},
            in_torch("Adamax", lr=lr, eps=eps),
            in_optax("adamax", lambda o, c: o.adamax(lr, eps=eps)),
            other_torch=form({"eps_placement": "inside"}),
            other_optax=form({"eps_placement": "inside"}),
            plain=printed_formula(Adamax(**adam, eps_placement="outside")),
        ),
        Case(
            "adabelief",
            adam,
            NO_SUCH_RULE,
            in_optax("adabelief", lambda o, c: o.adabelief(lr, eps=eps, eps_root=eps)),
        ),
        Case("yogi", adam, NO_SUCH_RULE, in_optax("yogi", lambda o, c: o.yogi(lr, eps=eps))),
        Case(
            "yogi",
            {**adam, "accumulators": "second", "eps_placement": "uncorrected"},
            NO_SUCH_RULE,
            in_optax("yogi", lambda o, c: o.yogi(lr, eps=eps)),
            other_optax=form({"accumulators": "both", "eps_placement": "outside"}),
            plain=printed_formula(Yogi(lr=lr, eps=eps, accumulators="second", eps_placement="uncorrected")),
        ),
        Case(
            "yogi",
            {**adam, "bias_correction": False},
            NO_SUCH_RULE,
            in_optax("yogi", lambda o, c: o.yogi(lr, eps=eps)),
            other_optax=form({"bias_correction": True}),
            plain=printed_formula(Yogi(lr=lr, eps=eps, bias_correction=False)),
        ),
        Case(
            "adopt",
            {**adam, "clip": True},
            NO_SUCH_RULE,
            in_optax("contrib.adopt", lambda o, c: c.adopt(lr, eps=eps)),
        ),
        Case(
            "adopt",
            {**adam, "clip": False},
            NO_SUCH_RULE,
            in_optax("contrib.adopt(use_clipping=False)", lambda o, c: c.adopt(lr, eps=eps, use_clipping=False)),
        ),
        Case(
            "laprop",
            adam,
            NO_SUCH_RULE,
            in_optax(
                "chain(scale_by_rms(bias_correction), ema, scale)",
                lambda o, c: o.chain(
                    o.scale_by_rms(0.999, eps, eps_in_sqrt=False, bias_correction=True), o.ema(0.9), o.scale(-lr)
                ),
            ),
        ),
        Case("signsgd", {"lr": 0.003}, NO_SUCH_RULE, in_optax("sign_sgd", lambda o, c: o.sign_sgd(0.003))),
        Case(
            "signum",
            {"lr": 0.003},
            NO_SUCH_RULE,
            in_optax(
                "chain(ema(debias=False), sign_sgd)",
                lambda o, c: o.chain(o.ema(0.9, debias=False), o.sign_sgd(0.003)),
            ),
        ),
        Case(
            "lion",
            {"lr": 0.003, "weight_decay": 0.1},
            NO_SUCH_RULE,
            in_optax("lion", lambda o, c: o.lion(0.003, weight_decay=0.1)),
        ),
        Case(
            "rprop",
            {"lr": lr},
            in_torch("Rprop", lr=lr),
            in_optax("rprop", lambda o, c: o.rprop(lr)),
            other_optax=Other("every step one gradient later", OneLate),
        ),
        Case(
            "schedule-free-sgd",
            {"lr": small, "weight_decay": 0.1},
            NO_SUCH_RULE,
            in_optax(
                "contrib.schedule_free_sgd",
                lambda o, c: c.schedule_free_sgd(small, weight_decay=0.1),
            ),
        ),
        Case(
            "schedule-free-adamw",
            {**adam, "weight_decay": 0.1},
            NO_SUCH_RULE,
            in_optax(
                "contrib.schedule_free_adamw",
                lambda o, c: c.schedule_free_adamw(lr, eps=eps, weight_decay=0.1),
            ),
        ),
        Case(
            "lookahead",
            {"base": Adam(lr=lr)},
            NO_SUCH_RULE,
            lookahead_path(),
        ),
        *layer_cases(),
        *matrix_cases(),
        Case(
            "prodigy",
            {"lr": 0.5, "weight_decay": 0.1, "bias_correction": False},
            NO_SUCH_RULE,
            in_optax("contrib.prodigy", lambda o, c: c.prodigy(0.5, weight_decay=0.1)),
            other_optax=form({"bias_correction": True}),
            plain=printed_formula(Prodigy(lr=0.5, weight_decay=0.1)),
        ),
        Case(
            "prodigy",
            {"lr": 0.5, "weight_decay": 0.1, "bias_correction": True},
            NO_SUCH_RULE,
            in_optax("contrib.prodigy", lambda o, c: c.prodigy(0.5, weight_decay=0.1)),
        ),
        *(
            Case("barzilai-borwein", {"form": size}, NO_SUCH_RULE, NO_SUCH_RULE, plain=barzilai_borwein(size))
            for size in ("long", "short")
        ),
        Case(
            "polyak",
            {"lr": 0.001},
            NO_SUCH_RULE,
            in_optax("polyak_sgd", lambda o, c: o.polyak_sgd(0.001), needs="value"),
        ),
        Case("newton", {}, NO_SUCH_RULE, NO_SUCH_RULE, plain=newton(None)),
        Case("damped-newton", {"damping": 2.0}, NO_SUCH_RULE, NO_SUCH_RULE, plain=newton(2.0)),
        Case(
            "l-bfgs",
            {},
            "it has another line search",
            "it has another line search",
            plain=scipy_minimize("L-BFGS-B", {"ftol": 0.0}),
        ),
        Case("conjugate-gradient", {}, NO_SUCH_RULE, NO_SUCH_RULE, plain=scipy_minimize("CG", {})),
    )
