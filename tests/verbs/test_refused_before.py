"""What can be known before the work is refused before it, in a dry run, too; and options that change nothing."""

import os
import shlex

import pytest

from optilab import runs

SWEEP = ("sweep", "CONFIG", "--over", "optimizer.lr=0.1,1", "--seeds", "2")
RACE = ("race", "--on", "CONFIG", "--algo", "sgd,adam", "--budget", "1", "--set", "data.holdout=50")
NEVER = [
    (SWEEP, "nobody: val_acc > 0.5", "unknown name 'nobody'; one of lr 0.1, lr 1, best"),
    (SWEEP, "val_acc at 99 > 0.5", "there are 3 epochs"),
    (SWEEP, "lr 1: test_acc > 0.5", "only where images are held out: --set data.holdout=N, fewer than"),
    ((*SWEEP, "--set", "probes=0"), "grad_ratio > 0.1", "only with probes above 0"),
    (SWEEP[:-2], "val_acc > 0.5 confidence 0.95", "one seed has no confidence; add --seeds 5"),
    (("train", "CONFIG"), "best: val_acc > 0.5", "there is only one group, small; leave out 'best'"),
    (("train", "CONFIG"), "val_acc at 4 > 0.5", "there are 3 epochs"),
    (("train", "CONFIG", "--seeds", "2"), "other: val_acc > 0.5", "unknown name 'other'; one of small, best"),
    (("remedy", "CONFIG", "--only", "relu"), "tanh: val_acc > 0.5", "one of as it is, relu, best"),
    (RACE, "lion: test_acc > 0.5", "unknown name 'lion'; one of sgd, adam"),
    (
        (*RACE, "--seeds", "1", "--repeats", "1"),
        "adam: test_acc > 0.5 confidence 0.9",
        "one seed has no confidence",
    ),
    (("race", "--algo", "sgd,adam", "--function", "ravine"), "lion: cost < 1", "one of sgd, adam"),
    (("optimize", "--algo", "sgd,adam", "--epochs", "5"), "lion: f < 1", "unknown name 'lion'; one of sgd, adam"),
    (("optimize", "--algo", "sgd", "--epochs", "5"), "f at 6 < 1", "there are 5 epochs"),
]


def typed(command, small):
    return [small if word == "CONFIG" else word for word in command]


@pytest.mark.parametrize(("command", "claim", "reason"), NEVER)
def test_a_claim_that_can_never_be_judged_is_refused_before_the_work(
    command, claim, reason, optilab, small, tmp_path
):
    ways = [[], ["--dry-run"]] if command[0] in ("sweep", "remedy") or "--on" in command else [[]]
    for more in ways:
        refused = optilab(*typed(command, small), "--expect", claim, *more, code=2).stderr
        assert f"the claim '{claim}' can never be judged: " in refused
        assert reason in refused
    assert not (tmp_path / "runs").exists()


def test_every_claim_that_can_never_be_judged_is_named_at_once(optilab, small):
    claims = ["--expect", "nobody: val_acc > 0", "--expect", "val_acc at 9 > 0", "--expect", "val_acc > 0"]
    refused = optilab(*typed(SWEEP, small), *claims, code=2).stderr
    assert refused.count("can never be judged") == 2


