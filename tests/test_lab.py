"""The library's Lab: the same runs, numbers and refusals as the commands, and results in every form."""

import ast
import csv
import inspect
import json
import os
import pydoc
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from optilab import Lab, runs
from optilab import lab as lab_module
from optilab.answer.results import LabStudy
from optilab.errors import ConfigError, DataError, DivergedError, OptilabError, UsageError, printable
from optilab.optimize import OBJECTIVES, RULES
from optilab.show import terminal
from optilab.train import device
from tests.commands.test_hostile import HOSTILE
from tests.kit.command import python, restored
from tests.kit.generated import layered, training

STUB = Path(lab_module.__file__).with_name("methods.pyi")
TAGS = {"code", "div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "img"}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab in an empty folder; what a training sets for the process is restored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with restored():
        yield Lab("runs")


def momentum(w, g, lr, V, beta):
    V = beta * V + g
    return w - lr * V, V


class Wrong:
    """Momentum that goes uphill."""

    def __init__(self, lr=0.1, beta=0.9):
        self.lr, self.beta, self.V = lr, beta, 0.0

    def update(self, w, g):
        self.V = self.beta * self.V + g
        return w + self.lr * self.V


# --- one code path -----------------------------------------------------------------------------------------


def test_the_paths_are_those_of_the_command(lab, optilab, tmp_path):
    optilab("optimize", "--algo", "sgd,adam", "--epochs", "7", "--name", "one")
    rows = lab.optimize(algo="sgd,adam", epochs=7).rows
    with (tmp_path / "runs" / "one" / "metrics.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [{key: str(value) for key, value in row.items()} for row in rows] == [
        {
            key: row[key] if key == "algo" else str(int(row[key]) if key == "epoch" else float(row[key]))
            for key in row
        }
        for row in written
    ]
    loaded = lab.load("one")
    assert [run.name for run in lab.runs()] == ["one"]
    assert loaded.manifest["command"] == "optimize"
    assert loaded.rows == rows
    assert "2 epochs" not in loaded.headline
    assert loaded.plot().axes


def test_arguments_may_be_what_python_has(lab):
    """A rule, a function, NumPy's numbers, a tuple and a mapping mean what their names and digits mean."""
    rule = RULES["momentum"](lr=0.2, beta=0.5)
    paths = lab.optimize(
        algo=[rule, "sgd"], function=OBJECTIVES["booth"](), start=(1, np.float64(2)), epochs=np.int64(5)
    )
    settings = {"name": "momentum", "lr": 0.2, "beta": 0.5, "form": rule.form}
    same = lab.optimize({"algo": [settings, "sgd"], "function": "booth", "start": [1, 2], "epochs": 5})
    assert paths.rows == same.rows
    assert (
        lab.optimize(algo="sgd", function="0.1*w1^2 + 2*w2^2", start=(-5, -2)).rows
        == lab.optimize(algo="sgd").rows
    )
    assert lab.optimize(algo="adam", tune=5).rows[-1] != lab.optimize(algo="adam").rows[-1]


def test_a_training_is_that_of_the_command(lab, optilab, small, tmp_path):
    optilab("train", small, "--set", "optimizer.lr=0.2", "--epochs", "2", "--name", "typed")
    run = lab.train(str(small), epochs=2, set={"optimizer.lr": 0.2}, name="called")
    assert (run.path / "metrics.csv").read_bytes() == (tmp_path / "runs" / "typed" / "metrics.csv").read_bytes()
    assert run.state == "done"
    assert run.manifest["argv"][:3] == ["optilab", "train", str(small)]
    optilab(*[word if word != "called" else "again" for word in run.manifest["argv"][1:]])
    assert lab.load("again").rows == run.rows


def test_a_training_is_resumed_and_forked(lab, small):
    whole = lab.train(small, epochs=3)
    part = lab.train(small, epochs=1, name="part")
    assert lab.train(resume="part", epochs=3).rows == whole.rows
    assert lab.train(resume="part").rows == whole.rows, "nothing is left to do"
    fork = lab.train(fork="part@1", set={"optimizer.lr": 0.01})
    assert fork.rows[0] == part.rows[0]
    assert fork.rows[-1] != whole.rows[-1]


def test_a_sweep_is_that_of_the_command(lab, optilab, small, tmp_path):
    axis = "optimizer.lr=0.1:1:2:log"
    optilab("sweep", small, "--over", axis, "--seeds", "2", "--epochs", "1", "--name", "typed", "--jobs", "2")
    study = lab.sweep(small, {"optimizer.lr": "0.1:1:2:log"}, seeds=2, epochs=1, name="called", jobs=2)
    assert (study.path / "trials.csv").read_bytes() == (tmp_path / "runs" / "typed" / "trials.csv").read_bytes()
    lists = lab.sweep(small, {"optimizer.lr": [0.1, 1.0]}, seeds=2, epochs=1, name="called", jobs=2)
    assert [row["status"] for row in lists.rows] == ["done"] * 4
    compared = json.loads(optilab("runs", "compare", "called", "--json").stdout)
    assert study.verdict == compared["verdict"] == lab.compare(study).verdict
    assert [row["group"] for row in lab.compare("called").rows] == compared["order"]
    assert len(study.runs) == 4
    assert repr(study) == "<LabStudy: called: done, 4 trials>"
    (first, *_) = study.runs
    (first.path / "metrics.csv").write_bytes(b"damaged\n1,2\n")
    assert repr(lab.load(str(first.path))).endswith("metrics.csv is damaged>")
    with pytest.raises(OptilabError, match=r"metrics\.csv:2: expected 1 cells, got 2"):
        _ = study.runs
    assert first.name in str(lab.compare("called").table())


def test_the_lab_has_the_other_commands(lab, small):
    """What a training is diagnosed, claimed and given a rate by; steps and maps of a rule."""
    run = lab.train(small, epochs=1, name="one")
    for name in (
        "diagnose",
        "explain",
        "lr",
        "map",
        "remedy",
        "check",
        "sweep",
        "train",
        "race",
        "benchmark",
        "optimize",
    ):
        assert callable(getattr(Lab, name))
        assert f"{name}(self, " in (text := pydoc.plain(pydoc.render_doc(Lab)))
    assert not re.search(r"(?<!\w)--[a-z]", text), "its options are keywords"
    assert [row["severity"] for row in lab.diagnose(run.name).rows] == [
        row["severity"] for row in lab.diagnose(str(run.path)).rows
    ]
    assert lab.check(run, expect=["val_acc > 0.9999"]).code == 9
    assert lab.check(run, expect="val_acc >= 0").code == 0
    assert [row["step"] for row in lab.explain("sgd", step="1-3").rows] == [1, 2, 3]
    cells = lab.map(algo="momentum", x="lr=0.01:1:3", y="beta=0:0.9:2", epochs=5).rows
    assert len(cells) == 6
    assert (
        cells[0]["f"]
        == lab.optimize(algo="momentum", set={"algo.lr": 0.01, "algo.beta": 0.0}, epochs=5).rows[-1]["f"]
    )
    with pytest.raises(UsageError, match='did you mean "seeds"'):
        lab.sweep(small, seed_s=3)


def test_editors_see_the_signatures_that_python_makes():
    """The stub of .ci/generate.py has every method with the same keywords, in the same places."""
    (stub,) = (node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ClassDef))
    assert [method.name for method in stub.body] == [*lab_module.METHODS]
    for method in stub.body:
        parameters = inspect.signature(getattr(Lab, method.name)).parameters.values()
        by_name = [key.name for key in parameters if key.kind is key.KEYWORD_ONLY]
        assert [key.arg for key in method.args.args] == [key.name for key in parameters if key.name not in by_name]
        assert [key.arg for key in method.args.kwonlyargs] == by_name
        assert method.returns is not None


