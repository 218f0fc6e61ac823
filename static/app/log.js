// The list of events, newest first. A row is a label such as [chat], the time and the text.

import { byId, data, element } from "./dom.js";
import { rowText } from "./rows.js";
import { clock, lang, number, say, translated } from "./texts.js";
import { shown } from "./views.js";

const MAX_ROWS = 500;
const READING_PX = 200;
// Each look at the scroll position makes the browser lay out all rows: a burst is put in at once.
const GATHER_MS = 50;

const list = byId("log");
const empty = byId("log-empty");
const newer = byId("newer");
const rows = new Map();
let waiting = [];
let timer = 0;
let unread = 0;
let showDetails = () => {};

export function setUp({ details }) {
  showDetails = details;
}

// Frames of the room have an id. An incident is one row, however often its error is repeated.
const key = (frame) => frame.id ?? frame.ref ?? `${frame.type} ${frame.ts}`;

export function add(frame) {
  waiting.push(frame);
  if (waiting.length === 1) timer = setTimeout(flush, GATHER_MS);
  else if (waiting.length >= MAX_ROWS) flush();
}

function flush() {
  clearTimeout(timer);
  const reading = shown() === "relay" && window.scrollY > READING_PX;
  keepPlace(() => {
    for (const frame of waiting) {
      if (insert(frame) && reading && shows(frame)) unread += 1;
    }
    waiting = [];
    showNewer();
    showEmpty();
  });
}

// What the server has kept from before this page.
export function addHistory(frames) {
  keepPlace(() => {
    frames.forEach(insert);
    showEmpty();
  });
}

// What is under the reader's eyes stays there.
function keepPlace(change) {
  const reading = shown() === "relay" && window.scrollY > READING_PX;
  const read = reading ? [...list.children].find((item) => top(item) > 0) : null;
  const before = read && top(read);
  change();
  if (read?.isConnected) window.scrollBy(0, top(read) - before);
}

const top = (item) => item.getBoundingClientRect().top;

// By time, not by arrival: history may come after the first live events, and a replay after an error.
function insert(frame) {
  const known = rows.get(key(frame));
  if (known) {
    // A remembered error that is told again stands where it was told last.
    if (!frame.ref || frame.ts <= known.frame.ts) return false;
    drop(known);
  }
  let older = list.firstElementChild;
  while (older !== null && isNewer(older.frame, frame)) older = older.nextElementSibling;
  list.insertBefore(row(frame), older);
  while (list.childElementCount > MAX_ROWS) drop(list.lastElementChild);
  return true;
}

const isNewer = (one, other) => (one.ts - other.ts || (one.id ?? 0) - (other.id ?? 0)) > 0;

export function clear() {
  clearTimeout(timer);
  waiting = [];
  unread = 0;
  list.replaceChildren();
  rows.clear();
  showNewer();
  showEmpty();
}

// The language was changed.
export function redraw() {
  for (const old of [...list.children]) old.replaceWith(row(old.frame));
  showNewer();
}

function row(frame) {
  const time = element("time", { text: clock(frame.ts) });
  time.dateTime = new Date(frame.ts).toISOString();
  const text = element("bdi", { className: "row-text", text: rowText(translated(frame), data.rows[lang()]) });
  const tag = element("span", { className: "tag", text: `[${frame.type}]` });
  const made = element("li", {}, tag, time, text);
  if (frame.type === "error") made.append(more(frame));
  made.dataset.type = frame.type;
  made.frame = frame;
  if (frame.ref) text.append(" ", element("code", { className: "ref", text: frame.ref }));
  rows.set(key(frame), made);
  return made;
}

function more(frame) {
  const again = frame.retry_after ? clock(frame.ts + frame.retry_after * 1000) : "";
  const note = element("span", { className: "row-note", text: again && say("again_at", { time: again }) });
  const button = element("button", { className: "row-more", text: say("details") });
  button.type = "button";
  button.addEventListener("click", () => showDetails(frame));
  return element("span", { className: "row-end" }, button, note);
}

function drop(old) {
  rows.delete(key(old.frame));
  old.remove();
}

// ---- what is shown of it

const shows = (frame) => list.dataset.filter === "all" || list.dataset.filter === frame.type;

for (const chip of byId("filters").children) {
  chip.addEventListener("click", () => {
    list.dataset.filter = chip.dataset.filter;
    for (const other of byId("filters").children) {
      other.setAttribute("aria-pressed", String(other === chip));
    }
    unread = 0;
    window.scrollTo(0, 0);
    showNewer();
    showEmpty();
  });
}

function showEmpty() {
  const wanted = list.dataset.filter;
  const found = wanted === "all" ? "li" : `[data-type="${wanted}"]`;
  empty.hidden = list.querySelector(found) !== null;
}

function showNewer() {
  newer.hidden = unread === 0;
  if (unread) byId("newer-text").textContent = say("newer", { n: number(unread) });
}

newer.addEventListener("click", () => window.scrollTo({ top: 0 }));
window.addEventListener(
  "scroll",
  () => {
    if (unread === 0 || window.scrollY > READING_PX) return;
    unread = 0;
    showNewer();
  },
  { passive: true },
);
