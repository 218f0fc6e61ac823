// The sheet with everything about an error: why, what to do, and what to tell support.

import { byId, data, element } from "./dom.js";
import { clock, lang, say } from "./texts.js";

const sheet = byId("sheet");
const scrim = byId("sheet-scrim");
const page = document.querySelector("main");
// The snackbar stays in reach: its eight seconds go on.
const behind = document.querySelectorAll("body > .skip, main");
let before = null;

export function open(error) {
  const explained = data.errors[error.code]?.[lang()];
  const code = element("code", { text: error.code });
  const ref = element("code", { className: "ref", text: error.ref ?? "" });
  byId("sheet-title").textContent = error.message ?? error.code;
  byId("sheet-details").textContent = error.details ?? "";
  byId("sheet-facts").replaceChildren(
    ...fact("error_cause", explained?.cause),
    ...fact("error_fix", explained?.fix),
    ...fact("error_retry", error.retryAt && clock(error.retryAt)),
    ...fact("error_time", error.ts && clock(error.ts)),
    ...fact("error_code", code),
    ...fact("error_ref", error.ref && ref),
  );
  const help = element("a", { text: say("error_help") });
  help.href = `/help/errors?lang=${lang()}#${encodeURIComponent(error.code)}`;
  byId("sheet-facts").append(element("dd", {}, help));
  before = document.activeElement;
  sheet.hidden = scrim.hidden = false;
  for (const part of behind) part.inert = true;
  sheet.focus();
}

function fact(label, value) {
  return value ? [element("dt", { text: say(label) }), element("dd", {}, value)] : [];
}

function close() {
  sheet.hidden = scrim.hidden = true;
  for (const part of behind) part.inert = false;
  // The snackbar's button is gone by now.
  (before?.isConnected && before !== document.body ? before : page).focus({ preventScroll: true });
}

byId("sheet-close").addEventListener("click", close);
scrim.addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !sheet.hidden) close();
});
