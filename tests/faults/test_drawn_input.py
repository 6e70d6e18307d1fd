"""Drawn lines, config files and arguments: each is accepted, or refused by a sentence before the work begins."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab.config.load import load
from optilab.config.presets import Preset, presets
from optilab.config.section import schema_for
from optilab.errors import ConfigError, ExitCode, OptilabError, UsageError
from optilab.lab import Lab, Method, keywords
from optilab.optimize import RULES
from tests.faults import sabotage
from tests.faults.sandbox import CONFIG
from tests.kit.command import environment, run
from tests.kit.generated import training
from tests.kit.hostile import HOSTILE, LIVE
from tests.kit.idx import write_idx_dataset
from tests.kit.processes import IMPORTED_TORCH
from tests.kit.sets import few_or_many

FEW_OR_MANY = few_or_many(50, 2000)


# --- lines -------------------------------------------------------------------------------------------------

STARTS = """
optimize --algo adam --epochs 3 --lr 0.1 --start 1,2 --quiet
optimize --algo sgd,momentum --function ravine --set algo.lr=0.1 --json
optimize adam.yaml --name a1 --expect "f < 1"
train lab.yaml --epochs 2 --seeds 2 --expect "val_acc > 0.5" --out page.html
sweep lab.yaml --over optimizer.lr=0.1,1 --epochs 2 --seeds 2 --dry-run
remedy lab.yaml --only tanh --seeds 2 --epochs 1
benchmark lab.yaml --algo sgd,adam --budget 1 --set data.holdout=50 --epochs 2
lr lab.yaml --steps 100 --seed 3
explain adam --step 2
map --algo momentum --x algo.lr=0.1:0.5:3 --y algo.beta=0.1:0.5:3
verify --against adam
diagnose lab.yaml
config show train
config check lab.yaml
runs ls
runs show one
runs compare one --metric val_acc
runs rm one
"""
WORDS = (
    *("", "-", "--", "=", ",", "--epochs", "--lr=", "--set", "--over", "--expect", "--name", "--json", "--seeds"),
    *("nan", "-1", "0", "1e9", "1e400", "0x1f", "1,5", "1_000", "CON", "a b", "x" * 3000, "\udcff", "\n", "é"),
    *("algo.lr=", "=1", "algo=[]", "algo={}", "start=[1, 2, 3]", "optimizer.lr=0.1,1", "adam,", ",,", "{", "&a"),
    *("f < 1", "val_acc > high", "verdict == best", "latest", "*", "../x", "/dev/null", "one", "lab.yaml", "sgd"),
    *(text.replace("\0", "") for text in HOSTILE),
)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A right line, of which some words are left out and others are put in."""
    start = draw(st.sampled_from(STARTS.strip().splitlines())).replace('"', "").split(" ")
    at = draw(st.integers(0, len(start)))
    words = draw(st.lists(st.sampled_from(WORDS), max_size=3))
    return [*start[:at], *words, *start[at + draw(st.integers(0, 2)) :]]


@pytest.fixture
def typed(tmp_path: Path) -> Callable[[list[str]], CompletedProcess[str]]:
    """Type a line where there are a config and its data, in a process in which nothing can be trained."""
    write_idx_dataset(tmp_path / "data", 240, 100)
    (tmp_path / "lab.yaml").write_text(CONFIG, encoding="utf-8")

    def answer(line: list[str]) -> CompletedProcess[str]:
        before = {path for path in tmp_path.rglob("*") if ".outputs" not in path.parts}
        env = environment(HOME=tmp_path, PATH="")
        done = run(line, tmp_path, "forked without torch", before=sabotage.inline_workers, env=env)
        if done.returncode == ExitCode.USAGE:
            after = {path for path in tmp_path.rglob("*") if ".outputs" not in path.parts}
            assert after == before, line
        return done

    return answer


