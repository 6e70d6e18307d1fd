"""The entry point: one place where errors become text and an exit status."""

import contextlib
import gc
import os
import signal
import sys
import traceback

from optilab.errors import ExitCode, OptilabError, printable
from optilab.signals import Interrupted, die_of, interruptible


def main() -> None:
    """Run the command line and leave with a documented exit status (see `ExitCode`)."""
    if hasattr(signal, "SIGPIPE"):  # `| head` ends a command as it ends any other; `train` goes on
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # A start makes many objects, and all of them stay: to look for garbage among them takes a twentieth of it.
    gc.set_threshold(100_000)
    status = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        status = _say(f"cannot write the output: {error.strerror}", ExitCode.SYSTEM)
        # Nothing more can be written: do not let the interpreter try again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _run() -> int:
    interruptible()
    try:
        from optilab.cli import build

        return int(build(sys.argv[1:])(prog_name="optilab", standalone_mode=False) or 0)
    except OptilabError as error:
        return _say(str(error), error.code, error)
    except Interrupted:
        die_of(signal.SIGINT)
        return 128 + signal.SIGINT
    except OSError as error:
        return _say(f"{error.filename or 'the output'}: {error.strerror or error}", ExitCode.SYSTEM)
    except MemoryError:
        return _say("not enough memory; a smaller model or batch would need less", ExitCode.SYSTEM)
    except Exception as error:
        from optilab.cli import usage_error

        if (text := usage_error(error)) is not None:
            return _say(text, ExitCode.USAGE)
        if os.environ.get("OPTILAB_DEBUG"):
            traceback.print_exc()
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"a bug in optilab: {what} (OPTILAB_DEBUG=1 shows where)", ExitCode.BUG)


def _say(text: str, code: int, error: OptilabError | None = None) -> int:
    """Report an error: as text on stderr, and with `--json` as a document on stdout too."""
    print("optilab:", "\n".join(map(printable, text.split("\n"))), file=sys.stderr)
    if "--json" in sys.argv[1:]:
        from optilab.console import document

        facts = {"code": int(code), "message": text, "where": None} if error is None else error.document()
        with contextlib.suppress(OSError):  # the text has been printed; `main` reports a stdout that is full
            document({**(error.facts if error else {}), "error": facts})
    return int(code)


if __name__ == "__main__":
    main()
