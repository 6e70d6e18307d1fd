"""`optilab env`: what a bug report needs."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from annotated_doc import Doc

from optilab.commands.answer import Answer
from optilab.commands.options import QUIET, SilentOptions
from optilab.commands.verb import Place, Verb
from optilab.marks import Flag
from optilab.runs.provenance import provenance

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "matplotlib",
    "pydantic",
    "typer",
    "rich",
    "distributed",
    "optuna",
    "scikit-learn",
    "tensorboard",
    "mlflow",
    "pandas",
    "polars",
    "pyarrow",
    "jax",
    "optax",
    "pytorch_optimizer",
)
"""Those that optilab always needs, then extras and the libraries that rules are compared with."""

SETTINGS = ("OPTILAB_RUNS", "OPTILAB_DATA", "OPTILAB_DEBUG")


class Env(SilentOptions):
    """Print the versions, the machine and the environment variables that a bug report needs."""

    EXAMPLES = ("optilab env", "optilab env --json")

    quiet: Annotated[bool, Flag(names=QUIET.names, hidden=True), Doc("Print nothing")] = False


@dataclass(frozen=True, repr=False)
class Environment(Answer):
    """Facts by part: versions, machine, environment."""

    facts: Mapping[str, Any]

    @property
    def headline(self) -> str:
        return f"optilab {self.facts['versions']['optilab']}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"name": key, "value": value} for part in self.facts.values() for key, value in part.items()]

    def parts(self) -> Iterable[str]:
        return (f"{row['name']:17} {row['value']}" for row in self.rows)

    def document(self) -> Mapping[str, Any]:
        return self.facts


def env(request: Env, place: Place) -> Environment:
    facts = provenance([], [])
    del facts["argv"], facts["git"]
    facts["environment"] |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    for name in PACKAGES:
        try:
            facts["versions"][name] = version(name)
        except PackageNotFoundError:
            facts["versions"][name] = "not installed"
    return Environment(facts)


VERB = Verb(env, (Env,))
