//! The chain of a scope, by property: what was made passes, and nothing that was changed, moved,
//! repeated or left out does. Only the position may change, as it is no part of the scope.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unreachable_pub, reason = "modules of a test have no public face")]

mod support;

use atomic_store_core::chain::{Broken, Walk, genesis, link};
use atomic_store_core::record::{Record, RecordError};
use atomic_store_core::{Digest, Proposal, ScopeName, Seq};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{body, config, proposal, records, scope};

/// Where the position of a record stands.
const POSITION: std::ops::Range<usize> = 65..73;

/// A walk that has passed these records.
fn walked(scope: &ScopeName, records: &[Vec<u8>]) -> Walk {
    let mut walk = Walk::from_start(scope);
    for record in records {
        walk.step(record).unwrap();
    }
    walk
}

/// What the store knows of a scope beside its events: the last number and hash.
fn end(scope: &ScopeName, records: &[Vec<u8>]) -> (Seq, Option<Digest>) {
    let walk = walked(scope, records);
    (walk.head(), walk.hash())
}

/// True if the records are a whole scope that ends where it should.
fn intact(scope: &ScopeName, records: &[Vec<u8>], end: (Seq, Option<Digest>)) -> bool {
    let mut walk = Walk::from_start(scope);
    records.iter().all(|record| walk.step(record).is_ok()) && (walk.head(), walk.hash()) == end
}

