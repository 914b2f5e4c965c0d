//! Which rule `$system` says was in force: what each of its bindings bound, and which events of which
//! scopes came from elsewhere.

use crate::engine::shared::Shared;
use crate::engine::system::SystemEvent;
use crate::log::ReadError;
use atomic_store_core::{Digest, ScopeName, ScopePattern, Seq};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A rule: a validator and its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) validator: Digest,
    pub(super) config: Option<Arc<[u8]>>,
}

/// What `$system` says of the past.
#[derive(Default)]
pub(super) struct Ruled {
    /// By the event that made the binding.
    bindings: BTreeMap<Seq, (ScopePattern, Rule)>,
    /// First and last event of what was restored.
    restored: BTreeMap<ScopeName, Vec<(Seq, Seq)>>,
}

impl Ruled {
    /// Reads `$system`.
    pub(super) fn read(shared: &Shared) -> Result<Ruled, ReadError> {
        let mut ruled = Ruled::default();
        let Some(row) = shared.log.scope(&ScopeName::system())? else { return Ok(ruled) };
        let mut walk = row.walk_after(Seq::ZERO);
        // The same configuration bound a thousand times is kept once.
        let mut configs: HashSet<Arc<[u8]>> = HashSet::new();
        let mut problem = None;
        shared.log.read(&row, &mut walk, row.head, &mut |view| {
            let event = view.decode().map_err(|error| error.to_string());
            let event = event.and_then(|body| {
                serde_json::from_slice::<SystemEvent>(body.payload).map_err(|e| e.to_string())
            });
            match event {
                Ok(event) => ruled.fold(view.seq(), event, &mut configs),
                Err(why) => {
                    problem = Some(format!("event {} of $system: {why}", view.seq()));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        problem.map_or(Ok(ruled), |problem| Err(ReadError::DamagedIndex(problem)))
    }

    fn fold(&mut self, seq: Seq, event: SystemEvent, configs: &mut HashSet<Arc<[u8]>>) {
        match event {
            SystemEvent::ScopeBound { pattern, validator, config, .. } => {
                let config = config.map(|config| {
                    let bytes: Arc<[u8]> = config.bytes().into();
                    if let Some(known) = configs.get(&bytes) {
                        return Arc::clone(known);
                    }
                    configs.insert(Arc::clone(&bytes));
                    bytes
                });
                self.bindings.insert(seq, (pattern, Rule { validator, config }));
            }
            SystemEvent::ScopeRestored { scope, after, head, .. } => {
                self.restored.entry(scope).or_default().push((after.next(), head));
            }
            _ => {}
        }
    }

    /// The rule that a binding made for a scope.
    pub(super) fn rule(&self, scope: &ScopeName, binding: Seq) -> Option<&Rule> {
        let (pattern, rule) = self.bindings.get(&binding)?;
        pattern.matches(scope).then_some(rule)
    }

    /// True if an event came from another store, whose `$system` its binding means.
    pub(super) fn is_restored(&self, scope: &ScopeName, seq: Seq) -> bool {
        let ranges = self.restored.get(scope).map_or(&[][..], Vec::as_slice);
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&seq))
    }
}
