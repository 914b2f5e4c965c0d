//! Makes a component of a core module, so that a compiler is all that an author needs: no WIT tool, and
//! no adapter for toolchains that build for WASI preview 1.
//!
//! A core module may bring the interface it was built for in `component-type` sections. They are
//! looked at for one byte only, the encoding of its texts; the interface that counts is this
//! store's own contract, and a module without such a section gets it by the names of its exports. Reading a foreign one would mean to trust a parser that recurses without
//! end on packages that depend on each other, which ends the process and not just the call.

use super::bindings::{
    FUNCTIONS, HISTORY, LOG, PACKAGE, PACKED, PACKED_FUNCTIONS, RULES, UPCASTING,
};
use super::log_lines::cut;
use crate::validator::AdmitError;
use std::borrow::Cow;
use wasmparser::{Encoding, Parser, Payload, TypeRef};
use wit_component::{ComponentEncoder, StringEncoding};

/// The contract, as published.
pub(super) const CONTRACT: &str = include_str!("../../../wit/validator.wit");
/// The world that a validator is built for.
const WORLD: &str = "validator";
/// The world of one with the faster calls.
const PACKED_WORLD: &str = "packed-validator";
/// The world beside it of one that knows older events.
const UPCASTS_WORLD: &str = "upcasts";
/// Sections that say which interface a core module has begin with this.
const METADATA: &str = "component-type";
/// The part of such a section that holds the encoding of texts.
const TEXT_ENCODING: &str = "wit-component-encoding";
/// What toolchains for WASI preview 1 import.
const WASI: &str = "wasi_snapshot_preview1";
/// It without a system behind it; see no_wasi.wat.
const NO_WASI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/no_wasi.wasm"));
/// Bytes of a message that quotes the module.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// The component itself, or one made of the core module.
///
/// # Errors
/// [`AdmitError`] if the bytes are neither.
pub(super) fn component(bytes: &[u8]) -> Result<Cow<'_, [u8]>, AdmitError> {
    if !bytes.starts_with(b"\0asm") {
        let why = "this is not a WebAssembly file; give the .wasm file that your build produced";
        return Err(AdmitError::Malformed(why.to_owned()));
    }
    if Parser::is_component(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let module = Module::read(bytes)
        .map_err(|error| AdmitError::Malformed(format!("this core module is damaged: {error}")))?;
    module.check()?;
    module.encode().map(Cow::Owned)
}

/// What matters of a core module.
#[derive(Default)]
struct Module<'a> {
    /// Its sections without the interface: number and content.
    sections: Vec<(u8, &'a [u8])>,
    /// The encoding of its texts.
    encoding: StringEncoding,
    /// Where its imports come from, each once.
    imports: Vec<&'a str>,
    /// What it imports of WASI.
    wasi: Vec<&'a str>,
    /// Its exports.
    exports: Vec<&'a str>,
}

