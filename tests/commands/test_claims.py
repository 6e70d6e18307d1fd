"""Claims about results: how they are read and judged, and the pages that depend on them."""

import json
import os
import re
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from optilab import runs
from optilab.config.claims import Claim, expectations
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig
from optilab.errors import ConfigError
from optilab.judge.claims import judge_claims, judge_mean, results_of_trainings
from tests.kit.command import OPTILAB, ROOT, environment
from tests.kit.generated import training

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("claims", "ci")]


def write_runs(folder, *values, status="done", lr=0.01):
    """One run for each value, with seeds from 0."""
    records = []
    for seed, value in enumerate(values):
        changes = f"seed={seed}", f"optimizer.lr={lr}"
        path = training(folder, f"lr{lr}-s{seed}", *changes, accuracies=[0.0, value], status=status)
        records.append(runs.read(path))
    return records


def judged(records, *texts):
    return [
        (result.result, result.measured)
        for result in judge_claims(expectations("train", texts), results_of_trainings(records))
    ]


NO_CLAIM = "expected a claim such as val_acc > 0.8 or adam: f at 10 < 0.1, got"
EXPECTED = {
    "val_acc > 0.8": Claim("val_acc", ">", 0.8),
    "val_acc>=.8": Claim("val_acc", ">=", 0.8),
    "val_acc = 0.8": Claim("val_acc", "==", 0.8),
    "val_loss < -1e3": Claim("val_loss", "<", -1000.0),
    "  val_acc  at  best  ==  0.85  +-  0.01\n": Claim("val_acc", "==", 0.85, None, "best", 0.01),
    "val_acc at last > 0.8": Claim("val_acc", ">", 0.8),
    "val_loss at 5 < 0.5 confidence 0.9": Claim("val_loss", "<", 0.5, None, 5, None, 0.9),
    "val_acc > 0.8 confidence 0.99999999": Claim("val_acc", ">", 0.8, None, "last", None, 0.99999999),
    "lr 0.1, norm batch: val_acc at area <= 0.123456789012345": Claim(
        "val_acc", "<=", 0.123456789012345, "lr 0.1, norm batch", "area"
    ),
    "relu/adam: val_acc == 1e-07 +- 5e-10": Claim("val_acc", "==", 1e-07, "relu/adam", "last", 5e-10),
    "a: b: val_acc > 0.5": Claim("val_acc", ">", 0.5, "a: b"),
    "w <- w - lr*g: val_acc > 0.8": Claim("val_acc", ">", 0.8, "w <- w - lr*g"),
    "v <- b*v + g; w <- w - lr*v: status == done": Claim("status", "==", "done", "v <- b*v + g; w <- w - lr*v"),
    "status == diverged": Claim("status", "==", "diverged"),
    "healthy": Claim("diagnosis", "==", "healthy"),
    "relu: healthy": Claim("diagnosis", "==", "healthy", "relu"),
    "diagnosis == healthy": Claim("diagnosis", "==", "healthy"),
    "": f"{NO_CLAIM} ''",
    "val_acc": f"{NO_CLAIM} 'val_acc'",
    "0.8 > val_acc": f"{NO_CLAIM} '0.8 > val_acc'",
    "val_acc != 0.5": f"{NO_CLAIM} 'val_acc != 0.5'",
    "adam:f < 1": f"{NO_CLAIM} 'adam:f < 1'",
    "val_acc at epoch 3 > 0.5": f"{NO_CLAIM} 'val_acc at epoch 3 > 0.5'",
    "val_acc at lastt > 0.5": "at: expected last, best, area or an epoch, got 'lastt'; did you mean \"last\"?",
    "val_acc at 0 > 0.5": "at: expected an epoch from 1, got 0",
    "test_acc at best > 0.8": "at best: test_acc has one value, not one per epoch",
    "val_acc > high": "expected val_acc > NUMBER, got val_acc > high",
    "val_acc == high": "expected val_acc == NUMBER, got val_acc == high",
    "accuracy > 50%": "expected accuracy > NUMBER, got accuracy > 50%",
    "accuracy > 50": "unknown metric 'accuracy'; did you mean \"val_acc\"?",
    "val_acc > 50": "val_acc: expected a fraction from 0 to 1, got 50",
    "val_loss > 1e999": "expected a finite number, got val_loss > 1e999",
    "val_loss > nan": "expected val_loss > NUMBER, got val_loss > nan",
    "status > 0.5": "expected status == WORD, got status > 0.5",
    "status == 3": "expected status == WORD, got status == 3",
    "status == healthy": (
        "unknown status 'healthy'; expected one of done, diverged, failed, stopped, interrupted, running"
    ),
    "diagnosis == healthie": "unknown diagnosis 'healthie'; did you mean \"healthy\"?",
    "val_acc == 0.3 +- -2": "+-: expected a number > 0, got -2",
    "val_acc == 0.3 +- x": "+-: expected a number > 0, got x",
    "val_acc == 0.3 +- 1e999": "+-: expected a number > 0, got 1e999",
    "val_acc == 0.3 +- 2": "+-: expected less than 1 for an accuracy, got 2",
    "val_acc > 0.3 +- 0.1": "+-: expected == and a number, got val_acc > 0.3 +- 0.1",
    "val_acc == 5 +- 3": (
        "2 problems\n  --expect: val_acc: expected a fraction from 0 to 1, got 5\n"
        "  --expect: +-: expected less than 1 for an accuracy, got 3"
    ),
    "val_acc == 0.8 confidence 0.95": "confidence: expected >, >=, < or <=, got val_acc == 0.8 confidence 0.95",
    "val_acc > 0.8 confidence 0.5": "confidence: expected a number > 0.5 and < 1, got 0.5",
    "val_acc > 0.8 confidence high": "confidence: expected a number > 0.5 and < 1, got high",
}
"""Texts, each with its claim or with the message that refuses it."""


