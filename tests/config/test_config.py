"""YAML, overrides and presets to one value; every key documented, every shipped config good."""

import copy
import os
from dataclasses import replace

import pytest

from optilab.config import presets
from optilab.config.keys import keys_of
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.config.section import schema_for, to_yaml
from optilab.config.training import TrainConfig, changed_keys, digest
from optilab.config.tree import Tree, override_from_text
from optilab.errors import ConfigError, UsageError
from optilab.optimize import RULES

ALL = presets.presets()


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: f"{preset.kind}/{preset.name}")
def test_every_preset_tells_its_story_and_reads_back_as_itself(preset, tmp_path):
    schema = schema_for(preset.kind)
    config = load(schema, preset.name)
    lines = preset.path.read_text().splitlines()
    assert len(preset.title) > 20
    assert f"optilab {preset.kind} --config {preset.name}.yaml" in lines[2]
    (tmp_path / "config.yaml").write_bytes(to_yaml(config))
    again = load(schema, str(tmp_path / "config.yaml"))
    assert again == config
    if isinstance(config, TrainConfig):
        assert digest(again) == digest(config)
        assert changed_keys(config, again) == []


@pytest.mark.parametrize(
    ("written", "read"),
    [("1e-3", 1e-3), ("1E5", 1e5), ("1e+3", 1e3), ("1.0e3", 1e3), ("3", 3.0), ('"0.1"', 0.1), (".5", 0.5)],
)
def test_numbers_that_yaml_1_1_reads_as_text(written, read, tmp_path):
    (tmp_path / "c.yaml").write_text(f"algo: {{name: sgd, lr: {written}}}\n")
    assert load(OptimizeConfig, str(tmp_path / "c.yaml")).algo[0].lr == read


BASES = {"train": {"optimizer": "sgd"}, "optimize": {"algo": "adam"}, "sweep": {"config": "relu"}}


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("value", ["soon", [3], {"a": 1}, 2.5, True], ids=repr)
def test_a_value_of_the_wrong_kind_is_refused_in_words_for_every_key(kind, value):
    """Any other exception than a refusal is a bug."""
    schema, refused = schema_for(kind), dict[str, str]()
    for key in {known.key for known in keys_of(kind)}:
        tree = copy.deepcopy(BASES[kind])
        *above, last = key.split(".")
        node = tree
        for part in above:
            node[part] = {"name": node[part]} if isinstance(node.get(part), str) else node.get(part) or {}
            node = node[part]
        node[last] = value
        try:
            load(schema, tree)
        except ConfigError as error:
            refused[key] = str(error)
    assert all(key.partition(".")[0] in text for key, text in refused.items())
    assert len(refused) > 5


