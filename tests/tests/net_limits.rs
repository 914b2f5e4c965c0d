//! Every cap of a connection, at its value and one above.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Address, Client, ClientError, Options};
use atomic_store_core::protocol::{At, Reply, Request, RequestError};
use atomic_store_core::{Filter, Limits, Outcome, Proposal, Seq};
use net_support::*;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_the_cap_passes_and_one_byte_more_ends_the_session() {
    const MAX: usize = 300_000;
    let server = Running::start(Limits { frame_bytes_max: MAX, ..Limits::default() }).await;
    let of = |bytes: usize| {
        let plain = encoded(1, Request::Append(append("a", 1, Proposal::json("n", [0; 60_000]))));
        let payload = bytes - (plain.len() - 60_000 - 4);
        encoded(1, Request::Append(append("a", 1, Proposal::json("n", vec![0; payload]))))
    };
    let mut raw = server.raw().await;
    let frame = of(MAX);
    assert_eq!(frame.len() - 4, MAX);
    raw.bytes(&frame).await;
    let Reply::Answer(answer) = raw.reply(1).await else { panic!("no answer") };
    assert_eq!(answer.outcome.word(), "committed");
    raw.bytes(&of(MAX + 1)[..1000]).await;
    let Reply::Error(RequestError::Goodbye(_)) = raw.reply(0).await else { panic!("no goodbye") };
    assert!(raw.frame().await.is_none());
    // The client knows the cap and refuses by itself.
    let client = server.client().await;
    let long = client.append_one(&scope("a"), Proposal::json("n", vec![0; MAX])).await;
    assert!(matches!(long, Err(ClientError::Request(RequestError::Invalid { .. }))), "{long:?}");
    assert_eq!(
        client.append_one(&scope("a"), numbered(1)).await.unwrap().outcome.word(),
        "committed"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_up_to_the_cap_are_served_and_one_more_is_told_why() {
    let server = Running::start(Limits { sessions_max: 3, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client().await);
    }
    let address = Address::Unix(server.socket.clone());
    let error = Client::connect(address.clone(), Options::default()).await.err().unwrap();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("3 connections are open"), "{error}");
    assert!(clients[0].status().await.is_ok());
    // The place of a client that left is free again.
    clients.pop();
    let mut tries = 0;
    while let Err(error) = Client::connect(address.clone(), Options::default()).await {
        tries += 1;
        assert!(tries < 10_000, "{error}");
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_up_to_the_cap_are_served_and_one_more_is_refused() {
    let limits = Limits { session_subscriptions_max: 2, ..Limits::default() };
    let server = Running::start(limits).await;
    let client = server.client().await;
    let name = scope("a");
    client.append_one(&name, numbered(1)).await.unwrap();
    let mut streams = [client.subscribe(&name, Seq::ZERO), client.subscribe(&name, Seq::ZERO)];
    for stream in &mut streams {
        assert!(stream.next().await.unwrap().is_ok());
    }
    let refused = client.subscribe(&name, Seq::ZERO).next().await.unwrap().unwrap_err();
    assert!(matches!(refused, ClientError::Request(RequestError::Overloaded(_))), "{refused}");
    // Reads are no subscriptions, and a dropped stream leaves its place.
    assert!(client.read(&name, Seq::ZERO, Seq::MAX, 9).next().await.unwrap().is_ok());
    drop(streams);
    let mut tries = 0;
    while client.subscribe(&name, Seq::ZERO).next().await.unwrap().is_err() {
        tries += 1;
        assert!(tries < 10_000, "a dropped stream is not cancelled");
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_the_cap_wait_and_are_all_answered() {
    let limits =
        Limits { session_calls_max: 2, query_answer_bytes_max: 1 << 30, ..Limits::default() };
    let server = Running::start(limits).await;
    let mut raw = server.raw().await;
    let mut frames = Vec::new();
    for call in 1..=300 {
        frames.extend(match call % 3 {
            0 => encoded(call, Request::Append(append("a", call.into(), numbered(call)))),
            1 => encoded(call, Request::Status),
            _ => encoded(
                call,
                Request::Query {
                    scope: scope("a"),
                    name: "q".into(),
                    args: Vec::new(),
                    at: At::Head,
                },
            ),
        });
    }
    raw.bytes(&frames).await;
    let mut answered: Vec<u64> = Vec::new();
    for _ in 1..=300 {
        answered.push(raw.frame().await.unwrap().call);
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=300).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_the_cap_is_looked_at_and_one_byte_more_is_not() {
    let limits = Limits { component_bytes_max: 2_000, ..Limits::default() };
    let server = Running::start(limits).await;
    let mut raw = server.raw().await;
    for (bytes, last, admitted) in [(2_000, 1_000, true), (2_001, 1_001, false)] {
        raw.send(1, Request::LoadValidator { part: vec![1; bytes - last], last: false }).await;
        assert_eq!(raw.reply(1).await, Reply::Done);
        raw.send(2, Request::LoadValidator { part: vec![1; last], last: true }).await;
        let reply = raw.reply(2).await;
        let looked_at = matches!(reply, Reply::Error(RequestError::NotAdmitted(_)));
        let refused = matches!(reply, Reply::Error(RequestError::Invalid { .. }));
        assert!(if admitted { looked_at } else { refused }, "{bytes}: {reply:?}");
    }
    // What was refused left nothing behind, and an empty part begins anew.
    raw.send(3, Request::LoadValidator { part: vec![1; 9], last: false }).await;
    raw.send(4, Request::LoadValidator { part: Vec::new(), last: false }).await;
    raw.send(5, Request::LoadValidator { part: atomic_store_tests::SCRIPTED.into(), last: true })
        .await;
    assert_eq!((raw.reply(3).await, raw.reply(4).await), (Reply::Done, Reply::Done));
    assert!(matches!(raw.reply(5).await, Reply::Validator { new: true, .. }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_uploads_than_the_server_has_memory_for() {
    let server = Running::start(Limits::default()).await;
    let mut raws = Vec::new();
    for at in 0..5 {
        let mut raw = server.raw().await;
        raw.send(1, Request::LoadValidator { part: vec![1; 9], last: false }).await;
        match raw.reply(1).await {
            Reply::Done => assert!(at < 4),
            Reply::Error(RequestError::Overloaded(_)) => assert!(at == 4),
            other => panic!("{other:?}"),
        }
        raws.push(raw);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_or_slow_greeting_and_a_slow_frame_are_ended_in_time() {
    let server = Running::start(Limits { hello_ms_max: 200, ..Limits::default() }).await;
    let began = Instant::now();
    let mut silent = Raw::connect(&server.socket).await;
    let mut slow = Raw::connect(&server.socket).await;
    // It may be ended already.
    drop(slow.stream.write_all(b"ATST").await);
    for raw in [&mut silent, &mut slow] {
        let mut got = Vec::new();
        drop(tokio::time::timeout(PATIENCE, raw.stream.read_to_end(&mut got)).await.unwrap());
        assert!(got.is_empty());
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "ended before its time");
    server.stop().await;
    let server = Running::start(Limits { frame_ms_max: 200, ..Limits::default() }).await;
    let mut raw = server.raw().await;
    raw.bytes(&encoded(1, Request::Status)[..5]).await;
    assert!(matches!(raw.reply(0).await, Reply::Error(RequestError::Goodbye(_))));
    // Between two frames there is no hurry.
    let mut idle = server.raw().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(idle.works().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_but_never_reads_is_closed_and_the_store_goes_on() {
    let limits = Limits {
        session_out_bytes_max: 64 * 1024,
        session_calls_max: 64,
        frame_ms_max: 300,
        ..Limits::default()
    };
    let server = Running::start(limits).await;
    let mut raw = server.raw().await;
    let frame = encoded(1, Request::Append(append("a", 1, numbered(1))));
    let flood = async { while raw.stream.write_all(&frame).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.expect("the session is never closed");
    let answer = server.client().await.append_one(&scope("b"), numbered(1)).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_answers_what_was_taken_and_says_goodbye() {
    let server = Running::start(Limits::default()).await;
    let mut raw = server.raw().await;
    let mut watcher = server.raw().await;
    watcher
        .send(1, Request::SubscribeOrder { after: Default::default(), filter: Filter::default() })
        .await;
    assert!(matches!(watcher.reply(1).await, Reply::Events(_)));
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    assert!(matches!(raw.reply(1).await, Reply::Answer(_)));
    server.stop().await;
    assert!(matches!(raw.reply(0).await, Reply::Error(RequestError::Goodbye(_))));
    assert!(raw.frame().await.is_none());
    let mut ended = false;
    while let Some(frame) = watcher.frame().await {
        match frame.reply {
            Reply::Events(_) => {}
            Reply::Ended(why) => {
                assert_eq!(why, atomic_store_core::protocol::Ended::Shutdown);
                ended = true;
            }
            Reply::Error(RequestError::Goodbye(_)) => assert!(ended, "no end before the goodbye"),
            other => panic!("{other:?}"),
        }
    }
    assert!(ended);
}
