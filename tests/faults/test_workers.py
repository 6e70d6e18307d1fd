"""Workers of a study: what it may rely on, wherever they are, and studies on a cluster.

The scheduler and the workers of the cluster are real processes on this machine. They are killed, or have another
version: nothing is lost, and the bytes are those of a study that nothing disturbed.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optilab import __version__, runs
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.errors import UsageError
from optilab.runs.lock import hold
from optilab.runs.provenance import provenance
from optilab.study import workers as study_workers
from optilab.study.trials import Trial, as_trial, require_buildable, task_of
from optilab.study.workers import Processes, Reply, Workers, WorkersLost
from tests.faults.sandbox import Sandbox, study_files
from tests.faults.test_killed_study import running
from tests.kit.command import ROOT, environment, need, run
from tests.kit.processes import (
    Process,
    start,
    trial_processes,
    wait_until,
)
from tests.kit.template import fork_the_template

GRID = "sweep lab.yaml --over optimizer.lr=0.001,0.01 --seeds 2 --epochs 6 --set data.batch_size=4 --quiet --name"
NETWORK = """\
from torch import nn

def net(shape, classes):
    print("a line of the user's own")
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))

def wrong(shape, classes):
    return nn.Linear(3, classes)
"""


class Cluster:
    """A scheduler and its workers, each a process; one without a shared disk sees empty directories."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.workers: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.schedule()

    def schedule(self) -> None:
        """Start the scheduler, and wait until it answers."""
        self.scheduler = self.start("scheduler", "--host", self.address)
        wait_until(self.answers)

    def answers(self) -> bool:
        host, port = self.address.partition("://")[2].split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return True
        return False

    def start(
        self, kind: str, *options: str, before: tuple[str, ...] = (), **env: str
    ) -> "subprocess.Popen[bytes]":
        command = [*before, sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *options]
        with (self.folder / f"{kind}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment(**env), stdout=log, stderr=log, start_new_session=True
            )

    def worker(self, shared: bool = True, threads: int = 1, **env: str) -> None:
        hide = f'mount -t tmpfs none {self.sandbox.folder}/runs && exec "$@"'
        before = () if shared else ("unshare", "-rm", "sh", "-c", hide, "sh")
        options = ("--nthreads", str(threads), "--no-nanny", "--local-directory", str(self.folder))
        self.workers.append(self.start("worker", self.address, *options, before=before, **env))

    def submit(self, name: str) -> Process:
        return start([*GRID.split(), name, "--cluster", self.address], self.sandbox.folder, "fresh")

    def wait_for_trials(self, process: Process, study: Path, rng: random.Random) -> None:
        """Wait until a trial is written, and a random time more."""
        wait_until(lambda: not process.alive() or (study.is_dir() and running(study)))
        time.sleep(rng.uniform(0, 0.2))
        assert process.alive(), process.finish()


