"""What the tests share: the command as a user types it."""

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

from optilab.data.catalog import DATASETS, find
from optilab.system import cores
from tests.kit.browser import browser, page
from tests.kit.command import RECORDED, environment, run
from tests.kit.idx import write_idx_dataset
from tests.kit.sets import COLLECTED, PUSH

__all__ = ["browser", "page"]  # fixtures of all tests


def leave_the_user():
    """Give the tests a home of their own, with a copy of the user's FashionMNIST, and none of the user's settings.

    What a test starts cannot reach the user's runs, whatever environment it hands over.
    """
    dataset = DATASETS["fashion-mnist"]
    fetched = find(dataset)
    home = tempfile.mkdtemp(prefix="optilab-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    if fetched and fetched != dataset.package_directory:
        shutil.copytree(fetched, Path(home, ".cache", "optilab", dataset.name))
    for name in [name for name in os.environ if name.startswith(("OPTILAB_", "XDG_", "NO_COLOR", "COLUMNS"))]:
        del os.environ[name]
    os.environ["HOME"] = home


if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has the environment of the process that started it
    leave_the_user()

# The same examples in every run, however busy the machine is; `--hypothesis-seed` draws others.
hypothesis.settings.register_profile(
    "optilab", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("optilab")

# Threads of PyTorch that wait sleep at once: next to other tests, spinning makes a training many times slower. The
# numbers do not depend on it. Read when torch is imported, which no test does before this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core runs tests

# What is in memory outlives a process, and no test pulls the plug. Which files are synced, and when, is a list in
# faults/test_every_call.py.
os.fsync = lambda descriptor: None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items, config):
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if (name.startswith(PUSH) or "browser" in item.fixturenames) and not any(
            item.get_closest_marker(marker) for marker in ("nightly", "release", "gpu")
        ):
            item.add_marker("push")
    config.stash[COLLECTED] = {item.nodeid: {mark.name for mark in item.iter_markers()} for item in items}


if "PYTEST_XDIST_WORKER" in os.environ:
    gc.disable()  # until everything is imported and collected, which stays to the end


def pytest_collection_finish():
    """The collector of garbage looks only at what a test makes: to look at all the others takes half a second."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter, config):
    if "not push" in config.option.markexpr:
        terminalreporter.write_line("The rest of what every push runs: python -m pytest -m push")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are cores: a test also waits, for processes and for a browser."""
    return cores() + 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return never_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return never_skipped_in_ci((yield))


def never_skipped_in_ci(report):
    """A report that has failed, where CI is set, if it was skipped: a test that lacks a tool has tested nothing."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"{report.longrepr[2]}; CI must not skip"
    return report


def pytest_addoption(parser):
    parser.addoption("--accept", action="store_true", help="write tests/recorded again")


@pytest.fixture(scope="session", autouse=True)
def signals_as_at_a_terminal():
    """What `nohup` and a script's `&` have left ignored would be ignored by every child."""
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        if (number := getattr(signal, name, None)) and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def numerics_afterwards():
    """What a training sets for the whole process: torch's default type, and that denormals count as zero."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(False)


@pytest.fixture
def optilab(tmp_path):
    """`optilab ARGUMENTS` in an empty directory, with the exit status `code`: `run` of tests/kit/command.py.

    Names in capitals are variables of its environment.
    """

    def call(*arguments, how="here", cwd=tmp_path, code=0, **more):
        variables = {name: value for name, value in more.items() if name.upper() == name}
        options = {name: value for name, value in more.items() if name not in variables}
        return run(arguments, cwd, how, code, environment(**variables), **options)

    return call


@pytest.fixture
def recorded(request):
    """The text of a file of tests/recorded; with `--accept` it is first written again, as `now`."""

    def read(name, now):
        if request.config.getoption("--accept"):
            (RECORDED / name).write_text(now)
        return (RECORDED / name).read_text()

    return read


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small dataset in the real format, and a config that trains on it in no time."""
    folder = write_idx_dataset(tmp_path_factory.mktemp("data"))
    config = folder / "small.yaml"
    config.write_text(
        f"model: {{hidden: [16, 16]}}\ndata: {{dataset: idx, dir: {folder}, batch_size: 32}}\n"
        "optimizer: {name: sgd, lr: 0.1}\nepochs: 3\nthreads: 1\ndevice: cpu\n"
    )
    return config
