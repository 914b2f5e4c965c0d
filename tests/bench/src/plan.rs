//! What is measured, and for how long.

use clap::Args;
use std::path::PathBuf;

/// Options of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Minutes instead of an hour: fewer points, shorter turns, smaller stores
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these sections, as in `a` or `a,c`
    #[arg(long, value_name = "LETTERS", default_value = "a,b,c,d,e,f")]
    pub(crate) sections: String,
    /// The store's program, as `make dist` builds it
    #[arg(long, value_name = "FILE", default_value = "target/dist/atomic-store")]
    pub(crate) program: PathBuf,
    /// UmaDB's program
    #[arg(long, value_name = "FILE", default_value = "target/peers/venv/bin/umadb")]
    pub(crate) umadb: PathBuf,
    /// Where the validators are
    #[arg(long, value_name = "DIR", default_value = "target/guests")]
    pub(crate) guests: PathBuf,
    /// Where the servers write: a directory on the disk in question
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    pub(crate) dir: PathBuf,
    /// Where the page, the plots and the results go
    #[arg(long, value_name = "DIR", default_value = "docs")]
    pub(crate) out: PathBuf,
}

/// The sizes of everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How often each point is measured.
    pub(crate) rounds: usize,
    /// Seconds after which a section begins no further round, once it has one.
    pub(crate) section_seconds: f64,
    /// Seconds after which every section that is left has one round only.
    pub(crate) run_seconds: f64,
    /// Seconds that do not count, and seconds that do.
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
    /// Section a: clients, and scopes with the exponent of Zipf's law.
    pub(crate) clients: Vec<usize>,
    pub(crate) spreads: Vec<(usize, Option<f64>)>,
    /// Section b: clients, and events of an append.
    pub(crate) conditional_clients: Vec<usize>,
    /// Section c: the length of the hot scope, and seconds after which a peer is stopped.
    pub(crate) grow_to: u64,
    pub(crate) grow_seconds: f64,
    pub(crate) grow_rounds: usize,
    /// Section d: events of the long scope; scopes of 100 events; seconds of writing to subscribers.
    pub(crate) long_scope: u64,
    pub(crate) short_scopes: usize,
    pub(crate) subscribe_seconds: f64,
    /// Section e: events of the whole store, and the lengths of the cold scopes.
    pub(crate) cold_store: u64,
    pub(crate) cold_lengths: Vec<u64>,
    /// Section f: events on the disk, and live scopes.
    pub(crate) disk_events: u64,
    pub(crate) live_scopes: usize,
}

impl Plan {
    /// The plan of a quick run or of a full one.
    pub(crate) fn new(quick: bool) -> Self {
        if quick { Plan::quick() } else { Plan::full() }
    }

    fn full() -> Self {
        let spreads = [(1, None), (100, None), (10_000, None), (100, ZIPF), (10_000, ZIPF)];
        Plan {
            rounds: 3,
            section_seconds: 3_600.0,
            run_seconds: 7_200.0,
            warm_up: 0.5,
            seconds: 3.0,
            clients: vec![1, 16, 64, 256, 1_024],
            spreads: spreads.to_vec(),
            conditional_clients: vec![1, 16, 64, 256, 1_024],
            grow_to: 1_000_000,
            grow_seconds: 60.0,
            grow_rounds: 3,
            long_scope: 1_000_000,
            short_scopes: 10_000,
            subscribe_seconds: 3.0,
            cold_store: 10_000_000,
            cold_lengths: vec![10, 1_000, 1_000_000],
            disk_events: 5_000_000,
            live_scopes: 100_000,
        }
    }

    fn quick() -> Self {
        Plan {
            section_seconds: 290.0,
            run_seconds: 500.0,
            seconds: 0.6,
            warm_up: 0.15,
            clients: vec![1, 64, 1_024],
            spreads: vec![(1, None), (100, None), (10_000, None), (10_000, ZIPF)],
            conditional_clients: vec![1, 64, 256, 1_024],
            grow_seconds: 6.0,
            grow_rounds: 1,
            long_scope: 200_000,
            short_scopes: 2_000,
            subscribe_seconds: 1.0,
            cold_store: 2_000_000,
            disk_events: 2_000_000,
            ..Plan::full()
        }
    }
}

/// The exponent of the skewed spreads.
const ZIPF: Option<f64> = Some(1.5);
