// socket.io, the stack of TikTok-Chat-Reader: a message is emitted to everybody.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { message } from "./message.mjs";

const [port, rate] = process.argv.slice(2).map(Number);
const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });
http.listen(port, "127.0.0.1", 4096);

let due = performance.now();
setInterval(() => {
  for (; due <= performance.now(); due += 1000 / rate) io.emit("chat", message());
}, 1);
