"use strict";
/* The playground. `state` has all settings, which the address holds; `update` follows the optimizers from them, and `draw`
 * shows what came out. Charts are those of page.js: curves in the units of their axes. */

const data = JSON.parse(document.getElementById("data").textContent),
  Formula = engineOf(data.language),
  dimension = data.start.length,
  WIDTH = 2 * dimension + 1; // numbers of a row: w, f, gradient

const byId = (id) => document.getElementById(id);
const round = (number, digits) => Number(number.toPrecision(digits));
const text = (value, digits = 4) => written("", value, digits);
const least = (numbers) => numbers.reduce((a, b) => (b < a ? b : a), Infinity); // also of 100,000
const most = (numbers) => numbers.reduce((a, b) => (b > a ? b : a), -Infinity);
const range = (length) => Array.from({ length }, (_, i) => i);

/** What a map has for a key, made once. */
function cached(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

/** The names of rules, the first ones where there are many. */
function few(rules) {
  const names = [...new Set(rules.map(({ rule }) => rule.name))];
  return names.length > 5 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ");
}

// --- state -----------------------------------------------------------------------------------------------------

const MAX_RULES = 64, // that an address may list
  SHOWN = { name: "shown", options: [true, false] },
  SETTING = { doc: "a setting of the formula", value: 0.5, scale: "linear", low: 0, high: 1, range: "a number" },
  opening = data.rules.slice(0, data.listed); // the rules that the page opens with

/** The value that a text gives a field; undefined where the field does not accept it. A field has a name and the values that it
 * accepts: `options`, `size` numbers, or one number, from the first to the second of `accepted`. */
function valueOf({ options, size, accepted, whole }, written) {
  if (options) return options.find((option) => String(option) === written);
  const [low, high] = accepted ?? [],
    numbers = written.split(",").map((part) => (part.trim() ? Number(part.replace("\u2212", "-")) : NaN));
  const isAccepted = (number) =>
    Number.isFinite(number) &&
    number >= (low ?? -Infinity) &&
    number <= (high ?? Infinity) &&
    (!whole || Number.isInteger(number));
  if (numbers.length !== (size ?? 1) || !numbers.every(isAccepted)) return undefined;
  return size ? numbers : numbers[0];
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

const RATES = range(24).map((k) => Number(`${[1, 2, 5][k % 3]}e${Math.floor(k / 3) - 6}`));

/** The lr of RATES, stable by theory where there is one, whose trajectory from the function's start is lowest on average, of
 * those that end in its box if any does; the rule's value where all diverge, and where the page was made with it. */
function bestRateOf(fn, rule, values) {
  const settings = { fn, start: startOf(fn), epochs: data.epochs, noise: 0 },
    followed = (lr) => follow(rule, { ...values, lr }, settings),
    isOpening = fn === data.functions[0] && opening.includes(rule);
  let best = { lr: values.lr, isOutside: true, sum: Infinity };
  if (isOpening && !(data.free && followed(values.lr).status === "diverged")) return best.lr;
  for (const lr of RATES) {
    const path = followed(lr),
      isOutside = !isIn(fn.box, pointAt(path, path.count - 1)),
      sum = heightsOf(path).reduce((a, b) => a + b),
      isBetter = isOutside === best.isOutside ? sum < best.sum : best.isOutside;
    if (isBetter && path.status !== "diverged" && !(theoryOf(rule, { ...values, lr }, path)?.rate >= 1))
      best = { lr, isOutside, sum };
  }
  return best.lr;
}

/** A function that runs. */
function running(fn, tree) {
  const surface = Formula.surface(tree, dimension, fn.gradient);
  return Object.assign(fn, { surface, runners: new Map(), rates: new Map(), tree: JSON.stringify(tree) });
}
for (const fn of data.functions) running(fn, fn.value);

/** The function of a name or of a formula; an Error says what is wrong with the formula. */
function functionOf(key) {
  const known = data.functions.find((fn) => fn.key === key);
  if (known) return known;
  const tree = Formula.parse(key),
    same = data.functions.find((fn) => fn.tree === JSON.stringify(tree));
  if (Formula.dimensionOf(tree) !== dimension)
    throw new Error(`this page has functions of ${["x", "x and y"][dimension - 1]}`);
  const names = (/\b[xy]\b/.test(key) ? ["x", "y"] : ["w1", "w2"]).slice(0, dimension),
    [box, start] = [names.map(() => [-3, 3]), [-1, 1].slice(0, dimension)],
    typed = { key, formula: key, settings: "", names, box, start, minima: [], everywhere: false, lowest: null };
  return same ?? running({ ...typed, options: ["--function", key] }, tree);
}

/** The rule of a key or of a formula, whose free names are its settings; an Error says what is wrong with the formula. */
function ruleOf(key) {
  const known = data.rules.find((rule) => rule.key === key);
  if (known) return known;
  const names = Formula.settingsOf(key),
    numbers = data.rules.flatMap((rule) => rule.fields).filter((field) => field.scale);
  Formula.pathOn(data.functions[0].surface, Formula.program(key, names)); // or an Error
  const fields = names.map((name) => numbers.find((number) => number.name === name) ?? { ...SETTING, name });
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
const isExact = ({ rule, values }) => programOf(rule, values).operations.has("grad");

/** The trajectory of a rule: `rows` of w, f and the gradient, how many there are, and how it ended, as `descend` says. */
function follow(rule, values, { fn, start, epochs, noise, seed } = state) {
  const program = programOf(rule, values),
    isNoisy = noise && !program.operations.has("grad"),
    added = isNoisy ? draws(seed, (epochs + 1) * dimension).map((number) => noise * number) : null;
  const run = cached(fn.runners, program, () => Formula.pathOn(fn.surface, program)),
    path = { fn, ...run(settingsOf(rule, values), start, epochs, added) },
    limit = fn.everywhere && !noise ? theoryOf(rule, values, path)?.limit : undefined,
    hasEnded = path.count <= epochs || !isFinite(heightAt(path, 0));
  path.isUnstable = limit > 0 && values.lr > limit * (1 + data.limit_rounding);
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
const heightsOf = (path) => range(path.count).map((row) => heightAt(path, row));
const pointAt = ({ rows }, row) => [rows[row * WIDTH], rows[row * WIDTH + 1]].slice(0, dimension);
const slopeAt = (path, row) => Math.hypot(...path.rows.subarray(row * WIDTH + dimension + 1, (row + 1) * WIDTH));
const isIn = (sides, point) => point.every((w, axis) => w >= sides[axis][0] && w <= sides[axis][1]);
const roundingOf = (f) => data.rounding * Math.max(1, Math.abs(f));

/** How a trajectory that ends at this row has ended, as `descend` says. */
function statusAt(path, row) {
  if (path.status && row === path.count - 1) return path.status;
  if (slopeAt(path, row) < data.tolerance) return "converged";
  const first = heightAt(path, 0),
    { lowest } = path.fn,
    scale = lowest === null ? Math.abs(first) : first - lowest;
  const last = heightAt(path, row),
    hasRisen = last - (lowest ?? first) > data.diverged * Math.max(scale, data.tolerance);
  return hasRisen || (path.isUnstable && last > first) ? "diverged" : "moving";
}

/** The status in words; where f is convex, f - f_min at a minimum is at most |grad| times the distance. */
function verdictAt(path, row) {
  const { fn } = path,
    status = statusAt(path, row),
    close = closest(fn, pointAt(path, row));
  if (status !== "converged" || !close) return status;
  const bound = data.tolerance * close.distance + roundingOf(fn.lowest),
    isFar = close.distance > data.close * Math.max(...fn.box.map(([low, high]) => high - low));
  return isFar || Math.abs(heightAt(path, row) - fn.lowest) > bound ? "converged, not at the minimum" : status;
}

/** The distance of a point to the nearest minimum, and that minimum; undefined where none is known. */
const closest = (fn, point) =>
  fn.minima
    .map((minimum) => ({ minimum, distance: Math.hypot(...minimum.point.map((w, i) => point[i] - w)) }))
    .sort((a, b) => a.distance - b.distance)[0];

const linearSteps = new Map(); // of programs

/** By theory: the largest stable lr, the factor per step at the rule's lr and at others, and the minimum whose curvatures decide,
 * the nearest to the end of the trajectory that has some; null without one. */
function theoryOf(rule, values, path) {
  const program = programOf(rule, values),
    settings = settingsOf(rule, values),
    end = closest(path.fn, pointAt(path, path.count - 1))?.minimum,
    bowl = end?.curvatures ? end : path.fn.minima.find((minimum) => minimum.curvatures),
    step = cached(linearSteps, program, () => Formula.linearStep(program));
  if (!step || !bowl) return null;
  const rateAt = (lr) => Math.max(...bowl.curvatures.map((curvature) => step.rate({ ...settings, lr }, curvature))),
    limit = Math.min(...bowl.curvatures.map((curvature) => step.limit(settings, curvature)));
  const factors = bowl.curvatures.map((curvature) => step.factor(settings, curvature));
  return Number.isFinite(limit) ? { limit, rate: rateAt(settings.lr), rateAt, factors, bowl } : null;
}

// --- sentences -----------------------------------------------------------------------------------------------------

/** In a sentence, which rule is nearest to a minimum, or has the lowest f, and which ones diverge. */
function answer(shown) {
  const lost = shown.filter(({ verdict }) => verdict === "diverged"),
    farOf = ({ distance, f }) => distance ?? f,
    [first] = shown.filter((result) => !lost.includes(result)).sort((a, b) => farOf(a) - farOf(b)),
    parts = [];
  if (first?.minimum) parts.push(`${first.rule.name} is nearest to a minimum, ${text(first.distance, 2)} from it`);
  else if (first) parts.push(`${first.rule.name} is lowest: f = ${text(first.f, 2)}`);
  if (lost.length) parts.push(`diverged: ${few(lost)}`);
  return shown.length ? `After ${shownEpoch()} epochs ${parts.join("; ")}.` : "No optimizer is ticked.";
}

/** What theory says of a rule under its settings. */
function sentence(theory, lr) {
  const { fn } = state;
  if (!theory) return fn.minima.some((minimum) => minimum.curvatures) ? "theory: no limit in closed form" : "";
  const where = fn.everywhere ? "" : `near (${theory.bowl.point.map((w) => text(w, 3)).join(", ")}): `,
    then = lr > theory.limit ? "this lr is unstable" : `\u00d7${theory.rate.toFixed(4)} per step`,
    names = theory.factors.length > 1 ? ["flattest direction ", "steepest direction "] : [""],
    motions = names.map((name, k) => name + motion(theory.factors.at(-k)));
  return `${where}stable up to lr ${text(theory.limit)}; ${then}. ${capital(motions.join("; "))}`;
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** The motion along a direction of a quadratic, whose distance each step multiplies by a factor of this size and angle. */
function motion({ size, angle }) {
  const grows = size > 1 ? ", grows" : "";
  if (angle < MAX_ROUNDED_ANGLE) return `\u00d7${text(size)}${grows || ", no overshoot"}`;
  const factor = Math.PI - angle < MAX_ROUNDED_ANGLE ? `\u00d7${text(-size)}` : `complex pair, \u00d7${text(size)}`;
  return `${factor}, overshoots: oscillates every ${text((2 * Math.PI) / angle, 3)} steps${grows}`;
}

const MIN_RISE = 10, // times as far above the minimum as f has been: it rises again
  MAX_ROUNDED_ANGLE = 1e-6; // of a double eigenvalue

/** Why f of a rule such as RMSProp rises again after it was lowest, up to a row: along a coordinate a step, longer per gradient
 * than before, has turned the gradient's sign and enlarged it. As `late_rise` of path.py. */
function lateRise({ memory }, path, row) {
  const heights = heightsOf(path).slice(0, row + 1),
    low = least(heights),
    epoch = heights.indexOf(low),
    floor = path.fn.lowest ?? low;
  if (!memory || state.noise || !epoch || !(most(heights.slice(epoch)) - floor > MIN_RISE * (low - floor))) return "";
  const at = (t, column) => path.rows[t * WIDTH + column],
    gradient = (t, i) => at(t, dimension + 1 + i),
    rate = (t, i) => (at(t, i) - at(t + 1, i)) / gradient(t, i);
  let far = { size: 0 };
  for (let t = epoch; t < row; t++)
    for (const i of range(dimension)) {
      const [before, after] = [gradient(t, i), gradient(t + 1, i)],
        size = Math.abs(after),
        overshoots = after * before < 0 && size > Math.abs(before) && rate(t, i) > rate(epoch - 1, i);
      if (overshoots && size > far.size) far = { size, i, rate: rate(t, i) };
    }
  if (!far.size) return "";
  const smallest = least(range(row).map((t) => rate(t, far.i))),
    grown = `lr/sqrt(${memory}) along ${path.fn.names[far.i]} has grown from ${text(smallest, 3)} to ${text(far.rate, 3)}`;
  return `f rises again from epoch ${epoch}: ${memory} has forgotten the earlier gradients, so ${grown}, and steps overshoot farther`;
}

const windows = navigator.userAgent.includes("Windows");

/** A word in the shell of the reader's system, as `quoted` of errors.py. */
function quoted(word) {
  if ((windows ? /^[\w./:=+-]+$/ : /^[\w./:=+,-]+$/).test(word)) return word;
  return windows ? `"${word.replaceAll('"', '""')}"` : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A value as YAML on one line, without the double quotes that PowerShell would take away. */
function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (value && typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, entry]) => `${key}: ${flow(entry)}`)
      .join(", ")}}`;
  return typeof value === "string" && !/^[\w-]+$/.test(value) ? `'${value.replaceAll("'", "''")}'` : `${value}`;
}

/** The command that runs this in a terminal. */
function command() {
  const { fn, start, epochs, noise, seed } = state,
    entries = state.rules.filter((entry) => entry.shown && !(noise && isExact(entry))),
    algo = entries.map(({ rule, values }) => ({ ...rule.fixed, ...values })),
    more = noise ? ` --set noise=${noise} --set seed=${seed}` : "";
  if (!algo.length) return "";
  const words = [...fn.options, `--start=${start}`, "--epochs", `${epochs}`, "--set", `algo=${flow(algo)}`];
  return `optilab optimize ${words.map(quoted).join(" ")}${more}`;
}

/** The numbers of all trajectories with all digits, as CSV. */
function csv() {
  const lines = [["algo", "epoch", ...state.fn.names, "f", ...["grad1", "grad2"].slice(0, dimension)].join()];
  for (const { rule, path } of results().filter(({ shown }) => shown)) {
    const name = /[",]/.test(rule.name) ? `"${rule.name.replaceAll('"', '""')}"` : rule.name;
    for (const row of range(path.count))
      lines.push([name, row, ...path.rows.subarray(row * WIDTH, (row + 1) * WIDTH)].join());
  }
  return `${lines.join("\n")}\n`;
}

// --- the address -----------------------------------------------------------------------------------------------------

const rulesOf = (settings) => settings.rules.map((entry) => entry.rule);

/** Every value that the address holds: its name there, its field, and the object that has it. */
const fieldsOf = (settings) => [
  ...data.fields.map((field) => [field.name, field, settings]),
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
    changed = flat(state, state).filter(([name, value]) => value !== initial.get(name));
  return String(new URLSearchParams(changed)).replaceAll("%2C", ",");
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
  const asked = new URLSearchParams(address),
    keys = (asked.get("algo") ?? "").split(",").slice(0, MAX_RULES),
    rules = [...new Set(keys)].map((key) => attempt(() => ruleOf(decodeURIComponent(key)))).filter(Boolean),
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

const MAX_STRETCH = 6, // beyond it the scales of the axes differ, or one would be a strip
  [MIN_ZOOM, MAX_ZOOM] = [-4, 12], // powers of two
  ground = byId("ground");
const sizes = {}; // of charts: reading them while drawing would lay out the page

/** The ends of an axis, so many times as far from a point. */
const about = ([low, high], by, fixed = (low + high) / 2) => [low, high].map((end) => fixed + by * (end - fixed));

/** The sides of a plane with the wider scale for both axes, so that trajectories cross lines of equal height at right angles. */
function equal([xs, ys]) {
  if (!ys) return [xs];
  const { width, height } = sizes.ground ?? { width: 1, height: 1 },
    stretch = ((xs[1] - xs[0]) * height) / ((ys[1] - ys[0]) * width);
  if (!(stretch < MAX_STRETCH && stretch > 1 / MAX_STRETCH)) return [xs, ys];
  return stretch > 1 ? [xs, about(ys, stretch)] : [about(xs, 1 / stretch), ys];
}

/** The function's box, wider where the trajectories start outside it. */
const whole = ({ fn, start } = state) =>
  equal(fn.box.map(([low, high], i) => about([Math.min(low, start[i]), Math.max(high, start[i])], 1.08)));

/** The sides of the picture, (low, high) for each axis: the part that was chosen, else the whole. */
const sides = () =>
  state.view ? equal(range(dimension).map((axis) => state.view.slice(2 * axis, 2 * axis + 2))) : whole();

/** Show a part of the plane, which the address holds. */
function choosePart(part) {
  state.view = part.flat();
  redraw();
}

/** Double the scale so often, and keep a point where it is in the picture. */
function zoomBy(by, fixed = []) {
  const now = sides(),
    [[left, right]] = equal(state.fn.box),
    zoom = Math.log2((right - left) / (now[0][1] - now[0][0])),
    change = Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, zoom + by)) - zoom;
  choosePart(now.map((ends, axis) => about(ends, 2 ** -change, fixed[axis])));
}

/** Look closer at the minimum in which the first trajectory ends, or at the middle where it is not in the picture. */
function closer() {
  const goal = results().find(({ shown }) => shown)?.minimum?.point;
  zoomBy(1, goal && isIn(sides(), goal) ? goal : []);
}

// --- charts ------------------------------------------------------------------------------------------------------------

const MANY = 60, // steps of a trajectory from which they are not marked
  FAR = 1e4; // sizes of a picture, beyond which a browser draws no line
const color = (i) => `c${i % 6} d${Math.floor(i / 6) % 4}`;
const mark = (kind, d, more = {}) => svg("path", { class: kind, d, ...more });
const percents = ([x, y], [xs, ys]) => [(100 * (x - xs[0])) / (xs[1] - xs[0]), (100 * (ys[1] - y)) / (ys[1] - ys[0])];
const word = (kind, [x, y], content) => svg("text", { class: kind, x: `${x}%`, y: `${y}%` }, content);

/** Fill a chart over (low, high) of both axes, which have names. */
function fill(id, [xs, ys], names, marks, words) {
  const panel = byId(id);
  panel.querySelector(".plot").replaceChildren(...marks);
  panel.querySelector(".over").replaceChildren(...words);
  ["label", "upwards"].forEach((kind, axis) => (panel.querySelector(`.${kind}`).textContent = names[axis]));
  panel.classList.remove("zoomed");
  lift(panel, null);
  zoomTo(panel, [xs[0], -ys[1], xs[1] - xs[0], ys[1] - ys[0]]);
}

/** A place as `d` has it, for an area; those that are far away come nearer. */
function writtenIn(area) {
  const [xs, ys] = area.map((ends) => about(ends, FAR)),
    limited = (v, [low, high]) => Math.min(high, Math.max(low, v));
  return (x, y) => `${limited(x, xs)} ${-limited(y, ys)}`;
}

/** Points are lines without length and with round ends. */
function point(kind, places, area) {
  const at = writtenIn(area),
    finite = places.filter((place) => place.every(Number.isFinite));
  return mark(`point ${kind}`, finite.map(([x, y]) => `M${at(x, y)}h0`).join(""));
}

/** A line through places, without those that are hardly apart from the last one, and with gaps where one is not finite. */
function polyline(places, area) {
  const [wide, high] = area.map(([low, end]) => (end - low) / 1250),
    at = writtenIn(area);
  let d = "",
    last = null;
  for (const place of places) {
    const [x, y] = place;
    if (last && Math.abs(x - last[0]) < wide && Math.abs(y - last[1]) < high) continue;
    const isFinite = Number.isFinite(x) && Number.isFinite(y);
    if (isFinite) d += `${last ? "L" : "M"}${at(x, y)}`;
    last = isFinite ? place : null;
  }
  return d;
}

/** The curve of a rule up to the epoch that is shown, and pale beyond it. */
function trace({ i, rule, row }, places, area) {
  const [before, after] = [places.slice(0, row + 1), places.slice(row)].map((part) => polyline(part, area)),
    series = { "data-series": i, "data-name": rule.name },
    look = `line series ${color(i)}`;
  return [mark(`${look} later`, after, series), mark("halo", before), mark(look, before, series)];
}

function drawGround(shown) {
  const { fn, start } = state,
    [xs, plane] = sides(),
    place = (w) => (plane ? w : [w[0], fn.surface.at(w[0])]),
    profile = plane ? [] : range(481).map((i) => place([xs[0] + ((xs[1] - xs[0]) * i) / 480])),
    heights = profile.map(([, f]) => f).filter((f) => Math.abs(f) < data.largest),
    ys = plane ?? about(heights.length > 1 ? [least(heights), most(heights)] : [0, 1], 1.1),
    area = [xs, ys[1] > ys[0] ? ys : [ys[0] - 1, ys[0] + 1]],
    stars = fn.minima.map((minimum) => place(minimum.point)),
    routes = shown.map(({ path }) => range(path.count).map((row) => place(pointAt(path, row))));
  const dots = (route, row) => (route.length - 1 > MANY ? [] : route.slice(0, row)),
    [left, top] = percents(stars[0] ?? [NaN, NaN], area),
    isShown = left >= 0 && left <= 100 && top >= 0 && top <= 100,
    seen = routes.flat().map((route) => percents(route, area));
  fill(
    "ground",
    area,
    [...fn.names, "f"],
    [
      mark("profile", polyline(profile, area)),
      ...shown.flatMap((result, k) => trace(result, routes[k], area)),
      ...shown.map(({ i, row }, k) => point(`dot ${color(i)}`, dots(routes[k], row), area)),
      point("minimum ink", stars, area),
      ...shown.map(({ i, row }, k) => point(color(i), [routes[k][row]], area)),
    ],
    isShown ? [word(`place ${sideOf([left, top], seen)}`, [left, top], "minimum")] : [],
  );
  const handle = byId("start"),
    [x, y] = percents(place(start), area);
  handle.hidden = !(x >= 0 && x <= 100 && y >= 0 && y <= 100);
  [handle.style.left, handle.style.top] = [`${x}%`, `${y}%`];
  if (plane) drawContours(area);
}

/** Where fewest of these points would lie behind the name of a place: to its right or left, below or above. */
function sideOf([left, top], points) {
  const { width, height } = sizes.ground,
    [wide, high] = [7000 / width, 2000 / height], // of the name, in percent of the picture
    behind = (side) =>
      points.filter(([x, y]) => {
        const [across, up] = [
          side.startsWith("before") ? left - x : x - left,
          side.endsWith("above") ? top - y : y - top,
        ];
        return across >= 0 && across <= wide && up >= 0 && up <= high;
      }).length,
    sides = ["above", "below", "before above", "before below"].filter(
      (side) =>
        (side.startsWith("before") ? left > wide : left < 100 - wide) &&
        (side.endsWith("above") ? top > high : top < 100 - high),
    );
  return sides.sort((a, b) => behind(a) - behind(b))[0] ?? "above";
}

const BANDS = 14,
  INK = 0x544234; // blue, green and red of the lines; style sheets invert it where pages are dark
let painted = ""; // what the canvas shows

/** Bands of height, evenly spaced in log10 of f above its minimum, with lines between them. */
function drawContours([xs, ys]) {
  const { fn } = state,
    canvas = ground.querySelector("canvas"),
    ratio = hand ? 0.5 : 1, // coarse where it has to be fast
    [width, height] = [sizes.ground.width, sizes.ground.height].map((length) => Math.round(length * ratio)),
    key = [width, height, xs, ys, fn.key].join();
  if (key === painted || width < 2 || height < 2) return;
  painted = key;
  Object.assign(canvas, { width, height });
  const columns = range(width).map((i) => xs[0] + ((i + 0.5) / width) * (xs[1] - xs[0])),
    level = new Float64Array(width * height);
  for (let j = 0; j < height; j++) {
    const y = ys[1] - ((j + 0.5) / height) * (ys[1] - ys[0]);
    for (let i = 0; i < width; i++) level[j * width + i] = fn.surface.at(columns[i], y);
  }
  const floor = fn.lowest ?? least(level),
    sample = level.filter((f, i) => i % 97 === 0 && Number.isFinite(f)).sort(),
    lift = 1e-3 * (sample[sample.length >> 1] - floor) || 1e-9;
  for (let i = 0; i < level.length; i++) level[i] = Math.log10(Math.max(level[i] - floor, 0) + lift);
  const low = least(level),
    step = (level.reduce((a, b) => (b > a && b < Infinity ? b : a), low) - low) / BANDS || 1,
    context = canvas.getContext("2d"),
    image = context.createImageData(width, height),
    pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < level.length; i++) {
    if (!Number.isFinite(level[i])) continue; // the ground of the page
    const right = level[(i + 1) % width ? i + 1 : i - 1],
      below = level[i + width < level.length ? i + width : i - width],
      slope = Math.max(Math.hypot(right - level[i], below - level[i]) / step, 1e-9),
      place = (level[i] - low) / step,
      edge = Math.round(place),
      apart = (place - edge) / slope, // pixels to the nearest line
      band = Math.max(0, edge - 1 + Math.min(1, Math.max(0, 0.5 + apart))) / BANDS,
      crowded = Math.min(1, 0.35 / slope), // lines closer than three pixels fade into their band
      near = Math.max(0, 1 - Math.max(0, Math.abs(apart) - 0.35) / 0.6),
      ink = edge > 0 && edge < BANDS ? 0.42 * crowded * near : 0;
    pixels[i] = INK | (Math.round(255 * (0.18 * band + ink)) << 24);
  }
  context.putImageData(image, 0, 0);
}

