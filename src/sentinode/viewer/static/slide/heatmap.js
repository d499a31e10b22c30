// The probabilities of a scan: one byte for each position of the grid, and coarser copies of them.

import { api } from "../lib/api.js";

/** Probabilities on a grid; stored as 0: not scanned, 1 to 255: probability 0 to 1. */
export class Heatmap {
  constructor(grid, bytes) {
    this.grid = grid; // It starts at the same distance from the left and from the top.
    this.levels = [{ columns: grid.columns, rows: grid.rows, bytes, factor: 1 }];
  }

  static async load(slide, result) {
    const bytes = new Uint8Array(await api(`api/slides/${slide}/results/${result.id}/heatmap`, { as: "arrayBuffer" }));
    const { rows, columns } = result.grid;
    if (bytes.length !== rows * columns) throw new Error(`The heat map has ${bytes.length} values instead of ${rows} × ${columns}.`);
    for (let at = 0; at < bytes.length; at++) bytes[at]++; // 255, not scanned, becomes 0.
    const heatmap = new Heatmap(result.grid, bytes);
    await heatmap.#addLevels();
    return heatmap;
  }

  // A coarse position has the highest of four probabilities: a single position over the threshold can be seen from afar.
  async #addLevels() {
    for (let { columns, rows, bytes, factor } = this.levels[0]; columns > 128 || rows > 128; ) {
      const [wide, high] = [Math.ceil(columns / 2), Math.ceil(rows / 2)];
      const coarse = new Uint8Array(wide * high);
      for (let row = 0; row < rows; row++) {
        const [from, to] = [row * columns, (row >> 1) * wide];
        for (let column = 0; column < columns; column++) {
          const place = to + (column >> 1);
          if (bytes[from + column] > coarse[place]) coarse[place] = bytes[from + column];
        }
      }
      [columns, rows, bytes, factor] = [wide, high, coarse, factor * 2];
      this.levels.push({ columns, rows, bytes, factor });
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  /** The level whose cells are at least `size` screen px wide, at `scale` screen px per level-0 px. */
  levelFor(scale, size = 2) {
    return this.levels.find((level) => level.factor * this.grid.step_level0_px * scale >= size) ?? this.levels.at(-1);
  }

  /** Probability at a place in level-0 px; null where nothing was scanned. */
  at(x, y) {
    const { origin_px: origin, step_level0_px: step, columns, rows } = this.grid;
    const [column, row] = [x, y].map((at) => Math.round((at - origin) / step));
    if (column < 0 || row < 0 || column >= columns || row >= rows) return null;
    const byte = this.levels[0].bytes[row * columns + column];
    return byte ? (byte - 1) / 254 : null;
  }

  /** A part of a level: cells [left, right) × [top, bottom). */
  window(level, left, top, right, bottom) {
    const width = right - left;
    const bytes = new Uint8Array(width * (bottom - top));
    for (let row = top; row < bottom; row++) {
      const start = row * level.columns + left;
      bytes.set(level.bytes.subarray(start, start + width), (row - top) * width);
    }
    return bytes;
  }

  /** What this map says more than another, as bytes around 128 on this map's grid, and the areas above the thresholds. */
  minus(other, threshold, otherThreshold) {
    const { origin_px: origin, step_level0_px: step, step_um: um, columns, rows } = this.grid;
    const bytes = new Uint8Array(rows * columns);
    const own = this.levels[0].bytes;
    const [level, otherLevel] = [byteOf(threshold), byteOf(otherThreshold)];
    const { origin_px: otherOrigin, step_level0_px: otherStep, columns: otherColumns, rows: otherRows } = other.grid;
    const cells = { both: 0, first: 0, second: 0, neither: 0 };
    for (let row = 0; row < rows; row++) {
      const otherRow = Math.round((origin + row * step - otherOrigin) / otherStep);
      if (otherRow < 0 || otherRow >= otherRows) continue;
      for (let column = 0; column < columns; column++) {
        const byte = own[row * columns + column];
        const otherColumn = Math.round((origin + column * step - otherOrigin) / otherStep);
        if (!byte || otherColumn < 0 || otherColumn >= otherColumns) continue;
        const otherByte = other.levels[0].bytes[otherRow * otherColumns + otherColumn];
        if (!otherByte) continue;
        bytes[row * columns + column] = Math.max(1, 128 + ((byte - otherByte) >> 1));
        const [first, second] = [byte >= level, otherByte >= otherLevel];
        cells[first ? (second ? "both" : "first") : second ? "second" : "neither"]++;
      }
    }
    const area = (um / 1000) ** 2;
    return { bytes, areas: Object.fromEntries(Object.entries(cells).map(([name, number]) => [name, number * area])) };
  }
}

/** The lowest stored byte that is at or above a probability. */
export function byteOf(probability) {
  return Math.max(1, Math.ceil(probability * 254 - 1e-9) + 1);
}
