//! Two instances on the same way: one is looked into at every step, the other is not.

use super::findings::{
    ADMIT, FOLD, FUEL, Findings, QUERY, RESTORE, SAME_VERDICT, SNAPSHOT, START, VALIDATE, VERDICT,
};
use super::lane::{Lane, Setting, events, proposal};
use crate::validator::{Acceptance, Admission, StartError, Verdict};
use atomic_store_core::{Event, Fault, FaultKind, Proposal, counted};
use std::time::Instant;

/// Faults after which nothing more is proposed: each costs a new instance.
const FAULTS_MAX: usize = 4;
/// Above this size of a snapshot only some steps are looked into.
const LARGE_SNAPSHOT_BYTES: usize = 64 * 1024;
const LARGE_SNAPSHOT_EVERY: usize = 16;
/// Events at which the fuel of a verdict is first taken, and how many there must be for the second.
const FUEL_FROM: usize = 8;
const FUEL_TO: usize = 32;
/// How much more fuel a verdict may take then: a factor, and units that do not matter.
const FUEL_FACTOR: u64 = 2;
const FUEL_SLACK: u64 = 10_000;

/// One input.
pub(super) struct Step {
    proposal: Proposal,
    /// True if it means something, so that it can show what a verdict costs.
    sensible: bool,
    ms: u64,
    /// What is folded after it, whatever the verdict: it is in the log.
    recorded: Option<Event>,
}

impl Step {
    pub(super) fn generated(proposal: Proposal, sensible: bool, ms: u64) -> Self {
        Step { proposal, sensible, ms, recorded: None }
    }

    pub(super) fn recorded(event: &Event) -> Self {
        let proposal = proposal(event);
        Step { proposal, sensible: true, ms: event.host_ms, recorded: Some(event.clone()) }
    }
}

/// A run over some steps.
pub(super) struct Scenario<'a> {
    findings: &'a mut Findings,
    /// Is looked into.
    watched: Lane<'a>,
    /// Is only given what the other is given.
    plain: Lane<'a>,
    /// Judges and folds in one call, as long as it does so like the others.
    fast: Option<Lane<'a>>,
    faults: usize,
    steps: usize,
    large: bool,
    /// A snapshot from the way, and after how many events.
    middle: Option<(usize, Vec<u8>)>,
    /// An input, its time, and the fuel of its verdict early on.
    probe: Option<(Proposal, u64, u64)>,
    last_ms: u64,
}

impl<'a> Scenario<'a> {
    /// Leads two instances through the steps, then compares what they have come to.
    pub(super) fn run(
        setting: &'a Setting<'a>,
        steps: impl Iterator<Item = Step>,
        findings: &'a mut Findings,
        deadline: Instant,
    ) {
        let start = || Lane::start(setting, None, &[]);
        let (watched, plain) = match (start(), start()) {
            (Ok(watched), Ok(plain)) => (watched, plain),
            (Err(error), _) | (_, Err(error)) => return not_started(findings, setting, &error),
        };
        findings.pass(START, String::new());
        let mut scenario = Scenario {
            findings,
            watched,
            plain,
            fast: start().ok(),
            faults: 0,
            steps: 0,
            large: false,
            middle: None,
            probe: None,
            last_ms: 0,
        };
        for step in steps {
            if scenario.faults >= FAULTS_MAX || Instant::now() >= deadline {
                break;
            }
            if scenario.step(&step).is_none() {
                return;
            }
        }
        scenario.end(setting);
    }

