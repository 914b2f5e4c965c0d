//! Caps of the engine, at their value and one above, on a log in memory whose loops and commits run
//! when the test says so.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::clock::Clock;
use atomic_store::engine::{Drive, Engine, ReplyTo, Scheduler, Work};
use atomic_store::log::{EventLog, MemoryLog};
use atomic_store::validator::{AdmitError, Loader, Rules, Start, StartError, Validator};
use atomic_store_core::protocol::{RequestError, StoreId};
use atomic_store_core::{
    Answer, Append, AppendId, Description, Digest, FaultKind, Limits, Outcome, Overload, Proposal,
    ScopeName, ScopePattern, Seq,
};
use atomic_store_tests::{Got, Inbox, JumpingClock, Op, SCRIPTED, ScriptedLoader};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

const ACCEPT_ALL: &str = "accept-all";

/// Loops that are ready to run.
#[derive(Default)]
struct Ready(Mutex<Vec<Work>>);

impl Scheduler for Ready {
    fn ready(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

/// Takes any bytes as a component of their own that does as the scripted one.
struct AnyLoader;

struct Any {
    digest: Digest,
    scripted: Arc<dyn Rules>,
}

impl Loader for AnyLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        let scripted = ScriptedLoader.load(SCRIPTED)?;
        Ok(Arc::new(Any { digest: Digest::of(bytes), scripted }))
    }
}

impl Rules for Any {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn description(&self) -> &Description {
        self.scripted.description()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        self.scripted.start(start)
    }
}

struct Store {
    engine: Engine,
    log: Arc<MemoryLog>,
    clock: Arc<JumpingClock>,
    ready: Arc<Ready>,
    inbox: Arc<Inbox>,
    calls: u64,
}

impl Store {
    /// A store that accepts everything in scopes `a/*`, and has the scripted validator in `s/*`.
    fn new(limits: Limits) -> Store {
        let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
        let clock = Arc::new(JumpingClock::default());
        clock.set(1_000_000);
        let ready = Arc::<Ready>::default();
        let (its_log, its_clock, drive) =
            (Arc::clone(&log), Arc::clone(&clock), Drive::Manual(Arc::clone(&ready) as _));
        let engine = Engine::open(its_log, Arc::new(AnyLoader), its_clock, limits, drive).unwrap();
        let (info, _) = engine.load(SCRIPTED).unwrap();
        let scripted = info.digest.to_string().parse().unwrap();
        engine.bind("a/*".parse().unwrap(), &ACCEPT_ALL.parse().unwrap(), None).unwrap();
        engine.bind("s/*".parse().unwrap(), &scripted, None).unwrap();
        Store { engine, log, clock, ready, inbox: Arc::default(), calls: 0 }
    }

    /// Sends an append and gives its call; its id is the call.
    fn send(&mut self, scope: &str, proposals: Vec<Proposal>) -> u64 {
        self.calls += 1;
        let id = AppendId(u128::from(self.calls).to_be_bytes());
        self.send_as(scope, id, proposals)
    }

    fn send_as(&mut self, scope: &str, id: AppendId, proposals: Vec<Proposal>) -> u64 {
        let scope = ScopeName::new(scope).unwrap();
        let append = Append { repeated: true, ..Append::new(scope, id, proposals) };
        let to: Arc<dyn ReplyTo> = Arc::clone(&self.inbox) as _;
        self.calls += 1;
        self.engine.append(append, &to, self.calls);
        self.calls
    }

    fn query(&mut self, scope: &str, name: &str, args: &[u8]) -> u64 {
        self.calls += 1;
        let to: Arc<dyn ReplyTo> = Arc::clone(&self.inbox) as _;
        let scope = ScopeName::new(scope).unwrap();
        self.engine.query(&scope, name.to_owned(), args.to_vec(), &to, self.calls);
        self.calls
    }

    /// Runs the loops that are ready, and commits nothing.
    fn decide(&self) {
        loop {
            let work = self.ready.0.lock().unwrap().pop();
            match work {
                Some(work) => work.run(),
                None => break,
            }
        }
    }

