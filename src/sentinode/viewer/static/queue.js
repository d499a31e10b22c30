// Labeling: one patch after the other, those that teach the network most first.

import { api, query } from "./lib/api.js";
import { announce, h, replace } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { icon } from "./lib/icons.js";
import { setKeys } from "./lib/keys.js";
import { Decisions, decide } from "./decisions/decisions.js";
import { decisionStatus } from "./decisions/status.js";
import { geometryOf, rectangle } from "./slide/geometry.js";
import { scaleBar } from "./slide/statusbar.js";
import { Shapes } from "./slide/shapes.js";
import { SlideView } from "./slide/view.js";

const KINDS = [["uncertain", "Most uncertain"], ["informative", "Most informative"]];
const LIMIT = 100;

export async function queueView(app) {
  app.setTitle("Labeling");
  app.main.className = "queue-page";
  const queue = new Queue(app);
  await queue.ask("uncertain");
  return queue;
}

class Queue {
  constructor(app) {
    this.app = app;
    this.answers = new Map();
    this.order = [];
    this.frame = h("div", { class: "stage-frame" });
    this.bar = h("div", { class: "queue-bar", role: "group", "aria-label": "Label of the marked patch" });
    replace(app.main, this.frame, this.bar);
    const command = (keys, label, run) => ({ group: "Labeling", keys, label, run });
    setKeys([
      command(["1", "a"], "Tumour", () => this.#label("Tumor")),
      command(["2", "r"], "Normal", () => this.#label("Normal")),
      command(["3"], "Uncertain", () => this.#label("Uncertain")),
      command(["n", "ArrowRight"], "Skip", () => this.#go(this.at + 1)),
      command(["p", "ArrowLeft"], "Back", () => this.#go(this.at - 1)),
      command(["u", "Ctrl+z"], "Undo", () => this.undo()),
      command(["+"], "Zoom in", () => this.view?.zoomBy(1.5)),
      command(["-"], "Zoom out", () => this.view?.zoomBy(1 / 1.5)),
    ]);
  }

  async ask(kind) {
    this.kind = kind;
    if (!this.view) replace(this.frame, h("p", { class: "empty" }, "Choosing patches …"));
    const { items, done, total } = await api(`api/queue${query({ kind, limit: LIMIT })}`);
    this.items = items;
    this.done = done;
    this.total = total;
    await this.#go(0);
  }

  async #go(at) {
    if (at < 0) return;
    this.at = at;
    const item = this.items[at];
    if (!item) return this.#end();
    if (this.slide?.id !== item.slide) await this.#open(item.slide);
    const half = item.side_px / 2;
    this.polygons = rectangle([item.x_px - half, item.y_px - half, item.side_px, item.side_px]);
    this.shapes.set([{ id: "patch", kind: "patch", decision: null, label: "Tumor", polygons: this.polygons }, { id: "center", kind: "patch", decision: null, label: "Tumor", polygons: rectangle([item.x_px - half / 3, item.y_px - half / 3, item.side_px / 3, item.side_px / 3]) }]);
    const show = () => this.view.flyTo([item.x_px - half, item.y_px - half, item.side_px, item.side_px], 2);
    this.view.whenReady(show);
    this.#showBar(item);
    announce(`Patch ${at + 1}: ${item.reason}`);
  }

  async #open(id) {
    this.#close();
    this.slide = await api(`api/slides/${id}`);
    this.stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-label": "Slide around the patch" });
    replace(this.frame, this.stage);
    this.view = new SlideView(this.stage, this.slide);
    this.shapes = new Shapes(this.view);
    this.frame.append(scaleBar(this.view));
    this.decisions = new Decisions(id);
    await this.decisions.load();
    this.app.main.querySelector(".conflicts")?.remove();
    replace(this.app.tools, decisionStatus(this.decisions, { app: this.app, items: [], undo: (again) => this.undo(again), select: () => {} }));
  }

  #showBar(item) {
    const labeled = this.done + this.answers.size;
    const total = Math.max(this.total, labeled);
    const answer = this.answers.get(this.at);
    const action = (name, symbol, label, key) => h("button", { class: `decide ${name.toLowerCase()}`, "aria-pressed": String(answer?.name === name), title: `${label} (${key})`, onclick: () => this.#label(name) }, icon(symbol), label, h("kbd", {}, key));
    replace(
      this.bar,
      action("Tumor", "check", "Tumour", "1"),
      action("Normal", "cross", "Normal", "2"),
      action("Uncertain", "question", "Uncertain", "3"),
      h("button", { class: "plain", title: "Skip (N)", onclick: () => this.#go(this.at + 1) }, "Skip"),
      h("span", { class: "soft" }, `${this.slide.name} · ${item.reason}`),
      h("span", { class: "grow" }),
      h("label", {}, h("span", { class: "unseen" }, "Order"), h("select", { onchange: (event) => this.ask(event.target.value).catch((error) => this.app.message(error.message, "bad")) }, KINDS.map(([value, name]) => h("option", { value, selected: value === this.kind }, name)))),
      h("progress", { max: Math.max(total, 1), value: labeled, "aria-label": `${labeled} of ${total} labeled` }),
      h("span", {}, `${labeled.toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`),
    );
  }

  #label(name) {
    const item = this.items[this.at];
    if (!item) return;
    const id = this.answers.get(this.at)?.id ?? crypto.randomUUID();
    this.decisions.change(id, decide({ geometry: geometryOf(this.polygons), source: "patch", lesion: null }, name));
    this.answers.set(this.at, { id, name });
    this.order.push(this.at);
    announce(format.CLASSES[name]);
    this.#go(this.at + 1);
  }

  async undo(again = false) {
    if (again) return this.decisions?.redo();
    const at = this.order.pop();
    if (at === undefined) return this.app.message("Nothing to undo.");
    await this.#go(at);
    this.decisions.change(this.answers.get(at).id, null);
    this.answers.delete(at);
    this.#showBar(this.items[at]);
  }

  #end() {
    this.#close();
    this.slide = null;
    replace(this.bar);
    replace(this.frame, h("section", { class: "empty" }, h("h2", {}, this.items.length ? "Done" : "Nothing to label"),
      h("p", {}, this.items.length ? `${format.count(this.answers.size, "patch", "patches")} labeled. The decisions are saved with the annotations; train and extract read them.` : "Scan slides first: the queue takes patches from their heat maps."),
      h("button", { onclick: () => this.ask(this.kind) }, "Find more")));
  }

  #close() {
    this.decisions?.close();
    this.view?.destroy();
    this.decisions = this.view = null;
  }

  destroy() {
    this.#close();
  }
}