@pytest.mark.parametrize(
    ("command", "claim", "accepted"),
    [
        (SWEEP, "status == happy", "one of done, diverged"),
        (("optimize", "--algo", "sgd"), "status == happy", "one of converged, moving, diverged"),
        (("lr", "CONFIG"), "status == done", "one of found, unmoved"),
        (RACE, "adam: verdict == good", "one of best, worse, cannot tell"),
    ],
)
def test_a_word_that_no_status_has_is_refused(command, claim, accepted, optilab, small):
    assert accepted in optilab(*typed(command, small), "--expect", claim, code=2).stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            (*SWEEP, "--set", "data.holdout=500"),
            "data.holdout: a hold-out of 500 leaves no training images (only 200",
        ),
        ((*RACE[:-1], "data.holdout=500"), "data.holdout: a hold-out of 500 leaves no training images (only 200"),
        (
            ("remedy", "CONFIG", "--only", "relu", "--tune", "2"),
            ("data.holdout: a hold-out of 10000 leaves no training images (only 200"),
        ),
        ((*SWEEP, "--set", "data.images=500"), "data.images: idx has 200 training images, got 500"),
    ],
)
def test_images_that_are_not_there_are_refused_before_a_study_begins(command, message, optilab, small, tmp_path):
    for more in ([], ["--dry-run"]):
        assert message in optilab(*typed(command, small), *more, code=2).stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ("sweep", "CONFIG", "--seeds", "2", "--halving", "2"),
            "--halving: it needs 2 settings and 2 epochs to leave one out, and has 1 setting and 3 epochs",
        ),
        (
            (*SWEEP, "--halving", "3"),
            "--halving: it needs 3 settings and 3 epochs to leave one out, and has 2 settings and 3 epochs",
        ),
        ((*SWEEP, "--search", "tpe", "--samples", "5"), "--samples: the axes have only 2 points"),
        (
            (*SWEEP, "--threads", "2"),
            "--threads: several trainings have one thread each, got 2; leave it out (--jobs N sets how",
        ),
        ((*SWEEP, "--set", "threads=2"), "--set threads: several trainings have one thread each, got 2"),
        ((*RACE, "--threads", "2"), "--threads: several trainings have one thread each, got 2"),
        (("train", "CONFIG", "--seeds", "2", "--threads", "2"), "several trainings have one thread each, got 2"),
        (("remedy", "adam.yaml", "--only", "adam"), "no remedy is left to compare with: adam: the network has it"),
        (("map", "momentum", "--x", "lr=2:0.01"), "--x lr=2:0.01: LOW has to be less than HIGH"),
        (("race", "--algo", "sgd"), "--algo: a race needs at least two different optimizers, got sgd"),
        (("race", "--on", "CONFIG,,"), " has an empty name; write "),
        (("race", "--on", ""), "--on: '' has an empty name; write CONFIG,CONFIG"),
        (("runs", "compare", "x", "--until", "seconds"), "--until needs --target"),
        (("runs", "compare", "x", "--sample", "problems"), "--sample needs --by"),
        (("runs", "compare", "x", "--format", "csv", "--json"), "--json and --format cannot be combined"),
        (("runs", "ls", "--format", "csv", "--json"), "--json and --format cannot be combined"),
        (
            ("check", "x", "--seeds", "3"),
            "--seeds: it is for a training config or a file of claims, and x is none",
        ),
        (
            ("train", "CONFIG", "--set", "optimizer.lr.x=3"),
            "--set optimizer.lr.x: expected a number",
        ),
    ],
)
def test_what_changes_nothing_is_refused_and_named(command, message, optilab, small, tmp_path):
    command = [word.replace("CONFIG", str(small)) for word in command]
    assert message in optilab(*command, code=2).stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "seconds", "--at", "best"], "--at best: seconds only grow; expected last or an epoch"),
        (["--metric", "val_loss", "--target", "inf"], "--target: expected a finite number, got inf"),
        (["--by", ""], "--by: expected keys, each once, got ''; write KEY,KEY"),
        (["--by", "optimizer.lr,optimizer.lr"], "each once, got 'optimizer.lr,optimizer.lr'; write optimizer.lr"),
    ],
)
def test_a_comparison_by_nothing_is_refused(options, message, optilab, small):
    optilab("train", small, "--epochs", "1", "--quiet", "--name", "one")
    assert message in optilab("runs", "compare", "one", *options, code=2).stderr


BROKEN = """from torch import nn
class Unmade(nn.Module):
    def __init__(self, channels, classes):
        self.out = nn.Linear(4, classes)
class Few(nn.Module):
    def __init__(self, height, width, classes):
        super().__init__()
        self.out = nn.Linear(height * width, 2)
    def forward(self, images):
        return self.out(images.flatten(1))
"""


