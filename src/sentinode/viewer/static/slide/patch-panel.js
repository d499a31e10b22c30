// What the network says about the patch under the cursor.

import { api, query } from "../lib/api.js";
import { announce, h, replace, svg } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { icon } from "../lib/icons.js";

const PATCH_PX = 96;
const CENTER_PX = 32; // The part that the label is about.

function neighbor({ index, label, similarity }) {
  const name = label === 1 ? "Tumour" : "Normal";
  return h("li", {}, h("img", { src: `api/patches/sheet.jpg?indices=${index}&columns=1`, alt: "", width: 64, height: 64, loading: "lazy" }), h("span", {}, name), h("span", { class: "soft" }, format.probability(similarity)));
}

export class PatchPanel {
  constructor(page) {
    this.page = page;
    this.armed = false;
    this.element = h("section", { class: "patch block", "aria-label": "Patch", hidden: true });
    this.frame = svg("path", { class: "patch-frame", "vector-effect": "non-scaling-stroke" });
    page.shapes.world.append(this.frame);
    page.view.addEventListener("move", () => this.frame.parentNode.lastChild !== this.frame && this.frame.parentNode.append(this.frame));
    page.view.osd.addHandler("canvas-double-click", (event) => {
      if (page.pencil.mode || !this.armed) return;
      event.preventDefaultAction = true;
    });
  }

  /** The next click shows the patch there. */
  arm(armed = !this.armed) {
    this.armed = armed;
    this.page.inspectButton.setAttribute("aria-pressed", String(armed));
    this.page.stage.classList.toggle("inspecting", armed);
    if (armed) announce("Click a place on the slide to inspect its patch");
    else if (!this.element.hidden) this.close();
  }

  async show(x, y) {
    const { page } = this;
    this.request?.abort();
    this.request = new AbortController();
    const place = query({ x: Math.round(x), y: Math.round(y), result: page.result?.id });
    const path = `api/slides/${page.slide.id}`;
    this.element.hidden = false;
    this.element.setAttribute("aria-busy", "true");
    if (!this.element.children.length) replace(this.element, this.#header(), h("p", { class: "soft" }, "Computing …"));
    try {
      const patch = await api(`${path}/patch${place}`, { signal: this.request.signal });
      this.#frame(x, y, patch);
      this.#fill(patch, `${path}/patch.png${place}`, patch.attribution ? `${path}/attribution.png${place}` : null);
      announce(`Probability ${format.probability(patch.probability, 3)}${patch.warning ? `. ${patch.warning}` : ""}`);
    } catch (error) {
      if (error.name === "AbortError") return;
      replace(this.element, this.#header(), h("p", { class: "soft" }, error.message));
    } finally {
      this.element.removeAttribute("aria-busy");
    }
  }

  #header() {
    return h("header", {}, h("h2", {}, "Patch"), h("span", { class: "grow" }), h("button", { class: "plain", "aria-label": "Close the patch", onclick: () => this.close() }, icon("close")));
  }

  #fill(patch, picture, attribution) {
    const side = PATCH_PX * (patch.spacing_um_px ?? 1);
    const image = (source, text) => h("figure", {}, h("span", { class: "picture" }, h("img", { src: source, alt: text, width: 128, height: 128 })), h("figcaption", {}, text));
    const above = patch.probability >= patch.threshold;
    replace(
      this.element,
      this.#header(),
      h("p", { class: "verdict" }, h("b", {}, format.probability(patch.probability, 3)), h("span", { class: "soft" }, ` ${above ? "at or above" : "below"} the threshold ${format.probability(patch.threshold)}`)),
      patch.warning ? h("p", { class: "warning" }, icon("warn"), h("span", {}, patch.warning)) : null,
      h("div", { class: "pictures" }, image(picture, `${Math.round(side)} µm wide`), attribution ? image(attribution, "Attribution map") : null),
      h("p", { class: "soft small" }, "The probability refers to tumour in the marked center."),
      patch.neighbors?.length
        ? h("details", {}, h("summary", {}, "Nearest training patches"), h("ul", { class: "neighbors" }, patch.neighbors.map(neighbor)))
        : null,
    );
  }

  #frame(x, y, { spacing_um_px: spacing }) {
    const factor = spacing && this.page.slide.spacing_um_px ? spacing / this.page.slide.spacing_um_px : 1;
    const square = (px) => {
      const half = (px * factor) / 2;
      return `M${x - half} ${y - half}h${2 * half}v${2 * half}h${-2 * half}Z`;
    };
    this.frame.setAttribute("d", square(PATCH_PX) + square(CENTER_PX));
  }

  close() {
    this.element.hidden = true;
    this.element.replaceChildren();
    this.frame.removeAttribute("d");
    if (this.armed) this.arm(false);
  }
}
