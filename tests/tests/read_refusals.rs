//! Reads that are refused: what is too large, malformed or makes no sense gets a typed error that says
//! what to do, and the session goes on.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store_client::{Client, ClientError, Selection};
use atomic_store_core::protocol::{Replay, Reply, Request, RequestError};
use atomic_store_core::{
    Append, Filter, Key, Limits, Outcome, PageTokenError, Position, Proposal, Seq, Span,
};
use net_support::*;

async fn store(client: &Client, proposals: Vec<Proposal>) {
    let append = Append::new(scope("a"), client.new_id(), proposals);
    let answer = client.append(append).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Committed(_)), "{answer:?}");
}

fn key(id: usize) -> Key {
    Key::new("book", &id.to_string())
}

/// What a read and a subscription are refused with; they must agree.
async fn refusal(client: &Client, selection: &Selection) -> (String, String) {
    let mut fields = Vec::new();
    for mut stream in [client.select(selection), client.follow(selection)] {
        match stream.next().await {
            Some(Err(ClientError::Request(RequestError::Invalid { field, why }))) => {
                fields.push((field, why));
            }
            other => panic!("{other:?}"),
        }
        assert!(stream.next().await.is_none(), "a stream goes on after its error");
    }
    assert_eq!(fields[0], fields[1]);
    fields.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_at_its_caps_is_served_and_one_more_is_refused_by_name() {
    let limits = Limits { filter_max: 3, ..Limits::default() };
    let server = Running::start(limits).await;
    let client = server.client().await;
    store(&client, vec![Proposal { keys: vec![key(1)], ..numbered(1) }]).await;
    let keys = |count| (0..count).map(key).collect::<Vec<_>>();
    let texts = |count| vec!["n".to_owned(); count];
    let open = Filter::default();
    let with = |filter: Filter| Selection::of(&scope("a")).filter(filter);
    let mut found = client.select(&with(Filter { keys: keys(3), ..open.clone() }));
    assert_eq!(found.next().await.unwrap().unwrap().event.seq, Seq(1));
    let at = Filter { keys: keys(3), kinds: texts(3), ..open.clone() };
    assert!(client.follow(&with(at)).next().await.unwrap().is_ok());
    for (filter, field) in [
        (Filter { keys: keys(4), ..open.clone() }, "filter.keys"),
        (Filter { triggers: keys(4), ..open.clone() }, "filter.triggers"),
        (Filter { kinds: texts(4), ..open.clone() }, "filter.kinds"),
        (Filter { key_kinds: texts(4), ..open.clone() }, "filter.key_kinds"),
        (Filter { keys: vec![Key::new("book", "")], ..open.clone() }, "filter.keys"),
        (Filter { triggers: vec![Key::new("", "1")], ..open.clone() }, "filter.triggers"),
        (Filter { kinds: vec![String::new()], ..open.clone() }, "filter.kinds"),
        (Filter { kinds: vec!["x".repeat(129)], ..open.clone() }, "filter.kinds"),
        (
            Filter { host_ms: Span { from: Some(2), until: Some(2) }, ..open.clone() },
            "filter.host_ms",
        ),
        (
            Filter { caller_ms: Span { from: Some(3), until: Some(2) }, ..open.clone() },
            "filter.caller_ms",
        ),
    ] {
        assert_eq!(refusal(&client, &with(filter.clone())).await.0, field);
        let (named, why) = refusal(&client, &Selection::all().filter(filter)).await;
        assert_eq!(named, field);
        assert!(!why.is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_has_its_number_of_keys_and_of_triggers() {
    let limits = Limits { replay_keys_max: 3, ..Limits::default() };
    let server = Running::start(limits).await;
    let client = server.client().await;
    let (dawn, dusk) = (Key::new("clock", "dawn"), Key::new("clock", "dusk"));
    for id in 0..4 {
        // Three books at dawn, four at dusk.
        let triggers = if id < 3 { vec![dawn.clone(), dusk.clone()] } else { vec![dusk.clone()] };
        store(&client, vec![Proposal { keys: vec![key(id)], triggers, ..numbered(1) }]).await;
    }
    store(&client, vec![Proposal::effect("rings", dawn, "{}")]).await;
    let replay = |after| Selection::of(&scope("a")).after(after).replay(Replay::Touched);
    let mut stream = client.select(&replay(4));
    for seq in 1..=3 {
        let found = stream.next().await.unwrap().unwrap();
        assert!(found.replayed && found.event.seq == Seq(seq));
    }
    assert!(stream.next().await.is_none());
    store(&client, vec![Proposal::effect("rings", dusk, "{}")]).await;
    let (field, why) = refusal(&client, &replay(5)).await;
    assert_eq!(field, "replay");
    assert!(why.contains("more than 3 keys") && why.contains("through"), "{why}");
    // Without a past there is nothing to touch.
    assert_eq!(client.select(&replay(0)).next().await.unwrap().unwrap().event.seq, Seq(1));
    let alarms = (0..4).map(|n| Key::new("alarm", &n.to_string())).collect();
    store(&client, vec![Proposal { triggers: alarms, ..numbered(1) }]).await;
    let (field, why) = refusal(&client, &replay(6)).await;
    assert_eq!(field, "replay");
    assert!(why.contains("more than 3 triggers"), "{why}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_says_what_to_do() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let mut raw = server.raw().await;
    let (filter, replay) = (Filter::default(), Replay::Touched);
    raw.send(
        1,
        Request::Read {
            scope: scope("a"),
            after: Seq::ZERO,
            through: Seq::MAX,
            limit: 1,
            backwards: true,
            filter,
            replay,
        },
    )
    .await;
    match raw.reply(1).await {
        Reply::Error(RequestError::Invalid { field, .. }) => assert_eq!(field, "backwards"),
        other => panic!("{other:?}"),
    }
    assert!(raw.works().await);
    let (field, why) = refusal(&client, &Selection::all().replay(Replay::Touched)).await;
    assert!(field == "replay" && why.contains("name it"), "{why}");
    for (selection, field) in [
        (Selection::of(&scope("a")).backwards(), "backwards"),
        (Selection::of(&scope("a")).through(5), "through"),
    ] {
        match client.follow(&selection).next().await {
            Some(Err(ClientError::Request(RequestError::Invalid { field: named, .. }))) => {
                assert_eq!(named, field);
            }
            other => panic!("{other:?}"),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_question_is_refused() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    store(&client, (1..=5).map(numbered).collect()).await;
    let selection = Selection::of(&scope("a")).limit(2);
    let mut stream = client.select(&selection);
    while stream.next().await.is_some() {}
    let token = stream.page().unwrap();
    let other = Filter { kinds: vec!["n".to_owned()], ..Filter::default() };
    for wrong in [
        Selection::all(),
        Selection::of(&scope("b")),
        Selection::of(&scope("a")).backwards(),
        Selection::of(&scope("a")).filter(other),
        Selection::of(&scope("a")).replay(Replay::Touched),
    ] {
        assert_eq!(wrong.page(&token).unwrap_err(), PageTokenError::Other);
    }
    let mut next = client.select(&selection.clone().page(&token).unwrap());
    assert_eq!(next.next().await.unwrap().unwrap().event.seq, Seq(3));
    server.stop().await;
}

/// A filter of millions of tiny elements must not cost memory, be it whole or cut.
#[tokio::test(flavor = "multi_thread")]
async fn oversized_filters_are_counted_and_not_decoded() {
    let server = Running::start(Limits::default()).await;
    let keys = vec![Key::new("", ""); 200_000];
    let filter = Filter { keys, ..Filter::default() };
    let mut raw = server.raw().await;
    for request in [
        Request::SubscribeOrder { after: Position(0), filter: filter.clone() },
        Request::Subscribe {
            scope: scope("a"),
            after: Seq::ZERO,
            filter: filter.clone(),
            replay: Replay::Off,
        },
    ] {
        raw.send(1, request).await;
        match raw.reply(1).await {
            Reply::Error(RequestError::Invalid { field, why }) => {
                assert_eq!(field, "filter.keys");
                assert!(why.contains("200000") && why.contains("at most 64"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        assert!(raw.works().await);
    }
    let mut cut = encoded(1, Request::SubscribeOrder { after: Position(0), filter });
    cut.truncate(300_000);
    let length = u32::try_from(cut.len() - 4).unwrap();
    cut[..4].copy_from_slice(&length.to_le_bytes());
    raw.bytes(&cut).await;
    match raw.reply(0).await {
        Reply::Error(RequestError::Goodbye(_)) => {}
        other => panic!("{other:?}"),
    }
    server.stop().await;
}