const MAX_DECADES = 16, // of the loss axis: a trajectory that gets to f_min exactly flattens no other
  MAX_NAME = 12; // characters

/** log10 of f above its minimum. Without a known minimum it is above the lowest f that a trajectory reaches, less a thousandth of
 * the way there, so that one that gets there has no plunge. */
function drawLosses(shown) {
  const { fn, epochs } = state,
    heights = shown.map(({ path }) => heightsOf(path)),
    lowest = least(heights.flat()),
    floor = fn.lowest ?? lowest - 1e-3 * Math.max(0, most(heights.map(([first]) => first)) - lowest),
    rounding = fn.lowest === null ? 0 : 2 ** -52 * Math.abs(floor),
    isOnScale = (f) => f < Infinity && f >= floor - roundingOf(floor), // else that minimum is not the lowest
    levelOf = (f) => (isOnScale(f) ? Math.log10(Math.max(f - floor, rounding) || NaN) : NaN),
    levels = heights.map((all) => all.map(levelOf)),
    stay = levels.filter((_, k) => shown[k].path.status !== "diverged"),
    high = Math.min(250, Math.ceil(most((stay.length ? stay : levels).flat()) - 1e-9)),
    low = Math.max(Math.floor(least(levels.flat()) + 1e-9), high - MAX_DECADES),
    ys = low < high ? [low, high] : low === high ? [low - 1, high + 1] : [-1, 0],
    area = [[0, epochs], ys],
    cursor = mark("threshold ink", shownEpoch() < epochs ? `M${shownEpoch()} ${-ys[0]}V${-ys[1]}` : "");
  fill(
    "losses",
    area,
    ["epoch", fn.lowest === null ? "f \u2212 lowest f reached" : "f \u2212 f_min"],
    [cursor, ...shown.flatMap((result, k) => trace(result, [...levels[k].entries()], area))],
    endNames(shown, levels, area),
  );
}

