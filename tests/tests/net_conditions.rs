//! Conditions, conflicts and dry runs over the wire: through the client, against a real server.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod library;
mod net_support;

use atomic_store_client::Client;
use atomic_store_core::protocol::{Reply, Request};
use atomic_store_core::{Append, Event, Limits, Outcome, Position, Proposal, Seq};
use library::{about, book, conflicts, effect, linking, numbers, person};
use net_support::{Running, scope};

const SCOPE: &str = library::SCOPE;

async fn ask(client: &Client, append: Append) -> Outcome {
    let answer = client.append(Append { id: client.new_id(), ..append }).await.unwrap();
    assert!(!answer.duplicate);
    answer.outcome
}

async fn events(client: &Client) -> Vec<Event> {
    let (mut events, mut stream) = (Vec::new(), client.read(&scope(SCOPE), Seq(0), Seq::MAX, 999));
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_conflicts_and_dry_runs_work_over_a_socket() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let append = library::append;
    let first = append(vec![linking(&["Emma"], &["Ann"]), about(&["Persuasion"])]);
    assert_eq!(numbers(&ask(&client, first.since(Seq(0))).await), (1, 2));
    assert_eq!(numbers(&ask(&client, append(vec![effect("Ann")])).await), (3, 3));
    // CT09, CT12, CT14, CT15, CT17, CT19, CT21.
    let unknown = ask(&client, append(vec![about(&["x"])]).since(Seq(4))).await;
    assert_eq!(unknown, Outcome::UnknownBase { next: Seq(4) });
    let second = || append(vec![about(&["x"]), about(&["Persuasion"]), about(&["Emma"])]);
    let told = ask(&client, second().since(Seq(2))).await;
    assert_eq!(conflicts(&told), (2, vec![(Some(2), 6, 3)]));
    let Outcome::Conflict { conflicts: found, .. } = told else { panic!() };
    assert_eq!((&found[0].key, &found[0].trigger), (&book("Emma"), &Some(person("Ann"))));
    assert_eq!(*found[0].theirs, events(&client).await[2]);
    let all = ask(&client, second().since(Seq(0)).watch([book("Persuasion")]).all_conflicts());
    let expected = vec![(None, 4, 2), (Some(1), 5, 2), (Some(2), 6, 1), (Some(2), 6, 3)];
    assert_eq!(conflicts(&all.await), (0, expected));
    let dry = ask(&client, second().since(Seq(2)).resolved([Seq(3)]).dry_run()).await;
    let Outcome::Committed(would) = dry else { panic!("{dry:?}") };
    assert_eq!((would.first.seq, would.last.seq), (Seq(4), Seq(6)));
    assert_eq!((would.first.position, events(&client).await.len()), (Position(0), 3));
    assert_eq!(numbers(&ask(&client, second().since(Seq(2)).resolved([Seq(3)])).await), (4, 6));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_asked_for_again_is_answered_as_before() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    ask(&client, library::append(vec![about(&["Emma"])])).await;
    let conflicting = library::append(vec![about(&["Emma"])]).since(Seq(0));
    let first = client.append(conflicting.clone()).await.unwrap();
    ask(&client, library::append(vec![about(&["Emma"])])).await;
    let again = client.append(Append { repeated: true, ..conflicting }).await.unwrap();
    assert_eq!((again.outcome, again.duplicate), (first.outcome, true));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_conflicts_fit_into_a_frame() {
    let server = Running::start(Limits::default()).await;
    let client = server.client().await;
    let large = Proposal { payload: vec![b'1'; 900_000], ..about(&["Emma"]) };
    for _ in 0..12 {
        ask(&client, library::append(vec![large.clone()])).await;
    }
    let all = library::append(vec![about(&["Emma"])]).since(Seq(0)).all_conflicts();
    assert_eq!(conflicts(&ask(&client, all).await).1, [(Some(0), 13, 1)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_beyond_their_caps_are_refused_and_the_session_goes_on() {
    let server = Running::start(Limits::default()).await;
    let mut raw = server.raw().await;
    let append = || library::append(vec![about(&["Emma"])]).since(Seq(0));
    for (call, append, field) in [
        (1, append().resolved(vec![Seq(1); 1_001]), "resolved"),
        // So large that its lists are counted before it is decoded.
        (2, append().resolved(vec![Seq(u64::MAX); 100_000]), "resolved"),
        (3, append().watch(vec![book("Emma"); 33]), "condition keys"),
        (4, append().watch(vec![book("Emma"); 100_000]), "condition keys"),
        (5, append().resolved([Seq(0)]), "resolved"),
        (6, append().watch([book("")]), "condition keys"),
    ] {
        raw.send(call, Request::Append(append)).await;
        let Reply::Answer(answer) = raw.reply(call).await else { panic!("{call}") };
        let Outcome::Invalid { field: found, .. } = answer.outcome else { panic!("{answer:?}") };
        assert_eq!(found, field);
    }
    assert!(raw.works().await);
    assert!(events(&server.client().await).await.is_empty());
    server.stop().await;
}
