//! Originator validation over the real server, beyond the suite of the Atomic Store: what that left out
//! (timeout, late, duplicate and foreign answers, overflow), its traps, and what is new here.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;
mod originator_support;

use atomic_store::engine::ORIGINATOR;
use atomic_store_client::JudgedScope;
use atomic_store_core::protocol::{Reply, Request, RequestError};
use atomic_store_core::{
    Append, Condition, Event, ExpectedHead, Key, Limits, OriginatorVerdict, Outcome, Overload,
    Proposal, Question, Seq,
};
use net_support::{append, numbered, scope};
use originator_support::{Store, committed, fail, pass, read, soon};
use std::time::Duration;
use tokio::sync::oneshot;

/// A07, A06: the deadline is that of the binding, and has an outcome of its own; a late answer is
/// refused, and the scope is free.
#[tokio::test]
async fn a07_originator_who_does_not_answer_times_out_and_a_late_answer_is_refused() {
    let store = Store::start(Limits::default()).await;
    store.bind("quick", Some(br#"{"deadline_ms": 1000}"#));
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("quick", 1, numbered(1)))).await;
    let question = raw.question(1).await;
    assert_eq!(question.within_ms, 1_000);
    let (call, answer) = raw.answer().await;
    assert_eq!((call, answer.outcome), (1, Outcome::TimedOut { after_ms: 1_000 }));
    raw.judge(2, question.correlation, pass()).await;
    let (call, reply) = raw.next().await;
    assert!(matches!(&reply, Reply::Error(RequestError::NotFound(why)) if why.contains("late")));
    assert_eq!(call, 2);
    let client = store.client().await;
    assert_eq!(read(&client, "quick").await, []);
    // It was decided: the same id gets the same outcome.
    let again = Append { repeated: true, ..append("quick", 1, numbered(1)) };
    let answer = client.append_judged(again, |_, _| async { pass() }).await.unwrap();
    assert_eq!((answer.outcome, answer.duplicate), (Outcome::TimedOut { after_ms: 1_000 }, true));
}