/** The names of rules next to the ends of their curves, one below the other where the ends are close. */
function endNames(shown, levels, area) {
  const apart = (87.5 * parseFloat(getComputedStyle(document.documentElement).fontSize)) / sizes.losses.height,
    labels = shown.flatMap(({ i, row, rule: { name } }, k) => {
      const seen = levels[k].slice(0, row + 1),
        last = seen.findLastIndex((level) => !Number.isNaN(level)), // a log scale does not show what lies below it
        [x, y] = percents([last, seen[last]], area),
        short = name.length > MAX_NAME ? `${name.slice(0, MAX_NAME - 1)}\u2026` : name;
      return last < 0 ? [] : [{ i, x, y, name: short + (last < row || y > 100 ? " \u2193" : "") }];
    });
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, k) => (label.y = Math.max(label.y, k ? labels[k - 1].y + apart : 0)));
  labels.reduceRight((limit, label) => (label.y = Math.min(label.y, limit)) - apart, 100);
  return labels.map(({ i, x, y, name }) => word(`end ${color(i)}`, [x, y], name));
}

const LOWEST = [0.999, 0.99, 0.9, 0.5, 0]; // rate at the lower end of the picture: the first that shows all curves

let theoryShown = ""; // what it was drawn for

/** The factor of the distance per step over lr, for the rules with a theory; where it crosses 1 is the limit. */
function drawTheory(shown) {
  const known = shown.filter(({ theory }) => theory);
  byId("theory").textContent = known.length ? "Theory: stable below 1" : "Theory: none for these";
  byId("rates").hidden = !known.length;
  const key = JSON.stringify([
    state.fn.key,
    known.map(({ i, rule, values, theory }) => [i, rule.key, values, theory.bowl]),
  ]);
  if (!known.length || key === theoryShown) return;
  theoryShown = key;
  const all = known.flatMap(({ i, values }) => [cards[i].rate.low, cards[i].rate.high, values.lr]),
    xs = [least(all.filter((lr) => lr > 0)), most(all)].map(Math.log10),
    places = range(121).map((k) => xs[0] + ((xs[1] - xs[0]) * k) / 120),
    rates = known.map(({ theory }) => places.map((exponent) => theory.rateAt(10 ** exponent))),
    low = LOWEST.find((rate) => rate <= least(rates.flat())) ?? 0,
    high = 1 + (1 - low) / 4,
    area = [xs, [low, high]];
  const lines = known.flatMap(({ i, rule, theory: { limit } }, k) => {
    const curve = places.map((x, n) => [x, rates[k][n]]),
      series = { "data-series": i, "data-name": rule.name };
    return [
      mark(`line series ${color(i)}`, polyline(curve, area), series),
      mark(`threshold ${color(i)}`, `M${Math.log10(limit)} -1V${-low}`, { "data-limit": limit }),
    ];
  });
  const beyond = mark("beyond", `M${xs[0]} -1H${xs[1]}V${-high}H${xs[0]}Z`),
    heads = known.map(({ i, values, theory }) =>
      point(color(i), [[Math.log10(values.lr), Math.min(high, theory.rate)]], area),
    );
  fill("rates", area, ["lr", "distance per step"], [beyond, ...lines, ...heads], []);
}

