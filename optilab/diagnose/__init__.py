"""`optilab diagnose`: what a training has recorded (evidence), its checks, and the verdict."""

from optilab.diagnose.checks import CHECKS
from optilab.diagnose.evidence import (
    PROBE_BATCHES,
    Evidence,
    Setup,
    Stability,
    evidence_of,
    reason_unreadable,
)
from optilab.diagnose.verdict import Finding, Severity, commands, diagnose
