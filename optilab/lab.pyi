"""Written by `python -m tests.test_lab_stub` from the requests of the commands."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optilab.verbs.answer import Answer, Printed
from optilab.verbs.compare import LabComparison
from optilab.verbs.diagnose import Diagnosis
from optilab.verbs.explain import WorkedSteps
from optilab.verbs.lr import LabRate
from optilab.verbs.map import LabMap
from optilab.verbs.optimize import LabPaths
from optilab.verbs.play import Playground
from optilab.verbs.race import LabRace
from optilab.verbs.results import LabRun, LabStudy
from optilab.verbs.studies import PlannedStudy

Config = str | os.PathLike[str] | Mapping[str, Any]
"""A YAML file, the name of a preset, or the keys themselves."""
Names = str | Sequence[Any]
"""One name or `a,b`, or several."""

class Lab:
    folder: Path
    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None: ...
    def load(self, name: str) -> LabRun | LabStudy: ...
    def runs(self) -> list[LabRun | LabStudy]: ...
    def optimize(
        self,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        *,
        config: Config | None = None,
        start: Sequence[float] | str | None = None,
        epochs: Any | None = None,
        lr: Any | None = None,
        expect: Names | None = None,
        no_save: bool | None = None,
        tune: int | None = None,
        picture: bool | None = None,
        fail_on_divergence: bool | None = None,
        set: Mapping[str, Any] | None = None,
        name: str | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> LabPaths:
        """Run optimizers on a test function, in float64: every w of the trajectory, reproducible to the last bit."""
    def explain(
        self,
        algo: Names | Any | None = None,
        step: str | None = None,
        *,
        function: str | Any | None = None,
        start: Sequence[float] | str | None = None,
        lr: Any | None = None,
        style: Any | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> WorkedSteps:
        """Work out steps of an optimizer: every intermediate result with its numbers, checked against the run."""
    def verify(
        self,
        candidate: str | Callable[..., Any] | None = None,
        against: str | None = None,
        *,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        epochs: Any | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        points: str | None = None,
        feedback: str | None = None,
        format: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> Answer:
        """Check ours against torch.optim, optax or the equations, or an implementation of yours against ours."""
    def map(
        self,
        algo: Names | Any | None = None,
        x: str | None = None,
        *,
        y: str | None = None,
        basins: bool | None = None,
        config: Config | None = None,
        function: str | Any | None = None,
        start: Sequence[float] | str | None = None,
        epochs: Any | None = None,
        lr: Any | None = None,
        show: Any | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> LabMap:
        """Show where an optimizer converges: value or steps over a grid of settings, or the basins of minima."""
    def play(
        self,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        *,
        config: Config | None = None,
        start: Sequence[float] | str | None = None,
        epochs: Any | None = None,
        lr: Any | None = None,
        tune: int | None = None,
        out: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> Playground:
        """Write an interactive HTML page: drag a setting, and the trajectory and the stability limit follow at once."""
    def race(
        self,
        algos: Names | None = None,
        functions: Names | None = None,
        *,
        budget: int | None = None,
        starts: int | None = None,
        repeats: int | None = None,
        gradients: int | None = None,
        accuracy: float | None = None,
        seed: int | None = None,
        expect: Names | None = None,
        settings: bool | None = None,
        cache: bool | None = None,
        on: Config | Sequence[Config] | None = None,
        seeds: int | None = None,
        target: Any | None = None,
        epochs: str | None = None,
        fail_fast: bool | None = None,
        batch_size: str | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: bool | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabRace | LabStudy | PlannedStudy:
        """Compare optimizers after tuning each with the same budget, on held-out starting points or seeds."""
    def train(
        self,
        config: Config | None = None,
        file: str | None = None,
        *,
        epochs: int | None = None,
        seed: str | None = None,
        seeds: int | None = None,
        device: str | None = None,
        threads: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        batch_size: str | None = None,
        expect: Names | None = None,
        resume: str | None = None,
        fork: str | None = None,
        log: Any | None = None,
        picture: bool | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        name: str | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> LabRun | LabStudy:
        """Train a network and measure it after each epoch; a run can be stopped and resumed."""
    def lr(
        self,
        config: Config | None = None,
        optimizer: str | None = None,
        *,
        batch_size: str | None = None,
        steps: int | None = None,
        confirm: bool | None = None,
        seeds: int | None = None,
        epochs: int | None = None,
        seed: str | None = None,
        device: str | None = None,
        threads: int | None = None,
        expect: Names | None = None,
        jobs: int | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        name: str | None = None,
        progress: bool | None = None,
    ) -> LabRate:
        """Recommend a learning rate with a short range test, which takes seconds and writes no files."""
    def sweep(
        self,
        config: Config | None = None,
        over: Mapping[str, Any] | str | None = None,
        *,
        zip: bool | None = None,
        samples: int | None = None,
        search: Any | None = None,
        seeds: int | None = None,
        halving: int | None = None,
        confirm: int | None = None,
        metric: str | None = None,
        keep: Any | None = None,
        expect: Names | None = None,
        epochs: str | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        seed: str | None = None,
        fail_fast: bool | None = None,
        batch_size: str | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: bool | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabStudy | PlannedStudy:
        """Train one network over axes of settings, with several seeds each, several at once on one thread each."""
    def remedy(
        self,
        config: Config | None = None,
        only: Names | None = None,
        *,
        pairs: bool | None = None,
        tune: int | None = None,
        seeds: int | None = None,
        repeats: int | None = None,
        seed: int | None = None,
        expect: Names | None = None,
        epochs: str | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        batch_size: str | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: bool | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabStudy | PlannedStudy:
        """Train a network with each known fix for vanishing gradients, one at a time, and compare the results."""
    def compare(
        self,
        names: Names,
        metric: str | None = None,
        *,
        at: str | None = None,
        target: float | None = None,
        until: Any | None = None,
        baseline: str | None = None,
        by: str | None = None,
        over: Mapping[str, Any] | str | None = None,
        pairs: bool | None = None,
        progress: bool | None = None,
    ) -> LabComparison:
        """Compare trainings: what differs, the outcome of each group over its seeds, and verdicts."""
    def diagnose(
        self,
        target: Any,
        fail_on: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> Diagnosis:
        """Name what keeps a network from learning, with the numbers that show it and what to change."""
    def check(
        self,
        targets: Names,
        expect: Names | None = None,
        *,
        epochs: str | None = None,
        seeds: int | None = None,
        slow: bool | None = None,
        only: str | None = None,
        junit: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        jobs: int | None = None,
        progress: bool | None = None,
    ) -> Printed:
        """Run configs, or read runs and studies, and judge the claims about them: one line per claim."""
    def report(
        self,
        names: Names,
        out: str | None = None,
        *,
        title: str | None = None,
        metric: str | None = None,
        at: str | None = None,
        target: float | None = None,
        until: Any | None = None,
        baseline: str | None = None,
        by: str | None = None,
        over: Mapping[str, Any] | str | None = None,
        pairs: bool | None = None,
        progress: bool | None = None,
    ) -> Printed:
        """Write trainings and studies as one HTML page: verdict, table, curves, layers, settings, configs, commands."""
