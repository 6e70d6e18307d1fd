"""Claims about results: how they are read, judged and shown, and the pages that depend on them."""

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml

from optilab import runs
from optilab.commands.answer import claim_lines
from optilab.config import load as load_module
from optilab.config.claims import OPERATORS, expectations
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig
from optilab.errors import ConfigError
from optilab.runs import Record
from optilab.study.claims import ClaimResult, of_trainings
from tests.pages import ROOT
from tests.study.generated import training

CI = ROOT / "docs" / "ci.md"


def write_run(folder, seed, val_acc, status="done", lr=0.01):
    changes = f"seed={seed}", f"optimizer.lr={lr}"
    return runs.read(training(folder, f"lr{lr}-s{seed}", *changes, accuracies=val_acc, status=status))


def judged(records, *texts):
    return [(one.result, one.measured) for one in of_trainings(expectations("train", texts), records)]


@pytest.mark.parametrize(
    "text",
    [
        "val_acc > 0.8",
        "val_acc at best >= 0.8",
        "val_loss at 5 < 0.5 confidence 0.9",
        "lr 0.1, norm batch: val_acc at area <= 0.123456789012345",
        "epochs == 3",
        "status == diverged",
        "val_acc at best == 0.85 +- 0.01",
        "relu/adam: val_acc == 1e-07 +- 5e-10",
    ],
)
def test_a_claim_is_read_as_it_is_written(text):
    (claim,) = expectations("train", [text])
    assert (f"{claim.of}: " if claim.of else "") + claim.text == text
    config = load(TrainConfig, {"optimizer": "sgd", "expect": [text]})
    assert dump(config)["expect"] == [text]
    assert load(TrainConfig, dump(config)) == config


def test_a_mapping_means_the_same_as_a_text():
    mapping = {"metric": "val_acc", "above": "8e-1", "at": "best", "confidence": 0.95}
    config = load(TrainConfig, {"optimizer": "sgd", "expect": [mapping, "val_acc at best > 0.8 confidence 0.95"]})
    assert config.expect[0] == config.expect[1]


@pytest.mark.parametrize("value", [0.79, 0.8, 0.81])
@pytest.mark.parametrize("sign", sorted(OPERATORS))
def test_the_signs(sign, value):
    (claim,) = expectations("train", [f"val_acc {sign} 0.8"])
    assert claim.admits(value) == eval(f"value {'==' if sign == '=' else sign} 0.8")


@pytest.mark.parametrize(
    ("value", "holds"), [(0.789, False), (0.7901, True), (0.8, True), (0.8099, True), (0.811, False)]
)
def test_a_number_with_a_tolerance(value, holds):
    for given in ("val_acc == 0.8 +- 0.01", {"metric": "val_acc", "equals": 0.8, "within": 0.01}):
        (claim,) = expectations("train", [given])
        assert claim.admits(value) == holds


