//! A store in a directory of its own, opened and left again and again.

use crate::Caller;
use atomic_store::log::OpenError;
use atomic_store::store::{Store, StoreError, StoreOptions};
use atomic_store_core::Limits;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A data directory.
#[derive(Debug)]
pub struct Disk {
    directory: TempDir,
    /// The caps that the store is opened with.
    pub limits: Limits,
}

impl Disk {
    /// A new directory, for a store with these caps.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Disk { directory: tempfile::tempdir().unwrap(), limits }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Opens the store. A store that was just dropped ends when its threads do; until then the
    /// directory is locked, so this asks again for a while.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn open(&self) -> Store {
        let options =
            StoreOptions { limits: self.limits.clone(), ..StoreOptions::new(self.path()) };
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match Store::open(options.clone()) {
                Ok(store) => return store,
                Err(StoreError::Open(OpenError::Locked { .. })) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Opens the store for one caller. The engine lives as long as the caller.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(self.open().engine().clone())
    }
}
