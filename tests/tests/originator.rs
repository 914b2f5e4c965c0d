//! Validation by the client that submits, over the real server: the cases of the suite of the Atomic
//! Store in the mode that it had (AT01..AT16; AT17 is in `originator_property.rs`). What it left out is
//! in `originator_edges.rs`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;
mod originator_support;

use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{
    Append, AppendId, ContentType, Event, Key, Limits, OriginatorVerdict, Outcome, Proposal,
    Question, Seq,
};
use net_support::{append, numbered, scope};
use originator_support::{Store, committed, fail, pass, read, soon};
use std::time::Duration;

/// AT01: everything of an event comes back as it was proposed, to the judge and to readers.
#[tokio::test]
async fn at01_originator_an_event_keeps_every_field() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    let proposal = Proposal {
        kind: "bid".to_owned(),
        content_type: ContentType::from("application/x-bid"),
        payload: (0..=u8::MAX).collect(),
        keys: vec![Key::new("lot", "1")],
        triggers: vec![Key::new("lot", "3")],
        metadata: vec![("trace".to_owned(), "\u{e9}\u{4e2d}".to_owned())],
        caller_ms: Some(u64::MAX),
    };
    let first = Append::new(scope("a"), AppendId([1; 16]), vec![proposal.clone()]);
    committed(client.append_judged(first, |_, _| async { pass() }).await.unwrap());
    let stored = read(&client, "a").await;
    let event = &stored[0];
    assert_eq!((&event.kind, &event.payload), (&proposal.kind, &proposal.payload));
    assert_eq!((&event.keys, &event.triggers), (&proposal.keys, &proposal.triggers));
    assert_eq!((&event.metadata, event.caller_ms), (&proposal.metadata, proposal.caller_ms));
    assert_eq!(event.content_type, proposal.content_type);
    let second = append("a", 2, numbered(2));
    let judge = |past: Vec<Event>, _: Question| {
        assert_eq!(past, stored);
        async { fail("seen") }
    };
    let answer = client.append_judged(second, judge).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Rejected(_)));
}

/// AT02, AT03, AT05: no scope is live at first; a query or a read finds nothing; the first append makes
/// its scope live.
#[tokio::test]
async fn at02_at03_at05_originator_scopes_come_to_life_with_their_first_append() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    assert_eq!(client.status().await.unwrap().live, 0);
    assert_eq!(read(&client, "a").await, []);
    let judge = |past: Vec<Event>, question: Question| {
        assert_eq!((past.len(), question.head, question.scope), (0, Seq::ZERO, scope("a")));
        async { pass() }
    };
    committed(client.append_judged(append("a", 1, numbered(1)), judge).await.unwrap());
    assert_eq!(client.status().await.unwrap().live, 1);
}

/// AT04, AT16: a log that was killed is not live, and comes back with all its events.
#[tokio::test]
async fn at04_at16_originator_events_survive_the_end_of_the_store() {
    let mut store = Store::start(Limits::default()).await;
    let client = store.client().await;
    for n in 1..=2 {
        let judged = client.append_judged(append("a", n, numbered(1)), |_, _| async { pass() });
        committed(judged.await.unwrap());
    }
    let before = read(&client, "a").await;
    drop(client);
    store.crash().await;
    let client = store.client().await;
    assert_eq!(client.status().await.unwrap().live, 0);
    assert_eq!(read(&client, "a").await, before);
    assert_eq!(before.len(), 2);
}

/// AT06, AT07: what passes is stored, last; reason and meta come with the answer and are not stored.
#[tokio::test]
async fn at06_at07_originator_what_passes_is_stored_and_meta_is_returned() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    let verdict = OriginatorVerdict::Pass {
        reason: Some("the highest so far".to_owned()),
        meta: Some(vec![1, 2, 3]),
    };
    let judge = |_, _| async { verdict.clone() };
    let answer = client.append_judged(append("a", 1, numbered(7)), judge).await.unwrap();
    let stored = committed(answer);
    assert_eq!(stored.reason.as_deref(), Some("the highest so far"));
    assert_eq!(stored.meta, Some(vec![1, 2, 3]));
    let events = read(&client, "a").await;
    assert_eq!((events.len(), events[0].seq, events[0].hash), (1, Seq(1), stored.hash));
    assert_eq!(events[0].metadata, []);
}