// --- controls --------------------------------------------------------------------------------------------------------------

const STEPS = 500; // positions of a slider: each is another number, to three digits

/** The values of the positions of a slider, ascending. */
function valuesOf({ scale, low, high, accepted, whole: isWhole }) {
  const valueAt = (share) => {
    if (scale === "log" && !share && accepted[0] === 0) return 0;
    if (scale === "to-one") return round(1 - round((1 - high) ** share, 3), 8);
    const value = round(scale === "linear" ? low + (high - low) * share : low * (high / low) ** share, 3);
    return isWhole ? Math.round(value) : value;
  };
  return range(STEPS + 1).map((position) => valueAt(position / STEPS));
}

/** A name whose parts, joined by _, may stand on several lines. */
function broken(name) {
  return name.split(/(?<=_)/).flatMap((part, k) => (k ? [html("wbr"), part] : [part]));
}

/** A row of the panel for the field `target[key]`: a list of options, or a slider and a field for exact numbers. */
function control(id, field, target, key = field.name, prefix = "") {
  const set = (value) => {
    target[key] = value;
    if (key === "epochs") state.at = null;
    update();
  };
  const row = html(
    "div",
    { className: "slider" },
    html("label", { htmlFor: id, title: field.doc }, ...broken(field.name)),
  );
  if (field.options) {
    const onchange = () => set(field.options[select.selectedIndex]),
      select = html("select", { id, onchange }, ...field.options.map((option) => html("option", {}, String(option))));
    row.append(select);
    row.show = () => (select.selectedIndex = field.options.indexOf(target[key]));
    return row;
  }
  const values = valuesOf(field),
    positionOf = (value) => values.findLastIndex((other) => other <= value),
    ariaLabel = prefix + field.name,
    bar = html("input", { type: "range", id, max: STEPS, ariaLabel }),
    exact = html("input", { className: "exact", id: `${id}-exact`, inputMode: "decimal", autocomplete: "off" });
  const judge = () => {
    const value = valueOf(field, exact.value);
    exact.title = value === undefined ? `${field.name} is ${field.range}` : "";
    exact.setCustomValidity(exact.title);
    return value;
  };
  exact.ariaLabel = `${ariaLabel}, exact`;
  bar.oninput = () => set(values[bar.value]);
  exact.onchange = () => set(judge() ?? target[key]);
  row.append(bar, exact);
  row.show = (limit) => {
    if (row.value !== target[key]) {
      exact.value = row.value = target[key];
      judge();
      if (values[bar.value] !== row.value) bar.value = positionOf(row.value);
      bar.ariaValueText = text(row.value);
    }
    bar.classList.toggle("limited", Boolean(limit));
    if (limit) bar.style.setProperty("--limit", positionOf(limit) / STEPS);
  };
  return row;
}

