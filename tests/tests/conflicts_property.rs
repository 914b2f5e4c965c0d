//! Conditions against a model: random appends of several stale clients, with keys, triggers, effects,
//! resolved events, dry runs and restarts. Every answer is the one that a slow and plain search over
//! the log gives, so the accepted log is one that a serial execution allows.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_core::{
    Answer, Append, Condition, Conflict, Key, Limits, Outcome, Position, Proposal, Seq,
};
use atomic_store_tests::{Caller, Memory, append_to};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SCOPE: &str = "library";

/// What the model knows of an event.
#[derive(Clone, Debug)]
struct Known {
    keys: Vec<Key>,
    triggers: Vec<Key>,
}

impl Known {
    fn is_effect(&self) -> bool {
        self.keys.is_empty() && !self.triggers.is_empty()
    }
}

/// The log as it must be, event 1 first.
#[derive(Debug, Default)]
struct Model(Vec<Known>);

/// Index, ours, key, trigger, theirs.
type Row = (Option<u32>, u64, Key, Option<Key>, u64);

impl Model {
    fn head(&self) -> u64 {
        self.0.len() as u64
    }

    fn is_linked(&self, key: &Key, trigger: &Key) -> bool {
        self.0.iter().any(|event| event.keys.contains(key) && event.triggers.contains(trigger))
    }

    /// The trigger by which a later event concerns a key, if it does.
    fn concerns(&self, event: &Known, key: &Key) -> Option<Option<Key>> {
        if event.keys.contains(key) {
            return Some(None);
        }
        let triggers: BTreeSet<_> = event.triggers.iter().filter(|_| event.is_effect()).collect();
        triggers.into_iter().find(|t| self.is_linked(key, t)).map(|t| Some(t.clone()))
    }

    fn conflicts(&self, condition: &Condition, proposals: &[Proposal]) -> Vec<Row> {
        let first = self.head() + 1;
        let watched = std::iter::once((None, first, &condition.keys));
        let ours = |n: usize| (Some(u32::try_from(n).unwrap()), first + n as u64);
        let proposed = proposals.iter().enumerate().map(|(n, p)| (ours(n).0, ours(n).1, &p.keys));
        let mut rows = Vec::new();
        for (index, ours, keys) in watched.chain(proposed) {
            for (event, theirs) in self.0.iter().zip(1..) {
                if theirs <= condition.since.0 || condition.resolved.contains(&Seq(theirs)) {
                    continue;
                }
                let mut named = BTreeSet::new();
                for key in keys.iter().filter(|key| named.insert((*key).clone())) {
                    if let Some(trigger) = self.concerns(event, key) {
                        rows.push((index, ours, key.clone(), trigger, theirs));
                    }
                }
            }
        }
        rows
    }

    /// The answer that is due, in short; what is accepted is added unless it is a dry run.
    fn decide(&mut self, append: &Append) -> Due {
        if let Some(condition) = &append.condition {
            if condition.since.0 > self.head() {
                return Due::UnknownBase(self.head() + 1);
            }
            let mut rows = self.conflicts(condition, &append.proposals);
            if let Some(row) = rows.first() {
                let accepted = row.0.unwrap_or(0);
                rows.truncate(if condition.all { 100 } else { 1 });
                return Due::Conflict(accepted, rows);
            }
        }
        let first = self.head() + 1;
        let last = self.head() + append.proposals.len() as u64;
        if !append.dry_run {
            let known = |p: &Proposal| Known { keys: p.keys.clone(), triggers: p.triggers.clone() };
            self.0.extend(append.proposals.iter().map(known));
        }
        Due::Committed(first, last, append.dry_run)
    }
}

/// An answer, as far as the model can know it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Committed(u64, u64, bool),
    Conflict(u32, Vec<Row>),
    UnknownBase(u64),
}

fn shorten(outcome: &Outcome) -> Due {
    match outcome {
        Outcome::Committed(c) => {
            let dry = (c.first.position, c.last.position) == (Position(0), Position(0));
            Due::Committed(c.first.seq.0, c.last.seq.0, dry)
        }
        Outcome::Conflict { accepted, conflicts } => {
            let row = |c: &Conflict| {
                (c.index, c.ours.0, c.key.clone(), c.trigger.clone(), c.theirs.seq.0)
            };
            Due::Conflict(*accepted, conflicts.iter().map(row).collect())
        }
        Outcome::UnknownBase { next } => Due::UnknownBase(next.0),
        other => panic!("{other:?}"),
    }
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    Append(Plan),
    /// Everything becomes durable.
    Settle,
    /// The process starts again; the loop knows nothing but the log.
    Restart,
    /// Somebody asks again under an id that is decided.
    Again(usize),
}

/// An append, before it is known where the log stands.
#[derive(Clone, Debug)]
struct Plan {
    proposals: Vec<Proposal>,
    /// How far the client is behind; nothing for no condition. Negative numbers are ahead.
    behind: Option<i64>,
    /// How far behind the head the resolved events are.
    resolved: Vec<u64>,
    watch: Vec<Key>,
    all: bool,
    dry_run: bool,
}

fn key() -> impl Strategy<Value = Key> {
    (0..4_u8).prop_map(|n| Key::new("book", &n.to_string()))
}

fn trigger() -> impl Strategy<Value = Key> {
    (0..3_u8).prop_map(|n| Key::new("person", &n.to_string()))
}

