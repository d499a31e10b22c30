// Scans: start, cancel and watch them.

import { api } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

export const STATES = { "not scanned": "Not scanned", waiting: "Waiting", scanning: "Scanning", done: "Done", failed: "Failed" };

/** Start the scan of a slide; what goes wrong is shown as a message. */
export function startScan(app, slide) {
  return act(app, slide, "api/scans", { method: "POST", body: { slide: slide.id } });
}

async function act(app, slide, path, options) {
  try {
    await api(path, options);
  } catch (error) {
    app.message(`${slide.name}: ${error.message}`, "bad");
  }
}

/** The state of a slide, with progress while it is scanned, and why it failed. */
export function scanState(slide) {
  return [
    h("span", { class: `state ${slide.state}` }, STATES[slide.state]),
    slide.state === "scanning" ? h("progress", { max: 1, value: slide.progress ?? undefined, "aria-label": `Scan of ${slide.name}` }) : null,
    slide.error ? h("p", { class: "why" }, slide.error) : null,
  ];
}

/** The button that starts or cancels a scan; none where neither is possible. */
export function scanButton(app, slide) {
  if (app.session.read_only) return null;
  if (slide.can_cancel) {
    const cancel = () => act(app, slide, `api/scans/${slide.id}`, { method: "DELETE" });
    return h("button", { "aria-label": `Cancel the scan of ${slide.name}`, onclick: cancel }, icon("stop"), "Cancel");
  }
  if (!slide.can_scan) return null;
  return h("button", { "aria-label": `Scan ${slide.name}`, onclick: () => startScan(app, slide) }, icon("play"), slide.state === "failed" ? "Again" : "Scan");
}

/** Call a function with each slide whose state changes; returns what ends this. */
export function watchScans(changed) {
  const events = new EventSource("api/events");
  events.addEventListener("slide", (event) => changed(JSON.parse(event.data)));
  return () => events.close();
}
