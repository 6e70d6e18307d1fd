"""`optilab diagnose`: what a training has recorded (evidence), its causes, and the verdict."""

from optilab.diagnose.evidence import TRIAL_BATCHES, Evidence, Setup, Stability, of_loop, of_run, unrecorded
from optilab.diagnose.verdict import CAUSES, Finding, Severity, commands, diagnose
