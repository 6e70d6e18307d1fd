"""The update rules, by name: one small frozen class each, its fields are the hyper-parameters.

Where the literature has several forms of a rule, the form is a field. Defaults are the literature's.
"""

from optilab.optimize.algorithms.rule import Rule
from optilab.optimize.registry import Registry

__all__ = ["RULES", "Rule"]

RULES = Registry(
    "algorithm",
    "optilab.optimize.algorithms",
    "momentum",
    "adam",
    "adam_averages",
    "adaptive",
    "second_moment",
    "sign",
    "averaging",
    "trust",
    "sharpness",
    "matrices",
    "preconditioners",
    "step_size",
    "second_order",
)
