"""The tests themselves: nothing of the user's reaches them, and where CI is set none is skipped."""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.faults.test_foreign_files import tree
from tests.kit.command import ROOT
from tests.kit.idx import write_idx_dataset
from tests.kit.sets import COLLECTED, PUSH


def outcome_of(*tests, **changes):
    """What pytest prints of tests, in a process of its own that has an environment with `changes`."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTEST_XDIST_WORKER", "CI")}
    options = (
        "-q -n 0 -p no:cacheprovider -p tests.conftest --noconftest -c pyproject.toml"  # for tests elsewhere, too
    )
    environment = {**inherited, **{name: str(value) for name, value in changes.items()}}
    command = [sys.executable, "-m", "pytest", *options.split(), *map(str, tests)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_no_setting_of_the_user_reaches_a_test():
    assert [name for name in os.environ if name.startswith(("OPTILAB_", "XDG_"))] == []
    assert Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir)


FINDS_A_COPY = """
from pathlib import Path
from optilab.data.catalog import DATASETS, find

def test_finds_a_copy():
    assert find(DATASETS["fashion-mnist"]).is_relative_to(Path.home())
"""


@pytest.mark.parametrize("place", ["cache", "named"])
def test_what_the_user_has_is_not_touched(place, optilab, tmp_path):
    """Tests whose commands remove runs and find FashionMNIST, by a user who has both."""
    mine = tmp_path / "mine"
    optilab("optimize", "sgd", "--name", "old", "--runs-dir", mine / "runs", "--quiet")
    manifest = mine / "runs" / "old" / "manifest.json"
    manifest.write_text(re.sub(r'"created": "\d+', '"created": "2020', manifest.read_text()))
    write_idx_dataset(mine / "optilab" / "fashion-mnist")
    (tmp_path / "test_finds.py").write_text(FINDS_A_COPY)
    before = tree(tmp_path)
    shown = outcome_of(
        "tests/faults/test_foreign_files.py::test_foreign_directories_are_left_alone[another_tools_run]",
        "tests/test_conftest.py::test_no_setting_of_the_user_reaches_a_test",
        tmp_path / "test_finds.py",
        "-m",
        "",
        OPTILAB_RUNS=mine / "runs",
        HOME=mine,
        **({"XDG_CACHE_HOME": mine} if place == "cache" else {"OPTILAB_DATA": mine / "optilab"}),
        PYTHONDONTWRITEBYTECODE=1,
    )
    assert tree(tmp_path) == before
    assert re.search(r"^3 passed", shown, flags=re.MULTILINE), shown


LACKING = {
    "tool": """
        import shutil, pytest

        @pytest.mark.skipif(shutil.which("nosuch") is None, reason="no tool")
        def test_with_a_mark(): ...

        def test_with_a_call():
            pytest.skip("no namespaces")

        @pytest.mark.xfail
        def test_that_is_expected_to_fail():
            assert False
    """,
    "package": """
        import pytest
        pytest.importorskip("nosuch")
    """,
}


@pytest.mark.parametrize("ci", ["", "true"])
def test_where_ci_is_set_a_skipped_test_has_failed(ci, tmp_path):
    files = [tmp_path / f"test_{name}.py" for name in LACKING]
    for file, text in zip(files, LACKING.values(), strict=True):
        file.write_text(dedent(text))
    shown = outcome_of("--continue-on-collection-errors", *files, CI=ci)
    expected = ("1 failed", "1 xfailed", "2 errors") if ci else ("3 skipped", "1 xfailed")
    assert ", ".join(expected) + " in" in shown
    assert shown.count("; CI must not skip") >= 3 or not ci


def test_the_halves_add_up_to_the_whole(request):
    """What README's command runs, and what .ci/run adds; and each name in PUSH is that of a test.

    Of the tests that this session has collected; .ci/run collects all.
    """
    collected, options = request.config.stash[COLLECTED], request.config.getini("addopts")
    (push,) = re.findall(r'^push="(.*?)"', (ROOT / ".ci" / "nightly").read_text(), flags=re.MULTILINE)
    markers = [line.partition(":")[0] for line in request.config.getini("markers")]
    short, rest, whole = (
        {name for name, marks in collected.items() if eval(expression, {mark: mark in marks for mark in markers})}
        for expression in (options[options.index("-m") + 1], "push", push)
    )
    assert not short & rest
    assert short | rest == whole
    files = {name.partition("::")[0].removeprefix("tests/") for name in collected}
    names = [name.removeprefix("tests/") for name in rest]
    for start in PUSH:
        assert list((ROOT / "tests").glob(f"{start.partition('::')[0]}*")), start
        if any(file.startswith(start.partition("::")[0]) for file in files):
            assert any(name.startswith(start) for name in names), start


def test_the_readme_of_the_kit_names_its_modules():
    readme = (ROOT / "tests" / "kit" / "README.md").read_text()
    assert len(readme.splitlines()) <= 40
    for folder in ("kit", "oracles"):
        files = [path.name for path in (ROOT / "tests" / folder).glob("*.py")]
        assert [name for name in files if f"`{name}`" not in readme] == []


def test_what_the_tests_name_is_there():
    """The file that reads a table, and a test below each heading; and no test imports what measures."""
    for path in (ROOT / "tests").rglob("*.yaml"):
        for reader in re.findall(r"Read by (\S+\.py)", path.read_text()):
            assert (ROOT / reader).is_file(), path
    for path in (ROOT / "tests").rglob("*.py"):
        assert not re.search(r"^# --- .* -{9,}\n\s*(?:# --- |\Z)", path.read_text(), flags=re.MULTILINE), path
        assert not re.search(r"^\s*(?:from|import) docs\b", path.read_text(), flags=re.MULTILINE), path