/** The field of lr with room on both sides of its usual value and of the limit of stability. */
function rateField(rule, field) {
  const { fn } = state,
    values = defaultsOf(fn, rule),
    path = follow(rule, values, { fn, start: fn.start, epochs: data.epochs, noise: 0 }),
    limit = theoryOf(rule, values, path)?.limit ?? 6 * values.lr;
  return { ...field, low: round(Math.min(values.lr, limit) / 100, 1), high: round(Math.max(values.lr, limit) * 5, 1) };
}

/** The card of a rule: whether it is shown, its settings, and two lines of results. */
function card(entry, i) {
  const { rule, values } = entry,
    fields = rule.fields.map((field) => (field.name === "lr" ? rateField(rule, field) : field)),
    rows = fields.map((field) => control(`rule${i}-${field.name}`, field, values, field.name, `${rule.name} `)),
    box = html("input", { type: "checkbox", id: `rule${i}-shown` }),
    label = html("label", { className: "rule" }, box, swatch(i), html("b", {}, rule.name)),
    [verdict, formula, theory] = ["span", "p", "p"].map((name) => html(name)),
    head = html("div", { className: "head" }, label, verdict),
    element = html("section", { className: "card", ariaLabel: rule.name }, head, formula, ...rows, theory);
  box.onchange = () => ((entry.shown = box.checked), update());
  [formula.className, theory.className] = ["formula", "theory"];
  element.rate = fields.find((field) => field.name === "lr");
  element.show = ({ theory: known, verdict: status, path, row }) => {
    box.checked = entry.shown;
    element.classList.toggle("off-card", !entry.shown);
    rows.forEach((row, k) => row.show(fields[k].name === "lr" ? known?.limit : 0));
    formula.textContent = rule.name === rule.text ? "" : formulaOf(rule, values);
    theory.textContent =
      state.noise && isExact(entry)
        ? "no noise: it evaluates gradients itself"
        : lateRise(rule, path, row) || sentence(known, values.lr);
    verdict.textContent = status;
    verdict.className = `verdict ${status}`;
  };
  return element;
}

