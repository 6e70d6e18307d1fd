"""Benchmarks: equal budgets, settings that grow, verdicts about equal and about worse rules."""

import json
import re
import shutil
from dataclasses import replace
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest

from optilab import runs
from optilab.answer import benchmarks, comparison_page
from optilab.config.claims import expectations
from optilab.config.keys import shipped
from optilab.config.load import load
from optilab.config.study import BenchmarkConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.judge import claims
from optilab.judge.curves import history
from optilab.judge.groups import Group
from optilab.judge.judge import summarize
from optilab.optimize import RULES
from optilab.show.chart import Band
from optilab.study import benchmark, results, tuning_space
from optilab.study.benchmark import benchmark_plan
from tests.kit.command import run
from tests.kit.generated import backwards

OWN = """
def momentum(w, g, lr=0.01, momentum=0.9, rho=0.05, push=0.5, warm=3, eps=1e-8, nesterov=True):
    return w - g
"""
ADAM = """
import numpy as np


def twin(w, g, V, S, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    V, S = beta1 * V + (1 - beta1) * g, beta2 * S + (1 - beta2) * g**2
    return w - lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps), V, S


def lazy(w, g, lr=0.01, tiny=1e-6):
    return w - tiny * lr * g
"""
"""Adam under another name, and a millionth of a step."""


def plan(**settings):
    asked = {
        "config": ["relu", "tanh"],
        "algos": ["sgd", "adam", "rmsprop"],
        "budget": 4,
        "repeats": 1,
        **settings,
    }
    return benchmark.spec_of(BenchmarkConfig(**asked))


# --- the plan ----------------------------------------------------------------------------------------------


def test_the_settings_of_a_wrapped_rule_are_tuned():
    """And of muon both learning rates."""
    sgd, sam, muon, lookahead = plan(config=["relu"], algos=["sgd", "sam", "muon", "lookahead"]).entrants
    rates = [trial.config.optimizer.lr for trial in sgd.tuning]
    assert len(set(rates)) == 4
    assert [trial.config.optimizer.base.lr for trial in sam.tuning] == rates
    assert [trial.settings["base.lr"] for trial in sam.tuning] == rates
    assert {trial.config.optimizer.base.name for trial in lookahead.tuning} == {"adam"}
    assert len({trial.config.optimizer.base.beta1 for trial in lookahead.tuning}) == 4
    assert all(t.config.optimizer.lr != t.config.optimizer.others.lr for t in muon.tuning)
    inner = [trial.settings["base.lr"] for trial in lookahead.tuning]
    assert np.allclose([t.config.optimizer.lr for t in muon.tuning], np.multiply(inner, 100), rtol=1e-4)
    assert list(tuning_space.searched_fields(RULES["ftrl"]())) == ["lr"]  # its beta is not a momentum coefficient


def test_own_hyperparameters_are_tuned_by_their_names(tmp_path):
    """`rho` of 0.05 is no decay."""
    (tmp_path / "own.py").write_text(OWN)
    planned = plan(config=["relu"], algos=["momentum", f"{tmp_path}/own.py:momentum"], holdout=100)
    known, own = planned.entrants
    both = zip(known.tuning, own.tuning, strict=True)
    assert all(a.config.optimizer.beta == b.config.optimizer.momentum for a, b in both)
    assert [*own.fields] == ["lr", "momentum"]
    assert "rho stays 0.05, push stays 0.5, warm stays 3" in planned.notes[0]
    assert f"{own.name}: the search space is lr 0.003 to 30, momentum 0 to 0.999" in planned.notes
    (tmp_path / "swapped.py").write_text(OWN.replace("lr=0.01, momentum=0.9", "momentum=0.9, lr=0.1"))
    swapped = plan(config=["relu"], algos=["momentum", f"{tmp_path}/swapped.py:momentum"], holdout=100).entrants[1]
    assert swapped.draw() == own.draw()
    default = "lr 1e-05 to 0.1 (chosen by its default 0.001)"
    planned = plan(config=["relu", "tanh"], algos=["sgd", "adam", "lookahead"], holdout=100, eps=True)
    adam = f"the search space is {default}, beta1 0 to 0.999, beta2 0.5 to 0.9999, eps 1e-10 to 0.01"
    assert f"adam: {adam}" in planned.notes
    assert f"base.{default}" in planned.notes[-1]
    assert planned.facts["search_space"]["tanh"]["adam"]["lr"]["low"] == 1e-5


