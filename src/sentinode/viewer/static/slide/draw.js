// Drawing a polygon, and moving, adding and removing the points of one.

import { announce, svg } from "../lib/dom.js";
import { crossesItself, geometryOf, polygonsOf, simplify } from "./geometry.js";

const NEAR_PX = 9;
const NEAR_TOUCH_PX = 20;
const FREEHAND_PX = 5; // Distance of the points of a line drawn by dragging.
const MOST_HANDLES = 400;

/** Fires "change" (mode or points), "finish" ({id, polygons}) and "message" ({text}). */
export class Pencil extends EventTarget {
  constructor(view, shapes) {
    super();
    this.view = view;
    this.shapes = shapes;
    this.mode = null;
    this.rings = [];
    this.dragged = null;
    this.byKeyboard = false;
    this.outline = svg("path", { class: "pencil" });
    this.cross = svg("path", { class: "crosshair", d: "M-14 0H-4M4 0H14M0-14V-4M0 4V14" });
    this.dots = svg("g");
    shapes.handles.append(this.outline, this.dots, this.cross);
    view.addEventListener("move", () => this.mode && this.#paint());
    const { osd } = view;
    osd.addHandler("canvas-click", (event) => this.mode && this.#click(event));
    osd.addHandler("canvas-double-click", (event) => {
      if (!this.mode) return;
      event.preventDefaultAction = true;
      if (this.mode === "draw") this.finish();
    });
    osd.addHandler("canvas-press", (event) => this.mode && this.#press(event));
    osd.addHandler("canvas-drag", (event) => this.mode && this.#drag(event));
    osd.addHandler("canvas-release", () => this.mode && this.#release());
  }

  /** Draw a new polygon. */
  start() {
    this.#enter("draw", null, [[]]);
    announce("Drawing. Click or press Space for a point, Enter to close the outline, Escape to cancel.");
  }

  /** Change the points of a polygon. */
  edit(id, polygons) {
    const tolerance = 0.7 / this.view.scale;
    const rings = polygons.flat();
    const points = rings.reduce((sum, ring) => sum + ring.length, 0);
    // The outline of a lesion follows the grid and has hundreds of points: those that cannot be told apart are dropped.
    const simple = rings.map((ring) => (points > 60 ? simplify(ring, tolerance) : ring).slice(0, -1));
    const sizes = polygons.map((polygon) => polygon.length);
    this.#enter("edit", id, simple.map((ring) => ring.map((point) => [...point])), sizes);
    announce("Editing. Drag points, click a small point to add one, Delete removes the point selected with comma and period.");
  }

  #enter(mode, id, rings, sizes = [1]) {
    this.mode = mode;
    this.id = id;
    this.rings = rings;
    this.sizes = sizes;
    this.chosen = mode === "edit" ? { ring: 0, at: 0 } : null;
    this.byKeyboard = false;
    this.view.stage.classList.add("drawing");
    this.#changed();
  }

  cancel() {
    this.mode = null;
    this.view.stage.classList.remove("drawing");
    this.dots.replaceChildren();
    this.outline.removeAttribute("d");
    this.cross.classList.remove("on");
    this.dispatchEvent(new Event("change"));
  }

  finish() {
    if (this.rings.some((ring) => ring.length < 3)) return this.#say("An outline needs at least 3 points.");
    const closed = this.rings.map((ring) => [...ring.map(([x, y]) => [round(x), round(y)]), [round(ring[0][0]), round(ring[0][1])]]);
    if (closed.some(crossesItself)) return this.#say("The outline crosses itself: move a point, or remove the last one with Backspace.");
    const polygons = [];
    for (const size of this.sizes) polygons.push(closed.splice(0, size));
    const { id } = this;
    this.cancel();
    this.dispatchEvent(new CustomEvent("finish", { detail: { id, polygons: polygonsOf(geometryOf(polygons)) } }));
  }

  #say(text) {
    this.dispatchEvent(new CustomEvent("message", { detail: { text } }));
  }

  /** Add a point at the center of the view, under the crosshair. */
  addAtCenter() {
    this.byKeyboard = true;
    const { x, y } = this.view.center;
    this.rings[0].push([x, y]);
    announce(`Point ${this.rings[0].length}`);
    this.#changed();
  }

  showCrosshair() {
    this.byKeyboard = true;
    this.#paint();
  }

  removeLast() {
    if (this.mode === "draw") this.rings[0].pop();
    else return this.removeChosen();
    this.#changed();
  }

  choose(step) {
    if (!this.chosen) return;
    let { ring, at } = this.chosen;
    at += step;
    if (at < 0 || at >= this.rings[ring].length) {
      ring = (ring + step + this.rings.length) % this.rings.length;
      at = step > 0 ? 0 : this.rings[ring].length - 1;
    }
    this.chosen = { ring, at };
    announce(`Point ${at + 1} of ${this.rings[ring].length}`);
    this.#paint();
  }

  moveChosen(x, y) {
    if (!this.chosen) return;
    const point = this.rings[this.chosen.ring][this.chosen.at];
    const screen = this.view.matrix.transformPoint({ x: point[0], y: point[1] });
    const to = this.view.toSlide({ x: screen.x + x, y: screen.y + y });
    [point[0], point[1]] = [to.x, to.y];
    this.#changed();
  }

  removeChosen() {
    if (!this.chosen) return;
    const ring = this.rings[this.chosen.ring];
    if (ring.length <= 3) return this.#say("An outline needs at least 3 points.");
    ring.splice(this.chosen.at, 1);
    this.chosen.at = Math.min(this.chosen.at, ring.length - 1);
    this.#changed();
  }

  addAfterChosen() {
    if (!this.chosen) return;
    const ring = this.rings[this.chosen.ring];
    const [x1, y1] = ring[this.chosen.at];
    const [x2, y2] = ring[(this.chosen.at + 1) % ring.length];
    ring.splice(++this.chosen.at, 0, [(x1 + x2) / 2, (y1 + y2) / 2]);
    this.#changed();
  }

  #click(event) {
    if (!event.quick) return;
    event.preventDefaultAction = true;
    if (this.mode !== "draw") return;
    this.byKeyboard = false;
    const near = event.pointerType === "touch" ? NEAR_TOUCH_PX : NEAR_PX;
    const [ring] = this.rings;
    if (ring.length > 2 && this.#distance(ring[0], event.position) < near) return this.finish();
    if (ring.length && this.#distance(ring.at(-1), event.position) < 2) return;
    const { x, y } = this.view.toSlide(event.position);
    ring.push([x, y]);
    this.#changed();
  }

  #press(event) {
    if (this.mode !== "edit") return;
    const near = event.pointerType === "touch" ? NEAR_TOUCH_PX : NEAR_PX;
    const handle = this.#nearest(event.position, near);
    if (!handle) return;
    if (handle.middle) {
      this.rings[handle.ring].splice(handle.at, 0, handle.point);
    }
    this.chosen = { ring: handle.ring, at: handle.at };
    this.dragged = this.rings[handle.ring][handle.at];
    this.#changed();
  }

  #nearest(position, near) {
    let [found, closest] = [null, near];
    for (const [ring, points] of this.rings.entries()) {
      for (const [at, point] of points.entries()) {
        const distance = this.#distance(point, position);
        if (distance < closest) [found, closest] = [{ ring, at, middle: false }, distance];
      }
    }
    if (found) return found;
    for (const [ring, points] of this.rings.entries()) {
      for (const [at, [x, y]] of points.entries()) {
        const [nextX, nextY] = points[(at + 1) % points.length];
        const point = [(x + nextX) / 2, (y + nextY) / 2];
        const distance = this.#distance(point, position);
        if (distance < closest) [found, closest] = [{ ring, at: at + 1, middle: true, point }, distance];
      }
    }
    return found;
  }

  #drag(event) {
    if (this.mode === "edit") {
      if (!this.dragged) return;
      event.preventDefaultAction = true;
      const { x, y } = this.view.toSlide(event.position);
      [this.dragged[0], this.dragged[1]] = [x, y];
      this.#paint();
      return;
    }
    event.preventDefaultAction = true;
    const [ring] = this.rings;
    if (ring.length && this.#distance(ring.at(-1), event.position) < FREEHAND_PX) return;
    const { x, y } = this.view.toSlide(event.position);
    ring.push([x, y]);
    this.freehand = true;
    this.#paint();
  }

  #release() {
    if (this.mode === "draw" && this.freehand) {
      this.freehand = false;
      const [ring] = this.rings;
      const first = ring[0];
      const end = ring.at(-1);
      const screen = this.view.matrix.transformPoint({ x: end[0], y: end[1] });
      this.rings[0] = simplify(ring, 0.8 / this.view.scale);
      if (ring.length > 8 && this.#distance(first, screen) < NEAR_TOUCH_PX) return this.finish();
    }
    this.dragged = null;
    this.#changed();
  }

  #distance([x, y], position) {
    const at = this.view.matrix.transformPoint({ x, y });
    return Math.hypot(at.x - position.x, at.y - position.y);
  }

  #changed() {
    this.#paint();
    this.dispatchEvent(new Event("change"));
  }

