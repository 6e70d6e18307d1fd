"""The rules for networks and their counterparts: layer by layer on functions, for matrices on a problem of matrices."""

from dataclasses import replace

from optilab.optimize.rules.adam import Adam, AdamW, NAdam
from optilab.verify import references
from optilab.verify.case import NO_SUCH_RULE, Case, Other, form
from optilab.verify.matrices import in_optax, in_pytorch_optimizer, in_torch, shampoo

IN_SINGLE = "it computes the share of the newest square in single precision"


def layer_cases() -> tuple[Case, ...]:
    """LARS, LAMB, SAM, FTRL and Sophia in every form that a library has."""
    lr, eps = 0.02, 1e-3
    adam = {"lr": lr, "eps": eps}
    sophia = {**adam, "gamma": 0.05, "weight_decay": 0.1, "interval": 3}
    sophia_in_optax = references.sophia_in_optax(
        lr, b1=0.96, b2=0.99, eps=eps, gamma=0.05, weight_decay=0.1, update_interval=3
    )
    return (
        Case(
            "lars",
            {"lr": 1.0, "trust": 0.01, "weight_decay": 0.1, "denominator": "sum"},
            NO_SUCH_RULE,
            references.in_optax("lars", lambda o, c: o.lars(1.0, 0.1, trust_coefficient=0.01)),
            other_optax=form({"denominator": "norm"}),
            also={
                "pytorch_optimizer": references.in_pytorch_optimizer(
                    "LARS", lr=1.0, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01
                )
            },
        ),
        Case(
            "lars",
            {"lr": 1.0, "trust": 0.01, "weight_decay": 0.1, "denominator": "norm"},
            NO_SUCH_RULE,
            references.in_optax("lars", lambda o, c: o.lars(1.0, 0.1, trust_coefficient=0.01)),
        ),
        Case(
            "lamb",
            {**adam, "weight_decay": 0.1, "bias_correction": True},
            NO_SUCH_RULE,
            references.in_optax("lamb", lambda o, c: o.lamb(lr, eps=eps, weight_decay=0.1)),
        ),
        Case(
            "lamb",
            {**adam, "eps": 1e-30, "weight_decay": 0.1, "bias_correction": False, "largest_norm": 3.0},
            NO_SUCH_RULE,
            references.in_optax("lamb", lambda o, c: o.lamb(lr, eps=1e-30, weight_decay=0.1)),
            other_optax=form({"bias_correction": True, "largest_norm": 0.0}),
            also={
                "pytorch_optimizer": references.in_pytorch_optimizer(
                    "Lamb",
                    {"clamp": 3.0},
                    lr=lr,
                    eps=1e-30,
                    weight_decay=0.1,
                    weight_decouple=False,
                    adam_debias=True,
                )
            },
        ),
        Case(
            "sam",
            {"base": Adam(lr=lr, eps=eps), "radius": 0.1},
            NO_SUCH_RULE,
            references.sam_in_optax(lr, 0.1),
        ),
        Case(
            "ftrl",
            {"lr": lr, "l1": 0.0},
            references.in_torch("Adagrad", lr=lr, eps=0.0),
            references.in_optax("adagrad(0, eps=0)", lambda o, c: o.adagrad(lr, 0.0, 0.0)),
        ),
        Case(
            "ftrl",
            {"lr": 1.0, "beta": 0.1, "l1": 0.5, "l2": 0.1},
            NO_SUCH_RULE,
            NO_SUCH_RULE,
            also={
                "pytorch_optimizer": references.in_pytorch_optimizer(
                    "FTRL", lr=1.0, beta=0.1, lambda_1=0.5, lambda_2=0.1
                )
            },
        ),
        Case(
            "sophia",
            {**sophia, "renewal": "before", "bias_correction": False},
            NO_SUCH_RULE,
            sophia_in_optax,
            other_optax=form({"renewal": "after", "bias_correction": True}),
            also={
                "pytorch_optimizer": references.sophia_in_pytorch_optimizer(
                    3, lr=lr / 0.05, p=0.05, eps=eps / 0.05, weight_decay=0.1 * 0.05
                )
            },
        ),
        Case(
            "sophia",
            {**sophia, "renewal": "after", "bias_correction": True},
            NO_SUCH_RULE,
            sophia_in_optax,
        ),
    )


