"use strict";
// State of the playground: settings, the paths that follow from them, and the address that keeps them.

const data = JSON.parse(document.getElementById("data").textContent);
const dimension = data.start.length,
  plane = dimension === 2;
const WIDTH = 2 * dimension + 1; // numbers of a row: w, f, gradient
for (const one of data.functions) Object.assign(one, running(one.value, one.gradient));

/** A function that runs: its trees and its values. */
function running(tree, gradient) {
  const surface = Formula.surface(tree, dimension, gradient),
    { points, run, values } = Formula.valuesOf(surface);
  const value = (...point) => {
    for (let axis = 0; axis < dimension; axis++) points[axis][0] = point[axis];
    run();
    return values[0];
  };
  return { surface, value, runners: new Map(), written: JSON.stringify(tree) };
}

const opening = data.rules.map((_, index) => index).slice(0, data.listed); // the rules that the page opens with
let fn = data.functions[0]; // the function that is shown

const usualStart = () => (fn === data.functions[0] ? data.start : fn.start);

/** The names of the coordinates, as in a formula of the reader's own. */
const coordinates = () =>
  (fn.key === fn.formula && /\b[xy]\b/.test(fn.formula) ? ["x", "y"] : ["w1", "w2"]).slice(0, dimension);

/** The settings of the page for a function and the rules `listed`, before anything is moved. */
function given(chosen = data.functions[0], listed = opening) {
  fn = chosen;
  return {
    function: fn.key,
    start: [...usualStart()],
    epochs: data.epochs,
    noise: 0, // standard deviation of what is added to every gradient
    seed: 0,
    at: null, // the epoch that is shown; null: the last one
    view: null, // the middle of the picture, and how often its scale was doubled; null: all of it
    listed: [...listed], // the rules with a card, in the order of their colors
    rules: data.rules.map((_, index) => (listed.includes(index) ? usual(index) : null)),
  };
}

/** The settings of a rule before any is moved: as it was given, elsewhere with the best of RATES. */
function usual(index) {
  const rule = data.rules[index],
    named = (all) => Object.fromEntries(all.map((one) => [one.name, one.value]));
  const settings = { shown: true, values: named(rule.controls), choices: named(rule.choices) };
  if (Object.hasOwn(settings.values, "lr")) settings.values.lr = bestRate(index, settings);
  return settings;
}

const RATES = [-6, -5, -4, -3, -2, -1, 0, 1].flatMap((exponent) =>
  [1, 2, 5].map((digit) => Number(`${digit}e${exponent}`)),
);
const bestRates = new Map();

/** The lr of RATES, stable by theory where there is one, whose path from the function's start is lowest on average, of those
 * that end in its box if any does; the rule's own where all diverge, and where it was given or does not diverge. */
function bestRate(index, settings) {
  const key = `${index} ${fn.key}`,
    start = usualStart();
  if (!bestRates.has(key)) {
    let best = { outside: true, sum: Infinity };
    bestRates.set(key, settings.values.lr);
    const isGiven = fn === data.functions[0] && index < data.listed;
    if (isGiven && !(data.free && follow(index, settings, start, data.epochs, 0).status === "diverged"))
      return settings.values.lr;
    for (const lr of RATES) {
      const tried = { ...settings, values: { ...settings.values, lr } },
        path = follow(index, tried, start, data.epochs, 0);
      let sum = 0;
      for (let row = 0; row < path.count; row++) sum += valueOf(path, row);
      const outside = !isIn(fn.box, pointOf(path, path.count - 1)),
        isBetter = outside === best.outside ? sum < best.sum : best.outside;
      if (path.status === "diverged" || theoryOf(index, path, tried)?.rate >= 1 || !isBetter) continue;
      best = { outside, sum };
      bestRates.set(key, lr);
    }
  }
  return bestRates.get(key);
}

const look = (index) => state.listed.indexOf(index); // decides color, dashes and marker

// --- paths ---------------------------------------------------------------------------------------------------

/** The values of all settings that a formula may name. */
const settingsOf = (index, { values }) => ({ ...data.rules[index].settings, ...values });

/** The formula of a rule under its settings. */
function formulaOf(index, settings) {
  const { text, variants } = data.rules[index];
  return Formula.filled(text, variants, { ...settingsOf(index, settings), ...settings.choices });
}

