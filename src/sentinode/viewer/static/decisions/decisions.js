// A user's decisions about a slide: kept here until the server has written them to disk.

import { api, ApiError, connection } from "../lib/api.js";
import { memory } from "../lib/dom.js";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15000;

/**
 * The annotations of a slide. A change shows at once, is kept in the browser, and is sent to the server until it
 * confirms. Fires "change".
 *
 * A state of an annotation is {geometry, class, decision, source, lesion}, or null where there is none.
 */
export class Decisions extends EventTarget {
  constructor(slide) {
    super();
    this.slide = slide;
    this.saved = new Map(); // id -> {state, version, user, time}, as the server has it.
    this.waiting = new Map(); // id -> {state, base}: changes that are not confirmed.
    this.conflicts = new Map(); // id -> the server's feature, or null where it was deleted.
    this.refused = null; // Message of the server.
    this.retryMs = 0;
    this.past = [];
    this.future = [];
    this.sending = false;
    this.retry = () => this.retryMs && this.#send();
    connection.addEventListener("change", this.retry);
  }

  get #key() {
    return `unsaved:${this.slide}`;
  }

  /** Read what the server has, and take up what an earlier visit could not save. */
  async load() {
    const { features } = await api(`api/slides/${this.slide}/annotations`);
    this.saved = new Map(features.map((feature) => [feature.id, fromFeature(feature)]));
    for (const [id, change] of Object.entries(memory.get(this.#key, {}))) if (!this.waiting.has(id)) this.waiting.set(id, change);
    this.#changed();
    this.#send();
  }

  /** Annotations as the user sees them: id -> state. */
  get current() {
    const states = new Map([...this.saved].map(([id, { state }]) => [id, state]));
    for (const [id, { state }] of this.waiting) {
      if (state === null) states.delete(id);
      else states.set(id, state);
    }
    return states;
  }

  /** "saved", "saving", "retrying", "conflict" or "refused". */
  get status() {
    if (this.conflicts.size) return "conflict";
    if (this.refused) return "refused";
    if (!this.waiting.size) return "saved";
    return this.retryMs ? "retrying" : "saving";
  }

  /** Change one annotation; null deletes it. */
  change(id, state) {
    const before = this.current.get(id) ?? null;
    if (JSON.stringify(before) === JSON.stringify(state)) return;
    this.past.push({ id, before, after: state });
    this.future = [];
    this.#put(id, state);
  }

  undo() {
    const last = this.past.pop();
    if (!last) return null;
    this.future.push(last);
    this.#put(last.id, last.before);
    return last;
  }

  redo() {
    const next = this.future.pop();
    if (!next) return null;
    this.past.push(next);
    this.#put(next.id, next.after);
    return next;
  }

  /** Settle a conflict: keep "mine" or take "theirs". */
  resolve(id, choice) {
    const theirs = this.conflicts.get(id);
    this.conflicts.delete(id);
    if (theirs) this.saved.set(id, fromFeature(theirs));
    else this.saved.delete(id);
    if (choice === "theirs") {
      this.waiting.delete(id);
      this.past = this.past.filter((each) => each.id !== id);
      this.future = this.future.filter((each) => each.id !== id);
    } else {
      this.waiting.get(id).base = this.#version(id);
    }
    this.#changed();
    this.#send();
  }

  /** Send changes again that the server refused. */
  again() {
    this.refused = null;
    this.#changed();
    this.#send();
  }

  /** Drop all changes that are not saved. */
  discard() {
    this.waiting.clear();
    this.conflicts.clear();
    this.refused = null;
    this.past = [];
    this.future = [];
    this.#changed();
  }

  close() {
    connection.removeEventListener("change", this.retry);
    clearTimeout(this.timer);
  }

  #version(id) {
    return this.saved.get(id)?.version ?? 0;
  }

  #put(id, state) {
    const base = this.waiting.get(id)?.base ?? this.#version(id);
    this.waiting.set(id, { state, base });
    this.#changed();
    this.#send();
  }

  #changed() {
    this.kept = memory.set(this.#key, this.waiting.size ? Object.fromEntries(this.waiting) : null);
    this.dispatchEvent(new Event("change"));
  }

  async #send() {
    if (this.sending || this.refused) return;
    this.sending = true;
    clearTimeout(this.timer);
    try {
      for (let next = this.#next(); next; next = this.#next()) await this.#sendOne(...next);
      this.retryMs = 0;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#failed(error);
    } finally {
      this.sending = false;
      this.#changed();
    }
  }

  #next() {
    return [...this.waiting].find(([id]) => !this.conflicts.has(id));
  }

  async #sendOne(id, change) {
    const { state, base } = change;
    if (state === null && base === 0) {
      if (this.waiting.get(id) === change) this.waiting.delete(id); // Never reached the server.
      return;
    }
    const path = `api/slides/${this.slide}/annotations/${id}`;
    try {
      if (state === null) {
        await api(`${path}?base_version=${base}`, { method: "DELETE" });
        this.saved.delete(id);
      } else {
        const { feature } = await api(path, { method: "PUT", body: { ...state, base_version: base } });
        this.saved.set(id, fromFeature(feature));
      }
    } catch (error) {
      if (state === null && (error.status === 404 || (error.status === 409 && !error.body?.current))) {
        this.saved.delete(id); // Somebody else deleted it already.
      } else if (error.status === 409) {
        this.#conflict(id, change, error.body?.current ?? null);
        return;
      } else {
        throw error;
      }
    }
    this.retryMs = 0;
    const latest = this.waiting.get(id);
    // It may have been changed again while it was sent.
    if (latest === change) this.waiting.delete(id);
    else if (latest) latest.base = this.#version(id);
    this.#changed();
  }

  #conflict(id, change, theirs) {
    this.conflicts.set(id, theirs);
    const { state } = theirs ? fromFeature(theirs) : { state: null };
    // Two people who decided the same do not disagree.
    if (state && change.state && state.class === change.state.class && JSON.stringify(state.geometry) === JSON.stringify(change.state.geometry)) {
      this.resolve(id, "theirs");
    }
    this.#changed();
  }

  #failed(error) {
    if (error.status === 0 || error.status === 401 || error.status === 429 || error.status >= 500) {
      this.reason = error.message;
      this.retryMs = Math.min(this.retryMs ? this.retryMs * 2 : FIRST_RETRY_MS, LONGEST_RETRY_MS);
      this.timer = setTimeout(() => this.#send(), this.retryMs);
    } else {
      this.refused = error.message;
    }
  }
}

function fromFeature({ geometry, properties }) {
  const { decision = null, source = "drawn", lesion = null, user = null, time = null, version = 0 } = properties.sentinode ?? {};
  return { state: { geometry, class: properties.classification?.name ?? "Tumor", decision, source, lesion }, version, user, time };
}

/** What a decision means for the class, so that files never call tumour what was rejected. */
export function decide(state, name) {
  const decision = { Tumor: "accepted", Normal: "rejected", Uncertain: null }[name];
  return { ...state, class: name, decision };
}
