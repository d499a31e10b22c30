// What the scan says about the slide as a whole.

import { h } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { icon } from "../lib/icons.js";

export function summary(page) {
  const { result, slide } = page;
  const fact = (name, value, title = null) => h("div", { title }, h("dt", {}, name), h("dd", {}, value));
  const notes = [...new Set([...result.warnings, ...slide.notes])];
  return h(
    "section",
    { class: "summary block", "aria-label": "Summary" },
    h(
      "dl",
      {},
      fact("Slide score", format.probability(result.slide_score), "Mean of the highest probabilities over 0.03 mm²"),
      fact("Largest", format.millimeters(result.largest_lesion_mm), "Longest diameter of the largest lesion"),
      fact("Tissue", format.area(result.tissue_mm2)),
    ),
    slide.results.length > 1
      ? h("label", { class: "model" }, "Model ", h("select", { onchange: (event) => page.showResult(slide.results.find((each) => each.id === event.target.value)) }, slide.results.map((each) => h("option", { value: each.id, selected: each === result }, each.model))))
      : h("p", { class: "soft model" }, `Model ${result.model}`),
    notes.length ? h("details", { class: "notes", open: result.warnings.length > 0 }, h("summary", {}, icon("warn"), format.count(notes.length, "note")), h("ul", {}, notes.map((note) => h("li", {}, note)))) : null,
  );
}
