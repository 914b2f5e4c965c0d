// The SDK, tested natively: what the rules of the examples do not reach.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accept, acceptInstead, component, history, log, newEvent, reject } from "../index.js";
import { fromUtf8, shorten, toUtf8 } from "../src/bytes.js";
import { Harness, proposal } from "../testing.js";

/** Rules that do as `validate` says. */
const rules = (validate, more = {}) =>
  component({ name: "t", version: "1.0.0", init: () => ({ n: 0 }), apply: (state) => void (state.n += 1), validate, ...more });

const nested = (depth) => "[".repeat(depth) + "]".repeat(depth);

test("text and bytes go both ways, and only well-formed text does", () => {
  for (const text of ["", "a", "\u0000", "\u007f\u0080", "\u00e4\u6771\u{1f600}", "\ufeffx", "x".repeat(10_000), "\u00e4".repeat(10_000)]) {
    assert.deepEqual(toUtf8(text), new Uint8Array(new TextEncoder().encode(text)));
    assert.equal(fromUtf8(toUtf8(text)), text);
  }
  for (const bad of [[0x80], [0xc0, 0xaf], [0xe4], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff]]) {
    assert.throws(() => fromUtf8(new Uint8Array(bad)));
  }
  assert.equal(fromUtf8(toUtf8("a\ud800b")), "a\ufffdb");
});

test("long text is decoded in pieces, none of which cuts a character", () => {
  for (const wide of ["\u00e4", "\u6771", "\u{1f600}"]) {
    for (let before = 0; before < 5; before += 1) {
      const text = "x".repeat(before) + wide.repeat(5000) + "y".repeat(5000);
      assert.equal(fromUtf8(toUtf8(text)), text);
      const bytes = toUtf8(text);
      for (const at of [before, 4095, 4096, 8190, 8191]) {
        const broken = bytes.slice();
        broken[at] ^= 0xc0;
        assert.throws(() => fromUtf8(broken), URIError, `byte ${at}`);
      }
    }
  }
  const scope = new Harness(rules((_, it) => (it.json(), accept())));
  scope.propose("k", `"${"\u00e4".repeat(200_000)}"`).accepted();
  const wide = scope.propose("k", `"${"\u00e4".repeat(300_000)}"`).rejected("malformed");
  assert.match(wide.message, /beyond ASCII/);
  scope.propose("k", `[${"[],".repeat(100_000)}0]`).accepted();
  scope.propose("k", `[${"[],".repeat(120_000)}0]`).rejected("malformed");
});

test("a state may be larger than what a payload may have of brackets and wide characters", () => {
  const state = { lists: Array(120_000).fill([]), text: "\u00e4".repeat(300_000) };
  assert.deepEqual(new Harness(rules(accept, { init: () => state })).state, state);
});

test("a sentence is cut to 1024 bytes between characters", () => {
  assert.equal(shorten("x".repeat(1024)), "x".repeat(1024));
  assert.equal(shorten("x".repeat(1025)), `${"x".repeat(1020)} ...`);
  for (const wide of ["\u00e4", "\u6771", "\u{1f600}"]) {
    for (const before of ["", "x", "xx", "xxx"]) {
      const cut = shorten(before + wide.repeat(1000));
      assert.ok(toUtf8(cut).length <= 1024 && !cut.includes("\ufffd") && cut.endsWith(`${wide} ...`));
    }
  }
});

test("answers carry reasons, data and meta", () => {
  const no = new Harness(rules(() => reject("a", "1").seqs([1]).and(reject("b", "2").data({ x: 1 }).meta("m"))));
  const found = no.propose("k", {}).rejected("b");
  assert.equal(fromUtf8(found.data), '{"x":1}');
  const yes = new Harness(rules(() => accept().reason("why").meta(new Uint8Array([1]))));
  const [acceptance] = yes.propose("k", {}).accepted();
  assert.deepEqual([acceptance.reason, [...acceptance.meta]], ["why", [1]]);
});

test("a thrown rejection and a payload that does not decode are verdicts", () => {
  const scope = new Harness(rules((_, it) => { if (it.json() === 1) throw reject("one", "it is one"); return accept(); }));
  scope.propose("k", 1).rejected("one");
  for (const payload of ["", "{", "NaN", '"\\ud800"', '{"\\udc00":1}', new Uint8Array([0xff]), "[".repeat(100_000), nested(129), `{"x":${nested(128)}}`]) {
    scope.propose("k", payload).rejected("malformed");
  }
  for (const payload of [nested(128), `[${'"[[[[{{{{\\\\\\"",'.repeat(100)}1]`, `[${"[{}],".repeat(1000)}1]`]) {
    scope.propose("k", payload).accepted();
  }
  scope.propose("k", '"\\ud83d\\ude00"').accepted();
});

