//! How a store is opened, and what opening it found.

use atomic_store_core::chain::Broken;
use atomic_store_core::{Limits, ScopeName};
use std::io;
use std::path::PathBuf;

/// What to open, and how.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The data directory. Made if it does not exist.
    pub path: PathBuf,
    /// The caps of the store.
    pub limits: Limits,
    /// Open even if acknowledged commits are missing. What is missing stays missing, and the store
    /// gets a new identity, so that no client resumes in a history that is no longer there.
    pub accept_loss: bool,
    /// Keep what was proposed in the journal of rejections, not only its hash.
    pub keep_rejected_payloads: bool,
    /// Whoever opens it means to read. Options that are others than before are then not recorded.
    pub reads_only: bool,
    /// Bytes of memory for blocks of the tree.
    pub cache_bytes: u64,
}

impl OpenOptions {
    /// With default limits, a cache of 256 MiB, and no loss accepted.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        OpenOptions {
            path: path.into(),
            limits: Limits::default(),
            accept_loss: false,
            keep_rejected_payloads: false,
            reads_only: false,
            cache_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// True if the store was made.
    pub created: bool,
    /// True if the store had been closed, rather than killed.
    pub clean: bool,
    /// A torn commit that was cut off the end of the journal.
    pub cut: Option<Cut>,
    /// Bytes at the end of the journal of a commit that was never finished. They are dropped, as is
    /// usual after a kill.
    pub unfinished: u64,
    /// How many acknowledged commits are missing, if that was accepted; 0 if nobody can tell.
    pub accepted_loss: Option<u64>,
    /// Events that were checked because they are younger than the mark.
    pub checked: u64,
    /// Scopes in which that check found damage. Their reads fail; other scopes are not affected.
    pub damaged: Vec<(ScopeName, Broken)>,
}

/// A torn commit that was cut off the end of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The journal.
    pub journal: PathBuf,
    /// Where the whole journal was copied to before the cut.
    pub saved_as: PathBuf,
    /// The length that was kept.
    pub kept: u64,
    /// How many written bytes were cut.
    pub bytes: u64,
    /// What was wrong with them.
    pub why: String,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another process; stop that one, or talk to it instead", path = .path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// Others could read or change it.
    #[error("{path} {why}", path = .path.display())]
    Unsafe {
        /// The data directory.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// A newer program wrote it.
    #[error(
        "the store has format version {found}, this program reads versions up to {supported}; use a newer program"
    )]
    Newer {
        /// The version that was found.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// Commits that were acknowledged are not there.
    #[error(
        "{commits} acknowledged commits are missing: {marked} were recorded, {found} are there; restore the \
         directory from a backup, or go on without them with --accept-loss"
    )]
    MissingData {
        /// How many are missing.
        commits: u64,
        /// How many had been made durable.
        marked: u64,
        /// How many there are.
        found: u64,
    },
    /// The file that counts commits is not usable, so nobody can tell whether some are missing.
    #[error(
        "the file {path} {why}, so it is not known whether acknowledged commits are missing; restore it \
         from a backup, or go on without it with --accept-loss", path = .path.display()
    )]
    Mark {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file is not what was written.
    #[error("{what}; nothing was changed: restore the directory from a backup{accept}",
        accept = if *.may_accept { ", or cut the journal there with --accept-loss" } else { "" })]
    Damaged {
        /// Which, and how.
        what: String,
        /// True if `accept_loss` opens it.
        may_accept: bool,
    },
    /// The operating system refused.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}
