// Lists and grids of any length: only what can be seen, and a little more, is in the document.

import { everyFrame, h } from "./dom.js";

const SPARE_ROWS = 2;

/** A listbox. `render(index)` makes the content of an item; `choose(index, how)` is called for the one chosen. */
export class VirtualList {
  constructor({ label, rowPx, columnPx = null, render, choose, seen = null }) {
    this.options = { rowPx, columnPx, render, choose, seen };
    this.count = 0;
    this.active = -1;
    this.rows = new Map();
    this.space = h("div", { class: "virtual-space", role: "presentation" });
    this.element = h("div", { class: "virtual", role: "listbox", tabindex: "0", "aria-label": label }, this.space);
    this.name = `list-${Math.random().toString(36).slice(2, 8)}`;
    const layout = everyFrame(() => this.#layout());
    this.element.addEventListener("scroll", layout, { passive: true });
    this.resizing = new ResizeObserver(layout);
    this.resizing.observe(this.element);
    this.element.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.choose(Number(item.dataset.index), "click");
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  get columns() {
    const { columnPx } = this.options;
    return columnPx ? Math.max(1, Math.floor((this.element.clientWidth - 1) / columnPx)) : 1;
  }

  /** Show this many items from now on; all are rendered anew. */
  setCount(count, active = -1) {
    this.count = count;
    this.active = active;
    this.refresh();
  }

  /** Render the items again, or one of them. */
  refresh(index = null) {
    if (index === null) {
      for (const row of this.rows.values()) row.remove();
      this.rows.clear();
    } else {
      this.rows.get(index)?.remove();
      this.rows.delete(index);
    }
    this.#layout();
  }

  choose(index, how) {
    if (index < 0 || index >= this.count) return;
    this.setActive(index);
    this.options.choose(index, how);
  }

  setActive(index) {
    const before = this.active;
    this.active = index;
    for (const at of [before, index]) this.#mark(at);
    this.reveal(index);
  }

  reveal(index) {
    if (index < 0) return;
    const { rowPx } = this.options;
    const top = Math.floor(index / this.columns) * rowPx;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + rowPx > scrollTop + clientHeight) this.element.scrollTop = top + rowPx - clientHeight;
    this.#layout();
  }

  #mark(index) {
    const item = this.rows.get(index);
    if (item) item.setAttribute("aria-selected", String(index === this.active));
    if (this.active >= 0 && this.rows.has(this.active)) this.element.setAttribute("aria-activedescendant", `${this.name}-${this.active}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #layout() {
    const { rowPx, columnPx, render, seen } = this.options;
    const { columns } = this;
    this.space.style.height = `${Math.ceil(this.count / columns) * rowPx}px`;
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, (Math.floor(scrollTop / rowPx) - SPARE_ROWS) * columns);
    const last = Math.min(this.count, (Math.ceil((scrollTop + clientHeight) / rowPx) + SPARE_ROWS) * columns);
    if (seen && last > first) seen(first, last);
    for (const [index, item] of this.rows) {
      if (index >= first && index < last && item.dataset.columns === String(columns)) continue;
      item.remove();
      this.rows.delete(index);
    }
    const width = columnPx ? this.element.clientWidth / columns : null;
    for (let index = first; index < last; index++) {
      if (this.rows.has(index)) continue;
      const item = h("div", { role: "option", id: `${this.name}-${index}`, class: "virtual-item", "data-index": index, "data-columns": columns, "aria-setsize": this.count, "aria-posinset": index + 1, "aria-selected": "false" }, render(index));
      item.style.transform = `translate(${width ? (index % columns) * width : 0}px, ${Math.floor(index / columns) * rowPx}px)`;
      item.style.width = width ? `${width}px` : "100%";
      item.style.height = `${rowPx}px`;
      this.rows.set(index, item);
      this.space.append(item);
    }
    this.#mark(this.active);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { columns } = this;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.options.rowPx)) * columns;
    const steps = { ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page };
    if (this.options.columnPx) Object.assign(steps, { ArrowRight: 1, ArrowLeft: -1 });
    let index = null;
    if (event.key in steps) index = this.active < 0 ? 0 : this.active + steps[event.key];
    else if (event.key === "Home") index = 0;
    else if (event.key === "End") index = this.count - 1;
    if (index === null || !this.count) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(Math.min(Math.max(index, 0), this.count - 1), "key");
  }

  destroy() {
    this.resizing.disconnect();
  }
}
