"""The entry point: one place where errors become text and an exit status.

Everything of optilab is imported late, so that `main` comes first: from there on Ctrl-C ends the process silently,
and a module of the working directory is not imported in place of an installed one.
"""

import contextlib
import os
import signal
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from optilab.errors import OptilabError


def main() -> None:
    """Run the command line and leave with a documented exit status (see `ExitCode`)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported nothing needs cleaning up
    _ignore_working_directory()
    from optilab.system import BROKEN_PIPE

    if BROKEN_PIPE is not None:  # `| head` ends a command as it ends any other; `train` goes on
        signal.signal(BROKEN_PIPE, signal.SIG_DFL)
    _open_streams()
    from optilab.errors import ExitCode
    from optilab.signals import ExitGuard

    guard = ExitGuard()
    guard.status = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        guard.status = _report(f"cannot write the output: {error.strerror}", ExitCode.SYSTEM)
        _drop(sys.stdout)
    guard.leave()


def _drop(stream: TextIO) -> None:
    """Drop what is buffered, so that it is not written again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run() -> int:
    import gc

    from optilab import signals
    from optilab.cli import build, usage_error
    from optilab.errors import ExitCode, OptilabError

    stop = signals.Stop()
    try:
        # What a start makes stays: looking for garbage among it, now and when the process ends, takes a seventh of it.
        gc.disable()
        command = build(sys.argv[1:])
        gc.freeze()
        gc.set_threshold(100_000)
        gc.enable()
        signals.interruptible(stop)
        status = int(command(prog_name="optilab", standalone_mode=False) or 0)
    except BaseException as error:
        if stop.requested:  # whatever the interruption has become on its way through other people's code
            signals.die_of(signal.SIGINT)
        if isinstance(error, OptilabError):
            return _report(str(error), error.code, error)
        if not isinstance(error, Exception):
            raise
        if (text := usage_error(error)) is not None:
            return _report(text, ExitCode.USAGE)
        if (text := _system_failure(error)) is not None:
            return _report(text, ExitCode.SYSTEM)
        if os.environ.get("OPTILAB_DEBUG"):
            import traceback

            traceback.print_exc()
        description = " ".join(f"{type(error).__name__}: {error}".split())
        return _report(f"a bug in optilab: {description} (OPTILAB_DEBUG=1 shows where)", ExitCode.BUG)
    if stop.requested:
        signals.die_of(signal.SIGINT)
    return status


def _system_failure(error: Exception) -> str | None:
    """The text of a failure of the system; None for another kind of exception."""
    from optilab.errors import system_text

    # PyTorch says "can't allocate memory" or "cannot allocate memory".
    of_torch = isinstance(error, RuntimeError) and "t allocate memory" in str(error)
    if of_torch or isinstance(error, MemoryError):
        return "not enough memory; a smaller model or batch would need less"
    return system_text(error) if isinstance(error, OSError) else None


def _report(text: str, code: int, error: "OptilabError | None" = None) -> int:
    """Report an error: as text on stderr, and with `--json` as a document on stdout too."""
    from optilab.errors import printable

    try:
        print("optilab:", "\n".join(map(printable, text.split("\n"))), file=sys.stderr, flush=True)
    except OSError:  # a log on a full disk; the exit status still says it
        _drop(sys.stderr)
    if _asks_for_json(sys.argv[1:]):
        from optilab.show.terminal import print_json

        facts = {"code": int(code), "message": text, "where": None} if error is None else error.document()
        try:
            print_json({**(error.facts if error else {}), "error": facts})
        except OSError:  # the text has been printed, and its exit status stays
            _drop(sys.stdout)
    return int(code)


def _asks_for_json(words: list[str]) -> bool:
    return not {"--json", "--format=json"}.isdisjoint(words) or ("--format", "json") in pairwise(words)


# --- what the process starts with --------------------------------------------------------------------------


def _ignore_working_directory() -> None:
    """Under `python -m optilab`, do not import a numpy.py of the working directory.

    Python puts that directory first. It stays only where it is the checkout that holds the package.
    """
    with contextlib.suppress(OSError):  # a working directory that was deleted
        package = os.path.dirname(os.path.abspath(__file__))
        working_directory = os.getcwd()
        started_by_module = sys.argv[:1] == [os.path.join(package, "__main__.py")] and not sys.flags.safe_path
        if (
            started_by_module
            and sys.path[:1] == [working_directory]
            and working_directory != os.path.dirname(package)
        ):
            del sys.path[0]


def _open_streams() -> None:
    """Open /dev/null for each standard stream that is closed, and escape what an encoding does not have."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # else a file of a run would get its descriptor
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
