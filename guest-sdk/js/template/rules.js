// @ts-check
// Seats of a flight: each is taken once.

import { accept, component, reject } from "atomic-store-guest";

const SEAT = { type: "string", examples: ["1A", "4A", "4B", "12C"] };

/** @typedef {{ taken: Record<string, number> }} State */

/** @type {import("atomic-store-guest").Rules<State>} */
const seats = {
  name: "seats",
  version: "1.0.0",
  // For people and tools; `check` takes the examples to try the rules out.
  kinds: [{ name: "reserve", schema: { type: "object", required: ["seat"], properties: { seat: SEAT } } }],

  init: () => ({ taken: {} }),

  apply(state, event) {
    const seat = seatOf(event.tryJson());
    if (seat !== undefined) state.taken[seat] = event.seq;
  },

  validate(state, proposal) {
    if (proposal.kind !== "reserve") return proposal.unknownKind();
    const seat = seatOf(proposal.json());
    if (seat === undefined) return reject("malformed", 'a reservation is like {"seat": "4A"}');
    if (seat in state.taken) {
      return reject("taken", `seat ${seat} is taken`).seqs([state.taken[seat]]);
    }
    return accept();
  },

  query: (state) => ({ taken: Object.keys(state.taken).length }),
};

export const rules = component(seats);

/**
 * @param {any} value a payload, which may be anything
 * @returns {string | undefined}
 */
function seatOf(value) {
  const seat = value?.seat;
  return typeof seat === "string" && /^[0-9]{1,2}[A-K]$/.test(seat) ? seat : undefined;
}
