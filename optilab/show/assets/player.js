"use strict";
// The page at work: every change of a setting redraws all pictures and tables; time runs over the epochs.

const { copy } = Base;
const byId = (id) => document.getElementById(id);
const SECONDS = 8; // to play all epochs at speed 1
const LEAST_RATE = 4; // epochs per second

const shownEpoch = () => (state.at === null ? state.epochs : Math.min(state.at, state.epochs));
const shownRules = () => state.listed.filter((index) => state.rules[index].shown);

// --- changes -------------------------------------------------------------------------------------------------

let drawing = 0;

/** A setting of one rule has changed, or of all. */
function changed(index = null) {
  if (index === null) paths = data.rules.map((_, one) => (state.listed.includes(one) ? follow(one) : null));
  else paths[index] = follow(index);
  redraw();
}

function redraw() {
  if (!drawing) drawing = requestAnimationFrame(draw);
}

const drawn = {};

/** Draw a part unless what it shows is the same as before; objects are compared by identity. */
function part(name, shows, draw) {
  const before = drawn[name];
  if (before && before.length === shows.length && shows.every((own, i) => own === before[i])) return;
  drawn[name] = shows;
  draw();
}

let size = 0; // changes with the window and its colours

function draw() {
  drawing = 0;
  const shown = shownRules(),
    rules = state.rules.map((rule) => JSON.stringify(rule)),
    bowls = paths.map((path) => path && bowlOf(path)),
    theory = [size, fn, state.noise, String(shown), ...bowls, ...rules]; // what it depends on
  endTour();
  drawGround(paths, shown);
  drawLosses(paths, shown);
  byId("answer").textContent = answerAt(shownEpoch(), shown);
  byId("title").textContent =
    `${few([...new Set(shown.map((index) => data.rules[index].name))])} on ${fn.key === fn.formula ? "a formula" : fn.key}`;
  part("legend", [String(shown)], () =>
    byId("legend").replaceChildren(
      ...shown.map((index) =>
        html(
          "span",
          {},
          svg("svg", { viewBox: "-7 -7 14 14", class: "sign" }, marker(index, 0, 0, 1.2)),
          data.rules[index].name,
        ),
      ),
    ),
  );
  part("rates", theory, () => drawRates(paths, shown));
  for (const [index, one] of cards) {
    part(`card${index}`, [one, bowls[index], rules[index], state.noise], () => one.show(paths[index]));
    one.tell(paths[index]);
  }
  part("sliders", [fn, String(state.start), state.epochs, state.noise, state.seed, String(view())], () =>
    sliders.forEach((one) => one.show()),
  );
  for (const input of document.querySelectorAll("#seed, #seed-exact")) input.disabled = !state.noise; // it seeds nothing
  showResults(paths, shown);
  part("epochs", [...theory, ...paths, byId("epochs-table").closest("details").open], () => showEpochs(paths, shown));
  showTime();
  byId("closer").disabled = state.view?.zoom >= MOST_ZOOM;
  byId("wider").disabled = state.view?.zoom <= LEAST_ZOOM;
  byId("whole").disabled = !state.view;
  part("command", [fn, ...rules, String(state.start), state.epochs, state.noise, state.seed], () => {
    const line = command();
    byId("command").textContent = line;
    byId("command").closest("details").hidden = !line;
    byId("draws").hidden = !state.noise;
  });
  keep();
}

let keeping = 0;

/** Write the settings into the address, not at every movement: browsers limit how often it may change. */
function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(() => {
    if (!playing && location.hash.slice(1) !== fragment()) address();
  }, 200);
}

function address() {
  try {
    history.replaceState(null, "", `#${fragment()}`);
  } catch {} // inside another page, which may not allow it
}

function open() {
  state = read(location.hash.slice(1));
  arrange();
}

function reset() {
  stop();
  state = given();
  arrange();
}

/** Show the panel of the function and the rules that are listed. */
function arrange() {
  cards = new Map(state.listed.map((index) => [index, card(index, changed)]));
  byId("cards").replaceChildren(...cards.values());
  byId("formula").textContent =
    `f(${coordinates()[0] === "x" ? coordinates().join(", ") : "w"}) = ${[fn.formula, fn.settings].filter(Boolean).join(", ")}`;
  if (byId("note")) byId("note").hidden = fn !== data.functions[0];
  showChoice();
  changed();
  tour(changed);
}

