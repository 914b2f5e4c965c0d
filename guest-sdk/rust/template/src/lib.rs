//! Seats of a flight: each is taken once.

use atomic_store_guest::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seats of a flight: each is taken once.
struct Seats;

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    taken: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Reservation {
    seat: String,
}

impl Validator for Seats {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type State = State;
    type Config = ();

    fn kinds() -> Vec<KindInfo> {
        // For people and tools; `check` takes the examples to try the rules out.
        let seat = r#"{"type":"string","examples":["1A","4A","4B","12C"]}"#;
        vec![KindInfo::new("reserve").schema(format!(
            r#"{{"type":"object","required":["seat"],"properties":{{"seat":{seat}}}}}"#
        ))]
    }

    fn init(_scope: &str, _config: ()) -> Result<State, String> {
        Ok(State::default())
    }

    fn apply(state: &mut State, event: &Event) {
        if let Ok(Reservation { seat }) = event.json() {
            state.taken.insert(seat, event.seq);
        }
    }

    fn validate(state: &State, proposal: &Proposal) -> Verdict {
        match proposal.kind.as_str() {
            "reserve" => {
                let Reservation { seat } = proposal.json()?;
                match state.taken.get(&seat) {
                    Some(by) => Err(reject("taken", format!("seat {seat} is taken")).seqs([*by])),
                    None => Ok(accept()),
                }
            }
            _ => Err(proposal.unknown_kind()),
        }
    }
}

export!(Seats);

#[cfg(test)]
mod tests {
    use super::Seats;
    use atomic_store_guest::testing::{Harness, json};

    #[test]
    fn a_seat_is_taken_once() {
        let mut flight = Harness::<Seats>::new();
        flight.propose("reserve", json!({"seat": "4A"})).accepted();
        flight.propose("reserve", json!({"seat": "4A"})).rejected("taken");
        flight.propose("reserve", json!({"seat": "4B"})).accepted();
    }
}
