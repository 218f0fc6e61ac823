// A client for LiveRelay's WebSocket, for any page: no DOM, no storage. docs/protocol.md has the rules.
//
//   const relay = new LiveRelay({ url: "wss://host/ws", token, options: () => ({ lang: "ru" }) });
//   relay.addEventListener("frame", (event) => console.log(event.detail));
//   relay.addEventListener("link", (event) => console.log(event.detail.state));
//   relay.start();
//
// "link" tells how the connection stands: `state` is connecting, open, waiting (`retryAt`, ms since
// 1970, is when it connects again) or halted (it does not by itself). Where an error is why, `error`
// is its frame, or {code, retryAt} made of the close reason when the frame was lost.

const SUBPROTOCOL = "liverelay.v1";
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
// A phone that sleeps does not hear that its socket died: a server that says nothing is asked.
const SILENCE_MS = 45_000;
const ANSWER_MS = 10_000;
// Browsers wait for minutes when a network swallows the handshake.
const CONNECT_MS = 15_000;
const CLOSE_POLICY = 1008;
const TOO_BIG_FOR_A_TIMER_MS = 2 ** 31 - 1;
const REASON = /^([a-z_]+)(?: (\d{1,12}))?$/;

export class LiveRelay extends EventTarget {
  #url;
  #token;
  #options;
  #socket = null;
  #timer = 0;
  #watch = 0;
  #pauseMs = SHORTEST_PAUSE_MS;
  #epoch = "";
  #lastId = 0;
  #error = null;
  #notBefore = 0;
  #running = false;
  #heardAt = 0;
  #clockAheadMs = 0;

  constructor({ url, token, options = () => ({}) }) {
    super();
    this.#url = url;
    this.#token = token;
    this.#options = options;
  }

  start() {
    this.#running = true;
    this.#connectAt(this.#notBefore);
  }

  // Close for good; start() begins again where it ended, and no earlier than it was told.
  stop() {
    this.#running = false;
    this.#drop();
  }

  // The page can be seen again, or the network is back: no need to wait for the pause to end.
  wake() {
    if (!this.#running) return;
    if (this.#socket === null) this.#connectAt(this.#notBefore);
    else if (this.#socket.readyState === WebSocket.OPEN) this.#ask();
  }

  // Options or settings have changed: connect anew, replaying nothing twice.
  restart() {
    this.#drop();
    this.#running = true;
    this.#notBefore = 0;
    this.#connect();
  }

  send(command) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  #connectAt(time) {
    clearTimeout(this.#timer);
    const wait = Math.min(Math.max(0, time - Date.now()), TOO_BIG_FOR_A_TIMER_MS);
    this.#timer = setTimeout(() => (Date.now() < time ? this.#connectAt(time) : this.#connect()), wait);
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#socket !== null) return;
    this.#error = null;
    this.#tell({ state: "connecting" });
    const url = new URL(this.#url);
    for (const [name, value] of Object.entries(this.#options())) url.searchParams.set(name, value);
    if (this.#epoch) {
      url.searchParams.set("since", String(this.#lastId));
      url.searchParams.set("epoch", this.#epoch);
    }
    const socket = new WebSocket(url, [SUBPROTOCOL, `token.${this.#token}`]);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(), CONNECT_MS);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#heardAt = Date.now();
      this.#watch = setInterval(() => this.#check(), ANSWER_MS);
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event);
  }

  #receive(data) {
    this.#heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // not ours to judge; the next one may be whole
    }
    if (frame.server_time) this.#clockAheadMs = Date.now() - frame.server_time;
    if (frame.type === "status" && frame.epoch) {
      if (frame.epoch !== this.#epoch || frame.recovered === false) this.#lastId = frame.last_id;
      this.#epoch = frame.epoch;
      this.#pauseMs = SHORTEST_PAUSE_MS;
      this.#tell({ state: "open" });
    }
    if (frame.id > this.#lastId) this.#lastId = frame.id;
    if (frame.type === "error" && frame.closing) {
      // By our own clock: the server's may differ.
      const retryAt = frame.retry_after ? Date.now() + frame.retry_after * 1000 : 0;
      this.#error = { ...frame, retryAt };
    }
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  #closed(event) {
    this.#forget();
    const error = this.#error ?? this.#fromReason(event.reason);
    if (event.code === CLOSE_POLICY && !error?.retryAt) {
      this.#running = false;
      this.#tell({ state: "halted", error });
      return;
    }
    const pause = Math.random() * this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#notBefore = error?.retryAt ?? 0;
    // With a time to come back it is that time and never earlier; else a random pause.
    const retryAt = this.#notBefore || Date.now() + pause;
    this.#tell({ state: "waiting", retryAt, error });
    this.#connectAt(retryAt);
  }

  #check() {
    const silent = Date.now() - this.#heardAt;
    if (silent > SILENCE_MS + ANSWER_MS) this.#lost();
    else if (silent > SILENCE_MS) this.send({ action: "ping" });
  }

  #ask() {
    const heardAt = this.#heardAt;
    this.send({ action: "ping" });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#socket !== null && this.#heardAt === heardAt) this.#lost();
    }, ANSWER_MS);
  }

  #lost() {
    this.#drop();
    this.#closed({ code: 1006, reason: "" });
  }

  #drop() {
    const socket = this.#socket;
    this.#forget();
    socket?.close(1000);
  }

  #forget() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    if (this.#socket !== null) this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket = null;
  }

  // The reason's time is by the server's clock.
  #fromReason(reason) {
    const match = REASON.exec(reason);
    return match && { code: match[1], retryAt: match[2] ? Number(match[2]) * 1000 + this.#clockAheadMs : 0 };
  }

  #tell(link) {
    this.dispatchEvent(new CustomEvent("link", { detail: { retryAt: 0, error: null, ...link } }));
  }
}
