//! An English auction: a bid is at least the opening bid, and higher than the highest so far.
//!
//! One scope is one auction. Its events:
//!
//! | kind    | payload                                             |                                     |
//! |---------|-----------------------------------------------------|-------------------------------------|
//! | `open`  | `{"opening": "95.00"}`                              | optional, before the first bid      |
//! | `bid`   | `{"bidder": "ann", "amount": 95.5, "opening": 95}`  | `opening` only where no `open` came |
//! | `close` | anything                                            | once; nothing is accepted after it  |
//!
//! The first accepted event that names an opening bid fixes it; later ones are not looked at. So
//! append `open` first if bidders cannot be trusted with it. Without any, bids start at 0.
//!
//! A command, `outbid` with `{"bidder": "ann", "most": "120"}`, bids the least that is enough, if that
//! is not more than the most: a `bid` is stored in its place.
//!
//! Configuration: `{"increment": "0.50"}` is the least by which a bid must beat the highest;
//! without one, any amount above it will do. Query `highest`: the highest bid, or `null`.
//!
//! The same rules stand beside this folder in other languages. Each gives the same verdicts, byte for
//! byte, to `examples/auction-cases.txt`; so no verdict here quotes what a JSON library says.

mod fields;

use atomic_store_guest::{
    Event, KindInfo, NewEvent, Proposal, Rejection, Validator, Verdict, accept, accept_instead,
    log, reject, to_json,
};
use fields::{Cents, Name};
use serde::{Deserialize, Serialize};

/// The rules.
pub struct Auction;

/// What a binding can configure.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    increment: Cents,
}

/// What the rules need to know of the past.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    increment: Cents,
    opening: Option<Cents>,
    highest: Option<Highest>,
    closed: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Highest {
    amount: Cents,
    bidder: String,
    seq: u64,
}

#[derive(Deserialize)]
struct Open {
    opening: Cents,
}

#[derive(Deserialize)]
struct Outbid<'a> {
    #[serde(borrow)]
    bidder: Name<'a>,
    most: Cents,
}

/// What a command stores: the fields in this order.
#[derive(Serialize)]
struct Placed<'a> {
    bidder: &'a str,
    amount: Cents,
}

/// What a refused bid should have been.
#[derive(Serialize)]
struct Least {
    least: Cents,
}

#[derive(Deserialize)]
struct Bid<'a> {
    #[serde(borrow)]
    bidder: Name<'a>,
    amount: Cents,
    opening: Option<Cents>,
}

impl Validator for Auction {
    const NAME: &'static str = "auction";
    const VERSION: &'static str = "1.0.0";
    type State = State;
    type Config = Config;

    fn kinds() -> Vec<KindInfo> {
        let amount = r#"{"type":["number","string"]}"#;
        vec![
            KindInfo::new("open").schema(format!(
                r#"{{"type":"object","required":["opening"],"properties":{{"opening":{amount}}}}}"#
            )),
            KindInfo::new("bid").schema(format!(
                r#"{{"type":"object","required":["bidder","amount"],"properties":{{"bidder":{{"type":["string","number"]}},"amount":{amount},"opening":{amount}}}}}"#
            )),
            KindInfo::new("outbid").schema(format!(
                r#"{{"type":"object","required":["bidder","most"],"properties":{{"bidder":{{"type":["string","number"]}},"most":{amount}}}}}"#
            )),
            KindInfo::new("close"),
        ]
    }

    fn init(_scope: &str, config: Config) -> Result<State, String> {
        let increment = config.increment.max(Cents::ONE);
        Ok(State { increment, opening: None, highest: None, closed: None })
    }

    fn apply(state: &mut State, event: &Event) {
        match event.kind.as_str() {
            "open" => {
                if let Some(Open { opening }) = fields::read(&event.payload) {
                    state.opening.get_or_insert(opening);
                }
            }
            "bid" => {
                if let Some(bid) = fields::read(&event.payload) {
                    take(state, bid, event.seq);
                }
            }
            "close" => state.closed = Some(event.seq),
            _ => {}
        }
    }

