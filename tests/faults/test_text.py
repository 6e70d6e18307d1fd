"""Text stays text, secrets stay out, links are not followed: names, configs and files that mean harm."""

import csv
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from optilab import runs
from tests.faults.conftest import Drawn, Figure
from tests.faults.harness import SECONDS, Lab, Outcome, Warm, environment, fresh, in_parallel

PAYLOADS = [
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg/onload=alert(1)>', "</script>", "<!--"),
    *("<a href='javascript:alert(1)'>x</a>", "javascript:alert(1)", "&lt;b&gt;", "<iframe src=//evil>", "'`\"<>"),
    *("[red]x[/red]", "[/red]", "[bold", "[link=file:///etc/passwd]x[/link]", "[[x]]", "[/]", "[@click=quit]x[/]"),
    *(
        ":smiley:",
        "{{7*7}}",
        "${7*7}",
        "%s%n",
        "{0.__class__}",
        "{x!r:>99999999}",
        "$(touch canary)",
        "`touch canary`",
    ),
    *(
        "\x1b[31mred",
        "\x1b]0;title\x07",
        "\x1b]8;;file:///etc/passwd\x07x\x1b]8;;\x07",
        "\x1b[2J",
        "\x1bc",
        "\x9b31m",
    ),
    *("a\rb", "a\x08b", "a\x00b", "a\x07b", "a\x7fb", "a\x85b", "\x0e", "a\nb", "a\tb", "a\x0bb", "a\x0cb"),
    *(
        "\u202eabc",
        "\u2066abc\u2069",
        "\u200bzero",
        "\u200e",
        "\ufeffbom",
        "\u2028line",
        "\u2029par",
        "\U000e0041tag",
        "\u061cmark",
    ),
    *("=1+1", "+1+1", "-1+1", "@SUM(1)", '=HYPERLINK("http://evil")', "\t=1", "\r=1", "=cmd|' /C calc'!A0"),
    *("../../etc/passwd", "..\\..\\x", "/etc/passwd", "CON", "~root", "; rm -rf /", "\udcff", "é" * 100),
]
LIVE = set(map(chr, [*range(9), *range(11, 32), 127, *range(128, 160)])) | set(
    "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u2028\u2029"
)


def inert(done: Outcome) -> None:
    """No character that a terminal obeys, no crash, no markup that was interpreted."""
    assert "Traceback" not in done.err
    assert "a bug in optilab" not in done.err, done.err
    found = (LIVE | {chr(0xE0041)}) & set(done.out + done.err)
    assert not found, (sorted(map(ascii, found)), done)


@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_injection(light: Warm, tmp_path: Path, figure: Figure, every: int, drawn: Drawn) -> None:
    """Each payload as an option, key, name, file, config text, and in every field of a run that is read."""
    assert light.run(["optimize", "--algo", "sgd", "--epochs", "2", "--name", "good"], tmp_path).code == 0
    manifest = json.loads((tmp_path / "runs/good/manifest.json").read_bytes())
    tables = (tmp_path / "runs/good/metrics.csv").read_text(encoding="utf-8")

    def poison(tree: object, payload: str) -> object:
        if isinstance(tree, dict):
            return {key: poison(value, payload) for key, value in tree.items() if key != "schema_version"}
        if isinstance(tree, list):
            return [poison(value, payload) for value in tree]
        return payload if isinstance(tree, str) else tree

    def plant(number: int, payload: str) -> None:
        folder = tmp_path / f"poisoned-{number}" / "bad"
        folder.mkdir(parents=True)
        text = json.dumps({"schema_version": 1, **poison(manifest, payload), "reason": payload})  # type: ignore[dict-item]
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        (folder / "config.yaml").write_bytes(payload.encode("utf-8", "surrogateescape"))
        (folder / "metrics.csv").write_text(tables, encoding="utf-8")
        name = payload.replace("/", "_").replace("\0", "_")
        if len(os.fsencode(name)) < 200:
            (folder.parent / name).mkdir(exist_ok=True)

    def trial(number: int, payload: str) -> None:
        plant(number, payload)
        poisoned = f"poisoned-{number}"
        argument = payload.replace("\0", "")
        (tmp_path / f"{number}.yaml").write_text(f"optimizer: {json.dumps(payload)}\n", encoding="utf-8")
        commands = [
            ["optimize", "--algo", argument],
            ["optimize", "--algo", "sgd", "--set", f"algo.{argument}=1"],
            ["optimize", "--algo", "sgd", "--set", f"function={argument}"],
            ["optimize", "--algo", "sgd", "--name", f"{argument} "],
            ["train", "--config", f"no-{argument}"],
            ["train", "--config", f"{number}.yaml"],
            ["train", "--resume", f"no {argument}"],
            ["runs", "ls", "--runs-dir", poisoned],
            ["runs", "show", "bad", "--runs-dir", poisoned],
            ["runs", "ls", "--json", "--runs-dir", poisoned],
        ]
        for argv in commands:
            done = light.run(argv, tmp_path)
            inert(done)
            if "--json" in argv:
                json.loads(done.out)

    chosen = list(enumerate(PAYLOADS))[drawn(12).randrange(every) :: every]
    in_parallel([lambda n=n, p=p: trial(n, p) for n, p in chosen])
    assert not (tmp_path / "canary").exists()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["good"]
    for payload in PAYLOADS:
        table = runs.table([{"key": payload}]).decode("utf-8", "replace")
        cell = list(csv.reader(io.StringIO(table, newline="")))[1][0]
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), ascii(payload)
    figure("G12", f"{len(chosen)} payloads x terminal, JSON, CSV", "0 live (HTML: G23)")


