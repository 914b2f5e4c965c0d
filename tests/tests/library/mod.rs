//! A library in one scope: books are keys, persons are triggers. What the tests of conditions share.
#![allow(dead_code, reason = "each test file uses its own part")]

use atomic_store_core::{Append, Conflict, Key, Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{Caller, Memory, append_to};

pub(crate) const SCOPE: &str = "library";

pub(crate) fn store() -> (Memory, Caller) {
    let memory = Memory::new(Limits::default());
    let caller = memory.by_hand();
    caller.bind("*", "accept-all");
    (memory, caller)
}

pub(crate) fn book(id: &str) -> Key {
    Key::new("book", id)
}

pub(crate) fn person(id: &str) -> Key {
    Key::new("person", id)
}

/// An event about books.
pub(crate) fn about(books: &[&str]) -> Proposal {
    Proposal { keys: books.iter().map(|id| book(id)).collect(), ..Proposal::json("lent", "{}") }
}

/// An event about books that links persons to them.
pub(crate) fn linking(books: &[&str], persons: &[&str]) -> Proposal {
    Proposal { triggers: persons.iter().map(|id| person(id)).collect(), ..about(books) }
}

pub(crate) fn effect(id: &str) -> Proposal {
    Proposal::effect("moved-away", person(id), "{}")
}

pub(crate) fn append(proposals: Vec<Proposal>) -> Append {
    Append { proposals, ..append_to(SCOPE, &[]) }
}

/// Stores events, whatever happened.
pub(crate) fn put(caller: &Caller, proposals: Vec<Proposal>) -> Seq {
    let Outcome::Committed(committed) = caller.ask(append(proposals)).outcome else { panic!() };
    committed.last.seq
}

/// First and last number.
pub(crate) fn numbers(outcome: &Outcome) -> (u64, u64) {
    match outcome {
        Outcome::Committed(committed) => (committed.first.seq.0, committed.last.seq.0),
        other => panic!("{other:?}"),
    }
}

/// The accepted prefix; and of each conflict the index, our number and theirs.
pub(crate) fn conflicts(outcome: &Outcome) -> (u32, Vec<(Option<u32>, u64, u64)>) {
    match outcome {
        Outcome::Conflict { accepted, conflicts } => {
            let row = |c: &Conflict| (c.index, c.ours.0, c.theirs.seq.0);
            (*accepted, conflicts.iter().map(row).collect())
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn head(caller: &Caller) -> u64 {
    caller.events(SCOPE).len() as u64
}

/// Refused for this field, and nothing stored.
pub(crate) fn invalid(caller: &Caller, append: Append, field: &str) {
    let before = head(caller);
    match caller.ask(append).outcome {
        Outcome::Invalid { field: found, why } => assert_eq!(found, field, "{why}"),
        other => panic!("{field}: {other:?}"),
    }
    assert_eq!(head(caller), before);
}