def test_a_race_is_that_of_the_command(lab, optilab):
    options = {"budget": 3, "starts": 2, "repeats": 1, "gradients": 20}
    flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    typed = optilab("race", "--algo", "sgd,adam", "--function", "booth,beale", *flags, "--json").stdout
    race = lab.race(["sgd", "adam"], "booth,beale", **options)
    standings = json.loads(typed)["standings"]
    assert [(row["rule"], row["cost"], row["verdict"]) for row in race.rows] == [
        (row["rule"], row["cost"], row["verdict"]) for row in standings
    ]
    assert race.may_be_best


def test_a_benchmark_is_that_of_the_command(lab, optilab, small):
    ended = lab.benchmark(
        [small], "sgd,adam", budget=2, seeds=1, repeats=2, epochs=1, set={"data.holdout": 50}, name="r", jobs=2
    )
    flags = ["--budget", "2", "--seeds", "1", "--repeats", "2", "--epochs", "1", "--set", "data.holdout=50"]
    again = optilab("benchmark", small, "--algo", "sgd,adam", *flags, "--name", "r", "--json")
    (network,) = json.loads(again.stdout)["networks"]
    assert ended.verdict == network["verdict"]
    assert [row["rule"] for row in ended.table().rows] == [rule["rule"] for rule in network["rules"]]
    assert len(ended.rows) == 20, "8 to tune, 8 finalists, 4 to judge"
    assert lab.compare("r").verdict == ended.verdict
    assert len(lab.compare("r", metric="test_acc").comparison.records) == 4, "not those of the tuning"