const swatch = (i) => html("span", { className: `swatch ${color(i)}` });
let cards = [],
  sliders = []; // of the page

/** Make the panel for the function and the rules of a state. */
function arrange(settings) {
  state = settings;
  const { fn, rules } = state,
    option = (value, name = value) => html("option", { value }, name),
    others = data.rules.filter((rule) => !rulesOf(state).includes(rule)),
    isTyped = !data.functions.includes(fn),
    axes = fn.names.map((name, axis) => {
      const [low, high] = whole()[axis];
      return {
        name,
        doc: `coordinate ${axis + 1} of the start`,
        scale: "linear",
        low,
        high,
        accepted: [-data.largest, data.largest],
        range: "a number",
      };
    });
  sliders = [
    ...axes.map((field, axis) => control(`start${axis + 1}`, field, state.start, axis)),
    ...data.fields.filter(({ scale }) => scale).map((field) => control(field.name, field, state)),
  ];
  cards = rules.map(card);
  byId("sliders").replaceChildren(...sliders);
  byId("cards").replaceChildren(...cards);
  byId("formula").textContent = `f(${fn.names.join(", ")}) = ${[fn.formula, fn.settings].filter(Boolean).join(", ")}`;
  byId("function").replaceChildren(...[...data.functions, ...(isTyped ? [fn] : [])].map(({ key }) => option(key)));
  byId("function").value = fn.key;
  byId("rule").replaceChildren(option("", "add\u2026"), ...others.map((rule) => option(rule.key, rule.name)));
  byId("typed-function").value = isTyped ? fn.key : "";
  byId("typed-rule").value = "";
  byId("message").textContent = "";
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
      w = pointAt(path, row),
      [f, slope, verdict] = [heightAt, slopeAt, verdictAt].map((of) => of(path, row)),
      theory = theoryOf(entry.rule, entry.values, path);
    return { ...entry, i, path, row, w, f, slope, verdict, theory, ...closest(state.fn, w) };
  });

