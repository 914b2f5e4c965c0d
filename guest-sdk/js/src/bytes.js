// Text to bytes and back. The sandbox has no TextEncoder and no TextDecoder.
//
// What must stay true: only well-formed UTF-8 becomes text, and no byte of it is dropped, also not the
// mark at its beginning that some editors write.

// Arguments of one call; engines limit them.
const CHUNK = 4096;
// Bytes of chunks with characters beyond ASCII. Decoding those takes a thousand units of fuel a byte; more of them
// would end the call instead of throwing.
const WIDE_MAX = 512 * 1024;

/** Text that is as it should be, but takes too long to decode. */
export class TooWide extends URIError {}

/** Decodes UTF-8; throws a URIError if it is none, or more of it is beyond ASCII than that. */
export function fromUtf8(bytes, wideMax = WIDE_MAX) {
  if (bytes.length <= CHUNK) return decoded(bytes);
  let text = "";
  let wide = 0;
  for (let at = 0, end; at < bytes.length; at = end) {
    end = Math.min(at + CHUNK, bytes.length);
    // Between characters; a character has at most three bytes that go on.
    for (let most = 3; most > 0 && (bytes[end] & 0xc0) === 0x80; most -= 1) end -= 1;
    const piece = decoded(bytes.subarray(at, end));
    // A character beyond ASCII takes more bytes than it has units.
    if (piece.length < end - at && (wide += end - at) > wideMax) {
      throw new TooWide(`more than ${wideMax} bytes of characters beyond ASCII`);
    }
    text += piece;
  }
  return text;
}

/** At most a chunk. */
function decoded(bytes) {
  const text = String.fromCharCode.apply(null, bytes);
  // The engine's own decoder of percent signs is strict, and much faster than a loop here.
  return isAscii(bytes) ? text : decodeURIComponent(escape(text));
}

/** Four bytes at a time where they are many: in the sandbox each step of a loop costs. */
function isAscii(bytes) {
  let seen = 0;
  let at = 0;
  if (bytes.length >= 64) {
    const words = new Uint32Array(bytes.slice(0, bytes.length & ~31).buffer);
    for (let word = 0; word < words.length; word += 8) {
      seen |= words[word] | words[word + 1] | words[word + 2] | words[word + 3] |
        words[word + 4] | words[word + 5] | words[word + 6] | words[word + 7];
    }
    at = words.length * 4;
  }
  for (; at < bytes.length; at += 1) seen |= bytes[at];
  return (seen & 0x80808080) === 0;
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
