//! How idle the machine is: numbers of a busy one mean nothing.

use crate::failure::Failure;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(2);

/// CPU time since the start of the machine: idle, and all.
fn times() -> Result<(u64, u64), Failure> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(1).map(str::parse::<u64>);
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let all = fields.iter().take(8).sum();
    Ok((fields.iter().skip(3).take(2).sum(), all))
}

/// The share of the CPU time of the next two seconds that nobody wants, in percent.
pub(crate) fn percent() -> Result<f64, Failure> {
    let (idle, all) = times()?;
    std::thread::sleep(LOOK);
    let (idle_then, all_then) = times()?;
    Ok((idle_then - idle) as f64 / (all_then - all).max(1) as f64 * 100.0)
}
