//! What is made while the program is compiled: core modules that componentize.rs needs, so that the store
//! itself has no parser of text for them, and the files of new projects, so that the program needs no
//! checkout.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

type Made<T> = Result<T, Box<dyn Error>>;

const TEXT: &str = "src/plugin/no_wasi.wat";

/// The guest languages: which files of the tree a project starts with, and where they go. A folder ends
/// with a slash.
const PROJECTS: &[(&str, &[(&str, &str)])] = &[
    (
        "RUST",
        &[
            ("guest-sdk/rust/template/", ""),
            ("guest-sdk/rust/src/", "sdk/src/"),
            ("guest-sdk/rust/Cargo.toml", "sdk/Cargo.toml"),
            ("guest-sdk/rust/README.md", "sdk/README.md"),
            ("wit/", "sdk/wit/"),
        ],
    ),
    (
        "JS",
        &[
            ("guest-sdk/js/template/", ""),
            ("guest-sdk/js/src/", "sdk/src/"),
            ("guest-sdk/js/wit/", "sdk/wit/"),
            ("guest-sdk/js/index.js", "sdk/index.js"),
            ("guest-sdk/js/index.d.ts", "sdk/index.d.ts"),
            ("guest-sdk/js/testing.js", "sdk/testing.js"),
            ("guest-sdk/js/testing.d.ts", "sdk/testing.d.ts"),
            ("guest-sdk/js/package.json", "sdk/package.json"),
            ("guest-sdk/js/README.md", "sdk/README.md"),
        ],
    ),
    (
        "PYTHON",
        &[
            ("guest-sdk/python/template/", ""),
            ("guest-sdk/python/src/", "sdk/src/"),
            ("guest-sdk/python/pyproject.toml", "sdk/pyproject.toml"),
            ("guest-sdk/python/README.md", "sdk/README.md"),
        ],
    ),
    (
        "C",
        &[
            ("guest-sdk/c/template/", ""),
            ("guest-sdk/c/atomic_store.c", "sdk/atomic_store.c"),
            ("guest-sdk/c/atomic_store.h", "sdk/atomic_store.h"),
            ("guest-sdk/c/atomic_store_abi.h", "sdk/atomic_store_abi.h"),
            ("guest-sdk/c/atomic_store_test.c", "sdk/atomic_store_test.c"),
            ("guest-sdk/c/atomic_store_test.h", "sdk/atomic_store_test.h"),
            ("guest-sdk/c/README.md", "sdk/README.md"),
            ("scripts/guests/zig.txt", "requirements.txt"),
        ],
    ),
    (
        "CPP",
        &[
            ("guest-sdk/c/template-cpp/", ""),
            ("guest-sdk/c/template/rules_test.c", "rules_test.c"),
            ("guest-sdk/c/atomic_store.c", "sdk/atomic_store.c"),
            ("guest-sdk/c/atomic_store.h", "sdk/atomic_store.h"),
            ("guest-sdk/c/atomic_store.hpp", "sdk/atomic_store.hpp"),
            ("guest-sdk/c/atomic_store_abi.h", "sdk/atomic_store_abi.h"),
            ("guest-sdk/c/atomic_store_test.c", "sdk/atomic_store_test.c"),
            ("guest-sdk/c/atomic_store_test.h", "sdk/atomic_store_test.h"),
            ("guest-sdk/c/README.md", "sdk/README.md"),
            ("scripts/guests/zig.txt", "requirements.txt"),
        ],
    ),
    (
        "ZIG",
        &[
            ("guest-sdk/zig/template/", ""),
            ("guest-sdk/zig/abi.zig", "sdk/abi.zig"),
            ("guest-sdk/zig/atomic_store.zig", "sdk/atomic_store.zig"),
            ("guest-sdk/zig/testing.zig", "sdk/testing.zig"),
            ("guest-sdk/zig/README.md", "sdk/README.md"),
            ("scripts/guests/zig.txt", "requirements.txt"),
        ],
    ),
    (
        "GO",
        &[
            ("guest-sdk/go/template/", ""),
            ("guest-sdk/go/abi_wasm.go", "sdk/abi_wasm.go"),
            ("guest-sdk/go/history.go", "sdk/history.go"),
            ("guest-sdk/go/native.go", "sdk/native.go"),
            ("guest-sdk/go/strict.go", "sdk/strict.go"),
            ("guest-sdk/go/validator.go", "sdk/validator.go"),
            ("guest-sdk/go/go.mod", "sdk/go.mod"),
            ("guest-sdk/go/README.md", "sdk/README.md"),
            ("scripts/guests/go.txt", "requirements.txt"),
        ],
    ),
    ("WAT", &[("guest-sdk/wat/template/", ""), ("wit/", "wit/")]),
];

