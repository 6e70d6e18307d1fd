"""Studies on a cluster: a real scheduler and real workers on this machine, with and without a shared disk.

Workers are killed in trials, the scheduler is lost, a worker has another version: nothing is lost, nothing is
published twice, and the bytes are those of the same study without a cluster.
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

import pytest

from optilab import __version__, runs
from optilab.errors import CheckpointError
from tests.faults.sandbox import Sandbox, study_files
from tests.faults.test_killed_study import running, workers
from tests.processes import ROOT, Process, environment, run_process, start_process, wait_until

pytest.importorskip("distributed")
pytestmark = pytest.mark.nightly

GRID = "sweep lab.yaml --over optimizer.lr=0.001,0.01 --seeds 2 --epochs 6 --set data.batch_size=4 --quiet --name"


class Cluster:
    """A scheduler and its workers, each a process; one without a shared disk sees empty directories."""

    def __init__(self, sandbox: Sandbox, folder: Path, scheme: str = "tcp", **env: str) -> None:
        self.sandbox, self.folder, self.env = sandbox, folder, env
        self.workers: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"
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
            env = environment(**self.env, **env)
            return subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def worker(self, *preload: str, shared: bool = True, **env: str) -> None:
        hidden = " && ".join(
            f"mount -t tmpfs none {self.sandbox.folder}/{name}" for name in ("runs", "data", "own")
        )
        before = () if shared else ("unshare", "-rm", "sh", "-c", f'{hidden} && exec "$@"', "sh")
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder), *preload)
        self.workers.append(self.start("worker", self.address, *options, before=before, **env))

    def argv(self, name: str, line: str = GRID) -> list[str]:
        return [*line.split(), name, "--cluster", self.address]

    def submit(self, name: str) -> Process:
        return start_process(self.argv(name), self.sandbox.folder)

    def wait_for_trials(self, process: Process, study: Path, rng: random.Random) -> None:
        """Wait until a trial is written, in the study or on a worker's own disk, and a random time more."""

        def busy() -> bool:
            with contextlib.suppress(CheckpointError):  # a run that is being removed
                return any(map(running, [study, *self.folder.glob("dask-scratch-space/*/study-*/runs")]))
            return False

        wait_until(lambda: not process.alive() or (study.is_dir() and busy()))
        time.sleep(rng.uniform(0, 0.2))
        assert process.alive()


def kill(process: "subprocess.Popen[bytes]", machine: bool = True) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if machine else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def cluster(sandbox: Sandbox, tmp_path: Path, needs: Callable[..., None]) -> Iterator[Cluster]:
    needs("unshare")
    (sandbox.folder / "own").mkdir(exist_ok=True)
    made = Cluster(sandbox, tmp_path)
    yield made
    for process in [*made.workers, made.scheduler]:
        kill(process)


@pytest.fixture
def whole(sandbox: Sandbox) -> dict[str, bytes]:
    """The study without a cluster."""
    done = run_process([*GRID.split(), "whole"], sandbox.folder)
    assert done.code == 0, done
    return study_files(sandbox.path("whole"))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.release)])
def test_killed_workers(
    kills: int, shared: bool, sandbox: Sandbox, cluster: Cluster, whole: dict[str, bytes], rng: random.Random
) -> None:
    """One kill per study, so that no trial is given up: of a machine, of the worker alone, or of a trial's process."""
    study = sandbox.path("killed")
    for _ in range(2):
        cluster.worker(shared=shared)
    for number in range(kills):
        process = cluster.submit("killed")
        cluster.wait_for_trials(process, study, rng)
        victim, how = cluster.workers[rng.randrange(2)], ("machine", "worker", "trial")[number % 3]
        if how == "trial" and (trials := workers(victim.pid)):
            os.kill(trials[0], signal.SIGKILL)
        else:
            cluster.workers.remove(victim)
            kill(victim, machine=how == "machine")
            cluster.worker(shared=shared)
        ended = process.finish()
        assert ended.code == 0, ended.err
        assert study_files(study) == whole
        folders = [Path(trial.manifest["data"]["folder"]) for trial in runs.read_study(study).runs()[0]]
        assert {folder.is_relative_to(sandbox.folder) for folder in folders} == {shared}
        assert len(runs.read_table(study / "timings.csv")) == 4, "a trial was published twice"
        assert not [path for path in study.iterdir() if path.name.startswith(".")]
        runs.remove(study)


def test_a_lost_scheduler(sandbox: Sandbox, cluster: Cluster, whole: dict[str, bytes], rng: random.Random) -> None:
    study = sandbox.path("lost")
    for shared in (True, False):
        cluster.worker(shared=shared)
        process = cluster.submit("lost")
        cluster.wait_for_trials(process, study, rng)
        kill(cluster.scheduler)
        ended = process.finish()
        assert ended.code == 7
        assert (
            f"the scheduler at {cluster.address} is gone; the same command with --name lost continues" in ended.err
        )
        assert runs.read_study(study).state == "interrupted"
        kill(cluster.workers.pop())
        cluster.schedule()
    cluster.worker()
    assert cluster.submit("lost").finish().code == 0
    assert study_files(study) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("shared", [True, False])
def test_a_stopped_command(
    number: int, shared: bool, sandbox: Sandbox, cluster: Cluster, whole: dict[str, bytes], rng: random.Random
) -> None:
    """Its trials end soon, and what they committed is in the study, but for a kill without a shared disk."""
    study = sandbox.path("stopped")
    cluster.worker(shared=shared)
    process = cluster.submit("stopped")
    cluster.wait_for_trials(process, study, rng)
    process.send(number)
    assert process.finish().code == -number
    wait_until(lambda: not running(study))
    if number == signal.SIGINT or shared:
        assert any(trial.state == "interrupted" for trial in runs.read_study(study).runs()[0])
    assert cluster.submit("stopped").finish().code == 0
    assert study_files(study) == whole


def test_a_worker_with_another_version(sandbox: Sandbox, cluster: Cluster, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "optilab", tmp_path / "old" / "optilab")
    init = tmp_path / "old" / "optilab" / "__init__.py"
    init.write_text(init.read_text().replace(__version__, "0.0.1"))
    cluster.worker(PYTHONPATH=str(tmp_path / "old"))
    done = cluster.submit("refused").finish()
    assert done.code == 7
    assert f"is refused: it has optilab 0.0.1 (here {__version__})" in done.err
    assert f"no worker at {cluster.address} can take part" in done.err
    assert "Traceback" not in done.err


RULE = "def halved(w, g, lr: float = 0.1):\n    return w - lr / 2 * g\n"
NETWORK = """\
from torch import nn

def net(shape, classes):
    return nn.Sequential(nn.Conv2d(shape[0], 3, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
"""


def test_own_code_is_sent_along(sandbox: Sandbox, cluster: Cluster) -> None:
    (sandbox.folder / "own" / "mine.py").write_text(RULE)
    (sandbox.folder / "own" / "net.py").write_text(NETWORK)
    cluster.worker(shared=False)
    own = (
        "sweep lab.yaml --set optimizer=own/mine.py:halved --set model=own/net.py:net --seeds 2 --epochs 2 --name"
    )
    for argv in ([*own.split(), "without"], cluster.argv("with", own)):
        done = run_process(argv, sandbox.folder)
        assert done.code == 0, done.err
    assert study_files(sandbox.path("with")) == study_files(sandbox.path("without"))
