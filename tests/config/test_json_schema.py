"""The JSON Schemas of configs: shipped as the code makes them, agreeing with the loader on presets and refusals.

`python -m tests.config.test_json_schema` writes configs/schema/ anew.
"""

import re
from itertools import pairwise

import pytest
import yaml
from jsonschema import Draft202012Validator

from optilab.config import fields
from optilab.config import yaml as strict_yaml
from optilab.config.fields import decimal, schema_for
from optilab.config.load import load
from optilab.config.presets import presets, schema_file
from optilab.errors import ConfigError, UsageError
from tests.pages import ROOT

KINDS = ("optimize", "train", "sweep", "remedy", "race", "check")


def as_an_editor_reads(text):
    """The tree of YAML 1.2, in which `1e-3` is a number."""

    def read(node):
        if isinstance(node, dict):
            return {key: read(value) for key, value in node.items()}
        return [read(value) for value in node] if isinstance(node, list) else decimal(node)

    return read(strict_yaml.read(text if isinstance(text, bytes) else text.encode(), "a file").tree)


@pytest.fixture(scope="module")
def validators():
    return {kind: Draft202012Validator(fields.json_schema(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_valid_and_that_of_the_code(kind, optilab):
    Draft202012Validator.check_schema(fields.json_schema(kind))
    assert schema_file(kind).read_text() == fields.schema_text(kind)
    assert optilab("config", "schema", kind).stdout == fields.schema_text(kind)
    assert optilab("config", "schema", kind, "--quiet").stdout.strip() == str(schema_file(kind))


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: f"{preset.kind} {preset.name}")
def test_every_preset_agrees_with_its_schema_and_names_it(preset, validators, tmp_path, optilab):
    text = preset.path.read_text()
    assert not list(validators[preset.kind].iter_errors(as_an_editor_reads(text)))
    line = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.splitlines()[0])
    assert (preset.path.parent / line[1]).resolve() == schema_file(preset.kind).resolve()
    optilab("config", "cp", f"{preset.kind}/{preset.name}", "copy.yaml")
    copied = (tmp_path / "copy.yaml").read_text()
    assert copied.splitlines()[0].partition("=")[2] == str(schema_file(preset.kind))
    assert copied.splitlines()[1:] == text.splitlines()[1:]


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: f"{preset.kind} {preset.name}")
def test_every_key_of_a_preset_that_a_newcomer_changes_has_a_comment(preset):
    lines = preset.path.read_text().splitlines()
    keys = r"\s*(algo|optimizer|epochs|hidden|activation|init|norm|schedule|stages|skip):"
    bare = [line for above, line in pairwise(lines) if re.match(keys, line) and "#" not in line + above]
    assert not bare


REFUSED = {
    "train": [
        "{}",
        "optimizer: sgdd",
        "optimizer: {name: sgd, lr: -0.01}",
        "optimizer: {name: sgd, beta1: 0.5}",
        "optimizer: sgd\nepochs: 3O",
        "optimizer: sgd\nepochs: 2.5",
        "optimizer: sgd\nepoch: 3",
        "optimizer: sgd\nname: a/b",
        "optimizer: sgd\nmodel: {activaton: relu}",
        "optimizer: sgd\nmodel: {hidden: [0]}",
        "optimizer: sgd\nmodel: {norm: {name: batch, eps: -1}}",
        "optimizer: sgd\ndata: {shuffle: 1}",
        "optimizer: sgd\nexpect: [{metric: val_acc, above: 0.5, confidence: 2}]",
    ],
    "optimize": ["{}", "algo: adm", "algo: []", "algo: {name: adam, lr: fast}", "algo: adam\nnoise: -1"],
    "sweep": ["{}", "config: 3", "config: relu\nseeds: 0", "config: {optimizer: sgdd}"],
    "remedy": ["{}", "config: relu\nonly: []", "config: relu\nover: {}"],
    "race": ["{}", '"on": []\nalgos: [sgd, adam]', '"on": [relu]\nalgos: [sgd]'],
    "check": ["{}", "checks: []", "checks: [{optimize: adam}]", "checks: [{name: a, optimze: adam}]"],
}
ACCEPTED = {
    "train": [
        "optimizer: {name: lookahead, base: adam}",
        "optimizer: {name: my.py:Rule, lr: 1}",
        "optimizer: sgd\nclip_norm: null\nexpect: val_acc > 0.5",
    ],
    "optimize": ["algo: [adam, {name: sgd, lr: 1}]\nfunction: {name: expression, formula: w1^2}\nstart: [1]"],
    "sweep": ["config: relu\nover: {optimizer.lr: 1e-3:1:3:log, model.init: [default]}"],
    "remedy": ["config: relu\nonly: [tanh]\ntune: 5\nexpect: 'as it is: test_acc > 0.1'"],
    "race": ['"on": [relu, {optimizer: sgd}]\nalgos: [sgd, adam]\nbudget: 3'],
    "check": [
        "checks: [{name: a, train: relu, set: {epochs: 1}, expect: [val_acc > 0, {metric: epochs, equals: 1}]}]"
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind in REFUSED for text in REFUSED[kind]])
def test_what_the_loader_refuses_the_schema_refuses(kind, text, validators, tmp_path):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises((ConfigError, UsageError)):
        load(schema_for(kind), str(tmp_path / "my.yaml"))
    assert list(validators[kind].iter_errors(as_an_editor_reads(text)))


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind in ACCEPTED for text in ACCEPTED[kind]])
def test_what_the_loader_accepts_the_schema_accepts(kind, text, validators, tmp_path):
    if "my.py" not in text:
        (tmp_path / "my.yaml").write_text(text)
        load(schema_for(kind), str(tmp_path / "my.yaml"))
    assert not list(validators[kind].iter_errors(as_an_editor_reads(text)))


def test_every_key_has_a_description_and_its_default(validators):
    schema = validators["train"].schema
    for name, key in schema["properties"].items():
        assert key.get("description"), name
        section = name == "model" or "$ref" in key  # which has defaults of its own
        assert name in schema["required"] or "default" in key or section, name
    assert schema["$defs"]["DataConfig"]["properties"]["batch_size"]["default"] == 512


def test_the_claims_of_the_documentation_agree(validators):
    assert not list(validators["check"].iter_errors(yaml.safe_load((ROOT / "docs" / "claims.yaml").read_text())))


if __name__ == "__main__":
    for kind in KINDS:
        path = ROOT / "configs" / "schema" / f"{kind}.schema.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(fields.schema_text(kind))
