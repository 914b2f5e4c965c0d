//! One measured rate with its latencies.

use crate::cli::exit;
use crate::cli::failure::Failure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Time that is not measured at the start of each rate.
const WARM_UP: f64 = 0.25;

/// A rate and its latencies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) per_s: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// Counts answers within a span of time.
pub(super) struct Meter {
    begin: Instant,
    end: Instant,
    histogram: Histogram<u64>,
}

impl Meter {
    /// Starts with the warm-up.
    pub(super) fn start(seconds: f64) -> Result<Self, Failure> {
        let begin = Instant::now() + warm_up(seconds);
        let histogram = Histogram::new_with_bounds(1, 600_000_000, 3)
            .map_err(|error| Failure::new(exit::STORAGE, error.to_string()))?;
        Ok(Meter { begin, end: begin + Duration::from_secs_f64(seconds), histogram })
    }

    /// True once the time is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }

    /// Counts an answer to something begun at `since`.
    pub(super) fn answered(&mut self, since: Instant, now: Instant) {
        if now >= self.begin && now < self.end {
            let took = now.duration_since(since).as_micros();
            self.histogram.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
        }
    }

    /// The result.
    pub(super) fn point(&self) -> Point {
        Point {
            per_s: self.histogram.len() as f64 / (self.end - self.begin).as_secs_f64(),
            p50_us: self.histogram.value_at_quantile(0.50),
            p99_us: self.histogram.value_at_quantile(0.99),
        }
    }
}

/// The time before the clock runs.
pub(super) fn warm_up(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds * WARM_UP)
}

/// The value in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
