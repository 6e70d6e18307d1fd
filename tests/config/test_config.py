"""YAML, overrides and presets to one value; every key documented, every shipped config good."""

import copy
import os
import re
from dataclasses import replace

import pytest

from optilab.config import presets, yaml
from optilab.config.fields import SECTION, describe, schema_for
from optilab.config.load import command_of, load, override_from_text, to_yaml
from optilab.config.optimize import OptimizeConfig
from optilab.config.presets import KINDS
from optilab.config.training import MOVED, TrainConfig, changed_keys, digest
from optilab.errors import ConfigError, UsageError
from optilab.optimize import RULES

ALL = presets.presets()


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: f"{preset.kind}/{preset.name}")
def test_every_preset_is_good_and_tells_its_story(preset):
    config = load(schema_for(preset.kind), preset.name)
    lines = preset.path.read_text().splitlines()
    assert len(preset.title) > 20
    assert f"optilab {preset.kind} --config {preset.name}.yaml" in lines[2]
    assert config == load(schema_for(preset.kind), str(preset.path))


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: f"{preset.kind}/{preset.name}")
def test_a_resolved_config_reads_back_as_itself(preset, tmp_path):
    schema = schema_for(preset.kind)
    config = load(schema, preset.name)
    (tmp_path / "config.yaml").write_bytes(to_yaml(config))
    again = load(schema, str(tmp_path / "config.yaml"))
    assert again == config
    if isinstance(config, TrainConfig):
        assert digest(again) == digest(config)
        assert changed_keys(config, again) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_documented(kind):
    for key in describe(schema_for(kind)):
        assert key.meaning, f"{key.key} has no meaning"
        assert key.type
        assert key.default or key.type == SECTION


@pytest.mark.parametrize(
    ("written", "read"),
    [("1e-3", 1e-3), ("1E5", 1e5), ("1e+3", 1e3), ("1.0e3", 1e3), ("3", 3.0), ('"0.1"', 0.1), (".5", 0.5)],
)
def test_numbers_that_yaml_1_1_reads_as_text(written, read, tmp_path):
    (tmp_path / "c.yaml").write_text(f"algo: {{name: sgd, lr: {written}}}\n")
    assert load(OptimizeConfig, str(tmp_path / "c.yaml")).algo[0].lr == read


def test_quotes_do_not_make_a_list_text():
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, "sigmoid.yaml", [override_from_text("--set", "name=[1]")])
    assert [problem.message for problem in caught.value.problems] == ["expected text, got [1]"]


