//! By key and by trigger: the index names events, which are then read and looked at.

use super::found::{Sieve, Taken, decode, is_about};
use super::{Each, STEP_BYTES, Scan};
use crate::log::{EventLog, ReadError, ScopeRow, Topic};
use atomic_store_core::chain::Walk;
use atomic_store_core::record::RecordView;
use atomic_store_core::{Filter, Key, Seq};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Events that one step reads.
const CANDIDATES: usize = 1_024;

/// True if the index can find what passes.
pub(super) fn serves(filter: &Filter) -> bool {
    !filter.keys.is_empty() || !filter.triggers.is_empty()
}

/// Where to look. If there are keys, the triggers are left to the filter itself.
fn topics(filter: &Filter) -> Vec<Topic<'_>> {
    if !filter.keys.is_empty() {
        return filter.keys.iter().map(Topic::Key).collect();
    }
    let both = |trigger| [Topic::Linked(trigger), Topic::Effects(trigger)];
    filter.triggers.iter().flat_map(both).collect()
}

/// The numbers of some events, the ones to give first at the front, and true if there may be more.
pub(super) type Candidates = (BTreeSet<Seq>, bool);

/// The lowest numbers in a range that are filed under one of the topics, each once.
pub(super) fn lowest<'a>(
    log: &dyn EventLog,
    row: &ScopeRow,
    topics: impl Iterator<Item = Topic<'a>>,
    low: u64,
    high: u64,
) -> Result<Candidates, ReadError> {
    let (mut seqs, mut more) = (BTreeSet::new(), false);
    for topic in topics {
        log.indexed(row, topic, Seq(low), Seq(high), &mut |seq| {
            if seqs.len() >= CANDIDATES && seqs.last().is_some_and(|last| seq > *last) {
                more = true;
                return ControlFlow::Break(());
            }
            seqs.insert(seq);
            if seqs.len() > CANDIDATES {
                more = seqs.pop_last().is_some();
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok((seqs, more))
}

/// The highest.
fn highest<'a>(
    log: &dyn EventLog,
    row: &ScopeRow,
    topics: impl Iterator<Item = Topic<'a>>,
    low: u64,
    high: u64,
) -> Result<Candidates, ReadError> {
    let (mut seqs, mut more) = (BTreeSet::new(), false);
    for topic in topics {
        log.indexed_back(row, topic, Seq(low), Seq(high), &mut |seq| {
            if seqs.len() >= CANDIDATES && seqs.first().is_some_and(|first| seq < *first) {
                more = true;
                return ControlFlow::Break(());
            }
            seqs.insert(seq);
            if seqs.len() > CANDIDATES {
                more = seqs.pop_first().is_some();
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok((seqs, more))
}

/// Reads events by number, neighbours together, until `each` breaks.
pub(super) fn fetch(
    log: &dyn EventLog,
    row: &ScopeRow,
    seqs: &BTreeSet<Seq>,
    each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut rest = seqs.iter().copied().peekable();
    let mut flow = ControlFlow::Continue(());
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| *next == last.next()) {
            last = next;
        }
        let mut walk = Walk::after(&row.name, Seq(first.0 - 1));
        log.read(row, &mut walk, last, &mut |view| {
            flow = each(view);
            flow
        })?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

impl Scan {
    /// Goes from one event that the index names to the next.
    pub(super) fn by_index(&mut self, log: &dyn EventLog, each: Each<'_>) -> Result<(), ReadError> {
        let Some(row) = &self.row else { return Ok(()) };
        let topics = topics(&self.selection.filter).into_iter();
        if self.selection.backwards {
            let (seqs, more) = highest(log, row, topics, self.low, self.high)?;
            let floor = if more { seqs.first().map(|first| first.0 - 1) } else { None };
            let stopped = give_backwards(log, row, &self.sieve(), &seqs, each)?;
            self.high = stopped.or(floor).unwrap_or(self.low);
        } else {
            let (seqs, more) = lowest(log, row, topics, self.low, self.high)?;
            let end = if more { seqs.last().map(|last| last.0) } else { None };
            let stopped = give(log, row, &self.sieve(), &seqs, None, each)?;
            self.low = stopped.or(end).unwrap_or(self.high);
        }
        Ok(())
    }
}

/// Gives those of the events that pass, and if `about` is given, are about one of these keys; they are
/// replayed then. If `each` had enough: where it stopped.
pub(super) fn give(
    log: &dyn EventLog,
    row: &ScopeRow,
    sieve: &Sieve<'_>,
    seqs: &BTreeSet<Seq>,
    about: Option<&BTreeSet<Key>>,
    each: Each<'_>,
) -> Result<Option<u64>, ReadError> {
    let (name, replayed) = (&row.name, about.is_some());
    let (mut failed, mut left, mut bytes) = (None, None, 0);
    fetch(log, row, seqs, &mut |view| {
        bytes += view.as_bytes().len();
        let wanted = match about {
            Some(keys) => decode(name, view).map(|body| is_about(&body, keys)),
            None => Ok(true),
        };
        let taken = wanted.and_then(|wanted| match wanted {
            true => sieve.offer(name, replayed, view, each),
            false => Ok(Taken::Next),
        });
        match taken {
            Ok(Taken::Next) if bytes < STEP_BYTES => return ControlFlow::Continue(()),
            Ok(Taken::Next | Taken::Enough) => left = Some(view.seq().0),
            Ok(Taken::Not) => left = Some(view.seq().0 - 1),
            Err(why) => failed = Some(why),
        }
        ControlFlow::Break(())
    })?;
    failed.map_or(Ok(left), Err)
}

/// The same from the last to the first.
fn give_backwards(
    log: &dyn EventLog,
    row: &ScopeRow,
    sieve: &Sieve<'_>,
    seqs: &BTreeSet<Seq>,
    each: Each<'_>,
) -> Result<Option<u64>, ReadError> {
    let mut bytes = 0;
    for seq in seqs.iter().rev() {
        let mut taken = Ok(Taken::Next);
        let mut walk = Walk::after(&row.name, Seq(seq.0 - 1));
        log.read(row, &mut walk, *seq, &mut |view| {
            bytes += view.as_bytes().len();
            taken = sieve.offer(&row.name, false, view, each);
            ControlFlow::Break(())
        })?;
        match taken? {
            Taken::Next if bytes < STEP_BYTES => {}
            Taken::Next | Taken::Enough => return Ok(Some(seq.0 - 1)),
            Taken::Not => return Ok(Some(seq.0)),
        }
    }
    Ok(None)
}
