//! The options of `bench` and of its load generator.

use clap::Args;
use std::path::PathBuf;

/// Measure this machine's disk and the store on it, in one run of about a minute
///
/// Writes to a directory of its own, which is removed at the end. Run it on an idle machine and
/// compare the multiples of R, not the rates: R is what the disk does in the same minute.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atomic-store bench
  atomic-store bench --validator target/guests/auction.wasm
  atomic-store bench --json --seconds 5 > bench.json
  atomic-store bench --read-events 1000000

What is measured:
  raw_fdatasync_per_s       R: one 256-byte write and fdatasync after another, in a file filled with
                            zeros; the median of several slices spread over the run
  fjall_group_commit_per_s  the storage engine alone, same group commit, 200-byte events
  engine_per_s              durable appends without a socket, as many scopes as in flight
  hot_scope_per_s           the same, all to one scope
  socket_per_s              over the Unix socket, with the client in a process of its own
  socket_hot_scope_per_s    the same, all to one scope
  keyed_per_s               engine_per_s with a key on each event
  conditional_per_s         the same, and each append insists that nothing happened to its key since
                            the last answer; NAME_hot_scope as above
  conditional_of_keyed      the two as shares: conditional_per_s of keyed_per_s, and _of_plain of
                            the same load without keys, measured turn by turn
  validate_ns, apply_ns     one warm call into the validator (null for accept-all)
  replay_per_s              a scope of many events folded by its validator from its first event on;
                            for accept-all: read and checked only
  filtered_read             a read by key that finds one event in a thousand, beside a read of all
                            of them: events, matches, all_ms, filtered_ms, and how many times as
                            fast (ratio)

JSON: each rate is an object keyed by the appends in flight (\"1\", \"10\", ...; raw and replay are \
plain numbers), and beside NAME_per_s stand NAME_p50_us and NAME_p99_us with the same keys.")]
pub(crate) struct Bench {
    /// Seconds for each of the rates
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub(super) seconds: f64,
    /// Events of the scope that is read by key and as a whole
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub(super) read_events: u64,
    /// Where to write: a directory on the disk in question
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// Judge the appends with this component instead of the built-in accept-all
    #[arg(long, value_name = "FILE")]
    pub(super) validator: Option<PathBuf>,
    /// The kind of the events
    #[arg(long, default_value = "bid")]
    pub(super) kind: String,
    /// The payload of the events; an n in braces counts up from 1 in each scope. Filled up to 200 bytes unless
    /// it is longer
    #[arg(long, value_name = "JSON", default_value = "{\"bidder\":\"bench\",\"amount\":{n}}")]
    pub(super) payload: String,
}

/// One load generator, with its result as JSON on standard output
#[derive(Debug, Args)]
pub(crate) struct BenchClient {
    #[arg(long)]
    pub(super) at: PathBuf,
    #[arg(long)]
    pub(super) scopes: usize,
    #[arg(long)]
    pub(super) in_flight: usize,
    /// Events in each append
    #[arg(long, default_value_t = 1)]
    pub(super) batch: u64,
    #[arg(long)]
    pub(super) seconds: f64,
    #[arg(long)]
    pub(super) kind: String,
    #[arg(long)]
    pub(super) payload: String,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.05 to 600".to_owned()),
    }
}
