//! The cases of the older systems about reading, by their meaning: coherence (CT20..CT55) and Eventsrc
//! (ST01.., ST44..), each under its id. `after` is exclusive here; coherence names the first event.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Client, Selection};
use atomic_store_core::protocol::Replay;
use atomic_store_core::{Append, Filter, Key, Limits, Outcome, Proposal, Seq, Span};
use net_support::*;

const LOG: &str = "library";

async fn store(client: &Client, name: &str, proposals: Vec<Proposal>) {
    let append = Append::new(scope(name), client.new_id(), proposals);
    let answer = client.append(append).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
}

fn key(text: &str) -> Key {
    let (kind, id) = text.split_once(':').unwrap();
    Key::new(kind, id)
}

/// An action of coherence: about a key, linked to triggers.
fn action(about: &str, triggers: &[&str]) -> Proposal {
    let triggers = triggers.iter().map(|trigger| key(trigger)).collect();
    Proposal { keys: vec![key(about)], triggers, ..Proposal::json("changed", "{}") }
}

fn effect(trigger: &str) -> Proposal {
    Proposal::effect("fired", key(trigger), "{}")
}

/// The log of coherence's own example: two books and their loans, two receipts, and the expiry of a
/// customer's key, which the first receipt depends on.
fn example() -> Vec<Proposal> {
    vec![
        action("book:Neuromancer", &[]),
        action("book:Accelerando", &[]),
        action("book:Walkaway", &[]),
        action("book:Neuromancer", &[]),
        action("receipt:1", &["key:alice"]),
        action("receipt:2", &["key:bob"]),
        effect("key:alice"),
    ]
}

async fn library(events: Vec<Proposal>) -> (Running, Client) {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    store(&client, LOG, events).await;
    (server, client)
}

fn all() -> Selection {
    Selection::of(&scope(LOG))
}

fn about(keys: &[&str]) -> Filter {
    Filter { keys: keys.iter().map(|text| key(text)).collect(), ..Filter::default() }
}

fn about_kinds(kinds: &[&str]) -> Filter {
    let key_kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    Filter { key_kinds, ..Filter::default() }
}

/// Numbers of what comes; those replayed are negative.
async fn read(client: &Client, selection: &Selection) -> Vec<i64> {
    let mut stream = client.select(selection);
    let mut numbers = Vec::new();
    while let Some(found) = stream.next().await {
        let found = found.unwrap();
        let number = i64::try_from(found.event.seq.0).unwrap();
        numbers.push(if found.replayed { -number } else { number });
    }
    numbers
}

async fn replayed(client: &Client, after: u64, filter: Filter) -> Vec<i64> {
    read(client, &all().after(after).replay(Replay::Touched).filter(filter)).await
}

async fn head(client: &Client, name: &str) -> Seq {
    client.show_scope(&scope(name)).await.unwrap().map_or(Seq::ZERO, |info| info.head)
}

