//! Makes a component of a core module, so that `cargo build --target wasm32-unknown-unknown` is all
//! that an author needs.

use crate::validator::AdmitError;
use std::borrow::Cow;
use wit_component::ComponentEncoder;

/// The first bytes of every WebAssembly file.
const MAGIC: &[u8] = b"\0asm";
/// The version and layer of a core module.
const MODULE: &[u8] = &[1, 0, 0, 0];
/// Imports of a core module come in this namespace if it was built for WASI.
const WASI: &str = "wasi_snapshot_preview1";

/// The component itself, or one made of the core module.
///
/// # Errors
/// [`AdmitError`] if the bytes are neither.
pub(super) fn component(bytes: &[u8]) -> Result<Cow<'_, [u8]>, AdmitError> {
    let malformed = |why: &str| Err(AdmitError::Malformed(why.to_owned()));
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return malformed(
            "this is not a WebAssembly file; give the .wasm file that your build produced",
        );
    };
    if !rest.starts_with(MODULE) {
        return Ok(Cow::Borrowed(bytes));
    }
    match wit_component::metadata::decode(bytes) {
        Ok((Some(_stripped), _)) => {}
        Ok((None, _)) => {
            return malformed(
                "this core module does not say which interface it has: it carries no \
                 `component-type` section. Build it with atomic-store-guest or wit-bindgen, or add \
                 the section with `wasm-tools component embed wit --world validator`",
            );
        }
        Err(error) => {
            let why = format!("this core module cannot be read: {error:#}");
            return Err(AdmitError::Malformed(why));
        }
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .and_then(|mut encoder| encoder.encode());
    encoded.map(Cow::Owned).map_err(|error| {
        let why = format!("{error:#}");
        if why.contains(WASI) {
            return AdmitError::Import(WASI.to_owned());
        }
        AdmitError::Malformed(format!("no component can be made of this core module: {why}"))
    })
}
