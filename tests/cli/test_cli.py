"""The command as a user, a script and a pipe meet it."""

import csv
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from optilab.annotations import Argument
from optilab.cli import COMMANDS
from optilab.config.presets import named
from optilab.request.request import options
from optilab.runs.metrics import EPOCH_METRICS
from tests.kit.command import OPTILAB, RECORDED, ROOT, run
from tests.kit.generated import training
from tests.kit.processes import on_a_terminal


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


# --- optimize ----------------------------------------------------------------------------------------------


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
        assert done.stderr == "optilab: --epochs and --set epochs cannot be combined\n"


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
    (result,) = json.loads(optilab("optimize", *options.split(), "--epochs", 1, "--json").stdout)["results"]
    assert (result["algo"], result["params"]["lr"]) == ("adam", 0.5)


# --- train -------------------------------------------------------------------------------------------------


def test_the_run_directory_of_train(optilab, small, tmp_path):
    run = tmp_path / optilab("train", "--config", small, "--quiet").stdout.strip()
    rows = table(run / "metrics.csv")
    assert list(rows[0]) == ["epoch", *EPOCH_METRICS]
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["seed"] == 42
    assert len(manifest["data"]["sha256"]) == 4
    assert {"torch", "threads", "device"} <= manifest["numerics"].keys()
    assert len(table(run / "timings.csv")) == 3
    again = optilab("train", "--config", run / "config.yaml", "--quiet").stdout.strip()
    assert (tmp_path / again / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


# --- config, data, runs ------------------------------------------------------------------------------------


def test_runs_go_where_they_are_sent(optilab, tmp_path):
    optilab("optimize", "--algo", "sgd", "--runs-dir", "there", "--name", "x")
    optilab("optimize", "--algo", "sgd", "--name", "y", OPTILAB_RUNS=str(tmp_path / "elsewhere"))
    assert (tmp_path / "there" / "x" / "metrics.csv").exists()
    assert (tmp_path / "elsewhere" / "y" / "metrics.csv").exists()
    assert not (tmp_path / "runs").exists()


# --- surroundings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_screen_fits_80_columns_and_its_examples_can_be_pasted(name, optilab):
    """A long example is broken as a shell reads it."""
    module = importlib.import_module(f"optilab.commands.{name}")
    parts = {(name, part): command for part, command in getattr(module, "PARTS", {}).items()}
    commands = parts or {(name,): module.COMMAND}
    assert max(map(len, optilab(name, "--help").stdout.splitlines())) <= 80
    for words, command in commands.items():
        help_text = optilab(*words, "--help").stdout
        assert max(map(len, help_text.splitlines())) <= 80
        pasted = help_text.partition("Examples:\n")[2].replace("\\\n", "").split("\n\n")[0].splitlines()
        assert "\b" not in help_text
        examples = command.EXAMPLES
        assert [shlex.split(line) for line in pasted] == [shlex.split(line) for line in examples]


MODULES = {name: importlib.import_module(f"optilab.commands.{name}") for name in COMMANDS}
REQUESTS = {
    f"{name} {part}".rstrip(): request
    for name, module in MODULES.items()
    for part, request in getattr(module, "PARTS", {"": getattr(module, "COMMAND", None)}).items()
}
"""Every command and the class of its options."""


@pytest.mark.parametrize("command", REQUESTS)
def test_a_help_screen_has_each_option_and_its_text(command, optilab):
    """And no other option; three screens as they are: recorded/transcripts/help.txt."""
    screen = optilab(*command.split(), "--help").stdout
    text = " ".join(screen.split())
    fields = options(REQUESTS[command]).values()
    flags = [field.flag for field in fields if not field.mark(Argument)]
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)(?: / --[\w-]+| \S+)?(?:  |$)", screen, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*flags, "--help"])
    assert screen.startswith(f"Usage: optilab {command} [OPTIONS]")
    for sentence in (*(field.doc for field in fields), REQUESTS[command].__doc__.partition("\n\n")[0]):
        assert " ".join(sentence.split()).removesuffix(".") in text


