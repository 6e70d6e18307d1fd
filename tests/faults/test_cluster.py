"""Studies on a cluster under fire: a real scheduler and real workers on this machine, with and without a shared disk.

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
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from optilab import __version__, runs
from optilab.errors import CheckpointError
from optilab.study import cluster_worker
from tests.faults.harness import ROOT, environment, fresh, run, until
from tests.faults.test_studies import running, workers
from tests.study.test_sweep import files

pytest.importorskip("distributed")

OVER = ["--over", "optimizer.lr=0.001,0.01", "--seeds", "2", "--epochs", "6", "--set", "data.batch_size=4"]
KILLS = [
    pytest.param(1, False, id="1-apart"),
    *(
        pytest.param(kills, shared, marks=pytest.mark.slow)
        for kills, shared in ((1, True), (10, True), (10, False))
    ),
]
"""On a shared disk the fast suite loses the scheduler, and a worker whose trials another one continues there."""
RULE = """
def halved(w, g, lr: float = 0.1):
    return w - lr / 2 * g
"""


def argv(name: str, *more: str) -> list[str]:
    return ["sweep", "lab.yaml", *OVER, "--quiet", "--name", name, *more]


class Machines:
    """A scheduler and its workers, each a process; a worker `apart` sees empty folders in place of the lab's."""

    def __init__(self, lab, folder: Path, scheme: str = "tcp", **env: str) -> None:
        self.lab, self.folder, self.workers, self.env = lab, folder, list[subprocess.Popen](), env
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"
        self.schedule()

    def schedule(self) -> None:
        """Start the scheduler, and wait until it answers."""
        self.scheduler = self.start("scheduler", "--host", self.address, "--no-dashboard")
        until(self.answers)

    def answers(self) -> bool:
        host, port = self.address.partition("://")[2].split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return True
        return False

    def start(self, kind: str, *options: str, before: tuple[str, ...] = (), **more: str) -> subprocess.Popen:
        command = [*before, sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        with (self.folder / f"{kind}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment(**self.env, **more),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def worker(self, shared: bool, *preload: str, **more: str) -> None:
        hidden = " && ".join(f"mount -t tmpfs none {self.lab.folder}/{name}" for name in ("runs", "data", "own"))
        before = () if shared else ("unshare", "-rm", "sh", "-c", f'{hidden} && exec "$@"', "sh")
        options = [
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
            "--local-directory",
            str(self.folder),
            *preload,
        ]
        self.workers.append(self.start("worker", self.address, *options, before=before, **more))

    def busy(self, study: Path) -> bool:
        """Whether a trial is being written, in the study or on a worker's own disk."""
        apart = self.folder.glob("dask-scratch-space/*/study-*/runs")
        with contextlib.suppress(CheckpointError):  # a run that is being removed
            return any(running(folder) for folder in [study, *apart])
        return False


def kill(process: subprocess.Popen, whole_machine: bool = True) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if whole_machine else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def undisturbed(lab):
    """The study without a cluster."""
    assert run(argv("without"), lab.folder).code == 0
    return files(lab.folder / "runs" / "without")


@pytest.fixture
def machines(lab, tmp_path, needs) -> Iterator[Machines]:
    needs("unshare")
    for name in ("runs", "own"):
        (lab.folder / name).mkdir(exist_ok=True)
    made = Machines(lab, tmp_path)
    yield made
    for process in [*made.workers, made.scheduler]:
        kill(process)


def in_a_trial(process, machines: Machines, study: Path, chance: random.Random) -> bool:
    """Wait until trials run, and a random time more; False if the command has ended."""
    while process.alive() and not (study.is_dir() and machines.busy(study)):
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.2))
    return process.alive()


@pytest.mark.parametrize(("kills", "shared"), KILLS)
def test_workers_are_killed_in_trials(kills, shared, lab, machines, undisturbed, figure, drawn):
    """One kill per study, so that no trial is given up: of a machine, of the worker alone, or of a trial's process."""
    chance, hits, studies = drawn(20), 0, 0
    for _ in range(2):
        machines.worker(shared)
    while hits < kills:
        studies += 1
        name = f"killed-{shared}-{kills}-{studies}"
        study = lab.folder / "runs" / name
        process = fresh(argv(name, "--cluster", machines.address), lab.folder)
        if in_a_trial(process, machines, study, chance):
            victim = machines.workers[chance.randrange(2)]
            how = chance.choice(["machine", "worker", "trial"]) if kills > 1 else "machine"
            if how == "trial" and (trials := workers(victim.pid)):
                os.kill(trials[0], signal.SIGKILL)
            else:
                machines.workers.remove(victim)
                kill(victim, whole_machine=how == "machine")
                machines.worker(shared)
            hits += 1
        ended = process.finish()
        assert ended.code == 0, ended.err
        assert files(study) == undisturbed
        folders = {
            str(Path(run.manifest["data"]["folder"]).is_relative_to(lab.folder))
            for run in runs.read_study(study).runs()[0]
        }
        assert folders == {str(shared)}
        assert len(runs.read_table(study / "timings.csv")) == 4, "a trial was published twice"
        assert not [path for path in study.iterdir() if path.name.startswith(".")]
    disk = "a shared disk" if shared else "disks of their own"
    figure("G20", f"workers with {disk} are killed in trials", f"{hits} kills, nothing lost or published twice")


