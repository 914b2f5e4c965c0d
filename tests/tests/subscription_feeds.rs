//! Subscriptions, through the client: what was stored before, then each new event, without a gap or a
//! repeat at the seam, while appends go on.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store_client::{Client, ClientError};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{Limits, Outcome, Position, Proposal, Seq};
use atomic_store_tests::{Caller, Disk, append_to, scope, wat_rules};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const SCOPES: u64 = 3;
const ROUNDS: u64 = 400;
/// Far below what one connection may have.
const FOLLOWERS_MAX: usize = 200;

fn store() -> (Disk, Arc<Caller>) {
    // Small pages, so that catching up takes many.
    let disk = Disk::new(Limits { page_events_max: 7, ..Limits::default() });
    let caller = disk.caller();
    caller.rule("*", &wat_rules("1.0.0"));
    (disk, Arc::new(caller))
}

async fn client(caller: &Caller) -> Client {
    Client::over(atomic_store::server::attach(&caller.engine)).await.unwrap()
}

/// Appends to all scopes, one to three events at a time; every scope gets the same number. Goes on after
/// half of it when it is told that enough subscriptions began meanwhile.
fn writer(client: Client, half: oneshot::Receiver<()>) -> JoinHandle<()> {
    let mut half = Some(half);
    tokio::spawn(async move {
        for round in 0..ROUNDS {
            if round == ROUNDS / 2 {
                half.take().unwrap().await.unwrap();
            }
            let mut calls = Vec::new();
            for n in 0..SCOPES {
                let payloads = vec!["a"; usize::try_from(1 + round % 3).unwrap()];
                let append = append_to(&format!("s/{n}"), &payloads);
                let client = client.clone();
                calls.push(tokio::spawn(async move { client.append(append).await }));
            }
            for call in calls {
                let answer = call.await.unwrap().unwrap();
                assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
            }
        }
    })
}

const EVENTS: u64 = ROUNDS / 3 * 6 + 1;