fn some() -> impl Strategy<Value = Vec<Proposal>> {
    vec(proposal(), 1..7)
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_was_made_passes_from_every_place(name in scope(), proposals in some()) {
        let records = records(&name, &proposals);
        let (head, hash) = end(&name, &records);
        prop_assert_eq!(head, Seq(proposals.len() as u64));
        let mut before = genesis(&name);
        for (n, record) in records.iter().enumerate() {
            let known = Walk::from(Seq(n as u64), before).step(record).unwrap().hash();
            let mut unknown = Walk::after(&name, Seq(n as u64));
            prop_assert_eq!(unknown.step(record).unwrap().hash(), known);
            prop_assert_eq!(unknown.hash(), Some(known));
            before = known;
        }
        prop_assert_eq!(hash, Some(before));
    }

    #[test]
    fn a_removed_event_is_missed(name in scope(), proposals in some(), at in any::<prop::sample::Index>()) {
        let mut changed = records(&name, &proposals);
        let end = end(&name, &changed);
        changed.remove(at.index(proposals.len()));
        prop_assert!(!intact(&name, &changed, end));
    }

    #[test]
    fn a_repeated_event_is_seen(name in scope(), proposals in some(), at in any::<prop::sample::Index>()) {
        let mut changed = records(&name, &proposals);
        let end = end(&name, &changed);
        let at = at.index(proposals.len());
        changed.insert(at, changed[at].clone());
        prop_assert!(!intact(&name, &changed, end));
    }

    #[test]
    fn two_events_in_each_others_place_are_seen(
        name in scope(), proposals in vec(proposal(), 2..7),
        one in any::<prop::sample::Index>(), by in any::<prop::sample::Index>(),
    ) {
        let mut changed = records(&name, &proposals);
        let end = end(&name, &changed);
        let one = one.index(changed.len());
        let other = (one + 1 + by.index(changed.len() - 1)) % changed.len();
        changed.swap(one, other);
        prop_assert!(!intact(&name, &changed, end));
    }

    #[test]
    fn an_event_of_another_scope_is_seen(
        name in scope(), other in scope(), proposals in some(), at in any::<prop::sample::Index>(),
    ) {
        prop_assume!(name != other);
        let mut changed = records(&name, &proposals);
        let end = end(&name, &changed);
        let theirs = records(&other, &proposals);
        prop_assert_eq!(
            Walk::from_start(&name).step(&theirs[0]).unwrap_err(), Broken::Link(Seq(1))
        );
        let at = at.index(proposals.len());
        changed[at] = theirs[at].clone();
        prop_assert!(!intact(&name, &changed, end));
    }

    #[test]
    fn a_rewritten_event_is_seen_even_with_a_hash_of_its_own(
        name in scope(), proposals in some(), forged in proposal(), at in any::<prop::sample::Index>(),
    ) {
        let mut changed = records(&name, &proposals);
        let end = end(&name, &changed);
        let at = at.index(proposals.len());
        prop_assume!(forged != proposals[at]);
        let before = walked(&name, &changed[..at]);
        let seq = at as u64 + 1;
        let record = Record::encode(&before.hash().unwrap(), &body(seq, &forged)).unwrap();
        changed[at] = record.as_bytes().to_vec();
        prop_assert!(!intact(&name, &changed, end));
    }

    #[test]
    fn a_renumbered_event_is_a_gap(
        name in scope(), proposals in some(), at in any::<prop::sample::Index>(), number in any::<u64>(),
    ) {
        let made = records(&name, &proposals);
        let at = at.index(proposals.len());
        let seq = at as u64 + 1;
        prop_assume!(number != seq);
        let mut walk = walked(&name, &made[..at]);
        let record = Record::encode(&walk.hash().unwrap(), &body(number, &proposals[at])).unwrap();
        let (expected, found) = (Seq(seq), Seq(number));
        prop_assert_eq!(walk.step(record.as_bytes()).unwrap_err(), Broken::Gap { expected, found });
        // A failed step leaves the walk where it was.
        prop_assert!(walk.step(&made[at]).is_ok());
    }

    #[test]
    fn a_position_may_change(name in scope(), proposals in some(), position in any::<[u8; 8]>()) {
        let mut changed = records(&name, &proposals);
        let end = end(&name, &changed);
        changed.iter_mut().for_each(|record| record[POSITION].copy_from_slice(&position));
        prop_assert!(intact(&name, &changed, end));
    }

    #[test]
    fn a_shortened_or_lengthened_record_is_seen(
        name in scope(), proposal in proposal(), tail in vec(any::<u8>(), 1..9),
    ) {
        let record = records(&name, &[proposal]).remove(0);
        for len in 0..record.len() {
            prop_assert!(Walk::from_start(&name).step(&record[..len]).is_err(), "{} bytes", len);
        }
        let longer = [record, tail].concat();
        prop_assert_eq!(
            Walk::from_start(&name).step(&longer).unwrap_err(), Broken::Content(Seq(1))
        );
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn every_single_bit_counts(name in scope(), proposals in vec(proposal(), 1..4)) {
        let made = records(&name, &proposals);
        let end = end(&name, &made);
        for at in 0..made.len() {
            for bit in 0..made[at].len() * 8 {
                if POSITION.contains(&(bit / 8)) {
                    continue;
                }
                let mut changed = made.clone();
                changed[at][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!intact(&name, &changed, end), "event {}, bit {}", at + 1, bit);
            }
        }
    }
}

#[test]
fn what_is_broken_is_named() {
    let name = ScopeName::new("a").unwrap();
    let made = records(&name, &[Proposal::json("x", "1"), Proposal::json("x", "2")]);
    let second = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut walk = Walk::from_start(&name);
        walk.step(&made[0]).unwrap();
        let mut record = made[1].clone();
        change(&mut record);
        walk.step(&record).unwrap_err()
    };
    assert!(matches!(second(&|r| r[0] = 2), Broken::Record { seq: Seq(2), .. }));
    assert!(matches!(
        second(&|r| r.truncate(73)),
        Broken::Record { why: RecordError::Short(73), .. }
    ));
    assert_eq!(second(&|r| r[1] ^= 1), Broken::Content(Seq(2)));
    assert_eq!(second(&|r| r[33] ^= 1), Broken::Link(Seq(2)));
    let (expected, found) = (Seq(2), Seq(3));
    assert_eq!(second(&|r| r[73] = 3), Broken::Gap { expected, found });
    assert_eq!(second(&|r| *r.last_mut().unwrap() ^= 1), Broken::Content(Seq(2)));
}

#[test]
fn a_link_is_the_same_however_long_the_body_is() {
    // Short and long bodies are hashed in two ways, which must not differ.
    let previous = Digest([9; 32]);
    for len in [0, 1, 991, 992, 993, 1024, 5000] {
        let body = vec![7; len];
        let plain = [&previous.0[..], &body].concat();
        assert_eq!(link(&previous, &body), Digest::of(&plain), "{len} bytes");
    }
}

#[test]
fn the_number_after_the_last_one_is_never_reached() {
    // The counter of events saturates, so a walk at the end accepts nothing more of that number.
    let name = ScopeName::new("a").unwrap();
    let hash = genesis(&name);
    let proposal = Proposal::json("x", "1");
    let record = Record::encode(&hash, &body(1, &proposal)).unwrap();
    let mut walk = Walk::from(Seq::MAX, hash);
    let (expected, found) = (Seq::MAX, Seq(1));
    assert_eq!(walk.step(record.as_bytes()).unwrap_err(), Broken::Gap { expected, found });
}
