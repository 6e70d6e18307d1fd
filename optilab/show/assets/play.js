"use strict";
/* The playground. `state` has all settings, which the address holds; `update` follows the optimizers from them, and `draw`
 * shows what came out. A place in a chart is a percentage of its plot, so that it fits any width, also that of paper. */

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const dimension = data.start.length,
  WIDTH = 2 * dimension + 1; // numbers of a row: w, f, gradient

// --- elements and numbers --------------------------------------------------------------------------------------

const maker = (namespace) => {
  return (name, attributes = {}, ...children) => {
    const node = document.createElementNS(namespace, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
};
const html = maker("http://www.w3.org/1999/xhtml"),
  svg = maker("http://www.w3.org/2000/svg");

/** What a map has for a key, made once. */
function cached(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

const round = (number, digits) => Number(number.toPrecision(digits));

/** A number with so many digits. */
function text(value, digits = 6) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "\u2013" : value > 0 ? "\u221e" : "\u2212\u221e";
  const size = Math.abs(value),
    isPlain = !size || (size >= 1e-4 && size < 10 ** digits),
    short = value.toExponential(Math.min(3, digits - 1)).replace(/\.?0*e\+?/, "e");
  return (isPlain ? String(round(value, digits)) : short).replaceAll("-", "\u2212");
}

const SUPERSCRIPT = { "-": "\u207b", ..."\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079" };
const power = (exponent) => `10${[...String(exponent)].map((character) => SUPERSCRIPT[character]).join("")}`;
const least = (numbers) => numbers.reduce((a, b) => (b < a ? b : a), Infinity); // also of 100,000
const most = (numbers) => numbers.reduce((a, b) => (b > a ? b : a), -Infinity);
const range = (length) => Array.from({ length }, (_, i) => i);

/** Round numbers from low to high, at most `count` unless there would be a single number, no closer than `gap`. */
function ticks([low, high], count, gap = 0) {
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) return []; // sides that an address may ask for
  const base = 10 ** Math.floor(Math.log10((high - low) / count)),
    fits = (step) => Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) < count,
    factors = gap ? [1, 2, 3, 5, 10] : [1, 2, 5, 10],
    step = Math.max(gap, base * (factors.find((factor) => fits(base * factor)) ?? 20)),
    numbers = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) numbers.push(round(i * step, 12));
  return numbers.length < 2 && count < 8 ? ticks([low, high], count + 1, gap) : numbers;
}

/** Names, the first ones where there are many. */
const few = (names) =>
  names.length > 5 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ") || "nothing";

function copy(content, button) {
  navigator.clipboard.writeText(content).then(() => (button.textContent = "copied"), console.info);
}

// --- state -----------------------------------------------------------------------------------------------------

const STEPS = 500, // positions of a slider: each is another number, to three digits
  MAX_RULES = 64, // that an address may list
  [MIN_ZOOM, MAX_ZOOM] = [-4, 12],
  ANY = [null, null];
const opening = data.rules.slice(0, data.listed); // the rules that the page opens with

/** The fields of the page. A field has a name and the values that it accepts: `options`, `size` numbers, or one number,
 * from the first to the second of `accepted`. `scale` says how the positions of its slider become values. */
const FIELDS = [
  { name: "start", size: dimension },
  ...data.fields,
  { name: "at", accepted: [0, null], whole: true },
  { name: "view", size: 2 * dimension },
];
const SHOWN = { name: "shown", options: [true, false] };

/** The value that a text gives a field; undefined where the field does not accept it. */
function valueOf({ options, size, accepted, whole }, written) {
  if (options) return options.find((option) => String(option) === written);
  const numbers = written.split(",").map((part) => (part.trim() ? Number(part.replace("\u2212", "-")) : NaN));
  if (numbers.length !== (size ?? 1) || !numbers.every(Number.isFinite)) return undefined;
  if (size) return numbers;
  const [number] = numbers,
    isAccepted = number >= (accepted[0] ?? -Infinity) && number <= (accepted[1] ?? Infinity);
  return isAccepted && (!whole || Number.isInteger(number)) ? number : undefined;
}

const startOf = (fn) => (fn === data.functions[0] ? data.start : fn.start);

/** The state of the page for a function and rules, before anything is moved. The place of a rule decides its color. */
const initialState = (fn = data.functions[0], rules = opening) => ({
  fn,
  start: [...startOf(fn)],
  epochs: data.epochs,
  noise: 0, // standard deviation of what is added to every gradient
  seed: 0,
  at: null, // the epoch that is shown; null: the last one
  view: null, // low and high of each axis of the picture; null: all of it
  rules: rules.map((rule) => ({ rule, shown: true, values: defaultsOf(fn, rule) })),
});

/** The values of a rule before any is moved: as the page was made, elsewhere with the best learning rate. */
function defaultsOf(fn, rule) {
  const values = Object.fromEntries(rule.fields.map(({ name, value }) => [name, value]));
  const lr = () => cached(fn.rates, rule, () => bestRateOf(fn, rule, values));
  return Object.hasOwn(values, "lr") ? { ...values, lr: lr() } : values;
}

const RATES = [-6, -5, -4, -3, -2, -1, 0, 1].flatMap((e) => [1, 2, 5].map((digit) => Number(`${digit}e${e}`)));

/** The lr of RATES, stable by theory where there is one, whose trajectory from the function's start is lowest on average, of
 * those that end in its box if any does; the rule's value where all diverge, and where the page was made with it. */
function bestRateOf(fn, rule, values) {
  const settings = { fn, start: startOf(fn), epochs: data.epochs, noise: 0 },
    followed = (lr) => follow(rule, { ...values, lr }, settings),
    isOpening = fn === data.functions[0] && opening.includes(rule);
  let best = { lr: values.lr, isOutside: true, sum: Infinity };
  if (!isOpening || (data.free && followed(values.lr).status === "diverged"))
    for (const lr of RATES) {
      const path = followed(lr),
        isOutside = !isIn(fn.box, pointAt(path, path.count - 1));
      let sum = 0;
      for (let row = 0; row < path.count; row++) sum += heightAt(path, row);
      const isBetter = isOutside === best.isOutside ? sum < best.sum : best.isOutside;
      if (isBetter && path.status !== "diverged" && !(theoryOf(rule, { ...values, lr }, path)?.rate >= 1))
        best = { lr, isOutside, sum };
    }
  return best.lr;
}

/** A function that runs. */
function running(fn, tree, gradient) {
  const surface = Formula.surface(tree, dimension, gradient);
  const caches = { runners: new Map(), rates: new Map() };
  return Object.assign(fn, { surface, value: Formula.valueOf(surface), ...caches, written: JSON.stringify(tree) });
}
for (const fn of data.functions) running(fn, fn.value, fn.gradient);

