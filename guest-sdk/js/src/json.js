// Reads JSON that nobody has vouched for.

// How deep it may be nested. Deeper ones would end the call instead of throwing.
const DEPTH_MAX = 128;
const MANY = new RegExp(`(?:[[{][^[{]*){${DEPTH_MAX + 1}}`);
const BRACKETS = /"(?:[^"\\]|\\[^])*"?|[[{\]}]/g;

// An escape that may be half a character.
const SURROGATE = /\\u[dD][89a-fA-F]/;

/** What a text says that is JSON; throws a SyntaxError if it is none, or has half a character in it. */
export function parse(text) {
  if (MANY.test(text) && depth(text) > DEPTH_MAX) {
    throw new SyntaxError(`it is nested deeper than ${DEPTH_MAX}`);
  }
  return SURROGATE.test(text) ? JSON.parse(text, wellFormed) : JSON.parse(text);
}

function depth(text) {
  let now = 0;
  let deepest = 0;
  for (const [found] of text.matchAll(BRACKETS)) {
    if (found === "[" || found === "{") deepest = Math.max(deepest, (now += 1));
    else if (found === "]" || found === "}") now -= 1;
  }
  return deepest;
}

function wellFormed(key, value) {
  if (!key.isWellFormed() || (typeof value === "string" && !value.isWellFormed())) {
    throw new SyntaxError("half a character");
  }
  return value;
}
