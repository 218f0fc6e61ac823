// The list of events, newest first. A row is a label such as [chat], the time and the text.

import { byId, data, element } from "./dom.js";
import { rowText } from "./rows.js";
import { clock, lang } from "./texts.js";

const MAX_ROWS = 500;
const READING_PX = 200;

const list = byId("log");
const empty = byId("log-empty");
const known = new Set();

// Frames of the room have an id. An incident is one row, however often its error is repeated.
const key = (frame) => frame.id ?? frame.ref ?? `${frame.type} ${frame.ts}`;

export function add(frame) {
  if (known.has(key(frame))) return;
  const reading = window.scrollY > READING_PX;
  const height = document.documentElement.scrollHeight;
  list.prepend(row(frame));
  if (reading) window.scrollBy(0, document.documentElement.scrollHeight - height);
  while (list.childElementCount > MAX_ROWS) drop(list.lastElementChild);
  showEmpty();
}

// What was before, newest first, under what is there.
export function addOlder(frames) {
  for (const frame of frames) {
    if (list.childElementCount >= MAX_ROWS) break;
    if (!known.has(key(frame))) list.append(row(frame));
  }
  showEmpty();
}

export function clear() {
  list.replaceChildren();
  known.clear();
  showEmpty();
}

function row(frame) {
  known.add(key(frame));
  const time = element("time", { text: clock(frame.ts) });
  time.dateTime = new Date(frame.ts).toISOString();
  const text = element("bdi", { className: "row-text", text: textOf(frame) });
  const made = element("li", {}, element("span", { className: "tag", text: `[${frame.type}]` }), time, text);
  made.dataset.type = frame.type;
  made.key = key(frame);
  if (frame.ref) text.append(" ", element("code", { className: "ref", text: frame.ref }));
  return made;
}

function textOf(frame) {
  const reason = frame.type === "gap" ? data.gaps[frame.reason]?.[lang()] : undefined;
  return rowText(reason ? { ...frame, reason } : frame, data.rows);
}

function drop(old) {
  known.delete(old.key);
  old.remove();
}

for (const chip of byId("filters").children) {
  chip.addEventListener("click", () => {
    list.dataset.filter = chip.dataset.filter;
    for (const other of byId("filters").children) other.setAttribute("aria-pressed", String(other === chip));
    showEmpty();
  });
}

function showEmpty() {
  const wanted = list.dataset.filter;
  const some = wanted === "all" ? list.firstElementChild : list.querySelector(`[data-type="${wanted}"]`);
  empty.hidden = some !== null;
}
