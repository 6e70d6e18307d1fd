"""`optilab env`: what a bug report needs."""

from optilab.cli.options import Json, Silent, only_one

EXAMPLES = """\b
Examples:
  optilab env
  optilab env --json
"""

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


def env(json_: Json = False, quiet: Silent = False) -> None:
    """Print the versions, the machine and the settings that a bug report needs; no library is imported for it."""
    import os
    from importlib.metadata import PackageNotFoundError, version

    from optilab.runs.record import provenance
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    facts = provenance([], [])
    del facts["argv"], facts["git"]
    facts["environment"] |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    for name in PACKAGES:
        try:
            facts["versions"][name] = version(name)
        except PackageNotFoundError:
            facts["versions"][name] = "not installed"
    if json_:
        terminal.document(facts)
    elif not quiet:
        for part in facts.values():
            for key, value in part.items():
                terminal.say(f"{key:17} {value}")
