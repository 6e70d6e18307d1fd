"""Whether the machine is busy, so that the threads of a training wait for each other instead of gaining anything."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from optilab.call import Call

PRESSURE = Path("/proc/pressure/cpu")
"""How much of the last ten seconds some process waited for a core, in percent, as Linux counts it."""
BUSY = 25.0
"""The percentage above which the machine is busy; trainings that have a core per thread keep nobody waiting."""
SPIN = {"busy": 1000, "calm": 10_000, "unknown": 4000}
"""How often OpenMP's threads, which wait for each other hundreds of times per epoch, look before they sleep.

By itself OpenMP looks for milliseconds, in which a neighbor that wants the core waits as well: an epoch then takes 2
to 30 times as long as with one thread. On 2 cores (tests/benchmarks/threads.py): with 10,000 an idle machine loses less
than 5%, with 4000 about 10%, with 1000 a half; next to ten busy processes an epoch takes 4.6, 2.3 and at most 2 times
as long as with one thread. No number of a run depends on it.
"""
CROWDED = 0.7
"""CPU time over wall time of the thread that trains: near 1 on an idle machine; below this it waits for others."""
FIRST_LOOK, FIRST_BATCHES = 2.0, 5
"""Seconds of training, and batches, after which these times are compared first."""


def spin_count(pressure: Path = PRESSURE) -> int:
    """The value of GOMP_SPINCOUNT that suits this machine now."""
    try:
        waited = re.match(r"some avg10=([\d.]+)", pressure.read_text())
    except OSError:
        waited = None
    if waited is None:
        return SPIN["unknown"]
    return SPIN["busy" if float(waited[1]) > BUSY else "calm"]


class Crowding:
    """Whether other processes keep the threads of a training waiting, from wall and CPU time of the one that trains.

    Only what passes between two batches of an epoch counts, not evaluation and files. The first look is after two
    seconds, each later one after twice as long as the one before, and is about what came since: a burst of a few
    seconds in a long training is no reason to change it. `one_thread` gives the command to type instead.
    """

    def __init__(self, threads: int, one_thread: Callable[[], Call]) -> None:
        self._threads, self._one_thread = threads, one_thread
        self._began = time.perf_counter(), time.process_time()
        self._last = (0.0, 0.0)
        self._wall = self._cpu = 0.0
        self._batches, self._look = 0, FIRST_LOOK

    def batch(self, done: int) -> str:
        """Note that a batch of the epoch, the first being 1, is done: advice, once, or an empty text."""
        if self._threads == 1:
            return ""
        (wall, cpu), self._last = self._last, (time.perf_counter(), time.thread_time())
        if done == 1:
            return ""
        self._wall += self._last[0] - wall
        self._cpu += self._last[1] - cpu
        self._batches += 1
        if self._wall < self._look or self._batches < FIRST_BATCHES:
            return ""
        share, seconds = self._cpu / self._wall, self._wall / self._batches
        self._wall = self._cpu = 0.0
        self._batches, self._look = 0, 2 * self._look
        return self._advice(share, f" ({seconds:.2g} s per batch)")

    def stuck(self) -> str:
        """The same where the first batches take so long that nothing is known of one, from the time of all threads."""
        share = (time.process_time() - self._began[1]) / (time.perf_counter() - self._began[0])
        return self._advice(share, "") if self._threads > 1 and not self._batches else ""

    def _advice(self, share: float, of_what: str) -> str:
        if share > CROWDED:
            return ""
        threads, self._threads = self._threads, 1  # say it once
        return (
            f"the machine is busy: the {threads} threads of this run wait for {1 - share:.0%} of the time{of_what}; "
            f"one thread may be faster: press Ctrl-C, then type: {self._one_thread()}"
        )
