// Payloads in and out: JSON unless told otherwise.
//
// What must stay true: payloads are untrusted. Reading one gives the whole of it or throws Malformed,
// which is a rejection when it leaves `validate`.

import { TooWide, fromUtf8, toUtf8 } from "./bytes.js";
import { parse } from "./json.js";
import { reject } from "./verdict.js";

/** A payload that is not what the rules expect. */
export class Malformed extends Error {
  constructor(what, why) {
    super(`the payload of "${what}" is malformed: ${why}`);
    this.name = "Malformed";
  }

  toRejection() {
    return reject("malformed", this.message);
  }
}

/** Bytes, and what they say. */
export class Payload {
  constructor(what, bytes) {
    this.kind = what;
    this.payload = bytes;
  }

  json() {
    const text = this.text();
    try {
      return parse(text, this.payload);
    } catch (error) {
      throw new Malformed(this.kind, error.message);
    }
  }

  fields() {
    const value = this.json();
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new Malformed(this.kind, "it is no object");
    }
    return value;
  }

  tryJson() {
    try {
      return this.json();
    } catch {
      return undefined;
    }
  }

  text() {
    try {
      return fromUtf8(this.payload);
    } catch (error) {
      throw new Malformed(this.kind, error instanceof TooWide ? error.message : "it is not UTF-8");
    }
  }
}

/** What an accepted event and a proposed one have in common. */
class Entry extends Payload {
  constructor(raw) {
    super(raw.kind, raw.payload);
    this.contentType = raw.contentType;
    this.keys = raw.keys;
    this.metadata = raw.metadata;
    this.callerMs = raw.callerMs ?? undefined;
    this.hostMs = raw.hostMs;
  }

  meta(name) {
    return this.metadata.find((pair) => pair.name === name)?.value;
  }
}

/** An accepted event. */
export class Event extends Entry {
  constructor(raw) {
    super(raw);
    this.seq = raw.seq;
  }
}

/** An event that somebody wants to append. */
export class Proposal extends Entry {
  unknownKind() {
    return reject("unknown-kind", `these rules know no event of kind "${this.kind}"`);
  }
}

/** A value as JSON. */
export function toJson(value) {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError("this value has no form in JSON");
  return toUtf8(text);
}

/** Bytes as they are, anything else as JSON. */
export function encode(data) {
  return data instanceof Uint8Array ? data : toJson(data);
}

export function newEvent(kind, payload, { contentType, keys = [], metadata = {} } = {}) {
  const isBytes = payload instanceof Uint8Array;
  return {
    kind,
    contentType: contentType ?? (isBytes ? "application/octet-stream" : "application/json"),
    payload: encode(payload),
    keys: [...keys],
    metadata: Object.entries(metadata).map(([name, value]) => ({ name, value })),
  };
}
