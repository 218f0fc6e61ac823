// The text of a log row, from the templates that the server's own log uses (server/relay/rows.py).

// Left out of a frame when zero, so that an absent one reads 0; every other field reads as text.
const NUMBERS = { count: 0, total: 0, current: 0, diamonds: 0 };

// What Python's rstrip() takes off; trimEnd() takes another set.
const SPACE_AT_THE_END = /(?:[^\S\ufeff]|[\x1c-\x1f\x85])$/;

// One pass, so that braces in a nickname stay what they are.
export const fill = (template, values) =>
  template.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));

// `texts` has, in one language, the templates by type and the words for what frames only name.
export function rowText(frame, texts) {
  const values = { ...NUMBERS, ...frame };
  if (frame.type === "battle") {
    values.sides = (frame.sides ?? []).map((side) => `@${side.username} ${side.score ?? 0}`).join(" : ");
    values.phase = texts.phases[frame.phase];
  } else if (frame.type === "gap") {
    values.reason = texts.gaps[frame.reason];
  }
  let text = fill(texts.templates[frame.type] ?? "{type}", values);
  while (SPACE_AT_THE_END.test(text)) text = text.slice(0, -1);
  return text;
}
