"""`optilab lr`: the range test and the sweep that confirms it, as a user runs them, on a few images."""

import json
import re
import shlex

import pytest

from optilab import runs

SHORT = ["--steps", 200]
QUICK = [*SHORT, "--set", "optimizer=adam", "--set", "model.activation=relu"]


def test_a_range_test_names_a_rate_and_writes_nothing(optilab, small, tmp_path):
    done = optilab("lr", small, *QUICK)
    rate = re.search(r"^recommended: lr (\S+)$", done.stdout, re.MULTILINE)[1]
    assert 1e-5 < float(rate) < 0.3
    assert list(tmp_path.iterdir()) == []
    tried = shlex.split(re.search(r"^  train at it: optilab (train .*)$", done.stdout, re.MULTILINE)[1])
    assert tried[-4:] == ["--set", f"optimizer.lr={rate}", "--epochs", "3"]
    learned = json.loads(optilab(*tried, "--epochs", 20, "--json").stdout)["rows"]
    assert learned[-1]["val_acc"] > 0.5
    alone = optilab("lr", small, *QUICK, "--quiet")
    document = json.loads(optilab("lr", small, *QUICK, "--json").stdout)
    ramp = document["range_test"]
    assert float(alone.stdout) == document["rate"] == ramp["rate"]
    assert (document["key"], ramp["status"]) == ("optimizer.lr", "found")
    assert (ramp["low"], ramp["high"]) == pytest.approx((1e-6, 1.0))
    assert len(ramp["curve"]["rate"]) == len(ramp["curve"]["loss"]) == len(ramp["curve"]["smoothed"])
    assert ramp["half"] < ramp["rate"]


def test_a_network_that_does_not_move_has_no_rate(optilab, small):
    deep = [small, *SHORT, "--set", f"model.hidden={[16] * 8}"]
    document = json.loads(optilab("lr", *deep, "--json", code=9).stdout)
    assert (document["rate"], document["range_test"]["status"]) == (None, "unmoved")
    alone = optilab("lr", *deep, "--quiet", code=9)
    assert alone.stdout == ""
    assert "the network does not move" in alone.stderr


def test_the_sweep_that_confirms_a_rate(optilab, small, tmp_path):
    """It has five rates around the answer, and holds out a sixth of the images; muon has two rates."""
    for optimizer, axes in (("adam", 1), ("muon", 2)):
        done = optilab("lr", small, *SHORT, "--optimizer", optimizer, "--set", "model.activation=relu")
        rate = float(re.search(r"^recommended: lr (\S+)$", done.stdout, re.MULTILINE)[1])
        swept = shlex.split(re.search(r"^  confirm with seeds: optilab (sweep .*)$", done.stdout, re.MULTILINE)[1])
        optilab(*swept, "--epochs", 1, "--seeds", 1, "--jobs", 1, "--quiet", "--name", optimizer)
        study = runs.read_study(tmp_path / "runs" / optimizer)
        rows = study.rows()
        assert len(rows) == 5
        assert sum(key.startswith("optimizer.") for key in rows[0]) == axes
        rates = sorted(row["optimizer.lr"] for row in rows)
        assert rates[2] == rate
        assert rates[::4] == pytest.approx([rate / 10, rate * 10], rel=0.05)
        assert "holdout: 33" in (study.path / rows[0]["trial"] / "config.yaml").read_text()  # of 200 images


def test_a_rule_of_the_users_own_and_one_around_another(optilab, small, tmp_path):
    (tmp_path / "mine.py").write_text("def mine(w, g, lr=0.1):\n    return w - lr * g / (abs(g) + 1e-6)\n")
    own = json.loads(optilab("lr", small, *SHORT, "--optimizer", "mine.py:mine", "--json").stdout)
    assert own["range_test"]["high"] == pytest.approx(
        100.0
    )  # not 300: its steps do not follow the scale of the gradient
    around = optilab("lr", small, *SHORT, "--set", "optimizer=sam", "--set", "model.activation=relu").stdout
    rate = float(re.search(r"recommended: base.lr (\S+)", around)[1])
    tried = shlex.split(re.search(r"^  try: optilab (train .*)$", around, re.MULTILINE)[1])
    run = optilab(*tried, "--epochs", 1, "--quiet").stdout.strip()
    assert runs.read(tmp_path / run).manifest["config"]["optimizer"]["base"]["lr"] == rate