@pytest.mark.parametrize(("key", "value", "held"), [("dir", None, 2000), ("images", 9, 1), ("holdout", 50, 50)])
def test_a_small_dataset_holds_out_a_fifth(key, value, held):
    changes = [Override("--set", "data.dataset", "synthetic"), Override("--set", f"data.{key}", value)]
    planned = benchmark.spec_of(BenchmarkConfig(config=["relu"], algos=["sgd", "adam"]), changes)
    assert planned.request.config[0].data.holdout == held


def test_rules_share_budget_seeds_and_uniform_numbers():
    planned = plan(repeats=2)
    assert len(planned.entrants) == 2 * 3 * 2
    for own in planned.entrants:
        first = 42 + own.repeat * benchmark.SEEDS_PER_REPEAT
        assert [trial.config.seed for trial in own.tuning] == list(range(first, first + 4))
        assert {trial.config.data.holdout for trial in own.tuning} == {10_000}
    sgd, adam, rmsprop = (
        [trial.settings["lr"] for trial in own.tuning]
        for own in planned.entrants
        if own.network == "relu" and own.repeat == 0
    )
    assert adam == rmsprop  # of the same space
    assert np.allclose(np.log10(sgd), np.log10(adam) + np.log10(300), atol=1e-5)
    assert len({trial.digest for trial in planned.trials}) == len(planned.trials)
    larger = plan(config=["sigmoid", "relu", "tanh"], repeats=2, budget=6)
    assert {t.name for t in planned.trials} < {t.name for t in larger.trials}
    others = plan(repeats=2, seed=1).trials
    assert not {t.settings["lr"] for t in planned.trials} & {t.settings["lr"] for t in others}


def rows_at(*scores):
    """Rows of trainings that reached these accuracies; None diverged."""
    return [{"status": "diverged" if value is None else "done", "val_acc": value} for value in scores]


@pytest.mark.parametrize(
    ("first", "count", "finalists", "second", "chosen"),
    [
        ([0.5, 0.9, 0.8, 0.7, None], 3, [2, 3, 4], [0.6, 0.8, 0.85], 3),
        ([0.5, 0.9, 0.8, 0.7, None], 3, [2, 3, 4], [None, None, 0.85], 4),
        ([0.5, 0.9, 0.8, 0.7, None], 3, [2, 3, 4], [None, None, None], 2),
        ([0.5, 0.9, 0.8, 0.7, None], 1, [], [], 2),
        ([0.5, None, None], 3, [], [], 1),  # nothing to decide
        ([None, None], 3, [], [], None),
    ],
)
def test_a_second_seed_decides_between_finalists(first, count, finalists, second, chosen):
    """By the mean of both seeds; one that diverges from the second seed loses to any that does not."""
    entrant = plan(config=["relu"], budget=len(first)).entrants[0]
    stages = benchmark_plan([entrant], count, 2)
    batches = [("tuning", [*range(1, len(first) + 1)], [*range(42, 42 + len(first))], first)]
    batches += [("finalist", finalists, [20_041] * len(finalists), second)] if finalists else []
    batches += [("final", [chosen] * 2, [10_042, 10_043], [None, None])] if chosen else []
    outcomes = None
    for stage, settings, seeds, scores in batches:
        trials = stages.send(outcomes).trials
        assert [trial.settings["stage"] for trial in trials] == [stage] * len(trials)
        assert [trial.settings["setting"] for trial in trials] == settings
        assert [trial.config.seed for trial in trials] == seeds
        rows = zip(trials, rows_at(*scores), strict=True)
        outcomes = {trial.name: SimpleNamespace(row=row) for trial, row in rows}
    with pytest.raises(StopIteration):
        stages.send(outcomes)


ADAM_DEFAULT, MUON = RULES["adam"](), RULES["muon"]()


