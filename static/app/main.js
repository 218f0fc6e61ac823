// The phone app: which view is shown, and what each frame does to it.

import { LiveRelay } from "../liverelay.js";
import { byId, store } from "./dom.js";
import * as log from "./log.js";
import * as pairing from "./pairing.js";
import { call } from "./rest.js";
import * as settings from "./settings.js";
import * as sheet from "./sheet.js";
import * as snackbar from "./snackbar.js";
import { apply, countdown, lang, say } from "./texts.js";
import * as trouble from "./trouble.js";

const HISTORY_ROWS = 500;
const VIEWS = ["pairing", "relay", "settings"];

let token = store.get("token");
let relay = null;
let link = { state: "connecting", retryAt: 0, error: null };
let status = null;
let historyWanted = false;

function view(name) {
  for (const other of VIEWS) byId(other).hidden = other !== name;
  window.scrollTo(0, 0);
}

// ---- the connection

function connect() {
  relay?.stop();
  log.clear();
  historyWanted = true;
  status = null;
  relay = new LiveRelay({
    url: `${location.origin.replace(/^http/, "ws")}/ws`,
    token,
    options: () => ({ lang: lang(), platform: "web" }),
  });
  relay.addEventListener("frame", (event) => receive(event.detail));
  relay.addEventListener("link", (event) => linked(event.detail));
  relay.start();
}

function receive(frame) {
  if (frame.type === "status") {
    status = frame;
    trouble.hide();
    showStatus();
    if (!frame.connected) byId("viewers").hidden = true;
    // Nothing could be replayed: the server's log may have it.
    if (frame.recovered === false) historyWanted = true;
    if (frame.epoch) loadHistory(frame.last_id);
  }
  if (frame.type === "viewer") {
    byId("viewers").hidden = false;
    byId("viewers-now").textContent = frame.current.toLocaleString(lang());
  }
  if (frame.type === "error") {
    // The server closes after it; what comes by itself and when is told by the link.
    snackbar.show(frame.message, frame.details, () => showError(frame));
  }
  if (frame.type !== "pong") log.add(frame);
}

function showError(error) {
  sheet.open({ ...error, retryAt: error.retry_after ? error.ts + error.retry_after * 1000 : 0 });
}

function linked(now) {
  link = now;
  if (now.state !== "open") status = null;
  if (now.state === "waiting" || now.state === "halted") {
    byId("viewers").hidden = true;
    loadHistory();
  }
  if (now.error) trouble.show(now.error, now.error.retryAt);
  else if (now.state === "open") trouble.hide();
  showStatus();
}

// What was before this page: rows the server keeps. Ids up to `lastId`; what is newer comes live.
async function loadHistory(lastId) {
  if (!historyWanted) return;
  historyWanted = false;
  const before = lastId === undefined ? "" : `&before=${lastId + 1}`;
  const mine = relay;
  try {
    const { events } = await call("GET", `/api/me/events?limit=${HISTORY_ROWS}${before}`, { token });
    if (relay === mine) log.addHistory(events);
  } catch {
    // The connection tells what is wrong; the next one asks again.
    if (relay === mine) historyWanted = true;
  }
}

function showStatus() {
  const line = byId("status");
  const [state, words] = standing();
  line.dataset.state = state;
  // Screen readers read every change out, and nobody wants to hear each second of a countdown.
  line.setAttribute("aria-live", state === "retrying" ? "off" : "polite");
  if (byId("status-text").textContent !== words) byId("status-text").textContent = words;
}

function standing() {
  if (link.state === "open" && status) return [status.state, status.message];
  if (link.state === "connecting" || link.state === "open") return ["connecting", say("connecting")];
  if (link.state === "halted" || link.error) return ["halted", say("halted")];
  if (!navigator.onLine) return ["retrying", say("offline")];
  return ["retrying", say("retry_in", { time: countdown(link.retryAt - Date.now()) })];
}

// ---- the views

function paired(fresh) {
  token = fresh;
  store.set("token", token);
  view("relay");
  connect();
}

function unpair() {
  relay?.stop();
  relay = null;
  token = "";
  store.remove("token");
  log.clear();
  trouble.hide();
  history.replaceState(null, "", location.pathname + location.search);
  view("pairing");
  byId("pairing-code").focus();
}

function openSettings() {
  history.pushState({ view: "settings" }, "", "#settings");
  showSettings();
}

function showSettings() {
  view("settings");
  byId("settings-title").focus();
  settings.load(token);
}

// A paired phone stays as it is when the link was an old one.
async function pairByLink(code) {
  view("pairing");
  try {
    await pairing.pair(code, paired);
  } catch (error) {
    if (!token) {
      pairing.fail(error.message);
      return;
    }
    route();
    snackbar.show(error.message, "");
  }
}

function route() {
  const code = pairing.codeFromAddress();
  if (code) {
    pairByLink(code);
    return;
  }
  if (token && relay === null) connect();
  if (!token) {
    view("pairing");
  } else if (location.hash === "#settings") {
    showSettings();
  } else {
    const fromSettings = !byId("settings").hidden;
    view("relay");
    if (fromSettings) byId("open-settings").focus();
  }
}

pairing.setUp(paired);
log.setUp({ details: showError });
trouble.setUp({
  open_settings: openSettings,
  pair_again: unpair,
  try_again: () => relay.restart(),
  details: sheet.open,
});
settings.setUp({
  token: () => token,
  // A phone whose socket is open is moved by the server. One that was sent away comes back now,
  // unless it was told a time: another name lifts no limit. Only who is not live is another matter.
  onUsername: () => {
    const told = link.error?.retryAt && link.error.code !== "user_offline";
    if (link.state !== "open" && !told) relay.restart();
  },
  // The server forgets what a new key may mend; it refuses again if that is not so.
  onKey: () => link.state !== "open" && relay.restart(),
  onLanguage: () => {
    trouble.redraw(link.error?.retryAt ?? 0);
    showStatus();
    if (link.state === "open") relay.restart();
  },
  // Or the end of the token would be told as an error.
  onForgetting: () => relay.stop(),
  onKept: () => relay.start(),
  onForgotten: unpair,
});
byId("open-settings").addEventListener("click", openSettings);
byId("close-settings").addEventListener("click", () => {
  if (history.state?.view === "settings") {
    history.back();
  } else {
    history.replaceState(null, "", location.pathname + location.search);
    route();
  }
});
window.addEventListener("popstate", () => {
  // The skip link stays in its view.
  if (location.hash !== "#content") route();
});
window.addEventListener("online", () => relay?.wake());
window.addEventListener("offline", showStatus);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") relay?.wake();
});
setInterval(showStatus, 1000);

apply();
route();
