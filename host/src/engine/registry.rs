//! Which validators are loaded, and which scopes they judge. A fold of `$system`, kept in memory.

use super::built_in::{AcceptAll, Originator};
use super::options::Recorded;
use super::system::{ConfigText, LoadedRule, SystemEvent};
use super::trials::{Tap, Trials};
use crate::log::{EventLog, Floor};
use crate::signing::Trust;
use crate::validator::{AdmitError, Loader, Rules};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Binding, Digest, Grants, Limits, Outcome, RuleInfo, ScopeName, ScopePattern, Seq, Trial,
    ValidatorName, ValidatorRef,
};
use semver::{Version, VersionReq};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Loaded validators and bindings.
pub(crate) struct Registry {
    state: RwLock<State>,
    /// Rises with every change of validators and bindings, so that loops notice without a lock.
    generation: AtomicU64,
    /// How many scopes are sealed, so that loops pass by without a lock when none is.
    sealed: AtomicUsize,
    loader: Arc<dyn Loader>,
    log: Arc<dyn EventLog>,
    trust: RwLock<Arc<Trust>>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Digest, Arc<Entry>>,
    bindings: BTreeMap<ScopePattern, Binding>,
    /// Candidates, and what was bound before.
    trials: Trials,
    /// Scopes that operators sealed, and why.
    sealed: BTreeMap<ScopeName, String>,
    /// Where the events of scopes begin that do not begin at the first.
    floors: BTreeMap<ScopeName, Floor>,
    /// Scopes deleted or restored so far.
    changes: u64,
    /// What the store was opened with.
    options: Recorded,
}

/// A loaded validator. It is compiled on first use: a start need not wait for rules that nobody
/// asks for.
struct Entry {
    info: RuleInfo,
    grants: Grants,
    /// The event of `$system` that loaded it: among equal versions the newest counts.
    seq: Seq,
    compiled: Mutex<Option<Compiled>>,
}

/// What came of compiling: it is the same however often one tries.
type Compiled = Result<Arc<dyn Rules>, AdmitError>;

/// The rule of a scope.
pub(crate) struct Ruling {
    pub(crate) generation: u64,
    pub(crate) binding: Binding,
    /// Identity of validator and configuration together: what a snapshot's state depends on.
    pub(crate) rule: Digest,
    pub(crate) rules: Arc<dyn Rules>,
    /// For the candidate that runs beside this rule.
    pub(crate) tap: Option<Tap>,
}

impl Registry {
    pub(crate) fn new(loader: Arc<dyn Loader>, log: Arc<dyn EventLog>) -> Self {
        let mut state = State::default();
        let mut add = |info: RuleInfo, rules: Arc<dyn Rules>| {
            let (digest, compiled) = (info.digest, Mutex::new(Some(Ok(rules))));
            let (grants, seq) = (Grants::default(), Seq::ZERO);
            state.entries.insert(digest, Arc::new(Entry { info, grants, seq, compiled }));
        };
        if let Some(accept_all) = AcceptAll::new() {
            add(accept_all.info(), Arc::new(accept_all));
        }
        if let Some(originator) = Originator::new() {
            add(originator.info(), Arc::new(originator));
        }
        let (generation, sealed) = (AtomicU64::new(1), AtomicUsize::new(0));
        let (state, trust) = (RwLock::new(state), RwLock::default());
        Registry { state, generation, sealed, loader, log, trust }
    }

    /// Bytes of memory of all instances.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.loader.memory_bytes()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Folds one durable event of `$system`.
    pub(crate) fn fold(&self, seq: Seq, event: &SystemEvent, rules: Option<Arc<dyn Rules>>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            SystemEvent::ValidatorLoaded(loaded) => {
                let LoadedRule { info, grants } = (**loaded).clone();
                let (digest, compiled) = (info.digest, Mutex::new(rules.map(Ok)));
                let entry = Entry { info, grants, seq, compiled };
                state.entries.insert(digest, Arc::new(entry));
            }
            SystemEvent::ScopeBound { pattern, validator, config, share, by } => {
                let binding = as_bound(pattern, validator, config.as_ref(), seq);
                if share.is_some() {
                    state.trials.start(Trial { candidate: binding, share: *share });
                } else {
                    let before = state.bindings.insert(pattern.clone(), binding);
                    state.trials.bound(pattern, before, by.as_ref());
                }
            }
            SystemEvent::ScopeUnbound { pattern } => {
                let before = state.bindings.remove(pattern);
                state.trials.bound(pattern, before, None);
            }
            SystemEvent::TrialStarted { pattern, validator, config } => {
                let candidate = as_bound(pattern, validator, config.as_ref(), seq);
                state.trials.start(Trial { candidate, share: None });
            }
            SystemEvent::TrialEnded { pattern } => state.trials.end(pattern),
            SystemEvent::OptionsChanged { now } => return state.options.change(seq, now),
            other => {
                state.fold_scope(other);
                self.sealed.store(state.sealed.len(), Ordering::Release);
                return;
            }
        }
        drop(state);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Why operators sealed a scope, if they did.
    pub(crate) fn sealed(&self, scope: &ScopeName) -> Option<String> {
        if self.sealed.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.read().sealed.get(scope).cloned()
    }

