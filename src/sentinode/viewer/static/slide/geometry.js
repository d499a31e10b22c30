// Polygons in level-0 px, always as the coordinates of a GeoJSON MultiPolygon: polygons of rings of [x, y].

/** The MultiPolygon of a GeoJSON geometry, or of coordinates of a Polygon or MultiPolygon. */
export function polygonsOf(geometry) {
  if (Array.isArray(geometry)) return typeof geometry[0]?.[0]?.[0] === "number" ? [geometry] : geometry;
  if (geometry?.type === "Polygon") return [geometry.coordinates];
  if (geometry?.type === "MultiPolygon") return geometry.coordinates;
  if (geometry?.type === "GeometryCollection") return geometry.geometries.flatMap(polygonsOf);
  return [];
}

export function geometryOf(polygons) {
  return polygons.length === 1 ? { type: "Polygon", coordinates: polygons[0] } : { type: "MultiPolygon", coordinates: polygons };
}

export function rectangle([x, y, width, height]) {
  return [[[[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]]];
}

/** [x, y, width, height] around polygons. */
export function boundsOfPolygons(polygons) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [ring] of polygons) {
    for (const [x, y] of ring) {
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  return [left, top, right - left, bottom - top];
}

export function pathData(polygons) {
  return polygons.flat().map((ring) => `M${ring.map((point) => point.join(" ")).join("L")}Z`).join("");
}

/** Whether a point lies inside, by the even-odd rule, so that holes are outside. */
export function contains(polygons, x, y) {
  let inside = false;
  for (const ring of polygons.flat()) {
    for (let at = 0, last = ring.length - 1; at < ring.length; last = at++) {
      const [x1, y1] = ring[at];
      const [x2, y2] = ring[last];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    }
  }
  return inside;
}

/** Area in square px, without holes. */
export function areaOf(polygons) {
  const ring = (points) => Math.abs(points.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = points[(at + 1) % points.length];
    return sum + x * nextY - nextX * y;
  }, 0)) / 2;
  return polygons.reduce((sum, [outer, ...holes]) => sum + ring(outer) - holes.reduce((area, hole) => area + ring(hole), 0), 0);
}

/** Longest distance between two points of the outlines in px. */
export function diameterOf(polygons) {
  const hull = convexHull(polygons.flatMap(([outer]) => outer));
  let longest = 0;
  for (const [at, [x, y]] of hull.entries()) {
    for (const [otherX, otherY] of hull.slice(at + 1)) longest = Math.max(longest, Math.hypot(x - otherX, y - otherY));
  }
  return longest;
}

function convexHull(points) {
  const sorted = [...points].sort(([x1, y1], [x2, y2]) => x1 - x2 || y1 - y2);
  const half = (ordered) => {
    const chain = [];
    for (const point of ordered) {
      while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

function turn([x1, y1], [x2, y2], [x3, y3]) {
  return (x2 - x1) * (y3 - y1) - (y2 - y1) * (x3 - x1);
}

/** Drop points of a closed ring that lie within a tolerance of the line through their neighbors (Douglas and Peucker). */
export function simplify(ring, tolerance) {
  if (ring.length < 8) return ring;
  const keep = new Uint8Array(ring.length);
  const middle = ring.length >> 1;
  keep[0] = keep[middle] = keep[ring.length - 1] = 1;
  const parts = [[0, middle], [middle, ring.length - 1]];
  while (parts.length) {
    const [from, to] = parts.pop();
    const [x1, y1] = ring[from];
    const [dx, dy] = [ring[to][0] - x1, ring[to][1] - y1];
    const length = Math.hypot(dx, dy);
    let [farthest, place] = [tolerance, -1];
    for (let at = from + 1; at < to; at++) {
      const [x, y] = ring[at];
      const distance = length ? Math.abs(dx * (y - y1) - dy * (x - x1)) / length : Math.hypot(x - x1, y - y1);
      if (distance > farthest) [farthest, place] = [distance, at];
    }
    if (place > 0) {
      keep[place] = 1;
      parts.push([from, place], [place, to]);
    }
  }
  return ring.filter((_, at) => keep[at]);
}

/** Whether a closed ring crosses itself. */
export function crossesItself(ring) {
  const edges = ring.length - 1;
  for (let first = 0; first < edges; first++) {
    for (let second = first + 2; second < edges; second++) {
      if (first === 0 && second === edges - 1) continue;
      if (cross(ring[first], ring[first + 1], ring[second], ring[second + 1])) return true;
    }
  }
  return false;
}

function cross(a, b, c, d) {
  return turn(a, b, c) > 0 !== turn(a, b, d) > 0 && turn(c, d, a) > 0 !== turn(c, d, b) > 0;
}
