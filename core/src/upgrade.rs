//! Changing rules while they are in use: trials of a candidate, promotion, the way back.

use crate::{
    AppendId, Binding, Digest, Invalid, ScopeName, ScopePattern, Seq, ValidatorRef, counted,
};
use serde::{Deserialize, Serialize};

/// What a client may ask about the rules of running scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UpgradeRequest {
    /// Tries a candidate on the scopes of a pattern that is bound. Reply: `Trial`.
    Start {
        /// The pattern of a binding, exactly.
        pattern: ScopePattern,
        /// The candidate.
        validator: ValidatorRef,
        /// What its `init` gets.
        #[serde(with = "serde_bytes")]
        config: Option<Vec<u8>>,
        /// It judges this share of the scopes; nothing: it runs beside and decides nothing.
        share: Option<Share>,
    },
    /// Ends a trial. Its scopes go back to the binding. Reply: `Ended`.
    End {
        /// The pattern, exactly.
        pattern: ScopePattern,
    },
    /// All trials, and what each found so far. Reply: `Trials`.
    List,
    /// Binds the candidate of a trial to its whole pattern. Reply: `Bound`.
    Promote {
        /// The pattern, exactly.
        pattern: ScopePattern,
        /// What the trial must have shown.
        gate: Gate,
        /// Promote although the gate does not hold; `$system` says so.
        force: bool,
    },
    /// Binds what was bound to a pattern before. Reply: `Bound`.
    Rollback {
        /// The pattern, exactly.
        pattern: ScopePattern,
    },
    /// Which rules judged the events of a scope. Reply: `Ruled`.
    Ruled {
        /// The scope.
        scope: ScopeName,
    },
}

/// The answer to an [`UpgradeRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UpgradeReply {
    /// A trial began.
    Trial(Trial),
    /// A trial ended.
    Ended,
    /// All trials.
    Trials(Vec<TrialReport>),
    /// A binding was made.
    Bound(Binding),
    /// The rules of a scope, in the order of its events; of many changes the last thousand.
    Ruled(Vec<Ruled>),
}

/// A share of scopes in percent, 1 to 99. Which scopes these are depends on their names only, and a
/// larger share keeps those of a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Share(u8);

impl Share {
    /// A share of so many percent.
    ///
    /// # Errors
    /// [`Invalid`] unless it is 1 to 99.
    pub fn percent(percent: u8) -> Result<Share, Invalid> {
        match percent {
            1..=99 => Ok(Share(percent)),
            _ => Err(Invalid::new("share", format!("{percent} percent; give 1 to 99"))),
        }
    }

    /// True if the scope belongs to the share.
    #[must_use]
    pub fn has(self, scope: &ScopeName) -> bool {
        let [high, low, ..] = Digest::of(scope.as_str().as_bytes()).0;
        u16::from_be_bytes([high, low]) % 100 < u16::from(self.0)
    }
}

impl TryFrom<u8> for Share {
    type Error = Invalid;

    fn try_from(percent: u8) -> Result<Share, Invalid> {
        Share::percent(percent)
    }
}

impl From<Share> for u8 {
    fn from(share: Share) -> u8 {
        share.0
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl std::str::FromStr for Share {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Share, Invalid> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let percent = digits
            .parse()
            .map_err(|_| Invalid::new("share", format!("{text:?} is no share; give 1% to 99%")));
        Share::percent(percent?)
    }
}

/// A candidate on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The candidate, as it would be bound; its number is the event of `$system` that began the trial.
    pub candidate: Binding,
    /// The share of scopes that it judges; nothing if it decides nothing.
    pub share: Option<Share>,
}

/// What a trial found since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReport {
    /// The trial.
    pub trial: Trial,
    /// Judgements held against those of the binding.
    pub compared: u64,
    /// The same verdict, and the same events stored.
    pub same: u64,
    /// Accepted, where the binding's rule refused.
    pub newly_accepted: u64,
    /// Refused, where the binding's rule accepted.
    pub newly_rejected: u64,
    /// Accepted with other events to store, or refused with other codes.
    pub changed: u64,
    /// The candidate did not answer, or did not start.
    pub faults: u64,
    /// Not compared, because the candidate was too far behind, or could not have the state.
    pub dropped: u64,
    /// Waiting to be compared.
    pub waiting: u64,
    /// Fuel of the binding's rule: for the first thousand of what was compared, then for one of 64.
    pub live_fuel: u64,
    /// Fuel of the candidate for the same appends.
    pub fuel: u64,
    /// The first divergences and faults.
    pub first: Vec<TrialDivergence>,
    /// Dry runs, which are not compared.
    pub dry_runs: u64,
    /// Not compared, because the binding's rule gave no verdict.
    pub unjudged: u64,
    /// How often the store ended without being closed: each time what was compared in the last seconds
    /// was not counted.
    pub interrupted: u64,
}

impl TrialReport {
    /// Judgements that were not the same.
    #[must_use]
    pub fn divergences(&self) -> u64 {
        self.newly_accepted + self.newly_rejected + self.changed
    }
}

/// Two rules that disagree about an append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialDivergence {
    /// The scope.
    pub scope: ScopeName,
    /// The scope's last event before the append.
    pub after: Seq,
    /// The append.
    pub append: AppendId,
    /// What the binding's rule said.
    pub live: String,
    /// What the candidate said.
    pub candidate: String,
}

/// What a trial must have shown before its candidate is promoted: no divergence, no fault, and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// At least so many judgements.
    pub compared: u64,
    /// At most so many percent of the fuel that the binding's rule took.
    pub fuel_percent: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { compared: 1, fuel_percent: 200 }
    }
}

impl Gate {
    /// Why the gate does not hold; nothing if it does.
    #[must_use]
    pub fn objection(&self, report: &TrialReport) -> Option<String> {
        if report.trial.share.is_some() {
            return Some(
                "a candidate that judges is not compared; it has shown nothing".to_owned(),
            );
        }
        if report.divergences() > 0 {
            let (all, of) = (report.divergences(), counted(report.compared, "verdict"));
            let differ = if report.compared == 1 { "differs" } else { "differ" };
            return Some(format!("{all} of {of} {differ} from what the binding decided"));
        }
        if report.faults > 0 {
            return Some(format!(
                "the candidate did not answer {}",
                counted(report.faults, "time")
            ));
        }
        if report.compared < self.compared {
            let (found, wanted) = (counted(report.compared, "verdict"), self.compared);
            let were = if report.compared == 1 { "was" } else { "were" };
            return Some(format!("{found} {were} compared, at least {wanted} are asked for"));
        }
        let most = u128::from(report.live_fuel) * u128::from(self.fuel_percent);
        // What comes with the store has no fuel to be held against.
        if report.live_fuel > 0 && u128::from(report.fuel) * 100 > most {
            let (fuel, live, percent) = (report.fuel, report.live_fuel, self.fuel_percent);
            return Some(format!(
                "it took {fuel} units of fuel and the binding {live}; at most {percent} % of that is asked for"
            ));
        }
        None
    }
}

/// Events in a row that one rule admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruled {
    /// The first event.
    pub first: Seq,
    /// The last event.
    pub last: Seq,
    /// The validator that admitted them.
    pub validator: Digest,
    /// The event of `$system` that bound it.
    pub binding: Seq,
}
