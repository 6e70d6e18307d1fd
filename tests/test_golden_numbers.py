"""Golden numbers: rules, test functions, trainings and verdicts are what they were, digit by digit.

`pytest tests/test_golden_numbers.py --accept` writes tests/recorded again, and `git diff` shows what has changed. These
files are no oracle: that a number is right is tested by parity, printed digits, SciPy and R.
"""

import json
import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from optilab.judge.judge import alpha, judge
from optilab.optimize import OBJECTIVES, RULES
from tests.kit.command import run
from tests.kit.contracts import forms, symmetric, walk
from tests.kit.idx import write_idx_dataset

# --- rules -------------------------------------------------------------------------------------------------

STEPS, STORED = 30, (1, 2, 3, 10, 30)


def other_settings(rule, far):
    """The rule with other numbers, no two of them alike; `far` ones make limits and thresholds act."""
    changed = {}
    for number, field in enumerate(fields(rule)):
        value = getattr(rule, field.name)
        if type(value) is int:
            changed[field.name] = (2 if field.name == "largest_side" else 4) if far else 3
        elif field.name == "base":
            changed[field.name] = other_settings(value, far)
        elif type(value) is float and value == 0:
            changed[field.name] = 0.4 + 0.8 * number if far else 0.3 + 0.07 * number
        elif type(value) is float and value < (0.02 if far else 1e-4):
            changed[field.name] = (0.4 if far else 0.02) + 0.01 * number
        elif type(value) is float:
            factor = ((0.3, 0.9) if far else (0.7, 0.5))[number % 2]
            changed[field.name] = value * factor * (1 - 0.01 * number)
    return replace(rule, **changed)


def drawn_steps(shape):
    """(start, gradients of many sizes, Hessians); some gradients are zero, by themselves or all of a step."""
    random = np.random.default_rng(3)
    gradients = random.normal(0, 1, (STEPS, *shape))
    gradients *= 10.0 ** random.integers(-3, 2, (STEPS, *[1] * len(shape)))
    gradients[4], gradients[0].flat[0], gradients[7].flat[0] = 0, 0, 0
    return (
        np.linspace(-0.18, 0.33, math.prod(shape)).reshape(shape),
        gradients,
        symmetric(random, STEPS, shape[-1]),
    )


def paths(rule):
    """The points after the steps STORED; of a rule for matrices one path for each shape."""
    shapes = [(4,)] if rule.weights != "matrices" else [(3, 2), (2, 3), (3,)][: 2 if rule.name == "muon" else 3]
    with np.errstate(all="ignore"):
        found = [walk(rule, *drawn_steps(shape)) for shape in shapes]
    return [points[t - 1].ravel().tolist() for points in found for t in STORED]


ALSO = {"lookahead": {"base": RULES["adamw"](lr=0.1)}, "prodigy": {"d_coef": 20.0}}
"""Settings by rule that have a branch of their own: a base that keeps the point, an estimate that grows."""


def variants(kind):
    """(name, rule): every form, with the usual settings, with others, and with far ones."""
    for rule in [*forms(kind), *([kind(**ALSO[kind.name])] if kind.name in ALSO else [])]:
        form = "".join(f" {key}={value}" for key, value in vars(rule).items() if value != getattr(kind(), key))
        yield f"{kind.name}{form}", rule
        yield f"{kind.name}{form}, other numbers", other_settings(rule, far=False)
        yield f"{kind.name}{form}, far numbers", other_settings(rule, far=True)


def rules():
    """Every rule but the line searches, which are SciPy's."""
    found = {name: rule for kind in RULES.values() for name, rule in variants(kind)}
    return {name: paths(rule) for name, rule in found.items() if "function" not in rule.needs}


# --- test functions ----------------------------------------------------------------------------------------


def functions():
    """Value and gradient at three drawn points of the box. Those of 22 functions were written by hand once."""
    found = {}
    for name, kind in OBJECTIVES.items():
        function = kind()
        low, high = np.array(function.box).T
        points = np.random.default_rng(2).uniform(low, high, (3, len(low)))
        found[name] = [function.value(points).tolist(), *function.gradient(points).tolist()]
    return found


# --- trainings ---------------------------------------------------------------------------------------------