SECRETS = [
    *("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "COMET_API_KEY", "HF_TOKEN", "GITHUB_TOKEN", "DATABASE_URL"),
    *("SSH_AUTH_SOCK", "MY_PASSWORD", "CONDA_SECRET", "OPENAI_API_KEY"),
]
CANARIES = {name: f"canary-{number:02}-5f1d" for number, name in enumerate(SECRETS)}


def test_secrets_stay_out(lab: Lab, figure: Figure, needs: Callable[..., None]) -> None:
    """Environment, git remote and ~/.netrc hold canaries; none reaches the run, the output or a traceback."""
    needs("git")
    home, remote, netrc = lab.folder / "home", "canary-10-5f1d", "canary-11-5f1d"
    home.mkdir()
    (home / ".netrc").write_text(f"machine example.org login me password {netrc}\n", encoding="utf-8")
    repository = lab.folder / "repository"
    repository.mkdir()
    for command in (["init", "-q"], ["remote", "add", "origin", f"https://me:{remote}@example.org/x.git"]):
        subprocess.run(["git", *command], cwd=repository, check=True, env=environment(HOME=str(home)))
    (repository / "data").symlink_to(lab.folder / "data")
    argv = ["train", "--config", str(lab.folder / "lab.yaml"), "--epochs", "3", "--data-dir", "data"]
    env = {**CANARIES, "HOME": str(home), "OPTILAB_DEBUG": "1"}
    ended = [
        fresh([*argv, "--name", "real"], repository, env=environment(**env)).finish(),
        lab.warm.run([*argv, "--name", "bug"], repository, sabotage="bug", env=env),
    ]
    assert [done.code for done in ended] == [0, 1]
    assert "ZeroDivisionError: row 1" in ended[1].err  # it has read the secret
    texts = [text.encode() for done in ended for text in (done.out, done.err)]
    texts += [path.read_bytes() for path in (repository / "runs").rglob("*") if path.is_file()]
    hits = [value for value in (*CANARIES.values(), remote, netrc) for text in texts if value.encode() in text]
    figure("G13", f"{len(CANARIES) + 2} canaries", f"{len(hits)} hits in {len(texts)} files and outputs")
    assert hits == []


HOSTILE = {
    "fsmonitor": {"core.fsmonitor": "{program}"},
    "clean": {"filter.x.clean": "{program}", "filter.x.required": "true"},
    "process": {"filter.x.process": "{program}"},
    "a name with signs": {"filter.x=y.z.clean": "{program}"},
}


@pytest.mark.parametrize("what", list(HOSTILE))
@pytest.mark.parametrize("where", [".gitattributes", ".git/info/attributes"])
def test_a_hostile_repository_runs_nothing(
    light: Warm, tmp_path: Path, needs: Callable[..., None], what: str, where: str
) -> None:
    """Neither its monitor nor a filter of a file that changed; without the guard `git status` runs each."""
    needs("git")
    program, tracked, canary = tmp_path / "program", tmp_path / "tracked", tmp_path / "canary"

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    tracked.write_text("before", encoding="utf-8")
    git("add", "tracked")
    git("commit", "-qm", "first")
    program.write_text(f"#!/bin/sh\ntouch {canary}\nexec cat\n", encoding="utf-8")
    program.chmod(0o755)
    for key, value in HOSTILE[what].items():
        git("config", key, value.format(program=program))
        if key.endswith((".clean", ".process")):
            (tmp_path / where).write_text(
                f"* filter={key.split('.', 1)[1].rpartition('.')[0]}\n", encoding="utf-8"
            )
    tracked.write_text("later!", encoding="utf-8")  # of the same length: git has to look inside
    os.utime(tracked, (0, 0))
    done = light.run(["optimize", "--algo", "sgd", "--quiet"], tmp_path)
    assert done.code == 0, done
    assert not canary.exists()
    state = json.loads((tmp_path / done.out.strip() / "manifest.json").read_bytes())["git"]
    assert state["dirty"] is True
    subprocess.run(["git", "status"], cwd=tmp_path, capture_output=True, check=False, timeout=SECONDS)
    assert canary.exists()  # the trap is one


@pytest.mark.parametrize("git", ["exit 1", "sleep 600", ""])
def test_git_that_does_not_work_is_no_error(tmp_path: Path, git: str) -> None:
    stub = tmp_path / "bin"
    stub.mkdir()
    if git:
        (stub / "git").write_text(f"#!/bin/sh\n{git}\n", encoding="utf-8")
        (stub / "git").chmod(0o755)
    env = environment(PATH=f"{stub}:/usr/bin:/bin" if git else str(stub))
    done = fresh(["optimize", "--algo", "sgd", "--quiet"], tmp_path, env=env).finish()
    assert (done.code, done.err) == (0, "")
    manifest = json.loads((tmp_path / done.out.strip() / "manifest.json").read_bytes())
    assert "unavailable" in manifest["git"]


# --- links -------------------------------------------------------------------------------------------------


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    file = tmp_path / "outside" / "precious.txt"
    file.parent.mkdir()
    file.write_text("precious", encoding="utf-8")
    return file


LINKED = [
    "diagnostics.jsonl",
    "run",
    "checkpoints",
    "run.lock",
    "metrics.csv",
    "timings.csv",
    "manifest.json",
    "config.yaml",
    "optilab.log",
]


@pytest.mark.parametrize("what", LINKED)
def test_a_resume_writes_through_no_link(lab: Lab, canary: Path, what: str) -> None:
    """Refused, or the link is replaced; what it points to keeps its bytes and gets no company."""
    name = f"linked-{what.replace('.', '-')}"
    lab.start(name, "--epochs", "3").finish()
    path = lab.path(name)
    if what == "run":
        path.rename(canary.parent / "run")
        path.symlink_to(canary.parent / "run")
        kept = {file: file.read_bytes() for file in canary.parent.rglob("*") if file.is_file()}
    elif what == "checkpoints":
        (path / what).rename(canary.parent / what)
        (path / what).symlink_to(canary.parent / what)
        kept = {file: file.read_bytes() for file in canary.parent.rglob("*") if file.is_file()}
    else:
        if (path / what).exists():
            canary.write_bytes((path / what).read_bytes())
            (path / what).unlink()
        (path / what).symlink_to(canary)
        kept = {canary: canary.read_bytes()}
    sabotage = "bug" if what == "optilab.log" else ""
    done = lab.warm.run(["train", "--resume", name, "--epochs", "12"], lab.folder, sabotage=sabotage)
    found = {file: file.read_bytes() for file in canary.parent.rglob("*") if file.is_file()}
    assert found == kept
    assert "a bug" not in done.err or sabotage
    if what in ("run", "checkpoints", "run.lock"):
        assert done.code == 4, done
        assert "link" in done.err
    elif what in ("manifest.json", "config.yaml"):
        assert done.code == 5, done
        assert "link" in done.err
    elif not sabotage:
        assert done.code == 0, done
        assert not (path / "metrics.csv").is_symlink()


def test_a_new_run_is_not_made_through_a_link(lab: Lab, canary: Path) -> None:
    lab.path("taken-by-a-link").symlink_to(canary.parent)
    done = lab.start("taken-by-a-link").finish()
    assert done.code == 4
    assert [path.name for path in canary.parent.iterdir()] == ["precious.txt"]
    lab.path("taken-by-a-link").unlink()


def test_rm_removes_links_and_does_not_follow_them(lab: Lab, canary: Path) -> None:
    lab.start("to-remove", "--epochs", "2").finish()
    (lab.path("to-remove") / "link").symlink_to(canary.parent)
    (lab.path("to-remove") / "checkpoints" / "file").symlink_to(canary)
    lab.path("link-to-run").symlink_to(canary.parent)
    assert lab.warm.run(["runs", "rm", "link-to-run", "--yes"], lab.folder).code == 4
    for outside in ("..", "../runs", str(canary.parent), "."):
        assert lab.warm.run(["runs", "rm", outside, "--yes"], lab.folder).code in (2, 4)
    assert lab.warm.run(["runs", "rm", "to-remove", "--yes"], lab.folder).code == 0
    lab.path("link-to-run").unlink()
    assert not lab.path("to-remove").exists()
    assert canary.read_text(encoding="utf-8") == "precious"
    assert not list((lab.folder / "runs").glob(".old-*"))
