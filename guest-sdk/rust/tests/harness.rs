//! The harness must find rules that break their promises: each test here has a fault on purpose.

use atomic_store_guest::testing::{Harness, event, json, proposal};
use atomic_store_guest::*;
use serde::{Deserialize, Deserializer, Serialize};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Declares rules with one state and one verdict.
macro_rules! rules {
    ($name:ident, $state:ty, |$seen:ident, $proposal:ident| $validate:expr) => {
        struct $name;
        impl Validator for $name {
            const NAME: &'static str = "test";
            const VERSION: &'static str = "1.0.0";
            type State = $state;
            type Config = ();
            fn init(_: &str, (): ()) -> Result<$state, String> {
                Ok(<$state>::default())
            }
            fn apply(state: &mut $state, event: &Event) {
                Fold::fold(state, event);
            }
            fn validate($seen: &$state, $proposal: &Proposal) -> Verdict {
                $validate
            }
        }
    };
}

trait Fold {
    fn fold(&mut self, event: &Event);
}

impl Fold for u64 {
    fn fold(&mut self, event: &Event) {
        *self += event.json().unwrap_or(0);
    }
}

impl Fold for () {
    fn fold(&mut self, _: &Event) {}
}

impl Fold for Vec<(u64, String)> {
    fn fold(&mut self, event: &Event) {
        self.push((event.seq, event.kind.clone()));
    }
}

/// What the harness says about one proposal.
fn complaint<V: Validator>() -> String {
    let mut harness = Harness::<V>::new();
    harness.given([event("add", 1)]);
    let judged = catch_unwind(AssertUnwindSafe(|| harness.propose("add", 1).is_accepted()));
    let panic = judged.expect_err("the harness has noticed nothing");
    panic.downcast_ref::<String>().expect("a formatted message").clone()
}

#[test]
fn rules_that_change_their_mind_are_found() {
    thread_local!(static ASKED: Cell<u64> = const { Cell::new(0) });
    rules!(Fickle, u64, |_state, _proposal| {
        ASKED.set(ASKED.get() + 1);
        if ASKED.get().is_multiple_of(2) { Err(reject("no", "now not")) } else { Ok(accept()) }
    });
    assert!(complaint::<Fickle>().contains("asked twice"));
}

#[test]
fn rules_that_change_the_state_while_they_judge_are_found() {
    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Sneaky(Cell<u64>);
    impl Fold for Sneaky {
        fn fold(&mut self, _: &Event) {}
    }
    rules!(Counting, Sneaky, |state, _proposal| {
        state.0.set(state.0.get() + 1);
        Ok(accept())
    });
    assert!(complaint::<Counting>().contains("changed the state"));
}

#[test]
fn a_state_that_a_snapshot_loses_is_found() {
    #[derive(Clone, Default, Serialize, Deserialize)]
    struct Forgetful {
        #[serde(skip)]
        count: u64,
    }
    impl Fold for Forgetful {
        fn fold(&mut self, _: &Event) {
            self.count += 1;
        }
    }
    rules!(Lossy, Forgetful, |state, _proposal| {
        if state.count == 0 { Ok(accept()) } else { Err(reject("full", "full")) }
    });
    assert!(complaint::<Lossy>().contains("after a snapshot"));
}

#[test]
fn a_state_that_cannot_be_restored_is_found() {
    #[derive(Clone, Default, Serialize)]
    struct Broken(u64);
    impl<'de> Deserialize<'de> for Broken {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Broken, D::Error> {
            <(u64, u64)>::deserialize(from).map(|(left, _)| Broken(left))
        }
    }
    impl Fold for Broken {
        fn fold(&mut self, _: &Event) {}
    }
    rules!(OneWay, Broken, |_state, _proposal| Ok(accept()));
    assert!(complaint::<OneWay>().contains("does not survive a snapshot"));
}

