//! Finds a moment in a scope: the store's time never falls within it, so halving finds it.

use super::found::decode;
use crate::log::{EventLog, ReadError, ScopeRow};
use atomic_store_core::Seq;
use atomic_store_core::chain::Walk;
use std::ops::ControlFlow;

/// The last event in `low..=high` that the store admitted before a moment; `low` if none was, whose
/// own time is not asked.
pub(in crate::engine) fn before(
    log: &dyn EventLog,
    row: &ScopeRow,
    low: u64,
    high: u64,
    moment_ms: u64,
) -> Result<u64, ReadError> {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = high - (high - low) / 2;
        if host_ms(log, row, middle)? < moment_ms {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

fn host_ms(log: &dyn EventLog, row: &ScopeRow, seq: u64) -> Result<u64, ReadError> {
    let mut walk = Walk::after(&row.name, Seq(seq - 1));
    let mut found = Ok(0);
    log.read(row, &mut walk, Seq(seq), &mut |view| {
        found = decode(&row.name, view).map(|body| body.host_ms);
        ControlFlow::Break(())
    })?;
    found
}
