//! Lost connections, slow readers, restarts: nothing twice, nothing missing, nobody else waits.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Address, Client, ClientError, EventStream, Options};
use atomic_store_core::protocol::{
    ClientFrame, Ended, Replay, Reply, Request, ServerFrame, StoreId,
};
use atomic_store_core::{
    Answer, Committed, Digest, Filter, Limits, Outcome, Place, Position, Seq, codec, frame,
};
use atomic_store_tests::Rng;
use net_support::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

fn committed(seq: u64) -> Answer {
    let place = Place { seq: Seq(seq), position: Position(seq) };
    let (first, last, hash) = (place, place, Digest::default());
    let outcome = Outcome::Committed(Committed { first, last, hash, reason: None, meta: None });
    Answer { outcome, duplicate: false }
}

/// The server's side of a connection, by hand.
struct Peer(UnixStream);

impl Peer {
    async fn accept(listener: &UnixListener, store: u8) -> Peer {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 8];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello, frame::HELLO);
        stream.write_all(&frame::HELLO).await.unwrap();
        let mut peer = Peer(stream);
        let limits = Box::default();
        peer.send(0, Reply::Welcome { store: StoreId([store; 16]), limits }).await;
        peer
    }

    async fn send(&mut self, call: u64, reply: Reply) {
        let bytes = frame::put(Vec::new(), &ServerFrame { call, reply }).unwrap();
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn request(&mut self) -> ClientFrame {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).await.unwrap();
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.0.read_exact(&mut body).await.unwrap();
        codec::decode(&body).unwrap()
    }
}

async fn connect(socket: &std::path::Path, options: Options) -> Client {
    Client::connect(Address::Unix(socket.into()), options).await.unwrap()
}

#[tokio::test]
async fn answers_in_any_order_reach_their_calls() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let script = tokio::spawn(async move {
        let mut peer = Peer::accept(&listener, 1).await;
        let mut calls = Vec::new();
        for _ in 0..100 {
            let frame = peer.request().await;
            let Request::Append(append) = frame.request else { panic!("{frame:?}") };
            let number = String::from_utf8(append.proposals[0].payload.clone()).unwrap();
            calls.push((frame.call, number.parse().unwrap()));
        }
        // A reply to a call that never was is nobody's business.
        peer.send(123_456_789, Reply::Done).await;
        for (call, number) in calls.into_iter().rev() {
            peer.send(call, Reply::Answer(committed(number))).await;
        }
        peer
    });
    let client = connect(&socket, Options::default()).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 1..=100 {
        let client = client.clone();
        calls.spawn(async move {
            let answer = client.append_one(&scope("a"), numbered(n)).await.unwrap();
            assert_eq!(answer, committed(n));
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    drop(script.await.unwrap());
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_sent_again_under_its_id() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let script = tokio::spawn(async move {
        let mut first = Peer::accept(&listener, 1).await;
        let Request::Append(sent) = first.request().await.request else { panic!() };
        assert!(!sent.repeated);
        drop(first);
        let mut second = Peer::accept(&listener, 1).await;
        let again = second.request().await;
        let Request::Append(resent) = again.request else { panic!() };
        assert!(resent.repeated && resent.id == sent.id && resent.proposals == sent.proposals);
        // The store cannot tell; the client asks once more.
        let outcome = Outcome::Unknown { why: "failing".into() };
        second.send(again.call, Reply::Answer(Answer { outcome, duplicate: false })).await;
        let third = second.request().await;
        let Request::Append(asked) = third.request else { panic!() };
        assert!(asked.repeated && asked.id == sent.id);
        second.send(third.call, Reply::Answer(committed(9))).await;
        second
    });
    let client = connect(&socket, Options::default()).await;
    let answer = client.append_one(&scope("a"), numbered(1)).await.unwrap();
    assert_eq!(answer, committed(9));
    drop(script.await.unwrap());
}

#[tokio::test]
async fn an_append_that_cannot_be_resolved_is_unknown_and_others_are_errors() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let options = Options { retry_for: Duration::from_millis(100), ..Options::default() };
    let client = connect_to_script(&listener, &socket, options).await;
    let (mut peer, client) = client;
    let sent = tokio::spawn({
        let client = client.clone();
        async move { client.append_one(&scope("a"), numbered(1)).await }
    });
    let bind = tokio::spawn({
        let client = client.clone();
        async move { client.bind("a".parse().unwrap(), "b".parse().unwrap(), None).await }
    });
    peer.request().await;
    peer.request().await;
    drop((peer, listener));
    std::fs::remove_file(&socket).unwrap();
    let answer = sent.await.unwrap().unwrap();
    assert!(matches!(answer.outcome, Outcome::Unknown { .. }), "{answer:?}");
    assert!(matches!(bind.await.unwrap(), Err(ClientError::Closed { .. })));
    // This one was certainly not sent, and says so.
    let never = client.append_one(&scope("a"), numbered(2)).await.unwrap_err();
    assert!(never.is_retryable(), "{never}");
}

async fn connect_to_script(
    listener: &UnixListener,
    socket: &std::path::Path,
    options: Options,
) -> (Peer, Client) {
    tokio::join!(Peer::accept(listener, 1), connect(socket, options))
}

#[tokio::test]
async fn another_store_at_the_same_address_is_refused() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let (peer, client) = connect_to_script(&listener, &socket, Options::default()).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move {
            let mut stream = client.subscribe(&scope("a"), Seq::ZERO);
            stream.next().await
        }
    });
    drop(peer);
    let other = Peer::accept(&listener, 2).await;
    let refused = |error: &ClientError| matches!(error, ClientError::OtherStore { .. });
    assert!(refused(&waiting.await.unwrap().unwrap().unwrap_err()));
    assert!(refused(&client.status().await.unwrap_err()));
    drop(other);
}

