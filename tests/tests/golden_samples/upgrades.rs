//! Samples of requests and replies about rules in use and about snapshots.

use super::{binding, scope};
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{
    AppendId, Digest, DroppedSnapshot, Gate, Ruled, Scrubbed, Seq, Share, SnapshotInfo,
    SnapshotReply, SnapshotRequest, Trial, TrialDivergence, TrialReport, UpgradeReply,
    UpgradeRequest,
};

fn trial() -> Trial {
    Trial { candidate: binding(), share: Some(Share::percent(10).unwrap()) }
}

pub(super) fn requests() -> Vec<(&'static str, Request)> {
    let pattern = binding().pattern;
    let start = UpgradeRequest::Start {
        pattern: pattern.clone(),
        validator: "auction@2".parse().unwrap(),
        config: Some(b"{}".to_vec()),
        share: trial().share,
    };
    let gate = Gate { compared: 500, fuel_percent: 120 };
    let promote = UpgradeRequest::Promote { pattern: pattern.clone(), gate, force: true };
    let (prefix, after) = ("auction/".to_owned(), "auction/1".to_owned());
    vec![
        ("Upgrade Start", Request::Upgrade(start)),
        ("Upgrade End", Request::Upgrade(UpgradeRequest::End { pattern: pattern.clone() })),
        ("Upgrade List", Request::Upgrade(UpgradeRequest::List)),
        ("Upgrade Promote", Request::Upgrade(promote)),
        ("Upgrade Rollback", Request::Upgrade(UpgradeRequest::Rollback { pattern })),
        ("Upgrade Ruled", Request::Upgrade(UpgradeRequest::Ruled { scope: scope() })),
        ("Snapshots Take", Request::Snapshots(SnapshotRequest::Take { scope: scope() })),
        ("Snapshots Scrub", Request::Snapshots(SnapshotRequest::Scrub { prefix, after })),
    ]
}

pub(super) fn replies() -> Vec<(&'static str, Reply)> {
    let first = vec![TrialDivergence {
        scope: scope(),
        after: Seq(300),
        append: AppendId(*b"0123456789abcdef"),
        live: "accepted: 1 event".to_owned(),
        candidate: "refused: too-low: bid more".to_owned(),
    }];
    let report = TrialReport {
        trial: trial(),
        compared: 300,
        same: 294,
        newly_accepted: 1,
        newly_rejected: 2,
        changed: 3,
        faults: 4,
        dropped: 5,
        waiting: 6,
        live_fuel: 7_000,
        fuel: 8_000,
        first,
        dry_runs: 9,
        unjudged: 10,
        interrupted: 11,
    };
    let (validator, binding_seq) = (Digest::of(b"validator"), Seq(2));
    let ruled = Ruled { first: Seq(1), last: Seq(300), validator, binding: binding_seq };
    let taken = SnapshotInfo { seq: Seq(300), bytes: 1_000, validator };
    let why = "it is declined".to_owned();
    let scrubbed = Scrubbed {
        last: Some(scope()),
        scopes: 300,
        proven: 2,
        dropped: vec![DroppedSnapshot { scope: scope(), seq: Seq(300), why }],
        skipped: 1,
    };
    vec![
        ("Upgrade Trial", Reply::Upgrade(UpgradeReply::Trial(trial()))),
        ("Upgrade Ended", Reply::Upgrade(UpgradeReply::Ended)),
        ("Upgrade Trials", Reply::Upgrade(UpgradeReply::Trials(vec![report]))),
        ("Upgrade Bound", Reply::Upgrade(UpgradeReply::Bound(binding()))),
        ("Upgrade Ruled", Reply::Upgrade(UpgradeReply::Ruled(vec![ruled]))),
        ("Snapshots Taken", Reply::Snapshots(SnapshotReply::Taken(Some(taken)))),
        ("Snapshots Scrubbed", Reply::Snapshots(SnapshotReply::Scrubbed(scrubbed))),
    ]
}
