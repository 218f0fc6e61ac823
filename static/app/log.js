// The list of events, newest first. A row is a label such as [chat], the time and the text.

import { byId, data, element } from "./dom.js";
import { rowText } from "./rows.js";
import { clock, lang, say } from "./texts.js";

const MAX_ROWS = 500;
const READING_PX = 200;
// Each look at the scroll position makes the browser lay out all rows: a burst is put in at once.
const GATHER_MS = 50;

const list = byId("log");
const empty = byId("log-empty");
const known = new Set();
let waiting = [];
let timer = 0;
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
  const reading = window.scrollY > READING_PX;
  const height = reading && document.documentElement.scrollHeight;
  waiting.forEach(insert);
  waiting = [];
  if (reading) window.scrollBy(0, document.documentElement.scrollHeight - height);
  showEmpty();
}

// What the server has kept from before this page.
export function addHistory(frames) {
  frames.forEach(insert);
  showEmpty();
}

// By time, not by arrival: history may come after the first live events, and a replay after an error.
function insert(frame) {
  if (known.has(key(frame))) return;
  let older = list.firstElementChild;
  while (older !== null && isNewer(older.frame, frame)) older = older.nextElementSibling;
  list.insertBefore(row(frame), older);
  while (list.childElementCount > MAX_ROWS) drop(list.lastElementChild);
}

const isNewer = (one, other) => (one.ts - other.ts || (one.id ?? 0) - (other.id ?? 0)) > 0;

export function clear() {
  clearTimeout(timer);
  waiting = [];
  list.replaceChildren();
  known.clear();
  showEmpty();
}

function row(frame) {
  known.add(key(frame));
  const time = element("time", { text: clock(frame.ts) });
  time.dateTime = new Date(frame.ts).toISOString();
  const text = element("bdi", { className: "row-text", text: rowText(frame, data.rows[lang()]) });
  const tag = element("span", { className: "tag", text: `[${frame.type}]` });
  const made = element("li", {}, tag, time, text);
  if (frame.type === "error") made.append(more(frame));
  made.dataset.type = frame.type;
  made.frame = frame;
  if (frame.ref) text.append(" ", element("code", { className: "ref", text: frame.ref }));
  return made;
}

function more(frame) {
  const button = element("button", { className: "row-more", text: say("details") });
  button.type = "button";
  button.dataset.text = "details"; // for texts.js, when the language changes
  button.addEventListener("click", () => showDetails(frame));
  return button;
}

function drop(old) {
  known.delete(key(old.frame));
  old.remove();
}

for (const chip of byId("filters").children) {
  chip.addEventListener("click", () => {
    list.dataset.filter = chip.dataset.filter;
    for (const other of byId("filters").children) {
      other.setAttribute("aria-pressed", String(other === chip));
    }
    showEmpty();
  });
}

function showEmpty() {
  const wanted = list.dataset.filter;
  const rows = wanted === "all" ? "li" : `[data-type="${wanted}"]`;
  empty.hidden = list.querySelector(rows) !== null;
}
