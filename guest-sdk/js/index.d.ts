/** Write validators for Atomic Store in JavaScript or TypeScript. */

/** What an event is about, as in `{ kind: "book", id: "Neuromancer" }`. */
export interface Key {
  kind: string;
  id: string;
}

/** A pair that travels with an event. */
export interface Pair {
  name: string;
  value: string;
}

/** Anything that JSON can express; or bytes, which stay as they are. */
export type Data = Uint8Array | unknown;

/** A kind of event, for people and tools. The store does not check it. */
export type KindInfo = string | { name: string; schema?: object | string };

/**
 * The rules of a log.
 *
 * The store keeps one instance for each scope and calls `init` once, `apply` for each accepted event in
 * order, and `validate` for each event that somebody wants to append. The rules must be deterministic:
 * what they answer depends on the state and the proposal, on nothing else. The sandbox has no clock, no
 * randomness, no files and no network; the time is `proposal.hostMs`.
 */
export interface Rules<State, Config = undefined> {
  /** Its name in the store: 1 to 64 lower-case letters, digits and `-`. */
  name: string;
  /** Its semantic version. */
  version: string;
  /** The kinds of event it knows. */
  kinds?: KindInfo[];
  /** False makes the store fold the log instead of keeping snapshots of the state. */
  snapshots?: boolean;

  /**
   * Checks what a binding configures: what its JSON says, or `undefined` for none. What it throws declines
   * the configuration. Without this function there is nothing to configure.
   */
  config?(value: unknown): Config;
  /**
   * The state of a scope without events: what the rules need to know of the past, as JSON has it (objects,
   * arrays, text, numbers, true, false, null). An error declines the scope, which then refuses every append.
   */
  init(scope: string, config: Config): State;
  /**
   * Folds an accepted event into the state. It cannot say no: the event has been accepted, perhaps by an
   * earlier version of these rules, so ignore what you do not understand (`event.tryJson()`).
   */
  apply(state: State, event: Event): void;
  /**
   * What an older event is today; nothing if it is as it was. Number and times stay. The store asks only if the
   * entry module exports `upcasting = upcasts(rules)`. It then asks before each `apply`, which so sees the newer
   * forms only, and for readers. `history` shows events as they are stored.
   */
  upcast?(event: Event): NewEvent | undefined;
  /** Judges a proposal against everything before it, earlier members of its batch included. */
  validate(state: Readonly<State>, proposal: Proposal): Verdict;
  /** Answers a question about the state. An error is the answer's text. */
  query?(state: Readonly<State>, name: string, args: Payload): Data;
}

/** Yes or no to one proposal. A rejection may also be thrown. */
export type Verdict = Acceptance | Rejection;

/** The exports of a component. */
export interface Component {
  describe(): unknown;
  init(scope: string, config: Uint8Array | null): void;
  restore(scope: string, config: Uint8Array | null, snapshot: Uint8Array): void;
  apply(events: unknown[]): void;
  validate(proposals: unknown[]): unknown[];
  snapshot(): Uint8Array | null;
  query(name: string, args: Uint8Array): Uint8Array;
}

/** Makes a component of rules. The entry module exports it under the name `rules`. */
export function component<State, Config = undefined>(rules: Rules<State, Config>): Component;

/**
 * What makes the store ask `upcast` of these rules. The entry module exports it under the name `upcasting`, and is
 * built for the world `upcasting-validator`.
 */
export function upcasts(component: Component): { upcast(events: unknown[]): unknown[] };

/** Bytes, and what they say. */
export declare class Payload {
  readonly kind: string;
  readonly payload: Uint8Array;
  /** As JSON. Throws `Malformed`, which becomes a rejection with the code `malformed`. */
  json(): unknown;
  /** The fields of a JSON object. Throws `Malformed` if it is anything else. */
  fields(): Record<string, unknown>;
  /** As JSON; `undefined` if it is none. */
  tryJson(): unknown;
  /** As text. Throws `Malformed` if it is not UTF-8. */
  text(): string;
}

declare class Entry extends Payload {
  readonly contentType: string;
  readonly keys: Key[];
  readonly metadata: Pair[];
  /** When the caller says it happened, in milliseconds since 1970. */
  readonly callerMs: number | undefined;
  /** When the store admitted it, in milliseconds since 1970. Never falls within a scope. */
  readonly hostMs: number;
  /** The value of the first metadata pair of that name. */
  meta(name: string): string | undefined;
}

/** An accepted event of this scope. */
export declare class Event extends Entry {
  /** Its number: 1, 2, 3 and so on without gaps. */
  readonly seq: number;
}

/** An event that somebody wants to append. */
export declare class Proposal extends Entry {
  /** A rejection with the code `unknown-kind`. */
  unknownKind(): Rejection;
}

/** A payload that is not what the rules expect; a rejection when it leaves `validate`. */
export declare class Malformed extends Error {
  constructor(kind: string, why: string);
  toRejection(): Rejection;
}

/** Yes to a proposal. */
export declare class Acceptance {
  private constructor();
  /** Adds a sentence for the caller. Of a batch the caller gets the first one. */
  reason(sentence: string): this;
  /** Adds data for the caller, at most 64 KiB. It is not stored. */
  meta(data: Data): this;
  /** Adds something for a channel, committed together with the event. */
  output(channel: string, data: Data): this;
}

/** No to a proposal. */
export declare class Rejection {
  private constructor();
  /** Adds details for programs to the last reason, at most 64 KiB. */
  data(data: Data): this;
  /** Names the earlier events that caused the last reason. */
  seqs(seqs: Iterable<number>): this;
  /** Adds data for the caller, at most 64 KiB. */
  meta(data: Data): this;
  /** Adds the reasons of another rejection; at most 16 in all. */
  and(other: Rejection): this;
}

/** An event to store in place of a proposal. */
export interface NewEvent {
  kind: string;
  contentType: string;
  payload: Uint8Array;
  keys: Key[];
  metadata: Pair[];
}

/** Yes: store the event as proposed. */
export function accept(): Acceptance;
/** Yes, but store these events instead: a command becomes its effects. None at all is allowed. */
export function acceptInstead(events: Iterable<NewEvent>): Acceptance;
/** No, with a short word for programs and a sentence for people. */
export function reject(code: string, message: string): Rejection;
/** An event to store. */
export function newEvent(
  kind: string,
  payload: Data,
  more?: { contentType?: string; keys?: Key[]; metadata?: Record<string, string> },
): NewEvent;
/** A value as JSON, in bytes. */
export function toJson(value: unknown): Uint8Array;

/** The earlier events of the scope, for rules that would rather look than fold. */
export const history: {
  /** The number of the last event, 0 for none. */
  head(): number;
  /** Events after `after`, in order: at most `limit`, fewer if they are large, none at the end. */
  read(after: number, limit: number): Event[];
  /** All events after `after`, in order, fetched in pages as they are needed. */
  since(after: number): Generator<Event, void, void>;
};

/** Lines for the author of the validator; at most 32 of 1 KiB are kept of each call. */
export const log: Record<"debug" | "info" | "warn" | "error", (message: unknown) => void>;
