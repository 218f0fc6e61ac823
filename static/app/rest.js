// The REST calls, and what is said when one fails.

import { lang, say } from "./texts.js";

// A network that swallows a request would leave a button busy for minutes.
const ANSWER_MS = 15_000;

// What a person can be told: `message`, with the problem's `code`, or "" when there was no answer.
export class Problem extends Error {
  constructor(message, code = "", status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export async function call(method, path, { token = "", body } = {}) {
  const headers = { "Accept-Language": lang() };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      // Not in every Safari that is still about.
      signal: AbortSignal.timeout?.(ANSWER_MS),
    });
  } catch {
    throw new Problem(say("no_server"));
  }
  let answer = null;
  try {
    answer = response.status === 204 ? {} : await response.json();
  } catch {
    // a proxy's own page
  }
  if (answer === null) {
    throw new Problem(say("strange_answer", { status: response.status }), "", response.status);
  }
  if (!response.ok) throw new Problem(answer.detail || answer.title, answer.code, response.status);
  return answer;
}