const programs = new Map(); // of formulas

function programOf(index, settings) {
  const formula = formulaOf(index, settings),
    names = Object.keys(settingsOf(index, settings)),
    key = `${formula} ${names}`;
  if (!programs.has(key)) programs.set(key, Formula.program(formula, names));
  return programs.get(key);
}

/** Whether a rule evaluates gradients itself, to which no noise is added. */
const isExact = (index, settings = state.rules[index]) => programOf(index, settings).uses.has("grad");

/** The path of a rule: `rows` of w, f and the gradient, how many there are, and how it ended, as `descend` says. */
function follow(index, settings = state.rules[index], start = state.start, epochs = state.epochs, noise = state.noise) {
  const program = programOf(index, settings),
    added =
      noise && !program.uses.has("grad") ? draws(state.seed, (epochs + 1) * dimension).map((own) => noise * own) : null;
  if (!fn.runners.has(program)) fn.runners.set(program, Formula.pathOn(fn.surface, program));
  const path = fn.runners.get(program)(settingsOf(index, settings), start, epochs, added),
    ended = path.count <= epochs || !isFinite(valueOf(path, 0));
  return { ...path, status: ended ? "diverged" : statusAt(path, path.count - 1) };
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
  return Float64Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

const valueOf = (path, row) => path.rows[row * WIDTH + dimension];
const pointOf = (path, row) => Array.from(path.rows.slice(row * WIDTH, row * WIDTH + dimension));

function normOf(path, row) {
  let sum = 0;
  for (let i = dimension + 1; i < WIDTH; i++) sum += path.rows[row * WIDTH + i] ** 2;
  return Math.sqrt(sum);
}

/** The row of an epoch, or the last one. */
const rowAt = (path, epoch) => Math.min(epoch, path.count - 1);

/** How a path that ends at this row has ended, as `descend` says. */
function statusAt(path, row) {
  if (path.status && row === path.count - 1) return path.status;
  if (normOf(path, row) < data.tolerance) return "converged";
  let lowest = fn.lowest;
  if (lowest === null) {
    lowest = Infinity;
    for (let one = 0; one <= row; one++) lowest = Math.min(lowest, valueOf(path, one));
  }
  const allowed = data.diverged * Math.max(valueOf(path, 0) - lowest, data.tolerance);
  return valueOf(path, row) - lowest > allowed ? "diverged" : "moving";
}

const roundingOf = (f) => data.rounding * Math.max(1, Math.abs(f));
/** Whether f is lower than at the minimum that is known, which then is one of several, or the lowest of its box only. */
const isBelow = (f) => fn.lowest !== null && f < fn.lowest - roundingOf(fn.lowest);
const isIn = (sides, point) => point.every((w, axis) => w >= sides[axis][0] && w <= sides[axis][1]);

/** The status at a row in words, with what it leaves out: a place that is no known minimum, a path that falls for ever. */
function verdictAt(path, row) {
  const status = statusAt(path, row),
    point = pointOf(path, row),
    f = valueOf(path, row),
    close = nearest(point);
  if (status === "converged") {
    // where f is convex, f - f_min is at most |grad| times the distance
    const most = close && data.tolerance * close.distance + roundingOf(fn.lowest),
      isFar = close && close.distance > data.close * Math.max(...fn.box.map(([low, high]) => high - low));
    return isFar || (close && Math.abs(f - fn.lowest) > most) ? "converged, not at the minimum" : status;
  }
  if (status === "diverged") return status;
  const left = [isBelow(f) && "below f_min", !isIn(whole(), point) && "off the map"];
  return [status, ...left].filter(Boolean).join(", ");
}

/** The distance of a point to the nearest minimum, and that minimum; null where none is known. */
function nearest(point) {
  let best = null;
  for (const minimum of fn.minima) {
    const distance = Math.hypot(...minimum.point.map((m, i) => point[i] - m));
    if (best === null || distance < best.distance) best = { distance, minimum };
  }
  return best;
}

/** Names, the first ones where there are many. */
const few = (names) =>
  names.length > 5 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ") || "nothing";

const TIE = 0.01; // of the distance of the nearest: no rule within it is ahead
const NEAR = 0.1; // of the distance of the start
const REACHED = 1e-6; // of it: at the minimum but for rounding

/** In a sentence, which rule is ahead at an epoch, and which ones are lost. */
function answerAt(epoch, shown) {
  if (!shown.length) return "No optimizer is ticked.";
  const ends = shown.map((index) => {
    const row = rowAt(paths[index], epoch),
      point = pointOf(paths[index], row),
      close = nearest(point),
      status = statusAt(paths[index], row);
    return {
      name: data.rules[index].name,
      far: close ? close.distance : valueOf(paths[index], row),
      lost: status === "diverged" ? "diverged" : isIn(whole(), point) ? "" : "left the map",
    };
  });
  const kept = ends.filter((end) => !end.lost).sort((a, b) => a.far - b.far),
    known = fn.minima.length > 0,
    minimum = fn.minima.length > 1 ? "a minimum" : "the minimum";
  const lost = ["diverged", "left the map"].flatMap((how) => {
    const names = ends.filter((end) => end.lost === how).map((end) => end.name);
    return names.length ? [`${few(names)} ${names.length > 1 ? "have" : "has"} ${how}`] : [];
  });
  const far = kept.length && Base.number(kept[0].far, 2);
  if (!kept.length) return `After ${epoch} epochs ${lost.join("; ")}.`;
  if (!epoch) return known ? `The start is ${far} from ${minimum}.` : `At the start f = ${far}.`;
  const reached = known ? REACHED * nearest(state.start).distance : -Infinity,
    tie = Math.max(kept[0].far + TIE * Math.abs(kept[0].far), reached),
    first = kept.filter((end) => end.far <= tie).map((end) => end.name),
    verb = first.length > 1 ? "are" : "is",
    where = known ? `${far} from ${minimum}` : `at f = ${far}`,
    isNear = !known || kept[0].far <= NEAR * nearest(state.start).distance;
  let told = `${few(first)} ${verb} ${known ? `nearest to ${minimum}, ${far} from it` : `lowest: f = ${far}`}`;
  if (kept[0].far <= reached) told = `${few(first)} ${first.length > 1 ? "have" : "has"} reached ${minimum}`;
  else if (ends.length === 1) told = `${first[0]} is ${where}`;
  else if (!isNear) told = `none has come near ${minimum}: ${few(first)} ${verb} ${far} from it`;
  else if (first.length === kept.length && first.length > 1)
    told = `${few(first)} are equally ${known ? "far" : "low"}, ${where}`;
  return `${[`After ${epoch} epochs ${told}`, ...lost].join("; ")}.`;
}

// --- theory --------------------------------------------------------------------------------------------------

/** The minimum whose curvatures decide: the nearest to the end of the path that has some. */
function bowlOf(path) {
  const bowls = fn.minima.filter((minimum) => minimum.curvatures);
  if (!bowls.length) return null;
  const end = nearest(pointOf(path, path.count - 1));
  return bowls.includes(end.minimum) ? end.minimum : bowls[0];
}

const linearSteps = new Map(); // of programs

/** By theory: the largest stable lr, and the factor per step at the rule's own lr and at others; null without one. */
function theoryOf(index, path, settings = state.rules[index]) {
  const program = programOf(index, settings),
    bowl = bowlOf(path),
    values = settingsOf(index, settings);
  if (!linearSteps.has(program)) linearSteps.set(program, Formula.linearStep(program));
  const step = linearSteps.get(program);
  if (!step || !bowl) return null;
  const along = (lr) => bowl.curvatures.map((curvature) => step({ ...values, lr }, curvature)),
    rateAt = (lr) => Math.max(...along(lr).map((one) => one.rate)),
    limit = Math.min(...along(values.lr).map((one) => one.limit));
  return Number.isFinite(limit) ? { limit, rate: rateAt(values.lr), rateAt, lr: values.lr, bowl } : null;
}

// --- numbers of sliders --------------------------------------------------------------------------------------

const STEPS = 500; // positions of a slider: each is another number, to three digits

const round = (number, digits) => Number(number.toPrecision(digits));

/** The value at a position from 0 to STEPS; a slider's values have few digits. */
function valueAt(control, position) {
  const share = position / STEPS,
    { low, high } = control;
  if (control.scale === "log") return round(low * (high / low) ** share, 3);
  if (control.scale === "zero-log") return share === 0 ? 0 : round(low * (high / low) ** share, 3);
  if (control.scale === "to-one") return share === 0 ? 0 : Number((1 - round((1 - high) ** share, 3)).toFixed(8));
  const places = Math.max(0, 1 - Math.floor(Math.log10((high - low) / STEPS)));
  return Number((low + (high - low) * share).toFixed(Math.min(places, 20)));
}

/** The position of a value, 0 to STEPS, not rounded. */
function positionOf(control, number) {
  const { low, high } = control;
  const logarithm = (x) => Math.log(x / low) / Math.log(high / low);
  let share = (number - low) / (high - low);
  if (control.scale === "log") share = number > 0 ? logarithm(number) : 0;
  if (control.scale === "zero-log") share = number > low ? logarithm(number) : 0;
  if (control.scale === "to-one") share = number < 1 ? Math.log(1 - number) / Math.log(1 - high) : 1;
  return STEPS * Math.min(1, Math.max(0, share));
}

/** Whether a number may be the value of a setting. */
function isAccepted(control, number) {
  const [least, above, most, below] = control.accepted;
  if (!Number.isFinite(number) || (control.whole && !Number.isInteger(number))) return false;
  if (least !== null && (above ? number <= least : number < least)) return false;
  return most === null || (below ? number < most : number <= most);
}

/** In words, which values a setting may have. */
function range(control) {
  const [least, above, most, below] = control.accepted;
  const parts = [];
  if (least !== null) parts.push(`${above ? "greater than" : "at least"} ${least}`);
  if (most !== null) parts.push(`${below ? "less than" : "at most"} ${most}`);
  return parts.join(" and ") || "any number";
}

/** The control of a rule, that of lr with room on both sides of its usual value and of the limit of stability. */
function controlOf(index, control) {
  if (control.name !== "lr") return control;
  const settings = usual(index),
    lr = settings.values.lr,
    path = follow(index, settings, fn.start, data.epochs, 0);
  const known = theoryOf(index, path, settings);
  const [low, high] =
    known && known.limit > 0
      ? [Math.min(lr / 10, known.limit / 100), Math.max(3 * lr, 5 * known.limit)]
      : [lr / 100, 30 * lr];
  return { ...control, scale: "log", low: round(low, 1), high: round(high, 1) };
}

/** The control of a coordinate of the start: over the box of the function that is shown. */
const axisControl = (axis) => {
  const reach = () =>
    wider([Math.min(fn.box[axis][0], usualStart()[axis]), Math.max(fn.box[axis][1], usualStart()[axis])]);
  return {
    scale: "linear",
    accepted: [null, false, null, false],
    get name() {
      return coordinates()[axis];
    },
    get low() {
      return reach()[0];
    },
    get high() {
      return reach()[1];
    },
  };
};
const epochsControl = {
  name: "epochs",
  scale: "log",
  low: 1,
  high: Math.min(data.most_epochs, Math.max(1000, 5 * data.epochs)),
  accepted: [1, false, data.most_epochs, false],
  whole: true,
};
const noiseControl = { name: "noise", scale: "zero-log", low: 0.01, high: 10, accepted: [0, false, null, false] };
const seedControl = {
  name: "seed",
  scale: "linear",
  low: 0,
  high: STEPS,
  accepted: [0, false, 2 ** 32, true],
  whole: true,
};

const MOST_ZOOM = 12,
  LEAST_ZOOM = -4;
const MOST_STRETCH = 6; // beyond it the scales of the axes differ, or one would be a strip

let aspect = 0; // height over width of the picture of the paths; 0: not drawn yet

/** The sides of a plane with the wider scale for both axes, so that paths cross lines of equal height at right angles. */
function equal(sides) {
  if (!plane || !aspect) return sides;
  const [wide, high] = sides.map(([low, high]) => high - low),
    stretch = (wide * aspect) / high;
  const grown = ([low, high], by) => [(low + high - by * (high - low)) / 2, (low + high + by * (high - low)) / 2];
  if (stretch > MOST_STRETCH || stretch < 1 / MOST_STRETCH) return sides;
  return stretch > 1 ? [sides[0], grown(sides[1], stretch)] : [grown(sides[0], 1 / stretch), sides[1]];
}

/** A side with a margin. */
const wider = ([low, high]) => [low - 0.04 * (high - low), high + 0.04 * (high - low)];

/** The sides of the picture, (low, high) per axis: the part chosen by hand, else the whole. */
function view() {
  if (!state.view) return whole();
  const { at, zoom } = state.view;
  return equal(fn.box.map(wider)).map(([low, high], axis) => {
    const half = (2 ** -zoom * (high - low)) / 2;
    return [at[axis] - half, at[axis] + half];
  });
}

/** The function's box, wider where the paths start outside it. */
function whole() {
  return equal(
    fn.box.map(([low, high], axis) => wider([Math.min(low, state.start[axis]), Math.max(high, state.start[axis])])),
  );
}

/** Look closer by this power of two, or further away, so that `fixed` stays where it is. */
function zoomed(by, fixed) {
  const { at, zoom } = state.view ?? { at: view().map(([low, high]) => (low + high) / 2), zoom: wholeZoom() };
  const to = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, zoom + by)),
    shrunk = 2 ** (zoom - to);
  state.view = { at: at.map((own, axis) => fixed[axis] + (own - fixed[axis]) * shrunk), zoom: to };
}