function startAt(point) {
  const sides = view();
  const inside = point.map((w, axis) => Number(Math.min(sides[axis][1], Math.max(sides[axis][0], w)).toPrecision(4)));
  if (inside.every(Number.isFinite)) state.start = inside;
  changed();
}

// --- time ----------------------------------------------------------------------------------------------------

let playing = 0,
  before = 0,
  time = 0;

function showTime() {
  const at = shownEpoch(),
    bar = byId("at");
  bar.max = state.epochs;
  bar.value = at;
  bar.setAttribute("aria-valuetext", `epoch ${at} of ${state.epochs}`);
  byId("epoch").textContent = `epoch ${at} of ${state.epochs}`;
  byId("play").classList.toggle("playing", Boolean(playing));
  byId("play").setAttribute("aria-label", playing ? "pause" : "play");
}

function show(epoch) {
  const at = Math.min(state.epochs, Math.max(0, epoch));
  state.at = at === state.epochs ? null : at;
  redraw();
}

function play() {
  if (shownEpoch() === state.epochs) show(0);
  time = shownEpoch();
  before = performance.now();
  playing = requestAnimationFrame(tick);
  redraw();
}

function tick(now) {
  const rate = Math.max(LEAST_RATE, state.epochs / SECONDS) * Number(byId("speed").value);
  time += (rate * Math.max(0, now - before)) / 1000;
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
const step = (by) => (stop(), show(shownEpoch() + by));

// --- the part of the picture that is shown -----------------------------------------------------------------------

const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }; // axis and direction

/** Look closer: at the minimum, or at the middle of a part that was chosen where it is not. */
function closer() {
  const near = goal();
  state.view ??= { at: near, zoom: 0 };
  zoomed(1, isIn(view(), near) ? near : state.view.at);
  redraw();
}

function away() {
  zoomed(
    -1,
    view().map(([low, high]) => (low + high) / 2),
  );
  redraw();
}

function showWhole() {
  state.view = null;
  redraw();
}

/** Move the picture by a tenth of a side. */
function pan(axis, way) {
  zoomed(0, state.start);
  const [low, high] = view()[axis] ?? [0, 0];
  if (axis < dimension) state.view.at[axis] += 0.1 * way * (high - low);
  redraw();
}

// --- the page ------------------------------------------------------------------------------------------------

let cards = new Map(); // of the rules that are listed

const sliders = [
  ...state.start.map((_, axis) =>
    slider(
      `start${axis + 1}`,
      axisControl(axis),
      `coordinate ${axis + 1} of the start`,
      () => state.start[axis],
      (w) => ((state.start[axis] = w), changed()),
    ),
  ),
  slider(
    "epochs",
    epochsControl,
    "number of steps",
    () => state.epochs,
    (epochs) => {
      state.epochs = Math.max(1, Math.round(epochs));
      state.at = null;
      changed();
    },
  ),
  slider(
    "noise",
    noiseControl,
    "standard deviation of the normal noise that is added to every gradient",
    () => state.noise,
    (noise) => ((state.noise = noise), changed()),
  ),
  slider(
    "seed",
    seedControl,
    "seed of the noise",
    () => state.seed,
    (seed) => ((state.seed = Math.round(seed)), changed()),
  ),
];
byId("sliders").append(...sliders);

byId("play").addEventListener("click", toggle);
byId("first").addEventListener("click", () => step(-Infinity));
byId("back").addEventListener("click", () => step(-1));
byId("forward").addEventListener("click", () => step(1));
byId("last").addEventListener("click", () => step(Infinity));
byId("at").addEventListener("input", (event) => (stop(), show(Number(event.target.value))));
byId("reset").addEventListener("click", reset);
byId("closer").addEventListener("click", closer);
byId("wider").addEventListener("click", away);
byId("whole").addEventListener("click", showWhole);
byId("epochs-table").closest("details").addEventListener("toggle", redraw);

// --- what is chosen: the function, and the rules ----------------------------------------------------------------

