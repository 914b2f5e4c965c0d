//! The mark: a small file beside the tree that says how far the log had come.
//!
//! The tree alone cannot tell a journal that lost its tail from one that never had it. The mark can:
//! it is written only after the commits it counts are durable, so a log behind its mark has lost
//! acknowledged data.

use super::dir::sync_dir;
use atomic_store_core::codec::{self, CodecError};
use atomic_store_core::protocol::StoreId;
use atomic_store_core::{Digest, Position};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The version byte of the file. It also stands for the format of the whole directory, so that an
/// older program refuses a newer directory before it opens the tree.
pub(super) const VERSION: u8 = 1;

const NAME: &str = "mark";
const TEMPORARY: &str = "mark.new";

/// How far the log had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Whose mark it is.
    pub(super) store: StoreId,
    /// Group commits that were durable.
    pub(super) commits: u64,
    /// The last durable position.
    pub(super) position: Position,
    /// True if the store was closed after it.
    pub(super) clean: bool,
}

/// Why a mark cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    /// A newer program wrote it.
    #[error("format version {0}")]
    Newer(u8),
    /// Its bytes are not what was written.
    #[error("{0}")]
    Unreadable(String),
}

impl Mark {
    /// Replaces the mark in `dir`. Afterwards it is on the disk; at no time is there none.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut bytes = codec::encode_versioned(VERSION, self).map_err(io::Error::other)?;
        let sum = Digest::of(&bytes);
        bytes.extend_from_slice(&sum.0);
        let temporary = dir.join(TEMPORARY);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, dir.join(NAME))?;
        sync_dir(dir)
    }

    /// The mark in `dir`, if there is one.
    pub(super) fn read(dir: &Path) -> Result<Option<Mark>, MarkError> {
        let bytes = match std::fs::read(dir.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(MarkError::Unreadable(error.to_string())),
        };
        let bad = |why: &str| MarkError::Unreadable(why.to_owned());
        let (body, sum) = bytes.split_last_chunk::<32>().ok_or_else(|| bad("it is too short"))?;
        if Digest::of(body).0 != *sum {
            return Err(bad("its checksum does not match"));
        }
        match codec::decode_versioned(VERSION, body) {
            Ok(mark) => Ok(Some(mark)),
            Err(CodecError::Version { found, .. }) if found > VERSION => {
                Err(MarkError::Newer(found))
            }
            Err(error) => Err(MarkError::Unreadable(error.to_string())),
        }
    }
}
