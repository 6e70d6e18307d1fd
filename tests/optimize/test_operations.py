"""Every table of an operation follows from its row."""

import re

from optilab.commands import explain, play
from optilab.optimize import formula, program
from optilab.optimize.operations import (
    FUNCTIONS,
    JOINT,
    JUMPS,
    NOT_SMOOTH,
    OF_MATRICES,
    OPERATIONS,
    RULE_FUNCTIONS,
)
from optilab.show.page import asset


def test_the_tables_of_formulas():
    rows = OPERATIONS.items()
    assert [*FUNCTIONS.items()] == [*formula.FUNCTIONS.items()]
    assert [*RULE_FUNCTIONS.items()] == [*formula.RULE_FUNCTIONS.items()]
    assert {row.typed: row.arity for row in OPERATIONS.values() if row.typed and row.arity > 1} == formula._ARITY
    assert {name: row.slope for name, row in rows if row.slope} == formula.DERIVATIVES
    assert {name: row.slope_of_base for name, row in rows if row.slope_of_base} == {"power": formula.POWER}
    assert {name: row.sign for name, row in rows if row.sign and row.arity == 2} == formula._SIGNS
    assert {name: row.binds for name, row in rows if row.sign} == formula._BINDING
    signed = {name: "-{}" if row.arity == 1 else f"{{}}{row.sign}{{}}" for name, row in rows if row.sign}
    assert signed | {key: formula._TEXT[key] for key in ("bracket", "call")} == formula._TEXT
    latex = {name: row.latex or signed[name] for name, row in rows if row.latex or row.sign}
    assert latex | {key: formula._LATEX[key] for key in ("bracket", "call")} == formula._LATEX
    assert {(name, i) for name, row in rows for i in row.enclosed} == formula._ENCLOSED
    assert {name: row.typed for name, row in rows if row.typed and row.in_functions} == formula._NAMES
    assert {"solve", "smallest"} == OF_MATRICES  # of formula._has_stray_matrix
    assert {"greater", "less", "sign"} == JUMPS  # of formula.derivative and theory._jumps


def test_the_tables_of_programs():
    rows = OPERATIONS.items()
    assert {name: row.infix for name, row in rows if row.infix} == program.INFIX
    assert {name: row.code for name, row in rows if row.code} == {k: v for k, v in program.ON_ANY.items() if k}
    assert {name: row.numbers for name, row in rows if row.numbers} == {
        k: v for k, v in program.ON_NUMBERS.items() if k
    }
    assert {name: row.arrays for name, row in rows if row.arrays} == {
        k: v for k, v in program.ON_ARRAYS.items() if k
    }
    sizes = {name: row.size for name, row in rows if row.size is not None}
    assert program.NEEDS | sizes == program._SIZES
    # of Program.is_joint; of theory.slopes_of without solve, which needs H
    assert {"sum", "norm", "solve"} == JOINT
    assert {name for name, row in rows if (row.numbers or row.code).count("{0}") > 1} == {"sign"}  # of lines_of
    assert {"absolute", "sign", "minimum", "maximum"} == NOT_SMOOTH & {*FUNCTIONS.values()}  # of is_quadratic
    assert {name for name, row in rows if row.size is not None} == explain._ACROSS


def test_the_tables_of_the_page():
    script, rows = asset("formula.js"), OPERATIONS.values()
    typed = {row.typed: row.arity for row in rows if row.typed}
    lists = re.findall(r'\.\.\.arities\("([a-z ]+)", (\d)\)', script)
    assert {name: int(arity) for names, arity in lists for name in names.split()} == typed
    levels = re.findall(r'^ *\{ ("[<+*]": .*) \},$', script, re.MULTILINE)
    pairs = [dict(re.findall(r'"(.)": "(\w+)"', level)) for level in levels]
    binary = {name: row for name, row in OPERATIONS.items() if row.sign and row.arity == 2 and row.binds < 4}
    assert pairs == [
        {row.sign.strip(): name for name, row in binary.items() if row.binds == binds} for binds in (1, 2, 3)
    ]
    short = {"absolute": "abs", "minimum": "min", "maximum": "max"}  # of play.as_tree
    assert {name: row.typed for name, row in OPERATIONS.items() if row.typed not in ("", name)} == short
    not_linear = re.search(r'NOT_LINEAR = words\(\s*"(.*)"', script)[1].split()
    across = {name for name, row in OPERATIONS.items() if row.size is not None}
    assert {short.get(name, name) for name in NOT_SMOOTH | across} == {*not_linear} - {"H", "I", "f"}
    assert [*formula.RESERVED_NAMES] == re.search(r'RULE_FUNCTIONS.keys\(\), \.\.\.words\("(.*)"\)', script)[
        1
    ].split()
    limits = {name: int(value) for name, value in re.findall(r"(MAX_[A-Z]+) = (\d+)", script)}
    assert limits == {
        "MAX_CHARACTERS": formula.MAX_LENGTH, "MAX_NODES": formula.MAX_NODES, "MAX_DEPTH": formula.MAX_DEPTH,
        "MAX_PRODUCT": program.MULTIPLIED_EXPONENTS.stop - 1,
    }  # fmt: skip
    assert play.as_tree(formula.parse("abs(x)")) == ["abs", "w1"]
