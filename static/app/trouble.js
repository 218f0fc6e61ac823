// The card of an error that keeps the phone disconnected. It stays until the phone is connected again.

import { byId, data } from "./dom.js";
import { countdown, lang, say } from "./texts.js";

const card = byId("trouble");
const act = byId("trouble-act");
const wait = byId("trouble-wait");

// What a person can do about a code; everything else is connecting again.
const ACTS = {
  username_required: "open_settings",
  invalid_username: "open_settings",
  user_not_found: "open_settings",
  unauthorized: "pair_again",
};

let error = null;
let timer = 0;
let handlers = {};

export function setUp(given) {
  handlers = given;
  act.addEventListener("click", () => handlers[ACTS[error.code] ?? "try_again"]());
  byId("trouble-more").addEventListener("click", () => handlers.details(error));
}

// `retryAt` (ms) 0: it does not connect by itself.
export function show(shown, retryAt) {
  error = shown;
  clearInterval(timer);
  // An error known by its close reason alone has no message.
  byId("trouble-title").textContent = shown.message ?? say("halted");
  byId("trouble-details").textContent = shown.details ?? data.errors[shown.code]?.[lang()].cause ?? "";
  // Before its time nothing connects, so there is no button that would.
  const doing = ACTS[shown.code] ?? (retryAt ? "" : "try_again");
  act.hidden = doing === "";
  if (doing) act.textContent = say(doing);
  wait.hidden = !retryAt;
  if (retryAt) {
    const tick = () => {
      const left = retryAt - Date.now();
      byId("trouble-wait-text").textContent = say(left > 0 ? "next_try" : "retrying");
      byId("trouble-countdown").textContent = left > 0 ? countdown(left) : "";
    };
    tick();
    timer = setInterval(tick, 500);
  }
  card.hidden = false;
}

export function hide() {
  clearInterval(timer);
  card.hidden = true;
}

// The language was changed.
export function redraw(retryAt) {
  if (!card.hidden && error) show(error, retryAt);
}
