//! Takes the events of a scope from elsewhere: all of them, in order, with their chain unchanged.
//!
//! Records are kept part by part under a number of their own, unseen. The event of `$system` that
//! says so makes all of them visible at once, in its own commit. Until then a crash, a broken chain
//! or a client that goes away leaves nothing but rows that nobody sees and that are removed.

use super::handle::Engine;
use super::item::Item;
use super::system::{RestoredFrom, SystemEvent};
use super::whole::check_name;
use crate::log::{Change, Floor, ScopeRow, Unit, index_rows};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::{Origin, RequestError, ScopeInfo};
use atomic_store_core::record::{Record, RecordView};
use atomic_store_core::{Event, Proposal, ScopeName, Seq};
use std::sync::{Arc, mpsc};

/// The highest number that a restored event may have. A chain can be made up to begin anywhere; this
/// leaves room for all events that will ever follow, and passes through every guest's numbers.
const SEQ_MAX: u64 = 1 << 53;

/// A scope on its way in. Dropped before [`Restore::finish`], it leaves nothing.
pub struct Restore {
    engine: Engine,
    row: ScopeRow,
    /// Known from the first record on.
    walk: Option<Walk>,
    host_ms: u64,
    staged: bool,
    /// After an error it is not known how far it came; nothing more is taken.
    failed: bool,
}

impl Engine {
    /// Begins to take a scope from elsewhere.
    ///
    /// # Errors
    /// `Invalid` if the scope has, or had, events here.
    pub fn restore_scope(&self, scope: &ScopeName) -> Result<Restore, RequestError> {
        check_name(scope)?;
        self.check_writable()?;
        let there = self.shared.log.scope(scope);
        if let Some(row) = there.map_err(|error| self.shared.read_refusal(&error))? {
            return Err(not_empty(&row));
        }
        let row = ScopeRow::empty(self.shared.log.new_scope_id(), scope.clone());
        Ok(Restore {
            engine: self.clone(),
            row,
            walk: None,
            host_ms: 0,
            staged: false,
            failed: false,
        })
    }
}

