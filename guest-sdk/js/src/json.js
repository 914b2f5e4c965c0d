// Reads JSON that nobody has vouched for.

// How deep it may be nested. Deeper ones would end the call instead of throwing.
const DEPTH_MAX = 128;

// Bytes outside of strings that are looked at for it. More would take all the fuel of a call.
const LOOKED_AT_MAX = 320 * 1024;

// An escape that may be half a character.
const SURROGATE = /\\u[dD][89a-fA-F]/;

/**
 * What the bytes of a text say, which are JSON; throws a SyntaxError if they are none, or have half a
 * character in them. More than `lookedAtMax` bytes are not looked at to tell how deep they are nested.
 */
export function parse(text, bytes, lookedAtMax = LOOKED_AT_MAX) {
  if (bytes.length > DEPTH_MAX && hasMany(text) && isDeep(bytes, lookedAtMax)) {
    throw new SyntaxError(`it is nested deeper than ${DEPTH_MAX}`);
  }
  return text.includes("\\u") && SURROGATE.test(text) ? JSON.parse(text, wellFormed) : JSON.parse(text);
}

/** True if there are enough brackets to be nested too deep; few texts have as many. */
function hasMany(text) {
  const most = DEPTH_MAX + 2;
  return text.split("[", most).length + text.split("{", most).length >= most + 1;
}

/** Looks at bytes, and at no character: in the sandbox a call for each would cost too much. */
function isDeep(bytes, lookedAtMax) {
  const end = bytes.length;
  let depth = 0;
  let most = lookedAtMax;
  for (let at = 0; at < end; at += 1) {
    const byte = bytes[at];
    // One bit tells brackets from braces.
    const shape = byte & 0xdf;
    if (shape === 0x5b) {
      if ((depth += 1) > DEPTH_MAX) return true;
    } else if (shape === 0x5d) {
      // The value is at its end; what follows is none of it, and not read either.
      if ((depth -= 1) <= 0) return false;
    } else if (byte === 0x22) {
      const close = endOfString(bytes, at);
      most += close - at;
      at = close;
    }
    if (at > most) throw new SyntaxError("it is too large for that many brackets");
  }
  return false;
}

/** Where the string that begins at `at` ends: at its first quote behind an even number of backslashes. */
function endOfString(bytes, at) {
  for (let end = bytes.indexOf(0x22, at + 1); end >= 0; end = bytes.indexOf(0x22, end + 1)) {
    let before = end;
    while (bytes[before - 1] === 0x5c) before -= 1;
    if ((end - before) % 2 === 0) return end;
  }
  return bytes.length;
}

function wellFormed(key, value) {
  if (!key.isWellFormed() || (typeof value === "string" && !value.isWellFormed())) {
    throw new SyntaxError("half a character");
  }
  return value;
}
