"""The command as a user, a script and a pipe meet it."""

import csv
import importlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from optilab.cli import COMMANDS
from optilab.config.presets import named
from optilab.config.study import ALGOS, FUNCTIONS, NETWORK_ALGOS
from tests.faults.harness import on_a_terminal
from tests.pages import ROOT
from tests.run import run
from tests.study.generated import training

ALL_STREAMS = ("stdin", "stdout", "stderr")


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


# --- optimize ----------------------------------------------------------------------------------------------


def test_the_json_document_of_optimize(optilab):
    done = optilab("optimize", "--algo", "momentum", "--set", "algo.lr=0.6", "--epochs", 2, "--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    (result,) = document["results"]
    assert result["algo"] == "momentum"
    assert {"lr": 0.6, "beta": 0.5, "form": "ema"}.items() <= result["params"].items()
    assert (result["function"], result["epochs"], result["status"]) == ("ravine", 2, "moving")
    assert result["points"][0] == [-5.0, -2.0]
    assert len(result["points"]) == len(result["values"]) == 3
    assert result["values"][0] == 0.1 * 25 + 2 * 4


def test_the_run_directory_of_optimize(optilab, tmp_path):
    run = tmp_path / optilab("optimize", "--algo", "adam,sgd", "--epochs", 5, "--quiet").stdout.strip()
    rows = table(run / "metrics.csv")
    assert [(row["algo"], int(row["epoch"])) for row in rows] == [
        (a, e) for a in ("adam", "sgd") for e in range(6)
    ]
    assert float(rows[5]["w1"]) != float(rows[11]["w1"])
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert "eps" in manifest["formulas"]["adam"]  # the form that ran is stored
    assert {"python", "numpy", "optilab"} <= manifest["versions"].keys()
    again = optilab("optimize", "--config", run / "config.yaml", "--quiet").stdout.strip()
    assert (tmp_path / again / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


def test_settings_do_not_depend_on_the_order_typed(optilab):
    """A section comes before the keys inside it; a key is set by an option or by --set, and the last --set counts."""

    def result(*arguments):
        return json.loads(optilab("optimize", "--json", *arguments).stdout)["results"][0]

    for order in (("--set", "algo.lr=0.3", "--algo", "momentum"), ("--algo", "momentum", "--set", "algo.lr=0.3")):
        assert result(*order)["params"]["lr"] == 0.3
        assert "beta" in result(*order)["params"]
    assert result("--set", "epochs=4", "--set", "epochs=5", "--algo", "sgd")["epochs"] == 5
    assert result("--algo", "sgd", "--epochs", 3, "--epochs", 6)["epochs"] == 6
    for arguments in (("--epochs", 3, "--set", "epochs=4"), ("--set", "epochs=4", "--epochs", 3)):
        done = optilab("optimize", "--algo", "sgd", *arguments, code=2)
        assert done.stderr == "optilab: --epochs and --set epochs: both set epochs; leave one of them out\n"


def test_precedence_schema_yaml_flags(optilab, tmp_path):
    (tmp_path / "mine.yaml").write_text("algo: {name: sgd, lr: 1e-3}\nepochs: 7\n")

    def result(*arguments):
        return json.loads(optilab("optimize", *arguments, "--json").stdout)["results"][0]

    assert result("--config", "mine.yaml")["epochs"] == 7
    assert result("--config", "mine.yaml")["params"]["lr"] == 1e-3
    assert result("--config", "mine.yaml", "--epochs", 9)["epochs"] == 9
    assert result("--algo", "sgd")["epochs"] == 30


@pytest.mark.parametrize(
    "options",
    [
        "--set algo=adam --lr 0.5",
        "--lr 0.5 --set algo=adam",
        "--algo adam --set algo.lr=0.5",
        "--set algo.lr=0.5 adam",
        "--set algo.lr=0.5 --set algo=adam",
    ],
)
def test_an_option_of_a_section_and_the_whole_section_go_together(options, optilab):
    """In any order: neither is dropped in silence."""
    (found,) = json.loads(optilab("optimize", *options.split(), "--epochs", 1, "--json").stdout)["results"]
    assert (found["algo"], found["params"]["lr"]) == ("adam", 0.5)


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--algo", "rmsprop"], "converged", "converged"),
        (["--algo", "adam"], "moving", "still moving"),
        (["--algo", "sgd", "--lr", "0.6", "--epochs", "40"], "diverged", "diverged"),
        (["--algo", "sgd", "--lr", "1e300", "--epochs", "9"], "diverged", "not finite after step"),
        (["--algo", "newton", "--function", "abs(x) + abs(y)", "--start", "1,0.5"], "moving", "stands still"),
    ],
)
def test_verdicts(arguments, status, word, optilab):
    result = json.loads(optilab("optimize", *arguments, "--json").stdout)["results"][0]
    assert result["status"] == status
    assert all(math.isfinite(value) for value in result["values"])
    assert word in optilab("optimize", *arguments).stdout
    code = 6 if status == "diverged" else 0
    optilab("optimize", *arguments, "--fail-on-divergence", code=code)


def test_a_comparison_ranks_the_algorithms(optilab):
    lines = optilab("optimize", "--algo", "sgd,momentum,rmsprop,adam", "--epochs", 30).stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("algo"))
    assert [line.split()[0] for line in lines[start + 1 : start + 5]] == ["rmsprop", "momentum", "adam", "sgd"]


def test_one_rule_twice_and_each_with_its_own_settings(optilab):
    rules = "algo=[{name: adam, beta1: 0.5}, {name: adam, lr: 0.1}, sgd]"
    done = optilab("optimize", "--set", rules, "--epochs", 3)
    settings = re.findall(r"lr (\S+)(?:   beta1 (\S+))?", done.stdout)
    assert {("0.2", "0.5"), ("0.1", "0.9"), ("0.4", "")} <= set(settings)  # the presets', with one field changed


def test_a_start_where_the_function_has_no_value_is_refused(optilab):
    said = optilab("optimize", "--algo", "adam", "--function", "log(w1)", "--start", "-1", code=2).stderr
    assert "--start: f is nan at the start -1; for example --start=1" in said
    optilab("optimize", "--algo", "adam", "--function", "log(w1) + w2^2", "--start", "2,1")


def test_one_of_several_is_shown_in_full_by_the_command_that_is_told(optilab):
    options = ["--function", "w1^2 + 3*w2^4", "--start", "-1,2", "--set", "noise=0.1", "--epochs", 4]
    said = optilab("optimize", "--algo", "sgd,adam", *options).stdout
    line = re.search(r"^see one in detail: optilab (.*)$", said, flags=re.MULTILINE)[1]
    alone = optilab(*shlex.split(line), "--json").stdout
    both = json.loads(optilab("optimize", "--algo", "sgd,adam", *options, "--json").stdout)["results"]
    assert json.loads(alone)["results"][0] in both


def test_long_tables_are_elided_in_the_middle(optilab):
    lines = optilab("optimize", "--algo", "sgd", "--epochs", 1000).stdout.splitlines()
    assert len(lines) < 40
    assert any(line.split()[:1] == ["..."] for line in lines)
    assert any(line.split()[:1] == ["1000"] for line in lines)


# --- train -------------------------------------------------------------------------------------------------


