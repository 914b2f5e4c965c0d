//! The bounded mailbox of a scope, and the rule that at most one thread runs its loop.

use super::committer::Lead;
use super::item::Item;
use super::joint::Joint;
use super::originator::{self, Asking, Ending};
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
    /// Held while the loop runs, until what it decided is handed on; `scheduled` keeps a second thread
    /// from ever waiting for it. Whoever parks the loop waits once, for the end of a turn.
    pub(super) body: Mutex<ScopeLoop>,
    /// Units of this scope that the committer has finished with.
    pub(crate) done: AtomicU64,
    /// When the loop last ran, in turns of the whole store: the coldest scope is evicted first.
    pub(crate) last_turn: AtomicU64,
}

#[derive(Default)]
pub(super) struct Mailbox {
    letters: VecDeque<Letter>,
    /// True from the first letter until the loop has seen an empty mailbox.
    scheduled: bool,
    /// True once the scope is evicted: senders must look for its successor.
    pub(super) closed: bool,
    /// True while somebody else has the scope to themselves: mail waits.
    pub(super) parked: bool,
    /// True if the loop wanted to run while it was parked.
    pub(super) missed: bool,
    /// What is read even while the loop is parked: how a question ended, and queries during one.
    aside: VecDeque<Letter>,
    /// True while it is parked for a question to the sender of an append.
    asking: bool,
}

/// What a scope's loop is asked to do.
pub(crate) enum Letter {
    /// Decide an append.
    Append(Submitted),
    /// Park, and pass this on to the next of its scopes.
    Joint(Box<Joint>),
    /// Decide an append by what its sender was asked and said.
    Asked(Box<((Submitted, Asking), Ending)>),
    /// Answer from the state.
    Query { name: String, args: Vec<u8>, bytes: usize, to: Arc<dyn ReplyTo>, call: u64 },
    /// Snapshot and leave memory, unless there is other mail.
    Retire,
}

/// An append, and where its answer goes.
pub(crate) struct Submitted {
    pub(crate) append: Append,
    pub(crate) bytes: usize,
    pub(crate) to: Arc<dyn ReplyTo>,
    pub(crate) call: u64,
}

impl Submitted {
    /// Answers without having decided.
    pub(crate) fn refuse(self, shared: &Shared, outcome: Outcome) {
        shared.in_flight.release(self.bytes);
        self.to.answer(self.call, Answer { outcome, duplicate: false });
    }
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
    pub(super) cell: Arc<Cell>,
    pub(super) shared: Arc<Shared>,
}

