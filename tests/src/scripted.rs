//! A validator in plain Rust that does what its proposals say: accept by a rule that depends on the
//! state, refuse, trap, take too long, store something else. It stands in for wasm in the
//! simulator, where only the engine is on trial.

use atomic_store::validator::{
    Acceptance, AdmitError, History, Loader, Rules, Start, StartError, Validator, Verdict,
};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    Description, Digest, Fault, FaultKind, Proposal, Reason, Refusal, Seq, ValidatorName,
};
use std::str::FromStr;
use std::sync::Arc;

/// The "component" of the scripted validator.
pub const SCRIPTED: &[u8] = b"scripted";

/// What a proposal asks the scripted validator to do; its payload is the text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Accepted if the number is at least the sum so far modulo 10.
    Add(u64),
    /// Stored as so many events of 1.
    Ones(u64),
    /// Accepted, nothing stored.
    Noop,
    /// Refused.
    Refuse,
    /// Traps while it is judged.
    Trap,
    /// Is accepted, and then traps while it is folded.
    TrapInApply,
    /// Takes too long.
    Slow,
    /// Answers with too few acceptances.
    Lie,
}

impl Op {
    /// The text form.
    #[must_use]
    pub fn payload(self) -> Vec<u8> {
        match self {
            Op::Add(n) => format!("add {n}"),
            Op::Ones(n) => format!("ones {n}"),
            Op::Noop => "noop".to_owned(),
            Op::Refuse => "refuse".to_owned(),
            Op::Trap => "trap".to_owned(),
            Op::TrapInApply => "trap-in-apply".to_owned(),
            Op::Slow => "slow".to_owned(),
            Op::Lie => "lie".to_owned(),
        }
        .into_bytes()
    }

    /// A proposal of it.
    #[must_use]
    pub fn proposal(self) -> Proposal {
        Proposal::json("op", self.payload())
    }

    /// Reads the text form.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Op> {
        let text = std::str::from_utf8(payload).ok()?;
        let (word, number) = text.split_once(' ').unwrap_or((text, "0"));
        let number = u64::from_str(number).ok()?;
        Some(match word {
            "add" => Op::Add(number),
            "ones" => Op::Ones(number),
            "noop" => Op::Noop,
            "refuse" => Op::Refuse,
            "trap" => Op::Trap,
            "trap-in-apply" => Op::TrapInApply,
            "slow" => Op::Slow,
            "lie" => Op::Lie,
            _ => return None,
        })
    }
}

/// The state: how many events, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Events folded.
    pub count: u64,
    /// Sum of what they added.
    pub sum: u64,
}

impl State {
    /// The rule that the simulator checks again on the finished log.
    #[must_use]
    pub fn allows(&self, n: u64) -> bool {
        n >= self.sum % 10
    }

    /// Folds one event.
    pub fn fold(&mut self, payload: &[u8]) -> Option<()> {
        match Op::read(payload)? {
            Op::Add(n) => self.sum += n,
            _ => return None,
        }
        self.count += 1;
        Some(())
    }
}

/// Loads the scripted validator, and nothing else.
pub struct ScriptedLoader;

struct Scripted {
    description: Description,
}

struct Instance {
    state: State,
    history: Arc<dyn History>,
}

impl Loader for ScriptedLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        if bytes != SCRIPTED {
            return Err(AdmitError::Malformed("only the scripted validator is known".to_owned()));
        }
        let name = ValidatorName::new("scripted").unwrap();
        let description = Description { name, version: "1.0.0".to_owned(), kinds: Vec::new() };
        Ok(Arc::new(Scripted { description }))
    }
}

impl Rules for Scripted {
    fn digest(&self) -> Digest {
        Digest::of(SCRIPTED)
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        let state = match start.snapshot.map(<[u8; 16]>::try_from) {
            None => State::default(),
            Some(Err(_)) => return Err(StartError::Declined("not my snapshot".to_owned())),
            Some(Ok(bytes)) => State {
                count: u64::from_be_bytes(bytes[..8].try_into().unwrap()),
                sum: u64::from_be_bytes(bytes[8..].try_into().unwrap()),
            },
        };
        Ok(Box::new(Instance { state, history: start.history }))
    }
}