/** The function of a name or of a formula; an Error says what is wrong with the formula. */
function functionOf(key) {
  const known = data.functions.find((fn) => fn.key === key);
  if (known) return known;
  const tree = Formula.parse(key),
    same = data.functions.find((fn) => fn.written === JSON.stringify(tree)),
    variables = ["x", "x and y"][dimension - 1];
  if (Formula.dimensionOf(tree) !== dimension) throw new Error(`this page has functions of ${variables}`);
  const [box, start] = [Array(dimension).fill([-3, 3]), [-1, 1].slice(0, dimension)],
    fn = { key, formula: key, settings: "", command: `--function ${quoted(key)}`, minima: [], everywhere: false };
  return same ?? running({ ...fn, box, start, lowest: null, isTyped: true }, tree);
}

/** The rule of a key or of a formula, whose free names are its settings; an Error says what is wrong with the formula. */
function ruleOf(key) {
  const known = data.rules.find((rule) => rule.key === key);
  if (known) return known;
  const names = Formula.settingsOf(key),
    numbers = data.rules.flatMap((rule) => rule.fields).filter((field) => field.scale);
  Formula.pathOn(data.functions[0].surface, Formula.program(key, names)); // or an Error
  const fields = names.map((name) => {
    const field = numbers.find((number) => number.name === name);
    return (
      field ?? { name, doc: "a setting of the formula", value: 0.5, scale: "linear", low: 0, high: 1, accepted: ANY }
    );
  });
  const settings = Object.fromEntries(fields.map(({ name, value }) => [name, value]));
  return { key, name: key, text: key, variants: {}, settings, fields, fixed: { formula: key } };
}

// --- trajectories ------------------------------------------------------------------------------------------------

const settingsOf = (rule, values) => ({ ...rule.settings, ...values });
const formulaOf = (rule, values) => Formula.filled(rule.text, rule.variants, settingsOf(rule, values));
const programs = new Map(); // of formulas and the names of their settings

function programOf(rule, values) {
  const [formula, names] = [formulaOf(rule, values), Object.keys(rule.settings)];
  return cached(programs, `${formula} ${names}`, () => Formula.program(formula, names));
}

/** Whether a rule evaluates gradients itself, to which no noise is added. */
const isExact = ({ rule, values }) => programOf(rule, values).uses.has("grad");

/** The trajectory of a rule: `rows` of w, f and the gradient, how many there are, and how it ended, as `descend` says. */
function follow(rule, values, { fn, start, epochs, noise, seed } = state) {
  const program = programOf(rule, values),
    isNoisy = noise && !program.uses.has("grad"),
    added = isNoisy ? draws(seed, (epochs + 1) * dimension).map((number) => noise * number) : null;
  const run = cached(fn.runners, program, () => Formula.pathOn(fn.surface, program)),
    path = { fn, ...run(settingsOf(rule, values), start, epochs, added) },
    hasEnded = path.count <= epochs || !isFinite(heightAt(path, 0));
  return { ...path, status: hasEnded ? "diverged" : statusAt(path, path.count - 1) };
}

/** Numbers of the standard normal distribution, which every rule gets: mulberry32 and Box-Muller, not the generator of NumPy. */
function draws(seed, count) {
  let a = seed >>> 0;
  const uniform = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float64Array.from({ length: count }, normal);
}

const heightAt = (path, row) => path.rows[row * WIDTH + dimension];
const pointAt = (path, row) => [...path.rows.subarray(row * WIDTH, row * WIDTH + dimension)];
const slopeAt = (path, row) => Math.hypot(...path.rows.subarray(row * WIDTH + dimension + 1, (row + 1) * WIDTH));
const isIn = (sides, point) => point.every((w, axis) => w >= sides[axis][0] && w <= sides[axis][1]);
const roundingOf = (f) => data.rounding * Math.max(1, Math.abs(f));
/** Whether f is lower than at the minimum that is known, which then is one of several, or the lowest of its box only. */
const isBelow = (fn, f) => fn.lowest !== null && f < fn.lowest - roundingOf(fn.lowest);

/** How a trajectory that ends at this row has ended, as `descend` says. */
function statusAt(path, row) {
  if (path.status && row === path.count - 1) return path.status;
  if (slopeAt(path, row) < data.tolerance) return "converged";
  let lowest = path.fn.lowest ?? Infinity;
  if (lowest === Infinity) for (let i = 0; i <= row; i++) lowest = Math.min(lowest, heightAt(path, i));
  const allowed = data.diverged * Math.max(heightAt(path, 0) - lowest, data.tolerance);
  return heightAt(path, row) - lowest > allowed ? "diverged" : "moving";
}

/** The status in words, with what it leaves out: a place that is no known minimum, a trajectory that falls for ever. */
function verdictAt(path, row) {
  const { fn } = path,
    [status, point, f] = [statusAt(path, row), pointAt(path, row), heightAt(path, row)],
    close = nearest(fn, point);
  if (status === "converged" && close) {
    // where f is convex, f - f_min is at most |grad| times the distance
    const bound = data.tolerance * close.distance + roundingOf(fn.lowest),
      isFar = close.distance > data.close * Math.max(...fn.box.map(([low, high]) => high - low));
    return isFar || Math.abs(f - fn.lowest) > bound ? "converged, not at the minimum" : status;
  }
  if (status !== "moving") return status;
  return [status, isBelow(fn, f) && "below f_min", !isIn(whole(), point) && "off the map"].filter(Boolean).join(", ");
}

/** The distance of a point to the nearest minimum, and that minimum; undefined where none is known. */
const nearest = (fn, point) =>
  fn.minima
    .map((minimum) => ({ minimum, distance: Math.hypot(...minimum.point.map((w, i) => point[i] - w)) }))
    .reduce((best, next) => (best?.distance <= next.distance ? best : next), undefined);

const linearSteps = new Map(); // of programs

/** By theory: the largest stable lr, the factor per step at the rule's lr and at others, and the minimum whose curvatures decide,
 * the nearest to the end of the trajectory that has some; null without one. */
function theoryOf(rule, values, path) {
  const program = programOf(rule, values),
    settings = settingsOf(rule, values),
    end = nearest(path.fn, pointAt(path, path.count - 1))?.minimum,
    bowl = end?.curvatures ? end : path.fn.minima.find((minimum) => minimum.curvatures);
  const step = cached(linearSteps, program, () => Formula.linearStep(program));
  if (!step || !bowl) return null;
  const along = (lr) => bowl.curvatures.map((curvature) => step({ ...settings, lr }, curvature)),
    rateAt = (lr) => Math.max(...along(lr).map(({ rate }) => rate)),
    limit = Math.min(...along(settings.lr).map(({ limit }) => limit));
  return Number.isFinite(limit) ? { limit, rate: rateAt(settings.lr), rateAt, bowl } : null;
}

// --- sentences -----------------------------------------------------------------------------------------------------

const MAX_TIE = 0.01; // of the distance of the nearest: no rule within it is ahead

