// Makes a component of rules: the exported functions, and the place where the one instance lives.

import { shorten } from "./bytes.js";
import { Declined, Instance, Refused, describe } from "./instance.js";
import { log } from "./log.js";
import { Event } from "./payload.js";

/** Where the test harness finds the rules again. */
export const DEFINITION = Symbol.for("atomic-store-guest.rules");

export function component(rules) {
  let instance;
  return {
    [DEFINITION]: rules,
    describe: () => describe(rules),
    init: guarded((scope, config) => {
      instance = new Instance(rules, scope, config ?? undefined);
    }),
    restore: guarded((scope, config, snapshot) => {
      instance = new Instance(rules, scope, config ?? undefined, snapshot);
    }),
    apply: guarded((events) => instance.apply(events)),
    validate: guarded((proposals) => instance.validate(proposals)),
    snapshot: guarded(() => instance.snapshot()),
    query: guarded((name, args) => instance.query(name, args)),
  };
}

/** The export that makes the store ask what older events are today. */
export function upcasts(component) {
  const { upcast } = component[DEFINITION];
  if (upcast === undefined) throw new TypeError("these rules have no upcast(event)");
  const today = (event) => upcast(new Event(event)) ?? null;
  return { upcast: guarded((events) => events.map(today)) };
}

/** Turns what the rules threw into what the contract has a place for; all else becomes a trap. */
function guarded(call) {
  return (...args) => {
    try {
      return call(...args);
    } catch (error) {
      if (error instanceof Refused) throw error.refusal;
      if (error instanceof Declined) throw shorten(error.message);
      // The trap that follows carries no text.
      log.error(`${error}\n${error?.stack ?? ""}`);
      throw error;
    }
  };
}
