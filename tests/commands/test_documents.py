"""What `--json` prints: the keys of all documents, their types and the words of verdicts (recorded/documents.txt).

`pytest tests/commands/test_documents.py --accept` writes the file again. It refuses where a key has gone or has another
type while the `schema_version` of the document is the same.
"""

import json
import re
import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from importlib import import_module

import pytest

from optilab.cli import COMMANDS as COMMAND_NAMES
from tests.kit.command import RECORDED, run
from tests.kit.generated import training
from tests.kit.idx import write_idx_dataset

FILE = RECORDED / "documents.txt"
FILES = {
    "own.py": "import numpy as np\n\ndef sgd(w, g, lr=0.1):\n    return w - lr * g\n",
    "classic.py": "def sgd(w, g, lr=0.1):\n    return w + lr * g\n",
    "other.py": "def sgd(w, g, lr=0.1):\n    return w - lr * g**3\n",
    "slow.py": "def sgd(w, g, lr=0.1):\n    while True: pass\n",
    "wrong.py": "x = 1\n",
}
"""Submissions of every verdict."""
BLOCKS = {block.partition("\n")[0]: block.splitlines() for block in FILE.read_text().split("\n\n")[1:]}
"""The lines of each document: its name, `$ optilab ...`, its keys."""


def collect_documents(folder):
    """The documents of all commands by name, run one after the other in an empty directory."""
    data = write_idx_dataset(folder / "data")
    for name in ("small", "other"):
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\nmodel: {{hidden: [8, 8]}}\ndata: {{dataset: idx, dir: {data}, batch_size: 32}}\n"
            "optimizer: {name: sgd, lr: 0.1}\nthreads: 1\ndevice: cpu\ndtype: float64\n"
        )
    for name, source in FILES.items():
        (folder / name).write_text(source)
    for seed in (1, 2, 3):
        for number, activation in enumerate(("relu", "tanh", "elu")):
            change = f"model.activation={activation}"
            accuracy = (0.5, 0.9, 0.88)[number] + 0.03 * seed * (number - 1)
            training(
                folder / "runs", f"made-{seed}-{activation}", f"seed={seed}", change, accuracies=(0.3, accuracy)
            )
    training(folder / "runs", "rounded", "seed=1", "model.activation=relu", accuracies=(0.3 + 1e-9,))
    documents = defaultdict(list)
    for name, block in BLOCKS.items():
        for line in (line for line in block if line.startswith("$ ")):
            done = run([*shlex.split(line)[2:], "--json"], folder)
            assert done.stdout.count("\n") == 1, f"{line}\n{done.stdout}\n{done.stderr}"
            document = json.loads(done.stdout)
            assert (list(document) == ["schema_version", "error"]) == (name == "error"), document
            documents[name].append(document)
    return documents


# --- keys --------------------------------------------------------------------------------------------------

KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
OPEN = {
    *("asked", "axes", "circumstances", "config", "data", "environment", "equal", "fork", "host", "manifest"),
    *("model", "optimizer", "plateau", "replay", "schedule", "search_space", "settings", "theory", "versions"),
}
"""Objects whose keys are those of a config, of a machine or of what was asked."""
WORDS = {"verdict", "status", "state", "severity"}
"""Keys whose values are words of a list, where none is a sentence."""
DEPTH = 2
"""Levels of objects whose keys are listed; those of WORDS are at every level."""


@dataclass
class Key:
    """What a key of a document may have; of `schema_version` the version."""

    always: bool = True
    kinds: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def line(self, place):
        words = f": {', '.join(sorted(self.words))}" if self.words else ""
        return f"{place}{'' if self.always else '?'} {'|'.join(sorted(self.kinds))}{words}"