@pytest.mark.parametrize(("code", "equal"), [(momentum, True), (Wrong, False)])
def test_a_verdict_is_that_of_the_command(lab, optilab, tmp_path, code, equal):
    (tmp_path / "mine.py").write_text(textwrap.dedent(inspect.getsource(code)))
    spec = f"{tmp_path}/mine.py:{code.__name__}"
    typed = json.loads(optilab("verify", spec, "--against", "momentum", "--json", code=0 if equal else 9).stdout)
    for answer in (lab.verify(code, "momentum"), lab.verify(spec, "momentum")):
        assert answer.equal is typed["equal"] is equal
        assert list(answer.explanation) == typed["explanation"]
        assert [row["yours"] for row in answer.rows] == list(typed["point"] or [])


# --- refusals ----------------------------------------------------------------------------------------------


def test_a_training_that_diverges_raises_and_is_kept(lab, small):
    with pytest.raises(DivergedError) as caught:
        lab.train(small, set={"optimizer.lr": 1e9}, name="far")
    assert caught.value.__notes__ == ["the run is kept: lab.load('far')"]
    assert lab.load("far").state == "diverged"


def test_names_of_optimizers_need_no_keyword(lab, optilab, tmp_path):
    rows = lab.optimize(algo="sgd,adam", function="booth", epochs=3).rows
    (tmp_path / "adam").mkdir()  # a directory of that name is none
    (tmp_path / "booth.yaml").write_text("{algo: [sgd, adam], function: booth, epochs: 3}")
    keys = {"function": "booth", "epochs": 3}
    for first, rest in [
        ("sgd,adam", keys),
        (["sgd", "adam"], keys),
        ({"algo": ["sgd", "adam"], **keys}, {}),
        (tmp_path / "booth.yaml", {}),
    ]:
        assert lab.optimize(first, **rest).rows == rows
    assert lab.optimize("sgd", "booth", epochs=3).rows == rows[:4]
    for name, rest in [
        ("optimize", ["--epochs", 3, "--no-save"]),
        ("explain", ["--step", 2]),
        ("play", ["--quiet"]),
    ]:
        placed = optilab(name, "adam", *rest)
        assert placed.stdout == optilab(name, "--algo", "adam", *rest).stdout != ""
    with pytest.raises(UsageError, match="expected an optimizer, got the function booth"):
        lab.optimize("booth")


def test_a_file_is_verified_by_its_only_name(lab, tmp_path):
    (tmp_path / "a.py").write_text("def mine(w, g, lr=0.1): return w - lr * g")
    assert lab.verify("a.py", against="sgd").equal
    assert [row["verdict"] for row in lab.grade(["a.py", "a*.py"], against="sgd").rows] == ["equal"]


