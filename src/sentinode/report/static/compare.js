"use strict";
// Moves a line along the false positive rate, and says what each model finds there.
const data = JSON.parse(document.getElementById("data").textContent);
const box = data.roc, slider = document.getElementById("slider"), line = document.getElementById("at");

// The largest sensitivity with at most this false positive rate; of several seeds the mean.
function sensitivityAt(model, rate) {
  let sum = 0;
  for (const curve of data.models[model]) {
    let best = 0;
    curve.false_positives.forEach((count, place) => {
      if (count / data.normal <= rate + 1e-9) best = curve.true_positives[place];
    });
    sum += best / data.tumour;
  }
  return sum / data.models[model].length;
}

function show() {
  const rate = Number(slider.value) / 1000, said = (1 - rate).toFixed(3);
  document.getElementById("specificity").textContent = said;
  slider.setAttribute("aria-valuetext", said);
  for (const cell of document.querySelectorAll("[data-model]"))
    cell.textContent = sensitivityAt(Number(cell.dataset.model), rate).toFixed(3);
  const x = box.left + rate * (box.width - box.left - box.right);
  for (const [name, value] of Object.entries({ x1: x, x2: x, y1: box.top, y2: box.height - box.bottom }))
    line.setAttribute(name, value);
}

slider.addEventListener("input", show);
show();
