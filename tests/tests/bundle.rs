//! Replay bundles: a verdict in a file, asked again without the store it came from.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::replay::replay_bundle;
use atomic_store_core::bundle::{Bundle, BundleError, BundleOf};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{FaultKind, Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{Caller, Disk, scope, wat_rules};

const SCOPE: &str = "w/1";

/// Three events, and then a trap, a refusal and a call without end.
fn history(keep: bool) -> (Disk, Caller) {
    let disk = Disk::new(Limits { call_fuel_max: 1_000_000, ..Limits::default() });
    let caller = disk.caller();
    caller.engine.keep_rejected_payloads(keep);
    caller.rule("w/*", &wat_rules("1.0.0"));
    for payload in ["a", "1", "a"] {
        caller.store(SCOPE, &[payload]);
    }
    assert!(matches!(caller.append(SCOPE, &["t"]), Outcome::Faulted(_)));
    assert!(matches!(caller.append(SCOPE, &["a", "r"]), Outcome::Rejected(_)));
    assert!(matches!(caller.append(SCOPE, &["l"]), Outcome::Faulted(_)));
    (disk, caller)
}

fn rejections(caller: &Caller) -> Vec<u64> {
    let all = caller.engine.rejections(Some(&scope(SCOPE)), 0, 10).unwrap();
    all.into_iter().map(|entry| entry.number).collect()
}

#[test]
fn what_was_refused_is_refused_again_without_the_store() {
    let (disk, caller) = history(true);
    let files: Vec<_> = rejections(&caller)
        .into_iter()
        .map(|number| caller.engine.bundle(&scope(SCOPE), BundleOf::Rejection(number)).unwrap())
        .collect();
    drop((caller, disk));
    let [trap, no, endless] = files.as_slice() else { panic!("{}", files.len()) };

    let bundle = Bundle::decode(trap).unwrap();
    assert_eq!((bundle.head(), bundle.snapshot.is_none()), (Seq(3), true));
    let (replayed, lines) = replay_bundle(&bundle).unwrap();
    assert!(matches!(&replayed.outcome, Outcome::Faulted(fault) if fault.kind == FaultKind::Trap));
    assert_eq!((replayed.call, replayed.same), ("judge", Some(true)));
    assert!(lines.iter().any(|line| line.starts_with("debug validate: at ")), "{lines:?}");

    let bundle = Bundle::decode(no).unwrap();
    let (replayed, _) = replay_bundle(&bundle).unwrap();
    assert_eq!(Some(&replayed.outcome), bundle.recorded.as_ref());
    assert_eq!(replayed.same, Some(true));

    let (replayed, _) = replay_bundle(&Bundle::decode(endless).unwrap()).unwrap();
    let fault = |fault: &atomic_store_core::Fault| fault.kind == FaultKind::OutOfFuel;
    assert!(matches!(&replayed.outcome, Outcome::Faulted(found) if fault(found)), "{replayed:?}");
    assert_eq!(replayed.same, Some(true));

    // Under other caps it is something else, and that is said.
    let mut bundle = Bundle::decode(no).unwrap();
    bundle.limits.call_fuel_max = 10;
    let (replayed, _) = replay_bundle(&bundle).unwrap();
    assert_eq!(replayed.same, Some(false), "{replayed:?}");
}

#[test]
fn a_bundle_of_proposals_is_judged_on_the_last_event() {
    let (_disk, caller) = history(false);
    let of = |payload: &str| BundleOf::Proposals(vec![Proposal::json("op", payload)]);
    // The third digit is due, as three events come before.
    for (payload, accepted) in [("3", true), ("4", false)] {
        let file = caller.engine.bundle(&scope(SCOPE), of(payload)).unwrap();
        let (replayed, _) = replay_bundle(&Bundle::decode(&file).unwrap()).unwrap();
        let committed = match &replayed.outcome {
            Outcome::Committed(committed) => {
                assert_eq!((committed.first.seq, committed.last.seq), (Seq(4), Seq(4)));
                true
            }
            Outcome::Rejected(_) => false,
            other => panic!("{other:?}"),
        };
        assert_eq!((committed, replayed.same), (accepted, None));
    }
    assert_eq!(caller.events(SCOPE).len(), 3, "nothing was stored");
}

#[test]
fn a_bundle_holds_the_component_that_judged_though_others_judge_now() {
    let (_disk, caller) = history(true);
    let first = caller.engine.validators().1[0].validator;
    caller.rule("w/*", &wat_rules("2.0.0"));
    let number = rejections(&caller)[1];
    let file = caller.engine.bundle(&scope(SCOPE), BundleOf::Rejection(number)).unwrap();
    let bundle = Bundle::decode(&file).unwrap();
    assert_eq!(atomic_store_core::Digest::of(&bundle.component), first);
    assert_eq!(replay_bundle(&bundle).unwrap().0.same, Some(true));
}

#[test]
fn a_bundle_that_is_not_whole_or_not_ours_is_refused() {
    let (_disk, caller) = history(true);
    let of = BundleOf::Proposals(vec![Proposal::json("op", "a")]);
    let file = caller.engine.bundle(&scope(SCOPE), of).unwrap();
    assert!(Bundle::decode(&file).is_ok());
    for at in [0, 21, 22, 60, file.len() / 2, file.len() - 1] {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let error = Bundle::decode(&damaged).unwrap_err();
        let expected = if at < 22 { BundleError::Foreign } else { BundleError::Digest };
        assert_eq!(error, expected, "{at}");
    }
    assert_eq!(Bundle::decode(&file[..40]), Err(BundleError::Digest));
    assert_eq!(Bundle::decode(b""), Err(BundleError::Foreign));
    // Whole, but its events do not follow from each other.
    let mut bundle = Bundle::decode(&file).unwrap();
    bundle.records.swap(0, 1);
    let error = Bundle::decode(&bundle.encode().unwrap()).unwrap_err();
    assert!(matches!(error, BundleError::Chain(_)), "{error}");
    let max = Limits::BUNDLE_BYTES_MAX;
    let mut bundle = Bundle::decode(&file).unwrap();
    bundle.component = vec![0; max];
    assert!(matches!(bundle.encode(), Err(BundleError::TooLarge(_))));
    assert_eq!(Bundle::decode(&vec![0; max + 1]), Err(BundleError::TooLarge(max + 1)));
    assert_eq!(Bundle::decode(&vec![0; max]), Err(BundleError::Foreign));
}

#[test]
fn there_is_no_bundle_of_what_was_not_kept_or_never_asked() {
    let (_disk, caller) = history(false);
    let refused = |of| caller.engine.bundle(&scope(SCOPE), of).unwrap_err();
    let number = rejections(&caller)[0];
    let why = refused(BundleOf::Rejection(number)).to_string();
    assert!(why.contains("--keep-rejected-payloads"), "{why}");
    assert!(matches!(refused(BundleOf::Rejection(99)), RequestError::NotFound(_)));
    assert!(matches!(refused(BundleOf::Proposals(Vec::new())), RequestError::Invalid { .. }));
    caller.bind("free/*", "accept-all");
    let of = BundleOf::Proposals(vec![Proposal::json("op", "a")]);
    let why = caller.engine.bundle(&scope("free/1"), of.clone()).unwrap_err().to_string();
    assert!(why.contains("no component"), "{why}");
    let unbound = caller.engine.bundle(&scope("x"), of).unwrap_err();
    assert!(matches!(unbound, RequestError::NotFound(_)));
}
