// Lesions of a result and annotations of a user as one list.

import { areaOf, boundsOfPolygons, diameterOf, polygonsOf } from "./geometry.js";

const ORDERS = {
  probability: (a, b) => (b.probability ?? 2) - (a.probability ?? 2),
  size: (a, b) => b.diameter_mm - a.diameter_mm,
  position: (a, b) => a.bounds[1] - b.bounds[1] || a.bounds[0] - b.bounds[0],
};

const measured = new WeakMap();

/**
 * Merge lesions with the decisions about them, and add the regions that were drawn.
 *
 * An item is {id, annotation, lesion, kind, polygons, bounds, probability, area_mm2, diameter_mm, lesion_class, label,
 * decision, user, time}; `annotation` is the id under which a decision is or will be stored: for a lesion its own, so that
 * two windows decide about the same object. Until the lesions are there (null), decisions about them are left out.
 */
export function lesionItems(lesions, decisions, slide, order) {
  const states = decisions.current;
  const loading = lesions === null;
  lesions ??= [];
  const byLesion = new Map([...states].filter(([, state]) => state.lesion).map(([id, state]) => [state.lesion, id]));
  const used = new Set();
  const items = lesions.map((lesion) => {
    const annotation = byLesion.get(lesion.id) ?? lesion.id;
    const state = states.get(annotation);
    if (state) used.add(annotation);
    const original = measure(lesion, lesion.polygon, slide);
    const changed = state && JSON.stringify(polygonsOf(state.geometry)) !== JSON.stringify(original.polygons);
    const { area_mm2, diameter_mm, lesion_class } = lesion;
    const shape = changed ? measure(state, state.geometry, slide) : { ...original, area_mm2, diameter_mm, lesion_class };
    return { id: lesion.id, annotation, lesion: lesion.id, kind: "lesion", probability: lesion.max_probability, ...shape, ...about(state, decisions.saved.get(annotation)) };
  });
  for (const [id, state] of states) {
    // Decisions about lesions of another result stay out of this one's list.
    if (used.has(id) || (state.source === "lesion" && (loading || state.decision !== "accepted"))) continue;
    items.push({ id, annotation: id, lesion: state.lesion, kind: state.source === "patch" ? "patch" : "drawn", probability: null, ...measure(state, state.geometry, slide), ...about(state, decisions.saved.get(id)) });
  }
  return items.sort((a, b) => ORDERS[order](a, b) || ORDERS.position(a, b));
}

function about(state, saved) {
  return { label: state?.class ?? "Tumor", decision: state ? (state.decision ?? "uncertain") : null, user: saved?.user ?? null, time: saved?.time ?? null };
}

// The same outline is measured once.
function measure(owner, geometry, slide) {
  const known = measured.get(owner);
  if (known) return known;
  const polygons = polygonsOf(geometry);
  const um = slide.spacing_um_px;
  const diameter_mm = um ? (diameterOf(polygons) * um) / 1000 : null;
  const found = {
    polygons,
    bounds: boundsOfPolygons(polygons),
    area_mm2: um ? areaOf(polygons) * (um / 1000) ** 2 : null,
    diameter_mm,
    lesion_class: diameter_mm === null ? null : diameter_mm < 0.2 ? "itc" : diameter_mm <= 2 ? "micro" : "macro",
  };
  measured.set(owner, found);
  return found;
}
