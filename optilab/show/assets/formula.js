"use strict";
/* The arithmetic of the page: functions and optimizers are formulas, which are parsed, differentiated and run here, by the
 * `language` that the page's data has from optilab/optimize and in its order of operations, so that trajectories have the bits
 * of `optimize`.
 *
 * A tree is a number, a name, or [operation, ...trees]. */
const engineOf = (language) => {
  const OPERATIONS = new Map(Object.entries(language.operations)),
    namesOf = (rows) => new Map(rows.map(([name, { typed }]) => [typed, name])),
    typed = [...OPERATIONS].filter(([, row]) => row.typed),
    RULE_FUNCTIONS = namesOf(typed), // the operation of each function
    FUNCTIONS = namesOf(typed.filter(([, row]) => row.in_functions)),
    KNOWN = new Set([...RULE_FUNCTIONS.keys(), ...language.reserved]), // in the formula of an optimizer
    COORDINATES = new Map([...Object.entries(language.coordinates), ["w1", "w1"], ["w2", "w2"]]);

  /** The operators of two arguments that bind so closely, by their signs. */
  const infixOf = (closely) =>
    new Map(
      [...OPERATIONS]
        .filter(([, row]) => row.sign && row.arity === 2 && row.binds === closely)
        .map(([name, row]) => [row.sign.trim(), name]),
    );
  const INFIX = [1, 2, 3].map(infixOf); // powers and signs have rules of their own

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

  // --- the language --------------------------------------------------------------------------------------------

  function requireShort(text) {
    if (text.length > language.characters)
      throw new Error(`the formula has more than ${language.characters} characters`);
  }

  const tokensOf = (text) => [
    ...text.matchAll(/(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?j?|[a-z_]\w*|\*\*|\S|[\u0080-\uffff]/gi),
  ];

  const refusal = (column, what) => new Error(`column ${column}: ${what}`);

  /** The tree of an expression, as on paper: two factors need no sign between them. An Error says which column is not accepted.
   *
   * `names` has the trees of the names, `functions` the operations of the functions. Columns are counted from `offset`; `reads`
   * gets the names in the expression and `operations` its operations. */
  function parse(
    text,
    names = COORDINATES,
    functions = FUNCTIONS,
    offset = 0,
    reads = new Set(),
    operations = new Set(),
  ) {
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
      if (++nodes > language.nodes) throw new Error(`the formula has more than ${language.nodes} parts`);
      return tree;
    };
    const operation = (name, ...trees) => (operations.add(name), count([name, ...trees]));

    function infix(level = 0) {
      if (level === INFIX.length) return signed();
      const isOne = (token) => {
          const row = OPERATIONS.get(INFIX[level].get(token));
          return row && (isRule || row.in_functions);
        },
        isProduct = (token) => level === 2 && begins(token); // two factors need no sign between them
      let left = infix(level + 1);
      while (isOne(next()) || isProduct(next())) {
        left = operation(isProduct(next()) ? "multiply" : INFIX[level].get(take()), left, infix(level + 1));
        if (level === 0) break; // a comparison of a comparison is none
      }
      return left;
    }
    function signed() {
      if (++depth > language.depth) fail("nested too deeply");
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
      if (/^(?!0+[1-9]\d*$)[\d.]/.test(token) && Number(token) < 1e300) return count(Number(take()));
      if (token === "(") return (at++, closed(infix()));
      if (token === "pi") return (at++, count(Math.PI));
      const kind = tokens[at + 1]?.[0] === "(" && !/^(w\d|x|y)$/.test(token) ? "function" : "name";
      if (names.has(token) && kind === "name") return (at++, reads.add(token), count(names.get(token)));
      if (!functions.has(token)) fail(begins(token) ? `unknown ${kind} "${token}"` : `"${token}" is not accepted here`);
      at++;
      expect("(");
      const name = functions.get(token),
        trees = [infix()];
      while (trees.length < OPERATIONS.get(name).arity) trees.push((expect(","), infix()));
      return closed(operation(name, ...trees));
    }
    const closed = (tree) => (expect(")"), tree);

    const tree = infix();
    return at < tokens.length ? fail(`"${next()}" is not accepted here`) : tree;
  }

  /** The text of an optimizer with the variants of its settings put in, in which other settings may have theirs. */
  const filled = (text, variants, settings) =>
    text.replace(/\{([\w.]+)\}/g, (whole, name) => {
      if (!Object.hasOwn(variants, name)) return whole; // which the parser refuses
      const value = String(settings[name.split(".")[0]]); // form.k is another part of the text for the setting form
      return filled(variants[name][Object.hasOwn(variants[name], value) ? value : "else"], variants, settings);
    });

  /** The names in the formula of an optimizer that stand for nothing else: its settings. */
  function settingsOf(text) {
    requireShort(text);
    const targets = text.split(";").map((part) => /\w*/.exec(part.trim())[0]),
      taken = new Set([...targets, ...KNOWN, "w", "g"]),
      tokens = tokensOf(text).filter(([name]) => /^[a-z]/i.test(name) && !(name in {})),
      wrong = tokens.find(([name]) => language[taken.has(name) ? "no_names" : "no_settings"].includes(name));
    if (wrong) throw refusal(wrong.index + 1, `${wrong[0]} cannot be a name here`);
    return [...new Set(tokens.map(([name]) => name))].filter((name) => !taken.has(name));
  }

  /** The value of a tree of numbers, null of one with names. An Error says that a constant is not finite. */
  const constant = (tree) =>
    walk((part, ...values) => {
      if (!Array.isArray(part)) return isNumber(part) ? part : null;
      if (values.includes(null) || part[0] === "grad" || part[0] === "diagonal") return null;
      const [value] = compiled([], [valueUnder(new Map(), ON_VECTORS)([part[0], ...values])])([]);
      if (!Number.isFinite(value)) throw new Error("a constant of the formula is not finite");
      return value;
    })(tree);

  /** The formula of an optimizer whose settings have these names: its statements in order, the names of its states, the trees
   * where they start, and all names and operations in it. */
  function program(text, settings) {
    requireShort(text);
    let offset = 0;
    const parts = text.split(";").map((part) => {
      const head = /^\s*([a-z]\w*)\s*(<-|=)/i.exec(part);
      if (!head) throw refusal(offset + 1, "expected a statement such as w <- w - lr*g");
      const [{ length }, target, sign] = head,
        column = offset + part.search(/\S/) + 1,
        statement = { target, renews: sign === "<-", expression: part.slice(length), offset: offset + length };
      if (KNOWN.has(target)) throw refusal(column, `${target} cannot be assigned`);
      if (sign === { w: "=", g: "<-" }[target]) throw refusal(column, "expected w <- ..., and g = ...");
      offset += part.length + 1;
      return statement;
    });
    const renewed = new Set(parts.filter(({ renews }) => renews).map(({ target }) => target));
    if (!renewed.delete("w")) throw new Error("expected a statement w <- ...");
    const states = [...renewed],
      named = (names) => new Map(names.map((name) => [name, name])),
      early = named(["w", ...settings]), // what a start may read
      names = named(["w", "g", "t", "f", "H", "I", ...settings, ...states]),
      starts = new Map(states.map((name) => [name, 0])),
      statements = [],
      reads = new Set(),
      operations = new Set();
    for (const { target, renews, expression, offset } of parts) {
      const state = !renews && target.endsWith("0") ? target.slice(0, -1) : "",
        known = renewed.has(state) || state === "w" ? early : names,
        tree = parse(expression, known, RULE_FUNCTIONS, offset, reads, operations);
      if (renewed.has(state)) {
        starts.set(state, tree);
      } else {
        statements.push([target, tree]);
        names.set(target, target);
      }
      constant(tree);
    }
    return { settings, states, starts, statements, reads, operations };
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

  const SIMPLE = { add: plus, subtract: minus, multiply: times, divide: over, power: raised, negative };
  const NAMES = ["u", "v", "x", "du", "dv", "dx", "f"], // in a derivative: arguments, their derivatives, the tree itself
    slopes = new Map(); // the trees of derivatives, by their texts

  /** The tree of a derivative's text under the values of its names, without terms 0 and factors 1. */
  function slopeOf(text, values) {
    if (!slopes.has(text)) slopes.set(text, parse(text, new Map(NAMES.map((name) => [name, name])), RULE_FUNCTIONS));
    return walk((part, ...parts) => {
      if (!Array.isArray(part)) return values[part] ?? part;
      return Object.hasOwn(SIMPLE, part[0]) ? SIMPLE[part[0]](...parts) : [part[0], ...parts];
    })(slopes.get(text));
  }

  /** The derivative by a name; at a kink that of one side. */
  const derivative = (tree, name) =>
    walk((part, du, dv = 0, dx = 0) => {
      if (!Array.isArray(part)) return part === name ? 1 : 0;
      const [op, u, v, x] = part,
        { jumps, slope, slope_of_base } = OPERATIONS.get(op);
      if (jumps || (du === 0 && dv === 0 && dx === 0)) return 0;
      if (!slope) throw new Error(`${op} has no derivative here`);
      return slopeOf(slope_of_base && dv === 0 ? slope_of_base : slope, { u, v, x, du, dv, dx, f: part });
    })(tree);

  // --- vectors and matrices: of trees, so that only numbers are left to be calculated -----------------------------

  class Vector extends Array {} // a matrix is one of rows

  const rankOf = (value) => (value instanceof Vector ? 1 + rankOf(value[0]) : 0);

  /** A vector: a number stands in all places. */
  function vector(value, length = 1) {
    if (rankOf(value) > 1) throw new Error("a matrix stands where a vector is needed");
    return rankOf(value) ? value : Vector.from({ length }, () => value);
  }

  /** What `make` gives for all places of vectors and matrices, as in NumPy: a vector stands in every row of a matrix. */
  function everywhere(make, ...parts) {
    const rank = Math.max(...parts.map(rankOf));
    if (!rank) return make(...parts);
    const { length } = parts.find((part) => rankOf(part) === rank),
      at = (i) => parts.map((part) => (rankOf(part) === rank ? part[i] : part));
    return Vector.from({ length }, (_, i) => everywhere(make, ...at(i)));
  }
  const spread = (value, like) => everywhere((tree) => tree, value, like);
  const flat = (value) => (rankOf(value) ? [...value].flatMap(flat) : [value]);

  /** The entries a, b, c of a symmetric matrix [[a, b], [b, c]]; of one variable it stands there twice. */
  function symmetric(value) {
    if (rankOf(value) < 2) throw new Error("a vector stands where a matrix is needed");
    const [first, last = [0, first[0]]] = value;
    return [first[0], first[1] ?? 0, last[1]];
  }

  const ON_VECTORS = {
    sum: (a) => vector(a).reduce((x, y) => ["add", x, y]),
    norm: (a) => ["sqrt", ON_VECTORS.sum(vector(a).map((x) => ["multiply", x, x]))],
    smallest: (matrix) => ["smallest", ...symmetric(matrix)],
    solve: (matrix, right) => {
      const [a, b, c] = symmetric(matrix),
        [u, v = 0] = vector(right, matrix.length);
      return Vector.of(["solution", a, b, c, u, v], ["solution", c, b, a, v, u]).slice(0, matrix.length);
    },
  };

  /** A tree under the values of its names. */
  const valueUnder = (names, operations = {}) =>
    walk((part, ...parts) => {
      if (!Array.isArray(part)) return names.get(part) ?? part;
      const [name] = part;
      return operations[name]?.(...parts) ?? everywhere((...trees) => [name, ...trees], ...parts);
    });

  const NUMBERS = {
    // As in NumPy: a remainder has the sign of b, some powers are other operations, and a NaN is the smaller and the larger.
    remainder: (a, b) => (a % b) + (Math.sign(a % b) * Math.sign(b) < 0 ? b : 0),
    power: (a, b) => (b === 2 ? a * a : b === 0.5 ? Math.sqrt(a) : b === -1 ? 1 / a : a ** b),
    minimum: (a, b) => (a <= b || a !== a ? a : b),
    maximum: (a, b) => (a >= b || a !== a ? a : b),
    absolute: Math.abs,
    less: (a, b) => Number(a < b),
    greater: (a, b) => Number(a > b),
    negative: (a) => -a,
    sign: (a) => (a > 0 ? 1 : a < 0 ? -1 : a - a),
    where: (a, b, c) => (a !== 0 ? b : c),
    clip: (a, b, c) => NUMBERS.minimum(NUMBERS.maximum(a, b), c),
    smallest: (a, b, c) => (a + c) / 2 - Math.hypot((a - c) / 2, b), // eigenvalue of [[a, b], [b, c]]
    /** The first coordinate of the shortest solution of [[a, b], [b, c]] x = (u, v). */
    solution: (a, b, c, u, v) => {
      const mean = (a + c) / 2,
        half = (a - c) / 2,
        radius = Math.hypot(half, b),
        [p, q] = radius > 0 ? [half / radius, b / radius] : [1, 0],
        least = 1e-15 * (Math.abs(mean) + radius),
        along = (length, eigenvalue) => (Math.abs(eigenvalue) > least ? length / 2 / eigenvalue : 0);
      return along((1 + p) * u + q * v, mean + radius) + along((1 - p) * u - q * v, mean - radius);
    },
  };

  // Arithmetic on cells, without a call: a picture has hundreds of thousands of places.
  const ARITHMETIC = {
    add: (m, to, a, b) => () => (m[to] = m[a] + m[b]),
    subtract: (m, to, a, b) => () => (m[to] = m[a] - m[b]),
    multiply: (m, to, a, b) => () => (m[to] = m[a] * m[b]),
    divide: (m, to, a, b) => () => (m[to] = m[a] / m[b]),
  };

  /** Trees as a function of the values of `names`. What several trees contain is calculated once; the next
   * call changes the result. */
  function compiled(names, trees) {
    const cells = new Map(names.map((name, i) => [name, i])), // of names, numbers and operations on cells
      values = names.map(() => 0),
      steps = [];
    const place = walk((part, ...parts) => {
      const isNode = Array.isArray(part),
        key = isNode ? `${part[0]} ${parts}` : Object.is(part, -0) ? "-0" : String(part);
      if (cells.has(key)) return cells.get(key);
      const cell = values.push(isNode ? 0 : part) - 1,
        [a, b = a, c = a, d = a, e = a] = parts,
        run = NUMBERS[part[0]] ?? Math[part[0]],
        direct = ARITHMETIC[part[0]];
      if (direct) steps.push(direct(values, cell, a, b));
      else if (isNode) steps.push(() => (values[cell] = run(values[a], values[b], values[c], values[d], values[e])));
      return cells.set(key, cell).get(key);
    });
    const ends = trees.map(place),
      results = ends.map(() => 0); // one array, since a path makes thousands
    return (inputs) => {
      for (let i = 0; i < names.length; i++) values[i] = inputs[i];
      for (let i = 0; i < steps.length; i++) steps[i]();
      for (let i = 0; i < ends.length; i++) results[i] = values[ends[i]];
      return results;
    };
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
        isProduct = part[0] === "power" && Number.isInteger(n) && n > 0 && n <= language.product;
      return isProduct ? wholePower(x, n) : [part[0], ...parts];
    })(tree);

  /** A function of w1, or of w1 and w2, by its tree: `at` gives f, `local` f with the gradient at a point;
   * `gradient` and `hessian` are trees. The gradient is by default that of calculus. */
  function surface(value, dimension, gradient = range(dimension).map((i) => derivative(value, `w${i + 1}`))) {
    const names = range(dimension).map((i) => `w${i + 1}`),
      second = (i, j) => derivative(gradient[i], names[j]),
      entry = (i, j) => (i === j ? second(i, i) : over(plus(second(i, j), second(j, i)), 2)),
      row = (i) => Vector.from(names, (_, j) => expanded(entry(i, j))),
      trees = [value, ...gradient].map(expanded),
      height = compiled(names, trees.slice(0, 1));
    return {
      names,
      at: (...w) => height(w)[0],
      local: compiled(names, trees),
      gradient: Vector.from(trees.slice(1)),
      hessian: () => Vector.from(names, (_, i) => row(i)),
    };
  }

  /** How many coordinates a tree has. */
  function dimensionOf(tree) {
    const names = new Set();
    walk((part) => names.add(part))(tree);
    return names.has("w2") ? 2 : 1;
  }

  // --- optimizers ----------------------------------------------------------------------------------------------

  /** A step of a program: the names of its states, their trees at the start, and those of w and the states after the step.
   * A state has the shape of `shapes`; one that starts as a number may become a vector. */
  function stepOf(program, known, operations, shapes = null) {
    const { states, starts, statements } = program,
      first = states.map((name) => valueUnder(new Map([["w", known.get("w")]]), operations)(starts.get(name))),
      likes = shapes ?? first,
      named = (name, like, i = 0) => everywhere(() => `${name} ${i++}`, like),
      names = new Map([...known, ...states.map((name, i) => [name, named(name, likes[i])])]),
      inputs = states.flatMap((name) => flat(names.get(name)));
    let isPoint = true;
    for (const [target, tree] of statements) {
      const value = valueUnder(names, operations)(tree);
      isPoint &&= vector(value) === value || target !== "w" || !rankOf(known.get("w")); // an Error for a matrix
      names.set(target, value);
    }
    const next = states.map((name, i) => spread(names.get(name), likes[i]));
    if (next.some((value, i) => rankOf(value) > rankOf(likes[i]))) return stepOf(program, known, operations, next);
    if (!isPoint) throw new Error("expected w <- ... with a number for each coordinate");
    const start = first.flatMap((value, i) => flat(spread(value, likes[i])));
    return { inputs, start, next: [vector(names.get("w"), flat(known.get("w")).length), ...next].flatMap(flat) };
  }

  /** A program on a function, as (settings, start, steps, noise) => {rows, count}.
   *
   * `rows` has w, f and the gradient of every step up to the last one that is finite; `noise` is added to the gradients that the
   * optimizer gets, one number after the other. */
  function pathOn({ names, local, gradient, hessian }, program) {
    const dimension = names.length,
      slopes = Vector.from(names, (name) => `g${name}`),
      at = (w, trees) => {
        const place = valueUnder(new Map(vector(w, dimension).map((tree, i) => [names[i], tree])));
        return trees.map((tree) => (rankOf(tree) ? tree.map(place) : place(tree)));
      },
      second = program.reads.has("H") || program.operations.has("diagonal") ? hessian() : 0,
      known = new Map([
        ["w", Vector.from(names)],
        ["g", slopes],
        ["H", second],
        ["I", Vector.from(names, (_, i) => Vector.from(names, (_, j) => Number(i === j)))],
      ]);
    const { inputs, start, next } = stepOf(program, known, {
      ...ON_VECTORS,
      grad: (w) => at(w, gradient),
      diagonal: (w) => at(w, second).map((row, i) => row[i]),
    });
    const first = compiled([...names, ...program.settings], start),
      step = compiled([...names, ...inputs, ...slopes, "t", "f", ...program.settings], next);
    return (values, point, steps, noise = null) => {
      const constants = program.settings.map((name) => values[name]),
        moving = [...point, ...first([...point, ...constants])], // w and the states
        inputs = [...moving, ...slopes.map(() => 0), 0, 0, ...constants],
        rows = new Float64Array((steps + 1) * (2 * dimension + 1));
      for (let row = 0, at = 0; ; row++) {
        const here = local(inputs);
        for (let i = 0; i < dimension; i++) rows[at++] = inputs[i];
        for (let i = 0; i <= dimension; i++) rows[at++] = here[i];
        for (let i = at - 2 * dimension - 1; row && i < at; i++)
          if (!Number.isFinite(rows[i])) return { rows, count: row };
        if (row === steps) return { rows, count: steps + 1 };
        for (let i = 0; i < dimension; i++)
          inputs[moving.length + i] = noise ? here[i + 1] + noise[row * dimension + i] : here[i + 1];
        inputs[moving.length + dimension] = row + 1;
        inputs[moving.length + dimension + 1] = here[0];
        const after = step(inputs);
        for (let i = 0; i < after.length; i++) inputs[i] = after[i];
      }
    };
  }

  // --- theory --------------------------------------------------------------------------------------------------

  const STATES = [
    [1, 0],
    [0, 1],
    [1.3, -0.7],
    [-2.1, 0.4],
  ]; // w and the state where a step is compared with its matrix
  const agree = (a, b) => Math.abs(a - b) <= 1e-9 * (1 + Math.abs(a));

  /** The theory of an optimizer whose step is linear in w, the gradient and at most one state, and whose stability is linear in
   * lr; null for another one. On a quadratic it multiplies (w, state) by a matrix for each curvature:
   * `limit` is the largest stable lr (Infinity where every lr is stable, NaN where small ones are not), `factor` the larger
   * eigenvalue, of (settings, curvature). */
  function linearStep(program) {
    const { settings, states, reads, operations } = program,
      hasMore = ["H", "I", "f"].some((name) => reads.has(name)),
      isOther = [...operations].some((name) => !OPERATIONS.get(name).may_be_linear);
    if (!settings.includes("lr") || states.length > 1 || hasMore || isOther) return null;
    const { inputs, next } = stepOf(program, new Map([["w", "w"]])),
      step = compiled(["w", "g", "t", ...settings, ...inputs], next);
    const moved = (values, curvature, [w, state], t = 1) => [
      ...step([w, curvature * w, t, ...settings.map((name) => values[name]), ...states.map(() => state)]),
    ];
    const matrixOf = (values, curvature) => {
      const [[a, c = 0], [b, d = 0]] = STATES.slice(0, 2).map((place) => moved(values, curvature, place));
      return [a, b, c, d];
    };
    // At a bound of stability an eigenvalue is -1, is 1, or has the absolute value 1 with its conjugate.
    const boundsAt = (lr, values, curvature) => {
      const [a, b, c, d] = matrixOf({ ...values, lr }, curvature),
        determinant = a * d - b * c;
      return [1 + (a + d) + determinant, 1 - (a + d) + determinant, 1 - determinant];
    };
    const trial = Object.fromEntries(settings.map((name, i) => [name, 0.6 / (i + 1)])),
      [a, b, c, d] = matrixOf(trial, 3),
      [first, second, third] = [0, 1, 2].map((lr) => boundsAt(lr, trial, 3));
    const isLinear = STATES.every(([w, v]) =>
      [1, 2].every((t) => {
        const [next, state = 0] = moved(trial, 3, [w, v], t);
        return agree(next, a * w + b * v) && agree(state, c * w + d * v);
      }),
    );
    if (!isLinear || !first.every((bound, i) => agree(bound + third[i], 2 * second[i]))) return null;
    const factor = (values, curvature) => eigenvalue(...matrixOf(values, curvature)),
      rate = (values, curvature) => factor(values, curvature).size;
    const limit = (values, curvature) => {
      const unit = 1 / curvature,
        [before, after] = [0, unit].map((lr) => boundsAt(lr, values, curvature)),
        zeros = before.map((bound, i) => (Math.abs(bound) > 1e-12 ? (unit * bound) / (bound - after[i]) : 0));
      const first = Math.min(...zeros.filter((lr) => lr > 0)),
        inside = Math.min(first, unit) / 2; // stability is the same at all lr below the first bound
      return rate({ ...values, lr: inside }, curvature) < 1 ? first : NaN;
    };
    return { limit, factor, rate };
  }

  /** The eigenvalue of [[a, b], [c, d]] that is largest in size, and its angle, 0 to pi; scaled, so that no square overflows. */
  function eigenvalue(...entries) {
    const size = Math.max(...entries.map(Math.abs)),
      [a, b, c, d] = entries.map((entry) => entry / (size > 0 ? size : 1)),
      half = (a + d) / 2,
      determinant = a * d - b * c,
      spread = half * half - determinant;
    if (spread >= 0) return { size: size * (Math.abs(half) + Math.sqrt(spread)), angle: half < 0 ? Math.PI : 0 };
    return { size: size * Math.sqrt(determinant), angle: Math.atan2(Math.sqrt(-spread), half) };
  }

  return { dimensionOf, filled, linearStep, parse, pathOn, program, settingsOf, surface };
};
