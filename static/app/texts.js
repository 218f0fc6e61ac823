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

// Elements name their text in data-text, and what they are called in data-label.
export function apply() {
  document.documentElement.lang = current;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", say(node.dataset.label));
    if (node.title) node.title = say(node.dataset.label);
  }
}

export function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" };

// With the date when it is not today's: the log goes back days, a limit may last till tomorrow.
export function clock(time) {
  const date = new Date(time);
  if (date.toDateString() === new Date().toDateString()) return date.toLocaleTimeString(current, TIME);
  return date.toLocaleString(current, { ...TIME, day: "2-digit", month: "2-digit" });
}