    fn validate(state: &State, proposal: &Proposal) -> Verdict {
        if let Some(seq) = state.closed {
            return Err(reject("closed", "the auction is closed").seqs([seq]));
        }
        match proposal.kind.as_str() {
            "open" => {
                let Open { .. } = read(proposal, r#"{"opening": "95.00"}"#)?;
                if state.opening.is_some() || state.highest.is_some() {
                    return Err(reject("already-open", "the opening bid is already fixed"));
                }
                Ok(accept())
            }
            "bid" => judge(state, &read(proposal, r#"{"bidder": "ann", "amount": "95.50"}"#)?),
            "outbid" => outbid(state, &read(proposal, r#"{"bidder": "ann", "most": "120.00"}"#)?),
            "close" => Ok(accept().reason(match &state.highest {
                Some(highest) => format!("sold to {} for {}", highest.bidder, highest.amount),
                None => "nobody bid".to_owned(),
            })),
            _ => Err(proposal.unknown_kind()),
        }
    }

    /// Nearly all that comes are bids: each is read once.
    fn admit(state: &mut State, proposal: &Proposal, seq: u64) -> Option<Verdict> {
        if proposal.kind != "bid" || state.closed.is_some() {
            return None;
        }
        let bid = fields::read(&proposal.payload)?;
        let verdict = judge(state, &bid);
        if verdict.is_ok() {
            take(state, bid, seq);
        }
        Some(verdict)
    }

    fn query(state: &State, name: &str, _args: &[u8]) -> Result<Vec<u8>, String> {
        match name {
            "highest" => Ok(to_json(&state.highest)?),
            _ => Err(format!("the auction has no query \"{name}\", but \"highest\"")),
        }
    }
}

/// The payload, or a rejection that shows what it should be.
fn read<'a, T: Deserialize<'a>>(proposal: &'a Proposal, example: &str) -> Result<T, Rejection> {
    fields::read(&proposal.payload).ok_or_else(|| {
        if let Err(malformed) = proposal.json::<T>() {
            log::debug(malformed.to_string());
        }
        let kind = &proposal.kind;
        let message = format!(
            "the payload of \"{kind}\" is malformed; it is like {example}, with amounts from 0 to \
             9999999999.99 and at most two decimals"
        );
        reject("malformed", message)
    })
}

/// The least that a bid must be, in an auction that was opened with this.
fn least(state: &State, opening: Option<Cents>) -> Cents {
    match &state.highest {
        Some(highest) => highest.amount.plus(state.increment).max(opening.unwrap_or_default()),
        None => opening.unwrap_or_default(),
    }
}

fn judge(state: &State, bid: &Bid<'_>) -> Verdict {
    check(state, bid.amount, state.opening.or(bid.opening))?;
    Ok(accept())
}

/// Folds an accepted bid.
fn take(state: &mut State, bid: Bid<'_>, seq: u64) {
    state.opening = state.opening.or(bid.opening);
    state.highest = Some(Highest { amount: bid.amount, bidder: bid.bidder.0.into_owned(), seq });
}

fn outbid(state: &State, command: &Outbid<'_>) -> Verdict {
    check(state, command.most, state.opening)?;
    let least = least(state, state.opening);
    let bid = NewEvent::json("bid", &Placed { bidder: &command.bidder.0, amount: least })?;
    Ok(accept_instead([bid]).meta(to_json(&Placed { bidder: &command.bidder.0, amount: least })?))
}

/// Refuses an amount that is not enough.
fn check(state: &State, amount: Cents, opening: Option<Cents>) -> Result<(), Rejection> {
    let opening = opening.unwrap_or_default();
    if amount < opening {
        return Err(reject("below-opening", format!("the opening bid is {opening}")));
    }
    match &state.highest {
        Some(highest) if amount < highest.amount.plus(state.increment) => {
            Err(too_low(highest, state.increment))
        }
        _ => Ok(()),
    }
}

fn too_low(highest: &Highest, increment: Cents) -> Rejection {
    let least = highest.amount.plus(increment);
    let message = format!("the highest bid is {}; bid at least {least}", highest.amount);
    match to_json(&Least { least }) {
        Ok(data) => reject("too-low", message).seqs([highest.seq]).data(data),
        Err(error) => error.into(),
    }
}

atomic_store_guest::export!(Auction);

#[cfg(test)]
mod tests;
