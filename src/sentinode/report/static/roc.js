// Looks along the ROC curve, by pointer or keys; a click or Enter takes the threshold.
const box = data.roc;
let looked = now;

function spot(place) {
  const false_rate = steps.false_positives[place] / steps.normal, true_rate = steps.true_positives[place] / steps.tumour;
  return [
    box.left + false_rate * (box.width - box.left - box.right),
    box.height - box.bottom - true_rate * (box.height - box.top - box.bottom),
  ];
}

function nearest(x, y) {
  let best = 0, least = Infinity;
  for (let place = 0; place < steps.thresholds.length; place++) {
    const [a, b] = spot(place), away = (a - x) ** 2 + (b - y) ** 2;
    if (away < least) [best, least] = [place, away];
  }
  return best;
}

function look(place) {
  looked = place;
  const at = measure(place), plot = by("roc"), tip = by("roc-tip"), [x, y] = spot(place);
  by("roc-look").setAttribute("cx", x);
  by("roc-look").setAttribute("cy", y);
  by("roc-look").style.visibility = "visible";
  const rows = [
    ["threshold", fixed(steps.thresholds[place], 4)],
    ["sensitivity", fixed(at.sensitivity)],
    ["specificity", fixed(at.specificity)],
    ["found", whole(at.tp)],
    ["missed", whole(at.fn)],
    ["false alarms", whole(at.fp)],
    ["right, normal", whole(at.tn)],
  ];
  tip.replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("span"), said = document.createElement("b");
    term.textContent = name;
    said.textContent = value;
    return [term, said];
  }));
  tip.hidden = false;
  // Beside the point, on the side where there is room.
  const right = x < box.width / 2, low = y > box.height * 0.55;
  tip.style.left = right ? `${(100 * (x + 12)) / box.width}%` : "auto";
  tip.style.right = right ? "auto" : `${100 - (100 * (x - 12)) / box.width}%`;
  tip.style.top = low ? "auto" : `${(100 * (y + 12)) / box.height}%`;
  tip.style.bottom = low ? `${100 - (100 * (y - 12)) / box.height}%` : "auto";
  plot.setAttribute("aria-valuenow", String(place + 1));
  plot.setAttribute("aria-valuetext", rows.map((row) => row.join(" ")).join(", "));
}

function away() {
  by("roc-tip").hidden = true;
  by("roc-look").style.visibility = "";
}

function pointed(event) {
  const area = by("roc").querySelector("svg").getBoundingClientRect();
  return nearest(
    ((event.clientX - area.left) * box.width) / area.width,
    ((event.clientY - area.top) * box.height) / area.height,
  );
}

by("roc").addEventListener("pointermove", (event) => look(pointed(event)));
by("roc").addEventListener("pointerleave", away);
by("roc").addEventListener("focus", () => look(now));
by("roc").addEventListener("blur", away);
by("roc").addEventListener("click", (event) => show(pointed(event)));
by("roc").addEventListener("keydown", (event) => {
  const last = steps.thresholds.length - 1, page = Math.max(1, Math.round(last / 20));
  const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page };
  if (event.key in moves) look(Math.min(last, Math.max(0, looked + moves[event.key])));
  else if (event.key === "Home") look(0);
  else if (event.key === "End") look(last);
  else if (event.key === "Enter" || event.key === " ") show(looked);
  else return;
  event.preventDefault();
});
show(now);