  #paint() {
    const { matrix } = this.view;
    const size = this.view.viewport.getContainerSize();
    const screen = this.rings.map((ring) => ring.map(([x, y]) => matrix.transformPoint({ x, y })));
    const open = this.mode === "draw" ? "" : "Z";
    this.outline.setAttribute("d", screen.filter((ring) => ring.length).map((ring) => `M${ring.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}${open}`).join(""));
    const dots = [];
    for (const [ring, points] of screen.entries()) {
      for (const [at, { x, y }] of points.entries()) {
        if (x < -20 || y < -20 || x > size.x + 20 || y > size.y + 20 || dots.length > MOST_HANDLES) continue;
        const chosen = this.chosen?.ring === ring && this.chosen.at === at;
        dots.push(svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: chosen ? 6 : 4.5, class: chosen ? "dot chosen" : "dot" }));
        if (this.mode === "edit" && points.length > 1) {
          const next = points[(at + 1) % points.length];
          if (Math.hypot(next.x - x, next.y - y) > 24) {
            dots.push(svg("circle", { cx: ((x + next.x) / 2).toFixed(1), cy: ((y + next.y) / 2).toFixed(1), r: 2.8, class: "dot middle" }));
          }
        }
      }
    }
    this.dots.replaceChildren(...dots);
    this.cross.setAttribute("transform", `translate(${size.x / 2} ${size.y / 2})`);
    this.cross.classList.toggle("on", this.mode === "draw" && this.byKeyboard);
  }
}

function round(value) {
  return Math.round(value * 10) / 10;
}
