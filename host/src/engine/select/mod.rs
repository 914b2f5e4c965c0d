//! Reads that choose: by filter, backwards, with replays. The one place where filters run.
//!
//! A [`Scan`] goes on in steps. A step looks at a bounded number of events, gives those that pass, one
//! by one and without a copy of the others, and may give none; between two steps its owner can stop.
//! The place of a scan moves by what was looked at, so that nobody ever looks twice.
//!
//! What is checked: every event that is given, and every one that was looked at on the way, against
//! its own hash and number. Where a read goes through a scope event by event, in either direction, it
//! also checks that each links to the one before; where it goes by the index it jumps, and does not.
//! Whether an event is missing from the index is not checked by reading.

mod back;
mod found;
mod index;
mod replay;
mod seek;

use super::handle::Engine;
use crate::log::{EventLog, ReadError, ScopeRow};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::Replay;
use atomic_store_core::{Digest, Filter, Invalid, PagePlace, Position, ScopeName, Seq};
use found::Sieve;
pub use found::{Each, Found, Taken};
use replay::Touched;
pub(super) use seek::before;
use std::ops::ControlFlow;

/// Events that one step looks at.
const STEP_EVENTS: u64 = 8_192;
/// Bytes of events that one step looks at, about.
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// First size of a window on the way backwards.
const WINDOW: u64 = 256;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of one scope, or of all in their common order.
    pub scope: Option<ScopeName>,
    /// Between which numbers, or positions.
    pub place: PagePlace,
    /// The last first.
    pub backwards: bool,
    /// Which events (coherence C20, C21).
    pub filter: Filter,
    /// Whether what effects touch comes again (coherence C16, C17).
    pub replay: Replay,
}

impl Selection {
    /// All events of a scope, or of all scopes.
    #[must_use]
    pub fn new(scope: Option<ScopeName>) -> Self {
        let place = PagePlace { after: 0, through: u64::MAX, past: 0 };
        let (filter, replay) = (Filter::default(), Replay::Off);
        Selection { scope, place, backwards: false, filter, replay }
    }

    /// True if it goes through one scope event by event, and forwards.
    pub(crate) fn is_contiguous(&self) -> bool {
        let plain = self.filter.is_open() && self.replay == Replay::Off;
        self.scope.is_some() && !self.backwards && plain
    }
}

/// A read on its way.
#[derive(Debug)]
pub struct Scan {
    selection: Selection,
    stage: Stage,
    row: Option<ScopeRow>,
    /// What is left lies behind this and up to `high`.
    low: u64,
    high: u64,
    /// Where the range ends as the reader sees it; `high` may be lower, if a bound of time says so.
    end: u64,
    /// Where a contiguous walk stands.
    walk: Option<Walk>,
    /// On the way backwards, what the next event must be hashed to.
    link: Option<(u64, Digest)>,
    window: u64,
}

#[derive(Debug)]
enum Stage {
    /// The bounds are not known yet.
    Start,
    /// Gathering which keys are touched.
    Gather(Touched),
    /// Giving their history.
    History(Touched),
    /// Giving the range itself.
    Range,
    /// Done.
    Done,
}

/// Why a scan cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// It is larger than allowed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Engine {
    /// Starts a read; [`Engine::step`] goes on with it. Does not touch the disk.
    ///
    /// # Errors
    /// [`Invalid`] names what cannot be read so.
    pub fn select(&self, selection: Selection) -> Result<Scan, Invalid> {
        self.limits().check_filter(&selection.filter)?;
        let replays = selection.replay != Replay::Off;
        if replays && selection.backwards {
            let why = "a replay goes forwards only; read without it, or not backwards";
            return Err(Invalid::new("backwards", why));
        }
        if replays && selection.scope.is_none() {
            return Err(Invalid::new("replay", "effects touch keys of one scope; name it"));
        }
        Ok(Scan::new(selection))
    }

    /// Looks at a bounded number of events and calls `each` with those that pass, until it has
    /// enough. Blocks on the disk. An unknown scope is empty.
    ///
    /// # Errors
    /// [`SelectError`]. After damage the scope takes no appends.
    pub fn step(&self, scan: &mut Scan, each: Each<'_>) -> Result<(), SelectError> {
        let step = scan.step(&*self.shared.log, self.shared.limits.replay_keys_max, each);
        step.inspect_err(|error| {
            if let SelectError::Read(error) = error {
                self.shared.sealed.note(error);
            }
        })
    }
}

impl Scan {
    fn new(selection: Selection) -> Scan {
        let PagePlace { after, through, past } = selection.place;
        let (low, high) = (after.max(past), through);
        Scan {
            selection,
            stage: Stage::Start,
            row: None,
            low,
            high,
            end: high,
            walk: None,
            link: None,
            window: WINDOW,
        }
    }

    /// What is read.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// True while it holds the keys whose history it replays, or is about to find them.
    #[must_use]
    pub fn remembers(&self) -> bool {
        let PagePlace { after, past, .. } = self.selection.place;
        match self.stage {
            Stage::Start => self.selection.replay != Replay::Off && past < after,
            Stage::Gather(_) | Stage::History(_) => true,
            Stage::Range | Stage::Done => false,
        }
    }

