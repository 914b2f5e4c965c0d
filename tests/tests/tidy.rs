//! The house rules that no compiler checks: who may know whom, where a foreign crate is named, how
//! long files and functions get, and what must not be left behind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest file and function, in lines.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, and why. An entry that is not needed any more fails.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer, and why. An entry that is not needed any more fails.
const LONG_FUNCTIONS: &[(&str, &str, &str)] =
    &[("core/src/limits.rs", "default", "a line for each cap")];

/// What the code of a folder, or the one file, must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "host/src/log/",
        &[
            "crate::plugin",
            "crate::engine",
            "crate::server",
            "crate::cli",
            "crate::store",
            "wasmtime",
        ],
    ),
    (
        "host/src/plugin/",
        &["crate::log", "crate::engine", "crate::server", "crate::cli", "crate::store", "fjall"],
    ),
    ("host/src/engine/", &["crate::plugin", "crate::server", "crate::cli", "crate::store"]),
    ("host/src/engine/", &["fjall", "wasmtime", "clap", "FjallLog", "MemoryLog", "WasmLoader"]),
    (
        "host/src/server/",
        &[
            "crate::plugin",
            "crate::cli",
            "crate::store",
            "fjall",
            "wasmtime",
            "clap",
            "FjallLog",
            "WasmLoader",
        ],
    ),
    ("host/src/store.rs", &["crate::server", "crate::cli", "fjall", "wasmtime", "clap"]),
    (
        "host/src/validator.rs",
        &["crate::log", "crate::plugin", "crate::engine", "crate::server", "crate::cli"],
    ),
    (
        "host/src/clock.rs",
        &["crate::log", "crate::plugin", "crate::engine", "crate::server", "crate::cli"],
    ),
    ("client/src/", &["atomic_store::", "fjall", "wasmtime", "clap"]),
    ("core/src/", &["tokio", "std::fs", "std::net", "std::thread", "SystemTime", "Instant::now"]),
];

/// Crates that only one place of the product names: nothing else of it would change if they were
/// replaced. Tests may name them too.
const ONE_PLACE: &[(&str, &str)] = &[
    ("fjall", "host/src/log/fjall"),
    ("xxhash_rust", "host/src/log/"),
    ("wasmtime", "host/src/plugin/"),
    ("wit_component", "host/src/plugin/"),
    ("wit_parser", "host/src/plugin/"),
    ("wasmparser", "host/src/plugin/"),
    ("ed25519_dalek", "host/src/signing.rs"),
    ("sha2", "host/src/cli/oci.rs"),
    ("tikv_jemallocator", "host/src/main.rs"),
    ("clap", "host/src/cli/"),
    ("clap_complete", "host/src/cli/"),
    ("comfy_table", "host/src/cli/"),
    ("csv", "host/src/cli/"),
    ("hdrhistogram", "host/src/cli/"),
    ("indicatif", "host/src/cli/"),
    ("tracing_subscriber", "host/src/cli/"),
    ("wit_bindgen", "guest-sdk/rust/src/"),
];

/// What the manifest of a member may depend on, of this workspace.
const MEMBERS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("client", &["atomic-store-core"]),
    ("host", &["atomic-store-core", "atomic-store-client"]),
    ("guest-sdk/rust", &[]),
    ("examples/auction", &["atomic-store-guest"]),
    ("examples/door", &["atomic-store-guest"]),
    ("examples/ledger", &["atomic-store-guest"]),
    ("examples/seats", &["atomic-store-guest"]),
    ("tests", &["atomic-store", "atomic-store-core", "atomic-store-client"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder whose names end so, without what was built.
fn files(folder: &Path, end: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            files(&path, end, found);
        } else if path.is_file() && name.ends_with(end) {
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// All sources with their text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), ".rs", &mut found);
    assert!(found.len() > 150, "only {} sources were found", found.len());
    found.sort();
    found.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// The text with comments and the contents of literals blanked, line by line as it was.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            'r' if raw_hashes(rest).is_some() && !ends_in_word(&out) => {
                let hashes = raw_hashes(rest).unwrap();
                let end = format!("\"{}", "#".repeat(hashes));
                let from = hashes + 2;
                rest[from..].find(&end).map_or(rest.len(), |at| from + at + end.len())
            }
            '"' => quoted(rest, '"'),
            '\'' if is_character(rest) => quoted(rest, '\''),
            _ => 0,
        };
        if skip == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..skip].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[skip..];
        }
    }
    out
}