/** The zoom of a view that was not chosen by hand: below 0 where a start lies outside the box. */
function wholeZoom() {
  const [[low, high]] = view(),
    [[left, right]] = equal(fn.box.map(wider));
  return Math.log2((right - left) / (high - low));
}

/** What is looked at closely: the minimum in which the first path that is shown ends, else the end of that path. */
function goal() {
  const path = paths[state.listed.find((index) => state.rules[index].shown)];
  const end = path ? pointOf(path, path.count - 1) : state.start,
    close = nearest(end);
  return close ? close.minimum.point : end.every(Number.isFinite) ? end : state.start;
}

// --- the address ---------------------------------------------------------------------------------------------

/** What differs from the page as it was made: `function=booth&algo=sgd,adan&start=1,2&epochs=40&sgd.lr=0.1&adan.shown=no`. */
function fragment() {
  const known = given(fn, state.listed),
    parts = [];
  if (fn !== data.functions[0]) parts.push(`function=${encodeURIComponent(fn.key)}`);
  if (String(state.listed) !== String(opening))
    parts.push(`algo=${state.listed.map((index) => encodeURIComponent(data.rules[index].key))}`);
  if (String(state.start) !== String(known.start)) parts.push(`start=${state.start}`);
  if (state.epochs !== known.epochs) parts.push(`epochs=${state.epochs}`);
  for (const name of ["noise", "seed"]) if (state[name]) parts.push(`${name}=${state[name]}`);
  if (state.at !== null && state.at !== state.epochs) parts.push(`at=${state.at}`);
  if (state.view) parts.push(`view=${[...state.view.at, state.view.zoom].map((number) => round(number, 6))}`);
  for (const index of state.listed) {
    const rule = state.rules[index],
      name = encodeURIComponent(data.rules[index].key);
    for (const part of ["values", "choices"]) {
      for (const [setting, own] of Object.entries(rule[part])) {
        if (own !== known.rules[index][part][setting]) parts.push(`${name}.${setting}=${encodeURIComponent(own)}`);
      }
    }
    if (!rule.shown) parts.push(`${name}.shown=no`);
  }
  return parts.join("&");
}

