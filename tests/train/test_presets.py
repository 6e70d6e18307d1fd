"""The shipped trainings: each tells what it is, how it is run and how little it changes."""

from shutil import copy, copytree

import pytest
import yaml

from optilab.config.load import dump, load
from optilab.config.presets import presets, presets_folder
from optilab.config.training import TrainConfig
from optilab.diagnose.remedies import remedies

PRESETS = {preset.name: preset for preset in presets("train")}
BASE = dump(load(TrainConfig, "sigmoid"))
REMEDIES = [preset.name for preset in PRESETS.values() if preset.is_remedy]


def changes(name):
    config = dump(load(TrainConfig, name))
    changed = {key for key in BASE if config[key] != BASE[key]} - {"name", "model"}
    return changed | {f"model.{key}" for key in BASE["model"] if config["model"][key] != BASE["model"][key]}


def test_a_remedy_is_one_change_of_the_model_or_of_the_training():
    """`kitchen-sink` alone is everything at once."""
    assert {name for name in REMEDIES if len(changes(name)) != 1} == {"kitchen-sink"}


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("optimizers/")])
def test_a_preset_of_a_rule_changes_the_rule_alone(name):
    assert changes(name) == {"optimizer"}
    assert load(TrainConfig, name).optimizer.name == name.removeprefix("optimizers/")


def leaves(tree, path=()):
    """The path of every value, a list being one; of a mapping with a name, that name too."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def without(tree, path):
    rest = {**tree}
    if len(path) > 1:
        rest[path[0]] = without(tree[path[0]], path[1:])
    else:
        del rest[path[0]]
    return rest


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_repeats_no_default(name, tmp_path):
    tree = yaml.safe_load(PRESETS[name].path.read_text())
    config = load(TrainConfig, name)
    file = tmp_path / f"{PRESETS[name].path.stem}.yaml"
    if PRESETS[name].code:
        copy(PRESETS[name].code, tmp_path)
    for path in leaves(tree):
        if (path[-1] == "name" and len(path) > 1) or path == ("optimizer",):
            continue  # the name of a rule is what makes its keys; the optimizer has no default
        file.write_text(yaml.safe_dump(without(tree, path)))
        assert load(TrainConfig, str(file)) != config, f"{'.'.join(path)} is the default"


def test_a_preset_outside_the_remedies_is_not_one(tmp_path, monkeypatch):
    """And a new remedy is one at once."""
    copytree(presets_folder(), tmp_path / "configs")
    monkeypatch.setattr("optilab.config.presets.presets_folder", lambda: tmp_path / "configs")
    text = "# Leaky ReLU on two layers\nmodel: {hidden: [64, 64], activation: leaky-relu}\noptimizer: sgd\n"
    (tmp_path / "configs" / "train" / "leaky.yaml").write_text(text)
    (tmp_path / "configs" / "train" / "remedies" / "softsign.yaml").write_text(
        "# Softsign\nmodel: {activation: softsign}\noptimizer: {name: sgd}\nepochs: 300\n"
    )
    remedies.cache_clear()
    try:
        found = remedies()
    finally:
        remedies.cache_clear()
    assert set(found) - set(REMEDIES) == {"softsign"}
    assert found["softsign"].changes == {"model.activation": "softsign"}
