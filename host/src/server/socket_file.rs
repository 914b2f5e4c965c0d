//! A Unix socket that only this user can reach.
//!
//! Invariants: the folder is a real one, ours, and closed to everybody else, so nobody can put
//! something else in its place. The socket is made under another name and moved into place when its
//! mode is right. Only a dead socket of our own is ever replaced, and only our own socket is removed.

use super::listener::ServeError;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Bytes of a socket's path that the operating system takes, less the final zero.
const PATH_BYTES_MAX: usize = 107;

/// A listening socket; its file is removed in the end.
pub(crate) struct SocketFile {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and number of our file, by which it is known again.
    file: (u64, u64),
}

impl SocketFile {
    /// Listens on a path.
    pub(crate) fn bind(path: &Path) -> Result<SocketFile, ServeError> {
        let failed = |error: io::Error| ServeError::Bind {
            address: path.display().to_string(),
            why: error.to_string(),
        };
        let unsafe_path = |why: String| ServeError::Unsafe { path: path.to_owned(), why };
        let name = path.file_name().ok_or_else(|| unsafe_path("it names no file".to_owned()))?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        private_folder(folder)?;
        remove_stale(path)?;
        let mut temporary = std::ffi::OsString::from(format!(".{}-", std::process::id()));
        temporary.push(name);
        let temporary = folder.join(temporary);
        let bytes = temporary.as_os_str().len();
        if bytes > PATH_BYTES_MAX {
            let excess = bytes - PATH_BYTES_MAX;
            return Err(unsafe_path(format!("it is {excess} bytes too long for a socket")));
        }
        let listener = UnixListener::bind(&temporary).map_err(failed)?;
        let placed = fs::set_permissions(&temporary, Permissions::from_mode(0o600))
            .and_then(|()| fs::symlink_metadata(&temporary))
            .and_then(|file| fs::rename(&temporary, path).map(|()| file));
        let file = placed.map_err(|error| {
            drop(fs::remove_file(&temporary));
            failed(error)
        })?;
        Ok(SocketFile { listener, path: path.to_owned(), file: (file.dev(), file.ino()) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |file: Metadata| (file.dev(), file.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes the folder if there is none, and refuses one that others can change.
fn private_folder(folder: &Path) -> Result<(), ServeError> {
    let refused = |why: String| ServeError::Unsafe { path: folder.to_owned(), why };
    let made = DirBuilder::new().mode(0o700).create(folder);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refused(format!("the folder cannot be made: {error}")));
        }
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(folder).map_err(|error| refused(error.to_string()))?;
    if found.is_symlink() {
        return Err(refused("it is a symbolic link; give the folder itself".to_owned()));
    }
    if !found.is_dir() {
        return Err(refused("it is not a folder".to_owned()));
    }
    let (owner, us) = (found.uid(), geteuid().as_raw());
    if owner != us {
        return Err(refused(format!("it belongs to user {owner}, not to user {us}")));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = folder.display();
        return Err(refused(format!("mode {mode:04o} lets others in; run: chmod 700 {path}")));
    }
    Ok(())
}

/// Removes what a dead server left. Anything else in the way is an error.
fn remove_stale(path: &Path) -> Result<(), ServeError> {
    let refused = |why: String| ServeError::Unsafe { path: path.to_owned(), why };
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error.to_string())),
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        return Err(refused("there is something that is not a socket; move it away".to_owned()));
    }
    let (owner, us) = (found.uid(), geteuid().as_raw());
    if owner != us {
        return Err(refused(format!("the socket there belongs to user {owner}")));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(ServeError::InUse { address: path.display().to_string() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| refused(error.to_string()))
        }
        Err(error) => Err(refused(format!("the socket there cannot be tried: {error}"))),
    }
}