def keys_of(name, documents):
    """{place: Key} of a document that was printed several times."""
    keys = defaultdict(Key)

    def visit(place, key, value, depth):
        if depth <= DEPTH or key in WORDS:
            keys[place].kinds.add("null" if value is None else KINDS[type(value)])
        if key in WORDS and isinstance(value, str):
            keys[place].words.add(value)
        if isinstance(value, dict) and key not in OPEN:
            for inner, item in value.items():
                visit(f"{place}.{inner}", inner, item, depth + 1)
        for item in value if isinstance(value, list) else ():
            visit(f"{place}[]", "", item, depth)

    for document in documents:
        for key, value in document.items():
            visit(f"{name}.{key}", key, value, 1)
            # `expect` is of the option of that name alone.
            keys[f"{name}.{key}"].always = key != "expect" and all(key in other for other in documents)
    (version,) = {str(document["schema_version"]) for document in documents}
    keys[f"{name}.schema_version"].kinds = {version}
    for key in keys.values():
        if any(len(word.split()) > 3 for word in key.words):
            key.words = set()
    inside = {re.sub(r"(\[\]|\.[^.\[\]]*)$", "", place) for place in keys}
    return {
        place: key for place, key in keys.items() if place not in inside or len(key.kinds) > 1 or not key.always
    }


def read(lines):
    """The keys of a block."""
    keys = {}
    for line in lines:
        place, optional, kinds, words = re.fullmatch(r"(.*?)(\??) ([\w|]+)(?:: (.*))?", line).groups()
        keys[place] = Key(not optional, set(kinds.split("|")), set(words.split(", ")) if words else set())
    return keys


def incompatible_keys(before, now):
    """The keys of a document that have gone, or have another type or fewer words, in the same version."""
    places = []
    for place, old in before.items():
        new = now.get(place, Key())
        kinds = new.kinds | (old.kinds if new.kinds == {"null"} else {"null"})  # null says nothing of the type
        if not (new.kinds and old.kinds <= kinds and old.words <= new.words):
            places.append(place)
    return [] if any(place.endswith(".schema_version") for place in places) else places


# --- tests -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return collect_documents(tmp_path_factory.mktemp("documents"))


def test_keys_are_those_listed(documents, recorded):
    now = {name: keys_of(name, documents[name]) for name in BLOCKS}
    text = FILE.read_text().partition("\n\n")[0]
    for name, block in BLOCKS.items():
        head = [line for line in block if not line.startswith(f"{name}.")]
        text += "\n\n" + "\n".join([*head, *(key.line(place) for place, key in now[name].items())])
    for name, block in BLOCKS.items():
        broken = incompatible_keys(read(line for line in block if line.startswith(f"{name}.")), now[name])
        assert not broken, f"raise the schema_version of this document, whose keys changed: {broken}"
    assert text + "\n" == recorded(FILE.name, text + "\n")


def test_changed_key_needs_another_version():
    """Negative control."""
    before = {"schema_version": 1, "rows": [{"n": 1}], "n": 1, "verdict": "best"}

    def broken(**changes):
        now = {key: value for key, value in {**before, **changes}.items() if value is not ...}
        return incompatible_keys(keys_of("x", [before]), keys_of("x", [now]))

    assert broken() == broken(more=1) == broken(n=None) == broken(schema_version=2, n=...) == []
    assert broken(n=...) == broken(n="") == ["x.n"]
    assert broken(rows=[{}]) == ["x.rows[].n"]
    assert broken(verdict="worse") == ["x.verdict"]
    keys = keys_of("x", [before, {**before, "m": 1}])
    assert read(key.line(place) for place, key in keys.items()) == keys


def test_every_command_has_a_document():
    """Except for `config schema`, whose output is a schema itself."""
    groups = {name: import_module(f"optilab.commands.{name}") for name in COMMAND_NAMES}
    commands = {
        f"{name} {verb}" if verb else name
        for name, module in groups.items()
        for verb in getattr(module, "PARTS", {"": None})
    }
    assert commands - {"config schema"} <= set(BLOCKS)
