"""The update rules, by name: one small frozen class each, its fields are the hyper-parameters.

Where the literature has several forms of a rule, the form is a field. Defaults are the literature's.
"""

from optilab.optimize.algorithms import (
    adam,
    adaptive,
    averaging,
    momentum,
    second_moment,
    second_order,
    sign,
    step_size,
)
from optilab.optimize.algorithms.rule import Algorithm

__all__ = ["ALGORITHMS", "Algorithm"]

ALGORITHMS: dict[str, type[Algorithm]] = {
    rule.name: rule
    for rules in (
        momentum.RULES,
        adaptive.RULES,
        adam.RULES,
        second_moment.RULES,
        sign.RULES,
        averaging.RULES,
        step_size.RULES,
        second_order.RULES,
    )
    for rule in rules
}
