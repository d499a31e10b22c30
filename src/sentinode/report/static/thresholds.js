"use strict";
// Moves the threshold: by the slider, the named buttons or the ROC curve. The rates are those of sentinode.metrics.rates.
const data = JSON.parse(document.getElementById("data").textContent);
const table = data.threshold_table, frame = data.frame, last = table.thresholds.length - 1;
const by = (id) => document.getElementById(id);
const clamp = (index) => Math.min(last, Math.max(0, index));
const logit = (p) => Math.log(p / (1 - p));
const fixed = (value, digits = 3) => (value === null ? "–" : value === Infinity ? "∞" : value.toFixed(digits));
const whole = (value) => value.toLocaleString("en-US");
let current = data.points.validation.index, previewed = current;

// Counts and rates at a threshold; a rate without patches is null.
function measure(index) {
  const tp = table.true_positives[index], fp = table.false_positives[index];
  const fn = table.tumour - tp, tn = table.normal - fp;
  const share = (part, total) => (total > 0 ? part / total : null);
  const ratio = (a, b, c, d) => (a + c === 0 ? null : c === 0 ? Infinity : a / (a + b) / (c / (c + d)));
  return {
    tp, fp, fn, tn,
    sensitivity: tp / table.tumour,
    specificity: tn / table.normal,
    ppv: share(tp, tp + fp),
    npv: share(tn, tn + fn),
    accuracy: (tp + tn) / (table.tumour + table.normal),
    positive_likelihood_ratio: ratio(tp, fn, fp, tn),
    negative_likelihood_ratio: ratio(fn, tp, tn, fp),
  };
}

// PPV, NPV and shares of all patches at a prevalence.
function predictive(rates, prevalence) {
  const detected = rates.sensitivity * prevalence, alarms = (1 - rates.specificity) * (1 - prevalence);
  const missed = prevalence - detected, correct = 1 - prevalence - alarms;
  return {
    detected, missed, alarms,
    ppv: rates.tp + rates.fp > 0 ? detected / (detected + alarms) : null,
    npv: rates.tn + rates.fn > 0 ? correct / (correct + missed) : null,
  };
}

// The index of the smallest listed threshold that is at least this one: it predicts the same patches tumour.
function indexOf(threshold) {
  let low = 0, high = last;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (table.thresholds[middle] >= threshold) low = middle;
    else high = middle - 1;
  }
  return low;
}

function sliderPosition(threshold) {
  const position = (logit(threshold) - data.slider.low) / (data.slider.high - data.slider.low);
  return Math.min(1, Math.max(0, position));
}

function pointOnCurve(index) {
  const false_rate = table.false_positives[index] / table.normal, true_rate = table.true_positives[index] / table.tumour;
  return [frame.x0 + false_rate * (frame.x1 - frame.x0), frame.y0 + true_rate * (frame.y1 - frame.y0)];
}

function place(circle, index) {
  const [x, y] = pointOnCurve(index);
  circle.setAttribute("cx", x);
  circle.setAttribute("cy", y);
}

function showPrevalence() {
  const input = by("prevalence"), value = Number(input.value) / 100;
  const valid = input.value.trim() !== "" && value > 0 && value < 1;
  input.setAttribute("aria-invalid", String(!valid));
  by("prevalence-wrong").hidden = valid;
  const found = valid ? predictive(measure(current), value) : { ppv: null, npv: null };
  by("ppv-there").textContent = fixed(found.ppv);
  by("npv-there").textContent = fixed(found.npv);
  by("thousand").textContent = valid
    ? `Of 1,000 patches, about ${fixed(1000 * found.detected, 0)} tumour patches are detected and ` +
      `${fixed(1000 * found.missed, 0)} are missed; ${fixed(1000 * found.alarms, 0)} normal patches are false positives.`
    : "";
}

