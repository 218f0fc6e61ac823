// The text of a log row, from the templates that the server's own log uses (server/relay/rows.py).

// Left out of a frame when zero, so that an absent one reads 0; every other field reads as text.
const NUMBERS = { count: 0, total: 0, current: 0, diamonds: 0 };

// One pass, so that braces in a nickname stay what they are.
export const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));

export function rowText(frame, templates) {
  const values = { ...NUMBERS, ...frame };
  if (frame.type === "battle") {
    values.sides = (frame.sides ?? []).map((side) => `@${side.username} ${side.score ?? 0}`).join(" : ");
  }
  return fill(templates[frame.type] ?? "{type}", values).trimEnd();
}
