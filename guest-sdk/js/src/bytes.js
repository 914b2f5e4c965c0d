// Text to bytes and back. The sandbox has no TextEncoder and no TextDecoder.
//
// What must stay true: only well-formed UTF-8 becomes text, and no byte of it is dropped, also not the
// mark at its beginning that some editors write.

// Arguments of one call; engines limit them.
const CHUNK = 4096;

/** The bytes as characters from 0 to 255. */
function binary(bytes) {
  if (bytes.length <= CHUNK) return String.fromCharCode.apply(null, bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return text;
}

/** Decodes UTF-8; throws a URIError if it is none. */
export function fromUtf8(bytes) {
  const text = binary(bytes);
  // The engine's own decoder of percent signs is strict, and much faster than a loop here.
  return /[\x80-\xff]/.test(text) ? decodeURIComponent(escape(text)) : text;
}

/** Encodes as UTF-8; half characters become U+FFFD. */
export function toUtf8(text) {
  const wide = /[^\x00-\x7f]/.test(text);
  const encoded = wide ? unescape(encodeURIComponent(text.toWellFormed())) : text;
  const bytes = new Uint8Array(encoded.length);
  for (let at = 0; at < encoded.length; at += 1) bytes[at] = encoded.charCodeAt(at);
  return bytes;
}

/** The bytes as hexadecimal digits; null for none at all. */
export function hex(bytes) {
  if (bytes === undefined) return null;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Cuts a sentence to the cap of the contract, between characters, and shows that it was cut. */
export function shorten(text) {
  const max = 1024;
  const mark = " ...";
  if (text.length * 3 <= max) return text.toWellFormed();
  const bytes = toUtf8(text);
  if (bytes.length <= max) return text.toWellFormed();
  let end = max - mark.length;
  while ((bytes[end] & 0xc0) === 0x80) end -= 1;
  return fromUtf8(bytes.subarray(0, end)) + mark;
}
