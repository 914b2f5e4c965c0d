//! The scripted validator under observation: it counts what it is asked, and waits at a gate when
//! told to, so that a test can look around in the middle of a validation.

use crate::ScriptedLoader;
use atomic_store::validator::{AdmitError, Loader, Rules, Start, StartError, Validator, Verdict};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{Description, Digest, Fault, Proposal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What was seen so far, and the gate. Proposals of the kind `gate` wait there.
#[derive(Debug, Default)]
pub struct Probe {
    applied: AtomicU64,
    restored: AtomicU64,
    started: AtomicU64,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    open: bool,
    waiting: usize,
    judged: Vec<Vec<u8>>,
}

impl Probe {
    /// Events folded, by all instances.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::SeqCst)
    }

    /// Instances that began with a snapshot.
    pub fn restored(&self) -> u64 {
        self.restored.load(Ordering::SeqCst)
    }

    /// Instances, with or without a snapshot.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    /// The first payload of every append that was judged, in order; those at the gate included.
    ///
    /// # Panics
    /// If a validation panicked.
    #[must_use]
    pub fn judged(&self) -> Vec<String> {
        let gate = self.gate.lock().unwrap();
        gate.judged.iter().map(|payload| String::from_utf8(payload.clone()).unwrap()).collect()
    }

    /// Waits until so many validations are at the gate.
    ///
    /// # Panics
    /// If they do not come.
    pub fn wait_for(&self, waiting: usize) {
        let gate = self.gate.lock().unwrap();
        let patience = Duration::from_secs(60);
        let few = |gate: &mut Gate| gate.waiting < waiting;
        let (_gate, late) = self.moved.wait_timeout_while(gate, patience, few).unwrap();
        assert!(!late.timed_out(), "nobody came to the gate");
    }

    /// Lets everybody through from now on.
    ///
    /// # Panics
    /// If a validation panicked.
    pub fn open(&self) {
        self.gate.lock().unwrap().open = true;
        self.moved.notify_all();
    }

    fn pass(&self, proposals: &[Proposal]) {
        let mut gate = self.gate.lock().unwrap();
        gate.judged.push(proposals[0].payload.clone());
        if proposals[0].kind == "gate" && !gate.open {
            gate.waiting += 1;
            self.moved.notify_all();
            let mut gate = self.moved.wait_while(gate, |gate| !gate.open).unwrap();
            gate.waiting -= 1;
        }
    }

    /// A loader of the observed validator; its component is [`crate::SCRIPTED`].
    #[must_use]
    pub fn loader(self: &Arc<Self>) -> Arc<dyn Loader> {
        Arc::new(ProbeLoader(Arc::clone(self)))
    }
}

struct ProbeLoader(Arc<Probe>);

struct ProbeRules {
    rules: Arc<dyn Rules>,
    probe: Arc<Probe>,
}

struct Instance {
    instance: Box<dyn Validator>,
    probe: Arc<Probe>,
}

impl Loader for ProbeLoader {
    fn load(&self, bytes: &[u8]) -> Result<Arc<dyn Rules>, AdmitError> {
        let rules = ScriptedLoader.load(bytes)?;
        Ok(Arc::new(ProbeRules { rules, probe: Arc::clone(&self.0) }))
    }
}

impl Rules for ProbeRules {
    fn digest(&self) -> Digest {
        self.rules.digest()
    }

    fn description(&self) -> &Description {
        self.rules.description()
    }

    fn start(&self, start: Start<'_>) -> Result<Box<dyn Validator>, StartError> {
        self.probe.started.fetch_add(1, Ordering::SeqCst);
        self.probe.restored.fetch_add(u64::from(start.snapshot.is_some()), Ordering::SeqCst);
        let instance = self.rules.start(start)?;
        Ok(Box::new(Instance { instance, probe: Arc::clone(&self.probe) }))
    }
}

impl Validator for Instance {
    fn apply(&mut self, events: &[BodyIn<'_>]) -> Result<(), Fault> {
        self.probe.applied.fetch_add(events.len() as u64, Ordering::SeqCst);
        self.instance.apply(events)
    }

    fn validate(&mut self, proposals: &[Proposal], host_ms: u64) -> Result<Verdict, Fault> {
        self.probe.pass(proposals);
        self.instance.validate(proposals, host_ms)
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.instance.snapshot()
    }

    fn query(&mut self, name: &str, args: &[u8]) -> Result<Result<Vec<u8>, String>, Fault> {
        self.instance.query(name, args)
    }
}