impl Restore {
    /// Adds the next records. The first of all says where the scope begins: at its first event, or
    /// behind what was deleted where it comes from. Blocks until they are kept.
    ///
    /// # Errors
    /// `Invalid` names the first record that does not follow from the one before it, or breaks a
    /// limit. Nothing of the scope is kept then.
    pub fn add<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), RequestError> {
        self.check_going_on()?;
        let added = self.keep(parts);
        self.failed = added.is_err();
        added
    }

    fn check_going_on(&self) -> Result<(), RequestError> {
        if self.failed {
            return Err(invalid("records", "an earlier part was refused; begin anew"));
        }
        self.engine.check_writable()
    }

    fn keep<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), RequestError> {
        let at = self.walk.as_ref().map(Walk::head);
        let (mut records, mut index, mut bytes) = (Vec::new(), Vec::new(), 0);
        for part in parts {
            let event = self.check(part).map_err(|why| invalid("records", why))?;
            let (log, id) = (&*self.engine.shared.log, self.row.id);
            index.extend(index_rows(log, id, event.seq, &event.keys, &event.triggers));
            bytes += part.len();
            let record = Record::from_bytes(part).map_err(|why| invalid("records", why))?;
            records.push(record);
            let limits = self.engine.limits();
            limits.check_restore(records.len(), bytes).map_err(super::admin::invalid)?;
        }
        if records.is_empty() {
            return Ok(());
        }
        self.row.bytes += bytes as u64;
        let mut unit = Unit::bare(Arc::new(self.row.clone()));
        unit.at = at.unwrap_or(self.row.floor.seq);
        unit.records = records;
        unit.index = index;
        unit.change = Some(Box::new(Change::Stage));
        unit.host_ms = self.engine.shared.clock.now_ms();
        self.staged = true;
        self.engine.commit_alone(unit)
    }

    fn check(&mut self, part: &[u8]) -> Result<Event, String> {
        let name = &self.row.name;
        let view = RecordView::parse(part).map_err(|why| why.to_string())?;
        let walk = match &mut self.walk {
            Some(walk) => walk,
            None if view.seq() == Seq::ZERO => return Err("there is no event 0".to_owned()),
            None => {
                let after = Seq(view.seq().0 - 1);
                if after > Seq::ZERO {
                    self.row.floor = Floor { seq: after, hash: view.previous() };
                } else if view.previous() != self.row.floor.hash {
                    return Err(format!(
                        "event 1 does not begin the chain of {name}; the name is part of the chain, so \
                         events of another scope need to be renamed on their way in"
                    ));
                }
                let Floor { seq, hash } = self.row.floor;
                self.walk.insert(Walk::from(seq, hash))
            }
        };
        let view = walk.step(part).map_err(|found| found.to_string())?;
        if view.seq().0 > SEQ_MAX {
            return Err(format!(
                "event {} is beyond {SEQ_MAX}, the last number allowed",
                view.seq()
            ));
        }
        let body = view.decode().map_err(|why| why.to_string())?;
        if body.host_ms < self.host_ms {
            return Err(format!("the time of event {} is before the one before it", view.seq()));
        }
        self.host_ms = body.host_ms;
        let event = view.to_event().map_err(|why| why.to_string())?;
        // Other bytes for the same event would not survive an export.
        if event.to_record().map_err(|why| why.to_string())?.hash() != event.hash {
            return Err(format!("event {} is not encoded as events are", event.seq));
        }
        let (keys, triggers) = (event.keys.clone(), event.triggers.clone());
        let proposal = Proposal {
            kind: event.kind.clone(),
            content_type: event.content_type.clone(),
            payload: event.payload.clone(),
            keys,
            triggers,
            metadata: event.metadata.clone(),
            caller_ms: event.caller_ms,
        };
        let checked = self.engine.limits().check_proposal(&proposal);
        checked.map_err(|why| format!("event {}: {why}", event.seq))?;
        self.row.head = view.seq();
        self.row.hash = view.hash();
        Ok(event)
    }

    /// Makes the scope visible, with all its events at once. Blocks until it is durable.
    ///
    /// # Errors
    /// `Invalid` if there was no record, or the scope has got events in the meantime.
    pub fn finish(mut self, from: Option<Origin>) -> Result<ScopeInfo, RequestError> {
        self.check_going_on()?;
        let name = self.row.name.clone();
        if self.row.events() == 0 {
            return Err(invalid("records", "there are none, so there is nothing to restore"));
        }
        let engine = self.engine.clone();
        let parked = engine.park(&name)?;
        let there = parked.row()?;
        if there.head > Seq::ZERO {
            return Err(not_empty(&there));
        }
        let event = SystemEvent::ScopeRestored {
            scope: name.clone(),
            after: self.row.floor.seq,
            previous: self.row.floor.hash,
            head: self.row.head,
            hash: self.row.hash,
            events: self.row.events(),
            from: from.map(|Origin { scope, hash }| RestoredFrom { scope, hash }),
        };
        engine.record_change(&event, Change::Publish(self.row.clone()))?;
        self.staged = false;
        parked.forget();
        drop(parked);
        Ok(engine.scope_info(self.row.clone()))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if !self.staged || self.engine.shared.failure().is_some() {
            return;
        }
        let mut unit = Unit::bare(Arc::new(self.row.clone()));
        unit.change = Some(Box::new(Change::Discard(self.row.id)));
        unit.host_ms = self.engine.shared.clock.now_ms();
        // Nobody waits for it; after a crash it is done at the next start.
        let (done, _nobody) = mpsc::sync_channel(1);
        let shared = &self.engine.shared;
        shared.committer.hand(shared, &mut vec![Item::host(unit, done)]);
    }
}

fn not_empty(row: &ScopeRow) -> RequestError {
    let (name, head) = (&row.name, row.head);
    let had = if row.events() == 0 { "had" } else { "has" };
    let why = format!(
        "scope {name} {had} events here, up to number {head}; only a scope that was never written can be restored"
    );
    RequestError::Invalid { field: "scope".to_owned(), why }
}

fn invalid(field: &str, why: impl ToString) -> RequestError {
    RequestError::Invalid { field: field.to_owned(), why: why.to_string() }
}