#[test]
fn answers_at_the_contracts_caps_pass_and_one_above_is_found() {
    fn answer(size: usize) -> Verdict {
        Err(reject("c".repeat(size), "m").seqs(std::iter::repeat_n(1, size * 1000 / 64)))
    }
    rules!(AtCap, u64, |_state, _proposal| answer(64));
    rules!(Above, u64, |_state, _proposal| answer(65));
    let mut at_cap = Harness::<AtCap>::new();
    assert_eq!(at_cap.propose("add", 1).rejected(&"c".repeat(64)).seqs.len(), 1000);
    assert!(complaint::<Above>().contains("65 bytes of a reason's code"));

    rules!(Much, u64, |_state, _proposal| Ok(accept().meta(vec![0; 65_537])));
    assert!(complaint::<Much>().contains("65537 bytes of meta"));
}

#[test]
fn a_batch_sees_its_earlier_members_with_their_numbers_and_leaves_no_trace() {
    rules!(Ledger, Vec<(u64, String)>, |seen, proposal| match proposal.kind.as_str() {
        "split" => Ok(accept_instead([
            NewEvent::bytes("left", "text/plain", ""),
            NewEvent::bytes("right", "text/plain", ""),
        ])),
        "skip" => Ok(accept_instead([])),
        "expect" => {
            let expected: Vec<(u64, String)> = proposal.json()?;
            if *seen == expected { Ok(accept()) } else { Err(reject("other", format!("{seen:?}"))) }
        }
        _ => Ok(accept()),
    });
    let mut ledger = Harness::<Ledger>::new();
    ledger.given([event("first", ())]);
    let seen = json!([[1, "first"], [2, "left"], [3, "right"], [4, "plain"]]).to_string();
    let batch = |expected: &str| {
        ["split", "skip", "plain"]
            .map(|kind| proposal(kind, ""))
            .into_iter()
            .chain([proposal("expect", expected)])
            .collect::<Vec<_>>()
    };
    ledger.propose_all(batch("[]")).rejected_at(3, "other");
    assert_eq!(ledger.events().len(), 1, "all or nothing");
    ledger.propose_all(batch(&seen)).accepted();
    let kinds: Vec<_> = ledger.events().iter().map(|e| (e.seq, e.kind.as_str())).collect();
    let all = [(1, "first"), (2, "left"), (3, "right"), (4, "plain"), (5, "expect")];
    assert_eq!(kinds, all);
}

#[test]
fn rules_without_a_state_can_look_at_the_history() {
    rules!(Looking, (), |_state, proposal| {
        let before = history::since(0).filter(|event| event.kind == proposal.kind).count();
        log::info(format!("{before} of {}", history::head()));
        if before < 300 { Ok(accept()) } else { Err(reject("enough", "300 are enough")) }
    });
    let mut looking = Harness::<Looking>::new();
    looking.given((0..299).map(|_| event("a", ()))).given([event("b", ())]);
    looking.propose("a", ()).accepted();
    let (level, line) = looking.take_log().remove(0);
    assert_eq!((level, line.as_str()), (log::Level::Info, "299 of 300"));
    looking.propose("a", ()).rejected("enough");
    looking.propose("b", ()).accepted();
    assert_eq!(history::head(), 0, "outside a call there is no history");
}

#[test]
fn the_stores_time_is_what_the_test_sets() {
    rules!(Clocked, u64, |_state, proposal| Ok(accept().reason(proposal.host_ms.to_string())));
    let mut clocked = Harness::<Clocked>::new();
    clocked.at(5).propose("add", 1).accepted_because("5");
    clocked.at(5).given([event("add", 1)]);
    assert_eq!(clocked.events()[1].host_ms, 5);
    assert!(catch_unwind(AssertUnwindSafe(|| clocked.at(4).state().to_owned())).is_err());
}

/// Sums cents. An `euros` of version 1 is a hundred `cents` today.
struct Cents;