    /// Where `$system` says that the events of a scope begin.
    pub(crate) fn floor(&self, scope: &ScopeName) -> Floor {
        self.read().floors.get(scope).copied().unwrap_or_else(|| Floor::none(scope))
    }

    /// The options that were recorded last.
    pub(super) fn options(&self) -> Recorded {
        self.read().options.clone()
    }

    /// How many scopes were deleted or restored so far.
    pub(crate) fn changes(&self) -> u64 {
        self.read().changes
    }

    /// The rule of a scope: that of the most specific pattern.
    ///
    /// # Errors
    /// `Invalid` if no pattern covers the scope, `ReadOnly` if its validator cannot be started.
    pub(crate) fn ruling(&self, scope: &ScopeName) -> Result<Ruling, Outcome> {
        let generation = self.generation();
        let Some(binding) = self.binding(scope) else {
            let why = format!(
                "no validator is bound to {scope}; bind one, for example: atomic-store validator \
                 bind '{scope}' {}",
                super::ACCEPT_ALL
            );
            return Err(Outcome::Invalid { field: "scope".to_owned(), why });
        };
        let mut ruling = self.ruling_of(binding).map_err(|why| {
            let why = format!("the validator of {scope}: {why}");
            Outcome::ReadOnly { why }
        })?;
        let state = self.read();
        let trial = state.trials.get(&ruling.binding.pattern);
        ruling.tap = trial.filter(|(trial, _)| trial.share.is_none()).map(|(_, tap)| tap.clone());
        drop(state);
        Ok(Ruling { generation, ..ruling })
    }

