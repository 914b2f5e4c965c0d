//! A store for one measurement: new, with its validator bound.

use super::shape::Shape;
use crate::cli::connect;
use crate::cli::exit;
use crate::cli::failure::Failure;
use atomic_store::engine::{ACCEPT_ALL, Engine};
use atomic_store::signing::Trust;
use atomic_store::store::{Store, StoreOptions};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{ScopePattern, ValidatorRef};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory for the cache of blocks: that of a server.
const CACHE_BYTES: u64 = 256 << 20;
const CLOSE: Duration = Duration::from_secs(30);

/// What all stores of a benchmark have in common.
pub(super) struct Setup {
    /// Where they are.
    pub(super) dir: PathBuf,
    /// What appends look like.
    pub(super) shape: Shape,
    /// The component that judges; nothing for accept-all.
    pub(super) component: Option<Vec<u8>>,
}

impl Setup {
    /// Makes a store, lets `measure` use it, and removes it. Each starts from the same state: an
    /// empty journal and no compaction under way.
    pub(super) fn with_store<T>(
        &self,
        measure: impl FnOnce(&Engine, &Path) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let dir = tempfile::tempdir_in(&self.dir)
            .map_err(|error| Failure::file(self.dir.display(), &error))?;
        let store = self.open(dir.path())?;
        self.bind(store.engine(), None)?;
        let measured = measure(store.engine(), dir.path());
        close(store)?;
        measured
    }

    /// Opens a store.
    pub(super) fn open(&self, path: &Path) -> Result<Store, Failure> {
        let mut options = StoreOptions::new(path.join("data"));
        options.cache_bytes = CACHE_BYTES;
        connect::open_blocking(options, Trust::default())
    }

    /// Binds the validator to the scopes of the benchmark.
    pub(super) fn bind(&self, engine: &Engine, config: Option<Vec<u8>>) -> Result<(), Failure> {
        let which = match &self.component {
            Some(component) => {
                let (info, _) = engine.load(component).map_err(refused)?;
                ValidatorRef::Digest(info.digest.to_string())
            }
            None => ACCEPT_ALL.parse().map_err(name)?,
        };
        let pattern = ScopePattern::new("bench/*").map_err(name)?;
        engine.bind(pattern, &which, config).map_err(refused)?;
        Ok(())
    }
}

/// Closes a store.
pub(super) fn close(store: Store) -> Result<(), Failure> {
    match store.close(CLOSE) {
        true => Ok(()),
        false => Err(Failure::new(exit::SHUTDOWN_LATE, "the benchmark's store did not close")),
    }
}

fn refused(error: RequestError) -> Failure {
    Failure::from(atomic_store_client::ClientError::Request(error))
}

fn name(error: atomic_store_core::NameError) -> Failure {
    Failure::usage(error.to_string())
}
