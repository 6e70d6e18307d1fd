"""Fuzz: mutated configs and command lines, seeded. A refusal is an answer; an exception is a bug.

Most configs go through `config.load` in this process, and every command line through a process forked from a warm
one; a sample of the configs goes through whole fresh processes.
"""

import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from optilab.config.fields import schema_for
from optilab.config.load import load
from optilab.config.presets import presets
from optilab.errors import ConfigError, UsageError
from tests.faults.conftest import Drawn, Figure
from tests.faults.harness import Warm, environment, in_parallel, run

SPICE: list[bytes] = [
    *(
        b"\0",
        b"\t",
        b"\xff",
        b"\xe2\x80\xae",
        b"\x1b[31m",
        b"\xef\xbb\xbf",
        b"\r",
        b"\x07",
        b"\n---\n",
        b": ",
        b"- ",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b"#",
        b"&a ",
        b"*a",
        b"!!python/name:os.system ",
        b"<<: ",
        b"%",
        b"@",
        b"`",
    ),
    *(b"null", b"~", b"true", b"no", b".nan", b"-.inf", b"1e999", b"0x1f", b"010", b"1:30", b"2024-01-01", b"-1"),
    *(
        b"9" * 400,
        b"[" * 60,
        b"{a: " * 30,
        b"x" * 2000,
        b"[red]",
        b"{{ x }}",
        b"../../x",
        b"=1+1",
        b"\xed\xa0\x80",
    ),
]


def mutated(text: bytes, chance: random.Random) -> bytes:
    """One to three small accidents: a line lost, doubled, moved or renamed; a value changed; bytes spliced in."""
    for _ in range(chance.randint(1, 3)):
        lines = text.split(b"\n")
        here = chance.randrange(len(lines))
        match chance.randrange(8):
            case 0:
                del lines[here]
            case 1:
                lines.insert(here, lines[here])
            case 2:
                lines[here] = b" " * chance.randint(1, 5) + lines[here]
            case 3:
                name, colon, _ = lines[here].partition(b":")
                lines[here] = name + colon + b" " + chance.choice(SPICE)
            case 4:
                name, colon, value = lines[here].partition(b":")
                lines[here] = name + chance.choice([b"x", b"_", b" ", b".", b"1"]) + colon + value
            case 5:
                chance.shuffle(lines)
            case 6:
                position = chance.randrange(len(text) + 1)
                lines = [text[:position] + chance.choice(SPICE) + text[position:]]
            case 7:
                position = chance.randrange(len(text) + 1)
                lines = [text[:position] + text[position + chance.randint(1, 20) :]]
        text = b"\n".join(lines)
    return text


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_configs(tmp_path: Path, figure: Figure, count: int, drawn: Drawn) -> None:
    chance, kinds, slowest, placed = drawn(7), Counter[str](), 0.0, 0
    seeds = presets()
    file = tmp_path / "fuzz.yaml"
    kept: list[bytes] = []
    for number in range(count):
        preset = chance.choice(seeds)
        text = mutated(preset.path.read_bytes(), chance)
        file.write_bytes(text)
        started = time.process_time()
        try:
            load(schema_for(preset.kind), str(file))
            kinds["accepted"] += 1
        except (ConfigError, UsageError) as error:  # anything else is a bug
            kinds["refused"] += 1
            message = str(error)
            placed += bool(re.search(r"fuzz\.yaml:\d+", message)) or ": missing; add " in message
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", message), message
        slowest = max(slowest, time.process_time() - started)
        if number % 20 == 0:
            kept.append(text)
    for text in kept:
        file.write_bytes(text)
        done = run(["config", "check", "fuzz.yaml"], tmp_path)
        assert done.code in (0, 2), (text, done)
        assert "Traceback" not in done.err
    told = f"0 tracebacks; {kinds['accepted']} accepted, {kinds['refused']} refused"
    where = f"{placed / kinds['refused']:.1%} with line; slowest {slowest:.2f} s"
    figure("G8", f"{count} mutated configs, {len(kept)} fresh", f"{told}, {where}")
    assert kinds["accepted"] > 0
    assert placed >= 0.95 * kinds["refused"]
    assert slowest < 2


