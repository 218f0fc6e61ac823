// The red message at the bottom: eight seconds, one at a time, waiting while somebody holds it.

import { byId, element } from "./dom.js";
import { say } from "./texts.js";

const SHOWN_MS = 8_000;
const MAX_QUEUED = 5;
// A finger that has moved it so far means to throw it away.
const SWIPE_PX = 72;

// The place is an alert that was there before its text, or screen readers would not read it out.
const place = byId("snackbar");
let queue = [];
let shown = null;
let timer = 0;

// `words()` makes [message, details, more] in the language of the moment. `ends`: the message is of
// no use once the phone is connected.
export function show(words, { onDetails = null, ends = false } = {}) {
  const said = words().join("\n");
  const same = (other) => other.words().join("\n") === said;
  if ((shown && same(shown)) || queue.some(same)) return;
  queue.push({ words, onDetails, ends });
  if (queue.length > MAX_QUEUED) queue.shift();
  if (shown === null) next();
}

// What no longer holds is not left standing.
export function settle() {
  queue = queue.filter((entry) => !entry.ends);
  if (shown?.ends) next();
}

// The language was changed; the eight seconds go on.
export function redraw() {
  if (shown) place.querySelector(".snackbar").replaceChildren(...parts(shown));
}

function next() {
  clearTimeout(timer);
  // Or the focus would fall out of the page together with the button that has it.
  if (place.contains(document.activeElement)) byId("content").focus({ preventScroll: true });
  shown = queue.shift() ?? null;
  if (shown === null) {
    place.replaceChildren();
    document.body.style.removeProperty("--covered");
    return;
  }
  const bar = element("div", { className: "snackbar" }, ...parts(shown));
  place.replaceChildren(bar);
  // What lies under it can be scrolled out from there.
  document.body.style.setProperty("--covered", `${place.offsetHeight}px`);
  time(bar);
  throwable(bar);
}

function parts({ words, onDetails }) {
  const [message, ...rest] = words();
  const lines = rest.filter(Boolean).map((text) => element("span", { text }));
  const text = element("p", { className: "snackbar-text" }, element("strong", { text: message }), ...lines);
  const dismiss = button("close", next);
  if (!onDetails) return [text, dismiss];
  const more = button("details", () => {
    next();
    onDetails();
  });
  return [text, more, dismiss];
}

function button(text, onClick) {
  const made = element("button", { text: say(text) });
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
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

// Sideways or down, as far as SWIPE_PX.
function throwable(bar) {
  let from = null;
  const moved = (event) => [event.clientX - from.x, Math.max(0, event.clientY - from.y)];
  bar.addEventListener("pointerdown", (event) => {
    from = { x: event.clientX, y: event.clientY };
  });
  bar.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = moved(event);
    bar.style.transform = `translate(${x}px, ${y}px)`;
  });
  bar.addEventListener("pointerup", (event) => {
    if (!from) return;
    const far = Math.max(...moved(event).map(Math.abs)) >= SWIPE_PX;
    from = null;
    bar.style.transform = "";
    if (far && bar.isConnected) next();
  });
  bar.addEventListener("pointercancel", () => {
    from = null;
    bar.style.transform = "";
  });
}
