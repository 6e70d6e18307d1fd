"""Checks of the inputs."""

from optilab.diagnose.check import Observation, check
from optilab.diagnose.evidence import Evidence

MIN_INPUT_RMS, MAX_INPUT_RMS = 0.01, 10.0
"""Root mean square of the inputs; pixels divided by 255 have 0.35, standardized ones 1."""


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
    bound = f"below {MIN_INPUT_RMS:g} or above {MAX_INPUT_RMS:g}"
    certain = not evidence.probe_run and evidence.skill < MIN_FULL_SKILL
    return Observation(
        text, {"input_rms": size}, (("data.normalize={scale: 255}",),), bound, "0.1 to 3", certain=certain
    )
