"use strict";
/* Values under the pointer, a part of a chart enlarged, series switched off. Without it charts are there, and stand still. */

/** @param {string} name @param {Record<string, any>} attributes */
function svg(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  made.textContent = text;
  return made;
}

// --- numbers -------------------------------------------------------------------------------------------------

const EXACT = 12; // digits of what is not rounded: a tick, and a whole number as x
const SUPERSCRIPT = "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";

/** A place of an axis as a value, as its kind says: logarithmic, a fraction. @param {string} kind @param {number} at */
function written(kind, at, digits = kind.includes("log") ? 4 : 5) {
  const value = kind.includes("log") ? 10 ** at : at,
    size = Math.abs(value);
  if (kind.includes("fraction"))
    return `${digits === EXACT ? Number((100 * value).toPrecision(EXACT)) : (100 * value).toFixed(1)}%`;
  if (kind.includes("log") && Number.isInteger(at) && (at < -3 || at > 4))
    return `10${[...String(at)].map((sign) => SUPERSCRIPT["-0123456789".indexOf(sign)]).join("")}`;
  const number = Number(value.toPrecision(digits)),
    text = size && (size < 1e-4 || size >= 1e6) ? number.toExponential() : String(number);
  return text.replace("Infinity", "\u221e").replace("-", "\u2212").replace("e\u2212", "e-").replace("e+", "e");
}

/** Round numbers between two ends, at most `most`. @param {number} low @param {number} high */
function nice(low, high, most = 7) {
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) return []; // as an address may ask for
  const base = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = base * /** @type {number} */ ([1, 2, 5, 10].find((factor) => (high - low) / (base * factor) <= most));
  const places = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) places.push(k * step);
  return places;
}

/** Places of ticks. @param {string} kind @param {number} low @param {number} high */
function ticks(kind, low, high) {
  if (kind.includes("names")) return [];
  if (kind.includes("whole")) return nice(low, high).filter(Number.isInteger);
  if (!kind.includes("log")) return nice(low, high);
  return high - low > 2
    ? nice(low, high).filter(Number.isInteger)
    : nice(10 ** low, 10 ** high)
        .filter((v) => v > 0)
        .map(Math.log10);
}

// --- charts: the d of a curve holds its values in the units of the axes ----------------------------------------

const tip = document.body.appendChild(html("div", { className: "tip", hidden: true, role: "status" }));

/** The points of a curve: [x, y], upwards; a step is read where it arrives. @param {any} curve @returns {number[][]} */
function points(curve) {
  curve.points ??= [...curve.getAttribute("d").matchAll(/([MLH])(\S+?)[ V](-?[\d.e+-]+)/g)].map(([, , x, y]) => [
    +x,
    -y,
  ]);
  return curve.points;
}
const curves = (/** @type {Element} */ panel) => all(".line[data-name]:not(.off)", panel);
const nearest = (/** @type {any[]} */ places, /** @type {number} */ x, axis = 0) =>
  places.reduce((a, b) => (Math.abs(b[axis] - x) < Math.abs(a[axis] - x) ? b : a));
const view = (/** @type {any} */ panel) => panel.querySelector(".plot").getAttribute("viewBox").split(" ").map(Number);

/**
 * Show the values of all curves nearest to x at a place of the window, and dim the lines that are not nearest to y.
 * @param {any} panel @param {number} x @param {number | null} y @param {number} left @param {number} top
 */
function tell(panel, x, y, left, top) {
  const read = curves(panel)
    .filter((curve) => points(curve).length)
    .map((curve) => [...nearest(points(curve), x), curve]);
  if (!read.length) return;
  const at = nearest(read, x)[0];
  const rows = read.filter((row) => row[0] === at).sort((a, b) => b[1] - a[1]);
  const high = view(panel)[3];
  const near = y === null ? null : nearest(rows, y, 1);
  lift(panel, y !== null && near && Math.abs(near[1] - y) < 0.06 * high ? near[2].dataset.series : null);
  const cells = rows.slice(0, 14).map(([, value, curve]) =>
    html(
      "tr",
      { className: curve.classList.contains("lifted") ? "lifted" : "" },
      html(
        "td",
        {},
        html("span", {
          className: `swatch ${[...curve.classList].filter((name) => /^[cd]\d$/.test(name)).join(" ")}`,
        }),
        curve.dataset.name,
      ),
      html("td", { textContent: written(panel.dataset.y, value) }),
    ),
  );
  tip.replaceChildren(
    `${panel.querySelector(".label").textContent} ${written(panel.dataset.x, at, Number.isInteger(at) ? EXACT : undefined)}`,
    html("table", {}, html("tbody", {}, ...cells)),
  );
  tip.hidden = false;
  tip.style.left = `${Math.max(4, Math.min(left + 16, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(top + 16, innerHeight - tip.offsetHeight - 8))}px`;
  panel.announced = at;
}