#[tokio::test(flavor = "multi_thread")]
async fn ct20_the_number_of_the_last_event_is_zero_when_there_is_none() {
    let (server, client) = library(example()).await;
    assert_eq!(head(&client, LOG).await, Seq(7));
    assert_eq!(head(&client, "never").await, Seq(0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct23_all_events_are_streamed() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all()).await, [1, 2, 3, 4, 5, 6, 7]);
    // Effects are hidden where coherence hides them (C17), and come if asked for.
    assert_eq!(replayed(&client, 0, Filter::default()).await, [1, 2, 3, 4, 5, 6]);
    let with = all().replay(Replay::TouchedAndEffects);
    assert_eq!(read(&client, &with).await, [1, 2, 3, 4, 5, 6, 7]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct24_a_stream_from_the_second_event_leaves_out_the_first() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all().after(1)).await, [2, 3, 4, 5, 6, 7]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct25_events_are_filtered_by_key() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all().filter(about(&["book:Neuromancer"]))).await, [1, 4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct26_events_are_filtered_by_kind_of_key() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all().filter(about_kinds(&["receipt"]))).await, [5, 6]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct40_a_reader_of_a_new_store_is_open_and_finds_nothing() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    for selection in [all(), all().backwards(), all().filter(about(&["a:b"])), all().after(9)] {
        assert_eq!(read(&client, &selection).await, [0_i64; 0]);
    }
    assert_eq!(replayed(&client, 0, Filter::default()).await, [0_i64; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct41_a_reader_that_is_closed_early_harms_nobody_and_gives_nothing_more() {
    let (server, client) = library((0..500).map(|_| action("a:1", &[])).collect()).await;
    for _ in 0..20 {
        let mut stream = client.select(&all());
        assert_eq!(stream.next().await.unwrap().unwrap().event.seq, Seq(1));
        drop(stream);
    }
    let mut stream = client.select(&all().limit(1));
    assert!(stream.next().await.is_some());
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct42_the_last_number_is_0_or_100() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    assert_eq!(head(&client, LOG).await, Seq(0));
    store(&client, LOG, (1..=100).map(numbered).collect()).await;
    assert_eq!(head(&client, LOG).await, Seq(100));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct44_without_effects_nothing_is_replayed_and_triggers_come_as_they_were_given() {
    let triggers = ["key:b", "key:a"];
    let (server, client) =
        library(vec![action("a:1", &triggers), action("a:1", &[]), action("a:2", &[])]).await;
    // Before the first event and after none are the same here.
    assert_eq!(replayed(&client, 0, Filter::default()).await, [1, 2, 3]);
    assert_eq!(replayed(&client, 1, Filter::default()).await, [2, 3]);
    let first = client.select(&all()).next().await.unwrap().unwrap().event;
    assert_eq!(first.triggers, [key("key:b"), key("key:a")]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct45_the_history_of_keys_that_an_effect_touches_is_replayed() {
    let log = vec![
        action("a:1", &["t:1"]),
        action("a:2", &[]),
        action("a:1", &[]),
        action("a:2", &[]),
        effect("t:1"),
    ];
    let (server, client) = library(log).await;
    assert_eq!(replayed(&client, 0, Filter::default()).await, [1, 2, 3, 4]);
    // The second key's earlier event stays away; the first key's comes, marked.
    assert_eq!(replayed(&client, 2, Filter::default()).await, [-1, 3, 4]);
    assert_eq!(replayed(&client, 4, Filter::default()).await, [-1, -3]);
    assert_eq!(replayed(&client, 5, Filter::default()).await, [0_i64; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct46_one_key_finds_one_event() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all().filter(about(&["book:Walkaway"]))).await, [3]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct47_one_key_finds_many_events() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all().filter(about(&["book:Neuromancer"]))).await, [1, 4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct48_several_keys_find_the_events_of_all_each_once_and_in_order() {
    let mut log = example();
    log[1].keys.push(key("book:Neuromancer"));
    let (server, client) = library(log).await;
    let keys = about(&["book:Walkaway", "book:Accelerando", "book:Neuromancer"]);
    assert_eq!(read(&client, &all().filter(keys.clone())).await, [1, 2, 3, 4]);
    assert_eq!(read(&client, &all().filter(keys).backwards()).await, [4, 3, 2, 1]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct49_keys_that_differ_in_anything_are_skipped() {
    let (server, client) = library(example()).await;
    for other in ["book:neuromancer", "receipt:Neuromancer", "receipt:01", "book:Neuromancer "] {
        assert_eq!(read(&client, &all().filter(about(&[other]))).await, [0_i64; 0], "{other}");
    }
    assert_eq!(read(&client, &all().filter(about(&["book:Neuromancer"])).after(1)).await, [4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct50_a_filter_by_key_holds_for_what_is_replayed_too() {
    let log = vec![
        action("a:1", &["t:1"]),
        action("a:2", &["t:1"]),
        action("a:3", &[]),
        action("a:1", &[]),
        effect("t:1"),
    ];
    let (server, client) = library(log).await;
    assert_eq!(replayed(&client, 3, Filter::default()).await, [-1, -2, 4]);
    assert_eq!(replayed(&client, 3, about(&["a:1"])).await, [-1, 4]);
    assert_eq!(replayed(&client, 3, about(&["a:2", "a:3"])).await, [-2]);
    assert_eq!(replayed(&client, 3, about(&["a:3"])).await, [0_i64; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct51_one_kind_of_key_finds_one_event() {
    let (server, client) = library(vec![action("a:1", &[]), action("b:1", &[])]).await;
    assert_eq!(read(&client, &all().filter(about_kinds(&["b"]))).await, [2]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct52_one_kind_of_key_finds_many_events() {
    let (server, client) = library(example()).await;
    assert_eq!(read(&client, &all().filter(about_kinds(&["book"]))).await, [1, 2, 3, 4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct53_several_kinds_of_keys_find_the_events_of_all() {
    let (server, client) = library(example()).await;
    let kinds = about_kinds(&["receipt", "book"]);
    assert_eq!(read(&client, &all().filter(kinds)).await, [1, 2, 3, 4, 5, 6]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct54_other_kinds_of_keys_are_skipped() {
    let (server, client) = library(example()).await;
    // The kind of a trigger is no kind of a key, nor is the kind of an event.
    for other in ["boo", "books", "key", "changed"] {
        assert_eq!(read(&client, &all().filter(about_kinds(&[other]))).await, [0_i64; 0]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ct55_a_filter_by_kind_of_key_holds_for_what_is_replayed_too() {
    let log = vec![
        action("a:1", &["t:1"]),
        action("b:1", &["t:1"]),
        action("b:2", &[]),
        action("b:1", &[]),
        effect("t:1"),
    ];
    let (server, client) = library(log).await;
    assert_eq!(replayed(&client, 3, about_kinds(&["a"])).await, [-1]);
    assert_eq!(replayed(&client, 3, about_kinds(&["b"])).await, [-2, 4]);
    server.stop().await;
}

/// What coherence's README prints for its example, and what its suite leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn c16_the_example_of_coherence_replays_what_its_readme_says() {
    let (server, client) = library(example()).await;
    assert_eq!(replayed(&client, 4, Filter::default()).await, [5, 6]);
    assert_eq!(replayed(&client, 5, Filter::default()).await, [-5, 6]);
    // An effect alone: nothing else is new.
    assert_eq!(replayed(&client, 6, Filter::default()).await, [-5]);
    assert_eq!(replayed(&client, 7, Filter::default()).await, [0_i64; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_a_key_that_is_linked_after_the_effect_counts_too() {
    let log = vec![
        action("a:1", &[]),
        action("a:2", &[]),
        effect("t:1"),
        effect("t:2"),
        action("a:1", &["t:1"]),
        effect("t:1"),
    ];
    let (server, client) = library(log).await;
    assert_eq!(replayed(&client, 2, Filter::default()).await, [-1, 5]);
    // A read up to an event knows of nothing behind it.
    let before = all().after(2).through(4).replay(Replay::Touched);
    assert_eq!(read(&client, &before).await, [0_i64; 0]);
    let effects = all().after(4).replay(Replay::TouchedAndEffects);
    assert_eq!(read(&client, &effects).await, [-1, 5, 6]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c15_triggers_find_what_links_them_and_what_fires_them() {
    let (server, client) = library(example()).await;
    let filter = Filter { triggers: vec![key("key:alice")], ..Filter::default() };
    assert_eq!(read(&client, &all().filter(filter.clone())).await, [5, 7]);
    assert_eq!(read(&client, &all().filter(filter).backwards().limit(1)).await, [7]);
    server.stop().await;
}

/// Coherence keeps whole seconds only; its suite does not try more.
#[tokio::test(flavor = "multi_thread")]
async fn c03_times_of_callers_are_found_to_the_millisecond() {
    let at = |ms| Proposal { caller_ms: Some(ms), ..action("a:1", &[]) };
    let (server, client) =
        library(vec![at(1_000), at(1_001), action("a:1", &[]), at(999), at(1_002)]).await;
    let within = |from, until| {
        let caller_ms = Span { from: Some(from), until: Some(until) };
        all().filter(Filter { caller_ms, ..Filter::default() })
    };
    assert_eq!(read(&client, &within(1_000, 1_002)).await, [1, 2]);
    assert_eq!(read(&client, &within(0, u64::MAX)).await, [1, 2, 4, 5]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st02_what_was_put_can_be_got() {
    let (server, client) = library(vec![numbered(7)]).await;
    let found = client.select(&all()).next().await.unwrap().unwrap();
    assert_eq!((found.event.payload, found.replayed), (b"7".to_vec(), false));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st04_a_read_up_to_an_event_includes_it() {
    let (server, client) = library((0..3).map(numbered).collect()).await;
    assert_eq!(read(&client, &all().through(2)).await, [1, 2]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st44_all_events_come_without_paging_and_the_last_one_alone() {
    let (server, client) = library((1..=150).map(numbered).collect()).await;
    assert_eq!(read(&client, &all()).await.len(), 150);
    // S05: the latest event.
    let last = client.select(&all().backwards().limit(1)).next().await.unwrap().unwrap();
    assert_eq!(last.event.payload, b"150");
    server.stop().await;
}

fn large(n: u64) -> Proposal {
    Proposal::json("n", format!("\"{n:0>12000}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn st45_150_events_of_12_kilobytes_come_page_by_page() {
    let (server, client) = library((1..=150).map(large).collect()).await;
    for backwards in [false, true] {
        let mut selection = all().limit(40);
        if backwards {
            selection = selection.backwards();
        }
        let (mut numbers, mut token, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = match &token {
                Some(token) => selection.clone().page(token).unwrap(),
                None => selection.clone(),
            };
            let mut stream = client.select(&page);
            while let Some(found) = stream.next().await {
                let event = found.unwrap().event;
                assert_eq!(event.payload.len(), 12_002);
                numbers.push(event.seq.0);
            }
            pages += 1;
            token = stream.page();
            if token.is_none() {
                break;
            }
        }
        if backwards {
            numbers.reverse();
        }
        assert_eq!((numbers, pages), ((1..=150).collect(), 4));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st49_150_events_of_12_kilobytes_come_in_pages_of_bounded_size() {
    let limits = Limits { page_bytes_max: 64 * 1024, ..Limits::default() };
    let server = Running::start(limits).await;
    let client = server.client().await;
    store(&client, LOG, (1..=150).map(large).collect()).await;
    assert_eq!(read(&client, &all()).await, (1..=150).collect::<Vec<_>>());
    assert_eq!(read(&client, &all().backwards()).await, (1..=150).rev().collect::<Vec<_>>());
    let mut order = client.select(
        &Selection::all().filter(Filter { kinds: vec!["n".to_owned()], ..Filter::default() }),
    );
    let mut count = 0;
    while let Some(found) = order.next().await {
        count += u64::from(found.unwrap().scope == scope(LOG));
    }
    assert_eq!(count, 150);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st50_a_read_after_the_first_of_three_gives_two() {
    let (server, client) = library((0..3).map(numbered).collect()).await;
    assert_eq!(read(&client, &all().after(1)).await, [2, 3]);
    server.stop().await;
}
