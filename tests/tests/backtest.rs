//! What other rules would have decided on a history, through the engine on a log in memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Against, Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store::validator::{
    Acceptance, AdmitError, Loader, Rules, Start, StartError, Validator, Verdict,
};
use atomic_store_core::protocol::{RequestError, StoreId};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    BacktestReport, Description, Digest, Fault, FaultKind, Limits, Outcome, ProofProgress,
    Proposal, Reason, Refusal, ScopePattern, Seq, ValidatorName,
};
use atomic_store_tests::{Caller, JumpingClock};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rules named by a letter and a number: `a7` accepts numbers of at least 7, and of at least the one
/// before; `d7` stores twice the number instead; `t7` traps at 7; `x7` traps when it folds 7; `c7` reads
/// the 7 from its configuration.
struct Letters;

struct Letter {
    digest: Digest,
    description: Description,
    what: u8,
    number: u64,
}

struct Instance {
    what: u8,
    number: u64,
    last: u64,
}

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

impl Loader for Letters {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        let Some((&what, rest)) = bytes.split_first().filter(|_| bytes.len() < 4) else {
            return Err(AdmitError::Malformed("a letter and a number".to_owned()));
        };
        let name = ValidatorName::new(std::str::from_utf8(bytes).unwrap()).unwrap();
        let description = Description { name, version: "1.0.0".to_owned(), kinds: Vec::new() };
        let (digest, number) = (Digest::of(bytes), number(rest));
        Ok(Arc::new(Letter { digest, description, what, number }))
    }
}

impl Rules for Letter {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        let configured = start.config.map(number);
        if self.what == b'c' && configured.is_none() {
            return Err(StartError::Declined("a number is needed".to_owned()));
        }
        let number = configured.filter(|_| self.what == b'c').unwrap_or(self.number);
        Ok(Box::new(Instance { what: self.what, number, last: 0 }))
    }
}

impl Validator for Instance {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        for event in events {
            self.last = number(event.payload);
            if self.what == b'x' && self.last == self.number {
                return Err(Fault { kind: FaultKind::Trap, detail: "while folding".to_owned() });
            }
        }
        Ok(())
    }

    fn validate(&mut self, proposals: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        let asked = number(&proposals[0].payload);
        if self.what == b't' && asked == self.number {
            return Err(Fault { kind: FaultKind::Trap, detail: "as named".to_owned() });
        }
        let floor = if matches!(self.what, b't' | b'x') { 0 } else { self.number };
        let code = match () {
            () if asked < floor => "too-small",
            () if asked < self.last => "falls",
            () => {
                let twice = (asked * 2).to_string();
                let instead = (self.what == b'd').then(|| vec![Proposal::json("op", twice)]);
                let one = Acceptance { instead, ..Acceptance::default() };
                return Ok(Verdict::Accepted(vec![one; proposals.len()]));
            }
        };
        let (code, message) = (code.to_owned(), format!("{asked}"));
        let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
        Ok(Verdict::Refused(Refusal { index: 0, reasons, meta: None }))
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn query(&mut self, _: &str, _: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(Ok(self.last.to_string().into_bytes()))
    }
}

/// A store in which `a5` judges `s/*`, with this history: 5 and 9 accepted, 7 and 3 rejected at head 2,
/// 9 accepted; and 4 rejected in a scope that has no event.
fn store(keep: bool) -> Caller {
    let limits = Limits::default();
    let clock = Arc::<JumpingClock>::default();
    clock.set(1_000_000);
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let engine = Engine::open(log, Arc::new(Letters), clock, limits, Drive::Threads(2)).unwrap();
    engine.keep_rejected_payloads(keep);
    let caller = Caller::new(engine);
    caller.rule("s/*", b"a5");
    caller.store("s/1", &["5"]);
    caller.store("s/1", &["9"]);
    for refused in ["7", "3"] {
        assert!(matches!(caller.append("s/1", &[refused]), Outcome::Rejected(_)));
    }
    caller.store("s/1", &["9"]);
    assert!(matches!(caller.append("s/2", &["4"]), Outcome::Rejected(_)));
    caller
}

fn against(scopes: &str) -> Against {
    let scopes = ScopePattern::new(scopes).unwrap();
    Against { validator: None, scopes, after: String::new(), config: None }
}

fn test_with(
    caller: &Caller,
    rules: &[u8],
    against: &Against,
) -> Result<BacktestReport, RequestError> {
    let (_, candidate) = caller.engine.try_component(rules)?;
    caller.engine.backtest(&candidate, against, &mut |_| ControlFlow::Continue(()))
}

fn test(caller: &Caller, rules: &[u8]) -> BacktestReport {
    test_with(caller, rules, &against("s/*")).unwrap()
}

/// Scope, event and both verdicts of each divergence.
fn differ(report: &BacktestReport) -> Vec<(&str, u64, String, String)> {
    let text = |said: &atomic_store_core::Said| format!("{} {}", said.verdict, said.why);
    let list = report.divergences.iter();
    list.map(|d| (d.scope.as_str(), d.seq.0, text(&d.then), text(&d.now))).collect()
}

#[test]
fn the_same_rules_decide_the_same_rejections_included_and_nothing_is_loaded() {
    let caller = store(true);
    let report = test(&caller, b"a5");
    let expected = BacktestReport {
        scopes: 2,
        events: 3,
        accepted: 3,
        rejections: 3,
        same: 6,
        ..BacktestReport::default()
    };
    assert_eq!(report, expected);
    let before = caller.engine.validators().0.len();
    test(&caller, b"a6");
    assert_eq!(caller.engine.validators().0.len(), before);
    assert_eq!(caller.events("s/1").len(), 3);
}

