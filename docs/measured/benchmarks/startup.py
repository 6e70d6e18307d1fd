"""python -m tests.benchmarks.startup: what a user waits for before a short command has answered.

Each command runs as a process of its own, in turns, so that a busy machine slows all of them alike. Printed are the
median wall time and the median CPU time, which depends less on what else the machine does.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "optilab --help": ["-m", "optilab", "--help"],
    "optilab optimize": ["-m", "optilab", "optimize", "--algo", "adam", "--epochs", "30"],
    "optilab runs ls": ["-m", "optilab", "runs", "ls"],
    "optilab config check": ["-m", "optilab", "config", "check", "sigmoid.yaml"],
}
ROUNDS = 11


def timed(arguments: list[str], folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of one process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def main() -> None:
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, arguments in COMMANDS.items():
                seconds[name].append(timed(arguments, folder))
    print(f"{'command':22}   wall    CPU")
    for name, measured in seconds.items():
        wall, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name:22} {wall:5.2f} s {cpu:5.2f} s")


if __name__ == "__main__":
    main()
