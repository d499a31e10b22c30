// The frame around the views, and which view the address asks for.

import { api, connection } from "./lib/api.js";
import { h, replace } from "./lib/dom.js";
import { icon } from "./lib/icons.js";
import { setKeys, showHelp } from "./lib/keys.js";
import { compareView } from "./compare.js";
import { galleryView } from "./gallery.js";
import { queueView } from "./queue.js";
import { slideView } from "./slide/page.js";
import { worklistView } from "./worklist.js";

const title = h("h1", {}, "Sentinode");
const links = h("nav", { "aria-label": "Views" });
const tools = h("div", { class: "tools" });
const main = h("main", { id: "view", tabindex: "-1" });
const lost = h("p", { class: "banner bad", role: "alert", hidden: true });
const messages = h("div", { class: "messages" });
const app = { session: null, slides: [], title, tools, main, message, setTitle };
let shown = null;
let turn = 0;

/** Show a short message; with an error, until it is closed. */
function message(text, kind = "info") {
  for (const old of [...messages.children]) if (old.firstChild.textContent === text) old.remove();
  const close = h("button", { class: "plain", "aria-label": "Close", onclick: () => box.remove() }, icon("close"));
  const box = h("div", { class: `message ${kind}`, role: kind === "bad" ? "alert" : "status" }, h("p", {}, text), close);
  messages.append(box);
  while (messages.children.length > 3) messages.firstChild.remove();
  if (kind !== "bad") setTimeout(() => box.remove(), 6000);
}

function setTitle(text) {
  title.textContent = text;
  document.title = text === "Sentinode" ? text : `${text} · Sentinode`;
}

function frame() {
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#view", onclick: (event) => (event.preventDefault(), main.focus()) }, "Skip to the view"),
    h("header", { class: "bar" }, links, title, h("span", { class: "use" }, "Research use only"), h("span", { class: "grow" }), tools,
      h("button", { class: "plain", onclick: showHelp, "aria-label": "Keyboard help", title: "Keyboard help (?)" }, icon("help"))),
    lost,
    main,
    messages,
    h("div", { id: "announcements", class: "unseen", role: "status", "aria-live": "polite" }),
  );
}

function showLinks(current) {
  const { session, slides } = app;
  const all = [];
  if (session.pages.includes("slides") && slides.length > 1) all.push(["#/", "Slides"]);
  if (session.pages.includes("slides") && !session.read_only && slides.some((slide) => slide.results.length)) all.push(["#/queue", "Labeling"]);
  if (session.pages.includes("patches")) all.push(["#/patches", "Patches"]);
  if (!all.length || (all.length === 1 && all[0][0] === current)) return replace(links);
  replace(links, all.map(([to, name]) => h("a", { href: to, "aria-current": to === current ? "page" : null }, name)));
}

const ROUTES = [
  [/^#\/slide\/([^/?]+)(?:\?(.*))?$/, slideView, null],
  [/^#\/compare\/([^/?]+)(?:\?(.*))?$/, compareView, null],
  [/^#\/patches(?:\?(.*))?$/, galleryView, "#/patches"],
  [/^#\/queue(?:\?(.*))?$/, queueView, "#/queue"],
  [/^#?\/?$/, worklistView, "#/"],
];

async function route() {
  const own = ++turn;
  shown?.destroy?.();
  shown = null;
  setKeys([]);
  replace(tools);
  const [pattern, view, link] = ROUTES.find(([each]) => each.test(location.hash)) ?? ROUTES.at(-1);
  const found = location.hash.match(pattern) ?? [];
  main.className = "";
  replace(main, h("p", { class: "empty" }, "Loading …"));
  try {
    app.slides = app.session.pages.includes("slides") ? (await api("api/slides")).slides : [];
    if (own !== turn) return;
    if (link === "#/" && app.slides.length === 1) return void location.replace(`#/slide/${app.slides[0].id}`);
    if (link === "#/" && !app.slides.length && app.session.pages.includes("patches")) return void location.replace("#/patches");
    showLinks(link);
    const made = await view(app, ...found.slice(1));
    if (own !== turn) made?.destroy?.();
    else shown = made;
  } catch (error) {
    if (own !== turn) return;
    replace(main, problem(error));
  }
}

function problem(error) {
  return h("section", { class: "empty", role: "alert" }, h("h2", {}, "Cannot display this page"), h("p", {}, error.message),
    h("p", {}, h("button", { onclick: route }, "Try again"), " ", app.slides.length > 1 ? h("a", { href: "#/" }, "All slides") : null));
}

connection.addEventListener("change", () => {
  lost.hidden = connection.lost === null;
  lost.textContent = connection.lost === null ? "" : `${connection.lost} Changes are kept in this browser and sent when the server responds again.`;
});

// A bug must not pass unseen, nor take the page down.
addEventListener("error", (event) => message(`Something went wrong on this page: ${event.message}`, "bad"));
addEventListener("unhandledrejection", (event) => message(event.reason?.message ?? String(event.reason), "bad"));
addEventListener("hashchange", route);

async function start() {
  frame();
  try {
    app.session = await api("api/session");
  } catch (error) {
    replace(main, h("section", { class: "empty", role: "alert" }, h("h2", {}, "The viewer cannot start"), h("p", {}, error.message),
      h("button", { onclick: start }, "Try again")));
    return;
  }
  await route();
}

start();
