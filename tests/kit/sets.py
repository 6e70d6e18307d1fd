"""Which tests README's command runs, and which every push runs besides."""

import pytest

PUSH = (
    "cli/",
    *(f"commands/test_{name}" for name in (
        "claims", "diagnose_remedy", "documents", "hostile", "lr", "paths_chart", "play", "race_page", "report",
        "training_chart",
    )),
    "data/test_data.py::test_killed_fetch",
    *(f"faults/test_{name}" for name in (
        "concurrency", "damaged", "disks", "diverged", "drawn_input", "every_call", "foreign", "hostile", "standard",
        "stops", "workers", "killed_study.py::test_a_killed_study_is_the_same_study",
    )),
    "loop/test_watch.py::test_a_watched_network_compiles_alike",
    "optimize/test_javascript.py",
    "optimize/test_own.py",
    "runs/test_runs.py::test_a_long_path_streams_to_its_file",
    "runs/test_runs.py::test_nothing_is_writable_by_others",
    "show/test_accessible.py",
    "show/test_pictures.py",
    "study/test_benchmark.py",
    "study/test_diff.py::test_real_trainings",
    "study/test_sweep.py::test_a_confirmation",
    "study/test_sweep.py::test_what_",
    "test_conftest.py",
    "test_docs.py",
    "test_lab.py",
    "test_readme.py",
    "test_start.py",
    *(f"test_transcripts.py::test_transcript[{name}]" for name in (
        "check", "confirmed", "own-networks", "plots", "race", "sweep", "train", "verify",
    )),
    *(f"train/test_{name}" for name in (
        "curvature", "device", "own_", "published_study", "ramp", "train_command",
    )),
    "verify/test_classroom.py",
    "verify/test_compare.py::test_slip_is_found_and_named",
    "verify/test_sandbox.py",
)  # fmt: skip
"""Beginnings of the names of tests that the README's command leaves out: they start processes, train for long, open
pages, or need a program besides Python. Every push runs them all the same."""

COLLECTED = pytest.StashKey[dict[str, set[str]]]()
"""The markers of every test, also of those that this session leaves out."""


def few_or_many(few: int, many: int) -> pytest.MarkDecorator:
    """The argument `examples` of a test that draws its input: few at a push, many before a release."""
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.release)])
