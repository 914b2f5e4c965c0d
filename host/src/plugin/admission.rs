//! Lets a component in, or says what is wrong with it, to its author.
//!
//! In order: size, format, imports, exports, and one question, `describe`, to a throw-away instance
//! under the limits of any call. Only the last runs guest code.

use super::bindings::{
    Admit, Apply, ApplyPacked, Describe, DescriptionOut, HISTORY, Init, LOG, PACKAGE, PACKED,
    Query, RULES, Restore, Snapshot, TYPES, UPCASTING, Upcast, Validate,
};
use super::guest::Guest;
use super::instance::{Live, budgeted};
use super::loader::{Exports, PackedExports, Program};
use super::log_lines::cut;
use super::runtime::Runtime;
use super::wasi;
use super::{convert, first_pages, footprint};
use crate::validator::{AdmitError, History};
use atomic_store_core::record::BodyIn;
use atomic_store_core::{Description, Digest, Fault, FaultKind, Grants, ScopeName, Seq};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

/// Bytes of a message that quotes the component.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// Admits a component.
pub(super) fn admit(
    runtime: &Arc<Runtime>,
    bytes: &[u8],
    grants: &Grants,
) -> Result<Program, AdmitError> {
    runtime
        .limits
        .check_component(bytes.len())
        .map_err(|invalid| AdmitError::Limit(invalid.to_string()))?;
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(AdmitError::Malformed(
            "this is machine code that some wasmtime compiled, which a store never runs; give the \
             .wasm file it was made of"
                .to_owned(),
        ));
    }
    let digest = Digest::of(bytes);
    let compiled = runtime.compiler.compile(runtime, digest, bytes)?;
    let component = &compiled.component;
    check_imports(runtime, component, grants.wasi)?;
    let exports = find_exports(runtime, component)?;
    let pre = linker(runtime, component, grants.wasi)
        .and_then(|linker| linker.instantiate_pre(component))
        .map_err(|error| AdmitError::Contract(message(&error)))?;
    first_pages::make(component)?;
    let started_bytes = footprint::started_bytes(bytes);
    let (description, places) = describe(runtime, &pre, &exports, grants.wasi, started_bytes)?;
    runtime.compiler.keep(digest, compiled);
    let (grants, runtime) = (grants.clone(), Arc::clone(runtime));
    Ok(Program { digest, description, pre, exports, grants, places, started_bytes, runtime })
}

/// The functions that the component may import.
fn linker(runtime: &Runtime, component: &Component, wasi: bool) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = runtime.linker.clone();
    if wasi {
        for (name, import) in component.component_type().imports(&runtime.engine) {
            if let ComponentItem::ComponentInstance(interface) = &import.ty
                && wasi::is_known(name)
            {
                let items = interface.exports(&runtime.engine).map(|(name, item)| (name, item.ty));
                wasi::link(&mut linker, name, items)?;
            }
        }
    }
    Ok(linker)
}

/// Refuses every import but the contract's and what was given, and names them all.
fn check_imports(runtime: &Runtime, component: &Component, wasi: bool) -> Result<(), AdmitError> {
    let mut foreign = Vec::new();
    let ty = component.component_type();
    for (name, import) in ty.imports(&runtime.engine) {
        let known: &[&str] = match name {
            HISTORY => &["head", "read"],
            LOG => &["line"],
            TYPES => &[],
            name if wasi && wasi::is_known(name) => continue,
            _ => {
                foreign.push(name.to_owned());
                continue;
            }
        };
        let ComponentItem::ComponentInstance(interface) = &import.ty else {
            foreign.push(name.to_owned());
            continue;
        };
        for (function, item) in interface.exports(&runtime.engine) {
            if !matches!(item.ty, ComponentItem::Type(_)) && !known.contains(&function) {
                foreign.push(format!("{name}#{function}"));
            }
        }
    }
    if foreign.is_empty() {
        return Ok(());
    }
    Err(AdmitError::Import(cut(&foreign.join(", "), MESSAGE_BYTES_MAX).to_owned()))
}

/// Finds the contract's functions, or says which one is missing.
fn find_exports(runtime: &Runtime, component: &Component) -> Result<Exports, AdmitError> {
    let Some(rules) = component.get_export_index(None, RULES) else {
        return Err(AdmitError::Contract(no_rules(runtime, component)));
    };
    let function = |of: &ComponentExportIndex, interface: &str, name: &str| {
        component
            .get_export_index(Some(of), name)
            .ok_or_else(|| AdmitError::Contract(format!("{interface} has no function `{name}`")))
    };
    let find = |name: &str| function(&rules, RULES, name);
    let packed = match component.get_export_index(None, PACKED) {
        None => None,
        Some(packed) => Some(PackedExports {
            apply: function(&packed, PACKED, "apply")?,
            admit: function(&packed, PACKED, "admit")?,
        }),
    };
    let upcast = match component.get_export_index(None, UPCASTING) {
        None => None,
        Some(upcasting) => Some(function(&upcasting, UPCASTING, "upcast")?),
    };
    Ok(Exports {
        describe: find("describe")?,
        init: find("init")?,
        restore: find("restore")?,
        apply: find("apply")?,
        validate: find("validate")?,
        snapshot: find("snapshot")?,
        query: find("query")?,
        packed,
        upcast,
    })
}