def test_an_axis_may_be_text_or_a_list_of_texts(lab, small):
    planned = lab.sweep(small, over={"optimizer.lr": [0.1, 0.2]}, dry_run=True).document()["plan"]
    for over in ("optimizer.lr=0.1,0.2", ["optimizer.lr=0.1,0.2"]):
        assert lab.sweep(small, over=over, dry_run=True).document()["plan"] == planned
    with pytest.raises(ConfigError, match=r"over: expected KEY=LOW:HIGH"):
        lab.sweep(small, over="optimizer.lr")


# --- results -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One result of every kind, of runs that no training has made; nobody writes to them."""
    folder = tmp_path_factory.mktemp("results") / "runs"
    for seed in (1, 2):
        for lr, ends in ((0.1, (0.2, 0.3)), (1, (0.5, 0.8))):
            run = training(folder, f"lr{lr}-{seed}", f"seed={seed}", f"optimizer.lr={lr}", accuracies=ends)
            layered(run, [0.1, 0.2, 1.0], [0.1, 0.3, 1.0])
    lab = Lab(str(folder))
    with restored():
        return {
            "paths": lab.optimize(algo="sgd,adam", epochs=5),
            "run": lab.load("lr1-1"),
            "comparison": lab.compare("lr*"),
            "race": lab.race("sgd,adam", "booth,beale", budget=2, starts=2, repeats=1, gradients=10),
            "equal": lab.verify(momentum, "momentum"),
            "differs": lab.verify(Wrong, "momentum"),
        }


@pytest.fixture
def results(lab, made):
    """They are shown in an empty folder."""
    return made


def test_every_result_has_every_form(results, tmp_path):
    for kind, result in results.items():
        rows = result.rows
        assert json.loads(json.dumps(rows)) == rows, f"{kind}: plain values"
        assert len(rows) > 1 or kind == "equal"
        assert result.plot(dark=True).axes
        text = result._repr_html_()
        assert tags(text) <= TAGS
        assert "data:image/png;base64,iVBOR" in text
        assert result.headline in repr(result)
        assert len(str(result).splitlines()) >= (2 if kind == "equal" else 4)
        page = result.report(str(tmp_path / f"{kind}.html")).read_bytes()
        assert len(page) > 10_000
        assert b'<input type="range"' not in page, "nothing is played"
        files = [str(tmp_path / f"again-{kind}.html"), tmp_path / f"{kind}.svg"]
        for file in files:
            result.save(file, size=None if file == files[0] else "column")
        assert result.saved == [files[0], str(files[1])]
        assert Path(files[0]).read_bytes() == page
        assert b"<svg" in files[1].read_bytes()
        with pytest.raises(UsageError, match=r"expected a name that ends in \.png, .* got "):
            result.save(tmp_path / "a.xyz")
        with pytest.raises(UsageError, match=r"size: .*'A4'"):
            result.save(files[1], size="A4")


def test_frames(results):
    import pandas as frames

    for kind, result in results.items():
        frame = result.frame()
        assert isinstance(frame, frames.DataFrame)
        assert len(frame) == len(result.rows)
        assert list(frame.columns) == list(result.rows[0] if result.rows else []), kind


def test_without_a_library_for_frames(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"needs pandas: pip install pandas \(the extra pandas\)"):
        results["paths"].frame()


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert {name for name, _ in attributes} <= {"style", "class", "scope", "alt", "src"}, attributes


def tags(text):
    parser = _Tags()
    parser.feed(text)
    return parser.tags


@pytest.mark.parametrize("hostile", HOSTILE[:4])
def test_a_name_in_a_notebook_is_text(lab, tmp_path, hostile):
    def mine(w, g, lr):
        return w + lr * g

    mine.__name__ = hostile
    verdict = lab.verify(mine, "sgd")
    assert tags(verdict._repr_html_()) <= TAGS
    assert b"<script>window" not in verdict.report(str(tmp_path / "page.html"), title=hostile).read_bytes()


