// Rules whose events have changed their form: what was `euros` is a hundred `cents` today. They are tested here,
// and built for tests of the store.

import { accept, component, newEvent, reject, upcasts } from "atomic-store-guest";

export const rules = component({
  name: "cents",
  version: "2.0.0",
  init: () => ({ sum: 0 }),
  upcast(event) {
    if (event.kind !== "euros") return undefined;
    return newEvent("cents", event.json() * 100, { keys: event.keys });
  },
  apply(state, event) {
    if (event.kind !== "cents") throw new Error("apply sees the newer form only");
    state.sum += event.json();
  },
  validate(state, proposal) {
    if (!Number.isSafeInteger(proposal.json())) return reject("malformed", "how many?");
    return state.sum > 500 ? reject("full", "more than 500 cents") : accept();
  },
  query: (state) => state.sum,
});

export const upcasting = upcasts(rules);
