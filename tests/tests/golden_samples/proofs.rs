//! A sample of every request and reply about history that is asked again.

use super::{binding, proposal, scope};
use atomic_store_core::protocol::{BundleOf, Reply, Request};
use atomic_store_core::{
    BacktestReport, Divergence, LogicReport, ProofProgress, Said, ScopePattern, Seq, Unshown,
    UnshownWhat,
};

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let after = "auction/lot-6".to_owned();
    let backtest = Request::Backtest {
        candidate: Some("auction@2".parse().unwrap()),
        against: Some("auction@1".parse().unwrap()),
        scopes: ScopePattern::new("auction/*").unwrap(),
        after: after.clone(),
        config: Some(b"{}".to_vec()),
    };
    vec![
        ("VerifyLogic", Request::VerifyLogic { scope: Some(scope()), after }),
        ("ResumeLogic", Request::ResumeLogic { scope: scope(), after: Seq(300) }),
        ("OfferValidator", Request::OfferValidator { part: vec![0, 97, 115, 109], last: true }),
        ("Backtest", backtest),
        ("Bundle", Request::Bundle { scope: scope(), of: BundleOf::Rejection(300) }),
        ("Upcast", Request::Upcast { scope: scope(), seqs: vec![Seq(7), Seq(300)] }),
    ]
}

pub(crate) fn replies() -> Vec<(&'static str, Reply)> {
    let through = "auction/lot-6".to_owned();
    let progress =
        ProofProgress { scopes: 7, of_scopes: 300, events: 1_000, through, found: 2, at: Seq(300) };
    let unshown = Unshown {
        scope: scope(),
        seq: Seq(300),
        validator: binding().validator,
        what: UnshownWhat::OtherForm,
        why: "it stores 2 events, not 1".into(),
    };
    let logic = LogicReport {
        scopes: 1,
        appends: 2,
        events: 300,
        shown: 4,
        built_in: 5,
        by_client: 6,
        elsewhere: 7,
        system: 8,
        not_shown: 9,
        failed: 1,
        unshown: vec![unshown],
        folded: 300,
    };
    let said = |verdict: &str| Said { verdict: verdict.into(), why: "too-low".into() };
    let (then, now) = (said("accepted"), said("rejected"));
    let divergence = Divergence { scope: scope(), seq: Seq(300), rejection: Some(7), then, now };
    let backtest = BacktestReport {
        scopes: 1,
        events: 300,
        accepted: 2,
        rejections: 3,
        same: 4,
        other_reason: 5,
        newly_accepted: 6,
        newly_rejected: 7,
        other_form: 8,
        faults: 9,
        by_others: 10,
        without_payload: 11,
        given_up: 12,
        diverged: 1,
        divergences: vec![divergence],
    };
    vec![
        ("ProofProgress", Reply::ProofProgress(progress)),
        ("Logic", Reply::Logic(Box::new(logic))),
        ("Backtested", Reply::Backtested(Box::new(backtest))),
        ("BundlePart", Reply::BundlePart(vec![1, 2, 3].into())),
        ("Upcast", Reply::Upcast(vec![None, Some(proposal())])),
    ]
}
