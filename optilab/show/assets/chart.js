"use strict";
/* Charts on uPlot: the page's colours, a tooltip for mouse and keyboard, the width of the page, paper. */
const Charts = (() => {
  const DASHES = [[], [9, 3], [2, 3], [9, 3, 2, 3]];
  const all = new Set();

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** Colour and dashes of the n-th group. */
  const look = (n) => ({ color: `--c${n % 6}`, dash: DASHES[Math.floor(n / 6) % DASHES.length] });

  const border = (dash) => (dash?.length ? (dash[0] > 4 ? "dashed" : "dotted") : "solid");

  /** Give every swatch in an element the look of its group. */
  const swatches = (root) => {
    for (const swatch of root.querySelectorAll(".swatch[data-group]")) {
      const { color, dash } = look(Number(swatch.dataset.group));
      swatch.style.borderTopColor = `var(${color})`;
      swatch.style.borderTopStyle = border(dash);
    }
  };

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const number = (value) => {
    if (value === null || value === undefined) return "";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(6)));
  };
  const share = (value) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(2)}%`);
  const percent = (value) => `${Number((100 * value).toPrecision(4))}%`;
  const short = (value) => (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)
    ? value.toExponential(0) : String(Number(value.toPrecision(3))));

  const faded = (color, part) => `color-mix(in srgb, ${css(color)} ${part}%, transparent)`;

  /**
   * A chart in `parent`. `x` are numbers in ascending order; `lines` have `values`, a `color` (name of a property of
   * the style sheet), and if wanted `name` (of a row of the tooltip), `dash`, `width`, `faint`, `points`, `step`, `band`
   * ([low, high] values, drawn; `interval`: only read). `y` has `low`, `high`, `log`, `show` (a value as text); `stars` are [x, y, color]; `bars`
   * are [x, low, high, color]. `caption` follows x in the heading of the tooltip.
   */
  function chart(parent, { title, xLabel, x, xLog, lines, y, stars = [], bars = [], height = 260, rule, showX, caption = "" }) {
    const box = element("div", { className: "chart", tabIndex: 0 });
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `${title} over ${xLabel}; arrow keys read the values`);
    const tip = element("div", { className: "tip", hidden: true });
    tip.setAttribute("role", "status");
    box.append(element("h3", { textContent: title }), tip);
    parent.append(box);

    const data = [x];
    const series = [{}];
    const bands = [];
    const rows = []; // of the tooltip: [line, index of its series]
    for (const line of lines) {
      const { color } = line;
      if (line.band) {
        const at = series.length;
        for (const side of line.band) {
          data.push(padded(side, x.length));
          series.push({ stroke: "transparent", width: 0, points: { show: false } });
        }
        bands.push({ series: [at + 1, at], fill: () => faded(color, 15) });
      }
      rows.push([line, series.length]);
      data.push(padded(line.values, x.length));
      series.push({
        stroke: line.points && !line.width ? "transparent" : () => (line.faint ? faded(color, 35) : css(color)),
        width: line.width ?? (line.faint ? 1 : 2.2),
        dash: line.dash,
        spanGaps: false,
        ...(line.step ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
        points: { show: Boolean(line.points) || x.length === 1, size: 8, width: 2, stroke: () => css(color),
          fill: () => css(line.hollow ? "--ground" : color) },
      });
    }
    const scale = (low, high) => ({ range: (u, min, max) => (u.zoomed ? [min, max] : [low, high]) });
    const xs = xLog ? [x[0] / 1.5, x[x.length - 1] * 1.5] : spread(x);
    const font = "12px system-ui, sans-serif";
    const axis = (log) => {
      const filter = log ? { filter: logTicks } : {};
      const splits = log ? { splits: (u, at, low, high) => logSplits(low, high) } : {};
      return { stroke: () => css("--muted"), font, labelFont: font, ...filter, ...splits,
        grid: { stroke: () => css("--grid"), width: 1, ...filter }, ticks: { stroke: () => css("--line"), width: 1, size: 5, ...filter } };
    };
    const named = (show) => (u, ticks) => ticks.map((value) => (value === null ? "" : show(value)));
    const plot = new uPlot({
      width: widthOf(box), height, legend: { show: false }, padding: [8, rule ? 56 : 12, 0, 0],
      scales: { x: { time: false, distr: xLog ? 3 : 1, ...scale(...xs) }, y: { distr: y.log ? 3 : 1, ...scale(y.low, y.high) } },
      axes: [
        { ...axis(xLog), scale: "x", label: xLabel, labelSize: 20, size: 30, space: 45, values: named(xLog ? power : short),
          incrs: xLog || showX ? undefined : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
        { ...axis(y.log), scale: "y", size: 58, values: named(y.tick ?? (y.log ? power : short)) },
      ],
      cursor: { y: false, points: { size: 7 }, drag: { x: true, y: true, uni: 30, setScale: true },
        bind: { mousedown: zooming, dblclick: resetting } },
      series, bands,
      hooks: {
        drawAxes: [(u) => ruled(u, rule)],
        draw: [(u) => { barred(u, bars); starred(u, stars); }],
        setCursor: [(u) => shown(u, tip, rows, y.show, (at) => `${xLabel} ${showX ? showX(at) : at}${caption}`)],
      },
    }, data, box);
    plot.over.setAttribute("aria-hidden", "true");
    box.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) {
        if (event.key === "Escape") away(plot, tip);
        return;
      }
      event.preventDefault();
      const from = plot.cursor.idx ?? (step > 0 ? -1 : x.length);
      const to = Math.min(Math.max(from + step, 0), x.length - 1);
      plot.setCursor({ left: plot.valToPos(x[to], "x"), top: plot.over.clientHeight / 2 });
    });
    box.addEventListener("blur", () => away(plot, tip));
    box.addEventListener("mouseleave", () => away(plot, tip));
    const entry = { plot, box, resize: () => plot.setSize({ width: widthOf(box), height }) };
    all.add(entry);
    observer.observe(box);
    return entry;
  }

  const padded = (values, count) => (values.length < count ? [...values, ...Array(count - values.length).fill(null)] : values);
  const widthOf = (box) => Math.max(220, Math.floor(box.clientWidth));
  const spread = (x) => {
    const [low, high] = [x[0], x[x.length - 1]];
    if (low === high) return [low - 0.5, high + 0.5];
    const room = Math.max(0.02 * (high - low), Math.min(0.3, 0.1 * (high - low)));
    return [low < 0 ? low - room : Math.max(0, low - room), high + room];
  };
  /** The places of a logarithmic axis that may have a tick: 1 to 9 times each power of ten; uPlot's own end at 1e-7. */
  const logSplits = (low, high) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (let digit = 1; digit <= 9; digit++) {
        const value = Number(`${digit}e${power}`);
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found;
  };
  /** The ticks of a logarithmic axis: powers of ten, of a short axis also 2 and 5, of a long one every second, ... */
  const logTicks = (u, ticks, at) => {
    const { min, max } = u.scales[u.axes[at].scale];
    const decades = Math.log10(max / min);
    const digits = decades < 1.2 ? [1, 2, 3, 5, 7] : decades < 2.5 ? [1, 2, 5] : [1];
    const every = Math.ceil(decades / 7);
    return ticks.map((value) => {
      if (value === null) return null;
      const power = Math.floor(Math.log10(value) + 1e-9);
      const named = digits.some((digit) => Math.abs(value / 10 ** power - digit) < 1e-6);
      return named && power % every === 0 ? value : null;
    });
  };
  const power = (value) => (value < 1e-3 || value >= 1e4 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(3))));

  const zooming = (u, target, handler) => (event) => { u.zoomed = true; return handler(event); };
  const resetting = (u) => () => { u.zoomed = false; u.setData(u.data); };

  function away(plot, tip) {
    plot.setCursor({ left: -10, top: -10 });
    tip.hidden = true;
  }

  function shown(u, tip, rows, show, heading) {
    const index = u.cursor.idx;
    if (index === null || index === undefined || u.cursor.left < 0) {
      tip.hidden = true;
      return;
    }
    const found = rows
      .filter(([line, at]) => line.name && u.data[at][index] !== null && u.data[at][index] !== undefined)
      .map(([line, at]) => [line, u.data[at][index], (line.band ?? line.interval)?.map((side) => side[index])]);
    if (!found.length) {
      tip.hidden = true;
      return;
    }
    const body = element("tbody");
    for (const [line, value, band] of found.slice(0, 12)) {
      const swatch = element("span", { className: "swatch" });
      swatch.style.borderTopColor = `var(${line.color})`;
      swatch.style.borderTopStyle = border(line.dash);
      swatch.style.borderTopWidth = (line.width ?? 2) < 2 ? "1px" : "3px";
      const interval = band && band[0] !== null && band[0] !== undefined ? ` (${show(band[0])} to ${show(band[1])})` : "";
      body.append(element("tr", {}, element("td", {}, swatch, line.name),
        element("td", { className: "number", textContent: show(value) + interval })));
    }
    if (found.length > 12) body.append(element("tr", {}, element("td", { textContent: `and ${found.length - 12} more` })));
    const at = u.data[0][index];
    tip.replaceChildren(element("div", { className: "muted", textContent: heading(at) }),
      element("table", {}, body));
    tip.hidden = false;
    const box = u.root.parentElement;
    const left = u.over.getBoundingClientRect().left - box.getBoundingClientRect().left + u.cursor.left;
    const room = box.clientWidth - tip.offsetWidth;
    const beside = left + 14 > room && left - tip.offsetWidth - 14 >= 0 ? left - tip.offsetWidth - 14 : left + 14;
    tip.style.left = `${Math.max(0, Math.min(beside, room))}px`;
    // Below the plot, where it hides no curve, unless the window ends there.
    const below = u.root.offsetTop + u.root.offsetHeight - 8;
    const fits = box.getBoundingClientRect().top + below + tip.offsetHeight <= innerHeight;
    tip.style.top = `${fits ? below : u.root.offsetTop + 12}px`;
  }

  function barred(u, bars) {
    const { ctx } = u;
    ctx.save();
    for (const [x, low, high, color] of bars) {
      if (low === null) continue;
      const [at, from, to] = [u.valToPos(x, "x", true), u.valToPos(low, "y", true), u.valToPos(high, "y", true)];
      ctx.strokeStyle = css(color);
      ctx.lineWidth = 1.6 * devicePixelRatio;
      ctx.beginPath();
      for (const [x0, y0, x1, y1] of [[at, from, at, to], [at - 4, from, at + 4, from], [at - 4, to, at + 4, to]]) {
        ctx.moveTo(x0, y0);
        ctx.lineTo(x1, y1);
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  function ruled(u, rule) {
    if (!rule) return;
    const at = u.valToPos(rule[0], "y", true);
    const { ctx, bbox } = u;
    if (at < bbox.top || at > bbox.top + bbox.height) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = css("--muted");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, at);
    ctx.lineTo(bbox.left + bbox.width, at);
    ctx.stroke();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(rule[1], bbox.left + bbox.width + 4 * devicePixelRatio, at);
    ctx.restore();
  }

  function starred(u, stars) {
    const { ctx } = u;
    ctx.save();
    for (const [x, y, color] of stars) {
      const [cx, cy] = [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
      if (cy < u.bbox.top - 1 || cy > u.bbox.top + u.bbox.height + 1) continue; // of a curve that leaves the chart
      ctx.beginPath();
      for (let corner = 0; corner < 10; corner += 1) {
        const radius = (corner % 2 ? 3 : 7) * devicePixelRatio;
        const angle = (Math.PI * corner) / 5 - Math.PI / 2;
        ctx.lineTo(cx + radius * Math.cos(angle), cy + radius * Math.sin(angle));
      }
      ctx.closePath();
      ctx.fillStyle = css(color);
      ctx.strokeStyle = css("--ink");
      ctx.lineWidth = devicePixelRatio;
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  /** Remove all charts of an element. */
  function clear(parent) {
    for (const entry of all) {
      if (parent.contains(entry.box)) {
        observer.unobserve(entry.box);
        entry.plot.destroy();
        all.delete(entry);
      }
    }
    parent.replaceChildren();
  }

  const observer = new ResizeObserver((changes) => {
    for (const entry of all) {
      if (changes.some((change) => change.target === entry.box) && entry.plot.width !== widthOf(entry.box)) entry.resize();
    }
  });
  const redraw = () => { for (const { plot } of all) plot.redraw(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    for (const { plot, box } of all) plot.setSize({ width: box.closest(".three") ? 222 : 340, height: plot.height }); // of A4
    redraw();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    for (const entry of all) entry.resize();
    redraw();
  });

  return { chart, clear, css, element, look, number, percent, share, swatches };
})();
