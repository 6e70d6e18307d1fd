"""What `--json` prints: every document fits its published schema, and every key of it is there.

`python -m tests.verbs.test_documents` writes docs/documents.schema.json and the table of docs/ci.md anew. It refuses
where a key has gone or has another type while the `schema_version` of the document is the same.
"""

import ast
import contextlib
import json
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from optilab.cli import COMMANDS as COMMAND_NAMES
from tests.conftest import _environment
from tests.data.idx import write_idx_dataset
from tests.pages import ROOT
from tests.run import run

FILE = ROOT / "docs" / "documents.schema.json"
PAGE = ROOT / "docs" / "ci.md"
TRAIN = "train small.yaml --epochs 2"
RACE = "race --algo sgd,adam --gradients 20 --budget 2 --repeats 2 --starts 2 --no-cache"
TRAININGS = "race --algo sgd,adam --epochs 1 --budget 1 --seeds 1 --set data.holdout=20"
OWN = "import numpy as np\n\ndef sgd(w, g, lr=0.1):\n    return w - lr * g\n"
COMMANDS: dict[str, list[str]] = {
    "optimize": [
        "optimize --algo sgd,adam --epochs 3",
        "optimize --algo adam --epochs 3 --expect 'f < 1'",
        "optimize --algo sgd --epochs 3 --function x^2 --tune 3 --no-save",
        "optimize --algo sgd --epochs 30 --lr 9 --name path",
    ],
    "train": [
        f"{TRAIN} --name a",
        f"{TRAIN} --name b --expect 'val_acc > 0' --set optimizer.lr=0.2",
        "train --fork a --epochs 3 --set curvature={} --name forked",
        "train small.yaml --epochs 1 --set data.holdout=20 --name held",
        "train small.yaml --epochs 1 --lr 1e38 --name diverged",
    ],
    "train --seeds": [f"{TRAIN} --seeds 2 --name seeds --expect 'val_acc > 0'"],
    "sweep": [
        "sweep small.yaml --epochs 1 --over optimizer.lr=0.1,0.2,0.3 --seeds 2 --name study",
        "sweep small.yaml --epochs 1 --over optimizer.lr=0.1,0.2 --over data.batch_size=16,32 --seeds 2 --confirm 1 "
        "--expect 'val_acc > 0' --name wide",
    ],
    "race": [
        f"{RACE} --function ravine",
        f"{RACE} --function booth --expect 'adam: cost < 1'",
    ],
    "race --on": [
        f"{TRAININGS} --on small.yaml --name race",
        f"{TRAININGS} --on small.yaml,other.yaml --expect 'adam: test_acc > 0'",
    ],
    "remedy": ["remedy small.yaml --only relu --epochs 1 --name remedy --expect 'relu: val_acc > 0'"],
    "remedy --tune": [
        "remedy small.yaml --only relu --epochs 1 --tune 1 --seeds 1 --set data.holdout=20 --expect 'test_acc > 0'"
    ],
    "sweep --dry-run": [
        "sweep small.yaml --epochs 1 --over optimizer.lr=0.1,0.2 --seeds 2 --dry-run",
        f"{TRAININGS} --on small.yaml --dry-run",
        "remedy small.yaml --only relu --epochs 1 --dry-run",
    ],
    "lr": ["lr small.yaml --steps 100", "lr small.yaml --confirm --seeds 1 --epochs 1 --expect 'rate > 0'"],
    "diagnose": ["diagnose a", "diagnose small.yaml"],
    "explain": ["explain adam --step 2"],
    "explain --step 1-2": ["explain adam --step 1-2"],
    "map": [
        "map --algo sgd --x lr=0.01:0.1:4 --y w1=-1:1:4 --epochs 5",
        "map --algo sgd --basins --function himmelblau --epochs 5",
    ],
    "play": ["play --algo sgd --out play.html"],
    "check": ["check a b --expect 'val_acc > 0'", "check a missing --expect 'val_acc > 0'"],
    "report": ["report a b --out report.html", "report study --out study.html"],
    "verify": ["verify --algo sgd"],
    "verify FILE": ["verify own.py:sgd --against sgd", "verify own.py:sgd --against adam"],
    "verify PATTERN": ["verify '*.py' --against sgd"],
    "runs ls": ["runs ls", "runs ls study"],
    "runs show": ["runs show a", "runs show path"],
    "runs show STUDY": ["runs show study"],
    "runs compare": [
        "runs compare a b",
        "runs compare study --pairs",
        "runs compare wide --by optimizer.lr --sample problems",
    ],
    "runs diff": ["runs diff a b"],
    "runs plot": ["runs plot a --out a.png", "runs plot study --out study.png"],
    "runs export": ["runs export study --out study.csv"],
    "runs path": ["runs path a"],
    "runs rm": ["runs rm b --yes"],
    "data ls": ["data ls"],
    "data verify": ["data verify synthetic"],
    "data where": ["data where"],
    "data fetch": ["data fetch synthetic"],
    "config show": ["config show train optimizer"],
    "config show PRESET": ["config show relu"],
    "config cp": ["config cp relu copy.yaml"],
    "config check": ["config check small.yaml"],
    "config ls": ["config ls"],
    "env": ["env"],
    "help": ["help"],
    "help TOPIC": ["help claims"],
    "error": ["optimize --algo adm", "train small.yaml --set optimizer.lrr=1", "runs show nope"],
}
"""Each document and the commands that print it, in an order in which they find what they need."""


