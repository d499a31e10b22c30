// One slide: the picture, its overlay, the lesions, and the decisions about them.

import { api } from "../lib/api.js";
import { announce, h, memory, replace } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { setKeys } from "../lib/keys.js";
import { scanButton, scanState, watchScans } from "../lib/scans.js";
import { Decisions, decide } from "../decisions/decisions.js";
import { decisionStatus } from "../decisions/status.js";
import { exportMenu } from "./export.js";
import { geometryOf } from "./geometry.js";
import { Heatmap } from "./heatmap.js";
import { lesionItems } from "./items.js";
import { LesionList } from "./lesion-list.js";
import { Overlay } from "./overlay.js";
import { overlayControls } from "./overlay-controls.js";
import { PatchPanel } from "./patch-panel.js";
import { Pencil } from "./draw.js";
import { Shapes } from "./shapes.js";
import { scaleBar, statusBar } from "./statusbar.js";
import { summary } from "./summary.js";
import { SlideView } from "./view.js";

const MAGNIFICATIONS = [5, 10, 20, 40];
const PAN_PX = 120;

export async function slideView(app, id, search) {
  const slide = await api(`api/slides/${id}`);
  const parameters = new URLSearchParams(search ?? "");
  app.setTitle(slide.name);
  app.main.className = "slide-page";
  const page = new SlidePage(app, slide);
  await page.start(parameters);
  return page;
}

