import assert from "node:assert/strict";
import { test } from "node:test";
import { Harness } from "atomic-store-guest/testing";
import { rules } from "./rules.js";

test("a seat is taken once", () => {
  const flight = new Harness(rules);
  flight.propose("reserve", { seat: "4A" }).accepted();
  const reason = flight.propose("reserve", { seat: "4A" }).rejected("taken");
  assert.deepEqual(reason.seqs, [1]);
  flight.propose("reserve", { seat: "4B" }).accepted();
  assert.deepEqual(flight.query("free"), { taken: 2 });
});

test("what is no reservation is refused", () => {
  const flight = new Harness(rules);
  for (const payload of ["", "null", "{", { seat: 4 }, { seat: "__proto__" }]) {
    flight.propose("reserve", payload).rejected("malformed");
  }
  flight.propose("cancel", {}).rejected("unknown-kind");
});
