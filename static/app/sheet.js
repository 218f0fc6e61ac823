// The sheet with everything about an error: why, what to do, and what to tell support.

import { byId, data, element } from "./dom.js";
import { clock, lang, say, translated } from "./texts.js";

const sheet = byId("sheet");
const scrim = byId("sheet-scrim");
const copy = byId("sheet-copy");
const page = document.querySelector("main");
// The snackbar stays in reach: its eight seconds go on.
const behind = document.querySelectorAll("body > .skip, main");
let before = null;
let told = "";

export function open(error) {
  const { message, details } = translated({ ...error, type: "error" });
  const explained = data.errors[error.code]?.[lang()];
  const code = element("code", { text: error.code });
  const ref = element("code", { className: "ref", text: error.ref ?? "" });
  const facts = [
    ["error_cause", explained?.cause],
    ["error_fix", explained?.fix],
    ["error_retry", error.retryAt && clock(error.retryAt)],
    ["error_time", error.ts && clock(error.ts)],
    ["error_code", code],
    ["error_ref", error.ref && ref],
  ].filter(([, value]) => value);
  byId("sheet-title").textContent = message ?? explained?.message ?? error.code;
  byId("sheet-details").textContent = details ?? "";
  byId("sheet-facts").replaceChildren(...facts.flatMap(([label, value]) => fact(label, value)));
  const help = element("a", { text: say("error_help") });
  help.href = `/help/errors?lang=${lang()}#${encodeURIComponent(error.code)}`;
  help.target = "_blank";
  byId("sheet-facts").append(element("dd", {}, help));
  told = [byId("sheet-title"), byId("sheet-details"), ...byId("sheet-facts").querySelectorAll("dt, dd:not(:last-child)")]
    .map((node) => node.textContent)
    .join("\n");
  copy.textContent = say("copy");
  // There is no clipboard without HTTPS; the reference can be selected by a tap.
  copy.hidden = !navigator.clipboard;
  before = document.activeElement;
  sheet.hidden = scrim.hidden = false;
  for (const part of behind) part.inert = true;
  sheet.focus();
}

const fact = (label, value) => [element("dt", { text: say(label) }), element("dd", {}, value)];

copy.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(told);
    copy.textContent = say("copied");
  } catch {
    copy.textContent = say("copy_refused");
  }
});

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
