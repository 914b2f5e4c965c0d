//! The guest languages, as far as a project differs from one to the other.

use super::files;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A guest language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum Language {
    /// Rust
    Rust,
    /// JavaScript or TypeScript
    Js,
    /// Python
    Python,
    /// C
    C,
    /// C++
    Cpp,
    /// Zig
    Zig,
    /// Go
    Go,
    /// Plain WebAssembly text
    Wat,
}

/// Makes the environment that the tool comes from PyPI into.
const PIP: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

impl Language {
    /// The word of the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Js => "js",
            Language::Python => "python",
            Language::C => "c",
            Language::Cpp => "cpp",
            Language::Zig => "zig",
            Language::Go => "go",
            Language::Wat => "wat",
        }
    }

    /// The files of a new project: path and content.
    pub(super) fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Language::Rust => files::RUST,
            Language::Js => files::JS,
            Language::Python => files::PYTHON,
            Language::C => files::C,
            Language::Cpp => files::CPP,
            Language::Zig => files::ZIG,
            Language::Go => files::GO,
            Language::Wat => files::WAT,
        }
    }

    /// Where the rules of a new project stand.
    pub(super) fn source(self) -> &'static str {
        match self {
            Language::Rust => "src/lib.rs",
            Language::Js => "rules.js",
            Language::Python => "rules.py",
            Language::C => "rules.c",
            Language::Cpp => "rules.cpp",
            Language::Zig => "rules.zig",
            Language::Go => "rules.go",
            Language::Wat => "rules.wat",
        }
    }

    /// What must be replaced in the files of the template, all of it: file, what stands there, what shall.
    pub(super) fn changes(self, name: &str) -> Vec<(&'static str, String, String)> {
        let change = |file, from: &str, to: String| (file, from.to_owned(), to);
        let makefile = |there: &str| change("Makefile", there, "SDK ?= sdk".to_owned());
        match self {
            Language::Rust => vec![
                change("Cargo.toml", "name = \"seats\"", format!("name = \"{name}\"")),
                change(
                    "Cargo.toml",
                    "# Where the folder guest-sdk/rust of your copy of Atomic Store is.\n\
                     atomic-store-guest = { path = \"../\" }",
                    "atomic-store-guest = { path = \"sdk\" }".to_owned(),
                ),
            ],
            Language::Js => vec![
                change("package.json", "\"name\": \"seats\"", format!("\"name\": \"{name}\"")),
                change("package.json", "\"file:..\"", "\"file:./sdk\"".to_owned()),
                change("rules.js", "name: \"seats\"", format!("name: \"{name}\"")),
            ],
            Language::Python => vec![
                change("requirements.txt", "../[build]", "./sdk[build]".to_owned()),
                change("rules.py", "name = \"seats\"", format!("name = \"{name}\"")),
            ],
            Language::C => vec![
                makefile("SDK ?= ../atomic-store/guest-sdk/c"),
                change("rules.c", ".name = \"seats\"", format!(".name = \"{name}\"")),
            ],
            Language::Cpp => vec![
                makefile("SDK ?= ../atomic-store/guest-sdk/c"),
                change("rules.cpp", "*name = \"seats\"", format!("*name = \"{name}\"")),
            ],
            Language::Zig => vec![
                makefile("SDK ?= ../atomic-store/guest-sdk/zig"),
                change("rules.zig", "name = \"seats\"", format!("name = \"{name}\"")),
            ],
            Language::Go => vec![
                change("go.mod", "module seats", format!("module {name}")),
                change(
                    "go.mod",
                    "// Where the folder guest-sdk/go of your copy of Atomic Store is.\n\
                     replace atomic-store.example/guest => ../",
                    "replace atomic-store.example/guest => ./sdk".to_owned(),
                ),
                change("rules.go", "Name: \"seats\"", format!("Name: \"{name}\"")),
            ],
            Language::Wat => vec![
                change(
                    "rules.wat",
                    "(i32.const 512) \"notes\"",
                    format!("(i32.const 512) \"{name}\""),
                ),
                change(
                    "rules.wat",
                    "(i32.const 5)) ;; the name",
                    format!("(i32.const {})) ;; the name", name.len()),
                ),
            ],
        }
    }

    /// Gets the language's tools, in the project's folder. Nothing where they do not come from a registry
    /// of packages.
    pub(super) fn install(self) -> Option<&'static str> {
        match self {
            Language::Rust => Some("rustup target add wasm32-unknown-unknown"),
            Language::Js => Some("npm install"),
            Language::Python | Language::C | Language::Cpp | Language::Zig | Language::Go => {
                Some(PIP)
            }
            Language::Wat => None,
        }
    }

    /// Runs the tests of the rules, in the project's folder.
    pub(super) fn test(self) -> Option<&'static str> {
        match self {
            Language::Rust => Some("cargo test"),
            Language::Js => Some("npm test"),
            Language::Python => Some(".venv/bin/python -m unittest"),
            Language::C | Language::Cpp | Language::Zig => Some("make test"),
            Language::Go => Some(".venv/bin/go test ./..."),
            Language::Wat => None,
        }
    }

    /// Proposals to begin with.
    pub(super) fn proposals(self) -> &'static str {
        match self {
            Language::Wat => "{\"kind\":\"note\",\"payload\":\"hello\"}\n{\"kind\":\"land\"}\n",
            _ => {
                "{\"kind\":\"reserve\",\"payload\":{\"seat\":\"4A\"}}\n\
                 {\"kind\":\"reserve\",\"payload\":{\"seat\":\"4A\"}}\n\
                 {\"kind\":\"reserve\",\"payload\":{\"seat\":\"4B\"}}\n\
                 {\"kind\":\"reserve\",\"payload\":{\"seat\":4}}\n\
                 {\"kind\":\"land\"}\n"
            }
        }
    }

    /// Folders that tools write into, beside those of every project.
    pub(super) fn is_left_by_tools(folder: &Path) -> bool {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with('.')
            || ["build", "target", "node_modules", "venv", "__pycache__", "zig-cache", "zig-out"]
                .contains(&name)
    }
}