def test_the_json_document_of_train(optilab, small):
    done = optilab("train", "--config", small, "--json")
    document = json.loads(done.stdout)
    assert (document["schema_version"], document["status"]) == (2, "done")
    assert [row["epoch"] for row in document["rows"]] == [1, 2, 3]
    assert {"train_loss", "train_acc", "val_loss", "val_acc"} <= document["rows"][0].keys()
    assert done.stderr == ""


def test_a_pipe_gets_one_plain_line_per_epoch(optilab, small):
    done = optilab("train", "--config", small)
    lines = [line for line in done.stdout.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert lines[0].split()[2::2][:4] == ["train_loss", "train_acc", "val_loss", "val_acc"]
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr


def test_the_run_directory_of_train(optilab, small, tmp_path):
    run = tmp_path / optilab("train", "--config", small, "--quiet").stdout.strip()
    rows = table(run / "metrics.csv")
    assert list(rows[0])[:5] == ["epoch", "train_loss", "train_acc", "val_loss", "val_acc"]
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["seed"] == 42
    assert len(manifest["data"]["sha256"]) == 4
    assert {"torch", "threads", "device"} <= manifest["numerics"].keys()
    assert len(table(run / "timings.csv")) == 3
    again = optilab("train", "--config", run / "config.yaml", "--quiet").stdout.strip()
    assert (tmp_path / again / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


def test_an_absent_device_is_an_error_before_any_work(optilab, small, tmp_path):
    done = optilab("train", "--config", small, "--device", "cuda:7", code=2)
    assert "cuda:7" in done.stderr
    assert "(available: cpu)" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_name_is_taken_once(optilab, small):
    optilab("train", "--config", small, "--name", "mine", "--quiet")
    assert "already exists" in optilab("train", "--config", small, "--name", "mine", code=4).stderr


# --- config, data, runs ------------------------------------------------------------------------------------


def test_config_ls_show_cp_check(optilab, tmp_path):
    assert "sigmoid.yaml" in optilab("config", "ls").stdout
    assert optilab("config", "show", "sigmoid").stdout.startswith("# ")
    assert "model.hidden" in optilab("config", "show", "train").stdout
    optilab("config", "cp", "sigmoid.yaml", "my.yaml")
    assert yaml.safe_load((tmp_path / "my.yaml").read_text())["optimizer"] == "sgd"
    assert "exists" in optilab("config", "cp", "sigmoid.yaml", "my.yaml", code=2).stderr
    (tmp_path / "bad.yaml").write_text("optimizer: {name: sgd, lr: -1}\nepocs: 3\n")
    done = optilab("config", "check", "my.yaml", "bad.yaml", code=2)
    assert "my.yaml: ok" in done.stdout
    assert "bad.yaml:1: optimizer.lr: must be greater than 0, got -1" in done.stderr
    assert 'bad.yaml:2: epocs: unknown key; did you mean "epochs"?' in done.stderr


def test_runs_ls_show_path_rm(optilab, tmp_path):
    optilab("optimize", "--algo", "adam", "--name", "one", "--quiet")
    assert "one" in optilab("runs", "ls").stdout
    assert "eps_placement: added" in optilab("runs", "show", "one", "--config").stdout
    assert optilab("runs", "path", "one").stdout.strip() == "runs/one"
    assert 'did you mean "one"?' in optilab("runs", "show", "onne", code=4).stderr
    assert "--yes" in optilab("runs", "rm", "one", code=2).stderr
    optilab("runs", "rm", "one", "--yes")
    assert list((tmp_path / "runs").iterdir()) == []


def test_runs_go_where_they_are_sent(optilab, tmp_path):
    optilab("optimize", "--algo", "sgd", "--runs-dir", "there", "--name", "x")
    optilab("optimize", "--algo", "sgd", "--name", "y", OPTILAB_RUNS=str(tmp_path / "elsewhere"))
    assert (tmp_path / "there" / "x" / "metrics.csv").exists()
    assert (tmp_path / "elsewhere" / "y" / "metrics.csv").exists()
    assert not (tmp_path / "runs").exists()


def test_data_where_and_verify(optilab, tmp_path):
    assert "user cache" in optilab("data", "where", OPTILAB_DATA="").stdout
    done = optilab("data", "verify", "--data-dir", tmp_path, code=3)
    assert str(tmp_path) in done.stderr


# --- surroundings ------------------------------------------------------------------------------------------


def test_version_and_help(optilab):
    assert optilab("--version").stdout.startswith("optilab 0.")
    for command in ([], ["optimize"], ["train"], ["config"], ["data"], ["runs"]):
        assert "Usage: " in optilab(*command, "--help").stdout


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in COMMANDS), ["config", "cp"], ["data", "fetch"], ["runs", "rm"]],
    ids=" ".join,
)
def test_every_help_ends_with_examples_one_a_line(command, optilab):
    said = optilab(*command, "--help").stdout
    examples = said.partition("Examples:\n")[2].splitlines()
    assert examples[0].startswith(" ".join(["    optilab", *command]))
    assert "\\b" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_screen_fits_80_columns_and_its_examples_can_be_pasted(name, optilab):
    """A long example is broken as a shell reads it."""
    module = importlib.import_module(f"optilab.verbs.{name}")
    verbs = {(name, part): verb for part, verb in getattr(module, "VERBS", {}).items()} or {(name,): module.VERB}
    assert max(map(len, optilab(name, "--help").stdout.splitlines())) <= 80
    for words, verb in verbs.items():
        said = optilab(*words, "--help").stdout
        assert max(map(len, said.splitlines())) <= 80
        pasted = said.partition("Examples:\n")[2].replace("\\\n", "").split("\n\n")[0].splitlines()
        assert "\b" not in said
        examples = verb.requests[0].EXAMPLES
        assert [shlex.split(line) for line in pasted] == [shlex.split(line) for line in examples]


def test_a_check_of_no_file_speaks_of_no_flag(optilab):
    assert optilab("config", "check", "nosuch.yaml", code=2).stderr.startswith("optilab: 'nosuch.yaml': no file ")


def test_the_commands_are_shown_one_a_line(optilab):
    said = optilab("--help").stdout
    assert "..." not in said.partition("Commands:")[2]


