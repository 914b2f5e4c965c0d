//! The walk through Atomic Store's own README, on this store: store an event if it is valid, ask what
//! is stored, be refused.
//!
//! There, the log asked the client to validate; here, the rules are a validator in the store. So
//! `StoreIfValid` is `append`, `Result` is the outcome, and `QueryEvents` is `read`.
//!
//! Run it with `cargo run --release -p atomic-store-tests --example atomic_store` (after `make guests`).
#![allow(clippy::unwrap_used, reason = "an example; a failed unwrap is the end of it")]

use atomic_store::server::attach;
use atomic_store::store::{Store, StoreOptions};
use atomic_store_client::Client;
use atomic_store_core::{Outcome, Proposal, ScopeName, Seq};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// One bid: prints what became of it, in the words of that README.
async fn store_if_valid(client: &Client, scope: &ScopeName, bid: &str, out: &mut dyn Write) {
    let answer = client.append_one(scope, Proposal::json("bid", bid)).await.unwrap();
    match answer.outcome {
        Outcome::Committed(committed) => {
            writeln!(out, "Result: accepted {bid} as event {}", committed.last.seq).unwrap();
        }
        Outcome::Rejected(refusal) => {
            let reason = &refusal.reasons[0];
            writeln!(out, "Result: not accepted {bid}: {}", reason.code).unwrap();
        }
        other => panic!("{other:?}"),
    }
}

/// The stored events, oldest first.
async fn query_events(client: &Client, scope: &ScopeName, out: &mut dyn Write) {
    let mut events = client.read(scope, Seq::ZERO, Seq::MAX, u64::MAX);
    let mut count = 0;
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        count += 1;
        writeln!(out, "  {} {}", event.seq, String::from_utf8_lossy(&event.payload)).unwrap();
    }
    writeln!(out, "QueryEvents: {count} in {scope}").unwrap();
}

/// The whole walk, on a store in a directory.
pub(crate) fn run(directory: &Path, auction: &[u8], out: &mut dyn Write) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::open(StoreOptions::new(directory)).unwrap();
    runtime.block_on(async {
        let client = Client::over(attach(store.engine())).await.unwrap();
        let loaded = client.load_validator(auction).await.unwrap();
        let which = loaded.info.digest.to_string().parse().unwrap();
        client.bind("auction/*".parse().unwrap(), which, None).await.unwrap();
        let (lot, other) =
            (ScopeName::new("auction/1").unwrap(), ScopeName::new("auction/2").unwrap());
        query_events(&client, &lot, out).await;
        let first = r#"{"bidder":"ann","amount":"12.50","opening":"10.00"}"#;
        store_if_valid(&client, &lot, first, out).await;
        store_if_valid(&client, &lot, r#"{"bidder":"bob","amount":"12.00"}"#, out).await;
        store_if_valid(&client, &lot, r#"{"bidder":"bob","amount":"13.00"}"#, out).await;
        store_if_valid(&client, &other, first, out).await;
        query_events(&client, &lot, out).await;
        query_events(&client, &other, out).await;
    });
    assert!(store.close(Duration::from_secs(10)));
}

#[allow(dead_code, reason = "the test that runs this example calls `run`")]
fn main() {
    let directory = tempfile::tempdir().unwrap();
    let auction = atomic_store_tests::guest("auction");
    run(&directory.path().join("store"), &auction, &mut io::stdout());
}
