// Whether decisions are saved, always visible; undo and redo; and the choice where two people decided differently.

import { h, replace } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { icon } from "../lib/icons.js";

/** The saving state with undo and redo. `page` offers `undo(again)`, `items`, `select` and `app`. */
export function decisionStatus(decisions, page) {
  const text = h("span", { class: "saving", role: "status" });
  const more = h("span", { class: "saving-actions" });
  const undo = h("button", { class: "plain", "aria-label": "Undo", title: "Undo (U)", onclick: () => page.undo() }, icon("undo"));
  const redo = h("button", { class: "plain", "aria-label": "Redo", title: "Redo (Ctrl ⇧ Z)", onclick: () => page.undo(true) }, icon("redo"));
  const box = h("div", { class: "decisions" }, undo, redo, text, more);
  const conflicts = h("section", { class: "conflicts", "aria-label": "Conflicts", hidden: true });
  page.app.main.append(conflicts);
  const show = () => {
    const waiting = format.count(decisions.waiting.size, "change");
    const words = {
      saved: "Saved",
      saving: "Saving …",
      retrying: `${waiting} not saved, trying again`,
      conflict: format.count(decisions.conflicts.size, "conflict"),
      refused: `${waiting} not saved`,
    };
    text.className = `saving ${decisions.status}`;
    if (text.textContent !== words[decisions.status]) text.textContent = words[decisions.status];
    text.title = decisions.status === "retrying" ? decisions.reason : "";
    undo.disabled = !decisions.past.length;
    redo.disabled = !decisions.future.length;
    replace(more, decisions.refused ? [h("button", { onclick: () => decisions.again() }, "Try again"), h("button", { onclick: () => decisions.discard() }, "Discard")] : []);
    if (decisions.refused && decisions.refused !== box.dataset.told) page.app.message(`Not saved: ${decisions.refused}`, "bad");
    box.dataset.told = decisions.refused ?? "";
    showConflicts();
  };
  const showConflicts = () => {
    conflicts.hidden = !decisions.conflicts.size;
    replace(conflicts, [...decisions.conflicts].map(([id, theirs]) => conflict(id, theirs)));
  };
  const conflict = (id, theirs) => {
    const mine = decisions.waiting.get(id)?.state ?? null;
    const about = theirs?.properties.sentinode ?? {};
    const who = about.user ? `${about.user}, ${format.time(about.time)}` : "in another window";
    const item = page.items.find((each) => each.annotation === id);
    return h(
      "div",
      { role: "alertdialog", "aria-label": "Two decisions about the same region" },
      h("p", {}, h("b", {}, "This region was changed elsewhere.")),
      h("dl", {}, h("div", {}, h("dt", {}, "Yours"), h("dd", {}, spelled(mine?.class, mine))), h("div", {}, h("dt", {}, `Theirs (${who})`), h("dd", {}, spelled(theirs?.properties.classification?.name, theirs)))),
      h(
        "p",
        { class: "choices" },
        h("button", { class: "primary", onclick: () => decisions.resolve(id, "mine") }, "Keep mine"),
        h("button", { onclick: () => decisions.resolve(id, "theirs") }, "Take theirs"),
        item ? h("button", { class: "plain", onclick: () => page.select(item.id) }, "Show") : null,
      ),
    );
  };
  decisions.addEventListener("change", show);
  show();
  return box;
}

function spelled(name, there) {
  return there ? (format.CLASSES[name] ?? name ?? "no class") : "deleted";
}
