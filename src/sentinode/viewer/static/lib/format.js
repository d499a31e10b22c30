// Numbers and names as people read them.

/** "0.97"; never "1.00" for what is below 1. */
export function probability(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  const rounded = value.toFixed(digits);
  if (value < 1 && Number(rounded) === 1) return `> ${(1 - 10 ** -digits).toFixed(digits)}`;
  if (value > 0 && Number(rounded) === 0) return `< ${(10 ** -digits).toFixed(digits)}`;
  return rounded;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en-US")} ${number === 1 ? one : many}`;
}

/** Micrometers below 1 mm, millimeters from there on. */
export function length(um) {
  if (um >= 1000) return `${significant(um / 1000)} mm`;
  return `${significant(um)} µm`;
}

/** Area with the unit that keeps it readable. */
export function area(mm2) {
  if (mm2 === null || mm2 === undefined) return "–";
  if (mm2 > 0 && mm2 < 0.001) return `${significant(mm2 * 1e6)} µm²`;
  return `${mm2 < 1 ? Number(mm2.toPrecision(2)) : significant(mm2)} mm²`;
}

export function millimeters(mm) {
  return mm === null || mm === undefined ? "–" : `${mm < 0.1 ? mm.toFixed(3) : mm.toFixed(2)} mm`;
}

export function magnification(value) {
  if (!Number.isFinite(value)) return "–";
  return `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))}×`;
}

function significant(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)));
}

export const LESION_CLASSES = {
  itc: ["ITC", "Isolated tumour cells: longest diameter below 0.2 mm"],
  micro: ["Micro", "Micrometastasis: longest diameter from 0.2 to 2 mm"],
  macro: ["Macro", "Macrometastasis: longest diameter above 2 mm"],
};

// The names in files are QuPath's.
export const CLASSES = { Tumor: "Tumour", Normal: "Normal", Uncertain: "Uncertain" };

export function time(iso) {
  const when = new Date(iso);
  return Number.isNaN(when.valueOf()) ? "at an unknown time" : when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
