"""Run directories: claimed by one rename, written durably, readable at any moment.

Imports neither pydantic nor NumPy: `optilab runs ls` reads directories and nothing else.
"""

from optilab.runs.directory import (
    Run,
    checkpoint_file,
    checkpoints,
    claim,
    keep_checkpoints,
    read_checkpoint,
    remove,
    reopen,
    require_free,
    write,
)
from optilab.runs.files import make_folder, read_regular, write_atomic
from optilab.runs.names import chosen_name, new_name, resume_command, root, run_name, timestamp
from optilab.runs.place import age, entries, locate, select
from optilab.runs.record import STUDY, TRIALS, Record, Study, directories, is_ours, read, read_entry, read_study
from optilab.runs.study import OpenStudy, open_study
from optilab.runs.tables import (
    Row,
    best,
    outcome,
    read_metrics,
    read_records,
    read_table,
    read_timings,
    record_line,
    table,
)

__all__ = [
    "STUDY",
    "TRIALS",
    "OpenStudy",
    "Record",
    "Row",
    "Run",
    "Study",
    "age",
    "best",
    "checkpoint_file",
    "checkpoints",
    "chosen_name",
    "claim",
    "directories",
    "entries",
    "is_ours",
    "keep_checkpoints",
    "locate",
    "make_folder",
    "new_name",
    "open_study",
    "outcome",
    "read",
    "read_checkpoint",
    "read_entry",
    "read_metrics",
    "read_records",
    "read_regular",
    "read_study",
    "read_table",
    "read_timings",
    "record_line",
    "remove",
    "reopen",
    "require_free",
    "resume_command",
    "root",
    "run_name",
    "select",
    "table",
    "timestamp",
    "write",
    "write_atomic",
]
