// All slides as a table: what is known about each, and scans to start, watch and cancel.

import { api } from "./lib/api.js";
import { h, replace } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { icon } from "./lib/icons.js";
import { setKeys } from "./lib/keys.js";
import { STATES, scanButton, scanState, startScan, watchScans } from "./lib/scans.js";

const NUMBERS = [
  ["Score", (slide) => format.probability(slide.slide_score)],
  ["Lesions", (slide) => (slide.lesion_count === null ? "–" : String(slide.lesion_count))],
  ["Largest", (slide) => format.millimeters(slide.largest_lesion_mm)],
  ["Tissue", (slide) => format.area(slide.tissue_mm2)],
  ["pN", (slide) => slide.pn ?? "–"],
];

export async function worklistView(app) {
  app.setTitle("Sentinode");
  const rows = new Map();
  const summary = h("span", { class: "soft" });
  const body = h("tbody", {});
  const shown = new Map(app.slides.map((slide) => [slide.id, slide]));
  const scanAll = h("button", { onclick: () => startAll() }, icon("play"), "Scan remaining slides");

  const left = () => [...shown.values()].filter((slide) => slide.can_scan && ["not scanned", "failed"].includes(slide.state));
  const startAll = async () => {
    for (const slide of left()) await startScan(app, slide);
  };

  const row = (slide) => {
    const open = `#/slide/${slide.id}`;
    return h(
      "tr",
      {},
      h("td", {}, h("a", { href: open, tabindex: "-1", "aria-hidden": "true" }, h("img", { src: `api/slides/${slide.id}/thumbnail.jpg?size=192`, alt: "", loading: "lazy", width: 96, height: 72, onerror: (event) => event.target.classList.add("none") }))),
      h("td", { class: "name" }, h("a", { href: open }, slide.name), slide.warnings.length ? h("p", { class: "notes-line" }, slide.warnings[0]) : null),
      h("td", { class: "state-cell" }, scanState(slide)),
      NUMBERS.map(([name, text]) => h("td", { class: "number", "data-label": name }, text(slide))),
      h("td", { class: "act" }, scanButton(app, slide)),
    );
  };
  const show = (slide) => {
    shown.set(slide.id, slide);
    const made = row(slide);
    const old = rows.get(slide.id);
    // The row keeps the focus when it changes under the user's hands.
    const focused = old?.contains(document.activeElement) && document.activeElement.closest("td")?.cellIndex;
    if (old) old.replaceWith(made);
    else body.append(made);
    rows.set(slide.id, made);
    if (Number.isInteger(focused)) made.cells[focused].querySelector("button, a")?.focus();
  };
  const summarize = () => {
    const states = [...shown.values()].map((slide) => slide.state);
    const parts = Object.entries(STATES).map(([state, name]) => [states.filter((each) => each === state).length, name.toLowerCase()]).filter(([number]) => number);
    summary.textContent = parts.map(([number, name]) => `${number} ${name}`).join(" · ");
    scanAll.hidden = app.session.read_only || left().length < 2;
  };

  for (const slide of shown.values()) show(slide);
  summarize();
  const head = h("tr", {}, h("th", {}, h("span", { class: "unseen" }, "Thumbnail")), h("th", {}, "Slide"), h("th", {}, "State"), NUMBERS.map(([name]) => h("th", { class: "number" }, name)), h("th", {}, h("span", { class: "unseen" }, "Actions")));
  replace(
    app.main,
    shown.size
      ? h("div", { class: "page" }, h("header", {}, h("h2", {}, format.count(shown.size, "slide")), summary, h("span", { class: "grow" }), agreement(), scanAll), h("table", { class: "worklist" }, h("thead", {}, head), body))
      : h("section", { class: "empty" }, h("h2", {}, "No slides"), h("p", {}, "Start `sentinode view` with a slide, a folder of slides, or the output folder of a scan.")),
  );
  setKeys([]);
  const end = watchScans((slide) => {
    if (JSON.stringify(slide) === JSON.stringify(shown.get(slide.id))) return;
    show(slide);
    summarize();
  });
  return { destroy: end };
}

// How well two users agree, once both have decided.
function agreement() {
  const box = h("span", { class: "soft" });
  api("api/agreement")
    .then(({ users, n, kappa }) => {
      if (!users || users.length < 2 || !n) return;
      box.textContent = `${users.join(" and ")}: kappa ${kappa === null ? "undefined" : kappa.toFixed(2)} over ${format.count(n, "decision")}`;
    })
    .catch(() => {}); // There may be a single user.
  return box;
}
