"use strict";
(() => {
  const { chart, clear, element, look, number, percent, share, swatches } = Charts;
  const { copy, toggles } = Parts;
  const page = JSON.parse(document.getElementById("data").textContent);
  const METRICS = { loss: { title: "loss", show: number }, acc: { title: "accuracy", show: share, tick: percent } };
  const FEW = 6; // groups that are shown at first
  const RUNS = 3; // groups up to which single runs are drawn, and training is in the tooltip
  const groups = page.groups.map((group, index) => ({ ...group, index, drawn: group !== null })).filter((group) => group.drawn);
  const shown = new Set(groups.slice(0, FEW).map((group) => group.index));

  // --- curves ----------------------------------------------------------------------------------------------

  function drawCurves() {
    const parent = document.getElementById("curves-charts");
    clear(parent);
    const selected = groups.filter((group) => shown.has(group.index));
    for (const [metric, { title, show, tick }] of Object.entries(METRICS)) {
      const lines = [];
      const stars = [];
      for (const group of [...selected].reverse()) { // the best is drawn last, on top
        const { color, dash } = look(group.look);
        const curve = group[metric];
        const seeds = group.seeds.length > 1 ? `, mean of ${group.seeds.length}` : "";
        for (const values of (selected.length <= RUNS && curve.runs) || []) lines.push({ values, color, faint: true });
        lines.push({ values: curve.train, color, dash, width: 1, name: `${group.name}, training` });
        const inside = (value) => (metric === "acc" && value !== null ? Math.min(1, Math.max(0, value)) : value);
        const band = curve.low ? [curve.low.map(inside), curve.high.map(inside)] : undefined;
        lines.push({ values: curve.val, color, dash, band, group: group.name, name: `${group.name}, validation${seeds}` });
        stars.push([group.best[0], group.best[metric === "loss" ? 1 : 2], color]);
      }
      let caption = "";
      if (selected.length > RUNS) { // only validation has room in a tooltip
        const several = selected.some((group) => group.seeds.length > 1);
        caption = `, validation${several ? ", mean and 95 % over the seeds" : ""}`;
        for (const line of lines) line.name = line.width === 1 ? undefined : line.group;
      }
      lines.reverse(); // the tooltip in the order of the table
      const guess = page.guessing === null ? undefined : metric === "acc" ? 1 / page.guessing : Math.log(page.guessing);
      chart(parent, { title, xLabel: "epoch", x: page.epochs, lines, stars, y: { ...page.limits[metric], show, tick },
        caption, rule: guess === undefined ? undefined : [guess, "guessing"] });
    }
    drawCurvature(selected);
    drawNumbers();
  }

  /** Sharpness bold, its limit dashed, the curvature along the gradient thin, on a logarithmic axis. */
  function drawCurvature(selected) {
    const parent = document.getElementById("curvature-charts");
    if (!parent) return;
    clear(parent);
    const measured = selected.filter((group) => group.curvature);
    if (!measured.length) return;
    const x = [...new Set(measured.flatMap((group) => group.curvature.epochs))].sort((a, b) => a - b);
    const lines = measured.flatMap((group) => {
      const { epochs, preconditioned, sharpness, limit, along } = group.curvature;
      const { color } = look(group.look);
      const at = (values) => {
        const known = new Map(epochs.map((epoch, i) => [epoch, values[i] > 0 ? values[i] : null]));
        return x.map((epoch) => known.get(epoch) ?? (epoch > epochs[0] && epoch < epochs[epochs.length - 1] ? undefined : null));
      };
      const name = (text) => (measured.length > 1 ? `${group.name}, ${text}` : text);
      return [
        { values: at(sharpness), color, name: name(preconditioned ? "preconditioned sharpness" : "sharpness") },
        { values: at(limit), color, dash: [8, 4], width: 1.2, name: name("limit of stability") },
        { values: at(along), color, width: 1, faint: true, name: name("along the gradient") },
      ];
    });
    const view = page.curvatureLimits;
    chart(parent, { title: "curvature of the loss", xLabel: "epoch", x, lines, y: { ...view, show: number } });
  }

  /** The values of the groups shown, made only when the reader unfolds them. */
  function drawNumbers() {
    const details = document.getElementById("numbers");
    const parent = details.querySelector("div");
    parent.replaceChildren();
    if (!details.open) return;
    const selected = groups.filter((group) => shown.has(group.index));
    const heads = selected.flatMap((group) => ["train loss", "val loss", "train acc", "val acc"].map((name) => `${group.name}: ${name}`));
    const head = element("tr", {}, ...["epoch", ...heads].map((name) => {
      const cell = element("th", { textContent: name });
      cell.scope = "col";
      return cell;
    }));
    const rows = page.epochs.map((epoch, at) => element("tr", {}, element("th", { textContent: epoch }),
      ...selected.flatMap((group) => [group.loss.train, group.loss.val, group.acc.train, group.acc.val])
        .map((values) => element("td", { textContent: number(values[at]) }))));
    parent.className = "scroll";
    parent.append(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  // --- layers ----------------------------------------------------------------------------------------------

  const QUANTITIES = [
    ["gradient_norm", "gradient |g|", number, undefined],
    ["update_to_weight", "step |dw| / |w|", number, undefined],
    ["saturated", "saturated outputs", share, percent],
  ];

  function layers() {
    const parent = document.getElementById("layers-charts");
    const layered = groups.filter((group) => group.layers);
    if (!parent || !layered.length) return;
    const boxes = element("div", { className: "beside" });
    parent.append(boxes);
    const chosen = layered.length > 1 ? [layered[0], layered[layered.length - 1]] : [layered[0]];
    for (const [at, group] of chosen.entries()) {
      const charts = element("div", { className: "charts three" });
      const part = element("div");
      if (layered.length > 1) {
        const select = element("select", {}, ...layered.map((g) => element("option", { value: g.index, textContent: g.name })));
        select.value = group.index;
        const printed = element("span", { className: "printed", textContent: group.name });
        select.addEventListener("change", () => {
          const next = layered.find((g) => String(g.index) === select.value);
          printed.textContent = next.name;
          drawLayers(charts, next);
        });
        part.append(element("label", {}, at ? "and " : "group ", select, printed));
      }
      part.append(charts);
      boxes.append(part);
      drawLayers(charts, group);
    }
  }

  const shade = (at, count) => `--s${count > 1 ? Math.round((8 * at) / (count - 1)) : 8}`;
  const layerName = (name) => (name === "out" ? "output" : `layer ${name}`);

  /** What the colours of layers mean; of more layers than colours, one for each colour. */
  function layerKey({ names }) {
    const key = element("p", { className: "key" });
    const every = Math.ceil(names.length / 9);
    for (const [at, name] of names.entries()) {
      if (at % every && at !== names.length - 1) continue;
      const swatch = element("span", { className: "swatch" });
      swatch.style.borderTopColor = `var(${shade(at, names.length)})`;
      key.append(element("span", {}, swatch, layerName(name)));
    }
    return key;
  }

  /** A line per layer, from the input (first colour of the sequence) to the output (last). */
  function drawLayers(parent, group) {
    clear(parent);
    const { names } = group.layers;
    if (parent.previousElementSibling?.className === "key") parent.previousElementSibling.remove();
    parent.before(layerKey(group.layers));
    for (const [quantity, title, show, tick] of QUANTITIES) {
      const lines = names.map((name, at) => ({
        values: group.layers[quantity][at],
        color: shade(at, names.length),
        name: layerName(name),
        width: 2,
      })).filter((line) => line.values.some((value) => value !== null));
      lines.reverse(); // the output above, as in the picture of a network
      const view = page.layerLimits[quantity];
      const room = view.log ? { low: view.low / 1.5, high: view.high * 1.5 } : { low: -0.03, high: 1.03 };
      chart(parent, { title, xLabel: "epoch", x: page.layerEpochs, lines, y: { ...view, ...room, show, tick }, height: 210 });
    }
  }

  // --- settings --------------------------------------------------------------------------------------------

  const MARKS = { best: "the best", baseline: "baseline", near: "within noise of the best", better: "better", worse: "worse" };

  function settings() {
    const parent = document.getElementById("settings-charts");
    for (const curve of page.settings) {
      const { points } = curve;
      const show = curve.share ? share : number;
      const ends = points.flatMap((p) => [p.y, ...(p.low === null ? [] : [p.low, p.high])]).map((v) => (curve.share ? Math.min(1, Math.max(0, v)) : v));
      const [low, high] = [Math.min(...ends), Math.max(...ends)];
      const room = 0.06 * (high - low || Math.abs(high) || 1);
      const x = points.map((p) => p.x);
      const at = (wanted) => points.map((p) => (wanted.includes(p.mark) ? p.y : null));
      const lines = [
        { values: at(["best", "baseline", "near", "better"]), color: "--accent", points: true, width: 0 },
        { values: at(["worse", ""]), color: "--muted", points: true, hollow: true, width: 0 },
      ];
      if (curve.joined) lines.unshift({ values: points.map((p) => p.y), color: "--muted", width: 1 });
      for (const [name, mark] of Object.entries(MARKS).map(([mark, text]) => [text, mark])) {
        const values = at([mark]);
        const band = [points.map((p) => p.low), points.map((p) => p.high)];
        if (values.some((v) => v !== null)) lines.push({ values, color: mark === "worse" ? "--muted" : "--accent", width: 0, interval: band, name });
      }
      const best = points.filter((p) => p.mark === "best").map((p) => [p.x, p.y, "--c1"]);
      const clamp = (v) => (v === null || !curve.share ? v : Math.min(1, Math.max(0, v)));
      chart(parent, { title: curve.measure, xLabel: curve.key, x, xLog: curve.log, lines, stars: best,
        bars: points.map((p) => [p.x, clamp(p.low), clamp(p.high), ["worse", ""].includes(p.mark) ? "--muted" : "--accent"]),
        y: { low: low - room, high: high + room, log: false, show, tick: curve.share ? percent : undefined }, showX: number });
    }
  }

  // --- tables ----------------------------------------------------------------------------------------------

  /** A cell of CSV; text that a spreadsheet would evaluate as a formula gets a leading apostrophe. */
  const cell = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

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
      copy(rows.map((row) => [...row.cells].map((c) => cell(c.textContent)).join(",")).join("\n") + "\n", button);
    }
  });

  swatches(document);
  for (const place of document.querySelectorAll("[data-name]")) place.textContent = page.groups[place.dataset.name].name;
  settings();
  if (groups.length) {
    toggles(document.getElementById("groups"), groups, shown, FEW, drawCurves);
    drawCurves();
    document.getElementById("numbers").addEventListener("toggle", drawNumbers);
    layers();
  }
})();
