"use strict";
/* Formulas typed in the page: the grammar, the derivatives and the order of operations of optilab/optimize/formula.py, so that
 * their paths have the bits of `optimize`. A tree is a number, the name of a coordinate, or [operation, ...trees]. */
const Formula = (() => {
  const NAMES = { x: "w1", y: "w2", w1: "w1", w2: "w2", pi: Math.PI };
  const FUNCTIONS = {
    abs: 1,
    sign: 1,
    min: 2,
    max: 2,
    sqrt: 1,
    exp: 1,
    log: 1,
    sin: 1,
    cos: 1,
    tan: 1,
    sinh: 1,
    cosh: 1,
    tanh: 1,
  }; // and how many arguments
  const MOST = 2000,
    DEEPEST = 100;

  /** The tree of a formula, as on paper: two factors need no sign between them. An Error says which column is not accepted. */
  function parse(text) {
    const tokens = [...text.matchAll(/(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[a-z_]\w*|\*\*|\S/gi)];
    let at = 0,
      depth = 0;
    const next = () => tokens[at]?.[0];
    const fail = (what) => {
      const column = tokens[at] ? tokens[at].index + 1 : text.length + 1,
        names = Object.keys(FUNCTIONS).join(", ");
      throw new Error(`column ${column}: ${what}; accepted are numbers, x, y, + - * / ^, parentheses, pi and ${names}`);
    };
    const take = (expected) => (next() === expected ? at++ : fail(`expected "${expected}"`));
    const begins = (token) => token !== undefined && /^[a-z_(]/i.test(token);

    function sum() {
      if (++depth > DEEPEST) fail("nested too deeply");
      let left = product();
      while (next() === "+" || next() === "-") left = [tokens[at++][0] === "+" ? "add" : "subtract", left, product()];
      depth--;
      return left;
    }
    function product() {
      let left = signed();
      while (next() === "*" || next() === "/" || begins(next())) {
        left = [next() === "/" ? "divide" : "multiply", left, begins(next()) ? signed() : (at++, signed())];
      }
      return left;
    }
    function signed() {
      if (++depth > DEEPEST) fail("nested too deeply");
      const sign = next() === "-" || next() === "+" ? tokens[at++][0] : "",
        own = sign ? signed() : power();
      depth--;
      return sign === "-" ? negative(own) : own;
    }
    function power() {
      const base = atom();
      if (next() !== "^" && next() !== "**") return base;
      at++;
      return ["power", base, signed()];
    }
    function atom() {
      const token = next();
      if (token === undefined) fail("something is missing");
      if (/^[\d.]/.test(token) && Number(token) < 1e300) return (at++, Number(token));
      if (token === "(") return (at++, inside());
      if (Object.hasOwn(NAMES, token)) return (at++, NAMES[token]);
      if (!Object.hasOwn(FUNCTIONS, token))
        fail(begins(token) ? `unknown name "${token}"` : `"${token}" is not accepted here`);
      at++;
      take("(");
      const args = [sum()];
      while (args.length < FUNCTIONS[token]) {
        take(",");
        args.push(sum());
      }
      take(")");
      return [token, ...args];
    }
    function inside() {
      const own = sum();
      take(")");
      return own;
    }

    if (text.length > MOST) throw new Error(`the formula has more than ${MOST} characters`);
    const tree = sum();
    return at < tokens.length ? fail(`"${next()}" is not accepted here`) : tree;
  }

  const isNumber = (tree) => typeof tree === "number";
  const negative = (a) => (isNumber(a) ? -a : ["negative", a]);
  const plus = (a, b) => (a === 0 ? b : b === 0 ? a : ["add", a, b]);
  const minus = (a, b) =>
    isNumber(a) && isNumber(b) ? a - b : b === 0 ? a : a === 0 ? negative(b) : ["subtract", a, b];
  const over = (a, b) => (b === 1 || a === 0 ? a : ["divide", a, b]);
  const raised = (a, b) => (b === 1 ? a : b === 0 ? 1 : ["power", a, b]);
  function times(a, b) {
    if (isNumber(a) && isNumber(b)) return a * b;
    if (a === 0 || b === 0) return 0;
    if (isNumber(a) && b[0] === "multiply" && isNumber(b[1])) return times(times(a, b[1]), b[2]);
    return a === 1 ? b : b === 1 ? a : ["multiply", a, b];
  }

  const SLOPES = {
    // of functions of u, times du
    negative: (u, du) => negative(du),
    sqrt: (u, du, own) => over(du, times(2, own)),
    exp: (u, du, own) => times(own, du),
    log: (u, du) => over(du, u),
    sin: (u, du) => times(["cos", u], du),
    cos: (u, du) => negative(times(["sin", u], du)),
    tan: (u, du) => over(du, ["power", ["cos", u], 2]),
    sinh: (u, du) => times(["cosh", u], du),
    cosh: (u, du) => times(["sinh", u], du),
    tanh: (u, du, own) => times(minus(1, ["power", own, 2]), du),
    abs: (u, du) => times(["sign", u], du),
    sign: () => 0,
  };

  /** The derivative by a coordinate; at a kink that of one side. */
  function derivative(tree, name) {
    if (!Array.isArray(tree)) return tree === name ? 1 : 0;
    const [op, u, v] = tree,
      du = derivative(u, name),
      dv = v === undefined ? 0 : derivative(v, name);
    if (du === 0 && dv === 0) return 0;
    if (op === "add") return plus(du, dv);
    if (op === "subtract") return minus(du, dv);
    if (op === "multiply") return plus(times(du, v), times(u, dv));
    if (op === "divide") return over(minus(times(du, v), times(u, dv)), ["power", v, 2]);
    if (op === "power" && dv === 0) return times(times(v, raised(u, minus(v, 1))), du);
    if (op === "power") return times(tree, plus(times(dv, ["log", u]), over(times(v, du), u)));
    if (op === "min" || op === "max") return ["where", [op === "min" ? "less" : "greater", u, v], du, dv];
    return SLOPES[op](u, du, tree);
  }

  const whole = (x, n) => {
    const half = n > 1 ? whole(x, Math.floor(n / 2)) : x;
    return n === 1 ? x : n % 2 ? half * half * x : half * half;
  };
  const OPERATIONS = {
    add: (a, b) => a + b,
    subtract: (a, b) => a - b,
    multiply: (a, b) => a * b,
    divide: (a, b) => a / b,
    negative: (a) => -a,
    power: (a, b) =>
      b === 0.5 ? Math.sqrt(a) : b === -1 ? 1 / a : Number.isInteger(b) && b > 0 && b < 65 ? whole(a, b) : a ** b,
    less: (a, b) => a < b,
    greater: (a, b) => a > b,
    where: (c, a, b) => (c ? a : b),
    sign: (a) => (a > 0 ? 1 : a < 0 ? -1 : a - a),
    min: (a, b) => (a <= b || a !== a ? a : b),
    max: (a, b) => (a >= b || a !== a ? a : b), // a NaN wins, as in NumPy
  };

  /** A tree as a function of w1 and w2. */
  function compiled(tree) {
    if (isNumber(tree)) return () => tree;
    if (!Array.isArray(tree)) return tree === "w1" ? (w1) => w1 : (w1, w2) => w2;
    const run = OPERATIONS[tree[0]] ?? Math[tree[0]],
      [a, b, c] = tree.slice(1).map(compiled);
    if (c) return (w1, w2) => run(a(w1, w2), b(w1, w2), c(w1, w2));
    return b ? (w1, w2) => run(a(w1, w2), b(w1, w2)) : (w1, w2) => run(a(w1, w2));
  }

  const dimensionOf = (tree) =>
    Array.isArray(tree) ? Math.max(...tree.slice(1).map(dimensionOf)) : tree === "w2" ? 2 : 1;

  return { compiled, derivative, dimensionOf, parse };
})();
