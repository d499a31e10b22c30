// Perceptually uniform color maps that people with color blindness read as well, by 17 colors between which is interpolated.

const MAPS = {
  viridis: "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
  cividis: "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 8c8878 9b9476 aba072 bcae6c cdbb63 dec958 f0d846 fee838",
  magma: "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
};

// What one result says more (orange) and less (blue) than another.
const DIFFERENCE = "2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 e08214 b35806";

export const COLOR_MAPS = { viridis: "Viridis", cividis: "Cividis", magma: "Magma" };

/** Red, green and blue of a color map for probabilities from 0 to 1. */
export function color(name, value) {
  const colors = (name === "difference" ? DIFFERENCE : MAPS[name]).split(" ");
  const place = Math.min(Math.max(value, 0), 1) * (colors.length - 1);
  const low = Math.min(Math.floor(place), colors.length - 2);
  return [0, 2, 4].map((at) => {
    const [one, two] = [colors[low], colors[low + 1]].map((hex) => parseInt(hex.slice(at, at + 2), 16));
    return Math.round(one + (two - one) * (place - low));
  });
}

/** Lookup table from stored bytes (0: not scanned, 1 to 255: probability) to pixels; below the threshold nothing is drawn. */
export function lookupTable(name, threshold) {
  const table = new Uint8ClampedArray(256 * 4);
  for (let byte = 1; byte < 256; byte++) {
    const probability = (byte - 1) / 254;
    if (probability < threshold) continue;
    table.set([...color(name, probability), 255], byte * 4);
  }
  return new Uint32Array(table.buffer);
}

/** The same for differences: 128 is none, and the more, the less transparent. */
export function differenceTable() {
  const table = new Uint8ClampedArray(256 * 4);
  for (let byte = 1; byte < 256; byte++) {
    const difference = (byte - 128) / 127;
    table.set([...color("difference", (difference + 1) / 2), Math.min(255, Math.abs(difference) * 510)], byte * 4);
  }
  return new Uint32Array(table.buffer);
}

/** Draw a color map as a legend; what lies below the threshold is left empty. */
export function drawLegend(canvas, name, threshold) {
  const context = canvas.getContext("2d");
  canvas.width = 256;
  canvas.height = 1;
  const image = context.createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(lookupTable(name, threshold));
  context.putImageData(image, 0, 0);
}