def test_every_word_that_a_metric_can_have_can_be_typed():
    (claim,) = expectations("race", ["adam: verdict == cannot tell"])
    assert claim.admits("cannot tell")
    assert not claim.admits("slower")


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("train", "val_acc > 0.8 +- 0.1", "+-: expected == and a number"),
        ("train", "status == done +- 0.1", "+-: expected == and a number"),
        ("train", "val_acc == 0.8 +- 2", "+-: expected less than 1"),
        ("train", "val_acc > 80", "expected a fraction from 0 to 1, got 80"),
        ("train", "val_acc == 0.8 +- 0", "must be greater than 0"),
        ("lr", "loss < 1", "one of rate, status"),
        ("lr", "rate < 1 confidence 0.9", "only trainings"),
        ("train", "val_ac > 0.8", 'did you mean "val_acc"'),
        ("train", "val_acc", "expected a claim such as 'val_acc > 0.8'"),
        ("train", "val_acc == high", "expected val_acc == NUMBER, got 'val_acc == high'"),
        ("train", "status > 3", "expected status == WORD, got 'status > 3'"),
        ("train", "val_acc == 0.8 confidence 0.95", "confidence: expected >, >=, < or <="),
        ("train", "val_acc > 0.8 confidence 0.3", "must be greater than 0.5"),
        ("train", "val_acc > 0.8 confidence 2", "confidence: must be less than 1"),
        ("train", "val_acc at 0 > 0.8", "expected an epoch from 1, got 0"),
        ("train", "test_acc at best > 0.8", "test_acc has one value"),
        ("train", "distance < 1", "unknown metric"),
        ("optimize", "f < 1 confidence 0.95", "only trainings"),
        ("optimize", "f at best < 1", "only trainings"),
        ("race", "f < 1", "one of cost, ratio, solved, verdict"),
    ],
)
def test_what_is_not_a_claim_is_refused(command, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        expectations(command, [text])


def test_every_seed_has_to_meet_a_claim_without_a_confidence(tmp_path):
    records = [write_run(tmp_path, seed=seed, val_acc=[0.5, value]) for seed, value in enumerate([0.7, 0.8, 0.9])]
    assert judged(records, "val_acc > 0.65", "val_acc > 0.75", "val_acc < 0.85") == [
        ("holds", 0.7),
        ("fails", 0.7),
        ("fails", 0.9),
    ]


def test_the_seed_that_is_furthest_from_a_bound_is_shown(tmp_path):
    records = [write_run(tmp_path, seed=seed, val_acc=[value]) for seed, value in enumerate([0.7, 0.8, 0.95])]
    assert judged(records, "val_acc > 0.1", "val_acc < 1", "val_acc == 0.8") == [
        ("holds", 0.7),
        ("holds", 0.95),
        ("fails", 0.95),
    ]


def test_a_tolerance_is_about_the_mean_of_the_seeds(tmp_path):
    records = [write_run(tmp_path, seed=seed, val_acc=[value]) for seed, value in enumerate([0.7, 0.8, 0.96])]
    (near, far) = of_trainings(
        expectations("train", ["val_acc == 0.8 +- 0.03", "val_acc == 0.8 +- 0.01"]), records
    )
    assert (near.result, far.result) == ("holds", "fails")
    assert near.measured == far.measured == pytest.approx(0.82)
    assert near.why == "mean of 3 seeds"


def test_a_lone_run_is_told_what_gives_a_confidence(tmp_path):
    (one,) = of_trainings(
        expectations("train", ["val_acc > 0.8 confidence 0.95"]), [write_run(tmp_path, 0, [0.9])]
    )
    assert (one.result, one.why) == ("cannot tell", "1 seed; more seeds would tell: train with --seeds 5")


def test_equal_seeds_are_told_how_many_of_them_would_do(tmp_path):
    """Nothing varies, so the sign-flip test judges, whose p is 2^(1 - n)."""
    claim = expectations("train", ["val_acc > 0.8 confidence 0.95"])
    records = [write_run(tmp_path, seed=seed, val_acc=[1.0]) for seed in range(6)]
    (few,), (enough,) = of_trainings(claim, records[:5]), of_trainings(claim, records)
    assert (few.result, few.why) == ("cannot tell", "5 seeds, all equal; 6 equal ones would tell")
    assert (enough.result, enough.why) == ("holds", "6 seeds, all equal")
    (later,) = of_trainings(claim, records, looks=1)
    assert later.why == "6 seeds, all equal; 7 equal ones would tell"


def test_a_claim_with_a_confidence_is_about_the_mean(tmp_path):
    values = [0.80, 0.82, 0.81, 0.83, 0.79, 0.81]
    records = [write_run(tmp_path, seed=seed, val_acc=[value]) for seed, value in enumerate(values)]
    results = judged(records, *(f"val_acc > {bound} confidence 0.95" for bound in (0.79, 0.81, 0.83)))
    assert [result for result, _ in results] == ["holds", "cannot tell", "fails"]
    assert results[0][1] == pytest.approx(0.81)
    assert judged(records[:1], "val_acc > 0.1 confidence 0.95") == [("cannot tell", 0.8)]


def test_a_confidence_is_kept_by_simulated_means(tmp_path):
    """A claim whose bound is the true mean gets a verdict in about 5 of 100 cases, on either side together."""
    import numpy as np

    from optilab.study.claims import _of_mean

    (claim,) = expectations("train", ["val_acc > 0.5 confidence 0.95"])
    draws = np.random.default_rng(1).normal(0.5, 0.02, (1000, 5))
    told = sum(_of_mean(claim, "", dict(enumerate(row))).result != "cannot tell" for row in draws)
    assert 30 <= told <= 70  # 50 +- 3 standard errors


@pytest.mark.parametrize(("groups", "seeds"), [(6, 3), (18, 5)])
def test_a_confidence_allows_for_the_choice_of_the_best(groups, seeds):
    """Of equal groups whose mean is the bound, the best passes in at most 2.5 of 100 tables, not in 10 or 25."""
    import numpy as np

    from optilab.study.claims import _of_mean

    (claim,) = expectations("train", ["best: val_acc > 0.5 confidence 0.95"])
    tables = np.random.default_rng(2).normal(0.5, 0.02, (600, groups, seeds))
    best = [max(table, key=np.mean) for table in tables]
    alone, allowed = (
        sum(_of_mean(claim, "", dict(enumerate(row)), best_of=count).holds for row in best)
        for count in (1, groups)
    )
    assert allowed <= 26  # 15, and 3 standard errors
    assert alone > 2 * allowed


def test_a_study_that_has_failed_or_stopped_cannot_be_judged(optilab, small, tmp_path):
    command = [
        "sweep",
        small,
        "--over",
        "data.batch_size=33,50",
        "--set",
        "model.norm=batch",
        "--name",
        "s",
        "--quiet",
    ]
    optilab(*command, code=8)
    judged = optilab("check", "s", "--expect", "val_acc >= 0", code=9).stdout
    assert "cannot tell" in judged
    assert "the study is failed, 1 of 2 trials failed" in judged


def test_a_claim_is_about_those_that_halving_left(optilab, small):
    command = [
        "sweep",
        small,
        "--over",
        "optimizer.lr=0.1,0.01,0.001",
        "--halving",
        2,
        "--epochs",
        4,
        "--confirm",
        0,
        "--name",
        "h",
    ]
    swept = optilab(*command, "--expect", "val_acc >= 0").stdout
    assert "3 to epoch 2, 1 to epoch 4: at each rung the best by mean val_acc went on" in swept
    assert "to the end: optimizer.lr 0." in swept
    assert "1 claim: 1 holds" in optilab("check", "h").stdout
    assert "stopped after epoch 2 of 4" in optilab("runs", "compare", "h").stdout


def test_the_best_after_halving_is_the_best_of_all_settings(optilab, small):
    """Those that were left at a rung were chosen from, too."""
    over = ["--over", "optimizer.lr=0.1,0.05,0.01,0.005", "--halving", 2, "--epochs", 2, "--seeds", 3]
    claim = ["--expect", "best: val_acc > 0.99 confidence 0.9"]
    swept = optilab("sweep", small, *over, *claim, "--confirm", 0, "--name", "h", code=9).stdout
    assert "interval of the best of 4" in swept
    assert "interval of the best of 4" in optilab("check", "h", code=9).stdout
    confirmed = optilab("sweep", small, *over, *claim, "--name", "h", code=9).stdout
    assert "then the best 2 x 5 new seeds" in confirmed
    for judged in (confirmed, optilab("check", "h", code=9).stdout):
        assert "5 seeds, 0.9 interval of the best of 2" in judged


def test_an_unknown_metric_is_named_where_it_was_typed(optilab, small):
    optilab("train", small, "--name", "one", "--quiet")
    said = optilab("check", "one", "--expect", "acuracy > 0.5", code=2).stdout
    assert "--expect: unknown metric 'acuracy'" in said
    assert "config show" not in said


def test_a_group_or_the_best_is_named(tmp_path):
    low = [write_run(tmp_path, seed=seed, val_acc=[0.2], lr=0.1) for seed in (1, 2)]
    high = [write_run(tmp_path, seed=seed, val_acc=[0.9], lr=1.0) for seed in (1, 2)]
    claims = ["best: val_acc > 0.8", "best: val_acc < 0.8", "lr 0.1: val_acc > 0.8", "val_acc > 0.8"]
    assert judged(low + high, *claims) == [
        ("holds", 0.9),
        ("fails", 0.9),
        ("fails", 0.2),
        ("fails", 0.2),
        ("holds", 0.9),
    ]


def test_a_diverged_training_is_the_worst_and_an_unfinished_one_cannot_be_judged(tmp_path):
    diverged = write_run(tmp_path, seed=1, val_acc=[0.9], status="diverged")
    assert judged([diverged], "val_acc > 0.1", "status == diverged") == [("fails", 0.1), ("holds", "diverged")]
    stopped = write_run(tmp_path, seed=2, val_acc=[0.9], status="interrupted")
    assert judged([stopped], "val_acc > 0.1") == [("cannot tell", None)]
    assert judged([], "val_acc > 0.1") == [("cannot tell", None)]


# --- the commands ------------------------------------------------------------------------------------------


def test_optimize(optilab, tmp_path):
    done = optilab("optimize", "--algo", "adam", "--expect", "distance < 0.2", "--expect", "f < 1e-9", code=9)
    assert [line.split()[0] for line in done.stdout.splitlines()[-2:]] == ["holds", "fails"]
    document = json.loads(
        optilab("optimize", "--algo", "adam,sgd", "--expect", "sgd: w1 at 0 == -5", "--json").stdout
    )
    assert document["expect"] == [
        {"claim": "w1 at 0 == -5", "of": "sgd", "measured": -5.0, "result": "holds", "why": ""}
    ]
    quiet = optilab("optimize", "--algo", "adam", "--expect", "status == converged", "--quiet", code=9)
    assert len(quiet.stdout.splitlines()) == 1
    assert "fails" in quiet.stderr
    assert "optilab: fails: status == converged; measured moving" in quiet.stderr
    silent = optilab("check", quiet.stdout.strip(), "--quiet", code=9)
    assert silent.stdout == ""
    assert ": fails: status == converged; measured moving" in silent.stderr
    again = optilab("check", quiet.stdout.strip(), code=9)
    assert "fails         status == converged   moving" in again.stdout


def test_a_race(optilab):
    arguments = ["race", "--algo", "sgd,momentum", "--function", "ravine,booth", "--budget", 2, "--starts", 2]
    arguments += ["--repeats", 1, "--no-cache"]
    document = json.loads(optilab(*arguments, "--expect", "momentum: cost > 0", "--json").stdout)
    assert [one["result"] for one in document["expect"]] == ["holds"]
    optilab(*arguments, "--expect", "cost < 0.001", "--quiet", code=9)


def test_a_training_its_seeds_and_a_sweep(optilab, small, tmp_path):
    config = tmp_path / "claims.yaml"
    config.write_text(small.read_text() + "expect: [val_acc >= 0, {metric: val_acc, above: 0.99}]\n")
    one = optilab("train", config, "--name", "one", "--no-picture", code=9)
    assert [line.split()[0] for line in one.stdout.splitlines()[-2:]] == ["holds", "fails"]
    assert json.loads(optilab("check", "one", "--json", code=9).stdout)["summary"] == "2 claims: 1 holds, 1 fails"
    complete = optilab("train", "--resume", "one", "--expect", "epochs == 3", "--json", code=9)
    assert [claim["result"] for claim in json.loads(complete.stdout)["expect"]] == ["holds", "fails", "holds"]
    seeds = optilab("train", config, "--seeds", 2, "--name", "two", "--json", code=9)
    assert [claim["why"] for claim in json.loads(seeds.stdout)["expect"]] == [
        "met by 2 of 2 seeds",
        "met by 0 of 2 seeds",
    ]
    assert "1 holds, 1 fails" in optilab("check", "two", code=9).stdout
    swept = optilab(
        *("sweep", config, "--over", "optimizer.lr=0.01,0.1", "--expect", "best: val_acc > 0", "--name", "wide")
    )
    assert "holds         val_acc > 0 " in swept.stdout
    assert "fails" not in swept.stdout  # the claims of the training are not those of the sweep
    assert "1 holds" in optilab("check", "wide").stdout


def test_check_runs_what_it_can_and_reports_every_target(optilab, small, tmp_path):
    (tmp_path / "wrong.yaml").write_text("optimizer: sgdd\n")
    (tmp_path / "plain.yaml").write_text("algo: adam\n")
    (tmp_path / "file.yaml").write_text(
        "checks:\n- {name: quick, optimize: adam.yaml, set: {epochs: 3}, expect: f < 10}\n"
        f"- {{name: trained, train: {small}, expect: 'epochs == 3'}}\n"
        "- {name: slow one, slow: true, optimize: adam.yaml, expect: f > 10}\n"
    )
    targets = ["file.yaml", "wrong.yaml", "plain.yaml", "nothing"]
    done = optilab("check", *targets, "--out", "out.xml", code=2)
    assert done.stdout.splitlines()[0] == "quick"
    assert "no claim to judge" in done.stdout
    assert "no run 'nothing'" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 claims: 2 hold; 3 errors"
    root = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert [suite.get("name") for suite in root] == ["quick", "trained", *targets[1:]]
    assert [suite.get("errors") for suite in root] == ["0", "0", "1", "1", "1"]
    optilab("check", "file.yaml", "--slow", code=9)
    seeds = optilab("check", "file.yaml", "--only", "trained", "--seeds", 2).stdout
    assert "met by 2 of 2 seeds" in seeds
    quiet = optilab("check", "file.yaml", "--quiet")
    assert (quiet.stdout, "file.yaml: 1 slow check left out; --slow runs them, too" in quiet.stderr) == ("", True)
    optilab("check", "file.yaml", "--out", "out.txt", code=2)
    optilab("check", "file.yaml", "--out", "no/out.xml", code=2)


@pytest.mark.parametrize(
    ("command", "expect", "of"),
    [
        ("lr: CONFIG", "status == found", ["small"]),
        ("race: {algos: [sgd, adam], functions: [ravine], budget: 2, starts: 2}", "cost > 0", ["sgd", "adam"]),
        ('race: {algos: [sgd, adam], "on": [CONFIG], budget: 2, holdout: 50}', "adam: near >= 0", ["adam"]),
        ("remedy: {config: CONFIG, only: [relu]}", "val_acc >= 0", ["as it is", "relu"]),
        ("remedy: {config: CONFIG, only: [relu]}", "as it is: status == done", ["as it is"]),
        ("remedy: {config: CONFIG, only: [relu], tune: 2, holdout: 50}", "relu: test_acc >= 0", ["relu"]),
        ("sweep: {config: CONFIG, over: {optimizer.lr: [0.1, 1]}}", "lr 1: val_acc >= 0", ["lr 1"]),
    ],
)
def test_a_file_of_claims_runs_every_command(optilab, small, tmp_path, command, expect, of):
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


def test_a_claim_about_another_name_is_refused_before_the_range_test(optilab, small, tmp_path):
    (tmp_path / "file.yaml").write_text(f"checks:\n- name: one\n  lr: {small}\n  expect: 'other: rate > 1'\n")
    refused = optilab("check", "file.yaml", code=2).stdout
    assert "'other: rate > 1' can never be judged: unknown name 'other'; expected small" in refused


def test_a_remedy_and_a_rate_are_judged_by_their_commands(optilab, small):
    remedy = ["remedy", small, "--only", "relu", "--epochs", 1]
    done = optilab(*remedy, "--expect", "relu: val_acc > 0.99", "--name", "one", code=9)
    assert done.stdout.splitlines()[-1].startswith("fails         val_acc > 0.99")
    assert "fails" in optilab("check", "one", code=9).stdout
    document = json.loads(optilab(*remedy, "--expect", "val_acc >= 0", "--json").stdout)
    assert [one["of"] for one in document["expect"]] == ["as it is", "relu"]
    refused = optilab(*remedy, "--tune", 2, "--expect", "val_acc > 0", code=2)
    assert "one of test_acc, epochs, near, verdict" in refused.stderr
    changes = ["--steps", 200, "--set", "data.images=2000"]
    rate = ["lr", "relu.yaml", *changes]
    document = json.loads(
        optilab(*rate, "--expect", "rate > 1e-9", "--expect", "rate > 99", "--json", code=9).stdout
    )
    assert [one["result"] for one in document["expect"]] == ["holds", "fails"]
    assert [one["measured"] for one in document["expect"]] == [document["rate"]] * 2
    still = ["lr", "sigmoid.yaml", *changes, "--quiet"]
    assert optilab(*still, "--expect", "status == unmoved").stdout == ""
    assert "the network does not move" in optilab(*still, "--expect", "rate > 0", code=9).stderr


def test_only_those_that_are_named(optilab, tmp_path):
    entry = "- {{name: {}, optimize: adam, expect: f {} 10}}\n"
    (tmp_path / "file.yaml").write_text("checks:\n" + entry.format("page.md one", ">") + entry.format("two", "<"))
    assert optilab("check", "file.yaml", "--only", "two").stdout.startswith("two\n  holds")
    optilab("check", "file.yaml", "--only", "page*", code=9)
    assert (
        "no check that is not slow has a name like" in optilab("check", "file.yaml", "--only", "x", code=2).stderr
    )


def test_annotations_are_where_github_reads_them_and_nowhere_else(optilab):
    arguments = ["check", "adam.yaml", "--expect", "f < 1e-9", "--json"]
    done = optilab(*arguments, code=9, GITHUB_ACTIONS="true")
    json.loads(done.stdout)
    assert done.stderr.startswith("::error title=optilab::adam.yaml: fails")
    assert optilab(*arguments, code=9, GITHUB_ACTIONS="1").stderr == done.stderr
    assert "::error" not in optilab(*arguments, code=9, GITHUB_ACTIONS="").stderr


def test_junit_keeps_hostile_names_as_text(optilab, tmp_path):
    name = '<b>&"x" \\u0001'
    (tmp_path / "file.yaml").write_text(f"checks: [{{name: {json.dumps(name)}, optimize: adam, expect: f < 0}}]")
    optilab("check", "file.yaml", "--out", "out.xml", code=9)
    (suite,) = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert suite.get("name") == name
    assert suite[0][0].get("type") == "fails"
    assert suite[0][0].get("message") == "fails: f < 0; measured 0.010526742 (adam)"


# --- the pages ---------------------------------------------------------------------------------------------


def blocks(language):
    """The blocks of docs/ci.md in a language whose first line names a file: name -> text."""
    found = re.findall(rf"^```{language}\n# (\S+)\n(.*?)^```", CI.read_text(), flags=re.DOTALL | re.MULTILINE)
    return dict(found)


@pytest.fixture
def machine(tmp_path):
    """A folder with the page's claims.yaml, and an environment whose `optilab` is this one."""
    (tmp_path / "claims.yaml").write_text(blocks("yaml")["claims.yaml"])
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, command in {"optilab": f'"{sys.executable}" -m optilab "$@"', "pip": 'echo "$@" > pip.txt'}.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{command}\n")
        (bin_ / name).chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OPTILAB_RUNS", "GITHUB"))}
    return tmp_path, {**clean, "PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def test_the_shell_script_of_the_page_runs(machine):
    folder, environment = machine
    script = blocks("bash")["claims.sh"]
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"adam.json", "run.xml", "claims.xml"} <= {path.name for path in folder.iterdir()}
    failing = script.replace("2 --expect 'val_acc > 0.5'", "1 --expect 'val_acc > 0.999'")
    assert failing != script
    done = subprocess.run(["bash", "-c", failing], cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 9


def test_the_workflow_of_the_page_runs(machine):
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


@pytest.mark.parametrize("check", CHECKS, ids=[check["name"] for check in CHECKS])
def test_a_claim_about_a_number_is_about_one_that_its_page_prints(check):
    texts = check["expect"] if isinstance(check["expect"], list) else [check["expect"]]
    for text in texts:
        if "+-" in text:
            value = float(text.split("==")[1].split("+-")[0])
            forms = {f"{value:g}", f"{100 * value:.0f}", f"{100 * value:.1f}", f"{value:.3g}", f"{value:.1f}"}
            forms |= {form.replace("e-0", "e-") for form in forms} | {text.split("==")[1].split()[0]}
            numbers = set(re.findall(r"(?<![\d.])\d+(?:\.\d+)?(?:e-?\d+)?", page_of(check)))
            assert forms & numbers, f"{text}: none of {sorted(forms)} in the page"


TABLES = ("vanishing-gradient.md", "optimizers.md", "races-measured.md", "rate-methods.md")


def test_every_row_of_the_tables_of_results_is_claimed():
    """Rows of Markdown with an accuracy in per cent, and those of the outputs of `remedy` and `race`."""
    missing = []
    for page in TABLES:
        text = (ROOT / "docs" / page).read_text()
        rows = {
            match[1]
            for match in re.finditer(
                r"^\| `?([\w/-]+)`? \|.*(?:\d\.\d %|\(\d\d\.\d(?:\)| to)).*\|$", text, re.MULTILINE
            )
        }
        rows |= set(re.findall(r"^([a-z][\w-]*(?: it is)?) {2,}[\d ]+[\d.]+%", text, re.MULTILINE))
        rows |= set(re.findall(r"^([a-z][\w-]*) {2,}[\d.]+ +\d\.\d\d .*%", text, re.MULTILINE))
        claimed = " ".join(json.dumps(check) for check in CHECKS if check["name"].startswith(page))
        names = {"sigmoid": "as it is"} if page == "vanishing-gradient.md" else {}
        missing += [f"{page}: {row}" for row in rows if names.get(row, row) not in claimed]
    assert not missing


def test_the_numbers_of_the_documentation(optilab):
    optilab("check", ROOT / "docs" / "claims.yaml")


@pytest.mark.release
def test_the_numbers_of_the_documentation_that_take_long(optilab):
    optilab("check", ROOT / "docs" / "claims.yaml", "--slow")


def test_a_run_keeps_its_claims(optilab, small, tmp_path):
    optilab("train", small, "--expect", "val_acc >= 0", "--name", "kept", "--quiet")
    config = runs.read(tmp_path / "runs" / "kept").config
    assert yaml.safe_load(config)["expect"] == ["val_acc >= 0"]
    assert "1 claim: 1 holds" in optilab("check", "kept", "--expect", "val_acc >= 0").stdout  # each once


def test_claims_are_printed_in_columns():
    judged = [ClaimResult("f < 1", of, 0.5, "holds", "met by 2 of 2 seeds") for of in ("sgd", "momentum")]
    places = {line.index("met by") for line in claim_lines(judged)}
    assert len(places) == 1
    assert claim_lines([ClaimResult("f < 1", "", 0.5, "holds")]) == ["holds         f < 1   0.5"]


def test_a_claim_that_cannot_be_judged_leaves_the_others(optilab, small, tmp_path):
    """A typo, a name that no group has, an epoch that there is not; what a check trained is named."""
    optilab("train", small, "--epochs", 1, "--name", "a", "--set", "expect=[val_loss < 99]", "--quiet")
    wrong = ("val_ac > 0.1", "zork: val_acc > 0", "val_acc at 9 > 0", "val_acc >= 0")
    expect = [text for claim in wrong for text in ("--expect", claim)]
    said = optilab("check", "a", *expect, code=2).stdout
    assert "did you mean \"val_acc\"?\n                --expect: unknown group 'zork'" in said
    assert "there is no epoch 9" in said
    assert said.endswith("2 claims: 2 hold; 1 error\n")
    (found,) = json.loads(optilab("check", "a", *expect, "--json", code=2).stdout)["checks"]
    assert [claim["claim"] for claim in found["claims"]] == ["val_loss < 99", "val_acc >= 0"]
    assert "val_ac" in found["error"]["message"]
    checked = optilab("check", small, "--epochs", 1, "--expect", "val_acc >= 0").stdout
    (made,) = [line.strip() for line in checked.splitlines() if "-check-" in line]
    assert runs.read_study(tmp_path / made).state == "done"


def test_the_config_of_a_run_is_read_once(optilab, tmp_path, monkeypatch):
    """Of a thousand runs most of the time is spent there."""
    training(tmp_path / "runs", "one", "expect=val_acc > 0", accuracies=[0.5])
    reads, asked, opened = [], Record.read_asked, load_module._bytes
    monkeypatch.setattr(Record, "read_asked", lambda record: reads.append(record.name) or asked(record))
    monkeypatch.setattr(load_module, "_bytes", lambda path: reads.append(str(path)) or opened(path))
    assert "2 claims: 2 hold" in optilab("check", "one", "--expect", "val_acc < 0.6").stdout
    assert reads == ["one"]


def test_check_trains_with_the_epochs_and_settings_that_are_typed(optilab, small, tmp_path):
    typed = ["--epochs", 1, "--set", "optimizer.lr=0.02", "--expect", "epochs == 1"]
    [checked] = json.loads(optilab("check", small, *typed, "--json").stdout)["checks"]
    [trained], _ = runs.read_study(tmp_path / checked["runs"][0]).runs()
    assert trained.manifest["config"]["optimizer"]["lr"] == 0.02
