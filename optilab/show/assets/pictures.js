"use strict";
// The three pictures: the paths on the ground, the loss curves, and the rates by theory.

const { decades, number: text, power, svg, ticks } = Base;
const MOST_DECADES = 16; // of the loss axis: a path that gets to f_min exactly flattens no other
const MARKED = 60; // points of a path that are shown one by one
const MARKERS = {
  // as in matplotlib, about 8 units wide
  o: "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z",
  s: "M-3.5-3.5H3.5V3.5H-3.5Z",
  "^": "M0-4.4L4.2 3.4H-4.2Z",
  D: "M0-4.8L4.8 0 0 4.8-4.8 0Z",
  v: "M0 4.4L4.2-3.4H-4.2Z",
  P: "M-1.6-4.4H1.6V-1.6H4.4V1.6H1.6V4.4H-1.6V1.6H-4.4V-1.6H-1.6Z",
  X: "M-4.2-2L-2-4.2 0-2.2 2-4.2 4.2-2 2.2 0 4.2 2 2 4.2 0 2.2-2 4.2-4.2 2-2.2 0Z",
  "*": "M0-5L1.3-1.6 4.8-1.5 2 .7 3 4.1 0 2.1-3 4.1-2 .7-4.8-1.5-1.3-1.6Z",
  "<": "M-4.4 0L3.4-4.2V4.2Z",
  p: "M0-4.6L4.4-1.4 2.7 3.7H-2.7L-4.4-1.4Z",
  ">": "M4.4 0L-3.4-4.2V4.2Z",
  h: "M0-4.6L4-2.3V2.3L0 4.6-4 2.3V-2.3Z",
};

const color = (index) => `c${look(index) % 6}`;
const line = (index) => `line ${color(index)} dash${Math.floor(look(index) / 6) % 4}`;
const marker = (index, x, y, scale = 1, name = "") =>
  svg("path", {
    d: MARKERS[data.markers[look(index) % data.markers.length]],
    transform: `translate(${x} ${y}) scale(${scale})`,
    class: `mark ${color(index)} ${name}`,
  });
/** Lines of these places as one element: a marker of the rule at each, and no line. */
const dots = (index, places, scale) =>
  svg("path", {
    d: places.map(([x, y], i) => `${i ? "L" : "M"}${pixel(x)} ${pixel(y)}`).join(""),
    class: "dots",
    ...Object.fromEntries(["start", "mid", "end"].map((at) => [`marker-${at}`, `url(#mark${index}-${scale})`])),
  });
/** What `dots` refers to. */
const marks = (shown, scale) =>
  shown.map((index) =>
    svg(
      "marker",
      {
        id: `mark${index}-${scale}`,
        viewBox: "-6 -6 12 12",
        markerWidth: 12 * scale,
        markerHeight: 12 * scale,
        markerUnits: "userSpaceOnUse",
      },
      marker(index, 0, 0),
    ),
  );
const pixel = (number) => Math.round(Math.min(1e5, Math.max(-1e5, number)) * 10) / 10; // SVG cannot draw to 1e300

// --- a frame -------------------------------------------------------------------------------------------------

/** The box of a picture in its figure, and the scales of its axes in pixels. */
function frame(figure, xs, ys, room = 12) {
  const drawing = figure.querySelector("svg"),
    { width, height } = figure.querySelector(".area").getBoundingClientRect();
  const small = width < 420,
    left = small ? 44 : 52,
    top = 20,
    right = width - (width < 300 ? 12 : room),
    bottom = height - (small ? 24 : 40);
  const x = (number) => left + ((number - xs[0]) / (xs[1] - xs[0])) * (right - left);
  const y = (number) => bottom - ((number - ys[0]) / (ys[1] - ys[0])) * (bottom - top);
  const back = (px, py) => [
    xs[0] + ((px - left) / (right - left)) * (xs[1] - xs[0]),
    ys[0] + ((bottom - py) / (bottom - top)) * (ys[1] - ys[0]),
  ];
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  return { drawing, left, top, right, bottom, width, height, small, x, y, back, xs, ys };
}

