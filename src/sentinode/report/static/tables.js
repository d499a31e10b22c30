// Gives every table two buttons: download as CSV, copy as LaTeX. An interval becomes three columns in CSV.
{
  function read(cell) {
    const copy = cell.cloneNode(true), limits = cell.querySelector(".limits");
    for (const extra of copy.querySelectorAll(".limits, .soft")) extra.remove();
    const text = copy.textContent.trim() || cell.querySelector("[aria-label]")?.getAttribute("aria-label") || "";
    return { text, low: limits?.dataset.low, high: limits?.dataset.high };
  }

  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  function csv(rows) {
    const wide = rows[0].map((_, column) => rows.some((row) => row[column]?.low !== undefined));
    const lines = rows.map((row, line) => row.flatMap(({ text, low, high }, column) => {
      if (!wide[column]) return [text];
      return line ? [text, low ?? "", high ?? ""] : [text, `${text} low`, `${text} high`];
    }));
    return lines.map((line) => line.map(quoted).join(",") + "\n").join("");
  }

  const SPECIAL = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
    ">": "\\textgreater{}", "≥": "$\\geq$", "±": "$\\pm$", "−": "$-$", "–": "--", "×": "$\\times$", "µ": "\\textmu{}", "∞": "$\\infty$" };
  const escaped = (text) => text.replace(/[\\~^<>≥±−–×µ∞]|[&%$#_{}]/g, (sign) => SPECIAL[sign] ?? `\\${sign}`);

  function latex(rows) {
    const lines = rows.map((row) => row
      .map(({ text, low, high }) => escaped(low === undefined ? text : `${text} (${low}–${high})`)).join(" & ") + " \\\\");
    const columns = "l" + "r".repeat(rows[0].length - 1);
    return [`\\begin{tabular}{${columns}}`, "\\toprule", lines[0], "\\midrule", ...lines.slice(1), "\\bottomrule",
      "\\end{tabular}", ""].join("\n");
  }

  function download(text, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers that forbid the clipboard to pages on a disk still copy a selection.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function button(label, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", async () => {
      await act();
      made.textContent = `${label} ✓`;
      setTimeout(() => { made.textContent = label; }, 2000);
    });
    return made;
  }

  for (const table of document.querySelectorAll("main table")) {
    const rows = () => [...table.rows].map((row) => [...row.cells].map(read));
    const tools = document.createElement("p");
    tools.className = "tools";
    tools.append(button("CSV", () => download(csv(rows()), `${table.dataset.name || "table"}.csv`)),
      button("Copy LaTeX", () => copy(latex(rows()))));
    (table.closest(".wide") ?? table).after(tools);
  }
}
