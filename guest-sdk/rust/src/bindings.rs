//! The contract in Rust, generated from `wit/validator.wit` while the SDK is compiled, so that a
//! validator's own crate needs neither the WIT nor a generator.
//!
//! The names here are public through the re-exports of the crate's root only.

#![allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    unreachable_pub,
    reason = "generated code: the border to the host is raw memory"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "packed-validator",
    pub_export_macro: true,
    export_macro_name: "export_component",
    additional_derives: [PartialEq, Eq],
});

/// What a component exports that knows older events.
pub mod upcasts {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "upcasts",
        with: {
            "atomic-store:validator/types@1.0.0": super::atomic_store::validator::types,
        },
        pub_export_macro: true,
        export_macro_name: "export_upcasting",
    });
}
