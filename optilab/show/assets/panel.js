"use strict";
// The panel: sliders, what theory says of them, and the tables.

const { html } = Base;

let pressed = false; // a button of the mouse is down
addEventListener("pointerdown", () => (pressed = true), true);
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => (pressed = false), true);

/** Take what was typed. A press on a button leaves the field first: what that changes must not move the button away before the click. */
function taken(field, take) {
  field.addEventListener("change", () => {
    if (pressed) addEventListener("click", take, { once: true, capture: true });
    else take();
  });
}

/** The label of a control; a long name may break after an underscore. */
function named(id, name, title) {
  const parts = name.split(/(?<=_)/).flatMap((part) => [part, html("wbr")]);
  return html("label", { for: id, title }, ...parts);
}

/** A slider with a field for exact numbers. `get` and `set` are of the setting; `set` says whether it is accepted. */
function slider(id, control, title, get, set, prefix = "") {
  const name = named(id, control.name, title);
  const bar = html("input", {
    type: "range",
    id,
    min: 0,
    max: STEPS,
    step: 1,
    "aria-label": `${prefix}${name.textContent}`,
  });
  const exact = html("input", {
    type: "text",
    inputmode: "decimal",
    class: "exact",
    "aria-label": `${prefix}${name.textContent}, exact`,
    id: `${id}-exact`,
    autocomplete: "off",
    spellcheck: false,
  });
  const wrong = html("p", { class: "theory wrong", role: "status" });
  const row = html("div", { class: "slider" }, name, bar, exact, wrong);
  const judge = (message) => {
    exact.setCustomValidity(message);
    wrong.textContent = message && `${message}; the paths are those of ${get()}`;
  };
  bar.addEventListener("input", () => set(valueAt(control, Number(bar.value))));
  const read = () => {
    const number = exact.value.trim() === "" ? NaN : Number(exact.value.replace("\u2212", "-"));
    const accepted = isAccepted(control, number);
    judge(accepted ? "" : `${control.name}: ${range(control)}`);
    return accepted ? number : null;
  };
  taken(exact, () => {
    const number = read();
    if (number !== null) set(number);
  });
  exact.addEventListener("input", () => wrong.textContent && read()); // it stands until the number is right
  row.show = (limit = null) => {
    if (name.textContent !== control.name) {
      // of a coordinate, which has another name in another formula
      name.textContent = control.name;
      bar.setAttribute("aria-label", control.name);
      exact.setAttribute("aria-label", `${control.name}, exact`);
    }
    const own = get(),
      position = positionOf(control, own);
    if (Math.round(positionOf(control, valueAt(control, Number(bar.value)))) !== Math.round(position))
      bar.value = Math.round(position);
    bar.setAttribute("aria-valuetext", text(own));
    if ((document.activeElement !== exact && exact.checkValidity()) || exact.dataset.own !== String(own)) {
      exact.value = String(own);
      judge("");
    }
    exact.dataset.own = String(own);
    bar.classList.toggle("limited", limit !== null);
    if (limit !== null) bar.style.setProperty("--limit", positionOf(control, limit) / STEPS);
  };
  return row;
}

/** The card of a rule: whether it is shown, its settings, and two lines of results. */
function card(index, changed) {
  const rule = data.rules[index],
    own = () => state.rules[index],
    id = `rule${index}`;
  const box = html("input", { type: "checkbox", id: `${id}-shown` });
  box.addEventListener("change", () => ((own().shown = box.checked), changed(index)));
  const sign = svg("svg", { viewBox: "-7 -7 14 14", class: "sign", "aria-hidden": "true" }, marker(index, 0, 0, 1.2));
  const name = html("label", { for: box.id, class: "rule" }, box, sign, html("span", { textContent: rule.name }));
  const verdict = html("span", { class: "verdict" }),
    theory = html("p", { class: "theory" });
  const element = html(
    "section",
    { class: "card", "aria-label": rule.name },
    html("div", { class: "head" }, name, verdict),
  );
  const formula = html("p", { class: "formula" });
  const controls = rule.controls.map((control) => controlOf(index, control));
  const rows = controls.map((control) =>
    slider(
      `${id}-${control.name}`,
      control,
      control.doc,
      () => own().values[control.name],
      (number) => ((own().values[control.name] = number), changed(index)),
      `${rule.name} `,
    ),
  );
  const selects = rule.choices.map((choice) => {
    const select = html(
      "select",
      { id: `${id}-${choice.name}` },
      ...choice.options.map((option) => html("option", { value: String(option), textContent: String(option) })),
    );
    select.addEventListener(
      "change",
      () => ((own().choices[choice.name] = choice.options[select.selectedIndex]), changed(index)),
    );
    const beside = html("span", { class: "muted" });
    const row = html(
      "div",
      { class: "slider" },
      named(select.id, choice.name, choice.doc),
      html("span", { class: "pair" }, select, beside),
    );
    row.show = () => {
      const chosen = own().choices[choice.name];
      select.selectedIndex = choice.options.indexOf(chosen);
      beside.textContent = chosen === choice.usual ? "" : `default: ${choice.usual}`;
    };
    return row;
  });
  element.append(formula, ...rows, ...selects, theory);
  element.rate = controls.find((control) => control.name === "lr");
  element.show = (path) => {
    const known = theoryOf(index, path);
    box.checked = own().shown;
    element.classList.toggle("off", !own().shown);
    controls.forEach((control, i) => rows[i].show(control.name === "lr" && known ? known.limit : null));
    selects.forEach((row) => row.show());
    formula.textContent = formulaOf(index, own());
    theory.textContent = state.noise && isExact(index) ? "no noise: it evaluates gradients itself" : sentence(known);
  };
  element.tell = (path) => {
    verdict.textContent = verdictAt(path, rowAt(path, shownEpoch()));
    verdict.className = `verdict ${verdict.textContent.replace(/.*off the map/, "diverged")}`; // a word more has no color
  };
  return element;
}

