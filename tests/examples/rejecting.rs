//! What the journal of rejections costs: a load of which every append is refused, on a store that keeps
//! the journal and on one whose log throws the entries away, turn by turn.
//!
//! `cargo run --release -p atomic-store-tests --example rejecting -- [SECONDS] [DIR]`
#![allow(clippy::unwrap_used, reason = "an example that cannot go on says why and ends")]

use atomic_store::clock::SystemClock;
use atomic_store::engine::{Drive, Engine, ReplyTo, State};
use atomic_store::log::{
    CommitError, Decision, EventLog, FjallLog, OpenOptions, ReadError, ScopeRow, Snapshot, Tag,
    Topic, Unit,
};
use atomic_store_core::chain::Walk;
use atomic_store_core::protocol::{RequestError, StoreId};
use atomic_store_core::record::RecordView;
use atomic_store_core::{
    Answer, Append, AppendId, Digest, ExpectedHead, JointAnswer, Limits, Position, Proposal,
    Rejection, RejectionCount, RejectionsEnd, ScopeId, ScopeName, Seq,
};
use atomic_store_tests::ScriptedLoader;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const SCOPES: [usize; 2] = [1, 100];
const IN_FLIGHT: usize = 256;

/// A log that does not journal what was refused.
struct Forgetful(FjallLog);

macro_rules! as_it_is {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $result { self.0.$name($($arg),*) })*
    };
}

impl EventLog for Forgetful {
    fn commit(&self, units: &mut [Unit]) -> Result<(), CommitError> {
        units.iter_mut().for_each(|unit| unit.rejection = None);
        self.0.commit(units)
    }

