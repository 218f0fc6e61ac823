// The service worker: keeps the shell of the app, and nothing else. It never answers for /ws or /api:
// both are outside its scope of pages, and requests that are not of the shell pass it by.
//
// The server puts two lines before this: VERSION, and SHELL, the addresses of the shell.

/* global SHELL, VERSION */

const CACHE = `liverelay-${VERSION}`;
const APP = "/app/";
const OFFLINE = "/app/offline";
// A network that neither answers nor fails must not keep the app shut.
const PATIENCE_MS = 3_000;

self.addEventListener("install", (event) => {
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(drop().then(() => self.clients.claim()));
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname } = new URL(request.url);
  if (request.method !== "GET") return;
  if (request.mode === "navigate" && pathname.startsWith(APP)) event.respondWith(page(request, pathname));
  else if (SHELL.includes(pathname)) event.respondWith(asset(request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll([APP, OFFLINE, ...SHELL].map((path) => new Request(path, { cache: "reload" })));
}

async function drop() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

// Always the server's own page while there is a server: it names the scripts that fit it.
async function page(request, pathname) {
  const patience = new Promise((_, fail) => setTimeout(fail, PATIENCE_MS));
  try {
    return await Promise.race([fetch(request), patience]);
  } catch {
    const cache = await caches.open(CACHE);
    const kept = pathname === APP ? await cache.match(APP, { ignoreVary: true }) : undefined;
    return kept ?? (await cache.match(OFFLINE, { ignoreVary: true })) ?? Response.error();
  }
}

// An address names its contents, so what is kept is never old.
async function asset(request) {
  return (await caches.match(request, { ignoreSearch: true, ignoreVary: true })) ?? fetch(request);
}