impl Instance {
    /// What the log shows must be what was folded; anything else is an error of the engine.
    fn look_back(&self) -> Result<(), Fault> {
        let (mut seen, mut last) = (State::default(), None::<Seq>);
        let fold = &mut |event: &BodyIn<'_>| {
            // What was deleted is gone from both; what is left has no gap.
            let expected = last.map_or(event.seq, Seq::next);
            assert_eq!(event.seq, expected, "history has a gap");
            last = Some(event.seq);
            seen.fold(event.payload).unwrap();
        };
        let read = self.history.read(Seq::ZERO, usize::MAX, fold);
        read.map_err(|detail| Fault { kind: FaultKind::Trap, detail })?;
        let head = self.history.head();
        assert_eq!(last.unwrap_or(head), head, "history ends elsewhere");
        assert_eq!(seen, self.state, "history shows other events than were folded");
        Ok(())
    }

    fn judge(&self, state: &mut State, index: usize, op: Option<Op>) -> Result<Judged, Fault> {
        let fault = |kind| Err(Fault { kind, detail: "as scripted".to_owned() });
        match op {
            Some(Op::Add(n)) if state.allows(n) => {
                state.sum += n;
                Ok(Judged::Yes(Acceptance::default()))
            }
            Some(Op::Ones(n)) => {
                let ones = vec![Op::Add(1).proposal(); usize::try_from(n).unwrap()];
                state.sum += n;
                let reason = Some(format!("stored as {n}"));
                Ok(Judged::Yes(Acceptance { instead: Some(ones), reason, meta: None }))
            }
            Some(Op::Noop) => {
                let instead = Some(Vec::new());
                Ok(Judged::Yes(Acceptance { instead, ..Acceptance::default() }))
            }
            Some(Op::TrapInApply) => Ok(Judged::Yes(Acceptance::default())),
            Some(Op::Trap) => fault(FaultKind::Trap),
            Some(Op::Slow) => fault(FaultKind::Timeout),
            Some(Op::Lie) => Ok(Judged::Lie),
            Some(Op::Add(_)) => Ok(Judged::No(refusal(index, "too-low"))),
            Some(Op::Refuse) => Ok(Judged::No(refusal(index, "as-asked"))),
            None => Ok(Judged::No(refusal(index, "not-understood"))),
        }
    }
}

enum Judged {
    Yes(Acceptance),
    No(Refusal),
    Lie,
}

fn refusal(index: usize, code: &str) -> Refusal {
    let (code, message) = (code.to_owned(), "as scripted".to_owned());
    let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
    Refusal { index: u32::try_from(index).unwrap(), reasons, meta: None }
}

impl Validator for Instance {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        // A guest may look back at any time, also while it is folded.
        let read = self.history.read(Seq::ZERO, 1, &mut |_| {});
        read.map_err(|detail| Fault { kind: FaultKind::Trap, detail })?;
        for event in events {
            if self.state.fold(event.payload).is_none() {
                let detail = "as scripted".to_owned();
                return Err(Fault { kind: FaultKind::Trap, detail });
            }
        }
        Ok(())
    }

    fn validate(&mut self, proposals: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        self.look_back()?;
        let mut state = self.state;
        let mut acceptances = Vec::new();
        for (index, proposal) in proposals.iter().enumerate() {
            match self.judge(&mut state, index, Op::read(&proposal.payload))? {
                Judged::Yes(acceptance) => acceptances.push(acceptance),
                Judged::No(refusal) => return Ok(Verdict::Refused(refusal)),
                Judged::Lie => return Ok(Verdict::Accepted(Vec::new())),
            }
        }
        Ok(Verdict::Accepted(acceptances))
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let State { count, sum } = self.state;
        Ok(Some([count.to_be_bytes(), sum.to_be_bytes()].concat()))
    }

    fn query(&mut self, name: &str, _: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(match name {
            "sum" => Ok(self.state.sum.to_string().into_bytes()),
            "count" => Ok(self.state.count.to_string().into_bytes()),
            other => Err(format!("no query {other}")),
        })
    }
}
