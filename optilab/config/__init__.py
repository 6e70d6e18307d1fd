"""YAML and command-line overrides -> one frozen, typed value."""

SCHEMAS = {
    "optimize": ("optimize", "OptimizeConfig"),
    "train": ("training", "TrainConfig"),
    "sweep": ("study", "SweepConfig"),
    "remedy": ("study", "RemedyConfig"),
    "race": ("study", "TrainingRaceConfig"),
    "check": ("claims", "CheckFile"),
}
"""Command -> module and class of its schema, imported when it is asked for: `optimize` does not pay for `train`."""
FUNCTION_RACE = "race on test functions"
"""A schema without files: of the options of a race on functions, and of its entries in a file of claims."""
DEFINITIONS = {**{kind: name for kind, (_, name) in SCHEMAS.items()}, FUNCTION_RACE: "FunctionRaceConfig"}
"""The name of each schema in the JSON Schema that is shipped."""
