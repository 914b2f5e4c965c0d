//! Filtered and replaying reads that go on live: connections are cut, readers stall, nothing matches
//! for long, and still nothing is missing and nothing comes twice.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Client, Found, Selection, SelectionStream};
use atomic_store_core::protocol::{Ended, Replay, Reply, Request};
use atomic_store_core::record::RecordView;
use atomic_store_core::{Append, Filter, Key, Limits, Outcome, Position, Proposal, Seq};
use net_support::*;
use std::time::{Duration, Instant};

fn book(id: u64) -> Key {
    Key::new("book", &id.to_string())
}

/// About the key.
fn of(id: u64) -> Filter {
    Filter { keys: vec![book(id)], ..Filter::default() }
}

async fn store(client: &Client, name: &str, proposals: Vec<Proposal>) {
    let append = Append::new(scope(name), client.new_id(), proposals);
    let answer = client.append(append).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
}

async fn next(stream: &mut SelectionStream) -> Found {
    let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("an event is late");
    next.unwrap().unwrap()
}

/// The next event's number; negative if it is replayed.
async fn number(stream: &mut SelectionStream) -> i64 {
    let found = next(stream).await;
    let number = i64::try_from(found.event.seq.0).unwrap();
    if found.replayed { -number } else { number }
}

async fn silent(stream: &mut SelectionStream) {
    let more = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn st01_s30_filtered_readers_see_concurrent_events_once_and_in_order_over_cut_connections() {
    const WRITERS: u64 = 6;
    const EACH: u64 = 80;
    let server = Running::start(Limits { page_bytes_max: 1_000, ..Limits::default() }).await;
    let (_folder, proxy, client) = flaky(&server, 4_000).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = server.client().await;
        tasks.spawn(async move {
            for n in 1..=EACH {
                let proposal = Proposal { keys: vec![book(n % 4)], ..numbered(n) };
                store(&client, &format!("s/{}", writer % 2), vec![proposal]).await;
            }
        });
    }
    let each = WRITERS / 2 * EACH / 4;
    for reader in 0..8 {
        let name = format!("s/{}", reader % 2);
        let selection = Selection::of(&scope(&name)).filter(of(reader / 2));
        let mut stream = client.follow(&selection);
        tasks.spawn(async move {
            let mut last = Seq::ZERO;
            for _ in 0..each {
                let found = next(&mut stream).await;
                assert!(found.event.seq > last && found.event.keys == [book(reader / 2)]);
                last = found.event.seq;
            }
            silent(&mut stream).await;
        });
    }
    let mut order = client.follow(&Selection::all().filter(of(3)));
    tasks.spawn(async move {
        let mut last = Position(0);
        for _ in 0..2 * each {
            let found = next(&mut order).await;
            assert!(found.event.position > last);
            last = found.event.position;
        }
        silent(&mut order).await;
    });
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
        proxy.cut();
    }
    assert!(*proxy.made.borrow() > 5, "the connection was hardly cut");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_how_far_was_looked_when_nothing_matches_for_long() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    for _ in 0..30 {
        store(&client, "a", (1..=1_000).map(numbered).collect()).await;
    }
    let none = Filter { kinds: vec!["none".to_owned()], ..Filter::default() };
    let mut raw = server.raw().await;
    let requests = [
        Request::Subscribe {
            scope: scope("a"),
            after: Seq::ZERO,
            filter: none.clone(),
            replay: Replay::Off,
        },
        Request::SubscribeOrder { after: Position(0), filter: none.clone() },
        Request::Read {
            scope: scope("a"),
            after: Seq::ZERO,
            through: Seq::MAX,
            limit: 9,
            backwards: true,
            filter: none.clone(),
            replay: Replay::Off,
        },
    ];
    for (call, request) in (1..).zip(requests) {
        raw.send(call, request).await;
        for round in 1..=if call < 3 { 2 } else { 1 } {
            match raw.reply(call).await {
                Reply::Scanned { seq, position } if call == 1 => {
                    assert!(seq.0 >= 8_000 * round && position == Position(0), "{seq}");
                }
                Reply::Scanned { seq, position } if call == 2 => {
                    assert!(position.0 >= 8_000 * round && seq == Seq::ZERO, "{position}");
                }
                // Backwards the windows grow, so the first ones are small.
                Reply::Scanned { seq, .. } => assert!(seq.0 <= 30_001 - 8_000 * round, "{seq}"),
                other => panic!("{other:?}"),
            }
        }
        if call < 3 {
            raw.send(90, Request::Cancel { call }).await;
            assert!(matches!(raw.reply(90).await, Reply::Done));
        }
    }
    // The place of a stream moves with that, so that going on elsewhere does not look again.
    let selection = Selection::of(&scope("a")).filter(none);
    let mut stream = client.follow(&selection);
    let fresh = client.follow(&selection).page().unwrap().to_string();
    let patience = Instant::now() + PATIENCE;
    let token = loop {
        silent(&mut stream).await;
        let token = stream.page().unwrap();
        if token.to_string() != fresh {
            break token;
        }
        assert!(Instant::now() < patience, "its place does not move");
    };
    let mut on = client.follow(&selection.clone().page(&token).unwrap());
    store(&client, "a", vec![Proposal::json("none", "{}")]).await;
    assert_eq!(number(&mut on).await, 30_001);
    assert_eq!(number(&mut stream).await, 30_001);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_filter_is_cut_off_and_resumes_without_gap_or_repeat() {
    let limits = Limits {
        session_out_bytes_max: 64 * 1024,
        page_bytes_max: 8 * 1024,
        slow_reader_ms_max: 100,
        ..Limits::default()
    };
    let server = Running::start(limits).await;
    let client = server.client().await;
    for _ in 0..12 {
        let many = (1..=1_000).map(|n| Proposal { keys: vec![book(n % 2)], ..numbered(n) });
        store(&client, "a", many.collect()).await;
    }
    let subscribe =
        |after| Request::Subscribe { scope: scope("a"), after, filter: of(1), replay: Replay::Off };
    let mut raw = server.raw().await;
    raw.send(1, subscribe(Seq::ZERO)).await;
    // Much longer than it takes to fill what there is room for, and to be cut off then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut last, mut call, mut cuts) = (Seq::ZERO, 1, 0);
    while last < Seq(11_999) {
        match raw.reply(call).await {
            Reply::Events(page) => {
                for entry in page {
                    let seq = RecordView::parse(&entry.record).unwrap().seq();
                    assert_eq!(seq, Seq(if last == Seq::ZERO { 1 } else { last.0 + 2 }));
                    last = seq;
                }
            }
            Reply::Ended(Ended::SlowReader { resume_after, .. }) => {
                assert!(resume_after >= last, "{resume_after} {last}");
                (call, cuts) = (call + 1, cuts + 1);
                raw.send(call, subscribe(resume_after)).await;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(cuts > 0, "nobody was cut off");
    server.stop().await;
}

fn linked(id: u64, trigger: &str) -> Proposal {
    let triggers = vec![Key::new("key", trigger)];
    Proposal { keys: vec![book(id)], triggers, ..numbered(id) }
}

fn effect(trigger: &str) -> Proposal {
    Proposal::effect("expired", Key::new("key", trigger), "{}")
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_each_new_effect_brings_the_history_of_what_it_touches() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let plain = |id| Proposal { keys: vec![book(id)], ..numbered(id) };
    store(&client, "a", vec![linked(1, "ann"), plain(2), linked(3, "bob"), effect("ann")]).await;
    let all = Selection::of(&scope("a"));
    let mut touched = client.follow(&all.clone().after(2).replay(Replay::Touched));
    let mut with = client.follow(&all.clone().after(2).replay(Replay::TouchedAndEffects));
    let mut two = client.follow(&all.replay(Replay::Touched).after(2).filter(of(2)));
    for expected in [-1, 3] {
        assert_eq!(number(&mut touched).await, expected);
    }
    for expected in [-1, 3, 4] {
        assert_eq!(number(&mut with).await, expected);
    }
    // New events come as they are; a link alone brings nothing back.
    for (proposal, seq) in [(plain(1), 5), (linked(2, "bob"), 6)] {
        store(&client, "a", vec![proposal]).await;
        assert_eq!(number(&mut touched).await, seq);
        assert_eq!(number(&mut with).await, seq);
    }
    assert_eq!(number(&mut two).await, 6);
    store(&client, "a", vec![effect("bob")]).await;
    for expected in [-2, -3, -6] {
        assert_eq!(number(&mut touched).await, expected);
        assert_eq!(number(&mut with).await, expected);
    }
    assert_eq!(number(&mut with).await, 7);
    for expected in [-2, -6] {
        assert_eq!(number(&mut two).await, expected);
    }
    store(&client, "a", vec![effect("nobody"), plain(9)]).await;
    assert_eq!(number(&mut touched).await, 9);
    for stream in [&mut touched, &mut two] {
        silent(stream).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_replays_survive_cut_connections_without_gap_or_repeat() {
    let server = Running::start(Limits { page_bytes_max: 700, ..Limits::default() }).await;
    let steady = server.client().await;
    let (_folder, proxy, client) = flaky(&server, 4_000).await;
    let mut log = Vec::new();
    for n in 0..150_u64 {
        log.push(if n % 3 == 0 { linked(n % 5, "ann") } else { linked(10 + n % 5, "bob") });
    }
    log.push(effect("ann"));
    store(&steady, "a", log).await;
    let all = Selection::of(&scope("a")).after(120).replay(Replay::TouchedAndEffects);
    let ann: Vec<i64> = (1..=150).filter(|seq| (seq - 1) % 3 == 0).collect();
    let bob: Vec<i64> = (1..=150).filter(|seq| (seq - 1) % 3 != 0).collect();
    let earlier = ann.iter().copied().filter(|seq| *seq <= 120).map(|seq| -seq);
    let expected: Vec<i64> = earlier.chain(121..=151).collect();
    let mut read = client.select(&all);
    let mut live = client.follow(&all);
    for (at, expected) in expected.iter().enumerate() {
        if at % 10 == 0 {
            proxy.cut();
        }
        assert_eq!(number(&mut read).await, *expected);
        assert_eq!(number(&mut live).await, *expected);
    }
    assert!(read.next().await.is_none() && read.page().is_none());
    // A new round each: cut in the middle, too.
    for (trigger, history, seq) in [("bob", &bob, 152), ("ann", &ann, 153)] {
        store(&steady, "a", vec![effect(trigger)]).await;
        for (at, expected) in history.iter().enumerate() {
            if at % 10 == 3 {
                proxy.cut();
            }
            assert_eq!(number(&mut live).await, -expected);
        }
        proxy.cut();
        assert_eq!(number(&mut live).await, seq);
        proxy.cut();
    }
    silent(&mut live).await;
    assert!(*proxy.made.borrow() > 10, "the connection was hardly cut");
    server.stop().await;
}
