//! Tries a component out before it judges anything: does it keep what the contract asks of every
//! validator and no compiler can check?
//!
//! Two instances are led through the same inputs, generated ones and recorded ones. What differs, traps
//! or changes without being told to is reported with the input that shows it. A check that finds
//! nothing proves nothing; it has looked.

mod findings;
mod generate;
mod lane;
mod scenario;

use crate::validator::{Rules, Trial};
use atomic_store_core::{Check, Limits, ScopeName};
use findings::Findings;
use lane::Setting;
use scenario::{Scenario, Step};
use std::time::{Duration, Instant};

pub use findings::{
    ADMIT, FOLD, FUEL, NAMES, QUERY, RESTORE, SAME_VERDICT, SNAPSHOT, START, VALIDATE, VERDICT,
};

/// Inputs that are generated.
const GENERATED: usize = 96;
/// The scope that generated inputs belong to.
const SCOPE: &str = "self-test";
/// The time of the first generated input, and between two: an hour of some day, and a second.
const FIRST_MS: u64 = 1_700_000_000_000;
const STEP_MS: u64 = 1_000;

/// Runs all checks. Takes about as long as `limits.self_test_ms_max` at most, and one call more.
#[must_use]
pub fn run(rules: &dyn Rules, trial: &Trial, limits: &Limits) -> Vec<Check> {
    let deadline = Instant::now() + Duration::from_millis(limits.self_test_ms_max);
    let mut findings = Findings::default();
    let wanted = trial.config.is_some();
    for recorded in &trial.recorded {
        let (scope, config) = (recorded.scope.clone(), recorded.config.as_deref());
        let setting = Setting { rules, scope, config, wanted };
        let steps = recorded.events.iter().map(Step::recorded);
        Scenario::run(&setting, steps, &mut findings, deadline);
    }
    if let Ok(scope) = ScopeName::new(SCOPE) {
        let setting = Setting { rules, scope, config: trial.config.as_deref(), wanted };
        let mut generator = generate::Generator::new(&rules.digest(), rules.description());
        let steps = (0..GENERATED as u64).map(|n| {
            let generated = generator.next();
            Step::generated(generated.proposal, generated.sensible, FIRST_MS + n * STEP_MS)
        });
        Scenario::run(&setting, steps, &mut findings, deadline);
    }
    findings.into_checks()
}
