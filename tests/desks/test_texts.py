"""Paths, names and commands that a user of any system can read, type and take along."""

import ast
import os
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest

from optilab import runs
from optilab.errors import RunError, quoted

ROOT = Path(__file__).parents[2]
CODE = "def rule(w, g, lr=0.1):\n    return w - lr * g\n"


@pytest.mark.portable
@pytest.mark.parametrize("name", ["con", "NUL", "com1", "lpt9.old", "a:b", "x?", "dot.", "blank ", "a\\b"])
def test_a_name_that_windows_cannot_have_is_no_name_of_a_run(optilab, name):
    done = optilab("optimize", "sgd", "--epochs", 1, "--name", name, code=2)
    assert done.stderr.startswith("optilab: --name: expected ")
    assert done.stderr.count("\n") == 1


@pytest.mark.portable
def test_runs_do_not_differ_in_case_alone(optilab, tmp_path):
    optilab("optimize", "sgd", "--epochs", 1, "--name", "Adam")
    done = optilab("optimize", "sgd", "--epochs", 1, "--name", "adam", code=4)
    assert "Adam already exists; Windows and macOS take adam for the same name" in done.stderr
    assert os.listdir(tmp_path / "runs") == ["Adam"]


@pytest.mark.portable
def test_a_run_of_a_study_is_named_with_the_separator_of_the_system(tmp_path):
    study = runs.open_study(tmp_path, "s", b"config: relu\n", {"command": "sweep", "versions": {"optilab": "0"}})
    runs.claim(study.path, "x", {"config.yaml": b""}, {"command": "train", "versions": {"optilab": "0"}}).release()
    study.finish("done")
    with mock.patch.object(os, "sep", "\\"):
        assert runs.locate(tmp_path, "s\\x") == runs.locate(tmp_path, "s/x") == study.path / "x"
        assert [run.name for run in runs.read_selected(tmp_path, ["s\\*"])] == ["x"]
        with pytest.raises(RunError, match="'s/y'"):
            runs.locate(tmp_path, "s\\y")


@pytest.mark.parametrize(
    "line", ["optimize --epochs 2 --no-save --algo", "explain --algo", "verify --against sgd"]
)
def test_code_is_named_by_a_path_with_a_drive(optilab, tmp_path, line):
    for file in ("C:\\net.py", "net.py"):
        (tmp_path / file).write_text(CODE, encoding="utf-8", newline="\n")
    plain = optilab(*line.split(), "net.py:rule", "--json").stdout
    for code in ("C:\\net.py:rule", "C:\\net.py"):
        answer = optilab(*line.split(), code, "--json").stdout
        assert answer.replace("C:\\\\net.py", "net.py") == plain


def test_a_run_is_in_a_directory_with_backslashes(optilab, tmp_path):
    words = ("--runs-dir", "C:\\my runs\\new")
    made = optilab("optimize", "sgd", "--epochs", 1, "--name", "one", *words).stdout.splitlines()[-1]
    assert made == "C:\\my runs\\new/one"
    assert optilab("runs", "ls", "--quiet", *words).stdout == "one\n"
    assert optilab("explain", made, "--step", 1).stdout == optilab("explain", "sgd", "--step", 1).stdout


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("optimizer.lr=0.1", "optimizer.lr=0.1"),
        ("C:\\my runs\\", '"C:\\my runs\\\\"'),
        ("w <- w - lr*g", '"w <- w - lr*g"'),
        ("sgd,adam", '"sgd,adam"'),  # a list in PowerShell
        ('{name: "a b"}', '"{name: ""a b""}"'),
        ('a\\"b', '"a\\\\""b"'),
        ("2026*", '"2026*"'),
        ("", '""'),
    ],
)
def test_a_word_is_quoted_for_the_shells_of_windows(word, text):
    assert quoted([word], windows=True) == text
    assert shlex.split(quoted([word], windows=False)) == [word]


def test_a_command_is_not_cut_on_a_narrow_terminal(forked_with_torch, small, tmp_path):
    where = "/".join(["deep" * 10] * 3)
    line = ["train", str(small), "--epochs", "1", "--name", "one", "--runs-dir", where]
    shown = forked_with_torch.on_a_terminal(line, tmp_path, ["stdout"], COLUMNS="60")
    assert any(
        text.strip().startswith("try: optilab ") and f"{where}/one" in text for text in shown.splitlines()
    ), shown
    shown = forked_with_torch.on_a_terminal(["runs", "show", f"{where}/one"], tmp_path, ["stdout"], COLUMNS="60")
    assert f"command    {quoted(['optilab', *line])}" in shown


# --- files that are opened ----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["optilab", ".ci", "tests/desks"])
def test_every_text_has_an_encoding_and_newlines(folder):
    calls = [
        (path.relative_to(ROOT), node)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert [f"{path}:{call.lineno}: {lacking}" for path, call in calls if (lacking := _lacking(call))] == []


def _lacking(call):
    """What a call that opens a text leaves to the system; empty for every other call."""
    name, stated = ast.unparse(call.func), {keyword.arg for keyword in call.keywords}
    method = name.rpartition(".")[2]
    if method in ("run", "Popen"):
        return "encoding" if stated & {"text", "universal_newlines"} and "encoding" not in stated else ""
    if name in ("os.open", "Image.open") or method not in (
        "open",
        "fdopen",
        "read_text",
        "write_text",
        "makefile",
    ):
        return ""
    texts = {part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    mode = next((text for text in texts if re.fullmatch("[rwxabt+]{1,3}", text)), "w" * (method == "write_text"))
    needed = set() if "b" in mode else {"encoding", "newline"} if set("wxa+") & set(mode) else {"encoding"}
    return " and ".join(sorted(needed - stated))


def test_a_text_without_an_encoding_is_seen():
    lines = (
        "open(f)",
        "f.open('w', encoding='ascii')",
        "f.write_text(t)",
        "s.makefile('r')",
        "subprocess.run(c, text=True)",
    )
    lacking = [_lacking(ast.parse(line).body[0].value) for line in lines]
    assert lacking == ["encoding", "newline", "encoding and newline", "encoding", "encoding"]
