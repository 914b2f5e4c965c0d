//! The bounded mailbox of a scope, and the rule that at most one thread runs its loop.

use super::committer::Item;
use super::reply::{ReplyTo, State};
use super::scope_loop::ScopeLoop;
use super::shared::Shared;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, Append, Outcome, Overload, ScopeName};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Letters read in one go before others get their turn.
const TURN_MAX: usize = 256;
/// And after so many milliseconds: what was decided leaves at the end of a turn, and must not wait
/// for many slow validations behind it, nor must the other scopes.
const TURN_MS: u64 = 2;

/// A live scope: its mailbox and its loop.
pub(crate) struct Cell {
    pub(crate) name: ScopeName,
    mailbox: Mutex<Mailbox>,
    /// Held while the loop runs; `scheduled` keeps a second thread from ever waiting for it.
    body: Mutex<ScopeLoop>,
    /// Units of this scope that the committer has finished with.
    pub(crate) done: AtomicU64,
    /// When the loop last ran, in turns of the whole store: the coldest scope is evicted first.
    pub(crate) last_turn: AtomicU64,
}

#[derive(Default)]
struct Mailbox {
    letters: VecDeque<Letter>,
    /// True from the first letter until the loop has seen an empty mailbox.
    scheduled: bool,
    /// True once the scope is evicted: senders must look for its successor.
    closed: bool,
}

/// What a scope's loop is asked to do.
pub(crate) enum Letter {
    /// Decide an append.
    Append { append: Append, bytes: usize, to: Arc<dyn ReplyTo>, call: u64 },
    /// Answer from the state.
    Query { name: String, args: Vec<u8>, bytes: usize, to: Arc<dyn ReplyTo>, call: u64 },
    /// Snapshot and leave memory, unless there is other mail.
    Retire,
}

/// Why a letter was not taken.
pub(crate) enum Refused {
    /// The mailbox is full.
    Full(Letter),
    /// The scope was evicted in the meantime.
    Closed(Letter),
}

/// A scope that has mail. Run it once; one that is dropped instead leaves its scope without a loop.
#[must_use]
pub struct Work {
    cell: Arc<Cell>,
    shared: Arc<Shared>,
}

impl Letter {
    /// Answers without having decided, and gives back what the letter held.
    pub(crate) fn give_up(self, shared: &Shared, outcome: Outcome) {
        match self {
            Letter::Append { to, call, bytes, .. } => {
                shared.in_flight.release(bytes);
                to.answer(call, Answer { outcome, duplicate: false });
            }
            Letter::Query { to, call, bytes, .. } => {
                shared.in_flight.release(bytes);
                to.state(call, Err(as_request_error(outcome)));
            }
            Letter::Retire => {}
        }
    }
}

/// The same refusal, for calls that are not appends.
pub(crate) fn as_request_error(outcome: Outcome) -> RequestError {
    match outcome {
        Outcome::Overloaded(what) => RequestError::Overloaded(what.word().to_owned()),
        Outcome::Invalid { field, why } => RequestError::Invalid { field, why },
        Outcome::ReadOnly { why } | Outcome::Unknown { why } => RequestError::Failed(why),
        other => RequestError::Failed(other.word().to_owned()),
    }
}

impl Cell {
    pub(crate) fn new(name: ScopeName) -> Self {
        Cell {
            body: Mutex::new(ScopeLoop::new(&name)),
            name,
            mailbox: Mutex::default(),
            done: AtomicU64::new(0),
            // Whoever has not run yet is about to.
            last_turn: AtomicU64::new(u64::MAX),
        }
    }

    /// Puts a letter into the mailbox. Returns the loop if it was idle and must be woken.
    #[expect(clippy::result_large_err, reason = "what is refused goes back as it came")]
    pub(crate) fn send(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        letter: Letter,
    ) -> Result<Option<Work>, Refused> {
        let mut mailbox = self.mailbox();
        if mailbox.closed {
            return Err(Refused::Closed(letter));
        }
        if mailbox.letters.len() >= shared.limits.mailbox_len_max {
            return Err(Refused::Full(letter));
        }
        mailbox.letters.push_back(letter);
        let idle = !std::mem::replace(&mut mailbox.scheduled, true);
        drop(mailbox);
        Ok(idle.then(|| Work { cell: Arc::clone(self), shared: Arc::clone(shared) }))
    }

    /// Asks the scope to leave memory. One with a full mailbox is not idle, and one with a closed
    /// mailbox is leaving already.
    pub(crate) fn retire(self: &Arc<Self>, shared: &Arc<Shared>) {
        if let Ok(Some(work)) = self.send(shared, Letter::Retire) {
            shared.schedule(work);
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// The scope's name.
    #[must_use]
    pub fn scope(&self) -> &ScopeName {
        &self.cell.name
    }

    /// Lets the loop read its mail, hands what it decided to the committer, and goes to the end of
    /// the queue if there is more.
    pub fn run(self) {
        let Work { cell, shared } = &self;
        let mut items = shared.committer.spare_items();
        cell.last_turn.store(shared.next_turn(), Ordering::Relaxed);
        let turn = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut body = cell.body.lock().unwrap_or_else(PoisonError::into_inner);
            self.read_mail(&mut body, &mut items)
        }));
        let retire = turn.unwrap_or_else(|_| {
            // What the loop left behind cannot be trusted, and answers are lost with it.
            shared.fail("a scope loop panicked");
            false
        });
        shared.committer.hand(shared, &mut items);
        if retire && self.leave() {
            return;
        }
        let mut mailbox = cell.mailbox();
        if mailbox.letters.is_empty() {
            mailbox.scheduled = false;
        } else {
            drop(mailbox);
            let shared = Arc::clone(&self.shared);
            shared.schedule(self);
        }
    }

    /// True if the scope was asked to retire and could.
    fn read_mail(&self, body: &mut ScopeLoop, items: &mut Vec<Item>) -> bool {
        let Work { cell, shared } = self;
        // By the store's clock, which stands still in a simulation, so that its runs repeat.
        let (start, mut retire) = (shared.clock.now_ms(), false);
        for _ in 0..TURN_MAX {
            let Some(letter) = cell.mailbox().letters.pop_front() else { break };
            match letter {
                Letter::Append { append, bytes, to, call } => {
                    body.append(shared, cell, append, bytes, to, call, items);
                }
                Letter::Query { name, args, bytes, to, call } => {
                    let state = body.query(shared, cell, &name, &args);
                    items.push(Item::state(cell, body.row(), bytes, to, call, state));
                }
                Letter::Retire => retire = true,
            }
            if shared.clock.now_ms().abs_diff(start) >= TURN_MS {
                break;
            }
        }
        retire && body.retire(shared, cell, items)
    }

    /// Closes the mailbox and leaves the list of live scopes; false if mail has come.
    fn leave(&self) -> bool {
        let mut mailbox = self.cell.mailbox();
        if !mailbox.letters.is_empty() {
            return false;
        }
        mailbox.closed = true;
        drop(mailbox);
        self.shared.live.remove(&self.cell);
        true
    }
}

/// The outcome for a full mailbox.
pub(crate) const MAILBOX_FULL: Outcome = Outcome::Overloaded(Overload::Mailbox);

impl State {
    pub(crate) fn failed(why: impl Into<String>) -> Result<State, RequestError> {
        Err(RequestError::Failed(why.into()))
    }
}
