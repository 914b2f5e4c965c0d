//! What all logs do with the units of one group commit before they write them.

use super::rows::Run;
use super::{CommitError, Unit};
use atomic_store_core::Position;
use atomic_store_core::record::RecordView;

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
}

/// Checks that the records of each unit are numbered from its head on, and gives them the positions
/// after `last`.
pub(super) fn prepare(units: &mut [Unit], last: Position) -> Result<Group, CommitError> {
    let mut group =
        Group { runs: Vec::with_capacity(units.len()), events: 0, synced: false, host_ms: 0 };
    for unit in units {
        let mut seq = unit.at;
        for record in &mut unit.records {
            seq = seq.next();
            let found = RecordView::parse(record.as_bytes()).map(|view| view.seq());
            if found != Ok(seq) {
                let scope = &unit.scope.name;
                return Err(CommitError(format!(
                    "scope {scope}: event {seq} should have come, not {found:?}"
                )));
            }
            group.events += 1;
            record.set_position(Position(last.0 + group.events));
        }
        if seq > unit.at {
            let count = seq.0 - unit.at.0;
            match group.runs.last_mut() {
                Some(run) if run.scope == unit.scope.id && run.last() == unit.at => {
                    run.count += count;
                }
                _ => group.runs.push(Run { scope: unit.scope.id, first: unit.at.next(), count }),
            }
        }
        group.synced |= !unit.records.is_empty() || unit.module.is_some();
        group.host_ms = group.host_ms.max(unit.host_ms);
    }
    Ok(group)
}