    as_it_is! {
        store_id() -> StoreId;
        sweep() -> Result<bool, CommitError>;
        new_scope_id() -> ScopeId;
        position() -> Position;
        commits() -> u64;
        has_room() -> bool;
        scope(name: &ScopeName) -> Result<Option<ScopeRow>, ReadError>;
        scopes(prefix: &str, after: &str, limit: usize) -> Result<Vec<ScopeRow>, ReadError>;
        scope_count() -> u64;
        read(
            scope: &ScopeRow, walk: &mut Walk, through: Seq,
            each: &mut dyn FnMut(RecordView<'_>) -> ControlFlow<()>
        ) -> Result<(), ReadError>;
        read_order(
            after: Position, each: &mut dyn FnMut(&ScopeName, RecordView<'_>) -> ControlFlow<()>
        ) -> Result<(), ReadError>;
        tag(scope: ScopeId, topic: Topic<'_>) -> Tag;
        indexed(
            scope: &ScopeRow, topic: Topic<'_>, after: Seq, through: Seq,
            each: &mut dyn FnMut(Seq) -> ControlFlow<()>
        ) -> Result<(), ReadError>;
        indexed_back(
            scope: &ScopeRow, topic: Topic<'_>, after: Seq, through: Seq,
            each: &mut dyn FnMut(Seq) -> ControlFlow<()>
        ) -> Result<(), ReadError>;
        decision(
            scope: &ScopeName, id: AppendId, now_ms: u64
        ) -> Result<Option<Decision>, ReadError>;
        rejections(
            scope: Option<&ScopeName>, after: u64,
            each: &mut dyn FnMut(Rejection) -> ControlFlow<()>
        ) -> Result<(), ReadError>;
        rejections_end(scope: Option<&ScopeName>, last: u64) -> RejectionsEnd;
        rejection_counts(scope: Option<&ScopeName>) -> Vec<RejectionCount>;
        snapshot(
            scope: ScopeId, rule: &Digest, through: Seq
        ) -> Result<Option<Snapshot>, ReadError>;
        module(digest: &Digest) -> Result<Option<Vec<u8>>, ReadError>;
        proposed(scope: ScopeId, first: Seq) -> Result<Option<Vec<Proposal>>, ReadError>;
        close() -> Result<(), CommitError>;
    }
}

/// Which calls are answered.
#[derive(Default)]
struct Inbox(Mutex<Vec<u64>>, Condvar);

impl ReplyTo for Inbox {
    fn answer(&self, call: u64, answer: Answer) {
        assert!(!answer.duplicate, "an id was used twice");
        self.0.lock().unwrap().push(call);
        self.1.notify_one();
    }

    fn joint(&self, _: u64, _: JointAnswer) {}

    fn state(&self, _: u64, _: Result<State, RequestError>) {}
}

fn engine(log: Arc<dyn EventLog>) -> Engine {
    let drive = Drive::for_this_machine();
    let loader = Arc::new(ScriptedLoader);
    let engine =
        Engine::open(log, loader, Arc::new(SystemClock), Limits::default(), drive).unwrap();
    engine.bind("*".parse().unwrap(), &"accept-all".parse().unwrap(), None).unwrap();
    engine
}

/// Appends a second, all refused or all accepted, with so many in flight.
fn rate(engine: &Engine, scopes: usize, head: ExpectedHead, seconds: f64, ids: &mut u128) -> f64 {
    let names: Vec<_> = (0..scopes).map(|n| ScopeName::new(&format!("s/{n}")).unwrap()).collect();
    let inbox = Arc::<Inbox>::default();
    let to: Arc<dyn ReplyTo> = Arc::clone(&inbox) as _;
    let mut burst = engine.burst();
    let mut send = |burst: &mut atomic_store::engine::Burst, slot: usize| {
        *ids += 1;
        let payload = format!("{{\"amount\":{ids},\"bidder\":\"somebody in particular\"}}");
        let proposals = vec![Proposal::json("bid", payload)];
        let append =
            Append::new(names[slot % scopes].clone(), AppendId(ids.to_be_bytes()), proposals);
        burst.append(Append { expected_head: head, ..append }, &to, slot as u64);
    };
    let (start, mut answered, mut open) = (Instant::now(), 0_u64, IN_FLIGHT);
    (0..IN_FLIGHT).for_each(|slot| send(&mut burst, slot));
    burst.flush();
    while open > 0 {
        let mut calls = inbox.0.lock().unwrap();
        while calls.is_empty() {
            calls = inbox.1.wait(calls).unwrap();
        }
        let calls = std::mem::take(&mut *calls);
        answered += calls.len() as u64;
        if start.elapsed().as_secs_f64() >= seconds {
            open -= calls.len();
            continue;
        }
        calls.iter().for_each(|call| send(&mut burst, usize::try_from(*call).unwrap()));
        burst.flush();
    }
    answered as f64 / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().map_or(1.0, |text| text.parse().unwrap());
    let folder = args.next().map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(folder).unwrap();
    let open = |name: &str| FjallLog::open(&OpenOptions::new(dir.path().join(name))).unwrap().0;
    let journaling = engine(Arc::new(open("journaling")));
    let forgetful = engine(Arc::new(Forgetful(open("forgetful"))));
    let wrong = ExpectedHead::Exactly(Seq(u64::MAX - 1));
    let mut ids = 0;
    for scopes in SCOPES {
        let (mut with, mut without, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            with.push(rate(&journaling, scopes, wrong, seconds, &mut ids));
            without.push(rate(&forgetful, scopes, wrong, seconds, &mut ids));
            accepted.push(rate(&journaling, scopes, ExpectedHead::Any, seconds, &mut ids));
        }
        let (with, without, accepted) = (median(with), median(without), median(accepted));
        println!(
            "{scopes} scopes, {IN_FLIGHT} in flight: {with:.0} refused a second with the journal, \
             {without:.0} without, {:.0} %; {accepted:.0} accepted",
            100.0 * with / without
        );
    }
    let start = Instant::now();
    let mut read = 0_u64;
    while let Some(last) = journaling.rejections(None, read, u64::MAX).unwrap().last() {
        read = last.number;
    }
    let kept: u64 = journaling.count_rejections(None).iter().map(|one| one.count).sum();
    println!("{kept} entries kept, read in {:?}", start.elapsed());
    assert!(journaling.close(Duration::from_secs(60)) && forgetful.close(Duration::from_secs(60)));
    drop((journaling, forgetful));
    let start = Instant::now();
    drop(FjallLog::open(&OpenOptions::new(Path::new(dir.path()).join("journaling"))).unwrap());
    println!("opened again in {:?}", start.elapsed());
}
