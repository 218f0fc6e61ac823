// Node's `ws`: a message is made into JSON once and sent to every client.
import { WebSocketServer } from "ws";
import { message } from "./message.mjs";

const [port, rate] = process.argv.slice(2).map(Number);
const server = new WebSocketServer({ port, host: "127.0.0.1", perMessageDeflate: false, backlog: 4096 });

let due = performance.now();
setInterval(() => {
  for (; due <= performance.now(); due += 1000 / rate) {
    const text = JSON.stringify(message());
    for (const client of server.clients) client.send(text);
  }
}, 1);
