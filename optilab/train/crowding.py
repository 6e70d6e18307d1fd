"""Whether the machine is busy, so that the threads of a training wait for each other instead of gaining anything."""

import time
from collections.abc import Callable

CROWDED = 0.7
"""CPU time over wall time of the thread that trains: near 1 on an idle machine; below this it waits for others."""
FIRST_LOOK, FIRST_BATCHES = 2.0, 5
"""Seconds of training, and batches, after which these times are compared first."""


class Crowding:
    """Whether other processes keep the threads of a training waiting, from wall and CPU time of the one that trains.

    Only what passes between two batches of an epoch counts, not evaluation and files. The first look is after two
    seconds, each later one after twice as long as the one before, and is about what came since: a burst of a few
    seconds in a long training is no reason to change it. `one_thread` gives the command to type instead.
    """

    def __init__(self, threads: int, one_thread: Callable[[], str]) -> None:
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
