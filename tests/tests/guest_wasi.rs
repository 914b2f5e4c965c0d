//! Rules in guest languages that read the clock and draw random numbers all the same: in the virtual WASI, and
//! in the one without a system that core modules get, two stores come to the same verdicts and snapshots.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::plugin::WasmLoader;
use atomic_store::validator::{AdmitError, History, Loader as _, Rules, Start, Validator, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{AppendId, Digest, Grants, Limits, Proposal, ScopeName, Seq};
use atomic_store_tests::guest;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const EVENTS: u64 = 24;
/// The store's time of the first event; each next one is a second later.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// A store of its own, with an engine of its own, as on another machine. The wall clock ends no call: the
/// machine may be busy.
fn load(file: &str, wasi: bool) -> Result<Arc<dyn Rules>, AdmitError> {
    let limits = Limits { call_ms_max: 60_000, ..Limits::default() };
    let grants = Grants { wasi, ..Grants::default() };
    WasmLoader::new(limits).unwrap().load_granted(&guest(file), &grants)
}

struct Past(AtomicU64);

impl History for Past {
    fn head(&self) -> Seq {
        Seq(self.0.load(Ordering::Relaxed))
    }

    fn read(&self, _: Seq, _: usize, _: &mut dyn FnMut(&BodyIn<'_>)) -> Result<(), String> {
        Ok(())
    }
}

struct Scope {
    rules: Arc<dyn Rules>,
    name: ScopeName,
    past: Arc<Past>,
}

impl Scope {
    fn new(rules: &Arc<dyn Rules>, name: &str) -> Scope {
        let name = ScopeName::new(name).unwrap();
        Scope { rules: Arc::clone(rules), name, past: Arc::new(Past(AtomicU64::new(0))) }
    }

    fn start(&self, snapshot: Option<&[u8]>) -> Box<dyn Validator> {
        let history = Arc::<Past>::clone(&self.past);
        let start = Start { scope: &self.name, config: None, snapshot, history };
        self.rules.start(start).ok().unwrap()
    }

    /// Each event is judged, then folded. With `restarts` by a new instance each time, from the snapshot.
    fn run(&self, restarts: bool) -> (Vec<String>, Vec<u8>) {
        let mut instance = self.start(None);
        let mut said = Vec::new();
        for seq in 1..=EVENTS {
            let host_ms = BEGIN_MS + 1_000 * seq;
            let proposal = Proposal::json("look", "{}");
            said.push(told(&instance.validate(&[proposal], host_ms).unwrap()));
            instance.apply(&[event(seq, host_ms)]).unwrap();
            self.past.0.store(seq, Ordering::Relaxed);
            if restarts {
                let state = instance.snapshot().unwrap().unwrap();
                instance = self.start(Some(&state));
            }
        }
        (said, instance.snapshot().unwrap().unwrap())
    }
}

/// Accepted or refused, and what the rules saw.
fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted(yes) => format!("yes {}", yes[0].reason.as_deref().unwrap()),
        Verdict::Refused(no) => format!("no {}", no.reasons[0].message),
    }
}

fn event(seq: u64, host_ms: u64) -> BodyIn<'static> {
    BodyIn {
        seq: Seq(seq),
        kind: "look",
        content_type: Default::default(),
        payload: b"{}",
        keys: Vec::new(),
        triggers: Vec::new(),
        metadata: Vec::new(),
        caller_ms: None,
        host_ms,
        append_id: AppendId::default(),
        validator: Digest::default(),
        binding: Seq(1),
    }
}

/// Verdicts and state of two stores, one of which starts anew after each event. Gives what was said.
fn two_stores_agree(file: &str, wasi: bool) -> Vec<String> {
    let (one, two) = (load(file, wasi).unwrap(), load(file, wasi).unwrap());
    let (said, state) = Scope::new(&one, "restless/1").run(false);
    assert_eq!(Scope::new(&two, "restless/1").run(true), (said.clone(), state), "{file}");
    assert_eq!(said.len() as u64, EVENTS);
    said
}

/// The words of each answer at this place: 0 the verdict, 1 the time, 2 the random number.
fn column(said: &[String], at: usize) -> BTreeSet<&str> {
    said.iter().map(|line| line.split(' ').nth(at).unwrap()).collect()
}

/// The clock stands at the time of each proposal.
fn times() -> BTreeSet<String> {
    (1..=EVENTS).map(|seq| (BEGIN_MS + 1_000 * seq).to_string()).collect()
}

#[test]
fn rules_in_python_see_the_time_of_the_proposal_and_random_numbers_that_follow_from_it() {
    let file = "restless-python";
    let refused = load(file, false).err().unwrap();
    assert!(
        matches!(&refused, AdmitError::Import(name) if name.starts_with("wasi:")),
        "{refused:?}"
    );
    let said = two_stores_agree(file, true);
    assert_eq!(column(&said, 1), times().iter().map(String::as_str).collect());
    assert_eq!(column(&said, 2).len() as u64, EVENTS, "each draws another: {said:?}");
    assert_eq!(column(&said, 0).len(), 2, "both verdicts are there: {said:?}");
    let (others, _) = Scope::new(&load(file, true).unwrap(), "restless/2").run(false);
    assert!(column(&said, 2).is_disjoint(&column(&others, 2)), "each scope draws others");
}

#[test]
fn rules_in_javascript_see_the_time_of_the_proposal() {
    let refused = load("restless-js", false).err().unwrap();
    assert!(
        matches!(&refused, AdmitError::Import(name) if name.starts_with("wasi:")),
        "{refused:?}"
    );
    let said = two_stores_agree("restless-js", true);
    assert_eq!(column(&said, 1), times().iter().map(String::as_str).collect());
}

/// Core modules of WASI preview 1 need no grant, and get nothing: the clock stands still, and all random numbers
/// are one.
#[test]
fn rules_in_c_and_go_see_a_clock_that_stands_still() {
    for file in ["restless-c", "restless-go"] {
        for wasi in [false, true] {
            let said = two_stores_agree(file, wasi);
            assert_eq!(column(&said, 1), BTreeSet::from(["0"]), "{file}: {said:?}");
            assert_eq!(column(&said, 2), BTreeSet::from(["2a2a2a2a2a2a2a2a"]), "{file}");
        }
    }
}