def test_a_text_of_a_study_in_a_notebook_is_text(lab):
    manifest = {"command": "sweep", "argv": [], "versions": {"optilab": "0"}}
    opened = runs.open_study(lab.folder, "bad", b"config: sigmoid\nover: {}\n", manifest)
    for number, hostile in enumerate(HOSTILE):
        reason = printable(hostile).replace("\n", " ")
        line = {"trial": f"t{number}", "settings": {}, "seed": number, "digest": f"sha256:{number}"}
        opened.add({**line, "status": "failed", "reason": reason}, 1.0)
    opened.finish("failed")
    study = lab.load("bad")
    assert isinstance(study, LabStudy)
    assert study.verdict == "failed, no training has a result"
    assert len(study.table().notes) == len(HOSTILE)
    assert tags(study._repr_html_()) <= TAGS
    with pytest.raises(DataError, match="nothing to draw"):
        study.plot()


def test_a_default_can_be_given(lab):
    """Wrappers hand all keywords on."""
    assert lab.optimize("adam", dark=False, size=None, out=None).rows
    path = lab.load("path") if lab.optimize("adam", name="path") else None
    for name, reason in (("diagnosis", "only trainings have a diagnosis"), ("race", "not a race")):
        with pytest.raises(OptilabError, match=f"path is a run of optimize.* {reason}"):
            getattr(path, name)


# --- classes and functions of a notebook ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mine", "adam"])
def test_a_saved_function_keeps_its_name(lab, name):
    """Also one that is called like an optimizer."""

    def mine(w, g, lr: float = 0.1):
        return w - lr * g

    mine.__name__ = name
    path = lab.optimize([mine, "sgd"], name="path")
    assert str(lab.load("path").answer.table()) == str(path.table())
    assert {row["algo"] for row in lab.load("path").rows} == {name, "sgd"}
    race = lab.race([mine, "sgd"], functions="ravine", budget=3, starts=5, name="race")
    assert str(lab.load("race").race.table()) == str(race.table())
    assert {row["rule"] for row in lab.load("race").rows} == {name, "sgd"}


CELLS = [
    "import numpy as np, torch\nfrom optilab import Lab\nlab = Lab('runs')",
    "def heavy_ball(w, g, lr, V, beta):\n    V = beta * V + g\n    return w - lr * V, V",
    "def bowl(x, y):\n    return 0.1 * x**2 + 2 * y**2",
    "class Net(torch.nn.Sequential):\n    def __init__(self, height, width, classes, units=8):\n"
    "        first, last = torch.nn.Linear(height * width, units), torch.nn.Linear(units, classes)\n"
    "        super().__init__(torch.nn.Flatten(), first, torch.nn.ReLU(), last)",
    "keywords = dict(lr=0.1, beta=0.5, epochs=7)\n"
    "mine = lab.optimize(heavy_ball, function=bowl, **keywords)\n"
    "theirs = lab.optimize('momentum', function='ravine', form='classic', **keywords)\n"
    "assert np.allclose([row['f'] for row in mine.rows], [row['f'] for row in theirs.rows], rtol=1e-12)\n"
    "assert '0 -> ' in str(lab.explain(heavy_ball, function=bowl))\n"
    "both = str(lab.optimize([heavy_ball, 'adam'], lr=0.1, function=bowl))\n"
    "assert 'heavy_ball' in both\n"
    "assert lab.map(heavy_ball, x='lr=0.01:1:3', y='beta=0:0.9:3', function=bowl).rows",
    "keys = {'model': {'name': Net, 'units': 4}, 'data': {'dataset': 'synthetic', 'images': 200}}\n"
    "run = lab.train(keys, optimizer=heavy_ball, beta=0.5, epochs=1, name='one')\n"
    "assert 'class Net' in (run.path / 'Net.py').read_text()\n"
    "assert 'def heavy_ball' in (run.path / 'heavy_ball.py').read_text()\n"
    "assert run.manifest['own_network']['__main__:Net']['copy'] == 'Net.py'\n"
    "assert len(lab.train(resume='one', epochs=2).rows) == 2 and run.diagnosis",
    "try:\n"
    "    lab.sweep({**keys, 'optimizer': 'sgd'}, over={'optimizer': [heavy_ball, 'adam']})\n"
    "except Exception as error:\n"
    "    print(error)",
]


