//! A door that opens and closes and counts its moves: a state machine of two states.
//!
//! Events: `open` and `close`, whose payload does not matter. A door that already is where it
//! should go does not move. Query `door`: `{"position":"open","moves":3}`.

use atomic_store_guest::{Event, KindInfo, Proposal, Validator, Verdict, accept, reject, to_json};
use serde::{Deserialize, Serialize};

/// The rules.
pub struct DoorRules;

/// The state of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    position: Position,
    moves: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Position {
    Closed,
    Open,
}

impl Door {
    /// The door after a command; none if the command cannot move it.
    fn moved(self, command: &str) -> Option<Door> {
        let position = match (self.position, command) {
            (Position::Closed, "open") => Position::Open,
            (Position::Open, "close") => Position::Closed,
            _ => return None,
        };
        Some(Door { position, moves: self.moves + 1 })
    }
}

impl Validator for DoorRules {
    const NAME: &'static str = "door";
    const VERSION: &'static str = "1.0.0";
    type State = Door;
    type Config = ();

    fn kinds() -> Vec<KindInfo> {
        vec![KindInfo::new("open"), KindInfo::new("close")]
    }

    fn init(_scope: &str, _config: ()) -> Result<Door, String> {
        Ok(Door { position: Position::Closed, moves: 0 })
    }

    fn apply(door: &mut Door, event: &Event) {
        *door = door.moved(&event.kind).unwrap_or(*door);
    }

    fn validate(door: &Door, proposal: &Proposal) -> Verdict {
        let command = proposal.kind.as_str();
        match door.moved(command) {
            Some(moved) => Ok(accept()
                .reason(format!("the door moved: {} so far", moved.moves))
                .meta(to_json(&moved)?)),
            None if matches!(command, "open" | "close") => {
                Err(reject("not-moved", format!("cannot {command} door")))
            }
            None => Err(reject("not-supported", format!("a door does not {command:?}"))),
        }
    }

    fn query(door: &Door, name: &str, _args: &[u8]) -> Result<Vec<u8>, String> {
        match name {
            "door" => Ok(to_json(door)?),
            _ => Err(format!("the door has no query {name:?}, but \"door\"")),
        }
    }
}

atomic_store_guest::export!(DoorRules);

#[cfg(test)]
mod tests {
    use super::*;
    use atomic_store_guest::testing::{Harness, proposal};

    #[test]
    fn a_door_moves_counts_and_stays_where_it_is() {
        let mut door = Harness::<DoorRules>::new();
        door.propose("close", ()).rejected_because("not-moved", "cannot close door");
        door.propose("open", ()).accepted_because("the door moved: 1 so far");
        door.propose("open", ()).rejected_because("not-moved", "cannot open door");
        door.propose("close", ()).accepted_because("the door moved: 2 so far");
        door.propose("knock", ()).rejected("not-supported");
        assert_eq!(*door.state(), Door { position: Position::Closed, moves: 2 });
    }

    #[test]
    fn a_batch_is_judged_step_by_step() {
        let mut door = Harness::<DoorRules>::new();
        let step = |kind| proposal(kind, "");
        door.propose_all([step("open"), step("close"), step("close")]).rejected_at(2, "not-moved");
        let accepted = door.propose_all([step("open"), step("close"), step("open")]).accepted();
        let metas: Vec<_> = accepted.into_iter().filter_map(|acceptance| acceptance.meta).collect();
        assert_eq!(metas[2], br#"{"position":"open","moves":3}"#);
    }

    #[test]
    fn the_door_can_be_asked() {
        let mut door = Harness::<DoorRules>::new();
        door.propose("open", ()).accepted();
        assert_eq!(door.query("door", ""), Ok(br#"{"position":"open","moves":1}"#.to_vec()));
        assert!(door.query("window", "").is_err());
    }
}