/// Trap 1: whatever else happens in the scope meanwhile, the deadline stands.
#[tokio::test]
async fn trap01_originator_steady_traffic_does_not_postpone_the_deadline() {
    let store = Store::start(Limits::default()).await;
    store.bind("quick", Some(br#"{"deadline_ms": 1000}"#));
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("quick", 1, numbered(1)))).await;
    raw.question(1).await;
    let client = store.client().await;
    let mut others = store.raw().await;
    let traffic = async {
        for n in 2_u64.. {
            others.send(n, Request::Append(append("quick", n.into(), numbered(n)))).await;
            others.send(n + 1_000_000, Request::Judge { correlation: n, verdict: pass() }).await;
            let query = client.query(&scope("quick"), "any", Vec::new()).await.unwrap();
            assert_eq!(query.0, Seq::ZERO);
            assert_eq!(read(&client, "quick").await, []);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Without a deadline that stands this would never end.
    let answer = soon(async {
        tokio::select! {
            answer = raw.answer() => answer,
            () = traffic => unreachable!("it never ends"),
        }
    });
    assert_eq!(answer.await.1.outcome, Outcome::TimedOut { after_ms: 1_000 });
}

/// Trap 2: an equal event under consideration does not take a late answer.
#[tokio::test]
async fn trap02_originator_an_equal_event_does_not_take_a_late_answer() {
    let store = Store::start(Limits { originator_ms_max: 60_000, ..Limits::default() }).await;
    store.bind("quick", Some(br#"{"deadline_ms": 1000}"#));
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("quick", 1, numbered(7)))).await;
    let first = raw.question(1).await;
    assert_eq!(raw.answer().await.1.outcome.word(), "timed-out");
    // This one is not to time out.
    store.bind("quick", None);
    raw.send(2, Request::Append(append("quick", 2, numbered(7)))).await;
    let second = raw.question(2).await;
    raw.judge(3, first.correlation, pass()).await;
    assert!(matches!(raw.next().await, (3, Reply::Error(RequestError::NotFound(_)))));
    raw.judge(4, second.correlation, fail("no")).await;
    assert_eq!(raw.answer().await.1.outcome.word(), "rejected");
    assert_eq!(read(&store.client().await, "quick").await, []);
}

/// A duplicate answer, an answer to nothing, one of another connection: each is refused and changes
/// nothing.
#[tokio::test]
async fn a24_originator_duplicate_and_foreign_answers_are_refused() {
    let store = Store::start(Limits::default()).await;
    let (mut raw, mut other) = (store.raw().await, store.raw().await);
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    let question = raw.question(1).await;
    for correlation in [question.correlation, 0, u64::MAX] {
        other.judge(9, correlation, fail("not mine")).await;
        assert!(matches!(other.next().await, (9, Reply::Error(RequestError::NotFound(_)))));
    }
    raw.judge(2, question.correlation, pass()).await;
    assert_eq!(raw.answer().await.1.outcome.word(), "committed");
    raw.judge(3, question.correlation, fail("changed my mind")).await;
    assert!(matches!(raw.reply_to(3).await, Reply::Error(RequestError::NotFound(_))));
    assert_eq!(read(&store.client().await, "a").await.len(), 1);
}

/// A client that goes away, or gives the call up, frees the scope at once; what it proposed is not
/// stored, and the id is free.
#[tokio::test]
async fn a24_originator_a_client_that_goes_away_frees_the_scope_at_once() {
    let store = Store::start(Limits::default()).await;
    let mut gone = store.raw().await;
    gone.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    gone.question(1).await;
    let client = store.client().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.append_judged(append("a", 2, numbered(2)), |_, _| async { pass() }).await }
    });
    drop(gone);
    committed(soon(waiting).await.unwrap().unwrap());

    // A future that is dropped while it judges.
    let (asked, was_asked) = oneshot::channel();
    let mut asked = Some(asked);
    let judging = client.append_judged(append("a", 3, numbered(3)), move |_, _| {
        asked.take().unwrap().send(()).unwrap();
        std::future::pending()
    });
    tokio::select! {
        _ = judging => panic!("nobody judged"),
        asked = was_asked => asked.unwrap(),
    }
    let next = append("a", 3, numbered(4));
    committed(soon(client.append_judged(next, |_, _| async { pass() })).await.unwrap());
    let payloads: Vec<_> = read(&client, "a").await.into_iter().map(|e| e.payload).collect();
    assert_eq!(payloads, [b"2", b"4"]);
}

/// A client that cannot judge is told so, and holds nobody up.
#[tokio::test]
async fn a24_originator_a_plain_append_is_told_to_judge() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    let error = client.append(append("a", 1, numbered(1))).await.unwrap_err();
    assert!(error.to_string().contains("append_judged"), "{error}");
    let next = append("a", 2, numbered(2));
    committed(soon(client.append_judged(next, |_, _| async { pass() })).await.unwrap());
}

/// There is no state to fork: a what-if is told so, and asks nobody.
#[tokio::test]
async fn a24_originator_a_what_if_is_told_to_be_a_dry_run() {
    let store = Store::start(Limits::default()).await;
    let engine = &store.running().engine;
    let error = engine.what_if(&scope("a"), vec![vec![numbered(1)]], None).unwrap_err();
    assert!(
        matches!(error, RequestError::Invalid { ref field, .. } if field == "scope"),
        "{error:?}"
    );
}

/// A08: the mailbox is bounded also while a question is open.
#[tokio::test]
async fn a08_originator_a_full_mailbox_is_told_and_the_rest_is_asked_in_order() {
    let store = Store::start(Limits { mailbox_len_max: 3, ..Limits::default() }).await;
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    let mut question = raw.question(1).await;
    for call in 2..=6 {
        raw.send(call, Request::Append(append("a", call.into(), numbered(call)))).await;
    }
    for call in [5, 6] {
        let (refused, answer) = raw.answer().await;
        assert_eq!((refused, answer.outcome), (call, Outcome::Overloaded(Overload::Mailbox)));
    }
    for call in 1..=4 {
        raw.judge(100 + call, question.correlation, pass()).await;
        let (answered, answer) = raw.answer().await;
        assert_eq!((answered, answer.outcome.word()), (call, "committed"));
        if call < 4 {
            question = raw.question(call + 1).await;
        }
    }
}

