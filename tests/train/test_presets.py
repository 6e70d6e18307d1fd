"""The shipped trainings: each tells what it is, how it is run and how little it changes."""

import pytest

from optilab.config.load import dump, load
from optilab.config.presets import presets
from optilab.config.schema.train import TrainConfig

PRESETS = {preset.name: preset for preset in presets("train")}
BASE = dump(load(TrainConfig, "sigmoid"))
FREE = {"kitchen-sink", "deep"}  # everything at once; a hundred layers for thirty epochs


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_itself_in_one_line_and_gives_its_command(name):
    lines = PRESETS[name].path.read_text(encoding="utf-8").splitlines()
    assert len(PRESETS[name].title) <= 40, "config ls would break the line"
    assert lines[1] == f"# optilab train --config {name}.yaml"
    assert load(TrainConfig, name).name == name.replace("/", "-")


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"sigmoid"} - FREE))
def test_a_remedy_is_one_change_of_the_model_or_of_the_training(name):
    config = dump(load(TrainConfig, name))
    changed = {key for key in BASE if config[key] != BASE[key]} - {"name", "model"}
    changed |= {f"model.{key}" for key in BASE["model"] if config["model"][key] != BASE["model"][key]}
    study = {"model.hidden", "model.init"} if name.startswith("published/") else set()
    assert len(changed - study) <= 1
    assert changed


def test_the_deep_network_is_a_hundred_layers_and_one_normalisation():
    config = load(TrainConfig, "deep")
    assert config.model.hidden == (128,) * 100
    base = load(TrainConfig, "sigmoid")
    kept = config.model.model_copy(update={"hidden": base.model.hidden, "norm": base.model.norm})
    assert kept == base.model
    assert config.optimizer == base.optimizer
