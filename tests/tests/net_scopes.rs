//! Scopes as a whole over the native protocol: readers and subscribers across a deletion, conditions and
//! filters on what is deleted and restored, and restores that break off.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::engine::{ACCEPT_ALL, Engine};
use atomic_store::server::attach;
use atomic_store_client::{Client, ClientError, Selection};
use atomic_store_core::protocol::RequestError;
use atomic_store_core::{
    Append, Condition, Event, Filter, Key, Limits, Outcome, Position, Proposal, ScopeName, Seq,
};
use atomic_store_tests::{Memory, scope};
use std::time::Duration;

async fn store() -> (Engine, Client) {
    let engine = Memory::new(Limits::default()).with_threads(4).engine;
    let client = Client::over(attach(&engine)).await.unwrap();
    client.bind("a/*".parse().unwrap(), ACCEPT_ALL.parse().unwrap(), None).await.unwrap();
    (engine, client)
}

async fn put(client: &Client, name: &str, key: &str) -> Seq {
    let keys = vec![Key::new("book", key)];
    let proposal = Proposal { keys, ..Proposal::json("note", "{}") };
    match client.append_one(&scope(name), proposal).await.unwrap().outcome {
        Outcome::Committed(committed) => committed.last.seq,
        other => panic!("{other:?}"),
    }
}

async fn read(client: &Client, name: &str, after: u64) -> Vec<u64> {
    let mut events = client.read(&scope(name), Seq(after), Seq::MAX, u64::MAX);
    let mut seqs = Vec::new();
    while let Some(event) = events.next().await {
        seqs.push(event.unwrap().seq.0);
    }
    seqs
}

async fn select(client: &Client, selection: Selection) -> Vec<u64> {
    let mut found = client.select(&selection);
    let mut seqs = Vec::new();
    while let Some(found) = found.next().await {
        seqs.push(found.unwrap().event.seq.0);
    }
    seqs
}

