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
//! Configuration: `{"increment": "0.50"}` is the least by which a bid must beat the highest;
//! without one, any amount above it will do. Query `highest`: the highest bid, or `null`.

mod fields;

use atomic_store_guest::{
    Event, KindInfo, Proposal, Rejection, Validator, Verdict, accept, reject, to_json,
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
                if let Ok(Open { opening }) = event.json() {
                    state.opening.get_or_insert(opening);
                }
            }
            "bid" => {
                if let Ok(Bid { bidder, amount, opening }) = event.json() {
                    state.opening = state.opening.or(opening);
                    let bidder = bidder.0.into_owned();
                    state.highest = Some(Highest { amount, bidder, seq: event.seq });
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
                let Open { .. } = proposal.json()?;
                if state.opening.is_some() || state.highest.is_some() {
                    return Err(reject("already-open", "the opening bid is already fixed"));
                }
                Ok(accept())
            }
            "bid" => judge(state, &proposal.json()?),
            "close" => Ok(accept()),
            _ => Err(proposal.unknown_kind()),
        }
    }

    fn query(state: &State, name: &str, _args: &[u8]) -> Result<Vec<u8>, String> {
        match name {
            "highest" => Ok(to_json(&state.highest)?),
            _ => Err(format!("the auction has no query {name:?}, but \"highest\"")),
        }
    }
}

fn judge(state: &State, bid: &Bid<'_>) -> Verdict {
    let opening = state.opening.or(bid.opening).unwrap_or_default();
    if bid.amount < opening {
        return Err(below_opening(opening));
    }
    match &state.highest {
        Some(highest) if bid.amount < highest.amount.plus(state.increment) => {
            Err(too_low(highest, state.increment))
        }
        _ => Ok(accept()),
    }
}

fn below_opening(opening: Cents) -> Rejection {
    reject("below-opening", format!("the opening bid is {opening}"))
}

fn too_low(highest: &Highest, increment: Cents) -> Rejection {
    let least = highest.amount.plus(increment);
    let message = format!("the highest bid is {}; bid at least {least}", highest.amount);
    reject("too-low", message).seqs([highest.seq])
}

atomic_store_guest::export!(Auction);

#[cfg(test)]
mod tests;