@pytest.mark.parametrize("text", EXPECTED)
def test_text_is_read_and_written_or_refused(text):
    expected = EXPECTED[text]
    if isinstance(expected, str):
        with pytest.raises(ConfigError) as refused:
            expectations("train", [text])
        assert str(refused.value).removeprefix("--expect: ") == expected
        return
    assert expectations("train", [text]) == (expected,)
    config = load(TrainConfig, {"optimizer": "sgd", "expect": [text]})
    assert load(TrainConfig, dump(config)) == config
    assert dump(load(TrainConfig, dump(config))) == dump(config)
    ((_, accepted),) = re.findall(r'"(Claim)": ({.*})', (ROOT / "configs/schema/optilab.schema.json").read_text())
    assert re.search(json.loads(accepted)["pattern"], text)


@pytest.mark.parametrize("expect", [{"metric": "val_acc", "above": 0.8}, [{"metric": "val_acc", "above": 0.8}]])
def test_mapping_is_no_claim(expect):
    with pytest.raises(ConfigError, match=rf"^the config: expect(\[0])?: {NO_CLAIM} a mapping$"):
        load(TrainConfig, {"optimizer": "sgd", "expect": expect})


@pytest.mark.parametrize("sign", [">", ">=", "<", "<=", "==", "="])
def test_signs_are_those_of_python(sign):
    (claim,) = expectations("train", [f"val_acc {sign} 0.8"])
    for value in (0.79, 0.8, 0.81):
        assert claim.admits(value) == eval(f"value {'==' if sign == '=' else sign} 0.8")


