"""Requests as values: what is asked by options, by keywords and by a file is the same, and nothing else is taken."""

import shlex
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab.annotations import ConfigKey, Read
from optilab.commands import COMMANDS, GONE
from optilab.config.section import build
from optilab.config.tree import Tree, yaml_bytes
from optilab.errors import ConfigError, OptilabError
from optilab.request.request import options
from tests.kit.command import RECORDED, run

MODULES = {name: import_module(f"optilab.commands.{name}") for name in COMMANDS}
REQUESTS = [
    command
    for module in MODULES.values()
    for command in getattr(module, "PARTS", {"": getattr(module, "COMMAND", None)}).values()
]
TEXTS = st.sampled_from(["x", "a-b", "1", "val_acc", "relu.yaml", "ß", "=", "-1"])
HOSTILE_FILES = {
    "alias bomb": "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(30)),
    "deep": "a: " + "[" * 1000 + "]" * 1000,
    "brackets": "[" * 100_000,
    "tag": "a: !!python/object/apply:os.system [ls]",
    "NUL": "a: \0",
    "large": "a: " + "x" * (1 << 20),
    "many": "a: [" + "1," * 300_000 + "]",
    "two documents": "a: 1\n---\nb: 2",
    "twice": "a: 1\na: 2",
    "key": "? [a]\n: 1",
    "digits": "a: " + "9" * 5000,
    "not UTF-8": b"a: \xff\xfe\xfd",
    "escape": 'a: "\\q"',
}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in GONE for option in GONE[name]])
def test_option_that_is_gone_is_refused_in_a_transcript(name, option):
    assert option not in options(MODULES[name].COMMAND)
    typed = f"--{option.replace('_', '-')}"
    transcript = RECORDED / "transcripts" / "refused-line.txt"
    lines = transcript.read_text().split("\n$ ")
    (line,) = [line for line in lines if line.startswith(f"optilab {name} ") and f" {typed}" in line]
    assert line.splitlines()[1:] == [f"optilab: No such option: {typed}; {GONE[name][option]}", "[exit 2]"]


def values_of(field):
    """Values that a field may take, some of them out of its range."""
    if field.is_switch:
        return st.booleans()
    if field.choices:
        return st.sampled_from(field.choices)
    if field.number:
        return st.integers(-1, 20) if field.number is int else st.floats(-1, 2)
    if dict in field.kinds or "dict" in str(field.kinds):
        return st.dictionaries(st.sampled_from(["optimizer.lr", "seed"]), st.sampled_from(["0.1:1:3:log", [1, 2]]))
    return st.lists(TEXTS, min_size=1, max_size=2) if field.repeated else TEXTS


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda request: request.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_request_is_read_back_from_its_file(request_type, data):
    fields = [
        option for option in options(request_type).values() if not (option.mark(ConfigKey) or option.mark(Read))
    ]
    chosen = (
        data.draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=lambda option: option.name))
        if fields
        else []
    )
    arguments = {option.name: data.draw(values_of(option), option.name) for option in chosen}
    try:
        built = request_type.of(arguments)
    except OptilabError:
        return
    dumped = built.model_dump(mode="json", exclude_unset=True)
    again = build(type(built), Tree.read(yaml_bytes(dumped or {"json_": False}), "request.yaml"))
    assert again.model_dump() == built.model_dump()


@pytest.mark.parametrize("text", HOSTILE_FILES.values(), ids=HOSTILE_FILES)
def test_hostile_yaml_is_one_line(text):
    with pytest.raises(ConfigError) as caught:
        Tree.read(text if isinstance(text, bytes) else text.encode(), "c.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("c.yaml")


WORDS = [
    "relu.yaml",
    "sgd,adam",
    "adam",
    "runs",
    "latest",
    "0.1",
    "ten",
    "-1",
    "",
    "x=1",
    "optimizer.lr=0.1,1",
    "é",
]
STOPS = {"race": ("--budget", "0"), "verify": ("--epochs", "0")}
"""Words that make a line refused by its request at the latest, so that nothing is trained."""


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_drawn_line_is_answered_or_refused(tmp_path_factory, data):
    name = data.draw(st.sampled_from([name for name in COMMANDS if name != "data"]))  # which fetches
    parts = getattr(MODULES[name], "PARTS", {})
    part = [data.draw(st.sampled_from(list(parts)))] if parts else []
    known = options(parts[part[0]] if part else MODULES[name].COMMAND)
    stop = STOPS.get(name, ("--set", "epochs=0") if "set" in known else ())
    flags = [option.flag for option in known.values() if option.flag.startswith("--") and option.name != "yes"]
    typed = data.draw(st.lists(st.sampled_from([*flags, "--nope", *WORDS]), max_size=5))
    line = [name, *part, *typed, *stop]
    done = run(line, tmp_path_factory.mktemp("line"))
    assert done.returncode != 1, shlex.join(line)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode in (2, 3, 4, 5) or not stop, shlex.join(line)
