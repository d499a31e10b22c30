// Small pictures of parts of a slide, put together from its tiles.

import { h } from "../lib/dom.js";

/** A canvas of `size` px with the part [x, y, width, height] (level-0 px) of a slide in it, filled when its tiles are there. */
export function thumbnail(slide, [x, y, width, height], size) {
  const ratio = Math.min(devicePixelRatio, 2);
  const canvas = h("canvas", { class: "thumb", width: size * ratio, height: size * ratio, "aria-hidden": "true" });
  const side = Math.max(width, height, 256) * 1.15;
  const [left, top] = [x + (width - side) / 2, y + (height - side) / 2];
  const level = Math.min(slide.max_level, Math.max(0, slide.max_level + Math.ceil(Math.log2((size * ratio) / side))));
  const factor = 2 ** (slide.max_level - level);
  const [tile, overlap] = [slide.tile_px, slide.overlap_px];
  const scale = (size * ratio * factor) / side;
  const last = (px) => Math.max(0, Math.ceil(px / factor / tile) - 1);
  const range = (from, most) => [Math.max(0, Math.floor(from / factor / tile)), Math.min(last(most), Math.floor((from + side) / factor / tile))];
  const [fromX, toX] = range(left, slide.width_px);
  const [fromY, toY] = range(top, slide.height_px);
  const context = canvas.getContext("2d");
  for (let column = fromX; column <= toX; column++) {
    for (let row = fromY; row <= toY; row++) {
      const image = new Image();
      image.fetchPriority = "low"; // After the tiles of the view.
      image.onload = () => {
        const placeX = (column * tile - (column ? overlap : 0) - left / factor) * scale;
        const placeY = (row * tile - (row ? overlap : 0) - top / factor) * scale;
        context.drawImage(image, placeX, placeY, image.naturalWidth * scale, image.naturalHeight * scale);
      };
      image.src = `api/slides/${slide.id}/tiles/${level}/${column}_${row}.jpg`;
    }
  }
  return canvas;
}