function show(index, fromSlider = false) {
  current = index;
  const rates = measure(index), threshold = table.thresholds[index], position = sliderPosition(threshold);
  for (const [key, value] of Object.entries(rates)) by(key).textContent = key.length === 2 ? whole(value) : fixed(value);
  by("threshold").textContent = fixed(threshold, 4);
  const slider = by("slider");
  if (!fromSlider) slider.value = Math.round(position * data.slider.positions);
  slider.setAttribute("aria-valuetext",
    `${fixed(threshold, 4)}: sensitivity ${fixed(rates.sensitivity)}, specificity ${fixed(rates.specificity)}`);
  for (const end of ["x1", "x2"]) by("cut").setAttribute(end, (100 * position).toFixed(2));
  by("threshold-name").textContent = "";
  for (const button of document.querySelectorAll("[data-point]")) {
    const point = data.points[button.dataset.point], chosen = point.index === index;
    button.setAttribute("aria-pressed", String(chosen));
    if (chosen) by("threshold-name").textContent = point.name;
  }
  place(by("roc-now"), index);
  showPrevalence();
}

function nearest(x, y) {
  let best = 0, least = Infinity;
  for (let index = 0; index <= last; index++) {
    const [a, b] = pointOnCurve(index), distance = (a - x) ** 2 + (b - y) ** 2;
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}

function preview(index) {
  previewed = index;
  const rates = measure(index), plot = by("roc"), tip = by("roc-tip"), [x, y] = pointOnCurve(index);
  place(by("roc-preview"), index);
  by("roc-preview").style.visibility = "visible";
  const rows = [
    ["threshold", fixed(table.thresholds[index], 4)],
    ["sensitivity", fixed(rates.sensitivity)],
    ["specificity", fixed(rates.specificity)],
    ["true positives", whole(rates.tp)],
    ["false negatives", whole(rates.fn)],
    ["false positives", whole(rates.fp)],
    ["true negatives", whole(rates.tn)],
  ];
  tip.replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("span"), number = document.createElement("b");
    term.textContent = name;
    number.textContent = value;
    return [term, number];
  }));
  tip.hidden = false;
  // On the side of the point that has more room.
  const right = x < frame.width / 2, low = y > frame.height * 0.55;
  tip.style.left = right ? `${(100 * (x + 12)) / frame.width}%` : "auto";
  tip.style.right = right ? "auto" : `${100 - (100 * (x - 12)) / frame.width}%`;
  tip.style.top = low ? "auto" : `${(100 * (y + 12)) / frame.height}%`;
  tip.style.bottom = low ? `${100 - (100 * (y - 12)) / frame.height}%` : "auto";
  plot.setAttribute("aria-valuenow", String(index + 1));
  plot.setAttribute("aria-valuetext", rows.map((row) => row.join(" ")).join(", "));
}

function endPreview() {
  by("roc-tip").hidden = true;
  by("roc-preview").style.visibility = "";
}

function pointed(event) {
  const area = by("roc").querySelector("svg").getBoundingClientRect();
  return nearest(((event.clientX - area.left) * frame.width) / area.width,
    ((event.clientY - area.top) * frame.height) / area.height);
}

by("slider").addEventListener("input", (event) => {
  const position = Number(event.target.value) / data.slider.positions;
  const odds = data.slider.low + position * (data.slider.high - data.slider.low);
  show(indexOf(1 / (1 + Math.exp(-odds))), true);
});
// Arrow keys go from one threshold to the next, where the thumb would skip many.
by("slider").addEventListener("keydown", (event) => {
  const step = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  show(clamp(current + step));
});
for (const button of document.querySelectorAll("[data-point]"))
  button.addEventListener("click", () => show(data.points[button.dataset.point].index));
by("prevalence").addEventListener("input", showPrevalence);
by("roc").addEventListener("pointermove", (event) => preview(pointed(event)));
by("roc").addEventListener("pointerleave", endPreview);
by("roc").addEventListener("focus", () => preview(current));
by("roc").addEventListener("blur", endPreview);
by("roc").addEventListener("click", (event) => show(pointed(event)));
by("roc").addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.round(last / 20));
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page };
  if (event.key in steps) preview(clamp(previewed + steps[event.key]));
  else if (event.key === "Home") preview(0);
  else if (event.key === "End") preview(last);
  else if (event.key === "Enter" || event.key === " ") show(previewed);
  else return;
  event.preventDefault();
});
show(current);
