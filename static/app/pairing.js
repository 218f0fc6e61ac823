// Pairing: a code, from the link, a QR code or typed, becomes this phone's token.

import { byId } from "./dom.js";
import { call } from "./rest.js";
import * as scanner from "./scanner.js";
import { say } from "./texts.js";

const form = byId("pairing-form");
const input = byId("pairing-code");
const problem = byId("pairing-problem");
const button = form.querySelector("button");

// The code of a pairing link, taken out of the address at once: it is a secret, if a short-lived one.
export function codeFromAddress() {
  const code = codeIn(location.hash);
  if (code) history.replaceState(null, "", location.pathname + location.search);
  return code;
}

// The code in a link, or in what was typed or scanned.
function codeIn(text) {
  const match = /#pair=([^&]{1,64})/.exec(text);
  if (!match) return "";
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

export function setUp(onPaired) {
  const scan = byId("scan");
  scan.hidden = !scanner.canScan;
  scan.addEventListener("click", async () => {
    problem.textContent = "";
    try {
      const found = await scanner.scan(codeIn);
      if (found) await pair(found, onPaired);
    } catch (error) {
      fail(error.message);
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // Whoever pastes the whole link means the code in it.
    pair(codeIn(input.value) || input.value.trim(), onPaired).catch((error) => fail(error.message));
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

// What was said is no use any more, or in another language.
export function forget() {
  problem.textContent = "";
  input.removeAttribute("aria-invalid");
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