@pytest.mark.parametrize(
    ("command", "network", "message"),
    [
        (SWEEP, "Unmade", "net.py:Unmade failed when it is built: line 4: AttributeError: cannot assign module"),
        (
            ("remedy", "CONFIG", "--only", "adam"),
            "Unmade",
            "make super().__init__() the first line of its __init__",
        ),
        (RACE, "Few", "net.py:9: Few returns a tensor of shape (2, 2)"),
    ],
)
def test_a_network_that_does_not_run_is_refused_before_a_study_begins(
    command, network, message, optilab, small, tmp_path
):
    (tmp_path / "net.py").write_text(BROKEN)
    (tmp_path / "own.yaml").write_text("optimizer: sgd\nepochs: 1\ndata: {dataset: synthetic, images: 200}\n")
    typed = [word.replace("CONFIG", "own.yaml") for word in command]
    assert message in optilab(*typed, "--set", f"model=net.py:{network}", code=2).stderr
    assert not (tmp_path / "runs").exists()


# --- places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("  optimizer.lr: [[], {}]", "s.yaml:4: optimizer.lr: expected a number > 0, got []"),
        ("  optimizer.lr: '1:2:5:log:extra'", "s.yaml:4: 5 numbers are too many: expected KEY=LOW:HIGH"),
        ("  seed: [1, 2]", "s.yaml:4: seed is not an axis: use --seeds N"),
    ],
)
def test_a_problem_of_a_study_file_has_its_line(over, message, optilab, tmp_path):
    (tmp_path / "s.yaml").write_text(f"config: relu.yaml\nover:\n  data.batch_size: [8]\n{over}\n")
    refused = optilab("sweep", "--config", "s.yaml", "--dry-run", code=2).stderr
    assert message in refused
    assert "--over" not in refused


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("train: relu.yaml\n  expect: [val_ac > 1]", "c.yaml:4: unknown metric 'val_ac'"),
        ("optimize: {algoo: adam}\n  expect: [f < 1]", "c.yaml:3: algoo: unknown key"),
        (
            "train:\n    optimizer: sgd\n    model: {x: 1}\n  expect: [val_acc > 0]",
            "c.yaml:5: model.x: unknown key",
        ),
        ("train: relu.yaml\n  set:\n    nokey: 3\n  expect: [val_acc > 0]", "c.yaml:5: nokey: unknown key"),
        ("lr: {x: 1}\n  expect: [rate > 1]", "c.yaml:3: x: unknown key"),
        ("train: {config: 3}\n  expect: [val_acc > 0]", "c.yaml:3: config: unknown key"),
        (
            "sweep: {config: relu, over: {optimizer.lr: [[]]}}\n  expect: [val_acc > 0]",
            "c.yaml:3: optimizer.lr: expected a number",
        ),
        (
            "train: relu.yaml\n  expect: ['nobody: val_acc > 0']",
            "c.yaml:3: the claim 'nobody: val_acc > 0' can never",
        ),
    ],
)
def test_a_problem_of_a_file_of_claims_has_its_line(entry, message, optilab, tmp_path):
    (tmp_path / "c.yaml").write_text(f"checks:\n- name: one\n  {entry}\n")
    assert message in optilab("check", "c.yaml", code=2).stdout


def test_a_config_that_no_training_can_be_is_refused_by_every_way_to_several_seeds(optilab, tmp_path):
    (tmp_path / "t.yaml").write_text("nonsense: 3\n")
    assert "nonsense: unknown key" in optilab("train", "t.yaml", "--seeds", "2", code=2).stderr


