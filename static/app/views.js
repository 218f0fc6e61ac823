// Which view is shown: one at a time, each with a title of its own for the window and the switcher. The
// style sheet shows the one that the document names; shell/early.js has named the first.

import { say } from "./texts.js";

const TITLES = { pairing: "pair_title", first: "first_title", settings: "settings" };
const root = document.documentElement;

let creator = "";

export const shown = () => root.dataset.view;

export function show(name) {
  root.dataset.view = name;
  window.scrollTo(0, 0);
  title();
}

// The log is called by whose live it is.
export function watch(username) {
  creator = username;
  title();
}

// Also when the language was changed.
export function title() {
  const name = shown();
  const own = TITLES[name] ? say(TITLES[name]) : creator && `@${creator}`;
  document.title = own ? `${own} · LiveRelay` : "LiveRelay";
}