/** What theory says of a rule under its settings. */
function sentence(known) {
  if (!known) return fn.minima.some((minimum) => minimum.curvatures) ? "theory: no limit in closed form" : "";
  const { limit, rate, lr, bowl } = known;
  const where = fn.everywhere ? "" : `near (${bowl.point.map((w) => text(w, 3)).join(", ")}): `;
  const then = lr > limit || rate >= 1 ? "this lr is unstable" : `×${rate.toFixed(4)} per step`;
  return `${where}stable up to lr ${text(limit, 4)}; ${then}`;
}

// --- guided steps ----------------------------------------------------------------------------------------------

/** The first rule that has a theory and passes: its index, and what theory says of it. */
function firstWith(fits) {
  for (const index of state.listed) {
    const rule = data.rules[index];
    const known = fits(rule) ? theoryOf(index, paths[index]) : null;
    if (known && rule.controls.some((control) => control.name === "lr"))
      return { index, rule, known, values: state.rules[index].values };
  }
  return null;
}

/** A share of the largest stable lr, what theory says of it, and what became of the path. */
function atLimit(share) {
  const found = firstWith(() => true);
  if (!found) return "";
  const { index, rule, values } = found;
  values.lr = round(share * found.known.limit, 3);
  const path = follow(index),
    { limit, rate } = theoryOf(index, path),
    [from, to] = [0, path.count - 1].map((row) => text(nearest(pointOf(path, row)).distance, 2));
  return `${rule.name} at lr ${text(values.lr)}; its limit is ${text(limit, 4)}: along the steepest coordinate it jumps from side to side, and the distance ${rate > 1 ? "grows" : "shrinks"} by \u00d7${rate.toFixed(3)} per step in the long run: from ${from} to ${to} after ${path.count - 1} epochs.`;
}

const hasBeta = (rule) => rule.controls.some((control) => control.name === "beta");

/** The lr and beta by which the distance shrinks fastest in the long run, of 40 x 40. */
function sweetSpot() {
  const found = firstWith(hasBeta);
  if (!found) return "";
  const { index, values, rule } = found,
    best = { rate: Infinity };
  for (let i = 0; i < 40; i++) {
    values.beta = round(i / 40, 3);
    const { limit, rateAt } = theoryOf(index, paths[index]);
    for (let k = 1; k < 40; k++) {
      const lr = round((limit * k) / 40, 3),
        rate = rateAt(lr);
      if (rate < best.rate) Object.assign(best, { rate, lr, beta: values.beta });
    }
  }
  [values.lr, values.beta] = [best.lr, best.beta];
  return `${rule.name} at lr ${text(best.lr)} and beta ${text(best.beta)}: of 40 x 40 settings these shrink the distance fastest, by \u00d7${best.rate.toFixed(3)} per step. With more beta the path swings, with less it crawls.`;
}

const isAdam = (index) => data.rules[index].spec === "adam";

/** The axis along which a path goes past the minimum and comes back, and how far it gets; null without one. */
function passed(path) {
  const goal = nearest(pointOf(path, path.count - 1))?.minimum.point ?? [];
  for (let axis = 0; axis < goal.length; axis++) {
    const away = Array.from({ length: path.count }, (_, row) => path.rows[row * WIDTH + axis] - goal[axis]),
      beyond = away.map((own) => -Math.sign(away[0]) * own), // positive past the minimum
      far = Math.max(...beyond);
    if (far > 0.01 * Math.abs(away[0]) && beyond.at(-1) < far) return { axis, far };
  }
  return null;
}

/** Adam alone, as it was. */
function overshoot() {
  const adam = state.listed.find(isAdam);
  for (const index of state.listed) state.rules[index].shown = index === adam;
  state.rules[adam] = usual(adam);
  const found = passed(follow(adam));
  const seen = found
    ? `here ${coordinates()[found.axis]} goes past the minimum by ${text(found.far, 2)} and comes back. A smaller beta1 turns sooner.`
    : `from this start it does not come back within ${state.epochs} epochs.`;
  return `Adam's steps are about lr long however small the gradient is, and its average of gradients still points ahead when the minimum is reached: ${seen} The other optimizers are hidden: their boxes show them again.`;
}

