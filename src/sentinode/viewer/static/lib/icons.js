// Icons as strokes on a grid of 20 px.

import { svg } from "./dom.js";

const PATHS = {
  back: "M12 4l-6 6 6 6",
  close: "M5 5l10 10M15 5L5 15",
  check: "M4 10.5l4 4 8-9",
  cross: "M5 5l10 10M15 5L5 15",
  question: "M7.2 7.4a2.8 2.8 0 115 1.9c-.9.9-2.2 1.2-2.2 2.7M10 15v.4",
  undo: "M7 4L3.5 7.5 7 11M4 7.5h8a4.5 4.5 0 010 9H8",
  redo: "M13 4l3.5 3.5L13 11M16 7.5H8a4.5 4.5 0 000 9h4",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4",
  left: "M4 10a6.2 6.2 0 106.2-6.2H6M8.5 1.2L5.8 3.8l2.7 2.7",
  right: "M16 10a6.2 6.2 0 11-6.2-6.2H14M11.5 1.2l2.7 2.6-2.7 2.7",
  draw: "M3.5 16.5l1-4L14 3l3 3-9.500 9.500zM12 5l3 3",
  inspect: "M10 2.500v3M10 14.500v3M2.500 10h3M14.500 10h3M10 5.500a4.500 4.500 0 100 9 4.500 4.500 0 000-9z",
  layers: "M10 3l7 4-7 4-7-4zM3 11l7 4 7-4",
  compare: "M3 4h14v12H3zM10 4v12",
  save: "M10 3v9M6 8.500l4 4 4-4M3.500 16.500h13",
  panel: "M3 4h14v12H3zM12.500 4v12",
  play: "M6 4l10 6-10 6z",
  stop: "M5.500 5.500h9v9h-9z",
  help: "M7.2 7.4a2.8 2.8 0 115 1.900c-.9.9-2.200 1.200-2.200 2.700M10 15v.4",
  trash: "M4 6h12M8 6V4h4v2M5.500 6l1 11h7l1-11",
  warn: "M10 3l7.500 13.500h-15zM10 8v4M10 14.200v.3",
  list: "M7 5h10M7 10h10M7 15h10M3 5h.5M3 10h.5M3 15h.5",
};

/** An icon without meaning for screen readers: the control around it has a name. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}
