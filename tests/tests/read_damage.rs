//! Reads that choose meet damage: what is given was checked, whichever way it was found.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{SelectError, Selection, Taken};
use atomic_store::log::ReadError;
use atomic_store_core::protocol::Replay;
use atomic_store_core::{Append, AppendId, Filter, Key, Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{Caller, Memory, scope};

fn key(id: u64) -> Key {
    Key::new("book", &id.to_string())
}

/// Ten events, of one book and another in turn; the last but one fires what the first links.
fn store() -> (Memory, Caller) {
    let memory = Memory::new(Limits::default());
    let caller = memory.with_threads(2);
    caller.bind("*", "accept-all");
    let trigger = Key::new("key", "ann");
    let mut proposals: Vec<_> = (1..=10)
        .map(|n| Proposal { keys: vec![key(n % 2)], ..Proposal::json("n", n.to_string()) })
        .collect();
    proposals[0].triggers = vec![trigger.clone()];
    proposals[8] = Proposal::effect("expired", trigger, "{}");
    let append = Append::new(scope("s"), AppendId([7; 16]), proposals);
    assert!(matches!(caller.ask(append).outcome, Outcome::Committed(_)));
    (memory, caller)
}

fn all() -> Selection {
    Selection::new(Some(scope("s")))
}

fn by_key(id: u64) -> Selection {
    Selection { filter: Filter { keys: vec![key(id)], ..Filter::default() }, ..all() }
}

/// What was given, and whether the read then met damage.
fn read(caller: &Caller, selection: Selection) -> (Vec<u64>, bool) {
    let mut scan = caller.engine.select(selection).unwrap();
    let mut given = Vec::new();
    while !scan.is_done() {
        let step = caller.engine.step(&mut scan, &mut |found| {
            given.push(found.view.seq().0);
            Taken::Next
        });
        match step {
            Ok(()) => {}
            Err(SelectError::Read(ReadError::Damaged { .. })) => return (given, true),
            Err(other) => panic!("{other:?}"),
        }
    }
    (given, false)
}

#[test]
fn damage_is_met_on_every_way_and_never_given() {
    let backwards = |selection| Selection { backwards: true, ..selection };
    let kinds =
        Selection { filter: Filter { kinds: vec!["n".to_owned()], ..Filter::default() }, ..all() };
    let mut replay = Selection { replay: Replay::Touched, ..all() };
    replay.place.after = 8;
    for (selection, given) in [
        (all(), &[1, 2, 3, 4][..]),
        (kinds.clone(), &[1, 2, 3, 4]),
        // A window is checked as a whole before anything of it is given.
        (backwards(all()), &[]),
        (backwards(kinds), &[]),
        (Selection::new(None), &[1, 1, 2, 3, 4]),
        (by_key(1), &[1, 3]),
        (backwards(by_key(1)), &[7]),
        (replay, &[1, 3]),
    ] {
        let (memory, caller) = store();
        let intact = read(&caller, selection.clone());
        assert!(!intact.1, "{selection:?}");
        assert!(memory.log.damage(&scope("s"), Seq(5)));
        assert_eq!(read(&caller, selection.clone()), (given.to_vec(), true), "{selection:?}");
        let info = caller.engine.show_scope(&scope("s")).unwrap().unwrap();
        assert!(info.sealed.is_some(), "a reader that finds damage seals the scope");
    }
}

#[test]
fn the_index_jumps_over_damage_between_what_it_finds() {
    let (memory, caller) = store();
    assert!(memory.log.damage(&scope("s"), Seq(4)));
    assert_eq!(read(&caller, by_key(1)), (vec![1, 3, 5, 7], false));
    assert_eq!(read(&caller, by_key(0)), (vec![2], true));
}

#[test]
fn a_moment_is_found_without_reading_all() {
    let memory = Memory::new(Limits::default());
    let caller = memory.with_threads(2);
    caller.bind("*", "accept-all");
    for n in 0..200_u64 {
        memory.clock.set(2_000_000 + n / 4 * 10);
        let append = Append::new(
            scope("s"),
            AppendId(u128::from(n + 1).to_be_bytes()),
            vec![Proposal::json("n", "{}")],
        );
        assert!(matches!(caller.ask(append).outcome, Outcome::Committed(_)));
    }
    let mut selection = all();
    selection.filter.host_ms.from = Some(2_000_300);
    selection.filter.host_ms.until = Some(2_000_320);
    for backwards in [false, true] {
        let before = memory.log.read_calls();
        let (mut given, _) = read(&caller, Selection { backwards, ..selection.clone() });
        if backwards {
            given.reverse();
        }
        assert_eq!(given, (121..=128).collect::<Vec<_>>());
        let reads = memory.log.read_calls() - before;
        assert!(reads < 25, "{reads} reads to find two moments among 200 events");
    }
}
