//! The store's own log: what was loaded and bound, as events of `$system` in a chain of its own.

use super::item::Item;
use super::options::Options;
use super::registry::Registry;
use super::shared::Shared;
use crate::log::{Change, EventLog, ReadError, ScopeRow, Unit};
use crate::validator::Rules;
use atomic_store_core::Share;
use atomic_store_core::chain::{self, Walk};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::record::{Body, Record};
use atomic_store_core::{
    AppendId, ContentType, Digest, Grants, RuleInfo, ScopeName, ScopePattern, Seq,
};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

/// What the store did. JSON, so that people can read `$system`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum SystemEvent {
    /// A component was admitted; its bytes were stored in the same commit.
    ValidatorLoaded(Box<LoadedRule>),
    /// A validator judges scopes from here on; with a share, only these of them, and the binding goes
    /// on with the others.
    ScopeBound {
        pattern: ScopePattern,
        validator: Digest,
        config: Option<ConfigText>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        share: Option<Share>,
        /// What made it, if it was not bound by name.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<BoundBy>,
    },
    /// No validator of this pattern any more.
    ScopeUnbound { pattern: ScopePattern },
    /// A scope takes no appends any more.
    ScopeSealed { scope: ScopeName, why: String },
    /// It takes appends again.
    ScopeUnsealed { scope: ScopeName },
    /// The events of a scope are gone up to this one, in the same commit.
    ScopeDeleted { scope: ScopeName, through: Seq, hash: Digest },
    /// The events of a scope came from elsewhere, in the same commit.
    ScopeRestored {
        scope: ScopeName,
        /// Events up to this one had been deleted there, and the chain's hash at it.
        after: Seq,
        previous: Digest,
        head: Seq,
        hash: Digest,
        events: u64,
        /// Where from, if the scope had another name there and so another chain.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<RestoredFrom>,
    },
    /// A candidate runs beside a binding, and decides nothing.
    TrialStarted { pattern: ScopePattern, validator: Digest, config: Option<ConfigText> },
    /// No candidate of this pattern any more, beside the binding or in its place.
    TrialEnded { pattern: ScopePattern },
    /// A snapshot was not what the events say, and was dropped.
    SnapshotDropped { scope: ScopeName, validator: Digest, seq: Seq, why: String },
    /// The store was opened with other options than before; only these are others.
    OptionsChanged { now: Options },
}

/// What made a binding, other than its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BoundBy {
    /// A trial that has shown what was asked for.
    Promoted { compared: u64 },
    /// A trial that has not, for this reason; an operator insisted.
    Forced { although: String },
    /// The way back to what was bound before.
    Rollback,
}

/// A component that was admitted, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadedRule {
    #[serde(flatten)]
    pub(crate) info: RuleInfo,
    /// Left out if it was given nothing, as in stores of earlier versions.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub(crate) grants: Grants,
}

fn is_nothing(grants: &Grants) -> bool {
    *grants == Grants::default()
}

/// The scope that a restored one was renamed from, and its hash at its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoredFrom {
    pub(crate) scope: ScopeName,
    pub(crate) hash: Digest,
}

/// A component that was just admitted: what it compiled to, and its bytes.
pub(crate) type Component = (Arc<dyn Rules>, Arc<[u8]>);

/// A configuration: as text where it is text, otherwise as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConfigText {
    Text(String),
    Hex(String),
}

impl ConfigText {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => ConfigText::Text(text.to_owned()),
            Err(_) => ConfigText::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            ConfigText::Text(text) => text.as_bytes().to_vec(),
            ConfigText::Hex(digits) => (0..digits.len() / 2)
                .filter_map(|n| u8::from_str_radix(digits.get(n * 2..n * 2 + 2)?, 16).ok())
                .collect(),
        }
    }
}

impl SystemEvent {
    fn kind(&self) -> &'static str {
        match self {
            SystemEvent::ValidatorLoaded(_) => "validator-loaded",
            SystemEvent::ScopeBound { .. } => "scope-bound",
            SystemEvent::ScopeUnbound { .. } => "scope-unbound",
            SystemEvent::ScopeSealed { .. } => "scope-sealed",
            SystemEvent::ScopeUnsealed { .. } => "scope-unsealed",
            SystemEvent::ScopeDeleted { .. } => "scope-deleted",
            SystemEvent::ScopeRestored { .. } => "scope-restored",
            SystemEvent::TrialStarted { .. } => "trial-started",
            SystemEvent::TrialEnded { .. } => "trial-ended",
            SystemEvent::SnapshotDropped { .. } => "snapshot-dropped",
            SystemEvent::OptionsChanged { .. } => "options-changed",
        }
    }
}

