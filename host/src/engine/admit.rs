//! Letting components in: signature, admission, self-test over generated and recorded events, and the
//! event of `$system` that says what was loaded on which terms.

use super::admin::invalid;
use super::handle::Engine;
use super::system::{LoadedRule, SystemEvent};
use crate::signing::Trust;
use crate::validator::{Recorded, Rules, Trial};
use atomic_store_core::protocol::{Admitted, RequestError};
use atomic_store_core::{
    Check, Digest, Event, Grants, LoadOptions, RuleInfo, ScopeName, ScopePattern, Seq, ValidatorRef,
};
use std::ops::ControlFlow;

/// Scopes whose events a self-test runs over.
const RECORDED_SCOPES_MAX: usize = 8;
/// Names that are looked through for them.
const RECORDED_LOOK_MAX: usize = 1_000;
/// Events of each, from the first.
const RECORDED_EVENTS_MAX: usize = 256;
/// Bytes of a report in a sentence.
const FAILURES_BYTES_MAX: usize = 4 * 1024;

impl Engine {
    /// Says whose components are let in from here on. Those which are loaded stay.
    pub fn trust(&self, trust: Trust) {
        self.shared.registry.set_trust(trust);
    }

    /// Admits a component and stores it. True if it is new; the same bytes again are no news.
    /// Blocks while it is compiled and tried out, and until it is durable.
    ///
    /// # Errors
    /// As [`Engine::load_with`].
    pub fn load(&self, component: &[u8]) -> Result<(RuleInfo, bool), RequestError> {
        let admitted = self.load_with(component, &LoadOptions::default())?;
        Ok((admitted.info, admitted.new))
    }

    /// The same, with a say in how, and with a report. What a self-test finds is a reason to refuse
    /// only if that was asked for; a bad signature, a foreign import, or two verdicts on one thing
    /// always are.
    ///
    /// # Errors
    /// `NotAdmitted` says what is wrong with it, `Invalid` which limit it breaks.
    pub fn load_with(
        &self,
        component: &[u8],
        options: &LoadOptions,
    ) -> Result<Admitted, RequestError> {
        let shared = &self.shared;
        shared.limits.check_component(component.len()).map_err(invalid)?;
        shared.limits.check_load(options).map_err(invalid)?;
        let trust = shared.registry.trust();
        let signed_by = trust.check(component, options.signature.as_deref());
        let signed_by = signed_by.map_err(RequestError::NotAdmitted)?.map(ToString::to_string);
        let digest = Digest::of(component);
        if !options.check_only
            && let Some(known) = self.known(&digest)
        {
            return Ok(known);
        }
        if !options.check_only {
            self.check_writable()?;
            shared.registry.check_validators(&shared.limits)?;
        }
        let grants = Grants { wasi: options.wasi, signed_by };
        let rules = self.loader.load_granted(component, &grants);
        let rules = rules.map_err(|error| RequestError::NotAdmitted(error.to_string()))?;
        let checks = self.try_out(&*rules, options)?;
        let info = RuleInfo {
            digest,
            description: rules.description().clone(),
            bytes: component.len() as u64,
            built_in: false,
        };
        let new = !options.check_only;
        if new {
            let loaded = LoadedRule { info: info.clone(), grants: grants.clone() };
            let event = SystemEvent::ValidatorLoaded(Box::new(loaded));
            self.record(&event, Some((rules, component.into())))?;
        }
        let bindings = shared.registry.bindings_of(&digest);
        Ok(Admitted { info, new, bindings, grants, checks })
    }

    /// What a validator was given when it was loaded.
    ///
    /// # Errors
    /// `NotFound` if nothing is meant, `Invalid` if more than one thing is.
    pub fn admission(&self, which: &ValidatorRef) -> Result<Admitted, RequestError> {
        let info = self.shared.registry.find(which)?;
        Ok(self.admitted_before(info))
    }

    /// A validator that is loaded, with its bytes.
    fn known(&self, digest: &Digest) -> Option<Admitted> {
        let info = self.shared.registry.info(digest)?;
        let there = info.built_in || matches!(self.shared.log.module(digest), Ok(Some(_)));
        there.then(|| self.admitted_before(info))
    }

