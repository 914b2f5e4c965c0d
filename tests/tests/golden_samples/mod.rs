//! One sample of every value that has a format.

mod proofs;
mod replies;
mod requests;
mod upgrades;

pub(crate) use replies::replies;
pub(crate) use requests::requests;

use atomic_store_core::protocol::{Admitted, ScopeInfo};
use atomic_store_core::record::{Body, Record, RecordView, placed};
use atomic_store_core::{
    Append, AppendId, Binding, Check, CheckResult, Committed, Condition, Conflict, ContentType,
    Description, Digest, ExpectedHead, Fault, FaultKind, Filter, Grants, Key, Outcome, Overload,
    Place, Position, Proposal, Reason, Refusal, RuleInfo, ScopeName, Seq, Span,
};

pub(crate) fn scope() -> ScopeName {
    ScopeName::new("auction/lot-7").unwrap()
}

pub(crate) fn proposal() -> Proposal {
    Proposal {
        kind: "bid".to_owned(),
        content_type: ContentType::Json,
        payload: b"{\"amount\":5}".to_vec(),
        keys: vec![Key { kind: "book".to_owned(), id: "Emma".to_owned() }],
        triggers: vec![Key { kind: "clock".to_owned(), id: "1".to_owned() }],
        metadata: vec![("trace".to_owned(), "abc".to_owned())],
        caller_ms: Some(1_700_000_000_123),
    }
}

pub(crate) fn filter() -> Filter {
    Filter {
        keys: vec![Key::new("book", "Emma")],
        key_kinds: vec!["book".into()],
        kinds: vec!["bid".into()],
        triggers: vec![Key::new("key", "1")],
        caller_ms: Span { from: Some(1), until: None },
        host_ms: Span { from: None, until: Some(2) },
    }
}

pub(crate) fn append() -> Append {
    Append {
        scope: scope(),
        id: AppendId(*b"0123456789abcdef"),
        repeated: true,
        expected_head: ExpectedHead::Exactly(Seq(300)),
        condition: Some(Condition {
            since: Seq(299),
            resolved: vec![Seq(301)],
            keys: vec![Key::new("book", "Emma")],
            all: true,
        }),
        dry_run: true,
        known: Seq(7),
        proposals: vec![proposal(), Proposal::default()],
    }
}

pub(crate) fn record() -> Vec<u8> {
    let proposal = proposal();
    let body = Body {
        seq: Seq(301),
        kind: &proposal.kind,
        content_type: proposal.content_type.clone(),
        payload: &proposal.payload,
        keys: &proposal.keys[..],
        triggers: &proposal.triggers[..],
        metadata: &proposal.metadata[..],
        caller_ms: proposal.caller_ms,
        host_ms: 1_700_000_000_456,
        append_id: AppendId(*b"0123456789abcdef"),
        validator: Digest::of(b"validator"),
        binding: Seq(2),
    };
    let record = Record::encode(&Digest::of(b"previous"), &body).unwrap();
    placed(record.as_bytes(), Position(0x0102_0304), &mut Vec::new()).to_vec()
}

pub(crate) fn place(seq: u64) -> Place {
    Place { seq: Seq(seq), position: Position(seq + 1_000) }
}

fn conflict() -> Conflict {
    let record = record();
    let view = RecordView::parse(&record).unwrap();
    Conflict {
        index: Some(1),
        ours: Seq(302),
        key: Key::new("book", "Emma"),
        trigger: Some(Key::new("clock", "1")),
        theirs: Box::new(view.to_event().unwrap()),
    }
}

pub(crate) fn outcomes() -> Vec<(&'static str, Outcome)> {
    let (data, meta) = (Some(b"{}".to_vec()), Some(vec![0xff]));
    let reason = Reason {
        code: "too-low".to_owned(),
        message: "bid more".to_owned(),
        data,
        seqs: vec![Seq(7), Seq(300)],
    };
    let (first, last, hash) = (place(301), place(302), Digest::of(b"hash"));
    let committed =
        Committed { first, last, hash, reason: Some("fine".into()), meta: meta.clone() };
    let mut all = vec![
        ("Committed", Outcome::Committed(committed)),
        ("Noop", Outcome::Noop { reason: Some("known".into()) }),
        ("Rejected", Outcome::Rejected(Refusal { index: 1, reasons: vec![reason], meta })),
        ("HeadMismatch", Outcome::HeadMismatch { expected: ExpectedHead::Any, actual: Seq(9) }),
        ("Conflict", Outcome::Conflict { accepted: 1, conflicts: vec![conflict()] }),
        ("UnknownBase", Outcome::UnknownBase { next: Seq(302) }),
        ("TimedOut", Outcome::TimedOut { after_ms: 1_000 }),
        ("ReadOnly", Outcome::ReadOnly { why: "damaged".into() }),
        ("Invalid", Outcome::Invalid { field: "kind".into(), why: "empty".into() }),
        ("Unknown", Outcome::Unknown { why: "disk".into() }),
    ];
    for (name, kind) in [
        ("Faulted Trap", FaultKind::Trap),
        ("Faulted OutOfFuel", FaultKind::OutOfFuel),
        ("Faulted OutOfMemory", FaultKind::OutOfMemory),
        ("Faulted Timeout", FaultKind::Timeout),
        ("Faulted BadOutput", FaultKind::BadOutput),
    ] {
        all.push((name, Outcome::Faulted(Fault { kind, detail: "x".into() })));
    }
    for (name, what) in [
        ("Overloaded Mailbox", Overload::Mailbox),
        ("Overloaded InFlight", Overload::InFlight),
        ("Overloaded Disk", Overload::Disk),
        ("Overloaded Instances", Overload::Instances),
    ] {
        all.push((name, Outcome::Overloaded(what)));
    }
    all
}

pub(crate) fn binding() -> Binding {
    Binding {
        pattern: "auction/*".parse().unwrap(),
        validator: Digest::of(b"validator"),
        config: Some(b"{}".to_vec()),
        seq: Seq(2),
    }
}

pub(crate) fn rule() -> RuleInfo {
    RuleInfo {
        digest: Digest::of(b"validator"),
        description: Description {
            name: "auction".parse().unwrap(),
            version: "1.2.3".into(),
            kinds: vec![("bid".into(), Some("{}".into())), ("close".into(), None)],
        },
        bytes: 70_000,
        built_in: false,
    }
}

pub(crate) fn admitted() -> Admitted {
    let check = |result, input| Check {
        name: "starts".to_owned(),
        result,
        detail: "fine".to_owned(),
        input,
    };
    Admitted {
        info: rule(),
        new: true,
        bindings: vec![binding()],
        grants: Grants { wasi: true, signed_by: Some("ed25519:00".to_owned()) },
        checks: vec![
            check(CheckResult::Passed, None),
            check(CheckResult::Skipped, None),
            check(CheckResult::Failed, Some(proposal())),
        ],
    }
}

pub(crate) fn scope_info() -> ScopeInfo {
    ScopeInfo {
        name: scope(),
        head: Seq(301),
        hash: Digest::of(b"hash"),
        binding: Some(binding()),
        live: true,
        sealed: Some("damaged".into()),
        damaged: true,
        floor: Seq(2),
        bytes: 700,
    }
}
