// Filters and sorts the patches, and enlarges one.
const patches = by("patches"), figures = [...patches.children], large = by("large");

function arrange() {
  const wanted = document.querySelector("[name=outcome]:checked").value, least = by("order").value === "unsure";
  const sign = least ? 1 : -1;
  figures.sort((a, b) => sign * (a.dataset.sureness - b.dataset.sureness));
  let shown = 0;
  for (const figure of figures) {
    const outcome = figure.dataset.outcome, mistake = outcome.startsWith("false");
    figure.hidden = !(wanted === "all" || wanted === outcome || (wanted === "mistakes" && mistake));
    if (!figure.hidden) shown += 1;
  }
  patches.append(...figures);
  by("patches-shown").textContent = `${shown} of ${figures.length} shown`;
}

for (const radio of document.querySelectorAll("[name=outcome]")) radio.addEventListener("change", arrange);
by("order").addEventListener("change", arrange);
if (by("overlay"))
  by("overlay").addEventListener("change", (event) => {
    for (const over of document.querySelectorAll(".over, #looked")) over.hidden = !event.target.checked;
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