    /// One input. Nothing if the component cannot go on.
    fn step(&mut self, step: &Step) -> Option<()> {
        self.steps += 1;
        self.last_ms = step.ms;
        let look = !self.large || self.steps.is_multiple_of(LARGE_SNAPSHOT_EVERY);
        let before = if look { self.look()? } else { None };
        let first = self.watched.validate(&step.proposal, step.ms);
        let fuel = self.watched.fuel();
        let second = self.plain.validate(&step.proposal, step.ms);
        self.compare(&first, &second, &step.proposal);
        let (Ok(verdict), Ok(_)) = (&first, &second) else {
            let fault = first.as_ref().err().or(second.as_ref().err())?;
            self.no_verdict(fault, &step.proposal);
            return self.anew();
        };
        self.findings.pass(VERDICT, String::new());
        if let Some(before) = before {
            self.unchanged(VALIDATE, before, Some(&step.proposal))?;
        }
        if self.steps % 8 == 1 {
            self.ask(&step.proposal)?;
        }
        self.take_probe(step, fuel);
        let head = self.watched.head();
        let stored = match &step.recorded {
            Some(event) => vec![event.clone()],
            None => events(verdict, &step.proposal, head, step.ms),
        };
        self.at_once(step, verdict, &stored);
        if stored.is_empty() {
            return Some(());
        }
        let folded = self.watched.fold(&stored).and_then(|()| self.plain.fold(&stored));
        if let Err(fault) = folded {
            if fault.kind != FaultKind::Timeout {
                let what =
                    if step.recorded.is_some() { "a recorded event" } else { "what it accepted" };
                let why = format!("to fold {what} is a fault: {}", said(&fault));
                self.findings.fail(FOLD, why, Some(&step.proposal));
            }
            // The log has a recorded event, so there is no way past it.
            return if step.recorded.is_some() { None } else { self.anew_without(head) };
        }
        self.findings.pass(FOLD, String::new());
        self.keep_middle()
    }

    /// The same step in one call, where the component offers that.
    fn at_once(&mut self, step: &Step, verdict: &Verdict, stored: &[Event]) {
        let Some(mut lane) = self.fast.take() else { return };
        if step.recorded.is_some() {
            // It is folded whatever the verdict, which one call cannot do.
            self.fast = lane.fold(stored).is_ok().then_some(lane);
            return;
        }
        let as_proposed = || Verdict::Accepted(vec![Acceptance::default()]);
        let answer = match lane.admit(&step.proposal, step.ms) {
            Ok(None) => return self.findings.skip(ADMIT, "it has no call that does both"),
            Ok(Some(Admission::Folded)) => Ok(as_proposed()),
            Ok(Some(Admission::Judged(verdict))) => Ok(verdict),
            Err(fault) => Err(fault),
        };
        if answer.as_ref() != Ok(verdict) {
            let why = format!(
                "`admit` answers {}, `validate` {}",
                answered(&answer),
                answered(&Ok(verdict.clone()))
            );
            return self.findings.fail(ADMIT, why, Some(&step.proposal));
        }
        self.findings.pass(ADMIT, String::new());
        // What it accepts, but not as proposed, it has not folded.
        let folded = lane.head() > self.watched.head();
        if folded || stored.is_empty() || lane.fold(stored).is_ok() {
            self.fast = Some(lane);
        }
    }

    fn compare(
        &mut self,
        first: &Result<Verdict, Fault>,
        second: &Result<Verdict, Fault>,
        input: &Proposal,
    ) {
        let late = |answer: &Result<Verdict, Fault>| {
            answer.as_ref().is_err_and(|fault| fault.kind == FaultKind::Timeout)
        };
        if first == second {
            return self.findings.pass(SAME_VERDICT, String::new());
        }
        // Time is the one thing that two runs do not share.
        if !late(first) && !late(second) {
            let why = format!(
                "two instances with the same past answer {} and {}",
                answered(first),
                answered(second)
            );
            self.findings.fail(SAME_VERDICT, why, Some(input));
        }
    }

    fn no_verdict(&mut self, fault: &Fault, input: &Proposal) {
        self.faults += 1;
        if matches!(fault.kind, FaultKind::Timeout | FaultKind::OutOfFuel) {
            // Another one would take as long.
            self.faults = FAULTS_MAX;
        }
        self.findings.fail(
            VERDICT,
            format!("no verdict but a fault: {}", said(fault)),
            Some(input),
        );
    }

    /// The watched one's state; the inner nothing if it gives no snapshots.
    fn look(&mut self) -> Option<Option<Vec<u8>>> {
        match self.watched.snapshot() {
            Ok(state) => {
                self.large = state.as_ref().is_some_and(|s| s.len() > LARGE_SNAPSHOT_BYTES);
                Some(state)
            }
            Err(fault) => {
                self.findings.fail(
                    SNAPSHOT,
                    format!("`snapshot` is a fault: {}", said(&fault)),
                    None,
                );
                None
            }
        }
    }

    /// Fails a check if the state is not what it was.
    fn unchanged(&mut self, check: &str, before: Vec<u8>, input: Option<&Proposal>) -> Option<()> {
        if self.look()?.is_some_and(|after| after == before) {
            self.findings.pass(check, String::new());
        } else {
            let why = "the snapshot before and after it differ";
            self.findings.fail(check, why.to_owned(), input);
        }
        Some(())
    }