/** A setting has changed. */
function update() {
  paths = state.rules.map(({ rule, values }) => follow(rule, values));
  redraw();
}

function redraw() {
  if (sizes.ground) drawing ||= requestAnimationFrame(draw);
}

function draw() {
  drawing = 0;
  const { fn, epochs } = state,
    all = results(),
    shown = all.filter((result) => result.shown),
    line = command();
  drawGround(shown);
  drawLosses(shown);
  drawTheory(shown);
  sliders.forEach((row) => row.show());
  all.forEach((result) => cards[result.i].show(result));
  const texts = {
    answer: answer(shown),
    title: `${few(shown) || "nothing"} on ${fn.key === fn.formula ? "a formula" : fn.key}`,
    epoch: `epoch ${shownEpoch()} of ${epochs}`,
    command: line,
  };
  for (const [id, content] of Object.entries(texts)) byId(id).textContent = content;
  for (const input of document.querySelectorAll("#seed, #seed-exact")) input.disabled = !state.noise; // it seeds nothing
  showResults(shown);
  Object.assign(byId("at"), { max: epochs, value: shownEpoch(), ariaValueText: texts.epoch });
  byId("play").textContent = playing ? "pause" : "play";
  byId("terminal").hidden = !line;
  byId("draws").hidden = !state.noise;
  keep();
}