    /// A validator by its digest, whether it is bound or not.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) fn rules_of(&self, validator: &Digest) -> Result<Arc<dyn Rules>, String> {
        let entry = self.read().entries.get(validator).cloned();
        entry.map_or_else(|| Err("it is not loaded".to_owned()), |entry| self.rules(&entry))
    }

    /// The rule of a binding, made or not, as of no generation.
    ///
    /// # Errors
    /// Why its validator cannot be started.
    pub(crate) fn ruling_of(&self, binding: Binding) -> Result<Ruling, String> {
        let rules = self.rules_of(&binding.validator);
        let rules = rules.map_err(|why| format!("{}: {why}", binding.validator.short()))?;
        Ok(Ruling {
            generation: 0,
            rule: rule_of(&binding.validator, binding.config.as_deref()),
            binding,
            rules,
            tap: None,
        })
    }

    /// The trial of a pattern.
    pub(crate) fn trial(&self, pattern: &ScopePattern) -> Option<Trial> {
        self.read().trials.get(pattern).map(|(trial, _)| trial.clone())
    }

    /// The candidate of the trial that this event of `$system` began, if it runs still.
    pub(crate) fn trial_at(&self, seq: Seq) -> Option<Binding> {
        let state = self.read();
        let mut trials = state.trials.all().map(|(trial, _)| &trial.candidate);
        trials.find(|candidate| candidate.seq == seq).cloned()
    }

    /// All trials.
    pub(crate) fn trials(&self) -> Vec<(Trial, Tap)> {
        self.read().trials.all().cloned().collect()
    }

    /// What was bound to a pattern before.
    pub(crate) fn bound_before(&self, pattern: &ScopePattern) -> Option<Binding> {
        self.read().trials.bound_before(pattern).cloned()
    }

    /// The binding of a pattern.
    pub(crate) fn bound(&self, pattern: &ScopePattern) -> Option<Binding> {
        self.read().bindings.get(pattern).cloned()
    }

    /// Compiles a validator on first use; others that need it wait here. A component that could not
    /// be read or compiled in time is tried again the next time, one that is refused is not.
    fn rules(&self, entry: &Entry) -> Result<Arc<dyn Rules>, String> {
        let mut compiled = entry.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.is_none() {
            let bytes = self.log.module(&entry.info.digest).map_err(|error| error.to_string())?;
            let bytes = bytes.ok_or("its component is missing; load it again")?;
            match self.loader.load_granted(&bytes, &entry.grants) {
                // A matter of this moment, such as a busy machine.
                Err(error @ AdmitError::Compile(_)) => return Err(error.to_string()),
                result => *compiled = Some(result),
            }
        }
        match &*compiled {
            Some(Ok(rules)) => Ok(Arc::clone(rules)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it is not compiled".to_owned()),
        }
    }

    /// The binding that counts for a scope, if any.
    pub(crate) fn binding(&self, scope: &ScopeName) -> Option<Binding> {
        let state = self.read();
        let matching = state.bindings.values().filter(|binding| binding.pattern.matches(scope));
        let bound = matching.max_by_key(|binding| binding.pattern.specificity())?;
        let candidate = state.trials.judge(&bound.pattern, scope);
        Some(candidate.unwrap_or(bound).clone())
    }

    pub(crate) fn all(&self) -> (Vec<RuleInfo>, Vec<Binding>) {
        let state = self.read();
        let mut entries: Vec<_> = state.entries.values().collect();
        entries.sort_by_key(|entry| entry.seq);
        let infos = entries.into_iter().map(|entry| entry.info.clone()).collect();
        (infos, state.bindings.values().cloned().collect())
    }

    pub(crate) fn info(&self, digest: &Digest) -> Option<RuleInfo> {
        self.read().entries.get(digest).map(|entry| entry.info.clone())
    }

    pub(crate) fn bindings_of(&self, digest: &Digest) -> Vec<Binding> {
        let state = self.read();
        state.bindings.values().filter(|binding| binding.validator == *digest).cloned().collect()
    }

    /// What a validator was given when it was loaded.
    pub(crate) fn grants(&self, digest: &Digest) -> Grants {
        self.read().entries.get(digest).map(|entry| entry.grants.clone()).unwrap_or_default()
    }

    /// The patterns that validators of this name judge.
    pub(crate) fn patterns_of(&self, name: &ValidatorName) -> Vec<ScopePattern> {
        let state = self.read();
        let named = |digest| {
            state.entries.get(digest).is_some_and(|entry| entry.info.description.name == *name)
        };
        let bindings = state.bindings.values().filter(|binding| named(&binding.validator));
        bindings.map(|binding| binding.pattern.clone()).collect()
    }

    /// Whose components are let in.
    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }

    pub(crate) fn has_binding(&self, pattern: &ScopePattern) -> bool {
        self.read().bindings.contains_key(pattern)
    }

    /// Refuses an event that would make one validator or binding more than allowed. What comes with
    /// the store does not count. Whoever holds the end of `$system` asks, so that two at once do not
    /// both find the last place.
    pub(crate) fn check_room(
        &self,
        event: &SystemEvent,
        limits: &Limits,
    ) -> Result<(), RequestError> {
        match event {
            SystemEvent::ValidatorLoaded(loaded) if self.info(&loaded.info.digest).is_none() => {
                self.check_validators(limits)
            }
            SystemEvent::ScopeBound { pattern, share: None, .. } if !self.has_binding(pattern) => {
                room("bindings", self.read().bindings.len(), limits.bindings_max)
            }
            SystemEvent::TrialStarted { .. } | SystemEvent::ScopeBound { share: Some(_), .. } => {
                room("trials", self.read().trials.all().len(), limits.bindings_max)
            }
            SystemEvent::ScopeSealed { scope, .. } if self.sealed(scope).is_none() => {
                room("sealed scopes", self.sealed.load(Ordering::Acquire), limits.sealed_scopes_max)
            }
            _ => Ok(()),
        }
    }

    /// Refuses one more validator than allowed; asked before a component is compiled in vain.
    pub(crate) fn check_validators(&self, limits: &Limits) -> Result<(), RequestError> {
        let loaded = self.read().entries.values().filter(|entry| !entry.info.built_in).count();
        room("validators", loaded, limits.components_max)
    }

    /// The validator that a person means.
    ///
    /// # Errors
    /// `NotFound` if it is none, `Invalid` if it is more than one.
    pub(crate) fn find(&self, which: &ValidatorRef) -> Result<RuleInfo, RequestError> {
        let state = self.read();
        let mut found: Vec<_> = match which {
            ValidatorRef::Digest(digits) => {
                let entries = state.entries.values();
                entries.filter(|e| e.info.digest.to_string().starts_with(digits)).collect()
            }
            ValidatorRef::Named { name, version } => {
                let wanted = requirement(version.as_deref())?;
                let named = state.entries.values().filter(|e| e.info.description.name == *name);
                named.filter(|e| version_of(&e.info).is_some_and(|v| wanted.matches(&v))).collect()
            }
        };
        if let ValidatorRef::Named { version, .. } = which {
            newest(&mut found, version.as_deref());
        }
        found.sort_by_key(|entry| entry.seq);
        match found.as_slice() {
            [entry] => Ok(entry.info.clone()),
            [] => Err(RequestError::NotFound(format!(
                "no validator {which} is loaded; see: atomic-store validator list"
            ))),
            several => Err(several_fit(which, several)),
        }
    }
}

