// The settings: the TikTok username, an own key, the language, and forgetting this phone.

import { byId } from "./dom.js";
import { call } from "./rest.js";
import { choose, lang, say } from "./texts.js";

const username = byId("username");
const usernameProblem = byId("username-problem");
const saved = byId("username-saved");
const signKey = byId("sign-key");
const forget = byId("forget");
const SURE_MS = 5_000;

export function setUp({ token, onUsername, onKey, onLanguage, onForgetting, onKept, onForgotten }) {
  byId("username-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    tell("", "");
    try {
      const body = { tiktok_username: username.value };
      const me = await call("PUT", "/api/me/tiktok-username", { token: token(), body });
      username.value = me.tiktok_username;
      tell("", me.tiktok_username ? say("saved", { username: me.tiktok_username }) : say("cleared"));
      onUsername(me.tiktok_username);
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
      choose(choice.value);
      onLanguage();
      // For support, and for what the server writes later; the app itself knows already.
      call("PUT", "/api/me/language", { token: token(), body: { language: choice.value } }).catch(() => {});
    });
  }
  forget.addEventListener("click", () => confirmForget({ token, onForgetting, onKept, onForgotten }));
}

export async function load(token) {
  tell("", "");
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