/** Where every rule is at the epoch that is shown. */
function showResults(shown) {
  const known = state.fn.minima.length ? ["distance"] : [],
    head = ["optimizer", "epoch", ...state.fn.names, "f", "|grad|", ...known, "verdict"];
  const rows = shown.map(({ i, rule, row, w, f, slope, distance, verdict }) => {
    const numbers = [...w, f, slope, ...known.map(() => distance)].map((number) => text(number)),
      cells = [String(row), ...numbers, verdict].map((cell) => html("td", {}, cell));
    return html("tr", {}, html("th", { scope: "row" }, swatch(i), rule.name), ...cells);
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

function startAt(place) {
  const inside = sides().map(([low, high], axis) => round(Math.min(high, Math.max(low, place[axis])), 4));
  if (inside.every(Number.isFinite)) Object.assign(state.start, inside);
  update();
}

// --- time ----------------------------------------------------------------------------------------------------------------------

const SECONDS = 8; // to play all epochs
const MIN_SPEED = 4; // epochs per second
let playing = 0;

function show(epoch) {
  state.at = epoch >= state.epochs ? null : epoch;
  redraw();
}

function play() {
  const first = shownEpoch() === state.epochs ? 0 : shownEpoch(),
    began = performance.now(),
    speed = Math.max(MIN_SPEED, state.epochs / SECONDS);
  const tick = (now) => {
    const epoch = Math.floor(first + (speed * Math.max(0, now - began)) / 1000);
    playing = epoch < state.epochs ? requestAnimationFrame(tick) : 0;
    show(epoch);
  };
  playing = requestAnimationFrame(tick);
}

function stop() {
  cancelAnimationFrame(playing);
  playing = 0;
  redraw();
}

// --- buttons and lists -----------------------------------------------------------------------------------------------------------

/** Take a formula or a name; a wrong formula changes nothing. */
function taken(id, take) {
  byId(id).onchange = ({ target }) => {
    try {
      take(target.value);
    } catch (error) {
      byId("message").textContent = error.message;
    }
  };
}
for (const id of ["function", "typed-function"]) taken(id, (key) => choose(functionOf(key)));
for (const id of ["rule", "typed-rule"]) taken(id, (key) => add(ruleOf(key)));
byId("at").oninput = ({ target }) => (stop(), show(Number(target.value)));

const BUTTONS = {
  play: () => (playing ? stop() : play()),
  closer,
  wider: () => zoomBy(-1),
  whole: () => ((state.view = null), redraw()),
  reset: () => (stop(), arrange(initialState())),
  link: (button) => copy(button, `${location.href.split("#")[0]}#${fragment()}`),
  "copy-numbers": (button) => copy(button, csv()),
};
for (const [id, act] of Object.entries(BUTTONS)) byId(id).onclick = ({ currentTarget }) => act(currentTarget);

// --- the hand ------------------------------------------------------------------------------------------------------------------------

// On the plane the handle moves the start, and so does a click; elsewhere a mouse moves the picture, and a finger scrolls the page.
const handle = byId("start"),
  CLICK = 4; // pixels; a mouse that moves further drags
let hand = null, // what is held: the start, or the place that stays under the mouse
  hasMoved = false;

ground.addEventListener("pointerdown", (event) => {
  const isStart = event.target === handle;
  if (event.button || (event.pointerType !== "mouse" && !isStart)) return void (hasMoved = false);
  stop();
  [hand, hasMoved] = [{ isStart, place: pointerPlace(ground, event), x: event.clientX, y: event.clientY }, isStart];
  ground.setPointerCapture(event.pointerId);
});
ground.addEventListener("pointermove", (event) => {
  const place = pointerPlace(ground, event),
    w = place.slice(0, dimension);
  byId("here").textContent = `f(${w.map((number) => text(number, 3)).join(", ")}) = ${text(state.fn.surface.at(...w))}`;
  hasMoved ||= hand && Math.hypot(event.clientX - hand.x, event.clientY - hand.y) > CLICK;
  if (!hand || !hasMoved) return;
  if (hand.isStart) startAt(place);
  else choosePart(sides().map((ends, axis) => ends.map((end) => end + hand.place[axis] - place[axis])));
});
ground.addEventListener("lostpointercapture", () => ((hand = null), redraw()));
ground.addEventListener("click", (event) => {
  if (event.detail && !hasMoved && event.target !== handle) startAt(pointerPlace(ground, event));
});
ground.addEventListener("pointerleave", () => (byId("here").textContent = ""));
ground.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.metaKey) return void (byId("here").textContent = "Ctrl + wheel zooms");
    event.preventDefault();
    zoomBy(-Math.max(-0.6, Math.min(0.6, event.deltaY / (event.deltaMode ? 5 : 100))), pointerPlace(ground, event));
  },
  { passive: false },
);

const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }; // axis and direction
handle.addEventListener("keydown", (event) => {
  const [axis, way] = WAYS[event.key] ?? [dimension];
  if (axis >= dimension) return;
  event.preventDefault();
  const [low, high] = sides()[axis];
  startAt(state.start.with(axis, state.start[axis] + (way * (event.shiftKey ? 10 : 1) * (high - low)) / 100));
});

/** Show what the address holds. */
function open() {
  arrange(read(location.hash.slice(1)));
}
addEventListener("hashchange", open);
const observer = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) sizes[target.id] = contentRect;
  if (!drawing) draw();
});
for (const id of ["ground", "losses"]) observer.observe(byId(id));
open();