@pytest.mark.parametrize(
    "environment", [{"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "1"}]
)
def test_odd_terminals(environment, optilab_process):
    done = optilab_process("optimize", "--algo", "sgd,adam", **environment)
    assert "adam" in done.stdout
    assert done.stdout.isascii()


def test_in_a_pipe_a_row_is_a_line(optilab):
    optilab("optimize", "--algo", "sgd,momentum,nesterov,adam,nadam,rmsprop", "--name", "six-rules-in-one-run")
    row = next(line for line in optilab("runs", "ls").stdout.splitlines() if line.startswith("six-rules"))
    names = "sgd,momentum,nesterov,adam,nadam,rmsprop"
    assert row.split() == ["six-rules-in-one-run", "optimize", "done", names, *["1", "of", "6", "converged"]]
    titles = optilab("config", "ls").stdout
    assert any(line.startswith("adam.yaml") and line.rstrip().endswith(")") for line in titles.splitlines())


def test_colour_only_on_a_terminal_that_wants_it(light, tmp_path):
    def colours(**environment):
        arguments = ["optimize", "--algo", "sgd"]
        return on_a_terminal(light, arguments, tmp_path, ALL_STREAMS, COLUMNS="100", **environment)

    assert "\x1b[33m" in colours()  # still moving: yellow
    assert "\x1b[3" not in colours(NO_COLOR="1")
    assert "\x1b[3" not in colours(TERM="dumb")


def test_a_terminal_gets_live_progress_and_its_cursor_back(warm, small, tmp_path):
    arguments = ["train", "--config", str(small), "--epochs", "40"]
    written = on_a_terminal(warm, arguments, tmp_path, ALL_STREAMS, COLUMNS="100")
    assert "epochs/s" in written
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") >= 0


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("optilab tra", "train"),
        ("optilab config ch", "check"),
        ("optilab optimize --algo ada", "adam"),
        ("optilab optimize --algo sgd,ada", "sgd,adam"),
        ("optilab optimize --function ros", "rosenbrock"),
        ("optilab explain ada", "adam"),
        ("optilab train --config sig", "sigmoid.yaml"),
        ("optilab train --set optim", "optimizer="),
        ("optilab train --set optimizer = ada", "adam"),  # as bash breaks it
        ("optilab train --set data.ba", "data.batch_size="),
        ("optilab lr --set data.ba", "data.batch_size="),
        ("optilab sweep relu --over data.ba", "data.batch_size="),
        ("optilab optimize --set schedule = ", "cosine"),
        ("optilab map --algo momentum --x algo.b", "algo.beta="),
        ("optilab race --algo sgd,ada", "sgd,adam"),
        ("optilab race --function boo", "booth"),
        ("optilab verify --against ada", "adam"),
        ("optilab remedy sigmoid --only tanh,bat", "tanh,batchnorm"),
        ("optilab diagnose sig", "sigmoid.yaml"),
        ("optilab diagnose mi", "mine"),
        ("optilab config show sig", "sigmoid.yaml"),
        ("optilab config show train model.no", "model.norm"),
        ("optilab runs show mi", "mine"),
    ],
)
def test_shell_completion(typed, offered, optilab):
    optilab("optimize", "--algo", "sgd", "--name", "mine", "--quiet")
    words = typed.split(" ")
    shell = {
        "_OPTILAB_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    assert offered in optilab(**shell).stdout.split()


def test_completion_in_zsh_keeps_the_key(optilab):
    shell = {"_OPTILAB_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "optilab train --set optimizer=ada"}
    assert '"optimizer=adam"' in optilab(**shell).stdout


def test_completion_of_a_command_name_imports_no_command(optilab_process, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: print([m for m in sys.modules if m.startswith('optilab.cli.')], file=sys.stderr))\n"
    )
    here = {"PYTHONPATH": str(tmp_path)}
    shell = {"_OPTILAB_COMPLETE": "complete_bash", "COMP_WORDS": "optilab\ntr", "COMP_CWORD": "1"}
    needed = "['optilab.cli.usage', 'optilab.cli.help']"
    assert optilab_process(**shell, **here).stderr.strip() == needed
    assert optilab_process("--help", **here).stderr.strip() == needed


def test_help_without_docstrings(tmp_path):
    program = (
        "import sys\nfrom contextlib import suppress\nfrom optilab.__main__ import main\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv = ['optilab', *line.split(), '--help']\n"
        "    with suppress(SystemExit):\n        main()\n"
        "    print('end of a page')\n"
    )
    commands = ["", "optimize", "config", "config ls", "data where", "runs ls"]
    line = [sys.executable, "-OO", "-c", program, *commands]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    *pages, rest = done.stdout.split("end of a page\n")
    assert (len(pages), rest) == (len(commands), "")
    for shown in pages:
        assert re.match(r"Usage: .*\n\n  [A-Z]\w* ", shown), shown


def test_a_full_disk_behind_stdout(light, tmp_path):
    if not Path("/dev/full").exists():
        pytest.fail("this test needs /dev/full")
    done = light.run(["optimize", "--algo", "sgd"], tmp_path, stdout="/dev/full")
    assert done.code == 7
    assert "No space left" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "where", "message"),
    [
        (["optimize", "--algo", "adm"], 2, "--algo", 'did you mean "adam"'),
        (["optimize", "--algo", "sgd", "--set", "algo.lrr=1"], 2, "--set algo.lrr", 'did you mean "algo.lr"'),
        (["verify", "--algo", "sdg"], 2, "--algo", 'did you mean "sgd"'),
        (["race", "--function", "rosenbrok"], 2, "--function", 'did you mean "rosenbrock"'),
        (["remedy", "sigmoid", "--only", "batchnrm"], 2, "--only", 'did you mean "batchnorm"'),
        (["diagnose", "sigmoid", "--fail-on", "warnin"], 2, "--fail-on", 'did you mean "warning"'),
        (["optimize", "--epoch", "3"], 2, None, "No such option"),
        (["runs", "show", "nosuch"], 4, None, "nosuch"),
    ],
)
def test_an_error_with_json_is_a_document(arguments, code, where, message, optilab):
    done = optilab(*arguments, "--json", code=code)
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["where"]) == (code, where)
    assert message in error["message"]
    assert message in done.stderr  # a person reads it there, as without --json


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("data download", "write: optilab data fetch"),
        ("data list", "write: optilab data ls"),
        ("laundry", "one of optimize, explain, verify, map, play, race, train"),
        ("repot", 'did you mean "report"?'),
        ("config list", "write: optilab config ls"),
        ("runs delete x", "write: optilab runs rm x"),
        ("train --config sigmoid --optim adam", "write --optimizer"),
        ("train sigmoid --weight-decay 0.1", "write --set weight_decay=0.1"),
        ("train --config sigmoid --hidden 64", "write --set 'model.hidden=[64]'"),
        ("train --config sigmoid --set lr=0.1", 'did you mean "optimizer.lr"?'),
        ("train --config sigmoid --set activation=relu", 'did you mean "model.activation"?'),
        ("train --config sigmoid --set optimizer.learning_rate=0.1", 'did you mean "optimizer.lr"?'),
        ("train --config sigmoid --set batchsize=64", 'did you mean "data.batch_size"?'),
        ("train --config sigmoid --set data.batchsize=64", 'did you mean "data.batch_size"?'),
        ("train --config sigmoid --set norm=batch", 'did you mean "model.norm"?'),
        ("train --config sigmoid --set model.hidden=128,128", "expected a list, got '128,128'; write [128,128]"),
        ("train --config sigmoid --set model.hidden=128", "expected a list, got 128; write [128]"),
        ("optimize --algo adam --set lr=0.1", 'did you mean "algo.lr"?'),
        ("optimize --algo adam --set learning_rate=0.1", 'did you mean "algo.lr"?'),
        ("optimize --algo adma", 'did you mean "adam"?'),
        (
            "race sgd,adam --function x^2",
            "a race takes named functions with a known minimum, such as ravine,booth; for a formula: optilab",
        ),
        ("data ls --data-dir /etc/passwd", "--data-dir: /etc/passwd is a file; expected a directory"),
        ("optimize adm", "algo: unknown optimizer 'adm'; did you mean \"adam\"?"),
        ("optimize adam --algo sgd", "adam and --algo sgd: leave one of them out"),
        ("map adam.yaml --config sgd.yaml --basins", "adam.yaml and --config sgd.yaml: leave one of them out"),
        ("race adam", "a race needs at least two different optimizers, got adam"),
        ("optimize rosenbrock --algo adam", "write --function=rosenbrock"),
        ("explain adam.yaml", "expected the name of an optimizer, got the config 'adam.yaml'"),
        (
            "optimize sgd,rmsprop --set algo.decay=0.5",
            "set it for rmsprop alone by --set 'algo=[sgd, {name: rmsprop, decay: 0.5}]' instead of sgd,rmsprop",
        ),
        ("optimize sigmoid", "sigmoid is a preset of `optilab train`"),
        ("optimize --algo sgd --start -5 -2", "too many arguments: -2; write --start -5,-2\n"),
        ("optimize --algo sgd --start 5 2", "too many arguments: 2; write --start 5,2\n"),
        ("optimize --algo sgd --funtion beale", 'did you mean "--function"?'),
        ("train sigmoid other.yaml", "train takes CONFIG"),
        ("explain adam 3a", "explain takes NAME"),
        ("env extra", "env takes no arguments"),
        (
            "train sigmoid --stop-after 3",
            "No such option: --stop-after; leave it out: optilab train --help lists its options",
        ),
        ("train -j", "No such option: -j; did you mean --jobs or --json?"),
        ("train --fork relu-1@last", "--fork: expected RUN or RUN@EPOCH, for example relu-1@3; got 'relu-1@last'"),
        ("optimize --algo sgd --out=", "--out: empty path"),
        ("optimize --algo sgd --runs-dir=", "--runs-dir: empty path"),
        ("train --config sigmoid --data-dir=", "--data-dir: empty path"),
        ("diagnose sigmoid --data-dir=", "--data-dir: empty path"),
        ("sweep relu.yaml --jobs 0", "--jobs: expected a whole number from 1 to 256, got '0'"),
        ("check relu.yaml --seeds many", "--seeds: expected a whole number from 1 to 1,000, got 'many'"),
        ("verify --algo adam --timeout 0", "--timeout: expected a number from 0.1 to 86,400, got '0'"),
        ("config show train adm", 'did you mean "adam"?'),
        ("config show train model.activaton", 'did you mean "model.activation"?'),
        (
            "config show sigmoid model",
            "sigmoid is a preset, which has no parts; its keys: optilab config show train model",
        ),
        ("config cp sigmoid /dev/null --force", "only regular files are replaced"),
        ("optimize --algo sgd,,adam", "--algo: 'sgd,,adam' has an empty name; write sgd,adam"),
        (
            "optimize --algo sgd --size poster --out p.png",
            "--size: expected one of column, page, slide, got 'poster'",
        ),
        ("optimize --algo sgd --set lr", "--set: expected KEY=VALUE, got 'lr'; for example epochs=10"),
        ("optimize --algo adam --set algo.beta1=[0.9", "'[0.9': ',' or ']' is missing\n"),
        ("optimize --algo sgd --expect f<<3", "--expect: 'f<<3': << is no comparison; write for example 'f<3'"),
        ("optimize --algo sgd --epochs", "--epochs needs a value: --epochs N"),
        ("optimize --algo sgd --function log(x)", "optilab: start: f is nan at the start -1"),
        ("optimize --algo sgd --function x^2/0+y", "column 4: 'x^2/0+y' divides by 0 everywhere"),
        ("optimize --algo sgd --function 3", "'3' is constant; a function has a variable, for example x^2 + 3"),
        ("optimize --algo sgd --function 0*x", "is constant; a function has a variable"),
        (
            "sweep --study relu.yaml --over optimizer.lr=0.1,1",
            "write: optilab sweep relu.yaml --over optimizer.lr=",
        ),
        ("sweep --study adam", "adam is a preset of `optilab optimize`; write: optilab optimize adam"),
        (
            "remedy --study relu.yaml",
            "begins with config:; relu is a preset of `optilab train`; write: optilab remedy",
        ),
        ("race --study lr", "write: optilab race --on lr"),
        (
            "train sigmoid --expect val_acc>80",
            "an accuracy is a fraction from 0 to 1, as in 0.8; got 80; for 80% write",
        ),
        ("train sigmoid --expect val_acc<1.5", "an accuracy is a fraction from 0 to 1, as in 0.8; got 1.5\n"),
        ("train sigmoid --expect val_acc==0.46+-1", "'+- 1' admits every accuracy; write for example +- 0.01"),
        ("race --on relu --algo sgd,adam --expect test_acc>80", "an accuracy is a fraction from 0 to 1"),
        ("sweep sigmoid --seeds 2 --expect val_acc>=90", "an accuracy is a fraction from 0 to 1"),
        ("train sigmoid --expect val_acc>50%", "expected a number, got '50%'; write 0.5"),
        ("train sigmoid --expect val_acc>0.3+-0.1", "'+- 0.1' goes only with ==, as in val_acc == 0.85 +- 0.01"),
        ("train sigmoid --expect {metric:val_acc,over:0.5}", "expected text, such as 'val_acc > 0.5'; a mapping"),
        ("train sigmoid --set model.norm=no", "YAML reads no as false: write none"),
        ("sweep sigmoid --over optimizer.lr=0.1:1:3:lg", "'lg' is not log; write --over optimizer.lr=0.1:1:3:log"),
        (
            "sweep sigmoid --optimizer momentum --over optimizer.momentum=0.1,0.9",
            "momentum has no setting 'momentum'; did you mean \"optimizer.beta\"?",
        ),
        ("explain adam --step 3-1", "--step: a range begins with its first step: write 1-3, not 3-1"),
        ("train --resume a --fork b", "--resume and --fork cannot be combined; give one"),
        ("play --algo sgd --out play.pdf", "ends in .html or .htm, got 'play.pdf'; for example play.html"),
        ("map --algo sgd --x lr=0.1:1 --y w3=0:1", "w3: ravine has w1, w2; an axis is one of them, or a setting"),
        (
            "map --algo sgd --x lr=0.1:1 --y w1=0:1 --show speed",
            "--show: expected one of value, steps, got 'speed'",
        ),
        ("train sigmoid --jobs 2", "--jobs needs --seeds; add --seeds N"),
        ("train sigmoid --set model.dropout=50", "must be less than 1, got 50; for 50% write 0.5"),
        ("train sigmoid --set schedule.warmup=3", "no schedule is named; set its name to one of constant, step"),
        ("train sigmoid --config relu", "'sigmoid' and --config cannot be combined; give one"),
        ("train https://example.org/a.yaml", "is an address; download the config, and give the name of the file"),
        ("sweep sigmoid --study s.yaml", "'sigmoid' and --study cannot be combined; give one"),
        (
            "sweep sigmoid --over optimizer.lr=loguniform(1e-4,1e-1)",
            "; write --over optimizer.lr=1e-4:1e-1:log",
        ),
        (
            "sweep sigmoid --over optimizer.lr=1e-4..1e-1",
            "expected KEY=LOW:HIGH[:COUNT][:log]; write --over optimizer.lr=1e-4:1e-1\n",
        ),
        ("train relu --optimizer AdamW --lr -0.1", "--lr: must be greater than 0, got -0.1"),
        (
            "train relu --optimizer AdamW --lr -0.1",
            "--optimizer: unknown optimizer 'AdamW'; did you mean \"adamw\"?",
        ),
        ("optimize adam --expect f<", "'f<': no value after the sign; write for example 'f < 0.1'"),
        ("sweep sigmoid --over optimizer.lr", "the values are missing, for example optimizer.lr=0.01,0.1"),
        ("sweep sigmoid --over model.hidden=1:9 --dry-run", "a range is for numbers, and model.hidden takes list"),
        (
            "diagnose sigmoid --epochs 3",
            "--epochs; a config is diagnosed within its first batches; to train it: optilab",
        ),
        ("check latest --epochs 3", "--epochs: it is for a config, and latest is none: leave it out"),
        ("check latest --only x", "--only: it is for a file of claims, and latest is none: leave it out"),
        (
            "check relu.yaml --momentum 0.9",
            "momentum is another optimizer: write --set optimizer=momentum --set optimizer.beta=0.9\n",
        ),
        ("verify mine.py:f --against sgd --memory 600", "--memory needs several files"),
        ("play adam,sdg", "optilab: --algo: unknown optimizer 'sdg'; did you mean \"sgd\"?"),
        ("race adam --on relu.yaml", "--algo: expected a list of at least 2, got adam; add 1 or more"),
        ("config show optimzer.lr", "no key is called 'optimzer.lr'; did you mean \"optimizer.lr\"?"),
        ("runs rm --all", "No such option: --all; all runs are '*'"),
        (
            "runs ls --limit 5",
            "No such option: --limit; all runs are listed, oldest first; the last ones: optilab",
        ),
        ("train relu --set name=no", "expected text, got false; put quotes around it: '\"no\"'\n"),
        (
            "optimize adam --format csv",
            "an option of explain, verify, race and 5 others, not of optimize: leave it",
        ),
        ("optimize sgd --algo adam", "sgd and --algo adam: leave one of them out"),
        ("train relu --expect val_acc=>0.5", "=> is no comparison; write for example 'val_acc>=0.5'"),
        ("train relu --expect val_acc!=0.5", "!= is no comparison; write for example 'val_acc<0.5'"),
        ("verify a.py b.py --against sgd --memory 600MB", "got '600MB'; write 600\n"),
        ("map adam --grid 50x50", "No such option: --grid; the number of points belongs to an axis"),
        ("lr relu --min 1e-4", "No such option: --min; the range test raises the rate until the loss grows"),
        ("train relu --set model.hidden=5*[64]", "got '5*[64]'; write [64,64,64,64,64]"),
        ("runs diff a..b", "optilab: runs diff needs RUN_B, as in: optilab runs diff a b\n"),
        ("race --algo all", "unknown optimizer 'all'; write names with commas between them, as in sgd,momentum"),
        ("optimize out.png", "'out.png' is no optimizer; to write a file of this name: --out out.png"),
        ("report --all", "No such option: --all; all runs are '*': optilab report '*'"),
        ("runs plot latest --dark-mode", 'No such option: --dark-mode; did you mean "--dark"?'),
        ("optimize sgd --set algo.lr(1)=1", "--set algo.lr(1): sgd has no setting 'lr(1)'; it has lr"),
        ("config cp mine.yaml x.yaml", "no preset is called 'mine.yaml'"),
        (
            "runs ls --where state",
            "--where: a comparison is missing; write for example 'val_acc>0.5' or 'state=done'",
        ),
        (
            "runs ls --where seed>>1",
            "--where: >> is none of = != < <= > >= ~; write for example 'val_acc>0.5'; got 'seed>>1'",
        ),
        ("optimize adam --tune 5 --lr 0.1", "--lr: --tune searches lr; leave one of them out"),
        (
            "optimize adam --tune 5 --set algo.beta1=0.5",
            "--set algo.beta1: --tune searches beta1; leave one of them out",
        ),
        ("race adam sgd lion", "too many arguments: sgd lion; optimizers are separated by commas: adam,sgd,lion"),
        ("play mine.yaml sgd", "too many arguments: sgd; write --algo sgd"),
        ("lr relu --confirm 2", "too many arguments: 2; --confirm takes no value; write --confirm --seeds 2"),
        (
            "optimize sgd,momentum --set momentum.lr=0.1",
            "the settings of the optimizer momentum belong to algo: algo.lr",
        ),
        (
            "optimize sgd --start (1,2,3)",
            "--start: ravine has 2 coordinates, got 3 numbers; for example --start=-5,-2",
        ),
        ("verify . --against adam", ". is a directory; for its files write '*.py'"),
        ("optimize torch.optim.SGD", "unknown optimizer 'torch.optim.SGD'; did you mean \"sgd\"?"),
        ("optimize ADMM", "unknown optimizer 'ADMM'; did you mean \"adam\"?"),
        (
            "optimize sgd --set beta2=0.5",
            "--set beta2: sgd has no setting 'beta2'; it has lr; for beta2 choose another optimizer, such as adam",
        ),
        (
            "train sigmoid --set hidden=8x8",
            "did you mean \"model.hidden\"? Also, expected a list, got '8x8'; write [8,8]",
        ),
        ("optimize adam --set bta1=0.5", 'unknown key; did you mean "algo.beta1"?'),
        (
            "map adam --x lr=0.01..1",
            "; write --x lr=0.01:1\nmap needs two axes or --basins; add --y w2=-2:2\n",
        ),
        ("map adam --x lr=1%:10% --y w1=0:1", "got '1%'; write --x lr=0.01:0.1"),
        (
            "map adam --x lr=0.1:1 --y function=a:b",
            "--y function: not a numeric setting of adam; one of lr, beta1",
        ),
        ("optimize --function x^2+y**", "'x^2+y**' ends in *"),
        ("data fetch mnist,kmnist", "expected one dataset, got 'mnist,kmnist'; write mnist"),
        (
            "sweep sigmoid --over optimizer.lr=0.1,,0.2",
            "values are separated by commas: --over optimizer.lr=0.1,0.2",
        ),
        ("train sigmoid --set early_stopping=5", "expected a mapping (key: value), got 5, such as {patience: 5}"),
        ("train sigmoid --device gpu", "cuda:N or mps, got 'gpu'; did you mean \"cuda\"?"),
        ("runs show a b", "too many arguments: b; optilab runs show takes RUN"),
        ("runs show a*", "expected one run, got the pattern 'a*'; `optilab runs ls 'a*'` lists its runs"),
        ("runs show ../..", "there is no run at '../..'; `optilab runs ls` lists those that are there"),
        ("explain sgd --epochs 5", "No such option: --epochs; explain works out single steps; write --step 5"),
        ("runs diff a", "optilab: runs diff needs RUN_B, as in: optilab runs diff a latest\nno run 'a' in runs"),
        ("help nothing-like-it", "'nothing-like-it' is no topic and no word of the glossary"),
        ("train relu --gpus 1", "No such option: --gpus; write --device cuda\n"),
        ("train relu --device gpu:0", "cuda:N or mps, got 'gpu:0'; did you mean \"cuda:0\"?"),
        ("runs rm x --force", 'No such option: --force; did you mean "--yes"?'),
        ("sweep relu --n-trials 10", 'No such option: --n-trials; did you mean "--samples"?'),
        ("config cp relu.yaml", "optilab: config cp needs DEST, as in: optilab config cp relu.yaml my.yaml\n"),
        ("train --momentum 0.9", "write --optimizer momentum --set optimizer.beta=0.9\n"),
        ("adam.yaml --epochs", "; write: optilab optimize adam.yaml (--epochs needs a value)\n"),
        ("config new my.yaml", "; write: optilab config cp sigmoid.yaml my.yaml\n"),
        ("config edit relu.yaml", "; write: optilab config cp relu.yaml my.yaml\n"),
        ("env --verison", "No such option: --verison; write: optilab --version\n"),
        ("optimize adam --set algo.lr 0.1", "too many arguments: 0.1; write --set algo.lr=0.1\n"),
        ("optimize --set algo.lr 0.1 --algo adam", "too many arguments: 0.1; write --set algo.lr=0.1\n"),
        ("optimize 0.1", "too many arguments: 0.1; optilab optimize takes NAME[,NAME...]; leave out 0.1\n"),
        ("train --version", "No such option: --version; write: optilab --version\n"),
        ("export --format", "; write: optilab runs export latest --out rows.csv\n"),
        ("runs export x --format csv", "not of runs export: write --out rows.csv\n"),
        ("fit", "; write: optilab train sigmoid.yaml\n"),
        ("bench sgd,adam", "; write: optilab race sgd,adam\n"),
        ("runs help", "; write: optilab runs --help\n"),
        (
            "train relu --tags a b",
            "No such option: --tags; leave it out: optilab train --help lists its options\n",
        ),
        ("optimize adam --start -5 -2 --json=1", "--json takes no value; write --json"),
        ("train --optim adam relu.yaml --lr x", "No such option: --optim; write --optimizer adam\n--lr: expected"),
    ],
)
def test_a_wrong_line_is_answered_with_the_right_one(line, answer, optilab):
    assert answer in optilab(*line.split(), code=2).stderr


