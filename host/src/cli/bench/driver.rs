//! A closed loop over the engine: so many appends in flight, each followed by the next when its
//! answer comes. All on one thread, as a session would do it.

use super::point::{Meter, Point};
use super::shape::Shape;
use crate::cli::append::describe;
use crate::cli::exit;
use crate::cli::failure::Failure;
use atomic_store::engine::{Burst, Engine, ReplyTo, State};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Answer, Append, AppendId, JointAnswer, JointOutcome, Key, Outcome, Seq};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Keys that each slot of a load takes in turn.
const KEYS: u64 = 16;

/// How many scopes, and how many appends at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) scopes: usize,
    pub(super) in_flight: usize,
    pub(super) seconds: f64,
    pub(super) insists: Insists,
}

/// What an append says beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insists {
    /// Nothing.
    Nothing,
    /// What it is about: one key.
    Key,
    /// And that nothing happened to it since the last answer.
    Condition,
}

impl Load {
    /// As many scopes as appends in flight.
    pub(super) fn spread(in_flight: usize, seconds: f64) -> Self {
        Load { scopes: in_flight, in_flight, seconds, insists: Insists::Nothing }
    }

    /// All appends to one scope.
    pub(super) fn hot(in_flight: usize, seconds: f64) -> Self {
        Load { scopes: 1, in_flight, seconds, insists: Insists::Nothing }
    }
}

/// Drives the engine.
pub(super) fn drive(engine: &Engine, shape: &Shape, load: Load) -> Result<Point, Failure> {
    let scopes = Shape::scopes(load.scopes).map_err(|error| Failure::usage(error.to_string()))?;
    let inbox = Arc::new(Inbox::default());
    let to: Arc<dyn ReplyTo> = Arc::clone(&inbox) as _;
    let mut meter = Meter::start(load.seconds)?;
    let mut starts = vec![Instant::now(); load.in_flight];
    let mut counts = vec![0; load.scopes];
    let mut ids = 0_u128;
    let mut burst = engine.burst();
    let mut send = |burst: &mut Burst, slot: usize, seen: &[Seq]| {
        let scope = slot % load.scopes;
        counts[scope] += 1;
        ids += 1;
        // The store is new, so counting makes ids that nobody has used.
        let id = AppendId(ids.to_be_bytes());
        let mut proposal = shape.proposal(counts[scope]);
        if load.insists != Insists::Nothing {
            // Nobody else writes these keys, so nothing conflicts.
            let lot = format!("{slot}-{}", counts[scope] % KEYS);
            proposal.keys.push(Key::new("lot", &lot));
        }
        let mut append = Append::new(scopes[scope].clone(), id, vec![proposal]);
        if load.insists == Insists::Condition {
            append = append.since(seen[scope]);
        }
        burst.append(append, &to, slot as u64);
    };
    let (mut in_flight, mut answers) = (load.in_flight, Vec::new());
    let mut seen = vec![Seq::ZERO; load.scopes];
    (0..load.in_flight).for_each(|slot| send(&mut burst, slot, &seen));
    while in_flight > 0 {
        burst.flush();
        inbox.take(&mut answers);
        for (call, answer) in answers.drain(..) {
            let head = answer.map_err(|why| refusal(&why))?;
            let (slot, now) = (call as usize, Instant::now());
            seen[slot % load.scopes] = head;
            meter.answered(starts[slot], now);
            if meter.is_over(now) {
                in_flight -= 1;
            } else {
                starts[slot] = now;
                send(&mut burst, slot, &seen);
            }
        }
    }
    Ok(meter.point())
}

/// A benchmark of refusals would flatter the store.
pub(super) fn refusal(why: &str) -> Failure {
    Failure::new(
        exit::REFUSED,
        format!("the benchmark's events were not accepted: {why}; see --kind and --payload"),
    )
}

/// Why an answer is not the one that a benchmark wants.
pub(super) fn unwanted(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Committed(_) => None,
        Outcome::Rejected(refusal) => {
            let reason = refusal.reasons.first();
            Some(reason.map_or_else(String::new, |reason| reason.message.clone()))
        }
        other => Some(describe(other)),
    }
}

/// A call, and the last event that its append stored or why there is none.
type Answered = (u64, Result<Seq, String>);

/// Answers on their way to the driver.
#[derive(Default)]
pub(super) struct Inbox {
    answers: Mutex<Vec<Answered>>,
    wake: Condvar,
}

impl Inbox {
    fn put(&self, call: u64, answer: Result<Seq, String>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = answers.is_empty();
        answers.push((call, answer));
        drop(answers);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Waits for answers and takes them all.
    pub(super) fn take(&self, into: &mut Vec<Answered>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        while answers.is_empty() {
            answers = self.wake.wait(answers).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut *answers, into);
    }
}

impl ReplyTo for Inbox {
    fn answer(&self, call: u64, answer: Answer) {
        let stored = match &answer.outcome {
            Outcome::Committed(committed) => Ok(committed.last.seq),
            other => Err(unwanted(other).unwrap_or_default()),
        };
        self.put(call, stored);
    }

    fn joint(&self, call: u64, answer: JointAnswer) {
        self.put(
            call,
            match answer.outcome {
                JointOutcome::Committed(_) => Ok(Seq::ZERO),
                JointOutcome::Refused(part) => Err(part.outcome.word().to_owned()),
                _ => Err("unknown".to_owned()),
            },
        );
    }

    fn state(&self, call: u64, state: Result<State, RequestError>) {
        self.put(call, state.map(|state| state.head).map_err(|error| error.to_string()));
    }
}