    /// Decides and commits until nothing is left to do.
    fn settle(&self) {
        self.decide();
        while self.engine.commit_turn() || !self.ready.0.lock().unwrap().is_empty() {
            self.decide();
        }
    }

    fn outcome(&self, call: u64) -> Option<Outcome> {
        self.inbox.answer(call).map(|answer| answer.outcome)
    }

    fn committed(&self, call: u64) {
        let outcome = self.outcome(call);
        assert!(matches!(outcome, Some(Outcome::Committed(_))), "{call}: {outcome:?}");
    }

    fn overloaded(&self, call: u64, what: Overload) {
        assert_eq!(self.outcome(call), Some(Outcome::Overloaded(what)), "call {call}");
    }

    /// Bytes of the record of one event.
    fn record_bytes(&self, scope: &str) -> usize {
        let mut bytes = 0;
        let scope = ScopeName::new(scope).unwrap();
        let read = self.engine.read(&scope, Seq::ZERO, Seq::MAX, &mut |view| {
            bytes = view.as_bytes().len();
            ControlFlow::Break(())
        });
        read.unwrap();
        bytes
    }
}

fn one() -> Vec<Proposal> {
    vec![Proposal::json("x", "12345")]
}

#[test]
fn a_mailbox_holds_its_cap_and_refuses_one_more_until_it_is_read() {
    let mut store = Store::new(Limits { mailbox_len_max: 3, ..Limits::default() });
    let taken: Vec<_> = (0..3).map(|_| store.send("a/1", one())).collect();
    let refused = store.send("a/1", one());
    store.overloaded(refused, Overload::Mailbox);
    let refused = store.query("a/1", "q", b"");
    let why = RequestError::Overloaded("mailbox".to_owned());
    assert_eq!(store.inbox.take(refused), Some(Got::State(Err(why))));
    // Another scope has a mailbox of its own.
    let other = store.send("a/2", one());
    store.settle();
    taken.into_iter().chain([other]).for_each(|call| store.committed(call));
    let again = store.send("a/1", one());
    store.settle();
    store.committed(again);
    // What was refused gave back its place among those in flight.
    assert_eq!(store.engine.status().in_flight, 0);
}

#[test]
fn appends_in_flight_have_their_number_in_the_whole_store() {
    let mut store = Store::new(Limits { in_flight_appends_max: 3, ..Limits::default() });
    let taken: Vec<_> = (1..=3).map(|n| store.send(&format!("a/{n}"), one())).collect();
    assert_eq!(store.engine.status().in_flight, 3);
    let refused = store.send("a/4", one());
    store.overloaded(refused, Overload::InFlight);
    // Decided is not durable: the place is free when the answer leaves.
    store.decide();
    let refused = store.send("a/4", one());
    store.overloaded(refused, Overload::InFlight);
    store.settle();
    taken.into_iter().for_each(|call| store.committed(call));
    let again = store.send("a/4", one());
    store.settle();
    store.committed(again);
}

#[test]
fn bytes_in_flight_have_their_sum_and_one_larger_append_goes_alone() {
    let bytes = |n: usize| vec![Proposal::json("x", vec![b'1'; n - 1])];
    let mut store = Store::new(Limits { in_flight_bytes_max: 100, ..Limits::default() });
    let taken = [store.send("a/1", bytes(60)), store.send("a/2", bytes(40))];
    let refused = store.send("a/3", bytes(1));
    store.overloaded(refused, Overload::InFlight);
    store.settle();
    taken.into_iter().for_each(|call| store.committed(call));
    let taken = store.send("a/1", bytes(60));
    let refused = store.send("a/2", bytes(41));
    store.overloaded(refused, Overload::InFlight);
    store.settle();
    store.committed(taken);
    let alone = store.send("a/1", bytes(5_000));
    let refused = store.send("a/2", bytes(1));
    store.overloaded(refused, Overload::InFlight);
    store.settle();
    store.committed(alone);
    assert_eq!(store.engine.status().in_flight, 0);
}