/// A09, trap 5: reads and queries during a question are answered at once, and never show the proposal.
#[tokio::test]
async fn a09_originator_queries_and_reads_do_not_wait_for_the_verdict() {
    let store = Store::start(Limits::default()).await;
    let client = store.client().await;
    let other = client.clone();
    let judge = |past: Vec<Event>, _: Question| {
        let client = other.clone();
        async move {
            let (head, answer) = soon(client.query(&scope("a"), "x", Vec::new())).await.unwrap();
            assert!(answer.unwrap_err().contains("answers no queries"));
            assert_eq!((head, past.len()), (Seq(past.len() as u64), past.len()));
            assert_eq!(read(&client, "a").await, past);
            pass()
        }
    };
    for n in 1..=3 {
        committed(client.append_judged(append("a", n, numbered(1)), judge).await.unwrap());
    }
}

/// A03: past events come from the one that the client names; the fold goes on from append to append.
#[tokio::test]
async fn a03_originator_past_events_come_from_the_one_that_the_client_knows() {
    let limits = Limits { page_events_max: 2, ..Limits::default() };
    let store = Store::start(limits).await;
    let client = store.client().await;
    let sum = |sum: &mut u64, event: &Event| *sum += u64::from(event.payload[0] - b'0');
    let mut judged = JudgedScope::new(client.clone(), scope("a"), 0, sum);
    let below_20 = |sum: &u64, _: &Question| if *sum < 20 { pass() } else { fail("enough") };
    for _ in 0..2 {
        committed(judged.append(vec![numbered(4)], below_20).await.unwrap());
    }
    assert_eq!((judged.known(), *judged.state()), (Seq(1), 4));
    // What others store in between is part of the next question, over as many pages as it takes.
    for n in 1..=5 {
        let judge = |_, _| async { pass() };
        committed(client.append_judged(append("a", n, numbered(2)), judge).await.unwrap());
    }
    committed(judged.append(vec![numbered(4)], below_20).await.unwrap());
    let answer = judged.append(vec![numbered(4)], below_20).await.unwrap();
    assert_eq!((answer.outcome.word(), *judged.state()), ("rejected", 22));

    let from = |known| Append { known, ..append("a", 99, numbered(1)) };
    let judge = |past: Vec<Event>, _: Question| {
        let seqs: Vec<_> = past.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [Seq(7), Seq(8)]);
        async { fail("seen") }
    };
    let answer = client.append_judged(from(Seq(6)), judge).await.unwrap();
    assert_eq!(answer.outcome.word(), "rejected");
    let answer = client.append_judged(from(Seq(9)), |_, _| async { pass() }).await.unwrap();
    assert!(matches!(&answer.outcome, Outcome::Invalid { field, .. } if field == "known"));
}

/// Expected head, conditions, dry runs and repeated ids mean what they mean elsewhere.
#[tokio::test]
async fn a24_originator_conditions_dry_runs_and_repeated_ids_work_as_with_wasm() {
    let mut store = Store::start(Limits::default()).await;
    let client = store.client().await;
    let yes = |_: Vec<Event>, _: Question| async { pass() };
    let keyed = Proposal { keys: vec![Key::new("lot", "1")], ..numbered(1) };
    let first = append("a", 1, keyed.clone());
    let stored = client.append_judged(first.clone(), yes).await.unwrap();
    committed(stored.clone());
    let head =
        Append { expected_head: ExpectedHead::Exactly(Seq(5)), ..append("a", 2, numbered(1)) };
    assert_eq!(client.append_judged(head, yes).await.unwrap().outcome.word(), "head-mismatch");
    let condition = Some(Condition::default());
    let stale = Append { condition, ..append("a", 3, keyed) };
    assert_eq!(client.append_judged(stale, yes).await.unwrap().outcome.word(), "conflict");
    let dry = Append { dry_run: true, ..append("a", 4, numbered(1)) };
    let would = committed(client.append_judged(dry, yes).await.unwrap());
    assert_eq!((would.first.seq, read(&client, "a").await.len()), (Seq(2), 1));
    drop(client);
    store.crash().await;
    let client = store.client().await;
    let again = Append { repeated: true, ..first };
    let nobody = |_: Vec<Event>, _: Question| async { panic!("it was decided before") };
    let answer = client.append_judged(again, nobody).await.unwrap();
    assert!(answer.duplicate && answer.outcome == stored.outcome, "{answer:?}");
}

