"""The training of networks; with `loop`, the only package that imports torch."""

import os

SPIN_COUNT = 4000
"""The number of times that a thread of OpenMP looks for the others before it sleeps; they meet hundreds of times per
epoch.

By itself OpenMP looks for milliseconds, in which a neighbor that wants the core waits as well: an epoch then takes 2
to 30 times as long as with one thread. On 2 cores, an idle machine loses about 10%, and next to ten busy processes an
epoch takes 2.3 times as long as with one thread. No number of a run depends on it.
"""

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():  # read once, when torch loads OpenMP
    os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