def test_tolerance_admits_what_is_near():
    (claim,) = expectations("train", ["val_acc == 0.8 +- 0.01"])
    values = (0.789, 0.7901, 0.8, 0.8099, 0.811)
    assert [claim.admits(value) for value in values] == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        # Every seed has to meet it; the one that is furthest from the bound is shown.
        ((0.7, 0.8, 0.9), "val_acc > 0.65", ("holds", 0.7)),
        ((0.7, 0.8, 0.9), "val_acc > 0.75", ("fails", 0.7)),
        ((0.7, 0.8, 0.9), "val_acc < 0.85", ("fails", 0.9)),
        ((0.7, 0.8, 0.95), "val_acc == 0.8", ("fails", 0.95)),
        # A tolerance and a confidence are about the mean.
        ((0.7, 0.8, 0.96), "val_acc == 0.8 +- 0.03", ("holds", 0.82)),
        ((0.7, 0.8, 0.96), "val_acc == 0.8 +- 0.01", ("fails", 0.82)),
        ((0.80, 0.82, 0.81, 0.83, 0.79, 0.81), "val_acc > 0.79 confidence 0.95", ("holds", 0.81)),
        ((0.80, 0.82, 0.81, 0.83, 0.79, 0.81), "val_acc > 0.81 confidence 0.95", ("cannot tell", 0.81)),
        ((0.80, 0.82, 0.81, 0.83, 0.79, 0.81), "val_acc > 0.83 confidence 0.95", ("fails", 0.81)),
        # Equal seeds are judged by the sign-flip test, whose p is 2^(1 - n).
        ((0.8,), "val_acc > 0.1 confidence 0.95", ("cannot tell", 0.8)),
        ((1.0,) * 5, "val_acc > 0.8 confidence 0.95", ("cannot tell", 1.0)),
        ((1.0,) * 6, "val_acc > 0.8 confidence 0.95", ("holds", 1.0)),
        ((), "val_acc > 0.1", ("cannot tell", None)),
    ],
)
def test_seeds_are_judged(tmp_path, values, text, expected):
    ((result, measured),) = judged(write_runs(tmp_path, *values), text)
    assert (result, measured) == (expected[0], pytest.approx(expected[1]))


def test_group_or_the_best_is_named(tmp_path):
    records = [*write_runs(tmp_path, 0.2, 0.2, lr=0.1), *write_runs(tmp_path, 0.9, 0.9, lr=1.0)]
    claims = ["best: val_acc > 0.8", "best: val_acc < 0.8", "lr 0.1: val_acc > 0.8", "val_acc > 0.8"]
    expected = [("holds", 0.9), ("fails", 0.9), ("fails", 0.2), ("fails", 0.2), ("holds", 0.9)]
    assert judged(records, *claims) == expected


def test_diverged_training_is_the_worst(tmp_path):
    diverged = write_runs(tmp_path, 0.9, status="diverged")
    assert judged(diverged, "val_acc > 0.1", "status == diverged") == [("fails", 0.1), ("holds", "diverged")]
    assert judged(write_runs(tmp_path, 0.9, status="interrupted", lr=1.0), "val_acc > 0.1") == [
        ("cannot tell", None)
    ]


def test_confidence_is_kept_by_simulated_means():
    """A claim whose bound is the true mean gets a verdict in about 5 of 100 cases, on either side together."""
    (claim,) = expectations("train", ["val_acc > 0.5 confidence 0.95"])
    draws = np.random.default_rng(1).normal(0.5, 0.02, (1000, 5))
    decided = sum(judge_mean(claim, "", dict(enumerate(row))).result != "cannot tell" for row in draws)
    assert 30 <= decided <= 70  # 50 +- 3 standard errors


@pytest.mark.parametrize(("groups", "seeds"), [(6, 3), (18, 5)])
def test_confidence_allows_for_the_choice_of_the_best(groups, seeds):
    """Of equal groups whose mean is the bound, the best passes in at most 2.5 of 100 tables, not in 10 or 25."""
    (claim,) = expectations("train", ["best: val_acc > 0.5 confidence 0.95"])
    tables = np.random.default_rng(2).normal(0.5, 0.02, (600, groups, seeds))
    best = [max(table, key=np.mean) for table in tables]
    alone, allowed = (
        sum(judge_mean(claim, "", dict(enumerate(row)), best_of=count).holds for row in best)
        for count in (1, groups)
    )
    assert allowed <= 26  # 15, and 3 standard errors
    assert alone > 2 * allowed


# --- the commands ------------------------------------------------------------------------------------------


def test_failed_study_cannot_be_judged(optilab, small):
    failing = ["--over", "data.batch_size=199,50", "--set", "model.norm=batch", "--name", "s", "--quiet"]
    optilab("sweep", small, *failing, code=8)
    (checked,) = json.loads(optilab("check", "s", "--expect", "val_acc >= 0", "--json", code=9).stdout)["checks"]
    assert [claim["result"] for claim in checked["claims"]] == ["cannot tell"]


