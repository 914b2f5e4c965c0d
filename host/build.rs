//! Assembles what componentize.rs puts into core modules, so that the store itself has no parser of
//! text.

use std::path::Path;

const TEXT: &str = "src/plugin/no_wasi.wat";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={TEXT}");
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    std::fs::write(Path::new(&folder).join("no_wasi.wasm"), wat::parse_file(TEXT)?)?;
    Ok(())
}
