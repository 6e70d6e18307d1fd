"use strict";
/* What every page needs: elements, numbers, ticks, the palette, the clipboard, files to save. */
const Base = (() => {
  /**
   * An HTML element. Attributes that are properties of it, such as `textContent`, are set as such.
   * @param {string} name
   * @param {Record<string, any>} attributes
   * @param {...(Node | string)} children
   * @returns {any}
   */
  function html(name, attributes = {}, ...children) {
    const made = /** @type {any} */ (document.createElement(name));
    for (const [key, own] of Object.entries(attributes)) {
      if (key in made) made[key] = own;
      else made.setAttribute(key, own);
    }
    made.append(...children);
    return made;
  }

  /**
   * An element of SVG.
   * @param {string} name
   * @param {Record<string, any>} attributes
   * @param {...(Node | string)} children
   * @returns {SVGElement}
   */
  function svg(name, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, own] of Object.entries(attributes)) made.setAttribute(key, own);
    made.append(...children);
    return made;
  }

  // --- numbers ---------------------------------------------------------------------------------------------

  /**
   * A number as text with so many digits; nothing for null.
   * @param {number | null | undefined} value
   * @returns {string}
   */
  function number(value, digits = 6) {
    if (value === null || value === undefined) return "";
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "\u2013" : value > 0 ? "\u221e" : "\u2212\u221e";
    const size = Math.abs(value),
      plain = size === 0 || (size >= 1e-4 && size < 10 ** digits);
    const shown = plain
      ? String(Number(value.toPrecision(digits)))
      : value.toExponential(Math.min(3, digits - 1)).replace(/\.?0*e\+?/, "e");
    return shown.replaceAll("-", "\u2212");
  }

  /** A fraction in percent; nothing for null. @param {number | null | undefined} value */
  const percent = (value, digits = 1) =>
    value === null || value === undefined ? "" : `${(100 * value).toFixed(digits)}%`;

  // --- ticks -----------------------------------------------------------------------------------------------

  const SUPERSCRIPT = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";
  /** A power of ten: 10\u207b\u00b3. @param {number} exponent */
  const power = (exponent) =>
    `10${exponent < 0 ? "\u207b" : ""}${[...String(Math.abs(exponent))].map((digit) => SUPERSCRIPT[Number(digit)]).join("")}`;

  /**
   * Round numbers from low to high, at most so many, or two.
   * @param {number} low @param {number} high @param {number} most @returns {number[]}
   */
  function ticks(low, high, most) {
    const base = 10 ** Math.floor(Math.log10((high - low) / most)),
      fits = (/** @type {number} */ step) => Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) < most;
    const step = base * ([1, 2, 5, 10].find((factor) => fits(base * factor)) ?? 20);
    const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)),
      found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++)
      found.push(Number((i * step).toFixed(Math.min(100, places))));
    return found.length < 2 && most < 8 ? ticks(low, high, most + 1) : found; // one number alone is no scale
  }

  /** Whole powers of ten from low to high, at most so many. @param {number} low @param {number} high @param {number} most */
  function decades(low, high, most) {
    const step =
        [1, 2, 3, 4, 5, 10, 20, 50, 100].find((one) => Math.floor(high / one) - Math.ceil(low / one) < most) ?? 200,
      found = [];
    for (let exponent = Math.ceil(low / step) * step; exponent <= high; exponent += step) found.push(exponent);
    return found;
  }

  /**
   * The values of a logarithmic axis from low to high that are written: powers of ten, of a short axis also 2 and 5, of a
   * long one every second, ...; only whole numbers where others cannot be.
   * @param {number} low @param {number} high @param {boolean} whole
   */
  function logTicks(low, high, whole = false) {
    const span = Math.log10(high / low),
      digits = span < 1.2 ? [1, 2, 3, 5, 7] : span < 2.5 ? [1, 2, 5] : [1];
    const every = Math.ceil(span / 7),
      found = [];
    for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent++) {
      if (exponent % every) continue;
      for (const digit of digits) {
        const value = Number(`${digit}e${exponent}`);
        if (value >= low && value <= high && (!whole || Number.isInteger(value))) found.push(value);
      }
    }
    return found;
  }

  // --- colors ---------------------------------------------------------------------------------------------

  const DASHES = [[], [9, 3], [2, 3], [9, 3, 2, 3]];
  const LOOKS = 6 * DASHES.length; // that a reader can tell apart

  /** The value of a property of the style sheet. @param {string} name */
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** Color and dashes of the n-th group; of those beyond LOOKS the same gray. @param {number} n */
  const look = (n) =>
    n < LOOKS ? { color: `--c${n % 6}`, dash: DASHES[Math.floor(n / 6)] } : { color: "--muted", dash: [] };

  // --- out of the page -------------------------------------------------------------------------------------

  /** Put a text on the clipboard, and say so on the button. @param {string} text @param {HTMLElement} button */
  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // without permission, or from a file in some browsers
      const area = html("textarea", { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const usual = button.dataset.usual ?? button.textContent ?? "";
    button.dataset.usual = usual;
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = usual;
    }, 1500);
  }

  /** Offer a file. @param {string} name @param {Blob} blob */
  function save(name, blob) {
    const link = html("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /** A name for a file from a title. @param {string} title */
  const fileName = (title) =>
    title
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "") || "chart";

  /** A cell of CSV; text that a spreadsheet would evaluate as a formula gets a leading apostrophe. @param {string} text */
  const csvCell = (text) => {
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  /** Rows as CSV. @param {any[][]} rows */
  const csv = (rows) => rows.map((row) => row.map((own) => csvCell(String(own ?? ""))).join(",")).join("\n") + "\n";

  return { LOOKS, copy, csv, css, decades, fileName, html, logTicks, look, number, percent, power, save, svg, ticks };
})();
