"""What to write in other libraries for each form of each optimizer.

A form is a text such as `adam eps_placement=inside`; its other settings are `SETTINGS`. A call is Python: its names are
those of the library and of the settings, `w` are the weights (`matrices` and `biases`), and `t` is the number of the
step, from 1. `test_reference` runs every call, and docs/optimizers.md prints it.
"""

from dataclasses import replace
from typing import Any

import yaml

from optilab.optimize import RULES
from optilab.optimize.rules import Adam, AdamW, NAdam
from tests.oracles import equations

ADAM = {"lr": 0.02, "eps": 1e-3}  # an eps that is large enough for its place to be seen
DECAYED = {**ADAM, "weight_decay": 0.1}
OTHERS = {"adamw": AdamW(lr=0.01, weight_decay=0.1), "nadam": NAdam(lr=0.01, eps=1e-30, form="constant")}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 3e-4},
    "momentum": {"lr": 3e-4},
    "nesterov": {"lr": 3e-4},
    "qhm": {"lr": 3e-4, "beta": 0.9},
    "adamw": DECAYED,
    "ademamix": {**DECAYED, "beta3": 0.99},
    "adan": DECAYED,
    "adagrad": {"lr": 1.0, "eps": 1e-3},
    "rmsprop": {"lr": 0.01, "eps": 1e-3, "decay": 0.95},
    "adadelta": {"lr": 1.0, "eps": 1e-3},
    "ftrl": {"lr": 1.0},
    "signsgd": {"lr": 0.003},
    "signum": {"lr": 0.003},
    "lion": {"lr": 0.003, "weight_decay": 0.1},
    "rprop": {"lr": 0.02},
    "schedule-free-sgd": {"lr": 3e-4, "weight_decay": 0.1},
    "schedule-free-adamw": DECAYED,
    "lookahead": {"base": Adam(lr=0.02)},
    "sam": {"base": Adam(**ADAM), "radius": 0.1},
    "lars": {"lr": 1.0, "trust": 0.01, "weight_decay": 0.1},
    "lamb": DECAYED,
    "prodigy": {"lr": 0.5, "weight_decay": 0.1},
    "barzilai-borwein": {},
    "polyak": {"lr": 0.001},
    "newton": {},
    "damped-newton": {"damping": 2.0},
    "sophia": {**DECAYED, "gamma": 0.05, "interval": 3},
    "muon": {"lr": 0.02, "eps": 1e-30, "weight_decay": 0.1, "matrices": "all", "others": OTHERS["adamw"]},
    "adafactor": {"lr": 0.005, "eps": 1e-3},
    "shampoo": {"lr": 0.02, "eps": 0.1},
    "soap": {**DECAYED, "interval": 3},
    "l-bfgs": {},
    "conjugate-gradient": {},
}
"""The settings of the comparison that choose no form; those of the others are `ADAM`."""

