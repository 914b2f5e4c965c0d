//! What effects touch (coherence C16): the effects of the range fire triggers, triggers are linked to
//! keys by any event up to the end of the range, wherever it stands, and all earlier events of these
//! keys are given again.

use super::found::{Each, decode, is_effect};
use super::{Scan, SelectError, Stage, index};
use crate::log::{EventLog, ReadError, Topic};
use atomic_store_core::{Invalid, Key, Seq};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The keys that effects touch, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Effects up to here are known; at the end of the range all are.
    effects: u64,
    /// Triggers that fired and were not looked up yet.
    triggers: BTreeSet<Key>,
    /// Links of the first of them up to here are known.
    links: u64,
    keys: BTreeSet<Key>,
}

impl Touched {
    pub(super) fn from(after: Seq) -> Self {
        Touched { effects: after.0, ..Touched::default() }
    }
}

impl Scan {
    /// Gets to know more of what is touched.
    pub(super) fn gather(
        &mut self,
        log: &dyn EventLog,
        mut touched: Touched,
        keys_max: usize,
    ) -> Result<(), SelectError> {
        if touched.effects < self.high {
            self.effects(log, &mut touched)?;
        } else if let Some(trigger) = touched.triggers.first().cloned() {
            self.links(log, &mut touched, &trigger)?;
        } else {
            self.stage = Stage::History(touched);
            return Ok(());
        }
        for (found, what) in [(touched.triggers.len(), "fire"), (touched.keys.len(), "touch")] {
            if found > keys_max {
                let after = self.selection.place.after;
                let things = if what == "fire" { "triggers" } else { "keys" };
                let why = format!(
                    "the effects after event {after} {what} more than {keys_max} {things}; read a \
                     shorter range with through, or all events after 0"
                );
                return Err(Invalid::new("replay", why).into());
            }
        }
        self.stage = Stage::Gather(touched);
        Ok(())
    }

    fn effects(&self, log: &dyn EventLog, touched: &mut Touched) -> Result<(), ReadError> {
        let Some(row) = &self.row else { return Ok(()) };
        let topic = std::iter::once(Topic::AnyEffect);
        let (seqs, more) = index::lowest(log, row, topic, touched.effects, self.high)?;
        let (triggers, mut failed) = (&mut touched.triggers, None);
        index::fetch(log, row, &seqs, &mut |view| match decode(&row.name, view) {
            Ok(body) => {
                if is_effect(&body) {
                    triggers.extend(body.triggers.iter().map(|key| Key::new(key.kind, key.id)));
                }
                ControlFlow::Continue(())
            }
            Err(why) => {
                failed = Some(why);
                ControlFlow::Break(())
            }
        })?;
        let end = if more { seqs.last().map(|last| last.0) } else { None };
        touched.effects = end.unwrap_or(self.high);
        failed.map_or(Ok(()), Err)
    }

    fn links(
        &self,
        log: &dyn EventLog,
        touched: &mut Touched,
        trigger: &Key,
    ) -> Result<(), ReadError> {
        let Some(row) = &self.row else { return Ok(()) };
        let topic = std::iter::once(Topic::Linked(trigger));
        let (seqs, more) = index::lowest(log, row, topic, touched.links, self.high)?;
        let (keys, mut failed) = (&mut touched.keys, None);
        index::fetch(log, row, &seqs, &mut |view| match decode(&row.name, view) {
            Ok(body) => {
                if body.triggers.iter().any(|k| k.kind == trigger.kind && k.id == trigger.id) {
                    keys.extend(body.keys.iter().map(|key| Key::new(key.kind, key.id)));
                }
                ControlFlow::Continue(())
            }
            Err(why) => {
                failed = Some(why);
                ControlFlow::Break(())
            }
        })?;
        if let Some(why) = failed {
            return Err(why);
        }
        match seqs.last() {
            Some(last) if more => touched.links = last.0,
            _ => {
                touched.triggers.pop_first();
                touched.links = 0;
            }
        }
        Ok(())
    }

    /// Gives earlier events of touched keys. True when it has given all.
    pub(super) fn history(
        &mut self,
        log: &dyn EventLog,
        touched: &Touched,
        each: Each<'_>,
    ) -> Result<bool, ReadError> {
        let after = self.selection.place.after;
        let Some(row) = &self.row else { return Ok(true) };
        let topics = touched.keys.iter().map(Topic::Key);
        let (seqs, more) = index::lowest(log, row, topics, self.low, after)?;
        let end = match seqs.last() {
            Some(last) if more => last.0,
            _ => after,
        };
        let sieve = self.sieve();
        let refused = index::give(log, row, &sieve, &seqs, Some(&touched.keys), each)?;
        self.low = refused.unwrap_or(end);
        if self.low < after {
            return Ok(false);
        }
        let row = row.clone();
        self.bound_time(log, &row)?;
        Ok(true)
    }
}
