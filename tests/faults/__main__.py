"""`python -m tests.faults`: every fault test at its full size, and the table of figures (a quarter of an hour)."""

import sys

import pytest

from tests.faults.conftest import EVERYTHING

sys.exit(pytest.main(["tests/faults", "-m", EVERYTHING, "-q", *sys.argv[1:]]))