@pytest.mark.parametrize(
    ("rule", "key", "low", "high"),
    [
        (RULES["sgd"](), "lr", 3e-3, 30),
        (ADAM_DEFAULT, "lr", 1e-5, 0.1),
        (MUON, "lr", 1e-3, 10),
        (RULES["prodigy"](), "lr", 1e-2, 100),
        (ADAM_DEFAULT, "eps", 1e-10, 1e-2),
        (RULES["rmsprop"](eps_placement="inside"), "eps", 1e-20, 1e-4),
        (RULES["adafactor"](), "eps", 1e-34, 1e-4),
        (MUON, "eps", None, None),
        (ADAM_DEFAULT, "weight_decay", 1e-6, 1e-2),
        (RULES["adamw"](), "weight_decay", 1e-3, 10),
    ],
)
def test_the_range_of_a_tuned_hyperparameter(rule, key, low, high):
    """`eps` under a root is tuned as the square of what it is outside of it; not where it hardly shortens steps."""
    draw = tuning_space.network_space(rule).get(key)
    ends = [end and pytest.approx(end, rel=1e-9, abs=0) for end in (low, high)]
    assert [draw and draw.low, draw and draw.high] == ends
    assert (key in tuning_space.searched_fields(rule, [key])) is (low is not None)
    assert (key in tuning_space.searched_fields(rule)) is (key == "lr")  # on functions, as before


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        (RULES["sam"](base=RULES["adamw"]()), ["base.weight_decay", "schedule"]),
        (RULES["lookahead"](), ["weight_decay", "schedule"]),
        (RULES["schedule-free-adamw"](), ["weight_decay"]),
        (RULES["rprop"](), ["weight_decay"]),
    ],
)
def test_decay_and_schedule_are_tuned_where_they_exist(rule, fields):
    """The rule's own decay, or that of the training; a quarter of the settings has none."""
    rules = tuning_space.searched_fields(rule, ["weight_decay", "schedule"])
    assert [key for key in rules if tuning_space.name_in_space(key) in ("weight_decay", "schedule")] == fields
    draw = tuning_space.network_space(rules[fields[0]])["weight_decay"]
    values = draw((np.arange(100) + 0.5) / 100)
    assert (values == 0).sum() == 25
    assert draw.low < values[values > 0].min() < values.max() < draw.high


def test_decays_and_schedules_change_no_other_draw(tmp_path):
    """A schedule goes by batches; what a training sets itself stays; own code takes part by what it calls a decay."""
    more = {"weight_decay": True, "schedule": True}
    (tmp_path / "own.py").write_text("def mine(w, g, lr=0.1, wd=0.0):\n    return w - lr * (g + wd * w)\n")
    asked = {"config": ["sigmoid"], "algos": ["sgd", "adamw", f"{tmp_path}/own.py:mine"], "budget": 12}
    before, now = plan(**asked), plan(**asked, **more)
    for old, new in zip(before.entrants, now.entrants, strict=True):
        common = [{key: v for key, v in t.settings.items() if key not in (*more, "wd")} for t in new.tuning]
        assert [trial.settings for trial in old.tuning] == common
        names = [trial.config.schedule.name for trial in new.tuning]
        assert all(3 <= names.count(name) <= 5 for name in ("constant", "cosine", "one-cycle"))
        assert all((t.config.schedule_by == "batch") == (t.settings["schedule"] != "constant") for t in new.tuning)
    sgd, adamw, own = ([trial.config for trial in one.tuning] for one in now.entrants)
    assert [c.weight_decay for c in sgd] == [c.optimizer.wd for c in own]
    assert {c.weight_decay for c in (*adamw, *own)} == {0.0}
    changes = [Override("--set", "schedule", "cosine"), Override("--set", "weight_decay", 0.5)]
    resolved = BenchmarkConfig(config=["sigmoid"], algos=["sgd", "adam"], budget=4, **more)
    resolved = benchmark.spec_of(resolved, changes)
    assert {(t.config.schedule.name, t.config.weight_decay) for t in resolved.trials} == {("cosine", 0.5)}


def test_presets_lie_a_decade_inside_the_range():
    """Those of the presets were chosen by themselves, not by a benchmark."""
    for path in sorted((shipped("configs") / "train").glob("optimizers/*.yaml")):
        rule = load(TrainConfig, str(path)).optimizer
        for field, owner in tuning_space.searched_fields(rule).items():
            if field.rpartition(".")[2] == "lr" and "others" not in field:
                draw = tuning_space.network_space(RULES[owner.name]())["lr"]
                assert 10 * draw.low * (1 - 1e-9) <= owner.lr <= draw.high / 10 * (1 + 1e-9), path.name


@pytest.mark.parametrize("budget", [5, 10, 30])
def test_the_rates_cover_their_range_evenly(budget):
    """The largest gap is that of the Sobol sequence, on a circle: 1/4 for five numbers, not 0.39 as of random ones."""
    for seed in range(20):
        asked = BenchmarkConfig(config=["relu"], algos=["sgd", "adam"], budget=budget, seed=seed)
        entrant = benchmark.Entrant(asked, "relu", "sgd", "", {}, None, {}, {"lr": RULES["sgd"]()}, "--algo")
        drawn = entrant.draw()
        places = np.sort([np.log(own["lr"] / 3e-3) / np.log(1e4) for own in drawn])
        gaps = np.diff([*places, places[0] + 1])
        assert gaps.max() <= 2 / budget
        larger = asked.model_copy(update={"budget": budget + 7})
        assert replace(entrant, asked=larger).draw()[:budget] == drawn


