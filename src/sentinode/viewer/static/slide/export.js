// The current view as a picture, contours and annotations as files.

import { api, query } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { contourSegments, joinSegments } from "./contours.js";
import { polygonsOf } from "./geometry.js";
import { byteOf } from "./heatmap.js";

const FIGURE_PX = 2000;

export function exportMenu(page) {
  const item = (label, about, run) =>
    h("button", { onclick: () => (menu.removeAttribute("open"), act(label, run)) }, h("span", {}, label), h("span", { class: "soft" }, about));
  const act = async (label, run) => {
    try {
      await run();
    } catch (error) {
      page.app.message(`${label}: ${error.message}`, "bad");
    }
  };
  const menu = h(
    "details",
    { class: "menu" },
    h("summary", { class: "button", title: "Export", "aria-label": "Export" }, icon("save"), h("span", {}, "Export")),
    h(
      "div",
      { class: "menu-items" },
      item("Figure of this view", "PNG with scale bar", () => figure(page)),
      page.slide.results.length ? item("Contours of this view", "SVG in level-0 px", () => contours(page)) : null,
      item("Annotations", "GeoJSON for QuPath", () => annotations(page)),
    ),
  );
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  menu.addEventListener("focusout", (event) => !menu.contains(event.relatedTarget) && event.relatedTarget && (menu.open = false));
  return menu;
}

async function figure(page) {
  const { view, overlay, slide, result } = page;
  const [x, y, w, h] = clipped(view.bounds, slide);
  const { threshold, opacity, colors } = overlay.style;
  const drawn = result && overlay.shown.all && (overlay.shown.heatmap || overlay.shown.contours);
  const width = Math.min(FIGURE_PX, Math.max(w, 200));
  const asked = query({ x, y, w, h, width, ...(drawn ? { result: result.id, threshold, opacity: overlay.shown.heatmap ? opacity : 0, colors } : {}) });
  save(await api(`api/slides/${slide.id}/figure.png${asked}`, { as: "blob" }), `${stem(slide)}-${x}-${y}.png`);
  if (view.rotation % 360) page.app.message("The figure shows this region without rotation.");
}

async function contours(page) {
  const { overlay, slide } = page;
  if (!overlay.heatmap) throw new Error("the heat map is still loading; try again in a moment.");
  const [x, y, w, h] = clipped(page.view.bounds, slide);
  const { grid, levels: [level] } = overlay.heatmap;
  const { step_level0_px: step, origin_px: origin } = grid;
  const limit = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
  const [from, to] = [limit((x - origin) / step, level.columns), limit((x + w - origin) / step + 1, level.columns)];
  const [first, last] = [limit((y - origin) / step, level.rows), limit((y + h - origin) / step + 1, level.rows)];
  const bytes = overlay.heatmap.window(level, from, first, to, last);
  const lines = joinSegments(contourSegments(bytes, to - from, last - first, byteOf(overlay.style.threshold)));
  const number = (value) => Number(value.toFixed(1));
  const path = (points, closed) => `M${points.map(([px, py]) => `${number(px)} ${number(py)}`).join("L")}${closed ? "Z" : ""}`;
  const drawn = lines.map((line) => {
    const points = [];
    for (let at = 0; at < line.length; at += 2) points.push([origin + (from + line[at]) * step, origin + (first + line[at + 1]) * step]);
    // A line that ends at the border of the view, or where two meet, must not be closed across the lesion.
    return path(points, line[0] === line.at(-2) && line[1] === line.at(-1));
  });
  const regions = page.items.filter((item) => item.decision === "accepted").flatMap((item) => polygonsOf(item.polygons).flat().map((ring) => path(ring, true)));
  const stroke = w / 600;
  const text = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${x} ${y} ${w} ${h}" fill="none" stroke-width="${stroke}" stroke-linejoin="round">`,
    `<title>Contours at probability ${overlay.style.threshold} in level-0 px; research use only</title>`,
    `<path id="contours" stroke="#d55e00" d="${drawn.join("")}"/>`,
    `<path id="accepted" stroke="#0072b2" d="${regions.join("")}"/>`,
    "</svg>\n",
  ].join("\n");
  save(new Blob([text], { type: "image/svg+xml" }), `${stem(slide)}-contours.svg`);
}

async function annotations(page) {
  save(await api(`api/slides/${page.slide.id}/annotations.geojson`, { as: "blob" }), `${stem(page.slide)}.annotations.geojson`);
}

function clipped([x, y, width, height], slide) {
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  return [left, top, Math.max(1, Math.min(slide.width_px, x + width) - left), Math.max(1, Math.min(slide.height_px, y + height) - top)];
}

function stem(slide) {
  return slide.name.replace(/\.[^.]+$/, "").replace(/[^\w.-]+/g, "-");
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
