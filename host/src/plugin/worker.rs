//! Compiling in a process of its own, with memory and time of its own.
//!
//! wasmtime promises nothing about what it takes to compile a component. In a process that ends
//! when it takes too much, that is the component's trouble and not the store's.

use super::compile::machine_code;
use super::componentize;
use super::runtime::engine;
use crate::validator::AdmitError;
use atomic_store_core::Limits;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Threads of the compiler.
const THREADS_MAX: usize = 4;
/// Bytes of what a dying compiler says that are looked at.
const LAST_WORDS_BYTES: u64 = 4_096;

/// The program that compiles: it calls [`compile_worker`] and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompilerProcess {
    /// The program.
    pub program: PathBuf,
    /// Its arguments. Those of [`WorkerLimits::args`] follow.
    pub args: Vec<OsString>,
}

/// What a compiling process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Seconds of processor time, all threads together.
    pub cpu_seconds: u64,
    /// Bytes of the component.
    pub component_bytes: usize,
    /// Bytes of the code.
    pub code_bytes: usize,
}

impl WorkerLimits {
    fn of(limits: &Limits) -> Self {
        WorkerLimits {
            memory_bytes: limits.compile_memory_bytes_max,
            // The deadline is the parent's; this one counts if the parent is gone.
            cpu_seconds: (limits.compile_ms_max / 1_000 + 1) * THREADS_MAX as u64,
            component_bytes: limits.component_bytes_max,
            code_bytes: limits.code_bytes_max,
        }
    }

    /// As arguments of a command line: four numbers, in the order of the fields.
    #[must_use]
    pub fn args(&self) -> [String; 4] {
        let WorkerLimits { memory_bytes, cpu_seconds, component_bytes, code_bytes } = self;
        [
            memory_bytes.to_string(),
            cpu_seconds.to_string(),
            component_bytes.to_string(),
            code_bytes.to_string(),
        ]
    }
}

/// The first byte of an answer.
mod tag {
    pub(super) const CODE: u8 = 0;
    pub(super) const LIMIT: u8 = 1;
    pub(super) const MALFORMED: u8 = 2;
    pub(super) const IMPORT: u8 = 3;
    pub(super) const CONTRACT: u8 = 4;
}

/// What the process does: limits itself, reads a component to its end, writes code or a refusal.
///
/// # Errors
/// The limits could not be set, or the parent is gone.
pub fn compile_worker(
    limits: &WorkerLimits,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> io::Result<()> {
    let set =
        |resource, max: u64| setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) });
    set(Resource::Core, 0)?;
    set(Resource::Data, limits.memory_bytes)?;
    set(Resource::Cpu, limits.cpu_seconds)?;
    let mut component = Vec::new();
    input.take(limits.component_bytes as u64 + 1).read_to_end(&mut component)?;
    let refused = |error: AdmitError| match error {
        AdmitError::Malformed(why) => (tag::MALFORMED, why.into_bytes()),
        AdmitError::Import(why) => (tag::IMPORT, why.into_bytes()),
        AdmitError::Contract(why) => (tag::CONTRACT, why.into_bytes()),
        other => (tag::LIMIT, other.to_string().into_bytes()),
    };
    let caps = Limits { code_bytes_max: limits.code_bytes, ..Limits::default() };
    let (tag, bytes) = engine(&caps)
        .map_err(|error| AdmitError::Compile(format!("{error:#}")))
        .and_then(|engine| machine_code(&engine, &componentize::component(&component)?, &caps))
        .map_or_else(refused, |code| (tag::CODE, code));
    output.write_all(&[tag])?;
    output.write_all(&bytes)?;
    output.flush()
}

/// Has a component compiled.
pub(super) fn compile(
    process: &CompilerProcess,
    limits: &Limits,
    component: &[u8],
) -> Result<Vec<u8>, AdmitError> {
    let failed = |error: io::Error| {
        AdmitError::Compile(format!("{} could not be run: {error}", process.program.display()))
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut child = Command::new(&process.program)
        .args(&process.args)
        .args(WorkerLimits::of(limits).args())
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let answer = talk(&mut child, limits, component);
    // Also after an answer: there is nothing more to wait for.
    let _ended_already = child.kill();
    let status = child.wait().map_err(failed)?;
    match answer.map_err(failed)? {
        Said::Answer(answer) => understand(answer, limits).unwrap_or_else(|| {
            // A killed one says nothing, so this is how it died before.
            let how = match (status.signal(), status.code()) {
                (Some(signal), _) => format!("signal {signal}"),
                (None, code) => format!("code {}", code.unwrap_or_default()),
            };
            Err(died(&how, limits, &last_words(&mut child)))
        }),
        Said::TooLate => {
            let max = limits.compile_ms_max;
            Err(AdmitError::Compile(format!("it takes longer than the {max} ms that are allowed")))
        }
    }
}

enum Said {
    Answer(Vec<u8>),
    TooLate,
}

/// Hands the component over and waits for the answer, both under one deadline.
fn talk(child: &mut Child, limits: &Limits, component: &[u8]) -> io::Result<Said> {
    let deadline = Instant::now() + Duration::from_millis(limits.compile_ms_max);
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("its pipes are missing"));
    };
    let most = limits.code_bytes_max as u64 + 1;
    std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel();
        let reader = std::thread::Builder::new().name("compiled".to_owned());
        reader.spawn_scoped(scope, move || {
            let mut answer = Vec::new();
            let read = stdout.take(most + 1).read_to_end(&mut answer);
            // Nobody waits any more after the deadline.
            let _late = done.send(read.map(|_| answer));
        })?;
        let writer = std::thread::Builder::new().name("to-compile".to_owned());
        writer.spawn_scoped(scope, move || {
            // A compiler that died meanwhile is told by its missing answer.
            let _broken_pipe = stdin.write_all(component);
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        match waiting.recv_timeout(left) {
            Ok(answer) => answer.map(Said::Answer),
            Err(_) => {
                // Ends its pipes, and by that the two threads.
                child.kill()?;
                Ok(Said::TooLate)
            }
        }
    })
}

/// What the answer means; nothing if there is none, or a part of one.
fn understand(mut answer: Vec<u8>, limits: &Limits) -> Option<Result<Vec<u8>, AdmitError>> {
    let tag = *answer.first()?;
    answer.remove(0);
    if tag == tag::CODE {
        if answer.len() > limits.code_bytes_max {
            return None;
        }
        return Some(Ok(answer));
    }
    let text = String::from_utf8(answer).ok()?;
    Some(Err(match tag {
        tag::LIMIT => AdmitError::Limit(text),
        tag::MALFORMED => AdmitError::Malformed(text),
        tag::IMPORT => AdmitError::Import(text),
        tag::CONTRACT => AdmitError::Contract(text),
        _ => return None,
    }))
}

fn last_words(child: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What cannot be read was not said.
        let _silent = stderr.take(LAST_WORDS_BYTES).read_to_end(&mut words);
    }
    String::from_utf8_lossy(&words).into_owned()
}

/// Why a compiler died, as far as one can tell.
fn died(how: &str, limits: &Limits, words: &str) -> AdmitError {
    let memory = limits.compile_memory_bytes_max;
    if words.contains("memory allocation of") || words.contains("annot allocate memory") {
        let why = format!("it takes more than the {memory} bytes of memory that are allowed");
        return AdmitError::Compile(why);
    }
    if words.contains("panicked at") {
        return AdmitError::Malformed("the compiler failed on this component".to_owned());
    }
    AdmitError::Compile(format!(
        "the compiler ended with {how}; it may use {memory} bytes of memory and {} ms",
        limits.compile_ms_max
    ))
}