fn proposal() -> impl Strategy<Value = Proposal> {
    let keys = prop::collection::vec(key(), 0..3);
    let triggers = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(trigger(), 1..3),
    ];
    // Events above 4 KiB are not kept for the answer but read again.
    let bytes = prop_oneof![9 => Just(2_usize), 1 => Just(3_000), 1 => Just(6_000)];
    (keys, triggers, bytes).prop_map(|(keys, triggers, bytes)| Proposal {
        keys,
        triggers,
        ..Proposal::json("e", vec![b'1'; bytes])
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::collection::vec(proposal(), 1..4),
        prop::option::weighted(0.8, prop_oneof![8 => 0..6_i64, 2 => 0..60_i64, 1 => -3..0_i64]),
        prop::collection::vec(0..8_u64, 0..4),
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(key(), 1..3)],
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(proposals, behind, resolved, watch, all, dry_run)| Plan {
            proposals,
            behind,
            resolved,
            watch,
            all,
            dry_run,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => plan().prop_map(Step::Append),
        4 => Just(Step::Settle),
        1 => Just(Step::Restart),
        2 => any::<usize>().prop_map(Step::Again),
    ]
}

impl Plan {
    fn append(&self, head: u64) -> Append {
        let mut append = append_to(SCOPE, &[]);
        append.proposals = self.proposals.clone();
        append.dry_run = self.dry_run;
        append.condition = self.behind.map(|behind| {
            let seq = |behind: u64| Seq(head.saturating_sub(behind).max(1));
            Condition {
                since: Seq(head.saturating_add_signed(-behind)),
                resolved: self.resolved.iter().map(|behind| seq(*behind)).collect(),
                keys: self.watch.clone(),
                all: self.all,
            }
        });
        append
    }
}

struct Run {
    memory: Memory,
    caller: Caller,
    model: Model,
    /// Calls without an answer yet, and what is due.
    open: Vec<(u64, Append, Due)>,
    decided: Vec<(Append, Due)>,
    seed: u64,
}

impl Run {
    fn new() -> Self {
        let memory = Memory::new(Limits::default());
        let caller = memory.by_hand();
        caller.bind("*", "accept-all");
        let (model, open, decided) = (Model::default(), Vec::new(), Vec::new());
        Run { memory, caller, model, open, decided, seed: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(plan) => self.append(plan.append(self.model.head())),
            Step::Settle => self.settle(),
            Step::Restart => {
                self.settle();
                self.seed += 1;
                self.memory.crash(self.seed);
                self.caller = self.memory.by_hand();
                // Refusals alone are not synced, so a crash may forget them.
                self.decided.retain(|(_, due)| matches!(due, Due::Committed(..)));
            }
            Step::Again(nth) if !self.decided.is_empty() => {
                self.settle();
                let (append, due) = self.decided[nth % self.decided.len()].clone();
                let answer = self.caller.ask_again(&append);
                assert!(answer.duplicate, "{append:?}");
                assert_eq!(shorten(&answer.outcome), due);
            }
            Step::Again(_) => {}
        }
    }

    fn append(&mut self, append: Append) {
        let due = self.model.decide(&append);
        let call = self.caller.send(append.clone());
        // It is decided on top of what is accepted and not durable.
        self.memory.hands.decide();
        self.open.push((call, append, due));
    }

    fn settle(&mut self) {
        // Nothing was told before it was durable.
        for (call, append, _) in &self.open {
            assert_eq!(self.caller.inbox.answer(*call), None, "{append:?}");
        }
        for (call, append, due) in std::mem::take(&mut self.open) {
            let Answer { outcome, duplicate } = self.caller.wait(call);
            assert!(!duplicate);
            assert_eq!(shorten(&outcome), due, "{append:?}");
            self.check_events(&outcome);
            if !append.dry_run {
                self.decided.push((append, due));
            }
        }
    }

    /// The later events in an answer are those of the log, with all they hold.
    fn check_events(&self, outcome: &Outcome) {
        if let Outcome::Conflict { conflicts, .. } = outcome {
            let events = self.caller.events(SCOPE);
            for conflict in conflicts {
                let seq = usize::try_from(conflict.theirs.seq.0).unwrap();
                assert_eq!(*conflict.theirs, events[seq - 1]);
            }
        }
    }

    fn finish(mut self) {
        self.settle();
        let events = self.caller.events(SCOPE);
        assert_eq!(events.len(), self.model.0.len());
        for (event, known) in events.iter().zip(&self.model.0) {
            assert_eq!((&event.keys, &event.triggers), (&known.keys, &known.triggers));
        }
        self.caller.verify();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_answer_is_that_of_a_plain_search_over_the_log(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..Default::default() })]

    /// As many events as make the loop drop what it keeps at hand, so that it looks into the log.
    #[test]
    fn callers_that_looked_long_ago_get_the_same_answers(
        steps in prop::collection::vec(plan(), 1..12),
        behind in prop::collection::vec(0..2_500_i64, 12),
        settled in 0..2_000_u64,
    ) {
        let mut run = Run::new();
        for n in 0..2_500 {
            let mut append = append_to(SCOPE, &["1"]);
            append.proposals[0].keys = match n % 97 {
                0 => Vec::new(),
                k => vec![Key::new("book", &(k + 3).to_string()), Key::new("shelf", "1")],
            };
            if n % 400 < 2 {
                append.proposals[0].keys.push(Key::new("book", &(n / 400).to_string()));
                append.proposals[0].triggers.push(Key::new("person", &(n % 3).to_string()));
            }
            if n % 97 == 0 {
                append.proposals[0].triggers.push(Key::new("person", &(n % 5).to_string()));
            }
            run.append(append);
            if n == settled {
                run.settle();
            }
        }
        for (mut plan, behind) in steps.into_iter().zip(behind) {
            plan.behind = Some(behind);
            run.append(plan.append(run.model.head()));
        }
        run.finish();
    }
}
