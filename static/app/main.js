// The phone app: what each frame and each change of the connection does to it.

import { LiveRelay } from "../liverelay.js";
import * as awake from "./awake.js";
import { byId, store } from "./dom.js";
import * as first from "./first.js";
import * as gifts from "./gifts.js";
import * as log from "./log.js";
import * as pairing from "./pairing.js";
import { call } from "./rest.js";
import * as settings from "./settings.js";
import * as sheet from "./sheet.js";
import * as shell from "./shell.js";
import * as snackbar from "./snackbar.js";
import * as standing from "./standing.js";
import { apply, choose, clock, lang, say, span, translated } from "./texts.js";
import * as totals from "./totals.js";
import * as trouble from "./trouble.js";
import * as views from "./views.js";

const HISTORY_ROWS = 500;

let token = store.get("token");
let relay = null;
let link = { state: "connecting", retryAt: 0, error: null };
let creator = "";
let historyWanted = false;

// ---- the connection

function connect() {
  relay?.stop();
  log.clear();
  historyWanted = true;
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
  if (frame.type === "pong") return;
  if (frame.type === "status") stand(frame);
  if (frame.type === "viewer") standing.viewers(frame.current);
  if (frame.type === "gift") gifts.arrived();
  // What comes by itself after it and when is told by the link.
  if (frame.type === "error") showSnackbar(frame);
  totals.count(frame);
  log.add(frame);
}

function stand(frame) {
  creator = frame.tiktok_username ?? "";
  views.watch(creator);
  standing.said(frame);
  if (frame.state !== "connecting") {
    // Whatever was wrong is not any more.
    trouble.hide();
    snackbar.settle();
  }
  // Nothing could be replayed: the server's log may have it.
  if (frame.recovered === false) historyWanted = true;
  if (frame.epoch) {
    totals.enter(frame.epoch);
    loadHistory(frame.last_id);
  }
}

function showSnackbar(error) {
  const retryAt = comesBackAt(error);
  const words = () => {
    const { message, details } = translated(error);
    const left = retryAt - Date.now();
    return [message, details, retryAt ? say("at_time_in", { time: clock(retryAt), span: span(left) }) : ""];
  };
  snackbar.show(words, { onDetails: () => showError(error), ends: Boolean(error.closing) });
}

const comesBackAt = (error) => (error.retry_after ? error.ts + error.retry_after * 1000 : 0);

function showError(error) {
  sheet.open({ ...error, retryAt: comesBackAt(error) });
}

function linked(now) {
  link = now;
  standing.linked(now);
  awake.set(now.state !== "halted");
  if (now.state === "open") shell.look();
  if (now.state === "waiting" || now.state === "halted") {
    loadHistory();
    if (now.error) trouble.show(now.error);
    else trouble.hide();
  }
}

// What was before this page: rows the server keeps. Ids up to `lastId`; what is newer comes live.
async function loadHistory(lastId) {
  if (!historyWanted) return;
  historyWanted = false;
  const before = lastId === undefined ? "" : `&before=${lastId + 1}`;
  const [mine, whose] = [relay, creator];
  try {
    const { events } = await call("GET", `/api/me/events?limit=${HISTORY_ROWS}${before}`, { token });
    if (relay !== mine) return;
    log.addHistory(events);
    if (lastId !== undefined) totals.countHistory(events, whose);
  } catch {
    // The connection tells what is wrong; the next one asks again.
    if (relay === mine) historyWanted = true;
  }
}

// ---- pairing, and the first step after it

async function paired(fresh) {
  token = fresh;
  store.set("token", token);
  totals.forget();
  try {
    const me = await call("GET", "/api/me", { token });
    if (!me.tiktok_username) {
      views.show("first");
      first.begin();
      return;
    }
  } catch {
    // The connection will tell what is wrong.
  }
  begin();
}

function begin() {
  views.show("relay");
  connect();
}

function unpair() {
  relay?.stop();
  relay = null;
  token = "";
  store.remove("token");
  log.clear();
  totals.forget();
  trouble.hide();
  snackbar.settle();
  views.watch("");
  history.replaceState(null, "", location.pathname + location.search);
  views.show("pairing");
  awake.set(false);
  byId("pairing-code").focus();
}

// A paired phone stays as it is when the link was an old one.
async function pairByLink(code) {
  views.show("pairing");
  try {
    await pairing.pair(code, paired);
  } catch (error) {
    if (!token) {
      pairing.fail(error.message);
      return;
    }
    route();
    snackbar.show(() => [error.message]);
  }
}

// ---- the views

// `field`: what somebody came for.
function openSettings(field) {
  history.pushState({ view: "settings" }, "", "#settings");
  showSettings();
  if (field) byId(field).focus();
}

function showSettings() {
  views.show("settings");
  byId("settings-title").focus();
  settings.load(token);
}

function route() {
  const code = pairing.codeFromAddress();
  if (code) {
    pairByLink(code);
    return;
  }
  if (token && relay === null) connect();
  if (!token) {
    views.show("pairing");
  } else if (location.hash === "#settings") {
    showSettings();
  } else {
    const fromSettings = views.shown() === "settings";
    views.show("relay");
    if (fromSettings) byId("open-settings").focus();
  }
}

function speak(language) {
  choose(language);
  views.title();
  trouble.draw();
  snackbar.redraw();
  totals.draw();
  log.redraw();
  pairing.forget();
  standing.show();
  if (!token) return;
  if (views.shown() === "settings") settings.load(token);
  // For support, and for what the server writes later; the app itself knows already.
  call("PUT", "/api/me/language", { token, body: { language } }).catch(() => {});
  if (link.state === "open") relay?.restart();
}

// A phone whose socket is open is moved by the server, or told that it has nowhere to go. One that was
// sent away comes back at once: what it was told was about the old name.
function renamed(username) {
  if (link.state === "open") return;
  if (!username && link.error?.code === "username_required") return;
  trouble.hide();
  snackbar.settle();
  relay?.restart();
}

pairing.setUp(paired);
first.setUp({ save: (typed) => settings.saveUsername(token, typed), onDone: begin });
log.setUp({ details: showError });
trouble.setUp({
  enter_username: () => openSettings("username"),
  enter_key: () => openSettings("sign-key"),
  pair_again: unpair,
  try_again: () => relay.restart(),
  details: sheet.open,
});
settings.setUp({
  token: () => token,
  onUsername: renamed,
  // The server forgets what a new key may mend; it refuses again if that is not so.
  onKey: () => link.state !== "open" && relay.restart(),
  onLanguage: speak,
  onAwake: () => awake.set(link.state !== "halted"),
  // Or the end of the token would be told as an error.
  onForgetting: () => relay.stop(),
  onKept: () => relay.start(),
  onForgotten: unpair,
});
for (const button of document.querySelectorAll("[data-lang]")) {
  button.addEventListener("click", () => speak(button.dataset.lang));
}
byId("open-settings").addEventListener("click", () => openSettings());
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
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") relay?.wake();
});

apply();
route();
shell.setUp();