    fn admitted_before(&self, info: RuleInfo) -> Admitted {
        let registry = &self.shared.registry;
        let (bindings, grants) =
            (registry.bindings_of(&info.digest), registry.grants(&info.digest));
        Admitted { info, new: false, bindings, grants, checks: Vec::new() }
    }

    /// The self-test, and whether what it found is a reason to refuse.
    fn try_out(
        &self,
        rules: &dyn Rules,
        options: &LoadOptions,
    ) -> Result<Vec<Check>, RequestError> {
        let recorded = self.recorded(rules, options);
        let trial = Trial { config: options.config.clone(), recorded };
        let checks = self.loader.try_out(rules, &trial);
        let always = |check: &&Check| check.name == crate::self_test::SAME_VERDICT;
        let failed: Vec<_> = checks.iter().filter(|check| check.failed()).collect();
        let refuse = match (options.check_only, options.strict) {
            (true, _) => Vec::new(),
            (false, true) => failed.clone(),
            (false, false) => failed.iter().copied().filter(always).collect(),
        };
        if !refuse.is_empty() {
            let why = format!("its self-test failed: {}", failures(&refuse));
            return Err(RequestError::NotAdmitted(why));
        }
        if !failed.is_empty() {
            let rule = &rules.description().name;
            tracing::warn!("self-test of {rule}: {}", failures(&failed).escape_debug());
        }
        Ok(checks)
    }

    /// The first events of some scopes that the component may come to judge.
    fn recorded(&self, rules: &dyn Rules, options: &LoadOptions) -> Vec<Recorded> {
        let registry = &self.shared.registry;
        let patterns: Vec<ScopePattern> = match &options.recorded {
            Some(pattern) => vec![pattern.clone()],
            None => registry.patterns_of(&rules.description().name),
        };
        let mut recorded = Vec::new();
        for pattern in &patterns {
            let stem = pattern.as_str().trim_end_matches('*');
            // A log that cannot be read is the trouble of whoever reads it next, not of a component.
            let scopes = self.list_scopes(stem, "", RECORDED_LOOK_MAX).unwrap_or_default();
            let whole = scopes.into_iter().filter(|scope| {
                pattern.matches(&scope.name) && scope.floor == Seq::ZERO && scope.head > Seq::ZERO
            });
            for scope in whole {
                if recorded.len() >= RECORDED_SCOPES_MAX {
                    return recorded;
                }
                let binding = registry.binding(&scope.name);
                // A more specific pattern may have this scope judged by something else.
                if options.recorded.is_none()
                    && binding.as_ref().is_none_or(|binding| binding.pattern != *pattern)
                {
                    continue;
                }
                let bound = binding.and_then(|binding| binding.config);
                let config = options.config.clone().or(bound);
                let events = self.first_events(&scope.name);
                recorded.push(Recorded { scope: scope.name, config, events });
            }
        }
        recorded
    }

    fn first_events(&self, scope: &ScopeName) -> Vec<Event> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let through = Seq(RECORDED_EVENTS_MAX as u64);
        let read = self.read(scope, Seq::ZERO, through, &mut |view| match view.to_event() {
            Ok(event) if bytes < self.shared.limits.append_bytes_max => {
                bytes += event.payload.len();
                events.push(event);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        });
        if let Err(error) = read {
            tracing::warn!(%scope, "the self-test goes without recorded events: {error}");
        }
        events
    }
}

/// Failures in a sentence, each with the input that shows it.
fn failures(failed: &[&Check]) -> String {
    let each = failed.iter().map(|check| {
        let input = check.input.as_ref().map(|input| {
            let bytes = &input.payload[..input.payload.len().min(64)];
            format!(" (kind {:?}, payload {:?})", input.kind, String::from_utf8_lossy(bytes))
        });
        format!("{}: {}{}", check.name, check.detail, input.unwrap_or_default())
    });
    let mut text = each.collect::<Vec<_>>().join("; ");
    let mut end = FAILURES_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