def printed(folder: Path) -> dict[str, list[dict]]:
    """The documents of all commands, run one after the other in an empty directory."""
    import shlex

    data = write_idx_dataset(folder / "data")
    for name in ("small", "other"):
        (folder / f"{name}.yaml").write_text(
            f"name: {name}\nmodel: {{hidden: [8, 8]}}\ndata: {{dataset: idx, dir: {data}, batch_size: 32}}\n"
            "optimizer: {name: sgd, lr: 0.1}\nthreads: 1\ndevice: cpu\n"
        )
    (folder / "own.py").write_text(OWN)
    found: dict[str, list[dict]] = {}
    for name, commands in COMMANDS.items():
        for command in commands:
            done = run([*shlex.split(command), "--json"], folder, _environment({}))
            assert done.stdout.count("\n") == 1, f"{command}\n{done.stdout}\n{done.stderr}"
            document = json.loads(done.stdout)
            assert (list(document) == ["schema_version", "error"]) == (name == "error"), document
            found.setdefault(name, []).append(document)
    return found


# --- schemas of values ---------------------------------------------------------------------------------------

KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def schema_of(values: list, depth: int = 0) -> dict:
    """The types of values that were printed; of objects the keys, down to two levels.

    A number that is not finite is null. A key that was null in every document may be anything.
    """
    seen = {"null" if value is None else KINDS[type(value)] for value in values}
    kinds = sorted(seen | {"null"} if "number" in seen else seen)
    schema: dict = {"type": kinds[0] if len(kinds) == 1 else kinds} if seen - {"null"} else {}
    objects = [value for value in values if isinstance(value, dict)]
    items = [item for value in values if isinstance(value, list) for item in value]
    if objects and depth < 2:
        keys = sorted({key for value in objects for key in value})
        schema["properties"] = {
            key: schema_of([value[key] for value in objects if key in value], depth + 1) for key in keys
        }
        if depth == 0:
            always = [key for key in keys if all(key in value for value in objects)]
            schema["required"] = [key for key in always if key != "expect"]  # of `--expect` alone
    if items and depth < 2:
        schema["items"] = schema_of(items, depth if depth else 1)
    return schema


def published(documents: dict[str, list[dict]]) -> dict:
    """The file of all schemas."""
    found = {}
    for name, printed_ones in documents.items():
        schema = schema_of(printed_ones)
        (version,) = {one["schema_version"] for one in printed_ones}
        schema["properties"]["schema_version"] = {"const": version}
        found[name] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The documents of optilab --json, by command",
        "$defs": found,
    }


