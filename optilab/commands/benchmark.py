"""`optilab benchmark`: which optimizer is the best on one or more networks, after the same tuning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab.annotations import Argument, ConfigKey, Flag, Read
from optilab.answer.planned import PlannedStudy
from optilab.answer.results import EndedStudy, LabStudy
from optilab.config.study import FINALISTS, NETWORK_OPTIMIZERS, BenchmarkConfig, BenchmarkRules, read_names
from optilab.errors import UsageError
from optilab.request import studies
from optilab.request.options import RaceOptions, StudyOptions
from optilab.request.request import Place

if TYPE_CHECKING:
    from optilab.study.benchmark import BenchmarkSpec


class RunBenchmark(RaceOptions, StudyOptions, BenchmarkConfig):
    """Compare optimizers on networks after tuning each with the same budget, on the test set and from new seeds.

    The same command with the same --name, or --resume, continues a stopped study.
    """

    STUDY_KEYS = BenchmarkConfig
    EXAMPLES = (
        "optilab benchmark sigmoid.yaml,relu.yaml --algo sgd,momentum,adam --budget 10 --epochs 5 --seeds 5 --dry-run",
        "optilab benchmark relu.yaml --algo sgd,adam --budget 5 --epochs 3 --seeds 3 --out benchmark.html",
    )

    config: Annotated[
        Any,
        Argument("[CONFIG,...]", complete="preset:train"),
        Read(read_names),
        Doc("The networks: presets, YAML files or directories of runs"),
    ] = None
    algos: Annotated[BenchmarkRules | None, Doc("Optimizers to compare, each NAME or MINE=NAME [ten]")] = None  # type: ignore[assignment]
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Epochs of each run")] = None
    fail_fast: Annotated[bool, Doc("Stop at the first trial that fails")] = False

    def run(self, place: Place) -> "LabStudy | PlannedStudy":
        from optilab.study.benchmark import spec_of
        from optilab.study.tuning_space import NETWORK_KEYS

        started = {"algos": [*NETWORK_OPTIMIZERS], "finalists": FINALISTS} | dict.fromkeys(NETWORK_KEYS, True)
        tree, name = studies.tree_and_name("benchmark", self, self.config, place, **started)
        if tuned := next((change for change in self.changes if change.key.startswith("optimizer.")), None):
            raise UsageError("a benchmark tunes the optimizers that --algo names", tuned.where)
        return studies.run_or_plan(self, place, tree, name, spec_of, "benchmark", EndedBenchmark)


@dataclass(frozen=True, repr=False)
class EndedBenchmark(EndedStudy):
    """A benchmark at its end."""

    schema_version: ClassVar[int] = 2
    spec: "BenchmarkSpec"

    def document(self) -> Mapping[str, Any]:
        assert self._view is not None
        config = self.spec.request.model_dump(mode="json", exclude={"config"})
        return {"run": str(self.ran.path), "asked": config, **self._view.document()}


COMMAND = RunBenchmark
