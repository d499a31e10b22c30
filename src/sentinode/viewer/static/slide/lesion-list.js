// The list of lesions and regions, with what can be done about the selected one.

import { h, replace } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { VirtualList } from "../lib/virtual.js";
import { thumbnail } from "./thumbnail.js";

const MARKS = { accepted: ["check", "Accepted"], rejected: ["cross", "Rejected"], uncertain: ["question", "Uncertain"] };
const KINDS = { lesion: "Lesion", drawn: "Region", patch: "Patch" };

export class LesionList {
  constructor(page) {
    this.page = page;
    this.thumbs = new Map();
    this.title = h("h2", { id: "lesions-title" });
    this.progress = h("span", { class: "soft" });
    this.sort = h(
      "select",
      { "aria-label": "Sort by", onchange: () => page.setSort(this.sort.value) },
      [["probability", "Probability"], ["size", "Size"], ["position", "Position"]].map(([value, name]) => h("option", { value, selected: value === page.sort }, name)),
    );
    this.list = new VirtualList({ label: "Lesions and regions", rowPx: 76, render: (index) => this.#row(index), choose: (index) => page.select(page.items[index].id) });
    this.none = h("p", { class: "soft none" });
    this.actions = h("div", { class: "actions", role: "group", "aria-label": "Decision about the selected lesion" });
    this.element = h("section", { class: "lesions block" }, h("header", {}, this.title, this.progress, h("span", { class: "grow" }), this.sort), this.none, this.list.element, this.actions);
  }

  update() {
    const { page } = this;
    const { items } = page;
    const lesions = items.filter((item) => item.kind === "lesion");
    const others = items.length - lesions.length;
    const decided = lesions.filter((item) => item.decision).length;
    const loading = page.lesions === null;
    this.title.textContent = loading ? "Lesions" : [page.result ? format.count(lesions.length, "lesion") : "", others || !page.result ? format.count(others, "region") : ""].filter(Boolean).join(", ");
    this.progress.textContent = lesions.length && decided ? `${decided} reviewed` : "";
    this.none.hidden = items.length > 0;
    this.list.element.hidden = items.length === 0;
    if (loading) this.none.textContent = "Loading …";
    else this.none.textContent = page.result ? "The network found no lesions on this slide. Press D to draw a region." : "Press D to draw a region.";
    const selected = items.findIndex((item) => item.id === page.selected);
    const same = this.order?.length === items.length && items.every((item, at) => this.order[at] === item.id);
    this.order = items.map((item) => item.id);
    if (!same) {
      this.list.setCount(items.length, selected);
    } else {
      for (const index of [...this.list.rows.keys()]) if (this.#signature(items[index]) !== this.list.rows.get(index).dataset.signature) this.list.refresh(index);
    }
    this.#sign();
    this.#showActions();
  }

  #signature(item) {
    return `${item.decision} ${item.label} ${item.diameter_mm}`;
  }

  #sign() {
    for (const [index, row] of this.list.rows) row.dataset.signature = this.#signature(this.page.items[index]);
  }

  showSelection() {
    this.list.setActive(this.page.items.findIndex((item) => item.id === this.page.selected));
    this.#sign();
    this.#showActions();
  }

  /** What a screen reader says about an item. */
  describe(item) {
    const parts = [KINDS[item.kind]];
    if (item.lesion_class) parts.push(format.LESION_CLASSES[item.lesion_class][0]);
    if (item.probability !== null) parts.push(`probability ${format.probability(item.probability)}`);
    if (item.diameter_mm !== null) parts.push(format.millimeters(item.diameter_mm));
    if (item.kind !== "lesion") parts.push(format.CLASSES[item.label] ?? item.label);
    else parts.push(item.decision ? MARKS[item.decision][1] : "not reviewed");
    return parts.join(", ");
  }

  #row(index) {
    const item = this.page.items[index];
    const key = `${item.id} ${item.bounds}`;
    if (!this.thumbs.has(key)) this.thumbs.set(key, thumbnail(this.page.slide, item.bounds, 60));
    const [name, explanation] = item.lesion_class ? format.LESION_CLASSES[item.lesion_class] : ["–", ""];
    // The class of a region says everything; a lesion has one already, which is accepted or not.
    const mark = item.decision && item.kind === "lesion" ? MARKS[item.decision] : null;
    return [
      this.thumbs.get(key),
      h(
        "div",
        { class: "facts" },
        h("div", { class: "line" }, h("span", { class: `class ${item.lesion_class ?? ""}`, title: explanation }, name), item.kind === "lesion" ? null : h("span", { class: "kind" }, KINDS[item.kind]), h("span", { class: "grow" }),
          item.probability === null ? h("span", { class: "soft" }, format.CLASSES[item.label] ?? item.label) : h("b", {}, format.probability(item.probability))),
        h("div", { class: "line soft" }, item.diameter_mm === null ? "size unknown" : `${format.millimeters(item.diameter_mm)} · ${format.area(item.area_mm2)}`, h("span", { class: "grow" }),
          mark ? h("span", { class: `mark ${item.decision}`, title: item.user ? `${mark[1]} by ${item.user}, ${format.time(item.time)}` : mark[1] }, icon(mark[0]), h("span", {}, mark[1])) : null),
      ),
    ];
  }

  #showActions() {
    const { page } = this;
    const item = page.selectedItem;
    this.actions.hidden = page.readOnly || !item;
    if (this.actions.hidden) return;
    const action = (name, symbol, label, key) =>
      h("button", { class: `decide ${name.toLowerCase()}`, "aria-pressed": String(item.decision !== null && item.label === name), title: `${label} (${key})`, onclick: () => page.decide(name) }, icon(symbol), h("span", {}, label));
    const lesion = item.kind === "lesion";
    replace(
      this.actions,
      action("Tumor", "check", lesion ? "Accept" : "Tumour", lesion ? "A" : "1"),
      action("Normal", "cross", lesion ? "Reject" : "Normal", lesion ? "R" : "2"),
      action("Uncertain", "question", "Uncertain", "3"),
      h("button", { class: "plain", "aria-label": "Edit the outline", title: "Edit the outline (E)", onclick: () => page.edit() }, icon("draw")),
      page.decisions.current.has(item.annotation) ? h("button", { class: "plain", "aria-label": lesion ? "Undo the decision" : "Delete the region", title: lesion ? "Undo the decision (Del)" : "Delete (Del)", onclick: () => page.remove() }, icon("trash")) : null,
    );
  }

  destroy() {
    this.list.destroy();
  }
}
