"""Two runs to the last bit: where their rows part, and that the cause named is the one that was made."""

import json
import re

import pytest

from optilab.errors import UsageError
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
    parting = parted(tmp_path, others=(*SAME, 0.8))
    assert (parting.first, parting.causes, parting.lengths) == (None, (), (3, 4))


@pytest.mark.parametrize(
    ("word", "second", "two"),
    [
        ("seed: seed 42 -> 43", ["seed=43"], {}),
        ("config: optimizer.lr 0.01 -> 0.02", ["optimizer.lr=0.02"], {}),
        ("data: train-images-idx3-ubyte", [], {"data": {"sha256": {"train-images-idx3-ubyte": "11" * 32}}}),
        ("threads: numerics.threads 2 -> 1", ["threads=1"], numerics(threads=1)),
        ("torch: numerics.torch", [], numerics(torch="2.13.0")),
        ("kernel: numerics.cpu_capability AVX512 -> DEFAULT", [], numerics(cpu_capability="DEFAULT")),
        ("device: numerics.device cpu -> cuda:0", [], numerics(device="cuda:0")),
        ("versions: versions.numpy", [], {"versions": {**VERSIONS, "numpy": "2.5.0"}}),
        (
            "b was resumed after epoch 1 with threads 2 -> 1",
            [],
            {"resumes": [{"epoch": 1, "changed": ["threads 2 -> 1"]}]},
        ),
        ("nothing that is recorded differs: another processor", [], {}),
    ],
)
def test_the_cause(tmp_path, word, second, two):
    parting = parted(tmp_path, second=second, two=two)
    assert parting.first.row == 2
    assert parting.first.relative == pytest.approx(1e-9 / 0.4, rel=0.01)
    assert parting.causes[0].startswith(word)
    assert len(parting.causes) == 1 or word.startswith("data")


def test_a_resume_after_the_first_difference_is_not_its_cause(tmp_path):
    parting = parted(tmp_path, two={"resumes": [{"epoch": 2, "changed": ["threads 2 -> 1"]}]})
    assert parting.causes[0].startswith("nothing that is recorded")


def test_rounding_is_not_the_cause_of_a_large_difference_where_the_seed_is(tmp_path):
    parting = parted(tmp_path, second=["seed=43"], others=(0.3, 0.4, 0.5), two=numerics(threads=1))
    assert parting.causes == ("seed: seed 42 -> 43",)
    small = parted(tmp_path / "small", second=["seed=43"], two=numerics(threads=1))
    assert [cause.split(":")[0] for cause in small.causes] == ["seed", "threads"]


def test_more_epochs_do_not_make_rows_part(tmp_path):
    parting = parted(tmp_path, second=["epochs=4"], others=(*SAME, 0.8))
    assert "epochs" in parting.config
    assert parting.causes == ()


def test_real_trainings(optilab, optilab_process, small, tmp_path):
    """Another kernel of PyTorch parts the rows by rounding; the same config twice does not."""
    for name in ("a", "b"):
        optilab("train", "--config", small, "--name", name, "--quiet")
    assert "rows: equal in all 3 epochs" in optilab("runs", "diff", "a", "b").stdout
    command = ("train", "--config", small, "--name", "c", "--quiet")
    optilab_process(*command, ATEN_CPU_CAPABILITY="default")
    document = json.loads(optilab("runs", "diff", "a", "c", "--json").stdout)
    assert document["environment"]["environment.ATEN_CPU_CAPABILITY"] == [None, "default"]
    if document["first"]:  # a processor without AVX has only the default kernels
        assert document["causes"][0].startswith("kernel: ")
        assert document["first"]["relative"] < 1e-3


def test_paths_of_optimize(optilab):
    for name, rate in (("a", "0.1"), ("b", "0.2")):
        optilab("optimize", "--algo", "sgd", "--lr", rate, "--epochs", "3", "--name", name, "--quiet")
    output = optilab("runs", "diff", "a", "b").stdout
    assert "rows: equal up to row 1; at row 2 w1 " in output
    assert "cause: config: algo.lr 0.1 -> 0.2" in output


def test_a_config_that_was_edited_is_said(optilab, tmp_path):
    for name in ("a", "b"):
        training(tmp_path / "runs", name)
    assert "was edited" not in optilab("runs", "diff", "a", "b").stdout
    file = tmp_path / "runs" / "b" / "config.yaml"
    file.write_text(re.sub(r"\blr: [\d.e-]+", "lr: 0.7", file.read_text()))
    said = " ".join(optilab("runs", "diff", "a", "b").stdout.split())
    assert "b/config.yaml was edited since the run started: optimizer.lr: " in said
    assert "undo that, or train the edited one: optilab train --config" in said
    (edited,) = json.loads(optilab("runs", "diff", "a", "b", "--json").stdout)["edited"]
    assert edited in said


def test_refusals(optilab, tmp_path):
    training(tmp_path / "runs", "a")
    optilab("optimize", "--algo", "sgd", "--name", "p", "--quiet")
    assert "a is named twice; name another run next to it" in optilab("runs", "diff", "a", "runs/a", code=2).stderr
    assert "a is a run of 'train', p of 'optimize'" in optilab("runs", "diff", "a", "p", code=2).stderr
    with pytest.raises(UsageError, match="is named twice"):
        diff_runs(read(tmp_path / "runs" / "a"), read(tmp_path / "runs" / "a"))
