// What is under the cursor, the magnification, and the scale bar.

import { everyFrame, h } from "../lib/dom.js";
import * as format from "../lib/format.js";

const BAR_PX = 140; // The scale bar is at most this long.

/** The line below the slide. `heatmap()` returns the heat map on screen or null. */
export function statusBar(view, heatmap) {
  const spacing = view.slide.spacing_um_px;
  const place = h("span", { class: "place" }, "–");
  const value = h("span", { class: "value" });
  const zoom = h("span", { class: "zoom" });
  const rotation = h("span", { class: "turned" });
  let cursor = null;
  const showCursor = () => {
    if (!view.ready) return;
    const at = cursor ? view.toSlide(cursor) : null;
    const inside = at && at.x >= 0 && at.y >= 0 && at.x < view.slide.width_px && at.y < view.slide.height_px;
    if (!inside) {
      place.textContent = "–";
      value.textContent = "";
      return;
    }
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    const um = spacing ? `${Math.round(at.x * spacing).toLocaleString("en-US")}, ${Math.round(at.y * spacing).toLocaleString("en-US")} µm · ` : "";
    place.textContent = `${um}${x.toLocaleString("en-US")}, ${y.toLocaleString("en-US")} px`;
    const found = heatmap()?.at(at.x, at.y);
    value.textContent = found === null || found === undefined ? "" : `probability ${format.probability(found)}`;
  };
  const inFrame = everyFrame(showCursor);
  view.stage.addEventListener("pointermove", (event) => {
    const box = view.stage.getBoundingClientRect();
    cursor = { x: event.clientX - box.left, y: event.clientY - box.top };
    inFrame();
  });
  view.stage.addEventListener("pointerleave", () => {
    cursor = null;
    inFrame();
  });
  const moved = everyFrame(() => {
    if (!view.ready) return;
    zoom.textContent = spacing ? `${format.magnification(view.magnification)} · ${(spacing / view.scale).toPrecision(2)} µm/px` : `${(view.scale * 100).toPrecision(2)} % of full resolution`;
    const turned = ((Math.round(view.rotation) % 360) + 360) % 360;
    rotation.textContent = turned ? `turned ${turned}°` : "";
    showCursor();
  });
  view.addEventListener("move", moved);
  return {
    element: h("div", { class: "status", role: "group", "aria-label": "Position and magnification" }, place, value, h("span", { class: "grow" }), rotation, zoom),
    /** The cursor's place in level-0 px, or the center of the view. */
    get at() {
      return cursor ? view.toSlide(cursor) : view.center;
    },
  };
}

/** The scale bar on the slide. */
export function scaleBar(view) {
  const text = h("span");
  const bar = h("span", { class: "rule" });
  const element = h("div", { class: "scalebar", role: "img" }, text, bar);
  const spacing = view.slide.spacing_um_px;
  view.addEventListener(
    "move",
    everyFrame(() => {
      if (!view.ready) return;
      const unit = spacing ? spacing / view.scale : 1 / view.scale;
      const longest = unit * BAR_PX;
      const power = 10 ** Math.floor(Math.log10(longest));
      const length = [5, 2, 1].find((factor) => factor * power <= longest) * power;
      const name = spacing ? format.length(length) : `${length.toLocaleString("en-US")} px`;
      if (text.textContent !== name) {
        text.textContent = name;
        element.setAttribute("aria-label", `Scale bar: ${name}`);
      }
      bar.style.width = `${length / unit}px`;
    }),
  );
  return element;
}
