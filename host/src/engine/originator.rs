//! Validation by the client that submits (Atomic Store A03..A07, A24).
//!
//! The loop of a scope bound to `originator` parks at an append, and its sender is asked. A question
//! ends once, by whichever comes first: the answer, the deadline, the end of the connection. Nothing of
//! a question is stored, so a restarted store is free at once (A17, A18).

use super::decided::{Decided, fault_outcome, nothing};
use super::handle::Engine;
use super::mailbox::{Cell, Letter, Submitted};
use super::reply::{Asked, ReplyTo};
use super::scope_loop::Loaded;
use super::shared::Shared;
use crate::log::ScopeRow;
use crate::validator::Acceptance;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Append, Digest, Invalid, Limits, OriginatorVerdict, Outcome, Question, Refusal, Seq,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What must be known to ask about an append, and to conclude.
pub(crate) struct Asking {
    /// The built-in validator and its binding, as they were when the question arose.
    by: (Digest, Seq),
    head: Seq,
    host_ms: u64,
    within_ms: u64,
}

/// How a question ended.
pub(crate) enum Ending {
    Judged(OriginatorVerdict),
    TimedOut,
}

/// The open questions of a store.
#[derive(Default)]
pub(crate) struct Questions {
    /// So that sessions without questions need no lock.
    count: AtomicUsize,
    open: Mutex<Open>,
    /// Told when the next deadline changes.
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    /// The last number given to a question.
    last: u64,
    questions: BTreeMap<u64, Waiting>,
    stop: bool,
}

struct Waiting {
    asked: (Submitted, Asking),
    cell: Arc<Cell>,
    /// True once the question itself is on its way, behind the past events.
    put: bool,
    /// When it times out: on the machine's steady clock, and on the store's for a simulation.
    until: Instant,
    until_ms: u64,
}

impl Loaded {
    /// What must be asked about an append, if this scope asks the sender.
    pub(crate) fn asking(
        &self,
        shared: &Shared,
        append: &Append,
        host_ms: u64,
    ) -> Result<Option<Asking>, Outcome> {
        let Some(ruling) = self.ruling.as_ref().filter(|r| r.rules.asks_originator()) else {
            return Ok(None);
        };
        if append.known > self.head {
            let (field, head) = ("known".to_owned(), self.head);
            let why = format!("the scope ends at event {head}; give the last event you have seen");
            return Err(Outcome::Invalid { field, why });
        }
        let config = deadline_ms(&shared.limits, ruling.binding.config.as_deref());
        let within_ms = config.map_err(|Invalid { why, .. }| Outcome::ReadOnly { why })?;
        let by = (ruling.binding.validator, ruling.binding.seq);
        Ok(Some(Asking { by, head: self.head, host_ms, within_ms }))
    }

    /// An append as its sender judged it.
    pub(crate) fn conclude(
        &mut self,
        shared: &Shared,
        row: &ScopeRow,
        append: &Append,
        asking: &Asking,
        ending: Ending,
    ) -> Decided {
        let host_ms = asking.host_ms;
        let (reason, meta) = match ending {
            Ending::Judged(OriginatorVerdict::Pass { reason, meta }) => (reason, meta),
            Ending::Judged(OriginatorVerdict::Fail { reasons, meta }) => {
                let refusal = Refusal { index: 0, reasons, meta };
                return nothing(Outcome::Rejected(refusal), host_ms);
            }
            Ending::TimedOut => {
                return nothing(Outcome::TimedOut { after_ms: asking.within_ms }, host_ms);
            }
        };
        let mut acceptances = vec![Acceptance::default(); append.proposals.len()];
        if let Some(first) = acceptances.first_mut() {
            (first.reason, first.meta) = (reason, meta);
        }
        let by = asking.by;
        let recorded = self.record_all(shared, row, append, &acceptances, host_ms, by);
        // Another validator may have been bound meanwhile; it has not seen these events.
        if self.ruling.as_ref().is_some_and(|ruling| ruling.rules.folds()) {
            self.instance = None;
        }
        recorded.unwrap_or_else(|fault| nothing(fault_outcome(shared, fault), host_ms))
    }
}

