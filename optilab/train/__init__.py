"""Training dynamics of multilayer perceptrons; with `watch`, the only package that imports torch."""

import os

from optilab.train.crowding import spin_count

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():  # read once, when torch loads OpenMP
    os.environ["GOMP_SPINCOUNT"] = str(spin_count())