impl Validator for Cents {
    const NAME: &'static str = "cents";
    const VERSION: &'static str = "2.0.0";
    type State = u64;
    type Config = ();

    fn init(_: &str, (): ()) -> Result<u64, String> {
        Ok(0)
    }

    fn upcast(event: &Event) -> Option<NewEvent> {
        let euros: u64 = if event.kind == "euros" { event.json().ok()? } else { return None };
        NewEvent::json("cents", &(euros * 100)).ok()
    }

    fn apply(sum: &mut u64, event: &Event) {
        assert_eq!(event.kind, "cents", "it sees the newer form only");
        *sum += event.json::<u64>().unwrap_or(0);
    }

    fn validate(sum: &u64, proposal: &Proposal) -> Verdict {
        if *sum > 500 {
            return Err(reject("full", "more than 500 cents"));
        }
        let _: u64 = proposal.json()?;
        Ok(accept())
    }
}

#[test]
fn older_events_are_folded_as_what_they_are_today_within_a_batch_too() {
    let mut harness = Harness::<Cents>::new();
    let given = |kind: &str, n: u64| NewEvent::json(kind, &n).expect("numbers are JSON");
    harness.given([given("euros", 3), given("cents", 7)]);
    assert_eq!(*harness.state(), 307);
    let euros = || proposal("euros", b"2");
    harness.propose_all([euros(), euros()]).rejected_at(1, "full");
    harness.propose_all([euros()]).accepted();
    assert_eq!(*harness.state(), 507);
}

/// Sums what it is told up to 10; judges and folds in one as `HOW` says.
struct AtOnce<const HOW: u8>;

impl<const HOW: u8> Validator for AtOnce<HOW> {
    const NAME: &'static str = "at-once";
    const VERSION: &'static str = "1.0.0";
    type State = u64;
    type Config = ();

    fn init(_: &str, (): ()) -> Result<u64, String> {
        Ok(0)
    }

    fn apply(sum: &mut u64, event: &Event) {
        sum.fold(event);
    }

    fn validate(sum: &u64, proposal: &Proposal) -> Verdict {
        match proposal.json::<u64>()? {
            n if sum + n > 10 => Err(reject("full", "10 at most")),
            0 => Ok(accept().reason("nothing")),
            _ => Ok(accept()),
        }
    }

    fn admit(sum: &mut u64, proposal: &Proposal, _: u64) -> Option<Verdict> {
        let verdict = Self::validate(sum, proposal);
        let folds = match HOW {
            0 => verdict == Ok(accept()),
            1 => verdict.is_ok(),
            2 => true,
            _ => return Some(Ok(accept())),
        };
        *sum += if folds { proposal.json().unwrap_or(0).max(1) } else { 0 };
        Some(verdict)
    }
}

#[test]
fn rules_that_judge_and_fold_in_one_are_held_against_themselves() {
    let mut right = Harness::<AtOnce<0>>::new();
    right.propose("add", 7).accepted();
    right.propose("add", 7).rejected("full");
    right.propose("add", 0).accepted();
    right.propose_all([proposal("add", "1"), proposal("add", "2")]).accepted();
    assert_eq!(*right.state(), 10);

    fn complaint_about<const HOW: u8>(payload: u64) -> String {
        let mut harness = Harness::<AtOnce<HOW>>::new();
        let judged = catch_unwind(AssertUnwindSafe(|| harness.propose("add", payload)));
        let Err(panic) = judged else { panic!("the harness has noticed nothing") };
        panic.downcast_ref::<String>().expect("a formatted message").clone()
    }
    // It folds what it accepts with a reason, what it refuses, or accepts what it would refuse.
    assert!(complaint_about::<1>(0).contains("admit leaves another state than apply"));
    assert!(complaint_about::<2>(11).contains("admit leaves another state than apply"));
    assert!(complaint_about::<3>(11).contains("admit answers differently from validate"));
}