/** Show another function, with the rules as they are listed. */
function choose(chosen) {
  const { listed, epochs, rules } = state;
  stop();
  state = given(chosen, listed);
  state.epochs = epochs;
  for (const index of listed) state.rules[index].shown = rules[index].shown;
  arrange();
}

function add(index) {
  state.listed.push(index);
  state.rules[index] = usual(index);
  arrange();
}

/** The lists of what can be chosen. */
function showChoice() {
  const option = (key, name = key) => html("option", { value: String(key), textContent: name });
  const own = !data.functions.includes(fn);
  byId("function").replaceChildren(...data.functions.map((one) => option(one.key)), ...(own ? [option(fn.key)] : []));
  byId("function").value = fn.key;
  byId("own").value = own ? fn.key : "";
  byId("told").classList.remove("wrong");
  byId("told").textContent = own
    ? `No minimum, distance or theory: the page does not search for the minimum of a formula that is typed here. This command does: ${pageCommand(fn.command)}`
    : "";
  const others = data.rules.flatMap((rule, index) => (state.listed.includes(index) ? [] : [option(index, rule.name)]));
  const wanted = byId("rule").value;
  byId("rule").replaceChildren(option("", "more\u2026"), ...others);
  byId("rule").value = others.some((one) => one.value === wanted) ? wanted : "";
  byId("add").disabled = !byId("rule").value;
}

taken(byId("own"), () => {
  try {
    choose(functionOf(byId("own").value));
  } catch (error) {
    byId("told").textContent = error.message;
    byId("told").classList.add("wrong");
  }
});
byId("function").addEventListener("change", (event) => choose(functionOf(event.target.value)));
byId("rule").addEventListener("change", (event) => (byId("add").disabled = event.target.value === ""));
byId("add").addEventListener("click", () => add(Number(byId("rule").value)));

// The hand on the picture of the paths: the handle moves the start, and so does a click. Elsewhere a mouse moves the picture, one
// finger scrolls the page, and two fingers move and stretch the picture.
const area = document.querySelector("#ground .area"),
  handle = byId("start");
const CLICK = 4; // pixels; a mouse that moves further drags
let hand = null; // what is held: the start or the view, where it was last, and whether it has moved
let grip = null; // where two fingers were last, and how far apart

/** The point of the picture under a pointer. */
function under({ clientX, clientY }) {
  const box = area.getBoundingClientRect(),
    { left, right, top, bottom } = ground;
  const part = [(clientX - box.left - left) / (right - left), (bottom - clientY + box.top) / (bottom - top)];
  return view().map(([low, high], axis) => low + part[axis] * (high - low));
}

/** Move and stretch the picture so that what was under one place comes under another. */
function carry(from, to, by = 0) {
  const point = under(from);
  zoomed(by, point);
  const now = under(to);
  state.view.at = state.view.at.map((own, axis) => own + point[axis] - now[axis]);
  redraw();
}

area.addEventListener("pointerdown", (event) => {
  const what = event.target === handle ? "start" : "view";
  if (event.button || (event.pointerType !== "mouse" && what === "view")) return;
  stop();
  hand = { what, at: event, moved: false };
  area.setPointerCapture(event.pointerId);
  area.classList.add("dragging");
});
area.addEventListener("pointermove", (event) => {
  if (!hand) return;
  hand.moved ||= Math.hypot(event.clientX - hand.at.clientX, event.clientY - hand.at.clientY) > CLICK;
  if (!hand.moved) return;
  if (hand.what === "start") startAt(under(event));
  else carry(hand.at, event);
  hand.at = event;
});
for (const name of ["lostpointercapture", "pointercancel"]) {
  area.addEventListener(name, () => {
    hand = null;
    area.classList.remove("dragging");
  });
}
area.addEventListener("pointerup", (event) => {
  if (hand?.what === "view" && !hand.moved) startAt(under(event));
});
area.addEventListener("click", (event) => {
  if (event.detail && event.pointerType !== "mouse" && event.target !== handle) startAt(under(event)); // a tap
});
area.addEventListener(
  "touchmove",
  (event) => {
    if (event.touches.length !== 2) return;
    event.preventDefault(); // nor scroll the page
    const [one, two] = event.touches,
      middle = { clientX: (one.clientX + two.clientX) / 2, clientY: (one.clientY + two.clientY) / 2 };
    const apart = Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
    if (grip) carry(grip.middle, middle, Math.log2(apart / grip.apart));
    grip = { middle, apart };
  },
  { passive: false },
);
for (const name of ["touchend", "touchcancel"]) area.addEventListener(name, () => (grip = null));
area.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.metaKey) return void (byId("here").textContent = "Ctrl + wheel zooms");
    event.preventDefault();
    zoomed(-Math.max(-0.6, Math.min(0.6, event.deltaY / (event.deltaMode ? 5 : 100))), under(event));
    redraw();
  },
  { passive: false },
);