fn main() -> Made<()> {
    println!("cargo::rerun-if-changed={TEXT}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("no_wasi.wasm"), wat::parse_file(TEXT)?)?;
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets it")?);
    let root = root.parent().ok_or("the crate lies in the tree")?;
    std::fs::write(out.join("project_files.rs"), projects(root)?)?;
    Ok(())
}

/// A constant for each language: paths in a project, and what stands there.
fn projects(root: &Path) -> Made<String> {
    let mut code = String::new();
    for (language, parts) in PROJECTS {
        let mut files = Vec::new();
        for (from, to) in *parts {
            println!("cargo::rerun-if-changed={}", root.join(from).display());
            collect(root, from, to, &mut files)?;
        }
        if *language != "WAT" {
            collect(root, "LICENSE-MIT", "sdk/LICENSE-MIT", &mut files)?;
        }
        files.sort();
        writeln!(code, "pub(super) const {language}: &[(&str, &str)] = &[")?;
        for (to, text) in files {
            writeln!(code, "    ({to:?}, {text:?}),")?;
        }
        writeln!(code, "];")?;
    }
    Ok(code)
}

fn collect(root: &Path, from: &str, to: &str, files: &mut Vec<(String, String)>) -> Made<()> {
    if !from.ends_with('/') {
        files.push((to.to_owned(), text(root, from)?));
        return Ok(());
    }
    for entry in std::fs::read_dir(root.join(from))? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| "a name is not UTF-8")?;
        // What a language's own tools leave behind.
        let left = ["build", "node_modules", "__pycache__", "target", "package-lock.json"];
        if left.contains(&name.as_str()) || name.starts_with('.') || name.ends_with(".egg-info") {
            continue;
        }
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        collect(root, &format!("{from}{name}{slash}"), &format!("{to}{name}{slash}"), files)?;
    }
    Ok(())
}

/// A file, as it stands in a project rather than in the tree.
fn text(root: &Path, from: &str) -> Made<String> {
    let text = std::fs::read_to_string(root.join(from))?;
    Ok(match from {
        "guest-sdk/rust/Cargo.toml" => stand_alone(root, &text)?,
        "guest-sdk/rust/src/bindings.rs" => text.replace("\"../../wit\"", "\"wit\""),
        // The comment is about the scripts of the tree.
        _ if from.starts_with("scripts/") => text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .fold(String::new(), |all, line| all + line + "\n"),
        _ => text,
    })
}

/// The manifest of the Rust SDK without the workspace that it is a member of here.
fn stand_alone(root: &Path, manifest: &str) -> Made<String> {
    let workspace = root.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", workspace.display());
    let workspace = std::fs::read_to_string(workspace)?;
    let value = |name: &str| {
        let start = format!("{name} = ");
        let line = workspace.lines().find(|line| line.starts_with(&start));
        let line = line.ok_or(format!("the workspace has no {name}"))?;
        Ok::<_, String>(line.split(" # ").next().unwrap_or(line).trim_end().to_owned())
    };
    let mut out = String::new();
    let mut skipped = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            skipped = ["[dev-dependencies]", "[lints]"].contains(&line);
        }
        if skipped {
            continue;
        }
        match line.strip_suffix(".workspace = true") {
            Some(name) => out += &value(name)?,
            None => out += line,
        }
        out.push('\n');
    }
    Ok(out.trim_end().to_owned() + "\n")
}
