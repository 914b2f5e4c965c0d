//! A virtual WASI, for guests whose toolchain cannot do without one.
//!
//! Nothing of the machine is behind it. The clock stands at the host's time of what is judged or folded;
//! random numbers follow from the scope, the number of the event and the call; standard output goes to
//! the log; there are no files, sockets, arguments or variables, and no waiting: whatever a guest would
//! wait for is ready. So two runs over the same events see the same.
//!
//! It is written out here, a function at a time, and not taken from `wasmtime-wasi`: that one needs the
//! async half of the runtime, and a guest that waits for a timer there holds its thread where neither fuel
//! nor the deadline ends it.

use super::bindings::Level;
use super::guest::{Guest, charge, count};
use super::limits::HostError;
use super::log_lines::cut;
use super::wasi_streams;
use atomic_store_core::Seq;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

/// Handles to streams and the like that an instance may hold.
const HANDLES_MAX: u32 = 1_024;
/// Random bytes that one call to the host gives.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;
/// Separates these random numbers from every other use of the hash.
const RANDOM: &str = "atomic-store 2026 virtual WASI random numbers";

/// Interfaces of which a guest gets every function.
const WHOLE: [&str; 17] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
];
/// As above.
const TERMINAL_STDERR: &str = "wasi:cli/terminal-stderr";
/// A guest gets the list of its folders, which is empty.
const PREOPENS: &str = "wasi:filesystem/preopens";
/// Packages whose functions are there to be imported, and end the call if they are called: without
/// folders and networks there is nothing to call them with.
const HOLLOW: [&str; 2] = ["wasi:filesystem/", "wasi:sockets/"];

/// What the host keeps for the WASI of one instance.
#[derive(Default)]
pub(super) struct VirtualWasi {
    moment: Moment,
    random: Option<blake3::OutputReader>,
    /// Lines of standard output and of standard error that have not ended yet.
    unfinished: [Vec<u8>; 2],
    handles: u32,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// The call; all ways to start are one.
    pub(super) call: &'static str,
    /// The event that is judged or folded; else the head.
    pub(super) seq: u64,
    /// The host's time. Nothing means that of the head, which is looked up only if somebody asks.
    pub(super) ms: Option<u64>,
}

impl VirtualWasi {
    /// What the next call is about.
    pub(super) fn begin(&mut self, moment: Moment) {
        self.moment = moment;
        self.random = None;
    }
}

/// True if a guest may import this interface once it was given WASI.
pub(super) fn is_known(interface: &str) -> bool {
    let Some((name, version)) = interface.split_once('@') else { return false };
    let named = WHOLE.contains(&name) || name == TERMINAL_STDERR || name == PREOPENS;
    version.starts_with("0.2.") && (named || HOLLOW.iter().any(|package| name.starts_with(package)))
}

/// Marks the types of handles. There is nothing behind them: what counts is their number.
pub(super) struct Pollable;
pub(super) struct IoError;
pub(super) struct InputStream;
/// Number 0 is standard output, 1 standard error.
pub(super) struct OutputStream;
struct TerminalInput;
struct TerminalOutput;
struct Descriptor;

/// The context of a function of the host.
pub(super) type Host<'a> = StoreContextMut<'a, Guest>;

