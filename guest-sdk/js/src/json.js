// Reads JSON that nobody has vouched for.

// How deep it may be nested. Deeper ones would end the call instead of throwing.
const DEPTH_MAX = 128;

// An escape that may be half a character.
const SURROGATE = /\\u[dD][89a-fA-F]/;

/** What a text says that is JSON; throws a SyntaxError if it is none, or has half a character in it. */
export function parse(text) {
  if (text.length > DEPTH_MAX && hasMany(text) && isDeep(text)) {
    throw new SyntaxError(`it is nested deeper than ${DEPTH_MAX}`);
  }
  return SURROGATE.test(text) ? JSON.parse(text, wellFormed) : JSON.parse(text);
}

/** True if there are enough brackets to be nested too deep; few texts have as many. */
function hasMany(text) {
  const most = DEPTH_MAX + 2;
  return text.split("[", most).length + text.split("{", most).length >= most + 1;
}

function isDeep(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        if (depth > DEPTH_MAX) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
    }
  }
  return false;
}

/** Where the string that begins at `at` ends: at its first quote behind an even number of backslashes. */
function endOfString(text, at) {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text.charCodeAt(before - 1) === 0x5c) before -= 1;
    if ((end - before) % 2 === 0) return end;
  }
  return text.length;
}

function wellFormed(key, value) {
  if (!key.isWellFormed() || (typeof value === "string" && !value.isWellFormed())) {
    throw new SyntaxError("half a character");
  }
  return value;
}