def test_all_problems_at_once_each_with_its_line(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(
        "name: no\nmodel:\n  activaton: relu\n  hidden: [128, 0]\n"
        "optimizer:\n  name: sgd\n  lr: -0.01\nepochs: 3O\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, str(path), [override_from_text("--set", "seed=1.5")])
    said = {(p.where.rpartition("/")[2], p.key): p.message for p in caught.value.problems}
    assert said["my.yaml:1", "name"] == 'expected text, got false; put quotes around it: "no"'
    assert said["my.yaml:3", "model.activaton"] == 'unknown key; did you mean "activation"?'
    assert said["my.yaml:4", "model.hidden[1]"] == "must be at least 1, got 0"
    assert said["my.yaml:7", "optimizer.lr"] == "must be greater than 0, got -0.01; for example 0.01"
    assert said["my.yaml:8", "epochs"] == "expected a whole number from 1 to 1,000,000, got '3O'; for example 300"
    assert said["--set seed", ""] == "expected a whole number >= 0, got 1.5; for example 42"
    assert len(said) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.hidden=[128, 0]", "--set model.hidden: must be at least 1, got 0"),
        ("model.hidden.0=5", "--set model.hidden.0: expected a list, got a mapping"),
        ("optimizer.name=newton", "--set optimizer.name: newton needs the whole Hessian"),
    ],
)
def test_what_was_typed_is_not_blamed_on_the_file(text, said):
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, "sigmoid.yaml", [override_from_text("--set", text)])
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_size: 64\nhidden: [64]", "my.yaml:1: batch_size: unknown key; write data: {batch_size: 64}"),
        (
            "algo: adam\nstart: [1]",
            "my.yaml:2: start: ravine has 2 coordinates, got 1 number; for example start: [-5,-2]",
        ),
        ("optimizer: {type: Adam, lr: 0.1}", "no optimizer is named; write name: adam in the place of type: Adam"),
        (
            "optimizer: {name: sgd, momentum: 0.9}",
            "momentum is another optimizer: write optimizer: {name: momentum, beta: 0.9, form: classic}\n",
        ),
        ("model: {layers: 2}\noptimizer: sgd", "my.yaml:1: model.layers: unknown key; write hidden: [128, 128]"),
        ("layers: 2\noptimizer: sgd", "my.yaml:1: layers: unknown key; write model: {hidden: [128, 128]}"),
        ("algo: [sgd, {name: adam, betas: [0.9, 0.99]}]", "setting 'betas'; write beta1: 0.9, beta2: 0.99"),
        (
            "betas: [0.9, 0.99]\noptimizer: adam",
            "betas: unknown key; write optimizer: {name: adam, beta1: 0.9, beta2: 0.99}",
        ),
        (
            "optimizer: {name: momentum, form: ema}\nmomentum: 0.9",
            "momentum: unknown key; write optimizer: {name: momentum,",
        ),
        ("optimizer: sgd\nnesterov: true", "write optimizer: {name: nesterov}\n"),
        ("optimizer: sgd\nnewton: 3", "my.yaml:2: newton: unknown key; no key is alike"),
        ("optimizer: sgd\nmodel: {activation: [relu, tanh]}", "(--over model.activation=relu,tanh)"),
        (
            "optimizer: sgd\nreplay: {loaders_per_epoch: [1, 2, 3]}",
            "my.yaml:2: replay.loaders_per_epoch: expected",
        ),
        ("optimizer: sgd\nearly_stopping: soon", "(key: value), got 'soon', such as {patience: 1}"),
        ("optimizer: sgd\nearly_stopping: [3]", "(key: value), got [3], such as {patience: 1}"),
        ("optimizer: sgd\nearly_stopping: 3", "(key: value), got 3, such as {patience: 3}"),
        ("optimizer: sgd\ndefaults: [model]", "my.yaml:2: defaults: unknown key; no key is alike, so delete it"),
        ("over: {optimizer.lr: [1, 2]}\nseeds: 3", "my.yaml: config: missing; add config: relu.yaml"),
        ("config: relu\nmetric: {name: val_loss}", "metric: expected text, got a mapping; write val_loss"),
        ("optimizer: {name: sgd, weight_decay: 0.1}", "weight_decay is a key of its own: "),
        (
            "optimizer: sgd\nschedule: {name: cosine, T_max: 9}",
            "cosine has no setting 'T_max'; did you mean \"steps\"?",
        ),
        (
            "optimizer: sgd\nseed: None",
            "my.yaml:2: seed: expected a whole number >= 0, got 'None'; for example 42",
        ),
        (
            'optimizer: sgd\nname: "C:\\Users"',
            "in double quotes a backslash begins an escape; write single quotes",
        ),
        ("algo:\n- adam\n- sdg", "my.yaml:3: algo[1]: unknown optimizer 'sdg'; did you mean \"sgd\"?"),
        ("optimizer: sgd\nname: no", 'expected text, got false; put quotes around it: "no"\n'),
        ("optimizer: sgd\nmodel: {init: he}", "unknown initialization 'he'; did you mean \"kaiming\"?"),
        ("optimizer: sgd\nmodel: {activation: [relu]}", "got ['relu']; write relu"),
        ("optimizer: sgd\nearly_stopping: {patience: 1, metric: val_acc}", 'unknown key; did you mean "monitor"?'),
    ],
)
def test_a_problem_of_a_file_is_answered_as_it_is_written_there(text, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(schema_for(command_of("my.yaml")), "my.yaml")
    assert said in str(caught.value)


BASES = {"train": {"optimizer": "sgd"}, "optimize": {"algo": "adam"}, "sweep": {"config": "relu"}}


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("value", ["soon", [3], {"a": 1}, 2.5, True], ids=repr)
def test_a_value_of_the_wrong_kind_is_refused_in_words_for_every_key(kind, value):
    """Any other exception than a refusal is a bug."""
    schema, refused = schema_for(kind), dict[str, str]()
    for key in {one.key for one in describe(schema)}:
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
    assert all("problem" in text and key.partition(".")[0] in text for key, text in refused.items())
    assert len(refused) > 5


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("{min: 0.1, max: 1}", "my.yaml:3: a range is LOW:HIGH; write optimizer.lr: 0.1:1"),
        ("fast", "expected a number > 0, got 'fast'"),
        ("[0.1, 0.1]", "my.yaml:3: 0.1 is repeated; remove one"),
    ],
)
def test_the_axes_of_a_study_are_checked_with_its_file(axis, said, optilab, tmp_path):
    (tmp_path / "my.yaml").write_text(f"config: relu.yaml\nover:\n  optimizer.lr: {axis}\n")
    assert said in optilab("config", "check", "my.yaml", code=2).stderr
    (tmp_path / "my.yaml").write_text("config: relu.yaml\nover:\n  optimizer.lr: 0.1:1:3:log\n")
    assert optilab("config", "check", "my.yaml").stdout == "my.yaml: ok (sweep)\n"


