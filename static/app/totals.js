// Totals at a glance, of the live that is on: what this phone was shown of it, also before a reload.

import { byId, element, store } from "./dom.js";
import { countdown, number, say } from "./texts.js";

const GATHER_MS = 250;
const place = byId("totals");
const card = byId("summary");
const NONE = { epoch: "", lastId: 0, over: false, events: 0, gifts: 0, diamonds: 0, likes: 0, follows: 0 };

const SUMS = ["events", "gifts", "diamonds", "likes", "follows"];

let totals = { ...NONE, ...kept() };
let base = NONE;
let timer = 0;
let ended = null;

function kept() {
  try {
    return JSON.parse(store.get("totals") || "{}");
  } catch {
    return {};
  }
}

// A room is entered: what was counted before this is the base, and history comes on top of it.
export function enter(epoch) {
  if (epoch !== totals.epoch) {
    totals = { ...NONE, epoch };
    hideSummary();
  }
  base = totals;
  totals = { ...totals };
  later();
}

export function forget() {
  totals = { ...NONE };
  store.remove("totals");
  hideSummary();
  draw();
}

// Frames in the order in which they happened; each id counts once.
export function count(frame) {
  if (!frame.id || frame.id <= totals.lastId) return;
  totals.lastId = frame.id;
  tally(frame);
  later();
}

// What was before this page came, newest first, and is newer than what had been counted then. Of the
// live of this creator that is on: an earlier one, and another creator's, are another matter.
export function countHistory(frames, creator) {
  const foreign = (frame) => frame.type === "status" && frame.tiktok_username !== creator;
  const over = (frame) => frame.type === "status" && frame.state === "ended";
  const fresh = frames.filter((frame) => frame.id > base.lastId).reverse();
  const end = fresh.findLastIndex((frame) => over(frame) || foreign(frame));
  if (end >= 0) for (const sum of SUMS) totals[sum] = Math.max(0, totals[sum] - base[sum]);
  for (const frame of fresh.slice(end + 1)) tally(frame);
  totals.lastId = Math.max(totals.lastId, frames[0]?.id ?? 0);
  const last = frames.find((frame) => frame.type === "status" && frame.state !== "waiting");
  if (last && over(last) && !foreign(last)) showSummary(last);
  later();
}

function tally(frame) {
  switch (frame.type) {
    case "status":
      if (frame.state === "ended") {
        totals.over = true;
        showSummary(frame);
      } else if (frame.state === "live" && totals.over) {
        totals = { ...NONE, epoch: totals.epoch, lastId: totals.lastId };
        hideSummary();
      }
      return;
    case "gift":
      totals.gifts += frame.count;
      totals.diamonds += frame.diamonds ?? 0;
      break;
    case "like":
      // TikTok's own total counts from before anybody looked.
      totals.likes = Math.max(totals.likes + frame.count, frame.total);
      break;
    case "follow":
      totals.follows += 1;
      break;
  }
  totals.events += 1;
}

// A busy live has fifty events a second, and nobody reads so fast.
function later() {
  if (!timer) timer = setTimeout(keep, GATHER_MS);
}

function keep() {
  clearTimeout(timer);
  timer = 0;
  store.set("totals", JSON.stringify(totals));
  draw();
}

window.addEventListener("pagehide", keep);

export function draw() {
  place.hidden = totals.events === 0;
  byId("total-events").textContent = number(totals.events);
  byId("total-gifts").textContent = `${number(totals.gifts)} · ${number(totals.diamonds)} 💎`;
  byId("total-likes").textContent = number(totals.likes);
  byId("total-follows").textContent = `+${number(totals.follows)}`;
  if (ended) drawSummary();
}

// ---- what a live came to, when it has ended

function showSummary(frame) {
  // Closed once is closed for good, also when the history tells of it again.
  if (!frame.summary || store.get("summary") === String(frame.ts)) return;
  ended = frame;
  card.hidden = false;
  drawSummary();
}

function hideSummary() {
  ended = null;
  card.hidden = true;
}

function drawSummary() {
  const { summary } = ended;
  byId("summary-of").textContent = `@${ended.tiktok_username}`;
  byId("summary-facts").replaceChildren(
    ...fact("sum_duration", countdown(summary.duration_s * 1000)),
    ...fact("sum_peak", number(summary.peak_viewers)),
    ...fact("sum_chats", number(summary.chats)),
    ...fact("sum_gifts", `${number(summary.gifts)} · ${number(summary.diamonds)} 💎`),
    ...fact("sum_likes", number(summary.likes)),
    ...fact("sum_follows", number(summary.follows)),
    ...fact("sum_shares", number(summary.shares)),
  );
  byId("summary-top-title").hidden = summary.top.length === 0;
  byId("summary-top").replaceChildren(
    ...summary.top.map((one) =>
      element("li", {}, element("bdi", { text: one.user }), element("span", { text: `${number(one.diamonds)} 💎` })),
    ),
  );
}

const fact = (label, value) => [element("dt", { text: say(label) }), element("dd", { text: value })];

byId("summary-close").addEventListener("click", () => {
  store.set("summary", String(ended.ts));
  hideSummary();
});
