//! What a loop hands to the committer: a unit, and what to do once it is durable.

use super::conflict::Found;
use super::joint::JointReply;
use super::mailbox::Cell;
use super::reply::{ReplyTo, State};
use super::shared::Shared;
use crate::log::{Decision, INDEX_ROW_BYTES, ScopeRow, Unit};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, AppendId, Committed, Digest, Outcome, Place, Position, Proposal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a loop hands over: a unit, and what to do once it is durable.
pub(crate) struct Item {
    pub(super) unit: Unit,
    pub(super) then: Then,
    /// Nothing if the unit must be in the same group as the one before; otherwise how many events and
    /// bytes must be in its group behind it.
    pub(super) behind: Option<(usize, usize)>,
}

/// What to do once a unit is durable.
pub(super) struct Then {
    cell: Option<Arc<Cell>>,
    bytes: usize,
    reply: Reply,
    /// How many units the reply is about: this one, and the last ones before it.
    pub(super) units: usize,
}

/// What is done once everything before is durable, or may not be, for this reason.
pub(crate) type Afterwards = Box<dyn FnOnce(Option<&String>) + Send>;

enum Reply {
    /// Nobody waits for a snapshot.
    Snapshot,
    Answer {
        to: Arc<dyn ReplyTo>,
        call: u64,
        plan: Plan,
    },
    State {
        to: Arc<dyn ReplyTo>,
        call: u64,
        state: Result<State, RequestError>,
    },
    /// The answer to a joint append, with its last unit.
    Joint(Box<JointReply>),
    /// A part of a joint append that is not its last.
    Part,
    /// Nothing was decided.
    Then(Afterwards),
    /// For the host's own appends, which wait on their thread.
    Host(std::sync::mpsc::SyncSender<Result<(), String>>),
}

/// How to make the answer.
pub(crate) enum Plan {
    /// From the records of the unit.
    Stored { reason: Option<String>, meta: Option<Vec<u8>> },
    /// Nothing was stored, and this is why.
    Outcome(Box<Outcome>),
    /// It had been decided before. The events are durable by the time this is answered.
    Earlier { id: AppendId, decision: Box<Decision>, row: Arc<ScopeRow> },
    /// It conflicts with events that are too large to be kept at hand until they are durable.
    Conflict { found: Found, row: Arc<ScopeRow> },
}
impl Item {
    pub(crate) fn append(
        cell: &Arc<Cell>,
        unit: Unit,
        bytes: usize,
        to: Arc<dyn ReplyTo>,
        call: u64,
        plan: Plan,
    ) -> Self {
        Item::new(unit, Some(cell), bytes, Reply::Answer { to, call, plan })
    }

    pub(crate) fn state(
        cell: &Arc<Cell>,
        row: &Arc<ScopeRow>,
        bytes: usize,
        to: Arc<dyn ReplyTo>,
        call: u64,
        state: Result<State, RequestError>,
    ) -> Self {
        let unit = Unit::bare(Arc::clone(row));
        Item::new(unit, Some(cell), bytes, Reply::State { to, call, state })
    }

    /// A snapshot, which nobody waits for.
    pub(crate) fn snapshot(shared: &Shared, cell: &Arc<Cell>, unit: Unit) -> Self {
        let bytes = unit.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        shared.snapshot_bytes.fetch_add(bytes, Ordering::Relaxed);
        Item::new(unit, Some(cell), bytes, Reply::Snapshot)
    }

    /// One of the host's own appends.
    pub(crate) fn host(unit: Unit, done: std::sync::mpsc::SyncSender<Result<(), String>>) -> Self {
        Item::new(unit, None, 0, Reply::Host(done))
    }

    /// Something to do once everything before is durable. Must not block.
    pub(crate) fn then(row: &Arc<ScopeRow>, then: Afterwards) -> Self {
        Item::new(Unit::bare(Arc::clone(row)), None, 0, Reply::Then(then))
    }

