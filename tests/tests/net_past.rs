//! States in the past and what-ifs over a connection.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Client, ClientError};
use atomic_store_core::protocol::{At, Reply, Request, RequestError};
use atomic_store_core::{Append, Limits, Outcome, Proposal, Seq};
use atomic_store_tests::{Op, SCRIPTED};
use net_support::*;

/// Events of 9 in `s/1`.
async fn nines(limits: Limits, events: u64) -> (Running, Client) {
    let server = Running::start(limits).await;
    let (info, _) = server.engine.load(SCRIPTED).unwrap();
    let which = info.digest.to_string().parse().unwrap();
    server.engine.bind("s/*".parse().unwrap(), &which, None).unwrap();
    let client = server.client().await;
    for _ in 0..events {
        let append = Append::new(scope("s/1"), client.new_id(), vec![Op::Add(9).proposal()]);
        let answer = client.append(append).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
    }
    (server, client)
}

fn sum(seq: u64) -> (Seq, Result<Vec<u8>, String>) {
    (Seq(seq), Ok((9 * seq).to_string().into_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_at_a_moment_and_a_history_come_over_the_wire() {
    // Small pages, so that a history has many.
    let limits = Limits { page_events_max: 3, snapshot_events: 7, ..Limits::default() };
    let (server, client) = nines(limits, 50).await;
    let name = scope("s/1");
    for seq in [0, 1, 20, 49, 50] {
        let state = client.query_at(&name, "sum", Vec::new(), At::Seq(Seq(seq))).await.unwrap();
        assert_eq!(state, sum(seq));
    }
    for at in [At::Head, At::Time(u64::MAX)] {
        assert_eq!(client.query_at(&name, "sum", Vec::new(), at).await.unwrap(), sum(50));
    }
    for at in [At::Seq(Seq(51)), At::Seq(Seq::MAX)] {
        match client.query_at(&name, "sum", Vec::new(), at).await {
            Err(ClientError::Request(RequestError::Invalid { field, .. })) => {
                assert_eq!(field, "at")
            }
            other => panic!("{other:?}"),
        }
    }
    for (after, through, limit, expected) in
        [(0, u64::MAX, u64::MAX, 1..=50), (10, 30, 5, 11..=15), (45, 48, 99, 46..=48)]
    {
        let range = (Seq(after), Seq(through));
        let mut states = client.history(&name, "sum", Vec::new(), range, limit);
        for seq in expected {
            assert_eq!(states.next().await.unwrap().unwrap(), sum(seq));
        }
        assert!(states.next().await.is_none());
    }
    let mut dropped = client.history(&name, "sum", Vec::new(), (Seq(0), Seq::MAX), u64::MAX);
    assert_eq!(dropped.next().await.unwrap().unwrap(), sum(1));
    drop(dropped);
    assert_eq!(client.query(&name, "sum", Vec::new()).await.unwrap(), sum(50));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_goes_on_over_cut_connections_without_gap_or_repeat() {
    let limits = Limits { page_events_max: 3, snapshot_events: 7, ..Limits::default() };
    let (server, _client) = nines(limits, 120).await;
    let (_folder, proxy, through) = flaky(&server, 400).await;
    for (after, limit, last) in [(0, u64::MAX, 120), (17, 60, 77)] {
        let range = (Seq(after), Seq::MAX);
        let mut states = through.history(&scope("s/1"), "sum", Vec::new(), range, limit);
        for seq in after + 1..=last {
            if seq % 9 == 0 {
                proxy.cut();
            }
            assert_eq!(states.next().await.unwrap().unwrap(), sum(seq));
        }
        assert!(states.next().await.is_none());
        assert_eq!(states.after(), Seq(last));
    }
    assert!(*proxy.made.borrow() > 10, "the connection was hardly cut");
    drop(through);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_not_read_is_cut_off_and_others_go_on() {
    let limits = Limits {
        page_bytes_max: 1_000,
        session_out_bytes_max: 2_000,
        slow_reader_ms_max: 50,
        ..Limits::default()
    };
    let (server, client) = nines(limits, 5).await;
    let batch = vec![Op::Ones(1_000).proposal()];
    for _ in 0..60 {
        client.append(Append::new(scope("s/1"), client.new_id(), batch.clone())).await.unwrap();
    }
    let mut raw = server.raw().await;
    let (after, through, limit) = (Seq::ZERO, Seq::MAX, u64::MAX);
    let (name, args) = ("sum".to_owned(), Vec::new());
    let request = Request::History { scope: scope("s/1"), name, args, after, through, limit };
    raw.send(1, request).await;
    // Another connection is served all the while.
    let state = client.query_at(&scope("s/1"), "sum", Vec::new(), At::Seq(Seq(5))).await.unwrap();
    assert_eq!(state, sum(5));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut states = 0;
    loop {
        let frame = raw.frame().await.unwrap();
        match frame.reply {
            Reply::State { head, .. } => {
                states += 1;
                assert_eq!(head, Seq(states), "a state is missing or came twice");
            }
            Reply::Done => break assert_eq!(states, 60_005),
            Reply::Error(RequestError::Overloaded(_)) => break assert!(states < 60_005),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_what_if_comes_over_the_wire_and_too_large_ones_are_refused_before_they_are_decoded() {
    let (server, client) = nines(Limits::default(), 2).await;
    let one = |n| vec![Op::Add(n).proposal()];
    let batches = vec![one(9), one(0), vec![Op::Trap.proposal()], one(9)];
    let steps = client.what_if(&scope("s/1"), batches, Some(("sum", b""))).await.unwrap();
    let words: Vec<_> = steps.iter().map(|step| step.outcome.word()).collect();
    assert_eq!(words, ["committed", "rejected", "faulted"]);
    let states = steps.iter().map(|step| step.state.clone().map(|s| s.unwrap().into_vec()));
    assert_eq!(states.collect::<Vec<_>>(), [Some(b"27".to_vec()), Some(b"27".to_vec()), None]);
    assert_eq!(client.show_scope(&scope("s/1")).await.unwrap().unwrap().head, Seq(2));

    let max = client.limits().what_if_batches_max;
    let many = |count| (0..count).map(|_| one(9)).collect::<Vec<_>>();
    assert_eq!(client.what_if(&scope("s/1"), many(max), None).await.unwrap().len(), max);
    let padded = |mut batches: Vec<Vec<Proposal>>| {
        batches[0][0].payload.extend(vec![b' '; 100_000]);
        batches
    };
    for batches in [many(max + 1), padded(many(max + 1)), padded(vec![one(9), Vec::new()])] {
        match client.what_if(&scope("s/1"), batches, None).await {
            Err(ClientError::Request(RequestError::Invalid { field, .. })) => {
                assert_eq!(field, "batches");
            }
            other => panic!("{other:?}"),
        }
    }
    server.stop().await;
}