def test_best_after_halving_is_the_best_of_all_settings(optilab, small):
    """Those that were left at a rung were chosen from, too; a claim is about those that went on."""
    over = ["--over", "optimizer.lr=0.1,0.05,0.01,0.005", "--halving", 2, "--epochs", 2, "--seeds", 3]
    claims = ["--expect", "best: val_acc > 0.99 confidence 0.9", "--expect", "val_acc >= 0"]
    for confirm, chosen_from, groups in (
        (["--confirm", 0], "interval of the best of 4", 2),
        ([], "interval of the best of 2", 2),
    ):
        swept = json.loads(
            optilab("sweep", small, *over, *claims, *confirm, "--name", "h", "--json", code=9).stdout
        )
        (checked,) = json.loads(optilab("check", "h", "--json", code=9).stdout)["checks"]
        assert swept["expect"] == checked["claims"]
        best, *others = swept["expect"]
        assert chosen_from in best["why"]
        assert [claim["result"] for claim in others] == ["holds"] * groups


def test_claims_of_a_training_its_seeds_and_a_sweep(optilab, small, tmp_path):
    config = tmp_path / "claims.yaml"
    config.write_text(small.read_text() + "expect: [val_acc >= 0, val_acc > 0.99]\n")

    def results(*line, code=9):
        document = json.loads(optilab(*line, "--json", code=code).stdout)
        claims = document["expect"] if "expect" in document else document["checks"][0]["claims"]
        return [claim["result"] for claim in claims]

    assert results("train", config, "--name", "one") == ["holds", "fails"]
    assert yaml.safe_load(runs.read(tmp_path / "runs" / "one").config)["expect"][0] == "val_acc >= 0"
    assert results("check", "one") == ["holds", "fails"]
    assert results("check", "one", "--expect", "val_acc >= 0") == ["holds", "fails"]  # each once
    assert results("train", "--resume", "one", "--expect", "epochs == 3") == ["holds", "fails", "holds"]
    assert results("train", config, "--seeds", 2, "--name", "two") == ["holds", "fails"]
    # The claims of the training are not those of the sweep.
    sweep = ("sweep", config, "--over", "optimizer.lr=0.01,0.1", "--expect", "best: val_acc > 0", "--name", "wide")
    assert results(*sweep, code=0) == results("check", "wide", code=0) == ["holds"]


def test_claims_of_a_race_that_was_saved(optilab):
    line = ["race", "--algo", "slow=sgd,momentum", "--function", "ravine", "--budget", 3, "--starts", 5]
    optilab(*line, "--expect", "slow: cost > 1", "--name", "raced", "--quiet")
    shown = optilab("check", "raced", "--expect", "momentum: solved > 2", code=9).stdout
    assert re.search(r"holds +cost > 1 .*slow\n +fails +solved > 2 .*momentum", shown)
    refused = optilab("check", "raced", "--expect", "sgd: cost > 1", code=2).stdout
    assert "unknown optimizer 'sgd'; expected one of" in refused
    assert refused.count("momentum") == 1


def test_targets_of_a_check_do_not_hang_together(optilab, small, tmp_path):
    """An error of one leaves the others."""
    (tmp_path / "wrong.yaml").write_text("optimizer: sgdd\n")
    typed = ["--expect", "epochs == 3", "--out", "out.xml"]
    document = json.loads(optilab("check", small, "wrong.yaml", "nothing", *typed, "--json", code=2).stdout)
    assert document["summary"] == "1 claim: 1 holds; 2 errors"
    suites = [
        (suite.get("name"), suite.get("errors")) for suite in ElementTree.parse(tmp_path / "out.xml").getroot()
    ]
    assert suites == [(str(small), "0"), ("wrong.yaml", "1"), ("nothing", "1")]


@pytest.mark.parametrize(
    ("command", "expect", "of"),
    [
        ("lr: CONFIG", "status == found", ["small"]),
        ("race: {algos: [sgd, adam], functions: [ravine], budget: 2, starts: 2}", "cost > 0", ["sgd", "adam"]),
        (
            "benchmark: {config: CONFIG, algos: [sgd, adam], budget: 2, holdout: 50}",
            "adam: test_acc >= 0",
            ["adam"],
        ),
        ("remedy: {config: CONFIG, only: [relu]}", "val_acc >= 0", ["as it is", "relu"]),
        (
            "remedy: {config: CONFIG, only: [relu], over: {optimizer.lr: [1, 2]}}",
            "relu, lr 1: val_acc >= 0",
            ["relu, lr 1"],
        ),
        ("sweep: {config: CONFIG, over: {optimizer.lr: [0.1, 1]}}", "lr 1: val_acc >= 0", ["lr 1"]),
    ],
)
def test_file_of_claims_runs_every_command(optilab, small, tmp_path, command, expect, of):
    """And what it has made is judged again from the disk, with the same result."""
    settings = "" if "functions" in command else "  set: {epochs: 1}\n"
    text = f"checks:\n- name: one\n  {command.replace('CONFIG', str(small))}\n{settings}  expect: '{expect}'\n"
    (tmp_path / "file.yaml").write_text(text)
    (made,) = json.loads(optilab("check", "file.yaml", "--json").stdout)["checks"]
    assert {claim["result"] for claim in made["claims"]} == {"holds"}
    assert sorted(claim["of"] for claim in made["claims"]) == sorted(of)
    if made["runs"]:
        (again,) = json.loads(optilab("check", *made["runs"], "--json").stdout)["checks"]
        assert again["claims"] == made["claims"]


