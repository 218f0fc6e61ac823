// The first step of a phone that was just paired: whose live to show. Asked before anything connects,
// so that nobody's first sight of the app is an error.

import { byId } from "./dom.js";
import { say } from "./texts.js";

const form = byId("first-form");
const input = byId("first-username");
const problem = byId("first-problem");
const button = form.querySelector("button");

// `save` stores a username and throws what is wrong with it; `onDone` goes on, with or without one.
export function setUp({ save, onDone }) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!input.value.trim()) {
      fail(say("first_empty"));
      return;
    }
    button.disabled = true;
    try {
      await save(input.value);
      onDone();
    } catch (error) {
      fail(error.message);
    } finally {
      button.disabled = false;
    }
  });
  byId("first-later").addEventListener("click", onDone);
}

export function begin() {
  form.reset();
  problem.textContent = "";
  input.removeAttribute("aria-invalid");
  input.focus();
}

function fail(text) {
  problem.textContent = text;
  input.setAttribute("aria-invalid", "true");
  input.focus();
}