handle.addEventListener("keydown", (event) => {
  const way = WAYS[event.key];
  if (!way || way[0] >= dimension) return;
  event.preventDefault();
  const [low, high] = view()[way[0]],
    by = ((high - low) / 100) * (event.shiftKey ? 10 : 1) * way[1];
  startAt(state.start.map((w, axis) => (axis === way[0] ? w + by : w)));
});

area.addEventListener("pointermove", (event) => {
  const point = under(event),
    f = fn.value(...point);
  const isInside = point.every((w, axis) => w >= view()[axis][0] && w <= view()[axis][1]);
  byId("here").textContent = isInside ? `f(${point.map((w) => text(w, 3)).join(", ")}) = ${text(f, 4)}` : "";
});
area.addEventListener("pointerleave", () => (byId("here").textContent = ""));

const curves = document.querySelector("#losses .area");
let scrubbed = false;
const scrub = (event) => show(Math.round(losses.back(event.clientX - curves.getBoundingClientRect().left, 0)[0]));
curves.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  stop();
  scrubbed = true;
  curves.setPointerCapture(event.pointerId);
  scrub(event);
});
curves.addEventListener("pointermove", (event) => scrubbed && scrub(event));
for (const name of ["pointerup", "pointercancel"]) curves.addEventListener(name, () => (scrubbed = false));

// In the picture of the rates the nearest marker is dragged: the lr of its rule.
const theory = document.querySelector("#rates .area");
let held = null,
  axis = null; // the rule, and the picture as it was: its axis follows lr

theory.addEventListener("pointerdown", (event) => {
  const box = theory.getBoundingClientRect(),
    [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const apart = (spot) => Math.hypot(spot.x - x, spot.y - y),
    [near] = [...rates.spots].sort((a, b) => apart(a) - apart(b));
  if (event.button || !near || (event.pointerType !== "mouse" && apart(near) > 30)) return;
  [held, axis] = [near.index, rates.box];
  theory.setPointerCapture(event.pointerId);
});
theory.addEventListener("pointermove", (event) => {
  if (held === null) return;
  const [exponent] = axis.back(event.clientX - theory.getBoundingClientRect().left, 0);
  state.rules[held].values.lr = round(10 ** Math.min(axis.xs[1], Math.max(axis.xs[0], exponent)), 3);
  changed(held);
});
for (const name of ["pointerup", "pointercancel"]) theory.addEventListener(name, () => (held = null));

const KEYS = {
  " ": toggle,
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Home: () => step(-Infinity),
  End: () => step(Infinity),
  "+": closer,
  "=": closer,
  "-": away,
  0: showWhole,
};

addEventListener("keydown", (event) => {
  if (
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.target.closest("input, select, .scroll")
  )
    return;
  if (event.key === " " && event.target.closest("button, summary, a")) return;
  const way = event.shiftKey && WAYS[event.key],
    act = way ? () => pan(...way) : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

byId("link").addEventListener("click", (event) => {
  address();
  copy(location.href, event.currentTarget);
});
byId("copy-command").addEventListener("click", (event) => copy(command(), event.currentTarget));
byId("copy-numbers").addEventListener("click", (event) => copy(csv(paths, shownRules()), event.currentTarget));

addEventListener("hashchange", open);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => ((size += 1), redraw()));
const observer = new ResizeObserver(() => ((size += 1), redraw()));
for (const one of document.querySelectorAll(".area")) observer.observe(one);
open();