/// How many groups it takes to commit so many appends of one event, sent together.
fn groups(limits: &Limits, appends: u64) -> u64 {
    let mut store = Store::new(limits.clone());
    let before = store.engine.status().commits;
    let calls: Vec<_> = (0..appends).map(|n| store.send(&format!("a/{n}"), one())).collect();
    store.settle();
    calls.into_iter().for_each(|call| store.committed(call));
    store.engine.status().commits - before
}

#[test]
fn a_group_holds_its_events_and_one_more_makes_another() {
    let limits = Limits { group_events_max: 4, ..Limits::default() };
    for (appends, expected) in [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)] {
        assert_eq!(groups(&limits, appends), expected, "{appends} appends");
    }
    // An append is never split, however many events it has.
    let mut store = Store::new(limits);
    let before = store.engine.status().commits;
    let call = store.send("a/1", vec![Proposal::json("x", "1"); 9]);
    store.settle();
    store.committed(call);
    assert_eq!(store.engine.status().commits - before, 1);
}

#[test]
fn a_group_holds_its_bytes_and_one_more_makes_another() {
    let mut store = Store::new(Limits::default());
    let call = store.send("a/1", one());
    store.settle();
    store.committed(call);
    let bytes = store.record_bytes("a/1");
    let with = |bytes| Limits { group_bytes_max: bytes, ..Limits::default() };
    assert_eq!(groups(&with(3 * bytes), 3), 1);
    assert_eq!(groups(&with(3 * bytes), 4), 2);
    assert_eq!(groups(&with(3 * bytes - 1), 3), 2);
    // An append larger than the cap goes alone.
    assert_eq!(groups(&with(1), 3), 3);
}

#[test]
fn scopes_in_memory_leave_when_one_more_would_be_too_many() {
    let mut store = Store::new(Limits { instances_max: 3, ..Limits::default() });
    for n in 1..=3 {
        let call = store.send(&format!("s/{n}"), vec![Op::Add(9).proposal()]);
        store.settle();
        store.committed(call);
        assert_eq!(store.engine.status().live, n);
    }
    for n in 4..=40 {
        let call = store.send(&format!("s/{n}"), vec![Op::Add(9).proposal()]);
        store.settle();
        store.committed(call);
        assert!(store.engine.status().live <= 4, "{} scopes", store.engine.status().live);
    }
    // Who comes back finds its state.
    for n in 1..=40 {
        let call = store.query(&format!("s/{n}"), "sum", b"");
        store.settle();
        let Some(Got::State(Ok(state))) = store.inbox.take(call) else { panic!("no state") };
        assert_eq!((state.head, state.answer), (Seq(1), Ok(b"9".to_vec())), "s/{n}");
    }
}

#[test]
fn no_scope_is_started_when_too_many_cannot_leave() {
    // No loop runs, so none of them can leave. Beyond the cap 1,024 are borne meanwhile.
    const LEAVING: usize = 1_024;
    let limits = Limits { instances_max: 5, mailbox_len_max: 1, ..Limits::default() };
    let mut store = Store::new(limits);
    let scopes = 5 + LEAVING;
    let taken: Vec<_> = (0..scopes).map(|n| store.send(&format!("a/{n}"), one())).collect();
    assert_eq!(store.engine.status().live, scopes as u64);
    let refused = store.send("a/new", one());
    store.overloaded(refused, Overload::Instances);
    store.settle();
    taken.into_iter().for_each(|call| store.committed(call));
}

#[test]
fn a_snapshot_is_made_after_its_number_of_events_and_not_before() {
    let mut store = Store::new(Limits { snapshot_events: 3, ..Limits::default() });
    let name = ScopeName::new("s/1").unwrap();
    for n in 1..=7_u64 {
        let call = store.send("s/1", vec![Op::Add(9).proposal()]);
        store.settle();
        store.committed(call);
        let row = store.log.scope(&name).unwrap().unwrap();
        let rule = Digest::of(&Digest::of(SCRIPTED).0);
        let snapshot = store.log.snapshot(row.id, &rule, Seq::MAX).unwrap();
        let expected = (n >= 3).then_some(Seq(n / 3 * 3));
        assert_eq!(snapshot.map(|snapshot| snapshot.seq), expected, "after {n} events");
    }
}