/** In a sentence, which rules are nearest to a minimum at an epoch, or have the lowest f, and which ones are lost. */
function answerAt(epoch, shown) {
  const { minima } = state.fn,
    minimum = minima.length > 1 ? "a minimum" : "the minimum",
    farOf = ({ distance, f }) => distance ?? f,
    named = (lost) => shown.filter(({ verdict }) => verdict.includes(lost)).map(({ rule }) => rule.name);
  const others = shown.filter(({ verdict }) => !/diverged|off the map/.test(verdict)),
    far = least(others.map(farOf)),
    first = others.filter((result) => farOf(result) <= far + MAX_TIE * Math.abs(far)).map(({ rule }) => rule.name),
    where = minima.length ? `nearest to ${minimum}, ${text(far, 2)} from it` : `lowest: f = ${text(far, 2)}`,
    lost = ["diverged", "off the map"].filter((how) => named(how).length).map((how) => `${how}: ${few(named(how))}`),
    parts = first.length ? [`${few(first)} ${first.length > 1 ? "are" : "is"} ${where}`, ...lost] : lost;
  return shown.length ? `After ${epoch} epochs ${parts.join("; ")}.` : "No optimizer is ticked.";
}

/** What theory says of a rule under its settings. */
function sentence(theory, lr) {
  const { fn } = state;
  if (!theory) return fn.minima.some((minimum) => minimum.curvatures) ? "theory: no limit in closed form" : "";
  const where = fn.everywhere ? "" : `near (${theory.bowl.point.map((w) => text(w, 3)).join(", ")}): `,
    then = lr > theory.limit || theory.rate >= 1 ? "this lr is unstable" : `\u00d7${theory.rate.toFixed(4)} per step`;
  return `${where}stable up to lr ${text(theory.limit, 4)}; ${then}`;
}

const quoted = (content) => `'${content.replaceAll("'", "'\\''")}'`; // in a shell

/** The command that runs this in a terminal. */
function command() {
  const { fn, start, epochs, noise, seed } = state,
    entries = state.rules.filter((entry) => entry.shown && !(noise && isExact(entry))),
    algo = entries.map(({ rule, values }) => ({ ...rule.fixed, ...values })),
    more = noise ? ` --set noise=${noise} --set seed=${seed}` : "";
  if (!algo.length) return "";
  return `optilab optimize ${fn.command} --start=${start} --epochs ${epochs} --set ${quoted(`algo=${JSON.stringify(algo)}`)}${more}`;
}

/** The numbers of all trajectories with all digits, as CSV. */
function csv() {
  const gradient = Array.from({ length: dimension }, (_, i) => `grad${i + 1}`),
    lines = [["algo", "epoch", ...coordinates(), "f", ...gradient].join()];
  for (const { rule, path } of shownRules()) {
    const name = /[",]/.test(rule.name) ? `"${rule.name.replaceAll('"', '""')}"` : rule.name;
    for (let row = 0; row < path.count; row++)
      lines.push([name, row, ...path.rows.subarray(row * WIDTH, (row + 1) * WIDTH)].join());
  }
  return `${lines.join("\n")}\n`;
}

// --- the address -----------------------------------------------------------------------------------------------------

const rulesOf = (settings) => settings.rules.map((entry) => entry.rule);

/** Every value that the address holds: its name there, its field, and the object that has it. */
const fieldsOf = (settings) => [
  ...FIELDS.map((field) => [field.name, field, settings]),
  ...settings.rules.flatMap((entry) => [
    ...entry.rule.fields.map((field) => [`${entry.rule.key}.${field.name}`, field, entry.values]),
    [`${entry.rule.key}.shown`, SHOWN, entry],
  ]),
];

/** The address of a state, name by name. Rules are parted by commas, and one that has a comma is encoded. */
const flat = ({ fn, rules }, settings) => [
  ["function", fn.key],
  ["algo", String(rules.map(({ rule: { key } }) => (/[,%]/.test(key) ? encodeURIComponent(key) : key)))],
  ...fieldsOf(settings).map(([name, field, target]) => [name, String(target[field.name])]),
];

/** What differs from the page as it was made: `function=booth&algo=sgd,adan&start=1,2&epochs=40&sgd.lr=0.1&adan.shown=false`. */
function fragment() {
  const initial = new Map(flat(initialState(), initialState(state.fn, rulesOf(state)))),
    code = (part) => encodeURIComponent(part).replaceAll("%2C", ",");
  const parts = flat(state, state).filter(([name, value]) => value !== initial.get(name));
  return parts.map((part) => part.map(code).join("=")).join("&");
}

/** What `run` returns; undefined where it throws. */
function attempt(run) {
  try {
    return run();
  } catch {
    return undefined;
  }
}

/** The state of an address; what is not a setting, or has no accepted value, is passed over. */
function read(address) {
  const decoded = (part) => attempt(() => decodeURIComponent(part)) ?? "",
    parts = address.split("&").map((part) => part.split(/=(.*)/s)),
    asked = new Map(parts.map(([name, value = ""]) => [decoded(name), decoded(value)])),
    keys = (asked.get("algo") ?? "").split(",").slice(0, MAX_RULES).map(decoded),
    rules = [...new Set(keys)].map((key) => attempt(() => ruleOf(key))).filter(Boolean),
    fn = attempt(() => functionOf(asked.get("function"))),
    settings = initialState(fn, rules.length ? rules : opening);
  for (const [name, field, target] of fieldsOf(settings))
    target[field.name] = valueOf(field, asked.get(name) ?? "") ?? target[field.name];
  if (settings.at >= settings.epochs) settings.at = null;
  if (settings.view?.some((high, i) => i % 2 && !(high > settings.view[i - 1]))) settings.view = null;
  return settings;
}

let keeping = 0;

/** Write the settings into the address, not at every movement: browsers limit how often it may change. */
function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(() => {
    if (!playing && location.hash.slice(1) !== fragment())
      attempt(() => history.replaceState(null, "", `#${fragment()}`));
  }, 200);
}

// --- the part of the plane that is shown -----------------------------------------------------------------------------

const MAX_STRETCH = 6; // beyond it the scales of the axes differ, or one would be a strip
const planeOf = (id) => byId(id).querySelector(".plane");
let layout = {}; // of every chart its size, whether it is small; the colors of contours

/** Read the layout, which is not done while drawing: after each change of the page it would be laid out again. */
function measure() {
  const style = getComputedStyle(document.documentElement);
  layout = {
    colors: ["--low", "--high", "--contour"].map((name) => style.getPropertyValue(name).trim().split(" ").map(Number)),
  };
  for (const { id } of document.querySelectorAll("figure")) {
    const { clientWidth: width, clientHeight: height, parentElement } = planeOf(id);
    layout[id] = { width, height, isSmall: parentElement.clientWidth < 420 };
  }
  redraw();
}

const wider = ([low, high]) => [low - 0.04 * (high - low), high + 0.04 * (high - low)];
const middle = (sides) => sides.map(([low, high]) => (low + high) / 2);

/** The sides of a plane with the wider scale for both axes, so that trajectories cross lines of equal height at right angles. */
function equal(sides) {
  const { width, height } = layout.ground,
    [wide, high] = sides.map(([low, end]) => end - low),
    stretch = (wide * height) / (high * width),
    grown = ([low, end], by) => [(low + end - by * (end - low)) / 2, (low + end + by * (end - low)) / 2];
  if (dimension < 2 || !(stretch < MAX_STRETCH && stretch > 1 / MAX_STRETCH)) return sides;
  return stretch > 1 ? [sides[0], grown(sides[1], stretch)] : [grown(sides[0], 1 / stretch), sides[1]];
}

