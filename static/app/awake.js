// Keeping the screen on while a live is watched. Browsers take the lock away with the page's sight,
// and have none at all without HTTPS.

import { store } from "./dom.js";

export const canStayAwake = "wakeLock" in navigator;

let lock = null;
let wanted = false;

// `watching`: whether there is anything to stay awake for.
export function set(watching) {
  wanted = watching && store.get("awake") !== "";
  if (wanted) hold();
  else release();
}

async function hold() {
  if (!canStayAwake || lock || document.visibilityState !== "visible") return;
  try {
    lock = await navigator.wakeLock.request("screen");
  } catch {
    return; // a battery that is low; asked again when the page is next seen
  }
  lock.addEventListener("release", () => {
    lock = null;
  });
  if (!wanted) release();
}

function release() {
  lock?.release();
}

document.addEventListener("visibilitychange", () => {
  if (wanted) hold();
});