def test_a_link_in_the_place_of_a_studys_file_is_not_followed(optilab, small, tmp_path):
    optilab(*typed(SWEEP, small), "--epochs", "1", "--quiet", "--name", "s")
    study = tmp_path / "runs" / "s"
    before = (study / runs.STUDY).read_bytes()
    (study / runs.STUDY).write_bytes(before.replace(b"epochs: 1", b"epochs: 2"))
    readers = (["runs", "compare", "s"], ["report", "s"], ["runs", "export", "s", "--out", "rows.csv"])
    for command in (["check", "s", "--expect", "val_acc >= 0"], ["sweep", "--resume", "s"], *readers):
        done = optilab(*command, code=4)
        assert "study.yaml was edited since the study was started" in done.stdout + done.stderr
    (study / runs.STUDY).unlink()
    for command in (["check", "s"], ["runs", "show", "s"], ["sweep", "--resume", "s"], ["runs", "compare", "s"]):
        done = optilab(*command, code=5)
        assert "study.yaml is missing" in done.stdout + done.stderr
    (study / runs.STUDY).symlink_to("/etc/passwd")
    for command in (["check", "s"], ["runs", "show", "s"], ["sweep", "--resume", "s"], ["report", "s"]):
        done = optilab(*command, code=5)
        assert "study.yaml is a link" in done.stdout + done.stderr
        assert "root:" not in done.stdout + done.stderr
    (study / runs.STUDY).unlink()
    (study / runs.STUDY).write_bytes(before)
    (study / runs.TRIALS).unlink()
    assert (
        "trials.csv: missing; `optilab sweep --resume s` writes it again"
        in optilab("runs", "ls", "s", code=3).stderr
    )
    optilab("sweep", "--resume", "s", "--quiet")
    assert "1 claim: 1 holds" not in optilab("check", "s", "--expect", "lr 1: val_acc > 0.9999", code=9).stdout
    study.rename(study.with_name("é2"))
    assert "4 claims" not in optilab("check", "é2", "--expect", "val_acc >= 0").stdout
    (trial, *_) = (path.name for path in (tmp_path / "runs" / "é2").iterdir() if path.is_dir())
    assert optilab("runs", "path", f"é2/{trial}").stdout == f"runs/é2/{trial}\n"
    refused = optilab("sweep", "--resume", "é2", code=2).stderr
    assert "--resume: 'é2' contains 'é'" in refused
    assert "rename runs/é2 first" in refused


def test_a_config_that_is_no_file_is_named_as_what_it_is(optilab, tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("folder", "is a directory; expected a YAML file"), ("pipe", "is a pipe or a device")):
        assert f"{name} {what}" in optilab("train", "--config", name, code=2).stderr


