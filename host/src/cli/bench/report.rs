//! The results, as JSON and as tables.

use super::conditional::Ratios;
use super::filtered::Filtered;
use super::point::Point;
use crate::cli::failure::Failure;
use crate::cli::output::Out;
use crate::cli::text::count;
use serde_json::{Map, Value, json};

/// Rates by appends in flight.
pub(super) struct Series {
    /// The name of the JSON key, without `_per_s`.
    pub(super) name: &'static str,
    /// What people read.
    pub(super) title: &'static str,
    /// The rates.
    pub(super) points: Vec<(usize, Point)>,
}

/// All results.
pub(super) struct Report {
    pub(super) raw: Point,
    /// The slowest slice of R by the fastest.
    pub(super) raw_spread: f64,
    pub(super) series: Vec<Series>,
    pub(super) ratios: Ratios,
    pub(super) validator: String,
    pub(super) validate_ns: Option<f64>,
    pub(super) apply_ns: Option<f64>,
    pub(super) replay_per_s: f64,
    pub(super) filtered: Filtered,
}

/// Below this, something else used the disk or the cores.
const QUIET: f64 = 0.8;

impl Report {
    /// Prints the results.
    pub(super) fn show(&self, out: &mut Out) -> Result<(), Failure> {
        if out.json() {
            return out.document(&self.json());
        }
        let r = self.raw.per_s.max(1.0);
        let mut rows = vec![row("disk: write and fdatasync (R)", 1, &self.raw, r)];
        for series in &self.series {
            let points = series.points.iter();
            rows.extend(points.map(|(in_flight, point)| row(series.title, *in_flight, point, r)));
        }
        out.table(&["what", "in flight", "per second", "x R", "p50 ms", "p99 ms"], rows)?;
        for (name, share) in &self.ratios.0 {
            out.line(&format!("{}  {:.0} %", name.replace('_', " "), share * 100.0))?;
        }
        let ns = |ns: Option<f64>| ns.map_or("-".to_owned(), |ns| format!("{ns:.0} ns"));
        out.pairs(&[
            ("validator", self.validator.clone()),
            ("validate, warm", ns(self.validate_ns)),
            ("apply, warm", ns(self.apply_ns)),
            ("replay", format!("{} events/s", count(self.replay_per_s as u64))),
            ("read by key", self.by_key()),
        ])?;
        if self.raw_spread < QUIET {
            crate::cli::output::note(&format!(
                "The machine was not idle: the disk's own rate fell to {:.0} % of its best during \
                 the run. Take these numbers with care.",
                self.raw_spread * 100.0
            ));
        }
        Ok(())
    }

    fn by_key(&self) -> String {
        let Filtered { events, matches, all_ms, filtered_ms } = &self.filtered;
        format!(
            "{} of {} events in {filtered_ms:.1} ms; all in {all_ms:.0} ms, {:.0} times as long",
            count(*matches),
            count(*events),
            self.filtered.ratio()
        )
    }

    fn json(&self) -> Value {
        let mut map = Map::new();
        map.insert("raw_fdatasync_per_s".into(), json!(self.raw.per_s.round()));
        map.insert("raw_fdatasync_p50_us".into(), json!(self.raw.p50_us));
        map.insert("raw_fdatasync_p99_us".into(), json!(self.raw.p99_us));
        map.insert("raw_fdatasync_spread".into(), json!(self.raw_spread));
        for Series { name, points, .. } in &self.series {
            let keyed = |value: fn(&Point) -> Value| -> Value {
                let pairs = points.iter().map(|(in_flight, p)| (in_flight.to_string(), value(p)));
                Value::Object(pairs.collect())
            };
            map.insert(format!("{name}_per_s"), keyed(|point| json!(point.per_s.round())));
            map.insert(format!("{name}_p50_us"), keyed(|point| json!(point.p50_us)));
            map.insert(format!("{name}_p99_us"), keyed(|point| json!(point.p99_us)));
        }
        for (name, share) in &self.ratios.0 {
            map.insert((*name).to_owned(), json!(share));
        }
        map.insert("validator".into(), json!(self.validator));
        map.insert("validate_ns".into(), json!(self.validate_ns));
        map.insert("apply_ns".into(), json!(self.apply_ns));
        map.insert("replay_per_s".into(), json!(self.replay_per_s.round()));
        let Filtered { events, matches, all_ms, filtered_ms } = &self.filtered;
        let filtered = json!({
            "events": events,
            "matches": matches,
            "all_ms": all_ms,
            "filtered_ms": filtered_ms,
            "ratio": self.filtered.ratio(),
        });
        map.insert("filtered_read".into(), filtered);
        Value::Object(map)
    }
}

fn row(title: &str, in_flight: usize, point: &Point, r: f64) -> Vec<String> {
    vec![
        title.to_owned(),
        count(in_flight as u64),
        count(point.per_s as u64),
        format!("{:.2}", point.per_s / r),
        format!("{:.3}", point.p50_us as f64 / 1e3),
        format!("{:.3}", point.p99_us as f64 / 1e3),
    ]
}