/** The function's box, wider where the trajectories start outside it. */
const whole = ({ fn, start } = state) =>
  equal(fn.box.map(([low, high], axis) => wider([Math.min(low, start[axis]), Math.max(high, start[axis])])));

/** The sides of the picture, (low, high) for each axis: the part that was chosen, else the whole. */
const view = () =>
  state.view ? equal(range(dimension).map((axis) => state.view.slice(2 * axis, 2 * axis + 2))) : whole();

/** How much larger the box of the function is than the picture, in powers of two. */
function zoom() {
  const [[low, high]] = view(),
    [[left, right]] = equal(state.fn.box);
  return Math.log2((right - left) / (high - low));
}

/** Show the sides that a function makes of their ends, where the address holds them. */
function look(endAt) {
  state.view = view().flatMap((ends, axis) => ends.map((w) => endAt(w, axis)));
  redraw();
}

/** Double the scale so often, and keep the point `fixed` where it is in the picture. */
function zoomBy(by, fixed = middle(view())) {
  const change = Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, zoom() + by)) - zoom();
  look((w, axis) => fixed[axis] + (w - fixed[axis]) * 2 ** -change);
}

/** Look closer at the minimum in which the first trajectory ends, or at the middle where it is not in the picture. */
function closer() {
  const path = shownRules()[0]?.path,
    goal = path && nearest(state.fn, pointAt(path, path.count - 1))?.minimum.point;
  zoomBy(1, goal && isIn(view(), goal) ? goal : undefined);
}

// --- charts ------------------------------------------------------------------------------------------------------------

const [SMALL, LARGE, SHAPES] = ["small", "large", 7]; // sizes and number of the markers in the template
const MANY = 60; // steps of a trajectory from which they have no markers

const color = (i) => `c${i % 6}`;
const line = (i, d, name = "", more = {}) =>
  svg("path", { d, class: `curve ${color(i)} dash${Math.floor(i / 6) % 4} ${name}`, ...more });
const use = (name, [x, y], look) => svg("use", { href: `#${name}`, x: `${x}%`, y: `${y}%`, class: look });
const mark = (i, spot, size, look = "") => use(`${size}${i % SHAPES}`, spot, `mark ${look} ${color(i)}`);
const sign = (i) =>
  svg("svg", { viewBox: "-7 -7 14 14", class: "sign", "aria-hidden": "true" }, mark(i, [0, 0], LARGE));
const word = ([x, y], content, attributes) => svg("text", { x: `${x}%`, y: `${y}%`, ...attributes }, content);
const isInside = ([x, y]) => x >= 0 && x <= 100 && y >= 0 && y <= 100;
/** Hundredths in percent, NaN where a line has a gap; SVG cannot draw to 1e300. */
const percent = (share) =>
  Number.isFinite(share) ? Math.round(Math.min(1e6, Math.max(-1e6, 1e4 * share))) / 100 : NaN;

/** A chart over (low, high) of both axes, which have names: where values lie in it, and what fills it. */
function chart(id, xs, ys, xname, yname) {
  const { width, height, isSmall } = layout[id],
    x = (value) => percent((value - xs[0]) / (xs[1] - xs[0])),
    y = (value) => percent((ys[1] - value) / (ys[1] - ys[0]));
  /** Fill it with ticks, by their texts, with lines that end at its edges, and with what stands over them. */
  function fill(across, up, lines, over) {
    const [marks, below, above] = planeOf(id).querySelectorAll(".marks, .across-name, .up-name"),
      [axes, inside, outside] = marks.children;
    axes.replaceChildren(
      ...up.map(([at]) => svg("line", { x2: "100%", y1: `${y(at)}%`, y2: `${y(at)}%` })),
      ...up.map(([at, label]) => word([0, y(at)], label, { class: "up" })),
      ...across.map(([at, label], k) =>
        word([x(at), 100], isSmall && !k ? `${xname} ${label}` : label, { class: "across" }),
      ),
    );
    inside.replaceChildren(...lines);
    outside.replaceChildren(...over);
    [below.textContent, above.textContent] = [isSmall ? "" : xname, yname];
  }
  return { x, y, xs, ys, width, height, isSmall, fill };
}

/** A line through places, without those that are hardly apart from the last one, and with gaps. */
function polyline(places) {
  let d = "",
    last = null;
  for (const [x, y] of places) {
    if (Number.isNaN(x + y)) last = null;
    else if (!last || Math.abs(x - last[0]) >= 0.08 || Math.abs(y - last[1]) >= 0.08) {
      d += `${last ? "L" : "M"}${x} ${y}`;
      last = [x, y];
    }
  }
  return d;
}

/** The curves of rules up to the epoch that is shown, and pale beyond it, as lines, as dots at every so many steps (NaN: none), and as the
 * places where they are at the epoch. */
function trace(shown, name, placesOf, everyOf) {
  const [lines, dots, ends] = [[], [], []];
  for (const { i, path, row } of shown) {
    const [places, every] = [placesOf(path), everyOf(path)],
      d = polyline(places.slice(0, row + 1)),
      halo = svg("path", { d, class: "halo" });
    const isDot = (spot, at) => at <= row && at % every === i % every && isInside(spot);
    lines.push(line(i, polyline(places.slice(row)), "later"), halo, line(i, d, "", { [`data-${name}`]: i }));
    dots.push(...places.filter(isDot).map((spot) => mark(i, spot, SMALL)));
    ends.push([i, places.slice(0, row + 1)]);
  }
  return { lines, dots, ends };
}

const numbered = (numbers) => numbers.map((number) => [number, text(number)]);
const powers = (sides, count) => ticks(sides, count, 1).map((exponent) => [exponent, power(exponent)]);

/** The names of the coordinates, as in the formula. */
const coordinates = ({ fn } = state) =>
  (fn.key === fn.formula && /\b[xy]\b/.test(fn.formula) ? ["x", "y"] : ["w1", "w2"]).slice(0, dimension);