@pytest.mark.nightly
def test_a_notebook_with_nothing_but_cells(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    expected = "expected FILE.py:NAME, which the other processes of a study can read"
    assert notebook.cells[-1].outputs[0].text == (
        f"2 problems\n  config: {expected}, got the class Net\n  over: {expected}, got the function heavy_ball\n"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda lab: lab.optimize("momentum", betta=0.3), 'betta: unknown key; did you mean "beta"?'),
        (lambda lab: lab.optimize("momentum", epcohs=3), 'epcohs: unknown key; did you mean "epochs"?'),
        (lambda lab: lab.optimize("adam", function=lambda w: w[0] if w[0] > 0 else -w[0]), "no branch on a value"),
        (lambda lab: lab.optimize("adam", function=lambda w: 3), "expected a number that depends on the point"),
        (lambda lab: lab.optimize("adam", function=lambda: 3), "expected a function of one or more coordinates"),
        (lambda lab: lab.train({"model": np}), "expected a mapping"),
        (
            lambda lab: lab.benchmark("relu.yaml", [momentum, "adam"]),
            "expected FILE.py:NAME, .* got the function momentum",
        ),
        (lambda lab: lab.train({"model": Wrong}, seeds=2), "expected FILE.py:NAME, .* got the class Wrong"),
    ],
)
def test_an_object_that_is_refused(lab, call, message):
    with pytest.raises(UsageError, match=message):
        call(lab)


def test_a_function_of_python_is_its_formula(lab):
    def formula(function):
        return lab.optimize("sgd", function=function, epochs=1).function.formula

    assert formula(lambda x: x**4 - abs(x)) == "w1^4 - abs(w1)"
    assert formula(lambda w: np.sum(w**2)) == "w1^2 + w2^2"
    assert formula(lambda w: w[2] * np.exp(-w[0]) + w[1] ** 2) == "w3*exp(-w1) + w2^2"
    assert formula(lambda x, y, scale=3: scale * x**2 + y**2) == "3*w1^2 + w2^2"


# --- progress, signals, processes --------------------------------------------------------------------------


def test_a_script_is_silent_unless_it_asks(lab, small, capsys):
    lab.train(small, epochs=1)
    lab.sweep(small, seeds=2, epochs=1, jobs=1)
    lab.race("sgd,adam", "booth", budget=2, starts=2, repeats=1, gradients=5)
    assert capsys.readouterr() == ("", "")
    with terminal.out.capture() as shown:
        lab.train(small, epochs=1, progress=True)
    assert re.search(r"^ +1/1 ", shown.get(), re.MULTILINE)


def test_control_c_commits_and_raises(lab, small):
    def interrupt():
        table = lab.folder / "long" / "metrics.csv"
        while not (table.exists() and table.read_bytes().count(b"\n") > 2):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match=r'stopped; lab\.train\(resume="long"\) continues it'):
        lab.train(small, epochs=100_000, name="long")
    run = lab.load("long")
    assert run.state == "interrupted"
    assert len(run.rows) > 1


def test_a_training_in_a_thread(lab, small):
    with ThreadPoolExecutor() as threads:
        run = threads.submit(lab.train, small, epochs=1).result()
    assert run.state == "done"


def test_a_second_training_of_a_process_is_refused(lab, small):
    """Each would draw from the generator of the other, and give other numbers than it does alone."""
    with device.exclusive_torch(), pytest.raises(UsageError, match="another training is running in this process"):
        lab.train(small, epochs=1)
    assert lab.train(small, epochs=1).state == "done"


