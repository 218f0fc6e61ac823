// What the console's pages share: times in the reader's own zone, countdowns, keys, copying.

const data = JSON.parse(document.getElementById("data")?.textContent ?? '{"strings":{}}');

export { data };

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

// What strangers write and nobody sees, shown by its code point; server/web/render.py has the same.
const INVISIBLE = /([\x01-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff])/;

export function putMarked(place, text) {
  const pieces = text.split(INVISIBLE).map((piece, at) => {
    if (at % 2 === 0) return piece;
    const span = document.createElement("span");
    span.className = "unseen";
    span.dataset.code = `U+${piece.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    span.textContent = piece;
    return span;
  });
  place.replaceChildren(...pieces);
}

// The server writes UTC, for it does not know where the reader is.
export function clock(time) {
  const two = (number) => String(number).padStart(2, "0");
  const date = `${two(time.getDate())}.${two(time.getMonth() + 1)}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const ahead = Math.abs(minutes);
  const rest = ahead % 60 ? `:${String(ahead % 60).padStart(2, "0")}` : "";
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${Math.floor(ahead / 60)}${rest}`;
}

function span(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function countDown() {
  for (const place of document.querySelectorAll(".countdown[data-until]")) {
    const until = Number(place.dataset.until) || Date.parse(place.dataset.until);
    if (Number.isNaN(until)) continue;
    const left = Math.ceil((until - Date.now()) / 1000);
    place.textContent = left > 0 ? span(left) : (data.strings.due ?? "0:00");
  }
}

export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Without HTTPS there is no clipboard; a selection can still be copied.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden-label";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// ---- keys

export const keys = new Map();

function typing(target) {
  return target.closest("input, select, textarea, dialog[open]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const act = keys.get(event.key);
  if (act === undefined) return;
  // Enter and Space belong to the link or button that has the focus.
  if (event.key !== "/" && event.target.closest("a, button, summary") && (event.key === " " || event.key === "Enter")) return;
  event.preventDefault();
  act();
});

const sheet = document.getElementById("keys");
if (sheet) keys.set("?", () => sheet.showModal());
keys.set("/", () => {
  const box = document.getElementById("filter-box");
  if (box) box.open = true;
  (document.getElementById("search") ?? document.querySelector(".finder input"))?.focus();
});

let marked = null;

export function markedRow() {
  return marked?.isConnected ? marked : null;
}

function move(step) {
  const rows = [...document.querySelectorAll("#rows > .row")];
  if (rows.length === 0) return;
  const at = rows.indexOf(markedRow());
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  marked?.classList.remove("marked");
  marked?.removeAttribute("aria-current");
  marked = next;
  marked.classList.add("marked");
  marked.setAttribute("aria-current", "true");
  marked.scrollIntoView({ block: "nearest" });
}

if (document.getElementById("rows")) {
  keys.set("j", () => move(1));
  keys.set("k", () => move(-1));
  keys.set("Enter", () => markedRow()?.querySelector(".when a")?.click());
}

for (const time of document.querySelectorAll("time[datetime]")) {
  if (time.dateTime) time.textContent = clock(new Date(time.dateTime));
}
const utc = document.querySelector(".utc");
if (utc) utc.textContent = zone();
countDown();
setInterval(countDown, 1000);