@pytest.mark.parametrize(
    "environment", [{"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "1"}]
)
def test_odd_terminals(environment, optilab):
    done = optilab("optimize", "--algo", "sgd,adam", how="fresh", **environment)
    assert "adam" in done.stdout
    assert done.stdout.isascii()


def test_colour_only_on_a_terminal_that_wants_it(tmp_path):
    def colours(**environment):
        arguments = ["optimize", "--algo", "sgd"]
        return on_a_terminal(arguments, tmp_path, "forked without torch", COLUMNS=100, **environment)

    assert "\x1b[33m" in colours()  # still moving: yellow
    assert "\x1b[3" not in colours(NO_COLOR="1")
    assert "\x1b[3" not in colours(TERM="dumb")


def test_a_terminal_gets_live_progress_and_its_cursor_back(small, tmp_path):
    written = on_a_terminal(["train", "--config", small, "--epochs", 40], tmp_path, COLUMNS=100)
    assert re.search(r"epoch \d+/40   batch \d", written)
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l") >= 0


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("optilab tra", "train"),
        ("optilab optimize --algo ada", "adam"),
        ("optilab optimize --algo sgd,ada", "sgd,adam"),
        ("optilab train --config sig", "sigmoid.yaml"),
        ("optilab train --set optim", "optimizer="),
        ("optilab train --set optimizer = ada", "adam"),  # as bash breaks it
        ("optilab sweep relu --over data.ba", "data.batch_size="),
        ("optilab optimize --set schedule = ", "cosine"),
        ("optilab map --algo momentum --x algo.b", "algo.beta="),
        ("optilab remedy sigmoid --only tanh,bat", "tanh,batchnorm"),
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


def test_completion_after_a_preset_offers_no_part(optilab):
    words = {"COMP_WORDS": "optilab\nconfig\nshow\nsigmoid.yaml\n", "COMP_CWORD": "4"}
    done = optilab(**words, _OPTILAB_COMPLETE="complete_bash")
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_completion_of_a_command_name_imports_no_command(optilab, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "names = lambda: [m for m in sys.modules if m.startswith('optilab.commands.')]\n"
        "atexit.register(lambda: print(names(), file=sys.stderr))\n"
    )
    here = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "how": "fresh"}
    shell = {"_OPTILAB_COMPLETE": "complete_bash", "COMP_WORDS": "optilab\ntr", "COMP_CWORD": "1"}
    assert optilab(**shell, **here).stderr.strip() == "[]"
    assert optilab("--help", **here).stderr.strip() == "[]"


def test_a_full_disk_behind_stdout(optilab):
    if not Path("/dev/full").exists():
        pytest.fail("this test needs /dev/full")
    done = optilab("optimize", "--algo", "sgd", how="forked without torch", stdout="/dev/full", code=7)
    assert "No space left" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "where", "message"),
    [
        (["optimize", "--algo", "adm"], 2, "--algo", 'did you mean "adam"'),
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


@pytest.mark.parametrize("name", ["ds #2", "2024", "null"])
def test_a_flag_that_is_a_path_is_a_path(name, optilab, small, tmp_path):
    folder = tmp_path / name
    for command in (["train", "--config", small], ["diagnose", small], ["remedy", small, "--only", "tanh"]):
        assert str(name) in optilab(*command, "--data-dir", name, code=3).stderr
    shutil.copytree(small.parent, folder)
    run = optilab("train", "--config", small, "--epochs", 1, "--data-dir", name, "--quiet").stdout.strip()
    assert yaml.safe_load((tmp_path / run / "config.yaml").read_text())["data"]["dir"] == name


@pytest.mark.parametrize("where", ["flag", "config"])
def test_a_folder_of_data_with_an_accent_in_the_c_locale(where, optilab, small, tmp_path):
    shutil.copytree(small.parent, tmp_path / "données")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    more = ["--data-dir", "données"]
    if where == "config":
        (tmp_path / "mine.yaml").write_text(
            small.read_text().replace(str(small.parent), "données"), encoding="utf-8"
        )
        more = []
    config = small if where == "flag" else "mine.yaml"
    done = optilab("train", "--config", config, "--epochs", 1, *more, "--quiet", how="fresh", **environment)
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


VERSIONS = {
    command: int(version)
    for command, version in re.findall(
        r"^([\w ]+)\.schema_version (\d+)$", (RECORDED / "documents.txt").read_text(), flags=re.MULTILINE
    )
}
LINES = [
    "help",
    "optimize --algo sgd",
    "explain adam",
    "verify sgd.py --against sgd",
    "grade sgd.py --against sgd",
    "map --algo sgd --x algo.lr=0.01:1:3 --y w2=-1:1:3",
    "play --algo sgd",
    "race --algo sgd,momentum --function booth,matyas --budget 2 --starts 2 --gradients 5",
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
    (tmp_path / "sgd.py").write_text("def sgd(w, g, lr=0.1):\n    return w - lr * g\n")
    optilab("optimize", "--algo", "sgd", "--name", "one", "--quiet")
    if "trained" in words:
        training(tmp_path / "runs", "trained")
        training(tmp_path / "runs", "other", "optimizer.lr=1")
    done = optilab(*words, "--json")
    (command,) = {line, " ".join(words[:2]), words[0]} & REQUESTS.keys()
    assert json.loads(done.stdout)["schema_version"] == VERSIONS[command]
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
    assert error["message"].startswith("unknown topic" if words[0] == "help" else "No such option: --nonsense")
    assert optilab(*words, "--nonsense", code=2).stdout == ""
    assert sorted(tmp_path.rglob("*")) == before  # the rest of the line is looked at, and nothing is done
    both = json.loads(optilab(*words, "--json", "--quiet", code=2).stdout)["error"]
    assert "cannot be combined" in both["message"]


def test_every_command_is_in_the_list_above(optilab):
    commands = {" ".join(line.split()[:count]) for line in LINES for count in (1, 2)}
    long_or_with_a_dataset = {"sweep", "remedy", "benchmark", "data verify", "data fetch"}
    assert REQUESTS.keys() - commands == long_or_with_a_dataset | {"config schema"}
    for command in long_or_with_a_dataset:
        shown = optilab(*command.split(), "--help").stdout
        assert "--json" in shown
        assert "--quiet" in shown


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
        done = run(arguments, tmp_path)
        printed += re.findall(r"(?m)optilab [a-z][^\n`]*", done.stdout + done.stderr)
        if "x" in arguments:
            shutil.copytree(tmp_path / ODD / "x", tmp_path / ODD / ODD)
    assert len([line for line in printed if ODD in line]) > 12
    for line in printed:
        words = shlex.split(line)
        assert shlex.split(line.replace(ODD, "plain")) == [word.replace(ODD, "plain") for word in words], line


def test_a_deleted_working_directory_is_named(tmp_path):
    script = f"mkdir d; cd d; rmdir ../d; exec {' '.join(OPTILAB)} train relu.yaml"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "optilab: the working directory: No such file or directory\n")


def test_question_on_a_terminal_is_not_in_the_document(optilab, tmp_path):
    optilab("optimize", "sgd", "--name", "b", "--quiet")
    line = ["runs", "rm", "b", "--json"]
    seen = on_a_terminal(line, tmp_path, "forked without torch", ("stdin", "stderr"), ("[y/N]", "y\n"))
    assert "delete runs/b? [y/N]:" in seen
    assert not (tmp_path / "runs" / "b").exists()


@pytest.mark.parametrize("command", ["runs diff b", "runs rm --yes"])
def test_a_double_dash_ends_the_options(optilab, tmp_path, command):
    optilab("optimize", "sgd", "--name", "b", "--quiet")
    shutil.copytree(tmp_path / "runs" / "b", tmp_path / "runs" / "-rf")
    assert "runs/-rf" in optilab(*command.split(), "--", "-rf").stdout or command == "runs diff b"
    assert "No such option: -r" in optilab(*command.split(), "-rf", code=2).stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("algos: [sgd, adam]\nbudget: 3\nexpect: 'adam: cost < 1e9'\n", "ok (race)"),  # a benchmark needs `config`
        ("config: sigmoid.yaml\nalgos: [sgd, adam]\nbudget: 3\n", "ok (benchmark)"),
        (
            "algos: [sgd, adam]\nfunctions: [nofun]\nstarts: 5\n",
            "file.yaml:2: functions: unknown function 'nofun'",
        ),
        ("config: sigmoid.yaml\nalgos: [sgd, foo]\n", "unknown optimizer 'foo'"),
        ("config: sigmoid.yaml\nonly: [foo]\n", "file.yaml:2: only: unknown remedy 'foo'"),
    ],
)
def test_a_checked_config_can_run(text, expected, optilab, tmp_path):
    (tmp_path / "file.yaml").write_text(text)
    done = optilab("config", "check", "file.yaml", code=0 if "ok" in expected else 2)
    assert expected in done.stdout + done.stderr


def test_what_does_not_apply_is_refused_and_what_does_is_not(optilab, small, tmp_path):
    start = optilab("map", "sgd", "--x", "w1=0:1:3", "--start", "1,7", "--epochs", 3).stdout
    assert start == optilab("map", "sgd", "--x", "w1=0:1:3", "--set", "start=[1,7]", "--epochs", 3).stdout
    both = ["--x", "w1=0:1:3", "--y", "w2=0:1:3", "--start", "1,7"]
    assert "each cell has another starting point" in optilab("map", "sgd", *both, code=2).stderr
    for command in (["race"], ["sweep", small, "--over", "optimizer.lr=1,2"]):
        refused = optilab(*command, "--dry-run", "--out", "a.html", code=2).stderr
        assert "--dry-run and --out cannot be combined" in refused
    optilab("sweep", small, "--over", "optimizer.lr=0.1,0.2", "--epochs", 1, "--name", "s", "--quiet")
    shown = optilab("runs", "show", "s", "--config").stdout
    assert (tmp_path / "runs" / "s" / "study.yaml").read_text().rstrip() in shown
    assert (
        "applies to a file of claims, a training and a study, not to s"
        in optilab("check", "s", "--jobs", 1, code=2).stderr
    )
