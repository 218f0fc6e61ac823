// A client for LiveRelay's WebSocket, for any page: no DOM, no storage, no dependencies.
// The frames are described in docs/protocol.md, the rules that it keeps in docs/clients.md.
//
//   import { LiveRelay } from "https://relay.example/static/liverelay.js";
//
//   const relay = new LiveRelay({ url: "wss://relay.example/ws", token });
//   relay.addEventListener("frame", ({ detail: frame }) => {
//     if (frame.type === "chat") console.log(`${frame.user}: ${frame.message}`);
//   });
//   relay.addEventListener("link", ({ detail: link }) => console.log(link.state));
//   relay.start();
//
// A page of another origin has to be in the server's `server.allowed_origins`.

/**
 * Any frame of the server; docs/protocol.md lists the fields of each type.
 *
 * @typedef {object} Frame
 * @property {string} type  "chat", "gift", "status", "error", "gap" …; ignore those you do not know
 * @property {number} ts    milliseconds since 1970, when the server got it
 * @property {number} [id]  of the room's frames: it only grows
 */

/**
 * Why the connection ended: the `error` frame, or what the close reason said when that was lost.
 *
 * @typedef {object} RelayError
 * @property {string} code       see the table in docs/protocol.md
 * @property {number} retryAt    when to come back, ms since 1970 by this machine's clock; 0: no time
 * @property {number} [ts]       this and what follows: of the frame only
 * @property {string} [message]  what to show, in the language of the connection
 * @property {string} [details]  what to do about it
 * @property {string} [ref]      what a user can read out to support
 */

/**
 * How the connection stands. `waiting`: it connects again at `retryAt`. `halted`: it does not by
 * itself; `error` says what has to be done first, then call restart().
 *
 * @typedef {object} Link
 * @property {"connecting" | "open" | "waiting" | "halted"} state
 * @property {number} retryAt           ms since 1970, 0 in the other states
 * @property {RelayError | null} error  null when nothing but the connection is to blame
 */

/**
 * Where a client has got to: give it to the next one, and nothing is missed or told twice.
 *
 * @typedef {object} Position
 * @property {string} epoch
 * @property {number} lastId
 */

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

/**
 * One user's live, kept connected.
 *
 * Events: "frame" (`detail` is a {@link Frame}; each of the room's comes once, in order) and "link"
 * (`detail` is a {@link Link}).
 */
export class LiveRelay extends EventTarget {
  #url;
  #token;
  #options;
  /** @type {WebSocket | null} */
  #socket = null;
  #timer = 0;
  #watch = 0;
  #pauseMs = SHORTEST_PAUSE_MS;
  #epoch = "";
  #lastId = 0;
  /** @type {RelayError | null} */
  #error = null;
  #notBefore = 0;
  #running = false;
  #heardAt = 0;
  #clockAheadMs = 0;

  /**
   * @param {object} given
   * @param {string | URL} given.url         the server's `/ws`, `ws:` or `wss:`
   * @param {string} given.token             from `POST /api/pair`
   * @param {() => Record<string, string>} [given.options]  query options, asked for at each connect
   * @param {Position} [given.position]      where an earlier client has got to
   */
  constructor({ url, token, options = () => ({}), position }) {
    super();
    this.#url = url;
    this.#token = token;
    this.#options = options;
    if (position) [this.#epoch, this.#lastId] = [position.epoch, position.lastId];
  }

  /** @returns {Position} */
  get position() {
    return { epoch: this.#epoch, lastId: this.#lastId };
  }

  /** Connect, and stay connected; not before the time that an earlier refusal has told. */
  start() {
    this.#running = true;
    this.#connectAt(this.#notBefore);
  }

  /** Close, and stay closed until start() or restart(). */
  stop() {
    this.#running = false;
    this.#drop();
  }

  /** The page can be seen again, or the network is back: no need to wait for a pause to end. */
  wake() {
    if (!this.#running) return;
    if (this.#socket === null) this.#connectAt(this.#notBefore);
    else if (this.#socket.readyState === WebSocket.OPEN) this.#ask();
  }

  /** Options or settings were changed by the user: connect anew, at once, replaying nothing twice. */
  restart() {
    this.#drop();
    this.#running = true;
    this.#notBefore = 0;
    this.#connect();
  }

  /**
   * Send a command such as `{action: "disconnect_tiktok"}`.
   *
   * @param {{action: string, username?: string}} command
   * @returns {boolean} false when there is no connection to send it over
   */
  send(command) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  /** @param {number} time  ms since 1970 */
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

  /** @param {string} data */
  #receive(data) {
    this.#heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // not ours to judge; the next one may be whole
    }
    if (frame.server_time) this.#clockAheadMs = Date.now() - frame.server_time;
    if (frame.type === "status") {
      // A server that only gets as far as this each time is not to be asked every second.
      if (frame.state !== "connecting") this.#pauseMs = SHORTEST_PAUSE_MS;
      if (frame.epoch) {
        if (frame.epoch !== this.#epoch || frame.recovered === false) this.#lastId = frame.last_id;
        this.#epoch = frame.epoch;
        this.#tell({ state: "open" });
      }
    }
    if (frame.id) {
      if (frame.id <= this.#lastId) return;
      this.#lastId = frame.id;
    }
    if (frame.type === "error" && frame.closing) {
      // By our own clock: the server's may differ.
      const retryAt = frame.retry_after ? Date.now() + frame.retry_after * 1000 : 0;
      this.#error = { ...frame, retryAt };
    }
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  /** @param {{code: number, reason: string}} event */
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

  /**
   * The reason's time is by the server's clock.
   *
   * @param {string} reason
   * @returns {RelayError | null}
   */
  #fromReason(reason) {
    const match = REASON.exec(reason);
    return match && { code: match[1], retryAt: match[2] ? Number(match[2]) * 1000 + this.#clockAheadMs : 0 };
  }

  /** @param {Partial<Link>} link */
  #tell(link) {
    this.dispatchEvent(new CustomEvent("link", { detail: { retryAt: 0, error: null, ...link } }));
  }
}
