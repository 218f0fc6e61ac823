// One chat message as phones get it; `message` holds when it was made.
let id = 1_000_000;

export function message() {
  const made = String(process.hrtime.bigint() / 1000n).padStart(16, "0");
  return {
    id: id++,
    ts: Date.now(),
    type: "chat",
    user: "viewer 123",
    username: "viewer.123",
    user_id: "7000000000000000123",
    avatar: "https://p16-sign.tiktokcdn.com/avatar.webp",
    message: `t=${made} a message of a usual length`,
  };
}

// Whoever started this is gone.
process.stdin.on("end", () => process.exit()).resume();
