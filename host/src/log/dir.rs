//! The data directory: private, ours, and open in one process at a time.

use super::open::OpenError;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Name of the folder that the tree has for itself.
const TREE: &str = "tree";
/// By which a directory is known as a store, also one that was damaged or is just being made.
const OURS: [&str; 4] = ["lock", "mark", TREE, "run"];

/// A data directory that this process has for itself until the value is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// Holds the lock as long as it is open.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, checks who can get at it, and locks it.
    pub(super) fn claim(path: &Path) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        match std::fs::symlink_metadata(path) {
            Ok(meta) => {
                check(path, &meta)?;
                check_ours(path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        keep_files_private();
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The tree's folder in it.
    pub(super) fn tree(&self) -> PathBuf {
        self.path.join(TREE)
    }
}

fn check(path: &Path, meta: &std::fs::Metadata) -> Result<(), OpenError> {
    let refuse = |why: &str| Err(OpenError::Unsafe { path: path.to_owned(), why: why.to_owned() });
    if meta.is_symlink() {
        return refuse("is a symbolic link; name the directory it leads to");
    }
    if !meta.is_dir() {
        return refuse("is not a directory; name a directory, or a path that does not exist");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return refuse("belongs to another user; run as its owner or choose another directory");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("can be written by other users; run chmod 0700 on it");
    }
    Ok(())
}

/// A directory with other things in it is somebody's by mistake: it is neither changed nor closed to
/// others.
fn check_ours(path: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::Io { path: path.to_owned(), error };
    let mut entries = std::fs::read_dir(path).map_err(io)?.peekable();
    if entries.peek().is_none() || OURS.iter().any(|name| path.join(name).exists()) {
        return Ok(());
    }
    let why = "is not empty, and is no store; name another directory".to_owned();
    Err(OpenError::Unsafe { path: path.to_owned(), why })
}

/// The tree makes files all the time, on threads of its own, and has no option for their mode. From
/// here on the process makes files that only its own user can read.
fn keep_files_private() {
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::umask(before | rustix::fs::Mode::from_raw_mode(0o077));
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Bytes on the directory's file system that this process may still use.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
