"use strict";
// Moves a vertical line over the ROC curves, and shows the sensitivity of each model there.
const data = JSON.parse(document.getElementById("data").textContent);
const frame = data.frame, slider = document.getElementById("slider"), line = document.getElementById("at");

// The largest sensitivity with at most this false positive rate, averaged over seeds.
function sensitivityAt(model, rate) {
  let sum = 0;
  for (const curve of data.models[model]) {
    let best = 0;
    curve.false_positives.forEach((count, index) => {
      if (count / data.normal <= rate + 1e-9) best = curve.true_positives[index];
    });
    sum += best / data.tumour;
  }
  return sum / data.models[model].length;
}

function show() {
  const rate = Number(slider.value) / 1000, text = (1 - rate).toFixed(3), x = frame.x0 + rate * (frame.x1 - frame.x0);
  document.getElementById("specificity").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  for (const cell of document.querySelectorAll("[data-model]"))
    cell.textContent = sensitivityAt(Number(cell.dataset.model), rate).toFixed(3);
  for (const [name, value] of Object.entries({ x1: x, x2: x, y1: frame.y0, y2: frame.y1 })) line.setAttribute(name, value);
}

slider.addEventListener("input", show);
show();
