//! The simulator: one engine, one log, clients that send, retry and read, and the model that all of it
//! is held against.

mod conditions;
mod joints;
mod journal;
mod model;
mod questions;
mod queue;

use atomic_store::engine::{Drive, Engine, ORIGINATOR, ReplyTo};
use atomic_store::log::{CommitFault, MemoryLog};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{
    Answer, Append, AppendId, Digest, Event, ExpectedHead, JointAppend, Limits, Outcome, Rejection,
    ScopeName, ScopePattern, Seq,
};
use atomic_store_tests::{Got, Inbox, JumpingClock, Op, Rng, SCRIPTED, ScriptedLoader};
use journal::Journal;
use model::Model;
use questions::Questions;
use queue::Ready;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What may go wrong besides the validators.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chaos {
    /// The process or the machine stops at any moment.
    pub crashes: bool,
    /// Commits and reads fail.
    pub failures: bool,
}

/// What a run met.
pub struct Report {
    pub crashes: u64,
    pub duplicates: u64,
    /// Joint appends that were accepted.
    pub joints: u64,
    /// Events that their own clients judged.
    pub judged: u64,
    /// A hash of everything that was answered and stored.
    pub trace: Digest,
}

/// The scope whose clients judge.
const ASKED: &str = "s/0";

pub struct Sim {
    seed: u64,
    rng: Rng,
    chaos: Chaos,
    scopes: Vec<ScopeName>,
    log: Arc<MemoryLog>,
    clock: Arc<JumpingClock>,
    ready: Arc<Ready>,
    inbox: Arc<Inbox>,
    engine: Engine,
    model: Model,
    journal: Journal,
    questions: Questions,
    /// Calls that were sent to the engine and not answered yet: call number and append.
    open: Vec<(u64, AppendId)>,
    /// The same for joint appends.
    open_joints: Vec<(u64, AppendId)>,
    /// Appends whose repetition came first. A crash ends the connections that hold them.
    overtaken: Vec<Append>,
    calls: u64,
    crashes: u64,
    duplicates: u64,
}

fn limits() -> Limits {
    // Small, so that a short run meets them.
    Limits {
        mailbox_len_max: 6,
        in_flight_appends_max: 40,
        group_events_max: 8,
        instances_max: 3,
        snapshot_events: 4,
        append_events_max: 5,
        ..Limits::default()
    }
}

fn open(log: &Arc<MemoryLog>, clock: &Arc<JumpingClock>, ready: &Arc<Ready>) -> Engine {
    let (log, clock, ready) = (Arc::clone(log), Arc::clone(clock), Arc::clone(ready));
    Engine::open(log, Arc::new(ScriptedLoader), clock, limits(), Drive::Manual(ready)).unwrap()
}

