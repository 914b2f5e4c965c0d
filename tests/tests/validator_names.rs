//! What a person may call a validator by, and what happens if more than one is called so: nothing is
//! done to one of them that was meant for the other.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::Against;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Digest, Limits, ScopePattern, Seq, ValidatorRef};
use atomic_store_tests::{Caller, VersionsStore};
use std::ops::ControlFlow;

fn load(caller: &Caller, component: &str) -> Digest {
    caller.engine.load(component.as_bytes()).unwrap().0.digest
}

fn which(text: &str) -> ValidatorRef {
    text.parse().unwrap()
}

fn all() -> ScopePattern {
    ScopePattern::new("s/*").unwrap()
}

/// What every request says that a validator can be named in.
fn asked(caller: &Caller, name: &str) -> Vec<Result<(), RequestError>> {
    let engine = &caller.engine;
    let which = which(name);
    let any = ScopePattern::new("*").unwrap();
    let (validator, after) = (Some(which.clone()), String::new());
    let against = Against { validator, scopes: any, after, config: None };
    let candidate = engine.candidate(&"accept-all".parse().unwrap()).unwrap();
    vec![
        engine.validator(&which).map(drop),
        engine.admission(&which).map(drop),
        engine.candidate(&which).map(drop),
        engine.backtest(&candidate, &against, &mut |_| ControlFlow::Continue(())).map(drop),
        engine.start_trial(all(), &which, None, None).map(drop),
        engine.bind(all(), &which, None).map(drop),
    ]
}

#[test]
fn a_name_that_two_components_have_is_refused_with_both_digests() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (one, two) = (load(&caller, "r 1.0.0 min=1"), load(&caller, "r 1.0.0 min=2"));
    let older = load(&caller, "r 0.9.0");
    caller.bind("s/*", &one.to_string());
    let before = caller.payloads("$system").len();
    for name in ["r", "r@1", "r@1.0", "r@1.0.0"] {
        for (n, said) in asked(&caller, name).into_iter().enumerate() {
            let Err(RequestError::Invalid { field, why }) = said else {
                panic!("{name}, request {n}: {said:?}")
            };
            assert_eq!(field, "validator");
            assert!(why.contains(&one.short()) && why.contains(&two.short()), "{why}");
            assert!(!why.contains(&older.short()) && why.contains("digest"), "{why}");
        }
    }
    assert_eq!(caller.payloads("$system").len(), before, "nothing was bound or tried");
    // Whatever tells them apart will do.
    assert_eq!(caller.engine.validator(&which(&two.short())).unwrap().0.digest, two);
    assert_eq!(caller.engine.validator(&which("r@0")).unwrap().0.digest, older);
    let newer = load(&caller, "r 1.0.1");
    assert_eq!(caller.engine.validator(&which("r@1")).unwrap().0.digest, newer);
    let said = caller.engine.validator(&which("r@1.0.0"));
    assert!(matches!(said, Err(RequestError::Invalid { .. })), "{said:?}");
}

#[test]
fn build_metadata_makes_a_version_no_newer_and_can_be_named() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let (plain, local) = (load(&caller, "r 1.0.0"), load(&caller, "r 1.0.0+local"));
    let said = caller.engine.validator(&which("r@1"));
    assert!(matches!(said, Err(RequestError::Invalid { .. })), "{said:?}");
    assert_eq!(caller.engine.validator(&which("r@1.0.0")).unwrap().0.digest, plain);
    assert_eq!(caller.engine.validator(&which("r@1.0.0+local")).unwrap().0.digest, local);
}

#[test]
fn what_is_bound_already_is_not_tried_against_itself() {
    let store = VersionsStore::new(Limits::default());
    let caller = store.by_hand();
    let one = load(&caller, "r 1.0.0");
    let by_digest = which(&one.to_string());
    caller.engine.bind(all(), &by_digest, Some(b"{}".to_vec())).unwrap();
    for config in [None, Some(b"{}".to_vec())] {
        let said = caller.engine.start_trial(all(), &by_digest, config, None);
        let Err(RequestError::Invalid { field, why }) = said else { panic!("{said:?}") };
        assert_eq!(field, "validator");
        assert!(why.contains(&one.short()) && why.contains("already"), "{why}");
    }
    // The same rules with another configuration are something to find out about.
    let trial = caller.engine.start_trial(all(), &by_digest, Some(b"[]".to_vec()), None).unwrap();
    assert!(trial.candidate.seq > Seq::ZERO);
}
