"""`python -m tests.faults`: every fault test at its full size, and the table of figures (about half an hour)."""

import sys

import pytest

sys.exit(pytest.main(["tests/faults", "-m", "slow or not slow", "-q", *sys.argv[1:]]))
