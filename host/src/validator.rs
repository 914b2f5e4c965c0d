//! What the engine sees of a validator: three traits, and nothing of the machinery behind them.

use atomic_store_core::record::{BodyIn, KeyIn};
use atomic_store_core::{
    Check, Description, Digest, Event, Fault, Grants, Proposal, Refusal, ScopeName, Seq,
};
use std::sync::Arc;

/// Turns bytes into rules.
pub trait Loader: Send + Sync + 'static {
    /// Admits a component: checks it, compiles it, asks for its description.
    ///
    /// # Errors
    /// [`AdmitError`] says what is wrong with it and what to do.
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError>;
    /// Bytes of memory of all instances that are alive; 0 where there is no such measure.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// The same for a component that was given more than the contract.
    ///
    /// # Errors
    /// As [`Loader::load`], and if this loader cannot give that.
    fn load_granted(&self, bytes: &[u8], grants: &Grants) -> Result<Arc<dyn Rules>, AdmitError> {
        match grants.wasi {
            false => self.load(bytes),
            true => Err(AdmitError::Contract("this loader has no WASI to give".to_owned())),
        }
    }

    /// Tries an admitted component out; see [`crate::self_test`]. Nothing by default: what is not a
    /// guest is not under suspicion.
    fn try_out(&self, _rules: &dyn Rules, _trial: &Trial) -> Vec<Check> {
        Vec::new()
    }
}

/// What a component is tried out with.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// The configuration for generated events.
    pub config: Option<Vec<u8>>,
    /// Events of the log, scope by scope.
    pub recorded: Vec<Recorded>,
}

/// The first events of a scope.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The scope.
    pub scope: ScopeName,
    /// The configuration of its binding.
    pub config: Option<Vec<u8>>,
    /// Events from the first.
    pub events: Vec<Event>,
}

/// Why a component was not admitted. The messages are for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// Over a cap.
    #[error("{0}")]
    Limit(String),
    /// Not a component, nor a core module that can be made one.
    #[error("{0}")]
    Malformed(String),
    /// Compiling it took too much, or could not be tried. Another time it may work.
    #[error("it could not be compiled: {0}")]
    Compile(String),
    /// It needs something that validators do not get.
    #[error(
        "it imports {0}; a validator may import nothing but the contract's history and log, and WASI if it is loaded with \
             --wasi"
    )]
    Import(String),
    /// It does not export the contract.
    #[error("it does not fit the contract atomic-store:validator@1.0.0: {0}")]
    Contract(String),
    /// Its description is unusable, or it failed to give one.
    #[error("its description cannot be used: {0}")]
    Description(String),
}

/// A loaded validator: the program, without any state.
pub trait Rules: Send + Sync {
    /// The hash of its bytes.
    fn digest(&self) -> Digest;
    /// What it says about itself.
    fn description(&self) -> &Description;
    /// False if its answers never depend on the events before, so that nothing need be folded.
    fn folds(&self) -> bool {
        true
    }
    /// True if the sender of an append is asked, and no instance. Only what comes with the store may.
    fn asks_originator(&self) -> bool {
        false
    }
    /// True if it knows older events, which are something else today.
    fn upcasts(&self) -> bool {
        false
    }
    /// Starts an instance for one scope: with `init`, or with `restore` if a snapshot is given.
    ///
    /// # Errors
    /// [`StartError`]: the guest declined, or did not answer.
    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError>;
}

/// What an instance starts from.
pub struct Start<'a> {
    /// The scope it will judge.
    pub scope: &'a ScopeName,
    /// The binding's configuration.
    pub config: Option<&'a [u8]>,
    /// The state to restore, if there is one.
    pub snapshot: Option<&'a [u8]>,
    /// The scope's events, on demand.
    pub history: Arc<dyn History>,
}

/// Why an instance did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The guest said no, with its reason.
    Declined(String),
    /// The guest did not answer.
    Fault(Fault),
    /// Too many instances are alive; why, for people. Not the guest's doing, so it decides nothing.
    NoRoom(String),
}

