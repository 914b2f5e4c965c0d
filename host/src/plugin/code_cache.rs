//! Machine code of components, kept on disk for the next start.
//!
//! Whoever can change such a file can run anything in this process. So the folder is private, and
//! each file carries a BLAKE3 keyed with a secret of this folder, over what it is the code of and
//! the code itself. A file that does not fit it, whatever the cause, is as good as not there.

use atomic_store_core::Digest;
use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

const MAGIC: &[u8; 8] = b"ascode1\n";
const MAC_BYTES: usize = 32;
/// Bytes before the code.
const HEADER: usize = MAGIC.len() + MAC_BYTES;
const KEY_FILE: &str = "key";
const CODE: &str = "code";
/// Under which a file is written until it is whole.
const UNFINISHED: &str = "new";

/// What code is the code of: a component, on an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeId {
    /// The component.
    pub(super) component: Digest,
    /// Everything about this program that the code depends on.
    pub(super) engine: Digest,
}

impl CodeId {
    fn file(&self) -> String {
        format!("{}-{}.{CODE}", self.component, self.engine.short())
    }
}

/// Code that was read and found to be ours.
pub(super) struct Code(Vec<u8>);

impl AsRef<[u8]> for Code {
    fn as_ref(&self) -> &[u8] {
        &self.0[HEADER..]
    }
}

/// A folder of machine code.
#[derive(Debug)]
pub(super) struct CodeCache {
    dir: PathBuf,
    key: [u8; 32],
    bytes_max: u64,
    unfinished: AtomicU64,
}

impl CodeCache {
    /// Opens the folder, or makes it, with its secret.
    ///
    /// # Errors
    /// The folder cannot be made, or is not private.
    pub(super) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let meta = std::fs::symlink_metadata(dir)?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it is no folder of this user"));
        }
        if meta.mode() & 0o077 != 0 {
            // Somebody may have put files there; what they do not know is the key, if it was private.
            std::fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        let key = match read_key(dir) {
            Some(key) => key,
            None => make_key(dir)?,
        };
        let cache =
            CodeCache { dir: dir.to_owned(), key, bytes_max, unfinished: AtomicU64::new(0) };
        cache.sweep(UNFINISHED);
        Ok(cache)
    }

    /// The code, if there is a file of ours with it. One that is not ours is removed.
    pub(super) fn get(&self, id: &CodeId) -> Option<Code> {
        let path = self.dir.join(id.file());
        let file = open_private(&path).ok()?;
        match self.read(&file, id) {
            Some(code) => {
                // Marks it as used; if that fails, it only goes sooner.
                let _unmarked = file.set_modified(SystemTime::now());
                Some(code)
            }
            None => {
                tracing::warn!(
                    "{} is damaged or not of this store; it is made anew",
                    path.display()
                );
                let _stays = std::fs::remove_file(&path);
                None
            }
        }
    }

    fn read(&self, file: &File, id: &CodeId) -> Option<Code> {
        let len = file.metadata().ok()?.len();
        if len > self.bytes_max.saturating_add(HEADER as u64) {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).ok()?);
        file.take(len).read_to_end(&mut bytes).ok()?;
        if bytes.len() < HEADER || bytes[..MAGIC.len()] != *MAGIC {
            return None;
        }
        let mac: [u8; MAC_BYTES] = bytes[MAGIC.len()..HEADER].try_into().ok()?;
        // The comparison of two `blake3::Hash` takes the same time wherever they differ.
        (self.mac(id, &bytes[HEADER..]) == blake3::Hash::from_bytes(mac)).then_some(Code(bytes))
    }

    /// Keeps code. A file that cannot be written is only missing at the next start.
    pub(super) fn put(&self, id: &CodeId, code: &[u8]) {
        if code.len() as u64 > self.bytes_max {
            return;
        }
        // Code of the same component for an earlier program.
        self.sweep_where(|name| name.starts_with(&id.component.to_string()));
        if let Err(error) = self.write(id, code) {
            tracing::warn!("compiled code is not kept in {}: {error}", self.dir.display());
        }
        self.make_room(&id.file());
    }

    fn write(&self, id: &CodeId, code: &[u8]) -> io::Result<()> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.dir.join(format!("{number}.{UNFINISHED}"));
        let written = create_private(&unfinished).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(self.mac(id, code).as_bytes())?;
            file.write_all(code)
        });
        // Not synced: a file that a power cut left half written does not fit its sum.
        let renamed = written.and_then(|()| std::fs::rename(&unfinished, self.dir.join(id.file())));
        if renamed.is_err() {
            let _gone = std::fs::remove_file(&unfinished);
        }
        renamed
    }

    fn mac(&self, id: &CodeId, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&id.component.0).update(&id.engine.0).update(code);
        hasher.finalize()
    }

    /// Removes what was used least recently until the rest is within the cap.
    fn make_room(&self, keep: &str) {
        let mut files = self.files(|name| name.ends_with(CODE));
        files.sort_by_key(|(_, used, _)| *used);
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        for (name, _, bytes) in files.iter().filter(|(name, ..)| name != keep) {
            if total <= self.bytes_max {
                return;
            }
            if std::fs::remove_file(self.dir.join(name)).is_ok() {
                total = total.saturating_sub(*bytes);
            }
        }
    }

    fn sweep(&self, end: &str) {
        self.sweep_where(|name| name.ends_with(end));
    }

    fn sweep_where(&self, which: impl Fn(&str) -> bool) {
        for (name, ..) in self.files(which) {
            let _stays = std::fs::remove_file(self.dir.join(name));
        }
    }

    /// Files by name, with the time of last use and the bytes of code.
    fn files(&self, which: impl Fn(&str) -> bool) -> Vec<(String, SystemTime, u64)> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        let named = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| which(name))?;
            let meta = entry.metadata().ok()?;
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            Some((name, used, meta.len().saturating_sub(HEADER as u64)))
        });
        named.collect()
    }
}

