"""Run directories: claimed by one rename, written durably, readable at any moment.

Imports neither pydantic nor NumPy: `optilab runs ls` reads directories and nothing else.
"""

from optilab.files import Row, output_file, read_regular, table, table_parts, write_atomic
from optilab.runs.directory import (
    OpenStudy,
    Run,
    checkpoint_file,
    checkpoints,
    claim,
    keep_checkpoints,
    open_study,
    read_checkpoint,
    remove,
    reopen,
    replaceable,
    require_free,
    require_made_by_optilab,
    write,
)
from optilab.runs.find import (
    chosen_name,
    directory_name,
    entries,
    is_pattern,
    locate,
    new_name,
    parse_age,
    read_each,
    read_selected,
    run_name,
    select,
    timestamp,
)
from optilab.runs.record import (
    CONFIRMED_DIRECTORY,
    PLAN,
    STUDY_FILE,
    Record,
    Study,
    StudyTrial,
    directories,
    name_of,
    read,
    read_entry,
    read_study,
    read_trial,
    resume_command,
    root,
    sweep_of,
    was_made_by_optilab,
)
from optilab.runs.tables import (
    best,
    best_column,
    outcome,
    read_diagnostics,
    read_metrics,
    read_table,
    read_timings,
)
