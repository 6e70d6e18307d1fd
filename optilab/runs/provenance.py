"""Where a run comes from, for its manifest: versions, host, git; nothing that could be a secret."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from optilab import __version__

_ENVIRONMENT = (
    "PYTHONHASHSEED",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "ATEN_CPU_CAPABILITY",
)
_GIT_SECONDS = 2.0


def provenance(argv: Sequence[str], packages: Sequence[str]) -> dict[str, Any]:
    """Where a run comes from, for its manifest. Environment by allow-list: no secret gets in."""
    versions = {"python": platform.python_version(), "optilab": __version__}
    for package in packages:
        # Asked of the module, which is loaded: importlib.metadata costs a tenth of a start.
        versions[package] = str(getattr(sys.modules.get(package), "__version__", "not loaded"))
    return {
        "argv": list(argv),
        "versions": versions,
        "host": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "git": git_state(),
    }


def git_state() -> dict[str, Any]:
    """Commit of the working directory and whether tracked files differ from it, or why that is not known.

    A repository's own config can name programs that `git status` would run; they are switched off.
    """
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"unavailable": type(error).__name__}
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    if done.returncode or commit is None:
        return {"unavailable": "not a git repository"}
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}
