// Contours by marching squares.

// Which edges of a cell (0 top, 1 right, 2 bottom, 3 left) a contour joins, for each pattern of corners above the level
// (1 top left, 2 top right, 4 bottom right, 8 bottom left).
const EDGES = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];
// The same where the two high corners of a saddle touch, with the high side on the same hand, so that segments join.
const TOUCHING = { 5: [[1, 0], [3, 2]], 10: [[0, 3], [2, 1]] };

/**
 * Find the contours of a grid at a level, as segments x1, y1, x2, y2 in columns and rows; centers of cells lie at whole
 * numbers. Cells outside the grid count as 0, so that contours are closed.
 */
export function contourSegments(values, columns, rows, level) {
  const segments = [];
  const at = (column, row) => (column < 0 || row < 0 || column >= columns || row >= rows ? 0 : values[row * columns + column]);
  for (let row = -1; row < rows; row++) {
    const inner = row >= 0 && row < rows - 1;
    for (let column = -1; column < columns; column++) {
      let a, b, c, d;
      if (inner && column >= 0 && column < columns - 1) {
        const start = row * columns + column;
        a = values[start];
        b = values[start + 1];
        d = values[start + columns];
        c = values[start + columns + 1];
      } else {
        a = at(column, row);
        b = at(column + 1, row);
        d = at(column, row + 1);
        c = at(column + 1, row + 1);
      }
      const pattern = (a >= level ? 1 : 0) | (b >= level ? 2 : 0) | (c >= level ? 4 : 0) | (d >= level ? 8 : 0);
      if (pattern === 0 || pattern === 15) continue;
      // A saddle: the mean of the corners decides whether the high ones touch.
      const edges = (a + b + c + d >= 4 * level && TOUCHING[pattern]) || EDGES[pattern];
      for (const [from, to] of edges) {
        push(segments, from, column, row, a, b, c, d, level);
        push(segments, to, column, row, a, b, c, d, level);
      }
    }
  }
  return segments;
}

function push(segments, edge, column, row, a, b, c, d, level) {
  if (edge === 0) segments.push(column + part(a, b, level), row);
  else if (edge === 1) segments.push(column + 1, row + part(b, c, level));
  else if (edge === 2) segments.push(column + part(d, c, level), row + 1);
  else segments.push(column, row + part(a, d, level));
}

function part(from, to, level) {
  // The level lies above the lower value and at most at the higher one, which keeps crossings off the corners.
  return Math.min(Math.max((level - 0.5 - from) / (to - from), 0.001), 0.999);
}

/** Join segments to lines: lists of x, y; closed ones end where they start. */
export function joinSegments(segments) {
  const key = (at) => `${segments[at].toFixed(3)} ${segments[at + 1].toFixed(3)}`;
  const starts = new Map();
  for (let at = 0; at < segments.length; at += 4) {
    const place = key(at);
    if (!starts.has(place)) starts.set(place, []);
    starts.get(place).push(at);
  }
  const used = new Uint8Array(segments.length / 4);
  const lines = [];
  for (let first = 0; first < segments.length; first += 4) {
    if (used[first / 4]) continue;
    const line = [segments[first], segments[first + 1]];
    for (let at = first; at !== undefined; at = starts.get(key(at + 2))?.find((next) => !used[next / 4])) {
      used[at / 4] = 1;
      line.push(segments[at + 2], segments[at + 3]);
    }
    lines.push(line);
  }
  return lines;
}
