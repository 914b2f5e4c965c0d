//! One append of the log, as its rule was asked about it.

use crate::engine::decided::accepted;
use crate::log::{EventLog, ReadError, ScopeRow};
use crate::validator::Acceptance;
use atomic_store_core::record::{BodyIn, RecordError, RecordView};
use atomic_store_core::{AppendId, Digest, Key, Proposal, Seq, counted};

/// The records of one append. They carry its id, its time and its rule; no two appends that follow
/// each other in a scope share all of these.
#[derive(Default)]
pub(super) struct Asked {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    mark: Option<Mark>,
    first: Seq,
}

/// What the events of one append have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    id: AppendId,
    pub(super) host_ms: u64,
    pub(super) validator: Digest,
    pub(super) binding: Seq,
}

impl Mark {
    fn of(body: &BodyIn<'_>) -> Mark {
        let BodyIn { append_id: id, host_ms, validator, binding, .. } = *body;
        Mark { id, host_ms, validator, binding }
    }
}

impl Asked {
    /// True if an event belongs to the same append as those that are here; it does if none is. Never
    /// more than `most`, so that no log makes this grow without bounds.
    pub(super) fn takes(&self, body: &BodyIn<'_>, most: usize) -> bool {
        self.mark.is_none_or(|mark| mark == Mark::of(body) && self.ends.len() < most)
    }

    pub(super) fn push(&mut self, view: RecordView<'_>, body: &BodyIn<'_>) {
        if self.mark.is_none() {
            (self.mark, self.first) = (Some(Mark::of(body)), view.seq());
        }
        self.bytes.extend_from_slice(view.as_bytes());
        self.ends.push(self.bytes.len());
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.mark = None;
    }

    /// What its events have in common; nothing if there are none.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Its first event.
    pub(super) fn first(&self) -> Seq {
        self.first
    }

    /// The event before it.
    pub(super) fn before(&self) -> Seq {
        Seq(self.first.0.saturating_sub(1))
    }

    /// Its last event.
    pub(super) fn last(&self) -> Seq {
        self.before().plus(self.len())
    }

    pub(super) fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Its events, decoded.
    pub(super) fn bodies(&self) -> Result<Vec<BodyIn<'_>>, RecordError> {
        let mut start = 0;
        let bodies = self.ends.iter().map(|&end| {
            let body = RecordView::parse(&self.bytes[start..end])?.decode();
            start = end;
            body
        });
        bodies.collect()
    }

    /// What was proposed: what the log keeps of it, else the events, which were stored as they were.
    pub(super) fn proposals(
        &self,
        log: &dyn EventLog,
        row: &ScopeRow,
        bodies: &[BodyIn<'_>],
    ) -> Result<Vec<Proposal>, ReadError> {
        let kept = log.proposed(row.id, self.first)?;
        Ok(kept.unwrap_or_else(|| bodies.iter().map(proposal).collect()))
    }
}

fn proposal(body: &BodyIn<'_>) -> Proposal {
    let own = |keys: &[atomic_store_core::record::KeyIn<'_>]| {
        keys.iter().map(|key| Key { kind: key.kind.to_owned(), id: key.id.to_owned() }).collect()
    };
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Proposal {
        kind: body.kind.to_owned(),
        content_type: body.content_type.clone(),
        payload: body.payload.to_vec(),
        keys: own(&body.keys),
        triggers: own(&body.triggers),
        metadata: body.metadata.iter().map(pair).collect(),
        caller_ms: body.caller_ms,
    }
}

/// Where what the rule would store differs from what is stored, if it does.
pub(super) fn difference(
    proposals: &[Proposal],
    acceptances: &[Acceptance],
    bodies: &[BodyIn<'_>],
) -> Option<String> {
    if proposals.len() != acceptances.len() {
        let asked = counted(proposals.len() as u64, "proposal");
        let answered = counted(acceptances.len() as u64, "acceptance");
        return Some(format!("it answers with {answered} to {asked}"));
    }
    let events = accepted(proposals, acceptances);
    if events.len() != bodies.len() {
        let stores = counted(events.len() as u64, "event");
        return Some(format!("it stores {stores}, not {}", bodies.len()));
    }
    events.iter().zip(bodies).find_map(|((event, caller_ms), body)| {
        let what = [
            ("kind", event.kind == body.kind),
            ("content type", event.content_type == body.content_type),
            ("payload", event.payload == body.payload),
            ("keys", same_keys(&event.keys, &body.keys)),
            ("triggers", same_keys(&event.triggers, &body.triggers)),
            ("metadata", same_pairs(&event.metadata, &body.metadata)),
            ("caller's time", *caller_ms == body.caller_ms),
        ];
        let (what, _) = what.into_iter().find(|(_, same)| !same)?;
        Some(format!("it stores event {} with another {what}", body.seq))
    })
}

fn same_keys(ours: &[Key], theirs: &[atomic_store_core::record::KeyIn<'_>]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.kind == b.kind && a.id == b.id)
}

fn same_pairs(ours: &[(String, String)], theirs: &[(&str, &str)]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|((a, b), (c, d))| a == c && b == d)
}
