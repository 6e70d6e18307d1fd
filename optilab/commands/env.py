"""`optilab env`: the facts of a bug report."""

import os
from importlib.metadata import PackageNotFoundError, version

from optilab.answer.answer import SimpleAnswer
from optilab.request.options import SilentOptions
from optilab.request.request import Place
from optilab.runs.provenance import provenance

PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "matplotlib", "pydantic", "typer", "rich", "distributed", "optuna",
    "scikit-learn", "tensorboard", "pandas", "pyarrow", "jax", "optax", "pytorch_optimizer",
)  # fmt: skip
"""Packages that optilab always needs, then extras and the libraries that rules are compared with."""

SETTINGS = ("OPTILAB_RUNS", "OPTILAB_DATA", "OPTILAB_DEBUG")


class Env(SilentOptions):
    """Print the versions, the machine and the environment variables that a bug report needs."""

    EXAMPLES = ("optilab env", "optilab env --json")

    def run(self, place: Place) -> SimpleAnswer:
        facts = provenance([], [])
        del facts["argv"], facts["git"]
        facts["environment"] |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
        for name in PACKAGES:
            try:
                facts["versions"][name] = version(name)
            except PackageNotFoundError:
                facts["versions"][name] = "not installed"
        return SimpleAnswer(
            [f"{name:17} {value}" for part in facts.values() for name, value in part.items()], facts
        )


COMMAND = Env
