"""`optilab diagnose`: what a training has recorded (evidence), what is wrong (rules), in a sentence (verdict)."""

from optilab.diagnose.evidence import TRIAL_BATCHES, Evidence, Stability, of_run
from optilab.diagnose.rules import CAUSES, Finding, Severity, commands, diagnose

__all__ = [
    "CAUSES",
    "TRIAL_BATCHES",
    "Evidence",
    "Finding",
    "Severity",
    "Stability",
    "commands",
    "diagnose",
    "of_run",
]
