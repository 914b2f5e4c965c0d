// An English auction, as in `examples/auction`, which says what the events are: the same rules, and the
// same verdicts, byte for byte.

import {
  Malformed, accept, acceptInstead, component, log, newEvent, reject,
  type Payload, type Proposal, type Verdict,
} from "atomic-store-guest";
import { WrongField, cents, fields, money, name, optionalCents } from "./fields.ts";

interface State {
  increment: number;
  opening: number | null;
  highest: { amount: number; bidder: string; seq: number } | null;
  closed: number | null;
}

const amount = { type: ["number", "string"] };
const bidder = { type: ["string", "number"] };

export const rules = component<State, { increment: number }>({
  name: "auction",
  version: "1.0.0",
  kinds: [
    { name: "open", schema: { type: "object", required: ["opening"], properties: { opening: amount } } },
    {
      name: "bid",
      schema: { type: "object", required: ["bidder", "amount"], properties: { bidder, amount, opening: amount } },
    },
    {
      name: "outbid",
      schema: { type: "object", required: ["bidder", "most"], properties: { bidder, most: amount } },
    },
    "close",
  ],

  config(value) {
    if (value === undefined) return { increment: 1 };
    const { increment = 0, ...unknown } = fields(value);
    for (const field of Object.keys(unknown)) throw new WrongField(`there is no ${field} to configure`);
    return { increment: Math.max(1, cents(increment)) };
  },

  init: (_scope, { increment }) => ({ increment, opening: null, highest: null, closed: null }),

  apply(state, event) {
    switch (event.kind) {
      case "open":
        state.opening ??= attempt(() => readOpen(event))?.opening ?? null;
        break;
      case "bid": {
        const bid = attempt(() => readBid(event));
        if (bid === undefined) break;
        state.opening ??= bid.opening;
        state.highest = { amount: bid.amount, bidder: bid.bidder, seq: event.seq };
        break;
      }
      case "close":
        state.closed = event.seq;
    }
  },

  validate(state, proposal) {
    if (state.closed !== null) return reject("closed", "the auction is closed").seqs([state.closed]);
    switch (proposal.kind) {
      case "open":
        read(proposal, readOpen, '{"opening": "95.00"}');
        if (state.opening !== null || state.highest !== null) {
          return reject("already-open", "the opening bid is already fixed");
        }
        return accept();
      case "bid": {
        const bid = read(proposal, readBid, '{"bidder": "ann", "amount": "95.50"}');
        return refusal(state, bid.amount, state.opening ?? bid.opening) ?? accept();
      }
      case "outbid":
        return outbid(state, read(proposal, readOutbid, '{"bidder": "ann", "most": "120.00"}'));
      case "close": {
        const { highest } = state;
        const sold = highest && `sold to ${highest.bidder} for ${money(highest.amount)}`;
        return accept().reason(sold ?? "nobody bid");
      }
      default:
        return proposal.unknownKind();
    }
  },

  query({ highest }, query) {
    if (query !== "highest") throw new Error(`the auction has no query "${query}", but "highest"`);
    return highest && { amount: money(highest.amount), bidder: highest.bidder, seq: highest.seq };
  },
});

const readOpen = (payload: Payload) => ({ opening: cents(payload.fields().opening) });

function readBid(payload: Payload) {
  const { bidder, amount, opening } = payload.fields();
  return { bidder: name(bidder), amount: cents(amount), opening: optionalCents(opening) };
}

function readOutbid(payload: Payload) {
  const { bidder, most } = payload.fields();
  return { bidder: name(bidder), most: cents(most) };
}

/** What the reader finds; nothing if the payload is something else. */
function attempt<T>(reader: () => T): T | undefined {
  try {
    return reader();
  } catch (error) {
    if (error instanceof Malformed || error instanceof WrongField) return undefined;
    throw error;
  }
}

/** What the reader finds; or a rejection that shows what the payload should be. */
function read<T>(proposal: Proposal, reader: (payload: Payload) => T, example: string): T {
  try {
    return reader(proposal);
  } catch (error) {
    if (!(error instanceof Malformed || error instanceof WrongField)) throw error;
    log.debug(error.message);
    const message = `the payload of "${proposal.kind}" is malformed; it is like ${example}, with amounts `
      + "from 0 to 9999999999.99 and at most two decimals";
    throw reject("malformed", message);
  }
}

/** Why an amount is not enough; nothing if it is. */
function refusal(state: Readonly<State>, amount: number, opening: number | null): Verdict | undefined {
  if (amount < (opening ?? 0)) return reject("below-opening", `the opening bid is ${money(opening ?? 0)}`);
  const { highest, increment } = state;
  if (highest === null || amount >= highest.amount + increment) return undefined;
  const least = money(highest.amount + increment);
  return reject("too-low", `the highest bid is ${money(highest.amount)}; bid at least ${least}`)
    .seqs([highest.seq])
    .data({ least });
}

function outbid(state: Readonly<State>, { bidder, most }: { bidder: string; most: number }): Verdict {
  const refused = refusal(state, most, state.opening);
  if (refused !== undefined) return refused;
  const { highest, increment, opening } = state;
  const least = Math.max(opening ?? 0, highest === null ? 0 : highest.amount + increment);
  const placed = { bidder, amount: money(least) };
  return acceptInstead([newEvent("bid", placed)]).meta(placed);
}
