// Pairing: a code, from the link or typed, becomes this phone's token.

import { byId } from "./dom.js";
import { call } from "./rest.js";
import { say } from "./texts.js";

const form = byId("pairing-form");
const input = byId("pairing-code");
const problem = byId("pairing-problem");
const button = form.querySelector("button");

// The code of a pairing link, taken out of the address at once: it is a secret, if a short-lived one.
export function codeFromAddress() {
  const match = /^#pair=([^&]{1,64})/.exec(location.hash);
  if (!match) return "";
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

export function setUp(onPaired) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    pair(input.value.trim(), onPaired).catch((error) => fail(error.message));
  });
}

// Throws what can be said about a code that does not pair.
export async function pair(code, onPaired) {
  if (!code) throw new Error(say("pair_first"));
  input.value = code;
  problem.textContent = "";
  input.removeAttribute("aria-invalid");
  busy(true);
  try {
    const { token } = await call("POST", "/api/pair", { body: { code } });
    form.reset();
    onPaired(token);
  } finally {
    busy(false);
  }
}

export function fail(text) {
  problem.textContent = text;
  input.setAttribute("aria-invalid", "true");
  input.focus();
}

function busy(yes) {
  button.disabled = yes;
  button.textContent = say(yes ? "pair_busy" : "pair_button");
}