@pytest.mark.parametrize(
    ("line", "text", "answer"),
    [
        ("train", "optimizer: sgd\nlr: 0.1", "y.yaml:2: lr: unknown key; write optimizer: {name: sgd, lr: 0.1}"),
        ("optimize", "algo: sgd\nstart: (4, 4)", "y.yaml:2: start: expected a list, got '(4, 4)'; write [4,4]"),
        ("train", "lr: 0.1", "y.yaml:1: lr: unknown key; write optimizer: {name: sgd, lr: 0.1}"),
        (
            "train",
            "lr: 0.1\noptimizer: {name: momentum, wrong: 3}",
            "y.yaml:1: lr: unknown key; write optimizer: {name: momentum, lr: 0.1}",
        ),
        (
            "train",
            "model: {layers: [64], activaton: relu}",
            'model.layers: unknown key; did you mean "hidden"?\n'
            '  y.yaml:1: model.activaton: unknown key; did you mean "activation"?',
        ),
        ("train", "data: {batchsize: 64}", 'data.batchsize: unknown key; did you mean "batch_size"?'),
        (
            "train",
            "optimizer:\n  learning_rate: 0.1\n  name: SGD",
            "y.yaml:2: optimizer.learning_rate: sgd has no setting 'learning_rate'; did you mean \"lr\"?\n"
            "  y.yaml:3: optimizer.name: unknown optimizer 'SGD'; did you mean \"sgd\"?",
        ),
        (
            "train",
            "optimizer: sgd\noptimizer.lr: 0.1",
            "dotted keys are for --set; write optimizer: {name: sgd, lr: 0.1}",
        ),
        (
            "train",
            "algo: sgd\nepochs: 3",
            "y.yaml is a config of `optilab optimize`; write: optilab optimize y.yaml",
        ),
        (
            "train",
            "config: relu\nover: {}",
            "y.yaml is a config of `optilab sweep`; write: optilab sweep --study y.yaml",
        ),
        ("sweep --study", "optimizer: sgd\nepochs: 3", "write: optilab sweep y.yaml --over optimizer.lr=0.01,0.1"),
        ("race --study", "optimizer: sgd\nepochs: 3", "write: optilab race --on y.yaml"),
        ("sweep --study", "algo: sgd", "y.yaml is a config of `optilab optimize`; write: optilab optimize y.yaml"),
    ],
)
def test_a_wrong_file_is_answered_with_the_right_one(line, text, answer, optilab, tmp_path):
    (tmp_path / "y.yaml").write_text(text)
    assert answer in optilab(*line.split(), "y.yaml", code=2).stderr


