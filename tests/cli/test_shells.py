"""Completion in the shells themselves: each evaluates the script of `--show-completion` as a start-up file does.

Bash and Zsh run on a pseudo-terminal, where a line and a Tab are typed; the line that the shell makes of it is printed
to a file. Fish has a command for it, `complete -C`.
"""

import os
import pty
import select
import subprocess
import time

import pytest

from tests.kit.command import OPTILAB, environment, need, run

EVALUATE = 'eval "$(optilab --show-completion)"\n'
START = {
    "bash": (".bashrc", EVALUATE, ["--noprofile", "--rcfile", ".bashrc", "-i"]),
    "zsh": (".zshrc", f"autoload -Uz compinit && compinit -u -D\nbindkey -e\n{EVALUATE}", ["-i"]),
    "fish": ("fish/config.fish", "optilab --show-completion | source\n", []),
}
"""By shell: its start-up file, what is in it, and the arguments with which it is interactive."""
SECONDS = 300  # after which a shell hangs, for all lines together
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),  # of JAX, where other tests have loaded it
]


LINES = {
    "optilab optim": "optimize",
    "optilab config sche": "schema",
    "optilab train --batch": "--batch-size",
    "optilab train sigm": "sigmoid.yaml",
    "optilab train unlike-a-pre": "unlike-a-preset.yaml",  # a file next to presets
    "optilab train --set optimizer.weight_dec": "optimizer.weight_decay=",
    "optilab train --set model.activation=tan": "model.activation=tanh",
    "optilab optimize --algo sgd,nest": "sgd,nesterov",
    "optilab runs show mine": "mine-7",
}
"""What is typed before a Tab, and what its last word becomes."""


@pytest.fixture(scope="module", params=START)
def completed(request, tmp_path_factory):
    """All lines as one of the shells completes them: line -> what is printed of its last word."""
    name, folder = request.param, tmp_path_factory.mktemp("shell")
    need(name)
    line = ["optimize", "--algo", "sgd", "--name", "mine-7", "--quiet"]
    run(line, folder, code=0)
    (folder / "unlike-a-preset.yaml").write_text("")
    file, text, arguments = START[name]
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(text)
    commands = folder / "bin"
    commands.mkdir()
    (commands / "optilab").write_text(f'#!/bin/sh\nexec {" ".join(OPTILAB)} "$@"\n')
    (commands / "optilab").chmod(0o755)
    places = dict.fromkeys(("HOME", "ZDOTDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), str(folder))
    variables = environment(**places, PATH=f"{commands}:{os.environ['PATH']}", TERM="dumb")
    answers = {typed: folder / f"answer-{number}" for number, typed in enumerate(LINES)}
    if name == "fish":
        script = "".join(f"complete -C '{typed}' >{answer}\n" for typed, answer in answers.items())
        subprocess.run([name, "-c", script], cwd=folder, env=variables, check=True)
        return {
            typed: [offer.split("\t")[0] for offer in answer.read_text().splitlines()]
            for typed, answer in answers.items()
        }
    # Control-A goes to the start of the line, so that it is printed instead of being run.
    keys = "".join(f"{typed}\t\x01printf '%s\\n' >{answer} \r" for typed, answer in answers.items())
    _type([name, *arguments], f"{keys} exit\r", folder, variables)
    return {typed: answer.read_text().splitlines()[len(typed.split()) - 1 :] for typed, answer in answers.items()}


@pytest.mark.parametrize("typed", LINES)
def test_the_shell_completes(completed, typed):
    assert completed[typed] == [LINES[typed]]


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
