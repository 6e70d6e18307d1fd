"""Two runs to the last bit: what differs, where their rows part, and when that is rounding."""

import json
import re

import pytest
import yaml

from optilab.commands.runs.differences import diff_runs
from optilab.runs import read
from tests.kit.generated import VERSIONS, layered, training

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


ROUNDING = "config and data are equal and the first difference is 2e-09: rounding"


@pytest.mark.parametrize(
    ("section", "key", "second", "two", "causes"),
    [
        ("config", "seed", ["seed=43"], {}, []),
        ("config", "optimizer.lr", ["optimizer.lr=0.02"], {}, []),
        ("data", "data.images", [], {"data": {"sha256": {"images": "11" * 32}}}, []),
        ("config", "threads", ["threads=1"], {}, [ROUNDING]),
        ("environment", "numerics.threads", [], numerics(threads=1), [ROUNDING]),
        ("environment", "versions.numpy", [], {"versions": {**VERSIONS, "numpy": "2.5.0"}}, [ROUNDING]),
    ],
)
def test_what_differs(tmp_path, section, key, second, two, causes):
    """Rounding is blamed only where the settings and the data are equal."""
    parting = parted(tmp_path, second=second, two=two)
    assert parting.first.row == 2
    assert parting.first.relative == pytest.approx(1e-9 / 0.4, rel=0.01)
    assert key in getattr(parting, section)
    assert list(parting.causes) == causes


def test_a_resume_that_changed_something_counts_before_the_first_difference(tmp_path):
    for epoch, blamed in ((1, True), (2, False)):
        resumes = [{"epoch": epoch, "changed": ["threads 2 -> 1"]}]
        parting = parted(tmp_path / str(epoch), two={"resumes": resumes})
        assert ("b was resumed after epoch 1 with threads 2 -> 1" in parting.causes) is blamed
        assert parting.causes[-1] == ROUNDING


def test_no_rounding_makes_a_large_difference(tmp_path):
    (cause,) = parted(tmp_path, others=(0.3, 0.4, 0.5)).causes
    assert "something that is not recorded differs" in cause


def test_real_trainings(optilab, small, tmp_path):
    """Another kernel of PyTorch parts the rows by rounding; the same config twice does not."""
    line = ("train", "--config", small, "--quiet", "--name")
    optilab(*line, "a")
    optilab(*line, "b")
    optilab(*line, "c", how="fresh", ATEN_CPU_CAPABILITY="default")
    assert json.loads(optilab("runs", "diff", "a", "b", "--json").stdout)["first"] is None
    document = json.loads(optilab("runs", "diff", "a", "c", "--json").stdout)
    assert document["environment"]["environment.ATEN_CPU_CAPABILITY"] == [None, "default"]
    if document["first"]:  # a processor without AVX has only the default kernels
        assert document["causes"][0].endswith(": rounding")
        assert document["first"]["relative"] < 1e-3


def test_a_config_that_was_edited_is_said(optilab, tmp_path):
    for name in ("a", "b"):
        training(tmp_path / "runs", name)
    line = ("runs", "diff", "a", "b", "--json")
    assert json.loads(optilab(*line).stdout)["edited"] == []
    layered(tmp_path / "runs" / "b", [1.0, 1.0])
    file = tmp_path / "runs" / "b" / "config.yaml"
    file.write_text(re.sub(r"\blr: [\d.e-]+", "lr: 0.7", file.read_text()))
    (edited,) = json.loads(optilab(*line).stdout)["edited"]
    assert "b/config.yaml was edited since the run started: optimizer.lr: " in edited
    resumed = ["train", "--resume", "b"], ["train", "--fork", "b"]
    for command in (["diagnose", "b"], ["runs", "compare", "b"], ["train", "runs/b"], ["report", "b"], *resumed):
        assert optilab(*command, code=4).stderr == f"optilab: {edited}\n"
    assert edited in optilab("runs", "ls").stdout


@pytest.mark.parametrize("key", ["name", "threads", "expect", "data.dir", "probes", "optimizer.lr"])
def test_every_reader_says_the_same_of_an_edited_key(key, optilab, tmp_path):
    """But for a resume, which may change some."""
    training(tmp_path / "runs", "b")
    layered(tmp_path / "runs" / "b", [1.0, 1.0])
    file = tmp_path / "runs" / "b" / "config.yaml"
    tree = yaml.safe_load(file.read_text())
    *section, last = key.split(".")
    node = tree[section[0]] if section else tree
    node[last] = {"name": "x", "expect": ["val_acc > 0.1"], "data.dir": "x", "optimizer.lr": 0.7}.get(key, 5)
    file.write_text(yaml.safe_dump(tree))
    commands = (["diagnose", "b"], ["runs", "compare", "b"], ["train", "runs/b"], ["report", "b"])
    texts = {optilab(*command, code=4).stderr for command in commands}
    (text,) = texts
    assert f"b/config.yaml was edited since the run started: {key}: " in text
