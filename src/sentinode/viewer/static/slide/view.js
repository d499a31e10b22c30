// A slide on screen: OpenSeadragon, and the way between level-0 px of the slide and px of the screen.

import { api } from "../lib/api.js";
import { h } from "../lib/dom.js";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const PARTS = "Parts of the slide cannot be read: the file may be damaged or missing, or the server is busy.";
const MAGNIFICATION_1_UM = 10; // At 1 µm per px of the screen a slide looks as through a 10× objective.

/** Fires "move" for each frame in which the view changes, "click" ({x, y} in level-0 px), and "failed" ({message}). */
export class SlideView extends EventTarget {
  #unreadable = false; // Part of the file, until the page is loaded again.

  constructor(stage, slide, { navigator = true } = {}) {
    super();
    this.slide = slide;
    this.stage = stage;
    this.layers = h("div", { class: "layers" });
    const element = h("div", { class: "openseadragon" });
    stage.append(element);
    forbidInlineStyle();
    const OpenSeadragon = globalThis.OpenSeadragon;
    this.osd = OpenSeadragon({
      element,
      tileSources: {
        width: slide.width_px,
        height: slide.height_px,
        tileSize: slide.tile_px,
        tileOverlap: slide.overlap_px,
        maxLevel: slide.max_level,
        minLevel: Math.min(8, slide.max_level),
        getTileUrl: (level, x, y) => `api/slides/${slide.id}/tiles/${level}/${x}_${y}.jpg`,
      },
      drawer: hasGpu() ? ["webgl", "canvas"] : ["canvas"],
      showNavigationControl: false,
      showNavigator: navigator,
      navigatorPosition: "TOP_LEFT",
      navigatorAutoFade: false,
      navigatorSizeRatio: 0.15,
      navigatorRotate: false,
      keyboardNavEnabled: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: true },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, pinchRotate: false },
      gestureSettingsPen: { clickToZoom: false },
      animationTime: STILL.matches ? 0 : 0.45,
      springStiffness: 9,
      zoomPerScroll: 1.25,
      maxZoomPixelRatio: 4,
      minZoomImageRatio: 0.7,
      visibilityRatio: 0.4,
      imageLoaderLimit: 6,
      maxImageCacheCount: 400,
      immediateRender: false,
      drawCrossOrigin: false,
      timeout: 60000,
      tileRetryMax: 2,
      tileRetryDelay: 800,
    });
    // OpenSeadragon makes its canvas a stop of the Tab key and describes it; this is the stage's part here.
    this.osd.canvas.tabIndex = -1;
    this.osd.canvas.after(this.layers); // Below the overview map.
    this.osd.addHandler("update-viewport", () => this.dispatchEvent(new Event("move")));
    this.osd.addHandler("resize", () => this.dispatchEvent(new Event("move")));
    this.osd.addHandler("canvas-click", (event) => {
      if (!event.quick) return;
      const place = this.toSlide(event.position);
      this.dispatchEvent(new CustomEvent("click", { detail: { ...place, touch: event.pointerType === "touch" } }));
    });
    this.osd.addHandler("open-failed", () => this.#fail("Cannot display the slide."));
    let failed = 0;
    this.osd.addHandler("tile-load-failed", ({ tile }) => {
      failed += 1;
      if (failed === 1) this.#explain(tile.getUrl());
    });
    this.osd.addHandler("tile-loaded", () => {
      if (failed > 0 && !this.#unreadable) this.dispatchEvent(new Event("recovered"));
      failed = 0;
    });
  }

  /** Say why a tile is missing, by asking for it once more: an image does not tell. */
  async #explain(address) {
    try {
      await api(address, { as: "blob" });
    } catch (error) {
      this.#unreadable = error.status === 410 || error.status === 422;
      this.#fail(error.status > 0 ? error.message : PARTS);
    }
  }

  #fail(message) {
    this.dispatchEvent(new CustomEvent("failed", { detail: { message } }));
  }

  get ready() {
    return this.osd.world.getItemCount() > 0;
  }

  get viewport() {
    return this.osd.viewport;
  }

  /** Call once the slide is open. */
  whenReady(call) {
    if (this.ready) call();
    else this.osd.addOnceHandler("open", call);
  }

  /** Screen px per level-0 px. */
  get scale() {
    return (this.viewport.getZoom(true) * this.viewport.getContainerSize().x) / this.slide.width_px;
  }

  get magnification() {
    const spacing = this.slide.spacing_um_px;
    return spacing ? (MAGNIFICATION_1_UM * this.scale) / spacing : NaN;
  }

  get rotation() {
    return this.viewport.getRotation(true);
  }

  get center() {
    const { x, y } = this.viewport.getCenter(true);
    return { x: x * this.slide.width_px, y: y * this.slide.width_px };
  }

  /** The matrix from level-0 px to px of the stage. */
  get matrix() {
    const { x, y } = this.center;
    const size = this.viewport.getContainerSize();
    return new DOMMatrix().translate(size.x / 2, size.y / 2).rotate(this.rotation).scale(this.scale).translate(-x, -y);
  }

  toSlide({ x, y }) {
    const place = this.matrix.inverse().transformPoint({ x, y });
    return { x: place.x, y: place.y };
  }

  /** The part of the slide on screen, as [x, y, width, height] in whole level-0 px, and its full resolution. */
  get bounds() {
    const size = this.viewport.getContainerSize();
    return boundsOf([[0, 0], [size.x, 0], [size.x, size.y], [0, size.y]].map(([x, y]) => this.toSlide({ x, y })));
  }

  /** Zoom about the center so that the slide looks as through an objective of this magnification. */
  magnify(magnification) {
    const scale = (magnification * this.slide.spacing_um_px) / MAGNIFICATION_1_UM;
    this.viewport.zoomTo((scale * this.slide.width_px) / this.viewport.getContainerSize().x);
    this.viewport.applyConstraints();
  }

  zoomBy(factor) {
    this.viewport.zoomBy(factor);
    this.viewport.applyConstraints();
  }

  home() {
    this.viewport.goHome();
    this.viewport.setRotation(0);
  }

  rotateBy(degrees) {
    this.viewport.setRotation(this.viewport.getRotation() + degrees);
  }

  /** Move by px of the screen. */
  pan(x, y) {
    const angle = (-this.rotation * Math.PI) / 180;
    const size = this.viewport.getContainerSize().x * this.viewport.getZoom(false);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    this.viewport.panBy(new globalThis.OpenSeadragon.Point((x * cos - y * sin) / size, (x * sin + y * cos) / size));
    this.viewport.applyConstraints();
  }

  /** Show a part of the slide, [x, y, width, height] in level-0 px, with its surroundings. */
  flyTo([x, y, width, height], margin = 0.6) {
    const wide = this.slide.width_px;
    // Not closer than 1 screen px per level-0 px: beyond it nothing more can be seen.
    const size = this.viewport.getContainerSize();
    const [w, h] = [Math.max(width * (1 + margin), size.x), Math.max(height * (1 + margin), size.y)];
    const [left, top] = [x + (width - w) / 2, y + (height - h) / 2];
    this.viewport.fitBounds(new globalThis.OpenSeadragon.Rect(left / wide, top / wide, w / wide, h / wide));
  }

  /** Center, zoom and rotation as text for the address, and back. */
  get place() {
    const { x, y } = this.center;
    return [Math.round(x), Math.round(y), this.scale.toPrecision(4), Math.round(this.rotation)].join(",");
  }

  set place(text) {
    const [x, y, scale, rotation] = text.split(",").map(Number);
    if (![x, y, scale, rotation].every(Number.isFinite) || scale <= 0) return;
    const wide = this.slide.width_px;
    this.viewport.setRotation(rotation, true);
    this.viewport.zoomTo((scale * wide) / this.viewport.getContainerSize().x, null, true);
    this.viewport.panTo(new globalThis.OpenSeadragon.Point(x / wide, y / wide), true);
  }

  destroy() {
    this.osd.destroy();
    this.stage.replaceChildren();
  }
}

function boundsOf(points) {
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top].map(Math.round);
}

// OpenSeadragon adds a style element, which the content security policy would refuse, unless it finds one with this mark;
// one of another namespace is no style sheet and does not concern the policy.
function forbidInlineStyle() {
  const mark = "data-openseadragon-mobile-css";
  if (document.querySelector(`style[${mark}]`)) return;
  const style = document.createElementNS("urn:sentinode", "style");
  style.setAttribute(mark, "");
  document.head.append(style);
}

// Without a GPU browsers emulate WebGL on the processor, and drawing on a plain canvas is faster.
function hasGpu() {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) return false;
  const known = context.getExtension("WEBGL_debug_renderer_info");
  const name = known ? context.getParameter(known.UNMASKED_RENDERER_WEBGL) : "";
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|software|basic render/i.test(name);
}
