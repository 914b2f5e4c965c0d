//! What re-executing history found: whether each event follows from its rule, and what other rules
//! would have decided.

use crate::{Digest, ScopeName, Seq};
use serde::{Deserialize, Serialize};

/// How far a proof is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofProgress {
    /// Scopes done.
    pub scopes: u64,
    /// Scopes of the store; fewer are done if not all are asked for.
    pub of_scopes: u64,
    /// Events done.
    pub events: u64,
    /// All scopes up to this name are done: whoever goes on later goes on after it. Empty at first.
    pub through: String,
    /// Scopes in which something was found that does not fit, so far.
    pub found: u64,
    /// If one scope was asked for: all its events up to this one are done.
    pub at: Seq,
}

/// Whether each event follows from the rule that is recorded for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicReport {
    /// Scopes gone through.
    pub scopes: u64,
    /// Appends whose rule was asked again.
    pub appends: u64,
    /// Events gone through; the sum of all that follow.
    pub events: u64,
    /// Events that their rule accepted again, in exactly the stored form.
    pub shown: u64,
    /// Events under `accept-all`: there is nothing to ask.
    pub built_in: u64,
    /// Events under `originator`: the client decided, and only it could decide again.
    pub by_client: u64,
    /// Events that were restored: the configuration of their rule is in the store they come from.
    pub elsewhere: u64,
    /// Events of `$system`, which the store itself writes.
    pub system: u64,
    /// Events that could not be shown, and those behind them in their scopes.
    pub not_shown: u64,
    /// Scopes with such an event.
    pub failed: u64,
    /// The first such event of each scope, at most 100.
    pub unshown: Vec<Unshown>,
    /// Events that were folded only: an earlier run had judged them.
    pub folded: u64,
}

/// An event that could not be shown to follow from its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unshown {
    /// The scope.
    pub scope: ScopeName,
    /// The first event of its append.
    pub seq: Seq,
    /// The validator that is recorded for it.
    pub validator: Digest,
    /// In a word.
    pub what: UnshownWhat,
    /// For people.
    pub why: String,
}

/// Why an event could not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnshownWhat {
    /// Its rule rejects it now.
    Rejected,
    /// Its rule accepts it in another form than the one stored.
    OtherForm,
    /// Its rule does not answer.
    Fault,
    /// Its rule declines to start.
    Declined,
    /// The component is not there, or cannot be compiled.
    NoComponent,
    /// `$system` says nothing of the binding that is recorded for it.
    NoBinding,
    /// What is stored is not what was written.
    Damaged,
}

impl UnshownWhat {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            UnshownWhat::Rejected => "rejected",
            UnshownWhat::OtherForm => "other-form",
            UnshownWhat::Fault => "fault",
            UnshownWhat::Declined => "declined",
            UnshownWhat::NoComponent => "no-component",
            UnshownWhat::NoBinding => "no-binding",
            UnshownWhat::Damaged => "damaged",
        }
    }
}

impl LogicReport {
    /// Most entries of [`Self::unshown`].
    pub const UNSHOWN_MAX: usize = 100;

    /// Adds what another part found.
    pub fn add(&mut self, other: LogicReport) {
        self.scopes += other.scopes;
        self.appends += other.appends;
        self.events += other.events;
        self.shown += other.shown;
        self.built_in += other.built_in;
        self.by_client += other.by_client;
        self.elsewhere += other.elsewhere;
        self.system += other.system;
        self.not_shown += other.not_shown;
        self.failed += other.failed;
        self.folded += other.folded;
        let room = Self::UNSHOWN_MAX.saturating_sub(self.unshown.len());
        self.unshown.extend(other.unshown.into_iter().take(room));
    }
}

/// What other rules would have decided on a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacktestReport {
    /// Scopes gone through.
    pub scopes: u64,
    /// Events gone through.
    pub events: u64,
    /// Appends that were accepted, on which the candidate was asked.
    pub accepted: u64,
    /// Recorded rejections, timeouts and faults on which the candidate was asked.
    pub rejections: u64,
    /// It decides as was decided.
    pub same: u64,
    /// Of these: it rejects, too, but with another code.
    pub other_reason: u64,
    /// It accepts what was not accepted.
    pub newly_accepted: u64,
    /// It rejects what was accepted.
    pub newly_rejected: u64,
    /// It accepts what was accepted, but would store something else.
    pub other_form: u64,
    /// It does not answer.
    pub faults: u64,
    /// Appends that others decided than the validator it is held against.
    pub by_others: u64,
    /// Recorded rejections of which only the hash was kept.
    pub without_payload: u64,
    /// Appends behind faults of the candidate, after which a scope is given up.
    pub given_up: u64,
    /// Scopes in which something differs.
    pub diverged: u64,
    /// The first difference of each scope, at most 100.
    pub divergences: Vec<Divergence>,
}

/// An append on which two rules differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The scope.
    pub scope: ScopeName,
    /// Its first event, or the one it would have been.
    pub seq: Seq,
    /// Its number in the journal of rejections, if it was not accepted.
    pub rejection: Option<u64>,
    /// What was decided.
    pub then: Said,
    /// What the candidate decides.
    pub now: Said,
}

/// A decision in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// `accepted`, `rejected` or `fault`.
    pub verdict: String,
    /// The reasons, or what differs.
    pub why: String,
}

impl BacktestReport {
    /// Most entries of [`Self::divergences`].
    pub const DIVERGENCES_MAX: usize = 100;

    /// How often the candidate decides otherwise, or not at all.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.newly_accepted + self.newly_rejected + self.other_form + self.faults
    }

    /// Adds what another part found.
    pub fn add(&mut self, other: BacktestReport) {
        self.scopes += other.scopes;
        self.events += other.events;
        self.accepted += other.accepted;
        self.rejections += other.rejections;
        self.same += other.same;
        self.other_reason += other.other_reason;
        self.newly_accepted += other.newly_accepted;
        self.newly_rejected += other.newly_rejected;
        self.other_form += other.other_form;
        self.faults += other.faults;
        self.by_others += other.by_others;
        self.without_payload += other.without_payload;
        self.given_up += other.given_up;
        self.diverged += other.diverged;
        let room = Self::DIVERGENCES_MAX.saturating_sub(self.divergences.len());
        self.divergences.extend(other.divergences.into_iter().take(room));
    }
}