test("only an object has fields", () => {
  const scope = new Harness(rules((_, it) => accept().reason(String(it.fields().a))));
  assert.equal(scope.propose("k", { a: 1 }).accepted()[0].reason, "1");
  for (const payload of ["[]", "null", "1", '"a"', "{"]) scope.propose("k", payload).rejected("malformed");
});

test("events that are stored instead are folded, numbered and seen by the rest of the batch", () => {
  const scope = new Harness(rules((state, it) =>
    it.kind === "two" ? acceptInstead([newEvent("a", 1), newEvent("b", toUtf8("x"), { keys: [{ kind: "k", id: "1" }], metadata: { m: "1" } })])
    : it.kind === "none" ? acceptInstead([]) : accept().reason(`${state.n} before`)));
  const told = scope.proposeAll(proposal("two"), proposal("none"), proposal("as-is")).accepted();
  assert.equal(told[2].reason, "2 before");
  assert.deepEqual(scope.events.map(({ seq, kind }) => [seq, kind]), [[1, "a"], [2, "b"], [3, "as-is"]]);
  assert.deepEqual(scope.events[1].keys, [{ kind: "k", id: "1" }]);
  assert.equal(scope.events[1].contentType, "application/octet-stream");
});

test("rules may look back instead of fold", () => {
  const seen = (it) => [...history.since(0)].filter((event) => event.meta("who") === it.meta("who")).length;
  const scope = new Harness(rules((_, it) => (seen(it) < 2 ? accept() : reject("often", `${history.head()} events`)), { init: () => null, apply() {} }));
  for (const who of ["a", "b", "a"]) scope.propose("k", {}, { metadata: { who } }).accepted();
  assert.equal(scope.propose("k", {}, { metadata: { who: "a" } }).rejected("often").message, "3 events");
});

test("the harness finds rules that would go wrong in the store", () => {
  const breaks = (rules, why) => assert.throws(() => new Harness(rules).propose("k", {}), why);
  let calls = 0;
  breaks(rules(() => accept().reason(`${(calls += 1)}`)), /in two ways/);
  breaks(rules((state) => { state.n += 1; return accept(); }), TypeError);
  breaks(rules(accept, { init: () => new Map() }), /does not survive/);
  breaks(rules(accept, { init: () => ({ at: undefined }) }), /does not survive/);
  breaks(rules(() => true), /must return/);
});

test("what the rules throw is told to the log", () => {
  const broken = rules(() => { throw new Error("a bug"); });
  broken.init("s/1", null);
  assert.throws(() => broken.validate([proposal("k")]), /a bug/);
  log.info("more");
  const lines = new Harness(rules(accept)).takeLines();
  assert.match(lines[0].message, /a bug[^]*sdk\.test/);
  assert.deepEqual(lines[1], { level: "info", message: "more" });
});

test("a configuration is declined unless the rules take it", () => {
  assert.throws(() => new Harness(rules(accept), { config: {} }), /nothing to configure/);
  const taking = rules(accept, { config: (value) => value ?? "none", init: (scope, config) => ({ scope, config }) });
  assert.deepEqual(new Harness(taking).state, { scope: "test/1", config: "none" });
  assert.deepEqual(new Harness(taking, { config: [1] }).state.config, [1]);
  assert.throws(() => new Harness(taking, { config: "{" }), /the configuration of t is wrong/);
});

test("a snapshot that does not fit is declined", () => {
  const first = rules(accept);
  first.init("s/1", null);
  const bytes = first.snapshot();
  const declines = (scope, config, snapshot, other = first) =>
    assert.throws(() => other.restore(scope, config, snapshot), (thrown) => typeof thrown === "string");
  first.restore("s/1", null, bytes);
  for (let end = 0; end < bytes.length; end += 1) declines("s/1", null, bytes.subarray(0, end));
  declines("s/2", null, bytes);
  declines("s/1", new Uint8Array(), bytes);
  declines("s/1", null, bytes, rules(accept, { version: "1.0.1" }));
  assert.equal(rules(accept, { snapshots: false }).describe().kinds.length, 0);
});
