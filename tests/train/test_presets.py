"""The shipped trainings: how little each of them changes."""

from shutil import copytree

import pytest

from optilab.config.load import load
from optilab.config.presets import presets, presets_folder
from optilab.config.section import dump
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
