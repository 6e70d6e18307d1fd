"""Hostile input: markup, ANSI sequences, formulas, path traversal; secrets and repositories."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optilab import runs
from tests.faults import sabotage
from tests.faults.sandbox import Sandbox
from tests.kit.command import environment, need, run
from tests.kit.hostile import HOSTILE, LIVE

COMMANDS = (
    ["optimize", "--algo", "TEXT"],
    ["optimize", "sgd", "--set", "algo.TEXT=1"],
    ["optimize", "sgd", "--set", "function=TEXT"],
    ["optimize", "sgd", "--name", "TEXT "],
    ["train", "no-TEXT"],
    ["train", "text.yaml"],
    ["train", "--resume", "no TEXT"],
    ["runs", "ls", "--runs-dir", "poisoned"],
    ["runs", "show", "bad", "--runs-dir", "poisoned"],
    ["runs", "ls", "--json", "--runs-dir", "poisoned"],
)


def poisoned(tree: object, text: str) -> object:
    """A document with the text in the place of every other one."""
    if isinstance(tree, dict):
        return {key: poisoned(value, text) for key, value in tree.items() if key != "schema_version"}
    if isinstance(tree, list):
        return [poisoned(value, text) for value in tree]
    return text if isinstance(tree, str) else tree


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_text_is_inert(text: str, tmp_path: Path) -> None:
    """As an option, key, name, file and value, and in every field of a run that is read."""
    run(["optimize", "sgd", "--epochs", 2, "--name", "good"], tmp_path, code=0)
    good, bad = tmp_path / "runs" / "good", tmp_path / "poisoned" / "bad"
    bad.mkdir(parents=True)
    manifest = poisoned(json.loads((good / "manifest.json").read_bytes()), text)
    assert isinstance(manifest, dict)
    (bad / "manifest.json").write_text(json.dumps({"schema_version": 3, **manifest, "reason": text}))
    (bad / "config.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    (bad / "metrics.csv").write_bytes((good / "metrics.csv").read_bytes())
    (bad.parent / text.replace("/", "_").replace("\0", "_")).mkdir()
    (tmp_path / "text.yaml").write_text(f"optimizer: {json.dumps(text)}\n")
    for command in COMMANDS:
        line = [word.replace("TEXT", text.replace("\0", "")) for word in command]
        done = run(line, tmp_path)
        assert done.returncode != 1, (line, done)
        assert not LIVE & set(done.stdout + done.stderr), (line, done)
        if "--json" in line:
            json.loads(done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["poisoned", "runs", "text.yaml"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["good"]


@given(
    text=st.text() | st.sampled_from(HOSTILE).flatmap(lambda text: st.sampled_from([text, f"'{text}", f"+{text}"]))
)
def test_no_cell_is_a_formula(text: str) -> None:
    cells = list(csv.reader(io.StringIO(runs.table([{"key": text}]).decode(), newline="")))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in cells for cell in row)


SECRETS = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "DATABASE_URL", "SSH_AUTH_SOCK", "MY_PASSWORD", "OPENAI_API_KEY")


def test_secrets_stay_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """Of the environment, the repository's remote and ~/.netrc; the run, the output and a traceback have none."""
    need("git")
    remote = "https://me:canary-remote@example.org/x.git"
    for command in (["init", "-q"], ["remote", "add", "origin", remote]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".netrc").write_text("machine example.org login me password canary-netrc\n")
    (tmp_path / "data").symlink_to(sandbox.folder / "data")
    (tmp_path / "lab.yaml").write_bytes((sandbox.folder / "lab.yaml").read_bytes())
    secrets = {name: f"canary-{name}" for name in SECRETS}
    env = environment(**secrets, HOME=tmp_path, OPTILAB_DEBUG=1)
    whole = run(sandbox.argv("whole"), tmp_path, "forked", env=env)
    bug = run(sandbox.argv("bug"), tmp_path, "forked", env=env, before=sabotage.bug)
    assert (whole.returncode, bug.returncode) == (0, 1)
    assert "ZeroDivisionError: row 1" in bug.stderr  # it has read the secret
    texts = [whole.stdout, whole.stderr, bug.stdout, bug.stderr]
    texts += [path.read_text(errors="replace") for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(texts) > 15
    assert not [text for text in texts if "canary-" in text]


REPOSITORIES = {
    "fsmonitor": "core.fsmonitor",
    "clean": "filter.x.clean",
    "process": "filter.x.process",
    "a name with signs": "filter.x=y.z.clean",
}


@pytest.mark.parametrize(
    ("what", "where"), [*((what, ".gitattributes") for what in REPOSITORIES), ("clean", ".git/info/attributes")]
)
def test_hostile_repository_runs_nothing(what: str, where: str, tmp_path: Path) -> None:
    """Neither its monitor nor a filter of a file that changed; `git status` runs each."""
    need("git")
    key, program, tracked, canary = (
        REPOSITORIES[what],
        *(tmp_path / name for name in ("program", "tracked", "canary")),
    )

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    tracked.write_text("before", encoding="utf-8")
    git("add", "tracked")
    git("commit", "-qm", "first")
    program.write_text(f"#!/bin/sh\ntouch {canary}\nexec cat\n", encoding="utf-8")
    program.chmod(0o755)
    git("config", key, str(program))
    if key.startswith("filter."):
        name = key.split(".", 1)[1].rpartition(".")[0]
        (tmp_path / where).write_text(f"* filter={name}\n", encoding="utf-8")
    tracked.write_text("later!", encoding="utf-8")  # of the same length: git has to look inside
    os.utime(tracked, (0, 0))
    done = run(["optimize", "sgd", "--quiet"], tmp_path, code=0)
    assert not canary.exists()
    assert json.loads((tmp_path / done.stdout.strip() / "manifest.json").read_bytes())["git"]["dirty"] is True
    subprocess.run(["git", "status"], cwd=tmp_path, capture_output=True, check=False, timeout=20)
    assert canary.exists()  # the trap is one


@pytest.mark.parametrize("git", ["exit 1", "sleep 600", ""])
def test_git_that_does_not_work_is_no_error(git: str, tmp_path: Path) -> None:
    stub = tmp_path / "bin"
    stub.mkdir()
    if git:
        (stub / "git").write_text(f"#!/bin/sh\n{git}\n", encoding="utf-8")
        (stub / "git").chmod(0o755)
    env = environment(PATH=f"{stub}:/usr/bin:/bin" if git else str(stub))
    done = run(["optimize", "sgd", "--quiet"], tmp_path, "fresh", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "unavailable" in json.loads((tmp_path / done.stdout.strip() / "manifest.json").read_bytes())["git"]
