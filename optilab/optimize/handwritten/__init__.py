"""The update rules, one small frozen class each; `optilab.optimize.rule.RULES` is their table."""
