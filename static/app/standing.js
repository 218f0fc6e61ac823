// The line at the top that says how things stand, the viewers beside it, and the card while a live has
// not begun.

import { byId } from "./dom.js";
import { countdown, number, say, translated } from "./texts.js";

const TICK_MS = 1_000;
const line = byId("status");
const words = byId("status-text");

let link = { state: "connecting", retryAt: 0, error: null };
let status = null;

// The connection has changed; see liverelay.js.
export function linked(now) {
  link = now;
  if (now.state !== "open") {
    status = null;
    viewers(null);
  }
  show();
}

// The server has told the state of the room.
export function said(frame) {
  status = frame;
  if (!frame.connected) viewers(null);
  show();
}

export function viewers(count) {
  byId("viewers").hidden = count === null;
  if (count !== null) byId("viewers-now").textContent = number(count);
}

export function show() {
  const [state, text] = standing();
  line.dataset.state = state;
  // Screen readers read every change out, and nobody wants to hear each second of a countdown.
  line.setAttribute("aria-live", state === "retrying" ? "off" : "polite");
  if (words.textContent !== text) words.textContent = text;
  byId("waiting").hidden = state !== "waiting";
  if (state === "waiting") byId("waiting-text").textContent = say("waiting", { username: status.tiktok_username });
}

function standing() {
  if (link.state === "open" && status) return [status.state, translated(status).message];
  if (link.state === "connecting" || link.state === "open") return ["connecting", say("connecting")];
  if (link.state === "halted" || link.error) return ["halted", say("halted")];
  if (!navigator.onLine) return ["retrying", say("offline")];
  return ["retrying", say("retry_in", { time: countdown(link.retryAt - Date.now()) })];
}

window.addEventListener("offline", show);
setInterval(show, TICK_MS);