@pytest.mark.parametrize("line", ["runs ls", "train sigmoid", "sweep sigmoid --over optimizer.lr=0.1,0.2"])
def test_a_file_is_no_directory_of_runs(line, optilab, tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    told = "a.txt is a file; expected the directory of the runs"
    assert f"--runs-dir: {told}" in optilab(*line.split(), "--runs-dir", "a.txt", code=2).stderr
    assert f"OPTILAB_RUNS: {told}" in optilab(*line.split(), code=2, OPTILAB_RUNS="a.txt").stderr


@pytest.mark.parametrize("name", ["ds #2", "2024", "yes", "a: b", "[x]", "null"])
def test_a_flag_that_is_a_path_is_a_path(name, optilab, small, tmp_path):
    folder = tmp_path / name
    for command in (["train", "--config", small], ["diagnose", small], ["remedy", small, "--only", "tanh"]):
        assert str(name) in optilab(*command, "--data-dir", name, code=3).stderr
    shutil.copytree(small.parent, folder)
    run = optilab("train", "--config", small, "--epochs", 1, "--data-dir", name, "--quiet").stdout.strip()
    assert yaml.safe_load((tmp_path / run / "config.yaml").read_text())["data"]["dir"] == name


@pytest.mark.parametrize("where", ["flag", "config"])
def test_a_folder_of_data_with_an_accent_in_the_c_locale(where, optilab_process, small, tmp_path):
    shutil.copytree(small.parent, tmp_path / "données")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    more = ["--data-dir", "données"]
    if where == "config":
        (tmp_path / "mine.yaml").write_text(
            small.read_text().replace(str(small.parent), "données"), encoding="utf-8"
        )
        more = []
    config = small if where == "flag" else "mine.yaml"
    done = optilab_process("train", "--config", config, "--epochs", 1, *more, "--quiet", **environment)
    written = (tmp_path / done.stdout.strip() / "config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(written)["data"]["dir"] == "données"


def test_only_regular_files_are_replaced(optilab, tmp_path):
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    (tmp_path / "link.yaml").symlink_to("mine.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("link.yaml", "dangling.yaml", "pipe.yaml"):
        for force in ([], ["--force"]):
            assert "only regular files" in optilab("config", "cp", "sigmoid", name, *force, code=2).stderr
    assert (tmp_path / "mine.yaml").read_text() == "a: 1\n"
    assert (tmp_path / "pipe.yaml").is_fifo()
    optilab("config", "cp", "sigmoid", "mine.yaml", "--force")
    copied, preset = (tmp_path / "mine.yaml").read_text(), named("sigmoid").path.read_text()
    assert copied.splitlines()[1:] == preset.splitlines()[1:]  # the first says where the schema is


def test_config_check_escapes_a_file_name(optilab, tmp_path):
    name = "\x1b]52;c;Zm9v\x07.yaml"
    (tmp_path / name).write_text("algo: sgd\n")
    done = optilab("config", "check", name)
    assert "\x1b" not in done.stdout + done.stderr
    assert r"\u001b]52" in done.stdout


def test_config_check_as_a_document(optilab, tmp_path):
    (tmp_path / "good.yaml").write_text("algo: sgd\n")
    (tmp_path / "bad.yaml").write_text("optimizer: {name: sgd, lr: -1}\nepocs: 3\n")
    done = optilab("config", "check", "good.yaml", "bad.yaml", "--json", code=2)
    good, bad = json.loads(done.stdout)["files"]
    assert good == {"file": "good.yaml", "ok": True, "command": "optimize"}
    assert [problem["where"] for problem in bad["error"]["problems"]] == ["bad.yaml:1", "bad.yaml:2"]
    quiet = optilab("config", "check", "good.yaml", "bad.yaml", "--quiet", code=2)
    assert quiet.stdout + quiet.stderr == ""


@pytest.mark.parametrize("kind", ["train", "optimize"])
def test_the_keys_of_a_config_fit_a_few_screens(kind, optilab):
    lines = optilab("config", "show", kind).stdout.splitlines()
    assert len(lines) < 200
    assert lines[3] == "everyday"
    keys = json.loads(optilab("config", "show", kind, "--json").stdout)["keys"]
    text = "\n".join(lines)
    for key in keys:  # each is there, with the entry that has it
        name = key["key"].rpartition(".")[2]
        assert re.search(rf"^{re.escape(key['of'])}\b.*\b{name} |^{re.escape(key['key'])}\b", text, re.MULTILINE)
    assert not re.search(r"\b(None|True|False)\b", text)


def test_a_part_of_the_keys(optilab):
    shown = optilab("config", "show", "train", "model.norm").stdout
    assert re.search(r"^batch\nkey +default +meaning\nmodel.norm.position +before", shown, re.MULTILINE)
    assert "optimizer" not in shown
    shown = optilab("config", "show", "optimize", "adam").stdout
    assert re.search(r"^algo.lr +0.001 +0.2 ", shown, re.MULTILINE)  # the literature's, the exercise's
    assert "0.2" not in optilab("config", "show", "train", "adam").stdout
    assert "one of identity, sigmoid" in optilab("config", "show", "train", "relu").stdout


LINES = [
    "help",
    "optimize --algo sgd",
    "explain adam",
    "verify --algo sgd",
    "map --algo sgd --x algo.lr=0.01:1:3 --y w2=-1:1:3",
    "play --algo sgd",
    "race --algo sgd,momentum --function booth,matyas --budget 2 --starts 2 --epochs 5",
    "train --config CONFIG --epochs 1",
    "lr CONFIG --steps 100 --set model.activation=relu",
    "check adam.yaml --expect 'f < 1'",
    "diagnose CONFIG",
    "report trained --out trained.html",
    "config ls",
    "env",
    "help claims",
    "config show train",
    "config show optimize adam",
    "config show adam.yaml",
    "config cp adam.yaml new.yaml",
    "config check CONFIG",
    "data where",
    "data ls",
    "runs ls",
    "runs show one",
    "runs compare trained other",
    "runs diff trained other",
    "runs plot trained",
    "runs export trained --out rows.csv --force",
    "runs path one",
    "runs rm one --yes",
]


@pytest.mark.parametrize("line", LINES)
def test_every_command_takes_json_or_quiet(line, optilab, small, monkeypatch, tmp_path):
    """One document and nothing else, or at most names and paths; and an error with --json is a document."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = [str(small) if word == "CONFIG" else word for word in shlex.split(line)]
    optilab("optimize", "--algo", "sgd", "--name", "one", "--quiet")
    if "trained" in words:
        training(tmp_path / "runs", "trained")
        training(tmp_path / "runs", "other", "optimizer.lr=1")
    done = optilab(*words, "--json")
    assert json.loads(done.stdout)["schema_version"] == (2 if words[0] in ("diagnose", "train") else 1)
    assert done.stdout.count("\n") == 1
    if words[0] == "runs":
        optilab("runs", "rm", "one", "--yes", code=4 if words[1] == "rm" else 0)
        optilab("optimize", "--algo", "sgd", "--name", "one", "--quiet")
    (tmp_path / "new.yaml").unlink(missing_ok=True)
    quiet = optilab(*words, "--quiet")
    assert len(quiet.stdout) < 8000
    assert not re.search(r"[:=] ", quiet.stdout)
    before = sorted(tmp_path.rglob("*"))
    error = json.loads(optilab(*words, "--json", "--nonsense", code=2).stdout)["error"]
    assert error["message"].startswith("No such option: --nonsense")
    assert optilab(*words, "--nonsense", code=2).stdout == ""
    assert sorted(tmp_path.rglob("*")) == before  # the rest of the line is looked at, and nothing is done
    both = json.loads(optilab(*words, "--json", "--quiet", code=2).stdout)["error"]
    assert "cannot be combined" in both["message"]


def test_every_command_is_in_the_list_above(optilab):
    commands = {tuple(line.split()[:2]) for line in LINES} | {tuple(line.split()[:1]) for line in LINES}
    for name in COMMANDS:
        listed = optilab(name, "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
        for subcommand in re.findall(r"^  (\w+) ", listed, re.MULTILINE):
            assert (name, subcommand) in commands | {("data", "verify"), ("data", "fetch"), ("config", "schema")}
        assert (name,) in commands | {("remedy",), ("sweep",)}  # long, or in need of FashionMNIST
    for line in ("remedy", "data verify", "data fetch"):
        shown = optilab(*line.split(), "--help").stdout
        assert "--json" in shown
        assert "--quiet" in shown


def test_the_commands_stand_below_their_tasks(optilab):
    shown = optilab("--help").stdout
    tasks = re.findall(r"^(\w[\w ]+):\n((?:  [a-z]+ +[A-Z].*\n)+)", shown, flags=re.MULTILINE)
    assert [task for task, _ in tasks] == ["Optimizers on test functions", "Training networks", "Results", "Setup"]
    assert re.findall(r"^  ([a-z]+) ", "".join(lines for _, lines in tasks), flags=re.MULTILINE) == [*COMMANDS]


def test_the_options_of_a_race_say_what_they_are_for(optilab):
    shown = optilab("race", "--help").stdout
    sections = dict(re.findall(r"^(\w[^:\n]+):\n((?:  .*\n)+)", shown, flags=re.MULTILINE))
    assert "--function NAME,..." in sections["On test functions"]
    assert "--on CONFIG,..." in sections["On networks, with --on"]
    assert "--json" in sections["Output"]
    assert "(1 to 1,000)" in shown
    assert not re.search(r"<=x|<int|<str|<list", shown)
    assert shown.count("\n") <= 66  # two screens


def test_a_preset_with_the_name_of_a_command_says_that_it_is_the_preset(optilab):
    assert "the preset lr.yaml; the command lr reads configs of train" in optilab("config", "show", "lr").stderr
    assert optilab("config", "show", "lr.yaml").stderr == ""


def test_the_page_on_races_has_the_defaults_that_its_help_counts():
    text = " ".join((ROOT / "docs" / "races.md").read_text().split())
    for names in (ALGOS, NETWORK_ALGOS, FUNCTIONS):
        assert f": {names.replace(',', ', ')}." in text
    assert [names.count(",") + 1 for names in (ALGOS, NETWORK_ALGOS, FUNCTIONS)] == [10, 10, 16]


RACE = "race --algo sgd,adam --function booth --budget 1 --starts 1 --repeats 1 --no-cache --gradients 5"


@pytest.mark.parametrize(
    ("typed", "former", "name", "code"),
    [
        (RACE, "--algos", "--algo", 0),
        (RACE, "--functions", "--function", 0),
        (RACE, "--epochs", "--gradients", 0),
        (f"{RACE} --out race.html", "--report", "--out", 0),
        ("optimize --algo sgd --no-save --out sgd.png", "--plot", "--out", 0),
        ("optimize --algo sgd --no-save --out sgd.gif", "--animate", "--out", 0),
        ("check adam.yaml --expect f>9 --out a.xml", "--junit", "--out", 9),
        ("runs export latest --out rows.csv", "--to", "--out", 4),
        ("runs compare latest --by seed --sample seeds", "--over", "--sample", 4),
        ("sweep --study study.yaml", "--config", "--study", 2),
    ],
)
def test_a_former_name_of_an_option_is_accepted_with_a_note(optilab, typed, former, name, code):
    """Each answers, or refuses what does not exist here, as under its present name."""
    now = optilab(*shlex.split(typed), code=code)
    before = optilab(*[former if word == name else word for word in shlex.split(typed)], code=code)
    assert before.stdout == now.stdout
    assert before.stderr.splitlines()[0].startswith(f"optilab: {former} is now called {name}")
    assert before.stderr.splitlines()[1:] == now.stderr.splitlines()
    if former not in ("--epochs", "--config"):  # which are options of races on trainings, and of other commands
        command = typed.partition(" --")[0].partition(" latest")[0].partition(" adam")[0]
        assert former not in optilab(*command.split(), "--help").stdout.split()


def test_what_a_command_declares_itself_comes_first_in_its_help(optilab):
    headings = [line for line in optilab("explain", "--help").stdout.splitlines() if line.endswith(":")]
    assert headings[:2] == ["Arguments:", "What to run:"]


def test_what_a_directory_lacks_is_named_with_the_command_that_makes_it(optilab):
    missing = optilab("config", "cp", "sigmoid", "no/my.yaml", code=7).stderr
    assert "cannot write no/my.yaml: there is no directory no; create it with: mkdir -p no\n" in missing


def test_a_run_in_the_place_of_a_config_is_told_where_its_config_is(optilab, tmp_path):
    optilab("optimize", "--algo", "sgd", "--name", "one", "--quiet")
    other = "the run of this name is one of `optilab optimize`; write: optilab optimize runs/one/config.yaml\n"
    for typed in ("one", "runs/one"):
        assert other in optilab("train", typed, code=2).stderr
    training(tmp_path / "runs", "two")
    told = optilab("remedy", "two", "--seeds", 2, code=2).stderr
    name = "no file and no preset has this name; for the config of the run of this name write"
    assert f"{name}: optilab remedy runs/two/config.yaml --seeds 2\n" in told
    (tmp_path / "runs" / "all").mkdir()
    (tmp_path / "runs" / "all" / "manifest.json").write_text("{}")
    (tmp_path / "runs" / "two").rename(tmp_path / "runs" / "all" / "two")
    told = optilab("remedy", "runs/all", "--seeds", 2, code=2).stderr
    assert "of a run of the study of this name write: optilab remedy runs/all/two/config.yaml --seeds 2\n" in told


def test_an_optimizer_of_ones_own_without_its_name_is_told_the_line(optilab, tmp_path):
    (tmp_path / "my.py").write_text("import abc\nclass Mine:\n    def update(self, w, g): return w\n")
    assert "; write my.py:Mine" in optilab("optimize", "my.py", code=2).stderr


def test_a_setting_of_many_optimizers_is_one_table(optilab):
    shown = optilab("config", "show", "train", "optimizer.lr").stdout
    assert shown.count("learning rate: the factor of every step") == 1
    assert "\nadam " in shown
    assert "did you mean" not in optilab("config", "show", "train", "nonsens", code=2).stderr


def test_a_range_over_a_key_that_is_a_number_of_one_optimizer_only(optilab, small):
    """`clip` is a switch of another one."""
    axis = ["--over", "optimizer.clip=0.5:1:3", "--optimizer", "adafactor", "--dry-run"]
    assert "3 trials" in optilab("sweep", small, *axis).stdout


ODD = "dir with $(id) space"
"""A directory, a run and a file of this name: what is pasted from their messages must be words, and run nothing."""
SMALL = ["--set", "data.dataset=synthetic", "--set", "data.images=300", "--epochs", 1]
PRINTING = [
    ["train", f"{ODD}.yaml", *SMALL, "--runs-dir", ODD, "--name", "x"],
    ["train", f"{ODD}.yaml", *SMALL, "--seeds", 2, "--runs-dir", ODD, "--name", "y"],
    ["lr", f"{ODD}.yaml", *SMALL[:-2]],
    ["optimize", "--algo", f"{ODD}.py:SGD,adam", "--no-save"],
    ["diagnose", f"{ODD}/{ODD}"],
    ["diagnose", f"{ODD}/{ODD}", "--set", "model.init=he"],
    ["runs", "show", ODD, "--runs-dir", ODD],
    ["runs", "show", f"{ODD}/{ODD}/no", "--runs-dir", ODD],
    ["runs", "compare", f"{ODD}/*", "--runs-dir", ODD],
    ["report", f"{ODD}/*", "--runs-dir", ODD, "--out", "page.html"],
    ["train", "--resume", ODD, "--set", "optimizer.lr=3", "--runs-dir", ODD],
    ["train", "--resume", "y", "--epochs", 2, "--runs-dir", ODD],
    ["sweep", "--resume", f"{ODD}/y"],
    ["config", "new", "relu", f"{ODD}/relu.yaml"],
    ["config", "show", f"{ODD}.yaml"],
    ["sweep", f"{ODD}/y/study.yaml"],
    ["train", f"{ODD}/y/study.yaml"],
    ["verify", f"{ODD}.py"],
    ["verify", ODD, "--against", "sgd"],
    ["play", f"{ODD}.py:SGD"],
    ["map", f"{ODD}.py:SGD"],
    ["data", "verify", "npz", "--data-dir", ODD],
]


def test_every_printed_command_can_be_pasted(tmp_path):
    (tmp_path / f"{ODD}.py").write_text("def SGD(w, g, lr=0.01):\n    return w - lr * g\n")
    (tmp_path / f"{ODD}.yaml").write_text("optimizer: {name: sgd, lr: 1e-6}\n")
    printed = list[str]()
    for arguments in PRINTING:
        done = run([*map(str, arguments)], tmp_path, dict(os.environ))
        printed += re.findall(r"(?m)optilab [a-z][^\n`]*", done.stdout + done.stderr)
        if "x" in arguments:
            shutil.copytree(tmp_path / ODD / "x", tmp_path / ODD / ODD)
    assert len([line for line in printed if ODD in line]) > 12
    for line in printed:
        words = shlex.split(line)
        assert shlex.split(line.replace(ODD, "plain")) == [word.replace(ODD, "plain") for word in words], line


@pytest.mark.parametrize("line", ["optimize --algo adam", "train relu.yaml", "verify a.py:A --against adam"])
def test_a_deleted_working_directory_is_named(tmp_path, line):
    script = f"mkdir d; cd d; rmdir ../d; exec {sys.executable} -m optilab {line}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "optilab: the working directory: No such file or directory\n")


@pytest.mark.parametrize("command", ["runs show --quiet", "runs path", "runs diff b", "runs rm --yes"])
def test_a_double_dash_ends_the_options(optilab, tmp_path, command):
    optilab("optimize", "sgd", "--name", "b", "--quiet")
    shutil.copytree(tmp_path / "runs" / "b", tmp_path / "runs" / "-rf")
    assert "runs/-rf" in optilab(*command.split(), "--", "-rf").stdout or command == "runs diff b"
    assert "No such option: -rf" in optilab(*command.split(), "-rf", code=2).stderr
