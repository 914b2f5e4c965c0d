//! The journal of rejections over a connection: read page by page, and followed through slow reading,
//! lost connections and dropped entries.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Address, Client, ClientError, Journaled, RejectionStream};
use atomic_store_core::protocol::{Ended, Reply, Request, RequestError};
use atomic_store_core::{Append, Limits, Outcome, Proposal, Rejection, RejectionsEnd};
use atomic_store_tests::{Op, Rng, SCRIPTED};
use net_support::*;
use std::time::Duration;

/// A server on which the scripted validator judges `s/*`.
async fn server(limits: Limits) -> (Running, Client) {
    let server = Running::start(limits).await;
    let (info, _) = server.engine.load(SCRIPTED).unwrap();
    let which = info.digest.to_string().parse().unwrap();
    server.engine.bind("s/*".parse().unwrap(), &which, None).unwrap();
    let client = server.client().await;
    (server, client)
}

async fn refuse(client: &Client, name: &str, times: u64) {
    for _ in 0..times {
        let append = Append::new(scope(name), client.new_id(), vec![Op::Refuse.proposal()]);
        let answer = client.append(append).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Rejected(_)), "{answer:?}");
    }
}

async fn entry(stream: &mut RejectionStream) -> Rejection {
    match next(stream).await.unwrap() {
        Journaled::Entry(entry) => *entry,
        other => panic!("{other:?}"),
    }
}

async fn next(stream: &mut RejectionStream) -> Result<Journaled, ClientError> {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("nothing comes").unwrap()
}

