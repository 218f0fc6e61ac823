// The live part of the log page: new rows come over a WebSocket and go on top.

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const CLOSE_SIGNED_OUT = 1008;
// From this far down somebody is reading: what is under their eyes must not move.
const READING_PX = 80;

const data = JSON.parse(document.getElementById("data").textContent);
const rows = document.getElementById("rows");
const empty = document.getElementById("empty");
const pill = document.getElementById("live");
const pillText = document.getElementById("live-text");
const template = document.getElementById("row-template");

let lastId = Number(rows.firstElementChild?.dataset.id ?? 0);
let socket = null;
let pause = FIRST_PAUSE_MS;
let timer = 0;
let steady = 0;

function show(state) {
  pill.hidden = false;
  pill.dataset.state = state;
  pillText.textContent = data.strings[state];
}

function connect() {
  clearTimeout(timer);
  if (socket !== null) return;
  const url = new URL(data.live, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("after", String(lastId));
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    show("on");
    // A log may be quiet for hours; a link that was refused at once has not recovered.
    steady = setTimeout(() => (pause = FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
  });
  socket.addEventListener("message", (event) => {
    pause = FIRST_PAUSE_MS;
    receive(JSON.parse(event.data));
  });
  socket.addEventListener("close", (event) => {
    socket = null;
    clearTimeout(steady);
    if (event.code === CLOSE_SIGNED_OUT) {
      show("signed_out");
      return;
    }
    show("off");
    timer = setTimeout(connect, Math.random() * pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  });
}

function receive(batch) {
  const fresh = batch.rows.filter((row) => row.id > lastId);
  if (batch.skipped) pillText.textContent = data.strings.skipped;
  if (fresh.length === 0) return;
  lastId = fresh.at(-1).id;
  empty.hidden = true;
  const above = document.createDocumentFragment();
  for (const row of fresh.slice(-data.max_rows).reverse()) above.append(element(row));
  const reading = window.scrollY > READING_PX;
  const height = document.documentElement.scrollHeight;
  rows.prepend(above);
  if (reading) window.scrollBy(0, document.documentElement.scrollHeight - height);
  while (rows.childElementCount > data.max_rows) rows.lastElementChild.remove();
}

function element(row) {
  const tr = template.content.firstElementChild.cloneNode(true);
  const put = (selector, text) => {
    tr.querySelector(selector).textContent = text;
  };
  tr.dataset.id = String(row.id);
  tr.dataset.type = row.type;
  tr.dataset.level = row.level;
  tr.classList.add("new");
  const time = new Date(row.ts);
  tr.querySelector("time").dateTime = time.toISOString();
  put("time", clock(time));
  put(".tag", `[${row.type}]`);
  put(".creator bdi", row.creator && `@${row.creator}`);
  put(".user", row.user_id || "");
  put(".code code", row.code);
  put(".text bdi", row.text);
  if (row.ref) put(".ref", row.ref);
  else tr.querySelector(".ref").remove();
  return tr;
}

// The server writes UTC, for it does not know where the reader is.
function clock(time) {
  const two = (number) => String(number).padStart(2, "0");
  const date = `${two(time.getDate())}.${two(time.getMonth() + 1)}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const ahead = Math.abs(minutes);
  const rest = ahead % 60 ? `:${String(ahead % 60).padStart(2, "0")}` : "";
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${Math.floor(ahead / 60)}${rest}`;
}

function wake() {
  if (document.visibilityState === "visible" && pill.dataset.state === "off") connect();
}

for (const time of rows.querySelectorAll("time")) time.textContent = clock(new Date(time.dateTime));
document.querySelector(".utc").textContent = zone();

if (data.live) {
  show("connecting");
  connect();
  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
}