class SlidePage {
  constructor(app, slide) {
    this.app = app;
    this.slide = slide;
    this.readOnly = app.session.read_only;
    this.result = null;
    this.lesions = [];
    this.items = [];
    this.selected = null;
    this.sort = memory.get("sort", "probability");
    this.stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-label": `Slide ${slide.name}. Arrow keys move, plus and minus zoom, N and P go through the lesions.` });
    this.panel = h("aside", { class: "panel", "aria-label": "Results" });
    this.listBox = h("section", { class: "lesions" });
    this.hint = h("div", { class: "hint", role: "status", hidden: true });
    this.trouble = h("div", { class: "trouble", role: "alert", hidden: true });
    this.frame = h("div", { class: "stage-frame" });
    this.frame.append(this.stage);
    replace(app.main, this.frame, this.panel);
    this.view = new SlideView(this.stage, slide);
    this.overlay = new Overlay(this.view);
    this.shapes = new Shapes(this.view);
    this.pencil = new Pencil(this.view, this.shapes);
    this.decisions = new Decisions(slide.id);
    this.status = statusBar(this.view, () => this.overlay.heatmap);
    this.frame.append(this.#toolbar(), scaleBar(this.view), this.hint, this.trouble, this.status.element);
    this.scan = h("p", { class: "scan" });
    const listed = app.slides.find(({ id }) => id === slide.id);
    if (listed) replace(this.scan, scanState(listed), scanButton(app, listed));
    this.list = new LesionList(this);
    this.patch = new PatchPanel(this);
  }

  async start(parameters) {
    const { view } = this;
    view.addEventListener("click", ({ detail }) => this.#clicked(detail));
    view.addEventListener("failed", ({ detail }) => this.#trouble(detail.message));
    view.addEventListener("recovered", () => (this.trouble.hidden = true));
    this.pencil.addEventListener("change", () => this.#pencilChanged());
    this.pencil.addEventListener("finish", ({ detail }) => this.#drawn(detail));
    this.pencil.addEventListener("message", ({ detail }) => this.app.message(detail.text, "warn"));
    this.decisions.addEventListener("change", () => this.#refresh());
    this.stage.addEventListener("pointerdown", () => this.stage.focus({ preventScroll: true }));
    this.focused = () => document.visibilityState === "visible" && this.decisions.status === "saved" && this.decisions.load().catch(() => {});
    document.addEventListener("visibilitychange", this.focused);
    this.leaving = (event) => this.decisions.waiting.size && !this.decisions.kept && event.preventDefault();
    addEventListener("beforeunload", this.leaving);
    this.#tools();
    setKeys(this.#keys());
    view.whenReady(() => {
      if (parameters.has("at")) view.place = parameters.get("at");
      view.dispatchEvent(new Event("move"));
    });
    const wanted = this.slide.results.find((result) => result.id === parameters.get("result")) ?? this.slide.results.at(-1) ?? null;
    if (!wanted) this.endWatching = watchScans((slide) => this.#scanChanged(slide));
    await Promise.all([this.decisions.load(), this.showResult(wanted)]);
  }

  #tools() {
    replace(
      this.app.tools,
      this.readOnly ? h("span", { class: "chip" }, "Read only") : decisionStatus(this.decisions, this),
      this.slide.results.length ? h("a", { class: "button", href: this.#compareAddress(), "aria-label": "Compare" }, icon("compare"), h("span", {}, "Compare")) : null,
      exportMenu(this),
      h("button", { class: "plain", "aria-label": "Show or hide the side panel", title: "Side panel", onclick: () => this.app.main.classList.toggle("no-panel") }, icon("panel")),
    );
  }

  /** Show how far the scan of this slide is, and its result when it is there. */
  async #scanChanged(slide) {
    if (slide.id !== this.slide.id || this.slide.results.length) return;
    replace(this.scan, scanState(slide), scanButton(this.app, slide));
    if (slide.state !== "done") return;
    this.endWatching();
    this.slide.results = (await api(`api/slides/${slide.id}`)).results;
    this.#tools();
    await this.showResult(this.slide.results.at(-1));
    announce("The scan is finished.");
  }

  #compareAddress() {
    const [first, second = first] = this.slide.results.slice(-2);
    return `#/compare/${this.slide.id}?a=${first.id}&b=${second.id}`;
  }

  /** Show the heat map and lesions of a result (null: the slide alone). */
  async showResult(result) {
    this.result = result;
    this.lesions = result ? null : [];
    if (result) this.overlay.style = { ...this.overlay.style, ...memory.get("overlay", {}), threshold: result.threshold };
    Object.assign(this.overlay.shown, memory.get("shown", {}));
    this.#panel();
    this.#refresh();
    if (!result) return;
    const path = `api/slides/${this.slide.id}`;
    const [{ lesions }, heatmap, tissue] = await Promise.all([
      api(`${path}/results/${result.id}/lesions`),
      Heatmap.load(this.slide.id, result),
      api(`${path}/tissue`).catch(() => null),
    ]);
    if (this.result !== result) return;
    this.lesions = lesions;
    this.overlay.setHeatmap(heatmap);
    if (tissue) this.overlay.setTissue(tissue.type === "Polygon" ? [tissue.coordinates] : (tissue.coordinates ?? []));
    this.#refresh();
  }

  #panel() {
    const { result } = this;
    replace(
      this.panel,
      result ? summary(this) : h("section", { class: "block" }, h("h2", {}, "No heat map"), h("p", { class: "soft" }, "This slide has not been scanned. It can be viewed and annotated."), this.scan),
      result ? overlayControls(this) : null,
      this.patch.element,
      this.list.element,
    );
  }

  #refresh() {
    this.items = lesionItems(this.lesions, this.decisions, this.slide, this.sort);
    this.shapes.set(this.pencil.mode === "edit" ? this.items.filter((item) => item.id !== this.pencil.id) : this.items);
    this.list.update();
  }

  setSort(sort) {
    this.sort = sort;
    memory.set("sort", sort);
    this.#refresh();
  }

  get selectedItem() {
    return this.items.find((item) => item.id === this.selected) ?? null;
  }

  /** Select an item, and fly to it. */
  select(id, { fly = true, quiet = false } = {}) {
    this.selected = id;
    this.shapes.select(id);
    this.list.showSelection();
    const item = this.selectedItem;
    if (!item) return;
    if (fly) this.view.flyTo(item.bounds);
    if (!quiet) announce(this.list.describe(item));
  }

  step(by) {
    if (!this.items.length) return;
    const at = this.items.findIndex((item) => item.id === this.selected);
    const next = at < 0 ? (by > 0 ? 0 : this.items.length - 1) : (at + by + this.items.length) % this.items.length;
    this.select(this.items[next].id);
  }

  /** Give the selected lesion or region a class: the decision follows from it. */
  decide(name) {
    const item = this.selectedItem;
    if (this.readOnly) return this.app.message("The viewer was started with --read-only; annotations cannot be changed.", "warn");
    if (!item) return this.app.message("Select a lesion first: click it or press N.", "warn");
    const state = this.decisions.current.get(item.annotation) ?? { geometry: geometryOf(item.polygons), class: "Tumor", decision: null, source: "lesion", lesion: item.lesion };
    this.decisions.change(item.annotation, decide(state, name));
    announce(`${format.CLASSES[name]}`);
  }

  undo(again = false) {
    const done = again ? this.decisions.redo() : this.decisions.undo();
    if (!done) return this.app.message(again ? "Nothing to redo." : "Nothing to undo.");
    this.select(this.items.find((item) => item.annotation === done.id)?.id ?? null, { fly: false });
    announce(again ? "Redone" : "Undone");
  }

  remove() {
    const item = this.selectedItem;
    if (!item || this.readOnly) return;
    if (!this.decisions.current.has(item.annotation)) return this.app.message("A lesion found by the network cannot be deleted; press R to reject it.");
    this.decisions.change(item.annotation, null);
    if (item.kind !== "lesion") this.select(null, { fly: false });
    announce("Deleted; press U to undo");
  }

  draw() {
    if (this.readOnly) return this.app.message("The viewer was started with --read-only; annotations cannot be changed.", "warn");
    if (this.pencil.mode) return this.pencil.cancel();
    this.select(null, { fly: false });
    this.pencil.start();
  }

  edit() {
    const item = this.selectedItem;
    if (this.readOnly || !item || this.pencil.mode) return;
    this.pencil.edit(item.id, item.polygons);
    this.#refresh();
  }

  #drawn({ id, polygons }) {
    const item = this.items.find((each) => each.id === id) ?? null;
    const annotation = item?.annotation ?? crypto.randomUUID();
    const before = this.decisions.current.get(annotation);
    const fresh = { class: "Tumor", decision: "accepted", source: item?.kind === "lesion" ? "lesion" : "drawn", lesion: item?.lesion ?? null };
    this.decisions.change(annotation, { ...fresh, ...before, geometry: geometryOf(polygons) });
    this.select(this.items.find((each) => each.annotation === annotation)?.id ?? null, { fly: false });
  }

  #pencilChanged() {
    const { mode, rings } = this.pencil;
    this.hint.hidden = !mode;
    this.drawButton.setAttribute("aria-pressed", String(mode === "draw"));
    if (mode) {
      const button = (text, run) => h("button", { onclick: run }, text);
      const points = rings?.[0]?.length ?? 0;
      replace(
        this.hint,
        h("span", {}, mode === "draw" ? (points ? format.count(points, "point") : "Click points, or drag along the border") : "Drag points; click a small one to add it"),
        mode === "draw" ? button("Remove point", () => this.pencil.removeLast()) : null,
        button(mode === "draw" ? "Close outline" : "Done", () => this.pencil.finish()),
        button("Cancel", () => this.pencil.cancel()),
      );
    } else {
      this.#refresh();
    }
  }

  #clicked({ x, y, touch }) {
    if (this.pencil.mode) return;
    if (this.patch.armed) return this.patch.show(x, y);
    const id = this.overlay.shown.all ? this.shapes.hit(x, y, (touch ? 16 : 6) / this.view.scale) : null;
    this.select(id, { fly: false });
  }

  #trouble(message) {
    this.trouble.hidden = false;
    replace(this.trouble, icon("warn"), h("span", {}, message), h("button", { onclick: () => this.#reload() }, "Try again"));
  }

  #reload() {
    this.trouble.hidden = true;
    const { place } = this.view;
    this.view.osd.world.resetItems();
    this.view.osd.forceRedraw();
    this.view.place = place;
  }

  /** Show or hide everything drawn over the slide. */
  toggleAll() {
    const { shown } = this.overlay;
    shown.all = !shown.all;
    this.shapes.visible = shown.all;
    this.overlay.update();
    this.overlayButton.setAttribute("aria-pressed", String(shown.all));
    announce(shown.all ? "Overlay on" : "Overlay off");
  }

  toggle(name) {
    const { shown } = this.overlay;
    shown[name] = !shown[name];
    if (!shown.all) this.toggleAll();
    memory.set("shown", { heatmap: shown.heatmap, contours: shown.contours, tissue: shown.tissue });
    this.overlay.update();
    this.controls?.sync();
  }

  #toolbar() {
    const { view } = this;
    const button = (name, label, key, run, extra = {}) =>
      h("button", { class: "plain", "aria-label": label, title: key ? `${label} (${key})` : label, onclick: run, ...extra }, icon(name));
    this.drawButton = this.readOnly ? null : button("draw", "Draw a region", "D", () => this.draw(), { "aria-pressed": "false" });
    this.overlayButton = button("layers", "Overlay", "Space", () => this.toggleAll(), { "aria-pressed": "true" });
    this.inspectButton = button("inspect", "Inspect a patch", "I", () => this.patch.arm(), { "aria-pressed": "false" });
    const known = this.slide.spacing_um_px !== null;
    return h(
      "div",
      { class: "toolbar", role: "toolbar", "aria-label": "Slide" },
      h("div", { class: "group" }, button("plus", "Zoom in", "+", () => view.zoomBy(1.5)), button("minus", "Zoom out", "−", () => view.zoomBy(1 / 1.5)), button("fit", "Whole slide", "0", () => view.home())),
      known ? h("div", { class: "group" }, MAGNIFICATIONS.map((times) => h("button", { class: "plain times", title: `${times}× (${this.#digit(times)})`, onclick: () => view.magnify(times) }, `${times}×`))) : null,
      h("div", { class: "group" }, button("left", "Turn left", "[", () => view.rotateBy(-90)), button("right", "Turn right", "]", () => view.rotateBy(90))),
      h("div", { class: "group" }, this.overlayButton, this.result !== undefined ? this.inspectButton : null, this.drawButton),
    );
  }

  #digit(times) {
    return { 5: "5", 10: "6", 20: "7", 40: "8" }[times];
  }

  #keys() {
    const { view, pencil } = this;
    const command = (group, keys, label, run, hidden = []) => ({ group, keys: [keys].flat(), label, run, hidden });
    // A command for drawing that leaves the key to others otherwise.
    const drawing = (mode, run, otherwise = () => false) => () => (pencil.mode && (mode === "any" || pencil.mode === mode) ? run() : otherwise());
    const pan = (x, y) => () => {
      if (pencil.mode === "edit") return pencil.moveChosen(x, y);
      if (pencil.mode === "draw") pencil.showCrosshair();
      view.pan(x * PAN_PX, y * PAN_PX);
    };
    const coarse = (x, y) => () => (pencil.mode === "edit" ? pencil.moveChosen(10 * x, 10 * y) : view.pan(x * 3 * PAN_PX, y * 3 * PAN_PX));
    return [
      command("Slide", ["ArrowLeft"], "Move", pan(-1, 0)),
      command("Slide", ["ArrowRight"], "", pan(1, 0)),
      command("Slide", ["ArrowUp"], "", pan(0, -1)),
      command("Slide", ["ArrowDown"], "", pan(0, 1)),
      command("Slide", ["Shift+ArrowLeft"], "", coarse(-1, 0)),
      command("Slide", ["Shift+ArrowRight"], "", coarse(1, 0)),
      command("Slide", ["Shift+ArrowUp"], "", coarse(0, -1)),
      command("Slide", ["Shift+ArrowDown"], "", coarse(0, 1)),
      command("Slide", ["+", "="], "Zoom in", () => view.zoomBy(1.5), ["="]),
      command("Slide", ["-"], "Zoom out", () => view.zoomBy(1 / 1.5)),
      command("Slide", ["0"], "Whole slide", () => view.home()),
      ...(this.slide.spacing_um_px === null ? [] : MAGNIFICATIONS.map((times) => command("Slide", [this.#digit(times)], `${times}×`, () => view.magnify(times)))),
      command("Slide", ["[", "]"], "Turn left, right", (event) => view.rotateBy(event.key === "[" ? -90 : 90)),
      command("Overlay", [" "], "Overlay on or off", drawing("draw", () => pencil.addAtCenter(), () => this.toggleAll())),
      command("Overlay", ["h"], "Heat map", () => this.toggle("heatmap")),
      command("Overlay", ["c"], "Contours", () => this.toggle("contours")),
      command("Overlay", ["t"], "Tissue outline", () => this.toggle("tissue")),
      command("Overlay", ["i"], "Inspect the patch under the cursor", () => this.patch.show(this.status.at.x, this.status.at.y)),
      command("Lesions", ["n"], "Next lesion", () => this.step(1)),
      command("Lesions", ["p"], "Previous lesion", () => this.step(-1)),
      ...(this.readOnly
        ? []
        : [
            command("Lesions", ["a"], "Accept", () => this.decide("Tumor")),
            command("Lesions", ["r"], "Reject", () => this.decide("Normal")),
            command("Lesions", ["1"], "Tumour", () => this.decide("Tumor")),
            command("Lesions", ["2"], "Normal", () => this.decide("Normal")),
            command("Lesions", ["3"], "Uncertain", () => this.decide("Uncertain")),
            command("Lesions", ["u", "Ctrl+z"], "Undo", () => this.undo()),
            command("Lesions", ["Ctrl+Shift+z", "Ctrl+y"], "Redo", () => this.undo(true), ["Ctrl+y"]),
            command("Drawing", ["d"], "Draw a region", () => this.draw()),
            command("Drawing", ["e"], "Edit the outline", () => this.edit()),
            command("Drawing", ["Enter"], "Close the outline", drawing("any", () => pencil.finish())),
            command("Drawing", ["Backspace"], "Remove the last point", drawing("any", () => pencil.removeLast())),
            command("Drawing", ["Delete"], "Delete the region, or the point", drawing("any", () => pencil.removeLast(), () => this.remove())),
            command("Drawing", [",", "."], "Previous, next point", (event) => drawing("edit", () => pencil.choose(event.key === "," ? -1 : 1))()),
            command("Drawing", ["Insert", "m"], "Add a point after it", drawing("edit", () => pencil.addAfterChosen()), ["Insert"]),
          ]),
      command("Drawing", ["Escape"], "Cancel", () => {
        if (pencil.mode) pencil.cancel();
        else if (this.patch.armed) this.patch.arm(false);
        else this.select(null, { fly: false });
      }),
    ];
  }

  destroy() {
    document.removeEventListener("visibilitychange", this.focused);
    removeEventListener("beforeunload", this.leaving);
    this.endWatching?.();
    this.decisions.close();
    this.list.destroy();
    this.view.destroy();
  }
}

