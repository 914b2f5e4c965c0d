//! Snapshots: the state as postcard, behind a header that says what it fits.
//!
//! Layout: format byte, origin (8 bytes), head (8 bytes), state; integers little-endian. The
//! origin is a hash of the rules' name and version, the scope and the configuration, because the
//! state may hold parts of each. Invariant: bytes that do not fit are an error, never a trap.

use crate::Validator;
use serde::{Serialize, de::DeserializeOwned};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 17;

/// What a snapshot is made from, as a hash. Not a defence: the store guards its own files.
pub(crate) fn origin<V: Validator>(scope: &str, config: Option<&[u8]>) -> u64 {
    let mut hash = Fnv::new();
    for part in [V::NAME.as_bytes(), V::VERSION.as_bytes(), scope.as_bytes()] {
        hash.part(part);
    }
    if let Some(config) = config {
        hash.part(config);
    }
    hash.0
}

/// # Panics
/// If serde cannot write the state.
pub(crate) fn encode<S: Serialize>(state: &S, head: u64, origin: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(FORMAT);
    bytes.extend(origin.to_le_bytes());
    bytes.extend(head.to_le_bytes());
    postcard::to_extend(state, bytes).expect("a state can be written by its own Serialize")
}

/// The head and the state.
pub(crate) fn decode<S: DeserializeOwned>(bytes: &[u8], origin: u64) -> Result<(u64, S), String> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(format!("a snapshot of {} bytes is too short", bytes.len()));
    };
    let [format, header @ ..] = header;
    if *format != FORMAT {
        return Err(format!("snapshot format {format} is unknown, expected {FORMAT}"));
    }
    let (made_from, head) = header.split_at(8);
    if made_from != origin.to_le_bytes() {
        return Err("the snapshot is of other rules, another scope or configuration".to_owned());
    }
    let head = head.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    match postcard::take_from_bytes(body) {
        Ok((state, [])) => Ok((head, state)),
        Ok((_, rest)) => Err(format!("the snapshot has {} bytes too many", rest.len())),
        Err(error) => Err(format!("the snapshot's state does not decode: {error}")),
    }
}

/// FNV-1a over parts with their lengths, so that no two lists of parts read the same.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn part(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type State = (String, Vec<u32>);

    #[test]
    fn every_cut_and_every_foreign_header_is_an_error() {
        let state: State = ("scope".to_owned(), vec![1, 1 << 30]);
        let bytes = encode(&state, 1 << 40, 7);
        assert_eq!(decode::<State>(&bytes, 7), Ok((1 << 40, state)));

        for end in 0..bytes.len() {
            assert!(decode::<State>(&bytes[..end], 7).is_err(), "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode::<State>(&longer, 7).expect_err("it is damaged").contains("too many"));
        assert!(decode::<State>(&bytes, 8).expect_err("it is damaged").contains("other rules"));
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert!(decode::<State>(&newer, 7).expect_err("it is damaged").contains("format 2"));
    }

    #[test]
    fn a_length_that_lies_is_an_error_and_reserves_no_memory() {
        let mut bytes = encode(&(), 1, 7);
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(decode::<Vec<u64>>(&bytes, 7).is_err());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let hash = |parts: &[&str]| {
            let mut hash = Fnv::new();
            parts.iter().for_each(|part| hash.part(part.as_bytes()));
            hash.0
        };
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a"]), hash(&["a", ""]));
    }
}