async fn numbers(mut stream: RejectionStream) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(next) = stream.next().await {
        match next.unwrap() {
            Journaled::Entry(entry) => numbers.push(entry.number),
            Journaled::Dropped { .. } => {}
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_read_counted_and_followed_over_the_wire() {
    let (server, client) = server(Limits { page_events_max: 7, ..Limits::default() }).await;
    let (s1, s2) = (scope("s/1"), scope("s/2"));
    let mut follower = client.follow_rejections(Some(&s2), 0);
    for _ in 0..20 {
        refuse(&client, "s/1", 1).await;
        refuse(&client, "s/2", 1).await;
    }
    assert_eq!(
        numbers(client.read_rejections(None, 0, u64::MAX)).await,
        (1..=40).collect::<Vec<_>>()
    );
    let odd: Vec<_> = (1..=40).step_by(2).collect();
    assert_eq!(numbers(client.read_rejections(Some(&s1), 0, u64::MAX)).await, odd);
    assert_eq!(numbers(client.read_rejections(Some(&s1), 10, 9)).await, odd[5..14]);
    assert!(numbers(client.read_rejections(Some(&s1), 10, 0)).await.is_empty());
    assert!(numbers(client.read_rejections(Some(&scope("x")), 0, 9)).await.is_empty());
    let end = client.rejections_end(Some(&s1), 3).await.unwrap();
    assert_eq!(end, RejectionsEnd { after: 33, newest: 39, end: 40 });
    let counts = client.count_rejections(Some(&s2)).await.unwrap();
    assert_eq!((counts.len(), counts[0].code.as_str(), counts[0].count), (1, "as-asked", 20));
    for number in (2..=40).step_by(2) {
        let entry = entry(&mut follower).await;
        assert_eq!((entry.number, &entry.scope), (number, &s2));
    }
    assert_eq!(follower.after(), 40);
    // Nothing of another scope wakes it with something of its own.
    refuse(&client, "s/1", 3).await;
    refuse(&client, "s/2", 1).await;
    assert_eq!(entry(&mut follower).await.number, 44);
    let mut all = client.follow_rejections(None, 41);
    for number in 42..=44 {
        assert_eq!(entry(&mut all).await.number, number);
    }
    drop((follower, all));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_ahead_of_the_journal_is_refused_and_so_is_one_too_many() {
    let limits = Limits { session_subscriptions_max: 1, ..Limits::default() };
    let (server, client) = server(limits).await;
    refuse(&client, "s/1", 2).await;
    let invalid = |refused: Result<Journaled, ClientError>| match refused {
        Err(ClientError::Request(RequestError::Invalid { field, why })) => {
            assert_eq!(field, "after");
            assert!(why.contains("ends at 2"), "{why}");
        }
        other => panic!("{other:?}"),
    };
    let mut ahead = client.follow_rejections(None, 3);
    invalid(next(&mut ahead).await);
    assert!(ahead.next().await.is_none());
    invalid(next(&mut client.follow_rejections(Some(&scope("s/9")), u64::MAX)).await);
    let mut one = client.follow_rejections(None, 1);
    assert_eq!(entry(&mut one).await.number, 2);
    let mut two = client.follow_rejections(None, 1);
    let full = next(&mut two).await;
    assert!(matches!(full, Err(ClientError::Request(RequestError::Overloaded(_)))), "{full:?}");
    drop((one, two));
    // The first gives its place back as soon as the server has heard of it.
    loop {
        match next(&mut client.follow_rejections(None, 0)).await {
            Ok(Journaled::Entry(entry)) => break assert_eq!(entry.number, 1),
            Err(ClientError::Request(RequestError::Overloaded(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off_with_the_number_to_resume_from() {
    let limits = Limits {
        page_bytes_max: 20_000,
        session_out_bytes_max: 40_000,
        slow_reader_ms_max: 100,
        ..Limits::default()
    };
    let (server, client) = server(limits).await;
    server.engine.keep_rejected_payloads(true);
    for _ in 0..200 {
        let mut proposal = Proposal::json("op", vec![b' '; 10_000]);
        proposal.payload.extend(b"refuse");
        client.append(Append::new(scope("s/1"), client.new_id(), vec![proposal])).await.unwrap();
    }
    let mut raw = server.raw().await;
    raw.send(1, Request::SubscribeRejections { scope: None, after: 0 }).await;
    // Another connection is served all the while.
    refuse(&client, "s/1", 1).await;
    // Much longer than it takes to fill what there is room for, and to be cut off then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut last = 0;
    let resume = loop {
        match raw.reply(1).await {
            Reply::Rejections(page) => {
                for entry in page {
                    assert_eq!(entry.number, last + 1);
                    last = entry.number;
                }
            }
            Reply::Ended(Ended::SlowRejections { resume_after }) => break resume_after,
            other => panic!("{other:?}"),
        }
    };
    assert!(last < 201 && resume == last, "{resume} after {last}");
    raw.send(2, Request::SubscribeRejections { scope: None, after: resume }).await;
    while last < 201 {
        let Reply::Rejections(page) = raw.reply(2).await else { panic!() };
        for entry in page {
            assert_eq!(entry.number, last + 1);
            last = entry.number;
        }
    }
    raw.send(3, Request::Cancel { call: 2 }).await;
    assert_eq!(raw.reply(3).await, Reply::Done);
    assert!(raw.works().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_over_cut_connections_without_gap_or_repeat() {
    let (server, client) = server(Limits { page_events_max: 3, ..Limits::default() }).await;
    let (_folder, proxy, through) = flaky(&server, 2_000).await;
    let mut all = through.follow_rejections(None, 0);
    let own = scope("s/2");
    let mut of_scope = through.follow_rejections(Some(&own), 0);
    let mut rng = Rng::new(5);
    for round in 0..300_u64 {
        refuse(&client, if round % 3 == 0 { "s/2" } else { "s/1" }, 1).await;
        if rng.one_in(12) {
            proxy.cut();
        }
        if rng.one_in(2) && all.after() < round {
            let after = all.after();
            assert_eq!(entry(&mut all).await.number, after + 1);
        }
    }
    while all.after() < 300 {
        let after = all.after();
        assert_eq!(entry(&mut all).await.number, after + 1);
    }
    for number in (1..=300).step_by(3) {
        assert_eq!(entry(&mut of_scope).await.number, number);
    }
    assert!(*proxy.made.borrow() > 5, "the connection was hardly cut");
    drop((all, of_scope));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_while_nobody_listened_is_said() {
    let limits = Limits { rejections_scope_max: 4, rejections_max: 8, ..Limits::default() };
    let (server, client) = server(limits).await;
    let folder = private_folder();
    let proxy = Proxy::start(folder.path().join("p"), server.socket.clone());
    let address = Address::Unix(proxy.socket.clone());
    let through = Client::connect(address, options()).await.unwrap();
    let (s1, s2) = (scope("s/1"), scope("s/2"));
    let mut all = through.follow_rejections(None, 0);
    let mut of_scope = through.follow_rejections(Some(&s1), 0);
    let mut quiet = through.follow_rejections(Some(&s2), 0);
    refuse(&client, "s/1", 1).await;
    refuse(&client, "s/2", 1).await;
    assert_eq!(entry(&mut all).await.number, 1);
    assert_eq!(entry(&mut all).await.number, 2);
    assert_eq!(entry(&mut of_scope).await.number, 1);
    assert_eq!(entry(&mut quiet).await.number, 2);
    // Nothing arrives from now on; then the connection is lost, and with it what was on its way.
    proxy.change(|mood| mood.stalled = true);
    refuse(&client, "s/1", 10).await;
    refuse(&client, "s/2", 1).await;
    let mut made = proxy.made.clone();
    made.borrow_and_update();
    proxy.cut();
    made.changed().await.unwrap();
    proxy.change(|mood| mood.stalled = false);
    let dropped = |after, through| Journaled::Dropped { after, through };
    assert_eq!(next(&mut all).await.unwrap(), dropped(2, 8));
    for number in 9..=13 {
        assert_eq!(entry(&mut all).await.number, number);
    }
    assert_eq!(next(&mut of_scope).await.unwrap(), dropped(1, 8));
    assert_eq!(of_scope.after(), 8);
    for number in 9..=12 {
        assert_eq!(entry(&mut of_scope).await.number, number);
    }
    // Of this scope nothing was dropped.
    assert_eq!(entry(&mut quiet).await.number, 13);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_a_shutdown_and_goes_on_with_the_next_server() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    let engine = engine(1, Limits::default());
    let (info, _) = engine.load(SCRIPTED).unwrap();
    let which = info.digest.to_string().parse().unwrap();
    engine.bind("s/*".parse().unwrap(), &which, None).unwrap();
    let server = Running::on(engine.clone(), &socket).await;
    let client = server.client().await;
    let mut raw = server.raw().await;
    raw.send(5, Request::SubscribeRejections { scope: None, after: 0 }).await;
    let mut follower = client.follow_rejections(None, 0);
    refuse(&client, "s/1", 1).await;
    assert_eq!(entry(&mut follower).await.number, 1);
    assert!(matches!(raw.reply(5).await, Reply::Rejections(page) if page.len() == 1));
    let stopping = tokio::spawn(server.stop());
    assert_eq!(raw.reply(5).await, Reply::Ended(Ended::Shutdown));
    assert!(matches!(raw.reply(0).await, Reply::Error(RequestError::Goodbye(_))));
    drop(raw);
    stopping.await.unwrap();
    let server = Running::on(engine, &socket).await;
    refuse(&server.client().await, "s/1", 1).await;
    assert_eq!(entry(&mut follower).await.number, 2);
    drop((follower, client));
    server.stop().await;
}