/** The settings of an address; what is not a setting, or has no accepted value, is passed over. */
function read(text) {
  const written = text.split("&").map((part) => part.split(/=(.*)/s)),
    parts = written.map(([name, own = ""]) => [decoded(name), decoded(own)]),
    asked = new Map(written),
    keys = (asked.get("algo") ?? "").split(",").map(decoded); // a comma of a key is no comma between keys
  const listed = [...new Set(keys.map((key) => data.rules.findIndex((rule) => rule.key === key)))].filter(
    (index) => index >= 0,
  );
  const settings = given(linked(decoded(asked.get("function") ?? "")), listed.length ? listed : opening);
  for (const [name, own] of parts) {
    const number = own.trim() === "" ? NaN : Number(own),
      numbers = own.split(",").map(Number);
    if (name === "start") {
      if (numbers.length === dimension && numbers.every(Number.isFinite)) settings.start = numbers;
    } else if (name === "epochs" || name === "at") {
      if (Number.isInteger(number) && number >= (name === "at" ? 0 : 1) && number <= data.most_epochs)
        settings[name] = number;
    } else if (name === "noise" || name === "seed") {
      if (isAccepted(name === "noise" ? noiseControl : seedControl, number)) settings[name] = number;
    } else if (name === "view") {
      const zoom = numbers.pop();
      if (
        numbers.length === dimension &&
        [...numbers, zoom].every(Number.isFinite) &&
        zoom >= LEAST_ZOOM &&
        zoom <= MOST_ZOOM
      )
        settings.view = { at: numbers, zoom };
    } else {
      const dot = name.lastIndexOf("."),
        index = settings.listed.find((one) => data.rules[one].key === name.slice(0, dot));
      if (index !== undefined) readSetting(data.rules[index], settings.rules[index], name.slice(dot + 1), own, number);
    }
  }
  if (settings.at !== null) settings.at = Math.min(settings.at, settings.epochs);
  return settings;
}