fn read_key(dir: &Path) -> Option<[u8; 32]> {
    let mut file = open_private(&dir.join(KEY_FILE)).ok()?;
    let meta = file.metadata().ok()?;
    if meta.len() != 32 || meta.mode() & 0o077 != 0 {
        return None;
    }
    let mut key = [0; 32];
    file.read_exact(&mut key).ok()?;
    Some(key)
}

fn make_key(dir: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let unfinished = dir.join(format!("{KEY_FILE}.{UNFINISHED}"));
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_private(&unfinished)?.write_all(&key)?;
    std::fs::rename(&unfinished, dir.join(KEY_FILE))?;
    Ok(key)
}

/// Opens a file that is ours, and no link to another place.
fn open_private(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags).map_err(io::Error::other)?)
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it is no file of this user"));
    }
    Ok(file)
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(component: &[u8], engine: &[u8]) -> CodeId {
        CodeId { component: Digest::of(component), engine: Digest::of(engine) }
    }

    #[test]
    fn code_for_another_engine_is_not_found_even_under_this_ones_name() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&dir.path().join("code"), 1_000).unwrap();
        let (old, new) = (id(b"component", b"old"), id(b"component", b"new"));
        cache.put(&old, b"machine code");
        assert_eq!(cache.get(&old).unwrap().as_ref(), b"machine code");
        assert!(cache.get(&new).is_none());
        std::fs::rename(cache.dir.join(old.file()), cache.dir.join(new.file())).unwrap();
        assert!(cache.get(&new).is_none());
        assert!(!cache.dir.join(new.file()).exists(), "it was not removed");
    }

    #[test]
    fn the_cap_holds_and_the_least_recently_used_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&dir.path().join("code"), 30).unwrap();
        let ids = [id(b"a", b""), id(b"b", b""), id(b"c", b"")];
        for (n, id) in ids.iter().enumerate() {
            cache.put(id, &[7; 10]);
            let file = File::open(cache.dir.join(id.file())).unwrap();
            let age = std::time::Duration::from_secs(60 - n as u64);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        assert!(cache.get(&ids[0]).is_some(), "three of ten bytes fit, and it is used");
        cache.put(&id(b"d", b""), &[7; 10]);
        let there: Vec<_> = ids.iter().map(|id| cache.get(id).is_some()).collect();
        assert_eq!(there, [true, false, true]);
        cache.put(&id(b"e", b""), &[7; 31]);
        assert!(cache.get(&id(b"e", b"")).is_none(), "one byte above the cap is not kept");
    }
}
