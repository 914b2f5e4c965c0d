//! The real process: validators are upgraded, tried, promoted and rolled back under load, and the process
//! is killed in between. Nothing acknowledged is lost, no append fails, order holds, and every event names
//! a validator that was bound when it was judged.
//!
//! `SOAK_UPGRADES=n` makes it longer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_client::{Client, ClientError, Options};
use atomic_store_core::{
    Append, Committed, Event, Gate, Outcome, Position, Proposal, ScopeName, ScopePattern, Seq,
    Share,
};
use atomic_store_tests::{Server, wat_rules};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const CLIENTS: u64 = 4;

fn patient() -> Options {
    Options { retry_for: Duration::from_secs(120), ..Options::default() }
}

fn pattern() -> ScopePattern {
    ScopePattern::new("soak/*").unwrap()
}

fn scope(n: u64) -> ScopeName {
    ScopeName::new(&format!("soak/{n}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validators_upgraded_twenty_times_under_load_and_kills_lose_nothing_and_are_all_named() {
    let upgrades = std::env::var("SOAK_UPGRADES").map_or(20, |n| n.parse::<u64>().unwrap());
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--log", "warn", "--snapshot-events", "50", "--scrub-seconds", "1"];
    let mut server = Server::start(data.path(), &arguments);
    let client = Client::connect(server.address(), patient()).await.unwrap();
    let first = client.load_validator(&wat_rules("1.0.0")).await.unwrap().info.digest;
    client.bind(pattern(), first.to_string().parse().unwrap(), None).await.unwrap();

    let (stop, acks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let client = Client::connect(server.address(), patient()).await.unwrap();
        clients.push(tokio::spawn(load(client, n, Arc::clone(&stop), Arc::clone(&acks))));
    }
    for round in 1..=upgrades {
        let client = Client::connect(server.address(), patient()).await.unwrap();
        change(&client, round).await;
        let before = acks.load(Ordering::SeqCst);
        while acks.load(Ordering::SeqCst) < before + 40 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.kill();
        server = Server::start(data.path(), &arguments);
    }
    stop.store(true, Ordering::SeqCst);
    let mut told = BTreeMap::new();
    for (n, client) in (0..).zip(clients) {
        told.insert(scope(n), client.await.unwrap());
    }
    println!("{upgrades} upgrades and kills, {} appends", acks.load(Ordering::SeqCst));
    let client = Client::connect(server.address(), patient()).await.unwrap();
    let report = client.verify(None, |_, _, _| {}).await.unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    let logic = client.verify_logic(None, "", |_| {}).await.unwrap();
    assert_eq!((logic.failed, logic.not_shown), (0, 0), "{logic:?}");
    assert!(logic.shown > 0, "{logic:?}");
    check(&client, &told, upgrades).await;
    let scrubbed = client.scrub_snapshots("soak/", "").await.unwrap();
    assert_eq!(scrubbed.dropped, []);
    assert!(scrubbed.proven > 0, "{scrubbed:?}");
}

/// One upgrade, of a kind that depends on the round.
async fn change(client: &Client, round: u64) {
    let version = format!("{}.{}.{}", 1 + round / 100, round / 10 % 10, round % 10);
    let digest = client.load_validator(&wat_rules(&version)).await.unwrap().info.digest;
    let which = || digest.to_string().parse().unwrap();
    let share = (round % 5 == 2).then(|| Share::percent(50).unwrap());
    match round % 5 {
        1 => {
            client.rollback(pattern()).await.map(drop).or_else(nothing_to_do).unwrap();
        }
        2 | 3 => {
            // Beside the binding, or in its place for some scopes; then for all.
            client.start_trial(pattern(), which(), None, share).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            let bound = client.promote(pattern(), Gate::default(), true).await.unwrap();
            assert_eq!(bound.validator, digest);
        }
        _ => drop(client.bind(pattern(), which(), None).await.unwrap()),
    }
}

/// The first way back finds nothing.
fn nothing_to_do(error: ClientError) -> Result<(), ClientError> {
    if error.to_string().contains("nothing was bound") { Ok(()) } else { Err(error) }
}

/// Appends to one scope, one after the other. The rule takes nothing but the number of events before,
/// modulo 10.
async fn load(
    client: Client,
    n: u64,
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicU64>,
) -> Vec<Committed> {
    let mut told = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let proposal = Proposal::json("n", (told.len() % 10).to_string());
        let append = Append::new(scope(n), client.new_id(), vec![proposal]);
        match client.append(append).await.unwrap().outcome {
            Outcome::Committed(committed) => told.push(committed),
            other => panic!("append {} to {}: {other:?}", told.len(), scope(n)),
        }
        acks.fetch_add(1, Ordering::SeqCst);
    }
    told
}

async fn check(client: &Client, told: &BTreeMap<ScopeName, Vec<Committed>>, upgrades: u64) {
    let mut bound: BTreeMap<Seq, (Position, String)> = BTreeMap::new();
    for event in events(client, &ScopeName::new("$system").unwrap()).await {
        let what: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        if what["what"] == "scope-bound" {
            let validator = what["validator"].as_str().unwrap().to_owned();
            bound.insert(event.seq, (event.position, validator));
        }
    }
    assert!(bound.len() as u64 >= upgrades, "only {} bindings", bound.len());
    let mut named = std::collections::BTreeSet::new();
    for (scope, told) in told {
        let (mut last, stored) = (Seq::ZERO, events(client, scope).await);
        assert_eq!(stored.len(), told.len(), "of {scope}");
        for ((n, event), committed) in (1..).zip(&stored).zip(told) {
            assert_eq!((event.seq, committed.last.seq), (Seq(n), Seq(n)));
            assert_eq!(event.payload, ((n - 1) % 10).to_string().into_bytes());
            let (since, validator) = &bound[&event.binding];
            assert_eq!(event.validator.to_string(), *validator, "event {n} of {scope}");
            assert!(event.position > *since, "event {n} of {scope} is older than its binding");
            assert!(event.binding >= last, "event {n} of {scope} goes back");
            last = event.binding;
            named.insert(event.binding);
        }
        let ruled = client.ruled(scope).await.unwrap();
        assert_eq!(
            ruled.iter().map(|one| one.last.0 - one.first.0 + 1).sum::<u64>(),
            told.len() as u64
        );
    }
    assert!(named.len() as u64 > upgrades / 2, "only {} bindings judged anything", named.len());
}

async fn events(client: &Client, scope: &ScopeName) -> Vec<Event> {
    let (mut stream, mut events) = (client.read(scope, Seq::ZERO, Seq::MAX, u64::MAX), Vec::new());
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    events
}
