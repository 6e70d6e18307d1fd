"use strict";
// State of the playground: settings, the paths that follow from them, and the address that keeps them.

const data = JSON.parse(document.getElementById("data").textContent);
const fn = data.function, plane = fn.dimension === 2, value = PROGRAMS[PROGRAMS.length - 1];
const WIDTH = 2 * fn.dimension + 1; // numbers of a row: w, f, gradient
const isMoving = (rule) => Boolean(rule.forms);

/** The settings as the page was made. */
function given() {
  return {
    start: [...data.start],
    epochs: data.epochs,
    at: null, // the epoch that is shown; null: the last one
    zoom: 0, // how often the picture has been doubled
    rules: data.rules.map((rule) => ({
      shown: true,
      values: Object.fromEntries((rule.controls ?? []).map((control) => [control.name, control.value])),
      choices: Object.fromEntries((rule.choices ?? []).map((choice) => [choice.name, choice.value])),
    })),
  };
}

let state = given();
let paths = []; // of every rule

// --- paths ---------------------------------------------------------------------------------------------------

/** The form of a rule under its settings: its programs, and their arguments. */
function formOf(index) {
  const { values, choices } = state.rules[index];
  const fits = (form) =>
    form.off.every((name) => values[name] === 0) &&
    Object.entries(form.choices).every(([name, option]) => !(name in choices) || choices[name] === option);
  const form = data.rules[index].forms.find(fits);
  return { ...form, values: form.settings.map((name) => values[name]) };
}

/** The path of a rule: `rows` of w, f and the gradient, the epoch of each, and how it ended, as `descend` says. */
function follow(index) {
  const { recording } = data.rules[index];
  if (recording) {
    return { rows: Float64Array.from(recording.rows.flat()), count: recording.rows.length, epochs: recording.epochs, status: recording.status };
  }
  const form = formOf(index), rows = new Float64Array((state.epochs + 1) * WIDTH);
  const count = PROGRAMS[form.path](state.epochs, form.values, state.start, rows, WIDTH);
  const path = { rows, count, epochs: null };
  return { ...path, status: statusOf(path) };
}

const epochOf = (path, row) => (path.epochs ? path.epochs[row] : row);
const valueOf = (path, row) => path.rows[row * WIDTH + fn.dimension];
const pointOf = (path, row) => Array.from(path.rows.slice(row * WIDTH, row * WIDTH + fn.dimension));

function normOf(path, row) {
  let sum = 0;
  for (let i = fn.dimension + 1; i < WIDTH; i++) sum += path.rows[row * WIDTH + i] ** 2;
  return Math.sqrt(sum);
}

/** The last row whose epoch is not after this one. */
function rowAt(path, epoch) {
  if (!path.epochs) return Math.min(epoch, path.count - 1);
  let row = 0;
  while (row + 1 < path.count && path.epochs[row + 1] <= epoch) row++;
  return row;
}

