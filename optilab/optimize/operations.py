"""The operations of formulas. All that is known of one is its row; messages list the functions in this order."""

from typing import NamedTuple

NUMBER, PER_POINT, VECTOR = range(3)
"""Sizes of a quantity: one number; one for each point, (..., 1); at least one for each coordinate, (..., d)."""


class Operation(NamedTuple):
    """How an operation is typed, differentiated, calculated and printed, and what the theory may suppose of it.

    `{}` stands for an argument. Where there is no `infix`, `code` is Python on whatever a rule runs on (empty: the
    function of `optilab.optimize.arrays` with this name), `arrays` on arrays alone (empty: NumPy's function), `numbers`
    on plain numbers (empty: NumPy's, as a float).
    """

    typed: str = ""
    """The name of a function in formulas; empty for an operator."""
    sign: str = ""
    """The text of an operator."""
    binds: int = 9
    """How closely: an argument that binds less stands in parentheses."""
    slope: str = ""
    """The derivative of f(u, v, x), by du, dv and dx; empty where there is none."""
    slope_of_base: str = ""
    """The derivative where v is constant, if that is another formula."""
    arity: int = 1
    infix: str = ""
    code: str = ""
    arrays: str = ""
    numbers: str = ""
    latex: str = ""
    enclosed: tuple[int, ...] = ()
    """The arguments of an operator that LaTeX encloses by its own shape."""
    size: int | None = None
    """The size of the result; None for the largest size of its arguments."""
    matrices: tuple[int, ...] = ()
    """The arguments that are matrices."""
    in_functions: bool = True
    """True if test functions have it; else only update rules do."""
    is_joint: bool = False
    """True if a coordinate of the result depends on all coordinates."""
    is_smooth: bool = True
    """True if it has every derivative where it has a value."""
    jumps: bool = False
    """True if it is constant between jumps, so that its derivative is 0."""


OPERATIONS = {
    "greater": Operation(
        sign=" > ", binds=1, arity=2, infix="({} > {})", in_functions=False, is_smooth=False, jumps=True
    ),
    "less": Operation(
        sign=" < ", binds=1, arity=2, infix="({} < {})", in_functions=False, is_smooth=False, jumps=True
    ),
    "add": Operation(sign=" + ", binds=2, slope="du + dv", arity=2, infix="({} + {})"),
    "subtract": Operation(sign=" - ", binds=2, slope="du - dv", arity=2, infix="({} - {})"),
    "multiply": Operation(
        sign="*", binds=3, slope="du*v + u*dv", arity=2, infix="({} * {})", latex=r"{} \cdot {}"
    ),
    "divide": Operation(
        sign="/", binds=3, slope="(du*v - u*dv)/v^2", arity=2, infix="({} / {})", latex=r"\frac{{{}}}{{{}}}",
        enclosed=(0, 1),
    ),
    "remainder": Operation(
        sign=" % ", binds=3, arity=2, infix="({} % {})", latex=r"{} \bmod {}", in_functions=False, is_smooth=False
    ),
    "negative": Operation(sign="-", binds=3, slope="-du", infix="(-{})"),
    "power": Operation(
        sign="^", binds=4, slope="f*(dv*log(u) + v*du/u)", slope_of_base="v*u^(v - 1)*du", arity=2,
        latex="{}^{{{}}}", enclosed=(1,),
    ),
    "raised": Operation(arity=2, infix="({} ** {})"),  # a power of numbers that are the same for all coordinates
    "sqrt": Operation("sqrt", slope="du/(2*f)", numbers="sqrt({})", latex=r"\sqrt{{{}}}"),
    "exp": Operation("exp", slope="f*du", code="_elementwise('exp', {})"),
    "log": Operation("log", slope="du/u", code="_elementwise('log', {})"),
    "sin": Operation("sin", slope="cos(u)*du", code="_elementwise('sin', {})"),
    "cos": Operation("cos", slope="-(sin(u)*du)", code="_elementwise('cos', {})"),
    "tan": Operation("tan", slope="du/cos(u)^2", code="_elementwise('tan', {})"),
    "sinh": Operation("sinh", slope="cosh(u)*du", code="_elementwise('sinh', {})"),
    "cosh": Operation("cosh", slope="sinh(u)*du", code="_elementwise('cosh', {})"),
    "tanh": Operation("tanh", slope="(1 - f^2)*du", code="_elementwise('tanh', {})"),
    "absolute": Operation(
        "abs", slope="sign(u)*du", code="abs({})", numbers="abs({})", latex=r"\left|{}\right|", is_smooth=False
    ),
    "sign": Operation(
        "sign", code="_elementwise('sign', {})", numbers="(1.0 if {0} > 0 else -1.0 if {0} < 0 else {0} - {0})",
        is_smooth=False, jumps=True,
    ),  # NaN of NaN
    "minimum": Operation(
        "min", slope="where(u < v, du, dv)", arity=2, numbers="_minimum({}, {})", is_smooth=False
    ),
    "maximum": Operation(
        "max", slope="where(u > v, du, dv)", arity=2, numbers="_maximum({}, {})", is_smooth=False
    ),
    "where": Operation(
        "where", slope="where(u, dv, dx)", arity=3, numbers="({1} if {0} else {2})",
        code="_where({}, lambda: {}, lambda: {}, w)",  # of two numbers one is calculated: the other may be x/0
        latex=r"\begin{{cases}}{1} & {0}\\{2} & \text{{else}}\end{{cases}}", in_functions=False, is_smooth=False,
    ),
    "clip": Operation("clip", arity=3, in_functions=False, is_smooth=False),
    "grad": Operation("grad", code="grad({})", size=VECTOR, in_functions=False),
    "diagonal": Operation("diagonal", code="diagonal({})", size=VECTOR, in_functions=False),
    "sum": Operation(
        "sum", slope="du", arrays="np.sum({}, axis=-1, keepdims=True)",  # by a coordinate of w, at that coordinate
        size=PER_POINT, in_functions=False, is_joint=True,
    ),
    "norm": Operation("norm", size=PER_POINT, in_functions=False, is_joint=True),
    "solve": Operation("solve", arity=2, size=VECTOR, matrices=(0,), in_functions=False, is_joint=True),
    "smallest": Operation("smallest", size=PER_POINT, matrices=(0,), in_functions=False),
}  # fmt: skip

RULE_FUNCTIONS = {operation.typed: name for name, operation in OPERATIONS.items() if operation.typed}
"""Functions in the formula of a rule, each with its operation; `grad` and `diagonal`, of the function's gradient and of
the diagonal of its Hessian, are values."""

FUNCTIONS = {typed: name for typed, name in RULE_FUNCTIONS.items() if OPERATIONS[name].in_functions}
"""Functions in a test function, each with its operation; each has a derivative, at a kink on both of its sides."""

JOINT = {name for name, operation in OPERATIONS.items() if operation.is_joint}
JUMPS = {name for name, operation in OPERATIONS.items() if operation.jumps}
NOT_SMOOTH = {name for name, operation in OPERATIONS.items() if not operation.is_smooth}
OF_MATRICES = {name for name, operation in OPERATIONS.items() if operation.matrices}
