"use strict";
/* Races on functions: performance profile and tuning curves, with buttons for the optimizers. */
(() => {
  const { look, number, percent } = Base;
  const { axisPercent, chart, clear } = Charts;
  const page = JSON.parse(document.getElementById("data").textContent);
  const rules = page.rules.map((name, index) => ({ name, index }));
  const shown = new Set(rules.map((rule) => rule.index));

  function draw() {
    const parent = document.getElementById("race-charts");
    clear(parent);
    for (const { title, x_label: xLabel, x, values, step, share: shares, low, high, log } of page.charts) {
      const lines = rules
        .filter(({ index }) => shown.has(index) && values[index].length)
        .map(({ name, index }) => ({ values: values[index], ...look(index), name, step, group: name, end: name }));
      const y = {
        low,
        high,
        log,
        show: shares ? percent : (value) => number(value, 3),
        tick: shares ? axisPercent : undefined,
      };
      chart(parent, {
        title,
        xLabel,
        x,
        xLog: true,
        lines,
        y,
        showX: (value) => number(Number(value.toPrecision(3))),
      });
    }
  }

  Charts.swatches(document);
  Parts.toggles(document.getElementById("rules"), rules, shown, rules.length, draw);
})();