@pytest.mark.parametrize("command", ["config check", "sweep --dry-run --study"])
def test_a_study_of_several_mistakes_has_one_list_in_the_order_of_its_lines(command, optilab, tmp_path):
    (tmp_path / "my.yaml").write_text(
        "config: relu.yaml\nover:\n  model.activaton: [relu, tanh]\n  optimizer.lrr: 0.1:1\nseeed: 3\n"
    )
    lines = optilab(*command.split(), "my.yaml", code=2).stderr.splitlines()
    assert lines[0] == "optilab: 3 problems in my.yaml"
    assert [re.match(r"  my.yaml:(\d): (\S+): ", line).groups() for line in lines[1:4]] == [
        ("3", "model.activaton"),
        ("4", "optimizer.lrr"),
        ("5", "seeed"),
    ]
    assert lines[4:] == ["Every key is described by: optilab config show sweep"]


def test_a_key_of_another_algorithm_is_refused_with_those_of_this_one():
    with pytest.raises(ConfigError, match=r"algo\.beta1: sgd has no setting .beta1.; it has lr"):
        load(OptimizeConfig, "sgd", [override_from_text("--set", "algo.beta1=0.5")])


def test_an_override_reaches_every_algorithm_of_a_list(tmp_path):
    (tmp_path / "c.yaml").write_text("algo: [sgd, {name: momentum, form: ema}]\n")
    config = load(OptimizeConfig, str(tmp_path / "c.yaml"), [override_from_text("--set", "algo.lr=0.25")])
    assert [rule.lr for rule in config.algo] == [0.25, 0.25]
    assert config.algo[1].form == "ema"


@pytest.mark.parametrize("name", [preset.name for preset in presets.presets("optimize")])
def test_a_rule_means_the_same_wherever_its_name_is_written(name, tmp_path):
    preset = load(OptimizeConfig, name).algo[0]
    (tmp_path / "c.yaml").write_text(f"algo: {name}\n")

    def rule(*texts, config=None, **options):
        return load(OptimizeConfig, config, [override_from_text("--set", text) for text in texts], **options).algo[
            0
        ]

    assert rule(f"algo={name}") == rule(f"algo=[{name}]") == rule(f"algo={{name: {name}}}") == preset
    assert rule(config=str(tmp_path / "c.yaml")) == preset
    assert rule(f"algo.base={name}", "algo.name=lookahead").base == preset
    assert rule(f"algo={{name: {name}, lr: 0.123}}") == replace(preset, lr=0.123)
    assert rule(f"algo={name}", "algo.lr=0.123") == replace(preset, lr=0.123)
    literature = RULES[name]()
    assert rule(f"algo={name}", rules="literature") == literature != preset
    trained = load(TrainConfig, None, [override_from_text("--set", f"optimizer={name}")])
    assert trained.optimizer == literature


def test_a_wrapped_rule_is_changed_without_its_name():
    texts = ("algo=lookahead", "algo.base.lr=0.25", "algo.base.eps=1e-4")
    config = load(OptimizeConfig, None, [override_from_text("--set", text) for text in texts])
    assert config.algo[0].base == replace(RULES["lookahead"]().base, lr=0.25, eps=1e-4)
    with pytest.raises(
        ConfigError, match=r'algo\.base\.lrr: sgd has no setting .lrr.; did you mean "algo.base.lr"'
    ):
        load(OptimizeConfig, None, [override_from_text("--set", t) for t in ("algo=sam", "algo.base.lrr=0.25")])


@pytest.mark.parametrize("text", ["model.hidden.0=5", "model.hidden.1.x=7"])
def test_a_list_of_values_has_no_keys(text):
    with pytest.raises(
        ConfigError, match=r"a list of values has no keys; set all of it, as in --set 'model.hidden="
    ):
        load(TrainConfig, "sigmoid", [override_from_text("--set", item) for item in ("model.hidden=[4, 4]", text)])


@pytest.mark.parametrize("text", ["epochs=1\nseed: 3", "epochs=1\r\nseed: 3", "name=a\rseed: 3"])
def test_a_set_is_one_line(text):
    with pytest.raises(ConfigError, match="expected one value on one line"):
        load(TrainConfig, "sigmoid", [override_from_text("--set", text)])


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("text", ["device: cpu{}seed: 7\n", "a: 1\nthreads: 1 # a note{}seed: 9\n"])
def test_a_line_break_that_no_editor_shows_is_refused(mark, text):
    with pytest.raises(ConfigError) as caught:
        yaml.read(text.format(mark).encode(), "c.yaml")
    (problem,) = caught.value.problems
    assert problem.where == f"c.yaml:{text.count(chr(10))}"
    assert "ends a line in YAML but in no editor" in problem.message
    assert mark not in str(problem)