/// AT08: what fails is not stored; reasons and meta come with the answer.
#[tokio::test]
async fn at08_originator_what_fails_is_not_stored() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    let judge = |_, _| async { fail("too-low") };
    let answer = client.append_judged(append("a", 1, numbered(7)), judge).await.unwrap();
    let Outcome::Rejected(refusal) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((refusal.reasons[0].code.as_str(), refusal.meta), ("too-low", Some(vec![9])));
    assert_eq!(read(&client, "a").await, []);
}

/// AT09, A23: the second append is asked about only after the first has its answer, on one connection
/// as they come.
#[tokio::test]
async fn at09_originator_the_next_question_comes_after_the_answer_before() {
    let store = Store::start(Limits::default()).await;
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    raw.send(2, Request::Append(append("a", 2, numbered(2)))).await;
    let first = raw.question(1).await;
    assert_eq!((first.head, first.scope), (Seq::ZERO, scope("a")));
    raw.nothing_for(Duration::from_millis(50)).await;
    raw.judge(3, first.correlation, pass()).await;
    let mut frames = [raw.next().await, raw.next().await];
    frames.sort_by_key(|(call, _)| std::cmp::Reverse(*call));
    assert_eq!(frames[0], (3, Reply::Done));
    assert!(
        matches!(&frames[1], (1, Reply::Answer(a)) if matches!(a.outcome, Outcome::Committed(_)))
    );
    // The event of the first is past for the second.
    let (call, page) = raw.next().await;
    let Reply::Events(page) = page else { panic!("{page:?}") };
    assert_eq!((call, page.len()), (2, 1));
    let second = raw.question(2).await;
    assert!(second.correlation > first.correlation && second.head == Seq(1));
}

/// AT10, A17, A18, trap 4: an append under consideration is gone after a crash, nobody has it, and its
/// scope is free at once.
#[tokio::test]
async fn at10_originator_a_crash_forgets_the_question_and_frees_the_scope() {
    let mut store = Store::start(Limits::default()).await;
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    raw.question(1).await;
    store.crash().await;
    let client = store.client().await;
    assert_eq!(read(&client, "a").await, []);
    let next = append("a", 2, numbered(2));
    committed(soon(client.append_judged(next, |_, _| async { pass() })).await.unwrap());
}

/// AT11, trap 10: equal events may be stored.
#[tokio::test]
async fn at11_originator_equal_events_are_stored_in_order() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    for (id, n) in [(1, 7), (2, 8), (3, 7)] {
        let judged = client.append_judged(append("a", id, numbered(n)), |_, _| async { pass() });
        committed(judged.await.unwrap());
    }
    let payloads: Vec<_> = read(&client, "a").await.into_iter().map(|e| e.payload).collect();
    assert_eq!(payloads, [b"7", b"8", b"7"]);
}

/// AT12, A10: a question about one scope does not hold up another.
#[tokio::test]
async fn at12_originator_scopes_are_judged_beside_each_other() {
    let store = Store::start(Limits::default()).await;
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    let a = raw.question(1).await;
    raw.send(2, Request::Append(append("b", 2, numbered(2)))).await;
    let b = raw.question(2).await;
    raw.judge(3, b.correlation, pass()).await;
    raw.judge(4, a.correlation, fail("no")).await;
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        if let (call, Reply::Answer(answer)) = raw.next().await {
            outcomes.push((call, answer.outcome.word()));
        }
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(1, "rejected"), (2, "committed")]);
    let client = store.client().await;
    assert_eq!((read(&client, "a").await.len(), read(&client, "b").await.len()), (0, 1));
}

/// AT13, AT14, AT15, A12, A13: a verdict goes to its question by number, whatever else it could be taken
/// for; there is no other way and no envelope that could contradict it.
#[tokio::test]
async fn at13_at14_at15_originator_a_verdict_finds_its_question_by_number() {
    let store = Store::start(Limits::default()).await;
    let mut raw = store.raw().await;
    // Equal events, in two scopes, under consideration at the same time.
    raw.send(1, Request::Append(append("a", 1, numbered(7)))).await;
    let a = raw.question(1).await;
    raw.send(2, Request::Append(append("b", 1, numbered(7)))).await;
    let b = raw.question(2).await;
    raw.judge(3, b.correlation, fail("b")).await;
    let (call, reply) = raw.answer().await;
    assert_eq!((call, reply.outcome.word()), (2, "rejected"));
    raw.judge(4, a.correlation, pass()).await;
    let (call, reply) = raw.answer().await;
    assert_eq!((call, reply.outcome.word()), (1, "committed"));
}
