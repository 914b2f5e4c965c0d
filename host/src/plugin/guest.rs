//! The host's side of an instance: what its store carries, and the functions it may import.

use super::bindings::{EventOwned, HISTORY, LOG, Level};
use super::convert;
use super::limits::{HostError, Meter};
use super::log_lines::{self, LogLines};
use super::wasi::{Moment, VirtualWasi};
use crate::validator::History;
use atomic_store_core::{Limits, ScopeName, Seq};
use std::sync::Arc;
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{StoreContextMut, Trap};

/// Fuel of one call to the host, beside one unit per byte of history. So the work of the host for a
/// guest is bounded by the same deterministic budget as the guest's own.
const HOSTCALL_FUEL: u64 = 100;
/// Events that the log is asked for at a time.
const HISTORY_STEP: usize = 32;

/// What the store of one instance carries.
pub(super) struct Guest {
    pub(super) meter: Meter,
    pub(super) scope: ScopeName,
    pub(super) history: Arc<dyn History>,
    pub(super) log: LogLines,
    pub(super) limits: Arc<Limits>,
    /// Calls to the host since the call began.
    pub(super) hostcalls: u32,
    /// For guests that were given one.
    pub(super) wasi: Option<Box<VirtualWasi>>,
}

impl Guest {
    /// Resets what is counted for each call.
    pub(super) fn begin_call(&mut self) {
        self.meter.begin_call();
        self.hostcalls = 0;
    }

    /// Says what the next call is about, for guests that can ask for time and random numbers.
    pub(super) fn at(&mut self, moment: Moment) {
        if let Some(wasi) = &mut self.wasi {
            wasi.begin(moment);
        }
    }
}

/// Offers `history` and `log`, and nothing else.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut history = linker.instance(HISTORY)?;
    history.func_wrap("head", |mut store: StoreContextMut<'_, Guest>, ()| {
        count(&mut store)?;
        Ok((store.data().history.head().0,))
    })?;
    history.func_wrap(
        "read",
        |store: StoreContextMut<'_, Guest>, (after, limit): (u64, u32)| {
            Ok((read(store, Seq(after), limit)?,))
        },
    )?;
    let mut log = linker.instance(LOG)?;
    log.func_wrap("line", |store: StoreContextMut<'_, Guest>, (level, text): (Level, WasmStr)| {
        line(store, level, &text)
    })?;
    Ok(())
}

/// Counts a call to the host and charges its fuel.
pub(super) fn count(store: &mut StoreContextMut<'_, Guest>) -> wasmtime::Result<()> {
    let guest = store.data_mut();
    guest.hostcalls = guest.hostcalls.saturating_add(1);
    let max = guest.limits.hostcalls_max;
    if guest.hostcalls > max {
        return Err(HostError::Misuse(format!("more than {max} calls to the host")).into());
    }
    charge(store, HOSTCALL_FUEL)
}

/// Takes fuel for work that the host does.
pub(super) fn charge(store: &mut StoreContextMut<'_, Guest>, fuel: u64) -> wasmtime::Result<()> {
    let left = store.get_fuel()?;
    match left.checked_sub(fuel) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// A page of history: at most `limit` events and a page of bytes, but one event at least.
///
/// The log is asked for a few events at a time and everything it reads is charged, so that large
/// events cannot make the host read a thousand of them to deliver one.
fn read(
    mut store: StoreContextMut<'_, Guest>,
    mut after: Seq,
    limit: u32,
) -> wasmtime::Result<Vec<EventOwned>> {
    count(&mut store)?;
    let guest = store.data();
    let limit = (limit as usize).min(guest.limits.page_events_max);
    let bytes_max = guest.limits.page_bytes_max;
    let history = Arc::clone(&guest.history);
    let mut page = Vec::new();
    let (mut bytes, mut full) = (0_usize, false);
    while !full && page.len() < limit {
        let wanted = HISTORY_STEP.min(limit - page.len());
        let (mut read, mut found) = (0_usize, 0_usize);
        let result = history.read(after, wanted, &mut |event| {
            let size = convert::event_size(event);
            read += size;
            found += 1;
            full |= found > wanted || (!page.is_empty() && bytes + size > bytes_max);
            if !full {
                bytes += size;
                after = event.seq;
                page.push(convert::event_owned(event));
            }
        });
        result.map_err(HostError::History)?;
        charge(&mut store, read as u64)?;
        full |= found < wanted;
    }
    Ok(page)
}

/// Keeps a log line. Its bytes count against what this call may hand to the host.
fn line(
    mut store: StoreContextMut<'_, Guest>,
    level: Level,
    text: &WasmStr,
) -> wasmtime::Result<()> {
    count(&mut store)?;
    let guest = store.data();
    if !guest.log.has_room(&guest.limits) {
        store.data_mut().log.drop_one();
        return Ok(());
    }
    let text = text.to_str(&store)?;
    let bytes = text.len();
    let kept = log_lines::cut(&text, guest.limits.log_line_bytes_max).to_owned();
    charge(&mut store, bytes as u64)?;
    let left = store.hostcall_fuel().saturating_sub(bytes);
    store.set_hostcall_fuel(left);
    store.data_mut().log.push(level, kept);
    Ok(())
}