impl Letter {
    /// Answers without having decided, and gives back what the letter held.
    pub(crate) fn give_up(self, shared: &Arc<Shared>, outcome: Outcome) {
        match self {
            Letter::Append(mail) => mail.refuse(shared, outcome),
            Letter::Joint(joint) => joint.refuse_next(shared, outcome),
            Letter::Asked(asked) => asked.0.0.refuse(shared, outcome),
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
        if mailbox.letters.len() + mailbox.aside.len() >= shared.limits.mailbox_len_max {
            return Err(Refused::Full(letter));
        }
        let idle = if mailbox.asking && matches!(letter, Letter::Query { .. }) {
            mailbox.aside.push_back(letter);
            mailbox.wake()
        } else {
            mailbox.letters.push_back(letter);
            !std::mem::replace(&mut mailbox.scheduled, true)
        };
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

    /// The next letter; while the loop is parked, only what lies aside.
    fn next_letter(&self) -> Option<Letter> {
        let mut mailbox = self.mailbox();
        match mailbox.aside.pop_front() {
            None if !mailbox.parked => mailbox.letters.pop_front(),
            aside => aside,
        }
    }

    /// Parks the loop, which is what calls this. If somebody else has parked it meanwhile, the letter
    /// goes back to where it was.
    fn park_at(&self, letter: Letter) -> Option<Letter> {
        let mut mailbox = self.mailbox();
        if mailbox.parked {
            mailbox.letters.push_front(letter);
            return None;
        }
        mailbox.parked = true;
        if matches!(letter, Letter::Append(_)) {
            mailbox.asking = true;
            // Queries do not wait for the answer to a question.
            let is_query = |letter: &Letter| matches!(letter, Letter::Query { .. });
            if mailbox.letters.iter().any(is_query) {
                let letters = std::mem::take(&mut mailbox.letters);
                let (queries, rest): (VecDeque<_>, _) = letters.into_iter().partition(is_query);
                (mailbox.aside, mailbox.letters) = (queries, rest);
            }
        }
        Some(letter)
    }

    /// Lets the loop read its mail again.
    pub(super) fn unpark(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut mailbox = self.mailbox();
        (mailbox.parked, mailbox.asking) = (false, false);
        let missed = std::mem::take(&mut mailbox.missed);
        drop(mailbox);
        if missed {
            shared.schedule(Work { cell: Arc::clone(self), shared: Arc::clone(shared) });
        }
    }

    /// Gives the parked loop a letter that it reads all the same.
    pub(super) fn put_aside(self: &Arc<Self>, shared: &Arc<Shared>, letter: Letter) {
        let mut mailbox = self.mailbox();
        mailbox.aside.push_front(letter);
        let idle = mailbox.wake();
        drop(mailbox);
        if idle {
            shared.schedule(Work { cell: Arc::clone(self), shared: Arc::clone(shared) });
        }
    }

    pub(super) fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// An empty buffer between two turns, so that handing over allocates nothing.
    static ITEMS: std::cell::Cell<Vec<Item>> = const { std::cell::Cell::new(Vec::new()) };
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
        drop(self.run_to_lead());
    }

    /// The same; may give back the right to commit what was decided, in the committer's place.
    pub(super) fn run_to_lead(self) -> Option<Lead> {
        let Work { cell, shared } = &self;
        let mut items = ITEMS.take();
        cell.last_turn.store(shared.next_turn(), Ordering::Relaxed);
        let mut body = cell.body.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = AssertUnwindSafe(|| self.read_mail(&mut body, &mut items));
        let turn = std::panic::catch_unwind(turn).unwrap_or_else(|_| {
            // What the loop left behind cannot be trusted, and answers are lost with it.
            shared.fail("a scope loop panicked");
            Turn::default()
        });
        let lead = shared.committer.hand_or_lead(shared, &mut items);
        drop(body);
        ITEMS.set(items);
        shared.keep_to_memory();
        if let Some(joint) = turn.joint {
            // Only now that whatever this loop decided before is on its way to the disk.
            joint.pass_on(shared);
        }
        if turn.retire && self.leave() {
            return lead;
        }
        // Whoever was asked to leave during the turn, and could not, may be asked again.
        if cell.last_turn.load(Ordering::Relaxed) == u64::MAX {
            cell.last_turn.store(shared.next_turn(), Ordering::Relaxed);
        }
        let mut mailbox = cell.mailbox();
        if mailbox.parked && mailbox.aside.is_empty() {
            mailbox.missed = true;
        } else if mailbox.letters.is_empty() && mailbox.aside.is_empty() {
            mailbox.scheduled = false;
        } else {
            drop(mailbox);
            let shared = Arc::clone(&self.shared);
            shared.schedule(self);
        }
        lead
    }

    fn read_mail(&self, body: &mut ScopeLoop, items: &mut Vec<Item>) -> Turn {
        let Work { cell, shared } = self;
        // By the store's clock, which stands still in a simulation, so that its runs repeat.
        let (start, mut turn) = (shared.clock.now_ms(), Turn::default());
        for _ in 0..TURN_MAX {
            let Some(letter) = cell.next_letter() else { break };
            match letter {
                Letter::Append(mail) => {
                    if let Some(asked) = body.append(shared, cell, mail, items) {
                        self.ask(body, asked, items);
                    }
                }
                Letter::Query { name, args, bytes, to, call } => {
                    let state = body.query(shared, cell, &name, &args);
                    items.push(Item::state(cell, body.row(), bytes, to, call, state));
                }
                Letter::Joint(joint) => {
                    if let Some(Letter::Joint(mut joint)) = cell.park_at(Letter::Joint(joint)) {
                        joint.hold(cell);
                        turn.joint = Some(joint);
                    }
                }
                Letter::Asked(asked) => {
                    let (asked, ending) = *asked;
                    body.conclude(shared, cell, asked, ending, items);
                    cell.unpark(shared);
                }
                Letter::Retire => turn.retire = true,
            }
            if shared.clock.now_ms().abs_diff(start) >= TURN_MS {
                break;
            }
        }
        // Whoever parked it goes on to decide, perhaps before this turn is over.
        let stays = turn.joint.is_some() || cell.mailbox().asking;
        turn.retire = turn.retire && !stays && body.retire(shared, cell, items);
        turn
    }

    /// Parks the loop until the sender of an append has said what is to become of it. It is asked once
    /// everything before is durable, and so after the answer to the append before.
    fn ask(&self, body: &ScopeLoop, (mail, asking): (Submitted, Asking), items: &mut Vec<Item>) {
        let Work { cell, shared } = self;
        if let Some(Letter::Append(mail)) = cell.park_at(Letter::Append(mail)) {
            let (shared, cell) = (Arc::clone(shared), Arc::clone(cell));
            let then = move |error: Option<&String>| {
                originator::ask(&shared, cell, (mail, asking), error);
            };
            items.push(Item::then(body.row(), Box::new(then)));
        }
    }

    /// Closes the mailbox and leaves the list of live scopes; false if mail has come.
    fn leave(&self) -> bool {
        let mut mailbox = self.cell.mailbox();
        // Being asked to leave once more is no reason to stay: under pressure that never ends.
        let mail = mailbox.letters.iter().any(|letter| !matches!(letter, Letter::Retire));
        if mail || !mailbox.aside.is_empty() || mailbox.parked {
            return false;
        }
        mailbox.letters.clear();
        mailbox.closed = true;
        drop(mailbox);
        self.shared.live.remove(&self.cell);
        true
    }
}

/// How a turn of a loop ended.
#[derive(Default)]
struct Turn {
    /// The scope was asked to retire, and could.
    retire: bool,
    /// The loop is parked, and this goes on to the next scope.
    joint: Option<Box<Joint>>,
}

impl Mailbox {
    /// True if the loop, parked or not, is idle and must be scheduled now.
    fn wake(&mut self) -> bool {
        !std::mem::replace(&mut self.scheduled, true) || std::mem::take(&mut self.missed)
    }
}

/// The outcome for a full mailbox.
pub(crate) const MAILBOX_FULL: Outcome = Outcome::Overloaded(Overload::Mailbox);

impl State {
    pub(crate) fn failed(why: impl Into<String>) -> Result<State, RequestError> {
        Err(RequestError::Failed(why.into()))
    }
}