    /// The units of a joint append, which are stored together or not at all.
    pub(crate) fn joint(
        units: Vec<(Arc<Cell>, Unit)>,
        reply: JointReply,
        bytes: usize,
        items: &mut Vec<Item>,
    ) {
        let first = items.len();
        let count = units.len();
        let mut behind = (0, 0);
        for (cell, unit) in units {
            let (events, bytes) = unit.size();
            behind = (behind.0 + events, behind.1 + bytes);
            let mut item = Item::new(unit, Some(&cell), 0, Reply::Part);
            item.behind = None;
            items.push(item);
        }
        let own = items.get(first).map_or((0, 0), |item| item.unit.size());
        if let Some(item) = items.get_mut(first) {
            item.behind = Some((behind.0 - own.0, behind.1 - own.1));
        }
        if let Some(last) = items.last_mut() {
            last.then = Then {
                cell: last.then.cell.take(),
                bytes,
                reply: Reply::Joint(Box::new(reply)),
                units: count,
            };
        }
    }

    fn new(unit: Unit, cell: Option<&Arc<Cell>>, bytes: usize, reply: Reply) -> Self {
        let then = Then { cell: cell.map(Arc::clone), bytes, reply, units: 1 };
        Item { unit, then, behind: Some((0, 0)) }
    }
}

impl Unit {
    pub(super) fn size(&self) -> (usize, usize) {
        let records: usize = self.records.iter().map(|record| record.as_bytes().len()).sum();
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        let module = self.module.as_ref().map_or(0, |module| module.1.len());
        let index = self.index.len() * INDEX_ROW_BYTES;
        let rejection = self.rejection.as_ref().map_or(0, |entry| entry.size());
        let proposed = self.proposed.iter().flatten().map(Proposal::size).sum::<usize>();
        (self.records.len(), records + index + snapshot + module + proposed + rejection)
    }
}

impl Then {
    pub(super) fn finish(
        self,
        shared: &Shared,
        units: &[Unit],
        alone: bool,
        error: Option<&String>,
    ) {
        // After a failure the loop keeps what it handed over: it is not in the log.
        if let (Some(cell), None) = (&self.cell, error) {
            cell.done.fetch_add(1, Ordering::Release);
        }
        match self.reply {
            Reply::Snapshot => {
                shared.snapshot_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            }
            Reply::Host(done) => {
                // The waiting thread may have given up; then nobody needs the result.
                drop(done.send(error.map_or(Ok(()), |why| Err(why.clone()))));
            }
            Reply::State { to, call, state } => {
                shared.in_flight.release(self.bytes);
                to.state(call, error.map_or(state, |why| State::failed(why.clone())));
            }
            Reply::Answer { to, call, plan } => {
                shared.in_flight.release(self.bytes);
                let answer = match (error, units.last()) {
                    (Some(why), _) => undecided(why),
                    (None, Some(unit)) => plan.answer(shared, unit),
                    (None, None) => undecided("the unit of the append is gone"),
                };
                if alone { to.answer_alone(call, answer) } else { to.answer(call, answer) }
            }
            Reply::Joint(reply) => {
                shared.in_flight.release(self.bytes);
                reply.send(shared, units, error);
            }
            Reply::Part => {}
            Reply::Then(then) => then(error),
        }
    }
}

pub(super) fn undecided(why: &str) -> Answer {
    let why = format!("{why}; ask again with the same append id after the store has restarted");
    Answer { outcome: Outcome::Unknown { why }, duplicate: false }
}

impl Plan {
    pub(super) fn answer(self, shared: &Shared, unit: &Unit) -> Answer {
        match self {
            Plan::Outcome(outcome) => Answer { outcome: *outcome, duplicate: false },
            Plan::Stored { reason, meta } => match stored(unit) {
                Some((first, last, hash)) => Answer {
                    outcome: Outcome::Committed(Committed { first, last, hash, reason, meta }),
                    duplicate: false,
                },
                None => undecided("the records of the append cannot be read back"),
            },
            Plan::Earlier { id, decision, row } => shared.earlier(&row, id, *decision),
            Plan::Conflict { found, row } => Answer {
                outcome: shared.conflict(&row, found.accepted, &found.rows),
                duplicate: false,
            },
        }
    }
}

fn stored(unit: &Unit) -> Option<(Place, Place, Digest)> {
    let hash = unit.records.last()?.hash();
    let before = unit.records.len() as u64 - 1;
    let first = Place { seq: unit.at.next(), position: unit.first };
    let last = Place { seq: first.seq.plus(before), position: Position(first.position.0 + before) };
    Some((first, last, hash))
}