/// Why there is no `rules`: another version, or nothing like it.
fn no_rules(runtime: &Runtime, component: &Component) -> String {
    let ty = component.component_type();
    let names: Vec<&str> = ty.exports(&runtime.engine).map(|(name, _)| name).collect();
    let other = names.iter().find(|name| name.starts_with(PACKAGE));
    let text = match (other, names.as_slice()) {
        (Some(other), _) => {
            format!("it exports {other}; this store has {RULES}. Build it against that version")
        }
        (None, []) => format!("it exports nothing; it must export {RULES}"),
        (None, names) => format!("it exports {}, but not {RULES}", names.join(", ")),
    };
    cut(&text, MESSAGE_BYTES_MAX).to_owned()
}

/// Checks the types of all functions and calls `describe`, in an instance made for that. Tells also
/// how many places among the live instances one of this component takes.
fn describe(
    runtime: &Arc<Runtime>,
    pre: &InstancePre<Guest>,
    exports: &Exports,
    wasi: bool,
    started_bytes: usize,
) -> Result<(Description, usize), AdmitError> {
    let _slot = runtime
        .slot(1)
        .ok_or_else(|| AdmitError::Limit("too many validators are alive to try it".to_owned()))?;
    let failed = |call: &str, fault: Fault| match fault.kind {
        FaultKind::OutOfMemory => AdmitError::Limit(format!("{call} takes {}", fault.detail)),
        kind => {
            AdmitError::Description(format!("{call} failed: {}: {}", kind.word(), fault.detail))
        }
    };
    let (scope, history) = (ScopeName::system(), Arc::new(NoHistory));
    let mut live = Live::new(runtime, pre, &scope, history, wasi, started_bytes)
        .map_err(|fault| failed("its start", fault))?;
    let describe = check_types(&mut live, exports)?;
    let answer: DescriptionOut =
        budgeted(&mut live.store, runtime, "describe", |store| Ok(describe.call(store, ())?.0))
            .map_err(|fault| failed("`describe`", fault))?;
    let description = convert::description(answer, &runtime.limits)
        .map_err(|invalid| AdmitError::Description(invalid.to_string()))?;
    Ok((description, live.store.data().meter.memories().max(1)))
}

fn check_types(live: &mut Live, exports: &Exports) -> Result<Describe, AdmitError> {
    let Live { store, instance } = live;
    macro_rules! typed {
        ($name:ident: $type:ty) => {
            typed!(exports, $name: $type)
        };
        ($exports:expr, $name:ident: $type:ty) => {
            instance.get_typed_func(&mut *store, $exports.$name).map(|found: $type| found).map_err(
                |error| {
                    let function = stringify!($name);
                    AdmitError::Contract(format!("`{function}`: {}", message(&error)))
                },
            )?
        };
    }
    typed!(init: Init<'_>);
    typed!(restore: Restore<'_>);
    typed!(apply: Apply<'_>);
    typed!(validate: Validate<'_>);
    typed!(snapshot: Snapshot);
    typed!(query: Query<'_>);
    if let Some(packed) = &exports.packed {
        typed!(packed, apply: ApplyPacked<'_>);
        typed!(packed, admit: Admit<'_>);
    }
    if let Some(upcast) = exports.upcast {
        let found = instance.get_typed_func(&mut *store, upcast).map(|found: Upcast<'_>| found);
        found.map_err(|error| AdmitError::Contract(format!("`upcast`: {}", message(&error))))?;
    }
    Ok(typed!(describe: Describe))
}

fn message(error: &wasmtime::Error) -> String {
    cut(&format!("{error:#}"), MESSAGE_BYTES_MAX).to_owned()
}

/// What `describe` sees of a scope: it is called before there is one.
struct NoHistory;

impl History for NoHistory {
    fn head(&self) -> Seq {
        Seq::ZERO
    }

    fn read(
        &self,
        _after: Seq,
        _limit: usize,
        _each: &mut dyn FnMut(&BodyIn<'_>),
    ) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile::CompileOptions;
    use super::*;
    use atomic_store_core::Limits;

    /// The least component, which only wasmtime itself can compile to what must be refused.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn machine_code_is_never_taken_not_even_from_this_very_engine() {
        let runtime = Runtime::new(Arc::new(Limits::default()), CompileOptions::default()).unwrap();
        let compiled = runtime.engine.precompile_component(EMPTY).unwrap();
        let error = admit(&runtime, &compiled, &Grants::default()).err().unwrap();
        assert!(matches!(&error, AdmitError::Malformed(why) if why.contains("machine code")));
    }
}