@pytest.mark.parametrize("losses", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_scheduler_is_lost(losses, lab, machines, undisturbed, figure, drawn):
    chance, name = drawn(21), f"lost-{losses}"
    study = lab.folder / "runs" / name
    for loss in range(losses):
        machines.worker(shared=loss % 2 == 0)
        process = fresh(argv(name, "--cluster", machines.address), lab.folder)
        assert in_a_trial(process, machines, study, chance)
        kill(machines.scheduler)
        ended = process.finish()
        assert ended.code == 7
        assert f"the scheduler at {machines.address} is gone; the same command with --name {name}" in ended.err
        assert runs.read_study(study).state == "interrupted"
        kill(machines.workers.pop())
        machines.schedule()
    machines.worker(shared=True)
    assert run(argv(name, "--cluster", machines.address), lab.folder).code == 0
    assert files(study) == undisturbed
    figure("G20", "the scheduler is lost", f"{losses} times, the same command goes on, nothing lost")


@pytest.mark.parametrize(
    ("number", "shared"),
    [
        (signal.SIGINT, False),
        (signal.SIGINT, True),
        (signal.SIGKILL, False),
        (signal.SIGKILL, True),
    ],
)
@pytest.mark.slow
def test_the_command_is_stopped(number, shared, lab, machines, undisturbed, drawn):
    """Its trials end soon, and what they have committed is in the study, but for a kill without a shared disk."""
    name = f"stopped-{number}-{shared}"
    study = lab.folder / "runs" / name
    machines.worker(shared)
    process = fresh(argv(name, "--cluster", machines.address), lab.folder)
    assert in_a_trial(process, machines, study, drawn(22))
    process.send(number)
    assert process.finish().code == -number
    until(lambda: not machines.busy(study))
    if number == signal.SIGINT or shared:
        assert any(run.state == "interrupted" for run in runs.read_study(study).runs()[0])
    assert run(argv(name, "--cluster", machines.address), lab.folder).code == 0
    assert files(study) == undisturbed


def test_a_study_that_welcomes_a_worker_again_still_stops_its_trials(tmp_path):
    """After the death of a trial's process others may run there."""
    worker = SimpleNamespace(local_directory=tmp_path, state=SimpleNamespace(nthreads=2))
    for _ in range(2):
        cluster_worker.welcome("token", str(tmp_path), str(tmp_path), {}, worker)
        running = cluster_worker._guests.setdefault("running", cluster_worker._guests["token"])
    cluster_worker.stop("token")
    assert running.stopping
    for token in ("token", "running"):
        cluster_worker.farewell(token)
    assert not cluster_worker._guests


def test_a_worker_with_another_version_is_refused_and_named(lab, machines, tmp_path):
    shutil.copytree(ROOT / "optilab", tmp_path / "old" / "optilab")
    init = tmp_path / "old" / "optilab" / "__init__.py"
    init.write_text(init.read_text().replace(__version__, "0.0.1"))
    machines.worker(shared=True, PYTHONPATH=str(tmp_path / "old"))
    done = run(argv("refused", "--cluster", machines.address), lab.folder)
    assert done.code == 7
    assert f"is refused: it has optilab 0.0.1 (here {__version__})" in done.err
    assert f"no worker at {machines.address} can take part" in done.err
    assert "Traceback" not in done.err


NETWORK = """
from torch import nn

def net(shape, classes):
    return nn.Sequential(nn.Conv2d(shape[0], 3, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))
"""


def test_a_rule_and_a_network_of_the_users_own_are_sent_along(lab, machines):
    (lab.folder / "own" / "mine.py").write_text(RULE)
    (lab.folder / "own" / "net.py").write_text(NETWORK)
    machines.worker(shared=False)
    command = ["sweep", "lab.yaml", "--set", "optimizer=own/mine.py:halved", "--seeds", "2"]
    command += ["--set", "model=own/net.py:net"]
    command += ["--epochs", "2", "--quiet", "--name"]
    assert run([*command, "own-without"], lab.folder).code == 0
    done = run([*command, "own-with", "--cluster", machines.address], lab.folder)
    assert done.code == 0, done.err
    assert files(lab.folder / "runs" / "own-with") == files(lab.folder / "runs" / "own-without")


BROKEN = """
from optilab.study import cluster_worker

ENDED = {"status": "done", "reason": "", "seconds": 0.1, "outcome": {"epochs": 6, "val_acc": 0.999}}


def dask_setup(worker):
    cluster_worker.work = lambda **call: (ENDED if "name" in call["arguments"] else {"seconds": 1.0, "bytes": 1}, None)
"""


@pytest.mark.slow
def test_a_worker_that_lies_is_refused_and_its_trials_go_to_another(lab, machines, undisturbed, tmp_path):
    """It reports trainings that it has not made; alone it ends the study, which then goes on with a true one."""
    (tmp_path / "broken.py").write_text(BROKEN)
    study = lab.folder / "runs" / "lied-to"
    machines.worker(False, "--preload", str(tmp_path / "broken.py"))
    alone = run(argv("lied-to", "--cluster", machines.address), lab.folder)
    assert alone.code == 7, alone.err
    assert "is refused: it answered what cannot be: no files of the run" in alone.err
    assert "can take part; the same command with --name lied-to continues the study" in alone.err
    assert runs.read_study(study).trials() == []
    machines.worker(False)
    log = tmp_path / "worker-1.log"
    until(lambda: log.exists() and "Registered to" in log.read_text())
    done = fresh(argv("lied-to", "--cluster", machines.address), lab.folder).finish(180)
    assert done.code == 0, done.err
    assert files(study) == undisturbed


def certificates(folder: Path) -> dict[str, str]:
    """An authority and one certificate, as docs/clusters.md has them, and dask's settings for them."""
    script = """
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=optilab-ca -keyout ca-key.pem -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=optilab -keyout key.pem -out request.pem
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 30 -out cert.pem
    """
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True)
    start = "DASK_DISTRIBUTED__COMM__"
    settings = {f"{start}TLS__CA_FILE": str(folder / "ca.pem"), f"{start}REQUIRE_ENCRYPTION": "True"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings[f"{start}TLS__{role}__KEY"] = str(folder / "key.pem")
        settings[f"{start}TLS__{role}__CERT"] = str(folder / "cert.pem")
    return settings


@pytest.mark.slow
def test_a_cluster_with_tls_takes_only_those_who_have_a_certificate(lab, undisturbed, tmp_path, needs):
    needs("openssl")
    env = certificates(tmp_path)
    machines = Machines(lab, tmp_path, "tls", **env)
    try:
        machines.worker(True)
        stranger = run(argv("stranger", "--cluster", machines.address), lab.folder)
        assert stranger.code in (2, 7), stranger.err
        assert "Traceback" not in stranger.err
        assert not (lab.folder / "runs" / "stranger").exists()
        encrypted = argv("encrypted", "--cluster", machines.address)
        done = fresh(encrypted, lab.folder, env=environment(**env)).finish(180)
        assert done.code == 0, done.err
        assert files(lab.folder / "runs" / "encrypted") == undisturbed
    finally:
        for process in [*machines.workers, machines.scheduler]:
            kill(process)


@pytest.mark.parametrize("address", ["nowhere", "gopher://x:1", "tcp://x"])
def test_what_is_not_an_address(address, optilab, small):
    refused = optilab("train", small, "--seeds", 2, "--cluster", address, code=2).stderr
    assert f"--cluster: expected tcp://HOST:PORT or a scheduler file, got '{address}'" in refused


@pytest.mark.parametrize("content", ["", "{}", "tcp://127.0.0.1:8786", '{"address": "tcp'])
def test_what_is_not_a_scheduler_file(content, optilab, small, tmp_path):
    (tmp_path / "scheduler.json").write_text(content)
    refused = optilab("train", small, "--seeds", 2, "--cluster", "scheduler.json", code=2).stderr
    assert "scheduler.json is not a scheduler file with an address" in refused


@pytest.mark.slow
def test_an_address_where_no_scheduler_answers(lab):
    done = run(argv("no-address", "--cluster", "tcp://127.0.0.1:9"), lab.folder)
    assert done.code == 7
    assert "no dask scheduler answers at tcp://127.0.0.1:9; start one with: dask scheduler" in done.err
    assert not (lab.folder / "runs" / "no-address").exists()
