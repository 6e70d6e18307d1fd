"""Somebody's optimizer against a rule, and the rules against torch.optim, optax or their equations."""
