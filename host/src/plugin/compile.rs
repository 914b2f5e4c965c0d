//! From the bytes of a component to machine code: kept from an earlier start, made by a process of
//! its own, or, where no program is named for that, made here.

use super::code_cache::{CodeCache, CodeId};
use super::log_lines::cut;
use super::worker::{self, CompilerProcess};
use super::{componentize, runtime::Runtime};
use crate::validator::AdmitError;
use atomic_store_core::{Digest, Limits};
use std::hash::{Hash as _, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Components that are compiled at a time.
const AT_A_TIME: usize = 2;
/// Bytes of a message that quotes the component.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// Where compiling is done, and where its results are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// The folder for machine code; made if it does not exist. Without one, each start compiles anew.
    pub cache: Option<PathBuf>,
    /// The program that compiles. Without one, this process does, and neither the memory nor the time
    /// that it takes is capped.
    pub compiler: Option<CompilerProcess>,
}

/// What compiling has come to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileCounts {
    /// Components that were compiled.
    pub compiled: u64,
    /// Components whose code was there from before.
    pub reused: u64,
}

/// Makes machine code.
pub(super) struct Compiler {
    cache: Option<CodeCache>,
    process: Option<CompilerProcess>,
    /// What the code depends on, besides the component.
    engine: Digest,
    places: Mutex<usize>,
    free: Condvar,
    compiled: AtomicU64,
    reused: AtomicU64,
}

/// A component that can be run, and its code if it was just made.
pub(super) struct Compiled {
    pub(super) component: Component,
    fresh: Option<Vec<u8>>,
}

impl Compiler {
    pub(super) fn new(engine: &Engine, limits: &Limits, options: CompileOptions) -> Self {
        let open = |dir: &Path| match CodeCache::open(dir, limits.code_cache_bytes_max) {
            Ok(cache) => Some(cache),
            Err(error) => {
                let dir = dir.display();
                tracing::warn!("compiled code is not kept, as {dir} cannot be used: {error}");
                None
            }
        };
        Compiler {
            cache: options.cache.as_deref().and_then(open),
            process: options.compiler,
            engine: engine_digest(engine),
            places: Mutex::new(AT_A_TIME),
            free: Condvar::new(),
            compiled: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        }
    }

    pub(super) fn counts(&self) -> CompileCounts {
        CompileCounts {
            compiled: self.compiled.load(Ordering::Relaxed),
            reused: self.reused.load(Ordering::Relaxed),
        }
    }

    /// The component, from the cache or compiled.
    pub(super) fn compile(
        &self,
        runtime: &Runtime,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<Compiled, AdmitError> {
        let id = CodeId { component: digest, engine: self.engine };
        if let Some(code) = self.cache.as_ref().and_then(|cache| cache.get(&id)) {
            match load_code(&runtime.engine, code.as_ref()) {
                Ok(component) => {
                    self.reused.fetch_add(1, Ordering::Relaxed);
                    return Ok(Compiled { component, fresh: None });
                }
                Err(error) => {
                    tracing::warn!("kept code of {} is of no use: {error}", digest.short())
                }
            }
        }
        let _place = self.place();
        let code = match &self.process {
            Some(process) => worker::compile(process, &runtime.limits, bytes)?,
            None => compile_here(&runtime.engine, bytes, &runtime.limits)?,
        };
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let component = load_code(&runtime.engine, &code)?;
        Ok(Compiled { component, fresh: Some(code) })
    }

    /// Keeps the code of a component that was admitted.
    pub(super) fn keep(&self, digest: Digest, compiled: Compiled) {
        if let (Some(cache), Some(code)) = (&self.cache, compiled.fresh) {
            cache.put(&CodeId { component: digest, engine: self.engine }, &code);
        }
    }

    /// Waits until few enough compile.
    fn place(&self) -> Place<'_> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        while *places == 0 {
            places = self.free.wait(places).unwrap_or_else(PoisonError::into_inner);
        }
        *places -= 1;
        Place(self)
    }
}

struct Place<'a>(&'a Compiler);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.places.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.free.notify_one();
    }
}

/// Makes code that can be run out of bytes.
#[expect(unsafe_code, reason = "wasmtime cannot check machine code, so its caller vouches for it")]
fn load_code(engine: &Engine, code: &[u8]) -> Result<Component, AdmitError> {
    // SAFETY: the code is what wasmtime returned in this call; or came over a pipe from a process that
    // this one started and that runs the same program; or was read from a file that carries a hash
    // keyed with a secret which only this user can read, so this program wrote it. A guest's bytes
    // never come here: what is uploaded is compiled. Code of other versions or settings of the engine
    // is refused by wasmtime itself.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| AdmitError::Compile(message(&error)))
}

/// Compiles in this process.
///
/// wasmtime and wit-component promise no panic on bad input but have had some; here that would
/// take the store down for a file, so a panic counts as a malformed file.
fn compile_here(engine: &Engine, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, AdmitError> {
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        machine_code(engine, &componentize::component(bytes)?, limits)
    }));
    compiled.unwrap_or_else(|_panic| {
        Err(AdmitError::Malformed("the compiler failed on this component".to_owned()))
    })
}

/// The machine code of a component.
pub(super) fn machine_code(
    engine: &Engine,
    component: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, AdmitError> {
    let code = engine.precompile_component(component).map_err(|error| {
        AdmitError::Malformed(format!("this is not a valid component: {}", message(&error)))
    })?;
    if code.len() > limits.code_bytes_max {
        let (found, max) = (code.len(), limits.code_bytes_max);
        return Err(AdmitError::Limit(format!(
            "it compiles to {found} bytes of machine code, at most {max} are allowed"
        )));
    }
    Ok(code)
}

/// Changes with everything that changes the code: the engine, its settings, this processor, how
/// components are made of core modules.
fn engine_digest(engine: &Engine) -> Digest {
    let mut hasher = Through(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
    hasher.write(componentize::CONTRACT.as_bytes());
    Digest(*hasher.0.finalize().as_bytes())
}

/// Has things hash themselves with BLAKE3.
struct Through(blake3::Hasher);

impl Hasher for Through {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        hash.as_bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

fn message(error: &wasmtime::Error) -> String {
    cut(&format!("{error:#}"), MESSAGE_BYTES_MAX).to_owned()
}