PLAIN = {
    "model": {"hidden": [12, 12], "activation": "tanh"},
    "data": {"dataset": "idx", "dir": "data", "batch_size": 32},
    "optimizer": {"name": "sgd", "lr": 0.3},
    "epochs": 2,
    "dtype": "float64",
    "threads": 1,
    "device": "cpu",
}
KINDS = {
    "plain": {},
    "hold-out": {"data.holdout": 40, "data.drop_last": True},
    "clipped": {"optimizer": "momentum", "clip_norm": 0.05},
    "clipped by value, decayed": {"clip_value": 0.002, "weight_decay": 0.1},
    "scheduled": {"optimizer": "adam", "schedule": "cosine"},
    "scheduled by batches": {"optimizer": "nadam", "schedule": "one-cycle", "schedule_by": "batch"},
    "plateau": {"plateau": {"patience": 0, "threshold": 0.9}, "epochs": 3},
    "staged": {"stages": [{"layers": 1, "epochs": 1}, {"layers": 2}]},
    "dropout": {"model.dropout": 0.3, "model.input_dropout": 0.1},
    "batch norm": {"model.norm": "batch", "model.activation": "relu", "model.init": "kaiming"},
    "skip": {"model.skip": [[1, 2]], "model.norm": "layer", "model.gradient_norm": [1]},
    "biased": {"model.activation": "gelu", "model.bias": "output"},
    "normalized": {"data.normalize": {"mean": 0.3, "std": 0.2}, "data.shuffle": False, "data.images": 100},
    "matrices": {
        "optimizer": {"name": "muon", "precision": "full", "matrices": "all"},
        "model.init": "orthogonal",
    },
    "schedule-free": {"optimizer": "schedule-free-adamw"},
    "second gradient": {"optimizer": {"name": "sam", "radius": 0.3}},
    "curvature": {"curvature": {"images": 50}},
    "own network": {"model": {"name": "net.py:Net", "width": 8}},
}
"""Kinds of training, by what is set."""
NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, shape, classes, width=4):
        super().__init__(nn.Flatten(), nn.Linear(shape[1] * shape[2], width), nn.Tanh(), nn.Linear(width, classes))
