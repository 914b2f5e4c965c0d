//! What one load process is asked to do, and what it answers.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a load process finds its store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Target {
    /// Atomic Store, on its Unix socket.
    Atomic {
        /// The socket.
        socket: PathBuf,
    },
    /// PostgreSQL, on its Unix socket.
    Postgres {
        /// The directory of the socket.
        host: PathBuf,
        /// The port that the socket is named by.
        port: u16,
        /// How an append keeps others out.
        way: Way,
    },
    /// UmaDB, over gRPC on loopback.
    Umadb {
        /// Its address.
        url: String,
    },
    /// Redis, on its Unix socket.
    Redis {
        /// The socket.
        socket: PathBuf,
    },
    /// SQLite, in the load process.
    Sqlite {
        /// The database file.
        file: PathBuf,
    },
}

/// How an append to PostgreSQL keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// `SELECT .. FOR UPDATE` of the row that holds the fold; the client decides.
    RowLock,
    /// Isolation level serializable; the client decides, and tries again on a serialization failure.
    Serializable,
    /// The same row lock, with the rules in a function in the database: one round trip.
    Function,
}

/// The work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Read, decide, append: bids on so many auctions, picked evenly or by Zipf's law.
    Bids {
        /// Auctions.
        scopes: usize,
        /// The exponent; nothing for an even spread.
        zipf: Option<f64>,
    },
    /// Bids that are all too low.
    Refused {
        /// Auctions.
        scopes: usize,
    },
    /// Appends of so many events without rules, each on condition that nothing happened to its entity.
    Conditional {
        /// Events of one append.
        events: usize,
    },
    /// Bids on one auction until it has so many events; the marks are where rates are taken.
    Grow {
        /// Lengths, rising.
        marks: Vec<u64>,
    },
    /// Stores events without rules.
    Fill(Fill),
    /// Stores bids of rising amounts under the rules, many in an append.
    FillBids(Fill),
    /// Reads `scopes` scopes of a fill, each from its first event to its last.
    ReadScopes(Fill),
    /// Reads everything in the global order.
    ReadAll {
        /// How many events must come.
        events: u64,
    },
    /// Subscribers of one scope, to which `clients` writers append.
    Subscribe {
        /// How many.
        subscribers: usize,
    },
}

/// Scopes of equal length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fill {
    /// How many.
    pub(crate) scopes: usize,
    /// Events of each.
    pub(crate) events: u64,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Where.
    pub(crate) target: Target,
    /// The server's first process, for its CPU time; nothing if it is the load process itself.
    pub(crate) server: Option<u32>,
    /// Part of the names of all scopes, so that each measurement has new ones.
    pub(crate) tag: String,
    /// Clients, each with one operation in flight.
    pub(crate) clients: usize,
    /// Seconds that do not count, at the start.
    pub(crate) warm_up: f64,
    /// Seconds that count.
    pub(crate) seconds: f64,
    /// What to do.
    pub(crate) work: Work,
}

/// Percentiles of the latency, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half took no longer.
    pub(crate) p50: u64,
    /// Nine of ten.
    pub(crate) p90: u64,
    /// 99 of 100.
    pub(crate) p99: u64,
    /// 999 of 1,000.
    pub(crate) p999: u64,
    /// The longest.
    pub(crate) max: u64,
}

/// A stretch of a scope that grows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Its length at the end of the stretch.
    pub(crate) length: u64,
    /// Events per second.
    pub(crate) per_s: f64,
    /// Their latency.
    pub(crate) latency: Latency,
}

/// What a job measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Operations that counted: accepted events, events read, deliveries.
    pub(crate) done: u64,
    /// Seconds they took.
    pub(crate) seconds: f64,
    /// Attempts that were refused, or lost a race, and were made again.
    pub(crate) retries: u64,
    /// CPU seconds of the load process meanwhile.
    pub(crate) client_cpu: f64,
    /// CPU seconds of the server meanwhile.
    pub(crate) server_cpu: f64,
    /// Latency of an operation.
    pub(crate) latency: Latency,
    /// The stretches, for work that has them.
    pub(crate) steps: Vec<Step>,
}

impl Sample {
    /// Operations per second.
    pub(crate) fn per_s(&self) -> f64 {
        self.done as f64 / self.seconds.max(1e-9)
    }
}