def types(schema: dict) -> set[str]:
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def broken(before: dict, now: dict) -> list[str]:
    """The keys of a document that have gone, or have another type, in the same version."""
    if before["properties"]["schema_version"] != now["properties"]["schema_version"]:
        return []
    return [
        key
        for key, old in before["properties"].items()
        # Without a type it was null this time.
        if (own := now["properties"].get(key)) is None or (types(own) and types(old) - {"null"} - types(own))
    ]


def table(schemas: dict) -> str:
    """The keys of every document, for docs/ci.md."""
    lines = ["| document | version | keys |", "|---|---|---|"]
    for name, schema in schemas["$defs"].items():
        always = set(schema["required"])
        keys = [key if key in always else f"[{key}]" for key in schema["properties"] if key != "schema_version"]
        version = schema["properties"]["schema_version"]["const"]
        lines.append(f"| `{name}` | {version} | {', '.join(f'`{key}`' for key in keys)} |")
    return "\n".join(lines)


# --- tests ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return printed(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def schemas():
    return json.loads(FILE.read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_document_fits_its_published_schema(name, documents, schemas):
    schema = schemas["$defs"][name] | {"additionalProperties": False}  # each key is published
    Draft202012Validator.check_schema(schema)
    for document in documents[name]:
        problems = [
            f"{list(e.absolute_path)}: {e.message}" for e in Draft202012Validator(schema).iter_errors(document)
        ]
        assert not problems
    assert not broken(schema, published({name: documents[name]})["$defs"][name])


def test_every_key_that_the_code_writes_is_in_a_document(documents):
    """What `document` functions write, as the code has it: keys of other options are not forgotten."""
    printed_keys = set(keys_in(list(documents.values())))
    for file in sorted((ROOT / "optilab").rglob("*.py")):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name == "document":
                missing = set(keys_written(function)) - printed_keys
                assert not missing, f"{file.relative_to(ROOT)}: no command of COMMANDS prints {missing}"


def keys_written(function: ast.FunctionDef) -> Iterator[str]:
    """The names that a function gives to entries of a dictionary, literally or by assignment."""
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            names = node.keys
        else:
            names = [node.slice] if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) else []
        yield from (name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str))


def keys_in(value: object) -> Iterator[str]:
    """Every key of a document, at every depth."""
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_in(item)


def test_every_command_has_a_document():
    """Except for `config schema`, whose output is a schema itself."""
    groups = {name: import_module(f"optilab.verbs.{name}") for name in COMMAND_NAMES}
    commands = {
        f"{name} {one}" if one else name
        for name, module in groups.items()
        for one in getattr(module, "VERBS", {"": None})
    }
    assert commands - {"config schema"} <= set(COMMANDS)


def test_the_page_lists_the_keys_of_the_schemas(schemas):
    assert table(schemas) in PAGE.read_text()


def test_a_key_that_goes_needs_another_version():
    before = published({"x": [{"schema_version": 1, "rows": [], "n": 1}]})["$defs"]["x"]
    assert broken(before, published({"x": [{"schema_version": 1, "n": 1}]})["$defs"]["x"]) == ["rows"]
    assert broken(before, published({"x": [{"schema_version": 1, "rows": [], "n": ""}]})["$defs"]["x"]) == ["n"]
    assert not broken(before, published({"x": [{"schema_version": 2}]})["$defs"]["x"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        new = published(printed(Path(directory)))
    with contextlib.suppress(FileNotFoundError):
        old = json.loads(FILE.read_text())["$defs"]
        gone = {
            name: keys
            for name, schema in new["$defs"].items()
            if name in old and (keys := broken(old[name], schema))
        }
        if gone:
            raise SystemExit(f"raise the schema_version of these documents, which lost keys: {gone}")
    FILE.write_text(json.dumps(new, indent=1) + "\n")
    start, end = "<!-- documents -->\n", "<!-- end of documents -->\n"
    text = PAGE.read_text()
    head, rest = text.split(start)
    PAGE.write_text(f"{head}{start}{table(new)}\n{end}{rest.split(end)[1]}")
