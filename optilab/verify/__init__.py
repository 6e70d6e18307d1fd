"""Check an optimizer implementation against a rule, and the rules against torch.optim, optax and SciPy."""
