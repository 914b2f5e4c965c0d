//! A validator in wasm text that does as the first byte of each payload says; see `rules.wat`.

use wit_component::{StringEncoding, embed_component_metadata};

const WAT: &str = include_str!("rules.wat");
const WIT: &str = include_str!("../../wit/validator.wit");

/// Its bytes: a core module with the contract embedded, as toolchains make it. A different `version`
/// makes different bytes, and so another validator under the same name.
///
/// # Panics
/// If the text is no module, or the version is not as long as `1.0.0`.
#[must_use]
pub fn wat_rules(version: &str) -> Vec<u8> {
    assert_eq!(version.len(), 5, "the text holds its length");
    let mut module = wat::parse_str(WAT.replace("1.0.0\")", &format!("{version}\")"))).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("validator.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], Some("validator")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}