/// How long a client has, by the configuration of a binding: `{"deadline_ms": 2000}`.
pub(crate) fn deadline_ms(limits: &Limits, config: Option<&[u8]>) -> Result<u64, Invalid> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        deadline_ms: Option<u64>,
    }
    let max = limits.originator_ms_max;
    let Some(config) = config else { return Ok(max) };
    let wrong = |why: String| Invalid::new("config", why);
    let config: Config = serde_json::from_slice(config).map_err(|error| {
        wrong(format!("originator takes {{\"deadline_ms\": 2000}} and nothing else: {error}"))
    })?;
    match config.deadline_ms {
        None => Ok(max),
        Some(ms) if (1..=max).contains(&ms) => Ok(ms),
        Some(ms) => Err(wrong(format!("deadline_ms is {ms}; 1 to {max} are allowed"))),
    }
}

/// Asks the sender of an append; everything before is durable. The loop of the cell is parked.
pub(crate) fn ask(
    shared: &Arc<Shared>,
    cell: Arc<Cell>,
    asked: (Submitted, Asking),
    error: Option<&String>,
) {
    let undecided = match error {
        Some(why) => Some(super::item::undecided(why).outcome),
        None => shared.read_only().map(|why| Outcome::ReadOnly { why }),
    };
    if let Some(outcome) = undecided {
        asked.0.refuse(shared, outcome);
        return cell.unpark(shared);
    }
    let (mail, asking) = &asked;
    let (to, call, after) = (Arc::clone(&mail.to), mail.call, mail.append.known);
    let mut question = Question {
        correlation: 0,
        scope: cell.name.clone(),
        head: asking.head,
        host_ms: asking.host_ms,
        within_ms: asking.within_ms,
    };
    // Registered first: the sender may answer, or go, before this returns.
    question.correlation = shared.questions.register(shared, cell, asked);
    let correlation = question.correlation;
    if let Err(outcome) = to.ask(call, Asked { question, after }) {
        shared.questions.drop_where(shared, &outcome, |number, _| number == correlation);
    }
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, shared: &Shared, cell: Arc<Cell>, asked: (Submitted, Asking)) -> u64 {
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        let (until, until_ms) = deadline(shared, asked.1.within_ms);
        let waiting = Waiting { asked, cell, put: false, until, until_ms };
        open.questions.insert(number, waiting);
        self.count.store(open.questions.len(), Ordering::SeqCst);
        drop(open);
        self.changed.notify_one();
        number
    }

    /// Takes those out that fit, in the order of asking.
    fn take(&self, fits: impl Fn(u64, &Waiting) -> bool) -> Vec<Waiting> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let mut open = self.lock();
        let numbers = open.questions.iter().filter(|(number, waiting)| fits(**number, waiting));
        let numbers: Vec<_> = numbers.map(|(number, _)| *number).collect();
        let taken = numbers.iter().filter_map(|number| open.questions.remove(number)).collect();
        self.count.store(open.questions.len(), Ordering::SeqCst);
        taken
    }

    /// Ends questions without a decision: nothing is stored or remembered, their scopes are free.
    fn drop_where(
        &self,
        shared: &Arc<Shared>,
        outcome: &Outcome,
        fits: impl Fn(u64, &Waiting) -> bool,
    ) {
        for Waiting { asked, cell, .. } in self.take(fits) {
            asked.0.refuse(shared, outcome.clone());
            cell.unpark(shared);
        }
    }

    /// Times those out that fit.
    fn expire(&self, shared: &Arc<Shared>, fits: impl Fn(&Waiting) -> bool) {
        for Waiting { asked, cell, .. } in self.take(|_, waiting| fits(waiting)) {
            cell.put_aside(shared, Letter::Asked(Box::new((asked, Ending::TimedOut))));
        }
    }

    /// The thread of the deadlines. Sleeps while nobody is asked.
    pub(crate) fn watch(&self, shared: &Arc<Shared>) {
        let mut open = self.lock();
        while !open.stop {
            let next = open.questions.values().map(|waiting| waiting.until).min();
            let now = Instant::now();
            open = match next {
                None => self.changed.wait(open).unwrap_or_else(PoisonError::into_inner),
                Some(next) if next > now => {
                    let waited = self.changed.wait_timeout(open, next - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    drop(open);
                    self.expire(shared, |waiting| waiting.until <= now);
                    self.lock()
                }
            };
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// The store closes: nobody is asked any more.
    pub(crate) fn close(&self, shared: &Arc<Shared>) {
        if let Some(why) = shared.read_only() {
            self.drop_where(shared, &Outcome::ReadOnly { why }, |_, _| true);
        }
    }
}

impl Engine {
    /// The past events are on their way to the client, and the question follows. From here the client
    /// has its time; before, the past events had as much. False if the question has ended meanwhile.
    #[must_use]
    pub fn put_question(&self, correlation: u64) -> bool {
        let questions = &self.shared.questions;
        let mut open = questions.lock();
        let Some(waiting) = open.questions.get_mut(&correlation) else { return false };
        if !std::mem::replace(&mut waiting.put, true) {
            (waiting.until, waiting.until_ms) = deadline(&self.shared, waiting.asked.1.within_ms);
        }
        true
    }

    /// Takes the answer to a question. Only from whoever was asked, in time, and once.
    ///
    /// # Errors
    /// `NotFound` if no such question is open for this sender, `Invalid` if the verdict breaks a
    /// limit; the question stays open then.
    pub fn judge(
        &self,
        correlation: u64,
        verdict: OriginatorVerdict,
        from: &Arc<dyn ReplyTo>,
    ) -> Result<(), RequestError> {
        let shared = &self.shared;
        check_verdict(&shared.limits, &verdict)
            .map_err(|Invalid { field, why }| RequestError::Invalid { field, why })?;
        let taken = shared.questions.take(|number, waiting| {
            number == correlation && waiting.put && same(&waiting.asked.0.to, from)
        });
        let Some(Waiting { asked, cell, .. }) = taken.into_iter().next() else {
            return Err(RequestError::NotFound(format!(
                "no question {correlation} is open on this connection: the answer came late or \
                 twice, or somebody else was asked"
            )));
        };
        let ending = Ending::Judged(verdict);
        cell.put_aside(shared, Letter::Asked(Box::new((asked, ending))));
        Ok(())
    }

    /// Ends the open questions to a sender, or the one about one of its calls, because it is gone, or
    /// will not answer. Nothing is stored; the appends are answered as not taken.
    pub fn withdraw(&self, from: &Arc<dyn ReplyTo>, call: Option<u64>, why: &str) {
        let outcome = Outcome::ReadOnly { why: why.to_owned() };
        self.shared.questions.drop_where(&self.shared, &outcome, |_, waiting| {
            let mail = &waiting.asked.0;
            same(&mail.to, from) && call.is_none_or(|call| call == mail.call)
        });
    }

    /// Times questions out by the store's clock. For simulations; otherwise a thread does it.
    pub fn expire_questions(&self) {
        let now = self.shared.clock.now_ms();
        self.shared.questions.expire(&self.shared, |waiting| waiting.until_ms <= now);
    }
}

fn deadline(shared: &Shared, within_ms: u64) -> (Instant, u64) {
    let until_ms = shared.clock.now_ms().saturating_add(within_ms);
    (Instant::now() + Duration::from_millis(within_ms), until_ms)
}

fn same(a: &Arc<dyn ReplyTo>, b: &Arc<dyn ReplyTo>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// The same caps as for the answers of guests.
fn check_verdict(limits: &Limits, verdict: &OriginatorVerdict) -> Result<(), Invalid> {
    match verdict {
        OriginatorVerdict::Pass { reason, meta } => {
            limits.check_message("reason", reason.as_deref().unwrap_or_default())?;
            limits.check_answer_data("meta", meta.as_deref())
        }
        OriginatorVerdict::Fail { reasons, meta } => {
            limits.check_reasons(reasons)?;
            limits.check_answer_data("meta", meta.as_deref())
        }
    }
}