@pytest.mark.parametrize(
    "mode",
    [
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.device("meta"),
    ],
    ids=["autocast", "no_grad", "inference_mode", "default device"],
)
def test_a_training_inside_a_mode_of_torch_has_the_same_numbers(mode, lab, small):
    alone = lab.train(small, epochs=1).rows
    with mode():
        assert lab.train(small, epochs=1).rows == alone


def test_a_training_in_a_fork_of_a_process_that_trained_with_threads_is_refused(lab, small, monkeypatch):
    """The threads are not in the fork: PyTorch would wait for them for ever."""
    lab.train(small, epochs=1, threads=2)
    process = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)
    with pytest.raises(UsageError, match="threads: expected 1 in a process forked from one"):
        device.configure(torch.device("cpu"), 2)
    device.configure(torch.device("cpu"), 1)


def test_a_training_leaves_the_generators_and_numerics_of_a_gpu(monkeypatch):
    restored = []
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        patch.setattr(torch.cuda, "get_rng_state_all", lambda: ["cuda"])
        patch.setattr(torch.cuda, "set_rng_state_all", restored.append)
        patch.setattr(torch.backends.mps, "is_available", lambda: True)
        patch.setattr(torch.mps, "get_rng_state", lambda: "mps")
        patch.setattr(torch.mps, "set_rng_state", restored.append)
        patch.setattr(torch.backends.cudnn, "benchmark", True)
        torch.backends.cuda.matmul.allow_tf32 = True
        with device.exclusive_torch():
            torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = False
        assert torch.backends.cudnn.benchmark
        assert torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
    assert restored == [["cuda"], "mps"]


def test_a_training_leaves_torch_as_it_was(lab, small):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    lab.train(small, epochs=1)
    assert torch.get_default_dtype() == torch.float64
    assert torch.equal(torch.get_rng_state(), before)
    assert float(torch.tensor(5e-320) * 0.5) > 0.0  # denormals are numbers again


def test_results_paths_and_classes_stand_for_their_names(lab, small):
    run = lab.train(small, epochs=1, name="one")
    lab.train(small, epochs=1, name="two", seed=np.int64(7))
    assert lab.load(run.path).rows == lab.load(run).rows == run.rows
    assert len(lab.compare([run.path, "two"]).rows) == 1
    assert lab.compare(run).rows[0]["n"] == 1
    assert lab.verify(lambda w, g, lr: w - lr * g, RULES["sgd"]).code == 0
    assert lab.optimize(algo=RULES["adam"], epochs=np.int32(3)).rows[-1]["epoch"] == 3
    assert lab.optimize(algo="sgd", set=["algo.lr=0.25"]).rows == lab.optimize(algo="sgd", lr=0.25).rows


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_to_write_is_a_name_or_a_path(lab, tmp_path, kind):
    lab.optimize("sgd", epochs=3, out=kind(tmp_path / "paths.svg"))
    assert (tmp_path / "paths.svg").read_bytes().startswith(b"<?xml")


def test_a_sweep_in_a_script_without_a_guard(small, tmp_path):
    """The workers do not run the script again, as multiprocessing would without `if __name__ == "__main__"`."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from optilab import Lab\n"
        f"study = Lab('runs').sweep({str(small)!r}, {{'optimizer.lr': [0.1, 1]}}, epochs=1, jobs=2)\n"
        "print([row['status'] for row in study.rows])\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("once\n['done', 'done']\n", "")


def test_nothing_but_a_training_needs_torch(tmp_path):
    training(tmp_path / "runs", "one")
    program = (
        "import sys\nfrom optilab import Lab\n"
        "assert 'numpy' not in sys.modules\n"
        "lab = Lab('runs')\nlab.optimize(algo='adam').plot()\nlab.compare('one')._repr_html_()\n"
        "lab.verify(lambda w, g, lr: w - lr * g, 'sgd')\nlab.runs()\n"
        "lab.race('sgd,adam', 'booth', budget=2, starts=2, repeats=1, gradients=5)\n"
        "assert 'torch' not in sys.modules\n"
    )
    python(program, tmp_path)
