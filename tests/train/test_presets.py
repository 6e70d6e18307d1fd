"""The shipped trainings: how little each of them changes."""

import pytest

from optilab.config.load import load
from optilab.config.presets import presets
from optilab.config.section import dump
from optilab.config.training import TrainConfig
from optilab.diagnose import remedies

PRESETS = {preset.name: preset for preset in presets("train")}
BASE = dump(load(TrainConfig, "sigmoid"))
REMEDIES = [preset.name for preset in PRESETS.values() if preset.path.parent.name == "remedies"]


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


@pytest.mark.parametrize("name", sorted({*REMEDIES, *remedies.REMEDIES}))
def test_a_remedy_makes_the_change_of_its_preset(name):
    """Apart from the name and the epochs of the preset."""
    changed, preset = (
        {**dump(load(TrainConfig, *config)), "name": "", "epochs": 0}
        for config in (("sigmoid", remedies.REMEDIES[name].overrides), (name,))
    )
    assert changed == preset