function drawGround(shown) {
  const { fn, start } = state,
    [xs, second] = view(),
    profile = second ? [] : range(481).map((i) => [xs[0] + ((xs[1] - xs[0]) * i) / 480]),
    heights = profile.map(([x]) => fn.value(x)).filter(Number.isFinite),
    [low, high] = heights.length ? [least(heights), most(heights)] : [0, 1],
    margin = 0.05 * (high - low) || 1,
    names = [...coordinates(), "f"].map((name) => name.replace("1", "\u2081").replace("2", "\u2082"));
  const ground = chart("ground", xs, second ?? [low - margin, high + margin], ...names);
  const place = (point) => [ground.x(point[0]), ground.y(second ? point[1] : fn.value(point[0]))],
    stars = fn.minima.map(({ point }) => place(point)).filter(isInside),
    placesOf = (path) => range(path.count).map((row) => place(pointAt(path, row))),
    { lines, dots, ends } = trace(shown, "path", placesOf, ({ count }) => (count - 1 > MANY ? NaN : 1)),
    heads = ends.map(([i, places]) => [i, places.at(-1)]).filter(([, spot]) => isInside(spot)),
    curve = svg("path", { d: polyline(profile.map(place)), class: "profile" });
  ground.fill(
    numbered(ticks(xs, ground.isSmall ? 5 : 8)),
    numbered(ticks(ground.ys, Math.max(3, ground.height / 60))),
    [curve, ...lines],
    [
      ...dots,
      ...stars.map((spot) => use("star", spot, "star")),
      ...heads.map(([i, spot]) => mark(i, spot, LARGE, "head")),
      ...stars.slice(0, 1).map(([x, y]) => word([x, y], "minimum", { class: `over ${x > 85 ? "before" : ""}` })),
    ],
  );
  const handle = byId("start"),
    [x, y] = place(start);
  handle.hidden = !isInside([x, y]);
  [handle.style.left, handle.style.top] = [`${x}%`, `${y}%`];
  handle.classList.toggle("before", x > 75 || (x > 20 && stars[0]?.[0] > x)); // trajectories lead to the minimum
  handle.classList.toggle("above", y < 50 || !second);
  if (second) drawContours(planeOf("ground").querySelector("canvas"), ground);
}

const BANDS = 14;
let painted = ""; // what the canvas shows

