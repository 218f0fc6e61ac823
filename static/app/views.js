// Which view is shown: one at a time, each with a title of its own for the window and the switcher.

import { byId } from "./dom.js";
import { say } from "./texts.js";

const VIEWS = ["pairing", "first", "relay", "settings"];
const TITLES = { pairing: "pair_title", first: "first_title", settings: "settings" };

let creator = "";

export const shown = () => VIEWS.find((name) => !byId(name).hidden);

export function show(name) {
  for (const other of VIEWS) byId(other).hidden = other !== name;
  byId("loading").hidden = true;
  // The style sheet keeps the snackbar above the bar that only the log has.
  document.body.dataset.view = name;
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
