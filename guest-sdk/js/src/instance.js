// One scope's rules at work: the state, and the calls of the contract on it.
//
// What must stay true: this is the only path from a call to the rules. The component and the test
// harness both take it, so what a test has seen is what the store runs.

import { fromUtf8, hex, shorten } from "./bytes.js";
import { parse } from "./json.js";
import { Event, Malformed, Payload, Proposal, encode, toJson } from "./payload.js";
import { Acceptance, Rejection } from "./verdict.js";

const FORMAT = 1;

/** An answer that the contract passes on as an error. */
export class Declined extends Error {}

export class Instance {
  #rules;
  #origin;
  #state;
  // The last event that was folded, for the numbers of events within a batch.
  #head;

  constructor(rules, scope, config, snapshot) {
    this.#rules = rules;
    this.#origin = [FORMAT, rules.name, rules.version, scope, hex(config)];
    if (snapshot === undefined) {
      this.#head = 0;
      this.#state = declining(() => rules.init(scope, readConfig(rules, config)));
    } else {
      [this.#head, this.#state] = readSnapshot(snapshot, this.#origin);
    }
  }

  apply(events) {
    for (const event of events) this.#fold(this.#state, new Event(event));
  }

  #fold(state, event) {
    this.#rules.apply(state, event);
    this.#head = event.seq;
  }

  /** A list of acceptances; or throws a refusal as the contract wants it. */
  validate(raw) {
    const head = this.#head;
    const accepted = [];
    let state = this.#state;
    try {
      raw.forEach((each, index) => {
        const proposal = new Proposal(each);
        const acceptance = this.#judge(state, proposal, index);
        accepted.push(acceptance);
        // The state is copied only where a later proposal needs to see this one.
        if (index + 1 < raw.length) {
          if (index === 0) state = copy(state);
          for (const event of admitted(each, acceptance, this.#head)) {
            this.#fold(state, today(this.#rules, event));
          }
        }
      });
    } finally {
      this.#head = head;
    }
    return accepted;
  }

  #judge(state, proposal, index) {
    let verdict;
    try {
      verdict = this.#rules.validate(state, proposal);
    } catch (thrown) {
      if (thrown instanceof Malformed) verdict = thrown.toRejection();
      else if (thrown instanceof Rejection) verdict = thrown;
      else throw thrown;
    }
    if (verdict instanceof Acceptance) return verdict.toContract();
    if (verdict instanceof Rejection) throw new Refused(verdict.toContract(index));
    throw new TypeError("validate must return accept(), acceptInstead(..) or reject(..)");
  }

  snapshot() {
    return this.#rules.snapshots === false ? null : this.encode();
  }

  encode() {
    return toJson([...this.#origin, this.#head, this.#state]);
  }

  query(name, args) {
    if (this.#rules.query === undefined) {
      throw new Declined(`${this.#rules.name} has no query "${shorten(name)}"`);
    }
    return declining(() => encode(this.#rules.query(this.#state, name, new Payload(name, args))));
  }

  /** The state, for tests. */
  get state() {
    return this.#state;
  }

  get head() {
    return this.#head;
  }
}

/** A refusal on its way out of a call. */
export class Refused extends Error {
  constructor(refusal) {
    super("refused");
    this.refusal = refusal;
  }
}

/** The events that an accepted proposal becomes, numbered after `head`. */
export function admitted(proposal, acceptance, head) {
  const { callerMs, hostMs } = proposal;
  const stored = acceptance.events ?? [proposal];
  return stored.map((event, at) => new Event({ ...event, callerMs, hostMs, seq: head + 1 + at }));
}

/** An event as the rules know it today; the store asks the same before it folds. */
export function today(rules, event) {
  const newer = rules.upcast?.(event) ?? undefined;
  return newer === undefined ? event : new Event({ ...event, ...newer });
}

/** What kinds look like in the contract. */
export function describe({ name, version, kinds = [] }) {
  const kind = (each) => {
    if (typeof each === "string") return { name: each, schema: null };
    const { name, schema = null } = each;
    return { name, schema: schema === null || typeof schema === "string" ? schema : JSON.stringify(schema) };
  };
  return { name, version, kinds: kinds.map(kind) };
}

function readConfig(rules, bytes) {
  try {
    const value = bytes === undefined ? undefined : new Payload("config", bytes).json();
    if (rules.config !== undefined) return rules.config(value);
    if (value !== undefined && value !== null) throw new Error("there is nothing to configure");
    return undefined;
  } catch (error) {
    throw new Declined(`the configuration of ${rules.name} is wrong: ${error.message}`);
  }
}

function readSnapshot(bytes, origin) {
  let parts;
  try {
    // As large as the rules made it; fuel alone bounds that.
    parts = parse(fromUtf8(bytes, Infinity), bytes, Infinity);
  } catch (error) {
    throw new Declined(`the snapshot does not decode: ${error.message}`);
  }
  if (!Array.isArray(parts) || parts.length !== origin.length + 2) {
    throw new Declined("this is no snapshot");
  }
  if (origin.some((part, at) => parts[at] !== part)) {
    throw new Declined("the snapshot is of other rules, another scope or configuration");
  }
  const [head, state] = parts.slice(origin.length);
  if (!Number.isSafeInteger(head) || head < 0) throw new Declined("the snapshot has no head");
  return [head, state];
}

/** Whatever the rules throw is an answer here: the contract has a place for it. */
function declining(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof Declined) throw error;
    throw new Declined(error instanceof Error ? error.message : String(error));
  }
}

function copy(state) {
  return state === undefined ? state : JSON.parse(JSON.stringify(state));
}
