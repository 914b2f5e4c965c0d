// Tests rules without WebAssembly and without a store: `node --test` is enough.
//
// Every question is put to a state that was folded and to one restored from its snapshot, and the state
// is frozen meanwhile. So each test of the rules also tests that they are deterministic, keep their hands
// off the state, and survive a snapshot.

import assert from "node:assert/strict";
import { toUtf8 } from "./src/bytes.js";
import { DEFINITION } from "./src/component.js";
import { takeLines, withHistory } from "./src/host-native.js";
import { Declined, Instance, Refused, admitted, today } from "./src/instance.js";
import { Payload, encode } from "./src/payload.js";

const HOST_MS = 1_700_000_000_000;

/** A proposal as the store would pass it on. */
export function proposal(kind, payload, { contentType, keys = [], metadata = {}, callerMs } = {}) {
  return {
    kind,
    contentType: contentType ?? "application/json",
    payload: typeof payload === "string" ? toUtf8(payload) : payload === undefined ? new Uint8Array() : encode(payload),
    keys: [...keys],
    metadata: Object.entries(metadata).map(([name, value]) => ({ name, value })),
    callerMs: callerMs ?? null,
  };
}

/** A scope under test. */
export class Harness {
  #rules;
  #scope;
  #config;
  #instance;
  #events = [];

  constructor(component, { scope = "test/1", config } = {}) {
    this.#rules = component[DEFINITION];
    this.#scope = scope;
    this.#config = config === undefined ? undefined : typeof config === "string" ? toUtf8(config) : encode(config);
    this.#instance = this.#start();
    this.#check();
  }

  /** Folds events of the past, which nobody judges. */
  given(...proposals) {
    for (const each of proposals) {
      this.#fold(admitted({ ...each, hostMs: this.#hostMs() }, { events: null }, this.#instance.head));
    }
    return this;
  }

  propose(kind, payload, more) {
    return this.proposeAll(proposal(kind, payload, more));
  }

  /** Proposes an append of several, and folds what it becomes. */
  proposeAll(...proposals) {
    const hostMs = this.#hostMs();
    const raw = proposals.map((each) => ({ ...each, hostMs }));
    const told = this.#ask((instance) => instance.validate(raw));
    if (told.refusal === undefined) {
      raw.forEach((each, at) => this.#fold(admitted(each, told.accepted[at], this.#instance.head)));
    }
    return new Answer(told);
  }

  /** The answer to a query: what its JSON says. Throws what the rules throw. */
  query(name, args) {
    const bytes = args === undefined ? new Uint8Array() : encode(args);
    const told = this.#ask((instance) => instance.query(name, bytes));
    if (told.declined !== undefined) throw new Error(told.declined);
    return new Payload(name, told.accepted).json();
  }

  /** The events of the scope so far. */
  get events() {
    return this.#events;
  }

  get state() {
    return this.#instance.state;
  }

  /** The lines logged since the last time; questions are put more than once. */
  takeLines() {
    return takeLines();
  }

  #start(snapshot) {
    return new Instance(this.#rules, this.#scope, this.#config, snapshot);
  }

  #hostMs() {
    return HOST_MS + 1000 * this.#events.length;
  }

  #fold(events) {
    const newer = events.map((event) => today(this.#rules, event));
    withHistory(this.#events, () => this.#instance.apply(newer));
    this.#events = [...this.#events, ...events];
    this.#check();
  }

  /** The state comes back from a snapshot as it was. */
  #check() {
    const bytes = this.#instance.encode();
    const restored = this.#start(bytes);
    const why = "the state does not survive a snapshot, which is JSON: keep to objects, arrays, text, numbers, true, false and null";
    if (this.#rules.snapshots !== false) assert.deepEqual(restored.state, this.#instance.state, why);
    return restored;
  }

  #ask(question) {
    const ask = (instance) => {
      deepFreeze(instance.state);
      return outcome(() => withHistory(this.#events, () => question(instance)));
    };
    const before = this.#instance.encode();
    const told = ask(this.#check());
    // The instance under test stays unfrozen, because it goes on to fold.
    const again = ask(this.#check());
    const folded = outcome(() => withHistory(this.#events, () => question(this.#instance)));
    assert.deepEqual(again, told, "the rules answered the same question in two ways");
    assert.deepEqual(folded, told, "the rules answer otherwise after a snapshot");
    assert.deepEqual(this.#instance.encode(), before, "the rules changed the state while they judged");
    return told;
  }
}

/** What the rules said to an append. */
export class Answer {
  #told;

  constructor(told) {
    this.#told = told;
  }

  /** Asserts that it was accepted; gives an acceptance for each proposal. */
  accepted() {
    const { refusal, accepted } = this.#told;
    assert.equal(refusal, undefined, `expected acceptance, but ${tell(refusal)}`);
    return accepted;
  }

  /** Asserts that it was rejected with this code; gives the reason. */
  rejected(code) {
    const { refusal } = this.#told;
    assert.notEqual(refusal, undefined, `expected rejection with "${code}", but it was accepted`);
    const found = refusal.reasons.find((reason) => reason.code === code);
    assert.notEqual(found, undefined, `expected rejection with "${code}", but ${tell(refusal)}`);
    return found;
  }

  /** As `rejected`, and asserts which proposal was the first to be refused, counted from 0. */
  rejectedAt(index, code) {
    const reason = this.rejected(code);
    assert.equal(this.#told.refusal.index, index, tell(this.#told.refusal));
    return reason;
  }
}

function outcome(call) {
  try {
    return { accepted: call() };
  } catch (error) {
    if (error instanceof Refused) return { refusal: error.refusal };
    if (error instanceof Declined) return { declined: error.message };
    throw error;
  }
}

function tell(refusal) {
  const reasons = refusal?.reasons.map(({ code, message }) => `${code}: ${message}`).join("; ");
  return `proposal ${refusal?.index} was rejected: ${reasons}`;
}

function deepFreeze(value) {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  Object.values(value).forEach(deepFreeze);
}
