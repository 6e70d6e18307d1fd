"use strict";
/* Charts on uPlot: the page's colors, a tooltip for mouse and keyboard, names at the ends of lines, the line under the
   pointer before the others, the width of the page, paper, files. */
const Charts = (() => {
  const { css, csv, fileName, html, logTicks, look, number, save } = Base;
  const all = new Set();

  /** A swatch as the line that it stands for, with its dashes. */
  function paint(swatch, color, dash = [], width = 3) {
    let at = 0;
    const parts = dash.map((length, i) => `${i % 2 ? "transparent" : `var(${color})`} ${at}px ${(at += length)}px`);
    swatch.style.background = parts.length ? `repeating-linear-gradient(90deg, ${parts})` : `var(${color})`;
    swatch.style.height = `${width}px`;
    return swatch;
  }

  /** Give every swatch in an element the look of its group. */
  const swatches = (root) => {
    for (const swatch of root.querySelectorAll(".swatch[data-group]")) {
      const { color, dash } = look(Number(swatch.dataset.group));
      paint(swatch, color, dash);
    }
  };

  const short = (value) => number(value, 3);
  const axisPercent = (value) => `${Number((100 * value).toPrecision(4))}%`;
  const faded = (color, part) => `color-mix(in srgb, ${css(color)} ${part}%, transparent)`;
  const FONT = "12px system-ui, sans-serif";
  const LINE = 14; // pixels between two names at the ends of lines
  const MARK = 12; // pixels of the mark of such a name
  const ROOM = MARK + 13; // pixels of it that are no text: its mark and the space around it
  const NAMED = 12; // lines whose names stand at their ends, at most
  const NEAR = 30; // pixels to the line that is lifted
  const NARROW = 420; // pixels of a chart below which its margins are smaller

  /**
   * A chart in `parent`. `x` are numbers in ascending order; `lines` have `values`, a `color` (name of a property of
   * the style sheet), and if wanted `name` (of a row of the tooltip), `tip` (another name there, without
   * `name` of a row that it has only while it is lifted), `end` (the name at its end), `dash`, `width`, `faint`, `points`, `step`, `band` ([low, high] values, drawn; `interval`: only read). `y` has `low`, `high`, `log`,
   * `show` (a value as text); `names` are those of x = 1, 2, ...; `places` the ticks of x; `stars` are [x, y, color]; `bars` are
   * [x, low, high, color]. `caption` follows x in the heading of the tooltip; `other` is a button [text, pressed, action].
   */
  function chart(
    parent,
    {
      title,
      xLabel,
      x,
      xLog,
      names,
      places,
      lines,
      y,
      stars = [],
      bars = [],
      height = 260,
      rule,
      showX,
      caption = "",
      other,
    },
  ) {
    const box = html("div", {
      className: "chart",
      tabIndex: 0,
      role: "group",
      "aria-label": `${title} over ${xLabel}; arrow keys read the values`,
    });
    const tip = html("div", { className: "tip", hidden: true, role: "status" });
    const tools = html("span", { className: "tools screen" });
    box.append(html("div", { className: "heading" }, html("h3", { textContent: title }), tools), tip);
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
        dash: through(line, lines.slice(0, lines.indexOf(line))),
        spanGaps: Boolean(line.joined),
        ...(line.step ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
        points: {
          show: Boolean(line.points) || x.length === 1,
          size: 8,
          width: 2,
          stroke: () => css(color),
          fill: () => css(line.hollow ? "--ground" : color),
        },
      });
    }
    const scale = (low, high, zoom = (...ends) => ends) => ({
      range: (u, min, max) => (u.zoomed ? zoom(min, max) : [low, high]),
    });
    /** A part of x that was chosen, with the values on both sides: what is read in it is shown. */
    const around = (min, max) => [x.findLast((value) => value <= min) ?? min, x.find((value) => value >= max) ?? max];
    const xs = names ? [0.5, names.length + 0.5] : xLog ? [x[0] / 1.5, x[x.length - 1] * 1.5] : spread(x);
    const whole = x.every(Number.isInteger);
    const axis = () => ({
      stroke: () => css("--muted"),
      font: FONT,
      labelFont: FONT,
      grid: { stroke: () => css("--grid"), width: 1 },
      ticks: { stroke: () => css("--line"), width: 1, size: 5 },
    });
    const logAxis = (whole) => ({
      splits: (u, at, low, high) => logTicks(low, high, whole),
      filter: (u, splits) => splits,
    });
    const named = (show) => (u, ticks) => ticks.map((value) => (value === null ? "" : show(value)));
    const ends = lines.filter((line) => line.end);
    const isNarrow = widthOf(box) < NARROW,
      most = isNarrow ? 0.46 * widthOf(box) : 170;
    const right =
      ends.length && ends.length <= NAMED
        ? Math.min(most, ROOM + Math.max(...ends.map((line) => textWidth(line.end))))
        : 0;
    const isRuled = rule && rule[0] > y.low && rule[0] < y.high;
    const side = Math.max(right, isRuled ? ROOM + textWidth(rule[1]) : 12);
    const across = names
      ? {
          splits: () => names.map((_, i) => i + 1),
          values: () => names.map((name) => fitted(name, (widthOf(box) - 70) / names.length)),
        }
      : {
          values: named(short),
          space: 45,
          ...(places ? { splits: () => places } : xLog ? logAxis(whole) : {}),
          ...(xLog ? { filter: (u, splits) => splits } : {}),
        };
    const heading = (at) => `${xLabel} ${names ? names[at - 1] : showX ? showX(at) : at}${caption}`,
      tell = (u) => shown(u, tip, rows, y.show, heading);
    const plot = new uPlot(
      {
        width: widthOf(box),
        height,
        legend: { show: false },
        padding: [8, side, 0, 0],
        scales: {
          x: { time: false, distr: xLog ? 3 : 1, ...scale(...xs, names ? undefined : around) },
          y: { distr: y.log ? 3 : 1, ...scale(y.low, y.high) },
        },
        axes: [
          {
            ...axis(),
            scale: "x",
            label: fitted(xLabel, widthOf(box) - Math.abs(side - 45) - 8), // in the middle of the plot
            labelSize: 20,
            size: 30,
            ...across,
            incrs: xLog || names || !whole ? undefined : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000],
          },
          {
            ...axis(),
            scale: "y",
            size: isNarrow ? (u, texts) => 18 + Math.max(20, ...(texts ?? []).map(textWidth)) : 58,
            values: named(y.tick ?? short),
            ...(y.log ? logAxis(false) : {}),
          },
        ],
        focus: { alpha: 0.18 },
        cursor: {
          y: false,
          points: { size: 7 },
          drag: { x: true, y: true, uni: 30, setScale: true },
          focus: { prox: lines.length > 2 && !names && !lines.every((line) => line.points) ? NEAR : -1 },
          bind: { mousedown: zooming, dblclick: resetting },
        },
        series,
        bands,
        hooks: {
          drawAxes: [(u) => ruled(u, rule, right)],
          draw: [
            (u) => {
              barred(u, bars);
              starred(u, stars);
              if (right) ended(u, rows, side, rule);
            },
          ],
          setCursor: [tell],
          setSeries: [(u, at) => ((u.lifted = at), tell(u))],
        },
      },
      data,
      box,
    );
    plot.over.setAttribute("aria-hidden", "true");
    box.addEventListener("keydown", (event) => {
      if (event.target !== box) return;
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
    if (other) {
      const [text, pressed, action] = other;
      tools.append(
        html("button", {
          type: "button",
          textContent: text,
          "aria-pressed": pressed,
          "aria-label": `${text}, ${title}`,
          onclick: action,
        }),
      );
    }
    tools.append(saving(title, plot, rows, [xLabel, names], { stars, bars, bands, rule }));
    const entry = { plot, box, rows, resize: () => plot.setSize({ width: widthOf(box), height }) };
    all.add(entry);
    observer.observe(box);
    return entry;
  }

  const measuring = document.createElement("canvas").getContext("2d");
  const textWidth = (text) => {
    measuring.font = FONT;
    return measuring.measureText(text).width;
  };
  /** A text that is no wider than so many pixels; of several settings the last one stays whole where it is short. */
  const fitted = (text, room) => {
    if (textWidth(text) <= room) return text;
    const last = text.slice(text.lastIndexOf(", ")),
      end = last.length > 1 && textWidth(last) < 0.6 * room ? last : "";
    let length = text.length - end.length;
    while (length > 1 && textWidth(`${text.slice(0, length)}\u2026${end}`) > room) length -= 1;
    return `${text.slice(0, length)}\u2026${end}`;
  };

  /** The dashes of a line: between those of one that lies exactly on others, these are seen. */
  function through(line, before) {
    const same = (other) =>
        other.color !== line.color && other.width === line.width && String(other.values) === String(line.values),
      below = line.width === 0 || line.faint ? 0 : before.filter(same).length;
    return below ? [6, 6 * (2 ** below - 1)] : line.dash;
  }

  const padded = (values, count) =>
    values.length < count ? [...values, ...Array(count - values.length).fill(null)] : values;
  const widthOf = (box) => Math.max(220, Math.floor(box.clientWidth));
  const spread = (x) => {
    const [low, high] = [x[0], x[x.length - 1]];
    if (low === high) return [low - 0.5, high + 0.5];
    const room = Math.max(0.02 * (high - low), Math.min(0.3, 0.1 * (high - low)));
    return [low < 0 ? low - room : Math.max(0, low - room), high + room];
  };
  /** The names at the ends of lines, one below the other where the ends are close. */
  function ended(u, rows, room, rule) {
    const ratio = devicePixelRatio,
      { ctx, bbox } = u;
    const places = rows
      .filter(([line]) => line.end)
      .map(([line, at]) => {
        const last = u.data[at].findLastIndex((value) => value !== null && value !== undefined);
        const y = u.valToPos(u.data[at][last], "y", true);
        return last < 0 ? null : { name: line.end, color: line.color, dash: line.dash ?? [], at, y };
      })
      .concat(rule ? { name: rule[1], color: "--muted", dash: [2, 4], at: 0, y: u.valToPos(rule[0], "y", true) } : [])
      .filter((place) => place && place.y >= bbox.top - 1 && place.y <= bbox.top + bbox.height + 1)
      .sort((a, b) => a.y - b.y);
    const names = spreadOut(
      places.map((place) => place.y),
      LINE * ratio,
      bbox.top,
      bbox.top + bbox.height,
    );
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    places.forEach(({ name, color, dash, at }, i) => {
      ctx.globalAlpha = u.lifted && u.lifted !== at && u.lifted !== null ? 0.3 : 1;
      ctx.fillStyle = css(at ? "--ink" : "--muted");
      const right = bbox.left + bbox.width + 4 * ratio;
      ctx.fillText(fitted(name, room - ROOM), right + (MARK + 3) * ratio, names[i]);
      ctx.strokeStyle = css(color);
      ctx.lineWidth = 3 * ratio;
      ctx.setLineDash(dash.map((length) => (length * ratio) / 2)); // of a short line
      ctx.beginPath();
      ctx.moveTo(right, names[i]);
      ctx.lineTo(right + MARK * ratio, names[i]);
      ctx.stroke();
    });
    ctx.restore();
  }

  /** Ascending places, moved apart by at least `gap` and into [low, high] as far as there is room. */
  function spreadOut(places, gap, low, high) {
    const found = [...places];
    for (let i = 0; i < found.length; i++) found[i] = Math.max(found[i], i ? found[i - 1] + gap : low);
    for (let i = found.length - 1; i >= 0; i--)
      found[i] = Math.min(found[i], i < found.length - 1 ? found[i + 1] - gap : high);
    return found;
  }

  // --- files -----------------------------------------------------------------------------------------------

  /** The control that saves a chart as a picture or copies its values. */
  function saving(title, plot, rows, [xLabel, names], marks) {
    const choice = html(
      "select",
      { "aria-label": `save ${title}` },
      ...["save", "PNG", "SVG", "CSV"].map((name) => html("option", { value: name, textContent: name })),
    );
    choice.addEventListener("change", () => {
      const kind = choice.value;
      choice.value = "save";
      if (kind === "SVG")
        save(
          `${fileName(title)}.svg`,
          new Blob([drawing(title, plot, rows, xLabel, marks)], { type: "image/svg+xml" }),
        );
      if (kind === "CSV")
        save(`${fileName(title)}.csv`, new Blob([values(plot, rows, xLabel, names)], { type: "text/csv" }));
      if (kind === "PNG") plot.ctx.canvas.toBlob((blob) => save(`${fileName(title)}.png`, blob));
    });
    return choice;
  }

  /** The values of the lines as CSV. */
  function values(plot, rows, xLabel, names) {
    const named = rows.filter(([line]) => line.name);
    return csv([
      [xLabel, ...named.map(([line]) => line.name)],
      ...plot.data[0].map((x, i) => [names ? names[x - 1] : x, ...named.map(([, at]) => plot.data[at][i] ?? "")]),
    ]);
  }

  /** The chart as SVG, in the colors of the page. */
  function drawing(title, u, rows, xLabel, { stars, bars, bands, rule }) {
    const { svg } = Base,
      ratio = devicePixelRatio,
      px = (value) => Math.round(10 * value) / 10;
    const box = {
      left: u.bbox.left / ratio,
      top: u.bbox.top / ratio + 24,
      width: u.bbox.width / ratio,
      height: u.bbox.height / ratio,
    };
    const at = (x, y) => [px(u.valToPos(x, "x") + box.left), px(u.valToPos(y, "y") + box.top)];
    const path = (i) => {
      let pen = "M";
      return u.data[0]
        .map((x, k) => {
          const y = u.data[i][k];
          if (y === null || y === undefined) return ((pen = "M"), "");
          const text = `${pen}${at(x, y).join(" ")}`;
          pen = "L";
          return text;
        })
        .join("");
    };
    const root = svg("svg", {
      xmlns: "http://www.w3.org/2000/svg",
      width: u.width,
      height: u.height + 24,
      viewBox: `0 0 ${u.width} ${u.height + 24}`,
      "font-family": "sans-serif",
      "font-size": 12,
    });
    const word = (x, y, anchor, text, fill = "--ink") =>
      root.append(svg("text", { x: px(x), y: px(y), "text-anchor": anchor, fill: css(fill) }, text));
    const stroke = (d, color, width = 1, dash = "") =>
      root.append(
        svg("path", {
          d,
          fill: "none",
          stroke: css(color),
          "stroke-width": width,
          ...(dash ? { "stroke-dasharray": dash } : {}),
        }),
      );
    root.append(svg("title", {}, title), svg("rect", { width: "100%", height: "100%", fill: css("--ground") }));
    word(box.left, 16, "start", title);
    const [xAxis, yAxis] = u.axes;
    xAxis._splits.forEach(
      (value, i) =>
        value !== null &&
        xAxis._values[i] !== "" &&
        word(at(value, u.scales.y.min)[0], box.top + box.height + 16, "middle", xAxis._values[i], "--muted"),
    );
    yAxis._splits.forEach((value, i) => {
      if (value === null || value < u.scales.y.min || value > u.scales.y.max) return;
      const [, y] = at(u.data[0][0], value);
      stroke(`M${box.left} ${y}h${box.width}`, "--grid");
      if (yAxis._values[i] !== "") word(box.left - 6, y + 4, "end", yAxis._values[i], "--muted");
    });
    word(box.left + box.width / 2, box.top + box.height + 36, "middle", xLabel, "--muted");
    const inside = svg(
      "clipPath",
      { id: "inside" },
      svg("rect", { x: box.left, y: box.top, width: box.width, height: box.height }),
    );
    root.append(inside);
    for (const {
      series: [high, low],
      fill,
    } of bands) {
      const back = u.data[0]
        .map((x, k) => [x, u.data[low][k]])
        .filter(([, y]) => y !== null && y !== undefined)
        .reverse()
        .map(([x, y]) => `L${at(x, y).join(" ")}`)
        .join("");
      root.append(
        svg("path", {
          d: `${path(high).replaceAll(/(?!^)M/g, "L")}${back}Z`,
          fill: fill(),
          "clip-path": "url(#inside)",
        }),
      );
    }
    for (const [line, i] of rows) {
      const color = line.faint ? faded(line.color, 35) : css(line.color);
      if (line.width !== 0)
        root.append(
          svg("path", {
            d: path(i),
            fill: "none",
            stroke: color,
            "stroke-width": line.width ?? 2,
            "stroke-dasharray": (u.series[i].dash ?? []).join(" "),
            "clip-path": "url(#inside)",
          }),
        );
      if (line.points)
        u.data[0].forEach((x, k) => {
          if (u.data[i][k] !== null && u.data[i][k] !== undefined) {
            const [cx, cy] = at(x, u.data[i][k]);
            root.append(
              svg("circle", {
                cx,
                cy,
                r: 4,
                fill: css(line.hollow ? "--ground" : line.color),
                stroke: css(line.color),
                "stroke-width": 2,
              }),
            );
          }
        });
    }
    for (const [x, low, high, color] of bars)
      if (low !== null) stroke(`M${at(x, low).join(" ")}L${at(x, high).join(" ")}`, color, 1.6);
    for (const [x, y] of stars) word(at(x, y)[0], at(x, y)[1] + 5, "middle", "\u2605");
    if (rule) stroke(`M${box.left} ${at(u.data[0][0], rule[0])[1]}h${box.width}`, "--muted", 1, "2 4");
    const last = rows
      .filter(([line]) => line.end)
      .map(([line, i]) => [line, u.data[i].findLast((y) => y !== null && y !== undefined)])
      .filter(([, y]) => y !== undefined)
      .map(([line, y]) => [line, at(u.data[0][0], y)[1]])
      .concat(rule ? [[{ end: rule[1], color: "--muted" }, at(u.data[0][0], rule[0])[1]]] : [])
      .filter(([, y]) => y >= box.top - 1 && y <= box.top + box.height + 1)
      .sort((a, b) => a[1] - b[1]);
    spreadOut(
      last.map(([, y]) => y),
      LINE,
      box.top,
      box.top + box.height,
    ).forEach((y, i) => {
      const { end, color, dash = [] } = last[i][0];
      word(box.left + box.width + MARK + 7, y + 4, "start", end);
      stroke(`M${box.left + box.width + 4} ${y}h${MARK}`, color, 3, dash.map((length) => length / 2).join(" "));
    });
    return new XMLSerializer().serializeToString(root);
  }

  /** Bring the lines of a group before the others in every chart; without a name, all are equal. */
  function lift(name) {
    for (const { plot, rows } of all) {
      const [, at] = rows.find(([line]) => name && line.group === name && line.width !== 1 && !line.faint) ?? [];
      if (name === null || at !== undefined) plot.setSeries(at ?? null, { focus: true });
    }
  }

  const zooming = (u, target, handler) => (event) => {
    u.zoomed = true;
    return handler(event);
  };
  const resetting = (u) => () => {
    u.zoomed = false;
    u.setData(u.data);
  };

  function away(plot, tip) {
    plot.setCursor({ left: -10, top: -10 });
    if (plot.lifted) plot.setSeries(null, { focus: true });
    tip.hidden = true;
  }

  function shown(u, tip, rows, show, heading) {
    const index = u.cursor.idx;
    if (index === null || index === undefined || u.cursor.left < 0) {
      tip.hidden = true;
      return;
    }
    const lifted = rows.find(([, at]) => at === u.lifted)?.[0];
    const found = rows
      .filter(([line]) => line.name || (line === lifted && line.tip))
      .filter(([, at]) => u.data[at][index] !== null && u.data[at][index] !== undefined)
      .map(([line, at]) => [line, u.data[at][index], (line.band ?? line.interval)?.map((side) => side[index])]);
    if (!found.length) {
      tip.hidden = true;
      return;
    }
    const body = html("tbody");
    found.sort((a, b) => (b[0] === lifted) - (a[0] === lifted));
    for (const [line, value, band] of found.slice(0, 12)) {
      const isThin = line.faint || (line.width ?? 2) < 2;
      const swatch = paint(html("span", { className: "swatch" }), line.color, line.dash, isThin ? 1 : 3);
      const interval =
        band && band[0] !== null && band[0] !== undefined ? ` (${show(band[0])} to ${show(band[1])})` : "";
      body.append(
        html(
          "tr",
          line === lifted ? { className: "lifted" } : {},
          html("td", {}, swatch, line.tip ?? line.name),
          html("td", { className: "number", textContent: show(value) + interval }),
        ),
      );
    }
    if (found.length > 12) body.append(html("tr", {}, html("td", { textContent: `and ${found.length - 12} more` })));
    const at = u.data[0][index];
    tip.replaceChildren(html("div", { className: "muted", textContent: heading(at) }), html("table", {}, body));
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
      for (const [x0, y0, x1, y1] of [
        [at, from, at, to],
        [at - 4, from, at + 4, from],
        [at - 4, to, at + 4, to],
      ]) {
        ctx.moveTo(x0, y0);
        ctx.lineTo(x1, y1);
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  function ruled(u, rule, named) {
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
    if (!named) {
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.fillText(rule[1], bbox.left + bbox.width + 4 * devicePixelRatio, at);
    }
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
    if (document.documentElement.classList.contains("paper")) return; // which has a width of its own
    for (const entry of all) {
      if (changes.some((change) => change.target === entry.box) && entry.plot.width !== widthOf(entry.box))
        entry.resize();
    }
  });
  const redraw = () => {
    for (const { plot } of all) plot.redraw();
  };
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

  return { axisPercent, chart, clear, lift, paint, swatches };
})();