@FEW_OR_MANY
def test_drawn_lines_are_answered(examples: int, typed: Callable[[list[str]], CompletedProcess[str]]) -> None:
    codes = Counter[int]()

    @settings(max_examples=examples)
    @given(line=lines())
    def check(line: list[str]) -> None:
        done = typed(line)
        assert done.returncode in {*ExitCode, IMPORTED_TORCH} - {ExitCode.BUG}, (line, done)
        assert "Traceback" not in done.stderr, (line, done)
        assert not LIVE & set(done.stdout + done.stderr), (line, done)
        codes[done.returncode] += 1

    check()
    assert {ExitCode.OK, ExitCode.USAGE, IMPORTED_TORCH} <= codes.keys(), codes


# --- config files ------------------------------------------------------------------------------------------

SPICE = (
    *("\0", "\t", "\r", "\x1b[31m", "\u202e", "\ufeff", "\n---\n"),
    *(": ", "- ", "{", "]", '"', "'", "#", "%", "@", "`", "&a ", "*a", "!!python/name:os.system ", "<<: "),
    *("null", "~", "true", "no", ".nan", "-.inf", "1e999", "010", "1:30", "2024-01-01", "-1", "9" * 400),
    *("[" * 60, "{a: " * 30, "x" * 2000, "{{ x }}", "=1+1"),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.floats(), st.sampled_from((0, 1, -1, 3, 10**30)), st.text(max_size=5)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged_presets(draw: st.DrawFn) -> tuple[Preset, str]:
    """A preset with another value of one key, or with a text in the midst of it."""
    preset = draw(st.sampled_from(presets()))
    text = preset.path.read_text(encoding="utf-8")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        return preset, text[:at] + draw(st.sampled_from(SPICE)) + text[at + draw(st.integers(0, 20)) :]
    tree = yaml.safe_load(text)
    section = draw(st.sampled_from([tree, *(value for value in tree.values() if isinstance(value, dict))]))
    key = draw(st.sampled_from([*section, "x"]))
    section[key if draw(st.booleans()) else f"{key}_"] = draw(TREES)
    return preset, yaml.safe_dump(tree, allow_unicode=True)


@FEW_OR_MANY
def test_damaged_configs_are_refused_with_their_line(examples: int, tmp_path: Path) -> None:
    file, kinds = tmp_path / "drawn.yaml", Counter[str]()

    @settings(max_examples=2 * examples)
    @given(drawn=damaged_presets())
    def check(drawn: tuple[Preset, str]) -> None:
        preset, text = drawn
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            load(schema_for(preset.kind), str(file))
            kinds["accepted"] += 1
        except (ConfigError, UsageError) as error:  # anything else is a bug
            kinds["refused"] += 1
            message = str(error)
            kinds["with its line"] += bool(re.search(r"drawn\.yaml:\d+", message) or ": missing; add " in message)
            assert "drawn.yaml" in message
            assert not LIVE & set(message), message

    check()
    assert kinds["accepted"] > 0
    assert kinds["with its line"] > 0.9 * kinds["refused"] > 0


# --- the library -------------------------------------------------------------------------------------------


class Odd:
    """Neither text nor number."""


class Mute:
    """It has no text."""

    def __repr__(self) -> str:
        raise RuntimeError


def plain_rule(w: Any, g: Any, lr: float = 0.1) -> Any:
    return w - lr * g


ITSELF: list[Any] = []
ITSELF.append(ITSELF)
OBJECTS = (
    *(RULES["adam"], RULES["sgd"](), plain_rule, len, Odd(), Odd, ITSELF, {"x": ITSELF}, {1: 2}, {"sgd"}),
    *(np.float64(0.5), np.int64(2), np.array([1.0, 2.0]), np.array(3), np.bool_(True), np.str_("x"), 1e-400),
    *(Path("x"), Path("."), b"x", range(3), 1j, ..., {"optimizer.lr": [0.1]}, ("sgd", "adam")),
    *("adam", "sgd,adam", "0.1", "latest", "*", "x" * 5000, *HOSTILE),
)
VALUES = st.recursive(
    TREES | st.sampled_from(OBJECTS) | st.builds(Mute),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner),
    max_leaves=2,
)


