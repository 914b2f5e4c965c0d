//! The examples as the store sees them: built for wasm, made components, held against the contract.
//!
//! Runs `scripts/build-guests.sh`, which needs a moment only if a guest has changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use wit_component::{ComponentEncoder, DecodedWasm, decode};

const CONTRACT: [&str; 3] = [
    "atomic-store:validator/history@1.0.0",
    "atomic-store:validator/log@1.0.0",
    "atomic-store:validator/types@1.0.0",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn build() {
    let built = Command::new(root().join("scripts/build-guests.sh")).output().expect("a shell");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn names(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = decode(wasm).expect("a component") else {
        panic!("not a component");
    };
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    (imports, exports)
}

#[test]
fn the_examples_are_components_of_the_contract_and_import_nothing_else() {
    build();
    for guest in ["auction", "door", "seats"] {
        let path = root().join(format!("target/guests/{guest}.wasm"));
        let module = std::fs::read(&path).expect("the script has built it");
        let component = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .expect("a module with its WIT inside")
            .encode()
            .expect("a module that fits its WIT");

        let (imports, exports) = names(&component);
        for import in &imports {
            assert!(CONTRACT.contains(&import.as_str()), "{guest} imports {import}");
        }
        let wanted = ["atomic-store:validator/packed@1.0.0", "atomic-store:validator/rules@1.0.0"];
        assert_eq!(exports, wanted, "{guest}");
        let kib = component.len() / 1024;
        assert!(kib < 256, "{guest} has grown to {kib} KiB");
    }
}
