"""`optilab diagnose`: what a training has recorded (evidence), its checks, and the verdict."""

from optilab.diagnose.evidence import TRIAL_BATCHES, Evidence, Setup, Stability, as_written_now, of_run, unrecorded
from optilab.diagnose.verdict import CHECKS, Finding, Severity, commands, diagnose
