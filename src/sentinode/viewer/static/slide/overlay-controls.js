// Sliders and switches of the overlay; each acts at once, in the browser.

import { h, memory } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { COLOR_MAPS, drawLegend } from "./colormaps.js";

export function overlayControls(page) {
  const { overlay, result } = page;
  const legend = h("canvas", { class: "legend", role: "img", "aria-label": "Colors from probability 0 on the left to 1 on the right; nothing is drawn below the threshold" });
  const threshold = slider("Threshold", { min: 0, max: 1, step: 0.005, value: overlay.style.threshold }, (value) => format.probability(value, value > 0.98 ? 3 : 2), (value) => set({ threshold: value }));
  const opacity = slider("Opacity", { min: 0, max: 1, step: 0.05, value: overlay.style.opacity }, (value) => `${Math.round(value * 100)} %`, (value) => set({ opacity: value }));
  const colors = h("select", { "aria-label": "Colors", onchange: () => set({ colors: colors.value }) }, Object.entries(COLOR_MAPS).map(([value, name]) => h("option", { value, selected: value === overlay.style.colors }, name)));
  const reset = h("button", { class: "plain reset", title: "The threshold of the model", onclick: () => threshold.set(result.threshold) }, "Reset");

  function set(changes) {
    Object.assign(overlay.style, changes);
    memory.set("overlay", { opacity: overlay.style.opacity, colors: overlay.style.colors });
    drawLegend(legend, overlay.style.colors, overlay.style.threshold);
    reset.hidden = Math.abs(overlay.style.threshold - result.threshold) < 0.003;
    overlay.update();
  }

  const switches = [["heatmap", "Heat map", "H"], ["contours", "Contours", "C"], ["tissue", "Tissue", "T"]].map(([name, label, key]) => {
    const box = h("input", { type: "checkbox", checked: overlay.shown[name], onchange: () => page.toggle(name) });
    return [name, box, h("label", { class: "switch", title: `${label} (${key})` }, box, label)];
  });
  page.controls = { sync: () => switches.forEach(([name, box]) => (box.checked = overlay.shown[name])) };
  set({});
  return h(
    "section",
    { class: "overlay-controls block", "aria-label": "Overlay" },
    h("div", { class: "switches" }, switches.map(([, , label]) => label)),
    h("div", { class: "colors" }, legend, colors),
    h("div", { class: "row" }, threshold.element, reset),
    opacity.element,
  );
}

/** A labeled slider with its value. */
export function slider(name, attributes, spell, act) {
  const output = h("output", {}, spell(attributes.value));
  const { value, ...others } = attributes;
  const input = h("input", { type: "range", ...others });
  input.value = value;
  const show = () => {
    output.textContent = spell(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  show();
  input.addEventListener("input", () => {
    show();
    act(Number(input.value));
  });
  const element = h("label", { class: "slider" }, h("span", {}, name), input, output);
  return {
    element,
    set(to) {
      input.value = to;
      show();
      act(to);
    },
  };
}