def test_another_seed_draws_other_settings():
    first, again, other = (plan(seed=seed) for seed in (0, 0, 1))
    assert first.trials == again.trials
    assert not {t.settings["lr"] for t in first.trials} & {t.settings["lr"] for t in other.trials}


def test_finalists_and_eps_leave_the_other_settings_as_they_are():
    """They are 1 and false where a study.yaml does not have them."""
    before, now = plan(config=["relu"]), plan(config=["relu"], finalists=3, eps=True)
    for old, new in zip(before.entrants, now.entrants, strict=True):
        fields = [{key: v for key, v in trial.settings.items() if key != "eps"} for trial in new.tuning]
        assert [trial.settings for trial in old.tuning] == fields
    assert before.request.finalists == 1


# --- the benchmark -----------------------------------------------------------------------------------------

CLAIMS = {
    "test_acc >= 0": {"sgd": "holds", "sam": "holds", "lost.py:lost": "holds"},
    "sgd: test_acc > 0.99 confidence 0.95": {"sgd": "fails"},
    "lost.py:lost: verdict == best": {"lost.py:lost": "fails"},
}
SIZES = ["--set", "data.holdout=50", "--epochs", "1", "--budget", "2", "--seeds", "2", "--repeats", "3"]


@pytest.fixture(scope="module")
def raced(small, tmp_path_factory):
    """The line of a benchmark of three optimizers, one of which always diverges, its directory and its document."""
    folder = tmp_path_factory.mktemp("raced")
    (folder / "lost.py").write_text("def lost(w, g, lr=0.1):\n    return w - lr * g * float('nan')\n")
    line = ["benchmark", str(small), "--algo", f"sgd,sam,{folder}/lost.py:lost", *SIZES, "--name", "r"]
    done = run([*line, *(word for claim in CLAIMS for word in ("--expect", claim)), "--json"], folder)
    assert done.returncode == 9, done.stderr  # claims fail
    return SimpleNamespace(line=line, folder=folder / "runs", document=json.loads(done.stdout), log=done.stderr)


@pytest.fixture
def study(raced, tmp_path):
    """A copy of the benchmark."""
    shutil.copytree(raced.folder, tmp_path / "runs")
    return runs.read_study(tmp_path / "runs" / "r")


def test_the_plot_of_a_benchmark_is_its_own(study, optilab, tmp_path):
    """With its names and, of its panels, one."""
    document = json.loads(
        optilab("runs", "plot", "r", "--label", "sgd=plain", "--out", "own.svg", "--json").stdout
    )
    assert {row["rule"] for row in rows_of(document["benchmark"]).values()} == {"sgd", "sam", "lost.py:lost"}
    own, accuracy = (tmp_path / "own.svg").read_text(), tmp_path / "accuracy.svg"
    assert "plain" in own
    optilab("runs", "plot", "r", "--panel", "accuracy", "--out", accuracy)
    assert "sgd" in accuracy.read_text()
    layers = json.loads(optilab("runs", "plot", "r", "--panel", "layers", "--json").stdout)
    assert {group["group"] for group in layers["groups"]} >= {"sgd", "sam"}


def rows_of(document):
    (network,) = document["networks"]
    return {row["rule"]: row for row in network["rules"]}


@pytest.mark.parametrize(("rule", "key"), [("sgd", "lr"), ("sam", "base.lr")])
def test_a_chosen_setting_is_the_best_of_its_tuning(rule, key, raced):
    """And it is evaluated on the test set, from seeds that did not choose it."""
    rows = [row for row in runs.read_study(raced.folder / "r").rows() if row["rule"] == rule]
    tried = [row for row in rows if row["stage"] != "final"]
    for repeat, chosen in enumerate(rows_of(raced.document)[rule]["settings"], start=1):
        scores: dict[float, float] = {}
        for row in tried:
            if row["repeat"] == repeat:
                scores[row[key]] = scores.get(row[key], 0) + row["val_acc"]
        assert scores[chosen[key]] == max(scores.values())
    final = {str(row["seed"]): row["test_acc"] for row in rows if row["stage"] == "final"}
    assert rows_of(raced.document)[rule]["test_acc"] == final
    assert not set(final) & {str(row["seed"]) for row in tried}


