"""The provenance of a run, for its manifest: versions, host, git; nothing that could be a secret."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from optilab import __version__

_ENVIRONMENT = (
    "PYTHONHASHSEED",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "ATEN_CPU_CAPABILITY",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
)
_GIT_SECONDS = 2.0


def provenance(argv: Sequence[str], packages: Sequence[str]) -> dict[str, Any]:
    """The provenance of a run, for its manifest. Environment variables by allow-list, so that no secret gets in."""
    versions = {"python": platform.python_version(), "optilab": __version__}
    for package in packages:
        # From the module, which is loaded: importlib.metadata would cost a tenth of a start.
        versions[package] = str(getattr(sys.modules.get(package), "__version__", "not loaded"))
    return {
        "argv": list(argv),
        "versions": versions,
        "host": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "git": git_state(),
    }


@cache
def study_versions() -> dict[str, str]:
    """The versions that all processes of a study must share: the bits of a result may depend on them."""
    return {"optilab": __version__, "torch": version("torch")}


def git_state() -> dict[str, Any]:
    """Commit of the working directory and whether tracked files differ from it, or why that is not known.

    A repository's own config can name programs that `git status` would run; they are switched off.
    """
    try:
        off = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, **_filters_off()}
        status = ["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules"]
        code, output = _git(status, off)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"unavailable": type(error).__name__}
    lines = output.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    if code or commit is None:
        return {"unavailable": "not a git repository"}
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def _filters_off() -> dict[str, str]:
    """Settings under which no content filter runs: each that the config names becomes empty."""
    _, output = _git(["config", "-z", "--name-only", "--get-regexp", r"^filter\."], {})
    keys = filter(None, output.split("\0"))
    return {key: "false" if key.endswith(".required") else "" for key in keys}


def _git(arguments: Sequence[str], settings: Mapping[str, str]) -> tuple[int, str]:
    """Exit status and output of git with these settings, which override every config file."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"}
    # Not `-c KEY=VALUE`: the name of a filter may contain an equals sign.
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    command = ["git", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, env=environment, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")
