"""A user's own rule, accepted wherever the name of a rule is: `FILE.py:NAME`, or `package.module:NAME`.

origin.py      where the code is, its digest, and what it is once it has been executed
signature.py   its hyper-parameters, read off the source without executing it wherever that is possible
interfaces.py  the accepted interfaces: a function, a class with state, the step API, a torch.optim.Optimizer
own_rule.py    the adapter: any of them in the shape of a rule

The file is executed when a path or a step is computed, not when a config is shown or checked; only where a class
inherits its parameters, or code makes the name, is there no other way to learn them.
"""

from optilab.optimize.own.own_rule import OwnRule, described, is_own, kind_of, sources

__all__ = ["OwnRule", "described", "is_own", "kind_of", "sources"]