/// A verdict has the caps of a guest's answer; one that breaks them is refused, and may be mended.
#[tokio::test]
async fn a24_originator_a_verdict_has_its_caps() {
    let limits = Limits::default();
    let store = Store::start(limits.clone()).await;
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    let question = raw.question(1).await;
    let long = |bytes: usize| Some(vec![7; bytes]);
    let pass = |reason: usize, meta: usize| OriginatorVerdict::Pass {
        reason: Some("x".repeat(reason)),
        meta: long(meta),
    };
    let (message, data) = (limits.reason_message_bytes_max, limits.answer_data_bytes_max);
    let none = OriginatorVerdict::Fail { reasons: Vec::new(), meta: None };
    for bad in [pass(message + 1, 0), pass(0, data + 1), none] {
        raw.judge(2, question.correlation, bad).await;
        assert!(matches!(raw.next().await, (2, Reply::Error(RequestError::Invalid { .. }))));
    }
    raw.judge(3, question.correlation, pass(message, data)).await;
    let stored = committed(raw.answer().await.1);
    assert_eq!((stored.reason.unwrap().len(), stored.meta.unwrap().len()), (message, data));
}

/// The deadline of a binding has its cap; a configuration that cannot be is refused when it is bound.
#[tokio::test]
async fn the_deadline_of_an_originator_is_the_cap_at_most() {
    let store = Store::start(Limits { originator_ms_max: 30_000, ..Limits::default() }).await;
    let try_to_bind = |config: &str| {
        let config = Some(config.as_bytes().to_vec());
        store.running().engine.bind("b".parse().unwrap(), &ORIGINATOR.parse().unwrap(), config)
    };
    for bad in [r#"{"deadline_ms": 30001}"#, r#"{"deadline_ms": 0}"#, r#"{"deadlin": 1}"#, "x"] {
        let error = try_to_bind(bad).unwrap_err();
        assert!(matches!(error, RequestError::Invalid { ref field, .. } if field == "config"));
    }
    for (config, within_ms) in [(r#"{"deadline_ms": 30000}"#, 30_000), ("{}", 30_000)] {
        try_to_bind(config).unwrap();
        let mut raw = store.raw().await;
        raw.send(1, Request::Append(append("b", 1, numbered(1)))).await;
        assert_eq!(raw.question(1).await.within_ms, within_ms);
    }
}

/// An orderly end does not wait for a verdict that cannot come any more.
#[tokio::test]
async fn an_open_question_does_not_hold_up_the_end_of_the_server() {
    let store = Store::start(Limits { originator_ms_max: 3_600_000, ..Limits::default() }).await;
    let mut raw = store.raw().await;
    raw.send(1, Request::Append(append("a", 1, numbered(1)))).await;
    raw.question(1).await;
    raw.send(2, Request::Append(append("a", 2, numbered(2)))).await;
    let engine = store.running().engine.clone();
    while engine.status().in_flight < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stopped = tokio::spawn(store.stop());
    for _ in 0..2 {
        let (_, answer) = raw.answer().await;
        assert!(matches!(answer.outcome, Outcome::ReadOnly { .. }), "{answer:?}");
    }
    soon(stopped).await.unwrap();
    assert!(engine.close(Duration::from_secs(30)));
}
