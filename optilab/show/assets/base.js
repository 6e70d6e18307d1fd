"use strict";
/* What the playground's scripts share: elements, numbers, ticks, the clipboard. */
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

  return { copy, decades, html, number, power, svg, ticks };
})();