/** Guided steps: name, what it does, and whether it applies. All are about quadratics, where theory holds everywhere. */
const TOUR = [
  ["just below the limit", () => atLimit(0.98), () => firstWith(() => true)],
  ["just above the limit", () => atLimit(1.02), () => firstWith(() => true)],
  ["momentum's sweet spot", sweetSpot, () => firstWith(hasBeta)],
  [
    "why Adam overshoots",
    overshoot,
    () => state.listed.filter(isAdam).some((index) => passed(follow(index, usual(index)))),
  ],
];

let toured = null; // the rules before a guided step, and as it left them

/** Buttons that set the page to a state worth seeing, with a sentence on it that goes when a rule is changed. */
function tour(changed) {
  toured = null;
  const place = document.getElementById("tour"),
    said = html("p", { className: "theory", role: "status" });
  const steps = TOUR.filter(([, , applies]) => fn.everywhere && applies());
  if (!steps.length) return place.replaceChildren();
  place.replaceChildren(
    html("span", { className: "muted", textContent: "See: " }),
    ...steps.map(([name, act]) => {
      const button = html("button", { type: "button", textContent: name });
      button.addEventListener("click", () => {
        if (toured) state.rules = toured.before; // no step starts where another one led
        const before = structuredClone(state.rules);
        changed();
        said.textContent = act();
        changed();
        toured = { before, after: JSON.stringify(state.rules), said };
      });
      return button;
    }),
    said,
  );
}

// --- tables --------------------------------------------------------------------------------------------------

/** A guided step is over when one of its rules is changed by hand. */
function endTour() {
  if (!toured || JSON.stringify(state.rules) === toured.after) return;
  toured.said.textContent = "";
  toured = null;
}

const columns = () => ["optimizer", "epoch", ...coordinates(), "f", "|grad|", "distance", "verdict"];

function tableOf(head, rows, texts) {
  const cell = (tag, i, content, scope) =>
    html(tag, { ...(texts.includes(i) ? { class: "text" } : {}), ...(scope ? { scope } : {}) }, content);
  const top = html("thead", {}, html("tr", {}, ...head.map((name, i) => cell("th", i, name, "col"))));
  return [
    top,
    html(
      "tbody",
      {},
      ...rows.map((row) =>
        html("tr", {}, ...row.map((content, i) => (i ? cell("td", i, content) : cell("th", i, content, "row")))),
      ),
    ),
  ];
}

/** Where every rule is at the epoch that is shown. */
function showResults(paths, shown) {
  const rows = shown.map((index) => {
    const path = paths[index],
      row = rowAt(path, shownEpoch()),
      point = pointOf(path, row),
      close = nearest(point);
    const sign = svg("svg", { viewBox: "-7 -7 14 14", class: "sign", "aria-hidden": "true" }, marker(index, 0, 0, 1.2));
    const numbers = [...point, valueOf(path, row), normOf(path, row), close ? close.distance : NaN].map((number) =>
      text(number, 4),
    );
    return [html("span", {}, sign, data.rules[index].name), String(row), ...numbers, verdictAt(path, row)];
  });
  const known = fn.minima.length > 0,
    kept = (row) => (known ? row : row.filter((_, i) => i !== columns().indexOf("distance")));
  const head = kept(columns());
  document.getElementById("results").replaceChildren(...tableOf(head, rows.map(kept), [0, head.length - 1]));
}

const MOST_ROWS = 101;

/** Every epoch of every rule, evenly thinned where there are many. */
function showEpochs(paths, shown) {
  const details = document.getElementById("epochs-table").closest("details");
  if (!details.open) return;
  const every = Math.max(1, Math.ceil(state.epochs / (MOST_ROWS - 1))),
    rows = [];
  for (let epoch = 0; epoch <= state.epochs; epoch += every) {
    const cells = shown.flatMap((index) => {
      const path = paths[index],
        row = rowAt(path, epoch),
        ended = epoch >= path.count;
      return ended
        ? Array(dimension + 1).fill("")
        : [...pointOf(path, row), valueOf(path, row)].map((number) => text(number));
    });
    rows.push([String(epoch), ...cells]);
  }
  const names = shown.flatMap((index) => [...coordinates(), "f"].map((name) => `${data.rules[index].name} ${name}`));
  document.getElementById("epochs-table").replaceChildren(...tableOf(["epoch", ...names], rows, []));
}

/** All numbers with all digits, as CSV. */
function csv(paths, shown) {
  const gradient = Array.from({ length: dimension }, (_, i) => `grad${i + 1}`);
  const lines = [["algo", "epoch", ...coordinates(), "f", ...gradient].join()];
  for (const index of shown) {
    const path = paths[index],
      name = /[",]/.test(data.rules[index].name) ? JSON.stringify(data.rules[index].name) : data.rules[index].name;
    for (let row = 0; row < path.count; row++)
      lines.push([name, row, ...path.rows.slice(row * WIDTH, (row + 1) * WIDTH)].join());
  }
  return `${lines.join("\n")}\n`;
}