AT_ONCE = {
    "optimize adam --foo 3 --epochs ten": ["No such option: --foo", "--epochs: expected a whole number"],
    "optimize adam --epocs ten --function rosenbrok": [
        'No such option: --epocs; did you mean "--epochs"?',
        "--function: unknown function 'rosenbrok'",
        "--epochs: expected a whole number",
    ],
    "optimize nope.yaml --set epochs=ten": ["'nope.yaml': no file", "--set epochs: expected a whole number"],
    "optimize nope.yaml --set algo.lr=x --epochs 5": ["'nope.yaml': no file"],
    "optimize --epochs ten": ["optimize needs an optimizer or a config", "--epochs: expected a whole number"],
    "optimize adam --start 1,x --out a.xyz": ["--out: expected a name", "--start: expected a number, got 'x'"],
    "optimize adam --name 'a b' --set lr=x": ["--name: 'a b' contains a space", "--set lr: unknown key"],
    "optimize adam --set epochs --set algo.lr=[1": ["--set: expected KEY=VALUE", "--set algo.lr: '[1'"],
    "optimize adam --set foo=1 --epochs 3 --set epochs=4": [
        "--epochs and --set epochs: both set epochs; leave one of them out",
        "--set foo: unknown key",
    ],
    "optimize adam --out a.png --out b.pdf --out c.xyz": ["a.png and b.pdf: one", "in .png, .svg, .pdf, .gif"],
    "optimize adam --function rosenbrok --start 1,2,3": ["--function: unknown function"],
    "train --epochs ten": ["train needs a config, as in", "--epochs: expected a whole number"],
    "train sigmoid relu --seeds 0 --lr x": [
        "too many arguments: relu",
        "--seeds: expected a whole number from 1 to 1,000, got '0'",
        "--lr: expected a number > 0",
    ],
    "train --verbose sigmoid.yaml --json=3 --epochs ten": [
        "No such option: --verbose",
        "--json takes no value; write --json",
        "--epochs: expected a whole number",
    ],
    "train sigmoid --optimizer adm --set optimizer.beta1=0.5 --log x": [
        "--log: expected tensorboard, got 'x'",
        "--optimizer: unknown optimizer 'adm'",
    ],
    "train sigmoid --expect 'bogus > 1' --weight-decay 3 --set foo=1": [
        "No such option: --weight-decay; write --set weight_decay=3",
        "--expect: unknown metric 'bogus'",
        "--set foo: unknown key",
    ],
    "train sigmoid --seeds 0 --jobs 2 --threads 3": ["--seeds: expected a whole number", "one thread each, got 3"],
    "train --fork nope@x --epochs ten": ["--fork: expected RUN or RUN@EPOCH", "--epochs: expected a whole number"],
    "race --algo sgd,adm --on nope,nada": [
        "'nope': no file",
        "'nada': no file",
        "--algo: unknown optimizer 'adm'",
    ],
    "race --algo sgd,adm --function ravin --budget 0": [
        "--budget: must be at least 1",
        "--algo: unknown optimizer 'adm'",
        "--function: unknown function 'ravin'",
    ],
    "race --on sigmoid --algo sgd,adam --settings --set foo=1 --expect 'bogus > 1'": [
        "--settings can only be used in a race on test functions",
        "--expect: unknown metric 'bogus'",
        "--set foo: unknown key",
    ],
    "sweep sigmoid --over optimizr.lr=1,2 --set epoch=3 --seeds 0": [
        "--seeds: must be at least 1",
        "--set epoch: unknown key",
        "--over optimizr.lr=1,2: unknown key",
    ],
    "sweep nope --over optimizer.lr=5:1 --set epochs=ten": [
        "'nope': no file",
        "--set epochs: expected a whole number",
        "--over optimizer.lr=5:1: LOW has to be less",
    ],
    "sweep sigmoid --over lr --metric bogus": ["--over: lr: expected", "--metric: unknown metric 'bogus'"],
    "sweep sigmoid --over optimizer.lr=1,2 --lr 3 --set foo=1": [
        "--lr: optimizer.lr is an axis",
        "--set foo: unknown",
    ],
    "sweep --over optimizer.lr=1,2 --seeds 0": ["sweep needs a config", "--seeds: must be at least 1"],
    "remedy sigmoid --only batchnrm --set epochs=ten --seeds 0": [
        "--seeds: must be at least 1",
        "--set epochs: expected a whole number",
        "--only: unknown remedy 'batchnrm'",
    ],
    "lr nope --expect 'bogus > 1' --steps x": [
        "--steps: expected a whole number",
        "'nope': no file",
        "--expect: unknown metric 'bogus'",
    ],
    "map adam --x lr=1:0.1 --y beta9=0:1 --epocs 3": [
        "No such option: --epocs",
        "--x lr=1:0.1: LOW",
        "--y beta9: not",
    ],
    "map adam --x lr=0.1:1 --x beta1=0:1": [
        "--x is given twice: lr=0.1:1 and beta1=0:1; write --y beta1=0:1",
        "--y beta1=0:1: must be less than 1, got 1.0",
    ],
    "map adam --xrange lr=0.1:1 --y beta1=0:0.9 --show x": [
        "No such option: --xrange",
        "--show: expected one of value, steps",
        "map needs two axes",
    ],
    "diagnose nope --fail-on bad --set foo=1": [
        "--fail-on: unknown level 'bad'",
        "no file and no preset is called 'nope'",
        "--set foo: unknown key",
    ],
    "verify nope.py --against adm --epochs ten": [
        "--against: unknown optimizer 'adm'",
        "--epochs: expected a whole number",
        "there is no file nope.py",
    ],
    "verify a.py b.py --against adam --points x --format y": [
        "--format: expected one of table",
        "no file matches 'a.py'",
        "no file matches 'b.py'",
        "--points: expected VERDICT=N",
    ],
    "verify --algo adm --epochs 3": ["--epochs only applies to a file", "--algo: unknown optimizer 'adm'"],
    "check sigmoid --only x --seeds 0 --out a.txt": [
        "--seeds: expected a whole number",
        "--seeds: it is for a training config",
        "--only: it is for a file of claims",
        "--out: expected a name that ends in .xml",
        "no run 'sigmoid' in runs",
    ],
    "check sigmoid.yaml --epochs ten --seeds 0 --expect 'accuracy > 50%'": [
        "--seeds: expected a whole number",
        "--epochs: expected a whole number",
        "and 50% is no value of val_acc; write 'val_acc > 0.5'",
    ],
    "map adam,sgd --x beta1=0,0.5,0.9": [
        "got adam,sgd; write adam; to compare",
        "; write --x beta1=0:0.9:3",
        "map needs two axes",
    ],
    "explain adm --step x --format html": [
        "--format: expected one of text, markdown, latex",
        "--step: expected a step",
        "--algo: unknown optimizer 'adm'",
    ],
    "play adm --out a.txt --tune 0": [
        "--tune: expected a whole number",
        "--out: expected a name that ends in .html",
        "--algo: unknown optimizer 'adm'",
    ],
    "runs compare nope nada --where x --until days --target y": [
        "No such option: --where",
        "--target: expected a number, got 'y'",
        "--until: expected one of epochs, seconds",
        "no run 'nope'",
        "no run 'nada'",
    ],
    "runs ls nope --where a>>1 --where b --format xml": [
        "--format: expected one of table",
        "no run 'nope'",
        "--where: >> is none of",
        "--where: a comparison is missing",
    ],
    "runs show nope nada --foo": ["No such option: --foo", "too many arguments: nada", "no run 'nope'"],
    "runs plot nope --out a.xyz --size big": [
        "--size: expected one of",
        "--out: expected a name",
        "no run 'nope'",
    ],
    "runs rm nope --older-than 3y --foo": [
        "No such option: --foo",
        "--older-than: expected a whole",
        "no run 'nope'",
    ],
    "runs diff nope nada --foo": ["No such option: --foo", "no run 'nope'", "no run 'nada'"],
    "runs path nope --foo": ["No such option: --foo", "no run 'nope'"],
    "report nope --out a.txt --at x": ["--at: expected last", "--out: expected a name", "no run 'nope'"],
    "data where nope --data-dir ''": ["--data-dir: empty path", "unknown dataset 'nope'"],
    "data verify nope --data-dir /etc/passwd": ["/etc/passwd is a file", "unknown dataset 'nope'"],
    "data fetch nope --foo": ["No such option: --foo", "unknown dataset 'nope'"],
    "config show trian --foo": ["No such option: --foo", "no preset is called 'trian'"],
    "config cp relo '' --foo": [
        "No such option: --foo",
        "DEST: empty path; give a path",
        "no preset is called 'relo'",
    ],
    "config schema trian --foo": ["No such option: --foo", "unknown config 'trian'"],
    "env a --foo --bar": ["No such option: --foo", "No such option: --bar", "too many arguments: a"],
    "help nothing-like-it --foo": ["No such option: --foo", "'nothing-like-it' is no topic"],
}
"""Lines with several mistakes, and what is said of each; no line is said of anything else."""


@pytest.mark.parametrize("line", AT_ONCE)
def test_all_that_is_wrong_with_a_line_is_said_at_once(line, optilab, tmp_path):
    said = optilab(*shlex.split(line), code=2).stderr.splitlines()
    own = [text for text in said if not text.startswith(("optilab: 2 problems", "Every key is described by"))]
    assert len(own) == len(AT_ONCE[line])
    assert [part for part in AT_ONCE[line] if not any(part in text for text in own)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["optimize", "explain", "config show", "data verify", "runs show", "train", "diagnose"]
)
def test_a_name_that_no_file_can_have_is_unknown(line, optilab):
    said = optilab(*line.split(), "x" * 300, code=4 if line == "runs show" else 2).stderr
    assert "xxx" in said
