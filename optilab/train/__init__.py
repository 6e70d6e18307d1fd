"""Training dynamics of multilayer perceptrons: the only package that imports torch."""

import os

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    # A thread that waits for another spins before it sleeps, by itself for milliseconds: beside a neighbour that wants
    # the core, a training then takes 2 to 20 times as long. With this count an idle machine loses 6%, and one with
    # eight busy neighbours 2 times the time of one thread (tests/benchmarks/threads.py). The numbers of a run do not
    # depend on it. It is read once, when torch loads OpenMP.
    os.environ["GOMP_SPINCOUNT"] = "4000"
