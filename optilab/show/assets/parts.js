"use strict";
/* What the pages of comparisons have in common: buttons that switch groups on and off, and buttons that copy. */
const Parts = (() => {
  const { element, swatches } = Charts;

  /**
   * Buttons in `parent` that add groups ({index, name}, and `look` where their colour has another number) to the set `shown` of indices or remove them, and then redraw.
   * Of more than `few` groups, one button chooses the first few.
   */
  function toggles(parent, groups, shown, few, redraw) {
    if (groups.length < 2) return;
    const buttons = groups.map((group) => {
      const swatch = element("span", { className: "swatch" });
      swatch.dataset.group = group.look ?? group.index;
      const button = element("button", { type: "button" }, swatch, group.name);
      button.addEventListener("click", () => {
        if (!shown.delete(group.index)) shown.add(group.index);
        update();
      });
      return button;
    });
    const choices = [["all", groups], [`best ${few}`, groups.slice(0, few)], ["none", []]]
      .filter(([name]) => groups.length > few || name !== `best ${few}`)
      .map(([name, chosen]) => {
        const button = element("button", { type: "button", className: "all", textContent: name });
        button.addEventListener("click", () => {
          shown.clear();
          for (const group of chosen) shown.add(group.index);
          update();
        });
        return button;
      });
    const press = () => groups.forEach((group, at) => buttons[at].setAttribute("aria-pressed", shown.has(group.index)));
    const update = () => {
      press();
      redraw();
    };
    parent.append(...choices, ...buttons);
    parent.classList.toggle("many", groups.length > 30);
    swatches(parent);
    press();
  }

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button.nextElementSibling.textContent, button);
  });

  return { copy, toggles };
})();
