"""Completion in the shells themselves: each evaluates the script of `--show-completion` as a start-up file does.

Bash and Zsh run on a pseudo-terminal, where a line and a Tab are typed; the line that the shell makes of it is printed
to a file. Fish has a command for it, `complete -C`.
"""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.harness import missing

EVALUATE = 'eval "$(optilab --show-completion)"\n'
START = {
    "bash": (".bashrc", EVALUATE, ["--noprofile", "--rcfile", ".bashrc", "-i"]),
    "zsh": (".zshrc", f"autoload -Uz compinit && compinit -u -D\nbindkey -e\n{EVALUATE}", ["-i"]),
    "fish": ("fish/config.fish", "optilab --show-completion | source\n", []),
}
"""By shell: its start-up file, what is in it, and the arguments with which it is interactive."""
SECONDS = 60
pytestmark = pytest.mark.filterwarnings(
    "ignore:os.fork:RuntimeWarning"
)  # of JAX, where other tests have loaded it


@pytest.fixture(params=START)
def shell(request, tmp_path, optilab):
    """Complete a line in one of the shells; the completed line, or in Fish all that are offered."""
    name = request.param
    if missing(name):
        pytest.skip(f"needs {name}: apt-get install {name}")
    optilab("optimize", "--algo", "sgd", "--name", "mine-7", "--quiet")
    file, text, arguments = START[name]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "optilab").write_text(f'#!/bin/sh\nexec {sys.executable} -m optilab "$@"\n')
    (commands / "optilab").chmod(0o755)
    places = dict.fromkeys(
        ("HOME", "ZDOTDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), str(tmp_path)
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OPTILAB_")}
    environment = {
        **kept,
        **places,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TERM": "dumb",
    }

    def complete(typed):
        if name == "fish":
            line = [name, "-c", f"complete -C '{typed}'"]
            done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
            return [offer.split("\t")[0] for offer in done.stdout.splitlines()]
        answer = tmp_path / "answer"
        # Control-A goes to the start of the line, so that it is printed instead of being run.
        keys = f"{typed}\t\x01printf '%s\\n' >{answer} \r exit\r"
        _type([name, *arguments], keys, tmp_path, environment)
        return answer.read_text().splitlines()[len(typed.split()) - 1 :]

    return complete


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("optilab optim", "optimize"),
        ("optilab config sche", "schema"),
        ("optilab train --batch", "--batch-size"),
        ("optilab train sigm", "sigmoid.yaml"),
        ("optilab train --set optimizer.weight_dec", "optimizer.weight_decay="),
        ("optilab train --set model.activation=tan", "model.activation=tanh"),
        ("optilab optimize --algo sgd,nest", "sgd,nesterov"),
        ("optilab runs show mine", "mine-7"),
    ],
)
def test_the_shell_completes(shell, typed, offered):
    assert shell(typed) == [offered]


def test_file_names_are_completed_beside_presets(shell, tmp_path):
    (tmp_path / "unlike-a-preset.yaml").write_text("")
    assert shell("optilab train unlike-a-pre") == ["unlike-a-preset.yaml"]


def _type(command, keys, folder, environment):
    """Run an interactive shell on a terminal of its own, type, and wait until it ends."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    try:
        os.write(terminal, keys.encode())
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    if not os.read(terminal, 4096):
                        return
                except OSError:  # Linux reports the end of the other side so
                    return
        raise TimeoutError(f"{command[0]} did not end")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
