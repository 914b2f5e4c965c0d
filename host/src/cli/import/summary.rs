//! What became of the rows: counts by outcome and reason, rate and latency.

use super::refused::Why;
use crate::cli::append::exit_code;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::Out;
use crate::cli::text::{count, counted};
use atomic_store_core::{Answer, Outcome, ScopeName};
use hdrhistogram::Histogram;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Counts of one import.
pub(super) struct Summary {
    rows: u64,
    accepted: u64,
    events: u64,
    duplicates: u64,
    scopes: HashSet<ScopeName>,
    /// By outcome and code.
    others: BTreeMap<(&'static str, String), u64>,
    worst: u8,
    latency: Histogram<u64>,
    elapsed: Duration,
}

impl Summary {
    /// Nothing yet.
    pub(super) fn new() -> Result<Self, Failure> {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3)
            .map_err(|error| Failure::new(exit::STORAGE, error.to_string()))?;
        Ok(Summary {
            rows: 0,
            accepted: 0,
            events: 0,
            duplicates: 0,
            scopes: HashSet::new(),
            others: BTreeMap::new(),
            worst: exit::OK,
            latency,
            elapsed: Duration::ZERO,
        })
    }

    /// Rows answered so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Counts an answer. Gives back why it was none of the accepted.
    pub(super) fn add(
        &mut self,
        scope: &ScopeName,
        answer: &Answer,
        took: Duration,
    ) -> Option<Why> {
        self.rows += 1;
        self.duplicates += u64::from(answer.duplicate);
        if !self.scopes.contains(scope) {
            self.scopes.insert(scope.clone());
        }
        self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Outcome::Committed(committed) = &answer.outcome {
            self.events += committed.last.seq.0 - committed.first.seq.0 + 1;
        }
        match Why::of(&answer.outcome) {
            None => {
                self.accepted += 1;
                None
            }
            Some(why) => {
                // A refusal by the rules is a decision, and what an import is for.
                match exit_code(&answer.outcome) {
                    exit::REFUSED => {}
                    code => self.worst = self.worst.max(code),
                }
                *self.others.entry((why.outcome, why.code.clone())).or_default() += 1;
                Some(why)
            }
        }
    }

    /// Counts a row that could not be mapped.
    pub(super) fn add_unmapped(&mut self, why: &Why) {
        self.rows += 1;
        self.worst = self.worst.max(exit::USAGE);
        *self.others.entry((why.outcome, why.code.clone())).or_default() += 1;
    }

    /// Ends the clock.
    pub(super) fn finish(mut self, elapsed: Duration) -> Self {
        self.elapsed = elapsed;
        self
    }

    /// Shows the counts; fails with the code of the worst outcome.
    pub(super) fn show(&self, out: &mut Out) -> Result<(), Failure> {
        match out.json() {
            true => self.show_json(out)?,
            false => self.show_text(out)?,
        }
        match self.worst {
            exit::OK => Ok(()),
            exit::TRY_AGAIN => Err(Failure::new(
                exit::TRY_AGAIN,
                "some rows were not decided; run the same import again, it stores nothing twice",
            )),
            code => {
                Err(Failure::new(code, "some rows were not decided; --rejected FILE lists them"))
            }
        }
    }

    fn per_second(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn show_json(&self, out: &mut Out) -> Result<(), Failure> {
        let others = self
            .others
            .iter()
            .map(|((outcome, code), n)| json!({ "outcome": outcome, "code": code, "count": n }));
        out.document(&json!({
            "rows": self.rows,
            "scopes": self.scopes.len(),
            "accepted": self.accepted,
            "events": self.events,
            "not_accepted": others.collect::<Vec<_>>(),
            "rejected": self.rejected(),
            "duplicates": self.duplicates,
            "seconds": self.elapsed.as_secs_f64(),
            "appends_per_s": self.per_second(),
            "p50_us": self.latency.value_at_quantile(0.50),
            "p99_us": self.latency.value_at_quantile(0.99),
        }))
    }

    fn rejected(&self) -> u64 {
        let rejected = self.others.iter().filter(|((outcome, _), _)| *outcome == "rejected");
        rejected.map(|(_, n)| n).sum()
    }

    fn show_text(&self, out: &mut Out) -> Result<(), Failure> {
        let mut rows = vec![vec!["accepted".to_owned(), String::new(), count(self.accepted)]];
        rows.extend(
            self.others
                .iter()
                .map(|((outcome, code), n)| vec![(*outcome).to_owned(), code.clone(), count(*n)]),
        );
        out.table(&["outcome", "reason", "rows"], rows)?;
        let known = match self.duplicates {
            0 => String::new(),
            n => format!("; {} had been decided by an earlier run", count(n)),
        };
        out.line(&format!(
            "{}, {}: {} accepted, {} rejected; {:.2} s{known}",
            counted(self.rows, "row"),
            counted(self.scopes.len() as u64, "scope"),
            count(self.accepted),
            count(self.rejected()),
            self.elapsed.as_secs_f64(),
        ))?;
        out.line(&format!(
            "{} appends/s, median {}, 99th percentile {}",
            count(self.per_second() as u64),
            millis(self.latency.value_at_quantile(0.50)),
            millis(self.latency.value_at_quantile(0.99)),
        ))
    }
}

fn millis(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1e3)
}
