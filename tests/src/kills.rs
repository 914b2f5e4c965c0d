//! The real process, killed again and again under a load.

use crate::{Rng, Server};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long what is in flight may take to be acknowledged, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// So many seconds at least, and more kills than a quarter of them.
    pub seconds: u64,
    /// More acknowledgements than so many, all together.
    pub acks_min: u64,
    /// So many from one kill to the next: a kill without load finds nothing.
    pub acks_each: u64,
}

impl Kills {
    /// Goes on until all of it came true, whatever the machine does meanwhile; `acks` is counted by the
    /// load. Gives the last server, and how many were killed.
    ///
    /// # Panics
    /// If nothing is acknowledged any more, or no server starts.
    pub async fn run(self, mut server: Server, data: &Path, acks: &AtomicU64) -> (Server, u64) {
        let Kills { seconds, acks_min, acks_each } = self;
        let acks = || acks.load(Ordering::SeqCst);
        let mut rng = Rng::new(seconds);
        let mut kills = 0;
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end || kills <= seconds / 4 || acks() <= acks_min {
            let before = acks();
            tokio::time::sleep(Duration::from_millis(20 + rng.below(180))).await;
            let patience = Instant::now() + PATIENCE;
            while acks() < before + acks_each {
                assert!(Instant::now() < patience, "nothing is acknowledged after {kills} kills");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            server.kill();
            kills += 1;
            server = Server::start(data, &[]);
        }
        (server, kills)
    }
}