/** Axes with ticks `[number, text]`, and the names of the axes. */
function axes(box, xticks, yticks, xname, yname, grid) {
  const group = svg("g", { class: "axes" });
  if (grid)
    for (const [at] of yticks)
      group.append(svg("path", { d: `M${box.left} ${box.y(at)}H${box.right}`, class: "grid" }));
  group.append(svg("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`, class: "axis" }));
  const first = box.small ? xticks[0] : null; // a small picture has room for the name of the axis before a number only
  for (const tick of xticks) {
    const name = tick === first ? `${xname} ` : "";
    group.append(svg("text", { x: box.x(tick[0]), y: box.bottom + 15, "text-anchor": "middle" }, name + tick[1]));
  }
  for (const [at, label] of yticks)
    group.append(svg("text", { x: box.left - 6, y: box.y(at) + 4, "text-anchor": "end" }, label));
  const below = { x: (box.left + box.right) / 2, y: box.height - 6, "text-anchor": "middle", class: "name" };
  if (!first) group.append(svg("text", below, xname));
  group.append(svg("text", { x: box.left - 2, y: box.top - 8, class: "name" }, yname));
  return group;
}

/** Show the parts of a picture; what is written over it comes last. */
function fill(box, ...parts) {
  box.drawing.replaceChildren(...parts);
  box.drawing.append(...box.drawing.querySelectorAll(".over"));
}

/** A line through the places of these rows, without those that are nearer than half a pixel to the last one. */
function polyline(from, to, place) {
  let text = "",
    pen = "M",
    x0 = NaN,
    y0 = NaN;
  for (let row = from; row <= to; row++) {
    const point = place(row);
    if (!point) {
      pen = "M";
      continue;
    }
    const x = pixel(point[0]),
      y = pixel(point[1]);
    if (pen === "L" && Math.abs(x - x0) < 0.5 && Math.abs(y - y0) < 0.5) continue;
    text += `${pen}${x} ${y}`;
    [pen, x0, y0] = ["L", x, y];
  }
  return text;
}

// --- the ground ----------------------------------------------------------------------------------------------

/** The heights of a function of one variable in the view: its curve, and the sides. */
function profile([left, right]) {
  const points = Array.from({ length: 481 }, (_, i) => left + ((right - left) * i) / 480).map((x) => [x, fn.value(x)]);
  const seen = points.map((point) => point[1]).filter(Number.isFinite);
  const low = seen.length ? Math.min(...seen) : 0,
    high = seen.length ? Math.max(...seen) : 1;
  const margin = 0.05 * (high - low) || 1;
  return { points, sides: [low - margin, high + margin] };
}

let ground = null; // the frame of the picture, for the hand on it

function drawGround(paths, shown) {
  const figure = document.getElementById("ground"),
    [xs, second] = view();
  const curve = plane ? null : profile(xs);
  const box = frame(figure, xs, plane ? second : curve.sides);
  const shape = (box.bottom - box.top) / (box.right - box.left);
  if (plane && Math.abs(shape - aspect) > 1e-9 && shape > 0) {
    // the view depends on the shape of the picture
    aspect = shape;
    return drawGround(paths, shown);
  }
  ground = box;
  const place = (point) => [box.x(point[0]), box.y(plane ? point[1] : fn.value(point[0]))];
  const onCurve = ([x, f]) => (Number.isFinite(f) ? [box.x(x), box.y(f)] : null);
  const inside = svg("g", { "clip-path": "url(#inside)" });
  const clip = svg(
    "clipPath",
    { id: "inside" },
    svg("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }),
  );
  if (curve)
    inside.append(
      svg("path", { d: polyline(0, curve.points.length - 1, (i) => onCurve(curve.points[i])), class: "profile" }),
    );
  for (const index of shown) inside.append(...pathOf(paths[index], index, place));
  const stars = fn.minima
    .map((minimum) => place(minimum.point))
    .filter(([x, y]) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom);
  const ends = stars.map(([x, y], i) => {
    const star = svg(
      "g",
      { class: "end" },
      svg("path", { d: MARKERS["*"], transform: `translate(${x} ${y}) scale(1.7)` }),
    );
    const [left, top] = place(state.start),
      near = Math.abs(x - left) < 90 && Math.abs(y - top) < 30; // where the start has its name
    if (i === 0) star.append(label(box, x, y, "minimum", near ? (y < top ? -24 : 28) : -11));
    return star;
  });
  const labelled = (at) => [at, text(at)];
  const frameOf = axes(
    box,
    ticks(...xs, box.small ? 5 : 8).map(labelled),
    ticks(...box.ys, Math.max(3, (box.bottom - box.top) / 60)).map(labelled),
    ...[...coordinates(), "f"].slice(0, 2).map((name) => name.replace("1", "₁").replace("2", "₂")),
    false,
  );
  fill(box, svg("defs", {}, clip, ...marks(shown, 0.62)), inside, frameOf, ...ends, ...heads(paths, shown, place, box));
  const handle = document.getElementById("start"),
    [x, y] = place(state.start);
  handle.hidden = !(x >= box.left && x <= box.right && y >= box.top && y <= box.bottom);
  handle.style.left = `${(100 * x) / box.width}%`;
  handle.style.top = `${(100 * y) / box.height}%`;
  const free = CORNERS.filter(([left]) => (left ? x > box.left + 60 : x < box.right - 60)),
    steps = shown.flatMap((index) => strides(paths[index], place));
  const crossed = ([left, up]) =>
    steps.filter(
      ([a, b]) =>
        a - x > (left ? -52 : 4) && a - x < (left ? -4 : 52) && b - y > (up ? -26 : 2) && b - y < (up ? -2 : 26),
    ).length;
  const [left, up] = free.reduce((best, one) => (crossed(one) < crossed(best) ? one : best), free[0]);
  handle.classList.toggle("left", left);
  handle.classList.toggle("up", up);
  if (plane) drawContours(figure.querySelector("canvas"), box);
}

// Where the name of the start may stand: whether left of it, whether above it.
const CORNERS = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
];
const STRIDES = 200; // steps of a path that the name of the start keeps away from

/** Places along the first steps of a path. */
function strides(path, place) {
  const found = [];
  let [x, y] = place(pointOf(path, 0));
  for (let row = 1; row < Math.min(path.count, STRIDES); row++) {
    const [a, b] = place(pointOf(path, row));
    for (let part = 1; part <= 8; part++) found.push([x + ((a - x) * part) / 8, y + ((b - y) * part) / 8]);
    [x, y] = [a, b];
  }
  return found;
}

/** A word beside a place, where there is room for it. */
function label(box, x, y, word, above) {
  const right = x > box.right - 70;
  return svg(
    "text",
    {
      x: x + (right ? -9 : 9),
      y: y + above < box.top + 12 ? y + 18 : y + above,
      class: "over",
      "text-anchor": right ? "end" : "start",
    },
    word,
  );
}

/** A path up to the epoch that is shown, pale beyond it. */
function pathOf(path, index, place) {
  const now = rowAt(path, shownEpoch()),
    parts = [];
  const spot = (row) => place(path.rows.subarray(row * WIDTH, row * WIDTH + dimension));
  if (now < path.count - 1)
    parts.push(svg("path", { d: polyline(now, path.count - 1, spot), class: `${line(index)} later` }));
  const walked = polyline(0, now, spot);
  parts.push(
    svg("path", { d: walked, class: "halo" }),
    svg("path", { d: walked, class: line(index), "data-path": index }),
  );
  if (path.count - 1 <= MARKED && now)
    parts.push(
      dots(
        index,
        Array.from({ length: now }, (_, i) => spot(i + 1)),
        0.62,
      ),
    );
  return parts;
}

/** Where the rules are at the epoch that is shown. */
function heads(paths, shown, place, box) {
  return shown.flatMap((index) => {
    const [x, y] = place(pointOf(paths[index], rowAt(paths[index], shownEpoch())));
    const inside = x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
    return inside ? [marker(index, x, y, 1.35, "head")] : [];
  });
}

let painted = ""; // what the canvas shows

/** Bands of height, evenly spaced in log10 of f above its minimum, with lines between them. */
function drawContours(canvas, box) {
  const ratio = Math.min(2, window.devicePixelRatio || 1),
    style = getComputedStyle(canvas);
  const width = Math.round((box.right - box.left) * ratio),
    height = Math.round((box.bottom - box.top) * ratio);
  const colors = ["--low", "--high", "--contour"].map((name) =>
    style.getPropertyValue(name).trim().split(" ").map(Number),
  );
  const key = [width, height, box.left, box.top, colors, box.xs, box.ys, fn.key].join();
  if (key === painted || width < 2 || height < 2) return;
  painted = key;
  Object.assign(canvas, { width, height });
  const across = (length) => `${(100 * length) / box.width}%`,
    down = (length) => `${(100 * length) / box.height}%`; // paper has another width
  Object.assign(canvas.style, {
    left: across(box.left),
    top: down(box.top),
    width: across(width / ratio),
    height: down(height / ratio),
  });
  const { level, base, step } = levels(box, width, height);
  const context = canvas.getContext("2d"),
    image = context.createImageData(width, height);
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const at = j * width + i,
        here = level[at];
      if (!Number.isFinite(here)) continue; // the ground of the page
      const dx = (level[at + (i + 1 < width ? 1 : -1)] - here) / step,
        dy = (level[at + (j + 1 < height ? width : -width)] - here) / step;
      const slope = Math.max(Math.hypot(dx, dy), 1e-9),
        height01 = (here - base) / step;
      const edge = Math.round(height01),
        apart = (height01 - edge) / slope; // pixels to the nearest line
      const mix = Math.min(1, Math.max(0, 0.5 + apart)),
        band = (edge - 1 + mix) / BANDS;
      const crowded = Math.min(1, 0.35 / slope); // lines closer than three pixels fade into their band
      const ink =
        edge > 0 && edge < BANDS
          ? 0.42 * crowded * Math.max(0, 1 - Math.max(0, Math.abs(apart) / ratio - 0.35) / 0.6)
          : 0;
      for (let c = 0; c < 3; c++) {
        const fill = colors[0][c] + (colors[1][c] - colors[0][c]) * Math.max(0, band);
        image.data[4 * at + c] = fill + (colors[2][c] - fill) * ink;
      }
      image.data[4 * at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

const BANDS = 14;

/** log10 of the height of every pixel, the lowest, and the height of a band. */
function levels(box, width, height) {
  const level = new Float64Array(width * height),
    { points, run, values } = Formula.valuesOf(fn.surface, width); // of a row of pixels
  for (let i = 0; i < width; i++) points[0][i] = box.xs[0] + ((i + 0.5) / width) * (box.xs[1] - box.xs[0]);
  for (let j = 0; j < height; j++) {
    points[1].fill(box.ys[1] - ((j + 0.5) / height) * (box.ys[1] - box.ys[0]));
    run();
    level.set(values, j * width);
  }
  let floor = fn.lowest;
  if (floor === null) floor = level.reduce((least, f) => (f < least ? f : least), Infinity);
  const sample = level.filter((f, i) => i % 97 === 0 && Number.isFinite(f)).sort();
  const lift = 1e-3 * (sample[sample.length >> 1] - floor) || 1e-9;
  let base = Infinity,
    top = -Infinity;
  for (let i = 0; i < level.length; i++) {
    const own = Math.log10(Math.max(level[i] - floor, 0) + lift);
    level[i] = own;
    if (own < base) base = own;
    if (own > top && own < Infinity) top = own;
  }
  return { level, base, step: (top - base) / BANDS || 1 };
}

// --- the loss curves -----------------------------------------------------------------------------------------

/** f above its minimum along the paths, NaN where a log scale has none, also below that minimum; `name`: what it is above.
 *
 * Where no minimum is known it is the lowest f that a path reaches inside the picture, so that a path that falls for ever
 * does not flatten the others, less a thousandth of the way there, so that a path that gets there has no hole or plunge.
 */
function gaps(paths, shown) {
  let floor = fn.lowest,
    name = "f − f_min";
  if (floor === null) {
    const sides = view();
    name = "f − lowest f reached";
    let first = -Infinity;
    floor = Infinity;
    for (const path of shown.map((index) => paths[index])) {
      first = Math.max(first, valueOf(path, 0));
      for (let row = 0; row < path.count; row++)
        if (isIn(sides, pointOf(path, row))) floor = Math.min(floor, valueOf(path, row));
    }
    floor -= 1e-3 * Math.max(0, first - floor);
  }
  const rounding = fn.lowest === null ? 0 : 2 ** -52 * Math.abs(floor);
  const above = (path, row) => {
    const f = valueOf(path, row),
      gap = Math.max(f - floor, rounding);
    return gap > 0 && gap < Infinity && !isBelow(f) ? gap : NaN;
  };
  return { name, above };
}

/** Show a sentence in a picture that is empty, or none. */
function saying(figure, sentence) {
  figure.querySelector(".area").dataset.empty = sentence;
  if (sentence) figure.querySelector("svg").replaceChildren();
}

const NOTHING = "no optimizer is ticked";

function drawLosses(paths, shown) {
  const figure = document.getElementById("losses"),
    { name, above } = gaps(paths, shown);
  let low = Infinity,
    high = -Infinity,
    highest = -Infinity;
  for (const index of shown) {
    const path = paths[index],
      stays = path.status !== "diverged" && isIn(whole(), pointOf(path, path.count - 1));
    for (let row = 0; row < path.count; row++) {
      const gap = above(path, row);
      if (gap < low) low = gap;
      if (gap > highest) highest = gap;
      if (gap > high && stays) high = gap;
    }
  }
  if (high === -Infinity) high = highest;
  let ys =
    low <= high ? [Math.floor(Math.log10(low) + 1e-9), Math.ceil(Math.log10(Math.min(high, 1e250)) - 1e-9)] : [-1, 0];
  if (ys[1] - ys[0] < 1) ys = [ys[0] - 1, ys[1] + 1];
  ys[0] = Math.max(ys[0], ys[1] - MOST_DECADES);
  const box = frame(
      figure,
      [0, Math.max(1, state.epochs)],
      ys,
      20 + 6.6 * Math.max(3, ...shown.map((index) => shortened(data.rules[index].name).length)),
    ),
    at = shownEpoch();
  losses = box;
  saying(figure, shown.length ? "" : NOTHING);
  if (!shown.length) return;
  const curves = svg("g", { "clip-path": "url(#inside-losses)" });
  const clip = svg(
    "clipPath",
    { id: "inside-losses" },
    svg("rect", { x: box.left, y: box.top - 4, width: box.right - box.left + 5, height: box.bottom - box.top + 4 }),
  );
  const place = (path, row) => {
    const gap = above(path, row);
    return Number.isNaN(gap) ? null : [box.x(row), box.y(Math.log10(gap))];
  };
  const ends = [];
  for (const index of shown) {
    const path = paths[index],
      now = rowAt(path, at),
      every = Math.max(1, Math.floor(path.count / 10));
    const spot = (row) => place(path, row);
    if (now < path.count - 1)
      curves.append(svg("path", { d: polyline(now, path.count - 1, spot), class: `${line(index)} later` }));
    curves.append(svg("path", { d: polyline(0, now, spot), class: line(index), "data-loss": index }));
    const marked = [];
    for (let row = index % every; row <= now; row += every) if (spot(row)) marked.push(spot(row));
    if (marked.length) curves.append(dots(index, marked, 0.8));
    let last = now;
    while (last > 0 && !spot(last)) last--; // below what a log scale shows
    const end = spot(last);
    if (end) ends.push({ index, x: end[0], y: end[1], sign: last < now || end[1] > box.bottom ? " \u2193" : "" });
  }
  const xticks = ticks(0, Math.max(1, state.epochs), box.small ? 4 : 6)
    .filter(Number.isInteger)
    .map((epoch) => [epoch, String(epoch)]);
  const yticks = decades(...ys, Math.max(2, Math.floor((box.bottom - box.top) / 34))).map((exponent) => [
    exponent,
    power(exponent),
  ]);
  const cursor = svg("path", { d: `M${box.x(at)} ${box.top}V${box.bottom}`, class: "cursor" });
  fill(
    box,
    svg("defs", {}, clip, ...marks(shown, 0.8)),
    axes(box, xticks, yticks, "epoch", name, true),
    ...(at < state.epochs ? [cursor] : []),
    curves,
    ...endNames(box, ends),
  );
}

/** The names of rules beside the ends of their curves, one below the other where the ends are close. */
function endNames(box, ends) {
  if (box.width < 300) return [];
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, i) => (end.label = Math.max(end.y, i ? ends[i - 1].label + 13 : box.top + 6)));
  for (let i = ends.length - 1; i >= 0; i--)
    ends[i].label = Math.min(ends[i].label, i < ends.length - 1 ? ends[i + 1].label - 13 : box.bottom - 4);
  return ends.map(({ index, x, label, sign }) =>
    svg(
      "text",
      { x: Math.min(x + 8, box.right + 8), y: label + 4, class: `named ${color(index)}` },
      shortened(data.rules[index].name) + sign,
    ),
  );
}

const shortened = (name) => (name.length > 12 ? `${name.slice(0, 11)}\u2026` : name);

let losses = null; // the frame of the curves, for the hand on them

// --- the rates by theory -------------------------------------------------------------------------------------

const LOWEST = [0.999, 0.99, 0.9, 0.5, 0]; // rate at the lower end of the picture: the first that shows all curves
let rates = { box: null, spots: [] }; // the frame of the picture, and where the markers of the rules are

/** The factor of the distance per step over lr, for the rules with a formula; where it crosses 1 is the limit. */
function drawRates(paths, shown) {
  const known = shown.map((index) => [index, theoryOf(index, paths[index])]).filter(([, theory]) => theory);
  const figure = document.getElementById("rates");
  const others = shown.filter((index) => known.every(([one]) => one !== index)).map((index) => data.rules[index].name);
  figure.querySelector("h2").textContent =
    `Theory${known.length ? ": stable below \u00d71" : ""}${known.length && others.length ? `; none for ${few(others)}` : ""}`;
  const reason = !fn.minima.some((minimum) => minimum.curvatures)
    ? "no theory: it needs a known minimum with a curvature"
    : `no theory: no limit in closed form for ${few(others)}`;
  saying(figure, known.length ? "" : shown.length ? reason : NOTHING);
  rates = { box: null, spots: [] };
  if (!known.length) return;
  const controls = known.map(([index]) => cards.get(index).rate);
  const all = [
    ...controls.flatMap((control) => [control.low, control.high]),
    ...known.map(([, theory]) => theory.lr),
  ].filter((lr) => lr > 0);
  const xs = [Math.log10(Math.min(...all)), Math.log10(Math.max(...all))],
    lrAt = (i) => xs[0] + ((xs[1] - xs[0]) * i) / 240;
  const curveOf = (theory) => Array.from({ length: 241 }, (_, i) => theory.rateAt(10 ** lrAt(i)));
  const heights = new Map(known.map(([index, theory]) => [index, curveOf(theory)]));
  const least = Math.min(...[...heights.values()].flat()),
    low = LOWEST.find((one) => one <= least) ?? 0,
    highest = 1 + (1 - low) / 4;
  const box = frame(figure, xs, [low, highest]);
  const curves = svg("g", { "clip-path": "url(#inside-rates)" });
  const clip = svg(
    "clipPath",
    { id: "inside-rates" },
    svg("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }),
  );
  curves.append(
    svg("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.y(1) - box.top, class: "beyond" }),
  );
  curves.append(svg("path", { d: `M${box.left} ${box.y(1)}H${box.right}`, class: "one" }));
  const dots = [],
    spots = [];
  for (const [index, theory] of known) {
    const spot = (i) => [box.x(lrAt(i)), box.y(Math.min(9, heights.get(index)[i]))];
    curves.append(svg("path", { d: polyline(0, 240, spot), class: line(index), "data-rate": index }));
    const limit = box.x(Math.log10(theory.limit));
    curves.append(
      svg("path", {
        d: `M${pixel(limit)} ${box.y(1)}V${box.bottom}`,
        class: `${line(index)} limit`,
        "data-limit": theory.limit,
      }),
    );
    spots.push({ index, x: pixel(box.x(Math.log10(theory.lr))), y: box.y(Math.min(highest, theory.rate)) });
    dots.push(marker(index, spots.at(-1).x, spots.at(-1).y, 1.35, "head"));
  }
  rates = { box, spots };
  const xticks = decades(Math.ceil(xs[0]), Math.floor(xs[1]), box.small ? 4 : 6).map((exponent) => [
    exponent,
    power(exponent),
  ]);
  const yticks = [0, 1, 2, 3, 4, 5]
    .filter((i) => !box.small || i % 2 === 0)
    .map((i) => round(low + ((1 - low) * i) / 4, 6))
    .map((rate) => [rate, `×${rate}`]);
  const frameOf = axes(
    box,
    xticks,
    yticks,
    "lr",
    fn.everywhere || box.small ? "distance per step" : "distance per step, near the minimum",
    true,
  );
  fill(box, svg("defs", {}, clip), curves, frameOf, ...dots);
}
