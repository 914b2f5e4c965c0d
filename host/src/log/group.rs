//! What all logs do with the units of one group commit before they write them.

use super::rows::Run;
use super::{Change, CommitError, ScopeRow, Unit};
use atomic_store_core::record::{self, RecordView};
use atomic_store_core::{Position, ScopeId, Seq};
use std::sync::Arc;

/// The units of one commit, seen as a whole.
#[derive(Debug)]
pub(super) struct Group {
    /// Its events in order.
    pub(super) runs: Vec<Run>,
    /// How many events it has.
    pub(super) events: u64,
    /// True if it holds something that must reach the disk before anyone is told.
    pub(super) synced: bool,
    /// The latest of its times.
    pub(super) host_ms: u64,
    /// Scopes that become visible, each with the position of its first event.
    pub(super) published: Vec<(ScopeId, Position)>,
}

/// Checks that the records of each unit are numbered from its head on, and gives them the positions
/// after `last`; those that are not seen yet have none.
pub(super) fn prepare(units: &mut [Unit], last: Position) -> Result<Group, CommitError> {
    let mut group = Group {
        runs: Vec::with_capacity(units.len()),
        events: 0,
        synced: false,
        host_ms: 0,
        published: Vec::new(),
    };
    for unit in units {
        let mut seq = unit.at;
        let staged = unit.is_staged();
        unit.first = if staged { Position(0) } else { Position(last.0 + group.events + 1) };
        for record in &unit.records {
            seq = seq.next();
            let found = RecordView::parse(record.as_bytes()).map(|view| view.seq());
            if found != Ok(seq) {
                let scope = &unit.scope.name;
                return Err(CommitError(format!(
                    "scope {scope}: event {seq} should have come, not {found:?}"
                )));
            }
        }
        if seq > unit.at && !staged {
            let count = seq.0 - unit.at.0;
            group.events += count;
            match group.runs.last_mut() {
                Some(run) if run.scope == unit.scope.id && run.last() == unit.at => {
                    run.count += count;
                }
                _ => group.runs.push(Run { scope: unit.scope.id, first: unit.at.next(), count }),
            }
        }
        if let Some(Change::Publish(row)) = unit.change.as_deref()
            && row.events() > 0
        {
            group.published.push((row.id, Position(last.0 + group.events + 1)));
            let run = Run { scope: row.id, first: row.floor.seq.next(), count: row.events() };
            group.runs.push(run);
            group.events += run.count;
        }
        group.synced |= !unit.records.is_empty() || unit.module.is_some() || unit.change.is_some();
        group.host_ms = group.host_ms.max(unit.host_ms);
    }
    Ok(group)
}

impl Unit {
    /// A unit that stores nothing; it keeps its place in the order of answers.
    #[must_use]
    pub fn bare(scope: Arc<ScopeRow>) -> Self {
        Unit {
            scope,
            at: Seq::ZERO,
            bytes: 0,
            records: Vec::new(),
            first: Position(0),
            index: Vec::new(),
            decision: None,
            snapshot: None,
            dropped: None,
            module: None,
            change: None,
            rejection: None,
            proposed: None,
            host_ms: 0,
        }
    }

    /// True if its records are kept unseen.
    #[must_use]
    pub fn is_staged(&self) -> bool {
        self.change.as_deref() == Some(&Change::Stage)
    }

    /// The bytes of one of its records as they are stored, with its position.
    pub(super) fn stored<'a>(&self, nth: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let position = match self.first {
            Position(0) => Position(0),
            Position(first) => Position(first + nth as u64),
        };
        record::placed(self.records[nth].as_bytes(), position, buffer)
    }

    /// Bytes of its records.
    pub(super) fn record_bytes(&self) -> u64 {
        self.records.iter().map(|record| record.as_bytes().len() as u64).sum()
    }
}
