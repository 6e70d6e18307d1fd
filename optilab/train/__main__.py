"""A worker of a study where processes are not forked: `python -P -m optilab.train`, started by `system.start`.

It joins before PyTorch is imported, so that the study does not wait.
"""

import os
import signal
import sys

from optilab import system


def main() -> None:
    """Answer the tasks of the study, until it ends the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the study gets Ctrl-C
    study = system.join(sys.argv[1])
    from optilab.train.worker import serve

    serve(study)
    os._exit(0)  # threads of a user's code may never end


if __name__ == "__main__":
    main()