    /// Asks something senseless: an answer or a complaint is fine, a fault or a change is not.
    fn ask(&mut self, input: &Proposal) -> Option<()> {
        let before = self.look()?;
        let name = if self.steps % 16 == 1 { "" } else { "no-such-question" };
        if let Err(fault) = self.watched.query(name, &input.payload) {
            let why = format!("the query {name:?} is a fault: {}", said(&fault));
            self.findings.fail(QUERY, why, Some(input));
            self.faults += 1;
            return self.anew();
        }
        match before {
            Some(before) => self.unchanged(QUERY, before, Some(input)),
            None => Some(()),
        }
    }

    fn take_probe(&mut self, step: &Step, fuel: Option<u64>) {
        if let (None, true, Some(fuel)) = (&self.probe, step.sensible, fuel)
            && self.watched.head() >= FUEL_FROM
        {
            self.probe = Some((step.proposal.clone(), step.ms, fuel));
        }
    }

    fn keep_middle(&mut self) -> Option<()> {
        let head = self.watched.head();
        // The latest power of two: some events lie behind it, and some before.
        if head.is_power_of_two()
            && let Some(state) = self.look()?
        {
            self.middle = Some((head, state));
        }
        Some(())
    }

    /// New instances after a fault, with the same past.
    fn anew(&mut self) -> Option<()> {
        let head = self.watched.head().min(self.plain.head());
        self.anew_without(head)
    }

    /// New instances with the first events only.
    fn anew_without(&mut self, head: usize) -> Option<()> {
        self.watched.past.events().truncate(head);
        match (self.watched.refolded(), self.watched.refolded()) {
            (Ok(watched), Ok(plain)) => {
                (self.watched, self.plain) = (watched, plain);
                self.fast = self.fast.take().and_then(|_| self.watched.refolded().ok());
                Some(())
            }
            (Err(error), _) | (_, Err(error)) => {
                let why =
                    format!("events that it folded before cannot be folded: {}", started(&error));
                self.findings.fail(FOLD, why, None);
                None
            }
        }
    }

    /// After all steps.
    fn end(mut self, setting: &'a Setting<'a>) {
        self.fuel();
        let Some(state) = self.look() else { return };
        let Some(state) = state else {
            for check in [VALIDATE, QUERY, SNAPSHOT, RESTORE] {
                self.findings.skip(check, "it gives no snapshots");
            }
            return;
        };
        if self.plain.snapshot() != Ok(Some(state.clone())) {
            let why = "the same inputs led two instances to different states";
            self.findings.fail(SAME_VERDICT, why.to_owned(), None);
        }
        if let Some(fast) = &mut self.fast
            && fast.snapshot() != Ok(Some(state.clone()))
        {
            let why = "the same inputs, judged and folded in one call, led to another state";
            self.findings.fail(ADMIT, why.to_owned(), None);
        }
        self.fold_all(&state);
        if let Some((head, middle)) = self.middle.take() {
            self.snapshot_and_tail(setting, head, &middle, &state);
        }
        self.garbage(setting, &state);
    }

    fn fuel(&mut self) {
        let head = self.watched.head();
        let Some((input, ms, early)) = self.probe.take().filter(|_| head >= FUEL_TO) else {
            let why = {
                let head = counted(head as u64, "accepted event");
                format!("only {head}, {FUEL_TO} are needed to tell")
            };
            return self.findings.skip(FUEL, why);
        };
        let ms = ms.max(self.last_ms);
        let judged = self.watched.validate(&input, ms);
        let Some(late) = self.watched.fuel().filter(|_| judged.is_ok()) else { return };
        if late > early.saturating_mul(FUEL_FACTOR) + FUEL_SLACK {
            let why = format!("{early} units after {FUEL_FROM} events, {late} after {head}");
            self.findings.fail(FUEL, why, Some(&input));
        } else {
            let found = format!("{early} units after {FUEL_FROM} events, {late} after {head}");
            self.findings.pass(FUEL, found);
        }
    }

