//! The journal of rejections, and what must hold for it (P8): each entry is what a client was told, or
//! could have been told; every refusal that is remembered is there, once; and no number comes twice.

use atomic_store_core::{AppendId, Conflict, Digest, Outcome, Proposal, Rejection, ScopeName};
use std::collections::{BTreeMap, BTreeSet};

/// What was read of the journal.
#[derive(Default)]
pub struct Journal {
    /// By number: a number stands for one entry for ever, whatever is lost in a crash.
    seen: BTreeMap<u64, Rejection>,
}

/// A refusal as its client knows it.
pub struct Refused {
    pub id: AppendId,
    pub scope: ScopeName,
    pub outcome: Outcome,
    pub payload_hash: Digest,
    /// False if a crash may have taken it, and nobody has asked with success since.
    pub confirmed: bool,
}

/// The hash that an entry has of proposals.
pub fn payload_hash(proposals: &[Proposal]) -> Digest {
    Digest::of_parts(proposals.iter().map(|one| one.payload.as_slice()))
}

/// True if it goes into the journal.
pub fn is_refusal(outcome: &Outcome) -> bool {
    outcome.is_decided() && !matches!(outcome, Outcome::Committed(_) | Outcome::Noop { .. })
}

impl Journal {
    /// `sent` tells what was proposed under an id to a scope.
    pub fn saw(
        &mut self,
        seed: u64,
        entries: &[Rejection],
        sent: impl Fn(AppendId, &ScopeName) -> Option<Vec<Proposal>>,
    ) {
        let (mut previous, mut ids) = (0, BTreeSet::new());
        for entry in entries {
            let number = entry.number;
            assert!(number > previous, "seed {seed}: {number} after {previous}");
            assert_eq!(entry.previous, previous, "seed {seed}: a hole before {number}");
            previous = number;
            assert!(ids.insert(entry.append_id), "seed {seed}: {} twice", entry.append_id);
            let proposals = sent(entry.append_id, &entry.scope)
                .unwrap_or_else(|| panic!("seed {seed}: nobody sent {entry:?}"));
            assert_eq!(entry.payload_hash, payload_hash(&proposals), "seed {seed}");
            assert!(is_refusal(&entry.outcome), "seed {seed}: {entry:?}");
            let before = self.seen.entry(number).or_insert_with(|| entry.clone());
            assert_eq!(before, entry, "seed {seed}: number {number} was another entry");
        }
    }

    /// When everybody has asked again for everything: what is remembered is what was journaled.
    pub fn check(seed: u64, entries: &[Rejection], refused: &[Refused]) {
        let by_id: BTreeMap<_, _> = entries.iter().map(|entry| (entry.append_id, entry)).collect();
        let mut told = 0;
        for Refused { id, scope, outcome, payload_hash, confirmed } in refused {
            let Some(entry) = by_id.get(id) else {
                assert!(!confirmed, "seed {seed}: {id} is not journaled");
                continue;
            };
            told += 1;
            assert_eq!((&entry.scope, entry.payload_hash), (scope, *payload_hash), "seed {seed}");
            if *confirmed {
                assert_eq!(bare(&entry.outcome), bare(outcome), "seed {seed}: {id}");
            }
        }
        assert_eq!(entries.len(), told, "seed {seed}: an entry that nobody was told");
    }
}

/// An outcome as an entry has it: of a conflict only which events are meant.
fn bare(outcome: &Outcome) -> (Option<&Outcome>, Vec<impl PartialEq + std::fmt::Debug>) {
    let conflict = |one: &Conflict| {
        (one.index, one.ours, one.key.clone(), one.trigger.clone(), one.theirs.seq)
    };
    match outcome {
        Outcome::Conflict { conflicts, .. } => (None, conflicts.iter().map(conflict).collect()),
        other => (Some(other), Vec::new()),
    }
}
