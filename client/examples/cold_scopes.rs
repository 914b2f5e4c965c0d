//! One append to each of many scopes, in no order, round after round: what an append to a scope costs that
//! is not in memory. Prints one line of JSON for each round.
//!
//! ```text
//! atomic-store serve --data data --instance-memory 512 &
//! atomic-store validator load target/guests/auction.wasm
//! atomic-store validator bind '*' auction@1
//! cargo run --release -p atomic-store-client --example cold_scopes -- data/run/atomic-store.sock 100000 2
//! ```

use atomic_store_client::{Client, Options};
use atomic_store_core::{Outcome, Proposal, ScopeName};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Appends in flight, unless told otherwise.
const IN_FLIGHT: u64 = 16;
/// A prime: steps of it meet every scope once, far from the one before.
const STEP: u64 = 7_368_787;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("data/run/atomic-store.sock".to_owned());
    let scopes = arguments.next().map_or(Ok(100_000), |n| n.parse::<u64>())?;
    let rounds = arguments.next().map_or(Ok(2), |n| n.parse::<u64>())?;
    let in_flight = arguments.next().map_or(Ok(IN_FLIGHT), |n| n.parse::<u64>())?;
    let client = Client::connect(address.parse()?, Options::default()).await?;
    for round in 1..=rounds {
        let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut workers = Vec::new();
        for _ in 0..in_flight {
            workers.push(tokio::spawn(work(client.clone(), round, scopes, Arc::clone(&next))));
        }
        let mut micros = Vec::new();
        for worker in workers {
            micros.extend(worker.await??);
        }
        micros.sort_unstable();
        let at = |permille: usize| micros[(micros.len() - 1) * permille / 1_000];
        println!(
            "{{\"round\":{round},\"scopes\":{scopes},\"per_s\":{:.0},\"p50_us\":{},\"p99_us\":{},\"max_us\":{}}}",
            scopes as f64 / start.elapsed().as_secs_f64(),
            at(500),
            at(990),
            at(1_000)
        );
    }
    Ok(())
}

/// Appends to the next scope until there is none; how long each took, in microseconds.
async fn work(
    client: Client,
    round: u64,
    scopes: u64,
    next: Arc<AtomicU64>,
) -> Result<Vec<u128>, Failed> {
    let mut micros = Vec::new();
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        if turn >= scopes {
            return Ok(micros);
        }
        let scope = ScopeName::new(&format!("cold/{}", turn * STEP % scopes))?;
        let bid = format!("{{\"bidder\":\"ann\",\"amount\":{round}}}");
        let start = Instant::now();
        let answer = client.append_one(&scope, Proposal::json("bid", bid)).await?;
        micros.push(start.elapsed().as_micros());
        if !matches!(answer.outcome, Outcome::Committed(_)) {
            return Err(format!("{scope}: {:?}", answer.outcome).into());
        }
    }
}
