"""Training dynamics of multilayer perceptrons: the only folder where torch is imported."""