/// Defines one interface, as far as a component imports it.
pub(super) fn link<'t>(
    linker: &mut Linker<Guest>,
    interface: &str,
    items: impl Iterator<Item = (&'t str, ComponentItem)>,
) -> Result<()> {
    let name = interface.split_once('@').map_or(interface, |(name, _)| name).to_owned();
    let mut instance = linker.instance(interface)?;
    for (item, ty) in items {
        match ty {
            ComponentItem::Resource(_) => resource(&mut instance, item)?,
            ComponentItem::ComponentFunc(_) => {
                let defined = system(&mut instance, &name, item)?
                    || wasi_streams::define(&mut instance, &name, item)?;
                if !defined && HOLLOW.iter().any(|package| name.starts_with(package)) {
                    let why =
                        format!("{name}#{item} was called, but here are no files and sockets");
                    instance.func_new(item, move |_, _, _, _| {
                        Err(HostError::Misuse(why.clone()).into())
                    })?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Defines a type of handles. An alias in another interface is the same type, which WASI calls by the same name
/// everywhere; of those without a system nobody ever gets one.
fn resource(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<()> {
    let ty = match name {
        "pollable" => ResourceType::host::<Pollable>(),
        "error" => ResourceType::host::<IoError>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "terminal-input" => ResourceType::host::<TerminalInput>(),
        "terminal-output" => ResourceType::host::<TerminalOutput>(),
        "descriptor" => ResourceType::host::<Descriptor>(),
        _ => {
            let [a, b, c, d, ..] = *blake3::hash(name.as_bytes()).as_bytes();
            ResourceType::host_dynamic(u32::from_le_bytes([a, b, c, d]))
        }
    };
    instance.resource(name, ty, |mut store, _number| {
        if let Some(wasi) = &mut store.data_mut().wasi {
            wasi.handles = wasi.handles.saturating_sub(1);
        }
        Ok(())
    })
}

/// A new handle, which the guest has to drop again.
pub(super) fn handle<T: 'static>(store: &mut Host<'_>, number: u32) -> Result<Resource<T>> {
    let wasi = state(store)?;
    if wasi.handles >= HANDLES_MAX {
        let why = format!("more than {HANDLES_MAX} handles of WASI at a time");
        return Err(HostError::Misuse(why).into());
    }
    wasi.handles += 1;
    Ok(Resource::new_own(number))
}

fn state<'a>(store: &'a mut Host<'_>) -> Result<&'a mut VirtualWasi> {
    let none = || HostError::Misuse("this instance has no WASI".to_owned()).into();
    store.data_mut().wasi.as_deref_mut().ok_or_else(none)
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines a function of clocks, random numbers and the process. False if it is none of these.
fn system(instance: &mut LinkerInstance<'_, Guest>, name: &str, function: &str) -> Result<bool> {
    macro_rules! define {
        (|$store:ident, $args:tt : $types:ty| $body:expr) => {
            instance.func_wrap(function, |mut $store: Host<'_>, $args: $types| {
                count(&mut $store)?;
                Ok(($body,))
            })?
        };
    }
    let short = name.strip_prefix("wasi:").unwrap_or(name);
    match (short, function) {
        ("clocks/monotonic-clock", "now") => {
            define!(|store, (): ()| now_ms(&mut store)?.saturating_mul(1_000_000));
        }
        ("clocks/monotonic-clock", "resolution") => define!(|store, (): ()| 1_000_000_u64),
        ("clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            define!(|store, (_when,): (u64,)| handle::<Pollable>(&mut store, 0)?);
        }
        ("clocks/wall-clock", "now") => {
            define!(|store, (): ()| datetime(now_ms(&mut store)?));
        }
        ("clocks/wall-clock", "resolution") => {
            define!(|store, (): ()| Datetime { seconds: 0, nanoseconds: 1_000_000 });
        }
        ("random/random", "get-random-bytes")
        | ("random/insecure", "get-insecure-random-bytes") => {
            define!(|store, (len,): (u64,)| random(&mut store, len)?);
        }
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => {
            define!(|store, (): ()| random_u64(&mut store)?);
        }
        ("random/insecure-seed", "insecure-seed") => {
            define!(|store, (): ()| (random_u64(&mut store)?, random_u64(&mut store)?));
        }
        ("cli/environment", "get-environment") => {
            define!(|store, (): ()| Vec::<(String, String)>::new());
        }
        ("cli/environment", "get-arguments") => define!(|store, (): ()| Vec::<String>::new()),
        ("cli/environment", "initial-cwd") => define!(|store, (): ()| None::<String>),
        ("cli/exit", "exit") => instance
            .func_wrap(function, |_: Host<'_>, (_status,): (std::result::Result<(), ()>,)| {
                Err::<(), _>(ended())
            })?,
        ("cli/exit", "exit-with-code") => {
            instance.func_wrap(function, |_: Host<'_>, (_code,): (u8,)| Err::<(), _>(ended()))?;
        }
        ("cli/stdin", "get-stdin") => {
            define!(|store, (): ()| handle::<InputStream>(&mut store, 0)?);
        }
        ("cli/stdout", "get-stdout") => {
            define!(|store, (): ()| handle::<OutputStream>(&mut store, 0)?);
        }
        ("cli/stderr", "get-stderr") => {
            define!(|store, (): ()| handle::<OutputStream>(&mut store, 1)?);
        }
        ("cli/terminal-stdin", "get-terminal-stdin") => {
            define!(|store, (): ()| None::<Resource<TerminalInput>>);
        }
        ("cli/terminal-stdout", "get-terminal-stdout")
        | ("cli/terminal-stderr", "get-terminal-stderr") => {
            define!(|store, (): ()| None::<Resource<TerminalOutput>>);
        }
        ("filesystem/preopens", "get-directories") => {
            define!(|store, (): ()| Vec::<(Resource<Descriptor>, String)>::new());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn datetime(ms: u64) -> Datetime {
    let nanoseconds = (ms % 1_000) as u32 * 1_000_000;
    Datetime { seconds: ms / 1_000, nanoseconds }
}

fn ended() -> wasmtime::Error {
    HostError::Misuse("it wants to end the process with `exit`".to_owned()).into()
}

/// The time at which the clock stands.
fn now_ms(store: &mut Host<'_>) -> Result<u64> {
    let moment = state(store)?.moment;
    if let Some(ms) = moment.ms {
        return Ok(ms);
    }
    let (mut ms, head) = (0, store.data().history.head());
    if head > Seq::ZERO {
        let read = store.data().history.read(Seq(head.0 - 1), 1, &mut |event| ms = event.host_ms);
        read.map_err(HostError::History)?;
    }
    state(store)?.moment.ms = Some(ms);
    Ok(ms)
}

/// The next random bytes of this call.
fn random(store: &mut Host<'_>, len: u64) -> Result<Vec<u8>> {
    if len > RANDOM_BYTES_MAX {
        let why = format!("{len} random bytes at once, at most {RANDOM_BYTES_MAX} are given");
        return Err(HostError::Misuse(why).into());
    }
    charge(store, len)?;
    let scope = store.data().scope.clone();
    let wasi = state(store)?;
    let Moment { call, seq, .. } = wasi.moment;
    let reader = wasi.random.get_or_insert_with(|| {
        let mut hasher = blake3::Hasher::new_derive_key(RANDOM);
        // The length keeps a scope's name and the call apart.
        hasher.update(&(scope.as_str().len() as u64).to_le_bytes());
        hasher.update(scope.as_str().as_bytes()).update(&seq.to_le_bytes());
        hasher.update(call.as_bytes()).finalize_xof()
    });
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    reader.fill(&mut bytes);
    Ok(bytes)
}

fn random_u64(store: &mut Host<'_>) -> Result<u64> {
    let bytes = random(store, 8)?;
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Takes what a guest prints. Whole lines go to the log, the rest waits for its end.
pub(super) fn print(store: &mut Host<'_>, stream: u32, bytes: &[u8]) -> Result<()> {
    charge(store, bytes.len() as u64)?;
    let max = store.data().limits.log_line_bytes_max;
    let unfinished = &mut state(store)?.unfinished[usize::from(stream != 0)];
    let mut lines = Vec::new();
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let room = max.saturating_sub(unfinished.len()).min(piece.len());
        unfinished.extend_from_slice(&piece[..room]);
        if piece.ends_with(b"\n") {
            lines.push(std::mem::take(unfinished));
        }
    }
    let guest = store.data_mut();
    lines.iter().for_each(|line| guest.log_line(stream, line));
    Ok(())
}

impl Guest {
    /// After a call: a line that has not ended is a line, too.
    pub(super) fn end_call(&mut self) {
        let Some(wasi) = &mut self.wasi else { return };
        let unfinished = std::mem::take(&mut wasi.unfinished);
        for (stream, line) in (0..).zip(&unfinished) {
            if !line.is_empty() {
                self.log_line(stream, line);
            }
        }
    }

    fn log_line(&mut self, stream: u32, line: &[u8]) {
        if !self.log.has_room(&self.limits) {
            return self.log.drop_one();
        }
        let level = if stream == 0 { Level::Info } else { Level::Warn };
        let text = String::from_utf8_lossy(line);
        let text = cut(text.trim_end_matches(['\n', '\r']), self.limits.log_line_bytes_max);
        self.log.push(level, text.to_owned());
    }
}