/// An instance: the folded state of one scope. After a [`Fault`] it must be dropped.
pub trait Validator: Send {
    /// Folds events, in order.
    ///
    /// # Errors
    /// [`Fault`]: the guest did not finish.
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault>;
    /// What events are today, where that is something else than they were. [`Self::apply`] asks by
    /// itself.
    ///
    /// # Errors
    /// [`Fault`]: the guest did not answer, or broke the contract.
    fn upcast(&mut self, events: &[BodyIn<'_>]) -> Result<Vec<Option<Proposal>>, Fault> {
        Ok(vec![None; events.len()])
    }
    /// Judges one append at the given time of the store.
    ///
    /// # Errors
    /// [`Fault`]: the guest did not answer, or broke the contract.
    fn validate(&mut self, proposals: &[Proposal], host_ms: u64) -> Result<Verdict, Fault>;
    /// Judges an append of one proposal and, if it is accepted as it stands with nothing more to say,
    /// folds it as the event number `seq`: `validate` and `apply` in one call. Nothing if this
    /// validator has no such call.
    ///
    /// # Errors
    /// [`Fault`]: the guest did not answer, or broke the contract.
    fn admit(
        &mut self,
        proposal: &Proposal,
        seq: Seq,
        host_ms: u64,
    ) -> Result<Option<Admission>, Fault> {
        let _ = (proposal, seq, host_ms);
        Ok(None)
    }
    /// The state as bytes; nothing if the guest prefers to fold.
    ///
    /// # Errors
    /// [`Fault`]: the guest did not answer, or broke the contract.
    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault>;
    /// Asks the state.
    ///
    /// # Errors
    /// [`Fault`]: the guest did not answer, or broke the contract.
    fn query(&mut self, name: &str, args: &[u8]) -> Result<Result<Vec<u8>, String>, Fault>;
    /// What the last call took, in units that do not depend on the machine; nothing if that is not
    /// counted.
    fn fuel(&mut self) -> Option<u64> {
        None
    }
}

/// A validator's answer. Within the limits: whoever makes one has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, with one acceptance for each proposal.
    Accepted(Vec<Acceptance>),
    /// No.
    Refused(Refusal),
}

/// A validator's answer to one proposal that it may fold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Accepted as proposed, and folded.
    Folded,
    /// Anything else; nothing is folded.
    Judged(Verdict),
}

/// Yes to one proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Nothing: store it as proposed. Otherwise store these instead.
    pub instead: Option<Vec<Proposal>>,
    /// A sentence for the caller.
    pub reason: Option<String>,
    /// Data for the caller.
    pub meta: Option<Vec<u8>>,
}

/// Events as they are today.
#[must_use]
pub fn upcasted<'a>(events: &[BodyIn<'a>], newer: &'a [Option<Proposal>]) -> Vec<BodyIn<'a>> {
    let today = |(event, newer): (&BodyIn<'a>, &'a Option<Proposal>)| match newer {
        None => event.clone(),
        Some(newer) => BodyIn {
            kind: &newer.kind,
            content_type: newer.content_type.clone(),
            payload: &newer.payload,
            keys: newer.keys.iter().map(|key| KeyIn { kind: &key.kind, id: &key.id }).collect(),
            metadata: newer.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
            ..event.clone()
        },
    };
    events.iter().zip(newer).map(today).collect()
}

/// The earlier events of a scope, on demand; includes those accepted but not yet durable.
pub trait History: Send + Sync {
    /// The last event.
    fn head(&self) -> Seq;
    /// Calls `each` with up to `limit` events after `after`, in order.
    ///
    /// # Errors
    /// What is wrong with the log, as text.
    fn read(
        &self,
        after: Seq,
        limit: usize,
        each: &mut dyn FnMut(&BodyIn<'_>),
    ) -> Result<(), String>;
}