"""


def trainings(folder):
    """The rows of each training, and what its last epoch measured in every layer, in double precision."""
    write_idx_dataset(folder / "data", train=150, test=60)
    (folder / "net.py").write_text(NET)
    (folder / "plain.yaml").write_text(json.dumps(PLAIN))
    found = {}
    for name, keys in KINDS.items():
        settings = [f"--set={key}={json.dumps(value)}" for key, value in keys.items()]
        done = run(["train", "plain.yaml", "--json", *settings], folder)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        document = json.loads(done.stdout)
        lines = (folder / document["run"] / "diagnostics.jsonl").read_text().splitlines()
        found[name] = [document["rows"], document["chance"], document.get("curvature"), json.loads(lines[-1])]
    return found


# --- verdicts ----------------------------------------------------------------------------------------------


def outcomes(groups, seeds, spread=0.01, lead=0.0, first=42):
    """Drawn accuracies by group and seed: luck of the seed that all groups have, their own, and a lead of the last."""
    random = np.random.default_rng([groups, seeds])
    common = random.normal(0.8, spread, seeds)
    own = random.normal(0, spread / 2, (groups, seeds))
    own[-1] += lead
    return {f"group {n}": {first + k: float(common[k] + own[n, k]) for k in range(seeds)} for n in range(groups)}


def without(values, **seeds):
    """Without these seeds of the groups that are named by their number: `without(values, g1=[42])`."""
    left_out = {f"group {name[1:]}": set(own) for name, own in seeds.items()}
    return {
        name: {seed: value for seed, value in own.items() if seed not in left_out.get(name, ())}
        for name, own in values.items()
    }


LEAD = outcomes(4, 5, lead=0.03)
TABLES = {
    "equal groups": (outcomes(4, 5), {}),
    "one leads": (LEAD, {}),
    "two groups": (outcomes(2, 6, lead=0.02), {}),
    "ten seeds": (outcomes(3, 10, lead=0.005), {}),
    "against a baseline": (LEAD, {"baseline": "group 1"}),
    "lower is better": (LEAD, {"higher_is_better": False}),
    "looked at before": (LEAD, {"level": alpha(2)}),
    "missing seeds": (without(LEAD, g1=[42, 44], g3=[43]), {}),
    "other seeds": (outcomes(2, 4, lead=0.05) | {"late": outcomes(2, 6, first=90)["group 1"]}, {}),
    "one seed each": (outcomes(3, 1), {}),
    "no outcome of one": (LEAD | {"nothing": {}}, {}),
    "diverged": (LEAD, {"diverged": {"group 2": [42, 43], "group 3": [44]}, "limits": (0.0, 0.82)}),
    "constant difference": ({"a": {1: 0.5, 2: 0.6, 3: 0.7}, "b": {1: 0.6, 2: 0.7, 3: 0.8}}, {}),
    "ties": ({"a": {1: 0.5, 2: 0.5}, "b": {1: 0.5, 2: 0.5}, "c": {1: 0.4, 2: 0.5}}, {}),
}


def verdicts():
    """Every number and word of each table."""
    found = {}
    for name, (values, options) in TABLES.items():
        comparison = judge(values, **options)
        rows = [
            {"key": row.key, "verdict": row.verdict, "diverged": row.diverged}
            | {f"mean {key}": value for key, value in asdict(row.summary).items()}
            | (asdict(row.difference) if row.difference else {})
            for row in comparison.rows
        ]
        found[name] = [comparison.baseline.key, comparison.order, comparison.possible_best, *rows]
    return found


# --- the files ---------------------------------------------------------------------------------------------

PRECISION = {"rules": 1e-9, "functions": 1e-10, "trainings": 1e-9, "verdicts": 1e-6}
"""Largest relative difference: above the rounding of other processors and libraries, below any other change."""
IN_SINGLE = ("soap",)
"""Rules with a decomposition in single precision."""


def rounded(tree):
    """Numbers to twelve digits."""
    if isinstance(tree, float):
        return float(f"{tree:.12g}") if math.isfinite(tree) else str(tree)
    if isinstance(tree, dict):
        return {str(key): rounded(value) for key, value in tree.items()}
    return [rounded(item) for item in tree] if isinstance(tree, list | tuple) else tree


def differences(now, stored, precision, place=""):
    """The places at which two trees differ, numbers by more than the relative precision."""
    if isinstance(now, dict) and isinstance(stored, dict):
        keys = dict.fromkeys([*now, *stored])
        return [
            one for key in keys for one in differences(now.get(key), stored.get(key), precision, f"{place} {key}")
        ]
    if isinstance(now, list) and isinstance(stored, list) and len(now) == len(stored):
        pairs = enumerate(zip(now, stored, strict=True))
        return [one for n, pair in pairs for one in differences(*pair, precision, f"{place} {n}")]
    if isinstance(now, float) and isinstance(stored, float):
        return (
            [] if math.isclose(now, stored, rel_tol=precision, abs_tol=1e-12) else [f"{place}: {stored} -> {now}"]
        )
    return [] if now == stored else [f"{place}: {stored} -> {now}"]


@pytest.mark.parametrize("name", PRECISION)
def test_numbers_are_those_stored(name, recorded, tmp_path):
    made = {"rules": rules, "functions": functions, "verdicts": verdicts, "trainings": lambda: trainings(tmp_path)}
    now = rounded(made[name]())
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in now.items())
    stored = json.loads(recorded(f"{name}.json", "{\n" + ",\n".join(lines) + "\n}\n"))
    assert now.keys() == stored.keys()
    found = {
        key: differences(now[key], stored[key], 1e-5 if key.startswith(IN_SINGLE) else PRECISION[name])
        for key in now
    }
    assert {key: places[:3] for key, places in found.items() if places} == {}


def test_a_changed_number_is_noticed():
    """Negative control."""
    tree = {"a": [1.0, {"b": 2.0, "c": "best"}]}
    assert differences(tree, {"a": [1.0 + 1e-10, {"b": 2.0, "c": "best"}]}, 1e-9) == []
    for other in (
        [1.0 + 1e-8, {"b": 2.0, "c": "best"}],
        [1.0, {"b": 2.0, "c": "worse"}],
        [1.0, {"b": 2.0}],
        [1.0],
    ):
        assert differences(tree, {"a": other}, 1e-9)
