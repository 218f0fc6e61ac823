// The installed app: its service worker keeps the shell, and says when there is a newer one. Browsers
// have none without HTTPS; the page then is just a page.

import { byId } from "./dom.js";

const WORKER = "/app/sw.js";
const LOOK_MS = 60_000;
const bar = byId("update");

let registration = null;
let lookedAt = 0;

export async function setUp() {
  if (!("serviceWorker" in navigator)) return;
  // The one address that a script may be made of: the page's policy forbids all others.
  const policy = window.trustedTypes?.createPolicy("liverelay", { createScriptURL: () => WORKER });
  const address = policy ? policy.createScriptURL("") : WORKER;
  try {
    registration = await navigator.serviceWorker.register(address, { scope: "/app/" });
  } catch {
    return; // storage that is full or forbidden
  }
  if (registration.waiting) offer();
  registration.addEventListener("updatefound", () => {
    const fresh = registration.installing;
    fresh.addEventListener("statechange", () => {
      // The very first one replaces nothing.
      if (fresh.state === "installed" && navigator.serviceWorker.controller) offer();
    });
  });
}

// A server that was restarted may be a newer one.
export function look() {
  if (!registration || Date.now() - lookedAt < LOOK_MS) return;
  lookedAt = Date.now();
  registration.update().catch(() => {});
}

function offer() {
  bar.hidden = false;
}

byId("update-now").addEventListener("click", () => {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  registration.waiting?.postMessage("take over");
});
