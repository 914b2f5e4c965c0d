//! Caps on what a reader gets at once, at their value and one above, over a real socket.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use atomic_store::clock::SystemClock;
use atomic_store::engine::{Drive, Engine, ReplyTo};
use atomic_store::log::MemoryLog;
use atomic_store::server::{Server, ServerOptions};
use atomic_store_core::protocol::{
    ClientFrame, Entry, Replay, Reply, Request, ServerFrame, StoreId,
};
use atomic_store_core::{
    Append, AppendId, Filter, Limits, Outcome, Position, Proposal, ScopeName, Seq, codec, frame,
};
use atomic_store_tests::{Inbox, ScriptedLoader};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn engine(limits: Limits) -> Engine {
    let log = Arc::new(MemoryLog::new(StoreId([1; 16]), limits.clone()));
    let drive = Drive::Threads(2);
    let engine = Engine::open(log, Arc::new(ScriptedLoader), Arc::new(SystemClock), limits, drive);
    let engine = engine.unwrap();
    engine.bind("*".parse().unwrap(), &"accept-all".parse().unwrap(), None).unwrap();
    engine
}

fn name() -> ScopeName {
    ScopeName::new("a").unwrap()
}

/// Appends so many events of one size.
fn fill(engine: &Engine, events: u64) {
    let inbox = Arc::<Inbox>::default();
    let to: Arc<dyn ReplyTo> = Arc::clone(&inbox) as _;
    for n in 1..=events {
        let id = AppendId(u128::from(n).to_be_bytes());
        let append = Append::new(name(), id, vec![Proposal::json("x", "12345")]);
        engine.append(append, &to, n);
        assert!(matches!(inbox.wait(n).outcome, Outcome::Committed(_)));
    }
}

async fn frame_of(stream: &mut UnixStream) -> ServerFrame {
    let read = async {
        let mut length = [0; frame::LENGTH_BYTES];
        stream.read_exact(&mut length).await.unwrap();
        let mut body = vec![0; frame::length(length, usize::MAX).unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        codec::decode(&body).unwrap()
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no frame came")
}

/// The pages that answer a request, up to its end.
async fn pages(engine: &Engine, request: Request) -> Vec<Vec<Entry>> {
    let folder = tempfile::tempdir().unwrap();
    let only_us = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path(), only_us).unwrap();
    let socket = folder.path().join("s");
    let options = ServerOptions { socket: Some(socket.clone()), ..ServerOptions::default() };
    let server = Server::bind(engine.clone(), options).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move { server.run(async { drop(stopped.await) }).await });
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream.write_all(&frame::HELLO).await.unwrap();
    let mut hello = [0; 8];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(frame::check_hello(hello), Ok(()));
    let welcome = frame_of(&mut stream).await.reply;
    let Reply::Welcome { limits, .. } = welcome else { panic!("{welcome:?}") };
    assert_eq!(*limits, *engine.limits(), "a client is told the caps of the store");
    let frame = frame::put(Vec::new(), &ClientFrame { call: 1, request }).unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut pages = Vec::new();
    loop {
        match frame_of(&mut stream).await.reply {
            Reply::Events(page) => pages.push(page),
            Reply::Done => break,
            other => panic!("{other:?}"),
        }
    }
    stop.send(()).unwrap();
    drop(stream);
    serving.await.unwrap().unwrap();
    pages
}

fn read() -> Request {
    Request::Read {
        scope: name(),
        after: Seq::ZERO,
        through: Seq::MAX,
        limit: u64::MAX,
        backwards: false,
        filter: Filter::default(),
        replay: Replay::Off,
    }
}

/// How many events the pages hold; empty pages carry nothing.
fn sizes(pages: &[Vec<Entry>]) -> Vec<usize> {
    pages.iter().map(Vec::len).filter(|len| *len > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_holds_its_events_and_one_more_goes_on_the_next() {
    for (events, expected) in [(4, vec![4]), (5, vec![4, 1]), (9, vec![4, 4, 1])] {
        let engine = engine(Limits { page_events_max: 4, ..Limits::default() });
        fill(&engine, events);
        assert_eq!(sizes(&pages(&engine, read()).await), expected, "{events} events");
        // Of the order over all scopes $system's are a part.
        let order = Request::ReadOrder {
            after: Position(0),
            through: Position(u64::MAX),
            limit: u64::MAX,
            backwards: false,
            filter: Filter::default(),
        };
        let order = sizes(&pages(&engine, order).await);
        assert!(order.iter().all(|len| *len <= 4), "{order:?}");
        assert_eq!(order.iter().sum::<usize>() as u64, events + 1, "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_holds_its_bytes_and_at_least_one_event() {
    let unlimited = engine(Limits::default());
    fill(&unlimited, 3);
    let all = pages(&unlimited, read()).await;
    assert_eq!(sizes(&all), [3]);
    let record = all[0][2].record.len();
    // Before each event, room is kept for the longest name of a scope; an entry costs two bytes for
    // its scope and the length of its record, which is longer than 127 bytes and so takes two.
    let entry = record + 3;
    let page = |max: usize| {
        let engine = engine(Limits { page_bytes_max: max, ..Limits::default() });
        fill(&engine, 3);
        async move {
            let pages = pages(&engine, read()).await;
            let bytes = |page: &Vec<Entry>| page.iter().map(|e| e.record.len()).sum::<usize>();
            let most = pages.iter().map(bytes).max().unwrap();
            assert!(most <= max.max(record), "{most} bytes on a page of {max}");
            sizes(&pages)
        }
    };
    assert_eq!(page(1).await, [1, 1, 1]);
    // The largest cap at which two events do not share a page, found by asking.
    let (mut apart, mut together) = (entry, 4 * entry + 4 * Limits::SCOPE_NAME_BYTES_MAX);
    assert_eq!(page(together).await, [3]);
    while together - apart > 1 {
        let middle = (apart + together) / 2;
        if page(middle).await.len() == 3 {
            apart = middle;
        } else {
            together = middle;
        }
    }
    assert_eq!(page(apart).await, [1, 1, 1]);
    assert_eq!(page(together).await, [2, 1]);
    assert!(together >= 2 * record, "two records of {record} bytes in {together}");
}