    fn fold_all(&mut self, state: &[u8]) {
        let whole = self.watched.refolded().map(|mut lane| lane.snapshot());
        match whole {
            Ok(Ok(Some(whole))) if whole == state => {
                self.findings.pass(SNAPSHOT, String::new());
            }
            Ok(Ok(_)) => {
                let why = "a fold of all events at once gives another state than one by one";
                self.findings.fail(SNAPSHOT, why.to_owned(), None);
            }
            Ok(Err(fault)) => self.findings.fail(SNAPSHOT, said(&fault), None),
            Err(StartError::NoRoom(why)) => self.findings.skip(SNAPSHOT, why),
            Err(error) => {
                let why = format!("a fold of all events at once fails: {}", started(&error));
                self.findings.fail(SNAPSHOT, why, None);
            }
        }
    }

    fn snapshot_and_tail(
        &mut self,
        setting: &'a Setting<'a>,
        head: usize,
        middle: &[u8],
        state: &[u8],
    ) {
        let all = self.watched.past.events().clone();
        let (before, tail) = all.split_at(head.min(all.len()));
        let fail = |why: String| (why, tail.first().map(proposal));
        let (why, input) = match Lane::start(setting, Some(middle), before) {
            Err(StartError::NoRoom(why)) => return self.findings.skip(SNAPSHOT, why),
            Err(error) => fail(format!("its own snapshot is not restored: {}", started(&error))),
            Ok(mut lane) => match lane.fold(tail).and_then(|()| lane.snapshot()) {
                Ok(Some(found)) if found == state => return,
                Ok(_) => fail(format!(
                    "the snapshot after {} and the {} behind it give another state than all {}",
                    counted(head as u64, "event"),
                    tail.len(),
                    all.len()
                )),
                Err(fault) => fail(format!("the tail does not fold: {}", said(&fault))),
            },
        };
        self.findings.fail(SNAPSHOT, why, input.as_ref());
    }

    /// Restores from what is no snapshot.
    fn garbage(&mut self, setting: &'a Setting<'a>, state: &[u8]) {
        let events = self.watched.past.events().clone();
        let half = &state[..state.len() / 2];
        let longer = [state, b"\xff"].concat();
        let cases: [(&str, &[u8]); 5] = [
            ("nothing", b""),
            ("one byte", b"\xff"),
            ("a hundred bytes of 255", &[0xff; 100]),
            ("half of its snapshot", half),
            ("its snapshot and a byte more", &longer),
        ];
        for (what, bytes) in cases.into_iter().filter(|(_, bytes)| *bytes != state) {
            let why = match Lane::start(setting, Some(bytes), &events) {
                Err(StartError::Declined(_)) => {
                    self.findings.pass(RESTORE, String::new());
                    continue;
                }
                Err(StartError::NoRoom(_)) => return,
                Err(StartError::Fault(fault)) => format!("a fault instead: {}", said(&fault)),
                Ok(_) => "it was taken".to_owned(),
            };
            let input = Proposal {
                kind: "restore".to_owned(),
                payload: bytes.to_vec(),
                ..Proposal::default()
            };
            self.findings.fail(RESTORE, format!("`restore` from {what}: {why}"), Some(&input));
            return;
        }
    }
}

fn not_started(findings: &mut Findings, setting: &Setting<'_>, error: &StartError) {
    match error {
        StartError::Fault(fault) => {
            findings.fail(START, format!("it does not start: {}", said(fault)), None);
        }
        StartError::Declined(why) if setting.wanted => {
            let scope = &setting.scope;
            let why = format!("for {scope}, `init` says no to the configuration: {why}");
            findings.fail(START, why, None);
        }
        // Nobody said with which configuration it is to start, and it may well want another.
        StartError::Declined(why) => {
            findings.skip(START, format!("`init` says no: {why}; give it a configuration"));
        }
        StartError::NoRoom(why) => findings.skip(START, why.clone()),
    }
}

fn answered(answer: &Result<Verdict, Fault>) -> String {
    match answer {
        Ok(Verdict::Accepted(_)) => "yes".to_owned(),
        Ok(Verdict::Refused(refusal)) => {
            let codes: Vec<_> = refusal.reasons.iter().map(|reason| reason.code.as_str()).collect();
            format!("no ({})", codes.join(", "))
        }
        Err(fault) => format!("with a fault ({})", said(fault)),
    }
}

fn said(fault: &Fault) -> String {
    format!("{}: {}", fault.kind.word(), fault.detail)
}

fn started(error: &StartError) -> String {
    match error {
        StartError::Declined(why) | StartError::NoRoom(why) => why.clone(),
        StartError::Fault(fault) => said(fault),
    }
}
