"""The JSON Schema of configs: shipped as the code makes it, agreeing with the loader on presets and on drawn trees."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from optilab.config import SCHEMAS
from optilab.config.keys import keys_of, schema_file, schema_text
from optilab.config.load import load
from optilab.config.presets import presets
from optilab.config.section import schema_for
from optilab.config.tree import Tree, decimal
from optilab.errors import OptilabError
from tests.kit.command import ROOT


@pytest.fixture(scope="module")
def validators():
    return {kind: Draft202012Validator(json.loads(schema_text(kind))) for kind in SCHEMAS}


def as_an_editor_reads(tree):
    """A tree of YAML 1.2, in which `1e-3` is a number."""
    if isinstance(tree, dict):
        return {key: as_an_editor_reads(value) for key, value in tree.items()}
    return [as_an_editor_reads(value) for value in tree] if isinstance(tree, list) else decimal(tree)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_is_shipped(kind, optilab, validators):
    Draft202012Validator.check_schema(validators[kind].schema)
    assert optilab("config", "schema", kind).stdout == schema_text(kind)
    assert optilab("config", "schema", kind, "--quiet").stdout.strip() == str(schema_file(kind))


@pytest.mark.parametrize("preset", presets(), ids=lambda preset: f"{preset.kind} {preset.name}")
def test_preset_and_its_copy_name_the_schema(preset, validators, tmp_path, optilab):
    text = preset.path.read_text()
    assert not list(validators[preset.kind].iter_errors(as_an_editor_reads(Tree.read(text.encode(), "a").values)))
    line = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.splitlines()[0])
    assert (preset.path.parent / line[1]).resolve() == schema_file(preset.kind).resolve()
    optilab("config", "cp", f"{preset.kind}/{preset.name}", "copy.yaml")
    copied = (tmp_path / "copy.yaml").read_text()
    assert copied.splitlines()[0].partition("=")[2] == str(schema_file(preset.kind))
    assert copied.splitlines()[1:] == text.splitlines()[1:]


BASES = {
    "train": {"optimizer": {"name": "sgd", "lr": 0.1}, "model": {"hidden": [8]}, "data": {}},
    "optimize": {"algo": {"name": "adam"}, "function": "ravine"},
    "sweep": {"config": {"optimizer": "sgd"}, "seeds": 2},
    "remedy": {"config": "relu"},
    "benchmark": {"config": ["relu"], "algos": ["sgd", "adam"]},
    "race": {},
    "check": {"checks": [{"name": "a", "train": "relu"}]},
}
VALUES = [None, True, 0, -1, 3, 0.5, "soon", "sgd", [], [3], {}, {"name": "adam"}, {"a": 1}]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(BASES)).flatmap(lambda kind: st.tuples(st.just(kind), st.sampled_from(keys_of(kind)))),
       st.sampled_from(VALUES))  # fmt: skip
def test_schema_refuses_no_tree_that_the_loader_takes(chosen, value):
    """What depends on several keys at once is checked by the loader alone."""
    kind, key = chosen
    tree = json.loads(json.dumps(BASES[kind]))
    *above, last = key.key.split(".")
    node = tree
    for part in above:
        inner = node.get(part)
        inner = inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], dict) else inner
        node[part] = node = inner if isinstance(inner, dict) else {"name": key.of} if key.of else {}
    node[last] = value
    try:
        load(schema_for(kind), json.loads(json.dumps(tree)))
    except OptilabError:
        return
    validator = Draft202012Validator(json.loads(schema_text(kind)))
    assert not list(validator.iter_errors(as_an_editor_reads(tree)))


def test_every_key_has_a_description_and_a_default():
    for kind in SCHEMAS:
        for key in keys_of(kind):
            assert key.meaning, key
            assert key.type
            assert key.default or key.type in ("section", "mapping")


def test_claims_of_the_docs_agree(validators):
    tree = Tree.read((ROOT / "docs" / "claims.yaml").read_bytes(), "claims.yaml").values
    assert not list(validators["check"].iter_errors(as_an_editor_reads(tree)))