impl Sim {
    pub fn new(seed: u64, chaos: Chaos) -> Self {
        let mut rng = Rng::new(seed);
        let log = Arc::new(MemoryLog::new(StoreId([7; 16]), limits()));
        let clock = Arc::new(JumpingClock::default());
        clock.set(1_000_000 + rng.below(1_000));
        let ready = Arc::<Ready>::default();
        let engine = open(&log, &clock, &ready);
        let (info, new) = engine.load(SCRIPTED).unwrap();
        assert!(new, "seed {seed}");
        let which = info.digest.to_string().parse().unwrap();
        engine.bind(ScopePattern::new("s/*").unwrap(), &which, None).unwrap();
        let deadline = Some(br#"{"deadline_ms":500}"#.to_vec());
        let which = ORIGINATOR.parse().unwrap();
        engine.bind(ScopePattern::new(ASKED).unwrap(), &which, deadline).unwrap();
        let scopes = (0..=1 + rng.below(6)).map(|n| ScopeName::new(&format!("s/{n}")).unwrap());
        Sim {
            seed,
            chaos,
            scopes: scopes.collect(),
            rng,
            log,
            clock,
            ready,
            inbox: Arc::new(Inbox::that_judges()),
            engine,
            model: Model::new(seed),
            journal: Journal::default(),
            questions: Questions::default(),
            open: Vec::new(),
            open_joints: Vec::new(),
            overtaken: Vec::new(),
            calls: 0,
            crashes: 0,
            duplicates: 0,
        }
    }

    /// From here on, lets the n-th commit fail, before or after it became durable.
    pub fn fail_commit(&mut self, n: u64, after_durable: bool) {
        let how = if after_durable { CommitFault::After } else { CommitFault::Before };
        self.log.fail_commit(self.log.commit_calls() + n, how);
    }

    /// One thing happens.
    pub fn step(&mut self) {
        match self.rng.below(100) {
            0..32 => self.send_new(),
            32..40 => self.send_joint(),
            40..46 => self.send_again(),
            46..48 => self.send_overtaken(),
            48..70 => self.run_a_loop(),
            70..88 => drop(self.engine.commit_turn()),
            88..93 => self.read_a_scope(),
            93..94 => self.move_the_clock(),
            94..96 => self.answer_a_question(),
            96..98 if self.chaos.failures => self.plan_a_failure(),
            98 if self.chaos.crashes => self.crash(),
            _ => self.run_a_loop(),
        }
        self.collect();
        if self.engine.failed().borrow().is_some() {
            self.after_a_failure();
        }
    }

    /// Whatever a client may want to append to a scope.
    fn new_append(&mut self, scope: ScopeName) -> Append {
        let proposals = if self.rng.one_in(4) { 1 + self.rng.index(3) } else { 1 };
        let ops: Vec<Op> = (0..proposals).map(|_| self.op()).collect();
        let expected_head = match self.rng.below(8) {
            0 => ExpectedHead::Exactly(Seq(self.rng.below(12))),
            1 => ExpectedHead::Exactly(self.model.head(&scope)),
            _ => ExpectedHead::Any,
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.rng.number().to_be_bytes());
        let mut proposals: Vec<_> = ops.iter().map(|op| op.proposal()).collect();
        conditions::decorate(&mut proposals, &mut self.rng);
        let condition = conditions::condition(self.model.head(&scope), &mut self.rng);
        let append = Append::new(scope, AppendId(id), proposals);
        Append { expected_head, condition, ..append }
    }

    fn send_new(&mut self) {
        let scope = self.scopes[self.rng.index(self.scopes.len())].clone();
        let append = self.new_append(scope);
        if self.rng.one_in(10) {
            // Not known to the model: if anything of it is stored, that is a foreign event.
            return self.send(append.dry_run());
        }
        self.model.sent(append.clone());
        if self.rng.one_in(6) {
            // The client gave up a slow connection and asks on another, which is faster.
            self.overtaken.push(append.clone());
            self.send(Append { repeated: true, ..append });
        } else {
            self.send(append);
        }
    }

    /// An append to some scopes in any order.
    fn send_joint(&mut self) {
        // Those that ask their clients take no part.
        let mut left = self.scopes[1..].to_vec();
        let parts = 1 + self.rng.index(left.len().min(3));
        let mut appends = Vec::new();
        for _ in 0..parts {
            let scope = left.swap_remove(self.rng.index(left.len()));
            let mut append = self.new_append(scope);
            // All together within the cap on events.
            append.proposals.truncate(5 / parts);
            appends.push(append);
        }
        let mut joint = joints::join(appends[0].id, appends);
        if self.rng.one_in(10) {
            joint.dry_run = true;
        } else {
            self.model.joints.sent(joint.clone());
        }
        self.push_joint(joint);
    }

    fn push_joint(&mut self, joint: JointAppend) {
        self.calls += 1;
        self.open_joints.push((self.calls, joint.id));
        let to: Arc<dyn ReplyTo> = Arc::clone(&self.inbox) as _;
        self.engine.append_joint(joint, &to, self.calls);
    }

    fn op(&mut self) -> Op {
        match self.rng.below(20) {
            0 => Op::Refuse,
            1 => Op::Trap,
            2 => Op::TrapInApply,
            3 => Op::Slow,
            4 => Op::Lie,
            5 => Op::Noop,
            6 => Op::Ones(1 + self.rng.below(4)),
            _ => Op::Add(self.rng.below(12)),
        }
    }

    /// A client asks again: because it got no answer, or because it does not trust the one it got.
    fn send_again(&mut self) {
        if self.rng.one_in(3)
            && let Some(mut joint) = self.model.joints.any_sent(&mut self.rng)
        {
            joint.repeated = true;
            return self.push_joint(joint);
        }
        if let Some(mut append) = self.model.any_sent(&mut self.rng) {
            append.repeated = true;
            self.send(append);
        }
    }

    /// What was overtaken by its own repetition arrives at last.
    fn send_overtaken(&mut self) {
        if !self.overtaken.is_empty() {
            let index = self.rng.index(self.overtaken.len());
            let append = self.overtaken.swap_remove(index);
            self.send(append);
        }
    }

    fn send(&mut self, append: Append) {
        self.calls += 1;
        self.open.push((self.calls, append.id));
        let to: Arc<dyn ReplyTo> = Arc::clone(&self.inbox) as _;
        self.engine.append(append, &to, self.calls);
    }

    fn run_a_loop(&mut self) {
        if let Some(work) = self.ready.any(&mut self.rng) {
            work.run();
        }
    }

    fn move_the_clock(&mut self) {
        use atomic_store::clock::Clock;
        let now = self.clock.now_ms();
        let back = self.rng.one_in(3);
        let by = self.rng.below(1_000);
        self.clock.set(if back { now.saturating_sub(by) } else { now + by });
        self.engine.expire_questions();
    }

    fn answer_a_question(&mut self) {
        self.questions.collect(&self.engine, &self.inbox);
        let (open, model) = (&self.open, &self.model);
        let proposed = |call| {
            let open = open.iter().find(|(sent, _)| *sent == call);
            open.and_then(|(_, id)| model.proposals(*id)).unwrap_or_default()
        };
        self.questions.step(self.seed, &self.engine, &self.inbox, &mut self.rng, proposed);
    }

    fn plan_a_failure(&mut self) {
        let n = 1 + self.rng.below(6);
        if self.rng.one_in(3) {
            self.log.fail_read(self.log.read_calls() + n);
        } else {
            let after_durable = self.rng.one_in(2);
            self.fail_commit(n, after_durable);
        }
    }

    fn read_a_scope(&mut self) {
        let scope = self.scopes[self.rng.index(self.scopes.len())].clone();
        if let Some(events) = self.read(&scope) {
            self.model.saw(&scope, &events);
        }
        self.read_the_journal();
    }

    /// All of the journal of rejections; nothing if the planned failure hit this read.
    fn read_the_journal(&mut self) -> Option<Vec<Rejection>> {
        let entries = self.engine.rejections(None, 0, u64::MAX).ok()?;
        let model = &self.model;
        self.journal.saw(self.seed, &entries, |id, scope| model.sent_to(id, scope));
        Some(entries)
    }

    /// All durable events of a scope; nothing if the planned failure hit this read.
    fn read(&self, scope: &ScopeName) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let result = self.engine.read(scope, Seq::ZERO, Seq::MAX, &mut |view| {
            events.push(view.to_event().unwrap());
            ControlFlow::Continue(())
        });
        match result {
            Ok(()) => Some(events),
            Err(atomic_store::log::ReadError::Storage(_)) => None,
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
    }

    /// Uses up the reads that are planned to fail.
    fn use_up_failing_reads(&self) {
        for scope in &self.scopes {
            while self.read(scope).is_none() {}
        }
    }

    fn collect(&mut self) {
        let (inbox, model) = (&self.inbox, &mut self.model);
        let duplicates = &mut self.duplicates;
        self.open.retain(|(call, id)| match inbox.answer(*call) {
            None => true,
            Some(answer) => {
                *duplicates += u64::from(answer.duplicate);
                model.answered(*id, &answer);
                false
            }
        });
        let seed = self.seed;
        self.open_joints.retain(|(call, id)| match inbox.take(*call) {
            None => true,
            Some(Got::Joint(answer)) => {
                *duplicates += u64::from(answer.duplicate);
                model.joints.answered(seed, *id, &answer);
                false
            }
            Some(other) => panic!("seed {seed}: a joint append got {other:?}"),
        });
    }

    fn all_answered(&self) -> bool {
        self.open.is_empty() && self.open_joints.is_empty()
    }

    /// The log failed: everything that waits must be answered as unknown, and nothing new taken.
    fn after_a_failure(&mut self) {
        let why = self.engine.failed().borrow().clone().unwrap();
        assert!(!why.contains("panicked"), "seed {}: {why}", self.seed);
        self.settle();
        assert!(self.all_answered(), "seed {}: no answer after a failure", self.seed);
        self.calls += 1;
        let to: Arc<dyn ReplyTo> = Arc::clone(&self.inbox) as _;
        let proposals = vec![Op::Add(9).proposal()];
        let append = Append::new(self.scopes[0].clone(), AppendId([9; 16]), proposals);
        self.engine.append(append, &to, self.calls);
        let Answer { outcome, .. } = self.inbox.answer(self.calls).unwrap();
        assert!(matches!(outcome, Outcome::ReadOnly { .. }), "seed {}: {outcome:?}", self.seed);
        self.crash();
    }

    /// The process stops at once, and the store is opened again. What was synced is there, and as much
    /// of the rest as the seed says.
    fn crash(&mut self) {
        self.crashes += 1;
        self.ready.clear();
        self.model.may_forget_refusals();
        self.open.clear();
        self.open_joints.clear();
        self.overtaken.clear();
        self.questions.clear();
        self.inbox = Arc::new(Inbox::that_judges());
        self.log = Arc::new(self.log.crash(self.rng.number()));
        self.engine = open(&self.log, &self.clock, &self.ready);
    }

    /// Lets everything that waits be decided and committed.
    fn settle(&mut self) {
        loop {
            while let Some(work) = self.ready.any(&mut self.rng) {
                work.run();
            }
            let idle = !self.engine.commit_turn() && self.ready.is_empty();
            self.questions.collect(&self.engine, &self.inbox);
            if idle && self.questions.is_empty() {
                break;
            }
            if idle {
                self.answer_a_question();
            }
        }
        self.collect();
    }

    /// Every client asks for every append once more, then the log is held against the model.
    pub fn finish(mut self) -> Report {
        self.settle();
        assert!(self.all_answered(), "seed {}: calls without an answer", self.seed);
        // Planned failures may still come; each ends in a restart, after which everybody asks again.
        for round in 1.. {
            assert!(round < 100, "seed {}: something is never decided", self.seed);
            for mut append in self.model.all_sent() {
                append.repeated = true;
                self.send(append);
                self.settle();
            }
            for mut joint in self.model.joints.all_sent() {
                joint.repeated = true;
                self.push_joint(joint);
                self.settle();
                assert!(self.all_answered(), "seed {}: a joint append hangs", self.seed);
            }
            if self.engine.failed().borrow().is_some() {
                self.after_a_failure();
            } else if self.model.is_decided() {
                break;
            }
        }
        self.use_up_failing_reads();
        let mut trace = Vec::new();
        for scope in &self.scopes {
            let events = self.read(scope).expect("no read fails any more");
            self.model.saw(scope, &events);
            self.model.check_scope(scope, &events);
            trace.extend(events.last().map(|event| event.hash.0).unwrap_or_default());
        }
        let entries = self.read_the_journal().expect("no read fails any more");
        Journal::check(self.seed, &entries, &self.model.refused());
        let report = self.engine.verify(None, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.damage, Vec::<String>::new(), "seed {}", self.seed);
        let logic = self.engine.verify_logic(None, "", &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((logic.failed, logic.not_shown), (0, 0), "seed {}: {logic:?}", self.seed);
        trace.extend(self.model.trace());
        Report {
            crashes: self.crashes,
            duplicates: self.duplicates,
            judged: self.model.head(&self.scopes[0]).0,
            joints: self.model.joints.committed() as u64,
            trace: Digest::of(&trace),
        }
    }
}
