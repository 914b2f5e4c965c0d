//! What commands read: payloads and configurations from the argument, a file or standard input.

use super::failure::Failure;
use atomic_store_core::{Key, ScopeName};
use serde_json::value::RawValue;
use std::io::Read as _;
use std::path::Path;

/// Nothing that a command reads at once may be larger than this.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The bytes meant by an argument: `-` is standard input, `@path` a file, anything else itself.
pub(crate) fn bytes(argument: &str) -> Result<Vec<u8>, Failure> {
    match argument.strip_prefix('@') {
        _ if argument == "-" => limited("standard input", std::io::stdin().lock()),
        Some(path) => file(Path::new(path)),
        None => Ok(argument.as_bytes().to_vec()),
    }
}

/// The content of a file; `-` is standard input.
pub(crate) fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") {
        return limited("standard input", std::io::stdin().lock());
    }
    let open = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    limited(&path.display().to_string(), open)
}

/// A file that is not there is a wrong argument, not a failing disk.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}

fn limited(what: &str, from: impl std::io::Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("{what} cannot be read: {error}")))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("{what} is larger than {INPUT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Refuses bytes that are not one JSON value.
pub(crate) fn check_json(what: &str, bytes: &[u8]) -> Result<(), Failure> {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::usage(format!(
            "{what} is not JSON: {error}; a string needs double quotes inside the shell's own, \
             and other content a --content-type"
        ))),
    }
}

/// Reads `kind:id`.
pub(crate) fn key(text: &str) -> Result<Key, String> {
    match text.split_once(':') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => {
            Ok(Key { kind: kind.to_owned(), id: id.to_owned() })
        }
        _ => Err("a key has a kind and an id, as in book:Emma".to_owned()),
    }
}

/// Reads `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected name=value".to_owned()),
    }
}

/// Reads a scope's name.
pub(crate) fn scope(text: &str) -> Result<ScopeName, String> {
    ScopeName::new(text).map_err(|error| error.to_string())
}
