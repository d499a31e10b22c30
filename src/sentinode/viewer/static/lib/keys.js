// Keyboard commands of the view on screen, and the dialog that lists them.

import { h } from "./dom.js";

let current = [];

/** Set the commands of a view: [{keys: ["N"], label, run, group}]; keys are KeyboardEvent.key, "Ctrl+z" with modifier. */
export function setKeys(commands) {
  current = commands;
}

function spelled(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const control = event.ctrlKey || event.metaKey;
  return (control ? "Ctrl+" : "") + (event.shiftKey && (control || key.length > 1) ? "Shift+" : "") + key;
}

function typing(target, key) {
  if (target.closest("dialog")) return true;
  if (target.closest("input[type=text], input[type=number], input[type=search], textarea")) return true;
  // Controls keep the keys that operate them.
  if (target.closest("select")) return !key.startsWith("Ctrl+");
  if (target.closest("input[type=range]")) return /^(Arrow|Home|End|Page)/.test(key);
  return (key === "Enter" || key === " ") && target.closest("button, a, summary, input") !== null;
}

document.addEventListener("keydown", (event) => {
  const key = spelled(event);
  if (event.altKey || event.isComposing || typing(event.target, key)) return;
  if (key === "?") {
    event.preventDefault();
    showHelp();
    return;
  }
  const command = current.find((each) => each.keys.includes(key));
  if (command && command.run(event) !== false) event.preventDefault();
});

const SHOWN = {
  " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Delete: "Del", Backspace: "⌫",
  "Ctrl+z": "Ctrl Z", "Ctrl+Shift+z": "Ctrl ⇧ Z", "Shift+ArrowUp": "⇧ ↑", "Shift+ArrowDown": "⇧ ↓",
};

function shown(key) {
  return SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}

/** List the keys of this view. */
export function showHelp() {
  const groups = grouped(current.filter((each) => each.label));
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title", onclose: () => dialog.remove() },
    h("header", {}, h("h2", { id: "help-title" }, "Keyboard"), h("button", { onclick: () => dialog.close() }, "Close")),
    h(
      "div",
      { class: "help-groups" },
      [...groups].map(([name, commands]) =>
        h(
          "section",
          {},
          h("h3", {}, name),
          h(
            "dl",
            {},
            commands.map((each) =>
              h("div", {}, h("dt", {}, each.keys.filter((key) => !each.hidden?.includes(key)).map((key) => h("kbd", {}, shown(key)))), h("dd", {}, each.label)),
            ),
          ),
        ),
      ),
    ),
    h("p", { class: "soft" }, "All controls can also be reached with Tab and Enter. Press ? to show this list."),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function grouped(commands) {
  const groups = new Map();
  for (const each of commands) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return groups;
}
