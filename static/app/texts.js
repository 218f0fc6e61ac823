// What the app says, in the chosen language. The server sends both languages with the page.

import { data, store } from "./dom.js";
import { fill } from "./rows.js";

export const LANGS = Object.keys(data.strings);

let current = LANGS.includes(store.get("lang")) ? store.get("lang") : data.lang;

export const lang = () => current;

export const say = (key, values = {}) => fill(data.strings[current][key], values);

export function choose(chosen) {
  current = chosen;
  store.set("lang", chosen);
  apply();
}

// Elements name their text in data-text, what they are called in data-label, and data-page is the
// address of a page that is told the language.
export function apply() {
  document.documentElement.lang = current;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", say(node.dataset.label));
    if (node.title) node.title = say(node.dataset.label);
  }
  for (const node of document.querySelectorAll("[data-page]")) node.href = `${node.dataset.page}?lang=${current}`;
  for (const node of document.querySelectorAll("[data-lang]")) {
    node.setAttribute("aria-pressed", String(node.dataset.lang === current));
  }
}

// A frame whose words are in the chosen language: the server wrote them in that of its connection.
export function translated(frame) {
  if (frame.type === "status") {
    const template = data.states[current][frame.state];
    return template ? { ...frame, message: fill(template, { creator: frame.tiktok_username }) } : frame;
  }
  const known = data.errors[frame.code];
  if (frame.type !== "error" || !known || !frame.message) return frame;
  return { ...frame, message: known[current].message, details: translatedDetails(known, frame.details) };
}

function translatedDetails(known, details) {
  for (const from of LANGS) {
    for (const [place, template] of known[from].details.entries()) {
      const values = unfill(template, details);
      if (values) return fill(known[current].details[place], values);
    }
  }
  return details;
}

// The values that were put into a template's {fields}; null when the text was not made of it.
function unfill(template, text) {
  const pattern = template.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.*?)");
  return new RegExp(`^${pattern}$`, "s").exec(text)?.groups ?? (template === text ? {} : null);
}

const two = (number) => String(number).padStart(2, "0");

export function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

// How long, in words: the seed's "a few minutes" may be an hour.
export function span(milliseconds) {
  const seconds = Math.max(1, Math.ceil(milliseconds / 1000));
  if (seconds < 60) return say("seconds", { n: seconds });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return say("minutes", { n: minutes });
  const rest = minutes % 60 ? ` ${say("minutes", { n: minutes % 60 })}` : "";
  return say("hours", { n: Math.floor(minutes / 60) }) + rest;
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DATE = { ...TIME, day: "2-digit", month: "2-digit" };
// Making a format takes longer than using it, and each row is told the time.
const formats = new Map(
  LANGS.map((name) => [name, [TIME, DATE].map((parts) => new Intl.DateTimeFormat(name, parts))]),
);

// With the date when it is not today's: the log goes back days, a limit may last till tomorrow.
export function clock(time) {
  const [ofToday, ofAnyDay] = formats.get(current);
  const today = new Date(time).toDateString() === new Date().toDateString();
  return (today ? ofToday : ofAnyDay).format(time);
}

const LONG_NUMBER = 100_000;

export function number(value) {
  const notation = value >= LONG_NUMBER ? "compact" : "standard";
  return value.toLocaleString(current, { notation, maximumFractionDigits: 1 });
}
