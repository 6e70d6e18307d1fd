"use strict";
/* What the pages of comparisons have in common: buttons that switch groups on and off, tables that sort, filter and fold,
   buttons that copy, and the state of all of them in the address. */
const Parts = (() => {
  const { copy, html } = Base;
  const { swatches } = Charts;

  // --- the address -----------------------------------------------------------------------------------------

  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  /** Keep a setting of the page in its address; an empty one is left out. */
  function keep(name, value) {
    if (value) state.set(name, value);
    else state.delete(name);
    try {
      history.replaceState(null, "", `#${state}`);
    } catch {} // inside another page, which may not allow it
  }

  // --- groups ----------------------------------------------------------------------------------------------

  /**
   * Buttons in `parent` that add groups ({index, name}, and `look` where their color has another number) to the set
   * `shown` of indices or remove them, and redraw, at first and then; pointer and focus lift the lines of a group. Of more than `few`
   * groups, one button chooses the first few.
   */
  function toggles(parent, groups, shown, few, redraw) {
    if (groups.length < 2) return void redraw();
    const known = new Set(groups.map((group) => group.index)),
      usual = [...shown].join();
    if (state.has("groups")) {
      shown.clear();
      for (const index of state.get("groups").split(".").map(Number)) if (known.has(index)) shown.add(index);
    }
    const isMany = groups.length > MANY; // of many, names are short
    const buttons = groups.map((group) => {
      const button = html(
        "button",
        { type: "button" },
        html("span", { className: "swatch" }),
        (isMany && group.brief) || group.name,
      );
      button.addEventListener("click", () => {
        if (!shown.delete(group.index)) shown.add(group.index);
        update();
      });
      for (const name of ["mouseenter", "focus"]) button.addEventListener(name, () => Charts.lift(group.name));
      for (const name of ["mouseleave", "blur"]) button.addEventListener(name, () => Charts.lift(null));
      return button;
    });
    const choices = [
      ["all", groups],
      [`best ${few}`, groups.slice(0, few)],
      ["none", []],
    ]
      .filter(([name]) => groups.length > few || name !== `best ${few}`)
      .map(([name, chosen]) => {
        const button = html("button", { type: "button", className: "all", textContent: name });
        button.addEventListener("click", () => {
          shown.clear();
          for (const group of chosen) shown.add(group.index);
          update();
        });
        return button;
      });
    const press = () => {
      groups.forEach((group, at) => {
        buttons[at].setAttribute("aria-pressed", shown.has(group.index));
        buttons[at].firstChild.dataset.group = group.look ?? group.index;
      });
      swatches(parent);
    };
    const update = () => {
      keep("groups", [...shown].join() === usual ? "" : [...shown].join(".") || "none");
      redraw();
      press();
    };
    parent.append(...choices, ...buttons);
    if (isMany) rove(parent, buttons);
    redraw();
    press();
  }

  const MANY = 30; // buttons from which they are one stop of the keyboard

  /** Make many buttons one stop of the keyboard, in which arrow keys lead from one to the next. */
  function rove(parent, buttons) {
    parent.classList.add("many");
    buttons.forEach((button, i) => (button.tabIndex = i ? -1 : 0));
    parent.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key],
        at = buttons.indexOf(event.target),
        next = at < 0 ? undefined : buttons[at + way];
      if (!next) return;
      event.preventDefault();
      [event.target.tabIndex, next.tabIndex] = [-1, 0];
      next.focus();
    });
  }

  // --- tables ----------------------------------------------------------------------------------------------

  const FILTERED = 8; // rows from which a table can be filtered
  /** A number as it is shown; one that is only known to be smaller, such as <0.001, comes before it. */
  const numeric = (text) =>
    Number.parseFloat(text.replace("\u2212", "-").replace(/^</, "").replaceAll(",", "")) * (text[0] === "<" ? 0.5 : 1);
  const NUMBER = /(\d+(?:\.\d+)?(?:e[+-]?\d+)?)/;

  /** Text in the order of its words and of the values of its numbers: lr 0.001 before lr 0.01. */
  function inOrder(a, b) {
    const [first, second] = [a, b].map((text) => text.split(NUMBER)); // every second part is a number
    const at = first.findIndex((part, i) => (i % 2 ? Number(part) !== Number(second[i]) : part !== second[i]));
    if (at < 0) return first.length - second.length;
    return at % 2 && second[at] !== undefined
      ? Number(first[at]) - Number(second[at])
      : first[at].localeCompare(second[at] ?? "");
  }

  /** Make the columns of a table sort, its rows filter, and fold those beyond `data-folded`. */
  function sortable(table, at) {
    const body = table.tBodies[0],
      most = Number(table.dataset.folded),
      key = at ? `table${at}` : "table";
    const parts = []; // a row, and the row of its config if it has one
    for (const row of body.rows) {
      if (row.classList.contains("config")) parts.at(-1).push(row);
      else parts.push([row]);
    }
    if (parts.length < 3) return;
    let all = false,
      [column, way] = (state.get(`${key}.sort`) ?? "").split(".").map(Number),
      filter = state.get(`${key}.filter`) ?? "";
    const heads = [...table.tHead.rows[0].cells];
    const more = html("button", {
      type: "button",
      className: "screen",
      onclick: () => {
        all = true;
        show();
      },
    });
    const field = html("input", {
      type: "search",
      placeholder: "filter rows",
      "aria-label": "filter the rows of this table",
      value: filter,
    });
    const none = html("p", { className: "results-none muted small", role: "status" });
    field.addEventListener("input", () => {
      for (const head of heads) head.style.minWidth = `${head.offsetWidth}px`; // columns stay where they are
      filter = field.value;
      keep(`${key}.filter`, filter);
      show();
    });

    function show() {
      const words = filter
        .toLowerCase()
        .split(",")
        .map((word) => word.trim())
        .filter(Boolean);
      const found = parts.filter(([row]) => words.every((word) => row.textContent.toLowerCase().includes(word)));
      if (way) {
        const text = ([row]) => row.cells[column].textContent.trim();
        const numbers = found.every((part) => text(part) === "" || !Number.isNaN(numeric(text(part))));
        const apart = (a, b) => (numbers ? numeric(text(a)) - numeric(text(b)) : inOrder(text(a), text(b)));
        // Rows without a value come last in both directions.
        found.sort((a, b) => (text(a) && text(b) ? way * apart(a, b) : !text(a) - !text(b)));
      }
      const count = all || filter ? found.length : Math.min(most, found.length);
      for (const part of parts) part[0].hidden = true;
      found.forEach((part, i) => {
        part[0].hidden = i >= count;
        body.append(...part);
      });
      for (const [row, config] of parts) if (config && row.hidden) config.hidden = true;
      none.textContent = found.length ? "" : `no rows with ${words.join(" and ")}`;
      more.hidden = count >= found.length;
      more.textContent = `show all ${found.length} rows`;
      heads.forEach((head, i) =>
        head.setAttribute("aria-sort", way && i === column ? (way > 0 ? "ascending" : "descending") : "none"),
      );
    }

    heads.forEach((head, i) => {
      if ("fixed" in head.dataset) return;
      const button = html("button", { type: "button", className: "sort" }, ...head.childNodes);
      button.addEventListener("click", () => {
        [column, way] = column === i && way ? [i, way > 0 ? -1 : 0] : [i, 1]; // up, down, as it was
        keep(`${key}.sort`, way ? `${column}.${way}` : "");
        show();
      });
      head.append(button);
    });
    const scroll = table.closest(".scroll");
    if (parts.length >= FILTERED) scroll.before(html("p", { className: "screen" }, field));
    scroll.after(none, more);
    if (!heads[column]) way = 0;
    show();
  }

  [...document.querySelectorAll("table.sortable")].forEach(sortable);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button.nextElementSibling.textContent, button);
  });

  return { keep, state, toggles };
})();
