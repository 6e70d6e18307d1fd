"use strict";
(() => {
  const { LOOKS, copy, csv, html, look, percent: share, svg } = Base;
  const { axisPercent, chart, clear, paint, swatches } = Charts;
  const { keep, state, toggles } = Parts;
  const number = (value) => Base.number(value, 3);
  const page = JSON.parse(document.getElementById("data").textContent);
  const METRICS = { loss: { title: "loss", show: number }, acc: { title: "accuracy", show: share, tick: axisPercent } };
  const FEW = 6; // groups that are shown at first
  const RUNS = 3; // groups up to which training is in the tooltip
  const STARRED = 12; // groups up to which the best epoch of each has a star
  let logarithmic = { log: true, linear: false }[state.get("loss") ?? ""]; // what the reader chose
  const groups = page.groups
    .map((group, index) => ({ ...group, index, drawn: group !== null }))
    .filter((group) => group.drawn);
  const baseline = groups.findIndex((group) => group.index === page.beside[0]);
  const first = baseline < FEW ? groups.slice(0, FEW) : [...groups.slice(0, FEW - 1), groups[baseline]];
  const shown = new Set(first.map((group) => group.index));

  // --- curves ----------------------------------------------------------------------------------------------

  const APART = /, (?![^[({]*[\])}])/; // between the settings of a name, not inside a list

  /** For each group the name at the end of its lines: of its settings those that differ among the groups shown. */
  function ends(selected) {
    const parts = selected.map((group) => group.brief.split(APART));
    const differs = parts[0]?.map((_, i) => new Set(parts.map((own) => own[i])).size > 1) ?? [];
    const isTable = parts.every((own) => own.length === differs.length);
    return new Map(
      selected.map((group, at) => {
        const own = isTable ? parts[at].filter((_, i) => differs[i]).join(", ") : "";
        return [group, own || group.brief];
      }),
    );
  }

  /** The range of the lines shown, where groups are hidden that may be far away; at most that of all. */
  function fitted(limits, lines) {
    const values = lines.flatMap((line) =>
      line.values.filter((v) => v !== null && v >= limits.low && v <= limits.high),
    );
    if (!values.length) return limits;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (limits.log && low > 0 && high > 30 * low) return { low: low / 1.2, high: high * 1.2, log: true };
    const room = Math.max(0.05 * (high - low), (0.1 * high - (high - low)) / 2);
    return { low: low - room, high: high + room, log: false };
  }

  /** Whether most values lie at the foot of an axis, where a few are far above the others. */
  function isSqueezed({ low, high }, values) {
    const known = values.filter((value) => value >= low && value <= high);
    return 2 * known.filter((value) => value < low + 0.1 * (high - low)).length > known.length;
  }

  /** Give groups that have no look of their own, where there are many, those that no group shown has. */
  function dress(selected) {
    const own = (group) => page.groups[group.index].look;
    const taken = new Set(selected.map(own));
    const free = [...Array(LOOKS).keys()].filter((look) => !taken.has(look));
    for (const group of groups) group.look = own(group);
    for (const group of selected) if (group.look >= LOOKS) group.look = free.shift() ?? LOOKS;
  }

  function drawCurves() {
    const parent = document.getElementById("curves-charts");
    clear(parent);
    const selected = groups.filter((group) => shown.has(group.index));
    dress(selected);
    const names = ends(selected);
    for (const [metric, { title, show, tick }] of Object.entries(METRICS)) {
      const lines = [];
      const stars = [];
      for (const group of [...selected].reverse()) {
        // the best is drawn last, on top
        const { color, dash } = look(group.look);
        const curve = group[metric];
        const seeds = group.seeds.length > 1 ? `, mean of ${group.seeds.length}` : "";
        const full = (what) => `${group.name}, ${what}`,
          brief = names.get(group);
        for (const values of (selected.length <= FEW && !curve.band && curve.runs) || [])
          lines.push({ values, color, faint: true, tip: `${brief}, one seed`, group: group.name });
        const thin = { color, dash, width: 1, group: group.name };
        lines.push({ values: curve.train, ...thin, name: full("training"), tip: `${brief}, training` });
        const inside = (value) => (metric === "acc" && value !== null ? Math.min(1, Math.max(0, value)) : value);
        const interval = curve.low ? [curve.low.map(inside), curve.high.map(inside)] : undefined;
        lines.push({
          values: curve.val,
          color,
          dash,
          interval,
          band: curve.band ? interval : undefined,
          group: group.name,
          end: selected.length > 1 ? brief : undefined,
          name: full(`validation${seeds}`),
          tip: selected.length > RUNS ? brief : `${brief}, validation${seeds}`,
        });
        if (selected.length <= STARRED) stars.push([group.best[0], group.best[metric === "loss" ? 1 : 2], color]);
      }
      let caption = "";
      if (selected.length > RUNS) {
        // only validation has room in a tooltip
        const several = selected.some((group) => group.seeds.length > 1);
        caption = `, validation${several ? ", mean and 95% over the seeds" : ""}`;
        for (const line of lines) line.name = line.width === 1 || line.faint ? undefined : line.group;
      }
      lines.reverse(); // the tooltip in the order of the table
      const guess = page.chance?.[metric];
      const all = page.limits[metric];
      const limits = metric === "loss" && selected.length < groups.length ? fitted(all, lines) : all;
      const positive = lines.flatMap((line) => line.values.filter((value) => value > 0));
      const canBeLog = metric === "loss" && positive.length > 0;
      const log = canBeLog && (logarithmic ?? (limits.log || isSqueezed(limits, positive)));
      const y = { ...limits, log, low: log && !limits.log ? Math.min(...positive) / 1.1 : limits.low, show, tick };
      const other = canBeLog
        ? [
            "log",
            log,
            () => {
              logarithmic = !log;
              keep("loss", log ? "linear" : "log");
              drawCurves();
            },
          ]
        : undefined;
      chart(parent, {
        title,
        xLabel: "epoch",
        x: page.epochs,
        lines,
        stars,
        y,
        caption,
        rule: guess === undefined ? undefined : [guess, "chance level"],
        other,
      });
    }
    drawCurvature(selected);
    drawNumbers();
  }

  /** Sharpness bold, its limit dashed, the curvature along the gradient thin, on a logarithmic axis. */
  function drawCurvature(selected) {
    const parent = document.getElementById("curvature-charts");
    if (!parent) return;
    clear(parent);
    if (parent.previousElementSibling?.className === "key") parent.previousElementSibling.remove();
    const measured = selected.filter((group) => group.curvature);
    if (!measured.length) return;
    const x = [...new Set(measured.flatMap((group) => group.curvature.epochs))].sort((a, b) => a - b);
    const lines = measured.flatMap((group) => {
      const { epochs, preconditioned, sharpness, limit, along } = group.curvature;
      const { color } = look(group.look);
      const at = (values) => {
        const known = new Map(epochs.map((epoch, i) => [epoch, values[i] > 0 ? values[i] : null]));
        return x.map(
          (epoch) => known.get(epoch) ?? (epoch > epochs[0] && epoch < epochs[epochs.length - 1] ? undefined : null),
        );
      };
      const name = (text) => (measured.length > 1 ? `${group.name}, ${text}` : text);
      return [
        { values: at(sharpness), color, name: name(preconditioned ? "preconditioned sharpness" : "sharpness") },
        { values: at(limit), color, dash: [8, 4], width: 1.2, name: name("limit of stability") },
        { values: at(along), color, width: 1, faint: true, name: name("along the gradient") },
      ];
    });
    const view = page.curvatureLimits;
    const several = measured.length > 1;
    const color = several ? "--ink" : look(measured[0].look).color;
    parent.before(
      key([
        [measured.every((g) => g.curvature.preconditioned) ? "preconditioned sharpness" : "sharpness", color],
        ["limit of stability", color, [8, 4], 2],
        ["along the gradient", color, [], 1],
      ]),
    );
    chart(parent, { title: "curvature of the loss", xLabel: "epoch", x, lines, y: { ...view, show: number } });
  }

  /** What lines mean: names, each with the color, the dashes and the width of its line. */
  function key(names) {
    const made = html("p", { className: "key" });
    for (const [name, ...line] of names)
      made.append(html("span", {}, paint(html("span", { className: "swatch" }), ...line), name));
    return made;
  }

  /** The values of the groups shown, made only when the reader unfolds them. */
  function drawNumbers() {
    const details = document.getElementById("numbers");
    const parent = details.querySelector("div");
    parent.replaceChildren();
    if (!details.open) return;
    const selected = groups.filter((group) => shown.has(group.index));
    const heads = selected.flatMap((group) =>
      ["train loss", "val loss", "train acc", "val acc"].map((name) => `${group.name}: ${name}`),
    );
    const head = html(
      "tr",
      {},
      ...["epoch", ...heads].map((name) => {
        const cell = html("th", { textContent: name });
        cell.scope = "col";
        return cell;
      }),
    );
    const rows = page.epochs.map((epoch, at) =>
      html(
        "tr",
        {},
        html("th", { textContent: epoch }),
        ...selected
          .flatMap((group) =>
            [group.loss.train, group.loss.val]
              .map((values) => Base.number(values[at], 4))
              .concat([group.acc.train, group.acc.val].map((values) => share(values[at]))),
          )
          .map((textContent) => html("td", { textContent })),
      ),
    );
    Object.assign(parent, { className: "scroll", tabIndex: 0 });
    parent.append(html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows)));
  }

  // --- layers ----------------------------------------------------------------------------------------------

  const QUANTITIES = [
    ["gradient_norm", "gradient |g|", number, undefined],
    ["update_to_weight", "step |dw| / |w|", number, undefined],
    ["saturated", "saturated outputs", share, axisPercent],
  ];

  function layers() {
    const parent = document.getElementById("layers-charts");
    const layered = groups.filter((group) => group.layers);
    if (!parent || !layered.length) return;
    const boxes = html("div", { className: "beside" });
    parent.append(boxes);
    const wanted = page.beside.map((index) => layered.find((group) => group.index === index));
    const chosen =
      layered.length > 1 ? [wanted[0] ?? layered[0], wanted[1] ?? layered[layered.length - 1]] : [layered[0]];
    const parts = [];
    const drawAll = () => parts.forEach((charts, at) => drawLayers(charts, chosen[at], layerRanges(chosen)));
    for (const [at, group] of chosen.entries()) {
      const charts = html("div", { className: "charts three" });
      const part = html("div");
      if (layered.length > 1) {
        const select = html(
          "select",
          {},
          ...layered.map((g) => html("option", { value: g.index, textContent: g.name })),
        );
        select.value = group.index;
        const printed = html("span", { className: "printed", textContent: group.name });
        select.addEventListener("change", () => {
          chosen[at] = layered.find((g) => String(g.index) === select.value);
          printed.textContent = chosen[at].name;
          drawAll();
        });
        part.append(html("label", {}, at ? "and " : "group ", select, printed));
      }
      part.append(charts);
      boxes.append(part);
      parts.push(charts);
    }
    drawAll();
  }

  const shade = (at, count) => `--s${count > 1 ? Math.round((8 * at) / (count - 1)) : 8}`;
  const layerName = (name) => (name === "out" ? "output" : `layer ${name}`);

  /** What the colors of layers mean; of more layers than colors, one for each color. */
  function layerKey({ names }) {
    const every = Math.ceil(names.length / 9);
    const entries = names.map((name, at) => [layerName(name), shade(at, names.length)]);
    return key(entries.filter((_, at) => at % every === 0 || at === names.length - 1));
  }

  const DECADES = 12; // of a logarithmic axis, at most

  /** The range of every quantity in the groups chosen, so that their charts can be compared; at least a decade. */
  function layerRanges(chosen) {
    return Object.fromEntries(
      QUANTITIES.map(([quantity]) => {
        if (!page.layerLimits[quantity].log) return [quantity, { low: -0.03, high: 1.03, log: false }];
        const values = chosen.flatMap((group) => group.layers[quantity].flat()).filter((value) => value > 0);
        const high = values.length ? Math.max(...values) : 1;
        const low = Math.max(Math.min(high / 10, ...values), high / 10 ** DECADES);
        return [quantity, { low: low / 1.5, high: high * 1.5, log: true }];
      }),
    );
  }

  const VANISHED = 1e-3; // of the gradient of the output

  /** The place from which on values stay below a logarithmic axis, as 0 does; -1 for those that do not. */
  function sunk(values, { log, low }) {
    const at = values.findLastIndex((value) => value !== null && value >= low) + 1;
    return log && values.slice(at).some((value) => value !== null) ? at : -1;
  }

  /** What became of the gradient on its way from the output to layer 1, in the last epoch. */
  function gradientSentence({ names, gradient_norm: norms }, range) {
    const places = norms.map((values) => sunk(values, range)),
      below = names.flatMap((name, i) =>
        places[i] < 0
          ? []
          : [`of ${name === "out" ? "the output" : layerName(name)} from epoch ${page.layerEpochs[places[i]]}`],
      );
    const more = below.length > FEW ? ` and ${below.length - FEW} more` : "";
    if (below.length)
      return `The gradient ${below.slice(0, FEW).join(", ")}${more} is 0 or below the axis: circles at the bottom mark it.`;
    const [first, last] = [norms[0], norms[norms.length - 1]].map((values) => values[values.length - 1]);
    if (norms.length < 2 || !(first >= 0 && last > 0)) return "";
    const ratio = first / last;
    const verdict = ratio <= VANISHED ? ": it vanishes" : ratio >= 1 / VANISHED ? ": it explodes" : "";
    return `In the last epoch, the gradient of layer 1 is ${Base.number(ratio, 2)} times that of the output${verdict}.`;
  }

  /** A line per layer, from the input (first color of the sequence) to the output (last). */
  function drawLayers(parent, group, ranges) {
    clear(parent);
    const { names } = group.layers;
    const above = html(
      "div",
      {},
      html("p", { textContent: gradientSentence(group.layers, ranges.gradient_norm) }),
      layerKey(group.layers),
    );
    if (parent.previousElementSibling?.tagName === "DIV") parent.previousElementSibling.remove();
    parent.before(above);
    for (const [quantity, title, show, tick] of QUANTITIES) {
      const lines = names
        .map((name, at) => ({
          values: group.layers[quantity][at],
          color: shade(at, names.length),
          name: layerName(name),
          width: 2,
        }))
        .filter((line) => line.values.some((value) => value !== null));
      const { low } = ranges[quantity];
      const circles = lines.flatMap(({ values, color }) => {
        const at = sunk(values, ranges[quantity]); // a circle at the bottom, which no tip names
        const circle = values.map((_, i) => (i === at ? low : null));
        return at < 0 ? [] : [{ values: circle, color, points: true, hollow: true, width: 0 }];
      });
      lines.push(...circles);
      lines.reverse(); // the output above, as in the picture of a network
      chart(parent, {
        title,
        xLabel: "epoch",
        x: page.layerEpochs,
        lines,
        y: { ...ranges[quantity], show, tick },
        height: 210,
      });
    }
  }

  // --- settings --------------------------------------------------------------------------------------------

  const MARKS = {
    best: "the best",
    baseline: "baseline",
    near: "within noise of the best",
    better: "better",
    worse: "worse",
  };

  function settings() {
    const parent = document.getElementById("settings-charts");
    const inside = (curve, value) => (value === null || !curve.share ? value : Math.min(1, Math.max(0, value)));
    const margins = page.settings.filter((curve) => curve.margin);
    const range = (curves) => {
      const ends = curves.flatMap((curve) =>
        curve.points.flatMap((p) => [p.y, ...(p.low === null ? [] : [p.low, p.high])].map((v) => inside(curve, v))),
      );
      const [low, high] = [Math.min(...ends), Math.max(...ends)];
      const room = 0.06 * (high - low || Math.abs(high) || 1);
      return { low: low - room, high: high + room };
    };
    for (const curve of page.settings) {
      const { points, colors } = curve;
      const show = curve.share ? share : number;
      const x = points.map((p) => p.x);
      const isWorse = (p) => ["worse", ""].includes(p.mark);
      const color = (p) => (colors ? look(p.color).color : isWorse(p) ? "--muted" : "--accent");
      const lines = [];
      if (curve.joined) lines.push({ values: points.map((p) => p.y), color: "--muted", width: 1 });
      const kinds = new Map(points.map((p) => [`${color(p)} ${isWorse(p)}`, p]));
      for (const [kind, one] of kinds) {
        const values = points.map((p) => (`${color(p)} ${isWorse(p)}` === kind ? p.y : null));
        lines.push({ values, color: color(one), points: true, hollow: isWorse(one), width: 0 });
      }
      for (const [mark, name] of Object.entries(curve.margin ? { best: "the best mean", near: "mean" } : MARKS)) {
        const values = points.map((p) => (p.mark === mark ? p.y : null));
        const interval = [points.map((p) => p.low), points.map((p) => p.high)];
        if (values.some((v) => v !== null))
          lines.push({ values, color: mark === "worse" ? "--muted" : "--accent", width: 0, interval, name });
      }
      const best = points.filter((p) => p.mark === "best").map((p) => [p.x, p.y, "--c1"]);
      const bars = points.map((p) => [p.x, inside(curve, p.low), inside(curve, p.high), color(p)]);
      const title = curve.margin ? `${curve.measure} by ${curve.key}` : curve.measure;
      const { box } = chart(parent, {
        title,
        xLabel: curve.key,
        x,
        xLog: curve.log,
        names: curve.names ?? undefined,
        places: x.length <= 7 && curve.margin && !curve.binned ? x : undefined,
        lines,
        stars: best,
        bars: points.length > 60 ? [] : bars,
        y: {
          ...range(curve.margin ? margins : [curve]),
          log: false,
          show,
          tick: curve.share ? axisPercent : undefined,
        },
        showX: number,
        height: curve.margin ? 220 : 260,
      });
      if (colors) {
        const named = key(colors[1].map((name, i) => [name, look(i).color]));
        named.prepend(`${colors[0]}: `);
        const both = html("div");
        box.replaceWith(both);
        both.append(box, named);
      }
    }
  }

  /** All settings as parallel coordinates: a line for each group; a drag on an axis chooses groups, a click frees it. */
  function parallel() {
    const place = document.getElementById("parallel");
    if (!place || !page.parallel) return;
    const { axes, lines, measure } = page.parallel,
      show = page.parallel.share ? share : number;
    const all = [
      ...axes.map((axis, i) => ({ ...axis, of: (line) => line.at[i] })),
      { key: measure, log: false, names: null, of: (line) => line.y },
    ];
    const HEIGHT = 280,
      TOP = 26,
      BOTTOM = 46,
      chosen = all.map(() => null);
    for (const axis of all) {
      const values = lines.map(axis.of),
        f = axis.log ? Math.log10 : Number;
      const [low, high] = axis.names
        ? [-0.3, axis.names.length - 0.7]
        : [Math.min(...values.map(f)), Math.max(...values.map(f))];
      axis.y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (high === low ? 0.5 : 1 - (f(value) - low) / (high - low));
      axis.ends = axis.names
        ? axis.names.map((name, i) => [i, name])
        : [
            [Math.min(...values), null],
            [Math.max(...values), null],
          ].map(([v]) => [v, axis.of(lines[0]) === lines[0].y && axis.key === measure ? show(v) : number(v)]);
    }
    const box = html(
      "figure",
      {},
      html("h3", { textContent: "All settings" }),
      html("p", {
        className: "muted small",
        textContent:
          "A line is a group; bold: those that may be the best. Drag along an axis to keep the groups that pass there; click the axis to free it.",
      }),
    );
    const count = html("p", { className: "small", role: "status" });
    const holder = html("div", {
      className: "scroll",
      tabIndex: 0,
      role: "group",
      "aria-label": "all settings as parallel coordinates; the table of results has the same values",
    });
    box.append(holder, count);
    place.append(box);
    const keeps = (line) =>
      all.every(
        (axis, i) => !chosen[i] || (axis.y(axis.of(line)) >= chosen[i][0] && axis.y(axis.of(line)) <= chosen[i][1]),
      );

    function draw() {
      const width = Math.max(110 * all.length, holder.clientWidth),
        x = (i) => 60 + (i * (width - 150)) / (all.length - 1);
      const root = svg("svg", {
        width,
        height: HEIGHT,
        viewBox: `0 0 ${width} ${HEIGHT}`,
        class: "parallel",
        "aria-hidden": "true",
      });
      const kept = lines.filter(keeps),
        any = chosen.some(Boolean);
      for (const line of lines) {
        const state = keeps(line)
          ? any || line.mark === "best" || line.mark === "near"
            ? line.mark || "kept"
            : "pale"
          : "gone";
        const path = svg("path", {
          d: all.map((axis, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${axis.y(axis.of(line)).toFixed(1)}`).join(""),
          class: state,
        });
        path.append(svg("title", {}, `${line.name}: ${show(line.y)}`));
        root.append(path);
      }
      all.forEach((axis, i) => {
        root.append(
          svg("path", { d: `M${x(i)} ${TOP}V${HEIGHT - BOTTOM}`, class: "axis" }),
          svg("text", { x: x(i), y: HEIGHT - 8, "text-anchor": "middle", class: "name" }, axis.key),
        );
        for (const [value, text] of axis.ends)
          root.append(
            svg(
              "text",
              {
                x: x(i) + 6,
                y: axis.y(value) + (axis.names ? 4 : axis.y(value) < HEIGHT / 2 ? -8 : 14),
                class: "over",
              },
              text,
            ),
          );
        if (chosen[i])
          root.append(
            svg("rect", {
              x: x(i) - 8,
              y: chosen[i][0],
              width: 16,
              height: chosen[i][1] - chosen[i][0],
              class: "brush",
            }),
          );
        const grip = svg("rect", {
          x: x(i) - 16,
          y: TOP - 6,
          width: 32,
          height: HEIGHT - TOP - BOTTOM + 12,
          class: "grip",
        });
        grip.addEventListener("pointerdown", (event) => {
          const top = root.getBoundingClientRect().top,
            from = event.clientY - top;
          const move = (to) => {
            chosen[i] = Math.abs(to - from) < 4 ? null : [Math.min(from, to), Math.max(from, to)];
            draw();
          };
          const moving = (next) => move(next.clientY - top);
          const end = () => {
            removeEventListener("pointermove", moving);
            removeEventListener("pointerup", end);
          };
          move(from);
          addEventListener("pointermove", moving);
          addEventListener("pointerup", end);
        });
        root.append(grip);
      });
      holder.replaceChildren(root);
      const best = kept.at(-1);
      count.textContent = any
        ? `${kept.length} of ${lines.length} groups${best ? `; the best of them: ${best.name}, ${show(best.y)}` : ""}`
        : "";
    }
    draw();
    new ResizeObserver(draw).observe(box);
  }

  // --- tables ----------------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("unfold")) {
      const row = button.closest("tr").nextElementSibling;
      row.hidden = !row.hidden;
      button.setAttribute("aria-expanded", !row.hidden);
    }
    if (button.classList.contains("copy-table")) {
      const rows = [...document.querySelectorAll(".runs tr:not(.config)")];
      copy(csv(rows.map((row) => [...row.cells].map((c) => c.dataset.value ?? c.textContent))), button);
    }
  });

  swatches(document);
  for (const place of document.querySelectorAll("[data-name]"))
    place.textContent = page.groups[place.dataset.name].name;
  settings();
  parallel();
  for (const cell of document.querySelectorAll(".heat .best")) {
    const left = cell.offsetLeft + cell.offsetWidth - cell.closest(".scroll").clientWidth + 56; // in view, before what fades
    for (const map of document.querySelectorAll(".heat")) map.closest(".scroll").scrollLeft = left; // all at the same columns
  }
  if (document.getElementById("curves")) {
    toggles(document.getElementById("groups"), groups, shown, FEW, drawCurves);
    document.getElementById("numbers").addEventListener("toggle", drawNumbers);
    layers();
  } else drawCurvature(groups.slice(0, FEW)); // of one epoch there is no curve
})();
