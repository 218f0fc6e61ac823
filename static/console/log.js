// Rows that come live: over a WebSocket, on top, and held back while somebody reads.

import { clock, copy, data, fill, keys, markedRow, putMarked } from "./common.js";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const CLOSE_SIGNED_OUT = 1008;
// From this far down somebody is reading: what is under their eyes must not move.
const READING_PX = 80;

const rows = document.getElementById("rows");
const empty = document.getElementById("empty");
const pill = document.getElementById("live");
const pillText = document.getElementById("live-text");
const heldButton = document.getElementById("held");
const template = document.getElementById("row-template");

// A gap stands where it was told, under rows with smaller ids.
let lastId = Math.max(0, ...Array.from(rows?.children ?? [], (row) => Number(row.dataset.id ?? 0)));
let socket = null;
let pause = FIRST_PAUSE_MS;
let timer = 0;
let steady = 0;
// Held by Space, and then until Space.
let stopped = false;
// Elements that wait for the reader, the newest first, and how many of them are errors.
let waiting = [];
let errors = 0;

function show(state) {
  pill.hidden = false;
  pill.dataset.state = state;
  pillText.textContent = data.strings[state];
}

function connect() {
  clearTimeout(timer);
  if (socket !== null) return;
  const url = new URL(data.live, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("after", String(lastId || Number(url.searchParams.get("after"))));
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    show(stopped ? "held" : "on");
    // A log may be quiet for hours; a link that was refused at once has not recovered.
    steady = setTimeout(() => (pause = FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
  });
  socket.addEventListener("message", (event) => {
    pause = FIRST_PAUSE_MS;
    receive(JSON.parse(event.data));
  });
  socket.addEventListener("close", (event) => {
    socket = null;
    clearTimeout(steady);
    if (event.code === CLOSE_SIGNED_OUT) {
      show("signed_out");
      return;
    }
    show("off");
    timer = setTimeout(connect, Math.random() * pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  });
}

function receive(batch) {
  const fresh = (batch.rows ?? []).filter((row) => row.id > lastId);
  if (batch.skipped) pillText.textContent = data.strings.skipped;
  if (fresh.length > 0) lastId = fresh.at(-1).id;
  const made = fresh.slice(-data.max_rows).reverse().map(element);
  const folded = Object.entries(batch.folded ?? {});
  if (folded.length > 0) made.unshift(summary(folded));
  if (made.length === 0) return;
  waiting = [...made, ...waiting].slice(0, data.max_rows);
  errors += fresh.filter((row) => row.level === "error").length;
  if (reading()) tellWaiting();
  else release();
}

// Scrolled down, or with text selected, or stopped by hand.
function reading() {
  const selection = getSelection();
  const selects = !selection.isCollapsed && rows.contains(selection.anchorNode);
  return stopped || selects || window.scrollY > READING_PX || markedRow() !== null;
}

function tellWaiting() {
  const text = errors ? data.strings.new_errors : data.strings.new;
  heldButton.textContent = fill(text, { count: waiting.length, errors });
  heldButton.hidden = waiting.length === 0;
  heldButton.dataset.errors = String(errors);
}

function release() {
  if (waiting.length > 0) {
    empty.hidden = true;
    rows.prepend(...waiting);
    while (rows.childElementCount > data.max_rows) rows.lastElementChild.remove();
  }
  waiting = [];
  errors = 0;
  heldButton.hidden = true;
}

function showNew() {
  const row = markedRow();
  row?.classList.remove("marked");
  row?.removeAttribute("aria-current");
  window.scrollTo({ top: 0 });
  getSelection().removeAllRanges();
  release();
}

function element(row) {
  const tr = template.content.firstElementChild.cloneNode(true);
  const put = (selector, text) => {
    tr.querySelector(selector).textContent = text;
  };
  const lead = (selector, path) => {
    tr.querySelector(selector).href = here(path);
  };
  tr.dataset.id = String(row.id);
  tr.dataset.type = row.type;
  tr.dataset.level = row.level;
  tr.classList.add("new");
  const time = new Date(row.ts);
  tr.querySelector("time").dateTime = time.toISOString();
  put("time", clock(time));
  lead(".when a", `/console/log/${row.id}`);
  put(".tag", `[${row.type}]`);
  put(".creator bdi", row.creator && `@${row.creator}`);
  if (row.creator) lead(".creator a", `/console/rooms/${encodeURIComponent(row.creator)}`);
  else tr.querySelector(".creator a").remove();
  put(".user a", row.user_id || "");
  if (row.user_id) lead(".user a", `/console/users/${row.user_id}${row.ref ? `?ref=${row.ref}` : ""}`);
  else tr.querySelector(".user a").remove();
  put(".code code", row.code);
  if (row.type === "error") lead(".code a", `/help/errors#${row.code}`);
  else tr.querySelector(".code a").replaceWith(tr.querySelector(".code code"));
  putMarked(tr.querySelector(".text bdi"), row.text);
  if (row.ref) {
    put(".ref", row.ref);
    lead(".ref-link", `/console/?ref=${row.ref}`);
  } else tr.querySelector(".ref-link").remove();
  return tr;
}

// A language that was asked for stays asked for.
function here(path) {
  const url = new URL(path, location.href);
  const lang = new URLSearchParams(location.search).get("lang");
  if (lang) url.searchParams.set("lang", lang);
  return url.pathname + url.search + url.hash;
}

function summary(folded) {
  const tr = document.createElement("tr");
  tr.className = "folded";
  const td = document.createElement("td");
  td.colSpan = 6;
  const what = folded.map(([type, count]) => `${count} × [${type}]`).join(", ");
  td.textContent = fill(data.strings.folded, { what });
  tr.append(td);
  return tr;
}

function wake() {
  if (document.visibilityState === "visible" && pill.dataset.state === "off") connect();
}

async function copyRow() {
  const row = markedRow();
  if (row === null) return;
  const answer = await fetch(here(`/console/log/${row.dataset.id}?format=json`));
  if (!answer.ok) return;
  await copy(await answer.text());
  if (pill) {
    pillText.textContent = data.strings.copied;
    setTimeout(() => show(pill.dataset.state), 2_000);
  }
}

keys.set("c", copyRow);

if (data.live) {
  show("connecting");
  connect();
  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
  heldButton.addEventListener("click", showNew);
  window.addEventListener("scroll", () => reading() || release(), { passive: true });
  document.addEventListener("selectionchange", () => reading() || release());
  keys.set(" ", () => {
    stopped = !stopped;
    if (socket !== null) show(stopped ? "held" : "on");
    if (!stopped) showNew();
  });
}
