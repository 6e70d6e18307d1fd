"""What optilab answers: `$ line`, then its output. One file of tests/recorded/transcripts for each subject.

`pytest tests/test_transcripts.py --accept` writes the files again, and `git diff` shows what a change does to users.
A line is one of the shell, with here-documents for files; `>>>` is a line of Python, where `lab` is a `Lab`. A filter
(`| tail -2`) leaves out what another transcript shows.
"""

import ast
import os
import re
import shlex
import subprocess
import warnings

import pytest

from optilab import __version__
from optilab.errors import OptilabError
from optilab.lab import Lab
from tests.kit.command import RECORDED, restored, run
from tests.kit.idx import write_idx_dataset

TRANSCRIPTS = sorted((RECORDED / "transcripts").glob("*.txt"))
ENTRY = re.compile(r"^(?:\$|>>>) (?:.*<<END\n(?:.*\n)*?END\n|.*\n)", re.MULTILINE)
VARYING = {
    r"\b\d{8}-\d{6}-([\w.-]+)-[0-9a-f]{8}\b": r"YYYYMMDD-HHMMSS-\1-xxxxxxxx",
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\dZ?)?": "DATE",
    r"[\d,.]+ s/(epoch|trial|step|path)\b": r"N \1s/s",  # on a busy machine
    r"\b\d+\.\d+ ?s\b": "N s",
    r"\b\d+:\d\d\b": "M:SS",
    r"[\d,.]+ (epochs|trials|steps|paths)/s": r"N \1/s",
    r"\(\d+ at a time": "(N at a time",
    r"(?m)^versions .*": "versions   VERSIONS",
    r"(?m)^optilab: \d+ of \d+ trials(, .*)?\n": "",  # progress of processes that work side by side
    r"(?m)^optilab: (starting|grading) .*busy machine\n": "",
    r"(?m)^optilab: (graded|tuning) \d+ of \d+.*\n": "",
    r"(unexpected keyword argument '\w+')\. Did you mean.*": r"\1",  # as Python 3.13 ends
    re.escape(__version__): "VERSION",
}
"""What differs from run to run, and its word in a transcript."""
SMALL = """model: {hidden: [16, 16]}
data: {dataset: idx, dir: data, batch_size: 32}
optimizer: {name: sgd, lr: 0.1}
epochs: 3
dtype: float64
threads: 1
device: cpu
"""
"""Trainings in double precision have the printed digits on every processor."""


def entries(text):
    """(line, what follows it) for each line of a transcript, and the comment above the first one."""
    starts = list(ENTRY.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    comment = text[: starts[0].start()] if starts else text
    return comment, [(start[0], text[start.end() : end]) for start, end in zip(starts, ends, strict=True)]


class Session:
    """A directory in which the lines of a transcript are typed, one after the other."""

    def __init__(self, folder):
        self.folder, self.names = folder, {}
        write_idx_dataset(folder / "data")
        (folder / "small.yaml").write_text(SMALL)
        self.environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "OMP_NUM_THREADS": "1",
            "OPTILAB_DATA": "data",  # nothing is fetched
        }

    def answer(self, line):
        """What a line prints, and `[exit N]` where its exit status is not 0; a refused line makes nothing."""
        before = self._listing()
        text, code = self._python(line) if line.startswith(">>>") else self._shell(line.removeprefix("$ "))
        if code == 2:
            assert self._listing() == before, f"{line} was refused, and changed the directory"
        text = text.replace(str(self.folder), "DIR")
        for pattern, word in VARYING.items():
            text = re.sub(pattern, word, text)
        text = "".join(f"{row.rstrip()}\n" for row in text.splitlines())
        return text + (f"[exit {code}]\n" if code else "")

    def _shell(self, line):
        options = {"shell": True, "text": True, "cwd": self.folder, "env": self.environment}
        if not re.match(r"optilab\b", line):
            done = subprocess.run(line, capture_output=True, **options)
            return done.stdout + done.stderr, done.returncode
        command, _, shown = line.partition(" | ")
        done = run(shlex.split(command)[1:], self.folder, env=self.environment)
        text = done.stdout + done.stderr
        return subprocess.check_output(shown, input=text, **options) if shown else text, done.returncode

    def _python(self, line):
        """The value of an expression as a notebook prints it, or the kind and the text of an error."""
        names = {"lab": Lab("runs"), **self.names}
        source = line.removeprefix(">>> ")
        with restored(), pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
            patched.chdir(self.folder)
            for name, value in self.environment.items():
                patched.setenv(name, value)
            try:
                if isinstance(ast.parse(source).body[-1], ast.Expr):
                    value = eval(source, names)
                    return ("" if value is None else f"{value}\n"), 0
                exec(source, names)
                self.names |= names
            except (OptilabError, AttributeError, TypeError) as error:
                return f"{type(error).__name__}: {error}\n", 0
        return "", 0

    def _listing(self):
        return {path: path.lstat().st_mtime_ns for path in self.folder.rglob("*")}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path, tmp_path, recorded):
    comment, lines = entries(path.read_text())
    session = Session(tmp_path)
    now = comment + "".join(line + session.answer(line.rstrip("\n")) for line, _ in lines)
    assert now == recorded(path.relative_to(RECORDED), now)


def test_a_changed_answer_is_noticed(tmp_path):
    """Negative control."""
    comment, ((line, answer), *rest) = entries(
        "# A comment\n$ cat > a.txt <<END\nx\nEND\n$ cat a.txt\ny\n[exit 1]\n"
    )
    assert (comment, answer, rest) == ("# A comment\n", "", [("$ cat a.txt\n", "y\n[exit 1]\n")])
    session = Session(tmp_path)
    assert session.answer(line.rstrip("\n")) == ""
    assert session.answer("$ cat a.txt") == "x\n"
    assert session.answer("$ optilab nothing").endswith("[exit 2]\n")