def test_the_result_does_not_depend_on_the_order_of_keys(study):
    before = benchmark.read(study)
    backwards(study.path / "plan.jsonl")
    assert benchmark.read(runs.read_study(study.path)) == before


def test_the_verdict_begins_with_the_best_mean(raced):
    (network,) = raced.document["networks"]
    best = network["rules"][0]
    assert network["verdict"].startswith(best["rule"])
    assert f"test_acc: {best['mean']:.1%} (95% interval " in network["verdict"]


def test_the_repeats_are_the_sample(raced, study, monkeypatch):
    """Of one repeat there is a table, but no interval and no verdict."""
    own = rows_of(raced.document)["sgd"]
    table = benchmark.read(study).networks[0]
    blocks = [
        fmean(own["test_acc"][str(r * benchmark.SEEDS_PER_REPEAT + 10_042 + seed)] for seed in (0, 1))
        for r in range(3)
    ]
    assert [*table.raced["sgd"].repeats.values()] == pytest.approx(blocks)
    assert (own["n"], own["mean"]) == (3, pytest.approx(fmean(blocks)))
    view = benchmarks.BenchmarkView(benchmark.read(study), study)
    bands = [mark for panel in view.chart().panels for mark in panel.marks if isinstance(mark, Band)]
    seen: list[Group] = []
    monkeypatch.setattr(comparison_page, "of_groups", lambda chosen, *_: seen.extend(chosen) or ())
    assert [*view.details()] == []
    (sgd,) = (group for group in seen if group.label == "sgd")
    page = history(sgd.label, sgd.runs, sgd.repeats).curves["val_acc"].interval
    rows = {seed: record.rows()[-1] for seed, record in sgd.runs.items()}
    means = [fmean(row["val_acc"] for seed, row in rows.items() if seed // 20_000 == r) for r in range(3)]
    ends = pytest.approx(summarize(means, (0, 1)).interval)
    assert (bands[0].low[-1], bands[0].high[-1]) == (page[0][-1], page[1][-1]) == ends
    lines = (study.path / "plan.jsonl").read_text().splitlines(keepends=True)
    (study.path / "plan.jsonl").write_text("".join(line for line in lines if '"repeat": 1,' in line))
    manifest = study.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "done"', '"status": "interrupted"'))
    result = benchmark.read(runs.read_study(study.path))
    sentence = "; one repeat gives no verdict, because the repeats are the sample: use at least three"
    best = max(own["mean"] for own in benchmarks.rows(result.networks[0]))
    view = benchmarks.BenchmarkView(result, runs.read_study(study.path))
    assert f" has the highest test_acc: {best:.1%}" in view.verdict
    assert sentence in view.verdict
    (network,) = view.document()["networks"]
    assert network["verdict"] is None
    assert all(row[key] is None for row in network["rules"] for key in ("verdict", "low", "high"))
    assert [row["difference_low"] for row in network["rules"][1:]] == [None] * 2
    assert not {"95%", "verdict"} & {column.title for column in benchmarks.columns(result) if not column.only}


def test_a_benchmark_is_plotted_as_it_is_drawn_at_its_end(study, optilab, tmp_path):
    shown = optilab("runs", "plot", "r", "--out", "benchmark.svg", "--size", "column", "--json")
    assert not shown.stderr
    picture = (tmp_path / "benchmark.svg").read_text()
    assert re.search(r'viewBox="0 0 [\d.]+ [\d.]+"', picture)
    assert "evaluated, mean and 95%" in picture
    assert "lr " not in picture


def test_a_benchmark_is_compared_as_it_is_judged_at_its_end(raced, study, optilab):
    """Its optimizers, not the settings of their repeats; with another metric, the evaluated trainings."""
    text = optilab("runs", "compare", "r").stdout
    assert "the search space is lr 0.003 to 30, weight_decay 1e-06 to 0.01 (or 0), schedule " in text
    compared = json.loads(optilab("runs", "compare", "r", "--json").stdout)
    assert compared["search_space"] == raced.document["search_space"]
    assert compared["networks"] == raced.document["networks"]
    possible = [*benchmark.read(study).networks[0].judgment.possible_best]
    assert optilab("runs", "compare", "r", "--quiet").stdout.splitlines() == possible
    assert json.loads(optilab("runs", "compare", "r", "--metric", "val_acc", "--json").stdout)["groups"]


def test_the_progress_ends_with_the_last_trial(raced):
    done, planned = re.findall(r"^optilab: (\d+) of (\d+) trials", raced.log, re.MULTILINE)[-1]
    assert done == planned


def test_what_always_diverges_has_the_chance_level(raced):
    """In every repeat, or in one."""
    lost = rows_of(raced.document)["lost.py:lost"]
    assert (lost["mean"], lost["settings"]) == (pytest.approx(0.1), [])
    assert {*lost["worst"].values()} == {"every setting diverged"}
    record = SimpleNamespace(classes=10)

    def ended(stage, seed, status="done", repeat=1, **outcome):
        settings = {"repeat": repeat, "setting": 1, "lr": 0.1, "stage": stage}
        return runs.StudyTrial({"trial": "t", "settings": settings, "seed": seed}, status, "", outcome, record)

    trials = [
        ended("tuning", 0, val_acc=0.5),
        ended("final", 10_000, test_acc=0.6),
        ended("tuning", 20_000, "diverged", repeat=2),
    ]
    result = benchmark._raced(trials, budget=1, seeds=1)
    assert (result.repeats, result.accuracy.imputed) == ({1: 0.6, 2: 0.1}, {30_000: "every setting diverged"})


def test_claims_about_rules_are_judged_and_kept(raced, study, optilab):
    judged = {(row["claim"], row["of"]): row for row in raced.document["expect"]}
    expected = {(claim.rpartition(": ")[2], of): word for claim, of_ in CLAIMS.items() for of, word in of_.items()}
    assert {key: row["result"] for key, row in judged.items()} == expected
    rows = rows_of(raced.document)
    confident = judged["test_acc > 0.99 confidence 0.95", "sgd"]
    assert confident["measured"] == pytest.approx(rows["sgd"]["mean"])
    assert judged["test_acc >= 0", "sam"]["measured"] == min(rows["sam"]["test_acc"].values())
    optilab("benchmark", "--resume", "r", "--quiet", code=9)  # the claims are in study.yaml
    checked = json.loads(optilab("check", "r", "--json", code=9).stdout)["checks"][0]["claims"]
    assert checked == raced.document["expect"]


def test_a_benchmark_grows_and_its_second_look_costs(raced, study, optilab):
    done = {path: path.stat().st_mtime_ns for path in runs.directories(study.path)}
    line = [*raced.line, "--budget", 3, "--seeds", 3]
    claims = ("--expect", "sgd: test_acc > 0 confidence 0.95", "--json")
    grown = json.loads(optilab(*line, *claims).stdout)
    assert all(path.stat().st_mtime_ns == changed for path, changed in done.items())
    assert {len(rows_of(grown)[rule]["test_acc"]) for rule in ("sgd", "sam")} == {9}
    assert "0.95 interval at look 2" in grown["expect"][0]["why"]
    few = ["sgd,sam" if ":lost" in str(word) else word for word in line]
    for refused in ([*line, "--epochs", 3], few):
        optilab(*refused, code=4)


def test_equal_rules_cannot_be_told_apart_and_a_worse_is_found(optilab, tmp_path, monkeypatch):
    """The twin has the settings and seeds of Adam."""
    (tmp_path / "mine.py").write_text(ADAM)
    small = ["--set", "model.hidden=[32]", "--set", "data.images=1500", "--set", "data.holdout=500", "--epochs", 2]
    sizes = ["--budget", 2, "--seeds", 1, "--repeats", 3, "--set", "data.batch_size=50"]
    names = "adam,mine.py:twin,mine.py:lazy"
    line = ("benchmark", "relu", "--algo", names, *small, *sizes, "--name", "a", "--json")
    rows = {name.rpartition(":")[2]: row for name, row in rows_of(json.loads(optilab(*line).stdout)).items()}
    assert rows["twin"]["settings"] == rows["adam"]["settings"]
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    assert verdicts == {"twin": "cannot tell", "adam": "cannot tell", "lazy": "worse"}
    # If the best rate of lazy were the last one tried, a better one might lie beyond.
    (claim,) = expectations("benchmark", ["mine.py:lazy: verdict == worse"])
    monkeypatch.setattr(
        benchmark, "_boundary_note", lambda n, trial, _: {n: "lr 1"} if "lazy" in trial.settings["rule"] else {}
    )
    result = benchmark.read(runs.read_study(tmp_path / "runs" / "a"))
    assert [row["verdict"] for row in benchmarks.rows(result.networks[0])] == ["cannot tell"] * 3
    (judged,) = claims.judge_claims([claim], results.results_of_benchmark(result))
    assert (judged.measured, judged.result) == ("cannot tell", "fails")
