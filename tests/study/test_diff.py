"""Two runs to the last bit: where their rows part, and that the cause named is the one that was made."""

import json
import re

import pytest

from optilab.runs import read
from optilab.study.diff import diff_runs
from tests.study.generated import VERSIONS, training

NUMERICS = {"torch": VERSIONS["torch"], "device": "cpu", "threads": 2, "cpu_capability": "AVX512"}
SAME = (0.5, 0.6, 0.7)
ROUNDED = (0.5, 0.6 + 1e-9, 0.7)


def parted(folder, first=(), second=(), accuracies=SAME, others=ROUNDED, one=None, two=None):
    a = training(folder, "a", *first, accuracies=accuracies, **{"numerics": NUMERICS, **(one or {})})
    b = training(folder, "b", *second, accuracies=others, **{"numerics": NUMERICS, **(two or {})})
    return diff_runs(read(a), read(b))


def numerics(**changes):
    return {"numerics": {**NUMERICS, **changes}}


def test_equal_runs_have_no_cause(tmp_path):
    parting = parted(tmp_path, second=["epochs=4"], others=(*SAME, 0.8))
    assert (parting.first, parting.causes, parting.lengths) == (None, (), (3, 4))
    assert "epochs" in parting.config


@pytest.mark.parametrize(
    ("word", "second", "two"),
    [
        ("seed: seed 42 -> 43", ["seed=43"], {}),
        ("config: optimizer.lr 0.01 -> 0.02", ["optimizer.lr=0.02"], {}),
        ("data: train-images-idx3-ubyte", [], {"data": {"sha256": {"train-images-idx3-ubyte": "11" * 32}}}),
        ("threads: numerics.threads 2 -> 1", ["threads=1"], numerics(threads=1)),
        ("kernel: numerics.cpu_capability AVX512 -> DEFAULT", [], numerics(cpu_capability="DEFAULT")),
        ("versions: versions.numpy", [], {"versions": {**VERSIONS, "numpy": "2.5.0"}}),
        ("b was resumed after epoch 1", [], {"resumes": [{"epoch": 1, "changed": ["threads 2 -> 1"]}]}),
        ("nothing that is recorded differs: another processor", [], {}),
    ],
)
def test_the_cause(tmp_path, word, second, two):
    parting = parted(tmp_path, second=second, two=two)
    assert parting.first.row == 2
    assert parting.first.relative == pytest.approx(1e-9 / 0.4, rel=0.01)
    assert parting.causes[0].startswith(word)
    assert len(parting.causes) == 1 or word.startswith("data")


def test_what_cannot_be_the_cause_is_none(tmp_path):
    """A resume after the first difference, and rounding of a large difference that has another cause."""
    parting = parted(tmp_path, two={"resumes": [{"epoch": 2, "changed": ["threads 2 -> 1"]}]})
    assert parting.causes[0].startswith("nothing that is recorded")
    for others, causes in (((0.3, 0.4, 0.5), ["seed"]), (ROUNDED, ["seed", "threads"])):
        parting = parted(tmp_path / str(others[0]), second=["seed=43"], others=others, two=numerics(threads=1))
        assert [cause.split(":")[0] for cause in parting.causes] == causes


def test_real_trainings(optilab, optilab_process, small, tmp_path):
    """Another kernel of PyTorch parts the rows by rounding; the same config twice does not."""
    line = ("train", "--config", small, "--quiet", "--name")
    optilab(*line, "a")
    optilab(*line, "b")
    optilab_process(*line, "c", ATEN_CPU_CAPABILITY="default")
    assert json.loads(optilab("runs", "diff", "a", "b", "--json").stdout)["first"] is None
    document = json.loads(optilab("runs", "diff", "a", "c", "--json").stdout)
    assert document["environment"]["environment.ATEN_CPU_CAPABILITY"] == [None, "default"]
    if document["first"]:  # a processor without AVX has only the default kernels
        assert document["causes"][0].startswith("kernel: ")
        assert document["first"]["relative"] < 1e-3


def test_a_config_that_was_edited_is_said(optilab, tmp_path):
    for name in ("a", "b"):
        training(tmp_path / "runs", name)
    line = ("runs", "diff", "a", "b", "--json")
    assert json.loads(optilab(*line).stdout)["edited"] == []
    file = tmp_path / "runs" / "b" / "config.yaml"
    file.write_text(re.sub(r"\blr: [\d.e-]+", "lr: 0.7", file.read_text()))
    (edited,) = json.loads(optilab(*line).stdout)["edited"]
    assert "b/config.yaml was edited since the run started: optimizer.lr: " in edited