VALID = [
    ["optimize", "--algo", "adam", "--epochs", "3", "--lr", "0.1", "--start", "1,2", "--quiet"],
    ["optimize", "--algo", "sgd,momentum", "--function", "ravine", "--set", "algo.lr=0.1", "--json"],
    ["optimize", "--config", "adam.yaml", "--name", "a1", "--runs-dir", "runs"],
    ["config", "show", "train"],
    ["config", "check", "fuzz.yaml"],
    ["train", "--config", "sigmoid.yaml", "--set", "no.such.key=1", "--seed", "1", "--threads", "2", "--json"],
]
WORDS = [
    *(
        "",
        "-",
        "--",
        "=",
        "--epochs",
        "--lr=",
        "nan",
        "-1",
        "1e9",
        "\u202e",
        "\x1b[31m",
        "[/red]",
        "é",
        "a b",
        "../x",
    ),
    *(
        "--set",
        "algo.lr=",
        "=1",
        "algo=[]",
        "algo={}",
        "start=[1, 2, 3]",
        "algo.lr=[1]",
        "x" * 3000,
        "{",
        "&a",
        "*a",
    ),
    *(
        "--help",
        "--json",
        "-q",
        "--name",
        "CON",
        "%s",
        "\udcff",
        "\n",
        "0x1f",
        "1,5",
        ",",
        "adam,",
        ",,",
        "--version",
    ),
]


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_mutated_command_lines(tmp_path: Path, light: Warm, figure: Figure, count: int, drawn: Drawn) -> None:
    chance, lines = drawn(8), []
    (tmp_path / "fuzz.yaml").write_text("optimizer: sgd\n", encoding="utf-8")
    for _ in range(count):
        argv = list(chance.choice(VALID))
        for _ in range(chance.randint(0, 2)):
            here = chance.randrange(1, len(argv) + 1) if argv else 0
            match chance.randrange(4):
                case 0:
                    argv[here : here + 1] = []
                case 1:
                    argv.insert(here, chance.choice(WORDS))
                case 2:
                    argv[here : here + 1] = [chance.choice(WORDS)]
                case 3:
                    argv.insert(here, chance.choice(argv or WORDS))
        # A line that would train is not what is asked here.
        if argv[:1] == ["train"]:
            argv += ["--set", "no.such.key=1"]
        lines.append(argv)

    def trial(argv: list[str]) -> tuple[int, float]:
        done = light.run(argv, tmp_path)
        assert "Traceback" not in done.err, (argv, done.err)
        # 4: a --name that another line has taken; 7: a --runs-dir that cannot be made.
        usual = done.code in (0, 2)
        assert usual or "already exists" in done.err or "cannot write" in done.err, (argv, done)
        return done.code, done.cpu

    ended = in_parallel([lambda argv=argv: trial(argv) for argv in lines])
    codes = Counter(code for code, _ in ended)
    slowest = max(seconds for _, seconds in ended)
    told = ", ".join(f"{number} exit status {code}" for code, number in sorted(codes.items()))
    figure("G8", f"{count} mutated command lines", f"0 tracebacks; {told}; slowest {slowest:.2f} s")
    assert codes[0] > 0
    assert codes[2] > 0
    assert slowest < 2


def test_absurd_sizes_cost_nothing(tmp_path: Path, figure: Figure) -> None:
    """Refused from a whole fresh process, by its peak of memory: nothing is allocated, torch is not imported."""
    measure = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode;"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    sizes = ["model.hidden=[1000000000000]", "model.hidden=[65000, 65000]", "data.batch_size=1e30", "epochs=1e15"]
    peaks = []
    for size in sizes:
        command = [sys.executable, "-c", measure, sys.executable, "-m", "optilab", "train", "--config", "sigmoid"]
        done = subprocess.run(
            [*command, "--set", size], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
        )
        code, kilobytes = map(int, done.stdout.split())
        assert code == 2
        assert "Traceback" not in done.stderr
        peaks.append(kilobytes / 1024)
    figure("G8", f"{len(sizes)} absurd sizes", f"refused at a peak of {max(peaks):.0f} MB")
    assert max(peaks) < 150