/// Follows a scope from a place to its end, and checks each event.
fn follow(client: &Client, name: &str, after: u64) -> JoinHandle<()> {
    let mut stream = client.subscribe(&scope(name), Seq(after));
    tokio::spawn(async move {
        for seq in after + 1..=EVENTS {
            let event = timeout(PATIENCE, stream.next()).await.expect("an event is late");
            assert_eq!(event.unwrap().unwrap().seq, Seq(seq));
        }
        // Nothing comes twice, and nothing is made up.
        let more = timeout(Duration::from_millis(50), stream.next()).await;
        assert!(more.is_err(), "{more:?}");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_is_followed_from_any_place_without_gap_or_repeat() {
    let (_disk, caller) = store();
    let (writing, reading) = (client(&caller).await, client(&caller).await);
    // Before the scope has an event.
    let mut followers = vec![follow(&reading, "s/0", 0), follow(&reading, "s/1", 0)];
    let (enough, half) = oneshot::channel();
    let (writer, mut enough) = (writer(writing, half), Some(enough));
    // While it grows: from the last place, and from the head.
    let mut place = 0;
    while !writer.is_finished() && followers.len() < FOLLOWERS_MAX {
        let head = caller.engine.show_scope(&scope("s/0")).unwrap().map_or(0, |info| info.head.0);
        for after in [place, head] {
            followers.push(follow(&reading, "s/0", after));
        }
        if followers.len() > 8
            && let Some(enough) = enough.take()
        {
            enough.send(()).unwrap();
        }
        place = head;
        let mut grows = caller.engine.watch_scope(&scope("s/0"));
        drop(timeout(Duration::from_millis(50), grows.changed()).await);
    }
    writer.await.unwrap();
    // After it ended.
    followers.push(follow(&reading, "s/0", 0));
    followers.push(follow(&reading, "s/0", EVENTS));
    for follower in followers {
        follower.await.unwrap();
    }
}

/// Follows the order over all scopes, from a position on, for so many events.
fn follow_order(
    client: &Client,
    after: Position,
    count: u64,
) -> JoinHandle<Vec<(String, Seq, Position)>> {
    let mut stream = client.subscribe_order(after);
    tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..count {
            let next = timeout(PATIENCE, stream.next()).await.expect("an event is late");
            let (name, event) = next.unwrap().unwrap();
            seen.push((name.to_string(), event.seq, event.position));
        }
        let more = timeout(Duration::from_millis(50), stream.next()).await;
        assert!(more.is_err(), "{more:?}");
        seen
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_order_is_followed_without_gap_or_repeat() {
    let (_disk, caller) = store();
    let before = caller.engine.status().position;
    let (writing, reading) = (client(&caller).await, client(&caller).await);
    let all = EVENTS * SCOPES;
    let mut followers = vec![follow_order(&reading, before, all)];
    let mut order = caller.engine.watch_order();
    let (enough, half) = oneshot::channel();
    let writer = writer(writing, half);
    for _ in 0..5 {
        drop(timeout(Duration::from_millis(50), order.changed()).await);
        followers.push(follow_order(&reading, before, all));
    }
    enough.send(()).unwrap();
    writer.await.unwrap();
    let first = followers.remove(0).await.unwrap();
    for follower in followers {
        assert_eq!(follower.await.unwrap(), first);
    }
    let mut heads = BTreeMap::new();
    let mut last = before;
    for (name, seq, position) in &first {
        assert!(*position > last, "positions rise");
        last = *position;
        let head = heads.entry(name.clone()).or_insert(Seq::ZERO);
        assert_eq!(*seq, head.next(), "{name}");
        *head = *seq;
    }
    assert_eq!(heads.len() as u64, SCOPES);
    // From the middle on, also from one position on.
    let middle = first.len() / 2;
    let rest = follow_order(&reading, first[middle].2, all - middle as u64 - 1);
    assert_eq!(rest.await.unwrap(), first[middle + 1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_dropped_goes_on_where_it_stopped() {
    let (_disk, caller) = store();
    let (writing, reading) = (client(&caller).await, client(&caller).await);
    let (enough, half) = oneshot::channel();
    enough.send(()).unwrap();
    let writer = writer(writing, half);
    let mut after = Seq::ZERO;
    let mut streams = 0;
    while after < Seq(EVENTS) {
        let mut stream = reading.subscribe(&scope("s/0"), after);
        streams += 1;
        for _ in 0..(streams % 20) {
            if after == Seq(EVENTS) {
                break;
            }
            let event = timeout(PATIENCE, stream.next()).await.expect("late").unwrap().unwrap();
            assert_eq!(event.seq, after.next());
            after = event.seq;
            assert_eq!(stream.after(), after);
        }
    }
    writer.await.unwrap();
    assert!(streams > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_other_scopes_do_not_show_up_in_a_subscription() {
    let (_disk, caller) = store();
    let client = client(&caller).await;
    let mut stream = client.subscribe(&scope("s/0"), Seq::ZERO);
    for payload in ["r no", "t", "a one", "r no"] {
        client.append_one(&scope("s/0"), Proposal::json("op", payload)).await.unwrap();
        client.append_one(&scope("s/1"), Proposal::json("op", payload)).await.unwrap();
    }
    client.append_one(&scope("s/0"), Proposal::json("op", "a two")).await.unwrap();
    for payload in ["a one", "a two"] {
        let event = timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.payload, payload.as_bytes());
    }
    assert!(timeout(Duration::from_millis(50), stream.next()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_ahead_of_the_store_is_refused_and_not_waited_for() {
    let (_disk, caller) = store();
    caller.store("s/0", &["a", "a"]);
    let client = client(&caller).await;
    let mut stream = client.subscribe(&scope("s/0"), Seq(3));
    match timeout(PATIENCE, stream.next()).await.unwrap() {
        Some(Err(ClientError::Request(RequestError::Invalid { field, .. }))) => {
            assert_eq!(field, "after");
        }
        other => panic!("{other:?}"),
    }
    let mut stream = client.subscribe(&scope("s/0"), Seq(2));
    caller.store("s/0", &["a"]);
    let event = timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(event.seq, Seq(3), "the head itself is a place to go on from");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_that_share_what_is_read_go_on_over_a_deletion_and_are_given_nothing_from_before()
{
    let (_disk, caller) = store();
    let (writing, reading) = (client(&caller).await, client(&caller).await);
    let name = scope("s/0");
    let append = async |payloads: &[&str]| {
        let answer = writing.append(append_to("s/0", payloads)).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Committed(_)), "{:?}", answer.outcome);
    };
    append(&["a"]).await;
    let mut followers: Vec<_> = (0..6).map(|_| reading.subscribe(&name, Seq::ZERO)).collect();
    let mut seq = 0;
    for round in 0..20 {
        for follower in &mut followers {
            let event = timeout(PATIENCE, follower.next()).await.expect("an event is late");
            assert_eq!(event.unwrap().unwrap().seq, Seq(seq + 1));
        }
        seq += 1;
        if round % 5 == 4 {
            assert!(writing.delete_scope(&name, Some(Seq(seq))).await.unwrap() > 0);
            // Whoever comes now gets what comes now, and nothing that the others still had.
            let mut late = reading.subscribe(&name, Seq::ZERO);
            append(&["a"]).await;
            let event = timeout(PATIENCE, late.next()).await.expect("an event is late");
            assert_eq!(event.unwrap().unwrap().seq, Seq(seq + 1));
            followers.push(late);
            let others = followers.len() - 1;
            for follower in followers.iter_mut().take(others) {
                let event = timeout(PATIENCE, follower.next()).await.expect("an event is late");
                assert_eq!(event.unwrap().unwrap().seq, Seq(seq + 1));
            }
            seq += 1;
        }
        append(&["a"]).await;
    }
}
