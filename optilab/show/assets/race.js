"use strict";
/* Races: performance profiles and tuning curves, with the same colours and buttons for all problems. */
(() => {
  const { chart, clear, look, number, percent, share } = Charts;
  const page = JSON.parse(document.getElementById("data").textContent);
  const rules = page.rules.map((name, index) => ({ name, index }));
  const shown = new Set(rules.map((rule) => rule.index));

  function draw() {
    page.races.forEach((race, at) => {
      const parent = document.querySelector(`[data-race="${at}"]`);
      clear(parent);
      for (const { title, x_label: xLabel, x, values, step, share: shares, low, high, log } of race.charts) {
        const lines = rules.filter(({ index }) => shown.has(index) && values[index].length)
          .map(({ name, index }) => ({ values: values[index], ...look(index), name, step }));
        const y = { low, high, log, show: shares ? share : number, tick: shares ? percent : undefined };
        chart(parent, { title, xLabel, x, xLog: true, lines, y, showX: (value) => number(Number(value.toPrecision(3))) });
      }
    });
  }

  Charts.swatches(document);
  Parts.toggles(document.getElementById("rules"), rules, shown, rules.length, draw);
  draw();
})();
