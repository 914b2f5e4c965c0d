// A validator's answer to one proposal, and the words to make one.

import { shorten } from "./bytes.js";
import { encode } from "./payload.js";

/** Yes to a proposal. */
export class Acceptance {
  events = null;
  #reason = null;
  #meta = null;
  #outputs = [];

  reason(sentence) {
    this.#reason = shorten(sentence);
    return this;
  }

  meta(data) {
    this.#meta = encode(data);
    return this;
  }

  output(channel, data) {
    this.#outputs.push({ channel, payload: encode(data) });
    return this;
  }

  /** As the contract wants it. */
  toContract() {
    return { events: this.events, reason: this.#reason, meta: this.#meta, outputs: this.#outputs };
  }
}

/** No to a proposal. */
export class Rejection {
  #reasons;
  #meta = null;

  constructor(code, message) {
    this.#reasons = [{ code, message: shorten(message), data: null, seqs: [] }];
  }

  data(data) {
    this.#reasons.at(-1).data = encode(data);
    return this;
  }

  seqs(seqs) {
    this.#reasons.at(-1).seqs = [...seqs];
    return this;
  }

  meta(data) {
    this.#meta = encode(data);
    return this;
  }

  and(other) {
    this.#reasons.push(...other.#reasons);
    this.#meta ??= other.#meta;
    return this;
  }

  /** As the contract wants it, for the proposal of this number. */
  toContract(index) {
    return { index, reasons: this.#reasons, meta: this.#meta };
  }
}

export function accept() {
  return new Acceptance();
}

export function acceptInstead(events) {
  const acceptance = new Acceptance();
  acceptance.events = [...events];
  return acceptance;
}

export function reject(code, message) {
  return new Rejection(code, message);
}
