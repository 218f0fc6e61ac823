// The settings: the TikTok username, an own key, what a gift does, the screen, the language, and
// forgetting this phone.

import * as awake from "./awake.js";
import { byId, store } from "./dom.js";
import * as gifts from "./gifts.js";
import { call } from "./rest.js";
import { lang, say } from "./texts.js";

const username = byId("username");
const usernameProblem = byId("username-problem");
const saved = byId("username-saved");
const signKey = byId("sign-key");
const forget = byId("forget");
const SURE_MS = 5_000;

// Stores a username, empty for none; returns what the server made of it. Throws what is wrong.
export async function saveUsername(token, typed) {
  const body = { tiktok_username: typed };
  return (await call("PUT", "/api/me/tiktok-username", { token, body })).tiktok_username;
}

export function setUp({ token, onUsername, onKey, onLanguage, onAwake, onForgetting, onKept, onForgotten }) {
  byId("username-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    tell("", "");
    try {
      const name = await saveUsername(token(), username.value);
      username.value = name;
      tell("", name ? say("saved", { username: name }) : say("cleared"));
      onUsername(name);
    } catch (error) {
      tell(error.message, "");
      username.focus();
    }
  });
  byId("sign-key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (signKey.value.trim()) saveKey(token(), signKey.value, onKey);
    else signKey.focus();
  });
  byId("sign-key-remove").addEventListener("click", () => saveKey(token(), "", onKey));
  for (const choice of document.querySelectorAll('[name="language"]')) {
    choice.addEventListener("change", () => {
      onLanguage(choice.value);
    });
  }
  toggle("sound", () => gifts.play());
  toggle("vibration", () => gifts.feel());
  toggle("awake", () => {}, onAwake);
  byId("vibration").closest("label").hidden = !gifts.canVibrate;
  byId("awake").disabled = !awake.canStayAwake;
  byId("awake-hint").hidden = awake.canStayAwake;
  forget.addEventListener("click", () => confirmForget({ token, onForgetting, onKept, onForgotten }));
}

// Kept on this phone, for another one lies elsewhere.
function toggle(name, onOn, onChange = () => {}) {
  const box = byId(name);
  box.checked = store.get(name) !== "";
  box.addEventListener("change", () => {
    if (box.checked) store.set(name, "yes");
    else store.remove(name);
    if (box.checked) onOn();
    onChange();
  });
}

export async function load(token) {
  tell("", "");
  byId("sign-key-problem").textContent = "";
  byId("forget-problem").textContent = "";
  for (const choice of document.querySelectorAll('[name="language"]')) {
    choice.checked = choice.value === lang();
  }
  try {
    const me = await call("GET", "/api/me", { token });
    if (document.activeElement !== username) username.value = me.tiktok_username;
    showKey(me.sign_key_last4);
    byId("phone-of").textContent = say("phone_of", { name: me.name });
  } catch (error) {
    tell(error.message, "");
  }
}

async function saveKey(token, key, onKey) {
  byId("sign-key-problem").textContent = "";
  try {
    const me = await call("PUT", "/api/me/sign-key", { token, body: { sign_api_key: key } });
    signKey.value = "";
    showKey(me.sign_key_last4, say("sign_key_removed"));
    onKey();
  } catch (error) {
    byId("sign-key-problem").textContent = error.message;
    signKey.focus();
  }
}

function showKey(last4, none = "") {
  byId("sign-key-saved").textContent = last4 ? say("sign_key_kept", { last4 }) : none;
  byId("sign-key-remove").hidden = !last4;
}

// Twice, because it cannot be undone.
async function confirmForget({ token, onForgetting, onKept, onForgotten }) {
  if (!forget.dataset.sure) {
    forget.dataset.sure = "yes";
    forget.textContent = say("forget_sure");
    setTimeout(reset, SURE_MS);
    return;
  }
  reset();
  onForgetting();
  try {
    await call("DELETE", "/api/me/token", { token: token() });
  } catch (error) {
    // A token that the server no longer knows is forgotten already.
    if (error.code !== "unauthorized") {
      byId("forget-problem").textContent = error.message;
      onKept();
      return;
    }
  }
  onForgotten();
}

function reset() {
  delete forget.dataset.sure;
  forget.textContent = say("forget");
}

function tell(problem, done) {
  usernameProblem.textContent = problem;
  saved.textContent = done;
  username.setAttribute("aria-invalid", String(problem !== ""));
}
