//! Keys, triggers and conditions of the simulated clients, and what must hold for them (P6): nothing
//! is stored against its condition, and every conflict that is told is one.

use atomic_store_core::{Append, Condition, Conflict, Event, Key, Proposal, Seq};
use atomic_store_tests::Rng;

fn key(rng: &mut Rng) -> Key {
    Key::new("lot", &rng.below(4).to_string())
}

fn trigger(rng: &mut Rng) -> Key {
    Key::new("person", &rng.below(2).to_string())
}

/// Gives some proposals keys, links and effects.
pub fn decorate(proposals: &mut [Proposal], rng: &mut Rng) {
    for proposal in proposals {
        match rng.below(6) {
            0..3 => proposal.keys = vec![key(rng)],
            3 => {
                (proposal.keys, proposal.triggers) = (vec![key(rng), key(rng)], vec![trigger(rng)])
            }
            4 => proposal.triggers = vec![trigger(rng)],
            _ => {}
        }
    }
}

/// What a client insists on that has seen the scope up to `head`, or up to some time before.
pub fn condition(head: Seq, rng: &mut Rng) -> Option<Condition> {
    if rng.one_in(2) {
        return None;
    }
    let behind = rng.below(6);
    let resolved = (0..rng.below(3)).map(|_| Seq(1 + rng.below(head.0 + 2))).collect();
    let keys = if rng.one_in(4) { vec![key(rng)] } else { Vec::new() };
    let since = match rng.below(20) {
        0 => Seq(head.0 + rng.below(3)),
        _ => Seq(head.0.saturating_sub(behind)),
    };
    Some(Condition { since, resolved, keys, all: rng.one_in(3) })
}

/// True if the event concerns the key, in a log of these events.
fn concerns(event: &Event, key: &Key, log: &[Event]) -> bool {
    let links = |trigger| log.iter().any(|e| e.keys.contains(key) && e.triggers.contains(trigger));
    event.keys.contains(key) || (event.is_effect() && event.triggers.iter().any(links))
}

/// Checks an append that was stored behind these events.
pub fn check_stored(seed: u64, append: &Append, before: &[Event]) {
    let Some(condition) = &append.condition else { return };
    let id = append.id;
    assert!(condition.since.0 <= before.len() as u64, "seed {seed}: {id} has an unknown base");
    let later = before.iter().filter(|e| e.seq > condition.since);
    let later = later.filter(|e| !condition.resolved.contains(&e.seq));
    let keys = || condition.keys.iter().chain(append.proposals.iter().flat_map(|p| &p.keys));
    for event in later {
        let touched = keys().find(|key| concerns(event, key, before));
        assert_eq!(touched, None, "seed {seed}: {id} is stored though {} concerns it", event.seq);
    }
}

/// Checks a conflict that was told.
pub fn check_conflicts(seed: u64, append: &Append, conflicts: &[Conflict], log: &[Event]) {
    let condition = append.condition.as_ref().unwrap();
    assert!(!conflicts.is_empty() && (condition.all || conflicts.len() == 1), "seed {seed}");
    for Conflict { index, ours, key, trigger, theirs } in conflicts {
        let position = usize::try_from(theirs.seq.0 - 1).unwrap();
        assert_eq!(log.get(position), Some(&**theirs), "seed {seed}: no such event");
        assert!(theirs.seq > condition.since && theirs.seq < *ours, "seed {seed}");
        assert!(!condition.resolved.contains(&theirs.seq), "seed {seed}");
        let keys = match index {
            None => &condition.keys,
            Some(index) => &append.proposals[*index as usize].keys,
        };
        assert!(keys.contains(key), "seed {seed}: {key} is not of the append");
        let before = usize::try_from(ours.0 - 1 - u64::from(index.unwrap_or(0))).unwrap();
        assert!(concerns(theirs, key, &log[..before]), "seed {seed}: {key} and {}", theirs.seq);
        assert_eq!(trigger.is_some(), theirs.is_effect(), "seed {seed}");
    }
}