def test_claim_that_cannot_be_judged_leaves_the_others(optilab, small):
    optilab("train", small, "--epochs", 1, "--name", "a", "--set", "expect=[val_loss < 99]", "--quiet")
    wrong = ("val_ac > 0.1", "zork: val_acc > 0", "val_acc at 9 > 0", "val_acc >= 0")
    expect = [text for claim in wrong for text in ("--expect", claim)]
    (checked,) = json.loads(optilab("check", "a", *expect, "--json", code=2).stdout)["checks"]
    assert [claim["claim"] for claim in checked["claims"]] == ["val_loss < 99", "val_acc >= 0"]
    assert all(word in checked["error"]["message"] for word in ("val_ac", "zork", "epoch 9"))


def test_study_is_read_without_its_code(optilab, small, tmp_path):
    code = tmp_path / "mine.py"
    code.write_text("def halved(w, g, lr: float = 0.1):\n    return w - lr / 2 * g\n")
    line = "--set optimizer=mine.py:halved --over optimizer.lr=0.1,0.2,0.3 --epochs 1 --confirm 0 --name s --quiet"
    optilab("sweep", small, *line.split(), "--expect", "val_acc >= 0")
    code.unlink()
    assert "3 hold" in optilab("check", "s").stdout
    assert optilab("runs", "plot", "s", "--out", "s.svg", "--quiet").stdout == "s.svg\n"


def test_damaged_diagnostics_leave_the_other_claims(optilab, tmp_path):
    path = training(tmp_path / "runs", "a")
    (path / "diagnostics.jsonl").write_text("{\n{}\n")
    claims = ("grad_ratio > 0.1", "val_acc >= 0", "grad_ratio < 9")
    expect = [text for claim in claims for text in ("--expect", claim)]
    (checked,) = json.loads(optilab("check", "a", *expect, "--json", code=3).stdout)["checks"]
    assert [claim["claim"] for claim in checked["claims"]] == ["val_acc >= 0"]
    assert checked["error"]["message"].count("diagnostics.jsonl") == 1


def test_annotations_are_where_github_reads_them(optilab):
    arguments = ["check", "adam.yaml", "--expect", "f < 1e-9", "--json"]
    done = optilab(*arguments, code=9, GITHUB_ACTIONS="true")
    json.loads(done.stdout)
    assert done.stderr.startswith("::error title=optilab::adam.yaml: fails")
    assert "::error" not in optilab(*arguments, code=9, GITHUB_ACTIONS="").stderr


# --- the pages ---------------------------------------------------------------------------------------------


def blocks(language):
    """The blocks of the two pages in a language whose first line names a file: name -> text."""
    code_by_name = re.findall(
        rf"^```{language}\n# (\S+)\n(.*?)^```",
        "".join(page.read_text() for page in PAGES),
        flags=re.DOTALL | re.MULTILINE,
    )
    return dict(code_by_name)


@pytest.fixture
def machine(tmp_path):
    """A folder with the page's claims.yaml, and an environment whose `optilab` is this one."""
    (tmp_path / "claims.yaml").write_text(blocks("yaml")["claims.yaml"])
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, command in {"optilab": f'{" ".join(OPTILAB)} "$@"', "pip": 'echo "$@" > pip.txt'}.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{command}\n")
        (bin_ / name).chmod(0o755)
    variables = environment(PATH=f"{bin_}:{os.environ['PATH']}")
    return tmp_path, {name: value for name, value in variables.items() if not name.startswith("GITHUB")}


