// Filters and sorts the example patches, and enlarges one.
const patches = by("patches"), figures = [...patches.children], large = by("large");

function arrange() {
  const wanted = document.querySelector("[name=outcome]:checked").value, sign = by("order").value === "least" ? 1 : -1;
  figures.sort((a, b) => sign * (a.dataset.confidence - b.dataset.confidence));
  for (const figure of figures) {
    const outcome = figure.dataset.outcome, error = outcome.startsWith("false");
    figure.hidden = !(wanted === "all" || wanted === outcome || (wanted === "errors" && error));
  }
  patches.append(...figures);
  by("patches-shown").textContent = `${figures.filter((figure) => !figure.hidden).length} of ${figures.length} shown`;
}

for (const radio of document.querySelectorAll("[name=outcome]")) radio.addEventListener("change", arrange);
by("order").addEventListener("change", arrange);
by("overlay")?.addEventListener("change", (event) => {
  for (const over of document.querySelectorAll(".over, #explained")) over.hidden = !event.target.checked;
});
patches.addEventListener("click", (event) => {
  const thumb = event.target.closest(".thumb");
  if (!thumb) return;
  const copies = [...thumb.children].map((image) => image.cloneNode());
  copies[0].alt = thumb.getAttribute("aria-label").replace("; enlarge", "");
  large.querySelector(".thumb").replaceChildren(...copies);
  large.querySelector("p").textContent = copies[0].alt;
  large.showModal();
});
large.addEventListener("click", (event) => event.target === large && large.close());
arrange();