def test_a_legend_has_the_rate_after_the_name_or_the_formula():
    formula = {"formula": "w <- w - lr*g/norm(g)", "lr": 0.1}
    algo = [formula, "adam", {"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.2}]
    legend = ["w <- w - lr*g/norm(g) lr 0.1", "adam lr 0.2", "sgd lr 0.1", "sgd lr 0.2"]
    assert load(OptimizeConfig, {"algo": algo}).legend == legend


def test_an_override_reaches_every_algorithm_of_a_list(tmp_path):
    (tmp_path / "c.yaml").write_text("algo: [sgd, {name: momentum, form: ema}]\n")
    config = load(OptimizeConfig, str(tmp_path / "c.yaml"), [override_from_text("algo.lr=0.25")])
    assert [rule.lr for rule in config.algo] == [0.25, 0.25]
    assert config.algo[1].form == "ema"


@pytest.mark.parametrize("name", [preset.name for preset in presets.presets("optimize")])
def test_a_rule_means_the_same_wherever_its_name_is_written(name, tmp_path):
    preset = load(OptimizeConfig, name).algo[0]
    (tmp_path / "c.yaml").write_text(f"algo: {name}\n")

    def rule(*texts, config=None, **options):
        return load(OptimizeConfig, config, [override_from_text(text) for text in texts], **options).algo[0]

    assert rule(f"algo={name}") == rule(f"algo=[{name}]") == rule(f"algo={{name: {name}}}") == preset
    assert rule(config=str(tmp_path / "c.yaml")) == preset
    assert rule(f"algo.base={name}", "algo.name=lookahead").base == preset
    assert rule(f"algo={{name: {name}, lr: 0.123}}") == replace(preset, lr=0.123)
    assert rule(f"algo={name}", "algo.lr=0.123") == replace(preset, lr=0.123)
    literature = RULES[name]()
    assert rule(f"algo={name}", rules="literature") == literature != preset
    trained = load(TrainConfig, None, [override_from_text(f"optimizer={name}")])
    assert trained.optimizer == literature


def test_a_wrapped_rule_is_changed_without_its_name():
    texts = ("algo=lookahead", "algo.base.lr=0.25", "algo.base.eps=1e-4")
    config = load(OptimizeConfig, None, [override_from_text(text) for text in texts])
    assert config.algo[0].base == replace(RULES["lookahead"]().base, lr=0.25, eps=1e-4)
    with pytest.raises(ConfigError, match=r"algo\.base\.lrr: unknown key"):
        load(OptimizeConfig, None, [override_from_text(t) for t in ("algo=sam", "algo.base.lrr=0.25")])


@pytest.mark.parametrize("text", ["model.hidden.0=5", "model.hidden.1.x=7"])
def test_a_list_of_values_has_no_keys(text):
    with pytest.raises(ConfigError, match=r"is a list of values, without keys"):
        load(TrainConfig, "sigmoid", [override_from_text(item) for item in ("model.hidden=[4, 4]", text)])


@pytest.mark.parametrize("text", ["epochs=1\nseed: 3", "epochs=1\r\nseed: 3", "name=a\rseed: 3"])
def test_a_set_is_one_line(text):
    with pytest.raises(ConfigError, match="expected one value"):
        load(TrainConfig, "sigmoid", [override_from_text(text)])


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("text", ["device: cpu{}seed: 7\n", "a: 1\nthreads: 1 # a note{}seed: 9\n"])
def test_a_line_break_that_no_editor_shows_is_refused(mark, text):
    with pytest.raises(ConfigError) as caught:
        Tree.read(text.format(mark).encode(), "c.yaml")
    (problem,) = caught.value.problems
    assert problem.where == f"c.yaml:{text.count(chr(10))}"
    assert "control character" in problem.message
    assert mark not in str(problem)


def test_problems_come_in_the_order_of_the_lines(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "seed: x\nepocs: 3\nmodel:\n  activaton: relu\n  hidden: [0]\noptimizer: {name: sgd, lr: -1}\nnam: a\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, str(path), [override_from_text("epochs=0")])
    places = [problem.where.rpartition("c.yaml:")[2] for problem in caught.value.problems]
    assert places == ["1", "2", "4", "5", "6", "7", "--set epochs"]


def test_a_path_wins_over_a_preset_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(OptimizeConfig, "adam.yaml").algo[0].lr == 0.2
    (tmp_path / "adam.yaml").write_text("algo: {name: adam, lr: 7}\n")
    assert load(OptimizeConfig, "adam.yaml").algo[0].lr == 7


def test_changed_keys_name_old_and_new():
    before = load(TrainConfig, "sigmoid")
    after = load(TrainConfig, "sigmoid", [override_from_text("seed=7"), override_from_text("epochs=9")])
    assert changed_keys(before, after) == ["seed: 42 -> 7"]  # `epochs` may grow


def test_a_pipe_is_named_as_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe or a device"):
        load(TrainConfig, str(tmp_path / "pipe"))


def test_a_control_character_is_refused_with_its_line():
    with pytest.raises(ConfigError) as caught:
        Tree.read(b"epochs: 3\nname: \x1b[31m\n", "c.yaml")
    assert caught.value.problems[0].where == "c.yaml:2"
