//! What a client learns about its append. Three families that never mix: the domain's answers
//! (accepted, refused), faults (the validator did not answer), and the store's own limits.

use crate::{Conflict, Digest, ExpectedHead, Position, Seq};
use serde::{Deserialize, Serialize};

/// The answer to one append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was decided.
    pub outcome: Outcome,
    /// True if the id had been decided before; the outcome is then that first one.
    pub duplicate: bool,
}

/// What became of an append. Everything but `Committed` stored no event; `Unknown` alone leaves
/// that open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// Accepted and durable.
    Committed(Committed),
    /// Accepted, and by the validator's decision there was nothing to store.
    Noop {
        /// Why, if the validator said so; of several proposals, the first reason.
        reason: Option<String>,
    },
    /// The validator refused it.
    Rejected(Refusal),
    /// The scope's head was not the one the append insisted on (Eventsrc S07).
    HeadMismatch {
        /// What the append insisted on.
        expected: ExpectedHead,
        /// What the head was.
        actual: Seq,
    },
    /// Something happened to a key of the append since the caller looked (coherence C07).
    Conflict {
        /// How many proposals before the first conflict would have been accepted.
        accepted: u32,
        /// The first conflict; or all, if the append asked for all, in the order of proposals.
        conflicts: Vec<Conflict>,
    },
    /// The condition's `since` is ahead of the scope (coherence C09).
    UnknownBase {
        /// The number that the next event will have.
        next: Seq,
    },
    /// The validator ran out of its wall-clock time. A hard deadline: nothing re-arms it.
    TimedOut {
        /// The deadline, in milliseconds.
        after_ms: u64,
    },
    /// The validator did not answer.
    Faulted(Fault),
    /// Not taken: a queue or the disk is full. Try again later.
    Overloaded(Overload),
    /// The scope, or the store, takes no appends now.
    ReadOnly {
        /// Why not.
        why: String,
    },
    /// The request breaks a rule or a limit.
    Invalid {
        /// Which part of it.
        field: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// It may or may not be stored. Ask again with the same id to learn which.
    Unknown {
        /// What went wrong.
        why: String,
    },
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its number in the scope.
    pub seq: Seq,
    /// Its place in the order over all scopes.
    pub position: Position,
}

/// Accepted and durable: the events between `first` and `last`, both included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The first event of the append.
    pub first: Place,
    /// The last event of the append, the same as `first` if there is one.
    pub last: Place,
    /// The chain's hash at `last`.
    pub hash: Digest,
    /// What the validator had to say about it; of several proposals, about the first that it said
    /// anything about.
    pub reason: Option<String>,
    /// Data from the validator to the caller; not part of any event (Atomic Store A19). Of several
    /// proposals, those of the first that came with any.
    #[serde(with = "serde_bytes")]
    pub meta: Option<Vec<u8>>,
}

/// Why a validator refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which proposal of the append, counted from 0.
    pub index: u32,
    /// At least one reason.
    pub reasons: Vec<Reason>,
    /// Data from the validator to the caller.
    #[serde(with = "serde_bytes")]
    pub meta: Option<Vec<u8>>,
}

/// One reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A short word for programs, for example `too-low`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Details for programs.
    #[serde(with = "serde_bytes")]
    pub data: Option<Vec<u8>>,
    /// Events of the scope that caused it.
    pub seqs: Vec<Seq>,
}

/// The validator did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In which way.
    pub kind: FaultKind,
    /// Details for the validator's author.
    pub detail: String,
}

/// Ways of not answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FaultKind {
    /// It trapped: a panic, a division by zero, a stack overflow, an access out of bounds.
    Trap,
    /// It used up its instructions.
    OutOfFuel,
    /// It asked for more memory or table than allowed.
    OutOfMemory,
    /// It took too long on the wall clock. As an outcome this is [`Outcome::TimedOut`].
    Timeout,
    /// It answered something that breaks the contract or a limit.
    BadOutput,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Overload {
    /// The scope's mailbox.
    Mailbox,
    /// The store's count or bytes of appends in flight.
    InFlight,
    /// The disk: less free space is left than the reserve.
    Disk,
    /// The number of live validators: none could be evicted.
    Instances,
}

impl Outcome {
    /// A short word for summaries and logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Committed(_) => "committed",
            Outcome::Noop { .. } => "noop",
            Outcome::Rejected(_) => "rejected",
            Outcome::HeadMismatch { .. } => "head-mismatch",
            Outcome::Conflict { .. } => "conflict",
            Outcome::UnknownBase { .. } => "unknown-base",
            Outcome::TimedOut { .. } => "timed-out",
            Outcome::Faulted(_) => "faulted",
            Outcome::Overloaded(_) => "overloaded",
            Outcome::ReadOnly { .. } => "read-only",
            Outcome::Invalid { .. } => "invalid",
            Outcome::Unknown { .. } => "unknown",
        }
    }

    /// True if the scope decided it, so that a repeated id must get this outcome again. The
    /// others never reached a decision; a repeated id is tried anew.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        match self {
            Outcome::Committed(_)
            | Outcome::Noop { .. }
            | Outcome::Rejected(_)
            | Outcome::HeadMismatch { .. }
            | Outcome::Conflict { .. }
            | Outcome::UnknownBase { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Faulted(_) => true,
            Outcome::Overloaded(_)
            | Outcome::ReadOnly { .. }
            | Outcome::Invalid { .. }
            | Outcome::Unknown { .. } => false,
        }
    }
}

impl FaultKind {
    /// A short word for summaries and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Trap => "trap",
            FaultKind::OutOfFuel => "out-of-fuel",
            FaultKind::OutOfMemory => "out-of-memory",
            FaultKind::Timeout => "timeout",
            FaultKind::BadOutput => "bad-output",
        }
    }
}

impl Overload {
    /// A short word for summaries and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Overload::Mailbox => "mailbox",
            Overload::InFlight => "in-flight",
            Overload::Disk => "disk",
            Overload::Instances => "instances",
        }
    }
}
