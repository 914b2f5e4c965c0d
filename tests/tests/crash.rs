//! The real process, killed without warning again and again while clients append: no acknowledged
//! event is lost, none is stored twice, none is missing in between, and every chain holds.
//!
//! `CRASH_SECONDS=n` makes it longer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_client::{Client, Options};
use atomic_store_core::{
    Append, AppendId, Committed, Event, ExpectedHead, Outcome, Proposal, ScopeName, ScopePattern,
    Seq,
};
use atomic_store_tests::{Kills, Rng, Server};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SCOPES: u64 = 6;
const CLIENTS: u64 = 4;

/// What one client sent and was told, by append id.
type Told = BTreeMap<AppendId, (ScopeName, Vec<Proposal>, Option<Committed>)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_loses_nothing_and_repeats_nothing() {
    let seconds = std::env::var("CRASH_SECONDS").map_or(20, |n| n.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let client = server.client().await;
    let every = ScopePattern::new("*").unwrap();
    client.bind(every, "accept-all".parse().unwrap(), None).await.unwrap();
    drop(client);

    let stop = Arc::new(AtomicBool::new(false));
    let acks = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let options = Options { retry_for: Duration::from_secs(60), ..Options::default() };
        let client = Client::connect(server.address(), options).await.unwrap();
        clients.push(tokio::spawn(load(client, n, Arc::clone(&stop), Arc::clone(&acks))));
    }
    let kills = Kills { seconds, acks_min: 500, acks_each: 50 };
    let (server, kills) = kills.run(server, data.path(), &acks).await;
    stop.store(true, Ordering::SeqCst);
    let mut told = Told::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    let acks = acks.load(Ordering::SeqCst);
    println!("{kills} kills, {acks} acknowledged appends");
    check(&server.client().await, &told).await;
}

async fn load(client: Client, n: u64, stop: Arc<AtomicBool>, acks: Arc<AtomicU64>) -> Told {
    let mut told = Told::new();
    let mut rng = Rng::new(n);
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        // Several in flight, so that a kill meets appends at every stage.
        let mut calls = Vec::new();
        for _ in 0..8 {
            round += 1;
            let scope = ScopeName::new(&format!("crash/{}", rng.below(SCOPES))).unwrap();
            let events = 1 + rng.below(3);
            let text = |event| format!("{{\"client\":{n},\"round\":{round},\"event\":{event}}}");
            let proposals: Vec<_> = (0..events).map(|e| Proposal::json("load", text(e))).collect();
            let id = client.new_id();
            told.insert(id, (scope.clone(), proposals.clone(), None));
            let expected_head = ExpectedHead::Any;
            let append = Append { expected_head, ..Append::new(scope, id, proposals) };
            let client = client.clone();
            calls.push(tokio::spawn(async move { (id, client.append(append).await) }));
        }
        for call in calls {
            let (id, answer) = call.await.unwrap();
            match answer.unwrap().outcome {
                Outcome::Committed(committed) => {
                    acks.fetch_add(1, Ordering::SeqCst);
                    told.get_mut(&id).unwrap().2 = Some(committed);
                }
                // The client gave up: the append may be stored or not.
                Outcome::Unknown { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    told
}

async fn check(client: &Client, told: &Told) {
    let logic = client.verify_logic(None, "", |_| {}).await.unwrap();
    assert_eq!((logic.failed, logic.not_shown), (0, 0), "{logic:?}");
    let report = client.verify(None, |_, _, _| {}).await.unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    let mut stored: BTreeMap<AppendId, Vec<Event>> = BTreeMap::new();
    for n in 0..SCOPES {
        let scope = ScopeName::new(&format!("crash/{n}")).unwrap();
        let mut events = client.read(&scope, Seq::ZERO, Seq::MAX, u64::MAX);
        let mut order = Vec::new();
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            if order.last() != Some(&event.append_id) {
                order.push(event.append_id);
            }
            let (sent_to, ..) = told.get(&event.append_id).expect("nobody sent this event");
            assert_eq!(*sent_to, scope);
            stored.entry(event.append_id).or_default().push(event);
        }
        let once: std::collections::BTreeSet<_> = order.iter().collect();
        assert_eq!(once.len(), order.len(), "{scope}: an append is stored twice");
    }
    let mut acknowledged = 0;
    for (id, (_, proposals, committed)) in told {
        let events = stored.get(id).map_or(&[][..], Vec::as_slice);
        if let Some(committed) = committed {
            acknowledged += 1;
            assert_eq!(committed.first.seq, events.first().expect("acknowledged and lost").seq);
            assert_eq!(committed.hash, events.last().unwrap().hash);
        }
        let payloads: Vec<_> = events.iter().map(|event| &event.payload).collect();
        let sent: Vec<_> = proposals.iter().map(|proposal| &proposal.payload).collect();
        assert!(payloads.is_empty() || payloads == sent, "{id} is stored in part");
    }
    assert!(acknowledged > 500, "only {acknowledged} appends were acknowledged");
}