#[test]
fn a_stricter_and_a_laxer_rule_are_told_apart_with_the_first_divergence_of_each_scope() {
    let caller = store(true);
    let strict = test(&caller, b"a6");
    assert_eq!((strict.newly_rejected, strict.newly_accepted, strict.same), (1, 0, 5));
    let said = ("s/1", 1, "accepted ".to_owned(), "rejected too-small: 5".to_owned());
    assert_eq!(differ(&strict), [said]);
    let lax = test(&caller, b"a3");
    assert_eq!((lax.newly_rejected, lax.newly_accepted, lax.other_reason), (0, 1, 1));
    let said = ("s/2", 1, "rejected too-small: 4".to_owned(), "accepted ".to_owned());
    assert_eq!(differ(&lax), [said]);
    assert!(lax.divergences[0].rejection.is_some());
    assert_eq!(lax.differences(), 1);
}

#[test]
fn a_verdict_is_one_on_the_recorded_history_whatever_the_candidate_said_before() {
    let caller = store(true);
    // It rejects 5, and still judges 9 behind 5.
    let report = test(&caller, b"a9");
    assert_eq!((report.newly_rejected, report.same), (1, 5));
    let other = test(&caller, b"d5");
    assert_eq!((other.other_form, other.diverged, other.same), (3, 1, 3));
    assert_eq!(differ(&other)[0].3, "accepted it stores event 1 with another payload");
}

#[test]
fn faults_are_counted_and_a_scope_is_given_up_in_the_end() {
    let caller = store(true);
    let report = test(&caller, b"t9");
    assert_eq!((report.faults, report.same, report.newly_accepted), (2, 3, 1), "{report:?}");
    assert_eq!(differ(&report)[0].3, "fault trap: as named");
    // What it cannot fold it cannot go beyond.
    let report = test(&caller, b"x5");
    assert_eq!((report.faults, report.given_up), (1, 4), "{report:?}");
    assert_eq!(differ(&report)[0].3, "fault while it folded: trap: while folding");
}

#[test]
fn only_what_one_validator_decided_and_only_these_scopes() {
    let caller = store(true);
    caller.rule("s/*", b"a1");
    caller.store("s/1", &["9"]);
    caller.store("s/3", &["2"]);
    let (old, new) = (Digest::of(b"a5").to_string(), Digest::of(b"a1").to_string());
    let only = |which: &str| Against { validator: Some(which.parse().unwrap()), ..against("s/*") };
    let report = test_with(&caller, b"a6", &only(&old)).unwrap();
    assert_eq!((report.newly_rejected, report.by_others, report.accepted), (1, 2, 3));
    let report = test_with(&caller, b"a6", &only(&new)).unwrap();
    assert_eq!((report.newly_rejected, report.by_others, report.accepted), (1, 6, 2));
    let report = test_with(&caller, b"a6", &against("s/3")).unwrap();
    assert_eq!((report.scopes, report.accepted), (1, 1));
    let report = test_with(&caller, b"a6", &Against { after: "s/1".into(), ..against("s/*") });
    assert_eq!(report.unwrap().scopes, 2);
    let unknown = test_with(&caller, b"a6", &only("never-loaded"));
    assert!(matches!(unknown, Err(RequestError::NotFound(_))));
    let originator = caller.engine.candidate(&"originator".parse().unwrap());
    assert!(matches!(originator, Err(RequestError::Invalid { .. })));
}

#[test]
fn a_configuration_is_the_one_in_force_unless_another_is_given() {
    let caller = store(true);
    let pattern = || ScopePattern::new("c/*").unwrap();
    caller.engine.load(b"c0").unwrap();
    let bind = |config: &[u8]| {
        let which = Digest::of(b"c0").to_string().parse().unwrap();
        caller.engine.bind(pattern(), &which, Some(config.to_vec())).unwrap();
    };
    bind(b"3");
    caller.store("c/1", &["3"]);
    bind(b"8");
    caller.store("c/1", &["8"]);
    assert!(matches!(caller.append("c/1", &["7"]), Outcome::Rejected(_)));
    let report = test_with(&caller, b"c1", &against("c/*")).unwrap();
    assert_eq!((report.same, report.differences()), (3, 0));
    let given = Against { config: Some(b"7".to_vec()), ..against("c/*") };
    let report = test_with(&caller, b"c1", &given).unwrap();
    // 7 is now below the last event, and no longer below the least.
    assert_eq!((report.newly_rejected, report.same, report.other_reason), (1, 2, 1));
    // Without one it declines to start, which is said.
    let report = test_with(&caller, b"c1", &against("s/1")).unwrap();
    assert_eq!((report.faults, report.given_up), (3, 2));
    assert_eq!(differ(&report)[0].3, "fault it declined to start: a number is needed");
}

#[test]
fn rejections_without_payloads_are_counted_apart_and_a_run_can_be_ended() {
    let caller = store(false);
    let report = test(&caller, b"a5");
    assert_eq!((report.without_payload, report.rejections, report.same), (3, 0, 3));
    let (_, candidate) = caller.engine.try_component(b"a5").unwrap();
    let mut told = Vec::<ProofProgress>::new();
    let ended = caller.engine.backtest(&candidate, &against("*"), &mut |progress| {
        told.push(progress.clone());
        ControlFlow::Break(())
    });
    assert!(ended.unwrap().events <= 3);
    assert!(!told.is_empty());
    assert_eq!(Seq(3), caller.events("s/1").last().unwrap().seq);
}