/** The function of an address. */
function linked(key) {
  try {
    return key ? functionOf(key) : data.functions[0];
  } catch {
    return data.functions[0];
  }
}

/** The function of this name, else of this formula; an Error says what is wrong with a formula. */
function functionOf(key) {
  const known = data.functions.find((one) => one.key === key);
  if (known) return known;
  const tree = Formula.parse(key),
    command = `--function ${quoted(key)}`;
  if (Formula.dimensionOf(tree) !== dimension)
    throw new Error(`this page has functions of ${plane ? "x and y" : "x"}. For this one: ${pageCommand(command)}`);
  const same = data.functions.find((one) => one.written === JSON.stringify(tree));
  if (same) return same;
  return {
    key,
    formula: key,
    settings: "",
    command,
    box: Array(dimension).fill([-3, 3]),
    start: [-1, 1].slice(0, dimension),
    minima: [],
    everywhere: false,
    lowest: null,
    ...running(tree),
  };
}

function readSetting(rule, settings, name, text, number) {
  if (name === "shown") settings.shown = text !== "no";
  const control = rule.controls.find((one) => one.name === name);
  if (control && isAccepted(control, number)) settings.values[name] = number;
  const choice = rule.choices.find((one) => one.name === name);
  const option = choice && choice.options.find((one) => String(one) === text);
  if (option !== undefined) settings.choices[name] = option;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** A word of a command line. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The command that makes a page of a function with these rules. */
function pageCommand(chosen) {
  const rules = String(state.listed.map((index) => data.rules[index].spec));
  return `optilab play --algo ${/^[\w./:,-]+$/.test(rules) ? rules : quoted(rules)} ${chosen}`;
}

/** The command that runs this in a terminal. */
function command() {
  const plain = (own) => {
    if (typeof own === "object" && own !== null)
      return `{${Object.entries(own)
        .map(([name, one]) => `${name}: ${plain(one)}`)
        .join(", ")}}`;
    return typeof own === "string" && /^[\w./:-]+$/.test(own) ? own : JSON.stringify(own);
  };
  const rules = state.listed.flatMap((index) => {
    const rule = data.rules[index];
    if (!state.rules[index].shown || (state.noise && isExact(index))) return [];
    const { values, choices } = state.rules[index];
    const settings = Object.entries({ ...rule.fixed, ...choices, ...values });
    return [`{${[["name", rule.spec], ...settings].map(([name, own]) => `${name}: ${plain(own)}`).join(", ")}}`];
  });
  if (!rules.length) return "";
  const algo = rules.length > 1 ? `[${rules.join(", ")}]` : rules[0];
  const noise = state.noise ? ` --set noise=${state.noise} --set seed=${state.seed}` : "";
  return `optilab optimize ${fn.command} --start=${state.start} --epochs ${state.epochs} --set ${quoted(`algo=${algo}`)}${noise}`;
}

let state = given();
let paths = []; // of every rule that is listed
