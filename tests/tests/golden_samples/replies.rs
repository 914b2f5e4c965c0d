//! A sample of every reply.

use super::{admitted, binding, proposal, rule, scope, scope_info};
use atomic_store_core::protocol::{
    Ended, Entry, Reply, RequestError, Step, StoreId, StoreStatus, VerifyReport,
};
use atomic_store_core::{
    Answer, AppendId, Digest, JointAnswer, JointOutcome, Judge, Limits, Outcome, PartOutcome,
    Position, Question, Rejection, RejectionCount, RejectionsEnd, Seq,
};

fn plain() -> Vec<(&'static str, Reply)> {
    let store = StoreId(*b"fedcba9876543210");
    let entry = Entry { scope: Some(scope()), replayed: true, record: vec![1, 2, 3].into() };
    let outcome = Outcome::TimedOut { after_ms: 1_000 };
    let (resume_after, resume_position) = (Seq(7), Position(9));
    let report = VerifyReport { scopes: 1, events: 2, bytes: 300, damage: vec!["x".into()] };
    let status = StoreStatus {
        store,
        version: "0.1.0".into(),
        position: Position(1_000),
        commits: 7,
        scopes: 6,
        live: 5,
        in_flight: 4,
        read_only: Some("closing".into()),
        options: vec![("require_signatures".into(), "true".into())],
        options_since: Seq(300),
    };
    let mut all = vec![
        ("Welcome", Reply::Welcome { store, limits: Box::new(Limits::default()) }),
        ("Answer", Reply::Answer(Answer { outcome, duplicate: true })),
        (
            "Events",
            Reply::Events(vec![
                entry,
                Entry { scope: None, replayed: false, record: Vec::new().into() },
            ]),
        ),
        ("Done", Reply::Done),
        ("Ended SlowReader", Reply::Ended(Ended::SlowReader { resume_after, resume_position })),
        ("Ended Shutdown", Reply::Ended(Ended::Shutdown)),
        ("Ended Damaged", Reply::Ended(Ended::Damaged { what: "x".into() })),
        ("Ended SlowRejections", Reply::Ended(Ended::SlowRejections { resume_after: 300 })),
        ("Scope", Reply::Scope(Some(scope_info()))),
        ("Scopes", Reply::Scopes(vec![scope_info()])),
        ("Validator", Reply::Validator { info: rule(), new: true, bindings: vec![binding()] }),
        ("Validators", Reply::Validators { loaded: vec![rule()], bindings: vec![binding()] }),
        ("Bound", Reply::Bound(binding())),
        ("State ok", Reply::State { head: Seq(7), answer: Ok(vec![1].into()) }),
        ("State err", Reply::State { head: Seq(7), answer: Err("no".into()) }),
        ("Progress", Reply::Progress { scopes: 1, of_scopes: 2, events: 300 }),
        ("Verified", Reply::Verified(report)),
        ("Status", Reply::Status(Box::new(status))),
    ];
    let text = || "x".to_owned();
    for (name, error) in [
        ("Error Invalid", RequestError::Invalid { field: "y".into(), why: text() }),
        ("Error NotFound", RequestError::NotFound(text())),
        ("Error NotAdmitted", RequestError::NotAdmitted(text())),
        ("Error Overloaded", RequestError::Overloaded(text())),
        ("Error Damaged", RequestError::Damaged(text())),
        ("Error Failed", RequestError::Failed(text())),
        ("Error Goodbye", RequestError::Goodbye(text())),
    ] {
        all.push((name, Reply::Error(error)));
    }
    all
}

/// What came with joint appends, originators, the past and whole scopes.
fn later() -> Vec<(&'static str, Reply)> {
    let outcome = Outcome::Noop { reason: None };
    let part = || PartOutcome { scope: scope(), outcome: Outcome::Noop { reason: None } };
    let joint = |outcome| Reply::Joint(JointAnswer { outcome, duplicate: true });
    let question = Question {
        correlation: 300,
        scope: scope(),
        head: Seq(301),
        host_ms: 1_700_000_000_456,
        within_ms: 5_000,
    };
    let rejection = Rejection {
        number: 300,
        previous: 299,
        previous_of_scope: 200,
        scope: scope(),
        host_ms: 1_700_000_000_456,
        append_id: AppendId(*b"0123456789abcdef"),
        head: Seq(301),
        judge: Some(Judge {
            validator: Digest::of(b"validator"),
            name: "auction@1.2.3".into(),
            binding: Seq(6),
        }),
        outcome: Outcome::TimedOut { after_ms: 1_000 },
        kinds: vec!["bid".into()],
        payload_hash: Digest::of(b"payload"),
        proposals: Some(vec![proposal()]),
    };
    let count = RejectionCount { outcome: "rejected".into(), code: "too-low".into(), count: 300 };
    let end = RejectionsEnd { after: 280, newest: 300, end: 301 };
    let (after, through) = (Seq(7), Seq(300));
    let skipped = Reply::Skipped { through, hash: Digest::of(b"hash") };
    vec![
        ("Joint Committed", joint(JointOutcome::Committed(vec![part()]))),
        ("Joint Refused", joint(JointOutcome::Refused(part()))),
        ("Question", Reply::Question(question)),
        ("WhatIf", Reply::WhatIf(vec![Step { outcome, state: Some(Ok(vec![1].into())) }])),
        ("Rejections", Reply::Rejections(vec![rejection])),
        ("RejectionCounts", Reply::RejectionCounts(vec![count])),
        ("Deleted", Reply::Deleted { events: 300 }),
        ("Scanned", Reply::Scanned { seq: Seq(300), position: Position(301) }),
        ("Replaying", Reply::Replaying { after, through }),
        ("Admitted", Reply::Admitted(Box::new(admitted()))),
        ("Skipped", skipped),
        ("RejectionsEnd", Reply::RejectionsEnd(end)),
    ]
}

/// All, in groups.
pub(crate) fn replies() -> Vec<(&'static str, Reply)> {
    let more = [super::proofs::replies(), super::upgrades::replies()].concat();
    [plain(), later(), more].concat()
}
