//! Rules that know older events: what they make of history, in the state, for readers and in a backtest.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{Against, Drive, Engine};
use atomic_store::log::MemoryLog;
use atomic_store::validator::{
    Acceptance, AdmitError, Loader, Rules, Start, StartError, Validator, Verdict, upcasted,
};
use atomic_store_core::protocol::{RequestError, StoreId};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    BacktestReport, Description, Digest, Fault, Limits, Proposal, Reason, Refusal, ScopePattern,
    Seq, ValidatorName,
};
use atomic_store_tests::{Caller, JumpingClock, scope};
use std::ops::ControlFlow;
use std::sync::Arc;

/// `first` takes events of kind `op`; `second` and `lazy` take `cents`, and `second` knows that an `op` is
/// a hundred `cents` today.
struct Kinds;

struct Kind {
    digest: Digest,
    description: Description,
}

struct Instance {
    takes: &'static str,
    upcasts: bool,
    sum: u64,
}

impl Loader for Kinds {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        let name = ValidatorName::new(std::str::from_utf8(bytes).unwrap()).unwrap();
        let description = Description { name, version: "1.0.0".to_owned(), kinds: Vec::new() };
        Ok(Arc::new(Kind { digest: Digest::of(bytes), description }))
    }
}

impl Rules for Kind {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn upcasts(&self) -> bool {
        self.description.name.as_str() == "second"
    }

    fn start(&self, _: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        let first = self.description.name.as_str() == "first";
        let takes = if first { "op" } else { "cents" };
        Ok(Box::new(Instance { takes, upcasts: self.upcasts(), sum: 0 }))
    }
}

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

impl Validator for Instance {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        let newer = self.upcast(events)?;
        for event in upcasted(events, &newer) {
            if event.kind == self.takes {
                self.sum += number(event.payload);
            }
        }
        Ok(())
    }

    fn upcast(&mut self, events: &[BodyIn<'_>]) -> Result<Vec<Option<Proposal>>, Fault> {
        let one = |event: &BodyIn<'_>| {
            let cents = (number(event.payload) * 100).to_string();
            (self.upcasts && event.kind == "op").then(|| Proposal::json("cents", cents))
        };
        Ok(events.iter().map(one).collect())
    }

    fn validate(&mut self, proposals: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        if proposals.iter().all(|proposal| proposal.kind == self.takes) {
            return Ok(Verdict::Accepted(vec![Acceptance::default(); proposals.len()]));
        }
        let (code, message) = ("kind".to_owned(), "another kind".to_owned());
        let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
        Ok(Verdict::Refused(Refusal { index: 0, reasons, meta: None }))
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn query(&mut self, _: &str, _: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(Ok(self.sum.to_string().into_bytes()))
    }
}

/// Three events under `first`, in two appends.
fn history(limits: Limits) -> Caller {
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let clock = Arc::<JumpingClock>::default();
    let engine = Engine::open(log, Arc::new(Kinds), clock, limits, Drive::Threads(2)).unwrap();
    let caller = Caller::new(engine);
    caller.rule("s/*", b"first");
    caller.store("s/1", &["1", "2"]);
    caller.store("s/1", &["4"]);
    caller
}

fn backtest(caller: &Caller, rules: &[u8]) -> BacktestReport {
    let (_, candidate) = caller.engine.try_component(rules).unwrap();
    let scopes = ScopePattern::new("s/*").unwrap();
    let against = Against { validator: None, scopes, after: String::new(), config: None };
    caller.engine.backtest(&candidate, &against, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_state_is_folded_from_what_events_are_today_and_the_log_stays_as_it_is() {
    let caller = history(Limits::default());
    assert_eq!(caller.query("s/1", "").1, Ok(b"7".to_vec()));
    caller.rule("s/*", b"second");
    assert_eq!(caller.query("s/1", "").1, Ok(b"700".to_vec()));
    assert!(caller.events("s/1").iter().all(|event| event.kind == "op"));
    caller.rule("s/*", b"lazy");
    assert_eq!(caller.query("s/1", "").1, Ok(b"0".to_vec()));
    caller.verify();
}

#[test]
fn readers_may_ask_what_events_are_today() {
    let caller = history(Limits::default());
    let ask = |seqs: &[u64]| {
        let seqs: Vec<_> = seqs.iter().map(|seq| Seq(*seq)).collect();
        caller.engine.upcast(&scope("s/1"), &seqs)
    };
    assert_eq!(ask(&[1, 3]), Ok(vec![None, None]), "the present rules know nothing newer");
    caller.rule("s/*", b"second");
    let cents = |text: &str| Some(Proposal::json("cents", text));
    assert_eq!(ask(&[3, 1]), Ok(vec![cents("400"), cents("100")]));
    assert_eq!(ask(&[]), Ok(Vec::new()));
    for wrong in [&[0][..], &[4], &[1, 99]] {
        assert!(matches!(ask(wrong), Err(RequestError::Invalid { .. })), "{wrong:?}");
    }
    assert!(caller.engine.upcast(&scope("s/none"), &[Seq(1)]).is_err());
}

#[test]
fn an_answer_is_a_page_and_who_asks_gets_one_at_least() {
    let limits = Limits { page_events_max: 2, page_bytes_max: 1, ..Limits::default() };
    let caller = history(limits);
    caller.rule("s/*", b"second");
    let page = caller.engine.upcast(&scope("s/1"), &[Seq(1), Seq(2)]).unwrap();
    assert_eq!(page, [Some(Proposal::json("cents", "100"))]);
    let many = caller.engine.upcast(&scope("s/1"), &[Seq(1), Seq(2), Seq(3)]);
    assert!(matches!(many, Err(RequestError::Invalid { .. })));
}

#[test]
fn a_backtest_puts_events_before_a_candidate_as_it_knows_them() {
    let caller = history(Limits::default());
    let knows = backtest(&caller, b"second");
    assert_eq!((knows.same, knows.differences()), (2, 0), "{knows:?}");
    let lazy = backtest(&caller, b"lazy");
    assert_eq!((lazy.newly_rejected, lazy.same), (2, 0), "{lazy:?}");
}
