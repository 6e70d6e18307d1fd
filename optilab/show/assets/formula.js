"use strict";
/* The arithmetic of the page: functions and optimizers are formulas, which are parsed, differentiated and run here, by the
 * grammar and in the order of operations of optilab/optimize, so that trajectories have the bits of `optimize`.
 *
 * A tree is a number, a name, or [operation, ...trees]. */
const Formula = (() => {
  const MAX_CHARACTERS = 2000,
    MAX_NODES = 1000,
    MAX_DEPTH = 100, // of parentheses, signs, powers and calls
    MAX_VARIANTS = 10, // inside each other
    MAX_PRODUCT = 64; // whole powers of a function up to it are products
  const words = (text) => text.split(" ");
  const arities = (text, count) => words(text).map((name) => [name, count]);
  const SMOOTH = words("sqrt exp log sin cos tan sinh cosh tanh");
  const FUNCTIONS = new Map([...SMOOTH.map((name) => [name, 1]), ...arities("abs sign", 1), ...arities("min max", 2)]);
  const RULE_FUNCTIONS = new Map([
    ...FUNCTIONS,
    ...arities("sum norm grad diagonal smallest", 1),
    ...arities("solve", 2),
    ...arities("where clip", 3),
  ]);
  const COORDINATES = new Map(words("x y w1 w2").map((name, i) => [name, `w${1 + (i % 2)}`]));

  const INFIX = [
    { "<": "less", ">": "greater" },
    { "+": "add", "-": "subtract" },
    { "*": "multiply", "/": "divide", "%": "remainder" },
  ]; // the later ones bind more closely

  const isNumber = (tree) => typeof tree === "number";
  const range = (length) => Array.from({ length }, (_, i) => i);

  /** The function of a tree that `visit` gives, from the tree and from what its parts have become; what several trees share is
   * visited once. */
  function walk(visit) {
    const known = new Map();
    const become = (tree) => {
      if (!Array.isArray(tree)) return visit(tree);
      if (!known.has(tree)) known.set(tree, visit(tree, ...tree.slice(1).map(become)));
      return known.get(tree);
    };
    return become;
  }

  /** The names in a tree. */
  function namesIn(tree) {
    const names = new Set();
    walk((part) => typeof part === "string" && names.add(part))(tree);
    return names;
  }

  // --- the language --------------------------------------------------------------------------------------------

  function requireShort(text) {
    if (text.length > MAX_CHARACTERS) throw new Error(`the formula has more than ${MAX_CHARACTERS} characters`);
  }

  const tokensOf = (text) => [
    ...text.matchAll(/(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[a-z_]\w*|\*\*|\S|[\u0080-\uffff]/gi),
  ];

  const refusal = (column, what) => new Error(`column ${column}: ${what}`);

  /** The tree of an expression, as on paper: two factors need no sign between them. An Error says which column is not accepted.
   *
   * `names` has the trees of the names, `functions` the numbers of arguments. Columns are counted from `offset`; `uses` gets the
   * names, functions and operations of the expression. */
  function parse(text, names = COORDINATES, functions = FUNCTIONS, offset = 0, uses = new Set()) {
    requireShort(text);
    const tokens = tokensOf(text),
      isRule = functions.has("where");
    let at = 0,
      depth = 0,
      nodes = 0;
    const next = () => tokens[at]?.[0];
    const take = () => tokens[at++][0];
    const begins = (token) => token !== undefined && /^[a-z_(]/i.test(token);
    const fail = (what) => {
      const variables = [...names.keys()].filter((name) => isRule || name.length === 1).join(", "),
        accepted = `numbers, ${variables}, + - * / ^, parentheses, pi and ${[...functions.keys()].join(", ")}`;
      throw refusal(offset + (tokens[at]?.index ?? text.length) + 1, `${what}; accepted are ${accepted}`);
    };
    const expect = (token) => (next() === token ? at++ : fail(`expected "${token}"`));
    const count = (tree) => {
      if (++nodes > MAX_NODES) throw new Error(`the formula has more than ${MAX_NODES} parts`);
      return tree;
    };
    const operation = (name, ...trees) => (uses.add(name), count([name, ...trees]));

    function infix(level = 0) {
      if (level === INFIX.length) return signed();
      const isOne = (token) => Object.hasOwn(INFIX[level], token) && (isRule || !"<>%".includes(token)),
        isProduct = (token) => level === 2 && begins(token); // two factors need no sign between them
      let left = infix(level + 1);
      while (isOne(next()) || isProduct(next())) {
        left = operation(isProduct(next()) ? "multiply" : INFIX[level][take()], left, infix(level + 1));
        if (level === 0) break; // a comparison of a comparison is none
      }
      return left;
    }
    function signed() {
      if (++depth > MAX_DEPTH) fail("nested too deeply");
      const sign = next() === "-" || next() === "+" ? take() : "",
        tree = sign ? signed() : power();
      depth--;
      return sign === "-" ? negative(tree) : tree;
    }
    function power() {
      const base = atom();
      return next() === "^" || next() === "**" ? (at++, operation("power", base, signed())) : base;
    }
    function atom() {
      const token = next();
      if (token === undefined) fail("something is missing");
      if (/^[\d.]/.test(token) && Number(token) < 1e300) return count(Number(take()));
      if (token === "(") return (at++, closed(infix()));
      if (token === "pi") return (at++, count(Math.PI));
      if (names.has(token)) return (at++, uses.add(token), count(names.get(token)));
      if (!functions.has(token)) fail(begins(token) ? `unknown name "${token}"` : `"${token}" is not accepted here`);
      at++;
      expect("(");
      const trees = [infix()];
      while (trees.length < functions.get(token)) trees.push((expect(","), infix()));
      return closed(operation(token, ...trees));
    }
    const closed = (tree) => (expect(")"), tree);

    const tree = infix();
    return at < tokens.length ? fail(`"${next()}" is not accepted here`) : tree;
  }

  /** The text of an optimizer with the variants of its settings put in, in which other settings may have theirs. */
  function filled(text, variants, settings) {
    const variant = (_, name) => {
      if (!Object.hasOwn(variants, name)) throw new Error(`unknown name "${name}"`);
      const setting = name.split(".")[0], // form.k is another part of the text for the setting form
        value = Object.hasOwn(settings, setting) ? String(settings[setting]) : "else";
      return variants[name][Object.hasOwn(variants[name], value) ? value : "else"];
    };
    for (let depth = 0; text.includes("{") && depth < MAX_VARIANTS; depth++) {
      text = text.replace(/\{([\w.]+)\}/g, variant);
      requireShort(text);
    }
    return text;
  }

  /** The names in the formula of an optimizer that stand for nothing else: its settings. */
  function settingsOf(text) {
    requireShort(text);
    const targets = text.split(";").map((part) => /\w*/.exec(part.trim())[0]),
      taken = new Set([...targets, ...RULE_FUNCTIONS.keys(), "w", "g", "t", "f", "H", "I", "pi"]);
    const names = tokensOf(text).map(([token]) => token);
    return [...new Set(names)].filter((name) => /^[a-z_]/i.test(name) && !taken.has(name) && !(name in {}));
  }

  /** The formula of an optimizer whose settings have these names: its statements in order, the names of its states, the trees
   * where they start, and all names, functions and operations that it uses. */
  function program(text, settings) {
    requireShort(text);
    let offset = 0;
    const parts = text.split(";").map((part) => {
      const head = /^\s*([a-z_]\w*)\s*(<-|=)/i.exec(part);
      if (!head) throw refusal(offset + 1, "expected a statement such as w <- w - lr*g");
      const [{ length }, target, sign] = head,
        statement = { target, renews: sign === "<-", expression: part.slice(length), offset: offset + length };
      offset += part.length + 1;
      return statement;
    });
    const renewed = new Set(parts.filter(({ renews }) => renews).map(({ target }) => target));
    if (!renewed.delete("w")) throw new Error("expected a statement w <- ...");
    const states = [...renewed],
      named = (names) => new Map(names.map((name) => [name, name])),
      early = named(["w", ...settings]), // what a start may read
      names = named(["w", "g", "t", "f", "H", "I", ...settings, ...states]),
      starts = new Map(),
      statements = [],
      uses = new Set();
    for (const { target, renews, expression, offset } of parts) {
      const state = !renews && target.endsWith("0") ? target.slice(0, -1) : "";
      if (renewed.has(state)) {
        starts.set(state, parse(expression, early, RULE_FUNCTIONS, offset, uses));
      } else {
        statements.push({ target, tree: parse(expression, names, RULE_FUNCTIONS, offset, uses) });
        names.set(target, target);
      }
    }
    return { settings, states, starts, statements, uses };
  }

  // --- derivatives ---------------------------------------------------------------------------------------------

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

  const SLOPES = new Map(
    Object.entries({
      // of functions of u, times du
      negative: (u, du) => negative(du),
      sqrt: (u, du, tree) => over(du, times(2, tree)),
      exp: (u, du, tree) => times(tree, du),
      log: (u, du) => over(du, u),
      sin: (u, du) => times(["cos", u], du),
      cos: (u, du) => negative(times(["sin", u], du)),
      tan: (u, du) => over(du, ["power", ["cos", u], 2]),
      sinh: (u, du) => times(["cosh", u], du),
      cosh: (u, du) => times(["sinh", u], du),
      tanh: (u, du, tree) => times(minus(1, ["power", tree, 2]), du),
      abs: (u, du) => times(["sign", u], du),
    }),
  );

  /** The derivative by a name; at a kink that of one side. */
  const derivative = (tree, name) =>
    walk((part, du, dv = 0, dw = 0) => {
      if (!Array.isArray(part)) return part === name ? 1 : 0;
      const [op, u, v] = part;
      if (op === "less" || op === "greater" || op === "sign" || (du === 0 && dv === 0 && dw === 0)) return 0;
      if (op === "add") return plus(du, dv);
      if (op === "subtract") return minus(du, dv);
      if (op === "multiply") return plus(times(du, v), times(u, dv));
      if (op === "divide") return over(minus(times(du, v), times(u, dv)), ["power", v, 2]);
      if (op === "power" && dv === 0) return times(times(v, raised(u, minus(v, 1))), du);
      if (op === "power") return times(part, plus(times(dv, ["log", u]), over(times(v, du), u)));
      if (op === "min" || op === "max") return ["where", [op === "min" ? "less" : "greater", u, v], du, dv];
      if (op === "where") return ["where", u, dv, dw];
      if (SLOPES.has(op)) return SLOPES.get(op)(u, du, part);
      throw new Error(`${op} has no derivative here`);
    })(tree);

  // --- trees as steps --------------------------------------------------------------------------------------------

  /** The first coordinate of the shortest solution of [[a, b], [b, c]] x = (u, v). */
  function solution(a, b, c, u, v) {
    const mean = (a + c) / 2,
      half = (a - c) / 2,
      radius = Math.hypot(half, b),
      [p, q] = radius > 0 ? [half / radius, b / radius] : [1, 0],
      least = 1e-15 * (Math.abs(mean) + radius),
      along = (length, eigenvalue) => (Math.abs(eigenvalue) > least ? length / 2 / eigenvalue : 0);
    return along((1 + p) * u + q * v, mean + radius) + along((1 - p) * u - q * v, mean - radius);
  }

  /** Operations on cells of a memory, as functions that calculate the cell `to`. */
  const step =
    (run) =>
    (m, to, a, b = a, c = a, u = a, v = a) =>
    () =>
      (m[to] = run(m[a], m[b], m[c], m[u], m[v]));
  const OPERATIONS = new Map(
    Object.entries({
      add: (m, to, a, b) => () => (m[to] = m[a] + m[b]),
      subtract: (m, to, a, b) => () => (m[to] = m[a] - m[b]),
      multiply: (m, to, a, b) => () => (m[to] = m[a] * m[b]),
      divide: (m, to, a, b) => () => (m[to] = m[a] / m[b]),
      // As in NumPy: a remainder has the sign of b, some powers are other operations, and a NaN is the smaller and the larger.
      remainder: step((a, b) => (a % b) + (Math.sign(a % b) * Math.sign(b) < 0 ? b : 0)),
      power: step((a, b) => (b === 2 ? a * a : b === 0.5 ? Math.sqrt(a) : b === -1 ? 1 / a : a ** b)),
      min: step((a, b) => (a <= b || a !== a ? a : b)),
      max: step((a, b) => (a >= b || a !== a ? a : b)),
      less: step((a, b) => Number(a < b)),
      greater: step((a, b) => Number(a > b)),
      negative: step((a) => -a),
      sign: step((a) => (a > 0 ? 1 : a < 0 ? -1 : a - a)),
      where: step((a, b, c) => (a !== 0 ? b : c)),
      solve: step(solution),
      smallest: step((a, b, c) => (a + c) / 2 - Math.hypot((a - c) / 2, b)),
      ...Object.fromEntries(["abs", ...SMOOTH].map((name) => [name, step(Math[name])])),
    }),
  );

  /** Trees as steps on the cells of a memory: what several trees contain is calculated once.
   *
   * `cells` has the cell of every name; `run[k]()` calculates group k of the trees into the cells `results[k]`, from those of the
   * names and from what the groups before it have left. */
  function compiled(groups, names) {
    const cells = new Map(names.map((name, i) => [name, i])), // also of numbers, after a #, and of operations
      numbers = names.map(() => 0),
      steps = groups.map(() => []);
    const cellOf = (key, number) => {
      if (!cells.has(key)) cells.set(key, numbers.push(number) - 1);
      return cells.get(key);
    };
    const results = groups.map((trees, k) => {
      const place = walk((tree, ...parts) => {
        if (isNumber(tree)) return cellOf(`#${Object.is(tree, -0) ? "-0" : tree}`, tree);
        if (!Array.isArray(tree)) return cells.get(tree);
        const key = `${tree[0]} ${parts}`;
        if (!cells.has(key)) steps[k].push([OPERATIONS.get(tree[0]), cellOf(key, 0), ...parts]);
        return cells.get(key);
      });
      return trees.map(place);
    });
    const memory = Float64Array.from(numbers),
      groupsOfSteps = steps.map((group) => group.map(([operation, ...places]) => operation(memory, ...places)));
    const run = groupsOfSteps.map((group) => () => {
      for (let i = 0; i < group.length; i++) group[i]();
    });
    return { memory, cells, results, run };
  }

  // --- functions -----------------------------------------------------------------------------------------------

  /** x^n by multiplication, in the order of Python's. */
  function wholePower(x, n) {
    if (n === 1) return x;
    const half = wholePower(x, Math.floor(n / 2)),
      square = ["multiply", half, half];
    return n % 2 ? ["multiply", square, x] : square;
  }

  /** A tree with its whole powers as products. */
  const expanded = (tree) =>
    walk((part, ...parts) => {
      if (!Array.isArray(part)) return part;
      const [x, n] = parts,
        isProduct = part[0] === "power" && Number.isInteger(n) && n > 0 && n <= MAX_PRODUCT;
      return isProduct ? wholePower(x, n) : [part[0], ...parts];
    })(tree);

  /** A function of w1, or of w1 and w2, by its trees; the gradient is by default that of calculus. */
  function surface(value, dimension, gradient = range(dimension).map((i) => derivative(value, `w${i + 1}`))) {
    const second = (i, j) => derivative(gradient[i], `w${j + 1}`),
      mean = (i, j) => (i === j ? second(i, i) : over(plus(second(i, j), second(j, i)), 2));
    return {
      dimension,
      value: expanded(value),
      gradient: gradient.map(expanded),
      hessian: () => range(dimension).map((i) => range(dimension).map((j) => expanded(mean(i, j)))),
    };
  }

  /** The value of a function at a point. */
  function valueOf({ value }) {
    const { memory, results, run } = compiled([[value]], ["w1", "w2"]);
    return (x, y = 0) => {
      memory[0] = x;
      memory[1] = y;
      run[0]();
      return memory[results[0][0]];
    };
  }

  /** A tree of w1 and w2 with the trees of a point in their place. */
  const substituted = (tree, point) =>
    walk((part, ...parts) => {
      if (Array.isArray(part)) return [part[0], ...parts];
      return isNumber(part) ? part : point[part.slice(1) - 1];
    })(tree);

  /** How many coordinates a tree has. */
  const dimensionOf = (tree) => (namesIn(tree).has("w2") ? 2 : 1);

  // --- optimizers ----------------------------------------------------------------------------------------------

  /** The names of the `count` cells of a quantity; no name of a formula has a dot. */
  const cells = (name, count) => range(count).map((i) => `${name}.${i}`);

  /** A program over single coordinates: `moving` are the cells of w and of its states, `first` the trees of the states at the
   * start, `after` those of all that moves after a step. They name these cells, those of g, `.t`, `.f` and the settings.
   *
   * A quantity is the list of its cells, one for each coordinate or one for all of them; a matrix is {matrix: rows}. */
  function writtenOut({ settings, states, starts, statements, uses }, { dimension, gradient, hessian }) {
    const w = cells("w", dimension),
      second = uses.has("H") || uses.has("diagonal") ? hessian() : [];
    let scope = new Map(settings.map((name) => [name, [name]])).set("w", w);
    const cell = (quantity, i, j = i) => (quantity.matrix ? quantity.matrix[i][j] : (quantity[j] ?? quantity[0]));
    const rows = (entry) => range(dimension).map((i) => range(dimension).map((j) => entry(i, j)));
    const vector = (quantity, length = dimension) => {
      if (quantity.matrix) throw new Error("a matrix stands where a vector is needed");
      return range(length).map((i) => cell(quantity, i));
    };
    const symmetric = ({ matrix }) => {
      if (!matrix) throw new Error("a vector stands where a matrix is needed");
      const [first, last = [0, first[0]]] = matrix; // of one variable: twice
      return [first[0], first[1] ?? 0, last[1]];
    };
    const total = (trees) => trees.reduce((a, b) => ["add", a, b]);
    const quantity = (tree) => walk(visit)(tree);
    const visit = (tree, ...parts) => {
      if (isNumber(tree)) return [tree];
      if (!Array.isArray(tree)) return scope.get(tree);
      const [op] = tree,
        [x, y, z] = parts,
        length = Math.max(...parts.map((part) => part.length ?? 0));
      if (op === "sum") return [total(vector(x, length))];
      if (op === "norm") return [["sqrt", total(vector(x, length).map((tree) => ["multiply", tree, tree]))]];
      if (op === "grad") return gradient.map((slope) => substituted(slope, vector(x)));
      if (op === "diagonal") return second.map((row, i) => substituted(row[i], vector(x)));
      if (op === "smallest") return [["smallest", ...symmetric(x)]];
      if (op === "solve") {
        const [a, b, c] = symmetric(x),
          [u, v = 0] = vector(y);
        return [
          ["solve", a, b, c, u, v],
          ["solve", c, b, a, v, u],
        ].slice(0, dimension);
      }
      if (op === "clip") return range(length).map((i) => ["min", ["max", cell(x, i), cell(y, i)], cell(z, i)]);
      const entry = (i, j) => [op, ...parts.map((part) => cell(part, i, j))];
      return parts.some((part) => part.matrix) ? { matrix: rows(entry) } : range(length).map((i) => entry(i, i));
    };
    const first = states.map((name) => (starts.has(name) ? quantity(starts.get(name)) : [0]));
    const before = scope
      .set("g", cells("g", dimension))
      .set("t", [".t"])
      .set("f", [".f"])
      .set("I", { matrix: rows((i, j) => Number(i === j)) })
      .set("H", { matrix: second.map((row) => row.map((tree) => substituted(tree, w))) });
    // A state has one cell unless a value that it gets has more.
    function after(lengths) {
      scope = new Map(before);
      states.forEach((name, k) => scope.set(name, cells(name, lengths[k])));
      for (const { target, tree } of statements) scope.set(target, quantity(tree));
      const longest = states.map((name, k) => Math.max(lengths[k], scope.get(name).length ?? 0));
      if (longest.some((length, k) => length > lengths[k])) return after(longest);
      const ofStates = (value) => states.flatMap((name, k) => vector(value(name, k), lengths[k]));
      return {
        moving: [...w, ...ofStates((name, k) => cells(name, lengths[k]))],
        first: ofStates((_, k) => first[k]),
        after: [...vector(scope.get("w")), ...ofStates((name) => scope.get(name))],
      };
    }
    return after(first.map((start) => start.length ?? 0));
  }

  /** A program on a function, as (settings, start, steps, noise) => {rows, count}.
   *
   * `rows` has w, f and the gradient of every step up to the last one that is finite; `noise` is added to the gradients that the
   * optimizer gets, one number after the other. */
  function pathOn(surface, program) {
    const { dimension, value, gradient } = surface,
      { settings } = program,
      { moving, first, after } = writtenOut(program, surface),
      [w, g] = ["w", "g"].map((name) => cells(name, dimension)),
      here = [value, ...gradient].map((tree) => substituted(tree, w)),
      start = compiled([first], [...w, ...settings]),
      step = compiled([here, after], [...moving, ...g, ".t", ".f", ...settings]),
      { memory } = step,
      [evaluate, update] = step.run,
      [local, ends] = step.results,
      [slope, t, f] = [g[0], ".t", ".f"].map((name) => step.cells.get(name)),
      seen = [...range(dimension), ...local],
      next = new Float64Array(moving.length);
    return (values, point, steps, noise = null) => {
      const rows = new Float64Array((steps + 1) * seen.length);
      for (const { memory, cells } of [start, step]) {
        memory.set(point);
        for (const name of settings) memory[cells.get(name)] = values[name];
      }
      start.run[0]();
      start.results[0].forEach((cell, i) => (memory[dimension + i] = start.memory[cell]));
      for (let row = 0; ; row++) {
        evaluate();
        let isFinite = true;
        for (let i = 0; i < seen.length; i++) {
          rows[row * seen.length + i] = memory[seen[i]];
          isFinite &&= Number.isFinite(memory[seen[i]]);
        }
        if (row && !isFinite) return { rows, count: row };
        if (row === steps) return { rows, count: steps + 1 };
        memory[t] = row + 1;
        memory[f] = memory[local[0]];
        for (let i = 0; i < dimension; i++)
          memory[slope + i] = memory[local[1 + i]] + (noise ? noise[row * dimension + i] : 0);
        update();
        for (let i = 0; i < next.length; i++) next[i] = memory[ends[i]];
        memory.set(next);
      }
    };
  }

  // --- theory --------------------------------------------------------------------------------------------------

  const NOT_LINEAR = words(
    "sum norm grad diagonal solve smallest H I f sign abs min max where clip less greater remainder",
  );

  /** The theory of an optimizer whose step is linear in w, the gradient and at most one state, and whose stability is linear in
   * lr; null for another one. On a quadratic it multiplies (w, state) by a matrix for each curvature:
   * (settings, curvature) => {limit, rate}, the largest stable lr (Infinity where there is none) and the spectral radius. */
  function linearStep(program) {
    const { settings, states, uses } = program;
    if (!settings.includes("lr") || states.length > 1 || NOT_LINEAR.some((name) => uses.has(name))) return null;
    const { after } = writtenOut(program, { dimension: 1, gradient: [] }),
      inputs = ["w.0", "g.0", ...states.map((name) => `${name}.0`)],
      slopes = after.map((tree) => inputs.map((name) => derivative(tree, name))),
      isConstant = (tree) => [...inputs, ".t"].every((name) => !namesIn(tree).has(name));
    if (!slopes.flat().every(isConstant)) return null;
    const [[ww, wg, wv = 0], [vw, vg, vv] = [0, 0, 0]] = slopes,
      along = (slope, byGradient) => plus(slope, times(".a", byGradient)), // the gradient is the curvature times w
      matrix = [along(ww, wg), wv, along(vw, vg), vv],
      trace = plus(matrix[0], vv),
      determinant = minus(times(matrix[0], vv), times(wv, matrix[2]));
    // At a bound of stability an eigenvalue is -1, is 1, or has the absolute value 1 with its conjugate.
    const bounds = [plus(plus(1, trace), determinant), plus(minus(1, trace), determinant), minus(1, determinant)],
      changes = bounds.map((bound) => derivative(bound, "lr"));
    if (changes.some((change) => namesIn(change).has("lr"))) return null;
    const { memory, cells, results, run } = compiled([[...bounds, ...changes], matrix], [...settings, ".a"]),
      at = (lr) => (memory.fill(lr, cells.get("lr"), cells.get("lr") + 1), run.forEach((group) => group()));
    return (values, curvature) => {
      for (const name of settings) memory[cells.get(name)] = values[name];
      memory[cells.get(".a")] = curvature;
      at(0);
      const numbers = results[0].map((cell) => memory[cell]),
        zeros = [0, 1, 2].map((i) => (Math.abs(numbers[i]) > 1e-12 ? -numbers[i] / numbers[i + 3] : 0));
      at(values.lr);
      const rate = spectralRadius(...results[1].map((cell) => memory[cell]));
      return { limit: Math.min(...zeros.filter((lr) => lr > 0)), rate };
    };
  }

  /** The largest |eigenvalue| of [[a, b], [c, d]], scaled, so that no square overflows. */
  function spectralRadius(...entries) {
    const size = Math.max(...entries.map(Math.abs)),
      [a, b, c, d] = entries.map((entry) => entry / (size > 0 ? size : 1)),
      half = (a + d) / 2,
      determinant = a * d - b * c,
      spread = half * half - determinant;
    return size * (spread >= 0 ? Math.abs(half) + Math.sqrt(spread) : Math.sqrt(determinant));
  }

  return { dimensionOf, filled, linearStep, parse, pathOn, program, settingsOf, surface, valueOf };
})();
