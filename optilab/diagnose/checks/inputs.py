"""Checks of the inputs."""

from optilab.diagnose.check import Observation, check
from optilab.diagnose.evidence import Evidence

MIN_INPUT_RMS, MAX_INPUT_RMS = 0.01, 10.0
"""Root mean square of the inputs; pixels divided by 255 have 0.35, standardized ones 1."""


EACH_COLUMN = (
    "standardize each column of the inputs, with means of the training data: x = (x - x.mean(0))/x.std(0)"
)
MIN_FULL_SKILL = 0.8
"""Skill of a network that the scale of its inputs does not harm: it has learned nearly all."""


@check("inputs-out-of-scale", fix="pixels divided by 255")
def inputs_out_of_scale(evidence: Evidence) -> Observation | None:
    """The root mean square of the first batch's inputs is below {MIN_INPUT_RMS} or above {MAX_INPUT_RMS:g} (info at a
    skill of {MIN_FULL_SKILL} or more)."""
    size = evidence.start.get("input_rms")
    if size is None or MIN_INPUT_RMS <= size <= MAX_INPUT_RMS:
        return None
    text = f"the network's inputs have a root mean square of {size:.2g}"
    # Only images are divided by 255.
    columns = evidence.loop.columns
    changes, fix = ((("data.normalize={scale: 255}",),), "") if columns is None else ((), EACH_COLUMN)
    bound = f"below {MIN_INPUT_RMS:g} or above {MAX_INPUT_RMS:g}"
    certain = not evidence.probe_run and evidence.skill < MIN_FULL_SKILL
    return Observation(text, {"input_rms": size}, changes, bound, "0.1 to 3", fix, certain=certain)


MAX_COLUMN_RATIO = 100.0
"""The largest standard deviation of a column of the inputs over the smallest, where the largest is out of scale."""


@check("inputs-out-of-scale", fix="standardize each column of the inputs")
def columns_out_of_scale(evidence: Evidence) -> Observation | None:
    """A column of a loop's inputs has a root mean square above {MAX_INPUT_RMS:g}, and one has
    {MAX_COLUMN_RATIO:g} times the standard deviation of another (info at a skill of {MIN_FULL_SKILL} or more)."""
    columns = evidence.loop.columns
    if columns is None or columns.largest <= MAX_INPUT_RMS or columns.smallest <= 0:
        return None
    if columns.widest < MAX_COLUMN_RATIO * columns.smallest:
        return None
    text = f"column {columns.at} of the inputs has a root mean square of {columns.largest:.3g}, and the standard "
    text += f"deviations of columns are between {columns.smallest:.3g} and {columns.widest:.3g}"
    certain = not evidence.probe_run and evidence.skill < MIN_FULL_SKILL
    numbers = {"largest": columns.largest, "widest": columns.widest, "smallest": columns.smallest}
    bound = f"a ratio above {MAX_COLUMN_RATIO:g}"
    return Observation(text, numbers, (), bound, "below 10", EACH_COLUMN, certain=certain)