TORCH = {
    "sgd": "SGD(w, lr=lr)",
    "momentum form=classic": "SGD(w, lr=lr, momentum=beta)",
    "momentum form=ema": "SGD(w, lr=(1-beta)*lr, momentum=beta)",
    "nesterov form=classic": "SGD(w, lr=lr, momentum=beta, nesterov=True)",
    "nesterov form=ema": "SGD(w, lr=(1-beta)*lr, momentum=beta, nesterov=True)",
    "adam eps_placement=outside": "Adam(w, lr=lr, eps=eps)",
    "adam eps_placement=uncorrected": "Adam(w, lr=lr, eps=eps/sqrt(1 - beta2**t))",
    "adamw": "AdamW(w, lr=lr, eps=eps, weight_decay=weight_decay)",
    "nadam form=schedule": "NAdam(w, lr=lr, eps=eps, momentum_decay=momentum_decay)",
    "radam eps_placement=uncorrected": "RAdam(w, lr=lr, eps=eps)",
    "adagrad eps_placement=outside initial_accumulator=0.1": (
        "Adagrad(w, lr=lr, eps=eps, initial_accumulator_value=initial_accumulator)"
    ),
    "adagrad eps_placement=outside lr_decay=0.1": "Adagrad(w, lr=lr, eps=eps, lr_decay=lr_decay)",
    "rmsprop eps_placement=outside": "RMSprop(w, lr=lr, alpha=decay, eps=eps)",
    "rmsprop eps_placement=outside centered=true momentum=0.5": (
        "RMSprop(w, lr=lr, alpha=decay, eps=eps, centered=True, momentum=momentum)"
    ),
    "adadelta": "Adadelta(w, lr=lr, rho=rho, eps=eps)",
    "ftrl beta=0.0 l1=0.0 l2=0.0": "Adagrad(w, lr=lr, eps=0.0)",
    "amsgrad largest=raw": "Adam(w, lr=lr, eps=eps, amsgrad=True)",
    "amsgrad largest=raw eps_placement=uncorrected": "Adam(w, lr=lr, eps=eps/sqrt(1 - beta2**t), amsgrad=True)",
    "amsgrad largest=paper": (
        "Adam(w, lr=lr*(1 - beta1**t)/sqrt(1 - beta2**t), eps=eps/sqrt(1 - beta2**t), amsgrad=True)"
    ),
    "adamax eps_placement=inside": "Adamax(w, lr=lr, eps=eps)",
    "rprop": "Rprop(w, lr=lr)",
    "muon form=ema precision=bfloat16": (
        "Muon(matrices, lr=lr, momentum=beta, weight_decay=weight_decay, eps=eps), "
        "AdamW(biases, lr=others.lr, weight_decay=others.weight_decay)"
    ),
    "muon form=ema precision=bfloat16 nesterov=false adjust=rms": (
        "Muon(matrices, lr=lr, momentum=beta, weight_decay=weight_decay, eps=eps, nesterov=False, "
        "adjust_lr_fn='match_rms_adamw'), AdamW(biases, lr=others.lr, weight_decay=others.weight_decay)"
    ),
    "adafactor step_size=bounded eps_placement=clamped weight_decay=0.1": (
        "Adafactor(w, lr=lr, eps=(eps, 1e-3), weight_decay=weight_decay)"
    ),
}
OPTAX = {
    "sgd": "sgd(lr)",
    "momentum form=classic": "sgd(lr, momentum=beta)",
    "momentum form=ema": "chain(ema(beta, debias=False), scale(-lr))",
    "nesterov form=classic": "sgd(lr, momentum=beta, nesterov=True)",
    "nesterov form=ema": "sgd((1-beta)*lr, momentum=beta, nesterov=True)",
    "qhm": "chain(mixture(nu, beta), scale(-lr))",
    "adam eps_placement=outside": "adam(lr, eps=eps)",
    "adam eps_placement=inside": "adam(lr, eps=0.0, eps_root=eps)",
    "adam eps_placement=added": (
        "chain(scale_by_adam(eps=0.0), stateless(lambda d, w: jax.tree.map(lambda x: x + eps, d)), scale(-lr))"
    ),
    "adamw": "adamw(lr, eps=eps, weight_decay=weight_decay)",
    "nadam form=constant": "nadam(lr, eps=eps)",
    "radam eps_placement=outside": "radam(lr, eps=eps)",
    "ademamix": "contrib.ademamix(lr, b3=beta3, eps=eps, weight_decay=weight_decay)",
    "adan form=optax": "adan(lr, eps=eps, eps_root=0.0, weight_decay=weight_decay)",
    "adagrad eps_placement=inside initial_accumulator=0.1": "adagrad(lr, initial_accumulator, eps)",
    "adagrad eps_placement=inside lr_decay=0.1": "adagrad(lambda t: lr/(1 + lr_decay*t), 0.0, eps)",
    "rmsprop eps_placement=inside": "rmsprop(lr, decay, eps)",
    "rmsprop eps_placement=outside": "rmsprop(lr, decay, eps, eps_in_sqrt=False)",
    "rmsprop eps_placement=inside initial_accumulator=1.0": (
        "rmsprop(lr, decay, eps, initial_scale=initial_accumulator)"
    ),
    "rmsprop eps_placement=outside centered=true momentum=0.5": (
        "rmsprop(lr, decay, eps, eps_in_sqrt=False, centered=True, momentum=momentum)"
    ),
    "adadelta": "adadelta(lr, rho, eps)",
    "ftrl beta=0.0 l1=0.0 l2=0.0": "adagrad(lr, 0.0, eps=0.0)",
    "amsgrad largest=corrected": "amsgrad(lr, eps=eps)",
    "adamax eps_placement=inside": "adamax(lr, eps=eps)",
    "adabelief": "adabelief(lr, eps=eps, eps_root=eps)",
    "yogi accumulators=both eps_placement=outside": "yogi(lr, eps=eps)",
    "adopt clip=true": "contrib.adopt(lr, eps=eps)",
    "adopt clip=false": "contrib.adopt(lr, eps=eps, use_clipping=False)",
    "laprop": "chain(scale_by_rms(beta2, eps, eps_in_sqrt=False, bias_correction=True), ema(beta1), scale(-lr))",
    "signsgd": "sign_sgd(lr)",
    "signum": "chain(ema(beta, debias=False), sign_sgd(lr))",
    "lion": "lion(lr, weight_decay=weight_decay)",
    "schedule-free-sgd": "contrib.schedule_free_sgd(lr, weight_decay=weight_decay)",
    "schedule-free-adamw": "contrib.schedule_free_adamw(lr, eps=eps, weight_decay=weight_decay)",
    "lookahead": "lookahead(adam(base.lr), sync_period, slow_step_size)",
    "sam": "contrib.sam(adam(base.lr, eps=base.eps), chain(contrib.normalize(), sgd(radius)))",
    "lars denominator=norm": "lars(lr, weight_decay, trust_coefficient=trust)",
    "lamb bias_correction=true": "lamb(lr, eps=eps, weight_decay=weight_decay)",
    "prodigy bias_correction=true": "contrib.prodigy(lr, weight_decay=weight_decay)",
    "polyak": "polyak_sgd(lr)",
    "sophia renewal=after bias_correction=true": (
        "contrib.sophia(lr, b1=beta1, b2=beta2, eps=eps, gamma=gamma, weight_decay=weight_decay, "
        "update_interval=interval, hessian_diagonal_fn=exact_diagonal())"
    ),
    "muon form=corrected precision=full others=nadam": (
        "contrib.muon(lr, eps=eps, weight_decay=weight_decay, adam_learning_rate=others.lr)"
    ),
}
PYTORCH_OPTIMIZER = {
    "ftrl beta=0.1 l1=0.5 l2=0.1": "FTRL(w, lr=lr, beta=beta, lambda_1=l1, lambda_2=l2)",
    "lars denominator=sum": "LARS(w, lr=lr, momentum=beta, weight_decay=weight_decay, trust_coefficient=trust)",
    "lamb bias_correction=false largest_norm=3.0 eps=1.0e-30": (
        "type('Lamb', (pytorch_optimizer.Lamb,), {'clamp': largest_norm})"
        "(w, lr=lr, eps=eps, weight_decay=weight_decay, weight_decouple=False, adam_debias=True)"
    ),
    "sophia renewal=before bias_correction=false": (
        "SophiaH(w, lr=lr/gamma, p=gamma, eps=eps/gamma, weight_decay=weight_decay*gamma, update_period=interval)"
    ),
    "adafactor step_size=constant eps_placement=added": (
        "AdaFactor(w, lr=lr, betas=(None, 0.999), relative_step=False, eps1=eps, eps2=1e-3, foreach=False)"
    ),
    "shampoo interval=1": "Shampoo(w, lr=lr, matrix_eps=eps)",
    **dict.fromkeys(
        ("soap largest_side=1024", "soap largest_side=4"),
        "SOAP(w, lr=lr, eps=eps, weight_decay=weight_decay, precondition_frequency=interval, "
        "max_precondition_dim=largest_side)",
    ),
}
EQUATIONS = {
    "adan form=paper": equations.adan,
    "adan form=no-prox": equations.adan,
    "adamax eps_placement=outside": equations.adamax,
    "yogi accumulators=second eps_placement=uncorrected": equations.yogi,
    "yogi bias_correction=false": equations.yogi,
    "prodigy bias_correction=false": equations.prodigy,
    "barzilai-borwein form=long": equations.barzilai_borwein,
    "barzilai-borwein form=short": equations.barzilai_borwein,
    "newton": equations.newton,
    "damped-newton": equations.newton,
    "shampoo interval=7 largest_side=4": equations.shampoo,
    "l-bfgs": equations.line_search,
    "conjugate-gradient": equations.line_search,
}
LIBRARIES = {
    "torch.optim": TORCH,
    "optax": OPTAX,
    "pytorch_optimizer": PYTORCH_OPTIMIZER,
}
COUNTERPARTS: dict[str, dict[str, Any]] = {**LIBRARIES, "equations": EQUATIONS}
FORMS = list(dict.fromkeys(form for calls in COUNTERPARTS.values() for form in calls))


def rule_of(form: str) -> Any:
    """The rule of a form, with the settings of the comparison."""
    name = form.split()[0]
    return RULES[name](**{**SETTINGS.get(name, ADAM), **chosen(form)})


def chosen(form: str) -> dict[str, Any]:
    """The settings that the text of a form states."""
    pairs = (setting.split("=") for setting in form.split()[1:])
    return {key: OTHERS.get(value) or yaml.safe_load(value) for key, value in pairs}


def in_form_of(other: str, form: str) -> Any:
    """The rule of a form, with what another form of it chooses, so that the form is all that is different."""
    rule = rule_of(other)
    return replace(rule_of(form), **{key: getattr(rule, key) for key in {**chosen(form), **chosen(other)}})
