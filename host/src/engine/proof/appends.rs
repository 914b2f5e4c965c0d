//! A scope, gone through append by append.

use super::asked::Asked;
use super::scopes::Work;
use crate::engine::shared::Shared;
use crate::log::{ReadError, ScopeRow};
use atomic_store_core::Seq;
use atomic_store_core::chain::Walk;
use atomic_store_core::record::RecordError;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Events between two looks at whether to go on.
const STEP: u64 = 1_000;

/// Whoever looks at appends, one after the other.
pub(super) trait Through {
    /// One append, whole. Breaks if nothing behind it needs to be looked at.
    fn append(&mut self, asked: &Asked) -> ControlFlow<()>;
    /// An event that is no record behind a chain that holds; the way ends before it.
    fn unreadable(&mut self, seq: Seq, why: RecordError);
}

/// Leads the appends of a scope past `through`, up to the head that `row` has, and counts their events as
/// work done. True if the work ended before: then the last append may not be whole, and is left out.
///
/// The error is the log's, and whatever is before it has been seen, but for the append under way.
pub(super) fn for_appends(
    shared: &Shared,
    row: &Arc<ScopeRow>,
    walk: &mut Walk,
    work: &Work,
    through: &mut dyn Through,
) -> (bool, Result<(), ReadError>) {
    let most = shared.limits.append_events_max.max(1);
    let (mut asked, mut since, mut stopped) = (Asked::default(), 0, false);
    let read = shared.log.read(row, walk, row.head, &mut |view| {
        let body = match view.decode() {
            Ok(body) => body,
            Err(why) => {
                through.unreadable(view.seq(), why);
                return ControlFlow::Break(());
            }
        };
        if !asked.takes(&body, most) {
            through.append(&asked)?;
            asked.clear();
        }
        asked.push(view, &body);
        since += 1;
        if since == STEP {
            since = 0;
            stopped = work.did(STEP).is_break();
        }
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if read.is_ok() && !stopped {
        let _last = through.append(&asked);
    }
    stopped |= work.did(since).is_break();
    (stopped, read)
}
