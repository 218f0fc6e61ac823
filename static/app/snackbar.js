// The red message at the bottom: eight seconds, one at a time, waiting while somebody holds it.

import { byId, element } from "./dom.js";
import { say } from "./texts.js";

const SHOWN_MS = 8_000;
const MAX_QUEUED = 5;

// The place is an alert that was there before its text, or screen readers would not read it out.
const place = byId("snackbar");
const queue = [];
let shown = null;
let timer = 0;

export function show(message, details, onDetails) {
  const same = (other) => other.message === message && other.details === details;
  if ((shown && same(shown)) || queue.some(same)) return;
  queue.push({ message, details, onDetails });
  if (queue.length > MAX_QUEUED) queue.shift();
  if (shown === null) next();
}

function next() {
  clearTimeout(timer);
  shown = queue.shift() ?? null;
  if (shown === null) {
    place.replaceChildren();
    document.body.style.removeProperty("--covered");
    return;
  }
  const { message, details, onDetails } = shown;
  const words = [element("strong", { text: message }), element("span", { text: details })];
  const text = element("p", { className: "snackbar-text" }, ...words);
  const bar = element("div", { className: "snackbar" }, text);
  const close = element("button", { text: say("close") });
  close.type = "button";
  close.addEventListener("click", next);
  if (onDetails) {
    const more = element("button", { text: say("details") });
    more.type = "button";
    more.addEventListener("click", () => {
      next();
      onDetails();
    });
    bar.append(more);
  }
  bar.append(close);
  place.replaceChildren(bar);
  // What lies under it can be scrolled out from there.
  document.body.style.setProperty("--covered", `${place.offsetHeight}px`);
  time(bar);
}

// Counts down only while nobody presses, hovers or focuses it.
function time(bar) {
  const holds = new Set();
  let left = SHOWN_MS;
  let since = 0;
  const run = () => {
    since = performance.now();
    timer = setTimeout(next, left);
  };
  const hold = (why) => {
    if (holds.size === 0) {
      clearTimeout(timer);
      left -= performance.now() - since;
    }
    holds.add(why);
  };
  const release = (why) => {
    if (holds.delete(why) && holds.size === 0 && bar.isConnected) run();
  };
  // Not pointerenter: a pointer that rests where the bar comes up does not hold it.
  bar.addEventListener("pointermove", () => hold("hover"));
  bar.addEventListener("pointerleave", () => {
    release("hover");
    release("press");
  });
  bar.addEventListener("pointerdown", () => hold("press"));
  for (const end of ["pointerup", "pointercancel"]) bar.addEventListener(end, () => release("press"));
  bar.addEventListener("focusin", () => hold("focus"));
  bar.addEventListener("focusout", () => release("focus"));
  run();
}
