// What stands in for the store in a test that runs without one.

let events = [];
let lines = [];

export const head = () => events.at(-1)?.seq ?? 0;

export const read = (after, limit) => events.filter((event) => event.seq > after).slice(0, limit);

export function line(level, message) {
  lines.push({ level, message });
}

/** Runs a call with these events as the history. */
export function withHistory(past, call) {
  events = past;
  try {
    return call();
  } finally {
    events = [];
  }
}

/** Takes the lines logged since the last time. */
export function takeLines() {
  const taken = lines;
  lines = [];
  return taken;
}
