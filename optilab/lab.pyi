"""Written by `python .ci/generate.py` from the requests of the commands."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from optilab.commands.answer import Printed
from optilab.commands.compare import LabComparison
from optilab.commands.diagnose import Diagnosis
from optilab.commands.explain import WorkedSteps
from optilab.commands.lr import LabRate
from optilab.commands.map import LabMap
from optilab.commands.optimize import LabPaths
from optilab.commands.play import Playground
from optilab.commands.race import LabRace
from optilab.commands.results import LabRun, LabStudy
from optilab.commands.studies import PlannedStudy
from optilab.commands.verify import Grades, LabVerification, Parity

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
        epochs: int | None = None,
        lr: float | None = None,
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
        step: int | str | None = None,
        *,
        function: str | Any | None = None,
        start: Sequence[float] | str | None = None,
        lr: float | None = None,
        style: Any | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> WorkedSteps:
        """Work out steps of an optimizer: every intermediate result with its numbers, checked against the run."""
    @overload
    def verify(
        self,
        candidate: Callable[..., Any],
        against: str | None = None,
        *,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        points: str | None = None,
        feedback: str | None = None,
        format: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> LabVerification:
        """Check ours against torch.optim, optax or the equations, or an implementation of yours against ours."""
    @overload
    def verify(
        self,
        candidate: str,
        against: str | None = None,
        *,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        points: str | None = None,
        feedback: str | None = None,
        format: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> LabVerification | Grades:
        """Check ours against torch.optim, optax or the equations, or an implementation of yours against ours."""
    @overload
    def verify(
        self,
        candidate: list[str] | tuple[str, ...],
        against: str | None = None,
        *,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        points: str | None = None,
        feedback: str | None = None,
        format: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> Grades:
        """Check ours against torch.optim, optax or the equations, or an implementation of yours against ours."""
    @overload
    def verify(
        self,
        candidate: None = None,
        against: str | None = None,
        *,
        algo: Names | Any | None = None,
        function: str | Any | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        memory: int | None = None,
        points: str | None = None,
        feedback: str | None = None,
        format: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> Parity:
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
        epochs: int | None = None,
        lr: float | None = None,
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
        epochs: int | None = None,
        lr: float | None = None,
        tune: int | None = None,
        out: str | None = None,
        set: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> Playground:
        """Write an interactive HTML page: drag a setting, and the trajectory and the stability limit follow at once."""
    @overload
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
        epochs: int | None = None,
        fail_fast: bool | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[True],
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> PlannedStudy:
        """Compare optimizers after tuning each with the same budget, on held-out starting points or seeds."""
    @overload
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
        on: Config | Sequence[Config],
        seeds: int | None = None,
        target: Any | None = None,
        epochs: int | None = None,
        fail_fast: bool | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[False] | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabStudy:
        """Compare optimizers after tuning each with the same budget, on held-out starting points or seeds."""
    @overload
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
        on: None = None,
        seeds: int | None = None,
        target: Any | None = None,
        epochs: int | None = None,
        fail_fast: bool | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[False] | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabRace:
        """Compare optimizers after tuning each with the same budget, on held-out starting points or seeds."""
    @overload
    def train(
        self,
        config: Config | None = None,
        *,
        file: str | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        seeds: int,
        device: str | None = None,
        threads: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        expect: Names | None = None,
        resume: str | None = None,
        fork: str | None = None,
        log: str | None = None,
        picture: bool | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        name: str | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> LabStudy:
        """Train a network and measure it after each epoch; a run can be stopped and resumed."""
    @overload
    def train(
        self,
        config: Config | None = None,
        *,
        file: str | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        seeds: None = None,
        device: str | None = None,
        threads: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        expect: Names | None = None,
        resume: str | None = None,
        fork: str | None = None,
        log: str | None = None,
        picture: bool | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        name: str | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> LabRun:
        """Train a network and measure it after each epoch; a run can be stopped and resumed."""
    def lr(
        self,
        config: Config | None = None,
        optimizer: str | None = None,
        *,
        batch_size: int | None = None,
        steps: int | None = None,
        confirm: bool | None = None,
        seeds: int | None = None,
        epochs: int | None = None,
        seed: int | None = None,
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
    @overload
    def sweep(
        self,
        config: Config | None = None,
        over: Mapping[str, Any] | str | None = None,
        *,
        zip: bool | None = None,
        samples: int | None = None,
        search: str | None = None,
        seeds: int | None = None,
        halving: int | None = None,
        confirm: int | None = None,
        confirm_seeds: int | None = None,
        metric: str | None = None,
        keep: Any | None = None,
        expect: Names | None = None,
        epochs: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        seed: int | None = None,
        fail_fast: bool | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[True],
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> PlannedStudy:
        """Train one network over axes of settings: several seeds per setting, in parallel, one thread per run."""
    @overload
    def sweep(
        self,
        config: Config | None = None,
        over: Mapping[str, Any] | str | None = None,
        *,
        zip: bool | None = None,
        samples: int | None = None,
        search: str | None = None,
        seeds: int | None = None,
        halving: int | None = None,
        confirm: int | None = None,
        confirm_seeds: int | None = None,
        metric: str | None = None,
        keep: Any | None = None,
        expect: Names | None = None,
        epochs: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        seed: int | None = None,
        fail_fast: bool | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[False] | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabStudy:
        """Train one network over axes of settings: several seeds per setting, in parallel, one thread per run."""
    @overload
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
        epochs: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[True],
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> PlannedStudy:
        """Train a network with each known fix for vanishing gradients, one at a time, and compare the results."""
    @overload
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
        epochs: int | None = None,
        optimizer: str | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        dry_run: Literal[False] | None = None,
        resume: str | None = None,
        file: str | None = None,
        cluster: str | None = None,
        jobs: int | None = None,
        name: str | None = None,
        set: Mapping[str, Any] | None = None,
        data_dir: str | None = None,
        progress: bool | None = None,
    ) -> LabStudy:
        """Train a network with each known fix for vanishing gradients, one at a time, and compare the results."""
    def compare(
        self,
        names: Names,
        *,
        metric: str | None = None,
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
        epochs: int | None = None,
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
        """Write runs and studies as one HTML page: verdict, table, curves, layers, settings, configs, commands."""