async fn condition(client: &Client, name: &str, since: u64, key: &str) -> Outcome {
    let keys = vec![Key::new("book", key)];
    let proposal = Proposal { keys, ..Proposal::json("note", "{}") };
    let condition = Some(Condition { since: Seq(since), ..Condition::default() });
    let append = Append { condition, ..Append::new(scope(name), client.new_id(), vec![proposal]) };
    client.append(append).await.unwrap().outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_behind_a_deletion_wherever_they_stand() {
    let (_engine, client) = store().await;
    for _ in 0..4 {
        put(&client, "a/1", "Emma").await;
    }
    let mut early = client.subscribe(&scope("a/1"), Seq::ZERO);
    let mut late = client.subscribe(&scope("a/1"), Seq(2));
    assert_eq!(early.next().await.unwrap().unwrap().seq, Seq(1));
    for seq in [3, 4] {
        assert_eq!(late.next().await.unwrap().unwrap().seq, Seq(seq));
    }
    assert_eq!(client.delete_scope(&scope("a/1"), Some(Seq(4))).await, Ok(4));
    assert!(read(&client, "a/1", 0).await.is_empty());
    let mut from_start = client.subscribe(&scope("a/1"), Seq::ZERO);
    for expected in 5..8 {
        assert_eq!(put(&client, "a/1", "Emma").await, Seq(expected));
    }
    for after in 0..5 {
        assert_eq!(read(&client, "a/1", after).await, [5, 6, 7], "after {after}");
    }
    assert_eq!(read(&client, "a/1", 6).await, [7]);
    let patience = Duration::from_secs(20);
    for stream in [&mut late, &mut from_start] {
        for expected in 5..8 {
            let next = tokio::time::timeout(patience, stream.next()).await.unwrap();
            assert_eq!(next.unwrap().unwrap().seq, Seq(expected));
        }
    }
    // Pages that were on their way may still come; then it goes on behind the hole.
    let mut last = Seq(1);
    while last < Seq(7) {
        let next: Event =
            tokio::time::timeout(patience, early.next()).await.unwrap().unwrap().unwrap();
        assert!(next.seq > last, "{} after {last}", next.seq);
        last = next.seq;
    }
    let mut all = client.read_order(Position(0), u64::MAX);
    let mut seen = Vec::new();
    while let Some(event) = all.next().await {
        let (name, event) = event.unwrap();
        if !name.is_reserved() {
            seen.push(event.seq.0);
        }
    }
    assert_eq!(seen, [5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_found_by_no_filter_and_conflicts_with_nothing() {
    let (_engine, client) = store().await;
    for key in ["Emma", "Ulysses", "Emma"] {
        put(&client, "a/1", key).await;
    }
    client.delete_scope(&scope("a/1"), None).await.unwrap();
    let outcome = condition(&client, "a/1", 0, "Emma").await;
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    put(&client, "a/1", "Ulysses").await;
    let Outcome::Conflict { conflicts, .. } = condition(&client, "a/1", 0, "Emma").await else {
        panic!("the event behind the deletion counts")
    };
    assert_eq!(conflicts[0].theirs.seq, Seq(4));
    let about = |key: &str| Filter { keys: vec![Key::new("book", key)], ..Filter::default() };
    let one = |filter: Filter, backwards| {
        let selection = Selection::of(&scope("a/1")).filter(filter);
        if backwards { selection.backwards() } else { selection }
    };
    assert_eq!(select(&client, one(about("Emma"), false)).await, [4]);
    assert_eq!(select(&client, one(about("Ulysses"), true)).await, [5]);
    assert_eq!(select(&client, one(Filter::default(), true)).await, [5, 4]);
    let kinds = Filter { kinds: vec!["note".to_owned()], ..Filter::default() };
    assert_eq!(select(&client, one(kinds.clone(), false)).await, [4, 5]);
    let all = Selection::all().filter(kinds).backwards();
    assert_eq!(select(&client, all).await, [5, 4]);
    let report = client.verify(None, |_, _, _| {}).await.unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
}

async fn records(client: &Client, name: &str) -> Vec<Vec<u8>> {
    let mut events = client.read(&scope(name), Seq::ZERO, Seq::MAX, u64::MAX);
    let mut records = Vec::new();
    while let Some(event) = events.next().await {
        records.push(event.unwrap().to_record().unwrap().as_bytes().to_vec());
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_restored_is_found_and_conflicts() {
    let (_source, there) = store().await;
    for n in 0..2_500 {
        put(&there, "a/1", if n == 1_700 { "Emma" } else { "Ulysses" }).await;
    }
    let all = records(&there, "a/1").await;
    let (_engine, client) = store().await;
    let mut watching = client.subscribe(&scope("a/1"), Seq::ZERO);
    let mut restore = client.restore_scope(&scope("a/1")).await.unwrap();
    for record in &all {
        restore.push(record.clone()).await.unwrap();
    }
    assert!(client.show_scope(&scope("a/1")).await.unwrap().is_none(), "not before the end");
    let info = restore.finish(None).await.unwrap();
    assert_eq!((info.head, info.events()), (Seq(2_500), 2_500));
    assert_eq!(records(&client, "a/1").await, all);
    let patience = Duration::from_secs(20);
    let first = tokio::time::timeout(patience, watching.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.seq, Seq(1), "whoever waits for the scope is told");
    let about = Filter { keys: vec![Key::new("book", "Emma")], ..Filter::default() };
    let selection = Selection::of(&scope("a/1")).filter(about);
    assert_eq!(select(&client, selection).await, [1_701]);
    let Outcome::Conflict { conflicts, .. } = condition(&client, "a/1", 0, "Emma").await else {
        panic!()
    };
    assert_eq!(conflicts[0].theirs.seq, Seq(1_701));
    assert!(matches!(condition(&client, "a/1", 1_701, "Emma").await, Outcome::Committed(_)));
    let report = client.verify(None, |_, _, _| {}).await.unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_breaks_off_leaves_the_name_free() {
    let (_source, there) = store().await;
    for _ in 0..3 {
        put(&there, "a/1", "Emma").await;
    }
    let all = records(&there, "a/1").await;
    let (_engine, client) = store().await;
    let name: ScopeName = scope("a/1");
    // Given up, then begun anew on the same connection.
    let mut given_up = client.restore_scope(&name).await.unwrap();
    given_up.push(all[0].clone()).await.unwrap();
    drop(given_up);
    let mut broken = client.restore_scope(&name).await.unwrap();
    for record in [&all[0], &all[2]] {
        broken.push(record.clone()).await.unwrap();
    }
    let refused = broken.finish(None).await;
    assert!(
        matches!(refused, Err(ClientError::Request(RequestError::Invalid { .. }))),
        "{refused:?}"
    );
    let mut whole = client.restore_scope(&name).await.unwrap();
    for record in &all {
        whole.push(record.clone()).await.unwrap();
    }
    assert_eq!(whole.finish(None).await.unwrap().events(), 3);
    let again = client.restore_scope(&name).await.unwrap().finish(None).await;
    assert!(matches!(again, Err(ClientError::Request(RequestError::Invalid { .. }))), "{again:?}");
    let reserved = client.restore_scope(&ScopeName::system()).await.unwrap().finish(None).await;
    assert!(matches!(reserved, Err(ClientError::Request(RequestError::Invalid { .. }))));
}