#[test]
fn a_decided_id_is_remembered_for_its_time_and_at_most_an_eighth_longer() {
    const KEEP: u64 = 80_000;
    let mut store = Store::new(Limits { append_id_ms: KEEP, ..Limits::default() });
    let id = AppendId([8; 16]);
    let ask = |store: &mut Store| -> Answer {
        let call = store.send_as("a/1", id, one());
        store.settle();
        store.inbox.answer(call).unwrap()
    };
    let began = store.clock.now_ms();
    let first = ask(&mut store);
    assert!(!first.duplicate);
    for later in [0, 1, KEEP - 1, KEEP] {
        store.clock.set(began + later);
        let again = ask(&mut store);
        assert_eq!((again.duplicate, &again.outcome), (true, &first.outcome), "after {later} ms");
    }
    store.clock.set(began + KEEP + KEEP / 8 + 1);
    let anew = ask(&mut store);
    assert!(!anew.duplicate, "remembered for longer than promised");
    assert_ne!(anew.outcome, first.outcome);
}

#[test]
fn validators_have_their_number_and_bindings_are_not_in_their_way() {
    let mut store = Store::new(Limits { components_max: 3, ..Limits::default() });
    let full = |result: Result<_, RequestError>| match result {
        Err(RequestError::Invalid { field, .. }) => assert_eq!(field, "validators"),
        other => panic!("{other:?}"),
    };
    // The scripted one is loaded already; what comes with the store does not count.
    for n in [2, 3] {
        assert!(store.engine.load(&[n]).unwrap().1, "component {n}");
    }
    full(store.engine.load(&[4]).map(drop));
    assert!(!store.engine.load(&[3]).unwrap().1, "the same bytes again are no news");
    assert_eq!(store.engine.validators().0.len(), 5);
    // A store with no room for validators still takes bindings, old and new.
    for pattern in ["a/*", "new/*"] {
        store.engine.bind(pattern.parse().unwrap(), &ACCEPT_ALL.parse().unwrap(), None).unwrap();
    }
    let call = store.send("new/1", one());
    store.settle();
    store.committed(call);
}

#[test]
fn bindings_have_their_number_and_validators_are_not_in_their_way() {
    let store = Store::new(Limits { bindings_max: 3, ..Limits::default() });
    let bind = |pattern: &str| {
        let pattern: ScopePattern = pattern.parse().unwrap();
        store.engine.bind(pattern, &ACCEPT_ALL.parse().unwrap(), None).map(drop)
    };
    bind("third").unwrap();
    let Err(RequestError::Invalid { field, .. }) = bind("fourth") else { panic!("no refusal") };
    assert_eq!(field, "bindings");
    // A binding that is there may change, and one that goes makes room.
    bind("third").unwrap();
    store.engine.unbind(&"third".parse().unwrap()).unwrap();
    bind("fourth").unwrap();
    // A store with no room for bindings still takes validators.
    assert!(store.engine.load(&[7]).unwrap().1);
}

#[test]
fn two_at_once_do_not_both_get_the_last_place() {
    let limits = Limits { components_max: 3, bindings_max: 3, ..Limits::default() };
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let (clock, drive) = (Arc::new(JumpingClock::default()), Drive::Threads(1));
    let engine = Engine::open(log, Arc::new(AnyLoader), clock, limits, drive).unwrap();
    let start = std::sync::Barrier::new(16);
    let (engine, start) = (&engine, &start);
    let taken: Vec<(bool, bool)> = std::thread::scope(|threads| {
        let one = |n: u8| {
            threads.spawn(move || {
                start.wait();
                let pattern = format!("p{n}").parse().unwrap();
                let bound = engine.bind(pattern, &ACCEPT_ALL.parse().unwrap(), None);
                start.wait();
                (engine.load(&[n]).is_ok(), bound.is_ok())
            })
        };
        let running: Vec<_> = (0..16).map(one).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|(loaded, _)| *loaded).count(), 3, "validators");
    assert_eq!(taken.iter().filter(|(_, bound)| *bound).count(), 3, "bindings");
    let (infos, bindings) = engine.validators();
    assert_eq!((infos.len(), bindings.len()), (2 + 3, 3));
}