impl<'a> Module<'a> {
    fn read(bytes: &'a [u8]) -> wasmparser::Result<Self> {
        let mut module = Module::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::ImportSection(imports) => {
                    for import in imports.clone().into_imports() {
                        let import = import?;
                        if import.module == WASI && matches!(import.ty, TypeRef::Func(_)) {
                            module.wasi.push(import.name);
                        } else if !module.imports.contains(&import.module) {
                            module.imports.push(import.module);
                        }
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports.clone() {
                        module.exports.push(export?.name);
                    }
                }
                Payload::CustomSection(custom) if custom.name().starts_with(METADATA) => {
                    module.encoding = text_encoding(custom.data());
                    continue;
                }
                _ => {}
            }
            if let Some((id, range)) = payload.as_section() {
                module.sections.push((id, &bytes[range]));
            }
        }
        Ok(module)
    }

    /// Names what is too much or missing, before wit-component would in other words.
    fn check(&self) -> Result<(), AdmitError> {
        let ours = |name: &str| name == HISTORY || name == LOG;
        let mut foreign: Vec<Cow<'_, str>> =
            self.imports.iter().filter(|name| !ours(name)).map(|name| (*name).into()).collect();
        if !self.wasi.is_empty() {
            let known = Module::read(NO_WASI).map_err(|error| {
                AdmitError::Malformed(format!("what stands in for WASI is damaged: {error}"))
            })?;
            let missing = self.wasi.iter().filter(|name| !known.exports.contains(name));
            foreign.extend(missing.map(|name| format!("{WASI}#{name}").into()));
        }
        if !foreign.is_empty() {
            return Err(AdmitError::Import(quote(&foreign.join(", "))));
        }
        let prefix = format!("{RULES}#");
        let found: Vec<&str> =
            self.exports.iter().filter_map(|name| name.strip_prefix(&prefix)).collect();
        if found.is_empty()
            && let Some(other) = self.exports.iter().find(|name| name.starts_with(PACKAGE))
        {
            let why = format!("it exports {other}; this store has {RULES}. Build it against that");
            return Err(AdmitError::Contract(quote(&why)));
        }
        if found.is_empty() {
            return Err(AdmitError::Malformed(format!(
                "this core module exports nothing of {RULES}. Build it with one of the guest SDKs, or \
                 give each function that name, a `#`, and its own name, as in `{prefix}validate`"
            )));
        }
        if let Some(name) = FUNCTIONS.iter().find(|name| !found.contains(name)) {
            return Err(AdmitError::Contract(format!("{RULES} has no function `{name}`")));
        }
        let packed = self.packed();
        match PACKED_FUNCTIONS.iter().find(|name| !packed.contains(name)) {
            Some(name) if !packed.is_empty() => {
                Err(AdmitError::Contract(format!("{PACKED} has no function `{name}`")))
            }
            _ => Ok(()),
        }
    }

    /// The functions of `packed` that it exports.
    fn packed(&self) -> Vec<&str> {
        let prefix = format!("{PACKED}#");
        self.exports.iter().filter_map(|name| name.strip_prefix(&prefix)).collect()
    }

    /// Makes the component, with this store's contract.
    fn encode(&self) -> Result<Vec<u8>, AdmitError> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in &self.sections {
            bytes.push(*id);
            push_leb(&mut bytes, content.len());
            bytes.extend_from_slice(content);
        }
        let world = if self.packed().is_empty() { WORLD } else { PACKED_WORLD };
        let upcast = format!("{UPCASTING}#upcast");
        let upcasts = self.exports.iter().any(|name| *name == upcast);
        let encoded = embed(&mut bytes, world, self.encoding).and_then(|()| {
            if upcasts {
                embed(&mut bytes, UPCASTS_WORLD, self.encoding)?;
            }
            let mut encoder = ComponentEncoder::default().validate(true).module(&bytes)?;
            if !self.wasi.is_empty() {
                encoder = encoder.adapter(WASI, NO_WASI)?;
            }
            encoder.encode()
        });
        encoded.map_err(|error| {
            let why = quote(&format!("{error:#}"));
            AdmitError::Malformed(format!("no component can be made of this core module: {why}"))
        })
    }
}

/// Adds the contract to a core module. The error is wit-component's own, which has no name here.
fn embed(
    module: &mut Vec<u8>,
    world: &str,
    encoding: StringEncoding,
) -> Result<(), <StringEncoding as std::str::FromStr>::Err> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("validator.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some(world))?;
    wit_component::embed_component_metadata(module, &resolve, world, encoding)
}

/// The encoding of texts that an interface names; UTF-8 if it names none.
fn text_encoding(metadata: &[u8]) -> StringEncoding {
    for payload in Parser::new(0).parse_all(metadata) {
        match payload {
            Ok(Payload::CustomSection(custom)) if custom.name() == TEXT_ENCODING => {
                return match custom.data() {
                    [_, 1] => StringEncoding::UTF16,
                    [_, 2] => StringEncoding::CompactUTF16,
                    _ => StringEncoding::UTF8,
                };
            }
            Ok(Payload::Version { encoding: Encoding::Module, .. }) | Err(_) => break,
            Ok(_) => {}
        }
    }
    StringEncoding::UTF8
}

/// Appends a length as WebAssembly writes it: seven bits to a byte, the lowest first.
fn push_leb(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn quote(text: &str) -> String {
    cut(text, MESSAGE_BYTES_MAX).to_owned()
}