/// Keeps those of the newest version, which are several if components call themselves the same. Build
/// metadata, as in `1.2.0+local`, makes none newer; who gives it means it.
fn newest(found: &mut Vec<&Arc<Entry>>, version: Option<&str>) {
    if found.iter().any(|entry| Some(entry.info.description.version.as_str()) == version) {
        found.retain(|entry| Some(entry.info.description.version.as_str()) == version);
    }
    let versions: Vec<_> = found.iter().filter_map(|entry| version_of(&entry.info)).collect();
    let Some(newest) = versions.iter().max_by(|a, b| a.cmp_precedence(b)) else { return };
    let is_newest = |version: Version| version.cmp_precedence(newest).is_eq();
    found.retain(|entry| version_of(&entry.info).is_some_and(is_newest));
}

/// To take one of them would be to bind, promote or prove what nobody named.
fn several_fit(which: &ValidatorRef, several: &[&Arc<Entry>]) -> RequestError {
    let each: Vec<_> = several
        .iter()
        .map(|entry| {
            let RuleInfo { digest, description, .. } = &entry.info;
            let digest = match which {
                ValidatorRef::Named { .. } => digest.short(),
                ValidatorRef::Digest(_) => digest.to_string(),
            };
            format!("{digest} ({}@{})", description.name, description.version)
        })
        .collect();
    let why = format!("{which} fits {}; say which by the digest", each.join(" and "));
    RequestError::Invalid { field: "validator".to_owned(), why }
}

impl State {
    /// Folds what happened to a scope as a whole.
    fn fold_scope(&mut self, event: &SystemEvent) {
        match event {
            SystemEvent::ScopeSealed { scope, why } => {
                self.sealed.insert(scope.clone(), why.clone());
            }
            SystemEvent::ScopeUnsealed { scope } => drop(self.sealed.remove(scope)),
            SystemEvent::ScopeDeleted { scope, through: seq, hash }
            | SystemEvent::ScopeRestored { scope, after: seq, previous: hash, .. } => {
                self.changes += 1;
                if *seq > Seq::ZERO {
                    self.floors.insert(scope.clone(), Floor { seq: *seq, hash: *hash });
                }
            }
            _ => {}
        }
    }
}

/// Refuses one more than `max`.
fn room(field: &str, there: usize, max: usize) -> Result<(), RequestError> {
    if there >= max {
        let why = format!("the store holds {there} already; at most {max} are allowed");
        return Err(RequestError::Invalid { field: field.to_owned(), why });
    }
    Ok(())
}

/// `1` and `1.2` mean the newest that begins so; `1.2.0` means exactly that one.
fn requirement(version: Option<&str>) -> Result<VersionReq, RequestError> {
    let Some(version) = version else { return Ok(VersionReq::STAR) };
    let exact = Version::parse(version).is_ok();
    let text = if exact { format!("={version}") } else { format!("{version}.*") };
    VersionReq::parse(&text).map_err(|error| RequestError::Invalid {
        field: "validator".to_owned(),
        why: format!("{version:?} is not a version such as 1, 1.2 or 1.2.0: {error}"),
    })
}

fn version_of(info: &RuleInfo) -> Option<Version> {
    Version::parse(&info.description.version).ok()
}

fn as_bound(
    pattern: &ScopePattern,
    validator: &Digest,
    config: Option<&ConfigText>,
    seq: Seq,
) -> Binding {
    let config = config.map(ConfigText::bytes);
    Binding { pattern: pattern.clone(), validator: *validator, config, seq }
}

/// Identity of a validator and its configuration together.
pub(crate) fn rule_of(validator: &Digest, config: Option<&[u8]>) -> Digest {
    let mut bytes = validator.0.to_vec();
    if let Some(config) = config {
        bytes.push(1);
        bytes.extend_from_slice(config);
    }
    Digest::of(&bytes)
}
