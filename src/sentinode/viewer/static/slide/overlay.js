// The heat map, its contours and the tissue outline, drawn on a canvas somewhat larger than the view. While the view
// moves, the canvas is moved by the compositor; it is drawn again only when the view leaves it or the zoom changed.

import { h } from "../lib/dom.js";
import { contourSegments } from "./contours.js";
import { byteOf, Heatmap } from "./heatmap.js";
import { differenceTable, lookupTable } from "./colormaps.js";

const MARGIN = 0.1; // Of the view's size, on each side.
const MOST_OUTLINED = 8000; // Segments; more of them are drawn without the dark border, in half the time.
const REDRAW_AT = 1.6; // Zooming by less is shown by scaling until it ends.

export class Overlay {
  constructor(view) {
    this.view = view;
    this.canvas = h("canvas", { class: "overlay", "aria-hidden": "true" });
    this.canvas.style.transformOrigin = "0 0";
    view.layers.append(this.canvas);
    this.shown = { heatmap: true, contours: true, tissue: false, all: true };
    this.style = { threshold: 0.5, opacity: 0.45, colors: "viridis" };
    this.heatmap = null;
    this.differences = null;
    this.tissue = null;
    this.drawn = null;
    this.moving = false;
    this.cells = null;
    view.addEventListener("move", () => this.#follow());
    view.osd.addHandler("animation-start", () => (this.moving = true));
    view.osd.addHandler("animation-finish", () => {
      this.moving = false;
      this.#follow();
    });
  }

  /** Show this heat map from now on (null: none). */
  setHeatmap(heatmap) {
    this.heatmap = heatmap;
    this.cells = null;
    this.update();
  }

  /** Show differences to another heat map, from `Heatmap.minus`, instead of probabilities (null: probabilities again). */
  setDifferences(bytes) {
    this.differences = bytes && new Heatmap(this.heatmap.grid, bytes);
    this.cells = null;
    this.update();
  }

  /** Outline tissue: the coordinates of a MultiPolygon in level-0 px. */
  setTissue(polygons) {
    this.tissue = new Path2D();
    for (const ring of polygons.flat()) {
      ring.forEach(([x, y], at) => (at ? this.tissue.lineTo(x, y) : this.tissue.moveTo(x, y)));
      this.tissue.closePath();
    }
    this.update();
  }

  /** Draw with changed settings in the next frame. */
  update() {
    this.drawn = null;
    // The slide below is not drawn again: together, both would take too long for a frame.
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#follow();
    });
  }

  #follow() {
    if (!this.view.ready) return;
    const now = this.view.matrix;
    if (this.drawn) {
      const change = now.multiply(this.drawn.inverse);
      const zoomed = Math.hypot(change.a, change.b);
      const exact = Math.abs(zoomed - 1) < 0.001 && Math.abs(change.b) < 1e-6;
      if (this.#covers(change) && (exact || (this.moving && zoomed < REDRAW_AT && zoomed > 1 / REDRAW_AT))) {
        this.canvas.style.transform = change.toString();
        return;
      }
    }
    this.#draw(now);
  }

  #covers(change) {
    const { width, height } = this.drawn;
    const back = change.inverse();
    const size = this.view.viewport.getContainerSize();
    return [[0, 0], [size.x, 0], [size.x, size.y], [0, size.y]].every(([x, y]) => {
      const at = back.transformPoint({ x, y });
      return at.x >= -1 && at.y >= -1 && at.x <= width + 1 && at.y <= height + 1;
    });
  }

  #draw(matrix) {
    const size = this.view.viewport.getContainerSize();
    const [left, top] = [Math.round(size.x * MARGIN), Math.round(size.y * MARGIN)];
    const [width, height] = [size.x + 2 * left, size.y + 2 * top];
    const ratio = Math.min(devicePixelRatio, 2);
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    // From the px of the canvas to those of the stage.
    const placed = new DOMMatrix().translate(-left, -top);
    this.canvas.style.transform = placed.toString();
    this.drawn = { width, height, inverse: placed.inverse().multiply(matrix).inverse() };
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const toCanvas = new DOMMatrix().scale(ratio).multiply(placed.inverse()).multiply(matrix);
    if (this.shown.all) this.#paint(context, toCanvas, ratio, width, height);
  }

  #paint(context, toCanvas, ratio, width, height) {
    const scale = this.view.scale;
    if (this.heatmap && (this.shown.heatmap || this.shown.contours)) {
      const cells = this.#visibleCells(toCanvas, scale, width * ratio, height * ratio);
      if (cells) {
        const { step_level0_px: step, origin_px: origin } = this.heatmap.grid;
        const { level, left, top } = cells;
        const cellPx = level.factor * step;
        const corner = [left, top].map((cell) => origin + (cell * level.factor - 0.5) * step);
        const toCells = toCanvas.translate(...corner).scale(cellPx);
        if (this.shown.heatmap || this.differences) {
          context.setTransform(toCells);
          context.globalAlpha = this.differences ? 0.85 : this.style.opacity;
          context.imageSmoothingEnabled = false;
          context.drawImage(this.#image(cells), 0, 0);
          context.globalAlpha = 1;
        }
        if (this.shown.contours && !this.differences) {
          context.setTransform(toCells.translate(0.5, 0.5));
          const { path, count } = this.#contours(cells);
          this.#stroke(context, path, 1 / (cellPx * scale), count < MOST_OUTLINED ? "#101010" : null, "#ffd54a");
        }
      }
    }
    if (this.tissue && this.shown.tissue) {
      context.setTransform(toCanvas);
      this.#stroke(context, this.tissue, 1 / scale, "#ffffffb0", "#1f6f54");
    }
  }

  // A light line on a dark one can be seen on any stain.
  #stroke(context, path, px, below, above) {
    context.lineJoin = "round";
    for (const [color, width] of [[below, 2.6], [above, 1.3]]) {
      if (!color) continue;
      context.strokeStyle = color;
      context.lineWidth = width * px;
      context.stroke(path);
    }
  }

  // The cells that the canvas covers; kept as long as they cover it.
  #visibleCells(toCanvas, scale, width, height) {
    const source = this.differences ?? this.heatmap;
    const level = source.levelFor(scale);
    const { step_level0_px: step, origin_px: origin } = source.grid;
    const back = toCanvas.inverse();
    const corners = [[0, 0], [width, 0], [width, height], [0, height]].map(([cx, cy]) => back.transformPoint({ x: cx, y: cy }));
    const cell = level.factor * step;
    const limit = (value, most) => Math.min(Math.max(value, 0), most);
    const columns = corners.map((at) => (at.x - origin) / cell);
    const rows = corners.map((at) => (at.y - origin) / cell);
    const left = limit(Math.floor(Math.min(...columns)) - 1, level.columns);
    const right = limit(Math.ceil(Math.max(...columns)) + 2, level.columns);
    const top = limit(Math.floor(Math.min(...rows)) - 1, level.rows);
    const bottom = limit(Math.ceil(Math.max(...rows)) + 2, level.rows);
    if (left >= right || top >= bottom) return null;
    const kept = this.cells;
    if (kept && kept.level === level && kept.left <= left && kept.right >= right && kept.top <= top && kept.bottom >= bottom) return kept;
    const bytes = source.window(level, left, top, right, bottom);
    this.cells = { level, left, top, right, bottom, bytes, image: null, contours: null };
    return this.cells;
  }

  #image(cells) {
    const { threshold, colors } = this.style;
    const key = this.differences ? "difference" : `${threshold} ${colors}`;
    if (cells.image?.key === key) return cells.image.canvas;
    const [width, height] = [cells.right - cells.left, cells.bottom - cells.top];
    const canvas = cells.image?.canvas ?? new OffscreenCanvas(width, height);
    const table = this.differences ? differenceTable() : lookupTable(colors, threshold);
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let at = 0; at < pixels.length; at++) pixels[at] = table[cells.bytes[at]];
    canvas.getContext("2d").putImageData(image, 0, 0);
    cells.image = { key, canvas };
    return canvas;
  }

  #contours(cells) {
    const { threshold } = this.style;
    if (cells.contours?.threshold === threshold) return cells.contours;
    const segments = contourSegments(cells.bytes, cells.right - cells.left, cells.bottom - cells.top, byteOf(threshold));
    const path = new Path2D();
    for (let at = 0; at < segments.length; at += 4) {
      path.moveTo(segments[at], segments[at + 1]);
      path.lineTo(segments[at + 2], segments[at + 3]);
    }
    cells.contours = { threshold, path, count: segments.length / 4 };
    return cells.contours;
  }
}
