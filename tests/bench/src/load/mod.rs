//! A load process: so many clients, each with one operation in flight, on one thread.

mod atomic;
mod bids;
mod bulk;
mod postgres;
mod redis;
mod sqlite;
mod subscribers;
mod umadb;

use crate::failure::Failure;
use crate::job::{Fill, Job, Sample, Target, Work};
use crate::shape::Amounts;
use std::io::Read;
use std::rc::Rc;

pub(crate) use postgres::SCHEMA as POSTGRES_SCHEMA;

/// Connections of a client library that has many operations in flight on each.
const SHARED_CONNECTIONS: usize = 4;

/// A store under the rules of the auction.
pub(crate) trait Bidding: 'static {
    /// Opens auctions, by name; bids then name them by their place in this list.
    async fn open(&mut self, names: Vec<String>) -> Result<(), Failure>;

    /// Makes a bid that is accepted, and says how many attempts it took beside the one.
    async fn bid(&self, client: usize, auction: usize, amounts: &Amounts) -> Result<u64, Failure>;
}

/// A store without rules.
pub(crate) trait Plain: 'static {
    /// Entities to which nothing happened yet; appends name them by their place in this list.
    async fn enter(&mut self, names: Vec<String>) -> Result<(), Failure>;

    /// Appends so many events about an entity, on condition that nothing happened to it since the
    /// last answer.
    async fn append(&self, entity: usize, events: usize) -> Result<(), Failure>;
}

/// A store that takes many events at once and gives them back.
pub(crate) trait Bulk: 'static {
    /// Stores events of a scope, in order, in appends as large as suits the store.
    async fn fill(&self, scope: &str, events: u64) -> Result<(), Failure>;

    /// Reads a scope from its first event to its last, and says how many there are.
    async fn read(&self, scope: &str) -> Result<u64, Failure>;

    /// Reads so many events in the global order, from the first on.
    async fn read_all(&self, events: u64) -> Result<u64, Failure>;
}

/// Reads a job, does it, and prints the sample.
pub(crate) fn main() -> Result<(), Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let job: Job = serde_json::from_str(&text)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sample = tokio::task::LocalSet::new().block_on(&runtime, run(&job))?;
    println!("{}", serde_json::to_string(&sample)?);
    // Connections and streams of the peers' libraries need no orderly end.
    runtime.shutdown_background();
    Ok(())
}

async fn run(job: &Job) -> Result<Sample, Failure> {
    let clients = job.clients;
    match (&job.target, &job.work) {
        (Target::Atomic { socket }, Work::Subscribe { subscribers }) => {
            subscribers::atomic(job, socket, *subscribers).await
        }
        (Target::Umadb { url }, Work::Subscribe { subscribers }) => {
            subscribers::umadb(job, url, *subscribers).await
        }
        (Target::Atomic { socket }, work) => {
            let peer = atomic::Atomic::connect(socket, clients).await?;
            match work {
                Work::Bids { .. } | Work::Grow { .. } => bids::run(peer, job).await,
                Work::Refused { .. } => bids::run(atomic::TooLow(peer), job).await,
                Work::Conditional { events } => bids::conditional(peer, job, *events).await,
                Work::FillBids(fill) => fill_bids(peer, job, fill).await,
                _ => bulk::run(Rc::new(peer), job).await,
            }
        }
        (Target::Umadb { url }, work) => {
            let peer = umadb::Umadb::connect(url, clients).await?;
            match work {
                Work::Bids { .. } | Work::Grow { .. } => bids::run(peer, job).await,
                Work::Conditional { events } => bids::conditional(peer, job, *events).await,
                _ => bulk::run(Rc::new(peer), job).await,
            }
        }
        (Target::Postgres { host, port, way }, work) => {
            let peer = postgres::Postgres::connect(host, *port, *way, clients).await?;
            match work {
                Work::Bids { .. } | Work::Grow { .. } => bids::run(peer, job).await,
                _ => bulk::run(Rc::new(peer), job).await,
            }
        }
        (Target::Redis { socket }, _) => {
            bids::run(redis::Redis::connect(socket, clients).await?, job).await
        }
        (Target::Sqlite { file }, _) => bids::run(sqlite::Sqlite::open(file)?, job).await,
    }
}

async fn fill_bids(peer: atomic::Atomic, job: &Job, fill: &Fill) -> Result<Sample, Failure> {
    let peer = Rc::new(peer);
    bulk::fill(job, fill, async |scope: String, events| peer.fill_bids(&scope, events).await).await
}

/// The names of the scopes of a job.
fn names(job: &Job, scopes: usize) -> Vec<String> {
    (0..scopes).map(|n| format!("{}-{n}", job.tag)).collect()
}

/// A job that this store does not know.
fn not_this(job: &Job) -> Failure {
    Failure::new(format!("no way to do {:?} here", job.work))
}