/// Reads until an event, and checks that each follows the one before.
async fn follow(stream: &mut EventStream, from: u64, to: u64) {
    for n in from..=to {
        let event = tokio::time::timeout(PATIENCE, stream.next()).await.expect("the stream hangs");
        let event = event.unwrap().unwrap();
        assert_eq!((event.seq, event.payload), (Seq(n), n.to_string().into_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_and_repeat_nothing() {
    for seed in Rng::seeds(1, 5) {
        println!("SEED={seed}");
        cut_connections(seed).await;
    }
}

async fn cut_connections(seed: u64) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 60;
    // Pages that fit into what a connection lasts; a longer one would never arrive.
    let server = Running::start(Limits { page_bytes_max: 1_000, ..Limits::default() }).await;
    let folder = private_folder();
    let proxy = Proxy::start(folder.path().join("p"), server.socket.clone());
    let mut rng = Rng::new(seed);
    // Each connection ends after so many bytes, mostly in the middle of a frame.
    proxy.change(|mood| mood.bytes_max = Some(4_000));
    let options = Options { backoff_max: Duration::from_millis(5), ..Options::default() };
    let client = connect(&proxy.socket, options).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = client.clone();
        tasks.spawn(async move {
            let name = scope(&format!("w/{writer}"));
            for n in 1..=EACH {
                let answer = client.append_one(&name, numbered(n)).await.unwrap();
                let Outcome::Committed(committed) = answer.outcome else { panic!("{answer:?}") };
                assert_eq!(committed.first.seq, Seq(n), "stored twice, or lost");
            }
        });
        let (client, stop) = (server.client().await, EACH);
        tasks.spawn(async move {
            let mut stream = client.subscribe(&scope(&format!("w/{writer}")), Seq::ZERO);
            follow(&mut stream, 1, stop).await;
        });
    }
    let (flaky, all) = (client.clone(), WRITERS * EACH + 1);
    tasks.spawn(async move {
        let mut order = flaky.subscribe_order(Position(0));
        let mut count = 0;
        let mut heads = std::collections::HashMap::new();
        while count < all {
            let (name, event) = order.next().await.unwrap().unwrap();
            let head = heads.entry(name).or_insert(Seq::ZERO);
            assert_eq!(event.seq, head.next());
            *head = event.seq;
            count += 1;
        }
    });
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
        proxy.change(|mood| mood.bytes_max = Some(3_000 + rng.index(4_000)));
        proxy.cut();
    }
    assert!(*proxy.made.borrow() > 5, "the connection was hardly cut");
    server.stop().await;
}

/// Small enough that a stall of a few pages cuts a subscription off.
fn narrow() -> Limits {
    Limits {
        session_out_bytes_max: 64 * 1024,
        page_bytes_max: 8 * 1024,
        slow_reader_ms_max: 100,
        ..Limits::default()
    }
}

async fn fill(client: &Client, name: &str, count: u64) {
    for n in 1..=count {
        client.append_one(&scope(name), numbered(n)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off_with_the_place_to_resume_from() {
    let server = Running::start(narrow()).await;
    let client = server.client().await;
    fill(&client, "a", 6_000).await;
    let mut raw = server.raw().await;
    raw.send(
        1,
        Request::Subscribe {
            scope: scope("a"),
            after: Seq::ZERO,
            filter: Filter::default(),
            replay: Replay::Off,
        },
    )
    .await;
    // While this one does not read, others are served.
    let busy = async {
        for n in 0..200 {
            client.append_one(&scope("b"), numbered(n)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    busy.await;
    let mut last = Seq::ZERO;
    let resume = loop {
        match raw.reply(1).await {
            Reply::Events(page) => {
                for entry in page {
                    let view = atomic_store_core::record::RecordView::parse(&entry.record).unwrap();
                    assert_eq!(view.seq(), last.next());
                    last = view.seq();
                }
            }
            Reply::Ended(Ended::SlowReader { resume_after, .. }) => break resume_after,
            other => panic!("{other:?}"),
        }
    };
    assert!(resume == last && last < Seq(6_000), "{resume} {last}");
    assert!(raw.works().await);
    raw.send(
        2,
        Request::Subscribe {
            scope: scope("a"),
            after: resume,
            filter: Filter::default(),
            replay: Replay::Off,
        },
    )
    .await;
    let Reply::Events(page) = raw.reply(2).await else { panic!("no page") };
    let view = atomic_store_core::record::RecordView::parse(&page[0].record).unwrap();
    assert_eq!(view.seq(), resume.next());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_stalled_resumes_where_it_was_cut_off() {
    let server = Running::start(narrow()).await;
    fill(&server.client().await, "a", 6_000).await;
    let folder = private_folder();
    let proxy = Proxy::start(folder.path().join("p"), server.socket.clone());
    let client = connect(&proxy.socket, Options::default()).await;
    let mut stream = client.subscribe(&scope("a"), Seq::ZERO);
    follow(&mut stream, 1, 10).await;
    proxy.change(|mood| mood.stalled = true);
    tokio::time::sleep(Duration::from_millis(400)).await;
    proxy.change(|mood| mood.stalled = false);
    follow(&mut stream, 11, 6_000).await;
    assert_eq!(*proxy.made.borrow(), 1, "the session was lost, not just the subscription");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_falls_behind_holds_up_nobody_and_misses_nothing() {
    let server = Running::start(Limits::default()).await;
    let options = Options { stream_bytes_max: 10_000, ..Options::default() };
    let client = connect(&server.socket, options).await;
    let mut stream = client.subscribe(&scope("a"), Seq::ZERO);
    let mut read = client.read(&scope("a"), Seq::ZERO, Seq::MAX, 4_500);
    for n in 1..=5_000 {
        // Calls of the same connection go on while the stream lies there full.
        client.append_one(&scope("a"), numbered(n)).await.unwrap();
        if n == 1 {
            follow(&mut stream, 1, 1).await;
        }
    }
    follow(&mut stream, 2, 5_000).await;
    follow(&mut read, 1, 4_500).await;
    assert!(read.next().await.is_none());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_is_not_seen_by_readers() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    let engine = engine(1, narrow());
    let server = Running::on(engine.clone(), &socket).await;
    let options = Options { stream_bytes_max: 10_000, ..Options::default() };
    let client = connect(&socket, options).await;
    let mut tail = client.subscribe(&scope("a"), Seq::ZERO);
    fill(&client, "a", 1_000).await;
    follow(&mut tail, 1, 1_000).await;
    let mut read = client.read(&scope("a"), Seq::ZERO, Seq::MAX, 900);
    follow(&mut read, 1, 1).await;
    server.stop().await;
    let server = Running::on(engine, &socket).await;
    client.append_one(&scope("a"), numbered(1_001)).await.unwrap();
    follow(&mut tail, 1_001, 1_001).await;
    follow(&mut read, 2, 900).await;
    assert!(read.next().await.is_none());
    drop((tail, read, client));
    server.stop().await;
}
