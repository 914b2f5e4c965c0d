// Rules as nobody should write them: they read the clock. Built for tests of the store.

import { accept, component } from "atomic-store-guest";

const look = () => `${Date.now()} none`;

export const rules = component({
  name: "restless",
  version: "1.0.0",
  init: () => ({ seen: [] }),
  apply(state) {
    state.seen = [...state.seen.slice(-3), look()];
  },
  validate: () => accept().reason(look()),
  query: () => look(),
});
