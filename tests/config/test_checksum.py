"""The checksum by which a study and a checkpoint know a training: it counts what differs from the defaults."""

import json
import random
from dataclasses import field, fields, is_dataclass, make_dataclass

import pytest
from pydantic import create_model

from optilab.config import presets
from optilab.config.keys import keys_of
from optilab.config.load import load
from optilab.config.model import INITS, NORMS
from optilab.config.section import Section, dump
from optilab.config.training import TrainConfig, changeable, digest
from optilab.config.tree import flat, override
from optilab.errors import OptilabError
from optilab.optimize import RULES
from optilab.optimize.schedules import SCHEDULES
from tests.kit.command import RECORDED, ROOT

DEFAULTS = RECORDED / "defaults.json"
SENTENCE = "a default never changes its meaning"
VALUES = ("null", "0", "-0.0", "0.25", "0.5", "1", "2", "[1, 2]", "[[1, 3]]", "[1]", "[]", "{}")
"""Values that some key takes."""
BASES = {
    "stages": "stages=[{layers: 2, epochs: 1}, {layers: 5}]",
    "early_stopping": "early_stopping={patience: 3}",
    "plateau": "plateau={}",
}
"""Sections that are null or empty by default, with what they need."""
NET = """from torch import nn

class CNN(nn.Module):
    def __init__(self, hidden=(128,) * 5, activation="sigmoid", dropout=0.0, bias="all", skip=(), lr=0.01):
        super().__init__()

def make(hidden=(128,) * 5, activation="sigmoid", dropout=0.0, bias="all", skip=(), lr=0.01):
    pass

def sgd(w, g, lr=0.01, beta=0.9, decay=0.0):
    return w - lr * g
"""
OF_USERS = {
    "model": ["hidden=[128]", "activation=relu", "dropout=0.5", "bias=none", "skip=[[1, 2]]", "lr=0.1"],
    "optimizer": ["lr=0.1", "beta=0.5", "decay=0.5"],
}
"""Arguments of a user's code that are named like keys of optilab's own entries, with its defaults."""


def config_of(*texts):
    """The config of `KEY=VALUE` texts, the last first needed; None where one is refused."""
    changes = [override("--set", *text.split("=", 1)) for text in ("optimizer=sgd", *texts)]
    try:
        return load(TrainConfig, None, changes)
    except OptilabError:
        return None


def drawn(folder):
    """Lists of texts: each key of each entry with each value, each argument of a user's code, and mixtures of them."""
    (folder / "net.py").write_text(NET)
    singles = [[]]
    for key in keys_of("train"):
        section = key.key.partition(".")[0]
        base = [BASES[section]] if section in BASES else []
        entry = [f"{key.section}={key.of}"] if key.of else []
        choices = key.choices or (f"{{formula: 'w <- w - {key.of or 'lr'}*g', lr: 0.1}}",)
        singles += [base + entry, *([*base, *entry, f"{key.key}={value}"] for value in (*choices, *VALUES))]
    for key, names in {"model": ("CNN", "make"), "optimizer": ("sgd",)}.items():
        for name in names:
            whole = f"{key}={folder / 'net.py'}:{name}"
            inits = ["init=default", "bias_init=default", "init=kaiming"] if key == "model" else []
            singles += [[whole], *([whole, f"{key}.{text}"] for text in [*OF_USERS[key], *inits])]
    draw = random.Random(0)
    yield from singles
    yield from (draw.choice(singles) + draw.choice(singles) for _ in range(400))


def test_two_configs_that_differ_in_a_key_that_is_not_free_never_share_a_checksum(tmp_path):
    """And those that do not differ do: the checksum is a name of the numbers."""
    checksums, configs = {}, {}
    for texts in drawn(tmp_path):
        if (config := config_of(*texts)) is not None:
            free = changeable(config)
            tree = {key: value for key, value in flat(dump(config)).items() if key not in free}
            numbers = json.dumps(tree, sort_keys=True)
            checksum = digest(config)
            assert checksums.setdefault(numbers, checksum) == checksum, texts
            assert configs.setdefault(checksum, numbers) == numbers, texts
            assert digest(TrainConfig.model_validate(dump(config))) == checksum, texts
    names = {name for tree in configs.values() for key, name in json.loads(tree).items() if key.endswith(".name")}
    assert names >= {*INITS, *NORMS, *SCHEDULES} - {"default", "none", "constant"}
    assert len(names & {*RULES}) > 30
    assert len(configs) > 1000


def later(value):
    """The same value of a later version, where each section, entry and optimizer has one key more."""
    if isinstance(value, Section):
        extra = {"new": (float, 0.5), "new_entry": (object, NORMS["batch"]()), "new_section": (object, None)}
        kind = create_model(type(value).__name__, __base__=type(value), **extra)
        return kind.model_construct(**{key: later(getattr(value, key)) for key in type(value).model_fields})
    if is_dataclass(value):
        new = [("new", float, field(default=0.5, kw_only=True))]
        frozen = type(value).__dataclass_params__.frozen
        kind = make_dataclass("Later", new, bases=(type(value),), frozen=frozen)
        return kind(**{key: later(getattr(value, key)) for key in (item.name for item in fields(value))})
    return tuple(map(later, value)) if isinstance(value, tuple) else value


def test_a_new_key_changes_no_checksum():
    texts = [[f"optimizer={name}"] for name in RULES]
    texts += [[f"model.norm={name}"] for name in NORMS] + [[f"schedule={name}"] for name in SCHEDULES]
    texts += [[f"model.init={name}", f"model.output_init={name}"] for name in INITS] + [
        [text] for text in BASES.values()
    ]
    configs = [config_of(*some) for some in texts]
    configs += [load(TrainConfig, preset.name) for preset in presets.presets() if preset.kind == "train"]
    for config in filter(None, configs):
        assert digest(later(config)) == digest(config), config
        assert digest(later(config).model_copy(update={"new": 0.25})) != digest(config)


def require_same(stored, now):
    changed = {key: (stored[key], now[key]) for key in stored.keys() & now.keys() if stored[key] != now[key]}
    assert not changed, f"{SENTENCE}: {changed}"


def test_a_default_never_changes_its_meaning(recorded):
    """`--accept` adds and removes keys, and changes no default."""
    now = {f"{key.of} {key.key}".strip(): key.default for key in keys_of("train")}
    stored = json.loads(DEFAULTS.read_text())
    require_same(stored, now)
    assert now == json.loads(recorded(DEFAULTS.name, json.dumps(now, indent=0) + "\n"))
    assert SENTENCE in (ROOT / "docs" / "CONTRIBUTING.md").read_text()
    with pytest.raises(AssertionError, match=f"{SENTENCE}: .*'adam optimizer.lr'"):
        require_same({**stored, "adam optimizer.lr": "0.002"}, now)
