//! Before a validator is bound it is started once with its configuration, so that one that declines says
//! so to whoever binds it, and not to everybody who appends afterwards.

use super::admin::invalid;
use super::handle::Engine;
use super::pending::Pending;
use crate::log::ScopeRow;
use crate::validator::{Start, StartError};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Invalid, RuleInfo, ScopeId, ScopeName, ScopePattern};
use std::sync::Arc;

/// What a pattern without a scope is tried with, behind its stem.
const EXAMPLE: &str = "example";

impl Engine {
    /// Starts an instance for a scope of the pattern, and drops it.
    ///
    /// # Errors
    /// `Invalid` with the validator's own words; `Overloaded` if too many instances are alive.
    pub(super) fn try_start(
        &self,
        pattern: &ScopePattern,
        info: &RuleInfo,
        config: Option<&[u8]>,
    ) -> Result<(), RequestError> {
        let shared = &self.shared;
        let rules = shared.registry.rules_of(&info.digest).map_err(RequestError::Failed)?;
        if rules.asks_originator() {
            return Ok(());
        }
        let Some(row) = self.scope_of(pattern)? else { return Ok(()) };
        let row = Arc::new(row);
        let history = Pending::new(Arc::clone(&shared.log), Arc::clone(&row), row.head);
        let scope = &row.name;
        let start = Start { scope, config, snapshot: None, history: Arc::new(history) };
        let about = &info.description;
        let who = format!("{}@{}", about.name, about.version);
        let why = match rules.start(start) {
            Ok(_) => return Ok(()),
            Err(StartError::Declined(why)) => {
                format!("{who} declined to start for {scope}: {why}; bind it with another config")
            }
            Err(StartError::Fault(fault)) => {
                let (kind, detail) = (fault.kind.word(), fault.detail);
                format!("{who} failed to start for {scope} ({kind}): {detail}")
            }
            Err(StartError::NoRoom(why)) => {
                shared.live.ask_cold_to_leave(shared);
                return Err(RequestError::Overloaded(why));
            }
        };
        Err(invalid(Invalid::new("config", why)))
    }

    /// A scope that the pattern covers: the first that has events, or else one that could be. Nothing
    /// if there is no name for that.
    fn scope_of(&self, pattern: &ScopePattern) -> Result<Option<ScopeRow>, RequestError> {
        let shared = &self.shared;
        let unreadable = |error| shared.read_refusal(&error);
        let Some(stem) = pattern.as_str().strip_suffix('*') else {
            let Ok(name) = ScopeName::new(pattern.as_str()) else { return Ok(None) };
            let found = shared.log.scope(&name).map_err(unreadable)?;
            return Ok(Some(found.unwrap_or_else(|| ScopeRow::empty(ScopeId(0), name))));
        };
        // What belongs to the store comes first, and is not covered.
        let rows = shared.log.scopes(stem, "", 2).map_err(unreadable)?;
        let found = rows.into_iter().find(|row| pattern.matches(&row.name));
        let example = || ScopeName::new(&format!("{stem}{EXAMPLE}")).ok();
        Ok(found.or_else(|| example().map(|name| ScopeRow::empty(ScopeId(0), name))))
    }
}
