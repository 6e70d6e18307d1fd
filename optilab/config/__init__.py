"""YAML and command-line overrides -> one frozen, typed value."""

SCHEMAS = {
    "optimize": ("optimize", "OptimizeConfig"),
    "train": ("training", "TrainConfig"),
    "sweep": ("study", "SweepConfig"),
    "remedy": ("study", "RemedyConfig"),
    "benchmark": ("study", "BenchmarkConfig"),
    "race": ("study", "RaceConfig"),
    "check": ("claims", "CheckFile"),
}
"""Command -> module and class of its schema, imported when it is asked for: `optimize` does not pay for `train`."""
