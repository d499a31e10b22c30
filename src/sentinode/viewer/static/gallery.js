// Patches by the hundred thousand: a grid of which only the visible part exists, and filters.

import { api, query } from "./lib/api.js";
import { announce, h, replace } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { icon } from "./lib/icons.js";
import { setKeys } from "./lib/keys.js";
import { VirtualList } from "./lib/virtual.js";

const BLOCK = 128; // Patches that are asked for at once, and come as one picture.
const COLUMNS = 16;
const KEPT_BLOCKS = 24;
const SIDE_PX = 96;
const OUTCOMES = [["", "All"], ["tp", "True positives"], ["fp", "False positives"], ["tn", "True negatives"], ["fn", "False negatives"]];
const ORDERS = [["index", "Order of the data"], ["probability", "Probability"], ["uncertainty", "Uncertainty"]];
const LABELS = ["Normal", "Tumour"];

export async function galleryView(app) {
  const about = await api("api/patches");
  app.setTitle("Patches");
  app.main.className = "gallery-page";
  const gallery = new Gallery(app, about);
  await gallery.start();
  return gallery;
}

class Gallery {
  constructor(app, about) {
    this.app = app;
    this.about = about;
    this.blocks = new Map();
    this.undone = [];
    this.turn = 0;
    this.total = h("b", {});
    this.inspector = h("aside", { class: "inspector", "aria-label": "Patch" });
    this.list = new VirtualList({ label: "Patches", rowPx: 130, columnPx: 108, render: (index) => this.#cell(index), choose: (index) => this.#inspect(index), seen: (first, last) => this.#want(first, last) });
    this.filters = {};
    const select = (name, label, options) => {
      this.filters[name] = h("select", { onchange: () => this.#ask() }, options.map(([value, text]) => h("option", { value }, text)));
      return h("label", {}, label, this.filters[name]);
    };
    const number = (name, label) => {
      this.filters[name] = h("input", { type: "number", min: 0, max: 1, step: 0.05, onchange: () => this.#ask() });
      return h("label", {}, label, this.filters[name]);
    };
    this.bar = h(
      "div",
      { class: "filters", role: "search", "aria-label": "Filters" },
      this.total,
      select("split", "Split", [["", "All"], ...about.splits.map((split) => [split, split])]),
      select("label", "Label", [["", "All"], ["1", "Tumour"], ["0", "Normal"]]),
      about.has_predictions ? select("outcome", "Outcome", OUTCOMES) : null,
      about.has_predictions ? [number("min_p", "Probability from"), number("max_p", "to")] : null,
      about.has_predictions ? select("order", "Order", ORDERS) : null,
    );
  }

  async start() {
    replace(this.app.main, this.bar, h("div", { class: "gallery-body" }, this.list.element, this.inspector));
    replace(this.inspector, h("p", { class: "soft" }, "Choose a patch with the arrow keys or a click."));
    const command = (keys, label, run) => ({ group: "Patches", keys, label, run });
    setKeys(this.app.session.read_only ? [] : [
      command(["1", "a"], "Tumour", () => this.#relabel(1)),
      command(["2", "r"], "Normal", () => this.#relabel(0)),
      command(["u", "Ctrl+z"], "Undo", () => this.#undo()),
    ]);
    await this.#ask();
  }

  async #ask() {
    this.turn++;
    this.blocks.clear();
    const values = Object.entries(this.filters).map(([name, control]) => [name, control.value]);
    this.query = Object.fromEntries(values);
    const first = await this.#load(0);
    if (!first) return;
    this.list.setCount(first.total);
    this.list.element.scrollTop = 0;
    this.total.textContent = first.total === this.about.count ? format.count(first.total, "patch", "patches") : `${first.total.toLocaleString("en-US")} of ${format.count(this.about.count, "patch", "patches")}`;
    announce(this.total.textContent);
  }

  async #load(block) {
    if (this.blocks.has(block)) return this.blocks.get(block);
    const { turn } = this;
    this.blocks.set(block, null);
    // Blocks farthest from this one go first.
    while (this.blocks.size > KEPT_BLOCKS) this.blocks.delete([...this.blocks.keys()].sort((a, b) => Math.abs(b - block) - Math.abs(a - block))[0]);
    try {
      const found = await api(`api/patches/rows${query({ ...this.query, start: block * BLOCK, count: BLOCK })}`);
      if (turn !== this.turn) return null;
      const sheet = found.rows.length ? `api/patches/sheet.jpg?indices=${found.rows.map((row) => row.index).join(",")}&columns=${COLUMNS}` : null;
      const loaded = { ...found, sheet };
      this.blocks.set(block, loaded);
      return loaded;
    } catch (error) {
      this.blocks.delete(block);
      if (turn === this.turn) this.app.message(error.message, "bad");
      return null;
    }
  }

  #want(first, last) {
    for (let block = Math.floor(first / BLOCK); block <= Math.floor((last - 1) / BLOCK); block++) {
      if (this.blocks.has(block)) continue;
      clearTimeout(this.timer);
      // While somebody drags the scroll bar nothing is asked for.
      this.timer = setTimeout(async () => {
        if (await this.#load(block)) for (const index of [...this.list.rows.keys()]) if (Math.floor(index / BLOCK) === block) this.list.refresh(index);
        if (Math.floor(this.chosen / BLOCK) === block) this.#inspect(this.chosen);
        this.list.reveal(-1);
        this.#want(...this.#visible());
      }, 60);
      return;
    }
  }

  #visible() {
    const shown = [...this.list.rows.keys()];
    return shown.length ? [Math.min(...shown), Math.max(...shown) + 1] : [0, 0];
  }

  #row(index) {
    const block = this.blocks.get(Math.floor(index / BLOCK));
    return block ? { row: block.rows[index % BLOCK], sheet: block.sheet, at: index % BLOCK } : null;
  }

  #photo({ row, sheet, at }) {
    const photo = h("div", { class: "photo", role: "img", "aria-label": `Patch ${row.id}` });
    photo.style.backgroundImage = `url("${sheet}")`;
    photo.style.backgroundPosition = `${-(at % COLUMNS) * SIDE_PX}px ${-Math.floor(at / COLUMNS) * SIDE_PX}px`;
    return photo;
  }

  #cell(index) {
    const found = this.#row(index);
    if (!found?.row) return h("div", { class: "cell", "aria-label": `Patch ${index + 1}, loading` }, h("div", { class: "photo" }));
    const { row } = found;
    const wrong = row.prediction !== null && row.prediction !== undefined && row.label !== null && row.prediction !== row.label;
    return h("div", { class: "cell" }, this.#photo(found), h("p", {}, h("span", {}, LABELS[row.label] ?? "–"), h("span", { class: wrong ? "wrong" : "soft" }, row.probability === null || row.probability === undefined ? "" : format.probability(row.probability))));
  }

  #inspect(index) {
    const found = this.#row(index);
    this.chosen = index;
    if (!found?.row) return; // Shown once it is there.
    const { row } = found;
    const fact = (name, value) => (value === null || value === undefined || value === "" ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    const button = (label, symbol, key) => h("button", { "aria-pressed": String(row.label === label), title: `${LABELS[label]} (${key})`, onclick: () => this.#relabel(label) }, icon(symbol), LABELS[label]);
    replace(
      this.inspector,
      h("div", { class: "big" }, this.#photo(found)),
      h("dl", {}, fact("Patch", row.id), fact("Split", row.split), fact("Label", LABELS[row.label] ?? "none"), fact("Probability", row.probability === null || row.probability === undefined ? null : format.probability(row.probability, 3)), fact("Prediction", LABELS[row.prediction])),
      h("p", { class: "soft small" }, "The label refers to the marked center."),
      this.app.session.read_only ? null : h("p", { class: "choices" }, button(1, "check", "1"), button(0, "cross", "2")),
    );
    announce(`${row.id}, ${LABELS[row.label] ?? "no label"}${row.probability === null || row.probability === undefined ? "" : `, probability ${format.probability(row.probability)}`}`);
  }

  async #relabel(label, index = this.chosen, remember = true) {
    const found = index === undefined ? null : this.#row(index);
    if (!found?.row || found.row.label === label) return;
    const { row } = found;
    const before = row.label;
    try {
      const answer = await api(`api/patches/${row.index}`, { method: "PUT", body: { label, decision: label === 1 ? "accepted" : "rejected", base_version: row.version ?? 0 } });
      row.version = answer.version;
    } catch (error) {
      if (error.body?.current) {
        Object.assign(row, error.body.current); // Label and version, as another viewer saved them.
        this.list.refresh(index);
        this.#inspect(index);
      }
      this.app.message(`${row.id}: ${error.message}`, "bad");
      return;
    }
    row.label = label;
    if (remember) this.undone.push({ index, label: before });
    this.list.refresh(index);
    this.#inspect(index);
  }

  #undo() {
    const last = this.undone.pop();
    if (!last) return this.app.message("Nothing to undo.");
    this.list.setActive(last.index);
    return this.#relabel(last.label, last.index, false);
  }

  destroy() {
    this.turn++;
    this.list.destroy();
  }
}
