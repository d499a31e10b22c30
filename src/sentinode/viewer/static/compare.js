// Two results, or two thresholds of one, side by side; the sides move together.

import { api } from "./lib/api.js";
import { h, replace } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { setKeys } from "./lib/keys.js";
import { color } from "./slide/colormaps.js";
import { Heatmap } from "./slide/heatmap.js";
import { Overlay } from "./slide/overlay.js";
import { slider } from "./slide/overlay-controls.js";
import { scaleBar } from "./slide/statusbar.js";
import { SlideView } from "./slide/view.js";

export async function compareView(app, id, search) {
  const slide = await api(`api/slides/${id}`);
  const asked = new URLSearchParams(search ?? "");
  if (!slide.results.length) throw new Error("This slide has not been scanned: there is nothing to compare.");
  app.setTitle(`Compare · ${slide.name}`);
  app.main.className = "compare-page";
  const results = ["a", "b"].map((name, at) => slide.results.find((result) => result.id === asked.get(name)) ?? slide.results.at(at));
  const [first, second] = results.map((result) => result ?? slide.results[0]);
  const same = first.id === second.id;
  const difference = h("input", { type: "checkbox", onchange: () => refresh() });
  const areas = h("dl", { class: "areas" });
  const bar = h("div", { class: "compare-bar" }, h("a", { href: `#/slide/${id}`, class: "button" }, "Back to the slide"),
    same ? null : h("label", { class: "switch" }, difference, "Difference on the right"), same ? null : key(), areas);
  const both = h("div", { class: "sides" });
  replace(app.main, bar, both);
  const sides = [
    side(slide, first, both, Number(asked.get("ta") ?? first.threshold), "Left", pick),
    side(slide, second, both, Number(asked.get("tb") ?? (same ? 0.9 : second.threshold)), "Right", pick),
  ];
  link(sides[0].view, sides[1].view);
  for (const each of sides) each.onThreshold = () => refresh();
  const heatmaps = await Promise.all([first, second].map((result) => Heatmap.load(id, result)));
  sides.forEach((each, at) => each.overlay.setHeatmap(heatmaps[at]));

  function pick(name, result) {
    const now = { a: first.id, b: second.id, [name === "Left" ? "a" : "b"]: result };
    location.hash = `#/compare/${id}?a=${now.a}&b=${now.b}`;
  }

  function refresh() {
    const [left, right] = sides;
    const { bytes, areas: sizes } = heatmaps[1].minus(heatmaps[0], right.overlay.style.threshold, left.overlay.style.threshold);
    right.overlay.setDifferences(difference.checked ? bytes : null);
    const all = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    replace(areas, fact("Above both thresholds", format.area(sizes.both)), fact("Left only", format.area(sizes.second)), fact("Right only", format.area(sizes.first)),
      fact("Agreement", all ? `${(((sizes.both + sizes.neither) / all) * 100).toFixed(1)} % of the area` : "–"));
  }
  refresh();

  const each = (run) => () => sides.forEach(({ view }) => run(view));
  const one = (run) => () => run(sides[0].view); // The other side follows.
  const command = (keys, label, run) => ({ group: "Slide", keys, label, run });
  setKeys([
    command(["ArrowLeft"], "Move", one((view) => view.pan(-120, 0))),
    command(["ArrowRight"], "", one((view) => view.pan(120, 0))),
    command(["ArrowUp"], "", one((view) => view.pan(0, -120))),
    command(["ArrowDown"], "", one((view) => view.pan(0, 120))),
    command(["+"], "Zoom in", one((view) => view.zoomBy(1.5))),
    command(["-"], "Zoom out", one((view) => view.zoomBy(1 / 1.5))),
    command(["0"], "Whole slide", each((view) => view.home())),
    command([" "], "Overlay on or off", () => sides.forEach(({ overlay }) => {
      overlay.shown.all = !overlay.shown.all;
      overlay.update();
    })),
    ...(same ? [] : [command(["x"], "Difference", () => ((difference.checked = !difference.checked), refresh()))]),
  ]);
  return { destroy: () => sides.forEach(({ view }) => view.destroy()) };
}

function side(slide, result, both, threshold, name, pick) {
  const stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-label": `${name}: ${result.model}. Arrow keys move, plus and minus zoom.` });
  const made = { onThreshold: () => {} };
  const model = slide.results.length > 1
    ? h("select", { "aria-label": `${name}: model`, onchange: (event) => pick(name, event.target.value) }, slide.results.map((each) => h("option", { value: each.id, selected: each === result }, each.model)))
    : h("b", {}, result.model);
  const control = slider("Threshold", { min: 0, max: 1, step: 0.005, value: threshold }, (value) => format.probability(value, value > 0.98 ? 3 : 2), (value) => {
    made.overlay.style.threshold = value;
    made.overlay.update();
    made.onThreshold();
  });
  const box = h("section", { class: "side", "aria-label": name }, h("header", {}, model, control.element), stage);
  both.append(box);
  made.view = new SlideView(stage, slide, { navigator: name === "Left" });
  made.overlay = new Overlay(made.view);
  made.overlay.style.threshold = threshold;
  box.append(scaleBar(made.view));
  made.view.whenReady(() => made.view.dispatchEvent(new Event("move")));
  return made;
}

// Whichever side moves, the other is put where it is.
function link(one, two) {
  let busy = false;
  for (const [from, to] of [[one, two], [two, one]]) {
    from.osd.addHandler("viewport-change", () => {
      if (busy || !to.ready || !from.ready) return;
      busy = true;
      to.viewport.zoomTo(from.viewport.getZoom(true), null, true);
      to.viewport.panTo(from.viewport.getCenter(true), true);
      to.viewport.setRotation(from.viewport.getRotation(true), true);
      busy = false;
    });
  }
}

function key() {
  const canvas = h("canvas", { class: "difference-key", width: 110, height: 1, role: "img", "aria-label": "Blue: less on the right; orange: more" });
  const context = canvas.getContext("2d");
  for (let x = 0; x < 110; x++) {
    context.fillStyle = `rgb(${color("difference", x / 109).join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
  return h("span", { class: "switch soft" }, "less", canvas, "more");
}
