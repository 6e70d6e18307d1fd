"""Somebody's optimizer against a rule, and every rule against torch.optim, optax and its equations."""