/** Bands of height, evenly spaced in log10 of f above its minimum, with lines between them. */
function drawContours(canvas, { xs, ys, width: across, height: down }) {
  const { fn } = state,
    { colors } = layout,
    ratio = hand ? 0.5 : Math.min(2, devicePixelRatio || 1), // coarse where it has to be fast
    [width, height] = [across, down].map((length) => Math.round(length * ratio)),
    key = [width, height, colors, xs, ys, fn.key].join();
  if (key === painted || width < 2 || height < 2) return;
  painted = key;
  Object.assign(canvas, { width, height });
  const level = new Float64Array(width * height),
    columns = range(width).map((i) => xs[0] + ((i + 0.5) / width) * (xs[1] - xs[0]));
  for (let j = 0; j < height; j++) {
    const y = ys[1] - ((j + 0.5) / height) * (ys[1] - ys[0]);
    for (let i = 0; i < width; i++) level[j * width + i] = fn.value(columns[i], y);
  }
  const floor = fn.lowest ?? least(level),
    sample = level.filter((f, i) => i % 97 === 0 && Number.isFinite(f)).sort(),
    lift = 1e-3 * (sample[sample.length >> 1] - floor) || 1e-9;
  let [base, top] = [Infinity, -Infinity];
  for (let i = 0; i < level.length; i++) {
    level[i] = Math.log10(Math.max(level[i] - floor, 0) + lift);
    if (level[i] < base) base = level[i];
    if (level[i] > top && level[i] < Infinity) top = level[i];
  }
  const step = (top - base) / BANDS || 1,
    context = canvas.getContext("2d"),
    image = context.createImageData(width, height);
  for (let i = 0; i < level.length; i++) {
    if (!Number.isFinite(level[i])) continue; // the ground of the page
    const right = level[(i + 1) % width ? i + 1 : i - 1],
      below = level[i + width < level.length ? i + width : i - width],
      slope = Math.max(Math.hypot(right - level[i], below - level[i]) / step, 1e-9),
      share = (level[i] - base) / step,
      edge = Math.round(share),
      apart = (share - edge) / slope, // pixels to the nearest line
      band = Math.max(0, (edge - 1 + Math.min(1, Math.max(0, 0.5 + apart))) / BANDS),
      crowded = Math.min(1, 0.35 / slope), // lines closer than three pixels fade into their band
      near = Math.max(0, 1 - Math.max(0, Math.abs(apart) / ratio - 0.35) / 0.6),
      ink = edge > 0 && edge < BANDS ? 0.42 * crowded * near : 0;
    for (let c = 0; c < 3; c++) {
      const fill = colors[0][c] + (colors[1][c] - colors[0][c]) * band;
      image.data[4 * i + c] = fill + (colors[2][c] - fill) * ink;
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const MAX_DECADES = 16; // of the loss axis: a trajectory that gets to f_min exactly flattens no other
const MAX_NAME = 12; // characters
const shortened = (name) => (name.length > MAX_NAME ? `${name.slice(0, MAX_NAME - 1)}\u2026` : name);

/** log10 of f above its minimum. Without a known minimum it is above the lowest f that a trajectory reaches in the picture, less
 * a thousandth of the way there, so that one that gets there has no plunge. */
function drawLosses(shown, epoch) {
  const { fn } = state,
    sides = view(),
    heights = shown.map(({ path }) => range(path.count).map((row) => heightAt(path, row))),
    lowest = least(heights.flatMap((all, k) => all.filter((_, row) => isIn(sides, pointAt(shown[k].path, row))))),
    floor = fn.lowest ?? lowest - 1e-3 * Math.max(0, most(heights.map(([first]) => first)) - lowest),
    rounding = fn.lowest === null ? 0 : 2 ** -52 * Math.abs(floor),
    isOnScale = (f) => Math.max(f - floor, rounding) > 0 && f < Infinity && !isBelow(fn, f),
    levelOf = (f) => (isOnScale(f) ? Math.log10(Math.max(f - floor, rounding)) : NaN),
    levels = heights.map((all) => all.map(levelOf)),
    stays = ({ path }) => path.status !== "diverged" && isIn(whole(), pointAt(path, path.count - 1)),
    highest = most(levels.filter((_, k) => stays(shown[k])).flat()),
    high = Math.min(250, Math.ceil((highest > -Infinity ? highest : most(levels.flat())) - 1e-9)),
    low = Math.max(Math.floor(least(levels.flat()) + 1e-9), high - MAX_DECADES),
    names = shown.map(({ rule }) => shortened(rule.name)),
    ys = low < high ? [low, high] : low === high ? [low - 1, high + 1] : [-1, 0];
  byId("losses").style.setProperty("--room", `${20 + 6.6 * Math.max(3, ...names.map((name) => name.length))}px`);
  const gap = fn.lowest === null ? "f \u2212 lowest f reached" : "f \u2212 f_min",
    losses = chart("losses", [0, state.epochs], ys, "epoch", gap),
    placesOf = (path) => range(path.count).map((row) => [losses.x(row), losses.y(levelOf(heightAt(path, row)))]),
    every = ({ count }) => Math.max(1, Math.floor(count / 10)),
    { lines, dots, ends } = trace(shown, "loss", placesOf, every);
  const cursor = svg("path", { d: epoch < state.epochs ? `M${losses.x(epoch)} 0V100` : "", class: "cursor" });
  losses.fill(
    numbered(ticks(losses.xs, losses.isSmall ? 4 : 6, 1)),
    powers(ys, Math.max(2, Math.floor(losses.height / 33))),
    [cursor, ...lines],
    [...dots, ...endNames(ends, names, 1300 / losses.height)],
  );
}

/** The names of rules beside the ends of their curves, one below the other where the ends are close. */
function endNames(ends, names, apart) {
  const labels = ends.flatMap(([i, places], k) => {
    const last = places.findLast(([, y]) => !Number.isNaN(y)), // a log scale does not show what lies below it
      isLower = last !== places.at(-1) || last[1] > 100;
    return last ? [{ i, x: last[0], y: last[1], name: names[k] + (isLower ? " \u2193" : "") }] : [];
  });
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, k) => (label.y = Math.max(label.y, k ? labels[k - 1].y + apart : 0)));
  labels.reduceRight((limit, label) => (label.y = Math.min(label.y, limit)) - apart, 98);
  return labels.map(({ i, x, y, name }) => word([x, y], name, { class: `named ${color(i)}` }));
}

const LOWEST = [0.999, 0.99, 0.9, 0.5, 0]; // rate at the lower end of the picture: the first that shows all curves

/** The factor of the distance per step over lr, for the rules with a theory; where it crosses 1 is the limit. */
function drawTheory(shown) {
  const { fn } = state,
    known = shown.filter(({ theory }) => theory),
    others = shown.filter(({ theory }) => !theory).map(({ rule }) => rule.name),
    hasBowl = fn.minima.some((minimum) => minimum.curvatures),
    reason = hasBowl ? "no theory: no limit in closed form" : "no theory: it needs a known minimum with a curvature",
    except = known.length && others.length ? `; none for ${few(others)}` : "";
  byId("rates").querySelector("h2").textContent = `Theory${known.length ? ": stable below \u00d71" : ""}${except}`;
  byId("rates").querySelector(".chart").dataset.empty = known.length ? "" : reason;
  if (!known.length) return;
  const all = known
      .flatMap(({ i, values }) => [cards[i].rate.low, cards[i].rate.high, values.lr])
      .filter((lr) => lr > 0),
    xs = [least(all), most(all)].map(Math.log10),
    places = range(241).map((k) => xs[0] + ((xs[1] - xs[0]) * k) / 240),
    rates = known.map(({ theory }) => places.map((exponent) => theory.rateAt(10 ** exponent))),
    low = LOWEST.find((rate) => rate <= least(rates.flat())) ?? 0,
    high = 1 + (1 - low) / 4,
    name = fn.everywhere || layout.rates.isSmall ? "distance per step" : "distance per step, near the minimum",
    { x, y, isSmall, fill } = chart("rates", xs, [low, high], "lr", name);
  const lines = known.flatMap(({ i, theory: { limit } }, n) => [
    line(i, polyline(places.map((exponent, k) => [x(exponent), y(Math.min(9, rates[n][k]))])), "", { "data-rate": i }),
    line(i, `M${x(Math.log10(limit))} ${y(1)}V100`, "limit", { "data-limit": limit }),
  ]);
  const beyond = [
      svg("rect", { width: 100, height: y(1), class: "beyond" }),
      svg("path", { d: `M0 ${y(1)}H100`, class: "bound" }),
    ],
    up = range(6)
      .filter((k) => !isSmall || k % 2 === 0)
      .map((k) => round(low + ((1 - low) * k) / 4, 6)),
    spot = ({ values, theory }) => [x(Math.log10(values.lr)), y(Math.min(high, theory.rate))];
  fill(
    powers(xs, isSmall ? 4 : 6),
    up.map((rate) => [rate, `\u00d7${rate}`]),
    [...beyond, ...lines],
    known.map((entry) => mark(entry.i, spot(entry), LARGE, "head")),
  );
}

// --- controls --------------------------------------------------------------------------------------------------------------

/** The value at a position from 0 to STEPS of a slider; its values have few digits. */
function valueAt({ scale, low, high, whole: isWhole }, position) {
  const share = position / STEPS,
    places = Math.max(0, 1 - Math.floor(Math.log10((high - low) / STEPS)));
  if (scale === "to-one") return Number((1 - round((1 - high) ** share, 3)).toFixed(8));
  const value =
    scale === "linear"
      ? Number((low + (high - low) * share).toFixed(Math.min(places, 20)))
      : round(low * (high / low) ** share, 3);
  return scale === "zero-log" && !share ? 0 : isWhole ? Math.round(value) : value;
}

/** The position of a value, 0 to STEPS, not rounded. */
function positionOf({ scale, low, high }, value) {
  let share = value > 0 ? Math.log(value / low) / Math.log(high / low) : 0;
  if (scale === "linear") share = (value - low) / (high - low);
  if (scale === "to-one") share = value < 1 ? Math.log(1 - value) / Math.log(1 - high) : 1;
  return STEPS * Math.min(1, Math.max(0, share));
}

/** A row of the panel for the field `target[key]`: a list of options, or a slider and a field for exact numbers. */
function control(id, field, target, key = field.name, prefix = "") {
  const set = (value) => {
    target[key] = value;
    if (key === "epochs") state.at = null;
    update();
  };
  const parts = field.name.split(/(?<=_)/).flatMap((part) => [part, html("wbr")]), // a long name may break there
    row = html("div", { class: "slider" }, html("label", { for: id, title: field.doc }, ...parts));
  if (field.options) {
    const select = html("select", { id }, ...field.options.map((option) => html("option", {}, String(option))));
    row.append(select);
    select.addEventListener("change", () => set(field.options[select.selectedIndex]));
    row.show = () => (select.selectedIndex = field.options.indexOf(target[key]));
    return row;
  }
  const label = prefix + field.name,
    [bar, exact] = byId("slider").content.cloneNode(true).children;
  Object.assign(bar, { id, max: STEPS, ariaLabel: label });
  Object.assign(exact, { id: `${id}-exact`, ariaLabel: `${label}, exact` });
  row.append(bar, exact);
  const judge = () => {
    const value = valueOf(field, exact.value);
    exact.title = value === undefined ? `${field.name} is ${field.range}` : "";
    exact.setCustomValidity(exact.title);
    return value;
  };
  bar.addEventListener("input", () => set(valueAt(field, Number(bar.value))));
  exact.addEventListener("input", () => exact.validity.valid || judge()); // it is wrong until the number is right
  exact.addEventListener("change", () => set(judge() ?? target[key]));
  row.show = (limit) => {
    if (row.value !== target[key]) {
      exact.value = row.value = target[key];
      judge();
      if (valueAt(field, Number(bar.value)) !== row.value) bar.value = Math.round(positionOf(field, row.value));
      bar.setAttribute("aria-valuetext", text(row.value));
    }
    bar.classList.toggle("limited", Boolean(limit));
    if (limit) bar.style.setProperty("--limit", positionOf(field, limit) / STEPS);
  };
  return row;
}

/** The field of lr with room on both sides of its usual value and of the limit of stability. */
function rateField(rule, field) {
  const { fn } = state,
    values = defaultsOf(fn, rule),
    path = follow(rule, values, { fn, start: fn.start, epochs: data.epochs, noise: 0 }),
    limit = theoryOf(rule, values, path)?.limit,
    [low, high] =
      limit > 0
        ? [Math.min(values.lr / 10, limit / 100), Math.max(3 * values.lr, 5 * limit)]
        : [values.lr / 100, 30 * values.lr];
  return { ...field, scale: "log", low: round(low, 1), high: round(high, 1) };
}

/** The card of a rule: whether it is shown, its settings, and two lines of results. */
function card(entry, i) {
  const { rule, values } = entry,
    element = byId("card").content.firstElementChild.cloneNode(true),
    [label, box, name, verdict, formula, theory] = ["label", "input", "b", ".verdict", ".formula", ".theory"].map(
      (part) => element.querySelector(part),
    ),
    fields = rule.fields.map((field) => (field.name === "lr" ? rateField(rule, field) : field)),
    rows = fields.map((field) => control(`rule${i}-${field.name}`, field, values, field.name, `${rule.name} `));
  element.ariaLabel = name.textContent = rule.name;
  label.htmlFor = box.id = `rule${i}-shown`;
  name.before(sign(i));
  theory.before(...rows);
  element.rate = fields.find((field) => field.name === "lr");
  box.addEventListener("change", () => ((entry.shown = box.checked), update()));
  element.show = ({ theory: known, verdict: status }) => {
    box.checked = entry.shown;
    element.classList.toggle("off", !entry.shown);
    rows.forEach((row, k) => row.show(fields[k].name === "lr" ? known?.limit : 0));
    formula.textContent = rule.name === rule.text ? "" : formulaOf(rule, values);
    theory.textContent =
      state.noise && isExact(entry) ? "no noise: it evaluates gradients itself" : sentence(known, values.lr);
    verdict.textContent = status;
    verdict.className = `verdict ${status.replace(/.*off the map/, "diverged")}`; // a word more has no color
  };
  return element;
}

let cards = [],
  sliders = [], // of the page
  step = null; // the link of a guided step that was followed, and what it has set

const settled = () =>
  JSON.stringify([state.fn.key, state.start, state.rules.map(({ shown, values }) => [shown, values])]);

/** Make the panel for the function and the rules of a state. */
function arrange(settings) {
  state = settings;
  const { fn, rules } = state,
    option = (key, name = key) => html("option", { value: key }, name),
    others = data.rules.filter((rule) => !rulesOf(state).includes(rule)),
    axes = coordinates().map((name, axis) => {
      const [sides, start] = [fn.box[axis], startOf(fn)[axis]],
        [low, high] = wider([Math.min(sides[0], start), Math.max(sides[1], start)]);
      return { name, doc: `coordinate ${axis + 1} of the start`, scale: "linear", low, high, accepted: ANY };
    });
  sliders = [
    ...axes.map((field, axis) => control(`start${axis + 1}`, field, state.start, axis)),
    ...data.fields.map((field) => control(field.name, field, state)),
  ];
  cards = rules.map(card);
  byId("sliders").replaceChildren(...sliders);
  byId("cards").replaceChildren(...cards);
  const name = coordinates()[0] === "x" ? coordinates().join(", ") : "w";
  byId("formula").textContent = `f(${name}) = ${[fn.formula, fn.settings].filter(Boolean).join(", ")}`;
  if (byId("note")) byId("note").hidden = fn !== data.functions[0];
  byId("function").replaceChildren(
    ...data.functions.map(({ key }) => option(key)),
    ...(fn.isTyped ? [option(fn.key)] : []),
  );
  byId("function").value = fn.key;
  byId("typed-function").value = fn.isTyped ? fn.key : "";
  byId("typed-rule").value = "";
  byId("message").classList.remove("wrong");
  byId("message").textContent = fn.isTyped
    ? `No minimum, distance or theory: the page does not search for the minimum of a formula that is typed here. optilab play ${fn.command} does.`
    : "";
  byId("rule").replaceChildren(option("", "more\u2026"), ...others.map((rule) => option(rule.key, rule.name)));
  byId("add").disabled = true;
  update();
}

// --- what changes ------------------------------------------------------------------------------------------------------------

let state,
  paths = [], // of every rule with a card
  drawing = 0;

const shownEpoch = () => Math.min(state.at ?? state.epochs, state.epochs);

/** Every rule with what came out for it at the epoch that is shown. */
const results = () =>
  state.rules.map((entry, i) => {
    const path = paths[i],
      row = Math.min(shownEpoch(), path.count - 1),
      point = pointAt(path, row),
      [f, slope, verdict] = [heightAt, slopeAt, verdictAt].map((of) => of(path, row)),
      distance = nearest(state.fn, point)?.distance,
      theory = theoryOf(entry.rule, entry.values, path);
    return { ...entry, i, path, row, point, f, slope, verdict, distance, theory };
  });
const shownRules = (all = results()) => all.filter(({ shown }) => shown);

/** A setting has changed. */
function update() {
  paths = state.rules.map(({ rule, values }) => follow(rule, values));
  redraw();
}

function redraw() {
  drawing ||= requestAnimationFrame(draw);
}

function draw() {
  drawing = 0;
  const epoch = shownEpoch(),
    all = results(),
    shown = shownRules(all),
    { fn } = state,
    line = command();
  drawGround(shown);
  drawLosses(shown, epoch);
  drawTheory(shown);
  sliders.forEach((row) => row.show());
  all.forEach((result) => cards[result.i].show(result));
  const texts = {
    answer: answerAt(epoch, shown),
    about: step?.settled === settled() ? step.about : "",
    title: `${few([...new Set(shown.map(({ rule }) => rule.name))])} on ${fn.key === fn.formula ? "a formula" : fn.key}`,
    epoch: `epoch ${epoch} of ${state.epochs}`,
    command: line,
  };
  for (const [id, content] of Object.entries(texts)) byId(id).textContent = content;
  byId("legend").replaceChildren(...shown.map(({ i, rule }) => html("span", {}, sign(i), rule.name)));
  for (const input of document.querySelectorAll("#seed, #seed-exact")) input.disabled = !state.noise; // it seeds nothing
  showResults(shown);
  byId("at").max = state.epochs;
  byId("at").value = epoch;
  byId("at").setAttribute("aria-valuetext", texts.epoch);
  byId("play").classList.toggle("playing", Boolean(playing));
  byId("play").setAttribute("aria-label", playing ? "pause" : "play");
  byId("closer").disabled = zoom() >= MAX_ZOOM;
  byId("wider").disabled = zoom() <= MIN_ZOOM;
  byId("whole").disabled = !state.view;
  byId("command").closest("details").hidden = !line;
  byId("draws").hidden = !state.noise;
  keep();
}

/** Where every rule is at the epoch that is shown. */
function showResults(shown) {
  const known = state.fn.minima.length ? ["distance"] : [],
    head = ["optimizer", "epoch", ...coordinates(), "f", "|grad|", ...known, "verdict"];
  const rows = shown.map(({ i, rule, row, point, f, slope, distance, verdict }) => {
    const numbers = [...point, f, slope, ...known.map(() => distance)].map((number) => text(number, 4)),
      name = html("th", { scope: "row" }, sign(i), rule.name);
    return html("tr", {}, name, ...[String(row), ...numbers, verdict].map((cell) => html("td", {}, cell)));
  });
  const names = html("tr", {}, ...head.map((name) => html("th", { scope: "col" }, name)));
  byId("results").replaceChildren(html("thead", {}, names), html("tbody", {}, ...rows));
}

/** Show another function with the same rules. */
function choose(fn) {
  stop();
  arrange({ ...initialState(fn, rulesOf(state)), epochs: state.epochs });
}

function add(rule) {
  if (rulesOf(state).every(({ key }) => key !== rule.key))
    state.rules.push({ rule, shown: true, values: defaultsOf(state.fn, rule) });
  arrange(state);
}

function startAt(point) {
  const sides = view(),
    inside = point.map((w, axis) => round(Math.min(sides[axis][1], Math.max(sides[axis][0], w)), 4));
  if (inside.every(Number.isFinite)) Object.assign(state.start, inside);
  update();
}

/** Show what the address holds. */
function open() {
  arrange(read(location.hash.slice(1)));
  const link = [...document.querySelectorAll("#steps a")].find(({ hash }) => hash === location.hash);
  step = link ? { about: link.dataset.about, settled: settled() } : null;
}

// --- time ----------------------------------------------------------------------------------------------------------------------

const SECONDS = 8; // to play all epochs at speed 1
const MIN_SPEED = 4; // epochs per second
let playing = 0,
  before = 0,
  time = 0;

function show(epoch) {
  const at = Math.min(state.epochs, Math.max(0, epoch));
  state.at = at === state.epochs ? null : at;
  redraw();
}

function play() {
  if (shownEpoch() === state.epochs) show(0);
  [time, before] = [shownEpoch(), performance.now()];
  playing = requestAnimationFrame(tick);
}

function tick(now) {
  const speed = Math.max(MIN_SPEED, state.epochs / SECONDS) * Number(byId("speed").value);
  time += (speed * Math.max(0, now - before)) / 1000;
  before = now;
  playing = time < state.epochs ? requestAnimationFrame(tick) : 0;
  show(Math.floor(time));
}

function stop() {
  cancelAnimationFrame(playing);
  playing = 0;
  redraw();
}

const toggle = () => (playing ? stop() : play());
const go = (by) => (stop(), show(shownEpoch() + by));

// --- buttons and lists -----------------------------------------------------------------------------------------------------------

/** Take a formula that was typed; a wrong one changes nothing. */
function typed(id, take) {
  byId(id).addEventListener("change", () => {
    try {
      take(byId(id).value);
    } catch (error) {
      byId("message").textContent = error.message;
      byId("message").classList.add("wrong");
    }
  });
}
typed("typed-function", (formula) => choose(functionOf(formula)));
typed("typed-rule", (formula) => add(ruleOf(formula)));
byId("function").addEventListener("change", (event) => choose(functionOf(event.target.value)));
byId("rule").addEventListener("change", (event) => (byId("add").disabled = !event.target.value));
byId("at").addEventListener("input", (event) => (stop(), show(Number(event.target.value))));

const BUTTONS = {
  play: toggle,
  first: () => go(-Infinity),
  back: () => go(-1),
  forward: () => go(1),
  last: () => go(Infinity),
  closer,
  wider: () => zoomBy(-1),
  whole: () => ((state.view = null), redraw()),
  reset: () => (stop(), arrange(initialState())),
  add: () => add(ruleOf(byId("rule").value)),
  link: (button) => copy(`${location.href.split("#")[0]}#${fragment()}`, button),
  "copy-command": (button) => copy(command(), button),
  "copy-numbers": (button) => copy(csv(), button),
};
// A press leaves the field that is typed into as it is, so that no button moves away before the click, which takes what was typed.
addEventListener("mousedown", (event) => event.target.closest("button:not(#start)") && event.preventDefault());
for (const [id, act] of Object.entries(BUTTONS))
  byId(id).addEventListener("click", (event) => {
    document.activeElement.blur();
    act(event.currentTarget);
  });

addEventListener("keydown", (event) => {
  const { key, target } = event,
    isOther = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey,
    button = document.querySelector(`[aria-keyshortcuts~="${key === " " ? "Space" : CSS.escape(key)}"]`);
  if (
    !button ||
    isOther ||
    target.closest(key === " " ? "button, summary, a, input, select" : "input, select, .scroll")
  )
    return;
  event.preventDefault();
  button.click();
});

// --- the hand ------------------------------------------------------------------------------------------------------------------------

// On the plane the handle moves the start, and so does a click; elsewhere a mouse moves the picture, and a finger scrolls the page.
const area = planeOf("ground"),
  handle = byId("start"),
  CLICK = 4; // pixels; a mouse that moves further drags
let hand = null, // what is held: the start, or the point that stays under the mouse
  hasMoved = false;

/** The point of the plane under a pointer, in the picture that was drawn last. */
function under({ clientX, clientY }) {
  const { left, bottom, width, height } = area.getBoundingClientRect(),
    shares = [(clientX - left) / width, (bottom - clientY) / height];
  return view().map(([low, high], axis) => low + shares[axis] * (high - low));
}

area.addEventListener("pointerdown", (event) => {
  const isStart = event.target === handle;
  if (event.button || (event.pointerType !== "mouse" && !isStart)) return void (hasMoved = false);
  stop();
  [hand, hasMoved] = [{ isStart, point: under(event), x: event.clientX, y: event.clientY }, isStart];
  area.setPointerCapture(event.pointerId);
  area.classList.add("dragging");
});
area.addEventListener("pointermove", (event) => {
  const point = under(event),
    f = state.fn.value(...point);
  byId("here").textContent = isIn(view(), point) ? `f(${point.map((w) => text(w, 3)).join(", ")}) = ${text(f, 4)}` : "";
  hasMoved ||= hand && Math.hypot(event.clientX - hand.x, event.clientY - hand.y) > CLICK;
  if (!hand || !hasMoved) return;
  if (hand.isStart) startAt(point);
  else look((w, axis) => w + hand.point[axis] - point[axis]);
});
area.addEventListener("lostpointercapture", () => {
  hand = null;
  area.classList.remove("dragging");
});
area.addEventListener(
  "click",
  (event) => event.detail && !hasMoved && event.target !== handle && startAt(under(event)),
);
area.addEventListener("pointerleave", () => (byId("here").textContent = ""));
area.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.metaKey) return void (byId("here").textContent = "Ctrl + wheel zooms");
    event.preventDefault();
    zoomBy(-Math.max(-0.6, Math.min(0.6, event.deltaY / (event.deltaMode ? 5 : 100))), under(event));
  },
  { passive: false },
);

const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }; // axis and direction
handle.addEventListener("keydown", (event) => {
  const [axis, way] = WAYS[event.key] ?? [dimension];
  if (axis >= dimension) return;
  event.preventDefault();
  const [low, high] = view()[axis];
  startAt(state.start.with(axis, state.start[axis] + (way * (event.shiftKey ? 10 : 1) * (high - low)) / 100));
});

addEventListener("hashchange", open);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", measure);
const observer = new ResizeObserver(measure);
for (const plot of document.querySelectorAll(".plane")) observer.observe(plot);
measure();
open();
