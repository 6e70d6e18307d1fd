"use strict";
/* What a page can do beyond being read: tables sorted and filtered, texts copied. Without it everything is there. */

/** @param {string} selector @param {ParentNode} root @returns {any[]} */
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with properties. @param {string} name @param {object} properties @param {...(Node | string)} children */
function html(name, properties = {}, ...children) {
  const made = /** @type {any} */ (Object.assign(document.createElement(name), properties));
  made.append(...children);
  return made;
}

const order = new Intl.Collator("en", { numeric: true }).compare;
const parsed = (/** @type {string} */ text) => Number(text.replace("\u2212", "-").replace(/[%,<]/g, ""));
for (const table of all("table.sortable")) {
  const body = table.tBodies[0],
    rows = [...body.rows];
  all("thead th:not(.fixed)", table).forEach((head) => {
    const text = (/** @type {any} */ row) => row.cells[head.cellIndex].textContent.trim();
    const button = html("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const way = head.ariaSort === "ascending" ? -1 : 1,
        numbers = rows.every((row) => !Number.isNaN(parsed(text(row))));
      for (const other of head.parentElement.cells) other.ariaSort = null;
      head.ariaSort = way > 0 ? "ascending" : "descending";
      const sign = (/** @type {any} */ a, /** @type {any} */ b) =>
        numbers ? parsed(text(a)) - parsed(text(b)) : order(text(a), text(b));
      rows.sort((a, b) => Number(!text(a)) - Number(!text(b)) || way * sign(a, b)); // missing values come last
      body.append(...rows);
    });
  });
  const field = html("input", {
    type: "search",
    placeholder: "filter rows",
    ariaLabel: "filter the rows of this table",
  });
  field.addEventListener("input", () => {
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(field.value.toLowerCase());
  });
  table.parentElement.before(field);
}

/** @param {HTMLElement} button @param {string} text */
async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "No clipboard"; // of a page from a server without https
  }
}
for (const button of all("button.copy"))
  button.addEventListener("click", () => copy(button, button.nextElementSibling.textContent));