def right_calls(config: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """A right and quick call of every method."""
    race = {"algos": "sgd,adam", "functions": "booth", "budget": 2, "starts": 2, "repeats": 1, "gradients": 5}
    return {
        "optimize": {"algo": "sgd", "epochs": 2},
        "explain": {"algo": "sgd"},
        "verify": {"candidate": plain_rule, "against": "sgd", "epochs": 3},
        "grade": {"submissions": [str(folder / "mine.py")], "against": "sgd", "epochs": 3},
        "map": {"algo": "momentum", "x": "lr=0.1:0.5:2", "y": "beta=0.1:0.5:2", "epochs": 3},
        "play": {"algo": "sgd", "epochs": 3, "out": str(folder / "play.html")},
        "race": race,
        "train": {"config": str(config), "epochs": 1},
        "lr": {"config": str(config), "steps": 100},
        "sweep": {"config": str(config), "over": {"optimizer.lr": [0.1, 0.2]}, "dry_run": True, "epochs": 1},
        "remedy": {"config": str(config), "dry_run": True, "epochs": 1},
        "benchmark": {"config": str(config), "algos": "sgd,adam", "set": {"data.holdout": 50}, "dry_run": True},
        "compare": {"names": ["one", "two"]},
        "diagnose": {"target": "trained"},
        "check": {"targets": ["one"], "expect": ["val_acc > 0.1"]},
        "report": {"names": ["one"], "out": str(folder / "report.html")},
    }


@pytest.fixture
def lab_and_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Lab, Mapping[str, Any]]:
    """A lab with three runs, and a right call of every method."""
    monkeypatch.chdir(tmp_path)
    write_idx_dataset(tmp_path / "data", 240, 100)
    config = tmp_path / "lab.yaml"
    config.write_text(CONFIG.replace("data,", f"{tmp_path}/data,"), encoding="utf-8")
    (tmp_path / "mine.py").write_text("def plain_rule(w, g, lr=0.1): return w - lr * g", encoding="utf-8")
    for number, name in enumerate(("one", "two")):
        training(tmp_path / "runs", name, f"seed={number}")
    lab = Lab(tmp_path / "runs")
    lab.train(str(config), epochs=1, name="trained")
    return lab, right_calls(config, tmp_path)


def test_the_calls_that_are_changed_are_right(lab_and_calls: tuple[Lab, Mapping[str, Any]]) -> None:
    lab, right = lab_and_calls
    for verb, call in right.items():
        getattr(lab, verb)(**call)


KEYWORDS = [
    (verb, key) for verb, method in vars(Lab).items() if isinstance(method, Method) for key in keywords(verb)
]
WITHOUT_TEXT = (Mute(), "\ud800", ITSELF, 10**400, float("nan"), ..., [[]])


@FEW_OR_MANY
def test_the_library_raises_only_its_own_errors(
    examples: int, lab_and_calls: tuple[Lab, Mapping[str, Any]]
) -> None:
    lab, right = lab_and_calls
    kinds = Counter[str]()

    @settings(max_examples=examples)
    @given(call=st.sampled_from(KEYWORDS), value=VALUES)
    def check(call: tuple[str, str], value: Any) -> None:
        verb, key = call
        try:
            getattr(lab, verb)(**{**right[verb], key: value})
        except OptilabError as error:
            kinds["refused"] += 1
            kinds["with a sentence"] += bool(str(error))

    check()
    assert kinds["with a sentence"] == kinds["refused"] > examples / 2


@pytest.mark.nightly
def test_no_keyword_asks_an_odd_value_for_its_text(lab_and_calls: tuple[Lab, Mapping[str, Any]]) -> None:
    lab, right = lab_and_calls
    sentences = list[str]()
    for verb, key in KEYWORDS:
        for odd in WITHOUT_TEXT:
            for value in (odd, [odd], {"optimizer.lr": odd}, {"optimizer.lr": [odd]}, {1: odd}):
                try:
                    getattr(lab, verb)(**{**right[verb], key: value})
                except OptilabError as error:
                    sentences.append(str(error))
    assert all(sentences)
    assert len(sentences) > len(KEYWORDS) * len(WITHOUT_TEXT)
