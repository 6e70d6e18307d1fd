"""Fast code from a rule and a function: one step is traced, and the trace is written out as code.

trace.py        one step on symbols: a list of scalar operations
emit.py         one operation as a line of Python
scalar.py       one path, in plain floats
blocks.py       one block of a map, in NumPy, in place
javascript.py   one path, a function's value and the limit of stability, for a page in a browser

The generated code does the arithmetic of the rule's own lines in their order, and calls NumPy's functions where an
operation is not correctly rounded (all but + - * / sqrt). The results of `scalar` are bit-identical to the rule's.
"""

from optilab.optimize.codegen.trace import Untraceable

__all__ = ["Untraceable"]
