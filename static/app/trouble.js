// The card of an error that keeps the phone disconnected. It stays until the phone is connected again.

import { byId, data } from "./dom.js";
import { clock, countdown, lang, say, translated } from "./texts.js";

const card = byId("trouble");
const act = byId("trouble-act");
const key = byId("trouble-key");
const wait = byId("trouble-wait");

// What a person can do about a code; everything else is connecting again.
const ACTS = {
  username_required: "enter_username",
  invalid_username: "enter_username",
  user_not_found: "enter_username",
  premium_required: "enter_key",
  sign_key_invalid: "enter_key",
  unauthorized: "pair_again",
};

let error = null;
let timer = 0;
let handlers = {};

export function setUp(given) {
  handlers = given;
  act.addEventListener("click", () => handlers[ACTS[error.code] ?? "try_again"]());
  key.addEventListener("click", () => handlers.enter_key());
  byId("trouble-more").addEventListener("click", () => handlers.details(error));
}

export function show(shown) {
  error = shown;
  draw();
  card.hidden = false;
}

export function hide() {
  clearInterval(timer);
  card.hidden = true;
}

// Also when the language was changed.
export function draw() {
  if (!error) return;
  clearInterval(timer);
  const { message, details } = translated({ ...error, type: "error" });
  const { code, retryAt } = error;
  // An error known by its close reason alone has no words of its own.
  byId("trouble-title").textContent = message ?? data.errors[code]?.[lang()].message ?? say("halted");
  byId("trouble-details").textContent = details ?? data.errors[code]?.[lang()].cause ?? "";
  // Before its time nothing connects, so there is no button that would.
  const doing = ACTS[code] ?? (retryAt ? "" : "try_again");
  act.hidden = doing === "";
  if (doing) act.textContent = say(doing);
  key.hidden = code !== "rate_limited";
  wait.hidden = !retryAt;
  if (retryAt) {
    byId("trouble-at").textContent = say("at_time", { time: clock(retryAt) });
    tick();
    timer = setInterval(tick, 500);
  }
}

function tick() {
  const left = error.retryAt - Date.now();
  byId("trouble-wait-text").textContent = say(left > 0 ? "next_try" : "retrying");
  byId("trouble-countdown").textContent = left > 0 ? countdown(left) : "";
  byId("trouble-at").hidden = left <= 0;
}