#[test]
fn caps_on_components_configurations_and_queries_hold_in_the_engine() {
    let limits = Limits {
        component_bytes_max: 10,
        config_bytes_max: 10,
        query_args_bytes_max: 10,
        ..Limits::default()
    };
    let mut store = Store::new(limits);
    let invalid = |result: Result<(), RequestError>| match result {
        Err(RequestError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert!(store.engine.load(&[1; 10]).is_ok());
    assert_eq!(invalid(store.engine.load(&[1; 11]).map(drop)), "component");
    assert_eq!(invalid(store.engine.load(&[]).map(drop)), "component");
    let bind = |bytes: usize| {
        let config = Some(vec![0xff; bytes]);
        store.engine.bind("a/*".parse().unwrap(), &ACCEPT_ALL.parse().unwrap(), config).map(drop)
    };
    assert_eq!(bind(10), Ok(()));
    assert_eq!(invalid(bind(11)), "config");
    let allowed = store.query("s/1", "nothing", b"123");
    let refused = store.query("s/1", "nothing", b"1234");
    store.settle();
    let Some(Got::State(Ok(state))) = store.inbox.take(allowed) else { panic!("no answer") };
    assert_eq!(state.answer, Err("no query nothing".to_owned()));
    let Some(Got::State(Err(error))) = store.inbox.take(refused) else { panic!("no refusal") };
    assert_eq!(invalid(Err(error)), "query");
}

#[test]
fn caps_on_appends_hold_in_the_engine_and_for_what_a_validator_puts_in_their_place() {
    let mut store = Store::new(Limits { append_events_max: 4, ..Limits::default() });
    let calls = [
        store.send("a/1", vec![Proposal::json("x", "1"); 4]),
        store.send("s/1", vec![Op::Ones(4).proposal()]),
    ];
    let refused = store.send("a/1", vec![Proposal::json("x", "1"); 5]);
    let faulted = store.send("s/2", vec![Op::Ones(5).proposal()]);
    store.settle();
    calls.into_iter().for_each(|call| store.committed(call));
    let Some(Outcome::Invalid { field, .. }) = store.outcome(refused) else { panic!("taken") };
    assert_eq!(field, "proposals");
    let Some(Outcome::Faulted(fault)) = store.outcome(faulted) else { panic!("stored") };
    assert_eq!(fault.kind, FaultKind::BadOutput);
}

#[test]
fn a_validator_that_is_too_slow_is_told_by_its_deadline() {
    let mut store = Store::new(Limits { call_ms_max: 123, ..Limits::default() });
    let call = store.send("s/1", vec![Op::Slow.proposal()]);
    store.settle();
    assert_eq!(store.outcome(call), Some(Outcome::TimedOut { after_ms: 123 }));
}

#[test]
fn without_room_on_the_disk_nothing_is_taken_and_nothing_is_lost() {
    let mut store = Store::new(Limits::default());
    let first = store.send("a/1", one());
    store.settle();
    store.committed(first);
    store.log.set_room(false);
    let refused = store.send("a/1", one());
    store.overloaded(refused, Overload::Disk);
    assert!(matches!(store.engine.load(&[1]), Err(RequestError::Overloaded(_))));
    assert!(store.record_bytes("a/1") > 0, "reading needs no room");
    store.log.set_room(true);
    let again = store.send("a/1", one());
    store.settle();
    store.committed(again);
}
