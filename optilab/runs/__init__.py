"""A run directory: claimed by one rename, written durably, readable at any moment.

Imports neither pydantic nor NumPy: `optilab runs ls` reads directories and nothing else.
"""

from optilab.runs.directory import (
    STUDY,
    Record,
    Run,
    checkpoints,
    chosen_name,
    claim,
    directories,
    locate,
    new_name,
    read,
    read_checkpoint,
    records,
    remove,
    reopen,
    require_free,
    root,
    run_name,
    timestamp,
    write,
)
from optilab.runs.files import write_atomic
from optilab.runs.tables import Row, best, read_records, read_table, record_line, table

__all__ = [
    "STUDY",
    "Record",
    "Row",
    "Run",
    "best",
    "checkpoints",
    "chosen_name",
    "claim",
    "directories",
    "locate",
    "new_name",
    "read",
    "read_checkpoint",
    "read_records",
    "read_table",
    "record_line",
    "records",
    "remove",
    "reopen",
    "require_free",
    "root",
    "run_name",
    "table",
    "timestamp",
    "write",
    "write_atomic",
]
