//! Any number of versions of one validator in plain Rust, each a "component" that says how it judges:
//! `NAME VERSION`, then any of `min=N` (refuses numbers below), `trap=N` (traps at that number),
//! `twice` (stores each event twice), `fuel=N` (what a validation is said to take), `plain` (gives no
//! snapshot) and `decline` (never starts). Payloads are numbers; the state is their count and sum.

use atomic_store::validator::{
    Acceptance, AdmitError, Loader, Rules, Start, StartError, Validator, Verdict,
};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{
    Description, Digest, Fault, FaultKind, Proposal, Reason, Refusal, ValidatorName,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Loads versions, and counts what their instances do.
#[derive(Debug, Default)]
pub struct Versions {
    /// Most events that one instance folded between its start and its first validation.
    pub folded_before_use: AtomicU64,
    /// Instances that began with a snapshot.
    pub restored: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Manner {
    min: u64,
    trap: Option<u64>,
    twice: bool,
    fuel: u64,
    plain: bool,
    decline: bool,
}

struct Version {
    digest: Digest,
    description: Description,
    manner: Manner,
    seen: Arc<Versions>,
}

struct Instance {
    manner: Manner,
    count: u64,
    sum: u64,
    folded: u64,
    used: bool,
    seen: Arc<Versions>,
}

/// Makes a loader that shares what it saw.
#[derive(Clone, Default)]
pub struct VersionsLoader(pub Arc<Versions>);

impl Loader for VersionsLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        let malformed = || AdmitError::Malformed("not NAME VERSION manner...".to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
        let mut words = text.split(' ');
        let name = words.next().and_then(|name| ValidatorName::new(name).ok());
        let (name, version) = (name.ok_or_else(malformed)?, words.next().ok_or_else(malformed)?);
        let mut manner = Manner::default();
        for word in words {
            let (what, number) = word.split_once('=').unwrap_or((word, "0"));
            let number = number.parse().map_err(|_| malformed())?;
            match what {
                "min" => manner.min = number,
                "trap" => manner.trap = Some(number),
                "twice" => manner.twice = true,
                "fuel" => manner.fuel = number,
                "plain" => manner.plain = true,
                "decline" => manner.decline = true,
                _ => return Err(malformed()),
            }
        }
        let description = Description { name, version: version.to_owned(), kinds: Vec::new() };
        let (digest, seen) = (Digest::of(bytes), Arc::clone(&self.0));
        Ok(Arc::new(Version { digest, description, manner, seen }))
    }
}

impl Rules for Version {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        if self.manner.decline {
            return Err(StartError::Declined("as told".to_owned()));
        }
        let (manner, seen) = (self.manner.clone(), Arc::clone(&self.seen));
        let mut instance = Instance { manner, count: 0, sum: 0, folded: 0, used: false, seen };
        if let Some(bytes) = start.snapshot {
            let Ok(bytes) = <[u8; 16]>::try_from(bytes) else {
                return Err(StartError::Declined("not a snapshot".to_owned()));
            };
            instance.count = u64::from_be_bytes(bytes[..8].try_into().unwrap());
            instance.sum = u64::from_be_bytes(bytes[8..].try_into().unwrap());
            self.seen.restored.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Box::new(instance))
    }
}

fn number(payload: &[u8]) -> Option<u64> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}

fn trap(detail: &str) -> Fault {
    Fault { kind: FaultKind::Trap, detail: detail.to_owned() }
}

impl Validator for Instance {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        for event in events {
            let number = number(event.payload).ok_or_else(|| trap("not a number"))?;
            (self.count, self.sum) = (self.count + 1, self.sum + number);
            self.folded += u64::from(!self.used);
        }
        Ok(())
    }

    fn validate(&mut self, proposals: &[Proposal], _: u64) -> Result<Verdict, Fault> {
        if !std::mem::replace(&mut self.used, true) {
            self.seen.folded_before_use.fetch_max(self.folded, Ordering::SeqCst);
        }
        let mut acceptances = Vec::new();
        for (index, proposal) in (0..).zip(proposals) {
            let number = number(&proposal.payload);
            if number.is_some() && number == self.manner.trap {
                return Err(trap("as told"));
            }
            if number.is_none_or(|number| number < self.manner.min) {
                let (code, message) = ("too-low".to_owned(), format!("below {}", self.manner.min));
                let reasons = vec![Reason { code, message, data: None, seqs: Vec::new() }];
                return Ok(Verdict::Refused(Refusal { index, reasons, meta: None }));
            }
            let instead = self.manner.twice.then(|| vec![proposal.clone(); 2]);
            acceptances.push(Acceptance { instead, ..Acceptance::default() });
        }
        Ok(Verdict::Accepted(acceptances))
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let state = [self.count.to_be_bytes(), self.sum.to_be_bytes()].concat();
        Ok((!self.manner.plain).then_some(state))
    }

    fn query(&mut self, name: &str, _: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        Ok(match name {
            "sum" => Ok(self.sum.to_string().into_bytes()),
            "count" => Ok(self.count.to_string().into_bytes()),
            other => Err(format!("no query {other}")),
        })
    }

    fn fuel(&self) -> u64 {
        self.manner.fuel
    }
}

/// A store in memory whose validators are versions.
pub struct VersionsStore {
    /// Its log.
    pub log: Arc<atomic_store::log::MemoryLog>,
    /// What the instances did.
    pub seen: Arc<Versions>,
    limits: atomic_store_core::Limits,
    hands: Arc<crate::Hands>,
}

impl VersionsStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: atomic_store_core::Limits) -> Self {
        let store = atomic_store_core::protocol::StoreId([1; 16]);
        let log = Arc::new(atomic_store::log::MemoryLog::new(store, limits.clone()));
        VersionsStore { log, seen: Arc::default(), limits, hands: Arc::default() }
    }

    fn open(&self, drive: atomic_store::engine::Drive) -> atomic_store::engine::Engine {
        let loader = Arc::new(VersionsLoader(Arc::clone(&self.seen)));
        let clock = Arc::<crate::JumpingClock>::default();
        let (log, limits) = (Arc::clone(&self.log), self.limits.clone());
        atomic_store::engine::Engine::open(log, loader, clock, limits, drive).unwrap()
    }

    /// Opens it, to run by hand.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn by_hand(&self) -> crate::Caller {
        let drive = atomic_store::engine::Drive::Manual(Arc::clone(&self.hands) as _);
        crate::Caller::by_hand(self.open(drive), &self.hands)
    }

    /// Opens it with threads of its own.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn with_threads(&self, threads: usize) -> crate::Caller {
        crate::Caller::new(self.open(atomic_store::engine::Drive::Threads(threads)))
    }

    /// Its loops, for an engine that runs by hand.
    #[must_use]
    pub fn hands(&self) -> &crate::Hands {
        &self.hands
    }

    /// The process stops at once; what was synced is left.
    pub fn crash(&mut self) {
        self.hands.forget();
        self.log = Arc::new(self.log.crash(0));
    }
}