def kill(process: "subprocess.Popen[bytes]", machine: bool = True) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if machine else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def cluster(sandbox: Sandbox, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(sandbox, tmp_path)
    yield made
    for process in [*made.workers, made.scheduler]:
        kill(process)


# --- what both have in common ------------------------------------------------------------------------------


class Study:
    """Trials of a study that is open, and the tasks that train them."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.path, self.data = sandbox.path(name), sandbox.folder / "data"
        self.path.mkdir(parents=True)
        self.lock = hold(self.path)

    def trial(self, seed: int, epochs: int = 3, **changes: Any) -> Trial:
        model = {"hidden": [16], "activation": "relu"}
        data = {"dataset": "idx", "dir": str(self.data), "batch_size": 4}
        tree = {"model": model, "data": data, "optimizer": {"name": "adam", "lr": 0.003}, **changes}
        return Trial("trial", as_trial(load(TrainConfig, {**tree, "epochs": epochs}), seed=seed))

    def task(self, trial: Trial, **changes: Any) -> dict[str, Any]:
        places = {trial.config.data.source: str(self.data)}
        facts = {
            "name": trial.name,
            "provenance": provenance([], []),
            "until": trial.config.epochs,
            "keep": "last",
        }
        return {**task_of("run", trial, places, folder=str(self.path), **facts), **changes}

    def committed(self, trial: Trial) -> int:
        table = self.path / trial.name / "metrics.csv"
        return table.read_bytes().count(b"\n") - 1 if table.exists() else 0


def ended(workers: Workers, count: int) -> dict[str, Reply | None]:
    """The answers of the next tasks that end."""
    answers: dict[str, Reply | None] = {}

    def all_have() -> bool:
        answers.update(workers.ended())
        return len(answers) >= count

    wait_until(all_have)
    return answers


class Contract:
    """What a study may rely on, wherever its trials run."""

    @pytest.fixture
    def study(self, sandbox: Sandbox) -> Iterator[Study]:
        made = Study(sandbox, "study")
        yield made
        made.lock.release()

    @pytest.fixture
    def whole(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[[Trial], dict[str, bytes]]]:
        """Files of a study of one trial that nothing disturbed."""
        other = Study(sandbox, "whole")

        def files(trial: Trial) -> dict[str, bytes]:
            with local_workers(monkeypatch) as workers:
                workers.begin("whole", other.task(trial))
                assert ended(workers, 1)["whole"]["status"] == "done"
            return study_files(other.path)

        yield files
        other.lock.release()

    def roots(self) -> list[int]:
        """The processes below which trials run."""
        return [os.getpid()]

    def test_trials_run_at_once_and_end_with_their_outcomes(self, workers: Workers, study: Study) -> None:
        assert workers.slots == 2
        trials = {trial.name: trial for trial in map(study.trial, (1, 2))}
        for name, trial in trials.items():
            workers.begin(name, study.task(trial))
        for name, answer in ended(workers, 2).items():
            assert answer is not None
            assert (answer["status"], answer["reason"]) == ("done", "")
            assert answer["seconds"] > 0
            assert answer["outcome"] == runs.read(study.path / name).outcome()
        trial = study.trial(3, epochs=6)
        workers.begin("rung", study.task(trial) | {"arguments": {**study.task(trial)["arguments"], "until": 2}})
        assert ended(workers, 1)["rung"]["status"] == "stopped"
        assert study.committed(trial) == 2

    def test_a_trial_whose_worker_is_killed_resumes(
        self, workers: Workers, study: Study, whole: Callable[[Trial], dict[str, bytes]], rng: random.Random
    ) -> None:
        trial, kills = study.trial(1, epochs=30), 0
        while True:
            before = study.committed(trial)
            workers.begin("trial", study.task(trial))
            if kills < 2:
                wait_until(lambda before=before: study.committed(trial) > before)
                time.sleep(rng.uniform(0, 0.05))
                for pid in [pid for root in self.roots() for pid in trial_processes(root)]:
                    os.kill(pid, signal.SIGKILL)
            answer = ended(workers, 1)["trial"]
            if answer is not None:
                break
            kills += 1
        assert kills > 1
        assert answer["status"] == "done"
        assert len(runs.read(study.path / trial.name).manifest["resumes"]) == kills
        assert study_files(study.path) == whole(trial)

    def test_a_trial_that_was_stopped_resumes(
        self, workers: Workers, study: Study, whole: Callable[[Trial], dict[str, bytes]]
    ) -> None:
        trial = study.trial(1, epochs=200)
        workers.begin("trial", study.task(trial))
        wait_until(lambda: study.committed(trial) > 0)
        workers.stop()
        assert ended(workers, 1) == {"trial": None}
        wait_until(lambda: runs.read(study.path / trial.name).state != "running")
        stopped = runs.read(study.path / trial.name)
        assert stopped.state == stopped.manifest["status"] == "interrupted"
        short = study.trial(1, epochs=len(stopped.rows()) + 2)
        workers.begin("trial", study.task(short, arguments={**study.task(short)["arguments"], "name": trial.name}))
        assert ended(workers, 1)["trial"]["status"] == "done"
        files = {file.partition("/")[2] or file: data for file, data in study_files(study.path).items()}
        assert files == {file.partition("/")[2] or file: data for file, data in whole(short).items()}

    def test_what_a_network_prints_is_no_answer(self, workers: Workers, study: Study, sandbox: Sandbox) -> None:
        (sandbox.folder / "net.py").write_text(NETWORK)
        model = {"name": f"{sandbox.folder}/net.py:net"}
        trial = study.trial(1, model=model)
        workers.begin("trial", study.task(trial))
        answer = ended(workers, 1)["trial"]
        assert answer["status"] == "done", answer

    def test_a_failure_has_its_reason(self, workers: Workers, study: Study, sandbox: Sandbox) -> None:
        (sandbox.folder / "net.py").write_text(NETWORK)
        trial = study.trial(1, model={"name": f"{sandbox.folder}/net.py:wrong"})
        with pytest.raises(UsageError, match=r"net\.py"):
            require_buildable(workers, {trial.config.data.source: str(study.data)}, trial)
        workers.begin("trial", study.task(trial))
        answer = ended(workers, 1)["trial"]
        assert answer["status"] == "failed"
        assert "net.py" in answer["reason"]
        workers.begin("next", study.task(study.trial(2)))
        assert ended(workers, 1)["next"]["status"] == "done"

    def test_other_versions_are_refused(self, workers: Workers, study: Study) -> None:
        def train() -> None:
            while True:
                while workers.slots == 0:
                    list(workers.ended())
                workers.begin("trial", study.task(study.trial(1), versions={"optilab": "0.0.1"}))
                assert ended(workers, 1)["trial"]["status"] == "refused"

        with pytest.raises(WorkersLost, match="take part"):
            train()
        assert not (study.path / study.trial(1).name).exists()


def local_workers(monkeypatch: pytest.MonkeyPatch) -> Processes:
    monkeypatch.setattr(study_workers, "subprocess", study_workers.subprocess)
    fork_the_template()
    return Processes(2)


class TestProcesses(Contract):
    @pytest.fixture
    def workers(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
        with local_workers(monkeypatch) as made:
            yield made

    def test_a_dying_template_costs_one_attempt(
        self, workers: Workers, study: Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(study_workers._template(), "fork", lambda connection: None)
        for answer in (None, "done"):
            workers.begin("trial", study.task(study.trial(1)))
            reply = ended(workers, 1)["trial"]
            assert (reply and reply["status"]) == answer


@pytest.mark.nightly
class TestCluster(Contract):
    @pytest.fixture
    def workers(self, study: Study, cluster: Cluster) -> Iterator[Workers]:
        self.notes: list[str] = []
        for _ in range(2):
            cluster.worker()
        with study_workers.Cluster(cluster.address, [study.path, study.data], self.notes.append) as made:
            wait_until(lambda: not [*made.ended()] and made.slots == 2)
            yield made

    @pytest.fixture(autouse=True)
    def _at(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def roots(self) -> list[int]:
        return [worker.pid for worker in self.cluster.workers]

    def test_a_scheduler_without_workers_is_said(self, study: Study, cluster: Cluster, monkeypatch: Any) -> None:
        monkeypatch.setattr(study_workers, "_PATIENCE_SECONDS", 1.0)
        notes: list[str] = []
        with study_workers.Cluster(cluster.address, [study.path], notes.append) as made:
            wait_until(lambda: not [*made.ended()] and bool(notes))
            for _ in range(15):
                assert not [*made.ended()]
            assert notes == [f"no worker at {cluster.address} yet; waiting for one"]
            assert made.call(study.task(study.trial(1)), lambda: True) is None


# --- studies on a cluster ----------------------------------------------------------------------------------


@pytest.fixture
def whole(sandbox: Sandbox) -> dict[str, bytes]:
    """The study without a cluster."""
    run([*GRID.split(), "whole"], sandbox.folder, "fresh", code=0)
    return study_files(sandbox.path("whole"))


@pytest.mark.nightly
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.release)])
def test_killed_workers(
    kills: int, sandbox: Sandbox, cluster: Cluster, whole: dict[str, bytes], rng: random.Random
) -> None:
    """One kill per study, so that no trial is given up: of a machine, of dask's worker, or of a trial's process."""
    study = sandbox.path("killed")
    for _ in range(2):
        cluster.worker()
    for number in range(kills):
        process = cluster.submit("killed")
        cluster.wait_for_trials(process, study, rng)
        victim, how = cluster.workers[rng.randrange(2)], ("machine", "worker", "trial")[number % 3]
        if how == "trial" and (trials := trial_processes(victim.pid)):
            os.kill(trials[0], signal.SIGKILL)
        else:
            cluster.workers.remove(victim)
            kill(victim, machine=how == "machine")
            cluster.worker()
        done = process.finish()
        assert done.returncode == 0, done.stderr
        assert study_files(study) == whole
        assert len(runs.read_table(study / "timings.csv")) == 4, "a trial ended twice"
        assert not [path for path in study.iterdir() if path.name.startswith(".")]
        runs.remove(study)


@pytest.mark.nightly
def test_a_lost_scheduler(sandbox: Sandbox, cluster: Cluster, whole: dict[str, bytes], rng: random.Random) -> None:
    study = sandbox.path("lost")
    for _ in range(2):
        cluster.worker()
        process = cluster.submit("lost")
        cluster.wait_for_trials(process, study, rng)
        kill(cluster.scheduler)
        done = process.finish()
        assert done.returncode == 7
        assert (
            f"the scheduler at {cluster.address} is gone; the same command with --name lost continues"
            in done.stderr
        )
        assert runs.read_study(study).state == "interrupted"
        kill(cluster.workers.pop())
        cluster.schedule()
    cluster.worker()
    assert cluster.submit("lost").finish().returncode == 0
    assert study_files(study) == whole


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command(
    number: int, sandbox: Sandbox, cluster: Cluster, whole: dict[str, bytes], rng: random.Random
) -> None:
    """Its trials end soon, and what they committed is in the study."""
    study = sandbox.path("stopped")
    cluster.worker(threads=2)
    process = cluster.submit("stopped")
    cluster.wait_for_trials(process, study, rng)
    process.send(number)
    assert process.finish().returncode == -number
    assert number == signal.SIGKILL or not running(study)
    wait_until(lambda: not running(study))
    assert any(trial.state == "interrupted" for trial in runs.read_study(study).runs()[0])
    assert cluster.submit("stopped").finish().returncode == 0
    assert study_files(study) == whole


@pytest.mark.nightly
def test_a_worker_that_cannot_take_part(sandbox: Sandbox, cluster: Cluster, tmp_path: Path) -> None:
    """With another optilab, or without the disk of the study: it is refused by name, and another one trains."""
    need("unshare")
    shutil.copytree(ROOT / "optilab", tmp_path / "old" / "optilab")
    init = tmp_path / "old" / "optilab" / "__init__.py"
    init.write_text(init.read_text().replace(__version__, "0.0.1"))
    (sandbox.folder / "runs").mkdir(exist_ok=True)
    cluster.worker(PYTHONPATH=str(tmp_path / "old"))
    done = cluster.submit("refused").finish()
    assert done.returncode == 7
    assert f"is refused: it has optilab 0.0.1 (here {__version__})" in done.stderr
    assert f"no worker at {cluster.address} can take part" in done.stderr
    assert "Traceback" not in done.stderr
    for shared in (False, True):
        cluster.worker(shared=shared)
    done = cluster.submit("refused").finish()
    assert done.returncode == 0, done.stderr
    assert f"is refused: it does not see {sandbox.path('refused')}" in done.stderr


RULE = "def halved(w, g, lr: float = 0.1):\n    return w - lr / 2 * g\n"


@pytest.mark.nightly
def test_a_users_code_is_read_from_the_shared_disk(sandbox: Sandbox, cluster: Cluster) -> None:
    (sandbox.folder / "mine.py").write_text(RULE)
    (sandbox.folder / "net.py").write_text(NETWORK)
    cluster.worker()
    line = "sweep lab.yaml --set optimizer=mine.py:halved --set model=net.py:net --seeds 2 --epochs 2 --name"
    for more in (["without"], ["with", "--cluster", cluster.address]):
        done = run([*line.split(), *more], sandbox.folder, "fresh")
        assert done.returncode == 0, done.stderr
    assert study_files(sandbox.path("with")) == study_files(sandbox.path("without"))
