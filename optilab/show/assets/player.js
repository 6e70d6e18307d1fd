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
  const shown = shownRules(), rules = state.rules.map((rule) => JSON.stringify(rule)), settings = [size, fn, String(shown), ...paths, ...rules];
  drawGround(paths, shown);
  drawLosses(paths, shown);
  part("legend", [String(shown)], () => byId("legend").replaceChildren(...shown.map((index) => html("span", {}, svg("svg", { viewBox: "-7 -7 14 14", class: "sign" }, marker(index, 0, 0, 1.2)), data.rules[index].name))));
  part("rates", settings, () => drawRates(paths, shown));
  for (const [index, one] of cards) part(`card${index}`, [one, paths[index], rules[index]], () => one.show(paths[index]));
  part("sliders", [String(state.start), state.epochs, String(view())], () => sliders.forEach((one) => one.show()));
  showResults(paths, shown);
  part("epochs", [...settings, byId("epochs-table").closest("details").open], () => showEpochs(paths, shown));
  showTime();
  byId("closer").disabled = state.view?.zoom >= MOST_ZOOM;
  byId("wider").disabled = state.view?.zoom <= LEAST_ZOOM;
  byId("whole").disabled = !state.view;
  part("command", [fn, ...rules, String(state.start), state.epochs], () => {
    const line = command();
    byId("command").textContent = line;
    byId("command").closest("details").hidden = !line;
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
  byId("title").textContent = `${[...new Set(state.listed.map((index) => data.rules[index].name))].join(", ")} on ${fn.key === fn.formula ? "a formula" : fn.key}`;
  byId("formula").textContent = `f(w) = ${[fn.formula, fn.settings].filter(Boolean).join(", ")}`;
  if (choosing) showChoice();
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

let playing = 0, before = 0, time = 0;

function showTime() {
  const at = shownEpoch(), bar = byId("at");
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

// --- the page ------------------------------------------------------------------------------------------------

let cards = new Map(); // of the rules that are listed

const movable = data.rules.some(isMoving);
const sliders = !movable
  ? []
  : [
      ...state.start.map((_, axis) =>
        slider(`start${axis + 1}`, axisControl(axis), `coordinate ${axis + 1} of the start`, () => state.start[axis], (w) => ((state.start[axis] = w), changed()))),
      slider("epochs", epochsControl, "number of steps", () => state.epochs, (epochs) => {
        state.epochs = Math.max(1, Math.round(epochs));
        state.at = null;
        changed();
      }),
    ];
byId("sliders").append(...sliders);

byId("play").addEventListener("click", toggle);
byId("first").addEventListener("click", () => step(-Infinity));
byId("back").addEventListener("click", () => step(-1));
byId("forward").addEventListener("click", () => step(1));
byId("last").addEventListener("click", () => step(Infinity));
byId("at").addEventListener("input", (event) => (stop(), show(Number(event.target.value))));
byId("reset").addEventListener("click", reset);
byId("closer").addEventListener("click", () => ((state.view ??= { at: goal(), zoom: 0 }), zoomed(1, state.view.at), redraw()));
byId("wider").addEventListener("click", () => (zoomed(-1, state.view?.at ?? view().map(([low, high]) => (low + high) / 2)), redraw()));
byId("whole").addEventListener("click", () => ((state.view = null), redraw()));
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
  byId("function").replaceChildren(...data.functions.map((one) => option(one.key)));
  byId("function").value = fn.key;
  byId("rule").replaceChildren(option("", "more\u2026"), ...data.rules.flatMap((rule, index) => (state.listed.includes(index) ? [] : [option(index, rule.name)])));
  byId("add").disabled = true;
}

if (choosing) {
  byId("function").addEventListener("change", (event) => choose(functionOf(event.target.value)));
  byId("rule").addEventListener("change", (event) => (byId("add").disabled = event.target.value === ""));
  byId("add").addEventListener("click", () => add(Number(byId("rule").value)));
}

// The hand on the pictures: a mouse drags the start anywhere, a finger by its handle (elsewhere it scrolls the page).
const area = document.querySelector("#ground .area"), handle = byId("start");
let dragged = false;

function drag(event) {
  const box = area.getBoundingClientRect(), [w1, w2] = ground.back(event.clientX - box.left, event.clientY - box.top);
  startAt(plane ? [w1, w2] : [w1]);
}

if (movable) {
  area.addEventListener("pointerdown", (event) => {
    if (event.button || (event.pointerType !== "mouse" && event.target !== handle)) return;
    stop();
    dragged = true;
    area.setPointerCapture(event.pointerId);
    area.classList.add("dragging");
    drag(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (dragged) drag(event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    area.addEventListener(name, () => {
      dragged = false;
      area.classList.remove("dragging");
    });
  }
  area.addEventListener("click", (event) => {
    if (event.detail && event.pointerType !== "mouse" && event.target !== handle) drag(event); // a tap
  });
  handle.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }[event.key];
    if (!way || way[0] >= dimension) return;
    event.preventDefault();
    const [low, high] = view()[way[0]], by = ((high - low) / 100) * (event.shiftKey ? 10 : 1) * way[1];
    startAt(state.start.map((w, axis) => (axis === way[0] ? w + by : w)));
  });
} else {
  handle.disabled = true;
}

area.addEventListener("pointermove", (event) => {
  const box = area.getBoundingClientRect(), [w1, w2] = ground.back(event.clientX - box.left, event.clientY - box.top);
  const point = plane ? [w1, w2] : [w1], f = fn.value(...point);
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
let held = null, axis = null; // the rule, and the picture as it was: its axis follows lr

theory.addEventListener("pointerdown", (event) => {
  const box = theory.getBoundingClientRect(), [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const apart = (spot) => Math.hypot(spot.x - x, spot.y - y), [near] = [...rates.spots].sort((a, b) => apart(a) - apart(b));
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

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, button, summary, a")) return;
  const act = { " ": toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-Infinity), End: () => step(Infinity) }[event.key];
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
