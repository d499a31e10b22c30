// Outlines of lesions and of drawn regions, as SVG over the slide.

import { everyFrame, svg } from "../lib/dom.js";
import { boundsOfPolygons, contains, pathData } from "./geometry.js";

export class Shapes {
  constructor(view) {
    this.view = view;
    this.world = svg("g");
    this.handles = svg("g");
    this.root = svg("svg", { class: "shapes", "aria-hidden": "true" }, this.world, this.handles);
    view.layers.append(this.root);
    this.items = new Map();
    this.selected = null;
    const follow = () => this.#follow();
    view.addEventListener("move", follow);
    this.follow = everyFrame(follow);
  }

  #follow() {
    if (!this.view.ready) return;
    const { a, b, c, d, e, f } = this.view.matrix;
    this.world.setAttribute("transform", `matrix(${a} ${b} ${c} ${d} ${e} ${f})`);
  }

  /** Show these: {id, polygons, decision, kind, label}. Those that did not change stay as they are. */
  set(items) {
    const kept = new Map();
    for (const item of items) {
      const old = this.items.get(item.id);
      const shape = { ...item, path: old?.path ?? svg("path", { "vector-effect": "non-scaling-stroke" }) };
      if (old?.polygons === item.polygons) {
        shape.bounds = old.bounds;
      } else {
        shape.bounds = boundsOfPolygons(item.polygons);
        shape.path.setAttribute("d", pathData(item.polygons));
      }
      this.#dress(shape);
      kept.set(item.id, shape);
      if (!old) this.world.append(shape.path);
    }
    for (const [id, old] of this.items) if (!kept.has(id)) old.path.remove();
    this.items = kept;
    this.follow();
  }

  #dress({ id, kind, decision, label, path }) {
    const names = ["shape", kind, decision ?? "open", `is-${label.toLowerCase()}`, id === this.selected ? "selected" : ""];
    path.setAttribute("class", names.join(" ").trim());
  }

  select(id) {
    const before = this.items.get(this.selected);
    this.selected = id;
    for (const shape of [before, this.items.get(id)]) if (shape) this.#dress(shape);
    const shape = this.items.get(id);
    if (shape) this.world.append(shape.path); // On top of its neighbors.
  }

  /** The smallest shape at a place in level-0 px, or null. */
  hit(x, y, slack = 0) {
    let [found, size] = [null, Infinity];
    for (const shape of this.items.values()) {
      const [left, top, width, height] = shape.bounds;
      if (x < left - slack || y < top - slack || x > left + width + slack || y > top + height + slack) continue;
      const inside = contains(shape.polygons, x, y) || (slack && Math.max(width, height) < 2 * slack);
      if (inside && width * height < size) [found, size] = [shape.id, width * height];
    }
    return found;
  }

  set visible(shown) {
    this.world.classList.toggle("off", !shown);
  }
}
