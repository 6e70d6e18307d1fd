"""Every kind of page without a browser: it loads nothing, and hostile names and values stay text."""

import json

from optilab import runs
from optilab.answer.races import LabRace
from optilab.answer.results import LabStudy
from optilab.commands import play
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.config.study import RaceConfig
from optilab.errors import printable
from optilab.lab import Lab
from optilab.optimize.functions import Booth
from optilab.optimize.rules import SGD
from optilab.study.function_race import Race
from optilab.study.tuning import Tuning
from tests.kit.contracts import PageContract
from tests.kit.generated import layered, planned, training


class TestReport(PageContract):
    def page(self, folder, text):
        for number in (1, 2):
            run = training(
                folder / "runs", f"run{number}", f"optimizer.lr=0.{number}", status="diverged", reason=text,
                argv=["optilab", "train", text], host={"system": text, text: number}, environment={text: text},
                versions={"optilab": text, "python": f"{text}{number}"},
                data={"dataset": text, "train": 10, "validation": 10, "classes": 10, "sha256": {text: text}},
            )  # fmt: skip
            layered(run, (1e-6, 1.0), (1e-6, 1.0))
        return Lab(folder / "runs").compare("*").page(text)


class TestFunctionRace(PageContract):
    def page(self, folder, text):
        rules = [type("Rule", (SGD,), {"name": name})() for name in (text, "sgd")]
        functions = [type("Function", (Booth,), {"name": name})() for name in (text, "booth")]
        tunings = [
            Tuning(rule.name, function.name, 0, {text: 0.1}, [float(n + 1)] * 2, [n + 1, 5])
            for n, rule in enumerate(rules)
            for function in functions
        ]
        race = Race(
            RaceConfig(budget=2, starts=2, repeats=1),
            [r.name for r in rules],
            [f.name for f in functions],
            tunings,
        )
        return LabRace(race, rules, functions, text).page(text)


class TestBenchmark(PageContract):
    def page(self, folder, text):
        race, rows, safe = folder / "runs" / "cup", [], printable(text)  # as the tables of a study have it
        for number, rule in enumerate((safe, "sgd")):
            for stage in ("tuning", "final"):
                name = f"{stage}-{number}"
                training(race, name, "seed=11", accuracies=(0.5,), test_acc=0.1 * number, test_loss=1.0)
                facts = {"network": safe, "rule": rule, "setting": 1, safe: 0.5, "lr": 0.1, "stage": stage}
                rows.append({"trial": name, **facts, "seed": 11})
        planned(race, rows)
        (race / "study.yaml").write_text(f"budget: 1\nseeds: 1\n# {safe}\n")
        manifest = {**runs.read(race / "final-0").manifest, "command": "benchmark", "argv": ["optilab", text]}
        (race / "manifest.json").write_text(json.dumps(manifest))
        return LabStudy(runs.read_study(race)).page(text)


class TestPlayground(PageContract):
    def page(self, folder, text):
        return play.page(load(OptimizeConfig, {"algo": ["sgd"], "function": "ravine", "epochs": 5}), text)


class TestPaths(PageContract):
    def page(self, folder, text):
        return Lab(folder / "runs").optimize("sgd", epochs=3).page(text)
