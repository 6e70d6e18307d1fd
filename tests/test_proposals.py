"""A command as a value: the same words for a shell and for Python."""

import shlex

import pytest

from optilab.config.tree import value
from optilab.proposals import Call, Proposal, flow, in_python


@pytest.mark.parametrize(
    ("call", "shell", "python"),
    [
        (
            Call("train", ["a.yaml"], {"seeds": 5, "set": {"a.b": 1}}),
            "optilab train a.yaml --seeds 5 --set a.b=1",
            'lab.train("a.yaml", seeds=5, set={"a.b": 1})',
        ),
        (
            Call("train", options={"set": {"optimizer": {"name": "momentum", "beta": 0.5}, "model.bias": False}}),
            "optilab train --set 'optimizer={name: momentum, beta: 0.5}' --set model.bias=false",
            'lab.train(set={"optimizer": {"name": "momentum", "beta": 0.5}, "model.bias": False})',
        ),
        (
            Call("sweep", ["it's"], {"over": {"optimizer.lr": (0.1, 1.0)}, "fail_fast": True}),
            """optilab sweep 'it'"'"'s' --over optimizer.lr=0.1,1 --fail-fast""",
            'lab.sweep("it\'s", over={"optimizer.lr": [0.1, 1.0]}, fail_fast=True)',
        ),
        (
            Call("remedy", ["a.yaml"], {"set": {}, "only": ("relu", "adam"), "expect": ["a > 1", "b"]}),
            "optilab remedy a.yaml --only relu,adam --expect 'a > 1' --expect b",
            'lab.remedy("a.yaml", only=["relu", "adam"], expect=["a > 1", "b"])',
        ),
        (
            Call("runs show", ["one"], {"format": "csv"}),
            "optilab runs show one --format csv",
            "optilab runs show one --format csv",
        ),
        (Call("train", options={"resume": "r", "runs_dir": "x"}), "optilab train --resume r --runs-dir x", None),
    ],
)
def test_a_call_in_each_medium(call, shell, python):
    assert call.shell() == str(call) == shell
    assert shlex.split(shell) == call.words()
    assert call.python() == (python or 'lab.train(resume="r")')


@pytest.mark.parametrize(
    "text", ["w <- w - lr*max(g, 0)", "a: b", "true", "1", "", "#", "[x", 'say "no"', "plain text", "\u00e9, \n"]
)
def test_a_text_in_a_list_is_read_as_it_was(text):
    item = {"name": text, "lr": [0.1, None, True]}
    assert value(flow([item])) == [item]


def test_a_sentence_with_a_command():
    sentence = Proposal("try: ", Call("lr", ["a.yaml"]), " (at least once)")
    assert str(sentence) == "try: optilab lr a.yaml (at least once)"
    assert in_python(sentence) == 'try: lab.lr("a.yaml") (at least once)'
    assert in_python("no command") == "no command"
