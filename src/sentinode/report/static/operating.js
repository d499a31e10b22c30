"use strict";
// Moves the threshold. Counts come from the page's data; rates follow from them as in sentinode.metrics.operating_point.
const data = JSON.parse(document.getElementById("data").textContent);
const steps = data.steps;
const by = (id) => document.getElementById(id);
const NONE = "–";

// Counts and rates at a step; what has no patches is null.
function measure(place) {
  const tp = steps.true_positives[place], fp = steps.false_positives[place];
  const fn = steps.tumour - tp, tn = steps.normal - fp;
  const share = (hits, of) => (of > 0 ? hits / of : null);
  const ratio = (a, b, c, d) => (a + c === 0 ? null : c === 0 ? Infinity : a / (a + b) / (c / (c + d)));
  return {
    tp, fp, fn, tn,
    sensitivity: tp / steps.tumour,
    specificity: tn / steps.normal,
    ppv: share(tp, tp + fp),
    npv: share(tn, tn + fn),
    accuracy: (tp + tn) / (steps.tumour + steps.normal),
    positive_likelihood_ratio: ratio(tp, fn, fp, tn),
    negative_likelihood_ratio: ratio(fn, tp, tn, fp),
  };
}

// PPV and NPV where this share is tumour.
function predictive(at, prevalence) {
  const found = at.sensitivity * prevalence, alarms = (1 - at.specificity) * (1 - prevalence);
  const missed = prevalence - found, right = 1 - prevalence - alarms;
  return {
    found, missed, alarms,
    ppv: at.tp + at.fp > 0 ? found / (found + alarms) : null,
    npv: at.tn + at.fn > 0 ? right / (right + missed) : null,
  };
}

// The step that calls the same patches tumour as a threshold does.
function placeOf(threshold) {
  let low = 0, high = steps.thresholds.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (steps.thresholds[middle] >= threshold) low = middle;
    else high = middle - 1;
  }
  return low;
}

const logit = (p) => Math.log(p / (1 - p));
const fixed = (value, digits = 3) =>
  value === null ? NONE : value === Infinity ? "∞" : value.toFixed(digits);
const whole = (value) => value.toLocaleString("en-US");

let now = data.points.validation.place;

function shareOf(threshold) {
  const share = (logit(threshold) - data.slider.low) / (data.slider.high - data.slider.low);
  return Math.min(1, Math.max(0, share));
}

function showPrevalence() {
  const input = by("prevalence"), value = Number(input.value) / 100;
  const fits = input.value.trim() !== "" && value > 0 && value < 1;
  input.setAttribute("aria-invalid", String(!fits));
  by("prevalence-wrong").hidden = fits;
  const there = fits ? predictive(measure(now), value) : { ppv: null, npv: null };
  by("ppv-there").textContent = fixed(there.ppv);
  by("npv-there").textContent = fixed(there.npv);
  by("thousand").textContent = fits
    ? `Of 1,000 such patches about ${fixed(1000 * there.found, 0)} with tumour are found and ` +
      `${fixed(1000 * there.missed, 0)} are missed; ${fixed(1000 * there.alarms, 0)} normal ones are called tumour.`
    : "";
}

function show(place, moved = true) {
  now = place;
  const at = measure(place), threshold = steps.thresholds[place], share = shareOf(threshold);
  for (const key of ["tp", "fp", "fn", "tn"]) by(key).textContent = whole(at[key]);
  for (const key of ["sensitivity", "specificity", "ppv", "npv", "accuracy", "positive_likelihood_ratio",
    "negative_likelihood_ratio"]) by(key).textContent = fixed(at[key]);
  by("threshold").textContent = fixed(threshold, 4);
  const slider = by("slider");
  if (moved) slider.value = Math.round(share * data.slider.positions);
  slider.setAttribute("aria-valuetext",
    `${fixed(threshold, 4)}: sensitivity ${fixed(at.sensitivity)}, specificity ${fixed(at.specificity)}`);
  for (const end of ["x1", "x2"]) by("cut").setAttribute(end, (100 * share).toFixed(2));
  let name = "";
  for (const button of document.querySelectorAll("[data-point]")) {
    const point = data.points[button.dataset.point], chosen = point.place === place;
    button.setAttribute("aria-pressed", String(chosen));
    if (chosen) name = point.name;
  }
  by("threshold-name").textContent = name;
  const [x, y] = spot(place);
  by("roc-now").setAttribute("cx", x);
  by("roc-now").setAttribute("cy", y);
  showPrevalence();
}

by("slider").addEventListener("input", (event) => {
  const share = Number(event.target.value) / data.slider.positions;
  const odds = data.slider.low + share * (data.slider.high - data.slider.low);
  show(placeOf(1 / (1 + Math.exp(-odds))), false);
});
// Keys go from one probability that a patch has to the next, where the thumb would jump over many.
by("slider").addEventListener("keydown", (event) => {
  const step = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  show(Math.min(steps.thresholds.length - 1, Math.max(0, now + step)));
});
for (const button of document.querySelectorAll("[data-point]"))
  button.addEventListener("click", () => show(data.points[button.dataset.point].place));
by("prevalence").addEventListener("input", showPrevalence);