def test_problems_come_in_the_order_of_the_lines(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "seed: x\nepocs: 3\nmodel:\n  activaton: relu\n  hidden: [0]\noptimizer: {name: sgd, lr: -1}\nnam: a\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, str(path), [override_from_text("--set", "epochs=0")])
    places = [problem.where.rpartition("c.yaml:")[2] for problem in caught.value.problems]
    assert places == ["1", "2", "4", "5", "6", "7", "--set epochs"]


def test_a_letter_that_only_looks_right_is_named():
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, "sigmoid", [override_from_text("--set", "\u0435pochs=3")])
    message = caught.value.problems[0].message
    assert 'did you mean "epochs"? This one has CYRILLIC SMALL LETTER IE (U+0435)' in message


def test_a_path_wins_over_a_preset_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(OptimizeConfig, "adam.yaml").algo[0].lr == 0.2
    (tmp_path / "adam.yaml").write_text("algo: {name: adam, lr: 7}\n")
    assert load(OptimizeConfig, "adam.yaml").algo[0].lr == 7


@pytest.mark.parametrize("key", MOVED)
def test_a_key_that_moved_is_answered_with_its_place(key, tmp_path):
    """In a file with its line, and of `--set`."""
    *sections, last = key.split(".")
    text = f"{last}: null"
    if sections == ["stages"]:
        text = f"stages: [{{layers: 5, {text}}}]"
    elif sections:
        text = f"{sections[0]}: {{{text}}}"
    (tmp_path / "old.yaml").write_text(f"optimizer: sgd\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, str(tmp_path / "old.yaml"))
    (problem,) = caught.value.problems
    assert (problem.where.rpartition("/")[2], problem.message) == ("old.yaml:2", f"moved to {MOVED[key]}")
    if sections != ["stages"]:
        with pytest.raises(ConfigError, match=f"--set {key}: moved to {re.escape(MOVED[key])}"):
            load(TrainConfig, "sigmoid", [override_from_text("--set", f"{key}=1")])


def test_every_moved_key_has_a_place():
    keys = {key.key for key in describe(TrainConfig)}
    assert not keys & set(MOVED)
    assert {place.split(",")[0] for place in MOVED.values()} <= keys


def test_changed_keys_name_old_and_new():
    before = load(TrainConfig, "sigmoid")
    after = load(
        TrainConfig, "sigmoid", [override_from_text("--set", "seed=7"), override_from_text("--set", "epochs=9")]
    )
    assert changed_keys(before, after) == ["seed: 42 -> 7"]  # `epochs` may grow


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\na: 2\n", 2, "given twice, first on line 1; delete one"),
        ("a: {b: 1, b: 2}\n", 1, "given twice"),
        ("on: 1\n", 1, "a key must be text, got true"),
        ("seed: 010\n", 1, "write 10"),
        ("seed: 0x1F\n", 1, "not a plain decimal number"),
        ("name: 2024-01-01\n", 1, "put quotes around it"),
        ("a: &x 1\nb: *x\n", 1, "anchors and aliases"),
        ("a: !!python/name:os.system x\n", 1, "tags"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a:\n\t- 1\n", 2, "indent with spaces"),
        ("- 1\n", 1, "the top level must be a mapping"),
        ("", 1, "the config is empty"),
    ],
)
def test_traps_of_yaml(text, line, said):
    with pytest.raises(ConfigError) as caught:
        yaml.read(text.encode(), "c.yaml")
    assert caught.value.problems[0].where.split(":")[1] == str(line)
    assert said in caught.value.problems[0].message


def test_a_trap_of_yaml_is_reported_with_all_other_problems(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("epochs: 010\n3: 4\nseed: -1\noptimizer: {name: sgd, lr: 0x1, beta: 0.9}\n")
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, str(path))
    assert [(problem.where[-1], problem.key) for problem in caught.value.problems] == [
        ("1", "epochs"),
        ("2", ""),
        ("3", "seed"),
        ("4", "optimizer.lr"),
        ("4", "optimizer.beta"),
    ]


def test_a_pipe_is_named_as_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe or a device"):
        load(TrainConfig, str(tmp_path / "pipe"))


def test_a_control_character_is_refused_with_its_line():
    with pytest.raises(ConfigError) as caught:
        yaml.read(b"epochs: 3\nname: \x1b[31m\n", "c.yaml")
    assert caught.value.problems[0].where == "c.yaml:2"