/// The end of `$system`. Its lock makes the host's own appends one at a time.
pub(crate) struct SystemLog {
    end: Mutex<End>,
}

struct End {
    row: Arc<ScopeRow>,
    head: Seq,
    hash: Digest,
    bytes: u64,
    host_ms: u64,
}

impl SystemLog {
    /// Reads `$system` and folds it into the registry.
    pub(crate) fn open(log: &dyn EventLog, registry: &Registry) -> Result<Self, ReadError> {
        let name = ScopeName::system();
        let mut end = End {
            head: Seq::ZERO,
            hash: chain::genesis(&name),
            host_ms: 0,
            bytes: 0,
            row: Arc::new(ScopeRow::empty(atomic_store_core::ScopeId(0), name.clone())),
        };
        match log.scope(&name)? {
            None => {
                let mut row = (*end.row).clone();
                row.id = log.new_scope_id();
                end.row = Arc::new(row);
            }
            Some(row) => {
                let mut walk = Walk::from_start(&name);
                let mut problem = None;
                log.read(&row, &mut walk, Seq::MAX, &mut |view| {
                    let event = view.decode().map_err(|error| error.to_string()).and_then(|body| {
                        let event = serde_json::from_slice(body.payload);
                        Ok((body.host_ms, event.map_err(|error| error.to_string())?))
                    });
                    match event {
                        Ok((host_ms, event)) => {
                            end.host_ms = host_ms;
                            registry.fold(view.seq(), &event, None);
                            ControlFlow::Continue(())
                        }
                        Err(why) => {
                            problem = Some(format!("event {} of $system: {why}", view.seq()));
                            ControlFlow::Break(())
                        }
                    }
                })?;
                if let Some(problem) = problem {
                    return Err(ReadError::DamagedIndex(problem));
                }
                end.head = row.head;
                end.hash = row.hash;
                end.bytes = row.bytes;
                end.row = Arc::new(row);
            }
        }
        Ok(SystemLog { end: Mutex::new(end) })
    }

    /// The scope as it was found when the store was opened.
    pub(crate) fn row(&self) -> Arc<ScopeRow> {
        Arc::clone(&self.end.lock().unwrap_or_else(PoisonError::into_inner).row)
    }

    /// Makes an event durable, then folds it. `pump` drives the committer while this thread waits,
    /// in a simulation; elsewhere it does nothing.
    pub(crate) fn append(
        &self,
        shared: &Shared,
        event: &SystemEvent,
        component: Option<Component>,
        change: Option<Change>,
        pump: &dyn Fn(),
    ) -> Result<Seq, RequestError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        shared.registry.check_room(event, &shared.limits)?;
        let payload = serde_json::to_vec(event).map_err(|error| failed(&error))?;
        let seq = end.head.next();
        let host_ms = shared.clock.now_ms().max(end.host_ms);
        let body = Body {
            seq,
            kind: event.kind(),
            content_type: ContentType::Json,
            payload: &payload,
            keys: &[][..],
            triggers: &[][..],
            metadata: &[][..],
            caller_ms: None,
            host_ms,
            append_id: AppendId::default(),
            validator: Digest::default(),
            binding: Seq::ZERO,
        };
        let record = Record::encode(&end.hash, &body).map_err(|error| failed(&error))?;
        let hash = record.hash();
        let mut unit = Unit::bare(Arc::clone(&end.row));
        unit.at = end.head;
        unit.bytes = end.bytes;
        let bytes = end.bytes + record.as_bytes().len() as u64;
        unit.records = vec![record];
        unit.host_ms = shared.clock.now_ms();
        let module = component.as_ref().map(|(rules, bytes)| (rules.digest(), Arc::clone(bytes)));
        unit.module = module.map(Box::new);
        unit.change = change.map(Box::new);
        let (done, waiting) = mpsc::sync_channel(1);
        shared.committer.hand(shared, &mut vec![Item::host(unit, done)]);
        pump();
        waiting.recv().map_err(|error| failed(&error))?.map_err(RequestError::Failed)?;
        (end.head, end.hash, end.bytes, end.host_ms) = (seq, hash, bytes, host_ms);
        shared.registry.fold(seq, event, component.map(|(rules, _)| rules));
        Ok(seq)
    }
}

fn failed(error: &dyn std::fmt::Display) -> RequestError {
    RequestError::Failed(error.to_string())
}