def test_shell_script_of_the_page_runs(machine):
    folder, environment = machine
    script = blocks("bash")["claims.sh"]
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"adam.json", "run.xml", "claims.xml"} <= {path.name for path in folder.iterdir()}
    failing = script.replace("distance < 0.14", "distance < 0.0014")
    assert failing != script
    done = subprocess.run(["bash", "-c", failing], cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 9


@pytest.mark.nightly  # its commands are those of the script above
def test_workflow_of_the_page_runs(machine):
    """Every `run` of the workflow, in order, as GitHub's shell runs it, and the files that it hands on."""
    folder, environment = machine
    workflow = yaml.safe_load(blocks("yaml")[".github/workflows/claims.yml"])
    (job,) = workflow["jobs"].values()
    assert list(job["env"]) == ["OPTILAB_DATA"]  # a cache, which this machine has elsewhere
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            command = ["bash", "-e", "-c", step["run"]]
            done = subprocess.run(
                command, cwd=folder, env={**environment, "GITHUB_ACTIONS": "true"}, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
    uploaded = job["steps"][-1]["with"]["path"]
    assert ElementTree.parse(folder / uploaded).getroot().tag == "testsuites"
    assert (folder / "pip.txt").read_text() == "install -r requirements.txt\n"


FILES = [ROOT / "docs" / "claims.yaml", ROOT / "docs" / "measured" / "claims.yaml"]
CHECKS = [check for file in FILES for check in yaml.safe_load(file.read_text())["checks"]]


def page_of(check):
    """The text of the page that a check names first."""
    name = check["name"].partition(":")[0]
    return (ROOT / "README.md" if name == "README" else ROOT / "docs" / name).read_text()


def statements(page):
    """The paragraphs of a page, and each row of its tables by itself."""
    for paragraph in re.split(r"\n\s*\n", page):
        is_table = re.search(r"^\||\S {2,}\S", paragraph, flags=re.MULTILINE)
        yield from paragraph.splitlines() if is_table else [paragraph]


def is_stated(text, page):
    """Whether a statement of the page has the number of a claim and the name of what it is about, `NETWORK/NAME: `."""
    value = float(text.split("==")[1].split("+-")[0])
    forms = {f"{value:g}", f"{100 * value:.0f}", f"{100 * value:.1f}", f"{value:.3g}", f"{value:.1f}"}
    forms |= {form.replace("e-0", "e-") for form in forms} | {text.split("==")[1].split()[0]}
    about = text.rpartition(": ")[0].rpartition("/")[2]
    words = re.findall(r"[a-z][\w-]+", about.lower())
    return any(
        forms & {*re.findall(r"(?<![\d.])\d+(?:\.\d+)?(?:e-?\d+)?", statement)}
        and all(word in statement.lower() for word in words)
        for statement in statements(page)
    )


def test_claimed_number_is_printed_on_its_page():
    for check in CHECKS:
        texts = check["expect"] if isinstance(check["expect"], list) else [check["expect"]]
        for text in (text for text in texts if "+-" in text):
            assert is_stated(text, page_of(check)), f"{check['name']}: {text}"


def test_number_of_another_row_is_no_statement():
    """Negative control."""
    table = "optimizer  solved\nadam          77%\nrmsprop       76%\n\nIn all, 50% of 16."
    assert is_stated("adam: solved == 0.77 +- 0.01", table)
    assert not is_stated("rmsprop: solved == 0.77 +- 0.01", table)
    assert not is_stated("adam: solved == 0.5 +- 0.01", table)


def test_what_a_claim_compares_is_named_on_its_page():
    """A number may stand there for another reason."""
    for check in CHECKS:
        for key, values in (check.get("sweep") or {}).get("over", {}).items():
            words = [
                key.split(".")[-1],
                *(value for value in values if isinstance(value, str) and value.isalpha()),
            ]
            assert [word for word in words if word not in page_of(check)] == [], check["name"]


def test_numbers_of_the_documentation_hold(optilab):
    optilab("check", ROOT / "docs" / "claims.yaml")


@pytest.mark.release
def test_slow_numbers_of_the_documentation_hold(optilab):
    optilab("check", ROOT / "docs" / "claims.yaml", "--slow")
