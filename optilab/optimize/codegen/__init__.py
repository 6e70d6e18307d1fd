"""A rule and a function are written once; here one step of them is recorded and becomes fast code.

program.py  the step, run on symbols: a list of scalar operations
text.py     an operation as a line of Python
path.py     one path in plain floats
block.py    a block of a map in NumPy, in place
machine.py  the same as machine code, by Numba

All do the same arithmetic in the same order, so they give the same bits wherever an operation is correctly rounded
(+ - * / sqrt). Elsewhere `path` calls NumPy's own functions; `machine` differs in the last digits.
"""

from optilab.optimize.codegen.trace import NotRecordable

__all__ = ["NotRecordable"]
