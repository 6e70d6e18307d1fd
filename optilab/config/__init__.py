"""YAML and command-line overrides -> one frozen, typed value."""
