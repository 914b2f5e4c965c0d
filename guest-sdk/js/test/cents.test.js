// Older events, tested natively.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accept, component, upcasts } from "atomic-store-guest";
import { Harness, proposal } from "atomic-store-guest/testing";
import { rules, upcasting } from "./cents.js";

test("older events are folded as what they are today, within a batch too", () => {
  const cents = new Harness(rules).given(proposal("euros", 3), proposal("cents", 7));
  assert.equal(cents.state.sum, 307);
  cents.proposeAll(proposal("euros", 2), proposal("euros", 2)).rejectedAt(1, "full");
  cents.propose("euros", 2).accepted();
  assert.equal(cents.state.sum, 507);
  assert.deepEqual(cents.events.map((event) => event.kind), ["euros", "cents", "euros"], "stored as they came");
});

test("the store is told what is newer, and null for what is as it was", () => {
  const raw = (kind, payload, seq) => ({ ...proposal(kind, payload), hostMs: 1, seq });
  const [newer, same] = upcasting.upcast([raw("euros", 3, 1), raw("cents", 7, 2)]);
  assert.equal(newer.kind, "cents");
  assert.equal(String.fromCharCode(...newer.payload), "300");
  assert.equal(same, null);
});

test("rules without older events cannot export them", () => {
  const none = component({ name: "t", version: "1.0.0", init: () => 0, apply() {}, validate: accept });
  assert.throws(() => upcasts(none), TypeError);
});