function statusOf(path) {
  const last = path.count - 1;
  if (last < state.epochs || !isFinite(valueOf(path, 0))) return "diverged";
  if (normOf(path, last) < data.tolerance) return "converged";
  let lowest = fn.lowest;
  if (lowest === null) {
    lowest = Infinity;
    for (let row = 0; row <= last; row++) lowest = Math.min(lowest, valueOf(path, row));
  }
  const allowed = data.diverged * Math.max(valueOf(path, 0) - lowest, data.tolerance);
  return valueOf(path, last) - lowest > allowed ? "diverged" : "moving";
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

// --- theory --------------------------------------------------------------------------------------------------

/** The minimum whose curvatures decide: the nearest to the end of the path that has some. */
function bowlOf(path) {
  const bowls = fn.minima.filter((minimum) => minimum.curvatures);
  if (!bowls.length) return null;
  const end = nearest(pointOf(path, path.count - 1));
  return bowls.includes(end.minimum) ? end.minimum : bowls[0];
}

/** By theory: the largest stable lr, and the factor per step at the rule's own lr and at others; null without one. */
function theoryOf(index, path) {
  if (!isMoving(data.rules[index])) return null;
  const form = formOf(index), bowl = bowlOf(path);
  if (form.stability === null || !bowl) return null;
  const place = form.settings.indexOf("lr"), lr = form.values[place], program = PROGRAMS[form.stability];
  const rateAt = (other) => Math.max(...program(form.values.with(place, other), bowl.curvatures).slice(1));
  return { limit: program(form.values, bowl.curvatures)[0], rate: rateAt(lr), rateAt, lr, bowl };
}

// --- numbers of sliders --------------------------------------------------------------------------------------

const STEPS = 500; // positions of a slider: each is another number, to three digits

const round = (number, digits) => Number(number.toPrecision(digits));

/** The value at a position from 0 to STEPS; a slider's values have few digits. */
function valueAt(control, position) {
  const share = position / STEPS, { low, high } = control;
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
  if (!Number.isFinite(number)) return false;
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

const axisControl = (axis) => {
  const [low, high] = view()[axis];
  return { name: `w${axis + 1}`, scale: "linear", low, high, accepted: [null, false, null, false] };
};
const epochsControl = {
  name: "epochs",
  scale: "log",
  low: 1,
  high: Math.min(data.most_epochs, Math.max(1000, 5 * data.epochs)),
  accepted: [1, false, data.most_epochs, false],
};

const MOST_ZOOM = 12;
const MOST_STRETCH = 6; // beyond it the scales of the axes differ, or one would be a strip

let aspect = 0; // height over width of the picture of the paths; 0: not drawn yet

/** The sides of a plane with the wider scale for both axes, so that paths cross lines of equal height at right angles. */
function equal(sides) {
  if (!plane || !aspect) return sides;
  const [wide, high] = sides.map(([low, high]) => high - low), stretch = (wide * aspect) / high;
  const grown = ([low, high], by) => [(low + high - by * (high - low)) / 2, (low + high + by * (high - low)) / 2];
  if (stretch > MOST_STRETCH || stretch < 1 / MOST_STRETCH) return sides;
  return stretch > 1 ? [sides[0], grown(sides[1], stretch)] : [grown(sides[0], 1 / stretch), sides[1]];
}

/** The sides of the picture, (low, high) per axis: the function's box, wider where a path starts outside it. */
function view() {
  const starts = [state.start, ...data.rules.filter((rule) => rule.recording).map((rule) => rule.recording.rows[0])];
  const whole = fn.box.map(([low, high], axis) => {
    low = Math.min(low, ...starts.map((start) => start[axis]));
    high = Math.max(high, ...starts.map((start) => start[axis]));
    const margin = 0.04 * (high - low);
    return [low - margin, high + margin];
  });
  const middle = state.zoom ? goal() : [];
  return equal(whole).map(([low, high], axis) => {
    const share = 2 ** -state.zoom, half = (share * (high - low)) / 2;
    const center = state.zoom ? Math.min(high - half, Math.max(low + half, middle[axis])) : (low + high) / 2;
    return [center - half, center + half];
  });
}

/** What is looked at closely: the minimum in which the first path that is shown ends, else the end of that path. */
function goal() {
  const path = paths[state.rules.findIndex((rule) => rule.shown)];
  const end = path ? pointOf(path, path.count - 1) : state.start, close = nearest(end);
  return close ? close.minimum.point : end.every(Number.isFinite) ? end : state.start;
}

// --- the address ---------------------------------------------------------------------------------------------

/** What differs from the page as it was made: `start=1,2&epochs=40&sgd.lr=0.1&adam.shown=no`. */
function fragment() {
  const usual = given(), parts = [];
  if (String(state.start) !== String(usual.start)) parts.push(`start=${state.start}`);
  if (state.epochs !== usual.epochs) parts.push(`epochs=${state.epochs}`);
  if (state.at !== null && state.at !== state.epochs) parts.push(`at=${state.at}`);
  if (state.zoom) parts.push(`zoom=${state.zoom}`);
  data.rules.forEach(({ key }, index) => {
    const rule = state.rules[index], name = encodeURIComponent(key);
    for (const part of ["values", "choices"]) {
      for (const [setting, own] of Object.entries(rule[part])) {
        if (own !== usual.rules[index][part][setting]) parts.push(`${name}.${setting}=${encodeURIComponent(own)}`);
      }
    }
    if (!rule.shown) parts.push(`${name}.shown=no`);
  });
  return parts.join("&");
}

/** The settings of an address; what is not a setting, or has no accepted value, is passed over. */
function read(text) {
  const settings = given();
  for (const part of text.split("&")) {
    const [name, ...rest] = part.split("=").map(decoded), own = rest.join("="), number = own.trim() === "" ? NaN : Number(own);
    if (name === "start") {
      const start = own.split(",").map(Number);
      if (start.length === fn.dimension && start.every(Number.isFinite)) settings.start = start;
    } else if (name === "epochs" || name === "at") {
      if (Number.isInteger(number) && number >= (name === "at" ? 0 : 1) && number <= Math.max(data.most_epochs, data.epochs)) settings[name] = number;
    } else if (name === "zoom") {
      if (Number.isInteger(number) && number >= 0 && number <= MOST_ZOOM) settings.zoom = number;
    } else {
      const dot = name.lastIndexOf("."), index = data.rules.findIndex((rule) => rule.key === name.slice(0, dot));
      if (index >= 0) readSetting(data.rules[index], settings.rules[index], name.slice(dot + 1), own, number);
    }
  }
  if (!data.rules.some(isMoving)) settings.epochs = data.epochs;
  if (settings.at !== null) settings.at = Math.min(settings.at, settings.epochs);
  return settings;
}

function readSetting(rule, settings, name, text, number) {
  if (name === "shown") settings.shown = text !== "no";
  const control = (rule.controls ?? []).find((one) => one.name === name);
  if (control && isAccepted(control, number)) settings.values[name] = number;
  const choice = (rule.choices ?? []).find((one) => one.name === name);
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

/** The command that runs run this in a terminal. */
function command() {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const plain = (own) => (typeof own === "string" && !/^[\w./:-]+$/.test(own) ? JSON.stringify(own) : JSON.stringify(own).replaceAll('"', ""));
  const rules = data.rules.flatMap((rule, index) => {
    if (!isMoving(rule) || !state.rules[index].shown) return [];
    const { values, choices } = state.rules[index];
    const settings = Object.entries({ ...rule.fixed, ...choices, ...values });
    return [`{${[["name", rule.spec], ...settings].map(([name, own]) => `${name}: ${plain(own)}`).join(", ")}}`];
  });
  if (!rules.length) return "";
  const algo = rules.length > 1 ? `[${rules.join(", ")}]` : rules[0];
  return `optilab optimize ${data.command} --start=${state.start} --epochs ${state.epochs} --set ${quoted(`algo=${algo}`)}`;
}
