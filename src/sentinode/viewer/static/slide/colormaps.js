// Perceptually uniform color maps that people with color blindness read as well, by 33 colors between which is interpolated.

const MAPS = {
  viridis:
    "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d 2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a 3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725",
  cividis:
    "00224e 00285b 002e6a 053371 1a386f 273e6e 32436d 3b496c 434e6c 4b546c 535a6d 5a5f6e 61656f 686a71 6f7073 767676 7d7c78 848279 8c8878 938e78 9b9476 a39a74 aba072 b4a76f bcae6c c4b468 cdbb63 d5c25e dec958 e7d150 f0d846 f9e03a fee838",
  magma:
    "000004 030312 0a0822 130d34 1d1147 29115a 36106b 440f76 51127c 5d177f 6a1c81 762181 832681 902a81 9c2e7f aa337d b73779 c43c75 d0416f dc4869 e75263 ef5d5e f56b5c f9795d fc8961 fd9869 fea772 feb67c fec488 fed395 fde2a3 fcf0b2 fcfdbf",
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