/** Dim the other lines of a figure; none where there is no series. @param {Element} panel @param {string | null} series */
function lift(panel, series) {
  const panels = /** @type {Element} */ (panel.closest("figure"));
  panels.classList.toggle("lifts", series !== null);
  for (const mark of all("[data-series]", panels)) mark.classList.toggle("lifted", mark.dataset.series === series);
}

/** Show the part of the axes in a box, with ticks for it. @param {any} panel @param {number[]} box */
function zoomTo(panel, box) {
  const [x, y, wide, high] = box,
    kind = panel.dataset;
  panel.querySelector(".plot").setAttribute("viewBox", box.join(" "));
  const across = ticks(kind.x, x, x + wide).map((at) =>
    svg("text", { class: "x", x: `${(100 * (at - x)) / wide}%`, y: "100%" }, written(kind.x, at, EXACT)),
  );
  const up = ticks(kind.y, -y - high, -y).flatMap((at) => {
    const place = `${(100 * (-at - y)) / high}%`;
    return [
      svg("line", { x2: "100%", y1: place, y2: place }),
      svg("text", { class: "y", x: -6, y: place }, written(kind.y, at, EXACT)),
    ];
  });
  panel.querySelector(".ticks").replaceChildren(...across, ...up);
}

/** The place under a pointer, in the units of the axes; y upwards. @param {any} panel @param {MouseEvent} event */
function pointerPlace(panel, event) {
  const box = panel.querySelector(".frame").getBoundingClientRect(),
    [x, y, wide, high] = view(panel);
  return [x + (wide * (event.clientX - box.left)) / box.width, -y - (high * (event.clientY - box.top)) / box.height];
}

for (const panel of all(".chart[data-x]")) {
  let /** @type {number[] | null} */ from = null,
    /** @type {any} */ whole = null; // the box and the ticks, where a part is shown
  const hide = () => {
    tip.hidden = true;
    lift(panel, null);
  };
  panel.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const [x, y] = pointerPlace(panel, event);
    tell(panel, x, y, event.clientX, event.clientY);
  });
  panel.addEventListener("pointerleave", hide);
  panel.addEventListener("blur", hide);
  panel.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    from = event.pointerType === "mouse" ? pointerPlace(panel, event) : null;
  });
  panel.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => {
    const [left, right] = [from ?? [NaN], pointerPlace(panel, event)].map(([x]) => x).sort((a, b) => a - b),
      [, y, wide, high] = view(panel);
    from = null;
    if (!curves(panel).length || !(right - left > 0.02 * wide)) return;
    if (!panel.classList.contains("zoomed")) whole = [view(panel), [...panel.querySelector(".ticks").children]];
    zoomTo(panel, [left, y, right - left, high]);
    panel.classList.add("zoomed");
  });
  const reset = () => {
    if (!panel.classList.contains("zoomed")) return;
    zoomTo(panel, whole[0]);
    panel.querySelector(".ticks").replaceChildren(...whole[1]);
    panel.classList.remove("zoomed");
  };
  panel.addEventListener("dblclick", reset);
  panel.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const places = [...new Set(curves(panel).flatMap((curve) => points(curve).map(([x]) => x)))].sort((a, b) => a - b);
    const now = places.indexOf(panel.announced),
      last = places.length - 1;
    const next = { ArrowLeft: Math.max(0, now - 1), ArrowRight: Math.min(last, now + 1), Home: 0, End: last }[
      event.key
    ];
    if (event.key === "Escape") {
      hide();
      reset();
    }
    if (next === undefined || last < 0) return;
    event.preventDefault();
    const box = panel.querySelector(".frame").getBoundingClientRect(),
      [x, , wide] = view(panel);
    tell(panel, places[next], null, box.left + (box.width * (places[next] - x)) / wide, box.top + box.height / 2);
  });
}

for (const box of all(".legend input")) {
  const figure = box.closest("figure"),
    marks = all(`[data-series="${box.value}"], .n${box.value}`, figure);
  box.addEventListener("change", () => marks.forEach((mark) => mark.classList.toggle("off", !box.checked)));
}