fn raw_hashes(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn ends_in_word(text: &str) -> bool {
    // The b of a raw byte string is no word.
    let text = text.strip_suffix('b').unwrap_or(text);
    text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

/// A character, not a lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// Bytes of a literal in these quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// True if the code names this, as a whole word or path.
fn names(code: &str, what: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(what).any(|(at, _)| {
        !code[..at].ends_with(word)
            && (what.ends_with(':') || !code[at + what.len()..].starts_with(word))
    })
}

/// Name and lines of each function, from its first line to its last.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let name: String =
            after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if name.is_empty() || before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        if let Some(length) = body_lines(&lines[at..]) {
            found.push((name, length));
        }
    }
    found
}

/// Lines up to the brace that closes the first one; nothing for a function without a body.
fn body_lines(lines: &[&str]) -> Option<usize> {
    let (mut depth, mut brackets) = (0_usize, 0_usize);
    for (at, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' if depth == 0 => brackets += 1,
                ')' | ']' if depth == 0 => brackets = brackets.saturating_sub(1),
                ';' if depth == 0 && brackets == 0 => return None,
                '{' => depth += 1,
                '}' if depth == 1 => return Some(at + 1),
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}

#[test]
fn the_reader_of_code_is_not_fooled() {
    let text = "fn a() { // }\n let c = '{'; let s = \"}\\\"{\"; r#\"}\"}\"#; /* { */\n}\nfn b();\n\
                fn c<'a>(x: &'a [u8; 2]) -> u8 {\n b'\\'';\n 1 }\n";
    let code = code(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(functions(&code), [("a".to_owned(), 3), ("c".to_owned(), 3)]);
    assert!(names("use fjall::A;", "fjall") && names("x(fjall::b)", "fjall::"));
    assert!(!names("use my_fjall::A; fjall_log::x", "fjall"));
    assert!(!names("crate::logs", "crate::log") && names("crate::log::A", "crate::log"));
}

#[test]
fn modules_know_only_those_below_them() {
    let sources = sources();
    for (place, forbidden) in FORBIDDEN {
        let mut seen = 0;
        for (path, text) in sources.iter().filter(|(path, _)| path.starts_with(place)) {
            seen += 1;
            let code = code(text);
            // `use crate::{log::A, plugin::B}` would hide a path.
            let hidden = forbidden[0].starts_with("crate::") && code.contains("use crate::{");
            assert!(!hidden, "{path}: one `use crate::` for each module");
            for what in *forbidden {
                assert!(!names(&code, what), "{path} names {what}");
            }
        }
        assert!(seen > 0, "there is nothing at {place}");
    }
}

#[test]
fn a_foreign_crate_is_named_in_one_place() {
    let sources = sources();
    for (name, place) in ONE_PLACE {
        let (path_of, import) = (format!("{name}::"), format!("use {name};"));
        let mut inside = 0;
        let product = |path: &str| path.contains("src/") && !path.starts_with("tests/");
        for (path, text) in sources.iter().filter(|(path, _)| product(path)) {
            let code = code(text);
            if names(&code, &path_of) || code.contains(&import) {
                assert!(path.starts_with(place), "{path} names {name}; only {place} may");
                inside += 1;
            }
        }
        assert!(inside > 0, "nothing at {place} names {name}");
    }
}

#[test]
fn every_source_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{path} does not start with //! and its purpose");
    }
}