def matrix_cases() -> tuple[Case, ...]:
    """Every rule for matrices in every form that a library has."""
    lr, tiny = 0.02, 1e-30
    others = AdamW(lr=0.01, weight_decay=0.1)
    muon = {"lr": lr, "eps": tiny, "weight_decay": 0.1, "matrices": "all", "others": others}
    torch_muon = in_torch(
        "Muon, AdamW for the bias",
        lambda o, w: (
            o.Muon(w[:2], lr=lr, momentum=0.95, weight_decay=0.1, eps=tiny),
            o.AdamW(w[2:], lr=0.01, weight_decay=0.1),
        ),
    )
    torch_rms = in_torch(
        "Muon(adjust_lr_fn=match_rms_adamw, nesterov=False)",
        lambda o, w: (
            o.Muon(
                w[:2],
                lr=lr,
                momentum=0.95,
                weight_decay=0.1,
                eps=tiny,
                nesterov=False,
                adjust_lr_fn="match_rms_adamw",
            ),
            o.AdamW(w[2:], lr=0.01, weight_decay=0.1),
        ),
    )
    optax_muon = in_optax(
        "contrib.muon",
        lambda o, c: c.muon(lr, eps=tiny, weight_decay=0.1, adam_learning_rate=0.01),
        transposed=True,
    )
    optax_others = NAdam(lr=0.01, eps=tiny, form="constant")
    of_optax = Other(
        "form corrected, precision full, NAdam for the bias",
        lambda rule: replace(
            rule, form="corrected", precision="full", nesterov=True, adjust="original", others=optax_others
        ),
    )
    rate, eps = 0.005, 1e-3
    torch_adafactor = in_torch(
        "Adafactor(weight_decay=0.1)",
        lambda o, w: (o.Adafactor(w, lr=rate, eps=(eps, 1e-3), weight_decay=0.1),),
    )
    plain = in_torch("Adafactor", lambda o, w: (o.Adafactor(w, lr=rate, eps=(eps, 1e-3)),))
    further = in_torch(
        "AdaFactor(relative_step=False)",
        lambda o, w: (
            o.AdaFactor(w, lr=rate, betas=(None, 0.999), relative_step=False, eps1=eps, eps2=1e-3, foreach=False),
        ),
        module="pytorch_optimizer",
    )
    return (
        Case(
            "muon",
            {**muon, "form": "ema", "precision": "bfloat16"},
            torch_muon,
            optax_muon,
            other_optax=of_optax,
        ),
        Case(
            "muon",
            {**muon, "form": "ema", "precision": "bfloat16", "nesterov": False, "adjust": "rms"},
            torch_rms,
            optax_muon,
            other_optax=of_optax,
        ),
        Case(
            "muon",
            {**muon, "form": "corrected", "precision": "full", "others": optax_others},
            torch_muon,
            optax_muon,
            other_torch=Other(
                "form ema, precision bfloat16",
                lambda rule: replace(rule, form="ema", precision="bfloat16", others=others),
            ),
        ),
        Case(
            "adafactor",
            {"lr": rate, "eps": eps, "weight_decay": 0.1, "step_size": "bounded", "eps_placement": "clamped"},
            torch_adafactor,
            IN_SINGLE,
        ),
        Case(
            "adafactor",
            {"lr": rate, "eps": eps, "step_size": "constant", "eps_placement": "added"},
            plain,
            IN_SINGLE,
            other_torch=form({"step_size": "bounded", "eps_placement": "clamped"}),
            also={"pytorch_optimizer": further},
        ),
        Case(
            "shampoo",
            {"lr": lr, "eps": 0.1, "interval": 1},
            NO_SUCH_RULE,
            NO_SUCH_RULE,
            also={"pytorch_optimizer": in_pytorch_optimizer("Shampoo", lr=lr, matrix_eps=0.1)},
        ),
        Case(
            "shampoo",
            {"lr": lr, "eps": 0.1, "interval": 7, "largest_side": 4},
            NO_SUCH_RULE,
            NO_SUCH_RULE,
            plain=shampoo(lr, 0.1, 7, 4),
        ),
        *(
            Case(
                "soap",
                {"lr": lr, "eps": eps, "weight_decay": 0.1, "interval": 3, "largest_side": longest},
                NO_SUCH_RULE,
                NO_SUCH_RULE,
                also={
                    "pytorch_optimizer": in_pytorch_optimizer(
                        "SOAP",
                        lr=lr,
                        eps=eps,
                        weight_decay=0.1,
                        precondition_frequency=3,
                        max_precondition_dim=longest,
                    )
                },
            )
            for longest in (1024, 4)
        ),
    )
