//! Backwards: windows are read forwards, so that the chain is checked, and given from their end.

use super::found::{Sieve, Taken};
use super::{Each, Found, STEP_BYTES, STEP_EVENTS, Scan, WINDOW};
use crate::log::{EventLog, ReadError};
use atomic_store_core::chain::Broken;
use atomic_store_core::record::RecordView;
use atomic_store_core::{Digest, Position, ScopeName, Seq};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// The last events of a window that pass, as many as there is room for.
#[derive(Default)]
struct Kept {
    events: VecDeque<(Option<ScopeName>, Vec<u8>)>,
    bytes: usize,
    /// Some did not have room. What is left of the window ends with the last of them.
    forgot: Option<u64>,
}

impl Kept {
    fn keep(&mut self, at: impl Fn(&[u8]) -> u64, scope: Option<&ScopeName>, record: &[u8]) {
        self.bytes += record.len();
        self.events.push_back((scope.cloned(), record.to_vec()));
        while self.bytes > STEP_BYTES && self.events.len() > 1 {
            if let Some((_, record)) = self.events.pop_front() {
                self.bytes -= record.len();
                self.forgot = Some(at(&record));
            }
        }
    }
}

fn seq_of(record: &[u8]) -> u64 {
    RecordView::parse(record).map_or(0, |view| view.seq().0)
}

fn position_of(record: &[u8]) -> u64 {
    RecordView::parse(record).map_or(0, |view| view.position().0)
}

impl Scan {
    /// The events of a scope up to `high`, the last first, each checked against the one before.
    pub(super) fn backwards(
        &mut self,
        log: &dyn EventLog,
        each: Each<'_>,
    ) -> Result<(), ReadError> {
        let Some(row) = &self.row else { return Ok(()) };
        let from = self.low.max(self.high.saturating_sub(self.window));
        let mut walk = row.walk_after(Seq(from));
        let (sieve, mut kept) = (self.sieve(), Kept::default());
        let (mut before, mut failed) = (None::<Digest>, None);
        log.read(row, &mut walk, Seq(self.high), &mut |view| {
            before.get_or_insert(view.previous());
            match sieve.passes(&row.name, view) {
                Ok(true) => kept.keep(seq_of, None, view.as_bytes()),
                Ok(false) => {}
                Err(why) => {
                    failed = Some(why);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(why) = failed {
            return Err(why);
        }
        if let Some((at, hash)) = self.link
            && at == self.high
            // Deleted while it was read, the scope goes on elsewhere.
            && at == walk.head().0
            && walk.hash() != Some(hash)
        {
            let seq = Seq(at.saturating_add(1));
            let scope = row.name.clone();
            return Err(ReadError::Damaged { scope, seq, found: Broken::Link(seq) });
        }
        let name = row.name.clone();
        // The next window is larger, so that looking for the last event alone is cheap.
        self.window = self.window.saturating_mul(2).min(STEP_EVENTS);
        let floor = kept.forgot.unwrap_or(from);
        for (_, record) in kept.events.iter().rev() {
            let view = parsed(&name, record)?;
            let taken = each(Found { scope: &name, replayed: false, view });
            if taken != Taken::Next {
                self.high = view.seq().0 - u64::from(taken == Taken::Enough);
                self.link = None;
                return Ok(());
            }
        }
        self.high = floor;
        self.link = before.filter(|_| floor == from).map(|hash| (from, hash));
        Ok(())
    }

    /// All scopes, the last event first, each checked against its own hash.
    pub(super) fn order_backwards(
        &mut self,
        log: &dyn EventLog,
        each: Each<'_>,
    ) -> Result<(), ReadError> {
        let high = self.high;
        let from = self.low.max(high.saturating_sub(self.window));
        let (mut kept, mut looked) = (Kept::default(), 0);
        let failed = look(log, &self.sieve(), from, high, &mut kept, &mut looked)?;
        if let Some(why) = failed {
            return Err(why);
        }
        if looked > STEP_EVENTS {
            // Positions may have gaps, so a window that grew over one can hold too much.
            self.window = (self.window / 8).max(WINDOW);
            return Ok(());
        }
        if self.window < STEP_EVENTS || looked < WINDOW {
            self.window = self.window.saturating_mul(2);
        }
        let floor = kept.forgot.unwrap_or(from);
        for (scope, record) in kept.events.iter().rev() {
            let Some(scope) = scope else { continue };
            let view = parsed(scope, record)?;
            let taken = each(Found { scope, replayed: false, view });
            if taken != Taken::Next {
                self.high = view.position().0 - u64::from(taken == Taken::Enough);
                return Ok(());
            }
        }
        self.high = floor;
        Ok(())
    }
}

/// Keeps what passes between two positions.
fn look(
    log: &dyn EventLog,
    sieve: &Sieve<'_>,
    from: u64,
    high: u64,
    kept: &mut Kept,
    looked: &mut u64,
) -> Result<Option<ReadError>, ReadError> {
    let mut failed = None;
    log.read_order(Position(from), &mut |scope, view| {
        *looked += 1;
        if view.position().0 > high || *looked > STEP_EVENTS {
            return ControlFlow::Break(());
        }
        match sieve.passes(scope, view) {
            Ok(true) => kept.keep(position_of, Some(scope), view.as_bytes()),
            Ok(false) => {}
            Err(why) => {
                failed = Some(why);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(failed)
}

fn parsed<'a>(scope: &ScopeName, record: &'a [u8]) -> Result<RecordView<'a>, ReadError> {
    RecordView::parse(record).map_err(|why| {
        let seq = Seq::ZERO;
        let found = Broken::Record { seq, why };
        ReadError::Damaged { scope: scope.clone(), seq, found }
    })
}
