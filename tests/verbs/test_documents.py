"""What `--json` prints: every document fits its published schema, and every key of it is there.

`python -m tests.verbs.test_documents` writes docs/documents.schema.json and the table of docs/ci.md anew. It refuses
where a key has gone or has another type while the `schema_version` of the document is the same.
"""

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import _environment
from tests.data.idx import write_idx_dataset
from tests.pages import ROOT
from tests.run import run

FILE = ROOT / "docs" / "documents.schema.json"
PAGE = ROOT / "docs" / "ci.md"
TRAIN = "train small.yaml --epochs 2"
OWN = "import numpy as np\n\ndef sgd(w, g, lr=0.1):\n    return w - lr * g\n"
COMMANDS: dict[str, list[str]] = {
    "optimize": [
        "optimize --algo sgd,adam --epochs 3",
        "optimize --algo adam --epochs 3 --expect 'f < 1'",
        "optimize --algo sgd --epochs 3 --function x^2 --tune 3",
    ],
    "train": [f"{TRAIN} --name a", f"{TRAIN} --name b --expect 'val_acc > 0' --set optimizer.lr=0.2"],
    "train --seeds": [f"{TRAIN} --seeds 2 --name seeds"],
    "sweep": ["sweep small.yaml --epochs 1 --over optimizer.lr=0.1,0.2 --name study"],
    "race": ["race --algo sgd,adam --gradients 20 --budget 2 --repeats 2 --starts 2 --function ravine --no-cache"],
    "race --on": [
        "race --on small.yaml --algo sgd,adam --epochs 1 --budget 1 --seeds 1 --set data.holdout=20 --name race"
    ],
    "remedy": ["remedy small.yaml --only relu --epochs 1 --name remedy"],
    "lr": ["lr small.yaml"],
    "diagnose": ["diagnose a", "diagnose small.yaml"],
    "explain": ["explain adam --step 1-2"],
    "map": ["map --algo sgd --x lr=0.01:0.1:4 --y w1=-1:1:4 --epochs 5"],
    "play": ["play --algo sgd --out play.html"],
    "check": ["check a b --expect 'val_acc > 0'"],
    "report": ["report a b --out report.html", "report study --out study.html"],
    "verify": ["verify --algo sgd"],
    "verify FILE": ["verify own.py:sgd --against sgd", "verify own.py:sgd --against adam"],
    "verify PATTERN": ["verify '*.py' --against sgd"],
    "runs ls": ["runs ls", "runs ls study"],
    "runs show": ["runs show a"],
    "runs compare": ["runs compare a b", "runs compare study"],
    "runs diff": ["runs diff a b"],
    "runs plot": ["runs plot a --out a.png"],
    "runs export": ["runs export study --out study.csv"],
    "runs path": ["runs path a"],
    "runs rm": ["runs rm b --yes"],
    "data ls": ["data ls"],
    "data verify": ["data verify synthetic"],
    "data where": ["data where"],
    "config show": ["config show train optimizer"],
    "config check": ["config check small.yaml"],
    "config ls": ["config ls"],
    "env": ["env"],
    "error": ["optimize --algo adm", "train small.yaml --set optimizer.lrr=1"],
}
"""Each document and the commands that print it, in an order in which they find what they need."""


def printed(folder: Path) -> dict[str, list[dict]]:
    """The documents of all commands, run one after the other in an empty directory."""
    import shlex

    data = write_idx_dataset(folder / "data")
    (folder / "small.yaml").write_text(
        f"model: {{hidden: [8, 8]}}\ndata: {{dataset: idx, dir: {data}, batch_size: 32}}\n"
        "optimizer: {name: sgd, lr: 0.1}\nthreads: 1\ndevice: cpu\n"
    )
    (folder / "own.py").write_text(OWN)
    found: dict[str, list[dict]] = {}
    for name, commands in COMMANDS.items():
        for command in commands:
            done = run([*shlex.split(command), "--json"], folder, _environment({}))
            assert done.stdout.count("\n") == 1, f"{command}\n{done.stdout}\n{done.stderr}"
            assert (done.returncode in (0, 9)) == (name != "error"), f"{command}\n{done.stdout}\n{done.stderr}"
            found.setdefault(name, []).append(json.loads(done.stdout))
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
            schema["required"] = [key for key in keys if all(key in value for value in objects)]
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