    /// True once there is nothing more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// What is left: where another scan would go on.
    #[must_use]
    pub fn place(&self) -> PagePlace {
        let PagePlace { after, .. } = self.selection.place;
        match (self.selection.backwards, self.selection.replay) {
            (true, _) => PagePlace { after, through: self.high, past: 0 },
            (false, Replay::Off) => PagePlace { after: self.low, through: self.end, past: 0 },
            (false, _) => PagePlace { after, through: self.end, past: self.low },
        }
    }

    fn step(
        &mut self,
        log: &dyn EventLog,
        keys_max: usize,
        each: Each<'_>,
    ) -> Result<(), SelectError> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start => {
                self.stage = Stage::Range;
                self.start(log).map_err(Into::into)
            }
            Stage::Gather(touched) => self.gather(log, touched, keys_max),
            Stage::History(touched) => {
                let stage = self.history(log, &touched, each)?;
                self.stage = if stage { Stage::Range } else { Stage::History(touched) };
                Ok(())
            }
            Stage::Range => {
                self.stage = Stage::Range;
                self.range(log, each)?;
                if self.low >= self.high {
                    self.stage = Stage::Done;
                    // What a bound of time leaves out is looked at, too.
                    self.low =
                        if self.selection.backwards { self.low } else { self.low.max(self.end) };
                }
                Ok(())
            }
            Stage::Done => Ok(()),
        }
    }

    /// Finds the bounds.
    fn start(&mut self, log: &dyn EventLog) -> Result<(), ReadError> {
        let Some(scope) = &self.selection.scope else {
            self.high = self.high.min(log.position().0);
            self.end = self.high;
            return Ok(());
        };
        let Some(row) = log.scope(scope)? else {
            (self.high, self.end) = (self.low, self.low);
            return Ok(());
        };
        self.high = self.high.min(row.head.0);
        // Deleted events are no events.
        self.low = self.low.max(row.floor.seq.0);
        self.end = self.high.max(self.low);
        if self.high > self.low {
            let PagePlace { after, past, .. } = self.selection.place;
            if self.selection.replay != Replay::Off && past < after {
                self.low = past;
                self.stage = Stage::Gather(Touched::from(Seq(after)));
            } else {
                self.bound_time(log, &row)?;
            }
        }
        self.row = Some(row);
        Ok(())
    }

    fn bound_time(&mut self, log: &dyn EventLog, row: &ScopeRow) -> Result<(), ReadError> {
        let span = self.selection.filter.host_ms;
        if let Some(from) = span.from {
            self.low = before(log, row, self.low, self.high, from)?;
        }
        if let Some(until) = span.until {
            self.high = before(log, row, self.low, self.high, until)?;
        }
        Ok(())
    }

    fn range(&mut self, log: &dyn EventLog, each: Each<'_>) -> Result<(), ReadError> {
        if self.low >= self.high {
            return Ok(());
        }
        match (self.row.is_some(), self.selection.backwards) {
            (true, _) if index::serves(&self.selection.filter) => self.by_index(log, each),
            (true, false) => self.forwards(log, each),
            (true, true) => self.backwards(log, each),
            (false, false) => self.order(log, each),
            (false, true) => self.order_backwards(log, each),
        }
    }

    fn sieve(&self) -> Sieve<'_> {
        Sieve::new(&self.selection.filter, self.selection.replay == Replay::Touched)
    }

    /// Event by event, each checked against the one before.
    fn forwards(&mut self, log: &dyn EventLog, each: Each<'_>) -> Result<(), ReadError> {
        let Some(row) = &self.row else { return Ok(()) };
        let through = self.high.min(self.low.saturating_add(STEP_EVENTS));
        let walk = self.walk.take().filter(|walk| walk.head().0 == self.low);
        let mut walk = walk.unwrap_or_else(|| row.walk_after(Seq(self.low)));
        let (sieve, mut bytes) = (self.sieve(), 0);
        let (mut refused, mut failed) = (None, None);
        log.read(row, &mut walk, Seq(through), &mut |view| {
            bytes += view.as_bytes().len();
            match sieve.offer(&row.name, false, view, each) {
                Ok(Taken::Next) if bytes < STEP_BYTES => return ControlFlow::Continue(()),
                Ok(Taken::Next | Taken::Enough) => {}
                Ok(Taken::Not) => {
                    refused = Some(Walk::from(Seq(view.seq().0 - 1), view.previous()));
                }
                Err(why) => failed = Some(why),
            }
            ControlFlow::Break(())
        })?;
        if let Some(why) = failed {
            return Err(why);
        }
        let walk = refused.unwrap_or(walk);
        self.low = walk.head().0;
        self.walk = Some(walk);
        Ok(())
    }

    /// All scopes, in their common order.
    fn order(&mut self, log: &dyn EventLog, each: Each<'_>) -> Result<(), ReadError> {
        let (sieve, high) = (self.sieve(), self.high);
        let (mut low, mut looked, mut bytes) = (self.low, 0, 0);
        let (mut more, mut failed) = (false, None);
        log.read_order(Position(self.low), &mut |scope, view| {
            if view.position().0 > high {
                return ControlFlow::Break(());
            }
            looked += 1;
            bytes += view.as_bytes().len();
            let taken = sieve.offer(scope, false, view, each).unwrap_or_else(|why| {
                failed = Some(why);
                Taken::Not
            });
            if taken != Taken::Not {
                low = view.position().0;
            }
            more = taken != Taken::Next || looked >= STEP_EVENTS || bytes >= STEP_BYTES;
            if more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(why) = failed {
            return Err(why);
        }
        self.low = if more { low } else { high };
        Ok(())
    }
}