#[test]
fn no_file_is_too_long() {
    let mut needed = BTreeSet::new();
    for (path, text) in sources() {
        if text.lines().count() > FILE_LINES_MAX {
            let listed = LONG_FILES.iter().any(|(file, _)| *file == path);
            assert!(listed, "{path} has {} lines", text.lines().count());
            needed.insert(path);
        }
    }
    for (path, why) in LONG_FILES {
        assert!(needed.contains(*path) && !why.is_empty(), "{path} need not be listed");
    }
}

#[test]
fn no_function_is_too_long() {
    let (mut count, mut needed) = (0, BTreeSet::new());
    for (path, text) in sources() {
        for (name, lines) in functions(&code(&text)) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                let listed = LONG_FUNCTIONS.iter().any(|(f, n, _)| *f == path && *n == name);
                assert!(listed, "{path}: fn {name} has {lines} lines");
                needed.insert((path.clone(), name));
            }
        }
    }
    assert!(count > 1_000, "only {count} functions were found");
    for (path, name, why) in LONG_FUNCTIONS {
        let listed = needed.contains(&((*path).to_owned(), (*name).to_owned()));
        assert!(listed && !why.is_empty(), "{path}: {name} need not be listed");
    }
}

#[test]
fn sources_are_plain_text_without_leftovers() {
    let note = concat!("FIX", "ME");
    for (path, text) in sources() {
        let odd = text.chars().find(|c| !c.is_ascii() || (c.is_ascii_control() && *c != '\n'));
        assert_eq!(odd, None, "{path}");
        assert!(!text.contains(note), "{path} has a {note}");
        let code = code(&text);
        for left in ["todo!", "unimplemented!", "dbg!", "#[ignore", "#![ignore"] {
            assert!(!code.contains(left), "{path} has {left}");
        }
    }
}

/// The lines of a section of a manifest.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = read("Cargo.toml");
    let lines = section(&manifest, "workspace.dependencies");
    assert!(lines.len() > 20, "only {} dependencies were found", lines.len());
    for line in lines {
        if line.contains("path = ") {
            assert!(line.starts_with("atomic-store"), "{line}: not of this workspace");
            continue;
        }
        let reason = line.rsplit_once(" # ").map(|(_, reason)| reason.trim());
        assert!(reason.is_some_and(|reason| reason.len() > 10), "no reason: {line}");
    }
}

#[test]
fn members_share_their_dependencies_and_know_only_those_below_them() {
    let workspace = read("Cargo.toml");
    for (member, allowed) in MEMBERS {
        assert!(workspace.contains(&format!("\"{member}\"")), "{member} is no member");
        let manifest = read(&format!("{member}/Cargo.toml"));
        for part in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for line in section(&manifest, part) {
                let name = line.split(['.', ' ', '=']).next().unwrap();
                assert!(line.contains("workspace = true"), "{member}: {line} has its own version");
                let ours = name.starts_with("atomic-store");
                assert!(!ours || allowed.contains(&name), "{member} must not know {name}");
            }
        }
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(manifest.contains(&format!("{field}.workspace = true")), "{member}: {field}");
        }
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member} has lints of its own");
    }
    let members = workspace.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    assert_eq!(members.split(',').count(), MEMBERS.len(), "a member is missing in the table");
}

#[test]
fn core_is_pure() {
    let manifest = read("core/Cargo.toml");
    let names: Vec<_> = section(&manifest, "dependencies")
        .iter()
        .map(|line| line.split('.').next().unwrap())
        .collect();
    assert_eq!(names, ["blake3", "bytes", "postcard", "serde", "serde_bytes", "thiserror"]);
}

#[test]
fn every_page_names_the_oldest_compiler_that_the_manifest_names() {
    let manifest = read("Cargo.toml");
    let version = manifest.split_once("rust-version = \"").unwrap().1.split_once('"').unwrap().0;
    let mut pages = Vec::new();
    files(&root(), ".md", &mut pages);
    assert!(!pages.is_empty());
    for page in pages {
        let text = read(&page);
        for (at, _) in text.match_indices("Rust 1.") {
            let named: String =
                text[at + 5..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            assert_eq!(named.trim_end_matches('.'), version, "{page}");
        }
    }
}
