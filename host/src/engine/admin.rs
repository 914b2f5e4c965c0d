//! What operators do: bind and unbind validators; loading is in `admit.rs`. Each success is an event of `$system`.

use super::handle::Engine;
use super::system::SystemEvent;
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Binding, Invalid, RuleInfo, ScopePattern, Seq, ValidatorRef};

impl Engine {
    /// All loaded validators, in the order of loading, and all bindings.
    #[must_use]
    pub fn validators(&self) -> (Vec<RuleInfo>, Vec<Binding>) {
        self.shared.registry.all()
    }

    /// One validator and its bindings.
    ///
    /// # Errors
    /// `NotFound` if nothing is meant, `Invalid` if more than one thing is.
    pub fn validator(
        &self,
        which: &ValidatorRef,
    ) -> Result<(RuleInfo, Vec<Binding>), RequestError> {
        let info = self.shared.registry.find(which)?;
        let bindings = self.shared.registry.bindings_of(&info.digest);
        Ok((info, bindings))
    }

    /// Lets a validator judge the scopes of a pattern from their next append on. Long scopes are folded
    /// before that, beside their loops (`upgrade.rs`). Blocks until it is durable.
    ///
    /// # Errors
    /// `NotFound` if there is no such validator, `Invalid` if a limit is broken or the validator declines
    /// to start with this configuration.
    pub fn bind(
        &self,
        pattern: ScopePattern,
        which: &ValidatorRef,
        config: Option<Vec<u8>>,
    ) -> Result<Binding, RequestError> {
        let shared = &self.shared;
        shared.limits.check_config(config.as_deref()).map_err(invalid)?;
        if pattern.as_str().starts_with('$') {
            let why = "names with a leading $ belong to the store";
            return Err(invalid(Invalid::new("pattern", why)));
        }
        self.check_writable()?;
        let info = shared.registry.find(which)?;
        let validator = info.digest;
        if validator == super::originator_digest() {
            super::originator::deadline_ms(&shared.limits, config.as_deref()).map_err(invalid)?;
        }
        self.try_start(&pattern, &info, config.as_deref())?;
        let binding = Binding { pattern, validator, config, seq: Seq::ZERO };
        self.activate(binding, None, None)
    }

    /// Removes a binding. Scopes that no other pattern covers refuse appends from then on. Blocks
    /// until it is durable.
    ///
    /// # Errors
    /// `NotFound` if there is no such binding.
    pub fn unbind(&self, pattern: &ScopePattern) -> Result<(), RequestError> {
        self.check_writable()?;
        if !self.shared.registry.has_binding(pattern) {
            let why = format!("nothing is bound to {pattern}; see: atomic-store validator list");
            return Err(RequestError::NotFound(why));
        }
        self.record(&SystemEvent::ScopeUnbound { pattern: pattern.clone() }, None)?;
        Ok(())
    }

    pub(crate) fn check_writable(&self) -> Result<(), RequestError> {
        if let Some(why) = self.shared.read_only() {
            return Err(RequestError::Failed(why));
        }
        if !self.shared.log.has_room() {
            return Err(RequestError::Overloaded("the disk is nearly full".to_owned()));
        }
        Ok(())
    }
}

/// A broken rule, as the answer to a request.
pub(crate) fn invalid(error: Invalid) -> RequestError {
    RequestError::Invalid { field: error.field, why: error.why }
}
