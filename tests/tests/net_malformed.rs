//! Bytes that are not the protocol: an error or a close, for this session only, and no memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::Client;
use atomic_store_core::protocol::{At, Replay, Reply, Request, RequestError, ServerFrame};
use atomic_store_core::{Filter, Key, Limits, Outcome, Proposal, frame};
use atomic_store_tests::Rng;
use net_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What must follow bytes that are no frame.
#[derive(Clone, Copy, Debug)]
enum Then {
    Goodbye,
    Close,
}

fn append_bytes() -> Vec<u8> {
    encoded(5, Request::Append(append("a", 1, numbered(1))))
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [length.as_slice(), body].concat()
}

fn table() -> Vec<(&'static str, Vec<u8>, Then)> {
    let good = append_bytes();
    let above = u32::try_from(Limits::default().frame_bytes_max + 1).unwrap();
    let mut trailing = framed(&[&good[4..], &[0]].concat());
    trailing.extend(&good);
    vec![
        ("zero length", framed(&[]), Then::Goodbye),
        ("length above the cap", above.to_le_bytes().to_vec(), Then::Goodbye),
        ("greatest length", u32::MAX.to_le_bytes().to_vec(), Then::Goodbye),
        ("trailing byte", trailing, Then::Goodbye),
        ("body cut short", framed(&good[4..good.len() - 1]), Then::Goodbye),
        ("unknown request", framed(&[5, 99]), Then::Goodbye),
        ("call 0", framed(&[0, 15]), Then::Goodbye),
        ("endless varint", framed(&[0xff; 40]), Then::Goodbye),
        ("bad scope name", framed(&[5, 2, 3, b'a', b' ', b'b', 0, 0, 9]), Then::Goodbye),
        ("text of lying length", framed(&[5, 6, 0xff, 0xff, 0xff, 0xff, 7]), Then::Goodbye),
        ("HTTP after the hello", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Then::Goodbye),
        ("frame and then the end", good[..9].to_vec(), Then::Close),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_malformed_frame_ends_its_own_session_only() {
    let server = Running::start(Limits::default()).await;
    let mut other = server.raw().await;
    for (name, bytes, then) in table() {
        let mut raw = server.raw().await;
        raw.bytes(&bytes).await;
        match then {
            Then::Goodbye => match raw.frame().await {
                Some(ServerFrame { call: 0, reply: Reply::Error(RequestError::Goodbye(_)) }) => {}
                other => panic!("{name}: {other:?}"),
            },
            Then::Close => raw.stream.shutdown().await.unwrap(),
        }
        assert!(raw.frame().await.is_none(), "{name}: the session goes on");
        assert!(other.works().await, "{name}: another session is affected");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_greet_is_not_answered() {
    let server = Running::start(Limits::default()).await;
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"POST / HTTP/1.1\r\n", &[0; 64]] {
        let mut raw = Raw::connect(&server.socket).await;
        raw.bytes(bytes).await;
        let mut got = Vec::new();
        drop(raw.stream.read_to_end(&mut got).await);
        assert!(got.is_empty(), "{got:?}");
    }
    let mut raw = Raw::connect(&server.socket).await;
    raw.bytes(b"ATSTORE\x02").await;
    let mut got = Vec::new();
    raw.stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, frame::HELLO, "another version learns ours, and nothing else");
    assert!(server.raw().await.works().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_of_good_frames_never_reach_other_sessions() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    println!("SEED={seed}");
    let mut rng = Rng::new(seed);
    let server = Running::start(Limits::default()).await;
    let mut other = server.raw().await;
    let requests = [
        append_bytes(),
        encoded(
            6,
            Request::ListScopes { live: false, prefix: "a".into(), after: "".into(), limit: 9 },
        ),
        encoded(
            7,
            Request::Subscribe {
                scope: scope("a"),
                after: atomic_store_core::Seq(0),
                filter: Filter::default(),
                replay: Replay::Off,
            },
        ),
        encoded(8, Request::LoadValidator { part: vec![1; 20], last: true }),
        encoded(
            9,
            Request::Query { scope: scope("a"), name: "x".into(), args: vec![2; 9], at: At::Head },
        ),
    ];
    for round in 0..600 {
        let mut raw = server.raw().await;
        let mut bytes: Vec<u8> = requests.concat();
        for _ in 0..1 + rng.below(4) {
            let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
            match rng.below(3) {
                0 => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
            }
        }
        // The server may have closed already; that is one of the right answers.
        drop(raw.stream.write_all(&bytes).await);
        drop(raw.stream.shutdown().await);
        let mut rest = Vec::new();
        let read = raw.stream.read_to_end(&mut rest);
        drop(tokio::time::timeout(PATIENCE, read).await.expect("the session hangs"));
        if round % 50 == 0 {
            assert!(other.works().await, "SEED={seed}, round {round}");
        }
    }
    assert!(other.works().await);
    server.stop().await;
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_lengths_and_tiny_elements_cost_no_memory() {
    let server = Running::start(Limits::default()).await;
    let before = resident();
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut raw = server.raw().await;
        let length = u32::try_from(Limits::default().frame_bytes_max).unwrap();
        raw.bytes(&[length.to_le_bytes().as_slice(), &[7; 100]].concat()).await;
        open.push(raw);
    }
    // Four million empty keys are 8 MiB of frame, and would be 200 MiB of keys.
    let key = Key { kind: String::new(), id: String::new() };
    let mut frame = Vec::new();
    {
        let proposal = Proposal { keys: vec![key; 1], ..numbered(1) };
        let small = encoded(5, Request::Append(append("a", 1, proposal)));
        let keys = 4_000_000_usize;
        // The number of keys is the one before the last six bytes: two of the key, triggers,
        // metadata, and the time that is not given.
        let at = small.len() - 6;
        assert_eq!(small[at], 1);
        frame.extend(&small[4..at]);
        let mut number = keys;
        while number >= 0x80 {
            frame.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        frame.push(u8::try_from(number).unwrap());
        frame.resize(frame.len() + 2 * keys, 0);
        frame.extend([0, 0, 0]);
    }
    let mut raw = server.raw().await;
    raw.bytes(&framed(&frame)).await;
    match raw.reply(5).await {
        Reply::Answer(answer) => {
            assert!(matches!(answer.outcome, Outcome::Invalid { field, .. } if field == "keys"));
        }
        other => panic!("{other:?}"),
    }
    assert!(raw.works().await);
    let grown = resident().saturating_sub(before);
    // The frame here, once more framed, and once in the server, which may have doubled its buffer.
    assert!(grown < 96 * 1024 * 1024, "grew by {grown} bytes");
    server.stop().await;
}

// A session collects the loops of the appends of one read and wakes them together. It once went away
// on a malformed frame without waking them, and held them for as long as its client did not read;
// until then nobody's appends to those scopes were decided.
#[tokio::test(flavor = "multi_thread")]
async fn appends_before_a_malformed_frame_do_not_hold_up_their_scopes() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    // Whoever is held up is so each time; a busy machine may be so once.
    let mut soon = false;
    for attempt in 0..5 {
        soon = soon || goes_on(&server, &client, attempt).await;
    }
    assert!(soon, "the scopes are held up");
    server.stop().await;
}

/// True if scopes with an append before a malformed frame go on at once.
async fn goes_on(server: &Running, client: &Client, attempt: u32) -> bool {
    let mut raw = server.raw().await;
    let scopes: Vec<_> = (0..20).map(|n| format!("held/{attempt}/{n}")).collect();
    let mut bytes = Vec::new();
    for (n, name) in (1..).zip(&scopes) {
        bytes.extend(encoded(n, Request::Append(append(name, u128::from(n), numbered(n)))));
    }
    bytes.extend(framed(&[]));
    raw.bytes(&bytes).await;
    // The raw client reads nothing and stays; its session lingers.
    for name in &scopes {
        let scope = scope(name);
        let call = client.append_one(&scope, numbered(1));
        let soon = std::time::Duration::from_millis(400);
        let Ok(answer) = tokio::time::timeout(soon, call).await else { return false };
        assert!(matches!(answer.unwrap().outcome, Outcome::Committed(_)));
    }
    true
}
