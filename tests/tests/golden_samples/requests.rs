//! A sample of every request.

use super::{append, filter, proposal, scope};
use atomic_store_core::protocol::{At, Origin, Replay, Request};
use atomic_store_core::{
    Append, Digest, JointAppend, LoadOptions, OriginatorVerdict, Part, Position, Reason, Seq,
    ValidatorRef,
};

fn reads() -> Vec<(&'static str, Request)> {
    let (after, limit) = (Seq(7), 500);
    let scope = scope();
    vec![
        ("Append", Request::Append(append())),
        (
            "Read",
            Request::Read {
                scope: scope.clone(),
                after,
                through: Seq::MAX,
                limit,
                backwards: true,
                filter: filter(),
                replay: Replay::Touched,
            },
        ),
        (
            "ReadOrder",
            Request::ReadOrder {
                after: Position(7),
                through: Position(9),
                limit,
                backwards: true,
                filter: filter(),
            },
        ),
        (
            "Subscribe",
            Request::Subscribe {
                scope: scope.clone(),
                after,
                filter: filter(),
                replay: Replay::TouchedAndEffects,
            },
        ),
        (
            "ResumeReplay",
            Request::ResumeReplay {
                scope: scope.clone(),
                after,
                through: Seq(300),
                past: Seq(9),
                limit: Some(limit),
                filter: filter(),
                replay: Replay::Touched,
            },
        ),
        ("SubscribeOrder", Request::SubscribeOrder { after: Position(7), filter: filter() }),
    ]
}

fn calls() -> Vec<(&'static str, Request)> {
    let limit = 500;
    let scope = scope();
    vec![
        ("Cancel", Request::Cancel { call: 300 }),
        ("ShowScope", Request::ShowScope { scope: scope.clone() }),
        (
            "ListScopes",
            Request::ListScopes { live: true, prefix: "a".into(), after: "ab".into(), limit },
        ),
        ("LoadValidator", Request::LoadValidator { part: vec![0, b'a', b's'], last: true }),
        ("ListValidators", Request::ListValidators),
        ("ShowValidator named", Request::ShowValidator { validator: "a@1".parse().unwrap() }),
        (
            "ShowValidator digest",
            Request::ShowValidator { validator: "0123456789ab".parse().unwrap() },
        ),
        (
            "Bind",
            Request::Bind {
                pattern: "auction/*".parse().unwrap(),
                validator: "auction".parse().unwrap(),
                config: Some(b"{}".to_vec()),
            },
        ),
        ("Unbind", Request::Unbind { pattern: "auction/*".parse().unwrap() }),
        (
            "Query",
            Request::Query {
                scope: scope.clone(),
                name: "top".into(),
                args: vec![1, 2],
                at: At::Seq(Seq(4)),
            },
        ),
        ("Verify", Request::Verify { scope: Some(scope) }),
        ("Status", Request::Status),
    ]
}

fn of_the_past() -> Vec<(&'static str, Request)> {
    let query = Some(("top".to_owned(), vec![1].into()));
    vec![
        (
            "History",
            Request::History {
                scope: scope(),
                name: "top".into(),
                args: vec![1, 2],
                after: Seq(7),
                through: Seq(300),
                limit: 500,
            },
        ),
        ("WhatIf", Request::WhatIf { scope: scope(), batches: vec![vec![proposal()]], query }),
        (
            "ReadRejections",
            Request::ReadRejections { scope: Some(scope()), after: 300, limit: 500 },
        ),
        ("CountRejections", Request::CountRejections { scope: Some(scope()) }),
        ("SubscribeRejections", Request::SubscribeRejections { scope: Some(scope()), after: 300 }),
        ("LocateRejections", Request::LocateRejections { scope: Some(scope()), last: 20 }),
    ]
}

fn joint() -> Vec<(&'static str, Request)> {
    let Append { id, repeated, expected_head, condition, dry_run, proposals, .. } = append();
    let parts = vec![Part { scope: scope(), expected_head, condition, proposals }];
    let pass = OriginatorVerdict::Pass { reason: Some("fine".into()), meta: Some(vec![1]) };
    let reasons = vec![Reason {
        code: "too-low".to_owned(),
        message: "bid more".to_owned(),
        data: None,
        seqs: vec![Seq(7)],
    }];
    let fail = OriginatorVerdict::Fail { reasons, meta: None };
    vec![
        ("AppendJoint", Request::AppendJoint(JointAppend { id, repeated, dry_run, parts })),
        ("Judge pass", Request::Judge { correlation: 300, verdict: pass }),
        ("Judge fail", Request::Judge { correlation: 300, verdict: fail }),
    ]
}

fn whole_scopes() -> Vec<(&'static str, Request)> {
    let from = Some(Origin { scope: scope(), hash: Digest::of(b"hash") });
    let records = vec![vec![1, 2].into(), vec![3].into()];
    vec![
        ("SealScope", Request::SealScope { scope: scope(), why: "audit".into() }),
        ("UnsealScope", Request::UnsealScope { scope: scope() }),
        ("DeleteScope", Request::DeleteScope { scope: scope(), head: Some(Seq(7)) }),
        ("RestoreScope", Request::RestoreScope { scope: scope(), records, last: true, from }),
    ]
}

fn admission() -> Vec<(&'static str, Request)> {
    let options = LoadOptions {
        wasi: true,
        strict: true,
        check_only: false,
        signature: Some(vec![7; 3]),
        recorded: Some("auction/*".parse().unwrap()),
        config: Some(b"{}".to_vec()),
    };
    let validator = ValidatorRef::Digest("0123456789ab".to_owned());
    vec![
        ("AdmitValidator", Request::AdmitValidator { part: vec![0, b'a'], last: Some(options) }),
        ("AdmitValidator part", Request::AdmitValidator { part: vec![1], last: None }),
        ("ShowAdmission", Request::ShowAdmission { validator }),
    ]
}

/// All, in groups.
pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let more = [admission(), super::proofs::requests(), super::upgrades::requests()].concat();
    [reads(), calls(), of_the_past(), joint(), whole_scopes(), more].concat()
}
