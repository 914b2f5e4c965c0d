/** Tests rules without WebAssembly and without a store: `node --test` is enough. */

import type { Component, Data, Event, Key, NewEvent } from "./index.js";

interface More {
  contentType?: string;
  keys?: Key[];
  metadata?: Record<string, string>;
  callerMs?: number;
}

/** A proposal under test. */
export interface TestProposal {
  kind: string;
  payload: Uint8Array;
}

/** A proposal; text and bytes as they are, anything else as JSON. */
export function proposal(kind: string, payload?: Data, more?: More): TestProposal;

/** A scope under test. Throws what `init` or `config` throw. */
export declare class Harness {
  /** `config` as text, bytes, or anything else as JSON. */
  constructor(component: Component, options?: { scope?: string; config?: Data });
  /** Folds events of the past, which nobody judges. */
  given(...proposals: TestProposal[]): this;
  /** Proposes an event, and folds what it becomes. */
  propose(kind: string, payload?: Data, more?: More): Answer;
  /** Proposes an append of several: all or nothing. */
  proposeAll(...proposals: TestProposal[]): Answer;
  /** What the JSON of the answer says. Throws the error of the rules. */
  query(name: string, args?: Data): any;
  /** The events of the scope so far. */
  readonly events: Event[];
  readonly state: any;
  /** The lines logged since the last time; questions are put more than once. */
  takeLines(): { level: string; message: string }[];
}

/** One reason of a refusal. */
export interface Reason {
  code: string;
  message: string;
  data: Uint8Array | null;
  seqs: number[];
}

/** What the rules said to an append. Each method asserts and gives back what it found. */
export declare class Answer {
  accepted(): { events: NewEvent[] | null; reason: string | null; meta: Uint8Array | null }[];
  rejected(code: string): Reason;
  rejectedAt(index: number, code: string): Reason;
}
